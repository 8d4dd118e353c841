"""The environment -> Settings. All faults are reported at once, each with its variable's name.

A dataclass and a table, not pydantic-settings: that took 14 MB and 0.13 s in each of seven processes
(docs/decisions/0006).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.errors import MainstemError

_PLATFORM = (
    "redis_url",
    "database_url",
    "port",
)  # these variables are everybody's; ours begin with MAINSTEM_


class SettingsError(MainstemError):
    """The environment cannot be used; the text names every variable that is wrong."""


class Secret:
    """Text that does not show itself in logs, tracebacks and the repr of what holds it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How this process is to run. Every field's variable is MAINSTEM_<FIELD>, but for the platform's own three.

    Times in seconds, sizes in bytes. docs/operations.md lists them all (a test holds it to that).
    """

    redis_url: str | None = field(default=None, repr=False)  # may hold a password
    database_url: Secret | None = None
    port: int = 8080

    host: str = "127.0.0.1"
    desk_port: int | None = None  # None: port + 1
    public_url: str | None = None  # how the world reaches the edge; signatures are checked against it
    desk_url: str | None = None  # how agents reach the desk; cookies are Secure when it is https
    trusted_proxies: int = 0  # how many X-Forwarded-For hops are ours
    data: Path = Path("var")
    config: Path = Path("config")
    blobs: Path | str | None = None  # a folder, or a bucket: s3://…; None: data / "blobs"
    link_days: int = 7  # how long a file's link that a channel sent instead of the file can be opened
    secret_key: Secret | None = None  # None: made once in data / "secret.key", 0600
    log_level: str = "info"
    log_format: str = "text"
    undo_s: float = 10.0  # how long a reply is held so that it can be undone
    body_limit_bytes: int = 5 * 1024 * 1024  # Meta sends up to 3 MB; Twilio's media come by URL
    slack_bot_token: Secret | None = None  # xoxb-…: with it, agents can answer from Slack
    slack_app_token: Secret | None = None  # xapp-…: Socket Mode; without it, HTTP mode
    slack_signing_secret: Secret | None = None  # HTTP mode: what Slack signs its requests with
    slack_port: int | None = None  # HTTP mode: where Slack's requests come in; None: the desk's port + 1
    slack_api: str = "https://slack.com/api/"
    allow_private_targets: bool = False  # let outbound webhooks reach loopback and private addresses

    @property
    def desk_port_or_next(self) -> int:
        return self.desk_port if self.desk_port is not None else (self.port + 1 if self.port else 0)

    @property
    def slack_port_or_next(self) -> int:
        if self.slack_port is not None:
            return self.slack_port
        return self.desk_port_or_next + 1 if self.desk_port_or_next else 0

    @property
    def near_host(self) -> str:
        """As an address on this machine names it: who listens everywhere is met on the loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"[{host}]" if ":" in host else host

    @property
    def public_address(self) -> str:
        """The edge's public address without a trailing slash; the local one where none is configured."""
        return self.public_url or f"http://{self.near_host}:{self.port}"

    @property
    def desk_address(self) -> str:
        return self.desk_url or f"http://{self.near_host}:{self.desk_port_or_next}"

    @property
    def blob_folder(self) -> Path:
        return self.blobs if isinstance(self.blobs, Path) else self.data / "blobs"

    @property
    def database(self) -> str:
        """The database's URL; SQLite in the data folder where none is set."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data / 'mainstem.db'}"


# ------------------------------------------------------------------------------------------------ text -> values


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (
            not text.strip().isdecimal()
            or (value := int(text)) < least
            or (most is not None and value > most)
        ):
            span = f"from {least} to {most}" if most is not None else f"of at least {least}"
            raise ValueError(f"must be a whole number {span}, not {text[:40]!r}")
        return value

    return read


def _seconds(most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= most:
            raise ValueError(f"must be a number of seconds from 0 to {most:g}, not {text[:40]!r}")
        return value

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {text[:40]!r}")
        return text.lower()

    return read


def _address(*schemes: str) -> Callable[[str], str]:
    """Its beginning alone: the rest may be a password, and is never repeated."""

    def read(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(f"must start with {', '.join(schemes[:-1])} or {schemes[-1]}")
        return text

    return read


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be an address like https://hub.example.com")
    return text.rstrip("/")


def _blobs(text: str) -> Path | str:
    if "://" not in text:
        return Path(text)
    from hub import bucket

    bucket.read(text)
    return text


def _flag(text: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in words:
        raise ValueError(f"must be true or false, not {text[:40]!r}")
    return words[text.lower()]


def _database(text: str) -> Secret:
    return Secret(_address("sqlite:///", "postgresql://", "postgres://")(text))


def _token(begins: str) -> Callable[[str], Secret]:
    def read(text: str) -> Secret:
        if not text.startswith(begins) or not text.isascii() or any(c.isspace() for c in text):
            raise ValueError(f"must be a token that begins with {begins}")
        return Secret(text)

    return read


_port = _whole(0, 65535)
_READ: dict[str, Callable[[str], Any]] = {
    "redis_url": _address("redis://", "rediss://", "unix://"),
    "database_url": _database,
    "port": _port,
    "host": str,
    "desk_port": _port,
    "public_url": _web_address,
    "desk_url": _web_address,
    "trusted_proxies": _whole(0, 8),
    "data": Path,
    "config": Path,
    "blobs": _blobs,
    "link_days": _whole(1, 365),
    "secret_key": Secret,
    "log_level": _one_of("debug", "info", "warning", "error"),
    "log_format": _one_of("text", "json"),
    "undo_s": _seconds(300),
    "slack_bot_token": _token("xoxb-"),
    "slack_app_token": _token("xapp-"),
    "slack_signing_secret": Secret,
    "slack_port": _port,
    "slack_api": lambda text: _web_address(text) + "/",
    "body_limit_bytes": _whole(1024),
    "allow_private_targets": _flag,
}


def variable(name: str) -> str:
    """The environment variable of a field."""
    return name.upper() if name in _PLATFORM else f"MAINSTEM_{name.upper()}"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; an empty variable counts as not set. Raises SettingsError with one line a fault."""
    values: dict[str, Any] = {}
    faults = []
    for known in fields(Settings):
        text = environ.get(variable(known.name), "")
        if text == "":
            continue
        try:
            values[known.name] = _READ[known.name](text)
        except ValueError as fault:
            faults.append(f"{variable(known.name)}: {fault}")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**values)
