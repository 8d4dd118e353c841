"""A mail's HTML, to be shown on a desk: out of the raw mail, with its own pictures, sanitised.

In a process of its own for each mail, with limits on its time and memory and without our environment: what reads and
cleans a stranger's markup holds no secret, no connection and no other mail. The desk reaches it through a port
(desk/web/context.py, `letters`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from html import escape
from typing import Any

from connectors.mail import body, charsets, headers, markup, mending, mime, sanitise, tnef
from hub import log

CPU_S = 6  # a person waits; the largest mails of the corpus take 0.1 s
MEMORY_BYTES = 512 * 1024 * 1024
WALL_S = 20.0
_PARTS, _DEPTH = body.PARTS, body.DEPTH
_KEPT = 12  # views, so that "Show pictures", a reload and a second look cost nothing
_KEPT_BYTES = 4_000_000  # of one; larger ones are made anew
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "PYTHONWARNINGS")
_log = log.get("mail")


@dataclass(frozen=True, slots=True)
class Display:
    """html: what may stand in a page's body; empty where there is nothing to show, and `why` says why (a sentence).
    left_out: how many pictures on other machines are not shown."""

    html: str = ""
    left_out: int = 0
    why: str = ""


NO_HTML = "This mail has no HTML: its text is all there is."


class Displayer:
    """For one event loop. At most two mails are looked at together."""

    def __init__(
        self, *, cpu_s: int = CPU_S, memory_bytes: int = MEMORY_BYTES, wall_s: float = WALL_S
    ) -> None:
        self._limits = (str(cpu_s), str(memory_bytes))
        self._wall_s = wall_s
        self._free = asyncio.Semaphore(2)
        self._kept: OrderedDict[tuple[str, bool], Display] = OrderedDict()

    async def __call__(self, raw: bytes, pictures: bool) -> Display:
        """Never raises for what a mail holds. pictures: those on other machines too, by https."""
        key = hashlib.sha256(raw).hexdigest(), pictures
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        async with self._free:
            shown = await self._ask(raw, pictures)
        if shown is None:
            _log.warning("mail_not_shown", blob=key[0], bytes=len(raw))
            return Display(why="Its HTML is made so that showing it would take too long. Read its text.")
        if len(shown.html) <= _KEPT_BYTES:
            self._kept[key] = shown
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return shown

    async def _ask(self, raw: bytes, pictures: bool) -> Display | None:
        """None where the child did not live to answer."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder we are in is no place for modules
            "-m",
            "connectors.mail.display",
            *self._limits,
            "pictures" if pictures else "",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        try:
            async with asyncio.timeout(self._wall_s):
                said, _ = await process.communicate(raw)
            return Display(**json.loads(said))
        except (TimeoutError, OSError, ValueError, TypeError):
            return None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


# ------------------------------------------------------------------------------------------------------------ the child


@dataclass(slots=True)
class Found:
    """pieces: HTML in the mail's order. marked: at least one of them was HTML before. images: by Content-ID."""

    pieces: list[str] = field(default_factory=list)
    marked: bool = False
    images: dict[str, bytes] = field(default_factory=dict)


def html_of(raw: bytes, *, pictures: bool = False) -> Display:
    """Pure. Raises nothing but what limits do (MemoryError, RecursionError)."""
    if mime.too_much(raw):
        return Display(why=NO_HTML)
    message = message_from_bytes(mending.header(raw), policy=headers.POLICY)
    try:
        found = _Reader().read(message)
        if not found.marked:
            return Display(why=NO_HTML)
        # Each piece by itself: what one leaves open does not reach into the next.
        cleaned = [sanitise.clean(piece, found.images, pictures=pictures) for piece in found.pieces]
    except (body.TooMany, sanitise.TooMuch) as error:
        return Display(why=f"This mail is not shown as HTML: {error}. Read its text.")
    return Display(
        html="<hr>".join(one.html for one in cleaned), left_out=sum(one.left_out for one in cleaned)
    )


class _Reader:
    def __init__(self) -> None:
        self._parts = 0
        self._images: dict[str, bytes] = {}

    def read(self, message: Message) -> Found:
        found = self._walk(message, 0)
        found.images = self._images
        return found

    def _walk(self, part: Message, depth: int) -> Found:
        self._parts += 1
        if self._parts > _PARTS or depth > _DEPTH:
            raise body.TooMany("it has too many parts")
        kind = part.get_content_type()
        payload = body.payload_of(part)
        if kind.startswith("multipart/") and isinstance(payload, list):
            inside = [self._walk(one, depth + 1) for one in payload if isinstance(one, Message)]
            if kind == "multipart/alternative":  # the last is the richest (RFC 2046, 5.1.4)
                return next((one for one in reversed(inside) if one.marked), _last(inside))
            return Found([piece for one in inside for piece in one.pieces], any(one.marked for one in inside))
        if isinstance(payload, list):
            return Found()  # a mail within this one is a file of it
        return self._leaf(kind, part)

    def _leaf(self, kind: str, part: Message) -> Found:
        data = body.bytes_of(part)
        content_id = headers.raw(part, "Content-ID").strip("<> ")[:200]
        if content_id and sanitise.image_type(data):
            self._images.setdefault(content_id.lower(), data)
        if body.disposition_of(part) == "attachment":
            return Found()
        if kind == "text/html":
            charset = body.charset_of(part) or markup.charset(data)
            return Found([charsets.decode(data, charset)], True)
        if kind == "text/plain" and not body.filename(part):
            text = body.flowed(part, charsets.decode(data, body.charset_of(part))).strip()
            return Found([f'<div style="white-space:pre-wrap">{escape(text)}</div>'] if text else [])
        if kind in ("application/ms-tnef", "application/vnd.ms-tnef"):
            opened = tnef.read(data)
            if opened is not None and opened.html:
                return Found([opened.html], True)
        return Found()


def _last(inside: Sequence[Found]) -> Found:
    return next((one for one in reversed(inside) if one.pieces), Found())


def main(arguments: Sequence[str]) -> int:
    """One mail from standard input; what may be shown of it to standard output, as JSON."""
    cpu_s, memory_bytes = int(arguments[0]), int(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    shown = html_of(sys.stdin.buffer.read(), pictures=arguments[2] == "pictures")
    told: dict[str, Any] = {"html": shown.html, "left_out": shown.left_out, "why": shown.why}
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
