"""An account's settings as typed values, and every complaint about them. docs/channels/mail.md says what each means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectors import checking
from hub import urn
from hub.config import Account

TLS, STARTTLS, PLAIN = "tls", "starttls", "none"
PASSWORD, XOAUTH2 = "password", "xoauth2"
_SMTP_PORTS = {TLS: 465, STARTTLS: 587, PLAIN: 25}
_IMAP_PORTS = {TLS: 993, STARTTLS: 143, PLAIN: 143}
_HERE = ("localhost", "127.0.0.1", "::1")  # between processes of one machine nothing listens in
SIGNATURE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and who we are there. ca: a file of certificates trusted besides the system's."""

    host: str
    port: int
    tls: str
    user: str
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Dkim:
    selector: str
    domain: str


def address(account: Account) -> str:
    """The mailbox's own address, in its one spelling. Raises ValueError where the account has none."""
    return urn.mailto(account.address or "").removeprefix("mailto:")


def smtp(account: Account) -> Server | None:
    """Where mail is handed over; None where the account only receives."""
    return _server(account, "smtp", _SMTP_PORTS)


def imap(account: Account) -> Server | None:
    """Where mail is fetched; None where the account only sends."""
    return _server(account, "imap", _IMAP_PORTS)


def auth(account: Account) -> str | None:
    """How one logs in: PASSWORD, XOAUTH2, or None at a relay that asks for nothing (it knows our machine)."""
    has = {*account.secrets, *account.secret_names}
    if account.settings.get("auth") == XOAUTH2:
        return XOAUTH2
    return PASSWORD if PASSWORD in has else None


def signature(account: Account) -> str:
    """The account's own, else its brand's."""
    return str(account.settings.get("signature") or account.signature)


def quotes(account: Account) -> bool:
    """Do answers repeat what they answer?"""
    return account.settings.get("quote", True) is not False


def dkim(account: Account) -> Dkim | None:
    """None where the mail server signs, as most do."""
    said = account.settings.get("dkim")
    if not isinstance(said, Mapping):
        return None
    return Dkim(str(said["selector"]), str(said.get("domain") or address(account).rpartition("@")[2]))


def _server(account: Account, name: str, ports: Mapping[str, int]) -> Server | None:
    """Without `tls` a port that only STARTTLS uses says so; everything else is TLS from the first byte."""
    said = account.settings.get(name)
    if not isinstance(said, Mapping):
        return None
    tls = str(said.get("tls") or (STARTTLS if said.get("port") == ports[STARTTLS] else TLS))
    ca = said.get("ca")
    return Server(
        host=str(said["host"]),
        port=int(said.get("port") or ports[tls]),
        tls=tls,
        user=str(said.get("user") or account.address or ""),
        ca=str(ca) if ca else None,
    )


# ----------------------------------------------------------------------------------------------------- complaints

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_SPAN = re.compile(r"[0-9]{1,4}[dhms]")
_FROM = re.compile(rf"now|all|{_SPAN.pattern}")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DONE = re.compile(r"keyword|seen|nothing|move:\S.{0,200}")
_LABELS = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


def _text(limit: int, *, lines: bool = False) -> Callable[[Any], str | None]:
    def look(value: Any) -> str | None:
        if not isinstance(value, str) or not value:
            return "must be text"
        if len(value) > limit:
            return f"may have {limit} characters"
        return None if lines or "\n" not in value else "must be one line"

    return look


def _whole(least: int, most: int) -> Callable[[Any], str | None]:
    def look(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"must be a whole number from {least} to {most}"

    return look


def _one_of(*words: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in words else f"must be {', '.join(words[:-1])} or {words[-1]}"


def _like(pattern: re.Pattern[str], what: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, str) and pattern.fullmatch(value) else f"must be {what}"


def _poll(value: Any) -> str | None:
    seconds = _UNITS.get(str(value)[-1:], 0) * int(str(value)[:-1] or 0) if _SPAN.fullmatch(str(value)) else 0
    return None if 10 <= seconds <= 540 else "must be between 10s and 9m"


Look = Callable[[Any], str | None]
_PLACE: dict[str, Look] = {
    "host": _like(_HOST, "a host name or an IP address"),
    "port": _whole(1, 65_535),
    "tls": _one_of(TLS, STARTTLS, PLAIN),
    "user": _text(320),
    "ca": _text(1_000),
}
# Setting -> how it is looked at; a table of settings below it, where it has some.
KNOWN: dict[str, Look | dict[str, Look]] = {
    "imap": {
        **_PLACE,
        "folder": _text(200),
        "done": _like(_DONE, "keyword, seen, nothing or move:Folder"),
        "from": _like(_FROM, "now, all or a span such as 1d or 12h"),
        "poll": _poll,
    },
    "smtp": _PLACE,
    "auth": _one_of(PASSWORD, XOAUTH2),
    "oauth": {"token_url": checking.url, "client_id": _text(500), "scope": _text(1_000)},
    "authserv_id": _text(253),
    "authserv_hops": _whole(1, 20),
    "name": _text(120),
    "signature": _text(SIGNATURE_CHARS, lines=True),
    "quote": checking.flag,
    "reply_token": checking.flag,
    "dkim": {
        "selector": _like(_LABELS, "the name before ._domainkey"),
        "domain": _like(_LABELS, "a domain"),
    },
}
_NEEDED = {"imap": ("host",), "smtp": ("host",), "oauth": ("token_url", "client_id"), "dkim": ("selector",)}


def complaints(account: Account) -> list[str]:
    """Everything that is wrong, one sentence each."""
    found = list(_shapes(account.settings))
    try:
        address(account)
    except ValueError as error:
        found.append(f"address: {error}" if account.address else "it needs an address: that of the mailbox")
    return found or list(_logins(account))


def _shapes(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        look = KNOWN.get(name)
        if look is None:
            yield f"mail has no setting {name!r}"
        elif not isinstance(look, dict):
            if wrong := look(value):
                yield f"{name} {wrong}"
        elif not isinstance(value, Mapping):
            yield f"{name} must have settings of its own: {', '.join(look)}"
        else:
            yield from _below(name, value, look)


def _below(name: str, value: Mapping[str, Any], look: Mapping[str, Look]) -> Iterator[str]:
    for key, inner in value.items():
        if key not in look:
            yield f"{name} has no setting {key!r}"
        elif wrong := look[key](inner):
            yield f"{name}.{key} {wrong}"
    for key in _NEEDED[name]:
        if not value.get(key):
            yield f"{name} needs {key}"


def _logins(account: Account) -> Iterator[str]:
    """What the settings and the secrets say together."""
    has = {*account.secrets, *account.secret_names}
    places = {"imap": imap(account), "smtp": smtp(account)}
    way = auth(account)
    if way == XOAUTH2:
        if not has & {"refresh_token", "client_secret"}:
            yield "auth xoauth2 needs the secret 'refresh_token', or 'client_secret' for an application of its own"
        if "oauth" not in account.settings:
            yield "auth xoauth2 needs oauth: token_url and client_id"
    elif way is None and places["imap"] is not None:
        yield "imap needs the secret 'password', or auth: xoauth2"
    elif way is None and account.settings.get("smtp", {}).get("user"):
        yield "smtp.user needs the secret 'password', or auth: xoauth2"
    for name, place in places.items():
        if place is not None and place.tls == PLAIN and way is not None and place.host not in _HERE:
            yield f"{name}.tls none would send the password in the clear: use tls or starttls"
    if "dkim" in account.settings and "dkim" not in has:
        yield "dkim needs the secret 'dkim': the private key"
    if "dkim" in has and "dkim" not in account.settings:
        yield "the secret 'dkim' needs the setting dkim: selector and domain"
