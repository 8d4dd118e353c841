"""Agents reply from Slack, continued: who may act (line 16), and what holds when Slack or the network fails (17)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store import schema
from crm_store.db import Store
from desk.slack import app as slack_app
from desk.slack import names
from desk.slack.manifest import PATH
from tests.slackworld import SlackWorld, slack_world
from workers.slack_rates import SlackRates
from workers.slack_repair import repair


@pytest.fixture
async def office(tmp_path: Path, sqlite_url: str, valkey: str) -> AsyncIterator[SlackWorld]:
    """Over SQLite alone: what fails here is Slack, not the store."""
    store = Store.open(sqlite_url)
    async with slack_world(tmp_path, store, valkey) as opened:
        yield opened
    store.close()


async def test_16_guests_outsiders_and_the_unlinked_can_do_nothing(office: SlackWorld) -> None:
    await office.writes()
    card = office.card(office.support)
    guest = office.slack.user("Gus", guest=True)
    stranger = office.slack.user("Sid", stranger=True)
    for person in (office.dot, guest, stranger):
        await person.joins(office.support)
        await person.clicks(office.support, card["ts"], names.CLAIM)
        await person.types(office.support, "Hello from outside", thread=card["ts"])
        await office.settle()
        assert person.ephemerals, "they are told why"
    assert office.state() == "waiting"
    assert "Hello from outside" not in str(office.hub.cleo.sees(office.conversation()).history)


async def test_16_who_is_linked_and_becomes_a_guest_a_stranger_or_a_bot_can_do_nothing_more(
    office: SlackWorld,
) -> None:
    await office.writes()
    card = office.card(office.support)
    ts = await office.types(office.bo, "We send a new one")
    for change, why in (
        ({"guest": True}, "Guests"),
        ({"guest": False, "stranger": True}, "our own workspace"),
        ({"stranger": False, "bot": True}, "Bots"),
        ({"bot": False, "deleted": True}, "deactivated"),
    ):
        await office.cleo.becomes(**change)
        await office.cleo.clicks(office.support, card["ts"], names.CLAIM)
        await office.cleo.shortcut(names.SHORTCUT_SEND, office.support, ts)
        assert why in office.words(office.cleo.ephemerals[-1])
        assert why in office.words(await office.cleo.commands("/hub", "next", office.general))
        await office.opens_home(office.cleo, why)
    await office.reacts(office.cleo, ts)
    await office.types(office.cleo, "Hello from outside")
    await office.passes(seconds=11)
    assert office.state() == "waiting"
    assert office.hub.deliveries() == []
    assert "Hello from outside" not in str(office.hub.bo.sees(office.conversation()).history)


def _notes(office: SlackWorld) -> list[str]:
    """What colleagues said among themselves, as the store has it."""
    entries = office.hub.bo.sees(office.conversation()).history.entries
    return [one.text for one in entries if one.direction == "note"]


async def test_17_what_was_typed_while_nobody_listened_is_found_by_the_sweep(office: SlackWorld) -> None:
    await office.claimed()
    office.slack.http_to("http://127.0.0.1:9/nobody")
    await office.types(office.bo, "Typed during the outage")
    assert _notes(office) == []
    office.slack.http_to(None)
    for _ in range(2):
        await office.sweep.once()
        await office.settle()
    assert _notes(office) == ["Typed during the outage"]


async def test_17_an_event_is_kept_when_it_is_acknowledged_and_told_twice_is_one(office: SlackWorld) -> None:
    card = await office.claimed()
    inbox = schema.desk_inbox
    await office.bo.types(office.support, "Told twice", thread=card)
    assert office.slack.door.deliveries[-1].acked
    assert office.hub.count(inbox, inbox.c.kind == "message", inbox.c.done_at.is_(None)) == 1
    assert _notes(office) == [], "nothing was done about it yet"
    assert await office.slack.repeats()
    await office.settle()
    assert await office.slack.repeats()
    await office.settle()
    assert _notes(office) == ["Told twice"]


async def test_17_a_connection_is_replaced_before_it_closes_and_nothing_is_missed(office: SlackWorld) -> None:
    await office.claimed()
    first = office.slack.door.connections[0]
    refreshing = asyncio.ensure_future(office.slack.door.refresh(first))
    await office.slack.connected(2)
    both = list(office.slack.door.connections)
    await office.types(office.bo, "One")
    await office.types(office.bo, "Two")
    assert all(one.received for one in both), "both listen while one is replaced"
    await office.slack.passes(11)
    await refreshing
    await office.types(office.bo, "Three")
    assert not first.alive
    assert _notes(office) == ["One", "Two", "Three"]
    assert office.slack.lost == []


async def test_17_a_post_whose_answer_was_lost_is_looked_up_and_not_repeated(office: SlackWorld) -> None:
    office.slack.fail("chat.postMessage", "lost")
    await office.writes()
    await office.until(lambda: office.slack.called("conversations.history"))
    assert len(office.cards(office.support)) == 1
    await office.clicks(office.bo, office.support, names.CLAIM)
    assert "Bo" in office.words(office.card(office.support)), "and it is the hub's card, which is drawn anew"


async def test_17_repair_draws_what_is_missing_and_floods_nobody(office: SlackWorld) -> None:
    rates = SlackRates(None, pace=0.001)
    await office.claimed()
    await office.writes("Where is my refund?", "Eve")
    office.slack.channels[office.support].messages.clear()
    said = await repair(office.desk, dry=True, rates=rates)
    assert (said.threads, said.cards) == (2, 1)
    before = len(office.slack.called("chat.postMessage"))
    await repair(office.desk, rates=rates)
    await repair(office.desk, rates=rates)
    assert len(office.slack.called("chat.postMessage")) == before, "the posters post it, at Slack's rate"
    await office.settle()
    assert len(office.slack.called("chat.postMessage")) == before + 1, "and what stood is left alone"
    assert "Bo" in office.words(office.card(office.support))
    assert (await repair(office.desk, dry=True, rates=rates)).cards == 0


async def test_17_in_http_mode_everything_is_as_by_a_socket(office: SlackWorld) -> None:
    ports: list[int] = []
    serving = asyncio.ensure_future(
        slack_app.serve_http(office.app, office.desk, 0, opened=lambda port: ports.append(port))
    )
    await office.slack.until(lambda: ports)
    address = f"http://127.0.0.1:{ports[0]}{PATH}"
    assert await office.slack.verifies(address), "Slack asks whether the address is ours"
    office.slack.http_to(address)
    await office.claimed()
    assert office.state() == "open"
    ts = await office.types(office.bo, "A new one is on its way.")
    assert await office.slack.repeats()
    await office.reacts(office.bo, ts)
    await office.clicks(office.bo, office.support, names.REPLY)
    assert [one["text"]["text"] for one in await office.bo.searches(names.CANNED, "hell")] == ["Hello"]
    assert await office.bo.submits({names.TEXT: "It left today.", names.THEN: "wait"}) is None
    assert "nobody waiting" in office.words(await office.bo.commands("/hub", "queue", office.general))
    await office.passes(seconds=11)
    assert office.hub.company.got == ["A new one is on its way.", "It left today."]
    assert office.state() == "pending"
    office.slack.door.signed_at = lambda: time.time() - 301
    await office.types(office.bo, "An old request, sent once more")
    assert _notes(office) == []
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_f25_slack_down_archived_and_revoked_lose_nothing_and_post_nothing_twice(
    office: SlackWorld,
) -> None:
    office.slack.fail("chat.postMessage", 503, times=2)
    await office.writes()
    await office.until(lambda: office.cards(office.support))
    assert len(office.cards(office.support)) == 1
    office.slack.archive(office.billing)
    await office.writes("Where is my refund?", "Eve")
    await office.until(lambda: any("refund" in office.words(one) for one in office.cards(office.ops)))
    await office.until(lambda: any("archived" in office.words(one) for one in office.cards(office.ops)))
    office.slack.revoke()
    await office.writes("The toaster is broken", "Tom")
    office.hub.cleo.takes_next()  # the web desk goes on
    office.slack.mend()
    await office.poster.standing.probe()
    await office.settle()
    said = [office.words(one) for one in office.thread(office.support)] + [
        office.words(office.card(office.support))
    ]
    assert sum("toaster" in one for one in said) >= 1


async def test_f26_a_click_twice_and_two_who_answer_at_once_are_one_reply(office: SlackWorld) -> None:
    card = await office.claimed()
    one = await office.bo.types(office.support, "A new one is on its way", thread=card)
    await office.settle()
    await asyncio.gather(
        office.bo.reacts(office.support, one, names.SEND_REACTION),
        office.bo.shortcut(names.SHORTCUT_SEND, office.support, one),
        office.bo.shortcut(names.SHORTCUT_SEND, office.support, one),
    )
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == ["A new one is on its way"]
    assert office.hub.company.doubled == 0
