"""F10 and F16 for the messaging channels with real processes: whoever dies, each message comes in once, and no answer
reaches anybody twice. Where a provider can be asked, or tells by itself, nothing stays in doubt.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from crm_store import schema
from hub import failpoints
from tests.faults.installation import Installation, until
from tests.messaginglines import PHONES, Line, Sms, TelegramLine, posts
from tests.messagingworld import channels
from tests.metalines import WhatsAppLine
from tests.servers.graph import Graph
from tests.servers.telegram import Telegram
from tests.servers.twilio import Twilio

PEOPLE = list(PHONES)
WAY_OUT = [name for name in failpoints.ALL if name.startswith("deliver.")]


@pytest.mark.slow
async def test_f10_f16_routers_and_workers_die_while_three_channels_talk(tmp_path: Path) -> None:
    async with Twilio() as twilio, Telegram() as telegram, Graph() as graph:
        lines: list[Line] = [Sms(twilio), WhatsAppLine(graph), TelegramLine(telegram)]
        graph.reports.after, graph.reports.doubled = ("sent", "delivered"), True
        hub = Installation(tmp_path, config={"channels.yaml": channels(lines)})
        hub.settings |= {name: value for line in lines for name, value in line.environ.items()}
        hub.settings["MAINSTEM_PUBLIC_URL"] = f"http://127.0.0.1:{hub.port}"
        entered = await asyncio.to_thread(hub.__enter__)
        try:
            for line in lines:
                line.opened(hub.settings["MAINSTEM_PUBLIC_URL"])
            await _story(entered, lines)
        finally:
            await asyncio.to_thread(hub.__exit__, None, None, None)


async def _story(hub: Installation, lines: list[Line]) -> None:
    hub.start("web", "router", "clock")
    await hub.ready()
    said = await _they_write(hub, lines)
    await hub.has(said)
    talks = await asyncio.to_thread(_taken, hub)
    sms, whatsapp, telegram = lines
    early, late = PEOPLE[:4], PEOPLE[4:]
    # Each death has work of its own, of people of whom nothing is in doubt.
    answers: list[str] = []
    for place, line, people in zip(
        WAY_OUT, (sms, telegram, whatsapp, telegram), (early, early, late, late), strict=False
    ):
        answers += await asyncio.to_thread(_answer, hub, line, people, talks)
        hub.start("worker", MAINSTEM_FAIL=place)
        assert await asyncio.to_thread(hub.died, "worker") == 137
    answers += await asyncio.to_thread(_answer, hub, whatsapp, early, talks)
    answers += await asyncio.to_thread(_answer, hub, sms, late, talks)
    hub.start("worker")
    states: dict[str, str] = {}

    async def at_rest() -> bool:
        nonlocal states
        states = await asyncio.to_thread(hub.delivery_states)
        moving = {"held", "queued", "sending"}
        # Twilio is asked for what is in doubt, and WhatsApp's reports name it.
        return not any(
            state in moving or (state == "unknown" and not text.startswith("telegram"))
            for text, state in states.items()
        )

    await until(at_rest, 150, lambda: f"deliveries: {Counter(states.values())}")
    assert sorted(states) == sorted(answers)
    for line in lines:
        got = Counter(text for who in PHONES for text in line.got(who))
        assert not [text for text, times in got.items() if times > 1], "nobody reads anything twice"
        for text in answers:
            if text.startswith(line.name):
                assert got[text] == 1 if states[text] != "unknown" else got[text] <= 1, text
    doubts = [text for text, state in states.items() if state == "unknown"]
    assert len(doubts) <= 2 * len(WAY_OUT)
    assert not [text for text in doubts if not text.startswith("telegram")]


async def _they_write(hub: Installation, lines: list[Line]) -> list[str]:
    """Everybody on every channel, each request three times at once, while routers die."""
    said = []
    for number, (line, who) in enumerate((line, who) for who in PHONES for line in lines):
        if number % 6 == 3:
            hub.kill("router")
            hub.start("router")
        heard = await line.says(who, f"{line.name} {who}")
        said.append(f"{line.name} {who}")
        assert await posts(heard.call, 3) == {200}
        await asyncio.sleep(random.uniform(0, 0.2))
    return said


def _taken(hub: Installation) -> dict[str, int]:
    """Bo has everything; by the address that was used last."""
    while hub.desk.next("bo") is not None:
        pass
    c, i = schema.conversations.c, schema.identities.c
    with hub.store.read() as tx:
        query = select(c.id, i.urn).join(schema.identities, i.id == c.identity_id).where(c.assignee == "bo")
        return {urn: talk for talk, urn in tx.execute(query)}


def _answer(hub: Installation, line: Line, people: list[str], talks: dict[str, int]) -> list[str]:
    said = []
    for who in people:
        text, urn = f"{line.name} to {who}", line.urn(who)
        hub.desk.reply(talks[urn], "bo", text, idem_key=text, account=line.account, to=urn)
        said.append(text)
    return said
