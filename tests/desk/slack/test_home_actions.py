"""App Home: what stands in it, and what its buttons do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from crm_store import presence
from crm_store.schema import quarantine
from desk.slack import home_actions, names
from hub.errors import Refused
from tests.desk.slack.pressing import ANN, Pressing, shown


def now_is(world: Pressing, agent: str) -> presence.Presence:
    with world.room.store.read() as tx:
        return presence.of(tx, agent, world.room.now)


async def test_it_is_drawn_when_somebody_looks(world: Pressing) -> None:
    talk = world.conversation("where is my order?")
    world.actions.claim(talk, "bo")
    ts = await world.card(talk)
    await world.bo.opens_home()
    for _ in range(5000):
        if world.bo.home:
            break
        await asyncio.sleep(0.01)
    text = shown(world.bo.home)
    assert "Ann Weber" in text
    assert "where is my order?" in text
    links = [
        one for one in str(world.bo.home).split("'") if one.startswith("https://acme.slack.com/archives/")
    ]
    assert links == [f"https://acme.slack.com/archives/{world.channel}/p{ts.replace('.', '')}"]


async def test_who_is_no_agent_reads_why(world: Pressing) -> None:
    guest = world.slack.user("Gus", guest=True)
    await home_actions.publish(world.desk, guest.id)
    assert "not linked" in shown(guest.home)
    assert len(guest.home) == 1


async def test_next_takes_the_longest_waiting_and_opens_it(world: Pressing) -> None:
    first = world.conversation("first", f"{ANN}1", "Ada")
    second = world.conversation("second", f"{ANN}2", "Bea")
    await home_actions.publish(world.desk, world.bo.id)
    await world.bo.clicks_home(names.HOME_NEXT)
    await world.settles()
    assert world.row(first).assignee == "bo"
    assert world.row(second).assignee is None
    assert "first" in shown(world.bo.views[-1].blocks)
    assert "is yours" in shown(world.bo.home)
    await world.bo.cancels()
    await world.bo.clicks_home(names.HOME_NEXT)
    await world.settles()
    await world.bo.clicks_home(names.HOME_NEXT)
    await world.settles()
    assert "Nobody is waiting" in shown(world.bo.home)


async def test_a_refused_next_is_said_over_home(world: Pressing) -> None:
    for number in range(6):
        world.conversation("hello", f"{ANN}{number}")
    for _ in range(5):
        world.actions.next("bo")
    await home_actions.publish(world.desk, world.bo.id)
    await world.bo.clicks_home(names.HOME_NEXT)
    assert "5" in shown(world.bo.views[-1].blocks)


async def test_status_holds_until_and_says_so(world: Pressing) -> None:
    await home_actions.publish(world.desk, world.bo.id)
    await world.bo.clicks_home(names.HOME_UNTIL, "60")
    await world.settles()
    await world.bo.clicks_home(names.HOME_STATUS, "away")
    await world.settles()
    until = world.room.now + timedelta(hours=1)
    is_now = now_is(world, "bo")
    assert (is_now.status, is_now.until) == ("away", until)
    assert f"<!date^{int(until.timestamp())}^" in shown(world.bo.home)


async def test_a_time_alone_is_for_the_status_that_holds_now(world: Pressing) -> None:
    await home_actions.publish(world.desk, world.bo.id)  # offline then
    await world.bo.commands(names.COMMAND, "away", world.channel)
    await world.bo.clicks_home(names.HOME_UNTIL, "30")
    is_now = now_is(world, "bo")
    assert (is_now.status, is_now.until) == ("away", world.room.now + timedelta(minutes=30))


async def test_a_closed_one_is_opened_again_from_a_list(world: Pressing) -> None:
    talk = world.conversation("my lamp")
    world.actions.claim(talk, "bo")
    world.actions.close(talk, "bo")
    await world.bo.commands(names.COMMAND, "find my lamp", world.channel)
    await world.bo.clicks_modal(names.HOME_OPEN)
    await world.bo.clicks_modal(names.REOPEN)
    assert world.row(talk).state == "open"
    await world.bo.clicks_modal(names.REPLY)
    assert world.bo.views[-1].shown["callback_id"] == names.REPLY_VIEW


async def test_a_list_opens_and_answers_from_there(world: Pressing) -> None:
    talk = world.conversation("where is it?")
    world.actions.claim(talk, "bo")
    delivery = world.actions.reply(talk, "bo", "looking", idem_key="k").delivery_id
    world.room.becomes(delivery, "failed", "rejected")
    await home_actions.publish(world.desk, world.bo.id)
    assert "Not sent" in shown(world.bo.home)
    await world.bo.clicks_home(names.HOME_OPEN, str(talk))
    assert "where is it?" in shown(world.bo.views[-1].blocks)
    await world.bo.clicks_modal(names.RETRY, str(delivery))
    await world.settles()
    assert world.replies(talk)[0].delivery.state == "queued"
    assert "sent again" in shown(world.bo.views[-1].blocks)
    await world.bo.cancels()
    await world.bo.clicks_home(names.HOME_OPEN, str(talk))
    await world.bo.clicks_modal(names.REPLY)
    assert len(world.bo.views) == 2
    assert await world.bo.submits({names.TEXT: "found it"}) is None
    assert [one.text for one in world.replies(talk)] == ["looking", "found it"]


def quarantined(world: Pressing) -> int:
    held_id = world.room.store.ids()
    held = {
        "id": held_id, "producer": "p", "seq": 7, "account": "webchat/main", "kind": "poison",
        "reason": "it failed", "entry": b"x", "state": "waiting", "at": world.room.now,
    }  # fmt: skip
    world.room.store.run(lambda tx: tx.execute(quarantine.insert().values(**held)))
    return held_id


async def test_leads_see_everything_and_replay(world: Pressing) -> None:
    world.conversation("my invoice is wrong")
    held = quarantined(world)
    for person in (world.cleo, world.bo):
        await home_actions.publish(world.desk, person.id)
    lead, agent = shown(world.cleo.home), shown(world.bo.home)
    for words in ("Billing", "Accounts", "Quarantine", "it failed"):
        assert words in lead
        assert words not in agent
    await world.cleo.clicks_home(names.HOME_REPLAY, str(held))
    await world.settles()
    assert world.room.replayed == [(held, "agent:cleo")]
    assert "router again" in shown(world.cleo.home)


async def test_a_forged_replay_by_an_agent_is_refused(world: Pressing) -> None:
    """Bo's Home has no such button; a payload that says so all the same does nothing."""
    held = quarantined(world)
    await home_actions.publish(world.desk, world.bo.id)
    world.slack.homes[world.bo.id].shown["blocks"] = world_blocks(held)
    await world.bo.clicks_home(names.HOME_REPLAY, str(held))
    assert world.room.replayed == []
    assert "Only a lead" in shown(world.bo.views[-1].blocks)


async def test_a_replay_that_is_refused_says_so(world: Pressing) -> None:
    held = quarantined(world)

    def taken(*_: object) -> str:
        raise Refused("It was replayed already, by agent:ada.")

    object.__setattr__(world.desk, "replay", taken)
    await home_actions.publish(world.desk, world.cleo.id)
    await world.cleo.clicks_home(names.HOME_REPLAY, str(held))
    assert "replayed already" in shown(world.cleo.views[-1].blocks)


async def test_refresh_draws_it_anew_and_slack_away_breaks_nothing(world: Pressing) -> None:
    await home_actions.publish(world.desk, world.bo.id)
    world.conversation()
    await world.bo.clicks_home(names.HOME_REFRESH)
    await world.settles()
    assert "1 waiting" in shown(world.bo.home)
    world.slack.fail("views.publish", 503)
    await home_actions.publish(world.desk, world.bo.id)


def world_blocks(held: int) -> list[dict[str, object]]:
    from desk.slack.blocks import actions, button

    return [actions(button("Replay", names.HOME_REPLAY, str(held))) | {"block_id": "forged"}]
