"""An account's settings in YAML against a connector's table of them: what is wrong, a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from connectors import http
from hub.config import Account

Known = Mapping[str, Callable[[Any], str]]  # setting -> what is wrong with its value, "" where nothing is
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def complaints(account: Account, known: Known) -> list[str]:
    """Of settings that there are not, then of values that may not be. One without a value is as good as none."""
    found = [
        f"{account.connector} has no setting {str(name)[:60]!r}"
        for name in account.settings
        if name not in known
    ]
    for name, wrong in known.items():
        value = account.settings.get(name)
        if value is not None and (words := wrong(value)):
            found.append(f"{name} {words}")
    return found


def flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be text"


def url(value: Any) -> str:
    """Whether private addresses are called is the installation's choice; the session looks at that again."""
    return text(value) or http.complaint(value, allow_private=True) or ""


def api(value: Any) -> str:
    """A provider's API, or what stands in its place: another version of it, a test's or the demo's."""
    if wrong := url(value):
        return wrong
    if value.startswith("http://") and urlsplit(value).hostname not in _LOOPBACK:
        return "must begin with https:// unless it is on this machine: our credentials go there"
    return ""
