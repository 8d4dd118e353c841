"""Mails in files: .eml, mbox (RFC 4155), folders of either. One at a time in memory, however large the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from connectors.mail.mime import MAIL_BYTES

_CAP = MAIL_BYTES + (1 << 20)  # of one mail; the reader refuses it by its size, so more is not needed
_QUOTED_FROM = re.compile(rb">+From ")
# What mail programs write into an mbox beside the mail, and a server never had.
_ADDED = re.compile(
    rb"(?:X-Mozilla-(?:Status2?|Keys)|(?:X-)?Status|X-UID(?:L)?|X-IMAP(?:base)?|X-Keywords|Content-Length|Lines):",
    re.IGNORECASE,
)
_MAILBOX_NAMES = frozenset([".mbox", ".mbx", ".eml"])

Advance = Callable[[int], None]


def mails(stream: IO[bytes], advance: Advance) -> Iterator[bytes]:
    """Every mail in a file, with the line ends that servers use. advance: called with the bytes read so far in steps.

    A file that begins with "From " is an mbox; any other is one mail.
    """
    first = stream.readline(_CAP)
    advance(len(first))
    if not first.startswith(b"From "):
        rest = stream.read(_CAP)
        advance(len(rest))
        if (first + rest).strip():
            yield with_crlf(first + rest)
        return
    lines: list[bytes] = []
    size = 0
    blank = False
    for line in iter(lambda: stream.readline(1 << 20), b""):
        advance(len(line))
        if blank and line.startswith(b"From "):
            if lines:
                yield _of_mbox(lines)
            lines, size, blank = [], 0, False
            continue
        blank = line in (b"\n", b"\r\n")
        if size <= _CAP:
            lines.append(line)
            size += len(line)
    if lines:
        yield _of_mbox(lines)


def _of_mbox(lines: list[bytes]) -> bytes:
    """A mail as it was before the mbox quoted it."""
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()  # the line between two mails
    out: list[bytes] = []
    header = True
    dropped = False
    for line in lines:
        if header:
            if line in (b"\n", b"\r\n"):
                header = False
            elif line[:1] in b" \t" and dropped:
                continue
            else:
                dropped = _ADDED.match(line) is not None
                if dropped:
                    continue
        out.append(line[1:] if _QUOTED_FROM.match(line) else line)
    return with_crlf(b"".join(out))


def with_crlf(raw: bytes) -> bytes:
    """RFC 5322 line ends, so that a mail is the same mail whichever way it came."""
    return re.sub(rb"\r?\n", b"\r\n", raw)


def found(paths: Iterable[Path]) -> list[Path]:
    """The files in which mails may be: those named, and of folders what looks like it, in order. "-" stays."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(one for one in path.rglob("*") if one.is_file() and _looks_like_mail(one))
        else:
            out.append(path)
    return out


def _looks_like_mail(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in _MAILBOX_NAMES or path.parent.name in ("cur", "new"):  # a Maildir's
        return True
    with path.open("rb") as file:
        return file.read(5) == b"From "
