"""Files from Slack: with our token to Slack and nobody else, never more than we take, and what they really are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crm_store.db import Store
from desk.slack import files
from hub.errors import Refused, Unavailable
from tests.desk.room import PNG
from tests.desk.slack.office import Office, opened
from tests.each import each


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path, connect=False) as made:
        yield made
    store.close()


def upload(office: Office, name: str, data: bytes, **more: Any) -> str:
    (file,) = office.bo._uploaded(((name, data),), office.place)
    for key, value in more.items():
        setattr(file, key, value)
    return file.id


async def test_a_file(office: Office) -> None:
    found = await files.fetch(office.desk, upload(office, "pixel.png", PNG))
    assert (found.name, found.content_type, found.size_bytes) == ("pixel.png", "image/png", len(PNG))
    assert office.desk.blobs.read(found.sha256) == PNG


@pytest.mark.parametrize(
    "name, data, kind",
    [
        ("a.png", b"<html><script>alert(1)</script>", "application/octet-stream"),
        ("a.pdf", b"%PDF-1.7 x", "application/pdf"),
        ("a.txt", "gr\u00fc\u00dfe".encode(), "text/plain"),
        ("a.txt", b"\x00\x01\x02", "application/octet-stream"),
        ("a.jpg", b"\xff\xd8\xff\xe0 jpeg", "image/jpeg"),
        ("a.svg", b"<svg xmlns='x'></svg>", "application/octet-stream"),
        ("a.docx", b"PK\x03\x04 word", "application/zip"),
    ],
)
async def test_its_bytes_say_what_it_is(office: Office, name: str, data: bytes, kind: str) -> None:
    found = await files.fetch(office.desk, upload(office, name, data, mimetype="image/png"))
    assert found.content_type == kind


async def test_names_do_no_harm(office: Office) -> None:
    found = await files.fetch(office.desk, upload(office, "..\u202egnp.exe", b"x"))
    assert "/" not in found.name
    assert "\u202e" not in found.name


async def test_too_large(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BYTES", 1000)
    with pytest.raises(Refused, match="larger than"):
        await files.fetch(office.desk, upload(office, "a.txt", b"x" * 1001))
    lies = upload(office, "a.txt", b"x" * 1001, length=10)
    with pytest.raises(Refused, match="larger than"):
        await files.fetch(office.desk, lies)


@each(
    "url",
    [
        "https://evil.example/files-pri/T1-F1/a.txt",
        "https://files.slack.com.evil.example/a",
        "https://files.slack.com@evil.example/a",
        "https://user:pw@files.slack.com/a",
        "http://files.slack.com/a",
        "https://files.slack.com:8443/a",
        "http://127.0.0.1:1/a",
        "file:///etc/passwd",
        "https://[/",
        "",
    ],
)
def test_the_token_goes_to_slack_alone(url: str) -> None:
    assert not files._slacks_own(url, "https://slack.com/api/")
    assert not files._slacks_own(url, "http://127.0.0.1:2/api/")


def test_slacks_own_host() -> None:
    assert files._slacks_own("https://files.slack.com/files-pri/T1-F1/a.txt", "https://slack.com/api/")


async def test_gone(office: Office) -> None:
    with pytest.raises(Refused, match="is not there"):
        await files.fetch(office.desk, "F404")
    with pytest.raises(Refused, match="was deleted"):
        await files.fetch(office.desk, upload(office, "a.txt", b"x", deleted=True))


async def test_a_page_to_sign_in_is_no_file(office: Office) -> None:
    """Slack answers with 200 and a page where the scope is missing."""
    file = upload(office, "invoice.pdf", b"%PDF-")
    office.slack.scopes.discard("files:read")
    with pytest.raises(Unavailable):
        await files.fetch(office.desk, file)


@pytest.mark.parametrize("how", [503, "ratelimited", "internal_error"])
async def test_perhaps_later(office: Office, how: Any) -> None:
    file = upload(office, "a.txt", b"x")
    office.slack.fail("files.info", how)
    with pytest.raises(Unavailable):
        await files.fetch(office.desk, file)
    assert (await files.fetch(office.desk, file)).name == "a.txt"


async def test_several(office: Office) -> None:
    listed = [{"id": upload(office, f"{n}.txt", b"x")} for n in range(3)] + [{"id": "F404"}]
    found, missing = await files.fetch_all(office.desk, listed)
    assert [one.name for one in found] == ["0.txt", "1.txt", "2.txt"]
    assert len(missing) == 1
