"""Links to files that end by themselves: who has one gets the file, and nobody else learns anything."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from connectors import files
from connectors.edge import Edge, Limit, Limits
from hub import showing
from hub.errors import Unavailable
from hub.links import Links
from hub.model import Attachment
from tests.connectors.gate import Gate, gate
from tests.each import each

KEY = b"an installation's key of some length"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
MP4 = b"\x00\x00\x00\x18ftypisom" + b"film" * 500
HTML = b"<!doctype html><script>alert(1)</script>"


class Later:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Shelf:
    """An edge with files, and links to them."""

    def __init__(self, g: Gate, clock: Later) -> None:
        self.g, self.clock = g, clock
        self.links = Links(KEY, g.url, 7)

    def link(self, data: bytes, name: str = "a.png", content_type: str = "image/png") -> str:
        sha256 = self.g.blobs.put(data)
        file = Attachment(sha256=sha256, content_type=content_type, size_bytes=len(data), name=name)
        return self.links.make(file, NOW)

    async def get(self, url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        async with self.g.http.request(method, url, headers=headers) as got:
            return got.status, got.headers, await got.read()


@pytest.fixture
async def shelf(tmp_path: Path, valkey: str) -> AsyncIterator[Shelf]:
    clock = Later()
    async with gate(tmp_path, valkey, clock=clock, links=Links(KEY, "http://hub.example", 7)) as g:
        yield Shelf(g, clock)


# -------------------------------------------------------------------------------------------------------- the links


def test_a_link_says_the_same_within_the_hour_and_ends_by_itself() -> None:
    links = Links(KEY, "https://hub.example/", 7)
    file = Attachment(sha256="ab" * 32, content_type="image/png", size_bytes=1, name="Träume & mehr.png")
    url = links.make(file, NOW)
    assert url == links.make(file, NOW + timedelta(minutes=20)), "another try says the same"
    assert url != links.make(file, NOW + timedelta(hours=2))
    assert url.startswith("https://hub.example/file/")
    assert url.endswith("/Tr%C3%A4ume___mehr.png")
    token = url.split("/")[-2]
    found = links.read(token, "Träume___mehr.png", NOW)
    assert found is not None
    assert (found.sha256, found.content_type) == ("ab" * 32, "image/png")
    assert links.read(token, "Träume___mehr.png", NOW + timedelta(days=7)) is not None
    assert links.read(token, "Träume___mehr.png", NOW + timedelta(days=7, hours=1)) is None


def test_only_what_we_made_holds() -> None:
    links = Links(KEY, "https://hub.example", 7)
    file = Attachment(sha256="ab" * 32, content_type="image/png", size_bytes=1, name="a.png")
    token = links.make(file, NOW).split("/")[-2]
    assert links.read(token, "a.png", NOW)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = [
        base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).decode().rstrip("=")
        for at in range(len(raw))
    ]
    spelt = [
        token + "=",
        token + "A",
        token[:-1],
        token.swapcase(),
        "",
        "A",
        "é" * 40,
        token + "\n",
        " " + token,
    ]
    for bad in (*forged, *spelt, "A" * 300, "A" * 1000):
        assert links.read(bad, "a.png", NOW) is None, bad
    for name in ("b.png", "a.exe", "", "A.png", "a.png "):
        assert links.read(token, name, NOW) is None
    assert (
        Links(b"another key of the same length....", "https://hub.example", 7).read(token, "a.png", NOW)
        is None
    )


@each(
    "name, plain",
    [
        ("../../etc/passwd", "etc_passwd"),
        ("a\r\nSet-Cookie: x.png", "a__Set-Cookie__x.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "file"),
        ("...", "file"),
        ("n" * 500 + ".pdf", "n" * 100 + ".pdf"),
    ],
)
def test_names_in_links_are_plain(name: str, plain: str) -> None:
    file = Attachment(sha256="ab" * 32, content_type="", size_bytes=1, name=name)
    assert Links(KEY, "https://h", 1).make(file, NOW).rpartition("/")[2] == plain


# -------------------------------------------------------------------------------------------------------- the route


@each(
    "data, said, name, content_type, how",
    [
        (PNG, "image/png", "a.png", "image/png", "inline"),
        (MP4, "video/mp4", "a.mp4", "video/mp4", "inline"),
        (MP4, "audio/mp4", "a.m4a", "audio/mp4", "inline"),
        (b"OggS....", "audio/ogg", "a.ogg", "audio/ogg", "inline"),
        (b"%PDF-1.7", "application/pdf", "a.pdf", "application/pdf", "inline"),
        (HTML, "text/html", "a.html", "application/octet-stream", "attachment"),
        (HTML, "image/png", "a.png", "application/octet-stream", "attachment"),
        (b"<svg onload='x'/>", "image/svg+xml", "a.svg", "application/octet-stream", "attachment"),
        (b"hello", "text/plain", "a.txt", "application/octet-stream", "attachment"),
        (PNG, "text/html", "a.html", "image/png", "inline"),
        (b"RIFF....WAVE", "image/webp", "a", "audio/wav", "inline"),
        (b"xxxx....WAVE", "audio/wav", "a", "application/octet-stream", "attachment"),
        (b"....ftypheic", "image/heic", "a", "application/octet-stream", "attachment"),
    ],
)
async def test_what_a_browser_may_show(
    data: bytes, said: str, name: str, content_type: str, how: str, shelf: Shelf
) -> None:
    status, headers, body = await shelf.get(shelf.link(data, name, said))
    assert (status, body) == (200, data)
    assert headers["Content-Type"] == content_type
    assert headers["Content-Disposition"].startswith(f"{how}; filename=")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert ("sandbox" in headers["Content-Security-Policy"]) is (content_type != "application/pdf")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in headers
    assert "Set-Cookie" not in headers


async def test_wrong_ended_and_gone_are_one_answer(shelf: Shelf) -> None:
    good = shelf.link(PNG)
    base, _, name = good.rpartition("/")
    gone = shelf.links.make(
        Attachment(sha256="cd" * 32, content_type="image/png", size_bytes=1, name="a.png"), NOW
    )
    answers = [await shelf.get(url) for url in (base[:-2] + "xx/" + name, f"{base}/b.png", gone)]
    shelf.clock.now = NOW + timedelta(days=7, hours=1)
    answers.append(await shelf.get(good))
    assert {(status, body) for status, _, body in answers} == {
        (404, b"There is no such file, or the link has ended.\n")
    }
    heads = [sorted((k, v) for k, v in headers.items() if k != "Date") for _, headers, _ in answers]
    assert all(head == heads[0] for head in heads)
    for path in ("/file", "/file/", "/file/x", f"/file/{'A' * 60}/"):
        assert (await shelf.get(shelf.g.url + path))[0] == 404


@each(
    "asked, first, behind",
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, None),
        ("bytes=-5", -5, None),
        ("bytes=0-99999999", 0, None),
        ("bytes=-99999999", 0, None),
    ],
)
async def test_players_ask_for_parts(asked: str, first: int, behind: int | None, shelf: Shelf) -> None:
    part = MP4[first:behind]
    status, headers, body = await shelf.get(shelf.link(MP4, "a.mp4", "video/mp4"), Range=asked)
    assert (status, body) == (206, part)
    start = MP4.index(part) if first >= 0 else len(MP4) + first
    assert headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(MP4)}"
    assert headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=9999999-", "bytes=-0"])
async def test_parts_that_are_not_there(asked: str, shelf: Shelf) -> None:
    status, headers, body = await shelf.get(shelf.link(MP4, "a.mp4", "video/mp4"), Range=asked)
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(MP4)}")


@each(
    "asked",
    ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes", "items=0-1", "bytes=a-b", "bytes=" + "9" * 99 + "-"],
)
def test_other_ranges_mean_the_whole(asked: str) -> None:
    assert showing.part(asked, 100) is None


async def test_head_tells_the_size_and_nothing_else(shelf: Shelf) -> None:
    status, headers, body = await shelf.get(shelf.link(PNG), method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(PNG)), b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await shelf.get(shelf.link(PNG), method=method))[0] == 405


async def test_who_guesses_is_turned_away(tmp_path: Path, valkey: str) -> None:
    few = replace(Limits(), bad=Limit(per_s=0.001, burst=3), file=Limit(per_s=0.001, burst=8))
    clock = Later()
    async with gate(
        tmp_path, valkey, clock=clock, limits=few, links=Links(KEY, "http://hub.example", 7)
    ) as g:
        shelf = Shelf(g, clock)
        good = shelf.link(PNG)
        assert (await shelf.get(good))[0] == 200
        got = [(await shelf.get(f"{g.url}/file/guess{n}/a.png"))[0] for n in range(5)]
        assert got == [404, 404, 404, 429, 429]
        assert (await shelf.get(good))[0] == 429


async def test_an_edge_without_links_and_one_whose_files_are_away(tmp_path: Path, valkey: str) -> None:
    class Away:
        async def read(self, sha256: str) -> bytes:
            raise Unavailable("the bucket does not answer")

        async def aput(self, data: bytes) -> str:
            raise Unavailable("the bucket does not answer")

    clock = Later()
    async with gate(tmp_path, valkey, clock=clock) as g:
        shelf = Shelf(g, clock)
        assert (await shelf.get(shelf.link(PNG)))[0] == 404
    async with gate(
        tmp_path / "2", valkey, clock=clock, blobs=Away(), links=Links(KEY, "http://hub.example", 7)
    ) as g:
        shelf = Shelf(g, clock)
        status, headers, body = await shelf.get(shelf.link(PNG))
        assert (status, headers["Retry-After"]) == (503, "30")
        assert b"bucket" not in body


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_reads_no_further_is_let_go(
    leaves: bool, tmp_path: Path, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A player that has seen enough is no fault of ours; and what nobody reads does not stay in memory."""
    doors = []

    class Door(files.Files):
        def __init__(self, edge: Edge) -> None:
            super().__init__(edge)
            doors.append(self)

    monkeypatch.setattr(files, "Files", Door)
    monkeypatch.setattr(files, "SEND_S", 60.0 if leaves else 0.05)
    clock = Later()
    async with gate(tmp_path, valkey, clock=clock, links=Links(KEY, "http://hub.example", 7)) as g:
        film = MP4 * 16_000  # 32 MB: more than the system takes for a reader who does not read
        path = urlsplit(Shelf(g, clock).link(film, "film.mp4", "video/mp4")).path
        with capture_logs() as logs:
            reader, writer = await asyncio.open_connection("127.0.0.1", g.port, limit=1024)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: hub.example\r\n\r\n".encode())
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            if leaves:
                writer.transport.abort()
            async with asyncio.timeout(60):
                while doors[0].sends.under_way:
                    await asyncio.sleep(0.01)
        got = b"" if leaves else await reader.read()
        writer.close()
        assert len(got) < len(film)
        assert [line for line in logs if line["log_level"] == "error"] == []


async def test_a_failure_of_ours_says_nothing_of_the_link(tmp_path: Path, valkey: str) -> None:
    class Broken:
        async def read(self, sha256: str) -> bytes:
            raise ValueError("a fault of ours")

    clock = Later()
    async with gate(
        tmp_path, valkey, clock=clock, blobs=Broken(), links=Links(KEY, "http://hub.example", 7)
    ) as g:
        shelf = Shelf(g, clock)
        with capture_logs() as logs:
            assert (await shelf.get(shelf.link(PNG)))[0] == 500
        assert [line["path"] for line in logs if line["event"] == "request failed"] == ["/file"]
