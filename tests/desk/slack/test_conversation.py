"""Buttons of a card, and the modals they open."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crm_store import views
from desk.slack import conversation, interact, modals, names, press
from hub.errors import Unavailable
from tests.desk.slack.pressing import ANN, Pressing, shown


async def test_claim_is_the_agents_and_pressed_twice_it_is_once(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert (world.row(talk).state, world.row(talk).assignee) == ("open", "bo")
    await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert world.bo.ephemerals == []
    assert world.events(talk).count("claimed") == 1


async def test_of_two_agents_at_once_the_other_reads_who_was_faster(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    await asyncio.gather(
        world.bo.clicks(world.channel, ts, names.CLAIM), world.eva.clicks(world.channel, ts, names.CLAIM)
    )
    winner, loser = (world.bo, world.eva) if world.row(talk).assignee == "bo" else (world.eva, world.bo)
    assert winner.ephemerals == []
    [told] = loser.ephemerals
    name = {"bo": "Bo Lindqvist", "eva": "Eva Marsh"}[world.row(talk).assignee]
    assert f"{name} was faster" in told["text"]
    assert told.get("thread_ts") == ts


async def test_who_is_not_in_the_channel_is_told_all_the_same(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    world.slack.channels[world.channel].members.remove(world.eva.id)
    world.actions.claim(talk, "bo")
    await world.eva.clicks(world.channel, ts, names.CLAIM)
    assert "Bo Lindqvist was faster" in world.eva.ephemerals[-1]["text"]


def away(*_: Any, **__: Any) -> None:
    raise Unavailable("the database does not answer: x")


async def test_a_press_that_is_not_in_the_store_is_told(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    claim = world.actions.claim
    world.actions.claim = away
    await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert "press again" in world.bo.ephemerals[-1]["text"]
    assert "database" not in world.bo.ephemerals[-1]["text"]
    world.actions.claim = claim
    await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert world.row(talk).assignee == "bo"


async def test_a_press_that_is_neither_done_nor_told_is_not_acknowledged(world: Pressing) -> None:
    """Then Slack shows its own warning beside the button: a lost press can be seen."""
    talk = world.conversation()
    ts = await world.card(talk)
    world.actions.claim = away
    acknowledged = []

    async def ack(*said: Any, **more: Any) -> None:
        acknowledged.append((said, more))

    body = {
        "user": {"id": world.bo.id, "team_id": world.slack.team_id},
        "container": {"type": "message", "channel_id": world.channel, "message_ts": ts},
        "actions": [{"action_id": names.CLAIM, "value": str(talk)}],
    }
    listener = press.pressed(world.desk, conversation.claim)
    world.slack.fail("chat.postEphemeral", 503)
    await listener(ack=ack, body=body)
    assert acknowledged == []
    await listener(ack=ack, body=body)
    assert len(acknowledged) == 1, "this time they were told"


async def test_a_slow_store_is_said_in_time(world: Pressing, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    held = threading.Event()
    claim = world.actions.claim
    world.actions.claim = lambda *args: (held.wait(60), claim(*args))
    with monkeypatch.context() as patch:
        patch.setattr(press, "DEADLINE_S", 0.2)
        await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert world.bo.ephemerals[-1]["text"] == press.NOT_SAVED
    held.set()
    for _ in range(5000):
        if world.row(talk).assignee == "bo":
            break
        await asyncio.sleep(0.01)
    await world.bo.clicks(world.channel, ts, names.CLAIM)
    assert len(world.bo.ephemerals) == 1, "the late one counted, and the second press is once more the same"


async def test_guests_strangers_and_bots_press_nothing(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"guest": True}, "Guests cannot"),
        ({"stranger": True}, "another one"),
        ({"deleted": True}, "deactivated"),
        ({}, "not linked"),
    )
    for more, why in cases:
        somebody = world.slack.user("Mallory", **more)
        world.slack.channels[world.channel].members.append(somebody.id)
        if more:  # linked in the configuration, and refused all the same
            agents = {**world.room.config.agents}
            agents["eva"] = replace(agents["eva"], slack=somebody.id)
            world.room.config = replace(world.room.config, agents=agents)
        await somebody.clicks(world.channel, ts, names.CLAIM)
        assert why in somebody.ephemerals[-1]["text"], more
        await somebody.clicks(world.channel, ts, names.REPLY)
        assert somebody.views == []
        await somebody.commands("/hub", "next", world.channel)
        assert why in shown(somebody.ephemerals[-1]["blocks"])
    assert world.row(talk).state == "waiting"


async def test_release_decline_and_reopen_twice_are_once(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    ts = await world.card(talk)
    for _ in range(2):
        await world.bo.clicks(world.channel, ts, names.MORE, f"{names.RELEASE}:{talk}")
    assert world.row(talk).state == "waiting"
    world.actions.transfer(talk, "cleo", world.row(talk).queue, "his", "bo")
    offered = await world.card_again(talk)
    await world.eva.clicks(world.channel, offered, names.ACCEPT)
    assert "not offered to you" in world.eva.ephemerals[-1]["text"]
    for _ in range(2):
        await world.bo.clicks(world.channel, offered, names.DECLINE)
    world.actions.claim(talk, "bo")
    world.actions.close(talk, "bo")
    closed = await world.card_again(talk)
    for _ in range(2):
        await world.bo.clicks(world.channel, closed, names.REOPEN)
    assert (world.row(talk).state, world.row(talk).assignee) == ("open", "bo")
    assert world.bo.ephemerals == []
    events = world.events(talk)
    assert [events.count(what) for what in ("released", "declined", "reopened")] == [1, 1, 1]


async def test_transfer_with_its_reason_and_twice_is_once(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.TRANSFER)
    view = world.bo.views[-1]
    assert await world.bo.submits({names.QUEUE: "billing", names.REASON: "wants money"}) is None
    assert (world.row(talk).queue, world.row(talk).state) == ("billing", "waiting")
    world.bo.views.append(view)
    assert await world.bo.presses_submit() is None
    assert world.events(talk).count("transferred") == 1


async def test_two_submits_of_one_transfer_at_the_same_moment(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.TRANSFER)
    first = world.bo.submits({names.QUEUE: "support", names.REASON: "theirs"})
    second = world.bo.submits({names.QUEUE: "support", names.REASON: "theirs"})
    await asyncio.gather(first, second)
    assert world.events(talk).count("transferred") == 1


async def test_what_cannot_be_transferred_keeps_its_reason(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.TRANSFER)
    world.actions.release(talk, "bo")
    world.actions.claim(talk, "eva")
    await world.bo.submits({names.QUEUE: "billing", names.REASON: "wants money"})
    assert "is with Eva Marsh" in world.bo.views[-1].errors[names.REASON]
    assert world.row(talk).queue == "general"


async def test_transfer_of_somebody_elses_does_not_even_open(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "eva")
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.TRANSFER)
    assert world.bo.views == []
    assert "is with Eva Marsh" in world.bo.ephemerals[-1]["text"]


async def test_snooze_until_a_time_ahead(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.SNOOZE)
    await world.bo.submits({modals.UNTIL_AT: int(world.room.now.timestamp()) - 60})
    assert "past" in "".join(world.bo.views[-1].errors.values())
    ahead = int(world.room.now.timestamp()) + 7200
    assert await world.bo.submits({modals.UNTIL_AT: ahead}) is None
    row = world.row(talk)
    assert (row.state, int(row.snoozed_until.timestamp())) == ("snoozed", ahead)


async def test_close_with_how_it_ended_and_its_tags(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    world.actions.tag(talk, "bo", add=["vip"])
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.CLOSE)
    view = world.bo.views[-1]
    assert await world.bo.submits({names.DISPOSITION: "solved", names.TAGS: "refund, vip"}) is None
    row = world.row(talk)
    assert (row.state, row.disposition) == ("closed", "solved")
    assert json.loads(row.tags) == ["refund", "vip"]
    world.bo.views.append(view)
    assert await world.bo.presses_submit() is None, "pressed twice"
    assert world.events(talk).count("closed") == 1


async def test_why_and_history_show_what_they_may(world: Pressing) -> None:
    talk = world.conversation("my invoice is wrong")
    assert world.row(talk).queue == "billing"
    ts = await world.card(talk)
    await world.eva.clicks(world.channel, ts, names.MORE, f"{names.WHY}:{talk}")
    assert "money" in shown(world.eva.views[-1].blocks)
    await world.eva.cancels()
    await world.eva.clicks(world.channel, ts, names.MORE, f"{names.HISTORY}:{talk}")
    assert "my invoice is wrong" in shown(world.eva.views[-1].blocks)
    await world.bo.clicks(world.channel, ts, names.MORE, f"{names.HISTORY}:{talk}")
    assert world.bo.views == []
    assert "not in your queues" in world.bo.ephemerals[-1]["text"]
    await world.cleo.clicks(world.channel, ts, names.MORE, f"{names.HISTORY}:{talk}")
    assert world.cleo.views, "leads see everything"


async def test_a_slow_store_opens_an_empty_window_and_fills_it(
    world: Pressing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(press, "FIRST_S", 0.05)
    talk = world.conversation("how do I log in?")
    ts = await world.card(talk)
    held = threading.Event()
    decided = views.latest_decision
    monkeypatch.setattr(views, "latest_decision", lambda *args: (held.wait(60), decided(*args))[1])
    await world.bo.clicks(world.channel, ts, names.MORE, f"{names.WHY}:{talk}")
    assert "One moment" in shown(world.bo.views[-1].blocks)
    held.set()
    await world.settles()
    assert "default" in shown(world.bo.views[-1].blocks)


async def test_an_expired_trigger_is_told(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    world.slack.fail("views.open", "expired_trigger_id")
    await world.bo.clicks(world.channel, ts, names.REPLY)
    assert "Press again" in world.bo.ephemerals[-1]["text"]


async def test_every_button_of_every_card_leads_somewhere(world: Pressing) -> None:
    """What is drawn is listened to: no press ends in nothing."""
    drawn = {value for name, value in vars(names).items() if name.isupper()} & set(interact.ACTIONS)
    for state in ("waiting", "offered", "open", "pending", "snoozed", "closed"):
        talk = world.conversation(urn=f"{ANN}{state}")
        if state == "offered":
            world.actions.transfer(talk, "cleo", world.row(talk).queue, "his", "bo")
        elif state != "waiting":
            world.actions.claim(talk, "bo")
        if state == "pending":
            world.actions.reply(talk, "bo", "hi", idem_key="k", then="wait")
        if state == "snoozed":
            world.actions.snooze(talk, "bo", world.room.now + timedelta(hours=1))
        if state == "closed":
            world.actions.close(talk, "bo")
        assert world.row(talk).state == state
        ts = await world.card(talk)
        for block in world.slack.message(world.channel, ts)["blocks"]:
            for element in block.get("elements", ()):
                action = element.get("action_id")
                if action is None:
                    continue
                assert action in drawn, action
                for option in element.get("options", ()):
                    assert option["value"].partition(":")[0] in conversation.MORE, option
