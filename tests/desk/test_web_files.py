"""Strangers' text and files: saved, shown as text, never run."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crm_store import views
from crm_store.db import Store
from desk import safe
from hub import showing
from tests.desk.room import PNG, Room, make
from tests.each import each


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Any:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


HTML = b"<!doctype html><script>document.title='ran'</script>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


async def test_files_are_saved_and_only_true_pictures_are_shown(room: Room) -> None:
    number = room.writes(
        "webchat:ann",
        "look",
        files=(
            ("page.html", "text/html", HTML),
            ("drawing.svg", "image/svg+xml", SVG),
            ("picture.png", "image/png", PNG),
            ("claims.png", "image/png", HTML),
            ('..\\..\\e"v\r\nil\u202egnp.exe', "application/x-msdownload", b"MZ"),
        ),
    )
    with room.store.read() as tx:
        message = views.conversation(tx, number).history.entries[0].id
    async with room.browsers() as browse:
        bo = await browse("bo")
        for position in range(5):
            for how in ("", "?show=1"):
                answer = await bo.client.get(f"/conversations/{number}/files/{message}/{position}{how}")
                assert answer.status == 200
                shown = position == 2 and how == "?show=1"
                kind = "image/png" if shown else "application/octet-stream"
                assert answer.content_type == kind, (position, how)
                assert answer.headers["Content-Disposition"].startswith("inline" if shown else "attachment")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "sandbox" in answer.headers["Content-Security-Policy"]
        last = answer.headers["Content-Disposition"]
        assert "\r" not in last
        assert "\u202e" not in last
        assert ".." not in last


@each(
    "name, expected",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("", "file"),
        ("..", "file"),
        ("a\u202egnp.exe", "a⟦RLO⟧gnp.exe"),
        ("x\r\nSet-Cookie: a=b", "x Set-Cookie_ a=b"),
        ("n" * 300 + ".pdf", "n" * 80 + "…" + "n" * 35 + ".pdf"),
    ],
)
def test_file_names_are_made_safe(name: str, expected: str) -> None:
    assert safe.filename(name) == expected
    assert showing.disposition("attachment", expected).isascii()


async def test_an_uploaded_file_keeps_no_dangerous_type(room: Room) -> None:
    number = room.writes("webchat:ann", "hello")
    room.actions.claim(room.id_of(number), "bo")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("csrf", bo.token)
        form.add_field("reply", "see here")
        form.add_field("files", HTML, filename="../page.html", content_type="text/html")
        form.add_field("files", PNG, filename="p.bin", content_type="application/octet-stream")
        answer = await bo.client.post(f"/conversations/{number}/reply", data=form)
        assert answer.status == 200, await answer.text()
    with room.store.read() as tx:
        sent = views.conversation(tx, number).history.entries[-1].attachments
    assert [(file.name, file.content_type) for file in sent] == [
        ("page.html", "application/octet-stream"),
        ("p.bin", "image/png"),
    ]
    assert room.blobs.read(sent[0].sha256) == HTML


def test_text_of_strangers() -> None:
    rich = safe.rich
    assert rich("<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"
    assert 'href="https://a.example/?q=1&amp;r=2"' in rich("see https://a.example/?q=1&r=2.")
    assert 'href="https://en.example/wiki/A_(b)"' in rich("(https://en.example/wiki/A_(b))")
    for bad in ("javascript:alert(1)", "data:text/html,x", "//evil.example", "https:evil", "ht\u200btps://x"):
        assert "<a" not in rich(bad), bad
    tags = re.findall(r"<[^>]*>", str(rich('https://x" onmouseover="alert(1)')))
    assert not any("onmouseover" in tag for tag in tags), tags
    assert "\u202e" not in rich("a\u202eb\u2066c")
    assert rich("a\x00\x1b[31mb") == "a\ufffd\ufffd[31mb"
