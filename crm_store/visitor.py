"""What a chat asks the store for its visitor: what was said with them, and how long they will wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, or_, select

from crm_store import timeline
from crm_store.customers import has_urn
from crm_store.schema import assignments, conversations, deliveries, identities, interactions, revisions
from crm_store.timeline import floor_id, made_at

_c = conversations.c
_n = interactions.c
_HOUR = timedelta(hours=1)
_LATE = 100  # replies to one visitor that were on their way at one moment; far more than there ever are
_LATELY = 20  # of a visitor's words: what waits, waits for the last of them
WENT_OUT = ("sending", "unknown", "sent", "delivered", "read")  # what the visitor may have on the screen


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """One message of a visitor's own history; the fields of connectors.base.PastMessage."""

    seq: int
    direction: str
    text: str
    at: datetime
    author_name: str
    client_id: str | None
    attachments: tuple[tuple[str, str, int, str], ...] = field(default=())
    change: int = 0
    gone: bool = False


def history_since(tx: Connection, account: str, urn: str, after: int, limit: int = 200) -> list[Past]:
    """What was said with this address on this account, after the entry `after`, oldest first: up to `limit` of them.

    A reply gets its id when it is written and goes out later, so it can be older than what the visitor saw last, and
    it may be changed or taken back later still. Those that went out or changed since `after` was made are given as
    well, in front and beyond `limit`, so that whoever pages always comes forward; who reads this knows what was shown
    already by `seq` and `change`.
    """
    owners = select(identities.c.id).where(has_urn(tx, [urn]))
    query = (
        select(_n.id)
        .outerjoin(deliveries, deliveries.c.interaction_id == _n.id)
        .where(_n.identity_id.in_(owners), _n.account == account)
    )
    ours = and_(_n.direction == "out", deliveries.c.state.in_(WENT_OUT))
    newer = query.where(_n.id > after, or_(_n.direction == "in", ours)).order_by(_n.id)
    wanted = list(tx.execute(newer.limit(max(1, min(limit, 1000)))).scalars())
    if after > 0:
        since = func.coalesce(deliveries.c.sent_at, deliveries.c.updated_at, type_=deliveries.c.sent_at.type)
        late = query.where(_n.id < after, ours, since >= made_at(after)).order_by(_n.id.desc())
        wanted += tx.execute(late.limit(_LATE)).scalars()
        changed = query.join(revisions, revisions.c.delivery_id == deliveries.c.id).where(
            _n.id <= after, revisions.c.state == "done", revisions.c.updated_at >= made_at(after)
        )
        wanted += tx.execute(changed.order_by(_n.id.desc()).limit(_LATE)).scalars()
    clients = _client_ids(tx, wanted)
    return [
        Past(
            seq=entry.id,
            direction=entry.direction,
            text="" if entry.deleted else entry.text,
            change=max((r.number for r in entry.revisions if r.state == "done"), default=0),
            gone=entry.deleted,
            at=entry.at,
            author_name=entry.sender_name,
            client_id=clients.get(entry.id),
            attachments=tuple(
                (file.sha256, file.name, file.size_bytes, file.content_type) for file in entry.attachments
            ),
        )
        for entry in sorted(timeline.entries(tx, wanted), key=lambda entry: entry.id)
    ]


def _client_ids(tx: Connection, wanted: list[int]) -> dict[int, str]:
    """The browser's own id of what the visitor wrote, which is the message's id at the provider: us."""
    query = select(_n.id, _n.external_id).where(
        _n.id.in_(wanted), _n.direction == "in", _n.external_id.is_not(None)
    )
    return dict(tx.execute(query).all()) if wanted else {}


def wait(tx: Connection, account: str, urn: str, now: datetime) -> tuple[int, float] | None:
    """(people ahead, seconds to expect) of whoever waits at this address; None where nobody does or nothing is known.

    The seconds are the people ahead times the mean time between two claims from this queue within the last hour.
    """
    owners = select(identities.c.id).where(has_urn(tx, [urn]))
    lately = (
        select(_n.conversation_id).where(_n.identity_id.in_(owners)).order_by(_n.id.desc()).limit(_LATELY)
    )
    place = tx.execute(
        select(_c.queue, _c.rank_at)
        .where(_c.id.in_(lately), _c.identity_id.in_(owners))
        .where(_c.account == account, _c.state.in_(("waiting", "offered")))
        .order_by(_c.rank_at)
        .limit(1)
    ).one_or_none()
    if place is None or place.rank_at is None:
        return None
    ahead = tx.execute(
        select(func.count()).where(
            _c.queue == place.queue, _c.state.in_(("waiting", "offered")), _c.rank_at < place.rank_at
        )
    ).scalar_one()
    a = assignments.c
    claims = tx.execute(
        select(func.count())
        .select_from(assignments)
        .join(conversations, _c.id == a.conversation_id)
        .where(a.id >= floor_id(now - _HOUR), a.kind == "claim", a.at > now - _HOUR, _c.queue == place.queue)
    ).scalar_one()
    if claims == 0:
        return None
    return int(ahead), (ahead + 1) * _HOUR.total_seconds() / claims
