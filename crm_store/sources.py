"""Sources that are pulled (mailboxes): how far each is read, what came in of it, and how reading goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, text

from crm_store.db import Store
from crm_store.schema import account_states, cursors, intake
from crm_store.statements import inserting
from hub.clock import EPOCH, to_us
from hub.text import storable

# How reading an account goes stands beside how sending over it goes: account_states of `mail/support#in`. A pause of
# the one is none of the other.
READING = "#in"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """why: empty while it goes well, as it did at `at`; otherwise `at` is since when it does not. next_at: when it is
    tried again."""

    account: str
    at: datetime
    why: str
    next_at: datetime | None


def begin(store: Store, account: str, name: str, value: str) -> str:
    """Note where a source begins, unless that is known already. What stands then."""
    c = cursors.c

    def work(tx: Any) -> str:
        # As if long ago: whatever comes with an event is newer, whosever clock it is.
        row = {"account": account, "name": name, "value": value, "at": EPOCH}
        tx.execute(inserting(tx, cursors).values(row).on_conflict_do_nothing())
        return str(tx.scalar(select(c.value).where(c.account == account, c.name == name)))

    return store.run(work)


def has(tx: Connection, account: str, event_keys: Sequence[str]) -> set[str]:
    """Which of these events have their row of intake, whatever became of them."""
    found: set[str] = set()
    i = intake.c
    first = text("outcome <> 'duplicate'")  # the index that knows them has these words
    for start in range(0, len(event_keys), _CHUNK):
        chunk = list(event_keys[start : start + _CHUNK])
        found.update(
            tx.scalars(select(i.event_key).where(i.account == account, i.event_key.in_(chunk), first))
        )
    return found


def note(tx: Connection, account: str, at: datetime, why: str, next_at: datetime | None) -> None:
    """How reading it goes, as of now. What goes wrong still keeps the time since which something did. why: a server's
    words may be among it, so anything at all."""
    tx.execute(
        text(
            "INSERT INTO account_states (account, paused_until, why, at) VALUES (:account, :until, :why, :at)"
            " ON CONFLICT (account) DO UPDATE SET paused_until = excluded.paused_until, why = excluded.why,"
            " at = CASE WHEN account_states.why <> '' AND excluded.why <> '' THEN account_states.at"
            " ELSE excluded.at END"
        ),
        {
            "account": f"{account}{READING}",
            "until": None if next_at is None else to_us(next_at),
            "why": storable(why),
            "at": to_us(at),
        },
    )


def forget(tx: Connection, account: str) -> None:
    """It is read no more."""
    tx.execute(delete(account_states).where(account_states.c.account == f"{account}{READING}"))


def readings(tx: Connection) -> list[Reading]:
    """How it goes with each that was ever read."""
    s = account_states.c
    rows = tx.execute(select(account_states).where(s.account.like(f"%{READING}")).order_by(s.account))
    return [Reading(row.account.removesuffix(READING), row.at, row.why, row.paused_until) for row in rows]
