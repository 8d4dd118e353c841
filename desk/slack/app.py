"""The bolt app: what comes from Slack is written down before it is acknowledged; what is pressed goes to interact.py.

bolt acknowledges an event before its listener runs, so events never reach a listener: the first middleware after
bolt's own takes them, and answers only once they stand in the inbox. Nothing is asked of Slack on that way, so that
events are taken while Slack's Web API is down or the token revoked.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import CIMultiDictProxy
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_internals import build_async_context
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import Clock, SignatureVerifier

from desk.slack import events, gate, home_actions, interact, sweep, taking
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from desk.slack.manifest import PATH
from desk.slack.sockets import Sockets
from hub import log
from hub.errors import Refused, Unavailable
from hub.settings import Settings

ACK_S = 2.5  # of Slack's three seconds
BODY_BYTES = (
    4 * 1024 * 1024
)  # a message of 40,000 characters comes with its blocks, twice where it was edited

Told = Callable[[Mapping[str, Any]], Awaitable[None]]
_log = log.get("slack")


class Taken(AsyncMiddleware):
    """Takes events, and passes on only what somebody pressed; nothing that is not proved to be Slack's.

    heard: event type -> what else is to be done when one came (not durable: it is about our own memory).
    """

    def __init__(self, desk: SlackDesk, heard: Mapping[str, Told], gap: Callable[[], None]) -> None:
        self._desk = desk
        self._heard = heard
        self._gap = gap
        self._tasks: set[asyncio.Task[None]] = set()

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002 - as bolt calls it
    ) -> BoltResponse:
        if req.mode != "socket_mode" and not req.context.get(_SIGNED):
            return BoltResponse(status=401, body="")
        kind = req.body.get("type")
        if kind == "url_verification":
            return BoltResponse(status=200, body={"challenge": req.body.get("challenge")})
        if kind == "app_rate_limited":
            # https://docs.slack.dev/apis/events-api#rate-limiting: events of that minute were not sent
            _log.error("events_rate_limited", minute=req.body.get("minute_rate_limited"))
            self._gap()
            return BoltResponse(status=200, body="")
        if kind == "event_callback":
            return await self._event(req.body)
        return await next()

    async def _event(self, body: Mapping[str, Any]) -> BoltResponse:
        try:
            told = events.read(body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # No event that Slack documents; asking for it again would bring the same.
            _log.error("event_unreadable", event_id=str(body.get("event_id"))[:40], error=repr(error)[:200])
            return BoltResponse(status=200, body="")
        try:
            async with asyncio.timeout(ACK_S):
                await taking.write_down(self._desk, told)
        except (Unavailable, TimeoutError) as error:
            # No X-Slack-No-Retry: Slack is to try again. Where it gives up, the sweep finds what was typed.
            _log.warning("event_not_stored", event_id=str(body.get("event_id"))[:40], why=str(error)[:200])
            self._gap()
            return BoltResponse(status=503, body="")
        event = body.get("event") or {}
        if (work := self._heard.get(str(event.get("type")))) is not None:
            task = asyncio.ensure_future(work(body))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return BoltResponse(status=200, body="")

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("event_not_followed", error=type(error).__name__, why=str(error)[:200])


class App(AsyncApp):
    """The app, and by whose secrets HTTP requests are proved."""

    verifiers: tuple[SignatureVerifier, ...] = ()

    def signed(self, headers: CIMultiDictProxy[str], raw: bytes) -> bool:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack

        Each header once, the stamp a number; two secrets are valid while one is rotated. Never raises.
        """
        stamps = headers.getall("X-Slack-Request-Timestamp", [])
        signatures = headers.getall("X-Slack-Signature", [])
        if len(stamps) != 1 or len(signatures) != 1 or not _STAMP.fullmatch(stamps[0]):
            return False
        try:
            body = raw.decode("utf-8")
            signatures[0].encode("ascii")
        except UnicodeError:
            return False
        return any(one.is_valid(body, stamps[0], signatures[0]) for one in self.verifiers)


_STAMP = re.compile(r"[0-9]{1,12}")
_SIGNED: Final = "mainstem_signed"


def build(desk: SlackDesk, directory: Directory, settings: Settings) -> App:
    """The app as an installation runs it. Raises Refused where the settings lead nowhere."""
    secrets: tuple[str, ...] = ()
    if settings.slack_app_token is None:
        if settings.slack_signing_secret is None:
            raise Refused(
                "Slack is half set up: MAINSTEM_SLACK_APP_TOKEN is missing (Socket Mode), or"
                " MAINSTEM_SLACK_SIGNING_SECRET (HTTP mode); see docs/slack.md"
            )
        # Two, with a comma, while one is rotated.
        secrets = tuple(one.strip() for one in settings.slack_signing_secret.get_secret_value().split(","))
    return make(desk, secrets, heard=heard(desk, directory), gap=lambda: sweep.want(desk))


def make(
    desk: SlackDesk,
    signing_secret: str | Sequence[str] = (),
    *,
    heard: Mapping[str, Told] | None = None,
    gap: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.time,
) -> App:
    """The app, ready to be served by `serve_socket` or `serve_http`.

    signing_secret: HTTP mode's; several while one is rotated. Without one, only what comes over a socket is taken.
    heard: event type -> what else to do when one comes (`channel_rename`: forget what we knew; `app_home_opened`:
    draw it); it is given the whole body, after the event was acknowledged as stored. gap: events may have been missed.
    Raises ValueError for an empty secret.
    """
    secrets = (signing_secret,) if isinstance(signing_secret, str) else tuple(signing_secret)
    if any(not secret.strip() for secret in secrets):
        raise ValueError("an empty signing secret would let anybody in")
    verifiers = [SignatureVerifier(secret, _Now(now)) for secret in secrets]
    app = App(
        client=desk.client,
        name="mainstem",
        signing_secret="",  # bolt's own check is off: ours stands before everything, and bears what strangers send
        request_verification_enabled=False,
        url_verification_enabled=False,
        ssl_check_enabled=False,
        before_authorize=Taken(desk, _told(desk) | dict(heard or {}), gap),
    )
    app.verifiers = tuple(verifiers)
    interact.register(app, desk)
    return app


class _Now(Clock):
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def now(self) -> float:
        return self._now()


_CHANNELS = (
    "channel_archive", "channel_created", "channel_deleted", "channel_left", "channel_rename", "channel_unarchive",
    "group_archive", "group_deleted", "group_left", "group_rename", "group_unarchive", "member_joined_channel",
)  # fmt: skip


def heard(desk: SlackDesk, directory: Directory) -> dict[str, Told]:
    """What else an event means: what we knew of channels is old, and whoever looks at their Home sees it as it is."""

    async def moved(body: Mapping[str, Any]) -> None:
        directory.forget()

    async def looked(body: Mapping[str, Any]) -> None:
        event = body.get("event") or {}
        if event.get("tab") == "home":
            await home_actions.publish(desk, str(event.get("user")))

    return dict.fromkeys(_CHANNELS, moved) | {"app_home_opened": looked}


def _told(desk: SlackDesk) -> dict[str, Told]:
    async def changed(body: Mapping[str, Any]) -> None:
        user = (body.get("event") or {}).get("user") or {}
        gate.forget(desk, str(user.get("id")) if isinstance(user, Mapping) else None)

    return {"user_change": changed}


async def serve(app: App, desk: SlackDesk, settings: Settings) -> None:
    """By Socket Mode where there is an app token, else by HTTP; until cancelled."""
    if settings.slack_app_token is not None:
        token = settings.slack_app_token.get_secret_value()
        await serve_socket(app, desk, token, gap=lambda: sweep.want(desk))
    else:
        await serve_http(app, desk, settings.slack_port_or_next, host=settings.host)


async def serve_socket(
    app: AsyncApp, desk: SlackDesk, app_token: str, *, gap: Callable[[], None] = lambda: None
) -> None:
    """Take what Slack sends by Socket Mode, until cancelled. gap: told whenever there was no connection for a while."""
    await Sockets(desk.client, app_token, app.async_dispatch, gap).run()


async def serve_http(
    app: App,
    desk: SlackDesk,
    port: int,
    *,
    host: str = "127.0.0.1",
    opened: Callable[[int], None] | None = None,
) -> None:
    """Take what Slack sends by HTTP, until cancelled. Behind a proxy that speaks TLS. opened: given the port."""
    runner = web.AppRunner(web_app(app), access_log=None, shutdown_timeout=ACK_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        if opened is not None:
            opened(runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def web_app(app: App) -> web.Application:
    """POST /slack/events, for events, buttons and commands alike."""

    async def answer(request: web.Request) -> web.Response:
        raw = await request.read()
        if not app.signed(request.headers, raw):
            _log.info("request_forged")
            return web.Response(status=401)
        try:
            dispatched = _request(raw.decode("utf-8"), request)
        except ValueError:
            return web.Response(status=400)
        said = await app.async_dispatch(dispatched)
        kind = said.first_headers().get("content-type", "")
        content_type = "application/json" if kind.startswith("application/json") else "text/plain"
        return web.Response(status=said.status, text=said.body or "", content_type=content_type)

    served = web.Application(client_max_size=BODY_BYTES)
    served.router.add_post(PATH, answer)
    return served


def _request(raw: str, request: web.Request) -> AsyncBoltRequest:
    """Raises ValueError for what is neither a JSON object nor a form."""
    headers: dict[str, str | Sequence[str]] = {
        name: request.headers.getall(name)
        for name in request.headers
        if not name.lower().startswith("x-slack-bolt")
    }
    try:
        made = AsyncBoltRequest(
            body=raw, query=request.query_string, headers=headers, context={_SIGNED: True}
        )
    except (AttributeError, KeyError, TypeError) as error:  # bolt reads its fields as they come
        raise ValueError("no request of Slack's") from error
    if not made.body and raw:
        # A command whose words hold "payload" is empty to bolt, which looks for a field of that name.
        form = dict(parse_qsl(raw, keep_blank_values=True))
        made.body = form
        made.context = build_async_context(AsyncBoltContext({_SIGNED: True}), form)
    return made
