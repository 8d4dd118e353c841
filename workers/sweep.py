"""The rows whose wake-up was lost, the leases whose holder died, and what is too old to be kept. All of it is harmless
when done twice, or by two at once: each step is a set of compare-and-set statements of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select, text, update

from crm_store import autoreplies, configs, doubts, media, parked, receipts
from crm_store import delivery_states as states
from crm_store.db import Store
from crm_store.delivery_states import Happened, Moved, note
from crm_store.schema import (
    DELIVERY_UNFINISHED,
    deliveries,
    desk_sessions,
    intake_tries,
    login_links,
    presence_changes,
)
from hub import clock, log, notices
from hub.errors import MainstemError
from hub.ids import Ids
from workers import context

_log = log.get("sweep")

PARKED_FOR = timedelta(days=7)  # a provider repeats for at most so long (WhatsApp: 7 days)
TRIES_FOR = timedelta(days=30)
LOGINS_FOR = timedelta(days=1)
ALBUMS_FOR = timedelta(days=7)  # pieces of one come within seconds; a provider repeats for a week
PRESENCE_FOR = timedelta(days=400)  # a year's occupancy, and the month to report on it
HOMELESS_AFTER = timedelta(minutes=15)  # a typo in the configuration is put right sooner than that
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found: how many by name, the deliveries that moved, and conversations that look different now."""

    counts: dict[str, int]
    moved: list[Moved]
    conversations: set[int]


def look(store: Store, accounts: Collection[str], now: datetime) -> Swept:
    """Everything that is looked at a few times a minute. A step that fails is logged and does not stop the others."""
    ids = store.ids
    moved: list[Moved] = []
    counts: dict[str, int] = {}
    steps: dict[str, Callable[[Connection], list[Moved]]] = {
        "leases": lambda tx: doubts.expire(tx, ids, now),
        "reports": lambda tx: receipts.take_late(tx, ids, now),
        "homeless": lambda tx: homeless(tx, ids, accounts, now),
    }
    talks: set[int] = set()
    for name, step in steps.items():
        try:
            found = store.run(step)
        except MainstemError as error:
            _log.warning("step failed", step=name, error=str(error))
            continue
        counts[name] = len(found)
        moved += found
    try:
        files = store.run(lambda tx: homeless_files(tx, ids, accounts, now))
        counts["files"], talks = len(files), {one.due.conversation_id for one in files}
    except MainstemError as error:
        _log.warning("step failed", step="files", error=str(error))
    if found_any := {name: count for name, count in counts.items() if count}:
        _log.info("swept", **found_any)
    return Swept(counts, moved, talks)


def homeless_files(tx: Connection, ids: Ids, accounts: Collection[str], now: datetime) -> list[media.Ended]:
    """The same for customers' files that nobody can fetch any more."""
    found = media.homeless(tx, accounts, now - HOMELESS_AFTER)
    return media.finish(tx, ids, found, owner=None, now=now)


def homeless(tx: Connection, ids: Ids, accounts: Collection[str], now: datetime) -> list[Moved]:
    """Fail, visibly, what is due over an account that no longer exists or cannot work."""
    d = deliveries.c
    rows = tx.execute(
        select(d.id, d.conversation_id, d.account)
        .where(
            text(f"deliveries.{DELIVERY_UNFINISHED}"),  # its index's own words
            d.state.in_((states.HELD, states.QUEUED)),
            or_(d.state == states.QUEUED, d.code.is_(None)),
            d.account.not_in(sorted(accounts)),
            d.due_at <= now - HOMELESS_AFTER,
        )
        .order_by(d.due_at)
        .limit(_AT_ONCE)
    ).all()
    moved = []
    history = []
    for row in rows:
        why = f"the account {row.account} is not there or cannot work: mainstem doctor says why"
        done = tx.execute(
            update(deliveries)
            .where(d.id == row.id, d.state.in_((states.HELD, states.QUEUED)))
            .values(
                state=states.FAILED,
                code="channel_config",
                detail=why,
                updated_at=now,
                lease_owner=None,
                lease_until=None,
            )
        )
        if done.rowcount == 1:
            moved.append(Moved(delivery_id=row.id, conversation_id=row.conversation_id, state=states.FAILED))
            history.append(
                Happened(delivery_id=row.id, state=states.FAILED, at=now, code="channel_config", detail=why)
            )
    note(tx, ids, history)
    return moved


def forget(store: Store, now: datetime) -> dict[str, int]:
    """Once a night: what nobody will ask for any more. How many rows of each kind."""

    def work(tx: Connection) -> dict[str, int]:
        return {
            "parked reports": parked.forget(tx, now - PARKED_FOR),
            "automatic answers": autoreplies.forget(tx, now),
            "tries": tx.execute(
                delete(intake_tries).where(intake_tries.c.last_at < now - TRIES_FOR)
            ).rowcount,
            "login links": tx.execute(
                delete(login_links).where(login_links.c.expires_at < now - LOGINS_FOR)
            ).rowcount,
            "sessions": tx.execute(
                delete(desk_sessions).where(desk_sessions.c.expires_at < now - LOGINS_FOR)
            ).rowcount,
            "albums": media.forget_albums(tx, now - ALBUMS_FOR),
            "presence": tx.execute(
                delete(presence_changes).where(presence_changes.c.at < now - PRESENCE_FOR)
            ).rowcount,
        }

    counts = store.run(work)
    _log.info("forgotten", **{name.replace(" ", "_"): count for name, count in counts.items()})
    return counts


def run(held: context.Context) -> None:
    """One look over a process's store, and a notice of what moved."""
    now = clock.system()
    try:
        configs.settle_again(held.store, now)
    except MainstemError as error:
        _log.warning("step failed", step="settle", error=str(error))
    swept = look(held.store, held.follower.get(), now)
    if swept.conversations:
        notices.publish(held.redis, notices.CONVERSATION, conversation=sorted(swept.conversations))
    if swept.moved:
        held.tell(swept.moved)
