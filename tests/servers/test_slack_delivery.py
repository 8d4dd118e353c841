"""How the local Slack brings events and clicks: by Socket Mode and by HTTP, with retries and replaced connections."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import NoAnswer, Slack
from tests.servers.slack.bolt import client_of, over_http, over_sockets

Json = dict[str, Any]
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack.start() as slack:
        yield slack


async def link(slack: Slack, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """A bare connection of Socket Mode, past its hello."""
    opened = await AsyncWebClient(base_url=slack.api).apps_connections_open(app_token=slack.app_token)
    socket = await session.ws_connect(opened["url"])
    assert (await socket.receive_json())["type"] == "hello"
    return socket


@asynccontextmanager
async def receiver(handle: Handle) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/slack/events", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/slack/events".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


# -------------------------------------------------------------------------------------------------------- Socket Mode


async def test_an_event_nobody_acknowledges_comes_again_by_another_connection(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    async with aiohttp.ClientSession() as session:
        one, two = await link(slack, session), await link(slack, session)
        typing = asyncio.create_task(bo.types(billing, "hello"))
        first = await one.receive_json()
        assert (first["type"], first["retry_attempt"], first["retry_reason"]) == ("events_api", 0, "")
        await slack.passes(3.1)
        ts = await typing
        again = await two.receive_json()
        assert again["payload"] == first["payload"]
        assert again["envelope_id"] != first["envelope_id"]
        assert (again["retry_attempt"], again["retry_reason"]) == (1, "timeout")
        await two.send_json({"envelope_id": again["envelope_id"]})
        await slack.until(lambda: slack.door.deliveries[0].acked)
        assert again["payload"]["event"]["ts"] == ts
        assert slack.lost == []


async def test_with_one_connection_alone_what_it_misses_is_lost(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    await bo.types(billing, "before anybody listens")
    async with aiohttp.ClientSession() as session:
        silent = await link(slack, session)
        typing = asyncio.create_task(bo.types(billing, "not acknowledged"))
        await slack.until(lambda: slack.door.deliveries)
        for seconds in (3.1, 0.1, 60.1, 300.1):
            await slack.passes(seconds)
        await typing
        await slack.until(lambda: len(slack.lost) == 2)
        assert not silent.closed
    assert [one["event"]["text"] for one in slack.lost] == ["before anybody listens", "not acknowledged"]


async def test_a_click_that_is_not_acknowledged_is_not_repeated(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    slack.scale = 0.02
    async with aiohttp.ClientSession() as session:
        silent = await link(slack, session)
        with pytest.raises(NoAnswer):
            await bo.commands("/hub", "next", billing)
        assert slack.door.deliveries[0].tries == ["timeout"]
        assert not silent.closed


async def test_a_ticket_opens_one_connection_and_an_app_has_ten_at_most(slack: Slack) -> None:
    async with aiohttp.ClientSession() as session:
        opened = await AsyncWebClient(base_url=slack.api).apps_connections_open(app_token=slack.app_token)
        async with session.ws_connect(opened["url"]) as socket:
            assert (await socket.receive_json())["num_connections"] == 1
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(opened["url"])
            others = [await link(slack, session) for _ in range(9)]
            opened = await AsyncWebClient(base_url=slack.api).apps_connections_open(app_token=slack.app_token)
            async with session.ws_connect(opened["url"]) as eleventh:
                assert (await eleventh.receive_json())["reason"] == "too_many_websockets"
            assert not any(one.closed for one in others)


async def test_a_connection_is_replaced_and_nothing_is_missed(slack: Slack) -> None:
    """slack-sdk opens the next one on the warning already; ours may open it before."""
    billing, bo = slack.channel("billing"), slack.user("Bo")
    heard: list[str] = []
    client = client_of(slack)
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)

    @app.event("message")
    async def message(event: Json) -> None:
        heard.append(event["text"])

    async with over_sockets(slack, app, ping_interval=0.1):
        first = slack.door.connections[0]
        refreshing = asyncio.create_task(slack.door.refresh())
        await slack.until(lambda: slack.door.connections and slack.door.connections[0] is not first)
        await bo.types(billing, "after the warning")
        await slack.passes(10.1)
        await refreshing
        await slack.door.drop()
        await slack.until(lambda: not slack.door.connections)
        await slack.connected()
        await bo.types(billing, "after the break")
        await slack.until(lambda: len(heard) == 2)
    assert heard == ["after the warning", "after the break"]


# --------------------------------------------------------------------------------------------------------------- HTTP


async def test_http_is_signed_and_repeated_with_its_headers(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    seen: list[tuple[dict[str, str], bytes]] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        seen.append(({name.lower(): value for name, value in request.headers.items()}, body))
        return web.Response(status=500 if len(seen) < 3 else 204)

    async with receiver(handle) as url:
        slack.http_to(url)
        await bo.types(billing, "hello")
        await slack.until(lambda: len(slack.door.deliveries[0].tries) == 2)
        await slack.passes(60.1)
        await slack.until(lambda: len(seen) == 3)
        await slack.until(lambda: slack.door.deliveries[0].acked)
    verifier = SignatureVerifier(slack.signing_secret)
    assert all(verifier.is_valid_request(body, headers) for headers, body in seen)
    assert [headers.get("x-slack-retry-num") for headers, _ in seen] == [None, "1", "2"]
    assert seen[1][0]["x-slack-retry-reason"] == "http_error"
    assert len({body for _, body in seen}) == 1


async def test_an_app_may_say_that_it_wants_no_retry(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    seen: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response(status=500, headers={"X-Slack-No-Retry": "1"})

    async with receiver(handle) as url:
        slack.http_to(url)
        await bo.types(billing, "hello")
        await slack.passes(400)
    assert len(seen) == 1


async def test_a_slow_app_is_asked_again(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    reasons: list[str] = []
    hanging = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        reasons.append(request.headers.get("X-Slack-Retry-Reason", ""))
        if len(reasons) == 1:
            await hanging.wait()
        return web.Response()

    async with receiver(handle) as url:
        slack.http_to(url)
        typing = asyncio.create_task(bo.types(billing, "hello"))
        await slack.until(lambda: reasons)
        await slack.passes(3.1)
        await typing
        await slack.until(lambda: len(reasons) == 2)
        hanging.set()
    assert reasons == ["", "http_timeout"]


async def test_bolt_takes_clicks_and_commands_over_http(slack: Slack) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    client = client_of(slack)
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)

    @app.command("/hub")
    async def command(ack: Any, command: Json) -> None:
        await ack(text=f"You asked for {command['text']} & more")

    @app.shortcut("why_here")
    async def why(ack: Any, body: Json) -> None:
        await ack()
        await client.chat_postEphemeral(channel=billing, user=body["user"]["id"], text="because")

    heard: list[str] = []

    @app.event("message")
    async def message(body: Json) -> None:
        heard.append(body["event_id"])

    async with over_http(slack, app):
        assert await slack.verifies(str(slack.door.url))
        ts = await bo.types(billing, "hello")
        assert await bo.commands("/hub", "next", billing) == {"text": "You asked for next & more"}
        await bo.shortcut("why_here", billing, ts)
        await slack.until(lambda: len(bo.ephemerals) == 2)
        assert await slack.repeats()
        await slack.until(lambda: len(heard) == 2)
        assert len(set(heard)) == 1
        slack.signing_secret = "another"
        with pytest.raises(NoAnswer):
            await bo.commands("/hub", "next", billing)
    assert [one["text"] for one in bo.ephemerals] == ["You asked for next & more", "because"]


# --------------------------------------------------------------------------------------------------------------- events


async def test_the_app_hears_of_what_it_asked_for_where_its_bot_is(slack: Slack) -> None:
    billing, other = slack.channel("billing"), slack.channel("other", bot=False)
    secret, bo = slack.channel("secret", private=True), slack.user("Bo")
    seen: list[Json] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(json.loads(await request.read()))
        return web.Response()

    async with receiver(handle) as url:
        slack.http_to(url)
        await bo.types(other, "the bot is not here")
        ts = await bo.types(billing, "one")
        await bo.edits(billing, ts, "two")
        await bo.reacts(billing, ts, "outbox_tray")
        await bo.deletes(billing, ts)
        await bo.types(secret, "three", files=(("a.txt", b"abc"),))
        await bo.unreacts(secret, (await _reacted(bo, secret)), "eyes")  # reaction_removed: not subscribed to
        await bo.joins(billing)
        await bo.opens_home()
        await bo.becomes(deleted=True)
        slack.archive(billing)
        slack.rate_limited()
        await slack.settled()
    events = [(one["event"]["type"], one["event"].get("subtype")) for one in seen if "event" in one]
    assert sorted(events, key=str) == sorted(
        [
            ("message", None),
            ("message", "message_changed"),
            ("reaction_added", None),
            ("message", "message_deleted"),
            ("message", "file_share"),
            ("message", None),
            ("reaction_added", None),
            ("app_home_opened", None),
            ("user_change", None),
            ("channel_archive", None),
        ],
        key=str,
    )
    changed = next(one["event"] for one in seen if one.get("event", {}).get("subtype") == "message_changed")
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("two", "one")
    assert changed["message"]["ts"] == ts != changed["ts"]
    assert len({one["event_id"] for one in seen if "event" in one}) == len(events)
    assert [one["type"] for one in seen if "event" not in one] == ["app_rate_limited"]


async def _reacted(bo: Any, channel: str) -> str:
    ts: str = await bo.types(channel, "react to this")
    await bo.reacts(channel, ts, "eyes")
    return ts
