"""The edge over real sockets: what is taken, what is refused and in which words, and what a flood may cost."""

import asyncio
import contextlib
import gzip
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors import signing
from connectors.edge import Buckets, Limit, Limits, bucket_key, same_place
from hub.errors import Unavailable
from hub.model import MessageReceived, Unreadable
from tests.connectors.gate import SECRET, gate, sha
from tests.each import each

HELLO = b'{"id":"m-1","from":"mailto:ann@example.com","text":"hello"}'


def message(number: int) -> bytes:
    return json.dumps({"id": f"m-{number}", "from": "tel:+14155552671", "text": f"text {number}"}).encode()


async def test_a_signed_message_is_on_disk_before_it_is_answered(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        assert await g.post(HELLO) == (200, {"accepted": True, "id": "m-1"})
        (event,) = g.kept()
        assert isinstance(event, MessageReceived)
        assert (event.sender, event.text) == ("mailto:ann@example.com", "hello")
        assert g.counts["accepted", "webhook/demo"] == 1


async def test_header_names_may_have_any_case_and_no_server_is_named(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        stamp = int(datetime.now(UTC).timestamp())
        for name in ("X-MAINSTEM-SIGNATURE", "x-mainstem-signature"):
            headers = {name: signing.sign(SECRET, HELLO, stamp)}
            async with g.http.post(f"{g.url}/in/webhook/demo", data=HELLO, headers=headers) as got:
                assert got.status == 200
                assert "Server" not in got.headers
        for path in ("/nowhere", "/healthz", "/in/webhook/demo", "/chat/main"):
            async with g.http.get(g.url + path) as got:
                assert "Server" not in got.headers


@pytest.mark.parametrize(
    "what, status",
    [
        ("forged", 401),
        ("other account's secret", 401),
        ("doubled header", 401),
        ("no header", 401),
        ("old", 401),
        ("from the future", 401),
        ("just inside", 200),
        ("unknown account", 404),
        ("unknown connector", 404),
        ("other method", 405),
    ],
)
async def test_what_is_refused(what: str, status: int, tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        now = datetime.now(UTC)
        age = {"old": 301, "from the future": -302, "just inside": 295}.get(what, 0)
        secret = {"forged": "wrong", "other account's secret": "gate-other-secret"}.get(what, SECRET)
        value = signing.sign(secret, HELLO, int((now - timedelta(seconds=age)).timestamp()))
        headers = [(signing.HEADER, value)] * {"doubled header": 2, "no header": 0}.get(what, 1)
        path = {"unknown account": "webhook/nobody", "unknown connector": "pigeon/post"}.get(
            what, "webhook/demo"
        )
        method = "GET" if what == "other method" else "POST"
        async with g.http.request(method, f"{g.url}/in/{path}", data=HELLO, headers=headers) as got:
            assert got.status == status
            said = await got.json()
        assert ("error" in said) == (status != 200)
        assert SECRET not in json.dumps(said)
        assert len(g.kept()) == (status == 200)


async def test_the_web_chat_takes_nothing_at_in(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        assert (await g.post(b"{}", key="webchat/main"))[0] == 405


async def test_an_account_in_trouble_asks_to_come_again(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey, troubles=lambda: {"webhook/broken": "its secret is missing"}) as g:
        status, said = await g.post(HELLO, key="webhook/broken")
        assert status == 503
        assert "secret" not in json.dumps(said)


@pytest.mark.parametrize(
    "body", [b'{"id":"x"', b"\xff\xfe", b"", b"[" * 100_000, b'{"id":"x","kind":"telepathy"}']
)
async def test_what_cannot_be_read_is_kept_whole_and_never_an_error(
    body: bytes, tmp_path: Path, valkey: str
) -> None:
    async with gate(tmp_path, valkey) as g:
        for _ in range(2):
            status, said = await g.post(body)
            assert (status, said["kept"]) == (202, True)
        one, two = g.kept()
        assert isinstance(one, Unreadable)
        assert isinstance(two, Unreadable)
        assert one.event_key == two.event_key, "the same bytes are one entry in quarantine"
        assert g.blobs.read(one.blob) == body


async def test_a_parser_s_bug_costs_no_message(
    tmp_path: Path, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors import webhook

    def broken(raw: Any, account: Any) -> Any:
        raise KeyError("somebody's mistake")

    monkeypatch.setattr(webhook, "events", broken)
    async with gate(tmp_path, valkey) as g:
        status, said = await g.post(HELLO)
        assert status == 202
        assert "mistake" not in json.dumps(said)
        (event,) = g.kept()
        assert isinstance(event, Unreadable)
        assert "KeyError" in event.reason


async def test_files_in_a_message_are_there_before_it(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        body = b'{"id":"f-1","from":"tel:+14155552671","attachments":[{"name":"a.txt","data":"aGVsbG8="}]}'
        assert (await g.post(body))[0] == 200
        assert g.blobs.read(sha(b"hello")) == b"hello"


# ------------------------------------------------------------------------------------------------------- bodies


async def test_bodies_beyond_the_cap_are_not_read(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey, body_limit_bytes=10_000) as g:
        assert (await g.post(b"x" * 10_000))[0] == 202
        assert (await g.post(b"x" * 10_001))[0] == 413

        async def endless() -> Any:
            for _ in range(1000):
                yield b"y" * 1000

        try:
            async with g.http.post(f"{g.url}/in/webhook/demo", data=endless()) as got:
                assert got.status == 413
        except aiohttp.ClientOSError:
            pass  # it went on writing after we had answered and hung up
        assert g.counts["too_large", "webhook/demo"] == 2
        # The declared size alone is enough: not a byte of the 100 MB is waited for.
        status = await _raw(
            g.port, b"POST /in/webhook/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
        )
        assert status.startswith(b"HTTP/1.1 413")


async def test_compressed_bodies_are_refused_unopened(tmp_path: Path, valkey: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    async with gate(tmp_path, valkey) as g:
        status, said = await g.post(bomb, **{"Content-Encoding": "gzip"})
        assert status == 415
        assert "uncompressed" in said["error"]


async def _raw(
    port: int, request: bytes, *, more: bytes = b"", every_s: float = 0.02, limit: int = 500
) -> bytes:
    """Write `request`, then `more` byte by byte; what came back until the other side hung up.

    A bare socket: what was answered can still be read after the other side refused to hear more.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request)
        answer = asyncio.create_task(_until_hung_up(client))
        for byte in more[:limit]:
            if answer.done():
                break
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(client, bytes([byte]))
            await asyncio.sleep(every_s)
        done, _ = await asyncio.wait({answer}, timeout=60)
        assert done, "the connection was left open"
        return answer.result()


async def _until_hung_up(client: socket.socket) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionError):
        while got := await asyncio.get_running_loop().sock_recv(client, 65_536):
            heard += got
    return heard


async def test_slow_clients_are_let_go_and_others_are_served_meanwhile(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey, header_s=1.5, body_s=0.4) as g:
        head = b"POST /in/webhook/demo HTTP/1.1\r\nHost: x\r\n"
        slow = [
            asyncio.create_task(_raw(g.port, b"")),  # says nothing at all
            *(asyncio.create_task(_raw(g.port, head, more=b"X-A: " + b"a" * 500)) for _ in range(40)),
            asyncio.create_task(_raw(g.port, head + b"Content-Length: 500\r\n\r\n", more=b"b" * 500)),
        ]
        await asyncio.sleep(0.1)
        for number in range(20):
            assert (await g.post(message(number)))[0] == 200
        silent, *headers, body = await asyncio.gather(*slow)
        assert silent == b""
        assert set(headers) == {b""}
        assert body.startswith(b"HTTP/1.1 408")
        assert len(g.kept()) == 20


async def test_what_is_not_http_gets_a_sentence_and_no_inside(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        said = await _raw(g.port, b"\x16\x03\x01\x02\x00\x01hello\r\n\r\n")
        assert said.split(b"\r\n")[0].endswith(b" 400 Bad Request")
        assert b"Traceback" not in said
        assert b"aiohttp" not in said


async def test_our_own_failure_tells_outsiders_nothing(tmp_path: Path, valkey: str) -> None:
    def fails() -> Any:
        raise RuntimeError("postgres://user:secret@db/")

    async with gate(tmp_path, valkey, accounts={}) as g:
        object.__setattr__(g.edge, "accounts", fails)
        status, said = await g.post(HELLO)
        assert (status, said) == (500, {"error": "something went wrong here"})


# ------------------------------------------------------------------------------------------------- not kept


async def test_where_the_journal_cannot_be_written_the_sender_is_asked_to_come_again(
    tmp_path: Path, valkey: str
) -> None:
    async def full(events: Any, cursor: Any = None) -> None:
        raise Unavailable("the disk is full")

    async with gate(tmp_path, valkey) as g:
        object.__setattr__(g.edge, "accept", full)
        async with g.http.post(
            f"{g.url}/in/webhook/demo",
            data=HELLO,
            headers={signing.HEADER: signing.sign(SECRET, HELLO, int(datetime.now(UTC).timestamp()))},
        ) as got:
            assert got.status == 503
            assert got.headers["Retry-After"] == "5"
            assert "disk" not in await got.text()
        assert g.kept() == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="with a full disk, because there is no /dev/full")
async def test_where_blobs_cannot_be_written_nothing_that_names_them_is_kept(
    tmp_path: Path, valkey: str
) -> None:
    async with gate(tmp_path, valkey) as g:
        (tmp_path / "blobs").write_text("a file where the folder should be")
        assert (await g.post(b'{"id":'))[0] == 503
        assert g.kept() == []
        (tmp_path / "blobs").unlink()
        assert (await g.post(b'{"id":'))[0] == 202


async def test_with_redis_away_messages_are_still_taken(tmp_path: Path) -> None:
    async with gate(tmp_path, f"unix://{tmp_path}/no.sock") as g:
        assert (await g.post(HELLO))[0] == 200
        assert g.texts() == ["hello"]


# --------------------------------------------------------------------------------------------------- floods


async def test_a_forged_flood_is_turned_away_unread_and_the_good_all_pass(
    tmp_path: Path, valkey: str
) -> None:
    limits = Limits(bad=Limit(per_s=0.001, burst=20))
    async with gate(tmp_path, valkey, limits=limits) as g:

        async def forge() -> list[int]:
            connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                out = []
                for _ in range(200):
                    async with session.post(f"{g.url}/in/webhook/demo", data=HELLO) as got:
                        out.append(got.status)
                return out

        async def good() -> list[int]:
            return [(await g.post(message(n)))[0] for n in range(200)]

        forged, taken = await asyncio.gather(forge(), good())
        assert taken == [200] * 200
        assert forged == [401] * 20 + [429] * 180
        assert len(g.kept()) == 200


async def test_one_account_s_flood_is_asked_to_come_again_and_others_pass(
    tmp_path: Path, valkey: str
) -> None:
    limits = Limits(account=Limit(per_s=0.001, burst=5))
    async with gate(tmp_path, valkey, limits=limits) as g:
        assert [(await g.post(message(n)))[0] for n in range(7)] == [200] * 5 + [503] * 2
        assert (await g.post(message(9), key="webhook/other", secret="gate-other-secret"))[0] == 200


async def test_one_address_s_flood_ends_before_anything_is_read(tmp_path: Path, valkey: str) -> None:
    limits = Limits(request=Limit(per_s=0.001, burst=3))
    async with gate(tmp_path, valkey, limits=limits) as g:
        assert [(await g.post(message(n)))[0] for n in range(5)] == [200] * 3 + [429] * 2


def test_buckets_fill_again_and_stay_few() -> None:
    now = [0.0]
    buckets = Buckets(Limit(per_s=2, burst=3), size=100, now=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.spent("a")
    assert buckets.wait_s("a") == pytest.approx(0.5)
    now[0] = 0.5
    assert not buckets.spent("a")
    assert [buckets.take("a"), buckets.take("a")] == [True, False]
    now[0] = 1000.0
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    for number in range(10_000):
        buckets.take(str(number))
    assert len(buckets) == 100


async def test_the_client_s_address_is_believed_from_our_own_proxies_only(
    tmp_path: Path, valkey: str
) -> None:
    limits = Limits(bad=Limit(per_s=0.001, burst=1))
    forwarded = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("X-Forwarded-For", "192.0.2.44")]
    for proxies, expected in ((0, [401, 429, 429]), (1, [401, 429, 401]), (2, [401, 429, 401])):
        async with gate(tmp_path / str(proxies), valkey, limits=limits, trusted_proxies=proxies) as g:
            got = []
            for headers in (forwarded, forwarded, [("X-Forwarded-For", "192.0.2.1, 192.0.2.2")]):
                async with g.http.post(f"{g.url}/in/webhook/demo", data=HELLO, headers=headers) as response:
                    got.append(response.status)
            assert got == expected


@each(
    "address, key",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.44", "192.0.2.44"),
        ("", ""),
    ],
)
def test_what_a_limit_counts_by(address: str, key: str) -> None:
    assert bucket_key(address) == key


@each(
    "origin, ours, same",
    [
        ("https://hub.example", "https://hub.example", True),
        ("https://hub.example:443", "https://hub.example", True),
        ("http://hub.example", "https://hub.example", False),
        ("https://evil.example", "https://hub.example", False),
        ("https://hub.example.evil.example", "https://hub.example", False),
        ("https://hub.example@evil.example", "https://hub.example", False),
        ("https://hub.example/", "https://hub.example", False),
        ("null", "https://hub.example", False),
        ("http://localhost:8080", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "http://0.0.0.0:8080", True),
        ("http://localhost:9000", "http://127.0.0.1:8080", False),
        ("http://localhost", "https://hub.example", False),
        ("http://localhost:x", "http://127.0.0.1:8080", False),
        ("https://[hub.example", "https://hub.example", False),
    ],
)
def test_own_origin(origin: str, ours: str, same: bool) -> None:
    assert same_place(origin, ours) is same


# ------------------------------------------------------------------------------------------------ everything else


async def test_duplicates_at_once_have_one_key(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        answers = await asyncio.gather(*(g.post(HELLO) for _ in range(10)))
        assert set(map(str, answers)) == {str((200, {"accepted": True, "id": "m-1"}))}
        assert {event.event_key for event in g.kept()} == {"m-1"}


async def test_health_is_what_it_is_told(tmp_path: Path, valkey: str) -> None:
    parts = {"journal": "", "redis": ""}

    async def look() -> dict[str, str]:
        return parts

    async with gate(tmp_path, valkey, ready=look) as g:
        for why, status in (("", 200), ("the disk is full", 503)):
            parts["journal"] = why
            async with g.http.get(f"{g.url}/readyz") as got:
                assert got.status == status
                assert (await got.json())["parts"]["journal"] == (why or "ok")
            async with g.http.get(f"{g.url}/healthz") as got:
                assert got.status == 200


@pytest.mark.parametrize(
    "version, asked, kept", [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False)]
)
async def test_connections_are_kept_as_the_client_asks(
    version: str, asked: str, kept: bool, tmp_path: Path, valkey: str
) -> None:
    async with gate(tmp_path, valkey) as g:
        proof = signing.sign(SECRET, HELLO, int(datetime.now(UTC).timestamp()))
        head = f"POST /in/webhook/demo HTTP/{version}\r\nHost: x\r\n{signing.HEADER}: {proof}\r\n"
        head += f"Connection: {asked}\r\n" if asked else ""
        whole = f"{head}Content-Length: {len(HELLO)}\r\n\r\n".encode() + HELLO
        reader, writer = await asyncio.open_connection("127.0.0.1", g.port)
        writer.write(whole * (2 if kept else 1))  # the second on the heels of the first
        answers = []
        for _ in range(2 if kept else 1):
            answer = await asyncio.wait_for(reader.readuntil(b"}"), 60)
            assert answer.startswith(f"HTTP/{version} 200 OK\r\n".encode())
            assert answer.endswith(b'{"accepted":true,"id":"m-1"}')
            assert b"\r\nContent-Type: application/json\r\n" in answer
            assert b"\r\nDate: " in answer
            answers.append(answer)
        if not kept:
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        assert len(g.kept()) == len(answers)


async def test_an_absolute_request_target_and_expect_are_understood(tmp_path: Path, valkey: str) -> None:
    async with gate(tmp_path, valkey) as g:
        proof = signing.sign(SECRET, HELLO, int(datetime.now(UTC).timestamp())).encode()
        head = b"POST http://elsewhere.example/in/webhook/demo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += b"%b: %b\r\nContent-Length: %d\r\n\r\n" % (signing.HEADER.encode(), proof, len(HELLO))
        assert (await _raw(g.port, head + HELLO)).startswith(b"HTTP/1.1 200")
        status, _ = await g.post(HELLO, Expect="100-continue")
        assert status == 200


def test_nothing_waits_where_a_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        async def start() -> None:
            async with serve_on(taken.getsockname()[1]):
                raise AssertionError("it must not start")

        with pytest.raises(OSError):
            asyncio.run(start())


def serve_on(port: int) -> Any:
    from connectors.edge import Edge
    from connectors.web import build_app, serve

    edge: Any = Edge(
        accounts=dict,
        accept=None,  # type: ignore[arg-type]
        blobs=None,  # type: ignore[arg-type]
        public_url="http://127.0.0.1",
        redis=None,
    )
    return serve(build_app(edge), "127.0.0.1", port)
