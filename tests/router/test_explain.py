"""An explanation says what a person would who knows the rules by heart."""

import json

from hub import configfiles
from router.explain import duration, explain, render
from router.rules import RuleSet, compile_rules
from tests.config.samples import having

ROUTING = """\
rules:
  - name: gold
    when: {customer: {tier: gold}}
    then: {priority: high, tags: [gold]}
    continue: true
  - name: German invoices
    when:
      text: [Rechnung, "offener Betrag"]
      language: de
      channel: mail
    then: {queue: billing}
  - name: urgent chats
    when: {channel: webchat, text: {matches: 'urgent\\w*'}}
    then: {queue: billing}
  - name: invoices
    when:
      any:
        - text: [invoice, refund]
        - customer: {tags: [debtor]}
      not: {form: letter}
    then: {queue: billing}
  - name: chats
    when: {channel: webchat}
    then: {queue: general}
default: {queue: general}
"""
FACTS = {
    "channel": "webchat", "account": "webchat/main", "brand": "main", "form": "message", "language": "de",
    "customer.tier": "gold", "customer.tags": ["press"],
}  # fmt: skip


def rules() -> RuleSet:
    return compile_rules(configfiles.load(having(routing=ROUTING)))


def test_the_rule_its_conditions_and_what_nearly_matched() -> None:
    told = explain(rules(), json.loads(json.dumps(FACTS)), "Rechnung: please REFUND me")
    assert told.decision.rule == "invoices"
    assert told.decided is not None
    assert (told.decided.file, told.decided.line, told.decided.gave) == (
        "config/routing.yaml",
        15,
        ("queue billing",),
    )
    either, no_letter = told.decided.seen
    assert (either.wanted, either.saw, either.held, either.line) == ("any of 2", "1 of 2 hold", True, 17)
    assert [(part.wanted, part.saw, part.held, part.line) for part in either.parts] == [
        ("text has invoice or refund", '"refund"', True, 18),
        ("customer tags have debtor", "press", False, 19),
    ]
    assert (no_letter.wanted, no_letter.saw, no_letter.held) == ("not (form is letter)", "message", True)
    assert [(rule.rule, rule.gave) for rule in told.adjusted] == [("gold", ("priority high", "tag gold"))]
    # Two of three held for the German invoices, one of two for the urgent chats.
    assert [(miss.rule, miss.held, miss.failed.wanted, miss.failed.saw) for miss in told.near] == [
        ("German invoices", 2, "channel is mail", "webchat"),
        ("urgent chats", 1, "text matches urgent\\w*", "no match"),
    ]
    assert [rule.rule for rule in told.overtaken] == ["chats"]


def test_when_the_default_decided() -> None:
    told = explain(rules(), {**FACTS, "channel": "mail", "customer.tier": None, "language": None}, "hello")
    assert told.decided is None
    assert told.decision.rule == "default"
    assert told.adjusted == ()
    assert [(miss.rule, miss.failed.saw) for miss in told.near] == [
        ("invoices", "0 of 2 hold"),
        ("gold", "unknown"),
        ("chats", "mail"),
    ]


def test_in_words_for_a_terminal() -> None:
    assert render(explain(rules(), FACTS, "an urgently needed refund")) == (
        "Queue billing, priority high, a head start of 10m.\n"
        "Tags: gold.\n"
        "\n"
        'Decided by rule "urgent chats"  config/routing.yaml:12\n'
        "  ✓ channel is webchat: saw webchat  (line 13)\n"
        '  ✓ text matches urgent\\w*: saw "urgently"  (line 13)\n'
        'Adjusted by rule "gold" (priority high, tag gold)  config/routing.yaml:2\n'
        "  ✓ customer tier is gold: saw gold  (line 3)\n"
        "\n"
        "Would have matched too, but stand further down:\n"
        '  "invoices" (queue billing)  config/routing.yaml:15\n'
        '  "chats" (queue general)  config/routing.yaml:22'
    )


def test_a_rule_without_conditions_always_matches() -> None:
    text = "rules:\n  - {name: all, then: {queue: billing}}\ndefault: {queue: general}\n"
    compiled = compile_rules(configfiles.load(having(routing=text)))
    assert 'Decided by rule "all"  config/routing.yaml:2\n  always' in render(explain(compiled, FACTS, ""))


def test_times_as_the_files_write_them() -> None:
    shown = {90.0: "1m30s", 0.0: "0s", 3600.0: "1h", -1800.0: "-30m", 90061.5: "1d1h1m1.5s"}
    assert {seconds: duration(seconds) for seconds in shown} == shown
