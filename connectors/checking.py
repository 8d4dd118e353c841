"""An account's settings in YAML against a connector's table of them: what is wrong, a sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hub.config import Account

Known = Mapping[str, Callable[[Any], str]]  # setting -> what is wrong with its value, "" where nothing is


def complaints(account: Account, known: Known) -> list[str]:
    """Of settings that there are not, then of values that may not be."""
    found = [
        f"{account.connector} has no setting {str(name)[:60]!r}"
        for name in account.settings
        if name not in known
    ]
    for name, wrong in known.items():
        if name in account.settings and (words := wrong(account.settings[name])):
            found.append(f"{name} {words}")
    return found


def flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"
