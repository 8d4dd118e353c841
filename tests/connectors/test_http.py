"""The guarded session: nothing of ours is reached through it, whatever an address looks like (security.md S3)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors import http
from tests.each import each
from tests.servers.http import Provider, Say

PRIVATE = """
127.0.0.1 127.1 127.0.1 127.255.255.254 0x7f000001 2130706433 0177.0.0.1 017700000001 0x7f.1 127.0.0.1.
[::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]
0.0.0.0 0 [::] 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.254
169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
[fd00:ec2::254] [fc00::1] [fe80::1] [fe80::1%25lo] [64:ff9b::a9fe:a9fe] [2001:db8::1] [ff02::1] 224.0.0.1
255.255.255.255 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 240.0.0.1 localhost
""".split()  # noqa: SIM905 — a list of fifty strings reads worse
PUBLIC = [
    "93.184.216.34",
    "8.8.8.8",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "172.32.0.1",
    "100.128.0.1",
]


class Names(AbstractResolver):
    """A DNS that says what it is told, and a different thing each time if told so."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        kind = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [ResolveResult(hostname=host, host=answer, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        return None


class Libc(AbstractResolver):
    """As the system's resolver reads numbers, in all their spellings; it knows localhost and no other name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = "127.0.0.1" if host == "localhost" else socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
        return [ResolveResult(hostname=host, host=found, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.guarded_session(resolver=Libc()) as opened:
        yield opened


@each("host", PRIVATE)
async def test_no_spelling_of_a_private_address_is_called(host: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises((aiohttp.ClientError, OSError, ValueError)) as caught:
        await session.get(f"http://{host}/")
    error = caught.value
    # Either we refused it, or it is so odd that nobody can dial it.
    assert http.refusal(error) or isinstance(
        error, aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL | ValueError
    ), error


@each("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert http.is_public(address)


@each("host", [h.strip("[]").replace("%25", "%") for h in PRIVATE])
def test_private_addresses_and_whatever_is_no_address_are_not(host: str) -> None:
    assert not http.is_public(host)


async def test_a_name_that_turns_private_is_not_followed() -> None:
    """DNS rebinding: what was looked up is what is dialled, and it is looked at there."""
    with Provider() as provider:
        port = int(provider.url.rpartition(":")[2])
        names = Names("127.0.0.1")
        async with http.guarded_session(resolver=names) as session:
            for url in ("http://rebind.example/", "http://rebind.example:8080/"):
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get(url)
                assert http.refusal(caught.value)
        assert names.asked == 2, "one look-up a connection, none in between"
        assert not provider.seen
        # The same with the guard down, so that the test proves the guard.
        async with (
            http.guarded_session(allow_private=True, resolver=Names("127.0.0.1")) as session,
            session.get(f"http://rebind.example:{port}/") as response,
        ):
            assert response.status == 200


@each(
    "url, wrong",
    [
        ("file:///etc/passwd", "https"),
        ("gopher://example.com/", "https"),
        ("https://user:secret@example.com/", "password"),
        ("https://example.com:6379/", "ports"),
        ("https://example.com:25/", "ports"),
        ("https://example.com:99999/", "not a URL"),
        ("https:///x", "no host"),
        ("example.com/x", "https"),
        ("http://[::1", "not a URL"),
    ],
)
def test_complaints_about_urls(url: str, wrong: str) -> None:
    found = http.complaint(url)
    assert found
    assert wrong in found
    assert "secret" not in found


@each("url", ["https://example.com/x?y=1", "http://example.com:8080", "https://[2606:4700::1]/"])
def test_good_urls(url: str) -> None:
    assert http.complaint(url) is None


async def test_a_port_of_other_services_is_not_called(session: aiohttp.ClientSession) -> None:
    with pytest.raises((aiohttp.ClientError, OSError)) as caught:
        await session.get("http://93.184.216.34:6379/")
    assert http.refusal(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://0x7f000001:8080/",
        "http://127.0.0.1:6379/",
    ],
)
async def test_a_redirect_inwards_is_not_followed(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop is let through as if it were public; the second stands as it is."""
    with Provider(Say(status=302, headers={"Location": location}), host="127.0.0.9") as provider:
        port = int(provider.url.rpartition(":")[2])
        monkeypatch.setattr(http, "is_public", lambda host: host == "127.0.0.9")
        monkeypatch.setattr(http, "PORTS", http.PORTS | {port})
        async with http.guarded_session(resolver=Libc()) as session:
            with pytest.raises((aiohttp.ClientError, OSError)) as caught:
                # 127.0.0.9 is this machine too; only that one spelling counts as public here.
                await session.get(f"http://127.0.0.9:{port}/")
        assert http.refusal(caught.value)
        assert len(provider.seen) == 1, "the first hop was made"


async def test_credentials_do_not_follow_to_another_origin() -> None:
    with Provider() as there, Provider(Say(status=307, headers={"Location": there.url + "/x"})) as here:
        async with http.guarded_session(allow_private=True) as session:
            await session.get(here.url, headers={"Authorization": "Bearer s3cret"})
        assert here.seen[0].headers["authorization"] == "Bearer s3cret"
        assert "authorization" not in there.seen[0].headers


async def test_a_large_answer_is_not_read_to_its_end() -> None:
    with Provider(default=Say(body=b"x" * 100_000)) as provider:
        async with http.guarded_session(allow_private=True) as session:
            async with session.get(provider.url) as response:
                with pytest.raises(http.TooLarge):
                    await http.read_capped(response, 50_000)
            async with session.get(provider.url) as response:
                assert len(await http.read_capped(response, 100_000)) == 100_000


async def test_a_short_answer_of_unsaid_length_is_held_to_its_limit_too() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with http.guarded_session(allow_private=True) as session:
            async with session.get(url) as response:
                assert await http.read_capped(response, 5) == b"hello"
            async with session.get(url) as response:
                with pytest.raises(http.TooLarge):
                    await http.read_capped(response, 4)


async def test_a_slow_answer_ends_with_the_session_s_patience() -> None:
    with Provider(default=Say(hang=True)) as provider:
        async with http.guarded_session(allow_private=True, total_s=0.2) as session:
            with pytest.raises(TimeoutError):
                await session.get(provider.url)


def test_a_refusal_is_found_behind_others() -> None:
    inner = http.TargetRefused("no")
    outer: Any = RuntimeError("x")
    outer.__cause__ = inner
    assert http.refusal(outer) is inner
    assert http.refusal(ValueError()) is None
