"""A conversation that we begin: with an address, known or not, before its owner has written in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, text

from crm_store import batch, customers, traces
from crm_store.schema import assignments, conversations, identities
from crm_store.statements import inserting
from hub.ids import Ids

_c = conversations.c
_i = identities.c
_LATELY = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a conversation begins, and with whom. thread decides nothing yet: the provider names it with its answer."""

    brand: str
    account: str
    identity_id: int
    customer_id: int
    home: str
    queue: str
    priority: str
    head_start_s: float
    subject: str


def address(tx: Connection, ids: Ids, brand: str, urn: str, *, name: str, by: str, now: datetime) -> Row[Any]:
    """The address's row; one that nobody knows becomes a new lead's, on the word of whoever types it.

    It is not verified, and it counts as seen: what its owner answers is to continue what we began. Whoever made it
    first keeps it. `urn` is normalised. Its customer stays its owner until the transaction ends.
    """
    batch.keep_merges_out(tx)
    known = customers.identity(tx, brand, urn)
    return known or customers.newcomer(tx, ids, brand, urn, verified=False, name=name, by=by, now=now)


def lately(tx: Connection, home: str) -> Sequence[Row[Any]]:
    """The newest conversations that stand at `home`, or stood there."""
    at_home = or_(_c.slot == home, (_c.home == home) & _c.slot.is_(None))
    query = select(conversations).where(at_home).order_by(_c.id.desc()).limit(_LATELY)
    return tx.execute(query).all()


def begin(tx: Connection, ids: Ids, place: Place, agent: str, *, now: datetime) -> int | None:
    """A new conversation that `agent` has; its id. None where one stands there already: a next message of the
    customer's continues that one, so ours must too."""
    conversation_id = ids()
    made = tx.execute(
        inserting(tx, conversations)
        .values(
            id=conversation_id,
            number=_number(tx),
            brand_id=place.brand,
            customer_id=place.customer_id,
            account=place.account,
            identity_id=place.identity_id,
            state="open",
            slot=place.home,
            home=place.home,
            subject=place.subject,
            queue=place.queue,
            priority=place.priority,
            head_start_s=place.head_start_s,
            assignee=agent,
            opened_at=now,
            last_at=now,
            first_answer_at=now,  # nobody waits for a first answer from us
        )
        .on_conflict_do_nothing(index_elements=[_c.slot])
        .returning(_c.id)
    )
    if made.first() is None:
        return None
    tx.execute(
        insert(assignments).values(
            id=ids(), conversation_id=conversation_id, agent=agent, kind="claim", at=now
        )
    )
    data = {"queue": place.queue, "account": place.account}
    traces.log(tx, ids, conversation_id, "begun", f"agent:{agent}", now, data=data)
    return conversation_id


def _number(tx: Connection) -> int:
    """The next conversation number, from where the router takes them too."""
    if tx.dialect.name == "postgresql":
        return int(tx.execute(text("SELECT nextval('conversation_number')")).scalar_one())
    count = "UPDATE counters SET value = value + 1 WHERE name = 'conversation_number' RETURNING value"
    return int(tx.execute(text(count)).scalar_one())
