"""Changes of replies that went out, carried out at the customer's beside the drain: the same accounts, rates, pauses
and back-off, and one rule more. A change whose end nobody knows is made again, for that leaves what it would have left.

A message is never sent twice in silence; an edit or a deletion may be asked for twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from connectors import CONNECTORS
from connectors.base import Changes, Connector, Wire
from crm_store import consents, pauses, revision_work
from crm_store import delivery_states as states
from crm_store.db import Store
from crm_store.delivery_states import Moved
from crm_store.outcomes import Outcome
from crm_store.revision_work import Ended, ToDo
from crm_store.revisions import DELETE, DONE, FAILED, QUEUED
from hub import clock, failpoints, log
from hub.clock import to_us
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from hub.ids import Ids
from hub.limits import Limits
from hub.model import Change, Revision
from hub.text import storable
from workers import sending, turn
from workers.flight import Flight
from workers.rates import Rates, Want
from workers.sending import Pause

_log = log.get("change")

AT_ONCE = 10  # of one account; changes are few
POLL_S = 0.5  # how soon one that nobody announced is seen while the drain goes on
_LEASE_MORE_S = 5.0  # a lease outlasts the longest call by so much
_SURE_S = 4.0  # after the claim, that the lease will still outlast the call


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What was tried, and when the next one is due; None where nothing waits."""

    tried: int
    next_due: datetime | None


class Changing:
    """The changes of one store. `run` may be called once; it ends when nothing is due and `others` have ended too."""

    def __init__(
        self,
        store: Store,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        rates: Rates,
        wire: Callable[[], Wire],
        owner: str,
        connectors: Mapping[str, Connector] = CONNECTORS,
        tell: Callable[[list[Moved]], None] = lambda moved: None,
        warn: Callable[[Pause], None] = lambda pause: None,
        now: clock.Clock = clock.system,
        stopping: Callable[[], bool] = lambda: False,
        lasts_s: float = 30.0,
        poll_s: float = POLL_S,
        send_s: float = sending.SEND_S,
    ) -> None:
        self._store, self._accounts, self._rates, self._wire = store, accounts, rates, wire
        self._connectors, self._tell, self._warn, self._now = connectors, tell, warn, now
        self._stopping, self._lasts_s, self._poll_s, self._send_s = stopping, lasts_s, poll_s, send_s
        self._owner = f"{owner}:{time.monotonic_ns():x}"
        self._flying: Counter[str] = Counter()
        self._flight: Flight[tuple[Ended, Pause | None]] = Flight()
        self._tried = 0

    async def run(self, others: Callable[[], bool] = lambda: False) -> Changed:
        """Carry out what is due, and what falls due while `others` are at work; until the time is over."""
        began = time.monotonic()
        due: datetime | None = None
        try:
            while True:
                closing = self._stopping() or time.monotonic() - began >= self._lasts_s
                asked = time.monotonic()
                try:
                    todo, due = await asyncio.to_thread(self._turn, closing)
                except Unavailable as error:
                    _log.warning("store away", error=str(error))
                    if closing or not others():
                        break
                    await asyncio.sleep(self._poll_s)
                    continue
                for one in todo:
                    self._start(one, asked)
                idle = not self._flight
                if idle and (closing or not (others() or (due is not None and due <= self._now()))):
                    break
                await self._flight.rest(self._poll_s)
        finally:
            await self._flight.close()
        return Changed(tried=self._tried, next_due=due)

    # ------------------------------------------------------------------------------------------------- at the store

    def _turn(self, closing: bool) -> tuple[list[ToDo], datetime | None]:
        """Note what ended, and claim what is due. Looks without writing while there is nothing to do."""
        ids, now, accounts = self._store.ids, self._now(), self._accounts()
        ended = list(self._flight.ended)
        with self._store.read() as tx:
            waiting = {} if closing else revision_work.waiting(tx, now)
            stopped = pauses.paused(tx, now) if waiting else {}
            due = None if ended or waiting else revision_work.next_due(tx, accounts, now)
        wants = {
            key: Want(accounts[key].rate_per_s, accounts[key].burst, min(count, room))
            for key, count in waiting.items()
            if key in accounts and key not in stopped and (room := AT_ONCE - self._flying[key]) > 0
        }
        if not (ended or waiting):
            return [], due
        grants = {key: grant.count for key, grant in self._rates.take(wants).items() if grant.count}
        lease = timedelta(seconds=self._send_s + _LEASE_MORE_S)

        def work(tx: Connection) -> tuple[list[ToDo], list[Moved]]:
            results = [one for one, _ in ended]
            counted = revision_work.finish(tx, ids, results, owner=self._owner, now=now)
            for one, pause in ended:
                _aftermath(tx, ids, one, pause, now)
            moved = [_moved(one) for one in counted]
            if not waiting:
                return [], moved
            revision_work.expire(tx, now)
            moved += revision_work.settle(tx, ids, now)
            claimed = revision_work.claim(tx, grants, owner=self._owner, now=now, lease=lease)
            refused = _refusals(tx, claimed, self._connectors, now)
            moved += [
                _moved(one) for one in revision_work.finish(tx, ids, refused, owner=self._owner, now=now)
            ]
            out = {one.todo.id for one in refused}
            return [one for one in claimed if one.id not in out], moved

        todo, moved = self._store.run(work)
        del self._flight.ended[: len(ended)]
        for _, pause in ended:
            if pause is not None and pause.tells and pause.to_urn is None:
                self._warn(pause)
        if moved:
            self._tell(moved)
        with self._store.read() as tx:
            return todo, revision_work.next_due(tx, accounts, now)

    # ------------------------------------------------------------------------------------------------------ the calls

    def _start(self, todo: ToDo, asked: float) -> None:
        if not self._tried:
            failpoints.here("change.after_claim")
        self._tried += 1
        self._flying[todo.delivery.account] += 1
        self._flight.start(self._carry_out(todo, asked))

    async def _carry_out(self, todo: ToDo, since: float) -> None:
        account = self._accounts().get(todo.delivery.account)
        connector = _changes(self._connectors.get(todo.delivery.account.partition("/")[0]))
        try:
            if time.monotonic() - since > _SURE_S:
                return  # frozen meanwhile: others may have made it, and a later one; the lease tells them
            if account is None or connector is None:
                gone = SendError(SendCode.REJECTED, "this channel cannot change what was sent")
                self._flight.ended.append(judge(todo, gone, self._now()))
            else:
                self._flight.ended.append(
                    await attempt(connector, todo, account, self._wire(), self._now, send_s=self._send_s)
                )
                failpoints.here("change.after_call")
        finally:
            self._flying[todo.delivery.account] -= 1
            self._flight.woken.set()


def _changes(connector: object) -> Changes | None:
    return connector if isinstance(connector, Changes) else None


async def attempt(
    connector: Changes,
    todo: ToDo,
    account: Account,
    wire: Wire,
    now: clock.Clock,
    *,
    send_s: float = sending.SEND_S,
) -> tuple[Ended, Pause | None]:
    """Call the provider once. Raises nothing but cancellation: whatever goes wrong has an outcome."""
    delivery = todo.delivery
    revision = Revision(
        change=Change(todo.change),
        message=sending.outgoing(delivery, tries=todo.attempts),
        external_ids=todo.external_ids,
        number=todo.number,
        sent_at=todo.sent_at,
    )
    try:
        async with asyncio.timeout(send_s):
            sent = await connector.change(revision, account, wire)
    except SendError as error:
        return judge(todo, error, now())
    except TimeoutError:
        return judge(todo, SendError(SendCode.UNKNOWN, f"no answer within {send_s:g} s"), now())
    except Exception as error:
        _log.exception("change broke", delivery=delivery.id, account=delivery.account)
        broke = SendError(SendCode.UNKNOWN, f"the connector broke: {type(error).__name__}")
        return judge(todo, broke, now())
    names = tuple(map(storable, sent.external_ids))
    return Ended(todo=todo, state=DONE, at=now(), external_ids=names), None


def judge(todo: ToDo, error: SendError, now: datetime) -> tuple[Ended, Pause | None]:
    """What becomes of a change whose try ended so: as of a send (workers/sending.py), but the unknown again."""
    again = error
    if error.code in (SendCode.UNKNOWN, SendCode.RESPONSE_CONTENT):
        again = replace(error, code=SendCode.CONNECTION_FAILED, retry=True)
    again = replace(again, sent_ids=())
    delivery = msgspec.structs.replace(todo.delivery, tries_from_us=to_us(todo.created_at))
    result = sending.judge(delivery, again, todo.attempts, now)
    outcome: Outcome = result.outcome
    ended = Ended(
        todo=todo,
        state=QUEUED if outcome.state == states.QUEUED else FAILED,
        at=now,
        due_at=outcome.due_at,
        code=error.code.value,
        provider_code=outcome.provider_code,
        detail=outcome.detail,
        counted=outcome.counted,
    )
    return ended, result.pause


# --------------------------------------------------------------------------------------------------- in the transaction


def _aftermath(tx: Connection, ids: Ids, one: Ended, pause: Pause | None, now: datetime) -> None:
    """What a try means beyond its own message: the account rests, or the recipient wants nothing more from us."""
    if pause is not None and pause.to_urn is None:
        pauses.pause(tx, pause.account, pause.until, pause.why, now)
    elif pause is not None:
        pauses.delay_recipient(tx, pause.account, pause.to_urn or "", pause.until)
    if one.state == FAILED and one.code == SendCode.OPTED_OUT.value:
        turn.mark_opted_out(tx, ids, one.todo.delivery, one.detail, now)


def _refusals(
    tx: Connection, todo: Sequence[ToDo], connectors: Mapping[str, Connector], now: datetime
) -> list[Ended]:
    """Which of these must not be made: new words for somebody who has opted out, or more than the channel takes.
    Taking words back is always allowed."""
    refused = []
    for one in todo:
        if one.change == DELETE:
            continue
        delivery = one.delivery
        connector = connectors.get(delivery.account.partition("/")[0])
        limits: Limits | None = connector.limits if connector else None
        if consents.blocked(tx, delivery.brand, [delivery.to_urn], account=delivery.account):
            code, why = SendCode.OPTED_OUT, "the customer opted out"
        elif limits is not None and len(delivery.text) > limits.text_chars:
            code = SendCode.MESSAGE_INVALID
            why = f"{len(delivery.text)} characters; this channel takes {limits.text_chars}"
        else:
            continue
        refused.append(Ended(todo=one, state=FAILED, at=now, code=code.value, detail=why))
    return refused


def _moved(one: Ended) -> Moved:
    return Moved(
        delivery_id=one.todo.delivery.id,
        conversation_id=one.todo.delivery.conversation_id,
        state=f"{one.todo.change} {one.state}",
    )
