"""One message after the other: whose it is, where it goes, and what that does to the conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_store import batch_sqlite, schema
from crm_store.db import Store
from hub.model import Attachment, CallState, IdentityLearned
from router.attach import timeline
from tests.databases import on_postgresql, on_sqlite
from tests.each import each
from tests.router.way_in import FILES, NOON, WayIn, call, text_of

HOUR = timedelta(hours=1)


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


# ---------------------------------------------------------------------------------------------------------- who


@on_sqlite
def test_an_unknown_sender_becomes_a_lead(way: WayIn) -> None:
    way.take(way.ann("where is my invoice?", language="en"))
    customer = way.one(schema.customers)
    assert (customer.stage, customer.kind, customer.name, customer.language) == (
        "lead",
        "person",
        "Ann",
        "en",
    )
    identity = way.one(schema.identities)
    assert (identity.urn, identity.verified, identity.customer_id) == ("webchat:ann", True, customer.id)
    conversation = way.conversation()
    assert (conversation.state, conversation.queue, conversation.number) == ("waiting", "billing", 1001)
    said = way.one(schema.interactions)
    assert (said.text, said.direction, said.by, said.identity_id) == (
        "where is my invoice?", "in", "customer", identity.id,
    )  # fmt: skip
    assert said.conversation_id == conversation.id
    assert conversation.last_inbound_id == said.id


@on_postgresql
def test_a_name_is_learned_later_and_never_overwritten(way: WayIn) -> None:
    way.take(way.ann(sender_name=""))
    way.take(way.ann(sender_name="Ann"))
    way.take(way.ann(sender_name="Mallory"))
    assert way.one(schema.customers).name == "Ann"


@on_sqlite
def test_an_address_once_vouched_for_stays_verified(way: WayIn) -> None:
    way.take(way.ann(verified=False))
    assert not way.one(schema.identities).verified
    way.take(way.ann(verified=True), way.ann(verified=False))
    assert way.one(schema.identities).verified


@on_postgresql
def test_a_newcomers_unknown_claim_becomes_theirs_unverified(way: WayIn) -> None:
    way.take(way.ann(claims=("mailto:ann@example.com",)))
    customer = way.one(schema.customers)
    claimed = way.one(schema.identities, schema.identities.c.urn == "mailto:ann@example.com")
    assert (claimed.customer_id, claimed.verified) == (customer.id, False)


@on_sqlite
def test_a_claimed_address_of_somebody_else_opens_nothing(way: WayIn) -> None:
    way.take(way.ann(sender="mailto:ann@example.com"))
    way.take(way.ann(sender="webchat:stranger", claims=("mailto:ann@example.com",)))
    ann, stranger = way.rows(schema.customers)
    assert (
        way.one(schema.identities, schema.identities.c.urn == "webchat:stranger").customer_id == stranger.id
    )
    proposal = way.one(schema.merge_proposals)
    assert (proposal.one_id, proposal.other_id, proposal.state) == (ann.id, stranger.id, "waiting")
    assert json.loads(proposal.evidence)["claimed"] == "mailto:ann@example.com"
    assert way.count(schema.conversations) == 2
    way.take(way.ann(sender="webchat:stranger", claims=("mailto:ann@example.com",)))
    assert way.count(schema.merge_proposals) == 1


@on_postgresql
def test_learned_addresses_reach_the_customers_room(way: WayIn) -> None:
    way.take(way.ann())
    way.take(
        IdentityLearned(
            account="webchat/main", event_key="i1", received_at=way.now, urn="webchat:ann", other="tel:+15550100",
            verified=True,
        )
    )  # fmt: skip
    owners = {row.customer_id for row in way.rows(schema.identities)}
    assert owners == {way.one(schema.customers).id}


# -------------------------------------------------------------------------------------------------------- where


@on_sqlite
def test_the_customers_open_conversation_goes_on_over_all_channels(way: WayIn) -> None:
    way.take(way.ann("hello"))
    way.pass_(minutes=1)
    way.take(way.ann("and by form", account="webhook/main", sender="webchat:ann"))
    conversation = way.conversation()
    assert conversation.account == "webhook/main"
    assert conversation.slot == f"c:{way.one(schema.customers).id}"
    assert text_of(way.rows(schema.interactions)) == ["hello", "and by form"]


@on_postgresql
def test_an_account_of_its_own_policy_has_conversations_of_its_own(way: WayIn) -> None:
    way.take(
        way.ann("hello"),
        way.ann("at the counter", account="webchat/desk"),
        way.ann("again", account="webchat/desk"),
    )
    slots = {row.account: row.slot for row in way.rows(schema.conversations)}
    identity = way.one(schema.identities).id
    assert slots["webchat/desk"] == f"a:webchat/desk:{identity}"
    assert way.count(schema.conversations) == 2


@on_sqlite
def test_a_threads_conversation_is_everybodys_in_the_thread(way: WayIn) -> None:
    long = "t" * 300
    way.take(
        way.ann("one", account="console/main", thread="t1"),
        way.ann("two", account="console/main", thread="t1", sender="console:bob"),
        way.ann("other", account="console/main", thread=long),
        way.ann("none", account="console/main"),
    )
    way.take(way.ann("three", account="console/main", thread="t1", sender="console:carl"))
    way.take(way.ann("more", account="console/main", thread=long, sender="console:carl"))
    conversations = way.rows(schema.conversations)
    assert [row.slot[:2] for row in conversations] == ["t:", "t:", "a:"]
    first = conversations[0]
    texts = text_of(way.rows(schema.interactions, schema.interactions.c.conversation_id == first.id))
    assert texts == ["one", "two", "three"]
    assert way.count(schema.customers) == 3


# --------------------------------------------------------------------------------------- states and their places


@on_postgresql
def test_the_place_is_the_first_unanswered_message_less_the_head_start(way: WayIn) -> None:
    way.take(way.ann("urgent: my invoice"))
    way.pass_(minutes=5)
    way.take(way.ann("hello?"))
    conversation = way.conversation()
    assert conversation.waiting_since == NOON
    assert conversation.rank_at == NOON - timedelta(minutes=10)
    assert (conversation.queue, conversation.priority) == ("billing", "high")
    assert way.count(schema.decisions) == 2
    assert json.loads(conversation.tags) == ["urgent"]


@on_sqlite
def test_writing_on_may_move_it_and_raise_it_but_never_lower_it(way: WayIn) -> None:
    way.take(way.ann("hello"))
    way.pass_(minutes=1)
    way.take(way.ann("it is broken"))
    conversation = way.conversation()
    assert (conversation.queue, conversation.priority) == ("support", "urgent")
    assert conversation.rank_at == NOON - HOUR
    assert json.loads(conversation.skills) == ["repair"]
    way.take(way.ann("thank you"))  # no rule's word: it stays
    way.take(way.ann("and my invoice"))
    conversation = way.conversation()
    assert (conversation.queue, conversation.priority) == ("billing", "urgent")
    assert way.happened() == ["opened", "requeued", "priority", "requeued"]


@on_postgresql
def test_what_a_person_moved_stays_where_they_put_it(way: WayIn) -> None:
    way.take(way.ann("my invoice"))
    way.change(schema.conversations, queue="general", priority="normal")
    way.take(way.ann("it is broken"))
    assert way.conversation().queue == "general"


@on_sqlite
@pytest.mark.parametrize(
    "state, assignee, becomes, waits",
    [
        ("open", "bo", "open", False),
        ("offered", None, "offered", True),
        ("pending", "bo", "open", False),
        ("pending", None, "waiting", True),
        ("snoozed", "bo", "open", False),
        ("snoozed", None, "waiting", True),
    ],
)
def test_a_word_of_the_customers(
    way: WayIn, state: str, assignee: str | None, becomes: str, waits: bool
) -> None:
    way.take(way.ann("hello"))
    placed = NOON if state == "offered" else None
    way.change(
        schema.conversations, state=state, assignee=assignee, waiting_since=placed, rank_at=placed,
        snoozed_until=NOON + HOUR if state == "snoozed" else None,
    )  # fmt: skip
    before = way.conversation().version
    way.pass_(minutes=3)
    way.take(way.ann("I am back"))
    conversation = way.conversation()
    since = NOON if state == "offered" else way.now
    assert (conversation.state, conversation.assignee) == (becomes, assignee)
    assert conversation.waiting_since == since
    assert conversation.rank_at == (since if waits else None)
    assert conversation.snoozed_until is None
    assert conversation.version == before + 1
    assert way.count(schema.decisions) == (2 if becomes == "waiting" else 1)


@on_postgresql
def test_nobody_loses_the_place_of_a_transfer_by_writing(way: WayIn) -> None:
    """Handed on with nothing unanswered it has a place already; the customer's next word must not cost it that."""
    way.take(way.ann("my invoice"))
    placed = way.now
    way.change(schema.conversations, waiting_since=None, rank_at=placed)
    way.pass_(minutes=10)
    way.take(way.ann("and one thing more"))
    conversation = way.conversation()
    assert (conversation.waiting_since, conversation.rank_at) == (way.now, placed)


@on_sqlite
@pytest.mark.parametrize("late, same", [(timedelta(minutes=59), True), (timedelta(minutes=61), False)])
def test_reopening_within_the_accounts_time(way: WayIn, late: timedelta, same: bool) -> None:
    way.take(way.ann("my invoice"))
    first = way.conversation()
    way.change(
        schema.conversations, state="closed", slot=None, closed_at=way.now, waiting_since=None, rank_at=None,
        disposition="solved", assignee="bo",
    )  # fmt: skip
    way.now += late
    way.take(way.ann("thanks!"))
    conversations = way.rows(schema.conversations)
    last = conversations[-1]
    assert (len(conversations) == 1, last.id == first.id) == (same, same)
    assert (last.state, last.slot, last.closed_at, last.disposition, last.assignee) == (
        "waiting", first.slot, None, None, None,
    )  # fmt: skip
    assert (last.waiting_since, last.rank_at) == (way.now, way.now)
    assert last.queue == ("billing" if same else "general")  # a word of thanks goes to who knows the matter
    assert last.number == (1001 if same else 1002)


@on_postgresql
def test_the_open_conversation_comes_before_a_later_closed_one(way: WayIn) -> None:
    way.take(way.ann("first"))
    first = way.conversation()
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now)
    way.pass_(hours=2)
    way.take(way.ann("second"))
    second = way.rows(schema.conversations)[1]
    c = schema.conversations.c
    way.store.run(lambda tx: tx.execute(
        schema.conversations.update().where(c.id == second.id).values(state="closed", slot=None, closed_at=way.now)
    ))  # fmt: skip
    way.store.run(lambda tx: tx.execute(
        schema.conversations.update().where(c.id == first.id).values(state="waiting", slot=first.slot, closed_at=None)
    ))  # fmt: skip
    way.take(way.ann("third"))
    assert way.count(schema.interactions, schema.interactions.c.conversation_id == first.id) == 2


@on_sqlite
def test_an_automatic_message_raises_nothing(way: WayIn) -> None:
    way.take(way.ann("hello"))
    way.change(schema.conversations, state="pending", assignee="bo", waiting_since=None, rank_at=None)
    way.take(way.ann("I am out of office. Unsubscribe", automatic=True))
    assert (way.conversation().state, way.conversation().waiting_since) == ("pending", None)
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now)
    way.take(way.ann("still out of office", automatic=True))
    assert way.conversation().state == "closed"
    assert way.count(schema.interactions, schema.interactions.c.conversation_id == way.conversation().id) == 3
    assert way.count(schema.consents) == 0


@on_postgresql
def test_a_second_message_is_still_first_contact(store: Store) -> None:
    files = FILES | {
        "routing.yaml": "rules:\n  - name: newcomers\n    when: {contact: first}\n    then: {queue: support}\n"
        "  - name: known\n    when: {contact: returning}\n    then: {queue: billing}\ndefault: {queue: general}\n"
    }
    way = WayIn(store, files)
    way.take(way.ann("hello"))
    way.pass_(minutes=1)
    way.take(way.ann("anybody there?"))
    assert way.conversation().queue == "support"
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now)
    way.pass_(days=1)
    way.take(way.ann("it is me again"))
    assert [row.queue for row in way.rows(schema.conversations)] == ["support", "billing"]


# --------------------------------------------------------------------------------------------- what is remembered


@each(
    "sent, at",
    [
        (NOON - timedelta(seconds=3), NOON - timedelta(seconds=3)),
        (NOON - timedelta(hours=23), NOON - timedelta(hours=23)),
        (NOON - timedelta(hours=25), NOON),
        (NOON + timedelta(seconds=1), NOON),
        (datetime(1970, 1, 1, tzinfo=UTC), NOON),
        (datetime(2050, 1, 1, tzinfo=UTC), NOON),
        (None, NOON),
    ],
)
def test_the_timeline_believes_a_provider_within_the_day_before(sent: datetime | None, at: datetime) -> None:
    from hub.clock import from_us, to_us

    assert from_us(timeline(sent, to_us(NOON))) == at


def test_who_is_known_and_writes_again_costs_no_write_to_their_address(way: WayIn) -> None:
    way.take(way.ann())
    before = way.one(schema.identities)
    way.pass_(days=3)
    way.take(way.ann("it is me again"))
    assert way.one(schema.identities) == before


@on_sqlite
def test_an_address_is_looked_up_once_a_batch(way: WayIn, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    ask = batch_sqlite._ask

    def spy(driver: Any, question: str, pairs: Any) -> Any:
        if question == batch_sqlite._IDENTITIES:
            asked.extend(pairs)
        return ask(driver, question, pairs)

    monkeypatch.setattr(batch_sqlite, "_ask", spy)
    way.take(way.ann("one"), way.ann("two"), way.ann("three", sender="webchat:eve"))
    assert len(asked) == len(set(asked)) == 2


@on_sqlite
def test_an_edge_whose_clock_runs_ahead_gains_nothing(way: WayIn) -> None:
    way.take(way.ann(received_at=NOON + HOUR, sent_at=NOON + HOUR))
    assert way.conversation().waiting_since == NOON
    assert way.one(schema.interactions).at == NOON


def test_everything_that_was_said_is_kept(way: WayIn) -> None:
    file = Attachment(sha256="a" * 64, content_type="image/png", size_bytes=9, name="cat.png")
    way.take(
        way.ann(
            "a\x00b", subject="S", form="letter", in_reply_to="m0", attachments=(file, file), language="de",
            fields=(("name", "Ann"), ("age", "7")), blob="b" * 64,
        )
    )  # fmt: skip
    said = way.one(schema.interactions)
    assert (said.text, said.subject, said.form, said.in_reply_to, said.blob) == (
        "a\ufffdb",
        "S",
        "letter",
        "m0",
        "b" * 64,
    )
    assert json.loads(said.extra) == {"fields": [["name", "Ann"], ["age", "7"]], "language": "de"}
    files = way.rows(schema.interaction_attachments)
    assert [(row.position, row.name, row.size_bytes) for row in files] == [
        (0, "cat.png", 9),
        (1, "cat.png", 9),
    ]
    assert said.attachments == 2
    assert way.conversation().subject == "S"


@on_postgresql
def test_a_decision_can_be_read_again(way: WayIn) -> None:
    way.take(way.ann("urgent refund"))
    decision = way.one(schema.decisions)
    assert (decision.rule, decision.config_hash) == ("money", way.config.hash)
    assert decision.id == way.conversation().decision_id
    facts, outcome = json.loads(decision.facts), json.loads(decision.outcome)
    assert facts["channel"] == "webchat"
    assert "urgent refund" not in decision.facts
    assert outcome == {  # what is empty, here the skills, is left out
        "queue": "billing", "priority": "high", "head_start_s": 600.0, "tags": ["urgent"], "adjusted_by": ["hurry"],
    }  # fmt: skip
    assert decision.interaction_id == way.one(schema.interactions).id


@on_sqlite
def test_a_router_that_is_an_hour_behind_puts_nothing_before_what_was_said_earlier(way: WayIn) -> None:
    way.take(way.ann("first"))
    way.pass_(minutes=1)
    second = way.ann("second")
    way.pass_(minutes=-61)
    way.take(second)
    rows = sorted(way.rows(schema.interactions), key=lambda row: row.at)
    assert [row.text for row in rows] == ["first", "second"]
    assert rows[1].at <= second.received_at


@on_postgresql
def test_stop_is_kept_by_address(way: WayIn) -> None:
    way.take(way.ann("STOP", sender="tel:+15551234567"))
    consent = way.one(schema.consents)
    assert (consent.urn, consent.granted, consent.by, consent.wording) == (
        "tel:+15551234567",
        False,
        "customer",
        "STOP",
    )
    way.pass_(minutes=1)
    way.take(way.ann("START", sender="tel:+15551234567"))
    assert way.one(schema.consents).granted
    assert way.count(schema.consent_changes) == 2


@on_sqlite
def test_who_sits_at_the_page_and_writes_cancel_can_still_be_answered(way: WayIn) -> None:
    way.take(way.ann("cancel"))
    assert way.count(schema.consents) == 0


# ---------------------------------------------------------------------------------------------------------- calls


@on_postgresql
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
def test_a_call_is_one_interaction_in_whatever_order_its_events_come(way: WayIn, together: bool) -> None:
    events = [
        call(way.now, CallState.COMPLETED, duration_s=31.0),
        call(way.now, CallState.RINGING),
        call(way.now, CallState.VOICEMAIL, text="my invoice please"),
        call(way.now, CallState.ANSWERED),
    ]
    for some in [events] if together else [[event] for event in events]:
        way.take(*some)
    said = way.one(schema.interactions)
    assert (said.form, said.text, said.external_id) == ("call", "my invoice please", "call-1")
    assert json.loads(said.extra) == {"call": {"state": "voicemail", "duration_s": 31.0}}
    assert way.conversation().queue == "billing"
    assert way.outcomes() == ["stored"] * 4


@on_sqlite
def test_a_call_in_an_older_matter_does_not_bring_that_one_back(way: WayIn) -> None:
    """Of a customer's closed conversations a word continues the last one, whatever else the batch speaks of."""
    way.take(call(way.now, CallState.RINGING))
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now - timedelta(days=30))
    way.take(call(way.now, CallState.RINGING, external_id="call-2"))
    older, newer = way.rows(schema.conversations)
    assert older.home == newer.home
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now)
    way.take(
        call(way.now, CallState.COMPLETED),
        call(way.now, CallState.RINGING, external_id="call-3"),
    )
    states = {row.id: row.state for row in way.rows(schema.conversations)}
    assert states == {older.id: "closed", newer.id: "waiting"}


@on_postgresql
def test_a_late_word_on_a_call_does_not_reopen(way: WayIn) -> None:
    way.take(call(way.now, CallState.RINGING))
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now)
    way.take(call(way.now, CallState.COMPLETED))
    assert way.conversation().state == "closed"


def batches_of(size: int) -> Callable[[list[Any]], list[list[Any]]]:
    return lambda events: [events[i : i + size] for i in range(0, len(events), size)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_batch_comes_to_the_same_as_its_messages_one_by_one(way: WayIn, size: int) -> None:
    """No answer hangs on where the stream happened to be cut."""
    events = [
        way.ann("hello", received_at=NOON - timedelta(minutes=9)),
        way.ann(
            "hi",
            sender="webchat:bob",
            claims=("mailto:bob@example.com",),
            received_at=NOON - timedelta(minutes=8),
        ),
        way.ann("it is broken", received_at=NOON - timedelta(minutes=7)),
        way.ann("by mail", sender="mailto:bob@example.com", received_at=NOON - timedelta(minutes=6)),
        way.ann("invoice", sender="webchat:bob", received_at=NOON - timedelta(minutes=5)),
        way.ann("counter", account="webchat/desk", received_at=NOON - timedelta(minutes=4)),
    ]
    for some in batches_of(size)(events):
        way.take(*some)
    found = [
        (row.queue, row.priority, row.waiting_since, row.rank_at, row.account, row.state)
        for row in way.rows(schema.conversations)
    ]
    nine, eight, six, four = (NOON - timedelta(minutes=n) for n in (9, 8, 6, 4))
    assert found == [
        ("support", "urgent", nine, nine - HOUR, "webchat/main", "waiting"),
        ("billing", "normal", eight, eight, "webchat/main", "waiting"),
        ("general", "normal", six, six, "webchat/main", "waiting"),  # Bob's address was only claimed
        ("general", "normal", four, four, "webchat/desk", "waiting"),
    ]
    assert way.count(schema.customers) == 3
    assert way.count(schema.merge_proposals) == 1
    assert way.count(schema.decisions) == 6
