"""What browsers send, read into values. Anything that makes no sense is a sentence and a 4xx, never a 500."""

from __future__ import annotations

import secrets

from aiohttp import web

from desk import safe
from desk.web.context import AGENT, DESK
from hub.errors import NotFound, Refused
from hub.model import Attachment

BIGGEST = (1 << 63) - 1
TEXT_CHARS = 100_000
FILES = 10


def see_other(path: str, done: str = "") -> web.HTTPSeeOther:
    """To a page that can be loaded again without doing anything again; raise it."""
    joint = "&" if "?" in path else "?"
    return web.HTTPSeeOther(f"{path}{joint}done={done}" if done else path)


def whole(text: str, what: str = "number") -> int:
    """A number that the store can hold. Raises NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= BIGGEST):
        raise NotFound(f"That is no {what}.")
    return int(text)


def query_number(request: web.Request, name: str) -> int | None:
    """`?name=42`; None where it is not given. Raises HTTPBadRequest for what is no number."""
    text = request.query.get(name)
    if not text:
        return None
    try:
        return whole(text)
    except NotFound:
        raise web.HTTPBadRequest(text=f"“{safe.one_line(name)}” must be a number.") from None


async def field(request: web.Request, name: str, limit: int = TEXT_CHARS, default: str = "") -> str:
    """A form's text, lines ended by \\n, without NUL (PostgreSQL keeps none). Raises Refused if too long."""
    value = (await request.post()).get(name, default)
    if not isinstance(value, str):
        raise Refused("That field takes text, not a file.")
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    text = text.encode("utf-8", "replace").decode()
    if len(text) > limit:
        raise Refused(f"At most {limit:,} characters; this has {len(text):,}.")
    return text


async def words(request: web.Request, name: str, limit: int = 200) -> str:
    """One line."""
    return " ".join((await field(request, name, limit)).split())


async def tags(request: web.Request, name: str = "tags") -> tuple[str, ...]:
    """`vip, refund` as a tuple."""
    found = dict.fromkeys(" ".join(tag.split()) for tag in (await field(request, name, 2000)).split(","))
    return tuple(tag for tag in found if tag)


async def idem_key(request: web.Request) -> str:
    """The key that the page's form carries: the same form sent twice is one reply. Bound to who sends it."""
    key = await field(request, "key", 64)
    if not (key.isascii() and key.isalnum() and len(key) >= 16):
        key = secrets.token_hex(16)
    return f"web:{request[AGENT].key}:{key}"


async def files(request: web.Request, name: str = "files") -> tuple[Attachment, ...]:
    """Uploaded files, their bytes safely in the blob store. The type is what a browser may be told, not its claim."""
    found: list[Attachment] = []
    for upload in (await request.post()).getall(name, []):
        if not isinstance(upload, web.FileField) or not upload.filename:
            continue
        if len(found) == FILES:
            raise Refused(f"At most {FILES} files at once.")
        data = upload.file.read()
        kind = safe.image_type(data[:16]) or _harmless(upload.content_type)
        sha256 = await request.app[DESK].blobs.aput(data)
        found.append(
            Attachment(
                sha256=sha256, content_type=kind, size_bytes=len(data), name=safe.filename(upload.filename)
            )
        )
    return tuple(found)


def _harmless(claimed: str) -> str:
    """A claimed type that cannot be run in a page of ours; what could be is sent on as mere bytes."""
    kind = claimed.partition(";")[0].strip().lower()
    known = kind in ("application/pdf", "text/plain", "text/csv", "application/zip") or kind.startswith(
        ("audio/", "video/", "application/vnd.")
    )
    return kind if known and kind.isprintable() and len(kind) < 100 else "application/octet-stream"
