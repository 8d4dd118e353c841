"""Customers' files on both desks: on their way, here, missing, kept out; said in words, shown as what they are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crm_store import cards, media, timeline
from crm_store.db import Store
from crm_store.media import Ended
from desk.slack import reading
from hub.model import Attachment, Media
from tests.desk.room import PNG, Room, make
from tests.desk.slack.limits import texts
from tests.desk.slack.test_look import below, card, says

MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 8
OGG = b"OggS" + b"sound" * 50
PAGE = b"<!doctype html><script>document.title='ran'</script>"
SENT = (
    Media(ref="1", kind="image", name="roof.png", size_bytes=120_000),
    Media(ref="2", kind="voice"),
    Media(ref="3", kind="video"),
    Media(ref="4", name="fix.exe"),
)


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Any:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


def comes(room: Room, data: bytes, name: str, content_type: str) -> Attachment:
    return Attachment(sha256=room.blobs.put(data), name=name, content_type=content_type, size_bytes=len(data))


def ends(room: Room, *outcomes: dict[str, Any]) -> None:
    """What a worker notes of the files that are due, in their order."""

    def work(tx: Any) -> None:
        lease = timedelta(minutes=1)
        due = media.claim(tx, {"webchat/main": 20}, owner="w", now=room.now, lease=lease)
        outcome = [Ended(due=one, due_at=room.now, **said) for one, said in zip(due, outcomes, strict=True)]
        media.finish(tx, room.store.ids, outcome, owner="w", now=room.now)

    room.store.run(work)


def outcomes(room: Room) -> tuple[dict[str, Any], ...]:
    return (
        {"state": "done", "file": comes(room, PNG, "roof.png", "image/png")},
        {"state": "waiting", "why": "The file did not come: there is no connection to media.example."},
        {"state": "failed", "why": "The file is larger than 100 MB, so it is not fetched."},
        {"state": "refused", "why": "Programs are not taken."},
    )


async def test_the_web_desk_says_what_is_missing_and_shows_what_came(room: Room) -> None:
    number = room.writes("webchat:ann", "", name="Ann", media=SENT)
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        for words in ("A picture is on its way.", "A voice message is on its way.", "roof.png", "120 kB"):
            assert words in bo.text
        assert "No text." not in bo.text
        ends(room, *outcomes(room))
        await bo.get(f"/conversations/{number}")
        for words in (
            "A voice message has not come yet and is asked for again. The file did not come",
            "A film never came. The file is larger than 100 MB",
            "A file was kept out. Programs are not taken.",
        ):
            assert words in bo.text
        assert bo.text.count("is on its way") == 0
        assert "/0?show=1" in bo.text


@pytest.mark.parametrize(
    "data, content_type, element, shown",
    [
        (PNG, "image/png", "<img", "image/png"),
        (MP4, "video/mp4", "<video", "video/mp4"),
        (MP4, "audio/mp4", "<audio", "audio/mp4"),
        (OGG, "audio/ogg", "<audio", "audio/ogg"),
        (PAGE, "image/png", "<img", None),
        (PAGE, "video/mp4", "<video", None),
        (PAGE, "text/html", None, None),
        (b"<svg onload='x'/>", "image/svg+xml", None, None),
        (b"%PDF-1.7", "application/pdf", None, None),
        (b"\0\0\0\x18ftypheic", "image/heic", None, None),
    ],
)
async def test_only_what_it_really_is_is_shown_in_place(
    data: bytes, content_type: str, element: str | None, shown: str | None, room: Room
) -> None:
    number = room.writes("webchat:ann", "look", media=(Media(ref="1"),))
    ends(room, {"state": "done", "file": comes(room, data, "a.b", content_type)})
    with room.store.read() as tx:
        message = timeline.page(tx, conversation_id=room.id_of(number))[0][0].id
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        file = f"/conversations/{number}/files/{message}/0"
        assert (f"{file}?show=1" in bo.text) is (element is not None)
        assert element is None or element in bo.text
        answer = await bo.client.get(f"{file}?show=1")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        if shown is None:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment")
        else:
            assert answer.headers["Content-Type"] == shown
            assert answer.headers["Content-Disposition"].startswith("inline")
            part = await bo.client.get(f"{file}?show=1", headers={"Range": "bytes=2-5"})
            assert (part.status, await part.read()) == (206, data[2:6])
            assert part.headers["Content-Range"] == f"bytes 2-5/{len(data)}"
            past = await bo.client.get(f"{file}?show=1", headers={"Range": "bytes=99999-"})
            assert past.status == 416


def test_slack_says_it_too_and_tells_nobody_twice(room: Room) -> None:
    number = room.writes("webchat:ann", "", name="Ann", media=SENT)
    found = card(room, number)
    first = found.said
    assert first is not None
    (item,) = below(room, number, first.id)
    assert "A picture is on its way." in says(item)
    ends(room, *outcomes(room))
    (after,) = below(room, number, first.id)
    assert (after.kind, after.ref) == (item.kind, item.ref), "the same post, drawn anew"
    told = says(after)
    for words in ("roof.png", "has not come yet", "never came", "was kept out"):
        assert words in told


PDF = ("invoice.pdf", "application/pdf", b"%PDF")
SILENT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("A picture: roof.png", {"media": SENT[:1]}),
    ("A voice message", {"media": SENT[1:2]}),
    ("4 files: roof.png, fix.exe", {"media": SENT}),
    ("A picture", {"files": (("", "image/jpeg", PNG),)}),
    ("2 files: invoice.pdf", {"files": (PDF, ("", "video/mp4", MP4))}),
    ("A file: ann⟦RLO⟧fdp.exe", {"files": (("ann\u202efdp.exe", "application/pdf", b"%PDF"),)}),
    ("The bill", {"subject": "The bill", "files": (PDF,)}),
    ("No text", {}),
)


async def test_a_row_says_what_was_sent_where_there_is_no_text(room: Room) -> None:
    for place, (_, sent) in enumerate(SILENT):
        room.writes(f"webchat:ann{place}", "", **sent)
    room.writes("webchat:bob", "Look", files=(PDF,))
    with room.store.read() as tx:
        waiting = {one.urn: one for one in cards.waiting(tx, "general")}
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get("/queues/general")
    for place, told in enumerate([*(told for told, _ in SILENT), "Look"]):
        urn = f"webchat:ann{place}" if place < len(SILENT) else "webchat:bob"
        assert f"\n{told}" in texts(reading.row(waiting[urn], room.config))
        assert f'<bdi dir="auto">{told}</bdi>' in bo.text


def test_an_album_that_grows_is_the_same_post(room: Room) -> None:
    number = room.writes("webchat:ann", "Our roof", media=SENT[:1], album="a")
    first = card(room, number).said
    assert first is not None
    before = below(room, number, first.id)
    for ref in ("5", "6"):
        assert room.writes("webchat:ann", "", media=(Media(ref=ref, kind="image"),), album="a") == number
    after = below(room, number, first.id)
    assert [(i.kind, i.ref) for i in after] == [(i.kind, i.ref) for i in before]
    assert says(after[0]).count("is on its way") == 3
