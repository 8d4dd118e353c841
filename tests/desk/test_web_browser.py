"""The desk in a real Chromium: no script of a stranger's runs, the keyboard works, nothing typed is lost.

Playwright's interface here is synchronous and holds a loop of its own, so the desk is served from another thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import update

from crm_store import logins
from crm_store.db import Store
from crm_store.schema import revisions
from desk.web import live
from desk.web.app import build_app
from tests.desk import room as rooms
from tests.desk.room import PNG, START, Room, make

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("MAINSTEM_SHOTS")  # a folder for screenshots, to look at

PAYLOADS = [
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<svg/onload=window.ran=1>",
    "<svg><script>window.ran=1</script></svg>",
    '"><script>window.ran=1</script>',
    "'><img src=x onerror='window.ran=1'>",
    "</title><script>window.ran=1</script>",
    "</textarea><script>window.ran=1</script>",
    "</option></select><img src=x onerror=window.ran=1>",
    '" autofocus onfocus="window.ran=1" x="',
    "javascript:window.ran=1",
    "https://x.example/\"onmouseover='window.ran=1'",
    "https://x.example/'><script>window.ran=1</script>",
    "<a href='javascript:window.ran=1'>click</a>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<body onload=window.ran=1>",
    "<details open ontoggle=window.ran=1>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1>",
    "<noscript><p title='</noscript><img src=x onerror=window.ran=1>'>",
    "<style>@import 'http://127.0.0.1:9/x.css';</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:window.ran=1'>",
    "<base href=http://127.0.0.1:9/>",
    "<form action=http://127.0.0.1:9/><button>go</button></form>",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran=1}",
    "<!--<img src='--><img src=x onerror=window.ran=1>'>",
    "\x00<script>window.ran=1</script>",
    "\u202e<script>window.ran=1</script>",
    "&lt;script&gt;window.ran=1&lt;/script&gt;",
    "<scr\x00ipt>window.ran=1</scr\x00ipt>",
    "<x onclick=window.ran=1 style=position:fixed;inset:0>click",
]


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Iterator[Room]:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


@pytest.fixture
def address(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(live, "POLL_S", 0.1)
    loop = asyncio.new_event_loop()
    started = threading.Event()
    app = build_app(room.desk)
    room.live = app[live.LIVE]  # type: ignore[attr-defined]
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    port: list[int] = []

    async def up() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.append(runner.addresses[0][1])
        started.set()

    def serve() -> None:
        loop.run_until_complete(up())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{port[0]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def enter(page: Any, room: Room, address: str, agent: str) -> None:
    page.goto(f"{address}/login/{logins.make_link(room.store, agent, room.now)}")
    page.click("button.main")
    page.wait_for_url(f"{address}/")


def told(page: Any, room: Room, go: Callable[[], object]) -> None:
    """The page where `go` leads is told of whatever happens from now on."""
    with page.expect_response("**/live?drawn=*"):
        go()
    while room.live._followed._seen is None:  # type: ignore[attr-defined]
        page.wait_for_timeout(20)


def test_no_script_of_a_customers_runs_anywhere(room: Room, address: str, page: Any) -> None:
    number = 0
    for at, payload in enumerate(PAYLOADS):
        number = room.writes(
            f"webchat:v{at % 3}{payload.replace(' ', '')[:40] if at == 5 else ''}",
            payload,
            name=payload[:190],
            subject=payload,
            fields=((payload[:60], payload),),
            files=((payload[:100], "image/png", PNG),),
        )
    numbers = {room.row(n).number for n in range(1001, number + 1)}
    for each in numbers:
        room.known_as(
            each, name=PAYLOADS[0], tier=PAYLOADS[3][:40], notes="\n".join(PAYLOADS), tags='["<script>"]'
        )
        room.actions.claim(room.id_of(each), "ada")
        room.actions.note(room.id_of(each), "ada", "\n".join(PAYLOADS))
        room.actions.tag(room.id_of(each), "ada", add=PAYLOADS[:3])
        sent = room.actions.reply(room.id_of(each), "ada", PAYLOADS[4], idem_key=f"k{each}")
        room.becomes(sent.delivery_id, "failed", "rejected", PAYLOADS[5])
    paths = ["/", "/queues/general", "/failed", "/presence", "/search?q=%3Cscript%3Ewindow.ran%3D1"]
    paths += [f"/conversations/{each}{more}" for each in numbers for more in ("", "/why")]
    paths += [f"/customers/{room.customer_of(each)}" for each in numbers]
    paths += [
        "/?done=%3Cscript%3E",
        "/login?to=/%22%3E%3Cscript%3Ewindow.ran=1%3C/script%3E",
        "/%3Cscript%3Ewindow.ran=1",
    ]
    outside: list[str] = []
    page.on(
        "request",
        lambda request: outside.append(request.url) if not request.url.startswith(address) else None,
    )
    page.on("dialog", lambda dialog: outside.append(f"dialog {dialog.message}"))
    enter(page, room, address, "ada")
    for path in paths:
        page.goto(address + path)
        for hover in page.query_selector_all(".text a")[:1]:
            hover.hover(force=True)
        assert page.evaluate("window.ran") is None, path
        assert (
            page.evaluate(
                "document.querySelectorAll('iframe, object, embed, base, style, [onerror], [onload]').length"
            )
            == 0
        )
        assert page.evaluate("document.scripts.length") == 2, path
        assert page.evaluate("[...document.links].every(a => /^https?:$/.test(a.protocol))"), path
    assert outside == []


def test_the_policy_alone_would_stop_a_script(room: Room, address: str, page: Any) -> None:
    enter(page, room, address, "ada")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.ran=1>')")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran=1'}))"
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None


def test_claim_reply_and_undo_by_keyboard(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    enter(page, room, address, "bo")
    page.goto(f"{address}/queues/support")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/conversations/{number}")
    page.keyboard.press("c")
    page.wait_for_selector("#reply-text")
    assert room.row(number).assignee == "bo"
    page.keyboard.press("r")
    page.keyboard.type("Oh dear. It is jcu?")  # letters that are keys elsewhere
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Goes out in a moment")
    assert room.delivery_of(number).state == "held"
    page.keyboard.press("u")
    page.wait_for_selector("text=Your reply was taken back")
    assert room.delivery_of(number).state == "cancelled"
    assert page.input_value("#reply-text") == "Oh dear. It is jcu?"
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.id") == "note-text"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.is_visible("#help")


def test_an_update_never_takes_what_is_being_typed(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    enter(page, room, address, "bo")
    told(page, room, lambda: page.goto(f"{address}/conversations/{number}"))
    page.keyboard.press("r")
    page.keyboard.type("I am so sor")
    room.later(seconds=5)
    room.writes("webchat:ann", "Are you there?", name="Ann")
    page.wait_for_selector("text=Are you there?")
    assert page.input_value("#reply-text") == "I am so sor"
    assert page.evaluate("document.activeElement.id") == "reply-text"
    assert page.is_visible("#wrote"), "says that there is a new message above"
    page.goto(f"{address}/")
    page.goto(f"{address}/conversations/{number}")
    assert page.input_value("#reply-text") == "I am so sor", "kept when the page was left"


def test_a_reply_over_an_unread_message_asks_first(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.fill("#reply-text", "Send it back, please.")
    room.later(seconds=5)
    room.writes("webchat:ann", "It works again!", name="Ann")
    page.click("#send")
    page.wait_for_selector("text=Waits for your word")
    assert "The customer wrote while you were writing" in page.content()
    delivery = room.delivery_of(number)
    assert (delivery.state, delivery.code) == ("held", "customer_wrote")
    page.click("text=Send it anyway")
    page.wait_for_selector("text=It goes out now")
    assert room.delivery_of(number).state == "queued"


def test_what_was_sent_is_changed_where_it_stands_and_updates_leave_the_words_alone(
    room: Room, address: str, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    can = replace(rooms.LIMITS["webchat"], edits=True, deletes=True)
    monkeypatch.setitem(rooms.LIMITS, "webchat", can)
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    sent = room.actions.reply(room.id_of(number), "bo", "It comes on Friday.", idem_key="k1")
    room.becomes(sent.delivery_id, "delivered")
    room.actions.note(room.id_of(number), "bo", "She is cross.")
    enter(page, room, address, "bo")
    told(page, room, lambda: page.goto(f"{address}/conversations/{number}"))
    room.later(seconds=5)
    room.writes("webchat:ann", "Are you there?", name="Ann")
    page.wait_for_selector("text=Are you there?")  # boxes that nobody opened hold nothing up
    page.click(f"#change-{sent.interaction_id} summary")
    page.fill(f"#words-{sent.interaction_id}", "It comes on Monday.")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/desk-change.png")
    room.later(seconds=5)
    room.writes("webchat:ann", "Hello?", name="Ann")
    page.wait_for_timeout(1000)
    assert page.input_value(f"#words-{sent.interaction_id}") == "It comes on Monday."
    page.click(f"#revise-{sent.interaction_id}")
    page.wait_for_selector("text=Being changed.")
    page.wait_for_selector("text=Hello?")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/desk-changing.png")
    room.store.run(
        lambda tx: tx.execute(update(revisions).values(state="failed", code="rejected", detail="no"))
    )
    page.reload()
    page.wait_for_selector("text=Not changed.")
    page.click(f"#change-{sent.interaction_id} summary")
    page.click(f"#withdraw-{sent.interaction_id}")
    page.wait_for_selector("text=Being taken back.")


def test_a_refused_reply_keeps_its_text_and_its_page_stays_live(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.fill("#reply-text", "x" * 4001)
    told(page, room, lambda: page.click("#send"))
    page.wait_for_selector("[role=alert]")
    assert page.url == f"{address}/conversations/{number}"
    assert page.input_value("#reply-text") == "x" * 4001
    room.later(seconds=5)
    room.writes("webchat:ann", "Are you there?", name="Ann")
    page.wait_for_selector("text=Are you there?")
    assert page.input_value("#reply-text") == "x" * 4001


def test_what_was_done_is_said_long_enough_and_not_for_ever(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    page.clock.set_fixed_time(START)
    enter(page, room, address, "bo")
    told(page, room, lambda: page.click("#next"))
    page.wait_for_url(f"{address}/conversations/{number}")
    assert page.inner_text(".flash:visible") == "It is yours."
    room.later(seconds=5)
    room.writes("webchat:ann", "Are you there?", name="Ann")
    page.wait_for_selector("text=Are you there?")
    assert page.is_visible("text=It is yours."), "an update does not take it away before it was read"
    page.clock.set_fixed_time(START + timedelta(seconds=11))
    room.later(seconds=5)
    room.writes("webchat:ann", "Hello?", name="Ann")
    page.wait_for_selector("text=Hello?")
    assert not page.is_visible("text=It is yours.")
    told(page, room, lambda: page.goto(f"{address}/?done=empty"))
    assert page.is_visible("text=Nobody is waiting in your queues.")
    page.clock.set_fixed_time(START + timedelta(seconds=22))
    room.later(seconds=5)
    room.writes("webchat:ben", "My kettle is broken too", name="Ben")
    page.wait_for_selector("text=Nobody is waiting in your queues.", state="detached")


def test_a_conversation_that_went_out_of_sight_says_so_and_keeps_what_was_typed(
    room: Room, address: str, page: Any
) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    room.actions.claim(room.id_of(number), "bo")
    enter(page, room, address, "bo")
    told(page, room, lambda: page.goto(f"{address}/conversations/{number}"))
    page.fill("#reply-text", "I am so sor")
    room.later(seconds=5)
    room.actions.transfer(room.id_of(number), "cleo", "billing", "It is about money")
    page.wait_for_selector("#moved:visible")
    assert page.input_value("#reply-text") == "I am so sor"


def test_everything_works_without_javascript(room: Room, address: str, browser: Any) -> None:
    number = room.writes("webchat:ann", "My kettle is broken", name="Ann")
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    enter(page, room, address, "bo")
    page.click("text=Next who waits")
    page.wait_for_url(f"**/conversations/{number}*")
    page.fill("#reply-text", "Without a script.")
    page.click("#send")
    page.wait_for_selector("text=Without a script.")
    page.click("text=Undo")
    assert room.delivery_of(number).state == "cancelled"
    page.fill("#note-text", "Called them.")
    page.click("text=Keep the note")
    page.wait_for_selector("text=Note by Bo Lindqvist")
    page.click("summary:has-text('Close')")
    page.fill("input[name=disposition]", "solved")
    page.click("#act-close button")
    page.wait_for_url("**/?done=closed")
    assert (room.row(number).state, room.row(number).disposition) == ("closed", "solved")
    context.close()


def test_no_page_is_wider_than_its_screen(room: Room, address: str, page: Any) -> None:
    number = room.writes("webchat:ann", "x" * 500 + " https://example.com/" + "y" * 500, name="N" * 190)
    room.actions.claim(room.id_of(number), "ada")
    enter(page, room, address, "ada")
    customer = room.customer_of(number)
    for path in ("/", "/queues/general", f"/conversations/{number}", f"/conversations/{number}/why",
                 f"/customers/{customer}", "/presence", "/failed", "/quarantine",
                 "/search?q=xxx", "/account"):  # fmt: skip
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.is_visible("nav >> text=Work"), path
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, path
    page.goto(f"{address}/")
    page.evaluate("document.querySelector('.queue .figure:last-child b').textContent = '23 h 59 min'")
    ends = "[...document.querySelectorAll('.queue .figure:nth-child(2)')].map(e => e.getBoundingClientRect().right)"
    assert len(page.evaluate(ends)) == 3
    assert len(set(page.evaluate(ends))) == 1, "figures stand below each other"
