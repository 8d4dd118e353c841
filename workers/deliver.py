"""The job that sends: a drain over this process's store, changes of what went out beside it, and a wake-up for the next
one while there is more."""

from __future__ import annotations

import asyncio
from typing import Any

from hub import jobs, notices
from workers import context, fetch
from workers.changing import Changing
from workers.drain import Drain, Drained
from workers.sending import Pause


def job() -> None:
    """rq calls this: one drain, and a wake-up for the next one if there is more to do soon."""
    held = context.get()

    async def work() -> Drained:
        held.wire()
        with_it: dict[str, Any] = {
            "rates": held.rates,
            "wire": held.wire,
            "owner": held.owner,
            "tell": held.tell,
            "warn": lambda pause: _warn(held, pause),
            "stopping": context.stopping.is_set,
        }
        drain = asyncio.create_task(Drain(held.store, held.follower.get, **with_it).run())
        changing = Changing(held.store, held.follower.get, **with_it)
        changes = asyncio.create_task(changing.run(lambda: not drain.done()))
        await asyncio.wait((drain, changes))  # what breaks one does not end the other
        await changes
        return await drain

    with fetch.beside.sending(held):
        drained = held.run(work())
    if drained.more and not context.stopping.is_set() and held.redis is not None:
        jobs.enqueue(held.redis, jobs.DELIVER)


def _warn(held: context.Context, pause: Pause) -> None:
    """An account rests and somebody must put it right; why stands in `account_states`."""
    notices.publish(held.redis, notices.CONFIG, account=pause.account)
