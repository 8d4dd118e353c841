from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from crm_store import answers, assignments, conversations, customers, naming, presence, views
from crm_store.schema import assignments as assignments_table
from crm_store.schema import conversation_events, identities
from crm_store.schema import customers as customers_table
from hub.errors import Conflict, NotFound, Refused
from tests.databases import on_postgresql, until_it_waits
from tests.store.people import CONFIG, START, Office, at_once


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def talk(office: Office) -> int:
    office.customer("Ann", "webchat:ann")
    conversation, _ = office.writes("webchat:ann", "hello")
    office.later(seconds=30)
    return conversation


def happened(office: Office, conversation: int) -> list[tuple[str, str, str]]:
    with office.store.read() as tx:
        query = select(conversation_events).where(conversation_events.c.conversation_id == conversation)
        return [(row.what, row.by, row.why) for row in tx.execute(query.order_by(conversation_events.c.id))]


def had(office: Office, conversation: int) -> list[tuple[str, str, str | None]]:
    a = assignments_table.c
    query = select(a.kind, a.agent, a.ended_how).where(a.conversation_id == conversation).order_by(a.id)
    with office.store.read() as tx:
        return [(row.kind, row.agent, row.ended_how) for row in tx.execute(query)]


def test_a_claim_takes_it_and_leaves_its_traces(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    row = office.row(talk)
    assert (row.state, row.assignee, row.rank_at, row.version) == ("open", "bo", None, 2)
    assert row.waiting_since == START, "nobody has answered yet"
    assert happened(office, talk) == [("claimed", "agent:bo", "")]
    assert had(office, talk) == [("claim", "bo", None)]


def test_who_comes_second_hears_who_was_faster(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    with pytest.raises(Conflict, match="Bo was faster: #1001 is with them"):
        office.do(conversations.claim, talk, "cy", name=str.title)
    assert office.row(talk).version == 2
    with pytest.raises(NotFound):
        office.do(conversations.claim, 12345, "cy")


def test_of_fifty_who_claim_at_once_one_wins(office: Office, talk: int) -> None:
    def claim(number: int) -> str:
        office.do(conversations.claim, talk, f"agent{number}")
        return f"agent{number}"

    results = at_once(50, claim)
    winners = [result for result in results if isinstance(result, str)]
    assert len(winners) == 1
    lost = [result for result in results if isinstance(result, Conflict)]
    assert len(lost) == 49, [r for r in results if not isinstance(r, str | Conflict)]
    assert all(str(result) == f"{winners[0]} was faster: #1001 is with them." for result in lost)
    assert office.row(talk).assignee == winners[0]
    assert had(office, talk) == [("claim", winners[0], None)]


def test_an_offer_is_accepted_by_whom_it_is_made_to(office: Office, talk: int) -> None:
    until = office.now + timedelta(seconds=60)
    office.do(conversations.offer, talk, "cy", expires_at=until, by="agent:lea")
    with pytest.raises(Conflict, match="#1001 is offered to cy"):
        office.do(conversations.claim, talk, "bo")
    with pytest.raises(Conflict, match="offered to cy"):
        office.do(conversations.offer, talk, "bo", expires_at=until, by="agent:lea")
    office.do(conversations.claim, talk, "cy")
    assert had(office, talk) == [("offer", "cy", "accepted"), ("claim", "cy", None)]
    assert office.row(talk).offered_to is None


def test_an_offer_nobody_takes_goes_back_where_it_stood(office: Office, talk: int) -> None:
    place = office.row(talk).rank_at
    office.do(conversations.offer, talk, "cy", expires_at=office.now + timedelta(seconds=60), by="system")
    assert office.do(conversations.expire_offers) == []
    office.later(seconds=61)
    assert office.do(conversations.expire_offers) == [talk]
    assert office.do(conversations.expire_offers) == []
    row = office.row(talk)
    assert (row.state, row.rank_at, row.waiting_since) == ("waiting", place, START)
    assert had(office, talk) == [("offer", "cy", "expired")]


def test_declining_is_for_whom_it_was_offered_to(office: Office, talk: int) -> None:
    office.do(conversations.offer, talk, "cy", expires_at=office.now + timedelta(seconds=60), by="system")
    with pytest.raises(Conflict):
        office.do(conversations.decline, talk, "bo")
    office.do(conversations.decline, talk, "cy")
    assert office.row(talk).state == "waiting"
    assert had(office, talk) == [("offer", "cy", "declined")]


def test_a_release_keeps_the_time_waited(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    office.later(minutes=5)
    office.do(conversations.release, talk, by="agent:bo", why="lunch")
    row = office.row(talk)
    assert (row.state, row.assignee, row.waiting_since, row.rank_at) == ("waiting", None, START, START)
    assert happened(office, talk)[-1] == ("released", "agent:bo", "lunch")
    assert had(office, talk) == [("claim", "bo", "released")]
    with pytest.raises(Conflict, match="nobody has it"):
        office.do(conversations.release, talk, by="agent:bo")


def test_a_release_after_an_answer_ranks_from_now(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    office.do(answers.answered, talk, by="agent:bo", then="leave", delivery_id=1)
    office.later(minutes=5)
    office.do(conversations.release, talk, by="agent:bo")
    row = office.row(talk)
    assert (row.waiting_since, row.rank_at) == (None, office.now)


def test_only_who_has_it_releases_it(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    with pytest.raises(Conflict, match="bo was faster"):
        office.do(conversations.release, talk, by="agent:cy", only="cy")


def test_a_transfer_keeps_the_wait_and_takes_the_head_start(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    office.later(minutes=1)
    office.do(
        conversations.transfer, talk, "billing", head_start_s=600.0, by="agent:bo", reason="about a bill"
    )
    row = office.row(talk)
    assert (row.queue, row.state, row.assignee, row.waiting_since) == ("billing", "waiting", None, START)
    assert row.rank_at == START - timedelta(seconds=600)
    assert happened(office, talk)[-1] == ("transferred", "agent:bo", "about a bill")
    office.do(conversations.close, talk, by="agent:cy")
    with pytest.raises(Conflict, match="#1001 is closed"):
        office.do(conversations.transfer, talk, "sales", head_start_s=0.0, by="agent:bo", reason="back")


def test_a_transfer_to_a_colleague_is_an_offer(office: Office, talk: int) -> None:
    office.do(
        conversations.transfer,
        talk,
        "billing",
        head_start_s=0.0,
        by="agent:bo",
        reason="yours",
        to_agent="cy",
        offer_until=office.now + timedelta(seconds=30),
    )
    row = office.row(talk)
    assert (row.state, row.offered_to, row.rank_at) == ("offered", "cy", START)
    assert had(office, talk) == [("offer", "cy", None)]


def test_snoozing_clears_the_place_and_waking_ranks_from_the_waking(office: Office, talk: int) -> None:
    until = office.now + timedelta(hours=1)
    office.do(conversations.snooze, talk, until=until, by="agent:bo", why="waits for parts")
    row = office.row(talk)
    assert (row.state, row.rank_at, row.waiting_since, row.snoozed_until) == ("snoozed", None, None, until)
    assert office.do(conversations.wake) == []
    office.later(hours=2)
    assert office.do(conversations.wake) == [talk]
    row = office.row(talk)
    assert (row.state, row.rank_at, row.waiting_since) == ("waiting", office.now, office.now)


def test_one_that_somebody_has_wakes_to_them_while_they_are_here(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    office.do(presence.put, "bo", "available")
    office.do(conversations.snooze, talk, until=office.now + timedelta(hours=1), by="agent:bo")
    office.later(hours=1)
    office.do(conversations.wake)
    assert (office.row(talk).state, office.row(talk).assignee) == ("open", "bo")
    office.do(conversations.snooze, talk, until=office.now + timedelta(hours=1), by="agent:bo")
    office.do(presence.put, "bo", "offline")
    office.later(hours=1)
    office.do(conversations.wake)
    assert (office.row(talk).state, office.row(talk).assignee) == ("waiting", None)
    assert had(office, talk) == [("claim", "bo", "snoozed")]


def test_one_whose_agent_has_gone_home_meanwhile_wakes_into_its_queue(office: Office, talk: int) -> None:
    office.do(conversations.claim, talk, "bo")
    office.do(presence.put, "bo", "available", until=office.now + timedelta(minutes=30))
    office.do(conversations.snooze, talk, until=office.now + timedelta(hours=1), by="agent:bo")
    office.later(hours=1)
    office.do(conversations.wake)
    assert (office.row(talk).state, office.row(talk).assignee) == ("waiting", None)


def test_closing_frees_the_slot_and_reopening_takes_it_again(office: Office, talk: int) -> None:
    slot = office.row(talk).slot
    office.do(conversations.claim, talk, "bo")
    office.do(conversations.close, talk, by="agent:bo", disposition="sold", tags=["b", "a"])
    row = office.row(talk)
    assert (row.state, row.slot, row.disposition, row.tags) == ("closed", None, "sold", '["a", "b"]')
    assert (row.closed_at, row.rank_at, row.waiting_since) == (office.now, None, None)
    with pytest.raises(Conflict, match="#1001 is closed"):
        office.do(conversations.close, talk, by="agent:bo")
    office.do(conversations.reopen, talk, by="agent:cy", agent="cy")
    row = office.row(talk)
    assert (row.state, row.slot, row.assignee, row.closed_at) == ("open", slot, "cy", None)
    with pytest.raises(Conflict, match="cy was faster"):
        office.do(conversations.reopen, talk, by="agent:bo", agent="bo")


def test_no_reopening_beside_another_open_conversation(office: Office, talk: int) -> None:
    office.do(conversations.close, talk, by="agent:bo")
    office.writes("webchat:ann", "something else")
    with pytest.raises(Conflict, match="another open conversation, #1002"):
        office.do(conversations.reopen, talk, by="agent:bo")
    assert office.row(talk).state == "closed"


def test_links_show_both_and_tags_are_sets(office: Office, talk: int) -> None:
    office.customer("Bea", "webchat:bea")
    other, _ = office.writes("webchat:bea", "hi")
    for _ in range(2):
        office.run(conversations.link, [(talk, other), (talk, talk)], "split", office.now)
    with office.store.read() as tx:
        assert [c.number for c in views.conversation(tx, talk).linked] == [1002]
        assert [c.number for c in views.conversation(tx, other).linked] == [1001]
    assert office.do(conversations.tag, talk, add=["b", "a"], by="agent:bo") == ("a", "b")
    assert office.do(conversations.tag, talk, add=["a"], remove=["c"], by="agent:bo") == ("a", "b")
    assert [what for what, _, _ in happened(office, talk)] == ["tagged"]


def test_it_is_found_by_id_and_by_number_and_nothing_else(office: Office, talk: int) -> None:
    for name in (talk, 1001, "1001", " #1001 "):
        assert office.run(conversations.find, name) == talk
    for name in ("", "#", "1001 OR 1=1", "-1", "²", 99, "9" * 30):
        with pytest.raises(NotFound):
            office.run(conversations.find, name)


# ------------------------------------------------------------------------------------------------------------ next


def take(office: Office, agent: str) -> tuple[int, str] | None:
    who = CONFIG.agents[agent]
    return office.do(  # type: ignore[no-any-return]
        assignments.take_next, agent, queues=who.queues, skills=who.skills, limit=who.limit
    )


def test_next_takes_the_best_rank_over_all_queues_that_the_skills_fit(office: Office) -> None:
    for name, values in {
        "french": {"skills": '["french"]'},
        "spanish": {"skills": '["spanish"]', "head_start_s": 9000.0},
        "bill": {"queue": "billing", "head_start_s": 600.0},
        "late": {},
    }.items():
        office.customer(name, f"webchat:{name}")
        office.writes(f"webchat:{name}", name, **values)  # type: ignore[arg-type]
        office.later(seconds=1)
    numbers = []
    for agent in ("cy", "bo", "bo"):
        taken = take(office, agent)
        numbers.append(office.row(taken[0]).number if taken else None)
    assert numbers == [1003, 1001, 1004], "the spanish one is for nobody here"
    assert take(office, "cy") is None


def test_next_stops_at_the_limit(office: Office) -> None:
    for number in range(4):
        office.customer(str(number), f"webchat:{number}")
        office.writes(f"webchat:{number}", "hi")
    assert take(office, "bo")
    assert take(office, "bo")
    with pytest.raises(Refused, match="You have 2 open conversations, and 2 at once is your limit"):
        take(office, "bo")


def test_next_pressed_by_many_at_once_gives_each_another(office: Office) -> None:
    for number in range(12):
        office.customer(str(number), f"webchat:{number}")
        office.writes(f"webchat:{number}", "hi")

    def press(number: int) -> Any:
        for _ in range(20):  # a press may find every free one being taken at that moment
            found = office.do(
                assignments.take_next, f"agent{number % 6}", queues=["sales"], skills=[], limit=2
            )
            if found:
                return found[0]
        return None

    results = at_once(12, press)
    taken = [result for result in results if isinstance(result, int)]
    assert len(set(taken)) == len(taken) == 12, results


def test_the_limit_holds_when_one_agent_presses_many_times_at_once(office: Office) -> None:
    for number in range(8):
        office.customer(str(number), f"webchat:{number}")
        office.writes(f"webchat:{number}", "hi")
    results = at_once(8, lambda _: take(office, "bo"))
    assert sum(isinstance(result, tuple) for result in results) == 2, results
    assert office.run(presence.loads, ["bo", "cy"]) == {"bo": 2, "cy": 0}


@on_postgresql
@pytest.mark.parametrize("what", ["a name that came", "a change by hand"])
def test_their_conversations_are_taken_before_who_they_are(office: Office, what: str) -> None:
    """As the router does, which notes in the same transaction that they wrote: neither ends the other's."""
    ann = office.customer("", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "hello")
    identity = office.who("webchat:ann").id

    def change() -> None:
        with office.store.begin() as tx:  # not repeated where the two meet
            if what == "a name that came":
                naming.call(tx, identity, "Ann", office.now)
            else:
                customers.change(tx, ann, by="agent:bo", now=office.now, name="Ann")

    with ThreadPoolExecutor(1) as thread:
        with office.store.begin() as tx:
            conversations.get(tx, talk, lock=True)
            changed = thread.submit(change)
            until_it_waits(tx, changed)
            tx.execute(update(identities).where(identities.c.id == identity).values(last_seen_at=office.now))
            tx.execute(update(customers_table).where(customers_table.c.id == ann).values(language="de"))
        changed.result(10)
    with office.store.read() as tx:
        assert (customers.get(tx, ann).name, customers.get(tx, ann).language) == ("Ann", "de")
