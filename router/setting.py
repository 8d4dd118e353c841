"""What holds for a whole batch while it is planned, and the few words that its planners share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from hub.config import Account, Config
from hub.errors import MainstemError
from router.rules import Decision
from router.threads import Mailboxes

Wish = Callable[[str], str | None]  # "stop", "start", "help" or None; router/consent.py


class Rules(Protocol):
    """What is needed of router.rules.RuleSet."""

    hash: str

    def possible(self, facts: Mapping[str, Any]) -> int: ...

    def decide(self, facts: Mapping[str, Any], text: str, possible: int | None = None) -> Decision: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What holds for a whole batch. `calendars_open`: for the calendars that the rules ask for, at `now`."""

    config: Config
    rules: Rules
    calendars_open: Mapping[str, bool]
    wish: Wish
    ids: Callable[[], int]
    now: datetime
    mailboxes: Mailboxes

    def account(self, key: str) -> Account:
        """Raises MainstemError for an account that the configuration does not have (any more, or not yet)."""
        found = self.config.accounts.get(key)
        if found is None:
            raise MainstemError(f"the configuration has no account {key}")
        return found


def compact(value: Any) -> str:
    """JSON without spaces."""
    return msgspec.json.encode(value).decode()


def clean(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
