"""A Slack desk as it runs, without the poster: a real store, the local Slack, bolt's app, the inbox worked off by hand.

The poster's part (a card, the customer's words below it) is put there by the store's own functions and Slack's API, so
that these tests say what becomes of what people type, whatever the poster draws.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import select, update

from crm_store import desk_posts, timeline
from crm_store.db import Store
from crm_store.schema import conversations, deliveries, desk_inbox, desk_threads, interactions
from desk.slack import app as slack_app
from desk.slack.context import SlackDesk
from desk.slack.inbox import Inbox
from hub import configfiles
from hub.blobs import Blobs
from tests.desk.room import FILES, LIMITS, Room
from tests.servers.slack import Slack
from tests.servers.slack.person import Person

QUEUES = """
priorities: {urgent: 1h, high: 10m, normal: 0s, low: -30m}
queues:
  general: {title: General, slack: "#general"}
  support: {title: Support, slack: "#support", slack_direct: true}
  billing: {title: Billing, slack: "#billing"}
"""


@dataclass
class Office:
    room: Room
    slack: Slack
    desk: SlackDesk
    app: slack_app.App
    inbox: Inbox
    bo: Person
    eva: Person
    cleo: Person
    place: str

    @property
    def store(self) -> Store:
        return self.room.store

    # ---------------------------------------------------------------------------------------------- what happens

    def later(self, **by: float) -> None:
        self.room.later(**by)

    def card(self, number: int, place: str | None = None) -> str:
        """The conversation's card stands in a channel, and its first words below it; the card's ts."""
        place = place or self.place
        conversation_id = self.room.id_of(number)
        ts = self.says(place, f"card of #{number}")

        def work(tx: Any) -> int:
            thread_id = self.store.ids()
            tx.execute(
                desk_threads.insert().values(
                    id=thread_id, conversation_id=conversation_id, surface="slack", place=place, thread=ts,
                    at=self.room.now,
                )
            )  # fmt: skip
            self._posted(tx, thread_id, place, "card", str(conversation_id), ts)
            return thread_id

        thread_id = self.store.run(work)
        self.shows(number, thread_id, place, ts)
        return ts

    def shows(self, number: int, thread_id: int, place: str, ts: str) -> None:
        """What the customer wrote is posted below the card."""
        with self.store.read() as tx:
            n = interactions.c
            rows = tx.execute(
                select(n.id).where(n.conversation_id == self.room.id_of(number), n.direction == "in")
            ).scalars()
            known = {one.interaction_id for one in desk_posts.of_thread(tx, "slack", thread_id)}
            new = [row for row in rows if row not in known]
        for interaction_id in new:
            posted = self.says(place, "the customer's words", ts)
            self.store.run(partial(self._shown, thread_id, place, posted, interaction_id))

    def _shown(self, thread_id: int, place: str, posted: str, interaction_id: int, tx: Any) -> None:
        self._posted(tx, thread_id, place, "message", str(interaction_id), posted, interaction_id)

    def shows_more(self, number: int) -> None:
        with self.store.read() as tx:
            row = tx.execute(
                select(desk_threads).where(desk_threads.c.conversation_id == self.room.id_of(number))
            ).one()
        self.shows(number, row.id, row.place, row.thread)

    def says(self, place: str, text: str, thread: str | None = None) -> str:
        """A post of the bot's."""
        words = {"type": "message", "user": self.slack.bot_user_id, "bot_id": self.slack.bot_id, "text": text}
        return str(self.slack.post(self.slack.channels[place], words, thread=thread)["ts"])

    def _posted(
        self,
        tx: Any,
        thread_id: int,
        place: str,
        kind: str,
        ref: str,
        ts: str,
        interaction: int | None = None,
    ) -> None:
        from crm_store.schema import desk_posts as posts

        tx.execute(
            posts.insert().values(
                id=self.store.ids(), thread_id=thread_id, surface="slack", place=place, kind=kind, ref=ref,
                uuid=str(uuid.uuid4()), posted=ts, drawn="x", interaction_id=interaction, at=self.room.now,
                posted_at=self.room.now,
            )
        )  # fmt: skip

    async def works(self) -> int:
        """The inbox is worked off, until nothing is due."""
        await self.slack.settled()
        return await self.inbox.once()

    async def tells(self, event: dict[str, Any], event_id: str | None = None) -> BoltResponse:
        """An event as the socket hands it to bolt."""
        body = self.slack.wrapped(event)
        if event_id is not None:
            body["event_id"] = event_id
        return await self.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body, headers={}))

    def claims(self, number: int, agent: str = "bo") -> None:
        self.room.actions.claim(self.room.id_of(number), agent)

    def sends(self) -> None:
        """The undo time has passed, and the sender has handed everything to the providers."""
        self.later(seconds=11)
        d = deliveries.c
        self.store.run(
            lambda tx: tx.execute(
                update(deliveries)
                .where(d.state == "held", d.code.is_(None))
                .values(state="sent", sent_at=self.room.now, updated_at=self.room.now)
            )
        )

    # ----------------------------------------------------------------------------------------------- looking at it

    def notes(self, number: int) -> list[timeline.Entry]:
        return [one for one in self.entries(number) if one.direction == "note"]

    def replies(self, number: int) -> list[timeline.Entry]:
        return [one for one in self.entries(number) if one.direction == "out"]

    def entries(self, number: int) -> list[timeline.Entry]:
        with self.store.read() as tx:
            n = interactions.c
            found = tx.execute(
                select(n.id).where(n.conversation_id == self.room.id_of(number)).order_by(n.id)
            ).scalars()
            return list(timeline.entries(tx, list(found)))

    def rows(self, kind: str | None = None) -> list[Any]:
        with self.store.read() as tx:
            query = select(desk_inbox).order_by(desk_inbox.c.id)
            return [one for one in tx.execute(query) if kind is None or one.kind == kind]

    def waiting(self) -> list[Any]:
        return [row for row in self.rows() if row.done_at is None]

    def state(self, number: int) -> str:
        with self.store.read() as tx:
            c = conversations.c
            return str(tx.execute(select(c.state).where(c.number == number)).scalar_one())

    def marks(self, ts: str) -> set[str]:
        return set(self.slack.reactions(self.place, ts))

    def told(self, person: Person) -> list[str]:
        return [json.dumps(one) for one in person.ephemerals]


@asynccontextmanager
async def opened(store: Store, folder: Path, *, connect: bool = True) -> AsyncIterator[Office]:
    """connect: what people do reaches the app by a socket; without it, tests hand over events themselves."""
    async with Slack.start() as slack, aiohttp.ClientSession() as session:
        bo, eva, cleo = slack.user("Bo"), slack.user("Eva"), slack.user("Cleo")
        agents = FILES["agents.yaml"]
        for key, person in (("bo", bo), ("eva", eva), ("cleo", cleo)):
            agents = agents.replace(f"  {key}: {{", f"  {key}: {{slack: {person.id}, ")
        room = Room(store, folder)
        room.config = configfiles.load(FILES | {"agents.yaml": agents, "queues.yaml": QUEUES})
        slack.stamps.wall = lambda: room.now.timestamp()
        place = slack.channel("general", members=(bo, eva, cleo))
        client = AsyncWebClient(
            token=slack.bot_token, base_url=slack.api, session=session, timeout=60, retry_handlers=[]
        )
        desk = SlackDesk(
            store=store, actions=room.actions, config=lambda: room.config, rules=lambda: room.rules, limits=LIMITS,
            client=client, blobs=Blobs(folder / "blobs"), desk_url="http://desk.test", replay=lambda held, by: "",
            clock=lambda: room.now,
        )  # fmt: skip
        app = slack_app.make(desk, slack.signing_secret, now=lambda: room.now.timestamp())
        slack.door.signed_at = lambda: room.now.timestamp()
        office = Office(room, slack, desk, app, Inbox(desk), bo, eva, cleo, place)
        if not connect:
            yield office
            return
        async with serving(office):
            yield office


@asynccontextmanager
async def serving(office: Office) -> AsyncIterator[None]:
    """Connected by Socket Mode."""
    import asyncio

    task = asyncio.ensure_future(slack_app.serve_socket(office.app, office.desk, office.slack.app_token))
    try:
        await office.slack.connected()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
