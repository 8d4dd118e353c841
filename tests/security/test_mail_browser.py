"""S4 in a real Chromium: of a stranger's markup nothing runs and nothing leaves, behind each wall by itself.

A script that runs says RAN on the console. Whatever is fetched knocks at a listener of ours, which counts connections.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from connectors.mail import sanitise
from connectors.mail.display import Display, html_of
from crm_store.db import Store
from desk.web import app as webapp
from desk.web import mail as webmail
from tests.desk.letters import mail, payloads
from tests.desk.room import Room, make
from tests.desk.test_web_browser import address, enter

__all__ = ["address"]  # its fixture serves the room below
pytestmark = pytest.mark.browser
SHOTS = os.environ.get("MAINSTEM_SHOTS")


class Sink:
    """Somebody else's machine: counts who connects, and answers nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.knocks: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._hear, args=(one,), daemon=True).start()

    def _hear(self, one: socket.socket) -> None:
        one.settimeout(0.3)
        try:
            self.knocks.append(one.recv(500))
        except OSError:  # a connection made in advance
            self.knocks.append(b"")
        one.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """As for all tests, but that sixty sandboxed frames are not sixty processes: what they may do is the same."""
    from playwright.sync_api import sync_playwright

    few = (
        "--disable-features=IsolateSandboxedIframes",
        "--disable-site-isolation-trials",
        "--renderer-process-limit=2",
    )
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *few])
        yield opened
        opened.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.close()


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Iterator[Room]:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs", letters=cleaned)
    store.close()


async def cleaned(raw: bytes, pictures: bool) -> Display:
    return html_of(raw, pictures=pictures)


async def as_it_came(raw: bytes, pictures: bool) -> Display:
    """A sanitiser that lets everything by: what the other walls are for."""
    return Display(html=raw.partition(b"\r\n\r\n")[2].decode())


class Watch:
    """Everything that a page may do which it should not."""

    def __init__(self, page: Any) -> None:
        self.ran: list[str] = []
        self.windows: list[str] = []
        page.on("console", lambda said: self.ran.append(said.text) if said.text == "RAN" else None)
        page.on("dialog", lambda dialog: self.ran.append(dialog.type))
        page.context.on("page", lambda other: self.windows.append(other.url))


def side_by_side(page: Any, address: str, sources: list[str], sandbox: str | None) -> None:
    """One page of the desk with a frame for each. sandbox None: frames that may do everything."""
    held = "" if sandbox is None else f' sandbox="{sandbox}"'
    frames = "".join(f'<iframe src="{source}"{held} width=200 height=90></iframe>' for source in sources)
    page.route(
        f"{address}/side-by-side",
        lambda route: route.fulfill(
            body=f"<!doctype html><title>x</title>{frames}",
            content_type="text/html",
            headers={"Content-Security-Policy": f"{webapp.CSP}; frame-src 'self'"} if sandbox else {},
        ),
    )
    page.goto(f"{address}/side-by-side", wait_until="load")
    page.wait_for_timeout(300)


def soon(page: Any, happened: Callable[[], object]) -> None:
    """Wait for what a page is to bring about."""
    for _ in range(600):
        if happened():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it does not happen")


def poke(page: Any) -> None:
    """What a person may do by mistake: rest upon it, press it, go through it by keyboard."""
    page.mouse.move(60, 60)
    page.mouse.click(60, 60)
    for _ in range(12):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)


def written(room: Room, shapes: list[str]) -> list[str]:
    """The frames' addresses of mails with this markup."""
    head = (
        b"From: Ann <ann@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Message-ID: <m%d@example.org>\r\n\r\n"
    )
    mails = [head % at + shape.encode() for at, shape in enumerate(shapes)]
    return [f"/conversations/{number}/mail/{message}/html" for number, message in room.mails(*mails)]


def test_the_watch_sees_what_runs_and_what_leaves(sink: Sink, page: Any) -> None:
    watch = Watch(page)
    page.goto("about:blank")
    shapes = payloads(sink.address)
    assert len(shapes) >= 60
    page.set_content("".join(f'<iframe srcdoc="{escape(shape)}"></iframe>' for shape in shapes))
    soon(page, lambda: len(watch.ran) > 25)  # the payloads work where nothing stands in their way
    soon(page, lambda: len(sink.knocks) > 5)


def test_nothing_runs_and_nothing_leaves_as_agents_see_it(
    room: Room, address: str, page: Any, sink: Sink
) -> None:
    watch = Watch(page)
    enter(page, room, address, "ada")
    shapes = payloads(sink.address)
    side_by_side(page, address, written(room, shapes), webmail.SANDBOX)
    assert len(page.frames) == 1 + len(shapes)
    for frame, shape in zip(page.frames[1:], shapes, strict=True):
        assert "/mail/" in frame.url, shape
        wrong = frame.evaluate(
            """() => [...document.querySelectorAll('*')].filter(e =>
                /^(script|iframe|object|embed|form|input|button|link|base|svg|math|video|audio)$/i.test(e.tagName)
                || [...e.attributes].some(a => /^on|^srcdoc$|^id$|^action$/i.test(a.name))
                || e.tagName === 'A' && e.hasAttribute('href') && !/^(https?|mailto|tel):$/.test(e.protocol)
                || e.tagName === 'IMG' && !e.src.startsWith('data:image/')
                || e.tagName === 'META' && e.httpEquiv
                || e.tagName === 'STYLE' && e.parentNode !== document.head).map(e => e.outerHTML)"""
        )
        assert wrong == [], shape
    poke(page)
    assert watch.ran == []
    assert watch.windows == []
    assert sink.knocks == []
    assert page.url == f"{address}/side-by-side"


def test_the_sanitiser_alone_holds(page: Any, sink: Sink) -> None:
    """Without frame and policy, in a page that may do everything."""
    watch = Watch(page)
    page.goto("about:blank")
    clean = [sanitise.clean(shape, {}, pictures=False).html for shape in payloads(sink.address)]
    frames = "".join(f'<iframe srcdoc="{escape(one)}"></iframe>' for one in clean)
    page.set_content(f"{''.join(clean)}{frames}")
    page.wait_for_timeout(300)
    poke(page)
    assert watch.ran == []
    assert sink.knocks == []
    assert all(frame.url in ("about:blank", "about:srcdoc") for frame in page.frames)


@pytest.mark.slow
def test_the_frame_and_the_policy_alone_hold(
    sqlite_url: str, tmp_path: Path, page: Any, sink: Sink, request: pytest.FixtureRequest, room: Room
) -> None:
    """With a sanitiser that lets everything by. Chromium connects in advance to what a policy then forbids,
    and to what asks for nothing else (preconnect), and says nothing there: against that there is the sanitiser."""
    room.desk = type(room.desk)(**{**vars(room.desk), "letters": as_it_came})
    address = request.getfixturevalue("address")
    watch = Watch(page)
    enter(page, room, address, "ada")
    shapes = payloads(sink.address)
    sources = written(room, shapes)
    side_by_side(page, address, sources, webmail.SANDBOX)
    poke(page)
    assert watch.ran == []
    assert not any(sink.knocks)
    # The same by themselves, and in a frame without `sandbox`: the answer carries its own.
    side_by_side(page, address, sources, None)
    assert watch.ran == []
    page.goto(address + sources[0])
    page.goto(address + next(s for s, shape in zip(sources, shapes, strict=True) if "refresh" in shape))
    page.wait_for_timeout(300)
    assert page.url.startswith(address)
    assert watch.ran == []
    assert not any(sink.knocks)


def test_nobody_else_may_frame_it(room: Room, address: str, page: Any) -> None:
    enter(page, room, address, "ada")
    ((number, message),) = room.mails(mail("<p>secret words</p>"))
    other = address.replace("127.0.0.1", "localhost")
    page.route(
        f"{other}/evil",
        lambda route: route.fulfill(
            body=f"<iframe src='{address}/conversations/{number}/mail/{message}/html'></iframe>",
            content_type="text/html",
        ),
    )
    page.goto(f"{other}/evil")
    page.wait_for_timeout(200)
    assert all("secret words" not in frame.content() for frame in page.frames)


def test_pictures_come_only_when_asked_for_and_tell_nobody_where_from(
    room: Room, address: str, page: Any, sink: Sink
) -> None:
    away = sink.address.replace("http:", "https:")
    ((number, message),) = room.mails(
        mail(f"<p>Look</p><img src='{away}/a.png' alt='A picture'><img src='cid:logo@example.org'>")
    )
    enter(page, room, address, "ada")
    page.goto(f"{address}/conversations/{number}")
    page.click(f"#html-{message}")
    frame = page.frame_locator("iframe.paper")
    frame.locator("text=Look").wait_for()
    assert frame.locator("text=A picture").count() == 1
    own = "e => e.complete && e.naturalWidth > 0"
    assert frame.locator("img").evaluate(own), "the mail's own picture is shown"
    assert sink.knocks == []
    seen: list[Any] = []
    page.on("request", lambda request: seen.append(request) if request.url.startswith(away) else None)
    page.click(f"#pictures-{message}")
    page.wait_for_url("**pictures=1**")
    page.frame_locator("iframe.paper").locator("text=Look").wait_for()
    soon(page, lambda: sink.knocks)  # asked for
    assert [bool(request.headers.get("referer")) for request in seen] == [False]
    assert [bool(request.headers.get("cookie")) for request in seen] == [False]


def test_a_link_opens_a_window_of_its_own_and_tells_where_it_goes(
    room: Room, address: str, page: Any, sink: Sink
) -> None:
    ((number, message),) = room.mails(mail(f"<p><a href='{sink.address}/x'>your bank</a></p>"))
    enter(page, room, address, "ada")
    page.goto(f"{address}/conversations/{number}?html={message}")
    link = page.frame_locator("iframe.paper").locator("a")
    said = link.evaluate("e => getComputedStyle(e, '::after').content")
    assert "127.0.0.1" in said
    with page.context.expect_page():
        link.click()
    soon(page, lambda: any(sink.knocks))
    assert page.url.startswith(address)
    assert b"referer" not in b"".join(sink.knocks).lower()
