"""Mails that stall or break their reader end only that: they wait in quarantine, and the next mail is read (S6)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.base import Parsed
from connectors.mail import mime
from connectors.mail.child import MEMORY_BYTES, Parser
from hub.model import MessageReceived, Unreadable
from tests.connectors.mail import bombs
from tests.connectors.mail.corpus import ACCOUNT, AT, samples

GOOD = b"From: Ann <ann@example.net>\r\nSubject: Fine\r\n\r\nHello.\r\n"
# What a bomb may be read as instead: the words of a mail whose dangerous part was passed over.
IN_QUARANTINE = frozenset(
    ("many_parts", "many_addresses", "nested_multiparts", "nested_mails", "long_header", "many_headers")
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[Parser]:
    """One for all: starting its process takes most of a test's time. Whatever becomes of that, the next reads."""
    made = Parser()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def child(parser: Parser) -> int:
    """The process that waits for the parser's next mail."""
    assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
    return _waiting(parser)


def _waiting(parser: Parser) -> int:
    (one,) = parser._idle
    assert one._process.pid in _children()
    return one._process.pid


def _children() -> set[int]:
    return {int(one) for one in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _text(parsed: Parsed) -> str:
    (event,) = parsed.events
    assert isinstance(event, MessageReceived), event
    return event.text


async def _grown(before: set[int]) -> int:
    (pid,) = _children() - before
    return pid


async def test_each_bomb_costs_little_and_the_next_mail_is_read(parser: Parser) -> None:
    for name, made in bombs.ALL.items():
        raw = made()
        began = time.monotonic()
        parsed = await parser.parse(raw, ACCOUNT, AT)
        assert time.monotonic() - began < 30, name
        assert len(parsed.events) == 1, name
        assert isinstance(parsed.events[0], Unreadable) is (name in IN_QUARANTINE), name
        assert parsed.blobs[0] == raw, name
        assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello.", name


async def test_the_child_says_what_reading_here_would(parser: Parser) -> None:
    for sample in samples()[::3]:
        assert await parser.parse(sample.raw, ACCOUNT, AT) == mime.read(sample.raw, ACCOUNT, AT)


async def test_too_much_time_is_quarantined_and_the_next_finds_a_fresh_child() -> None:
    parser = Parser(cpu_s=1)
    before = _children()
    try:
        assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
        first = await _grown(before)
        # The parser looks through all attributes that an element has for each further one: six seconds for these.
        tag = b"<p " + b" ".join(b"a%d=1" % n for n in range(60_000)) + b">Words."
        slow = b"From: ann@example.net\r\nContent-Type: text/html\r\n\r\n" + tag
        (event,) = (await parser.parse(slow, ACCOUNT, AT)).events
        assert isinstance(event, Unreadable)
        assert "1 s of time" in event.reason
        assert first not in _children()
        assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
    finally:
        await parser.close()
    assert _children() == before


async def test_too_much_memory_is_quarantined() -> None:
    parser = Parser(memory_bytes=200 * 1024 * 1024)
    before = _children()
    try:
        large = b"From: ann@example.net\r\n\r\n" + b"a line of words\r\n" * 2_900_000
        assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
        first = _children() - before
        (event,) = (await parser.parse(large, ACCOUNT, AT)).events
        assert isinstance(event, Unreadable)
        assert "or 200 MB" in event.reason  # a fresh one could not read it either
        assert not first & _children()
        assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
    finally:
        await parser.close()


async def test_a_mail_of_the_largest_size_is_read_within_the_limit(parser: Parser) -> None:
    assert MEMORY_BYTES == 512 * 1024 * 1024
    head = (
        b"From: ann@example.net\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    parsed = await parser.parse(head + b"QUJD" * 10_000_000, ACCOUNT, AT)
    (event,) = parsed.events
    assert isinstance(event, MessageReceived), event
    assert event.attachments[0].size_bytes == 30_000_000


async def test_a_child_that_dies_while_it_waits_harms_no_mail(parser: Parser, child: int) -> None:
    os.kill(child, signal.SIGKILL)
    assert _text(await parser.parse(GOOD, ACCOUNT, AT)) == "Hello."
    assert _waiting(parser) != child


async def test_a_child_killed_over_a_mail_is_replaced_and_the_mail_read(parser: Parser, child: int) -> None:
    os.kill(child, signal.SIGSTOP)
    reading = asyncio.create_task(parser.parse(GOOD, ACCOUNT, AT))
    await asyncio.sleep(0)
    os.kill(child, signal.SIGKILL)
    assert _text(await reading) == "Hello."


async def test_cancelled_in_the_middle_leaves_no_half_answer(parser: Parser, child: int) -> None:
    os.kill(child, signal.SIGSTOP)
    reading = asyncio.create_task(parser.parse(GOOD, ACCOUNT, AT))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    other = b"From: ann@example.net\r\n\r\nAnother.\r\n"
    assert _text(await parser.parse(other, ACCOUNT, AT)) == "Another."
    assert child not in _children()


async def test_many_at_once_are_each_given_their_own_answer() -> None:
    before, open_before = _children(), _descriptors()
    parser = Parser(processes=2)
    mails = [b"From: ann@example.net\r\n\r\nNumber %d.\r\n" % n for n in range(60)]
    answers = await asyncio.gather(*(parser.parse(raw, ACCOUNT, AT) for raw in mails))
    assert [_text(answer) for answer in answers] == [f"Number {n}." for n in range(60)]
    assert len(_children() - before) == 2
    await parser.close()
    assert _children() == before
    await asyncio.sleep(0)
    assert _descriptors() <= open_before + 1  # the loop's own, opened with its first child


async def test_what_cannot_start_is_no_fault_of_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.mail.child.sys.executable", shutil.which("false"))
    parser = Parser()
    with pytest.raises(OSError, match="does not start: exit 1"):
        await parser.parse(GOOD, ACCOUNT, AT)
    await parser.close()


async def test_the_child_sees_none_of_our_secrets(
    parser: Parser, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_MAILBOX_PASSWORD", "canary-5e1")
    os.kill(child, signal.SIGKILL)  # so that a new one is started
    await parser.parse(GOOD, ACCOUNT, AT)
    assert b"canary-5e1" not in Path(f"/proc/{_waiting(parser)}/environ").read_bytes()


async def test_nothing_warns_of_a_child_that_nobody_knows(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        parser = Parser()
        before = _children()
        await parser.parse(GOOD, ACCOUNT, AT)
        os.kill(await _grown(before), signal.SIGKILL)
        await parser.close()
    assert "Unknown child process" not in caplog.text
