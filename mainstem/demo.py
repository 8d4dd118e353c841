"""`mainstem up --demo`: simulated customers over the real edge, and two agents who answer some of them.

Everything that is simulated says so: customers are called “Simulated …”, and answers begin with “[simulated]”. The
customers speak the channels' own protocols, or go to stand-ins of the providers (mainstem/demo_providers.py); agents
use the desk's own actions, and leave alone who came by an account of the user's at a provider. About ten messages a
minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp

from connectors import accounts, signing
from hub import log
from hub.config import Account, Config
from hub.errors import MainstemError, Refused, Unavailable
from hub.secrets import load_key
from hub.settings import Settings
from mainstem import processes
from mainstem.demo_accounts import Simulated
from mainstem.demo_words import ANSWERS, CHOICES, LINES, NAMES, PUBLIC_ANSWER, QUESTION

if TYPE_CHECKING:
    import threading

    from crm_store.cards import Card
    from crm_store.carried import Carried
    from crm_store.db import Store
    from desk.actions import Actions
    from desk.replying import Then
    from hub.config import Agent

EVERY_S = (
    7.0  # between two turns, on average; with the thanks that follow answers, about ten messages a minute
)
AGENT_EVERY_S = 9.0
FIRST, FIRST_EVERY_S = 8, 0.6  # a page with nothing on it shows nothing
WAITING_AT_LEAST = 5  # so many the agents leave waiting: an empty queue shows nothing
WAITING_AT_MOST = 40  # beyond that the customers pause: nobody may be there to answer
ANSWERED = 0.7  # of the turns in which there is somebody to answer
CLOSED = 0.3  # of the answers that ask nothing
ASKED = 0.25  # of the answers, where the channel has something to tap

INTRODUCED = re.compile(r"(Simulated \w+) here\.")  # channels without names
_log = log.get("demo")


class Customers:
    """The simulated customers and their ways in."""

    def __init__(
        self, edge: str, public: str, http: aiohttp.ClientSession, simulated: Simulated | None
    ) -> None:
        self._edge = edge
        self._public = public
        self._http = http
        self._simulated = simulated
        self._people = [f"Simulated {name}" for name in NAMES]
        self._chats: dict[str, aiohttp.ClientWebSocketResponse] = {}

    async def write(self, known: Mapping[str, Account]) -> None:
        """One message of one customer, on one of the ways that are configured."""
        ways = [account for account in known.values() if self._is_open(account)]
        if not ways:
            return
        account, name = random.choice(ways), random.choice(self._people)  # noqa: S311
        if (way := _WAYS.get(account.connector)) is not None:
            await way(self, account, name, random.choice(LINES))  # noqa: S311
        else:
            await self._at_a_provider(account)

    def _is_open(self, account: Account) -> bool:
        return account.connector in _WAYS or (self._simulated is not None and self._simulated.has(account))

    async def _at_a_provider(self, account: Account) -> None:
        """Somebody does something there; what, the stand-ins know."""
        assert self._simulated is not None
        url = f"{self._simulated.api(self._simulated.control)}/{self._simulated.secret('control')}/{account.connector}"
        async with self._http.post(url) as answer:
            if answer.status >= 300:
                raise Unavailable(f"the simulated provider of {account.key} was not heard ({answer.status})")

    async def _console(self, account: Account, name: str, text: str) -> None:
        said = {
            "kind": "message",
            "id": secrets.token_hex(12),
            "from": _slug(name),
            "name": name,
            "text": text,
        }
        headers = {"Authorization": f"Bearer {account.secrets['token'][0]}"}
        await self._post(account, json.dumps(said).encode(), headers)

    async def _webhook(self, account: Account, name: str, text: str) -> None:
        person = {"email": f"{_slug(name)}@example.com", "name": name}
        body = json.dumps(
            {"id": secrets.token_hex(12), "from": person, "text": text, "form": "form"}
        ).encode()
        signature = signing.sign(account.secrets["signing"][0], body, int(time.time()))
        await self._post(account, body, {signing.HEADER: signature})

    async def _post(self, account: Account, body: bytes, headers: Mapping[str, str]) -> None:
        url = f"{self._edge}/in/{account.key}"
        async with self._http.post(url, data=body, headers=headers) as answer:
            if answer.status >= 300:
                raise Unavailable(f"the edge answered {answer.status}")

    async def _webchat(self, account: Account, name: str, text: str) -> None:
        """A chat has no name field: the visitor introduces themselves, as people do."""
        socket = self._chats.get(name)
        first = socket is None or socket.closed
        if socket is None or socket.closed:
            url = f"{self._edge}/chat/{account.name}/ws"
            socket = self._chats[name] = await self._http.ws_connect(url, origin=self._public)
            await socket.send_json({"type": "hello"})
            asyncio.get_running_loop().create_task(_read_away(socket))
        words = f"{name} here. {text}" if first else text
        await socket.send_json({"type": "message", "id": secrets.token_hex(12), "text": words})

    async def close(self) -> None:
        for socket in self._chats.values():
            await socket.close()


_WAYS = {"console": Customers._console, "webhook": Customers._webhook, "webchat": Customers._webchat}


async def _read_away(socket: aiohttp.ClientWebSocketResponse) -> None:
    """A page shows what comes and says so; then the agent sees the tick."""
    async for frame in socket:
        said: Any = frame.json() if frame.type is aiohttp.WSMsgType.TEXT else {}
        ids = [item["id"] for item in said.get("items", ()) if item.get("dir") == "out"]
        if ids:
            await socket.send_json({"type": "receipt", "ids": ids, "status": "read"})


def _slug(name: str) -> str:
    return name.lower().replace(" ", ".")


class Agents:
    """Two agents of the configuration, who claim, answer and sometimes close."""

    def __init__(
        self, store: Store, actions: Actions, config: Callable[[], Config], simulated: Simulated | None
    ) -> None:
        self._store = store
        self._actions = actions
        self._config = config
        self._simulated = simulated
        self._left: set[int] = set()
        self._agents = [agent for agent in config().agents.values() if agent.queues][:2]

    def arrive(self) -> None:
        """They are at their desks."""
        for agent in self._agents:
            with contextlib.suppress(MainstemError):
                self._actions.set_presence(agent.key, "available")

    def waiting(self) -> int:
        from sqlalchemy import func, select

        from crm_store.schema import conversations

        with self._store.read() as tx:
            query = select(func.count()).where(conversations.c.state == "waiting")
            return int(tx.execute(query).scalar_one())

    def answer(self) -> None:
        """One turn: an agent picks up one of theirs or takes the next, and answers it."""
        if not self._agents or random.random() > ANSWERED:  # noqa: S311
            return
        agent = random.choice(self._agents)  # noqa: S311
        card = self._next(agent)
        if card is None:
            return
        text, carries = self._words(card)
        asks = bool(carries.choices)
        then: Then = "wait" if asks or random.random() > CLOSED else "close"  # noqa: S311
        try:
            self._actions.reply(
                card.conversation_id, agent.key, f"[simulated] {text}", idem_key=secrets.token_hex(8), then=then,
                disposition="answered" if then == "close" else None, carries=carries,
            )  # fmt: skip
        except Refused as error:  # they wrote STOP, or the account only receives: that is for a person to see
            _log.debug("left to a person", why=str(error))
            self._left.add(card.conversation_id)
            self._actions.release(card.conversation_id, agent.key)

    def learn_names(self) -> None:
        """Who introduced themselves is called so from then on, as an agent would note it."""
        from crm_store import cards

        if not self._agents:
            return
        with self._store.read() as tx:
            waiting = [one for queue in self._config().queues for one in cards.waiting(tx, queue)]
        for one in waiting:
            said = INTRODUCED.match(one.preview)
            if said is not None and one.customer_name != said[1] and self._ours(one):
                with contextlib.suppress(MainstemError):
                    self._actions.change_customer(one.customer_id, self._agents[0].key, name=said[1])

    def _next(self, agent: Agent) -> Card | None:
        """Theirs that waits for an answer, else the first of their queues; nobody who came by the user's provider."""
        from crm_store import cards

        with self._store.read() as tx:
            mine = [one for one in cards.mine(tx, agent.key) if one.state == "open" and one.waiting_since]
            waiting = [one for queue in agent.queues for one in cards.waiting(tx, queue)]
        for one in mine:
            if self._ours(one):
                return one
        if len(mine) >= agent.limit or self.waiting() <= WAITING_AT_LEAST:
            return None
        for one in waiting:
            if self._ours(one):
                with contextlib.suppress(MainstemError):  # a colleague was faster, or it needs a skill
                    self._actions.claim(one.conversation_id, agent.key)
                    return one
        return None

    def _ours(self, card: Card) -> bool:
        if card.conversation_id in self._left:
            return False
        if card.account.partition("/")[0] in _WAYS:
            return True
        return self._simulated is not None and self._simulated.has(self._config().accounts.get(card.account))

    def _words(self, card: Card) -> tuple[str, Carried]:
        """What is said; at times with answers to tap, and of what was said in public, in public."""
        from connectors import CONNECTORS
        from crm_store.carried import NOTHING, Carried, heard

        limits = CONNECTORS[card.account.partition("/")[0]].limits
        with self._store.read() as tx:
            last = heard(tx, [card.identity_id]).get((card.identity_id, card.account))
        if last is not None and last.form != "message":
            return PUBLIC_ANSWER, Carried(public=limits.public)
        if limits.choices >= len(CHOICES) and random.random() < ASKED:  # noqa: S311
            return QUESTION, Carried(choices=CHOICES)
        return random.choice(ANSWERS), NOTHING  # noqa: S311


def main(settings: Settings) -> int:
    """Run until told to stop."""
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "demo")
    store = processes.open_store(settings, stop, "demo", pool_size=2)
    asyncio.run(_run(settings, url, store, stop))
    store.close()
    return processes.end()


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> None:
    from mainstem.desk import make_actions

    follower = await asyncio.to_thread(processes.follow, store, lambda config: config, stop, "demo")
    key = load_key(settings)
    simulated = Simulated.packed(os.environ)
    agents = Agents(store, make_actions(settings, store, url, follower.get), follower.get, simulated)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
        customers = Customers(
            f"http://{settings.near_host}:{settings.port}", settings.public_address, http, simulated
        )
        next_answer = time.monotonic() + AGENT_EVERY_S
        await asyncio.to_thread(agents.arrive)
        turns = 0
        while not stop.is_set():
            known, _ = accounts.resolve(follower.get(), os.environ, key)
            try:
                if await asyncio.to_thread(agents.waiting) < WAITING_AT_MOST:
                    await customers.write(known)
                await asyncio.to_thread(agents.learn_names)
                if time.monotonic() > next_answer:
                    next_answer = time.monotonic() + random.expovariate(1 / AGENT_EVERY_S)
                    await asyncio.to_thread(agents.answer)
            except (MainstemError, aiohttp.ClientError, OSError) as error:
                _log.debug("skipped a turn", why=str(error))
            turns += 1
            pause = FIRST_EVERY_S if turns < FIRST else random.uniform(0.3, 1.7) * EVERY_S  # noqa: S311
            await asyncio.to_thread(stop.wait, pause)
        await customers.close()
    follower.close()
