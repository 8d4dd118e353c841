"""One guarded GET for a file at a provider: what every `fetch` of a connector is made of (security.md S3).

Each hop goes through the guarded session, whose dialler looks at the very address that it is about to open
(connectors/http.py). Redirects are followed here, not by the session, so that the caller's headers stay with the
origin they were meant for. Bytes are counted while they come, and what was packed is counted unpacked.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Collection, Mapping
from urllib.parse import unquote_to_bytes

import aiohttp
from yarl import URL

from connectors import http
from connectors.base import Fetched, FetchError, Wire
from connectors.calling import patience

LIMIT_BYTES = 100 * 1024 * 1024  # the largest that any provider of ours hands out: a document on WhatsApp
TOTAL_S = 60.0  # all hops and the whole body
HOPS = 3  # redirects; Twilio takes one to its own CDN and one to the bucket
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IDENTITY = ("", "identity")
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_CHUNK = 256 * 1024
_NAME_CHARS = 400

# status: (may it come yet, not before so many seconds, words). What is not here: 5xx may come, all else will not.
_STATUS: dict[int, tuple[bool, float | None, str]] = {
    401: (True, 300.0, "our credentials are refused there"),
    403: (False, None, "it may not be read by us"),
    404: (True, 30.0, "it is not there"),  # Twilio lists a message some seconds before its media can be had
    407: (True, 300.0, "a proxy on the way wants credentials"),
    408: (True, None, "it took too long"),
    410: (False, None, "it is no longer there"),
    421: (True, None, "it was asked of the wrong server"),
    423: (True, 30.0, "it is locked"),
    425: (True, None, "it was asked for too early"),
    429: (True, 30.0, "too many files were asked for"),
    451: (False, None, "it is withheld for legal reasons"),
    501: (False, None, "it cannot be asked for"),
    505: (False, None, "it cannot be asked for"),
}

_STARRED = re.compile(r"(?:^|;)\s*filename\*\s*=\s*\"?([\w.-]*)'[^']*'([^;\"]*)", re.IGNORECASE)
_QUOTED = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_PLAIN = re.compile(r"(?:^|;)\s*filename\s*=\s*([^;\"]+)", re.IGNORECASE)


async def get(
    wire: Wire,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = LIMIT_BYTES,
    total_s: float = TOTAL_S,
    hosts: Collection[str] = (),
) -> Fetched:
    """The file at `url`. Raises FetchError, whose text names the host and no more of the address.

    headers: credentials and whatever else only the first origin may see; after a redirect to another scheme, host or
    port they are gone for good. limit_bytes: of the file, unpacked. total_s: of everything. hosts: where given, `url`
    must be at one of these names or beneath one; say so wherever it comes from a message rather than from ourselves.
    """
    try:
        async with asyncio.timeout(total_s):
            return await _follow(wire, _start(url, hosts), dict(headers or {}), limit_bytes)
    except TimeoutError:
        raise FetchError(f"The file did not come within {total_s:g} seconds.", retry=True) from None


def file_name(disposition: str) -> str:
    """The name in a Content-Disposition as its sender wrote it, or "". It is not safe yet: connectors/media.py."""
    disposition = disposition[:4096]
    if found := _STARRED.search(disposition):
        raw = unquote_to_bytes(found[2].strip())
        try:
            return raw.decode(found[1] or "utf-8")[:_NAME_CHARS]
        except (LookupError, UnicodeDecodeError):
            return raw.decode("utf-8", "replace")[:_NAME_CHARS]
    if found := _QUOTED.search(disposition):
        name = re.sub(r"\\(.)", r"\1", found[1])
    elif found := _PLAIN.search(disposition):
        name = found[1].strip()
    else:
        return ""
    # aiohttp reads header bytes as UTF-8, and keeps those that are none as surrogates.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:_NAME_CHARS]


def refused(status: int, host: str, after_s: float | None = None) -> FetchError:
    """What a status other than 200 says of a file. after_s: the answer's own Retry-After."""
    retry, least, words = _STATUS.get(status, (status >= 500, None, ""))
    if not words:
        words = "it has trouble of its own" if status >= 500 else "the file is refused"
    return FetchError(
        f"The file did not come: {host} answers {status}, {words}.",
        retry=retry,
        after_s=(after_s if after_s is not None else least) if retry else None,
    )


# ---------------------------------------------------------------------------------------------------------- hops


def _start(url: str, hosts: Collection[str]) -> URL:
    try:
        first = URL(url)
        host = (first.host or "").lower().rstrip(".")
    except ValueError:
        raise FetchError("The file's address is no URL.") from None
    if not host or first.scheme not in ("http", "https"):
        raise FetchError("The file's address is no URL that can be fetched.")
    if first.user is not None or first.password is not None:
        raise FetchError(f"The file's address at {host} carries a password, so it is not called.")
    if hosts and not any(host == name or host.endswith(f".{name}") for name in hosts):
        raise FetchError(f"The file is at {host}, where this channel has no files.")
    return first


async def _follow(wire: Wire, url: URL, headers: dict[str, str], limit_bytes: int) -> Fetched:
    origin = url.origin()
    for _ in range(HOPS + 1):
        host = url.host or ""
        try:
            async with wire.http.get(
                url,
                headers={**headers, "Accept": "*/*", "Accept-Encoding": "identity"},
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=http.REACH_S, sock_connect=http.CONNECT_S),
            ) as response:
                if response.status == 200:
                    return await _taken(response, host, limit_bytes)
                if response.status not in _REDIRECTS:
                    raise refused(response.status, host, patience(response))
                url = _next(url, response.headers.get("Location", ""))
        except FetchError:
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(error, host) from None
        if url.origin() != origin:
            headers = {}
    raise FetchError(f"The file did not come: it was passed on more than {HOPS} times.")


def _next(url: URL, location: str) -> URL:
    host = url.host or ""
    try:
        onward = url.join(URL(location))
        if not location or not onward.host or onward.scheme not in ("http", "https"):
            raise ValueError
        onward.origin()
    except ValueError:
        raise FetchError(f"The file did not come: {host} passes it on to what is no URL.") from None
    if onward.user is not None or onward.password is not None:
        raise FetchError(f"The file did not come: {host} passes it on to an address with a password.")
    if url.scheme == "https" and onward.scheme == "http":
        raise FetchError(f"The file did not come: {host} passes it on to an address without encryption.")
    return onward.with_fragment(None)


def _failed(error: BaseException, host: str) -> FetchError:
    """In our words alone: an error of the session's may quote the address with what it carries."""
    if why := http.refusal(error):
        return FetchError(f"The file did not come: {why}.")
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | UnicodeError):
        return FetchError("The file's address is no URL that can be fetched.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return FetchError(f"The file did not come: the certificate of {host} does not hold.", retry=True)
    if isinstance(error, TimeoutError):
        return FetchError(f"The file did not come: {host} does not answer in time.", retry=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return FetchError(f"The file did not come: there is no connection to {host}.", retry=True)
    what = type(error).__name__
    return FetchError(f"The file did not come: the connection to {host} broke off ({what}).", retry=True)


# ---------------------------------------------------------------------------------------------------------- bytes


async def _taken(response: aiohttp.ClientResponse, host: str, limit_bytes: int) -> Fetched:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _IDENTITY and encoding not in _WBITS:
        raise FetchError(f"The file did not come: {host} packs it in a way that was not asked for.")
    try:
        if encoding in _IDENTITY:
            data = await http.read_capped(response, limit_bytes)
        else:
            data = await _unpacked(response, _WBITS[encoding], limit_bytes)
    except http.TooLarge:
        raise FetchError(f"The file is larger than {_size(limit_bytes)}, so it is not fetched.") from None
    except zlib.error:
        raise FetchError(
            f"The file did not come whole: what {host} sent cannot be unpacked.", retry=True
        ) from None
    return Fetched(
        data=data,
        content_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower()[:120],
        name=file_name(response.headers.get("Content-Disposition", "")),
    )


async def _unpacked(response: aiohttp.ClientResponse, wbits: int, limit_bytes: int) -> bytes:
    """For servers that pack what they were asked not to. Never more than a chunk beyond the limit is in memory."""
    unpack = zlib.decompressobj(wbits)
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        while chunk and not unpack.eof:
            part = unpack.decompress(chunk, _CHUNK)
            chunk = unpack.unconsumed_tail
            size += len(part)
            if size > limit_bytes:
                raise http.TooLarge
            parts.append(part)
    if not unpack.eof:
        raise zlib.error("it ends too early")
    return b"".join(parts)


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.3g} MB" if count >= 1024 * 1024 else f"{count} bytes"
