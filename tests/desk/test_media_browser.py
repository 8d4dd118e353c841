"""Files of customers in a real Chromium: pictures and players stand in their place, and no file becomes a page."""

from __future__ import annotations

from typing import Any

import pytest

from crm_store import timeline
from hub.model import Media
from tests.desk.room import Room
from tests.desk.test_media import MP4, PAGE, SENT, comes, ends, outcomes
from tests.desk.test_web_browser import SHOTS, address, enter, room, told

__all__ = ["address", "room"]  # fixtures
pytestmark = pytest.mark.browser

# A whole recording: 8-bit silence, 8,000 samples.
WAV = (
    b"RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00"
    b"data\x40\x1f\x00\x00" + b"\x80" * 8000
)


def test_files_come_in_while_the_page_is_open(room: Room, address: str, page: Any) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    number = room.writes("webchat:ann", "This is our roof.", name="Ann Lee", media=SENT)
    enter(page, room, address, "bo")
    told(page, room, lambda: page.goto(f"{address}/conversations/{number}"))
    page.wait_for_selector("text=A picture is on its way.")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/media-coming.png")
    room.later(seconds=5)
    ends(room, *outcomes(room))
    page.wait_for_selector("text=A film never came.")
    page.wait_for_selector(".pics img")
    assert page.evaluate("document.querySelector('.pics img').naturalWidth") > 0
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/media-came.png")
    other = room.writes(
        "webchat:bob",
        "Listen",
        name="Bob",
        media=(Media(ref="1", kind="voice"), Media(ref="2", kind="video"), Media(ref="3", kind="image")),
    )
    ends(
        room,
        {"state": "waiting", "why": "later"},
        {"state": "done", "file": comes(room, WAV, "voice.wav", "audio/wav")},
        {"state": "done", "file": comes(room, MP4, "roof.mp4", "video/mp4")},
        {"state": "done", "file": comes(room, PAGE, "x.png", "image/png")},
    )
    told(page, room, lambda: page.goto(f"{address}/conversations/{other}"))
    page.evaluate("document.querySelector('audio').preload = 'metadata'")
    for _ in range(1200):
        if page.evaluate("document.querySelector('audio').readyState") >= 1:
            break
        page.wait_for_timeout(50)
    assert page.evaluate("document.querySelector('audio').duration") == 1.0
    page.evaluate("document.querySelector('audio').currentTime = 0.5")
    room.later(seconds=5)
    room.writes("webchat:bob", "And?", name="Bob")
    page.wait_for_selector("text=And?")
    assert page.evaluate("document.querySelector('audio').currentTime") == 0.5, (
        "who listens goes on listening"
    )
    assert page.locator("video").count() == 1
    assert page.evaluate("document.querySelector('.pics img').naturalWidth") == 0
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/media-players.png")
        page.set_viewport_size({"width": 390, "height": 800})
        page.screenshot(path=f"{SHOTS}/media-phone.png")
    assert not [text for text in said if "Content Security Policy" in text], said


def test_a_page_sent_as_a_picture_does_not_run_when_it_is_opened(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "look", media=(Media(ref="1", kind="image"),))
    ends(room, {"state": "done", "file": comes(room, b"GIF89a" + PAGE, "x.gif", "text/html")})
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    with room.store.read() as tx:
        message = timeline.page(tx, conversation_id=room.id_of(number))[0][0].id
    page.goto(f"{address}/conversations/{number}/files/{message}/0?show=1")
    assert page.title() != "ran"
