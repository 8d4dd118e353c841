"""Answers that a machine of ours gives, so few that two machines cannot go on answering each other (RFC 3834; S8).

An address gets one a day from an account, and all of them together so many an hour. What is held back is not made up
for later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from crm_store import consents, deliveries, interactions
from crm_store.batch_plan import AutoReply
from crm_store.schema import auto_replies, identities
from crm_store.statements import inserting
from hub import log
from hub.ids import Ids

AGAIN_AFTER = timedelta(days=1)
_HOUR = timedelta(hours=1)
_a = auto_replies.c
_log = log.get("autoreply")


def answer(
    tx: Connection,
    ids: Ids,
    wanted: Sequence[AutoReply],
    brand_of: Callable[[str], str],
    per_hour: int,
    now: datetime,
) -> list[int]:
    """Make those that may go out, as deliveries by `system`; their ids. In the transaction of what they answer, so
    each is made once."""
    recent = select(func.count()).select_from(auto_replies).where(_a.at > now - _HOUR)
    room = per_hour - int(tx.execute(recent).scalar_one())
    made: list[int] = []
    for one in wanted:
        if len(made) >= room:
            _log.warning("held back", account=one.account, why="too many within the hour", limit=per_hour)
            break
        if not _may(tx, one, brand_of(one.account), now):
            continue
        interaction_id = interactions.add_outbound(
            tx,
            ids,
            conversation_id=one.conversation_id,
            identity_id=one.identity_id,
            account=one.account,
            text=one.text,
            by="system",
            now=now,
            in_reply_to=one.in_reply_to,
            extra={"automatic": True, "auto": one.key},
        )
        made.append(
            deliveries.create(
                tx,
                ids,
                interaction_id=interaction_id,
                conversation_id=one.conversation_id,
                account=one.account,
                to_urn=one.urn,
                idem_key=f"auto:{interaction_id}",
                due_at=now,
                by="system",
                now=now,
                state="queued",
            )
        )
    return made


def forget(tx: Connection, now: datetime) -> int:
    """Drop the turns that hold nobody back any more; how many."""
    return tx.execute(delete(auto_replies).where(_a.at <= now - AGAIN_AFTER)).rowcount


def _may(tx: Connection, one: AutoReply, brand: str, now: datetime) -> bool:
    """Nothing speaks against it; the address's turn is taken with that."""
    if consents.blocked(tx, brand, [one.urn], account=one.account):
        return False
    trouble = select(identities.c.trouble).where(
        identities.c.brand_id == brand, identities.c.urn == one.urn, identities.c.trouble.is_not(None)
    )
    if tx.execute(trouble).first() is not None:
        return False
    turn = inserting(tx, auto_replies).values(account=one.account, urn=one.urn, at=now)
    taken = tx.execute(
        turn.on_conflict_do_update(
            index_elements=[_a.account, _a.urn],
            set_={"at": turn.excluded.at},
            where=_a.at <= now - AGAIN_AFTER,
        ).returning(_a.urn)
    )
    return taken.first() is not None
