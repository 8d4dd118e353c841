"""The web chat's open connections. Its page, script and files are chat_pages.py's, meaning is webchat.py's matter.

Resuming: the browser says how far it came (a position in the visitor's stream, and the newest message of the store's),
and gets what follows; what overlaps is told by its sealed id and shown once. Where the stream was lost, all is read
again from the store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from connectors import chat_feed, chat_pages, webchat
from connectors.base import Raw
from connectors.edge import Buckets, Edge, Limit, bucket_key, client_address
from hub import log
from hub.config import Account
from hub.errors import Forged, MainstemError, Malformed, Unavailable
from hub.model import MessageReceived

HELLO_S = 10.0  # a browser says hello at once; whoever does not is no browser
RECEIPTS = Limit(per_s=5, burst=200)
_log = log.get("chat")


class Hello(msgspec.Struct, gc=False):
    """The first frame. All but `type` is what the browser remembers, if it remembers anything."""

    type: str
    token: str = ""
    epoch: str = ""
    pos: str = ""
    after: str = ""


@dataclass(eq=False)
class Session:
    """One open WebSocket. `shown`: the interactions that went out on it."""

    socket: web.WebSocketResponse
    account: str
    visitor: str
    secret: str
    token: str
    remote: str
    feed: chat_feed.Place
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, **frame: Any) -> None:
        await self.socket.send_str(json.dumps(frame, separators=(",", ":")))


class Chat:
    """All open chats of this process."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._feed = chat_feed.Feed(edge)
        self._sessions: dict[tuple[str, str], set[Session]] = {}
        self._by_address: Counter[str] = Counter()
        self._new = Buckets(edge.limits.visitor_new)
        self._messages = Buckets(edge.limits.visitor_message)
        self._receipts = Buckets(RECEIPTS)

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    # -------------------------------------------------------------------------------------------------- the socket

    async def socket(self, request: web.Request) -> web.StreamResponse:
        account = chat_pages.account_of(request, self._edge)
        chat_pages.check_origin(request, self._edge, account)
        remote = bucket_key(client_address(request, self._edge.trusted_proxies))
        if len(self) >= self._edge.limits.sockets:
            raise web.HTTPServiceUnavailable(text="too many open chats")
        if self._by_address[remote] >= self._edge.limits.sockets_per_address:
            raise web.HTTPTooManyRequests(text="too many open chats from your address")
        self._by_address[remote] += 1
        try:
            return await self._serve(request, account, remote)
        finally:
            self._by_address[remote] -= 1
            if not self._by_address[remote]:
                del self._by_address[remote]

    async def _serve(self, request: web.Request, account: Account, remote: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=25.0, max_msg_size=webchat.FRAME_BYTES, timeout=5.0)
        await socket.prepare(request)
        session = await self._greet(socket, account, remote)
        if session is None:
            await socket.close(code=4401, message=b"no hello, or too many new visitors")
            return socket
        mine = self._sessions.setdefault((session.account, session.visitor), set())
        mine.add(session)
        forward = asyncio.create_task(self._forward(session))
        session.wake.set()
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT or not await self._frame(session, frame.data):
                    break
        finally:
            mine.discard(session)
            if not mine:
                self._sessions.pop((session.account, session.visitor), None)
            await _end([forward])
            await socket.close()
        return socket

    async def _greet(self, socket: web.WebSocketResponse, account: Account, remote: str) -> Session | None:
        """Hello and welcome: a known visitor, or a new one. None where neither can be."""
        try:
            first = await socket.receive(timeout=HELLO_S)
            hello = msgspec.json.decode(first.data if first.type is WSMsgType.TEXT else b"", type=Hello)
        except (TimeoutError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if hello.type != "hello":
            return None
        token, new = hello.token, False
        try:
            who, secret = webchat.visitor_of(token, account)
        except Forged:
            if not self._new.take(remote):
                return None
            token, new = webchat.new_token(account), True
            who, secret = webchat.visitor_of(token, account)
        place = chat_feed.Place()
        if not new and hello.epoch:
            place = chat_feed.Place(
                epoch=hello.epoch, pos=hello.pos, after=webchat.unseal(secret, who, hello.after) or 0
            )
        session = Session(socket, account.key, who, secret, token, remote, place)
        settings = account.settings
        await session.say(
            type="welcome",
            token=token,
            new=new,
            title=str(settings.get("title") or account.title),
            greeting=str(settings.get("greeting") or ""),
            color=str(settings.get("color") or ""),
            files=settings.get("files") is not False,
            open=self._edge.is_open(account),
        )
        return session

    async def _forward(self, session: Session) -> None:
        """Send what is new whenever somebody says that there may be something."""
        while True:
            await session.wake.wait()
            session.wake.clear()
            try:
                items = await self._feed.news(session.feed, session.account, session.visitor)
                if items is not None:
                    place = session.feed
                    await session.say(
                        type="messages",
                        items=[chat_feed.shown(item, session.visitor, session.secret) for item in items],
                        epoch=place.epoch,
                        pos=place.pos,
                        after=webchat.seal(session.secret, session.visitor, place.after),
                    )
            except ConnectionError:
                return
            except Exception:
                _log.exception("forwarding failed", account=session.account)
                await session.socket.close(code=1011)  # the browser comes back and asks again
                return

    async def _frame(self, session: Session, data: str) -> bool:
        """One frame of the browser's. False: the connection is to end."""
        account = self._edge.accounts().get(session.account)
        if account is None:
            return False
        peek = _peek(data)
        if peek.type == "ping":
            await session.say(type="pong")
            return True
        limited = self._receipts if peek.type == "receipt" else self._messages
        mine = f"{session.account} {session.visitor}"
        if not limited.take(mine):
            await session.say(type="later", id=peek.id, after_s=round(limited.wait_s(mine) + 0.5, 1))
            return True
        raw = Raw(
            method="WS",
            url=f"{self._edge.public_url}/chat/{account.name}/ws",
            headers={"authorization": (f"Bearer {session.token}",)},
            body=data.encode("utf-8", "replace"),
            received_at=self._edge.clock(),
            remote=session.remote,
        )
        try:
            parsed = webchat.CONNECTOR.parse(raw, account)
        except Forged:  # the secret has been taken out of use meanwhile
            return False
        except Malformed as wrong:
            # Told, not kept: an anonymous page is no provider, and its garbage must not fill our disk.
            await session.say(type="error", id=peek.id, text=str(wrong))
            return True
        try:
            if parsed.events:
                await self._edge.accept(parsed.events)
        except (Unavailable, OSError):
            self._edge.count("unavailable", account.key)
            await session.say(type="later", id=peek.id, after_s=2)
            return True
        if peek.type == "receipt":
            await session.say(type="noted", ids=peek.ids, status=peek.status)
        elif parsed.events and isinstance(parsed.events[0], MessageReceived):
            self._edge.count("accepted", account.key)
            session.feed.waits = True
            await session.say(type="ok", id=peek.id, at=int(raw.received_at.timestamp() * 1000))
        return True

    # ------------------------------------------------------------------------------------------------- the nudges

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())]
        yield
        await _end(tasks)

    async def close(self, app: web.Application) -> None:
        """Before the server stops: tell every browser to come back to whoever is there next."""
        open_now = [s for mine in self._sessions.values() for s in mine]
        await asyncio.gather(*(s.socket.close(code=1012) for s in open_now), return_exceptions=True)

    async def _listen(self) -> None:
        async for account, who in self._feed.nudges():
            if not who:  # the line was cut: anything may have been missed
                await self._wake_all(again=True)
            for session in self._sessions.get((account, who), ()):
                session.wake.set()

    async def _sweep(self) -> None:
        """Should a nudge be lost, its message is found a few seconds later; so is a stream that was lost whole."""
        while True:
            await asyncio.sleep(self._edge.sweep_s)
            await self._wake_all()
            await self._tell_waits()

    async def _wake_all(self, *, again: bool = False) -> None:
        for number, session in enumerate([s for mine in self._sessions.values() for s in mine], 1):
            session.feed.ask_store = session.feed.ask_store or int(again)
            session.wake.set()
            if number % 100 == 0:  # a thousand at once would stand in line for Redis and the store
                await asyncio.sleep(0.05)

    async def _tell_waits(self) -> None:
        """People ahead and seconds to expect, to those who wrote and have no answer yet."""
        if self._edge.live is None:
            return
        for session in [s for mine in self._sessions.values() for s in mine if s.feed.waits]:
            try:
                found = await self._edge.live.wait(session.account, f"webchat:{session.visitor}")
                if found is not None:
                    await session.say(type="wait", ahead=found[0], seconds=round(found[1]))
            except (ConnectionError, OSError, TimeoutError, MainstemError):
                continue  # figures are a courtesy


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: redis-py 8 loses a cancellation that comes while it connects."""
    waiting: set[asyncio.Task[None]] = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.02)


class _Peek(msgspec.Struct, gc=False):
    type: str = ""
    id: str = ""
    ids: list[str] = []
    status: str = ""


def _peek(data: str) -> _Peek:
    """What a frame calls itself, so that an error can name it."""
    try:
        peek = msgspec.json.decode(data, type=_Peek)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _Peek()
    return _Peek(type=peek.type[:20], id=peek.id[:64], ids=peek.ids, status=peek.status[:20])


def add(app: web.Application, edge: Edge) -> Chat:
    """Give `app` the chat's addresses. Returns what holds its open connections."""
    held, pages = Chat(edge), chat_pages.Pages(edge)
    app.router.add_get("/chat/{account}", pages.page)
    app.router.add_get("/chat/{account}/widget.js", pages.asset)
    app.router.add_get("/chat/{account}/page.css", pages.asset)
    app.router.add_get("/chat/{account}/ws", held.socket)
    app.router.add_post("/chat/{account}/files", pages.upload)
    app.router.add_get("/chat/{account}/files/{ref}", pages.download)
    app.router.add_route("OPTIONS", "/chat/{account}/files", pages.preflight)
    app.router.add_route("OPTIONS", "/chat/{account}/files/{ref}", pages.preflight)
    app.cleanup_ctx.append(held.running)
    app.on_shutdown.append(held.close)
    return held
