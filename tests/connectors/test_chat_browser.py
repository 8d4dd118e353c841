"""The chat page in a real browser; no asyncio tests stand in this file, see `browser` in tests/conftest.py."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import visitor
from connectors.base import PastMessage
from hub.model import Change, DeliveryReported, MessageReceived, Revision
from tests.connectors.gate import Gate, gate, reply
from tests.servers import free_port

SHOTS = os.environ.get("MAINSTEM_SHOTS")  # a folder for screenshots, to look at


class Hub:
    """An edge in a thread of its own, for a test whose thread the browser's driver holds."""

    def __init__(self, folder: Path, valkey: str, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        port = free_port()
        self.settings = {"public_url": f"http://127.0.0.1:{port}", "port": port, "sweep_s": 0.2, **settings}
        self.folder, self.valkey = folder, valkey
        self.gate: Gate = self.run(self._stack.enter_async_context(gate(folder, valkey, **self.settings)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def answers(self, seq: int, text: str, **more: Any) -> None:
        """A worker sends to whoever wrote last."""
        who = self.received()[-1].sender.partition(":")[2]
        self.run(visitor.append(self.gate.redis, reply(who, seq, text, **more), who))

    def changes(self, seq: int, number: int, text: str | None) -> None:
        """A worker carries out an edit; without a text, a deletion."""
        who = self.received()[-1].sender.partition(":")[2]
        what = Change.DELETE if text is None else Change.EDIT
        revision = Revision(change=what, message=reply(who, seq, text or ""), external_ids=(), number=number)
        self.run(visitor.change(self.gate.redis, revision, who))

    def received(self) -> list[MessageReceived]:
        return [e for e in self.gate.kept() if isinstance(e, MessageReceived)]

    def reports(self) -> list[tuple[str | None, str]]:
        found = {(e.external_id, str(e.status)) for e in self.gate.kept() if isinstance(e, DeliveryReported)}
        return sorted(found)

    def remembers(self, *said: tuple[int, str, str]) -> None:
        """What a router and a worker would have written."""
        events = {e.text: e for e in self.received()}
        self.gate.past.rows = [
            PastMessage(
                seq=seq,
                direction=direction,
                text=text,
                at=events[text].received_at if text in events else datetime.now(UTC),
                author_name="Bo" if direction == "out" else "",
                client_id=events[text].external_id if text in events else None,
            )
            for seq, direction, text in said
        ]

    def stop(self) -> None:
        self.run(self._stack.aclose())

    def start(self) -> None:
        """Again over the same journal, at the same address."""
        self._stack = AsyncExitStack()
        self.gate = self.run(self._stack.enter_async_context(gate(self.folder, self.valkey, **self.settings)))

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@pytest.fixture
def hub(tmp_path: Path, valkey: str) -> Iterator[Hub]:
    opened = Hub(tmp_path, valkey)
    yield opened
    opened.close()


def watch(page: Any) -> list[str]:
    """Everything the browser complains about: errors in the script, and what the page's policy refused."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "console",
        lambda line: (
            said.append(line.text) if line.type == "error" and "WebSocket" not in line.text else None
        ),
    )
    return said


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(250)
        page.screenshot(path=f"{SHOTS}/{name}.png")


def texts(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#mainstem-chat .message").all_inner_texts()]


def until(condition: Callable[[], bool], page: Any) -> None:
    for _ in range(1200):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come about within 60 s")


def writes(page: Any, text: str) -> None:
    page.get_by_label("Your message").first.fill(text)
    page.keyboard.press("Enter")


@pytest.mark.browser
def test_a_visitor_types_reloads_and_has_the_answer_once(hub: Hub, page: Any) -> None:
    complaints = watch(page)
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    writes(page, "My parcel is late.")
    until(lambda: [e.text for e in hub.received()] == ["My parcel is late."], page)
    page.get_by_text("Sent").wait_for()

    page.reload()  # before anything is in the store: the browser itself remembers
    until(lambda: texts(page) == ["My parcel is late."], page)
    hub.answers(101, "I am looking for it: https://track.example/4711.")
    page.get_by_text("I am looking for it").wait_for()
    until(lambda: hub.reports() == [("101", "delivered"), ("101", "read")], page)

    hub.remembers(
        (100, "in", "My parcel is late."), (101, "out", "I am looking for it: https://track.example/4711.")
    )
    page.reload()  # now the store has it too, and the stream still has it
    page.get_by_text("We are here for you").wait_for()
    both = ["My parcel is late.", "I am looking for it: https://track.example/4711."]
    until(lambda: texts(page) == both, page)
    assert page.locator("#mainstem-chat .message a").get_attribute("href") == "https://track.example/4711"
    writes(page, "Thank you!")
    until(lambda: len(hub.received()) == 2, page)
    shot(page, "chat-desktop")
    assert texts(page) == [*both, "Thank you!"]
    assert len(hub.reports()) == 2, "what was acknowledged is not acknowledged again"
    assert complaints == []


@pytest.mark.browser
def test_an_answer_is_changed_and_another_taken_back_before_the_visitor_s_eyes(hub: Hub, page: Any) -> None:
    complaints = watch(page)
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    writes(page, "My parcel is late.")
    until(lambda: len(hub.received()) == 1, page)
    hub.answers(101, "It comes on Friday.")
    hub.answers(102, "For Mr Miller: your password is 1234.")
    page.get_by_text("your password").wait_for()
    until(lambda: len(hub.reports()) == 4, page)
    hub.changes(101, 1, "It comes on <b>Monday</b>.")
    hub.changes(102, 1, None)
    then = ["My parcel is late.", "It comes on <b>Monday</b>. (changed)", "This message was taken back."]
    until(lambda: texts(page) == then, page)
    assert len(hub.reports()) == 4, "a change is not delivered again"
    shot(page, "chat-changed")
    page.reload()
    page.get_by_text("We are here for you").wait_for()
    until(lambda: texts(page) == then, page)
    assert "1234" not in page.content()
    assert complaints == []


@pytest.mark.browser
def test_a_hub_that_was_away_loses_nothing_of_what_was_typed(hub: Hub, page: Any) -> None:
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    hub.stop()
    page.get_by_text("Connecting again…").wait_for()
    writes(page, "Are you there?")
    page.get_by_text("Will be sent when you are online").wait_for()
    hub.start()
    until(lambda: [e.text for e in hub.received()] == ["Are you there?"], page)
    page.get_by_text("Sent").wait_for()
    hub.run(hub.gate.redis.flushall())
    hub.answers(7, "Now we are.")
    page.get_by_text("Now we are.").wait_for()
    assert texts(page) == ["Are you there?", "Now we are."]


@pytest.mark.browser
def test_text_is_text_and_never_markup(hub: Hub, page: Any) -> None:
    complaints = watch(page)
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    bad = '<img src=x onerror="window.hit=1"><script>window.hit=1</script> javascript:alert(1)'
    writes(page, bad)
    until(lambda: len(hub.received()) == 1, page)
    hub.answers(1, bad)
    until(lambda: texts(page) == [bad, bad], page)
    assert page.evaluate("window.hit") is None
    assert page.locator("#mainstem-chat .message a, #mainstem-chat .message img").count() == 0
    assert complaints == []


@pytest.mark.browser
def test_a_file_goes_up_and_its_name_is_shown(hub: Hub, page: Any) -> None:
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    chosen = {"name": "receipt of mine.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 hello"}
    page.locator("#mainstem-chat input[type=file]").set_input_files(chosen)
    page.get_by_label("Remove receipt of mine.pdf").wait_for()
    shot(page, "chat-file")
    page.get_by_role("button", name="Send").click()
    until(lambda: len(hub.received()) == 1, page)
    (file,) = hub.received()[0].attachments
    assert hub.gate.blobs.read(file.sha256) == b"%PDF-1.7 hello"
    with page.expect_download() as download:
        page.get_by_label("Download receipt of mine.pdf").click()
    assert download.value.suggested_filename == "receipt of mine.pdf"
    refused = {"name": "setup.exe", "mimeType": "text/plain", "buffer": b"MZ"}
    page.locator("#mainstem-chat input[type=file]").set_input_files(refused)
    page.get_by_text("Programs are not taken.").wait_for()


@pytest.mark.browser
def test_when_closed_a_form_takes_the_message(tmp_path: Path, valkey: str, page: Any) -> None:
    hub = Hub(tmp_path, valkey, is_open=lambda account: False)
    try:
        page.goto(f"{hub.gate.url}/chat/main")
        page.get_by_text("We are closed just now").wait_for()
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Your e-mail address").fill("ann@example.com")
        page.get_by_label("Your message").last.fill("Please write to me.")
        shot(page, "chat-closed")
        page.get_by_role("button", name="Leave a message").click()
        page.get_by_text("We will answer by e-mail").last.wait_for()
        until(lambda: len(hub.received()) == 1, page)
        assert hub.received()[0].claims == ("mailto:ann@example.com",)
    finally:
        hub.close()


@pytest.mark.browser
def test_on_a_phone_it_fills_the_screen_and_the_keyboard_closes_it(hub: Hub, browser: Any) -> None:
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, device_scale_factor=2, color_scheme="dark"
    )
    page = context.new_page()
    page.goto(f"{hub.gate.url}/chat/main")
    page.get_by_text("We are here for you").wait_for()
    writes(page, "Hello from my phone, with a longer text that needs two lines.")
    until(lambda: len(hub.received()) == 1, page)
    hub.answers(5, "Good morning! What can we do for you?\n\nOrder 4711 is on its way.")
    page.get_by_text("Good morning!").wait_for()
    box = page.locator("#mainstem-chat .panel").bounding_box()
    assert (box["width"], box["height"]) == (375, 700)
    shot(page, "chat-phone")
    page.keyboard.press("Escape")
    page.get_by_label("Open the chat").wait_for()
    hub.answers(6, "Are you still there?")
    page.locator("#mainstem-chat .badge", has_text="1").wait_for()
    shot(page, "chat-closed-badge")
    assert ("6", "read") not in hub.reports()
    page.keyboard.press("Enter")  # the button has the focus
    until(lambda: ("6", "read") in hub.reports(), page)
    context.close()
