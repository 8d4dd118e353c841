"""Each condition beside what it must not take for it, and what is said of one that cannot be meant."""

# ruff: noqa: E501 - tables, a case a line

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hub import configfiles
from hub.config import Config
from hub.errors import ConfigError
from hub.model import CallEvent, CallState, MessageReceived
from router.facts import Person, gather
from router.rules import compile_rules
from tests.config.samples import having
from tests.each import each

HEAD = "rules:\n  - name: x\n    when:\n"
TAIL = "    then: {queue: billing}\ndefault: {queue: general}\n"


def load(when: str) -> Config:
    body = "".join(f"      {line}\n" for line in when.splitlines())
    return configfiles.load(having(routing=HEAD + body + TAIL), checks=[compile_rules])


def holds(when: str, facts: dict[str, Any], text: str = "") -> bool:
    return compile_rules(load(when)).decide(facts, text).rule == "x"


@each(
    "when, facts, expected",
    [
        ("channel: webchat", {"channel": "webchat"}, True),
        ("channel: [mail, webchat]", {"channel": "webchat"}, True),
        ("channel: mail", {"channel": "webchat"}, False),
        ("account: mail/support", {"account": "mail/support"}, True),
        ("brand: other", {"brand": "main"}, False),
        ("form: [letter, visit]", {"form": "visit"}, True),
        ("language: de", {"language": "de"}, True),
        ("language: de", {"language": "de-at"}, True),
        ("language: de", {"language": "den"}, False),
        ("language: de", {"language": None}, False),
        ("language: de_AT", {"language": "de-at"}, True),
        ("language: no", {"language": "no"}, True),
        ("sender: verified", {"sender": "verified"}, True),
        ("sender: verified", {"sender": "claimed"}, False),
        ("contact: first", {"contact": "returning"}, False),
        ("automatic: true", {"automatic": True}, True),
        ("automatic: false", {"automatic": True}, False),
        ("hours: {office: open}", {"hours.office": "open"}, True),
        ("hours: {office: closed}", {"hours.office": "open"}, False),
        ("hours: {office: closed}", {}, False),
        ("customer: {tier: GOLD}", {"customer.tier": "gold"}, True),
        ("customer: {tier: gold}", {"customer.tier": None}, False),
        ("customer: {tags: [Press, vip]}", {"customer.tags": ["x", "press"]}, True),
        ("customer: {tags: vip}", {"customer.tags": []}, False),
        ("customer: {kind: person, stage: lead}", {"customer.kind": "person", "customer.stage": "lead"}, True),
        ("customer: {kind: person, stage: lead}", {"customer.kind": "person", "customer.stage": "customer"}, False),
        ("customer: {preferred_channel: mail}", {"customer.preferred_channel": "mail"}, True),
        ("all: [{channel: mail}, {brand: main}]", {"channel": "mail", "brand": "main"}, True),
        ("all: [{channel: mail}, {brand: main}]", {"channel": "mail", "brand": "other"}, False),
        ("any: [{channel: mail}, {brand: main}]", {"channel": "mail", "brand": "other"}, True),
        ("any: [{channel: mail}, {brand: main}]", {"channel": "webchat", "brand": "other"}, False),
        ("not: {channel: mail}", {"channel": "webchat"}, True),
        ("not: {channel: mail, brand: main}", {"channel": "mail", "brand": "other"}, True),
        ("not: {channel: mail, brand: main}", {"channel": "mail", "brand": "main"}, False),
        ("not: {customer: {tier: gold}}", {"customer.tier": None}, True),
        ("any:\n  - not: {channel: mail}\n  - brand: main", {"channel": "mail", "brand": "main"}, True),
    ],
)  # fmt: skip
def test_facts(when: str, facts: dict[str, Any], expected: bool) -> None:
    assert holds(when, facts) is expected


@each(
    "when, text, expected",
    [
        ("text: [invoice]", "Where is my INVOICE?", True),
        ("text: invoice", "invoices", False),
        ("text: [invoice]", "preinvoice", False),
        ("text: {words: [a, refund]}", "Refund.", True),
        ("text: [credit note]", "a Credit-Note please", True),
        ("text: [credit note]", "credit  \n note", True),
        ("text: [credit note]", "credit notes", False),
        ("text: [credit note]", "note credit", False),
        ("text: [doesn't work]", "it doesn’t work", True),
        ("text: [straße]", "Die STRASSE", True),
        ("text: [été]", "un E\u0301TE\u0301 chaud", True),
        ("text: [ete]", "été", False),
        ("text: [返金]", "商品の返金をお願いします", True),
        ("text: [คืนเงิน]", "ขอคืนเงินด้วย", True),
        ("text: [no]", "No.", True),
        ("text: {matches: 'inv-\\d{4}'}", "see INV-1234 please", True),
        ("text: {matches: 'inv-\\d{4}'}", "see INV-123", False),
        ("text: {matches: ['^a', 'b$']}", "xb", True),
        ("text: {matches: '(?-i)URGENT'}", "urgent", False),
        ("text: {matches: 'übergröße'}", "ÜBERGRÖßE", True),
        ("text: {words: [order], matches: '\\d'}", "order", False),
        ("text: {words: [order], matches: '\\d'}", "order 1", True),
        ("text: [late]", "x " * 15_000 + "late", False),
        ("text: [x]", "", False),
    ],
)  # fmt: skip
def test_text(when: str, text: str, expected: bool) -> None:
    assert holds(when, {}, text) is expected


@each(
    "when, complaint",
    [
        ("chanel: mail", 'no condition "chanel"; did you mean "channel"?'),
        ("tier: gold", 'no condition "tier"; it stands below customer (customer: {tier: …})'),
        ("words: [a]", 'no condition "words"; it stands below text (text: {words: …})'),
        ("channel: fax", 'no channel of any account "fax" for channel; there are webchat, mail'),
        ("account: webchat/man", 'no account "webchat/man" for account; did you mean "webchat/main"?'),
        ("sender: verifed", 'no value "verifed" for sender; did you mean "verified"?'),
        ("contact: new", 'no value "new" for contact; there are first, returning'),
        ("customer: {teir: gold}", 'customer knows no "teir"; did you mean "tier"?'),
        ("customer: gold", '"customer" must hold keys, such as customer: {kind: …}'),
        ("customer: {kind: {a: b}}", '"kind" must be text of at most 200 characters, or a list of texts'),
        ("automatic: maybe", '"automatic" must be true or false'),
        ("hours: open", '"hours" must hold keys, such as hours: {office: open}'),
        ("hours: {office: shut}", 'hours of "office" must be open or closed'),
        ("hours: {shop: open}", 'no calendar "shop"; there is office'),
        ("text: []", '"text" is an empty list, which never holds: leave it out'),
        ("text: [refund*]", '"refund*": words are whole words; write each form, or use matches'),
        ("text: ['!!']", '"!!" has no letter or digit to look for'),
        ("text: {match: a}", 'text knows no "match"; did you mean "matches"?'),
        ("text: {matches: '(a'}", "not a regular expression that re2 takes: missing ): (a"),
        ("text: {matches: '(?=a)'}", "not a regular expression that re2 takes: invalid perl operator: (?="),
        ("text: {matches: '((a{100}){100}){100}'}", "not a regular expression that re2 takes: invalid repetition size: {100}"),
        ("any: {channel: mail}", '"any" must be a list of conditions, each beginning with a dash'),
        ("any: []", '"any" must be a list of conditions, each beginning with a dash'),
        ("not: [a]", '"not" must hold conditions such as channel: webchat'),
        ("all: [mail]", "a condition must hold conditions such as channel: webchat"),
        ("not: {not: {not: {not: {not: {not: {channel: mail}}}}}}", "conditions are nested deeper than 6 levels"),
        ("channel:\n  - mail\n  - fax", 'no channel of any account "fax" for channel; there are webchat, mail'),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(when: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(when)
    fault = caught.value.faults[0]
    assert (fault.file, fault.text) == ("config/routing.yaml", f'rule "x": {complaint}')
    assert fault.line == 4 + (2 if "- fax" in when else 0)


def test_an_evil_pattern_takes_no_time() -> None:
    compiled = compile_rules(load("text: {matches: '(a+)+$'}"))
    assert compiled.decide({}, "a" * 19_000 + "!").rule == "default"


def test_facts_are_what_may_be_stored() -> None:
    """Flat, JSON-able, and nothing of what was said."""
    account = load("channel: mail").accounts["mail/support"]
    at = datetime(2026, 11, 2, tzinfo=UTC)
    message = MessageReceived(
        account="mail/support", event_key="1", received_at=at, sender="mailto:ann@example.com", text="SECRET",
        subject="SECRET", language="de_AT", fields=(("pin", "SECRET"),), verified=True,
    )  # fmt: skip
    person = Person(stage="customer", tier="Gold", tags=("VIP",), verified=True, first_contact=False)
    facts = gather(message, person, account, {"office": True})
    assert "SECRET" not in json.dumps(facts)
    assert "ann@" not in json.dumps(facts)
    assert facts == {
        "channel": "mail", "account": "mail/support", "brand": "other", "form": "message", "language": "de-at",
        "sender": "verified", "contact": "returning", "automatic": False, "hours.office": "open",
        "customer.kind": "person", "customer.stage": "customer", "customer.tier": "gold", "customer.tags": ["vip"],
        "customer.preferred_channel": None,
    }  # fmt: skip
    # Verified once is not verified now, and a caller's number proves nothing.
    forged = MessageReceived(
        account="mail/support", event_key="2", received_at=at, sender="mailto:ann@example.com"
    )
    assert gather(forged, person, account, {})["sender"] == "claimed"
    call = CallEvent(
        account="mail/support",
        event_key="3",
        received_at=at,
        sender="tel:+15550100",
        external_id="c",
        state=CallState.MISSED,
    )
    assert (gather(call, person, account, {})["sender"], gather(call, person, account, {})["form"]) == (
        "claimed",
        "call",
    )
