"""What the web process hands to the edge, and the small bounded counters that keep floods cheap."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from connectors.base import Accepts, BlobReader, History, Keeps, Live
from hub import clock
from hub.config import Account
from hub.links import Links


class BlobStore(BlobReader, Keeps, Protocol):
    """hub.blobs.Blobs, as far as the edge needs it."""


# Part of the process -> "" where it is well, otherwise one sentence.
Look = Callable[[], Awaitable[Mapping[str, str]]]


async def _all_well() -> Mapping[str, str]:
    return {}


def _always_open(account: Account) -> bool:
    return True


def _no_troubles() -> Mapping[str, str]:
    return {}


def _count_nothing(what: str, account: str) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A token bucket: `per_s` in the long run, `burst` at once."""

    per_s: float
    burst: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the edge takes from whom. The defaults are far above honest use.

    request: all requests of one address, before anything is read. bad: those whose signature did not hold; an
    address that used these up is turned away unread. account: verified requests of one account; beyond it the
    provider is asked to come again (its `unavailable`), for what was signed is never thrown away.
    visitor_new, visitor_message and visitor_file: of web chat, the first by address, the others by visitor;
    address_file: of all its visitors together, for a file is large and a visitor quickly made.
    file: files behind links, by address; a player asks for a film in many parts.
    """

    request: Limit = Limit(per_s=5_000, burst=10_000)
    bad: Limit = Limit(per_s=10, burst=100)
    account: Limit = Limit(per_s=2_000, burst=10_000)
    visitor_new: Limit = Limit(per_s=0.5, burst=30)
    visitor_message: Limit = Limit(per_s=1, burst=20)
    visitor_file: Limit = Limit(per_s=0.1, burst=10)
    address_file: Limit = Limit(per_s=0.5, burst=60)
    file: Limit = Limit(per_s=20, burst=200)
    sockets_per_address: int = 50
    sockets: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Edge:
    """All that the edge needs. Times in seconds, sizes in bytes.

    accounts and troubles: as connectors.accounts.resolve gives them, read anew for every request. public_url: how the
    world reaches us, without a trailing slash. trusted_proxies: how many hops of X-Forwarded-For are ours.
    is_open: whether an account's calendar is open now. health: is this process well? ready: can it take requests?
    links: reads the links of files; None: there are none.
    sweep_s: how often open chats look for what no nudge told them.
    count: told of every outcome at /in/ (accepted, unreadable, forged, too_large, unavailable, limited, unknown).
    """

    accounts: Callable[[], Mapping[str, Account]]
    accept: Accepts
    blobs: BlobStore
    public_url: str
    redis: Any
    history: History | None = None
    live: Live | None = None
    troubles: Callable[[], Mapping[str, str]] = _no_troubles
    is_open: Callable[[Account], bool] = _always_open
    health: Look = _all_well
    ready: Look = _all_well
    count: Callable[[str, str], None] = _count_nothing
    body_limit_bytes: int = 5 * 1024 * 1024
    trusted_proxies: int = 0
    links: Links | None = None
    header_s: float = 10.0
    body_s: float = 15.0
    sweep_s: float = 10.0
    limits: Limits = field(default_factory=Limits)
    clock: clock.Clock = clock.system


class Buckets:
    """Token buckets by key, at most `size` of them: when it is full the oldest goes, and its key begins anew."""

    __slots__ = ("_burst", "_now", "_per_s", "_size", "_state")

    def __init__(self, limit: Limit, size: int = 20_000, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = limit.per_s
        self._burst = limit.burst
        self._size = size
        self._now = now
        self._state: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._state)

    def take(self, key: str) -> bool:
        """Take one token, if there is one."""
        now = self._now()
        state = self._state
        found = state.get(key)
        if found is not None:
            tokens = min(self._burst, found[0] + (now - found[1]) * self._per_s)
        else:
            tokens = self._burst
            if len(state) >= self._size:
                del state[next(iter(state))]
        if tokens < 1:
            state[key] = (tokens, now)
            return False
        state[key] = (tokens - 1, now)
        return True

    def spent(self, key: str) -> bool:
        """Is there no token left? Takes none, and remembers nothing."""
        return key in self._state and self._tokens(key, self._now()) < 1

    def wait_s(self, key: str) -> float:
        """Seconds until there is one again."""
        return max(0.0, (1 - self._tokens(key, self._now())) / self._per_s)

    def _tokens(self, key: str, now: float) -> float:
        found = self._state.get(key)
        if found is None:
            return self._burst
        return min(self._burst, found[0] + (now - found[1]) * self._per_s)


class NotTaken(Exception):
    """A body that is not read to its end: `status` and one sentence for whoever sent it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def read_whole(request: web.BaseRequest, limit_bytes: int) -> bytes | None:
    """The body as it was sent, where all of it is here: small ones arrive so, and need neither a timer nor a wait.
    Else None, for `read_body`. Raises NotTaken (413, 415)."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        # Inflating is how 40 kB become 40 MB, and what was signed are the bytes on the wire.
        raise NotTaken(415, "send it uncompressed: no Content-Encoding is taken")
    declared = request.content_length
    if declared is not None and declared > limit_bytes:
        raise NotTaken(413, f"at most {limit_bytes} bytes are taken")
    content = request.content
    if not content.is_eof():
        return None
    body = content.read_nowait()
    if len(body) > limit_bytes:
        raise NotTaken(413, f"at most {limit_bytes} bytes are taken")
    return body


async def read_body(request: web.BaseRequest, limit_bytes: int, within_s: float) -> bytes:
    """The body as it was sent, never more of it than the limit. Raises NotTaken (408, 413, 415)."""
    if (whole := read_whole(request, limit_bytes)) is not None:
        return whole
    content = request.content
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            while chunk := await content.readany():
                size += len(chunk)
                if size > limit_bytes:
                    raise NotTaken(413, f"at most {limit_bytes} bytes are taken")
                parts.append(chunk)
    except TimeoutError:
        raise NotTaken(408, f"the body took more than {within_s:g} s") from None
    return b"".join(parts)


def client_address(request: web.BaseRequest, trusted_proxies: int) -> str:
    """Who is at the other end, as far as it can be trusted.

    Each of our proxies appends the address it saw, so the client is `trusted_proxies` entries from the end of
    X-Forwarded-For; what stands before that anybody may have written.
    """
    peer = request.remote or ""
    if trusted_proxies:
        hops = [h.strip() for v in request.headers.getall("X-Forwarded-For", ()) for h in v.split(",")]
        if len(hops) >= trusted_proxies:
            return _literal(hops[-trusted_proxies]) or peer
    return peer


def bucket_key(address: str) -> str:
    """An IPv6 customer has a whole /64, so that is what a limit counts by; all of IPv4 is one as some proxies and
    sockets write it (::ffff:192.0.2.1), and counts as what it is."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False).network_address)


def _literal(text: str) -> str:
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def same_place(origin: str, public_url: str) -> bool:
    """Is `origin` our own public address? On the loopback its names are one: localhost, 127.0.0.1, [::1]."""
    try:
        ours, theirs = urlsplit(public_url), urlsplit(origin)
        ports = [p.port or {"http": 80, "https": 443}.get(p.scheme) for p in (ours, theirs)]
    except ValueError:
        return False
    if theirs.path or theirs.query or theirs.fragment or theirs.username is not None:
        return False
    if ours.scheme != theirs.scheme or ports[0] != ports[1]:
        return False
    near = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 — a name to compare, nothing is bound
    return ours.hostname == theirs.hostname or {ours.hostname, theirs.hostname} <= near
