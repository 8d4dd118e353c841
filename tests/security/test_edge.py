"""S2, S16 and S17 as strangers meet the edge: replays, files, guessed tokens, a flood beside good requests."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors import signing
from connectors.edge import Limit, Limits
from hub.clock import Clock
from tests.connectors.gate import SECRET, Gate, gate
from tests.connectors.test_chat import OURS, Page, upload

BODY = b'{"id":"r-1","from":"mailto:ann@example.com","text":"once"}'


class Later:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


async def post(g: Gate, path: str, body: bytes, signature: str, **headers: str) -> int:
    async with g.http.post(
        f"{g.url}{path}", data=body, headers={signing.HEADER: signature, **headers}
    ) as got:
        return got.status


async def test_a_replayed_request_says_nothing_new_or_nothing_at_all(tmp_path: Path, valkey: str) -> None:
    later: Clock | Any = Later()
    async with gate(tmp_path, valkey, clock=later) as g:
        signature = signing.sign(SECRET, BODY, int(later.now.timestamp()))
        assert await post(g, "/in/webhook/demo", BODY, signature) == 200
        later.now += timedelta(minutes=1)
        assert await post(g, "/in/webhook/demo", BODY, signature) == 200
        assert {event.event_key for event in g.kept()} == {"r-1"}, "one key: the router stores it once"
        assert await post(g, "/in/webhook/other", BODY, signature) == 401
        assert await post(g, "/in/webhook/demo", BODY.replace(b"once", b"oncE"), signature) == 401
        later.now += timedelta(days=1)
        kept = len(g.kept())
        assert await post(g, "/in/webhook/demo", BODY, signature) == 401
        assert len(g.kept()) == kept


async def test_what_a_client_says_of_host_and_proxies_changes_no_address(tmp_path: Path, valkey: str) -> None:
    """The URL that a signature may be checked against is the configured one (S1)."""
    seen: list[str] = []
    from connectors import webhook

    class Look(webhook.Webhook):
        def verify(self, raw: Any, account: Any) -> None:
            seen.append(raw.url)

    original = webhook.CONNECTOR
    with pytest.MonkeyPatch.context() as patch:
        from connectors import CONNECTORS

        patch.setitem(CONNECTORS, "webhook", Look())  # type: ignore[arg-type]
        async with gate(tmp_path, valkey, public_url="https://hub.example.com") as g:
            for headers in (
                {"Host": "evil.example"},
                {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "1"},
                {"Forwarded": "host=evil.example;proto=http", "X-Original-URL": "/in/webhook/other"},
            ):
                assert await post(g, "/in/webhook/demo?a=%20+ü", BODY, "", **headers) == 200
    assert original is not None
    assert len(set(seen)) == 1
    assert seen[0].startswith("https://hub.example.com/in/webhook/demo?a=%20+")


async def test_files_are_counted_by_address_too(tmp_path: Path, valkey: str) -> None:
    """A visitor is quickly made: a limit for each alone would be none."""
    limits = Limits(address_file=Limit(per_s=0.001, burst=3))
    async with gate(tmp_path, valkey, limits=limits) as g, Page(g).open() as one, Page(g).open() as two:
        said = [(await upload(g, page, "a.txt", b"hello"))[0] for page in (one, two, one, two, one)]
        assert said == [200, 200, 200, 429, 429]
    assert g.blobs.usage()[0] == 1, "the same bytes are one file"


@pytest.mark.parametrize(
    "token", ["", "1", "null", "a.b", "0" * 43, "é", "x" * 5000, "../../etc/passwd", "\u202e"]
)
async def test_no_guess_at_a_token_or_a_file_opens_anything(token: str, tmp_path: Path, valkey: str) -> None:
    """No numbers to count up: what a visitor may name is sealed, and a stranger hears the same of all of it."""
    async with gate(tmp_path, valkey) as g, Page(g).open() as ann:
        status, said = await upload(g, ann, "a.txt", b"hers")
        assert status == 200
        async with Page(g).open() as eve:
            answers = set()
            for ref in (token or "x", "1", said["file"], said["file"][:-1] + "A", "f" * 200):
                async with g.http.get(
                    f"{g.url}/chat/main/files/{ref.replace('/', '%2F')}",
                    headers={"Authorization": f"Bearer {eve.token}", **OURS},
                ) as got:
                    answers.add((got.status, await got.text()))
            assert len(answers) == 1
            assert next(iter(answers))[0] == 404
        async with g.http.ws_connect(f"{g.url}/chat/main/ws", headers=OURS) as socket:
            await socket.send_json({"type": "hello", "token": token, "after": "1", "epoch": "x", "pos": "0"})
            welcome = await socket.receive_json(timeout=10)
            assert welcome["new"], "a token that was guessed is nobody's"
            assert (await socket.receive_json(timeout=10))["items"] == []


async def test_good_requests_are_quick_beside_a_forged_flood(tmp_path: Path, valkey: str) -> None:
    """As fast as this machine can forge, from another address; a good request waits for none of it."""
    limits = Limits(bad=Limit(per_s=10, burst=100))
    async with gate(tmp_path, valkey, limits=limits) as g:
        stop = asyncio.Event()
        forged = 0

        async def forge() -> None:
            nonlocal forged
            connector = aiohttp.TCPConnector(local_addr=("127.0.0.3", 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                while not stop.is_set():
                    async with session.post(f"{g.url}/in/webhook/demo", data=BODY) as got:
                        assert got.status in (401, 429)
                    forged += 1

        floods = [asyncio.create_task(forge()) for _ in range(8)]
        took = []
        for number in range(100):
            began = time.perf_counter()
            status, _ = await g.post(b'{"id":"g-%d","from":"tel:+14155552671","text":"x"}' % number)
            took.append(time.perf_counter() - began)
            assert status == 200
        stop.set()
        await asyncio.gather(*floods)
        assert forged > 100
        # Client and server share this process: most of it is what forging costs. One may meet a machine that is busy.
        assert statistics.median(took) < 0.5
        assert max(took) < 10.0
