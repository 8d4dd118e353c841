"""What becomes of a row of the inbox, as its handler says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_store.desk_inbox import Heard, Told
from desk.slack.context import SlackDesk


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """trouble: why nothing came of it. then: what we owe Slack now. forget: it is none of ours; its text goes."""

    trouble: str = ""
    then: tuple[Told, ...] = ()
    forget: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Later:
    """counts: something was wrong with it, so that it is not tried for ever."""

    after_s: float
    why: str = ""
    counts: bool = False


Outcome = Done | Later
Handler = Callable[[SlackDesk, Heard, Mapping[str, Any]], Awaitable[Outcome]]
