"""Notes: kept once, changed and removed by who wrote them, sent on as a reply and never shown twice."""

from typing import Any

import pytest
from sqlalchemy import select

from crm_store import timeline
from crm_store.schema import deliveries as deliveries_table
from crm_store.schema import interactions
from hub.errors import Conflict, NotFound, Refused
from tests.databases import on_postgresql, on_sqlite
from tests.store.people import Office, at_once


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def act(office: Office) -> Any:
    return office.actions()


@pytest.fixture
def talk(office: Office, act: Any) -> int:
    """Bo has Ann's conversation, and it is a minute old."""
    office.customer("Ann", "webchat:ann")
    conversation, _ = office.writes("webchat:ann", "hello", external_id="m-1")
    office.later(seconds=30)
    act.claim(conversation, "bo")
    office.later(seconds=30)
    office.told.clear()
    return conversation


def history(office: Office, talk: int) -> list[tuple[str, str]]:
    with office.store.read() as tx:
        entries, _ = timeline.page(tx, conversation_id=talk)
    return [(entry.direction, entry.text) for entry in entries]


def entry(office: Office, interaction_id: int) -> timeline.Entry:
    with office.store.read() as tx:
        return timeline.entries(tx, [interaction_id])[0]


@on_sqlite
def test_a_note_that_is_said_twice_is_one_note(office: Office, act: Any, talk: int) -> None:
    first = act.note(talk, "bo", "she is cross", idem_key="slack:C1:17.1")
    office.told.clear()
    assert act.note(talk, "bo", "she is cross", idem_key="slack:C1:17.1") == first
    assert not office.told, "nothing changed, so nobody is told"
    assert act.note(talk, "bo", "she is cross") != first, "without a key each is a note of its own"
    assert act.note(talk, "cy", "she is cross", idem_key="slack:C1:17.1") != first, "another agent's key"


def test_a_note_said_by_four_at_the_same_moment_is_one(office: Office, act: Any, talk: int) -> None:
    made = at_once(4, lambda _: act.note(talk, "bo", "she is cross", idem_key="k"))
    assert len(set(made)) == 1, made
    assert history(office, talk) == [("in", "hello"), ("note", "she is cross")]


@on_postgresql
def test_a_note_becomes_a_reply_and_is_not_shown_twice(office: Office, act: Any, talk: int) -> None:
    note = act.note(talk, "bo", "It ships today")
    result = act.send_note(note, "bo", "slack:C1:17.1", then="wait")
    assert (result.new, result.held_reason) == (True, None)
    assert history(office, talk) == [("in", "hello"), ("out", "It ships today")]
    assert entry(office, note).sent_as == result.interaction_id
    assert office.row(talk).state == "pending"
    again = act.send_note(note, "bo", "slack:C1:17.1", then="wait")
    assert (again.new, again.delivery_id) == (False, result.delivery_id)
    with pytest.raises(Conflict, match="has been sent"):
        act.send_note(note, "lea", "slack:C1:17.1")
    with pytest.raises(Refused, match="has become a reply"):
        act.edit_note(note, "bo", "It ships tomorrow")
    with pytest.raises(Refused, match="has become a reply"):
        act.remove_note(note, "bo")


def test_a_note_that_four_send_at_once_is_one_reply(office: Office, act: Any, talk: int) -> None:
    note = act.note(talk, "bo", "It ships today")
    done = at_once(4, lambda number: act.send_note(note, "bo", f"k{number}"))
    assert len([result for result in done if not isinstance(result, Exception)]) == 1, done
    assert all(isinstance(result, Conflict) for result in done if isinstance(result, Exception)), done
    assert history(office, talk) == [("in", "hello"), ("out", "It ships today")]


@on_sqlite
def test_undoing_its_reply_makes_it_a_note_again(office: Office, act: Any, talk: int) -> None:
    note = act.note(talk, "bo", "It ships today")
    result = act.send_note(note, "bo", "k")
    office.later(seconds=3)
    act.undo(result.delivery_id, "bo")
    assert entry(office, note).sent_as is None
    assert history(office, talk) == [("in", "hello"), ("note", "It ships today"), ("out", "It ships today")]
    assert entry(office, result.interaction_id).withdrawn
    assert office.row(talk).waiting_since is not None
    second = act.send_note(note, "bo", "k2")
    assert second.new
    assert second.delivery_id != result.delivery_id


def test_what_cannot_be_sent_leaves_the_note_a_note(office: Office, act: Any, talk: int) -> None:
    long = act.note(talk, "bo", "x" * 101)
    with pytest.raises(Refused, match="takes 100 at most"):
        act.send_note(long, "bo", "k")
    others = act.note(talk, "cy", "not mine to send")
    with pytest.raises(Refused, match="with Bo"):
        act.send_note(others, "cy", "k")
    act.remove_note(long, "bo")
    with pytest.raises(Refused, match="was removed"):
        act.send_note(long, "bo", "k")
    assert entry(office, others).sent_as is None
    with office.store.read() as tx:
        assert tx.execute(select(deliveries_table.c.id)).all() == []
        seen = tx.execute(select(interactions.c.id).where(interactions.c.direction == "in")).scalar_one()
    with pytest.raises(NotFound):
        act.send_note(seen, "bo", "k")


@on_postgresql
def test_the_customers_word_meanwhile_holds_a_note_that_is_sent(office: Office, act: Any, talk: int) -> None:
    seen = office.row(talk).last_inbound_id
    note = act.note(talk, "bo", "It ships today")
    office.later(seconds=5)
    office.writes("webchat:ann", "cancel it", conversation=talk, external_id="m-2")
    result = act.send_note(note, "bo", "k", seen_inbound=seen)
    assert result.undo_until is None
    assert "wrote while" in result.held_reason


def test_a_note_is_changed_and_its_first_words_stay(office: Office, act: Any, talk: int) -> None:
    note = act.note(talk, "cy", "ship it")
    office.later(seconds=1)
    act.edit_note(note, "cy", "ship it on Monday")
    version = office.row(talk).version
    act.edit_note(note, "cy", "ship it on Monday")
    assert office.row(talk).version == version
    shown = entry(office, note)
    assert (shown.text, shown.first_text, shown.deleted) == ("ship it on Monday", "ship it", False)
    with pytest.raises(Refused, match="Only who wrote"):
        act.edit_note(note, "bo", "mine now")
    act.edit_note(note, "lea", "ship it on Tuesday")
    with pytest.raises(Refused, match="empty"):
        act.edit_note(note, "cy", "  ")
    sent = act.send_note(note, "bo", "k")
    assert entry(office, sent.interaction_id).text == "ship it on Tuesday"


@on_sqlite
def test_a_note_is_removed_once(office: Office, act: Any, talk: int) -> None:
    note = act.note(talk, "cy", "she is rude")
    with pytest.raises(Refused, match="Only who wrote"):
        act.remove_note(note, "bo")
    act.remove_note(note, "cy")
    act.remove_note(note, "cy")
    assert entry(office, note).deleted
    with pytest.raises(Refused, match="was removed"):
        act.edit_note(note, "cy", "she is upset")
