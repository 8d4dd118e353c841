"""One outbound HTTP session that cannot be talked into our own networks (security.md S3).

The check stands in the dialler: whatever the URL, a redirect or the DNS said, the address that a socket is about to
be opened to is looked at, and that very address is dialled. So there is no second look-up to rebind, and no spelling
of 127.0.0.1 to forget.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

# 80 and 443, and the two that development servers and proxies commonly use; never a mail, database or cache port.
PORTS = frozenset({80, 443, 8080, 8443})
CONNECT_S = 5.0
REACH_S = 20.0  # a free connection, or the look-up and every address in turn, and TLS
TOTAL_S = 30.0  # far below a drain's half minute and a job's time-out

_EMBEDS = (  # IPv6 networks whose addresses carry an IPv4 address, and at which bit it begins
    (ipaddress.IPv6Network("::ffff:0:0/96"), 96),
    (ipaddress.IPv6Network("::/96"), 96),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 96),
    (ipaddress.IPv6Network("64:ff9b::/96"), 96),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 96),
    (ipaddress.IPv6Network("2002::/16"), 16),
)
_CARRIER_NAT = ipaddress.IPv4Network("100.64.0.0/10")


class TargetRefused(OSError):
    """Where a request was to go is none of its business. The text is one sentence."""


class TooLarge(Exception):
    """A response body beyond what its reader takes."""


def is_public(host: str) -> bool:
    """Is this literal address one of the public internet's? False for whatever is not an address at all."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        for network, bit in _EMBEDS:
            if address in network:
                inner = ipaddress.IPv4Address((int(address) >> (128 - bit - 32)) & 0xFFFFFFFF)
                return is_public(str(inner))
        if address.teredo is not None:
            return False
    elif address in _CARRIER_NAT:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def complaint(url: str, *, allow_private: bool = False) -> str | None:
    """What is wrong with a URL we are told to call, one sentence; None where nothing is. Looks nothing up."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// (or http://)"
    if not parts.hostname:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not carry a user name or password"
    if not allow_private and port is not None and port not in PORTS:
        return f"may use the ports {', '.join(map(str, sorted(PORTS)))} only"
    return None


async def read_capped(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body, streamed. Raises TooLarge as soon as it is longer than `limit_bytes`; time is the session's matter."""
    if response.content_length is not None and response.content_length > limit_bytes:
        raise TooLarge
    if response.content.is_eof():  # a short one comes with its head: no need to wait for it
        whole = response.content.read_nowait()
        if len(whole) > limit_bytes:
            raise TooLarge
        return whole
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge
        parts.append(chunk)
    return b"".join(parts)


def refusal(error: BaseException) -> TargetRefused | None:
    """The TargetRefused that is behind an error of the session's, if that is what it was."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TargetRefused):
            return seen
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return None


def guarded_session(
    *,
    allow_private: bool = False,
    resolver: AbstractResolver | None = None,
    total_s: float | None = TOTAL_S,
    connections: int = 200,
) -> aiohttp.ClientSession:
    """A session for everything that goes out. Make one a process, in its event loop, and close it.

    Every hop of a redirect is checked like the first; credentials do not follow to another origin (aiohttp's rule).
    No cookies, no proxy from the environment. `allow_private` is for tests and for hubs whose systems live inside.
    connections: at once; 0 for a caller that bounds its requests itself, so that hung hosts cannot use up the others'.
    total_s: of a request with its answer; None for a caller that ends its requests itself (a timer for each is 7 % of
    what one costs). Looking up and connecting has an end of its own in any case, since after that nothing was sent.
    """

    class Checked(aiohttp.ClientRequest):
        """One hop. (A middleware would wrap every request in two more coroutines.)"""

        def __init__(self, method: str, url: URL, **more: Any) -> None:
            if wrong := _complaint(url, allow_private):
                raise TargetRefused(f"{url.host} is not called: the address {wrong}")
            super().__init__(method, url, **more)

    def dial(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allow_private and not is_public(str(address[0])):
            raise TargetRefused(f"{address[0]} is not called: it is not on the public internet")
        opened = socket.socket(family=family, type=kind, proto=protocol)
        opened.setblocking(False)
        return opened

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, socket_factory=dial, limit=connections),
        request_class=Checked,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=total_s, connect=REACH_S, sock_connect=CONNECT_S),
        trust_env=False,
        headers={"User-Agent": "Mainstem"},
    )


@lru_cache(maxsize=1024)  # an account's replies all go to one address, and looking at it takes 5 µs
def _complaint(url: URL, allow_private: bool) -> str | None:
    return complaint(_bare(url), allow_private=allow_private)


def _bare(url: URL) -> str:
    return str(url.with_query(None).with_fragment(None))
