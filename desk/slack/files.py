"""Files that agents send through Slack: fetched with our token, from Slack and nobody else, never more than we take.

What a file is, its first bytes say; what Slack says of it is only asked for its size before it is fetched.
https://docs.slack.dev/reference/objects/file-object, https://docs.slack.dev/messaging/working-with-files
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from yarl import URL

from desk import safe
from desk.slack.context import SlackDesk
from hub.errors import Refused, Unavailable
from hub.model import Attachment

BYTES = 50_000_000  # of one file; no channel of ours takes as much
FILES = 10  # of one message, as Slack's own window takes
FETCH_S = 60.0
_HOSTS = ("files.slack.com",)  # https://docs.slack.dev/messaging/working-with-files#getting
_CHUNK = 256 * 1024
_AT_ONCE = asyncio.Semaphore(4)

# Slack's codes that will be the same tomorrow
_GONE = {
    "file_not_found": "is not there any more",
    "file_deleted": "was deleted",
    "access_denied": "may not be read by us",
    "not_visible": "may not be read by us",
    "file_access_denied": "may not be read by us",
}


async def fetch(desk: SlackDesk, file_id: str) -> Attachment:
    """The file, its bytes safely in the blob store. Twice is harmless.

    Raises Refused with a sentence that names it (too large, gone, not a file of Slack's own), Unavailable where Slack
    or the disk does not answer now.
    """
    try:
        said = await desk.client.files_info(file=file_id)
    except SlackApiError as error:
        code = str(error.response.get("error"))
        if code in _GONE:
            raise Refused(f"The file {file_id[:20]} {_GONE[code]}.") from error
        raise Unavailable(f"Slack does not give the file {file_id[:20]} now ({code}).") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"Slack does not give the file {file_id[:20]} now.") from error
    return await _fetch(desk, said.get("file") or {})


async def fetch_all(
    desk: SlackDesk, listed: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
    """The files of a message or of a modal's file input, in their order; and why others are missing, one sentence each.

    Raises Unavailable where one cannot be had now, but perhaps later.
    """
    found: list[Attachment] = []
    missing: list[str] = []
    for one in listed[:FILES]:
        try:
            found.append(await fetch(desk, str(one.get("id") or "")))
        except Refused as error:
            missing.append(str(error))
    if len(listed) > FILES:
        missing.append(f"Only {FILES} files of one message are taken; this has {len(listed)}.")
    return tuple(found), tuple(missing)


async def _fetch(desk: SlackDesk, file: Mapping[str, Any]) -> Attachment:
    name = safe.filename(str(file.get("name") or file.get("title") or "file"))
    if file.get("mode") == "tombstone" or file.get("is_deleted"):
        raise Refused(f"{name!r} was deleted.")
    if file.get("is_external") or file.get("mode") in ("external", "hidden_by_limit"):
        raise Refused(f"{name!r} is not kept by Slack, only linked to; upload the file itself.")
    size = file.get("size")
    if isinstance(size, int) and size > BYTES:
        raise Refused(_too_large(name))
    url = str(file.get("url_private_download") or file.get("url_private") or "")
    if not _slacks_own(url, desk.client.base_url):
        raise Refused(f"{name!r} lies outside Slack; upload the file itself.")
    async with _AT_ONCE:
        data = await _download(desk, url, name, markup="html" in str(file.get("mimetype")))
    if isinstance(size, int) and size != len(data):
        raise Unavailable(f"Slack gave {len(data):,} of the {size:,} bytes of {name!r}.")
    if not data:
        raise Refused(f"{name!r} is empty.")
    return Attachment(
        sha256=await desk.blobs.aput(data),
        content_type=kind_of(data),
        size_bytes=len(data),
        name=name,
    )


def _slacks_own(url: str, api: str) -> bool:
    """Does this address belong to Slack's own file hosts, or, in a test, to the very server whose API we call?"""
    try:
        parts, ours = urlsplit(url), urlsplit(api)
        if parts.username is not None or parts.password is not None:
            return False
        if parts.scheme == "https" and parts.hostname in _HOSTS and parts.port in (None, 443):
            return True
        return ours.hostname in ("127.0.0.1", "localhost", "::1") and (
            parts.scheme, parts.hostname, parts.port) == (ours.scheme, ours.hostname, ours.port)  # fmt: skip
    except ValueError:
        return False


async def _download(desk: SlackDesk, url: str, name: str, *, markup: bool) -> bytes:
    """No redirect is followed, and no page taken for a file: who may not read it is shown where to sign in."""
    headers = {"Authorization": f"Bearer {desk.client.token}"}
    shared = desk.client.session
    session = shared or aiohttp.ClientSession()
    timeout = aiohttp.ClientTimeout(total=FETCH_S, sock_connect=5.0)
    try:
        async with session.get(URL(url), headers=headers, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                if answer.status in (404, 410):
                    raise Refused(f"{name!r} is not there any more.")
                raise Unavailable(f"Slack does not give {name!r} now ({answer.status}).")
            if answer.content_type == "text/html" and not markup:
                raise Unavailable(f"Slack does not let us read {name!r}; is the scope files:read granted?")
            if (answer.content_length or 0) > BYTES:
                raise Refused(_too_large(name))
            parts, size = [], 0
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > BYTES:
                    raise Refused(_too_large(name))
                parts.append(chunk)
            return b"".join(parts)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"Slack does not give {name!r} now.") from error
    finally:
        if shared is None:
            await session.close()


def _too_large(name: str) -> str:
    return f"{name!r} is larger than {BYTES // 1_000_000} MB."


# https://mimesniff.spec.whatwg.org/: what is sent on under a type of its own; all else goes as mere bytes, so that a
# page or a script that calls itself a picture is never shown as one.
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
)


def kind_of(data: bytes) -> str:
    """The media type by what the bytes are."""
    if image := safe.image_type(data[:16]):
        return image
    for at, magic, kind in _KINDS:
        if data.startswith(magic, at):
            return kind
    head = data[:1024]
    if b"<" in head and any(
        sign in head.lower() for sign in (b"<html", b"<!doctype", b"<script", b"<svg", b"<?xml")
    ):
        return "application/octet-stream"
    if any(byte < 9 or (13 < byte < 32 and byte != 27) for byte in head):
        return "application/octet-stream"
    try:
        data[:65536].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 65536) - 4:  # else only a character cut in two
            return "application/octet-stream"
    return "text/plain"
