"""What the leads' channel is told: sends that failed, accounts that rest, mailboxes that are not read and are read
again, quarantine, channels that take nothing.

A notice is a row of desk_posts that hangs below no card (`thread_id` 0). Its `ref` holds a span of time, so a hundred
failures of one kind are one notice; each of them stands in the Home tab and in the web desk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from crm_store import desk_posts, views
from crm_store.desk_posts import NO_THREAD, NOTICE, Post, Wanted
from crm_store.quarantine import WAITING, read_row
from crm_store.schema import account_states, desk_threads, quarantine
from crm_store.schema import desk_posts as desk_posts_table
from desk import health
from desk.health import Health
from desk.slack import ops
from desk.slack.blocks import Post as Drawing
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from hub.clock import from_us, to_us
from hub.config import Config

SPAN_S = 600.0  # of one kind of trouble, one notice in this time
_SPANS_S = {"paused": 3600.0}
_LOOKED_BACK = timedelta(seconds=SPAN_S)
_FAILED = ("failed", "unknown")
_AT_MOST = 50
_PLACE, _UNREAD, _WELL = "place", "unread", "well"  # how a notice's ref begins: what it is about

# So long something is not read before the leads hear of it: a server that restarts, or a connection that is cut, is
# no news, and the Home tab shows it all the same.
UNREAD_AFTER = timedelta(minutes=5)
_TOLD_FOR = timedelta(days=30)


def place_ref(place: str, at: datetime) -> str:
    return f"{_PLACE}:{place}:{_span(_PLACE, at)}"


def spotted(tx: Connection, desk: SlackDesk, now: datetime) -> list[Wanted]:
    """What the leads should be told of the last minutes; what they were told already is among it."""
    config, since = desk.config(), now - _LOOKED_BACK
    found: dict[str, Wanted] = {}
    for send in reversed(views.failed_sends(tx, now=now, limit=_AT_MOST)):
        if send.state in _FAILED and send.at > since:
            ref = _ref("failed", f"{send.account} {send.code}", send.at)
            found.setdefault(ref, Wanted(kind=NOTICE, ref=ref, delivery_id=send.delivery_id))
    q = quarantine.c
    waiting = select(q.id, q.account, q.kind, q.at).where(q.state == WAITING).order_by(q.id.desc())
    for row in reversed(tx.execute(waiting.limit(_AT_MOST)).all()):
        if row.at > since:
            ref = _ref("quarantine", f"{row.account} {row.kind}", row.at)
            found.setdefault(ref, Wanted(kind=NOTICE, ref=ref, interaction_id=row.id))
    s = account_states.c
    for row in tx.execute(select(s.account, s.at).where(s.paused_until > now)):
        if row.account in config.accounts:
            ref = _ref("paused", row.account, row.at)
            found.setdefault(ref, Wanted(kind=NOTICE, ref=ref))
    for one in health.accounts(tx, config, now):
        if one.unread is not None and now - one.unread.since >= UNREAD_AFTER:
            ref = f"{_UNREAD}:{_hash(one.account)}:{to_us(one.unread.since)}"
            found[ref] = Wanted(kind=NOTICE, ref=ref)
    return [*found.values(), *_well_again(tx, config, now)]


def _well_again(tx: Connection, config: Config, now: datetime) -> list[Wanted]:
    """Of what the leads were told last about each thing: that it is over, where it is."""
    p = desk_posts_table.c
    told = (
        select(p.ref)
        .where(
            p.surface == SURFACE,
            p.thread_id == NO_THREAD,
            p.kind == NOTICE,
            p.ref.startswith(f"{_UNREAD}:") | p.ref.startswith(f"{_PLACE}:"),
            p.posted.is_not(None),
            p.at > now - _TOLD_FOR,
        )
        .order_by(p.id)
    )
    last = {ref.rpartition(":")[0]: ref for ref in tx.execute(told).scalars()}
    if not last:
        return []
    bad = {f"{_UNREAD}:{_hash(one.account)}" for one in health.accounts(tx, config, now) if one.unread}
    bad |= {f"{_PLACE}:{one.place}" for one in health.blocked(tx, now)}
    return [Wanted(kind=NOTICE, ref=f"{_WELL}:{ref}") for what, ref in last.items() if what not in bad]


def tell(tx: Connection, desk: SlackDesk, place: str, wanted: list[Wanted], now: datetime) -> int:
    """Write down what is not yet; how much that was."""
    return desk_posts.intend(tx, desk.store.ids, NO_THREAD, SURFACE, place, wanted, now)


def drawing(tx: Connection, desk: SlackDesk, post: Post, now: datetime) -> Drawing | None:
    """A notice as of now; None where there is nothing to say any more."""
    draw = _DRAWN.get(post.ref.partition(":")[0])
    return draw(tx, desk.config(), post, now) if draw is not None else None


def _failed(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    sends = views.failed_sends(tx, now=now, limit=200)
    one = next((send for send in sends if send.delivery_id == post.delivery_id), None)
    return ops.failed_send(one, config) if one is not None else None


def _quarantined(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    q = quarantine.c
    row = tx.execute(select(quarantine).where(q.id == post.interaction_id)).one_or_none()
    if row is None or row.state != WAITING:
        return None
    return ops.quarantined(read_row(row), config)


def _paused(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    one = _account(tx, config, post.ref.split(":")[1], now)
    return ops.account_paused(one) if one is not None and one.paused_until is not None else None


def _unread(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    one = _account(tx, config, post.ref.split(":")[1], now)
    return ops.unread(one, one.unread) if one is not None and one.unread is not None else None


def _well(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    """`post.ref` holds that of the notice which is over."""
    _, kind, what, since = post.ref.split(":")
    if kind == _PLACE:
        return ops.posting_again(what)
    one = _account(tx, config, what, now)
    if one is None or one.unread is not None:
        return None
    return ops.read_again(one, (post.at - from_us(int(since))).total_seconds())


def _account(tx: Connection, config: Config, digest: str, now: datetime) -> Health | None:
    return next((one for one in health.accounts(tx, config, now) if _hash(one.account) == digest), None)


def _place(tx: Connection, config: Config, post: Post, now: datetime) -> Drawing | None:
    place = post.ref.split(":")[1]
    s, t = account_states.c, desk_threads.c
    code = tx.execute(select(s.why).where(s.account == f"{SURFACE}/{place}")).scalar() or ""
    trouble, cure = health.in_words(code)
    here = select(func.count()).where(t.surface == SURFACE, t.place == post.place, t.retired_at.is_(None))
    return ops.posting(trouble, place, cure, int(tx.execute(here).scalar() or 0))


_DRAWN: Mapping[str, Callable[[Connection, Config, Post, datetime], Drawing | None]] = {
    "failed": _failed,
    "quarantine": _quarantined,
    "paused": _paused,
    _PLACE: _place,
    _UNREAD: _unread,
    _WELL: _well,
}


def _ref(kind: str, what: str, at: datetime) -> str:
    return f"{kind}:{_hash(what)}:{_span(kind, at)}"


def _span(kind: str, at: datetime) -> int:
    return int(to_us(at) / 1_000_000 / _SPANS_S.get(kind, SPAN_S))


def _hash(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()[:16]
