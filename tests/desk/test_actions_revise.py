"""Replies changed and taken back by who wrote them: before they go out, on their way, and after."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from crm_store import timeline
from crm_store.schema import deliveries as deliveries_table
from crm_store.schema import interaction_changes, revisions
from hub.errors import Conflict, Refused, StillSeen
from tests.databases import on_postgresql, on_sqlite
from tests.store.people import LIMITS, Office, at_once


@pytest.fixture
def office(store: Any, monkeypatch: pytest.MonkeyPatch) -> Office:
    can = replace(LIMITS["webchat"], edits=True, deletes=True, deletes_s=48 * 3600.0)
    monkeypatch.setitem(LIMITS, "webchat", can)
    return Office(store)


@pytest.fixture
def act(office: Office) -> Any:
    return office.actions()


@pytest.fixture
def talk(office: Office, act: Any) -> int:
    """Bo has Ann's conversation, and it is a minute old."""
    office.customer("Ann", "webchat:ann", "mailto:ann@example.com")
    conversation, _ = office.writes("webchat:ann", "hello", external_id="m-1")
    office.later(seconds=30)
    act.claim(conversation, "bo")
    office.later(seconds=30)
    return conversation


@pytest.fixture
def said(act: Any, talk: int) -> int:
    """Bo's reply; its delivery."""
    return int(act.reply(talk, "bo", "It ships on Friday", idem_key="k").delivery_id)


def becomes(office: Office, delivery: int, state: str, **values: Any) -> None:
    """What the sender would have noted."""
    if state == "sent":
        values.setdefault("sent_at", office.now)
    d = deliveries_table
    office.store.run(lambda tx: tx.execute(update(d).where(d.c.id == delivery).values(state=state, **values)))


def row(office: Office, delivery: int) -> Any:
    with office.store.read() as tx:
        return tx.execute(select(deliveries_table).where(deliveries_table.c.id == delivery)).one()


def entry(office: Office, delivery: int) -> timeline.Entry:
    with office.store.read() as tx:
        return timeline.entries(tx, [row(office, delivery).interaction_id])[0]


def asked(office: Office) -> list[tuple[int, str, str, str]]:
    with office.store.read() as tx:
        r = revisions.c
        return [tuple(x) for x in tx.execute(select(r.number, r.change, r.text, r.state).order_by(r.number))]


@on_sqlite
def test_what_is_held_is_changed_where_it_waits(office: Office, act: Any, said: int) -> None:
    office.later(seconds=6)
    done = act.revise(said, "bo", "It ships on Monday", "e1")
    assert (done.how, done.undo_until) == ("before", office.now + timedelta(seconds=10))
    shown = entry(office, said)
    assert (shown.text, shown.first_text) == ("It ships on Monday", None), "nobody saw the first words"
    assert asked(office) == []
    with office.store.read() as tx:
        x = interaction_changes.c
        assert tx.execute(select(x.change, x.text)).all() == [("draft", "It ships on Friday")], "kept"
    assert act.revise(said, "bo", "It ships on Monday", "e1").how == "nothing"


@on_postgresql
def test_a_sender_that_has_it_in_hand_loses_it(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "queued", lease_owner="worker", lease_until=office.now + timedelta(seconds=50))
    act.revise(said, "bo", "It ships on Monday", "e1")
    assert row(office, said).lease_owner is None


@on_sqlite
def test_what_went_out_is_changed_at_the_customers(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "delivered", sent_at=office.now)
    office.woken.clear()
    done = act.revise(said, "bo", "It ships on Monday", "e1")
    assert (done.how, done.new) == ("after", True)
    assert office.woken, "the sender is woken"
    again = act.revise(said, "bo", "It ships on Monday", "e1")
    assert (again.revision_id, again.new) == (done.revision_id, False)
    shown = entry(office, said)
    assert shown.text == "It ships on Friday", "what the customer still sees"
    assert [(r.number, r.text, r.state) for r in shown.revisions] == [(1, "It ships on Monday", "queued")]
    assert timeline.to_be(shown) == "It ships on Monday"


def test_a_later_change_takes_the_place_of_one_that_was_not_begun(
    office: Office, act: Any, said: int
) -> None:
    becomes(office, said, "sent")
    act.revise(said, "bo", "It ships on Monday", "e1")
    act.revise(said, "bo", "It ships on Tuesday", "e2")
    act.withdraw(said, "bo")
    assert asked(office) == [
        (1, "edit", "It ships on Monday", "dropped"),
        (2, "edit", "It ships on Tuesday", "dropped"),
        (3, "delete", "", "queued"),
    ]
    with pytest.raises(Conflict, match="taken back"):
        act.revise(said, "bo", "It never ships", "e3")
    assert act.withdraw(said, "bo").new is False


def test_eight_changes_with_one_key_at_once_are_one(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "sent")
    done = at_once(8, lambda _: act.revise(said, "bo", "It ships on Monday", "e1"))
    assert len({one.revision_id for one in done}) == 1, done
    assert sum(one.new for one in done) == 1


@on_postgresql
def test_a_channel_that_cannot_says_what_the_customer_sees(
    office: Office, act: Any, talk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.writes("mailto:ann@example.com", "and by mail", account="mail/main", conversation=talk)
    said = act.reply(talk, "bo", "By mail", idem_key="k").delivery_id
    assert act.revise(said, "bo", "By mail, before it went", "e0").how == "before"
    becomes(office, said, "sent")
    with pytest.raises(StillSeen, match=r"Mail cannot change .* still sees the first text"):
        act.revise(said, "bo", "By mail, too late", "e1")
    with pytest.raises(StillSeen, match=r"Mail cannot take back .* still sees it"):
        act.withdraw(said, "bo")
    can = act.revisable(entry(office, said).delivery)
    assert (can.edit, can.delete) == (False, False)
    assert asked(office) == []


@on_sqlite
def test_a_channels_time_for_taking_back_is_kept(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "read", sent_at=office.now)
    office.later(hours=49)
    with pytest.raises(StillSeen, match="only within 48 hours"):
        act.withdraw(said, "bo")
    can = act.revisable(entry(office, said).delivery)
    assert (can.edit, can.delete) == (True, False)
    assert act.revise(said, "bo", "It ships on Monday", "e1").how == "after"


@on_postgresql
def test_taking_back_before_it_goes_is_an_undo(office: Office, act: Any, talk: int, said: int) -> None:
    assert act.withdraw(said, "bo").how == "before"
    assert row(office, said).state == "cancelled"
    assert office.row(talk).waiting_since is not None
    assert act.withdraw(said, "bo").how == "nothing"


@on_sqlite
def test_what_was_not_sent_is_not_changed(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "failed", code="rejected")
    changes: tuple[Callable[[], Any], ...] = (
        lambda: act.revise(said, "bo", "other", "e1"),
        lambda: act.withdraw(said, "bo"),
    )
    for change in changes:
        with pytest.raises(Refused, match="was not sent"):
            change()


@on_postgresql
def test_only_who_wrote_it_who_has_the_conversation_or_a_lead(office: Office, act: Any, said: int) -> None:
    becomes(office, said, "sent")
    with pytest.raises(Refused, match="with Bo"):
        act.revise(said, "cy", "mine", "e1")
    with pytest.raises(Refused, match="takes 100 at most"):
        act.revise(said, "bo", "x" * 101, "e2")
    with pytest.raises(Refused, match="empty"):
        act.revise(said, "bo", " ", "e3")
    assert act.revise(said, "lea", "The lead's words", "e4").new


def test_a_failed_reply_that_was_changed_goes_out_again_with_its_new_words(
    office: Office, act: Any, said: int
) -> None:
    becomes(office, said, "sent")
    shown = entry(office, said)
    with office.store.begin() as tx:
        from crm_store import revisions as store_revisions

        store_revisions.note_change(
            tx,
            office.ids,
            shown.id,
            shown.account,
            "edit",
            "It ships on Monday",
            by="agent:bo",
            at=office.now,
        )
    becomes(office, said, "failed", code="rejected")
    act.retry(said, "bo")
    with office.store.read() as tx:
        from crm_store import outbox

        assert outbox.load(tx, [said])[0].text == "It ships on Monday"
