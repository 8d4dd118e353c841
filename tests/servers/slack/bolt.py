"""The real bolt at the other end: over sockets or over HTTP, closed for certain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack.server import Slack


def client_of(slack: Slack, **more: Any) -> AsyncWebClient:
    """The bot's client."""
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api, **more)


@asynccontextmanager
async def over_sockets(slack: Slack, app: AsyncApp, *, ping_interval: float = 1.0) -> AsyncIterator[AsyncApp]:
    """bolt's own Socket Mode handler, connected."""
    before = len(slack.door.connections)
    handler: Any = AsyncSocketModeHandler(app, slack.app_token, ping_interval=ping_interval)
    try:
        await handler.connect_async()
        await slack.connected(before + 1)
        yield app
    finally:
        await handler.close_async()
        await asyncio.sleep(0)  # its cancelled tasks end


@asynccontextmanager
async def over_http(slack: Slack, app: AsyncApp) -> AsyncIterator[AsyncApp]:
    """HTTP mode: what Slack sends goes to the app, and what it answers back."""

    async def handle(request: web.Request) -> web.Response:
        asked = AsyncBoltRequest(
            body=await request.text(), query=request.query_string, headers=dict(request.headers)
        )
        said = await app.async_dispatch(asked)
        headers = {name: value for name, value in said.first_headers().items() if name != "content-type"}
        content = said.first_headers().get("content-type", "text/plain").partition(";")[0]
        return web.Response(status=said.status, text=said.body, headers=headers, content_type=content)

    front = web.Application()
    front.router.add_post("/slack/events", handle)
    runner = web.AppRunner(front, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.http_to("http://{}:{}/slack/events".format(*runner.addresses[0][:2]))
    try:
        yield app
    finally:
        slack.http_to(None)
        await runner.cleanup()
