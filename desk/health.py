"""How the accounts and the channels of Slack do, as far as people must know: what rests or is not read, since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, select

from crm_store.schema import account_states
from crm_store.sources import READING
from desk import words
from hub.config import Config

SLACK = (
    "slack"  # account_states of Slack itself, where it takes nothing from us; `slack/PLACE` is one channel
)
_PLACE = f"{SLACK}/"
# A source says at the latest every ten minutes that it was read (connectors/mail/settings.py: `poll`).
_SILENT_AFTER = timedelta(minutes=15)
_SILENT = "nobody reads it: is `mainstem pull` running?"

# Slack's code -> what it means, what to do about it.
PLACES: Mapping[str, tuple[str, str]] = {
    "is_archived": (
        "the channel is archived.",
        "Unarchive it, or name another in config/queues.yaml. Its cards go back there.",
    ),
    "not_in_channel": ("the app is not a member.", "Invite it there: /invite and the app's name."),
    "channel_not_found": (
        "there is no such channel, or it is private and the app is not in it.",
        "Invite the app there, or name another in config/queues.yaml.",
    ),
}
_NOT_ALLOWED = ("the app may not post there.", "A workspace admin can allow it in the channel's settings.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """An account whose source is not read. why: in words. next_at: when it is tried again, where that is known."""

    since: datetime
    why: str
    next_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """One account as it does: paused_until None where it sends; unread None where what comes in is read, or comes by
    itself."""

    account: str
    title: str
    channel: str
    enabled: bool
    paused_until: datetime | None
    why: str
    unread: Unread | None = None

    @property
    def well(self) -> bool:
        return self.enabled and self.paused_until is None and self.unread is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """A channel of Slack that takes nothing; place "" is Slack as a whole."""

    place: str
    since: datetime
    why: str
    cure: str


def accounts(tx: Connection, config: Config, now: datetime) -> tuple[Health, ...]:
    """Every account of the configuration, the troubled first."""
    states = {row.account: row for row in tx.execute(select(account_states))}
    found = []
    for account in config.accounts.values():
        row = states.get(account.key)
        paused = row.paused_until if row is not None and row.paused_until and row.paused_until > now else None
        found.append(
            Health(
                account=account.key,
                title=account.title,
                channel=words.channel(account.key),
                enabled=account.enabled,
                paused_until=paused,
                why=row.why if row is not None and paused else "",
                unread=_unread(states.get(f"{account.key}{READING}"), now) if account.enabled else None,
            )
        )
    return tuple(
        sorted(found, key=lambda one: (one.paused_until is None and one.unread is None, not one.enabled))
    )


def _unread(row: Row[tuple[object, ...]] | None, now: datetime) -> Unread | None:
    if row is None:
        return None
    if row.why:
        return Unread(since=row.at, why=row.why, next_at=row.paused_until)
    return Unread(since=row.at, why=_SILENT) if now - row.at > _SILENT_AFTER else None


def blocked(tx: Connection, now: datetime) -> tuple[Blocked, ...]:
    """Where Slack takes nothing from us now."""
    s = account_states.c
    query = (
        select(account_states)
        .where((s.account == SLACK) | s.account.startswith(_PLACE, autoescape=True), s.paused_until > now)
        .order_by(s.account)
    )
    return tuple(
        Blocked(place=row.account.removeprefix(SLACK).removeprefix("/"), since=row.at, why=why, cure=cure)
        for row in tx.execute(query)
        for why, cure in [in_words(row.why, whole=row.account == SLACK)]
    )


def in_words(code: str, *, whole: bool = False) -> tuple[str, str]:
    """(what Slack's code means, what to do about it)."""
    if whole:
        return (f"Slack does not take the app ({code}).", "Look at its token: `mainstem slack check`.")
    return PLACES.get(code, _NOT_ALLOWED if code.startswith("restricted") else (code, ""))
