"""The server: one workspace, one app, the Web API's front door, and what a test may look at and break.

https://docs.slack.dev/apis/web-api, https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from tests.servers.slack import chat, conversations, files, people, views
from tests.servers.slack.api import METHODS, ApiError, Call, Called, Method, read_args
from tests.servers.slack.clock import Clock
from tests.servers.slack.delivery import Door
from tests.servers.slack.outside import Outside
from tests.servers.slack.person import Person
from tests.servers.slack.rates import Rates
from tests.servers.slack.workspace import Channel, File, Ids, Json, Stamps, Trigger, User, View

T = TypeVar("T")
_ROOMS = (chat, conversations, files, people, views)  # importing them declares their methods
_DOWN = "<html><body>Slack is having trouble</body></html>"


class Slack(Outside):
    """`async with Slack.start() as slack`, or `with Slack.running() as slack` for plain code.

    api: what `AsyncWebClient(base_url=…)` wants. calls: every call of the Web API, in order. limits: whether Slack's
    rates are kept to. scopes: what the bot's token may
    do. subscriptions: the events the app asked for.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.ids = Ids()
        self.clock = Clock()
        self.stamps = Stamps()
        self.manifest = manifest
        self.scopes = set(manifest["oauth_config"]["scopes"]["bot"])
        self.subscriptions = set(manifest["settings"]["event_subscriptions"]["bot_events"])
        self.team_id, self.app_id = self.ids.new("T"), self.ids.new("A")
        self.team = "Acme"
        self.bot_id = self.ids.new("B")
        self.bot_token = f"xoxb-{secrets.token_hex(12)}"
        self.app_token = f"xapp-1-{self.app_id}-{secrets.token_hex(12)}"
        self.signing_secret = secrets.token_hex(16)
        self.verification_token = secrets.token_hex(12)
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.stacks: dict[str, list[View]] = defaultdict(list)
        self.homes: dict[str, View] = {}
        self.ephemeral: dict[str, list[Json]] = defaultdict(list)
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, Json] = {}
        self.calls: list[Called] = []
        self.limits = False
        self.rates = Rates(self.clock)
        self.door = Door(self.clock, self.app_id, lambda: self.signing_secret)
        self.revoked = ""
        self.base = self.api = ""
        self._failures: dict[str, deque[tuple[str | int, int]]] = defaultdict(deque)
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.bot_user_id = self.user(manifest["features"]["bot_user"]["display_name"], bot=True).id

    # ----------------------------------------------------------------------------------------------- start, stop

    @classmethod
    @asynccontextmanager
    async def start(cls, manifest: Mapping[str, Any] | None = None, port: int = 0) -> AsyncIterator[Slack]:
        """In this loop. manifest: whose scopes and events the app was installed with; without it, our own app's."""
        if manifest is None:
            from desk.slack.manifest import manifest as our_own

            manifest = our_own()
        slack = cls(manifest)
        await slack._open(port)
        try:
            yield slack
        finally:
            await slack._close()

    @classmethod
    @contextmanager
    def running(cls, manifest: Mapping[str, Any] | None = None, port: int = 0) -> Iterator[Slack]:
        """In a loop and a thread of its own; `slack.run(bo.types(…))` does what `await` would."""
        started: list[Slack] = []
        up, stop = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()

        async def live() -> None:
            async with cls.start(manifest, port) as slack:
                started.append(slack)
                up.set()
                await stop.wait()

        def work() -> None:
            try:
                loop.run_until_complete(live())
            finally:
                loop.close()
                up.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert up.wait(60)
        assert started
        try:
            yield started[0]
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(60)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """From a plain thread: `work` in the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, work: Callable[[], T]) -> T:
        """From a plain thread: a plain call (`slack.archive(…)`) in the server's loop."""

        async def done() -> T:
            return work()

        return self.run(done())

    @property
    def scale(self) -> float:
        """How many real seconds one of Slack's seconds takes."""
        return self.clock.scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self.clock.scale = scale

    async def _open(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=1024 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self.door.connect)
        app.router.add_post("/upload/v1/{ticket}", partial(files.take_upload, self))
        app.router.add_get("/files-pri/{file}/{tail:.+}", partial(files.give, self))
        app.router.add_post("/respond/{key}", partial(chat.respond, self))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.base = "http://{}:{}".format(*self._runner.addresses[0][:2])
        self.api = f"{self.base}/api/"

    async def _close(self) -> None:
        self._closing.set()
        await self.door.close()
        await self._runner.cleanup()

    # ------------------------------------------------------------------------------------------------ people, places

    def user(
        self,
        name: str,
        *,
        email: str | None = None,
        guest: bool | str = False,
        bot: bool = False,
        stranger: bool = False,
        deleted: bool = False,
        confirmed: bool = True,
    ) -> Person:
        """guest: True for a multi-channel one, "single" for a single-channel one. stranger: of another company, seen
        through Slack Connect."""
        user = User(
            id=self.ids.new("U"),
            name=name,
            team_id=self.ids.new("T") if stranger else self.team_id,
            email=email,
            guest=guest,
            bot=bot,
            stranger=stranger,
            deleted=deleted,
            confirmed=confirmed,
        )
        self.users[user.id] = user
        return Person(self, user)

    def channel(
        self, name: str, *, private: bool = False, bot: bool = True, members: tuple[Person, ...] = ()
    ) -> str:
        """A new channel, the bot in it or not; people join by their first word in it. Its id."""
        channel = Channel(self.ids.new("C"), name, private=private)
        channel.members = [self.bot_user_id] * bot + [one.id for one in members]
        self.channels[channel.id] = channel
        return channel.id

    # ------------------------------------------------------------------------------------------------------ the API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        given, in_json = await _given(request)
        token = _token(request, given)
        if (broken := self._broken(name)) and broken[0] != "lost":
            return await self._break(
                request, Called(name, given, token, str(broken[0]), self.clock.now()), broken
            )
        declared = METHODS.get(name)
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes)), "Cache-Control": "private, no-cache"}
        try:
            if declared is None:
                raise ApiError("unknown_method", req_method=name)
            self._authorize(declared, token)
            if self.limits and (wait_s := self.rates.wait(declared, given)):
                self.calls.append(Called(name, given, token, "ratelimited", self.clock.now()))
                return _too_many(wait_s)
            if in_json and not declared.takes_json:
                raise ApiError("invalid_arguments", f"{name} reads no JSON body")
            args = read_args(declared, given)
            headers["X-Accepted-OAuth-Scopes"] = ",".join(declared.scopes)
            answer: Json = {"ok": True, **declared.work(Call(slack=self, args=args, token=token))}
            error = ""
        except ApiError as failed:
            error = failed.code
            answer = {"ok": False, "error": failed.code, **failed.more}
        self.calls.append(Called(name, given, token, error, self.clock.now()))
        if broken:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer, headers=headers)

    def _authorize(self, declared: Method, token: str) -> None:
        """https://docs.slack.dev/authentication/tokens"""
        if not token:
            raise ApiError("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise ApiError("invalid_auth")
        if self.revoked:
            raise ApiError(self.revoked)
        if declared.name == "auth.test":
            return
        if declared.app_token != (token == self.app_token):
            raise ApiError("not_allowed_token_type")
        if token == self.bot_token and declared.scopes and not self.scopes & set(declared.scopes):
            raise ApiError(
                "missing_scope", needed=",".join(declared.scopes), provided=",".join(sorted(self.scopes))
            )

    # ------------------------------------------------------------------------------------------------------- failing

    def fail(self, method: str, what: str | int, times: int = 1, retry_after: int = 1) -> None:
        """The next `times` calls of `method` ("*": of any) go wrong: an error code of Slack's, "ratelimited" (429 with
        Retry-After), an HTTP status with a page of HTML, "timeout" (no answer, nothing done), "cut" (the connection
        breaks, nothing done), "lost" (it is done, and the connection breaks before the answer). times=-1: until `mend`.
        """
        self._failures[method].extend([(what, retry_after)] * (times if times > 0 else 1_000_000))

    def mend(self) -> None:
        """No more failures, and the token is good again."""
        self._failures.clear()
        self.revoked = ""

    def _broken(self, name: str) -> tuple[str | int, int] | None:
        for key in (name, "*"):
            if self._failures.get(key):
                return self._failures[key].popleft()
        return None

    async def _break(
        self, request: web.Request, called: Called, broken: tuple[str | int, int]
    ) -> web.StreamResponse:
        self.calls.append(called)
        what, retry_after = broken
        if isinstance(what, int):
            return web.Response(status=what, text=_DOWN, content_type="text/html")
        if what == "ratelimited":
            return _too_many(retry_after)
        if what == "timeout":
            await self._closing.wait()
        if what in ("cut", "timeout"):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.json_response({"ok": False, "error": what})


async def _given(request: web.Request) -> tuple[Json, bool]:
    """The arguments as they came, from the query, a form or a JSON body; and whether it was the last."""
    given: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            body = None
        return given | (body if isinstance(body, dict) else {"(body)": "not a JSON object"}), True
    return given | dict(await request.post()), False


def _token(request: web.Request, given: Json) -> str:
    header = request.headers.get("Authorization", "")
    in_form = str(given.pop("token", ""))
    return header.removeprefix("Bearer ") if header.startswith("Bearer ") else in_form


def _too_many(wait_s: float) -> web.Response:
    seconds = str(max(1, -int(-wait_s // 1)))
    return web.json_response(
        {"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": seconds}
    )
