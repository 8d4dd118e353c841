"""Mail: which conversation it continues, whom it is believed to be from, and what a machine of ours answers."""

from __future__ import annotations

import json
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crm_store import deliveries, interactions, outbox, outcomes, schema, views
from crm_store.db import Store
from hub import urn as urns
from hub.model import DeliveryReported, DeliveryStatus
from tests.databases import on_postgresql, on_sqlite
from tests.router.way_in import FILES, WayIn, text_of
from tests.store.people import Office
from workers import sweep, turn
from workers.rates import Rates
from workers.sending import Result, outgoing

ANN, HOME, BOB, EVE = (
    "mailto:ann@example.com",
    "mailto:ann@home.test",
    "mailto:bob@example.com",
    "mailto:eve@evil.test",
)
MAIL_FILES = FILES | {
    "channels.yaml": """
brands: {main: {name: Main}, other: {name: Other}}
accounts:
  webchat/main: {title: Chat, brand: main}
  mail/support: {title: Support, brand: main, address: support@acme.test}
  mail/sales: {title: Sales, brand: main, address: sales@acme.test}
  mail/other: {title: Elsewhere, brand: other, address: hello@other.test}
""",
    "calendars.yaml": "calendars: {office: {timezone: UTC, hours: {mon-fri: 09:00-17:00}}}",
    "replies.yaml": """
auto_per_hour: 3
replies:
  night:
    text: We are back on Monday.
    auto: {when: out_of_hours, calendar: office, accounts: [mail/support]}
  welcome:
    text: Thank you, we have it.
    auto: {when: first_contact, accounts: [mail/sales]}
""",
}
_C = schema.conversations.c


class Post(WayIn):
    def mail(self, text: str, sender: str = ANN, **more: Any) -> Any:
        """A mail of Ann's, that nobody vouches for unless it is said."""
        values = {"account": "mail/support", "verified": False, "proof": "dmarc=none", "sender_name": ""}
        key = more.pop("id", None)
        if key is not None:
            values["external_id"] = f"<{key}>"
        return self.ann(text, sender=sender, **(values | more))

    def sent(self, conversation: Any, external_id: str, account: str = "mail/support") -> int:
        """A reply of ours that went out under that Message-ID."""

        def work(tx: Any) -> int:
            ids = self.store.ids
            said = interactions.add_outbound(
                tx, ids, conversation_id=conversation.id, identity_id=conversation.identity_id, account=account,
                text="our words", by="agent:bo", now=self.now,
            )  # fmt: skip
            urn = tx.execute(
                schema.identities.select().where(schema.identities.c.id == conversation.identity_id)
            ).one().urn  # fmt: skip
            made = deliveries.create(
                tx, ids, interaction_id=said, conversation_id=conversation.id, account=account, to_urn=urn,
                idem_key=external_id, due_at=self.now, by="agent:bo", now=self.now, state="queued",
            )  # fmt: skip
            tx.execute(
                schema.deliveries.update()
                .where(schema.deliveries.c.id == made)
                .values(state="sent", attempts=1)
            )
            tx.execute(
                schema.delivery_parts.insert().values(
                    delivery_id=made,
                    part=0,
                    account=account,
                    external_id=f"<{external_id}>",
                    state="sent",
                    at=self.now,
                )
            )
            return made

        return self.store.run(work)

    def talks(self) -> list[list[str]]:
        """What was said in each conversation, by their age."""
        i = schema.interactions.c
        return [
            text_of(self.rows(schema.interactions, i.conversation_id == row.id, i.by != "system"))
            for row in self.rows(schema.conversations)
        ]

    def close(self, **more: Any) -> None:
        self.change(schema.conversations, state="closed", slot=None, closed_at=self.now, rank_at=None, **more)

    def links(self) -> set[tuple[int, int]]:
        numbers = {row.id: row.number for row in self.rows(schema.conversations)}
        return {
            (numbers[row.conversation_id], numbers[row.other_id])
            for row in self.rows(schema.conversation_links)
        }

    def of(self, urn: str) -> Any:
        return self.one(schema.identities, schema.identities.c.urn == urn)


@pytest.fixture
def way(store: Store) -> Post:
    return Post(store, MAIL_FILES)


# -------------------------------------------------------------------------------------------------------- threads


@on_sqlite
def test_a_subject_alone_brings_nobody_into_a_conversation(way: Post) -> None:
    way.take(way.mail("mine", subject="Invoice"), way.mail("and mine", BOB, subject="Re: Invoice"))
    assert way.talks() == [["mine"], ["and mine"]]
    assert way.links() == set()


@on_postgresql
def test_an_older_matter_goes_on_by_its_reference_not_by_whose_it_is(store: Store) -> None:
    files = dict(MAIL_FILES)
    files["channels.yaml"] = files["channels.yaml"].replace(
        "support@acme.test}", "support@acme.test, conversation: thread}"
    )
    way = Post(store, files)
    way.take(way.mail("printer", id="p1"), way.mail("invoice", id="i1"))
    way.take(way.mail("printer again", id="p2", references=("<p1>",)))
    way.take(way.mail("invoice again", id="i2", references=("<gone>", "<i1>")), way.mail("third", id="t1"))
    assert way.talks() == [["printer", "printer again"], ["invoice", "invoice again"], ["third"]]


@on_sqlite
@pytest.mark.parametrize("one_batch", [True, False])
def test_references_are_taken_in_their_order(store: Store, one_batch: bool) -> None:
    files = dict(MAIL_FILES)
    files["channels.yaml"] = files["channels.yaml"].replace(
        "support@acme.test}", "support@acme.test, conversation: thread}"
    )
    way = Post(store, files)
    mails = [
        way.mail("a", id="a"), way.mail("b", id="b"), way.mail("to b", id="c", references=("<b>", "<a>")),
        way.mail("to a", id="d", references=("<x>", "<a>", "<b>")),
    ]  # fmt: skip
    for group in [mails] if one_batch else [[mail] for mail in mails]:
        way.take(*group)
    assert way.talks() == [["a", "to a"], ["b", "to b"]]


@on_postgresql
def test_what_we_sent_is_a_reference_in_every_mailbox_of_the_brand(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    first = way.conversation()
    way.sent(first, "o1")
    way.close(home=None)
    way.take(way.mail("thanks", account="mail/sales", references=("<o1>",)))
    assert way.talks() == [["hello", "our words", "thanks"]]
    way.take(way.mail("wrong house", account="mail/other", references=("<o1>",)))
    assert way.talks()[1:] == [["wrong house"]]
    assert way.links() == set()


@on_sqlite
def test_our_own_token_comes_before_references(store: Store) -> None:
    files = dict(MAIL_FILES)
    files["channels.yaml"] = files["channels.yaml"].replace(
        "support@acme.test}", "support@acme.test, conversation: thread}"
    )
    way = Post(store, files)
    way.take(way.mail("one", id="a"), way.mail("two", id="b"))
    one = way.rows(schema.conversations)[0]
    way.take(way.mail("to one", conversation=one.id, references=("<b>",)))
    assert way.talks() == [["one", "to one"], ["two"]]


@on_postgresql
def test_a_token_of_nothing_is_passed_over(way: Post) -> None:
    way.take(way.mail("one", id="a"), way.mail("two", conversation=12345, references=("<a>",)))
    assert way.talks() == [["one", "two"]]


@on_sqlite
def test_outlook_names_a_thread_without_any_reference(way: Post) -> None:
    index = f"thread-index:{'ab' * 22}"
    way.take(way.mail("one", id="a", references=(index,)))
    way.close(home=None)
    way.take(way.mail("two", id="b", references=(index,)))
    assert way.talks() == [["one", "two"]]
    way.take(way.mail("stranger", EVE, references=(index,)))
    way.take(way.mail("three", references=(index,)))
    assert way.talks() == [["one", "two", "three"], ["stranger"]]


@on_postgresql
@pytest.mark.parametrize("token", [True, False])
def test_an_unknown_sender_with_a_reference_opens_a_linked_conversation(way: Post, token: bool) -> None:
    """Ann answers from her other address, with half of the quoted text deleted."""
    way.take(way.mail("hello", id="a1", verified=True))
    first = way.conversation()
    way.sent(first, "o1")
    way.take(
        way.mail(
            "it is me, from home", HOME, references=("<o1>", "<a1>"), conversation=first.id if token else None
        )
    )
    assert way.talks() == [["hello", "our words"], ["it is me, from home"]]
    assert way.links() == {(1001, 1002), (1002, 1001)}
    second = way.rows(schema.conversations)[1]
    assert second.customer_id != first.customer_id
    assert "linked" in way.happened()
    with way.store.read() as tx:
        assert [card.number for card in views.conversation(tx, second.id).linked] == [1001]
    way.take(way.mail("and more", HOME, references=("<o1>",)))
    assert way.talks()[1] == ["it is me, from home", "and more"]
    assert way.happened().count("linked") == 1
    assert way.count(schema.conversation_links) == 2


@on_sqlite
def test_who_was_in_copy_takes_part_and_is_not_whom_we_write_to(way: Post) -> None:
    way.take(way.mail("hello", id="a1", participants=(BOB, "mailto:support+x@acme.test")))
    first = way.conversation()
    way.take(way.mail("my view", BOB, id="b1", references=("<a1>",)))
    assert way.talks() == [["hello", "my view"]]
    now = way.conversation()
    assert (now.identity_id, now.customer_id) == (first.identity_id, first.customer_id)
    assert now.last_inbound_id != first.last_inbound_id
    assert [row.urn for row in way.rows(schema.conversation_people)] == [BOB]
    assert way.of(BOB).customer_id != first.customer_id


@on_postgresql
def test_a_forged_mail_brings_nobody_in(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    way.take(way.mail("forged", references=("<a1>",), participants=(EVE,)))
    assert way.rows(schema.conversation_people) == []
    first = way.conversation()
    way.take(way.mail("proved", conversation=first.id, participants=(BOB,)))
    assert [row.urn for row in way.rows(schema.conversation_people)] == [BOB]


@on_sqlite
def test_a_reference_to_what_is_over_opens_another_that_shows_it(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    way.close()
    way.pass_(days=30)
    way.take(way.mail("once more", references=("<a1>",)))
    assert way.talks() == [["hello"], ["once more"]]
    assert way.links() == {(1001, 1002), (1002, 1001)}


@on_postgresql
@pytest.mark.parametrize("one_batch", [True, False])
def test_a_closed_matter_goes_on_where_the_customers_next_one_stands(way: Post, one_batch: bool) -> None:
    way.take(way.mail("first", id="a1"))
    way.close()
    way.change(schema.conversations, closed_at=way.now - timedelta(days=10))
    way.take(way.mail("second", id="a2"))
    way.change(schema.conversations, closed_at=None)
    late = [way.mail("to the first", references=("<a1>",)), way.mail("on", references=("<a1>",))]
    for group in [late] if one_batch else [[mail] for mail in late]:
        way.take(*group)
    assert way.talks() == [["first"], ["second", "to the first", "on"]]


@on_sqlite
def test_half_a_batch_of_threads_is_the_same_as_one_by_one(way: Post) -> None:
    """A closed conversation that a reference reopens takes the next words without one, too."""
    way.take(way.mail("first", id="a1"))
    way.close()
    way.take(way.mail("again", references=("<a1>",)), way.mail("more"))
    assert way.talks() == [["first", "again", "more"]]


# --------------------------------------------------------------------------------------------------------- belief


def vip(way: Post) -> Any:
    way.take(way.mail("my own words", id="a1", verified=True, proof="dmarc=pass"))
    way.change(schema.customers, tier="vip", stage="customer", name="Ann")
    return way.conversation()


@on_postgresql
def test_a_forged_vip_gets_a_record_of_its_own(way: Post) -> None:
    first = vip(way)
    way.take(
        way.mail("send the goods elsewhere", sender_name="Ann", references=("<a1>",), proof="dmarc=fail")
    )
    assert way.talks() == [["my own words"], ["send the goods elsewhere"]]
    forged = way.rows(schema.conversations)[1]
    assert forged.customer_id != first.customer_id
    facts = json.loads(way.rows(schema.decisions)[-1].facts)
    assert facts["sender"] == "claimed"
    assert "customer.tier" not in facts
    assert facts["customer.stage"] == "lead"
    proposal = way.one(schema.merge_proposals)
    assert {proposal.one_id, proposal.other_id} == {first.customer_id, forged.customer_id}
    with way.store.read() as tx:
        record = views.customer(tx, first.customer_id).history.entries
        shown = views.conversation(tx, forged.id)
    assert [entry.text for entry in record] == ["my own words"]
    (entry,) = [one for one in shown.history.entries if one.text.startswith("send")]
    assert (entry.claimed, entry.proof) == (True, "dmarc=fail")
    assert way.links() == {(1001, 1002), (1002, 1001)}
    way.take(way.mail("do it now", proof="dmarc=fail"))
    assert way.talks()[1] == ["send the goods elsewhere", "do it now"]


@on_sqlite
def test_a_vip_whose_address_nobody_proved_is_a_claim_too(way: Post) -> None:
    way.take(way.mail("hello"))
    way.change(schema.customers, tier="vip")
    way.take(way.mail("it is me"))
    assert way.talks() == [["hello"], ["it is me"]]


@on_postgresql
def test_a_proved_address_elsewhere_guards_the_others(way: Post) -> None:
    way.take(way.ann("hello", sender="webchat:ann"))
    chat = way.conversation()
    way.take(way.mail("hello by mail"))
    mail = way.of(ANN)
    way.change(schema.identities, customer_id=chat.customer_id)
    assert mail.verified is False
    way.take(way.mail("who knows"))
    assert ["who knows"] in way.talks()


@on_sqlite
def test_who_has_proved_nothing_is_themselves(way: Post) -> None:
    way.take(way.mail("one"), way.mail("two"))
    way.take(way.mail("three"))
    assert way.talks() == [["one", "two", "three"]]
    assert way.count(schema.merge_proposals) == 0


@on_postgresql
def test_an_answer_to_our_own_mail_is_proof(way: Post) -> None:
    first = vip(way)
    way.take(way.mail("yes please", conversation=first.id, references=("<o1>",)))
    assert way.talks() == [["my own words", "yes please"]]
    entry = way.rows(schema.interactions)[-1]
    assert "claimed" not in json.loads(entry.extra)


@on_sqlite
def test_a_token_proves_an_address_that_had_none(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    first = way.conversation()
    way.take(way.mail("yes", conversation=first.id))
    assert way.of(ANN).verified


@on_postgresql
def test_who_was_in_copy_holds_the_token_and_proves_nothing_of_another(way: Post) -> None:
    way.take(way.mail("hello", id="a1", participants=(BOB,)))
    first = way.conversation()
    way.take(way.mail("yes", conversation=first.id))
    assert not way.of(ANN).verified
    assert way.talks() == [["hello", "yes"]]


@on_sqlite
def test_a_person_who_merges_has_decided(way: Post) -> None:
    first = vip(way)
    way.take(way.mail("from my telephone"))
    claimed = way.of(f"{ANN}?unproved")
    way.change(schema.identities, customer_id=first.customer_id)
    way.take(way.mail("again"))
    assert way.of(f"{ANN}?unproved").id == claimed.id
    assert way.talks()[0][-1] == "again"
    assert json.loads(way.rows(schema.interactions)[-1].extra)["claimed"] is True


@on_postgresql
def test_an_unproved_start_takes_back_no_stop(way: Post) -> None:
    vip(way)
    way.take(way.mail("STOP", verified=True))
    way.take(way.mail("START"))
    assert not way.one(schema.consents).granted


@on_sqlite
def test_what_was_quoted_and_what_vouches_is_kept(way: Post) -> None:
    way.take(
        way.mail(
            "yes", quoted="> shall we?", proof="spf=pass dmarc=pass", verified=True, subject="Re: Invoice"
        )
    )
    with way.store.read() as tx:
        view = views.conversation(tx, way.conversation().id)
    (entry,) = view.history.entries
    assert (entry.text, entry.quoted, entry.proof) == ("yes", "> shall we?", "spf=pass dmarc=pass")
    assert (entry.subject, way.conversation().subject) == ("Re: Invoice", "Re: Invoice")


# -------------------------------------------------------------------------------------------------------- bounces


def bounce(way: Post, external_id: str, code: str | None, **more: Any) -> DeliveryReported:
    values: dict[str, Any] = {
        "account": "mail/support", "event_key": f"b{way.now}{external_id}{code}", "received_at": way.now,
        "status": DeliveryStatus.FAILED if code else DeliveryStatus.SENT, "external_id": f"<{external_id}>",
        "code": code, "detail": "5.1.1 no such user" if code else "4.4.1 we go on trying",
    }  # fmt: skip
    return DeliveryReported(**(values | more))


@on_postgresql
@pytest.mark.parametrize("code, trouble", [("dead", "dead"), ("full", "full"), ("refused", None)])
def test_a_bounce_fails_the_delivery_and_marks_the_address(way: Post, code: str, trouble: str | None) -> None:
    way.take(way.mail("hello", id="a1", verified=True))
    way.sent(way.conversation(), "o1")
    handled = way.take(bounce(way, "o1", code))
    delivery = way.one(schema.deliveries)
    assert (delivery.state, delivery.provider_code, delivery.detail) == ("failed", code, "5.1.1 no such user")
    assert way.of(ANN).trouble == trouble
    assert handled.deliveries == {delivery.id}
    assert way.count(schema.conversations) == 1
    way.pass_(minutes=5)
    way.take(way.mail("I am here", verified=True))
    assert way.of(ANN).trouble is None, "who writes has a mailbox"


@on_sqlite
def test_a_delay_changes_nothing_and_is_noted(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    made = way.sent(way.conversation(), "o1")
    before = way.conversation().version
    assert way.take(bounce(way, "o1", None)).deliveries == set()
    assert (way.one(schema.deliveries).state, way.of(ANN).trouble) == ("sent", None)
    assert way.conversation().version == before
    noted = way.rows(schema.delivery_events, schema.delivery_events.c.delivery_id == made)[-1]
    assert (noted.state, noted.detail) == ("sent", "4.4.1 we go on trying")


@on_postgresql
def test_a_copy_that_bounced_fails_only_the_copy(way: Post) -> None:
    way.take(way.mail("hello", id="a1", participants=(BOB,)), way.mail("hi", BOB, references=("<a1>",)))
    way.sent(way.conversation(), "o1")
    way.take(bounce(way, "o1", "dead", recipient=BOB))
    assert way.one(schema.deliveries).state == "sent"
    assert (way.of(BOB).trouble, way.of(ANN).trouble) == ("dead", None)


@on_sqlite
def test_a_bounce_that_names_where_the_address_led_to_is_the_deliverys(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    way.sent(way.conversation(), "o1")
    way.take(bounce(way, "o1", "dead", recipient="mailto:ann@forwarded.test"))
    assert (way.one(schema.deliveries).state, way.of(ANN).trouble) == ("failed", "dead")


@on_postgresql
def test_a_bounce_of_what_is_not_ours_opens_nothing(way: Post) -> None:
    way.take(bounce(way, "never-sent", "dead"))
    assert way.count(schema.conversations) == 0
    assert way.outcomes() == ["stored"]


# ---------------------------------------------------------------------------------------------- automatic answers


def answers(way: Post) -> list[str]:
    return text_of(way.rows(schema.interactions, schema.interactions.c.by == "system"))


@on_sqlite
def test_out_of_hours_a_person_is_told_once_a_day(way: Post) -> None:
    way.pass_(days=1)  # Saturday
    handled = way.take(way.mail("hello", id="a1"))
    assert answers(way) == ["We are back on Monday."]
    delivery = way.one(schema.deliveries)
    assert handled.deliveries == {delivery.id}
    assert (delivery.state, delivery.to_urn, delivery.by, delivery.account) == (
        "queued",
        ANN,
        "system",
        "mail/support",
    )
    said = way.rows(schema.interactions)[-1]
    assert (said.in_reply_to, json.loads(said.extra)["automatic"]) == ("<a1>", True)
    assert way.conversation().first_answer_at is None
    assert way.conversation().waiting_since is not None
    way.pass_(hours=23)
    way.take(way.mail("hello?"))
    assert len(answers(way)) == 1
    way.pass_(hours=2)
    way.take(way.mail("hello??"))
    assert len(answers(way)) == 2


@on_postgresql
def test_in_hours_nobody_is_told_that_it_is_closed(way: Post) -> None:
    way.take(way.mail("hello"))
    assert answers(way) == []


@on_sqlite
def test_first_contact_is_answered_once(way: Post) -> None:
    way.take(way.mail("hello", account="mail/sales"), way.mail("and", account="mail/sales"))
    assert answers(way) == ["Thank you, we have it."]
    way.close()
    way.pass_(days=20)
    way.take(way.mail("another matter", account="mail/sales"))
    assert len(answers(way)) == 1


@on_postgresql
@pytest.mark.parametrize(
    "more",
    [
        {"automatic": True},
        {"sender": "mailto:sales@acme.test"},
        {"sender": "mailto:support+c1-abc@acme.test"},
        {"sent_at": timedelta(days=-2)},
        {"proof": "spf=fail dmarc=fail"},
    ],
)
def test_machines_our_own_mailboxes_and_the_past_are_not_answered(way: Post, more: dict[str, Any]) -> None:
    way.pass_(days=1)
    if "sent_at" in more:
        more = {"sent_at": way.now + more["sent_at"]}
    way.take(way.mail("hello", **more))
    assert answers(way) == []
    assert way.count(schema.interactions) == 1


@on_sqlite
def test_all_together_are_so_many_an_hour(way: Post) -> None:
    way.pass_(days=1)
    way.take(*(way.mail("hello", f"mailto:u{n}@example.com") for n in range(5)))
    assert len(answers(way)) == 3
    way.take(way.mail("hello", "mailto:u9@example.com"))
    assert len(answers(way)) == 3
    way.pass_(hours=1, seconds=1)
    way.take(way.mail("hello", "mailto:u8@example.com"))
    assert len(answers(way)) == 4


@on_postgresql
def test_who_wants_nothing_of_us_or_cannot_be_reached_is_not_answered(way: Post) -> None:
    way.take(way.mail("STOP"), way.mail("hello", BOB))
    way.change(schema.identities, trouble="dead")
    way.pass_(days=1)
    way.take(way.mail("hello"))
    assert answers(way) == []


@on_sqlite
def test_a_newsletter_an_absence_and_a_bounce_in_between_raise_nothing(way: Post) -> None:
    way.take(way.mail("hello", id="a1"))
    way.sent(way.conversation(), "o1")
    way.change(schema.conversations, state="pending", waiting_since=None, rank_at=None, assignee="bo")
    way.pass_(days=1)
    way.take(
        way.mail("I am on the beach", references=("<o1>",), automatic=True),
        way.mail("10 % off", "mailto:news@shop.test", automatic=True),
        bounce(way, "o1", None),
    )
    first = way.rows(schema.conversations)[0]
    assert (first.state, first.waiting_since) == ("pending", None)
    assert way.talks() == [["hello", "our words", "I am on the beach"], ["10 % off"]]
    assert answers(way) == []


# ------------------------------------------------------------------------------------------------------- going out


def claimed(way: Post) -> list[Any]:
    return way.store.run(
        lambda tx: outbox.claim(
            tx, {"mail/support": 9, "webchat/main": 9}, owner="t", now=way.now, lease=timedelta(seconds=50)
        )
    )


def test_a_reply_cites_what_was_said_and_goes_to_who_takes_part(way: Post) -> None:
    way.take(
        way.mail("hello", id="a1", subject="Printer", participants=(BOB, EVE, "mailto:gone@example.com"))
    )
    first = way.conversation()
    way.sent(first, "o1")
    way.take(way.mail("STOP", EVE), way.mail("x", "mailto:gone@example.com"))
    way.change(schema.identities, trouble=None)
    way.store.run(
        lambda tx: tx.execute(
            schema.identities.update()
            .where(schema.identities.c.urn == "mailto:gone@example.com")
            .values(trouble="dead")
        )
    )
    way.take(
        way.mail("yes", id="a2", subject="Re: Printer", conversation=first.id, references=("<o1>", "<a1>"))
    )
    way.take(way.mail("a secret of somebody else's", "mailto:zoe@example.org", id="a2", subject="Mine"))
    made = way.sent(first, "o2")
    way.store.run(
        lambda tx: tx.execute(
            schema.deliveries.update().where(schema.deliveries.c.id == made).values(state="queued")
        )
    )
    (delivery,) = claimed(way)
    said = outgoing(delivery, tries=2)
    assert said.references == ("<o2>", "<a2>", "<o1>", "<a1>")
    assert (said.subject, said.in_reply_to, said.cc) == ("Re: Printer", "<a2>", (BOB,))
    assert (said.conversation_id, said.automatic, said.bulk) == (first.id, False, False)
    assert said.quoted is not None
    assert (said.quoted.text, said.quoted.urn) == ("yes", ANN)


@on_postgresql
def test_an_automatic_answer_says_so_and_has_no_copies(way: Post) -> None:
    way.pass_(days=1)
    way.take(way.mail("hello", id="a1", subject="Printer", participants=(BOB,)))
    (delivery,) = claimed(way)
    said = outgoing(delivery, tries=1)
    assert (said.automatic, said.cc, said.in_reply_to, said.subject) == (True, (), "<a1>", "Printer")
    assert said.quoted is None


@on_sqlite
def test_an_answer_to_who_only_says_so_goes_to_the_address(store: Store) -> None:
    office = Office(store)
    office.customer("Ann?", f"{ANN}?unproved", verified=False)
    talk, _ = office.writes(f"{ANN}?unproved", "it is me", account="mail/main")
    act = office.actions()
    act.claim(talk, "bo")
    act.reply(talk, "bo", "Is it?", idem_key="k")
    with store.read() as tx:
        assert tx.execute(schema.deliveries.select()).one().to_urn == ANN
        assert views.card(tx, talk).urn == f"{ANN}?unproved"
    assert urns.display(f"{ANN}?unproved") == "ann@example.com (not proved)"
    with pytest.raises(ValueError, match="no mail address"):
        urns.normalise(f"{ANN}?unproved")


@pytest.mark.parametrize("code, trouble", [("550 5.1.1", "dead"), ("552 5.2.2", "full"), ("550 5.7.1", None)])
def test_what_a_server_says_at_once_marks_the_address_too(way: Post, code: str, trouble: str | None) -> None:
    way.take(way.mail("hello", id="a1"))
    made = way.sent(way.conversation(), "o1")
    table = schema.deliveries
    way.store.run(
        lambda tx: tx.execute(
            table.update().where(table.c.id == made).values(state="sending", lease_owner="t")
        )
    )
    (delivery,) = way.store.run(lambda tx: outbox.load(tx, [made]))
    outcome = outcomes.Outcome(
        delivery=delivery, state="failed", at=way.now, code="rejected", provider_code=code, detail="no"
    )
    ask = turn.Ask(owner="t", now=way.now, results=[Result(outcome=outcome)])
    turn.take(way.store, Rates(None), {}, ask)
    assert (way.one(table).state, way.of(ANN).trouble) == ("failed", trouble)


def letters(way: Post, count: int) -> list[Any]:
    """People who write, answer, forge, copy each other and hold references, as chance has it; always the same."""
    chance = random.Random(7)
    people = [f"mailto:u{n}@example.com" for n in range(6)]
    made: list[Any] = []
    for n in range(count):
        references = tuple(f"<l{chance.randrange(max(1, n))}>" for _ in range(chance.randrange(3)))
        made.append(
            way.mail(
                f"text {n}", chance.choice(people), id=f"l{n}", references=references, subject=f"subject {n}",
                verified=chance.random() < 0.3, automatic=chance.random() < 0.1, sender_name="Name",
                participants=tuple(chance.sample(people, chance.randrange(3))),
                account=chance.choice(["mail/support", "mail/sales"]),
            )
        )  # fmt: skip
    return made


def what_became(way: Post, step: int) -> Any:
    """Of sixty letters that come `step` at a time: of every room what others could see."""
    mails = letters(way, 60)
    for start in range(0, len(mails), step):
        way.take(*mails[start : start + step])
    people = {row.id: row.urn for row in way.rows(schema.identities)}
    texts = {row.id: row.text for row in way.rows(schema.interactions)}
    return (
        way.talks(),
        way.links(),
        sorted((people[row.identity_id], texts[row.id], row.extra) for row in way.rows(schema.interactions)),
        sorted(row.urn for row in way.rows(schema.conversation_people)),
        sorted((row.urn, row.verified) for row in way.rows(schema.identities)),
    )


@pytest.fixture(scope="module")
def one_by_one(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("alone") / "one.db"
    shutil.copyfile(migrated_sqlite, path)
    alone = Store.open(f"sqlite:///{path}")
    outcome = what_became(Post(alone, MAIL_FILES), 1)
    alone.close()
    return outcome


@pytest.mark.parametrize("size", [3, 60])
def test_a_batch_of_mails_comes_to_the_same_as_its_mails_one_by_one(
    store: Store, size: int, one_by_one: Any
) -> None:
    outcome = what_became(Post(store, MAIL_FILES), size)
    assert outcome == one_by_one
    assert any("?unproved" in urn for urn, _ in outcome[4])
    assert outcome[1]


@on_postgresql
def test_turns_that_hold_nobody_back_are_forgotten(way: Post) -> None:
    way.pass_(days=1)
    way.take(way.mail("hello"))
    assert sweep.forget(way.store, way.now + timedelta(hours=23))["automatic answers"] == 0
    assert sweep.forget(way.store, way.now + timedelta(hours=24))["automatic answers"] == 1
