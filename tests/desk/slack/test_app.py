"""What Slack sends is proved to be Slack's, durable before it is acknowledged, and not lost between sockets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer
from slack_bolt.request.async_request import AsyncBoltRequest

from crm_store.db import Store
from desk.slack import app as slack_app
from desk.slack.sweep import Sweep
from hub.errors import Refused
from hub.settings import load
from tests.desk.slack.office import Office, opened, serving
from tests.each import each


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path, connect=False) as made:
        yield made
    store.close()


def conversation(office: Office) -> tuple[int, str]:
    number = office.room.writes("webchat:ann", "where is my parcel?")
    office.claims(number)
    card = office.card(number)
    office.slack.lost.clear()  # nobody was connected when the bot posted
    return number, card


def typed(office: Office, card: str, text: str = "a") -> dict[str, Any]:
    return {
        "type": "message", "channel": office.place, "user": office.bo.id, "text": text, "ts": office.slack.ts(),
        "thread_ts": card,
    }  # fmt: skip


# ----------------------------------------------------------------------------------------- kept, then acknowledged


async def test_an_event_is_kept_when_it_is_acknowledged(office: Office) -> None:
    _, card = conversation(office)
    assert (await office.tells(typed(office, card))).status == 200
    assert [row.kind for row in office.rows()] == ["message"]


async def test_the_same_event_again_is_one(office: Office) -> None:
    _, card = conversation(office)
    said = typed(office, card)
    for event_id in ("Ev1", "Ev1", "Ev2"):
        assert (await office.tells(said, event_id)).status == 200
    assert len(office.rows()) == 1


async def test_what_cannot_be_kept_is_not_acknowledged(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is held by another; Slack tries again, and a sweep is asked for in case it gives up."""
    monkeypatch.setattr(slack_app, "ACK_S", 0.2)
    gaps: list[int] = []
    office.app = slack_app.make(office.desk, gap=lambda: gaps.append(1))
    _, card = conversation(office)
    said = typed(office, card)
    with office.store.begin():
        answer = await office.tells(said)
    assert answer.status == 503
    assert "x-slack-no-retry" not in {name.lower() for name in answer.headers}
    assert gaps == [1]
    monkeypatch.setattr(slack_app, "ACK_S", 50)
    assert (await office.tells(said)).status == 200
    assert len(office.rows()) == 1


async def test_nothing_is_asked_of_slack_to_take_an_event(office: Office) -> None:
    office.slack.revoke()
    _, card = conversation(office)
    before = len(office.slack.calls)
    assert (await office.tells(typed(office, card))).status == 200
    assert len(office.slack.calls) == before


@each(
    "event",
    [{}, {"type": "message"}, {"type": "message", "subtype": "message_changed"}, {"type": "message", "thread_ts": 5},
     {"type": "message", "subtype": "message_changed", "message": "x"}, {"type": "reaction_added", "item": None},
     {"type": "reaction_added", "reaction": "outbox_tray", "item": []}, {"type": ["message"]}],
)  # fmt: skip
async def test_events_of_any_shape_are_acknowledged(office: Office, event: dict[str, Any]) -> None:
    assert (await office.tells(event)).status == 200
    assert office.rows() == []


async def test_events_that_slack_held_back_are_swept_for(office: Office) -> None:
    gaps: list[int] = []
    app = slack_app.make(office.desk, gap=lambda: gaps.append(1))
    body = {"type": "app_rate_limited", "minute_rate_limited": 1518467820}
    answer = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
    assert (answer.status, gaps) == (200, [1])


async def test_bursts(office: Office) -> None:
    _, card = conversation(office)
    async with serving(office):
        await asyncio.gather(*(office.bo.types(office.place, f"{n}", card) for n in range(50)))
        assert office.slack.lost == []
    assert len(office.rows("message")) == 50


# --------------------------------------------------------------------------------------------------------- HTTP mode


def signed(secret: str, body: bytes, at: float) -> dict[str, str]:
    stamp = str(int(at))
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={mac}",
        "Content-Type": "application/json",
    }


@pytest.fixture
async def http(office: Office) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(slack_app.web_app(office.app))) as client:
        yield client


async def test_http_mode(office: Office) -> None:
    ports: list[int] = []
    task = asyncio.ensure_future(slack_app.serve_http(office.app, office.desk, 0, opened=ports.append))
    try:
        async with asyncio.timeout(60):
            while not ports:
                await asyncio.sleep(0.005)
        office.slack.http_to(f"http://127.0.0.1:{ports[0]}/slack/events")
        number, card = conversation(office)
        await office.bo.types(office.place, "by HTTP", card)
        await office.works()
        assert [one.text for one in office.notes(number)] == ["by HTTP"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_challenge(office: Office, http: TestClient[Any, Any]) -> None:
    """https://docs.slack.dev/reference/events/url_verification"""
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"}).encode()
    now = office.room.now.timestamp()
    answer = await http.post(
        "/slack/events", data=body, headers=signed(office.slack.signing_secret, body, now)
    )
    assert (answer.status, await answer.json()) == (200, {"challenge": "3eZbrw1aB"})


@pytest.mark.parametrize(
    "how",
    ["no signature", "no stamp", "other secret", "other body", "301 s old", "301 s ahead", "no number", "huge stamp",
     "two signatures", "empty signature", "other version", "umlaut"],
)  # fmt: skip
async def test_forged(office: Office, http: TestClient[Any, Any], how: str) -> None:
    _, card = conversation(office)
    body = json.dumps(office.slack.wrapped(typed(office, card))).encode()
    now = office.room.now.timestamp()
    secret = "f" * 32 if how == "other secret" else office.slack.signing_secret
    at = now + {"301 s old": -301, "301 s ahead": 301}.get(how, 0)
    headers: Any = signed(secret, body, at)
    if how == "no signature":
        del headers["X-Slack-Signature"]
    if how == "no stamp":
        del headers["X-Slack-Request-Timestamp"]
    if how == "other body":
        body = body.replace(b'"a"', b'"b"')
    if how == "no number":
        headers["X-Slack-Request-Timestamp"] = "1.8e9"
    if how == "huge stamp":
        headers["X-Slack-Request-Timestamp"] = "9" * 5000
    if how == "empty signature":
        headers["X-Slack-Signature"] = ""
    if how == "other version":
        headers["X-Slack-Signature"] = headers["X-Slack-Signature"].replace("v0=", "v1=")
    if how == "umlaut":
        headers["X-Slack-Signature"] = "v0=\u00fc"
    if how == "two signatures":
        headers = [*headers.items(), ("X-Slack-Signature", "v0=0")]
    answer = await http.post("/slack/events", data=body, headers=headers)
    assert answer.status == 401
    assert office.rows() == []


@pytest.mark.parametrize("age_s", [-299, 0, 299])
async def test_within_five_minutes(office: Office, http: TestClient[Any, Any], age_s: int) -> None:
    _, card = conversation(office)
    body = json.dumps(office.slack.wrapped(typed(office, card))).encode()
    headers = signed(office.slack.signing_secret, body, office.room.now.timestamp() - age_s)
    assert (await http.post("/slack/events", data=body, headers=headers)).status == 200
    assert len(office.rows()) == 1


async def test_two_secrets_are_valid_while_one_is_rotated(office: Office) -> None:
    now = office.room.now.timestamp
    app = slack_app.make(office.desk, ("new", office.slack.signing_secret), now=now)
    body = b"{}"
    async with TestClient(TestServer(slack_app.web_app(app))) as client:
        for secret, status in (("new", 404), (office.slack.signing_secret, 404), ("older", 401)):
            answer = await client.post("/slack/events", data=body, headers=signed(secret, body, now()))
            assert answer.status == status


@each("body", [b"\xff\xfe", b"{", b"payload=%7B", b"[]", b"payload=[]"])
async def test_what_cannot_be_read(office: Office, http: TestClient[Any, Any], body: bytes) -> None:
    headers = signed(office.slack.signing_secret, body, office.room.now.timestamp())
    if body.startswith(b"payload"):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    assert (await http.post("/slack/events", data=body, headers=headers)).status in (400, 401)


async def test_an_unsigned_request_goes_nowhere_whatever_serves_it(office: Office) -> None:
    body = json.dumps(office.slack.wrapped(typed(office, "1.2")))
    answer = await office.app.async_dispatch(
        AsyncBoltRequest(body=body, headers={"content-type": "application/json"})
    )
    assert answer.status == 401


async def test_a_command_that_speaks_of_a_payload(office: Office, http: TestClient[Any, Any]) -> None:
    form = {
        "command": "/hub",
        "text": "find payload",
        "user_id": office.bo.id,
        "team_id": office.slack.team_id,
    }
    body = urlencode(form).encode()
    headers = signed(office.slack.signing_secret, body, office.room.now.timestamp())
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    answer = await http.post("/slack/events", data=body, headers=headers)
    assert answer.status == 200
    assert await answer.text() != ""


def test_an_empty_secret_lets_nobody_in(office: Office) -> None:
    with pytest.raises(ValueError, match="empty signing secret"):
        slack_app.make(office.desk, " ")


async def test_half_set_up(office: Office) -> None:
    from desk.slack.directory import Directory

    settings = load({"MAINSTEM_SLACK_BOT_TOKEN": "xoxb-1"})
    with pytest.raises(Refused, match="MAINSTEM_SLACK_APP_TOKEN"):
        slack_app.build(office.desk, Directory(office.desk), settings)


# ------------------------------------------------------------------------------------------------------- Socket Mode


async def test_a_connection_is_replaced_before_it_closes(office: Office) -> None:
    number, card = conversation(office)
    async with serving(office):
        door = office.slack.door
        first = door.connections[0]
        refreshing = asyncio.ensure_future(door.refresh())
        await office.slack.connected(2)
        assert first.alive, "both are open at once"
        for n in range(10):  # Slack gives them to either
            await office.bo.types(office.place, f"{n}", card)
        await office.slack.passes(10)
        await refreshing
        for n in range(10, 15):
            await office.bo.types(office.place, f"{n}", card)
        assert not first.alive
        assert len(door.connections) == 1
        assert office.slack.lost == []
        assert all(one.tries == ["ok"] for one in door.deliveries)
    await office.works()
    assert [one.text for one in office.notes(number)] == [str(n) for n in range(15)]


async def test_a_refresh_without_a_warning(office: Office) -> None:
    async with serving(office):
        first = office.slack.door.connections[0]
        await office.slack.door.refresh(warning=False)
        async with asyncio.timeout(60):
            while not [one for one in office.slack.door.connections if one is not first]:
                await asyncio.sleep(0.005)


async def test_after_a_break_it_is_swept(office: Office) -> None:
    number, card = conversation(office)
    sweep = Sweep(office.desk)
    gaps: list[int] = []
    task = asyncio.ensure_future(
        slack_app.serve_socket(office.app, office.desk, office.slack.app_token, gap=lambda: gaps.append(1))
    )
    try:
        await office.slack.connected()
        async with asyncio.timeout(60):
            while not gaps:
                await asyncio.sleep(0.005)
        office.slack.fail("apps.connections.open", 503, times=2)
        await office.slack.door.drop()
        async with asyncio.timeout(60):
            while office.slack.door.connections:
                await asyncio.sleep(0.005)
        await office.bo.types(office.place, "is anybody there?", card)
        assert len(office.slack.lost) == 1
        async with asyncio.timeout(60):
            while len(gaps) < 2:
                await asyncio.sleep(0.005)
        assert (await sweep.once()).found == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await office.works()
    assert [one.text for one in office.notes(number)] == ["is anybody there?"]


async def test_a_break_of_a_moment_is_swept_for_and_a_replacement_is_not(office: Office) -> None:
    gaps: list[int] = []
    door = office.slack.door
    task = asyncio.ensure_future(
        slack_app.serve_socket(office.app, office.desk, office.slack.app_token, gap=lambda: gaps.append(1))
    )
    try:
        await office.slack.until(lambda: len(gaps) == 1)
        refreshing = asyncio.ensure_future(door.refresh())
        await office.slack.connected(2)
        await office.slack.passes(10)
        await refreshing
        await office.slack.until(lambda: len(door.connections) == 1)
        assert len(gaps) == 1, "there was a connection all the time"
        await door.drop()
        await office.slack.until(lambda: len(gaps) == 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_buttons_come_by_the_socket_too(office: Office) -> None:
    async with serving(office):
        ack = await office.bo.commands("/hub", "help", office.place)
        assert ack


async def test_no_connection_for_a_token_that_is_no_good(office: Office) -> None:
    """It goes on knocking, without flooding anybody."""
    task = asyncio.ensure_future(slack_app.serve_socket(office.app, office.desk, "xapp-wrong"))
    await office.slack.until(lambda: office.slack.called("apps.connections.open"))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 1 <= len(office.slack.called("apps.connections.open")) <= 3


async def test_it_ends_with_what_is_in_work(office: Office) -> None:
    _, card = conversation(office)
    async with serving(office):
        await office.bo.types(office.place, "last words", card)
    assert len(office.rows("message")) == 1
