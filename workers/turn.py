"""One turn of the sender at the store, in one transaction: what ended is noted, what starts is marked, what is due is
claimed. Runs in a thread; everything it may be asked and everything it says are values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from crm_store import configs, consents, doubts, outbox, outcomes, pauses, receipts
from crm_store import delivery_states as states
from crm_store.db import Store
from crm_store.delivery_states import Moved
from crm_store.outbox import Claimed
from crm_store.outcomes import Outcome
from crm_store.schema import identities
from crm_store.threads import MAIL_ACCOUNTS
from hub import log
from hub.errors import Unavailable
from hub.ids import Ids
from hub.limits import Limits
from hub.model import ConsentChanged
from workers.rates import Grant, Rates, Want
from workers.sending import LOOK_AGAIN, Pause, Result, refusal

_log = log.get("deliver")

LEASE_S = 50.0  # a send ends after 45 and is noted at once: whose lease ends is dead or frozen
# RFC 3463, 3.2 and 3.3; 5.1.10: RFC 7505.
_TROUBLES = {
    "5.1.1": "dead",  # no such mailbox
    "5.1.2": "dead",  # no such domain
    "5.1.6": "dead",  # it has moved
    "5.1.10": "dead",  # the domain takes no mail
    "5.2.1": "dead",  # switched off
    "5.2.2": "full",
}
LEASE = timedelta(seconds=LEASE_S)
LOOKS_AT_ONCE = 20
AHEAD = timedelta(seconds=0.5)  # claimed so long before they are due, to go at that very moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What the loop wants of the store now.

    wants: how many of `ready` may start, by account and within its rate. rooms: how many to claim, by account.
    hopeless: unknown deliveries whose provider cannot be asked, and why.
    """

    owner: str
    now: datetime
    results: Sequence[Result] = ()
    ready: Mapping[str, Sequence[Claimed]] = field(default_factory=dict)
    wants: Mapping[str, Want] = field(default_factory=dict)
    rooms: Mapping[str, int] = field(default_factory=dict)
    give_back: Sequence[int] = ()
    hopeless: Sequence[tuple[int, str]] = ()
    look: bool = False
    accounts: Sequence[str] | None = None  # ask for the next due time of these


@dataclass(kw_only=True, slots=True)
class Told:
    """begun: marked as `sending`, committed: to be sent now. gone: ready ones that are not ours to send any more."""

    grants: Mapping[str, Grant] = field(default_factory=dict)
    begun: list[Claimed] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    claimed: list[Claimed] = field(default_factory=list)
    looks: list[Claimed] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    paused: Mapping[str, datetime] = field(default_factory=dict)
    next_due: datetime | None = None


def take(store: Store, rates: Rates, limits: Mapping[str, Limits], ask: Ask) -> Told:
    """Do one turn. Raises Unavailable when the store is away: nothing was written, ask the same again later."""
    ids = store.ids  # leases a slot in a transaction of its own at the first use, so not within ours
    grants = rates.take(ask.wants)
    starts = [
        delivery
        for account, grant in grants.items()
        for delivery in ask.ready.get(account, ())[: min(grant.count, ask.wants[account].count)]
    ]
    try:
        return store.run(lambda tx: _work(tx, ids, limits, ask, grants, starts))
    except (Unavailable, MemoryError):
        raise
    except Exception:
        if not ask.results:
            raise
        _log.exception("turn broke", results=len(ask.results))
        moved = [m for result in ask.results for m in _alone(store, limits, ask, result)]
    told = store.run(lambda tx: _work(tx, ids, limits, replace(ask, results=()), grants, starts))
    told.moved += moved
    return told


def _alone(store: Store, limits: Mapping[str, Limits], ask: Ask, result: Result) -> list[Moved]:
    """Note one result by itself. One that cannot be noted is left to its lease: unknown, and shown to an agent."""
    ids = store.ids
    only = Ask(owner=ask.owner, now=ask.now, results=[result])
    try:
        return store.run(lambda tx: _work(tx, ids, limits, only, {}, ())).moved
    except Unavailable:
        raise
    except Exception:
        _log.exception("outcome cannot be noted", delivery=result.outcome.delivery.id)
        return []


def _work(
    tx: Connection,
    ids: Ids,
    limits: Mapping[str, Limits],
    ask: Ask,
    grants: Mapping[str, Grant],
    starts: Sequence[Claimed],
) -> Told:
    told = Told(grants=grants)
    ended = [result.outcome for result in ask.results]
    told.moved += outcomes.finish(tx, ids, ended, owner=ask.owner, now=ask.now)
    for result in ask.results:
        _aftermath(tx, ids, result, ask.now)
    for delivery_id, why in ask.hopeless:
        doubts.look_no_more(tx, delivery_id, why, ask.now)
    told.paused = pauses.paused(tx, ask.now)
    allowed = [delivery for delivery in starts if delivery.account not in told.paused]
    refused = _refusals(tx, limits, allowed, ask.now)
    told.moved += outcomes.refuse(tx, ids, refused, ask.owner)
    out = {outcome.delivery.id for outcome in refused}
    tried = [delivery for delivery in allowed if delivery.id not in out]
    begun = outbox.begin(tx, [d.id for d in tried], owner=ask.owner, now=ask.now, lease=LEASE)
    told.begun = [delivery for delivery in tried if delivery.id in begun]
    told.gone = out | {delivery.id for delivery in tried if delivery.id not in begun}
    outbox.give_back(tx, [*ask.give_back, *(d.id for d in tried if d.id not in begun)], ask.owner)
    if ask.look:
        told.moved += doubts.expire(tx, ids, ask.now)
        told.looks = doubts.looks(tx, ask.now, again_after=LOOK_AGAIN, room=LOOKS_AT_ONCE)
    told.claimed = outbox.claim(
        tx, ask.rooms, owner=ask.owner, now=ask.now, lease=LEASE, stopped=told.paused, ahead=AHEAD
    )
    if ask.accounts is not None:
        told.next_due = outbox.next_due(tx, ask.accounts, ask.now)
    return told


def _aftermath(tx: Connection, ids: Ids, result: Result, now: datetime) -> None:
    """What a try means beyond its own delivery: the account or the recipient rests, or wants nothing more from us."""
    pause: Pause | None = result.pause
    if pause is not None and pause.to_urn is not None:
        pauses.delay_recipient(tx, pause.account, pause.to_urn, pause.until)
    elif pause is not None:
        pauses.pause(tx, pause.account, pause.until, pause.why, now)
    outcome = result.outcome
    if outcome.state == states.OPTED_OUT:
        delivery = outcome.delivery
        mark_opted_out(tx, ids, delivery, outcome.detail, now, here_alone=outcome.here_alone)
    elif outcome.state == states.FAILED and (trouble := _trouble(outcome)):
        receipts.mark(tx, outcome.delivery.brand, outcome.delivery.to_urn, trouble)


def _trouble(outcome: Outcome) -> str | None:
    """What a mail server's last word says of the address itself: "550 5.1.1" stands for a mailbox that is not there."""
    if not outcome.delivery.account.startswith(MAIL_ACCOUNTS) or outcome.provider_code is None:
        return None
    return _TROUBLES.get(outcome.provider_code.rpartition(" ")[2])


def mark_opted_out(
    tx: Connection, ids: Ids, delivery: Claimed, wording: str, now: datetime, *, here_alone: bool = False
) -> None:
    """The provider says that this recipient has stopped us: nothing more goes there until they start again; over this
    account alone, where it is this one that they have blocked."""
    wish = ConsentChanged(
        account=delivery.account,
        event_key=f"delivery:{delivery.id}",
        received_at=now,
        urn=delivery.to_urn,
        granted=False,
        scope=consents.here(delivery.account) if here_alone else "all",
        wording=wording,
    )
    everywhere = configs.honours_everywhere(tx)
    consents.apply(tx, ids, [wish], lambda _account: delivery.brand, "system", now, everywhere)
    if here_alone:
        return
    tx.execute(
        update(identities)
        .where(identities.c.brand_id == delivery.brand, identities.c.urn == delivery.to_urn)
        .values(trouble="blocked")
    )


def _refusals(
    tx: Connection, limits: Mapping[str, Limits], starts: Sequence[Claimed], now: datetime
) -> list[Outcome]:
    """Which of these must not go out: consent as it is in this very transaction, then the channel's limits."""
    refused: list[Outcome] = []
    stopped = _opted_out(tx, starts)
    for delivery in starts:
        if delivery.id in stopped:
            why = "the customer opted out"
            refused.append(
                Outcome(delivery=delivery, state=states.OPTED_OUT, at=now, code="opted_out", detail=why)
            )
            continue
        of_channel = limits.get(delivery.account.partition("/")[0])
        if of_channel is None:
            continue
        no = refusal(delivery, of_channel, now)
        if no is not None:
            refused.append(no)
    return refused


def _opted_out(tx: Connection, starts: Sequence[Claimed]) -> set[int]:
    groups: dict[tuple[str, str], list[Claimed]] = defaultdict(list)
    for delivery in starts:
        groups[(delivery.brand, "marketing" if delivery.bulk else "all")].append(delivery)
    found: set[int] = set()
    for (brand, scope), mine in sorted(groups.items()):
        blocked = consents.blocked(tx, brand, sorted({d.to_urn for d in mine}), scope=scope)
        found |= {delivery.id for delivery in mine if delivery.to_urn in blocked}
    for brand in {d.brand for d in starts}:
        numbers = {d.to_urn for d in starts if d.brand == brand and d.to_urn.startswith(consents.SHARED)}
        blocks = consents.blocks(tx, brand, numbers) if numbers else ()
        found |= {d.id for d in starts if d.brand == brand and (d.to_urn, d.account) in blocks}
    return found
