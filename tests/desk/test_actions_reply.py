"""Replies: written with their delivery or not at all, undone, held, sent again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import func, select, update

from crm_store import consents, views
from crm_store.schema import conversation_events, delivery_events, identities, interactions
from crm_store.schema import deliveries as deliveries_table
from hub.errors import Conflict, NotFound, Refused
from hub.model import Attachment, ConsentChanged
from tests.databases import on_postgresql, on_sqlite
from tests.store.people import CONFIG, Office, at_once

FILE = Attachment(sha256="a" * 64, content_type="image/png", size_bytes=1000, name="a.png")


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def act(office: Office) -> Any:
    return office.actions()


@pytest.fixture
def talk(office: Office, act: Any) -> int:
    """Bo has Ann's conversation, and it is a minute old."""
    office.customer("Ann", "webchat:ann", "mailto:ann@example.com", "tel:+15551230001")
    conversation, _ = office.writes("webchat:ann", "hello", external_id="m-1")
    office.later(seconds=30)
    act.claim(conversation, "bo")
    office.later(seconds=30)
    office.told.clear()
    return conversation


def delivery(office: Office, delivery_id: int) -> Any:
    with office.store.read() as tx:
        return tx.execute(select(deliveries_table).where(deliveries_table.c.id == delivery_id)).one()


def written(office: Office) -> tuple[int, int]:
    """How many outbound interactions and deliveries there are."""
    with office.store.read() as tx:
        out = select(func.count()).select_from(interactions).where(interactions.c.direction == "out")
        sends = select(func.count()).select_from(deliveries_table)
        return tx.execute(out).scalar_one(), tx.execute(sends).scalar_one()


@on_sqlite
def test_a_reply_is_one_interaction_and_one_held_delivery(office: Office, act: Any, talk: int) -> None:
    result = act.reply(talk, "bo", "Good morning!", idem_key="k1", then="wait")
    due = office.now + timedelta(seconds=10)
    assert (result.undo_until, result.held_reason, result.new) == (due, None, True)
    sent = delivery(office, result.delivery_id)
    assert (sent.state, sent.code, sent.due_at, sent.to_urn) == ("held", None, due, "webchat:ann")
    assert (sent.account, sent.by) == ("webchat/main", "agent:bo")
    row = office.row(talk)
    assert (row.state, row.waiting_since, row.first_answer_at, row.assignee) == (
        "pending",
        None,
        office.now,
        "bo",
    )
    with office.store.read() as tx:
        entry = views.conversation(tx, talk).history.entries[-1]
        kept = tx.execute(select(interactions).where(interactions.c.id == entry.id)).one()
    assert (entry.direction, entry.text, entry.sender_name) == ("out", "Good morning!", "Bo")
    assert entry.delivery is not None
    assert entry.delivery.state == "held"
    assert kept.in_reply_to == "m-1"
    assert office.woken == ["workers.deliver.job"]
    assert ("delivery", {"delivery": result.delivery_id, "conversation": talk}) in office.told


@on_postgresql
def test_the_first_answer_counts_once(office: Office, act: Any, talk: int) -> None:
    act.reply(talk, "bo", "one", idem_key="k1")
    first = office.now
    office.later(minutes=1)
    act.reply(talk, "bo", "two", idem_key="k2")
    assert office.row(talk).first_answer_at == first
    assert office.row(talk).state == "open"


def test_a_double_click_is_one_reply(office: Office, act: Any, talk: int) -> None:
    results = at_once(8, lambda _: act.reply(talk, "bo", "hi", idem_key="k" * 500))
    assert len({result.delivery_id for result in results}) == 1, results
    assert sum(result.new for result in results) == 1
    assert written(office) == (1, 1)
    again = act.reply(talk, "bo", "hi", idem_key="k" * 500)
    assert (again.new, again.undo_until) == (False, office.now + timedelta(seconds=10))
    with pytest.raises(Refused, match="key"):
        act.reply(talk, "bo", "hi", idem_key="")


@on_sqlite
def test_the_same_key_elsewhere_is_another_reply(office: Office, act: Any, talk: int) -> None:
    office.customer("Bea", "webchat:bea")
    other, _ = office.writes("webchat:bea", "hi")
    act.claim(other, "bo")
    one = act.reply(talk, "bo", "hi Ann", idem_key="k")
    two = act.reply(other, "bo", "hi Bea", idem_key="k")
    assert one.delivery_id != two.delivery_id


@on_postgresql
def test_only_who_has_it_or_a_lead_answers(office: Office, act: Any, talk: int) -> None:
    with pytest.raises(Refused, match="#1001 is with Bo"):
        act.reply(talk, "cy", "hi", idem_key="k1")
    office.customer("Bea", "webchat:bea")
    waiting, _ = office.writes("webchat:bea", "hi")
    with pytest.raises(Refused, match="Claim #1002 first"):
        act.reply(waiting, "bo", "hi", idem_key="k2")
    assert written(office) == (0, 0)
    act.reply(talk, "lea", "hi", idem_key="k3")
    assert office.row(talk).assignee == "bo", "a lead helps out"
    act.reply(waiting, "lea", "hi", idem_key="k4")
    assert office.row(waiting).assignee == "lea", "answering what nobody has is claiming it"
    act.close(talk, "bo")
    with pytest.raises(Refused, match="closed"):
        act.reply(talk, "bo", "hi", idem_key="k5")
    with pytest.raises(NotFound):
        act.reply(1, "bo", "hi", idem_key="k6")


def test_what_the_channel_does_not_take_is_refused(office: Office, act: Any, talk: int) -> None:
    for text, files, why in (
        ("", (), "The reply is empty"),
        (" \n", (), "The reply is empty"),
        ("x" * 101, (), "101 characters; Chat takes 100 at most"),
        ("hi", (FILE, FILE), "2 attachments; Chat takes 1 at most"),
        ("hi", (structs.replace(FILE, size_bytes=1001),), "larger"),
        ("hi", (structs.replace(FILE, size_bytes=0),), "empty"),
        ("hi", (structs.replace(FILE, sha256="abc"),), "cannot be sent"),
        ("\udc00", (), "half a character"),
    ):
        with pytest.raises(Refused, match=why):
            act.reply(talk, "bo", text, attachments=files, idem_key="k1")
    with pytest.raises(Refused, match="left, waits"):
        act.reply(talk, "bo", "hi", idem_key="k1", then="burn")
    assert written(office) == (0, 0)
    act.reply(talk, "bo", "x" * 100, attachments=(FILE,), idem_key="k1")
    with office.store.read() as tx:
        [file] = views.conversation(tx, talk).history.entries[-1].attachments
    assert (file.sha256, file.name, file.size_bytes, file.content_type) == (
        "a" * 64,
        "a.png",
        1000,
        "image/png",
    )


@on_sqlite
def test_where_it_may_go(office: Office, act: Any, talk: int) -> None:
    office.customer("Eve", "mailto:eve@example.com")
    for account, to, why in (
        ("mail/main", "mailto:eve@example.com", "not one of this customer's"),
        ("mail/other", "mailto:ann@example.com", "another brand's"),
        ("fax/main", None, "There is no account 'fax/main'"),
        ("mail/main", "webchat:ann", "never written to Mail"),
        ("window/main", "tel:+15551230001", "only within 24 hours"),
    ):
        with pytest.raises(Refused, match=why):
            act.reply(talk, "bo", "hi", idem_key="k1", account=account, to=to)
    assert written(office) == (0, 0)
    result = act.reply(
        talk, "bo", "x" * 5000, idem_key="k1", account="mail/main", to="mailto:ann@example.com"
    )
    assert delivery(office, result.delivery_id).to_urn == "mailto:ann@example.com"


@on_postgresql
def test_a_window_opens_with_the_customers_word(office: Office, act: Any, talk: int) -> None:
    office.writes("tel:+15551230001", "hi", account="window/main", conversation=talk)
    office.later(hours=24)
    act.reply(talk, "bo", "just in time", idem_key="k1")
    office.later(seconds=1)
    with pytest.raises(Refused, match="only within 24 hours of the customer's last message"):
        act.reply(talk, "bo", "too late", idem_key="k2")


@on_sqlite
def test_an_opted_out_or_dead_address_is_not_written_to(office: Office, act: Any, talk: int) -> None:
    def says(granted: bool) -> None:
        change = ConsentChanged(
            account="webchat/main",
            event_key=str(office.now),
            received_at=office.now,
            urn="webchat:ann",
            granted=granted,
        )
        with office.store.begin() as tx:
            consents.apply(tx, office.ids, [change], lambda _: "acme", "customer", office.now)

    says(False)
    with pytest.raises(Refused, match="has opted out"):
        act.reply(talk, "bo", "hi", idem_key="k1")
    assert written(office) == (0, 0)
    office.later(seconds=1)
    says(True)
    act.reply(talk, "bo", "hi", idem_key="k1")
    with office.store.begin() as tx:
        tx.execute(update(identities).where(identities.c.urn == "webchat:ann").values(trouble="dead"))
    with pytest.raises(Refused, match="does not exist any more"):
        act.reply(talk, "bo", "hi", idem_key="k2")


# --------------------------------------------------------------------------------------------------------------- undo


@on_postgresql
def test_an_undone_reply_leaves_all_as_it_was(office: Office, act: Any, talk: int) -> None:
    before = office.row(talk)
    for then, after in (("leave", "open"), ("wait", "pending"), ("close", "closed")):
        result = act.reply(talk, "bo", "oops", idem_key=then, then=then)
        assert office.row(talk).state == after
        office.later(seconds=1)
        act.undo(result.delivery_id, "bo")
        row = office.row(talk)
        for field in ("state", "slot", "waiting_since", "first_answer_at", "assignee", "closed_at"):
            assert getattr(row, field) == getattr(before, field), (then, field)
        assert delivery(office, result.delivery_id).state == "cancelled"
    with office.store.read() as tx:
        entries = views.conversation(tx, talk).history.entries
        assert [entry.withdrawn for entry in entries] == [False, True, True, True]
        assert [past.text for past in views.history_since(tx, "webchat/main", "webchat:ann", 0)] == ["hello"]


def test_an_undone_reply_leaves_it_with_the_customer_or_asleep(office: Office, act: Any, talk: int) -> None:
    act.reply(talk, "bo", "Which model is it?", idem_key="k1", then="wait")
    for name in ("pending", "snoozed"):
        if name == "snoozed":
            act.snooze(talk, "bo", office.now + timedelta(hours=1))
        before = office.row(talk)
        for then in ("leave", "wait", "close"):
            result = act.reply(talk, "bo", "oops", idem_key=f"{name} {then}", then=then)
            office.later(seconds=1)
            act.undo(result.delivery_id, "bo")
            row = office.row(talk)
            for field in ("state", "slot", "snoozed_until", "waiting_since", "rank_at", "assignee"):
                assert getattr(row, field) == getattr(before, field), (name, then, field)


@on_sqlite
def test_an_undo_too_late_is_told(office: Office, act: Any, talk: int) -> None:
    result = act.reply(talk, "bo", "oops", idem_key="k1", then="wait")
    with pytest.raises(Refused, match="with Bo"):
        act.undo(result.delivery_id, "cy")
    with office.store.begin() as tx:
        tx.execute(update(deliveries_table).values(state="sent"))
    with pytest.raises(Conflict, match="gone out already"):
        act.undo(result.delivery_id, "bo")
    assert office.row(talk).state == "pending"
    with pytest.raises(NotFound):
        act.undo(1, "bo")


@on_postgresql
def test_an_undo_does_not_take_back_what_happened_since(office: Office, act: Any, talk: int) -> None:
    result = act.reply(talk, "bo", "oops", idem_key="k1", then="close")
    office.writes("webchat:ann", "wait!")
    act.undo(result.delivery_id, "bo")
    assert office.row(talk).state == "closed", "she goes on in another one by now"
    assert delivery(office, result.delivery_id).state == "cancelled"


def test_an_undo_gives_the_place_in_the_queue_back_too(office: Office, act: Any, talk: int) -> None:
    since = office.row(talk).waiting_since
    result = act.reply(talk, "bo", "oops", idem_key="k1")
    office.later(seconds=2)
    act.transfer(talk, "bo", "billing", "theirs")
    office.later(seconds=2)
    act.undo(result.delivery_id, "bo")
    row = office.row(talk)
    assert (row.state, row.waiting_since, row.rank_at) == ("waiting", since, since)


@on_postgresql
def test_an_undo_leaves_nobody_waiting_where_another_reply_goes_out(
    office: Office, act: Any, talk: int
) -> None:
    wrong = act.reply(talk, "bo", "oops", idem_key="k1")
    office.later(seconds=1)
    right = act.reply(talk, "bo", "here it is", idem_key="k2")
    act.undo(wrong.delivery_id, "bo")
    assert office.row(talk).waiting_since is None
    act.undo(right.delivery_id, "bo")


def test_the_first_answer_is_the_first_that_was_not_undone(office: Office, act: Any, talk: int) -> None:
    one = act.reply(talk, "bo", "oops", idem_key="k1")
    office.later(seconds=2)
    two = act.reply(talk, "bo", "Good morning!", idem_key="k2")
    second = office.now
    office.later(seconds=2)
    act.undo(one.delivery_id, "bo")
    assert office.row(talk).first_answer_at == second
    act.undo(two.delivery_id, "bo")
    assert office.row(talk).first_answer_at is None


def test_undo_and_the_sender_race_and_one_wins(office: Office, act: Any, talk: int) -> None:
    def send(delivery_id: int) -> int:
        with office.store.begin() as tx:
            held = (deliveries_table.c.id == delivery_id) & (deliveries_table.c.state == "held")
            return tx.execute(update(deliveries_table).where(held).values(state="sending")).rowcount

    def undo(delivery_id: int) -> int:
        try:
            act.undo(delivery_id, "bo")
        except Conflict:
            return 0
        return 1

    for turn in range(5):
        made = act.reply(talk, "bo", "now or never", idem_key=str(turn)).delivery_id
        results = at_once(2, lambda n, made=made: (send, undo)[n](made))  # type: ignore[misc]
        assert sum(results) == 1


# ---------------------------------------------------------------------------------------- the customer wrote meanwhile


def test_a_reply_to_what_was_not_seen_waits_for_its_writer(office: Office, act: Any, talk: int) -> None:
    seen = office.row(talk).last_inbound_id
    office.writes("webchat:ann", "never mind!", conversation=talk)
    result = act.reply(
        talk, "bo", "we will", idem_key="k1", seen_inbound=seen, then="close", disposition="done"
    )
    assert result.undo_until is None
    assert "customer wrote" in result.held_reason
    held = delivery(office, result.delivery_id)
    assert (held.state, held.code) == ("held", "customer_wrote")
    assert held.due_at > office.now + timedelta(days=365)
    row = office.row(talk)
    assert (row.state, row.first_answer_at) == ("open", None), "nothing was answered yet"
    assert row.waiting_since is not None
    with office.store.read() as tx:
        assert [one.code for one in views.failed_sends(tx, "bo", now=office.now)] == ["customer_wrote"]
        shown = views.conversation(tx, talk).history.entries[-1].delivery
        assert shown is not None
        assert shown.asks
    assert act.reply(talk, "bo", "we will", idem_key="k1").held_reason == result.held_reason

    with pytest.raises(Refused, match="with Bo"):
        act.confirm(result.delivery_id, "cy")
    act.confirm(result.delivery_id, "bo")
    sent = delivery(office, result.delivery_id)
    assert (sent.state, sent.code, sent.due_at) == ("queued", None, office.now)
    row = office.row(talk)
    assert (row.state, row.disposition, row.first_answer_at) == ("closed", "done", office.now)
    with pytest.raises(Conflict, match="does not wait"):
        act.confirm(result.delivery_id, "bo")


@on_sqlite
def test_or_is_taken_back(office: Office, act: Any, talk: int) -> None:
    seen = office.row(talk).last_inbound_id
    office.writes("webchat:ann", "never mind!", conversation=talk)
    result = act.reply(talk, "bo", "we will", idem_key="k1", seen_inbound=seen, then="wait")
    before = office.row(talk)
    act.undo(result.delivery_id, "bo")
    row = office.row(talk)
    assert (row.state, row.waiting_since) == (before.state, before.waiting_since)
    with pytest.raises(Conflict):
        act.confirm(result.delivery_id, "bo")


def test_one_that_was_confirmed_is_undone_like_any_other(office: Office, act: Any, talk: int) -> None:
    seen = office.row(talk).last_inbound_id
    office.writes("webchat:ann", "never mind!", conversation=talk)
    before = office.row(talk)
    result = act.reply(talk, "bo", "we will", idem_key="k1", seen_inbound=seen)
    office.later(seconds=5)
    act.confirm(result.delivery_id, "bo")
    act.undo(result.delivery_id, "bo")
    row = office.row(talk)
    assert (row.waiting_since, row.first_answer_at) == (before.waiting_since, None)


@on_postgresql
def test_who_saw_the_newest_is_not_asked(office: Office, act: Any, talk: int) -> None:
    seen = office.row(talk).last_inbound_id
    assert act.reply(talk, "bo", "hi", idem_key="k1", seen_inbound=seen).held_reason is None
    with office.store.read() as tx:
        what = select(conversation_events.c.what).order_by(conversation_events.c.id)
        assert list(tx.execute(what).scalars()) == ["claimed", "answered"]


# ---------------------------------------------------------------------------------------------------- after it went out


@on_sqlite
def test_a_failed_reply_is_tried_again(office: Office, act: Any, talk: int) -> None:
    result = act.reply(talk, "bo", "hi", idem_key="k1")
    with pytest.raises(Conflict, match="Only a reply that failed"):
        act.retry(result.delivery_id, "bo")
    with office.store.begin() as tx:
        tx.execute(update(deliveries_table).values(state="failed", code="rejected", updated_at=office.now))
    with office.store.read() as tx:
        assert [(one.number, one.state) for one in views.failed_sends(tx, "bo", now=office.now)] == [
            (1001, "failed")
        ]
        assert views.failed_sends(tx, "cy", now=office.now) == []
        assert views.card(tx, talk).failed == 1
    office.woken.clear()
    act.retry(result.delivery_id, "bo")
    assert delivery(office, result.delivery_id).state == "queued"
    assert office.woken == ["workers.deliver.job"]


@on_postgresql
def test_an_unknown_one_is_settled_by_a_person(office: Office, act: Any, talk: int) -> None:
    for how, state in (("sent", "sent"), ("again", "queued"), ("give up", "failed")):
        result = act.reply(talk, "bo", "hi", idem_key=how)
        with pytest.raises(Conflict, match="known by now"):
            act.resolve_unknown(result.delivery_id, "bo", how)
        with office.store.begin() as tx:
            tx.execute(
                update(deliveries_table)
                .where(deliveries_table.c.id == result.delivery_id)
                .values(state="unknown", updated_at=office.now)
            )
        with pytest.raises(Refused, match="counts as sent"):
            act.resolve_unknown(result.delivery_id, "bo", "maybe")
        act.resolve_unknown(result.delivery_id, "bo", how)
        assert delivery(office, result.delivery_id).state == state


def test_a_reply_without_undo_goes_at_once(office: Office, talk: int) -> None:
    result = office.actions(undo_s=0.0).reply(talk, "bo", "hi", idem_key="k1")
    assert (result.undo_until, delivery(office, result.delivery_id).due_at) == (None, office.now)


@on_sqlite
def test_an_account_taken_out_of_service_sends_nothing(office: Office, talk: int) -> None:
    off = replace(CONFIG.accounts["webchat/main"], enabled=False)
    config = replace(CONFIG, accounts={**CONFIG.accounts, "webchat/main": off})
    with pytest.raises(Refused, match="no account 'webchat/main'"):
        office.actions(config=config).reply(talk, "bo", "hi", idem_key="k1")


@on_postgresql
def test_every_step_of_a_delivery_is_kept(office: Office, act: Any, talk: int) -> None:
    result = act.reply(talk, "bo", "hi", idem_key="k1")
    act.undo(result.delivery_id, "bo")
    with office.store.read() as tx:
        query = select(delivery_events.c.state).where(delivery_events.c.delivery_id == result.delivery_id)
        assert list(tx.execute(query.order_by(delivery_events.c.id)).scalars()) == ["held", "cancelled"]
