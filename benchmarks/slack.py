"""slack: 500 conversations arrive in a minute over five queues, and their cards go up at Slack's own limits.

The poster, the router's handler and a store are the real ones; Slack is the strict local one with its limits on: one
post a second in each channel after three at once, 300 a minute over the workspace, 50 chat.update a minute. While the
cards go up, some are claimed, so that they must be redrawn. cards: up once and showing what the store says at the end.
lost: not up, or showing something else. doubled: up more than once. lateness: when the last card was up, over when it
could have been by those limits, counted from each conversation's arrival; both in the server's own record.

--pace 0.2 lets one of Slack's seconds take a fifth of a second for everybody; the figures in docs/performance.md were
taken at 1, in real time.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import select

from benchmarks.common import Bench, Figures, LedgerBroken, folder
from crm_store import desk_posts, desk_threads
from crm_store.db import Store
from crm_store.migrate import migrate
from crm_store.schema import conversations
from desk.actions import Actions
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from desk.slack.names import SURFACE
from hub import configfiles
from hub.blobs import Blobs
from hub.config import Config
from hub.limits import Limits
from hub.model import Entry, MessageReceived
from router import consent
from router.handle import Handler
from router.rules import RuleSet, compile_rules
from tests.servers.slack import Slack
from tests.servers.slack.rates import CHANNEL_BURST
from workers.post import Poster, Tuning
from workers.slack_draw import scene
from workers.slack_rates import SlackRates

QUEUES = ("billing", "orders", "returns", "technical", "other")
WITHIN_S = 60.0
STEP_S = 0.5  # how often the router hands over what came
CLAIM_EVERY = 20  # one conversation in so many is claimed once its card is up, and redrawn
PATIENCE_S = 400.0
POLL_S = 2.0
POST = "chat.postMessage"


class Hub:
    """A store, a router's handler, agents' actions, and a poster, all on one clock that is the real one."""

    def __init__(self, place: Path, slack: Slack, session: aiohttp.ClientSession, pace: float) -> None:
        url = f"sqlite:///{place / 'bench.db'}"
        migrate(url)
        self.store, self.slack, self.pace = Store.open(url), slack, pace
        self.channels = {queue: slack.channel(queue) for queue in QUEUES}
        slack.channel("hub-ops")
        self.config = _config(slack.user("Bo").id)
        self.rules: RuleSet = compile_rules(self.config)
        limits = {"webchat": Limits(text_chars=4000, attachments=0, attachment_bytes=0, source="benchmark")}
        self.actions = Actions(
            self.store, lambda: self.config, limits, lambda name: None, lambda *a, **k: None,
            schemes={"webchat": "webchat"},
        )  # fmt: skip
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api, session=session, retry_handlers=[])
        self.desk = SlackDesk(
            store=self.store,
            actions=self.actions,
            config=lambda: self.config,
            rules=lambda: self.rules,
            limits=limits,
            client=client,
            blobs=Blobs(place / "blobs"),
            desk_url="https://desk.example",
            replay=lambda entry, by: "",
        )
        self.directory = Directory(self.desk)
        self.arrived: dict[str, float] = {}  # urn -> when its conversation was stored, in Slack's seconds
        self.claimed = 0

    def arrive(self, number: int, rate_per_s: float) -> None:
        """A minute of customers, in a thread of its own: every half second those who wrote since."""
        handler = Handler(self.store, rules=lambda: self.rules, config=lambda: self.config, wish=consent.wish)
        began = time.monotonic()
        done = 0
        while done < number:
            due = min(number, int((time.monotonic() - began) / self.pace * rate_per_s) + 1)
            if due > done:
                handler.batch([_message(one) for one in range(done, due)])
                at = self.slack.clock.now()
                self.arrived |= {_urn(one): at for one in range(done, due)}
                done = due
            self._claim()
            time.sleep(STEP_S * self.pace)
        while self.claimed * CLAIM_EVERY < number:
            self._claim()
            time.sleep(STEP_S * self.pace)

    def _claim(self) -> None:
        """Every twentieth, once its card is up."""
        while self.claimed * CLAIM_EVERY < len(self.arrived):
            conversation = self.conversation_of(_urn(self.claimed * CLAIM_EVERY))
            with self.store.read() as tx:
                thread = desk_threads.living(tx, SURFACE, conversation)
            if thread is None or thread.thread is None:
                return
            self.actions.claim(conversation, "bo")
            self.claimed += 1

    def conversation_of(self, urn: str) -> int:
        with self.store.read() as tx:
            query = select(conversations.c.id).where(conversations.c.slot == f"c:{self._customer(tx, urn)}")
            return int(tx.execute(query).scalar_one())

    @staticmethod
    def _customer(tx: Any, urn: str) -> int:
        from crm_store.schema import identities

        return int(tx.execute(select(identities.c.customer_id).where(identities.c.urn == urn)).scalar_one())


def _config(bo: str) -> Config:
    queues = "\n".join(f'  {queue}: {{title: {queue.title()}, slack: "#{queue}"}}' for queue in QUEUES)
    rules = "\n".join(f"  - {{name: {q}, when: {{text: [{q}]}}, then: {{queue: {q}}}}}" for q in QUEUES[:-1])
    return configfiles.load(
        {
            "channels.yaml": "brands: {main: {name: Example}}\naccounts: {webchat/main: {title: Chat}}\n",
            "queues.yaml": f'slack: {{ops: "#hub-ops"}}\npriorities: {{normal: 0s}}\nqueues:\n{queues}\n',
            "agents.yaml": f"agents: {{bo: {{name: Bo, role: lead, queues: all, limit: 1000, slack: {bo}}}}}\n",
            "calendars.yaml": "calendars: {}\n",
            "replies.yaml": "replies: {}\n",
            "routing.yaml": f"rules:\n{rules}\ndefault: {{queue: other}}\n",
        }
    )


def _urn(number: int) -> str:
    return f"webchat:visitor{number:08d}"


def _message(number: int) -> Entry:
    now = datetime.now(UTC)
    event = MessageReceived(
        account="webchat/main",
        event_key=f"m{number}",
        received_at=now,
        sender=_urn(number),
        sender_name=f"Visitor {number}",
        text=f"Question {number} about {QUEUES[number % len(QUEUES)]}: where does it stand?",
        verified=True,
    )
    return Entry(producer="bench", seq=number + 1, accepted_at=now, event=event)


# --------------------------------------------------------------------------------------------------------- one run


def run(options: argparse.Namespace) -> Figures:
    with folder("slack") as place, Slack.running() as slack:
        slack.clock.scale = options.pace
        slack.limits = True
        return uvloop.run(_run(place, slack, options))


async def _run(place: Path, slack: Slack, options: argparse.Namespace) -> Figures:
    async with aiohttp.ClientSession() as session:
        hub = Hub(place, slack, session, options.pace)
        await hub.directory.refresh()
        # No notices: what comes is found by the poll alone, at the pace of everything else.
        tuning = Tuning(poll_s=POLL_S * options.pace, gather_s=0.02 * options.pace)
        poster = Poster(hub.desk, hub.directory, rates=SlackRates(pace=options.pace), tuning=tuning)
        running = asyncio.create_task(poster.run())
        customers = threading.Thread(
            target=hub.arrive, args=(options.number, options.number / WITHIN_S), daemon=True
        )
        customers.start()
        try:
            await _settled(hub, running, options)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            customers.join()
        figures = _figures(hub, options.number)
        hub.store.close()
        return figures


async def _settled(hub: Hub, running: asyncio.Task[None], options: argparse.Namespace) -> None:
    """Until everything that the store says is drawn, by the store's own account."""
    until = time.monotonic() + PATIENCE_S * max(options.pace, 0.2)
    while time.monotonic() < until:
        await asyncio.sleep(0.2)
        if running.done():
            running.result()
        if hub.claimed * CLAIM_EVERY >= options.number and await hub.desk.look(_idle):
            return
    raise LedgerBroken("the cards were not up in time")


def _idle(tx: Any) -> bool:
    behind = desk_threads.behind(tx, SURFACE, limit=1)
    unshown = desk_threads.unshown(tx, SURFACE, QUEUES, limit=1)
    return not behind and not unshown and not desk_posts.places(tx, SURFACE)


# --------------------------------------------------------------------------------------------------------- figures


def _figures(hub: Hub, number: int) -> Figures:
    """By the server's record; raises LedgerBroken where store and record do not tell of the same cards."""
    with hub.store.read() as tx:
        rows = tx.execute(select(conversations.c.id)).scalars().all()
        threads = {one: desk_threads.living(tx, SURFACE, one) for one in rows}
        scenes = {one: scene(tx, hub.desk, t.id, hub.desk.clock()) for one, t in threads.items() if t}
    if len(rows) != number:
        raise LedgerBroken(f"{len(rows)} conversations in the store, {number} arrived")
    there = {
        channel: {m["ts"]: m for m in hub.slack.messages(channel) if m.get("metadata")}
        for channel in hub.channels.values()
    }
    seen = Counter(m["metadata"]["event_payload"]["uuid"] for some in there.values() for m in some.values())
    posted = sum(len(some) for some in there.values())
    right = 0
    for conversation, thread in threads.items():
        drawn = scenes.get(conversation)
        message = there.get(thread.place, {}).get(thread.thread or "") if thread is not None else None
        if drawn is not None and message is not None and drawn.wishes[0].drawing is not None:
            right += _texts(message["blocks"]) == _texts(list(drawn.wishes[0].drawing.blocks))
    if len(seen) != sum(1 for one in scenes.values() if one is not None):
        raise LedgerBroken(f"{len(seen)} cards in Slack's record, {len(scenes)} in the store")
    refused = Counter(call.error for call in hub.slack.calls if call.error)
    return {
        "cards": right,
        "lost": number - right,
        "doubled": posted - len(seen),
        "lateness": _lateness(hub),
        "minute_s": max(hub.arrived.values()) - min(hub.arrived.values()),
        "last_s": _last(hub) - min(hub.arrived.values()),
        "claimed": hub.claimed,
        "redrawn": sum(1 for call in hub.slack.calls if call.method == "chat.update" and call.ok),
        "refused": sum(refused.values()),
    }


def _last(hub: Hub) -> float:
    return max(call.at for call in hub.slack.calls if call.method == POST and call.ok)


def _lateness(hub: Hub) -> float:
    """When the last card was up, from the first arrival, over when it could have been."""
    first = min(hub.arrived.values())
    by_channel: dict[str, list[float]] = defaultdict(list)
    for one in range(len(hub.arrived)):
        by_channel[QUEUES[one % len(QUEUES)]].append(hub.arrived[_urn(one)] - first)
    return (_last(hub) - first) / max(_best(sorted(times)) for times in by_channel.values())


def _best(arrivals: Sequence[float]) -> float:
    """When the last of these could be up in one channel: one a second, and the burst that the server allows."""
    left, at = float(CHANNEL_BURST), 0.0
    for arrival in arrivals:
        now = max(at, arrival)
        left = min(float(CHANNEL_BURST), left + now - at)
        wait = max(0.0, 1 - left)
        at, left = now + wait, left + wait - 1
    return at


def _texts(blocks: Any) -> list[str]:
    """Every text in blocks, in order; Slack adds ids and defaults to them, no text."""
    if isinstance(blocks, Mapping):
        own = [str(v) for k, v in blocks.items() if k in ("text", "value", "url") and isinstance(v, str)]
        return own + [t for k in sorted(blocks) for t in _texts(blocks[k])]
    return [text for one in blocks for text in _texts(one)] if isinstance(blocks, list | tuple) else []


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--number", type=int, default=500, metavar="N", help="conversations in the minute")
    parser.add_argument(
        "--pace", type=float, default=1.0, metavar="S", help="real seconds per Slack's second"
    )


BENCH = Bench(
    name="slack",
    about="500 conversations in a minute over five queues, at Slack's limits",
    run=run,
    aims={"cards": "500", "lost": "0", "doubled": "0", "lateness": "at most 1.2"},
    repeat=1,  # two minutes in real time, and the limits of a server decide it, not this machine
    options=_options,
)

if __name__ == "__main__":
    BENCH.main()
