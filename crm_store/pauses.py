"""Accounts that send nothing for a while, and recipients whom a provider asks to be left in peace for a moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, text, update

from crm_store.schema import DELIVERY_UNFINISHED, account_states
from crm_store.statements import rows
from hub.clock import from_us, to_us


def pause(tx: Connection, account: str, until: datetime, why: str, now: datetime) -> None:
    """Send nothing over this account until then. A later end of two pauses stands."""
    tx.execute(
        text(
            "INSERT INTO account_states (account, paused_until, why, at) VALUES (:account, :until, :why, :now)"
            " ON CONFLICT (account) DO UPDATE SET why = excluded.why, at = excluded.at,"
            " paused_until = CASE WHEN account_states.paused_until > excluded.paused_until"
            " THEN account_states.paused_until ELSE excluded.paused_until END"
        ),
        {"account": account, "until": to_us(until), "why": why, "now": to_us(now)},
    )


def resume(tx: Connection, account: str) -> None:
    """Send over this account again."""
    tx.execute(
        text("UPDATE account_states SET paused_until = NULL, why = '' WHERE account = :account"),
        {"account": account},
    )


def extend(tx: Connection, account: str, until: datetime, why: str) -> None:
    """A pause that goes on, since when it began; nothing where there is none."""
    s = account_states.c
    tx.execute(update(account_states).where(s.account == account).values(paused_until=until, why=why))


def paused_since(tx: Connection, account: str) -> datetime | None:
    """When its pause began, by `pause`; one that is over, too. None where there never was one."""
    at: datetime | None = tx.scalar(select(account_states.c.at).where(account_states.c.account == account))
    return at


def paused(tx: Connection, now: datetime) -> dict[str, datetime]:
    """The accounts that are paused now, and until when."""
    stopped = rows(
        tx, "SELECT account, paused_until FROM account_states WHERE paused_until > :now", now=to_us(now)
    )
    return {account: from_us(until) for account, until in stopped}


def delay_recipient(tx: Connection, account: str, to_urn: str, until: datetime) -> None:
    """The provider asks for patience with one recipient: everything else to them waits as well."""
    tx.execute(
        text(
            "UPDATE deliveries SET due_at = :until WHERE account = :account AND to_urn = :to_urn"  # noqa: S608
            f" AND {DELIVERY_UNFINISHED} AND state IN ('held', 'queued')"
            " AND due_at < :until"
        ),
        {"account": account, "to_urn": to_urn, "until": to_us(until)},
    )
