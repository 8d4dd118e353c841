"""Socket Mode: events come over a WebSocket that Slack replaces every few hours.

slack-sdk's client closes the old connection before it opens the next one and acknowledges on whichever is current;
here the next one is open and has said hello before the old one is let go, every envelope is acknowledged on the
connection it came by, and whatever moment there was without any connection is told, so that it can be swept for.
https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.internals import build_headers
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from hub import log

Dispatch = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

HELLO_S = 10.0
HEARTBEAT_S = 15.0  # a connection that is dead without a word is found out by then, and half as long again
LEAVE_S = 30.0  # Slack closes a connection about 10 s after its warning; after this we do
_AGAIN_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_BYTES = 8 * 1024 * 1024
_log = log.get("slack")


class Line:
    """One connection. `leaving` is set when it is to be replaced: Slack said so, or it is gone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, dispatch: Dispatch) -> None:
        self._socket = socket
        self._dispatch = dispatch
        self._working: set[asyncio.Task[None]] = set()
        self.said_hello = asyncio.Event()
        self.leaving = asyncio.Event()
        self.over = False  # nothing comes by it any more
        self.reason = ""

    async def listen(self) -> None:
        """Until it is closed, by whomever; what came by it is answered before this returns."""
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._heard(message.data)
        finally:
            self.over = True
            self.leaving.set()
            if self._working:
                await asyncio.wait(self._working, timeout=LEAVE_S)

    def _heard(self, text: str) -> None:
        try:
            said = json.loads(text)
        except ValueError:
            _log.warning("socket_unreadable", size=len(text))
            return
        kind = said.get("type")
        if kind == "hello":
            self.said_hello.set()
        elif kind == "disconnect":
            self.reason = str(said.get("reason") or "")
            self.leaving.set()
        elif said.get("envelope_id"):
            task = asyncio.ensure_future(self._answer(said))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _answer(self, said: Mapping[str, Any]) -> None:
        """Only what was taken in is acknowledged; what was not comes again, or is found by the sweep."""
        request = SocketModeRequest.from_dict(dict(said))
        if request is None:
            return
        response = await self._dispatch(
            AsyncBoltRequest(mode="socket_mode", body=request.payload, headers=build_headers(request))
        )
        if response.status != 200:
            _log.warning("event_not_taken", status=response.status, kind=request.type)
            return
        payload = _payload(response)
        answer = SocketModeResponse(envelope_id=request.envelope_id, payload=payload).to_dict()
        with suppress(ConnectionError, RuntimeError):  # it was closed meanwhile: Slack asks again
            await self._socket.send_str(json.dumps(answer))

    async def close(self) -> None:
        """What is in work is answered first."""
        if self._working:
            await asyncio.wait(self._working, timeout=LEAVE_S)
        await self._socket.close()


def _payload(response: BoltResponse) -> dict[str, Any] | None:
    if not response.body:
        return None
    if response.first_headers().get("content-type", "").startswith("application/json"):
        found = json.loads(response.body)
        return found if isinstance(found, dict) else None
    return {"text": response.body}


class Sockets:
    """Keeps one connection open, and two while it is replaced. gap: told when there was none, at the start too."""

    def __init__(
        self, client: AsyncWebClient, app_token: str, dispatch: Dispatch, gap: Callable[[], None]
    ) -> None:
        self._client = client
        self._token = app_token
        self._dispatch = dispatch
        self._gap = gap
        self._lines: dict[asyncio.Task[None], Line] = {}
        self._session: aiohttp.ClientSession | None = None
        self._asked_s = 0.0  # how long Slack asked us to wait
        self._closing: set[asyncio.Task[None]] = set()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        async with aiohttp.ClientSession() as self._session:
            try:
                while True:
                    line = await self._open()
                    if line is None:
                        pause_s = _AGAIN_S[min(failures, len(_AGAIN_S) - 1)]
                        failures += 1
                        await asyncio.sleep(max(pause_s, self._asked_s) * (1 + random.random() / 4))  # noqa: S311
                        continue
                    failures = 0
                    if all(one is line or one.over for one in self._lines.values()):
                        self._gap()
                    self.connected.set()
                    await line.leaving.wait()
                    _log.info("socket_leaves", why=line.reason or "closed")
                    self._retire(line)
                    if (
                        line.reason == "link_disabled"
                    ):  # Socket Mode was switched off: do not knock without end
                        await asyncio.sleep(_AGAIN_S[-1])
            finally:
                await self._close()

    async def _open(self) -> Line | None:
        """A connection that has said hello; None where there is none to be had now."""
        assert self._session is not None
        self._asked_s = 0.0
        try:
            said = await self._client.apps_connections_open(app_token=self._token)
            socket = await self._session.ws_connect(
                said["url"],
                heartbeat=HEARTBEAT_S,
                max_msg_size=_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
            )
        except SlackApiError as error:
            headers = getattr(error.response, "headers", None) or {}
            self._asked_s = float(headers.get("Retry-After") or 0.0)
            _log.warning("socket_refused", error=str(error.response.get("error")))
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.warning("socket_not_opened", error=type(error).__name__)
            return None
        line = Line(socket, self._dispatch)
        task = asyncio.ensure_future(line.listen())
        self._lines[task] = line
        task.add_done_callback(self._ended)
        hello, leaving = (asyncio.ensure_future(one.wait()) for one in (line.said_hello, line.leaving))
        await asyncio.wait({hello, leaving}, timeout=HELLO_S, return_when=asyncio.FIRST_COMPLETED)
        hello.cancel()
        leaving.cancel()
        if line.said_hello.is_set():
            return line
        _log.warning("socket_without_hello", why=line.reason or "no hello")
        await line.close()
        return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._lines.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("socket_broke", error=type(error).__name__)
        if not self._lines:
            self.connected.clear()

    def _retire(self, line: Line) -> None:
        """Listened to until Slack closes it, or for LEAVE_S: until the next one stands, events still come by it."""

        async def leave() -> None:
            await asyncio.sleep(LEAVE_S)
            await line.close()

        task = asyncio.ensure_future(leave())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self) -> None:
        for task in self._closing:
            task.cancel()
        lines = dict(self._lines)
        await asyncio.gather(*(line.close() for line in lines.values()), return_exceptions=True)
        for task in lines:
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
