"""What every action needs: the store, the configuration as it stands, rights, the time, and how to tell others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from crm_store import conversations
from crm_store.db import Store
from desk.choosing import Live, nobody_live
from desk.rights import Rights, rights
from hub import jobs, notices
from hub.clock import Clock, system
from hub.config import Config
from hub.limits import Limits

T = TypeVar("T")

_REASON_CHARS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What a transaction changed, to be told after its commit."""

    conversations: tuple[int, ...] = ()
    queues: tuple[str, ...] = ()


def short(reason: str) -> str:
    """A reason as it is kept."""
    return reason.replace("\x00", "").strip()[:_REASON_CHARS]


class Base:
    """limits: connector name -> what its channel takes. schemes: connector name -> the scheme of its
    addresses; beyond numbers and mailboxes (hub.urn.PUBLIC) an account writes only to addresses that wrote to it.
    wake: given a job's name (hub/jobs.py).
    notify: hub.notices.publish without its client. undo_s: how long a reply can be undone. live: which of these
    (account, URN) are in a chat at this moment; it must answer quickly and never raise.
    """

    def __init__(
        self,
        store: Store,
        config: Callable[[], Config],
        limits: Mapping[str, Limits],
        wake: Callable[[str], Any],
        notify: Callable[..., Any],
        clock: Clock = system,
        undo_s: float = 10.0,
        schemes: Mapping[str, str] | None = None,
        live: Live = nobody_live,
    ) -> None:
        self._store = store
        self._config = config
        self._limits = limits
        self._wake = wake
        self._notify = notify
        self._clock = clock
        self._undo_s = undo_s
        self._schemes = schemes or {}
        self._live = live

    @property
    def limits(self) -> Mapping[str, Limits]:
        """Connector name -> what its channel takes."""
        return self._limits

    def _rights(self, agent: str) -> Rights:
        return rights(self._config(), agent)

    def _do(self, work: Callable[[Connection], Changed]) -> None:
        self._tell(self._store.run(work))

    def _own(
        self,
        conversation_id: int,
        agent: str,
        step: Callable[[Connection, Rights, datetime], T],
        *,
        waiting_too: bool = False,
        queues: tuple[str, ...] = (),
    ) -> T:
        """`step` in a transaction that holds the conversation's row, if this agent may act on it; then tell."""
        who, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> tuple[T, str]:
            row = conversations.get(tx, conversation_id, lock=True)
            who.own(row, waiting_too=waiting_too)
            return step(tx, who, now), row.queue

        result, queue = self._store.run(work)
        self._tell(Changed(conversations=(conversation_id,), queues=tuple(dict.fromkeys((queue, *queues)))))
        return result

    def _sent(self, conversation_id: int, queue: str, delivery_id: int) -> None:
        """A reply is to go out, or its state changed: the sender and whoever looks are told."""
        self._wake(jobs.DELIVER)
        self._tell(Changed(conversations=(conversation_id,), queues=(queue,)))
        self._notify(notices.DELIVERY, delivery=delivery_id, conversation=conversation_id)

    def _tell(self, changed: Changed) -> None:
        for conversation_id in changed.conversations:
            self._notify(notices.CONVERSATION, conversation=conversation_id)
        for queue in changed.queues:
            self._notify(notices.QUEUE, queue=queue)
