"""S5 as strangers send files by their providers: from a hostile server through the worker to what a browser is told."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crm_store.db import Store
from hub import showing
from hub.model import Media
from tests.servers.http import Provider, Say
from tests.workers.test_fetch import Darkroom

HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
PNG = b"\x89PNG\r\n\x1a\n"
PDF = "application/pdf"
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def image_bomb() -> bytes:
    """65,000 pixels square: 17 GB once decoded, from 100 kB."""
    header = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 6, 0, 0, 0)
    return (
        PNG
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 20_000_000, 9))
        + chunk(b"IEND", b"")
    )


def zip_bomb(files: int = 1, size: int = 10_000_000, nested: int = 0) -> bytes:
    data = b"\0" * size
    for _ in range(nested + 1):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for number in range(files):
                archive.writestr(f"../../{number}.txt", data)
        data, files = packed.getvalue(), 1
    return data


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


@pytest.fixture
async def room(sqlite_url: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Darkroom]:
    store = Store.open(sqlite_url)
    made = Darkroom(store, provider, tmp_path / "blobs")
    made.gallery.limit_bytes = 2_000_000
    async with made.office:
        yield made
    store.close()


# (name and type that are claimed, bytes) -> (state, name, type that is kept, how a browser may show it)
ROWS = {
    "markup as a picture's type": ("a.png", "image/png", HTML, "file", "done", "a.png", showing.OCTETS, None),
    "markup where a picture was said": ("", "image/png", HTML, "image", "waiting", "", "", None),
    "a page": ("page.html", "text/html", HTML, "file", "refused", "", "", None),
    "a drawing with script": ("a.svg", "image/svg+xml", SVG, "file", "refused", "", "", None),
    "a drawing without its ending": ("a", "image/svg+xml", SVG, "file", "done", "a", showing.OCTETS, None),
    "a program with a picture's name": ("a.jpg", "image/jpeg", b"MZ\x90\0", "image", "refused", "", "", None),
    "a script": ("a.txt", "text/plain", b"#!/bin/sh\nrm -rf /\n", "file", "refused", "", "", None),
    "two endings": ("photo.jpg.exe", "image/jpeg", PNG, "file", "refused", "", "", None),
    "a name that turns round": ("photo\u202egnp.exe", "image/png", PNG, "file", "refused", "", "", None),
    "a name that leads elsewhere": ("../../../etc/cron.d/x", "", b"hello", "file", "done", "x", "text/plain", None),
    "a drive": ("C:\\Windows\\x.txt", "", b"hello", "file", "done", "x.txt", "text/plain", None),
    "a device": ("nul.txt", "", b"hello", "file", "done", "_nul.txt", "text/plain", None),
    "a header in a name": ("a\r\nX: y.txt", "", b"hello", "file", "done", "aX_ y.txt", "text/plain", None),
    "a virus, as a program": ("eicar.com", "", EICAR, "file", "refused", "", "", None),
    "a virus, as text": ("eicar.txt", "", EICAR, "file", "done", "eicar.txt", "text/plain", None),
    "a picture that is a page": ("a.gif", "", b"GIF89a" + HTML, "image", "done", "a.gif", "image/gif", "image/gif"),
    "a PDF with script": ("a.pdf", "", b"%PDF-1.7 /JS (app.alert(1))", "file", "done", "a.pdf", PDF, PDF),
    "a film": ("a.mp4", "", b"\0\0\0\x18ftypisom", "video", "done", "a.mp4", "video/mp4", "video/mp4"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.replace(" ", "_"))
async def test_what_becomes_of_a_strangers_file(row: str, room: Darkroom) -> None:
    name, said, data, kind, state, kept_name, kept_type, shown = ROWS[row]
    room.provider.default = Say(body=data, headers={"Content-Type": said or "application/octet-stream"})
    message = room.said(Media(ref="x", kind=kind, name=name, content_type=said))
    await room.fetch()
    assert room.row(message).state == state
    files = room.entry(message).attachments
    if state != "done":
        assert files == ()
        assert room.blobs.usage() == (0, 0)
        return
    (file,) = files
    assert (file.name, file.content_type) == (kept_name, kept_type)
    assert room.blobs.read(file.sha256) == data, "kept as it came"
    assert showing.shown_as(data[: showing.HEAD_BYTES], file.content_type) == shown
    assert showing.shown_as(data[: showing.HEAD_BYTES], "text/html") == shown, "no claim makes it a page"


@pytest.mark.parametrize(
    "what, data",
    [
        ("a thousand times its size", zip_bomb(size=50_000_000)),
        ("ten thousand files", zip_bomb(files=10_000, size=1)),
        ("bombs in bombs", zip_bomb(files=5, size=5_000_000, nested=2)),
        ("a picture of 17 GB", image_bomb()),
    ],
)
async def test_nothing_is_unpacked(what: str, data: bytes, room: Darkroom) -> None:
    room.provider.default = Say(body=data)
    message = room.said(Media(ref="x", name="bomb", content_type="application/zip"))
    tracemalloc.start()
    began = time.process_time()
    await room.fetch()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (file,) = room.entry(message).attachments
    assert file.size_bytes == len(data)
    assert most < 12 * len(data) + 4_000_000, "only copies of the packed bytes"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("length", [255, 256, 1000, 5000])
@pytest.mark.parametrize("letter", ["n", "ü", "😀"])
async def test_long_names(length: int, letter: str, room: Darkroom) -> None:
    room.provider.default = Say(body=b"hello")
    message = room.said(Media(ref="x", name=letter * length + ".txt"))
    await room.fetch()
    (file,) = room.entry(message).attachments
    assert len(file.name.encode()) <= 200
    assert file.name.endswith(".txt")


async def test_no_secret_stands_in_what_people_read(room: Darkroom) -> None:
    """The channel's credentials and the file's address may be secrets: a Telegram file's has the bot's token in it."""
    for say in (
        Say(status=500),
        Say(status=410),
        Say(cut="before"),
        Say(status=302, headers={"Location": "/x"}),
    ):
        room.provider.default = say
        message = room.said(Media(ref="bot12345:TOKEN/file"))
        await room.fetch()
        why = room.row(message).why
        assert why
        assert "TOKEN" not in why
        assert "secret" not in why
