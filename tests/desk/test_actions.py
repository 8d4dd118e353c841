"""What agents do with conversations: each refusal beside its success."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_store import presence, views
from hub.errors import Conflict, NotFound, Refused
from tests.databases import on_postgresql, on_sqlite
from tests.store.people import CONFIG, START, Office, at_once


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def act(office: Office) -> Any:
    return office.actions()


@pytest.fixture
def talk(office: Office) -> int:
    office.customer("Ann", "webchat:ann")
    conversation, _ = office.writes("webchat:ann", "hello")
    office.later(seconds=30)
    return conversation


def test_a_claim_is_for_agents_of_the_queue_and_leads(office: Office, act: Any, talk: int) -> None:
    with pytest.raises(Refused, match="There is no agent 'zed' in the configuration"):
        act.claim(talk, "zed")
    office.customer("Bea", "webchat:bea")
    bill, _ = office.writes("webchat:bea", "my bill", queue="billing")
    with pytest.raises(Refused, match="You are not in the queue billing"):
        act.claim(bill, "bo")
    with pytest.raises(NotFound, match="no such conversation"):
        act.claim(12345, "bo")
    assert office.told == []
    act.claim(talk, "bo")
    act.claim(bill, "lea")
    assert (office.row(talk).assignee, office.row(bill).assignee) == ("bo", "lea")
    assert office.told[:2] == [("conversation", {"conversation": talk}), ("queue", {"queue": "sales"})]
    with pytest.raises(Conflict, match="Bo was faster"):
        act.claim(talk, "cy")


@on_sqlite
def test_two_hundred_clicks_have_one_winner(office: Office, act: Any, talk: int) -> None:
    agents = ["bo", "cy", "lea"]

    def clicks(number: int) -> int:
        won = 0
        for turn in range(10):
            try:
                act.claim(talk, agents[(number + turn) % 3])
                won += 1
            except Conflict:
                continue
        return won

    assert sum(at_once(20, clicks)) == 1


@on_postgresql
def test_next_gives_what_fits_or_nothing(office: Office, act: Any, talk: int) -> None:
    assert act.next("lea") is None, "a lead in no queue is given nothing"
    assert act.next("bo") == talk
    assert act.next("bo") is None
    assert office.row(talk).assignee == "bo"


@on_sqlite
def test_offers(office: Office, act: Any, talk: int) -> None:
    queue = office.row(talk).queue
    with pytest.raises(Refused, match="There is no agent 'zed'"):
        act.transfer(talk, "lea", queue, "hers", "zed")
    act.transfer(talk, "lea", queue, "hers", "cy")
    assert office.row(talk).offer_expires_at == office.now + timedelta(seconds=30), "as its queue has it"
    with pytest.raises(Conflict, match="not offered to you"):
        act.accept(talk, "bo")
    act.decline(talk, "cy")
    act.transfer(talk, "lea", queue, "hers", "cy")
    act.accept(talk, "cy")
    assert (office.row(talk).state, office.row(talk).assignee) == ("open", "cy")


@on_postgresql
def test_giving_back_is_for_who_has_it_or_leads(office: Office, act: Any, talk: int) -> None:
    with pytest.raises(Refused, match="Claim #1001 first"):
        act.release(talk, "bo")
    act.claim(talk, "bo")
    with pytest.raises(Refused, match="#1001 is with Bo; only they or a lead"):
        act.release(talk, "cy")
    act.release(talk, "lea", "Bo went home")
    assert office.row(talk).state == "waiting"


@on_sqlite
def test_a_transfer_needs_a_reason_and_a_queue(office: Office, act: Any, talk: int) -> None:
    act.claim(talk, "bo")
    with pytest.raises(Refused, match="why"):
        act.transfer(talk, "bo", "billing", "  ")
    with pytest.raises(Refused, match="There is no queue 'nowhere'"):
        act.transfer(talk, "bo", "nowhere", "because")
    with pytest.raises(Refused, match="There is no agent"):
        act.transfer(talk, "bo", "billing", "because", to_agent="zed")
    with pytest.raises(Refused, match="with Bo"):
        act.transfer(talk, "cy", "billing", "mine")
    office.told.clear()
    act.transfer(talk, "bo", "billing", "about a bill", to_agent="cy")
    row = office.row(talk)
    assert (row.queue, row.state, row.offered_to, row.waiting_since) == ("billing", "offered", "cy", START)
    assert [ids for kind, ids in office.told if kind == "queue"] == [{"queue": "sales"}, {"queue": "billing"}]


@on_postgresql
def test_snoozing_is_until_a_time_ahead(office: Office, act: Any, talk: int) -> None:
    act.claim(talk, "bo")
    for until in (
        office.now,
        office.now - timedelta(hours=1),
        office.now + timedelta(days=400),
        (office.now + timedelta(hours=1)).replace(tzinfo=None),
    ):
        with pytest.raises(Refused, match="ahead"):
            act.snooze(talk, "bo", until)
    act.snooze(talk, "bo", office.now + timedelta(hours=1))
    assert office.row(talk).state == "snoozed"


@on_sqlite
def test_closing_and_reopening(office: Office, act: Any, talk: int) -> None:
    act.claim(talk, "bo")
    with pytest.raises(Refused, match="80"):
        act.close(talk, "bo", "x" * 81)
    act.close(talk, "bo", "sold", ["vip"])
    with pytest.raises(Conflict, match="closed"):
        act.close(talk, "bo")
    with pytest.raises(Refused, match="closed; reopen it first"):
        act.release(talk, "cy")
    act.reopen(talk, "cy")
    assert (office.row(talk).state, office.row(talk).assignee) == ("open", "cy")


@on_postgresql
def test_tags(office: Office, act: Any, talk: int) -> None:
    assert act.tag(talk, "bo", ["b", " a ", ""], ["x"]) == ("a", "b")
    with pytest.raises(Refused, match="20 tags"):
        act.tag(talk, "bo", [str(n) for n in range(21)])


@on_sqlite
def test_a_note_is_for_colleagues(office: Office, act: Any, talk: int) -> None:
    with pytest.raises(Refused, match="empty"):
        act.note(talk, "bo", " \n")
    with pytest.raises(Refused, match="half a character"):
        act.note(talk, "bo", "\ud83d")
    act.note(talk, "bo", "she is\x00 nice")
    with office.store.read() as tx:
        note = views.conversation(tx, talk).history.entries[-1]
        assert views.history_since(tx, "webchat/main", "webchat:ann", 0)[-1].text == "hello"
    assert (note.direction, note.text, note.sender_name, note.by) == ("note", "she is nice", "Bo", "agent:bo")


@on_postgresql
def test_presence_is_ones_own_or_a_leads(office: Office, act: Any) -> None:
    act.set_presence("bo", "available")
    with pytest.raises(Refused, match="A status is"):
        act.set_presence("bo", "asleep")
    with pytest.raises(Refused, match="past"):
        act.set_presence("bo", "away", office.now)
    with pytest.raises(Refused, match="Only a lead"):
        act.set_presence("bo", "away", by="cy")
    act.set_presence("bo", "away", office.now + timedelta(hours=1), by="lea")
    assert ("presence", {"agent": "bo"}) in office.told
    with office.store.read() as tx:
        assert presence.of(tx, "bo", office.now).status == "away"
        assert presence.of(tx, "bo", office.now + timedelta(hours=1)).status == "available"
        assert presence.of(tx, "cy", office.now).status == "offline"


def test_records_are_merged_changed_and_parted(office: Office, act: Any, talk: int) -> None:
    ann = office.who("webchat:ann").customer_id
    bea = office.customer("Bea", "webchat:bea")
    with pytest.raises(Refused, match="no agent"):
        act.merge(ann, bea, "zed")
    with pytest.raises(Refused, match="Only a lead"):
        act.merge(ann, bea, "bo")
    done = act.merge(ann, bea, "lea", "same person")
    assert act.merge(ann, bea, "lea").new is False
    assert office.who("webchat:bea").customer_id == ann
    with pytest.raises(Refused, match="Only a lead"):
        act.unmerge(done.id, "cy")
    act.unmerge(done.id, "lea")
    with pytest.raises(Conflict):
        act.unmerge(done.id, "lea")
    hers, _ = office.writes("webchat:bea", "hello")
    office.told.clear()
    assert act.change_customer(bea, "bo", tier="gold", tags=["b", "a"], stage="customer").tags == ("a", "b")
    assert office.told == [("conversation", {"conversation": hers})], "whoever looks at it sees the tier"
    for wrong in ({"kind": "robot"}, {"tier": "x" * 41}, {"brand_id": "other"}, {"tags": ["x" * 201]}):
        with pytest.raises(Refused):
            act.change_customer(bea, "bo", **wrong)
    with pytest.raises(NotFound):
        act.change_customer(1, "bo", tier="gold")


@on_sqlite
def test_what_is_reopened_after_its_queue_was_removed_stands_where_somebody_sees_it(
    office: Office, talk: int
) -> None:
    office.actions().transfer(talk, "lea", "billing", "an invoice")
    office.actions().close(talk, "lea")
    queues = {"sales": CONFIG.queues["sales"]}
    office.actions(config=replace(CONFIG, queues=queues)).reopen(talk, "lea")
    assert office.row(talk).queue == "sales"
