"""What Slack says is written down here before it is acknowledged; inbox.py works it off."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from crm_store import desk_inbox, desk_typed
from crm_store.desk_inbox import Told
from desk.slack import names
from desk.slack.context import SlackDesk
from desk.slack.events import DELETE, MESSAGE, REACTION, message_key, subject
from hub import failpoints

_BATCH = 100  # of what is written down in one transaction


async def write_down(desk: SlackDesk, told: Sequence[Told]) -> int:
    """Durable when this returns; how many were not known before. Raises Unavailable; then the caller says no.

    What comes while a transaction is on its way goes into the next one together: a burst is a few commits.
    """
    if not told:
        return 0
    writer = _writers.get(desk.client)
    if writer is None:
        writer = _writers[desk.client] = _Writer(desk)
    new = await writer.write(told)
    failpoints.here("slack.after_inbox")
    nudge(desk)
    return new


class _Writer:
    """One for a process. Who gives up waiting does not take back what is being written for others."""

    def __init__(self, desk: SlackDesk) -> None:
        self._store, self._clock = desk.store, desk.clock
        self._waiting: list[tuple[Sequence[Told], asyncio.Future[int]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, told: Sequence[Told]) -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((told, future))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            try:
                counts = await asyncio.to_thread(
                    self._store.run, partial(self._put, [told for told, _ in batch])
                )
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), new in zip(batch, counts, strict=True):
                    if not future.done():
                        future.set_result(new)

    def _put(self, batch: Sequence[Sequence[Told]], tx: Connection) -> list[int]:
        beside = {one.key: one.subject for told in batch for one in told if one.kind == MESSAGE}
        return [
            desk_inbox.put(
                tx,
                self._store.ids,
                names.SURFACE,
                [_in_its_thread(tx, one, beside) for one in told],
                self._clock(),
            )
            for told in batch
        ]


_writers: weakref.WeakKeyDictionary[AsyncWebClient, _Writer] = weakref.WeakKeyDictionary()


_loops: weakref.WeakKeyDictionary[AsyncWebClient, weakref.WeakSet[asyncio.Event]] = (
    weakref.WeakKeyDictionary()
)


def wakes(desk: SlackDesk, loop: asyncio.Event) -> None:
    """A loop of this process works off what is written down: it is set whenever there is something."""
    _loops.setdefault(desk.client, weakref.WeakSet()).add(loop)


def nudge(desk: SlackDesk) -> None:
    """There is something to do for the loops of this process; others find it within two seconds."""
    for loop in _loops.get(desk.client, ()):
        loop.set()


def _in_its_thread(tx: Connection, one: Told, beside: Mapping[str, str]) -> Told:
    """Slack does not say in which thread a reaction is; it must not overtake the message that it is on."""
    if one.kind not in (REACTION, DELETE):
        return one
    said = json.loads(one.body)
    place, ts = said["place"], said["ts"]
    if one.subject != subject(place, ts):
        return one
    if (known := beside.get(message_key(place, ts))) is not None:
        return replace(one, subject=known)
    if (typed := desk_typed.find(tx, names.SURFACE, place, ts)) is not None:
        return replace(one, subject=subject(place, typed.thread))
    waiting = desk_inbox.waits(tx, names.SURFACE, message_key(place, ts))
    return one if waiting is None else replace(one, subject=waiting.subject)
