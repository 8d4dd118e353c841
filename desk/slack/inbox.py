"""The inbox: what was written down (taking.py) is worked off.

The handlers of the rows stand in messages.py and owed.py; every one of them bears being run again from its beginning.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Mapping
from datetime import timedelta

import aiohttp
from slack_sdk.errors import SlackApiError
from sqlalchemy import Connection

from crm_store import desk_inbox
from crm_store.desk_inbox import Heard
from desk.slack import messages, names, owed, taking
from desk.slack.context import SlackDesk
from desk.slack.events import EDIT, MESSAGE
from desk.slack.outcome import Done, Handler, Later, Outcome
from hub import failpoints, log
from hub.errors import Unavailable

_SIDE_BY_SIDE = 8
_LEASE_S = 150.0  # longer than one row may take
_ROW_S = 120.0  # files of one message included
_TRIES = 8  # of a row that goes wrong by itself
_POLL_S = 2.0
HANDLERS: Mapping[str, Handler] = {**messages.HANDLERS, **owed.HANDLERS}
_log = log.get("slack")


# The token is no good, or the app is not installed any more: everything waits until somebody has seen to it.
SIGNED_OUT = frozenset(
    ("token_revoked", "token_expired", "account_inactive", "invalid_auth", "not_authed", "org_login_required")
)
_PASSES = frozenset(
    ("ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
)


async def run(desk: SlackDesk) -> None:
    """The inbox of a process, until cancelled."""
    await Inbox(desk).run()


class Inbox:
    """One for a process; any number of processes side by side. handlers: kind of row -> what to do about it."""

    def __init__(self, desk: SlackDesk, handlers: Mapping[str, Handler] | None = None) -> None:
        self.desk = desk
        self.owner = uuid.uuid4().hex
        self._handlers = dict(HANDLERS if handlers is None else handlers)
        self._wake = asyncio.Event()
        taking.wakes(desk, self._wake)

    async def run(self) -> None:
        """Until cancelled; what is in hand then is taken up again when its lease ends."""
        while True:
            self._wake.clear()
            try:
                worked = await self.once()
            except Unavailable as error:
                _log.warning("inbox_waits", why=str(error)[:200])
                worked = 0
            if not worked:
                try:
                    await asyncio.wait_for(self._wake.wait(), await self._pause_s())
                except TimeoutError:
                    continue

    async def _pause_s(self) -> float:
        try:
            due = await self.desk.look(lambda tx: desk_inbox.next_due(tx, names.SURFACE))
        except Unavailable:
            return _POLL_S
        ahead = _POLL_S if due is None else (due - self.desk.clock()).total_seconds()
        return min(max(ahead, 0.1), _POLL_S)

    async def once(self) -> int:
        """Work off what is due now, and what becomes due by that; how many rows were taken up."""
        worked = 0
        while rows := await self._claim():
            await asyncio.gather(*(self._handle(row) for row in rows))
            worked += len(rows)
        return worked

    async def _claim(self) -> list[Heard]:
        now = self.desk.clock()

        def work(tx: Connection) -> list[Heard]:
            until = now + timedelta(seconds=_LEASE_S)
            return desk_inbox.claim(tx, names.SURFACE, self.owner, now=now, until=until, limit=_SIDE_BY_SIDE)

        return await self.desk.do(lambda: self.desk.store.run(work))

    async def _handle(self, row: Heard) -> None:
        try:
            outcome = await self._outcome(row)
        except Exception:
            # A bug, or a body nobody foresaw: it must not stop the others.
            _log.exception("inbox_failed", id=row.id, kind=row.kind, tries=row.tries)
            outcome = Later(after_s=2.0**row.tries, why="an error of ours; see the log", counts=True)
        if isinstance(outcome, Later) and outcome.counts and row.tries >= _TRIES:
            _log.error("inbox_given_up", id=row.id, kind=row.kind, why=outcome.why)
            outcome = _given_up(row, outcome.why)
        await self._note(row, outcome)

    async def _outcome(self, row: Heard) -> Outcome:
        handler = self._handlers.get(row.kind)
        if handler is None:
            return Done(trouble=f"nobody knows what a {row.kind} is")
        try:
            async with asyncio.timeout(_ROW_S):
                return await handler(self.desk, row, json.loads(row.body))
        except Unavailable as error:
            return Later(after_s=self.patience_s(row), why=str(error))
        except SlackApiError as error:
            return _slack_says(error, self.patience_s(row))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Later(after_s=self.patience_s(row), why=f"Slack does not answer ({type(error).__name__})")

    def patience_s(self, row: Heard) -> float:
        """For what is nobody's fault: a second at first, and longer the longer it has lasted, at most a minute."""
        age_s = (self.desk.clock() - row.received_at).total_seconds()
        return min(max(age_s / 2, 1.0), 60.0)

    async def _note(self, row: Heard, outcome: Outcome) -> None:
        desk, now = self.desk, self.desk.clock()

        def work(tx: Connection) -> None:
            if isinstance(outcome, Later):
                due_at = now + timedelta(seconds=outcome.after_s)
                desk_inbox.later(
                    tx, row.id, self.owner, due_at=due_at, trouble=outcome.why, counts=outcome.counts
                )
                return
            desk_inbox.done(
                tx, desk.store.ids, names.SURFACE, row.id, self.owner, now=now,
                trouble=outcome.trouble, forget=outcome.forget, then=outcome.then,
            )  # fmt: skip

        failpoints.here("slack.before_done")
        try:
            await desk.do(lambda: desk.store.run(work))
        except Unavailable as error:  # its lease ends, and it is done again
            _log.warning("inbox_not_noted", id=row.id, why=str(error)[:200])
        if isinstance(outcome, Done) and outcome.trouble:
            _log.info("inbox_refused", id=row.id, kind=row.kind, why=outcome.trouble)


def _slack_says(error: SlackApiError, patience_s: float) -> Outcome:
    """What an error of the Web API means for a row: later where it may pass, else the end of it."""
    code = str(error.response.get("error") or "")
    status = int(getattr(error.response, "status_code", 200) or 200)
    headers = getattr(error.response, "headers", None) or {}
    if status == 429 or code == "ratelimited":
        asked = headers.get("Retry-After") or headers.get("retry-after") or "1"
        return Later(after_s=float(asked) + random.random(), why="Slack asks for patience")  # noqa: S311
    if code in SIGNED_OUT:
        return Later(after_s=60.0, why=f"Slack does not let us in ({code})")
    if status >= 500 or not code or code in _PASSES:
        return Later(after_s=patience_s, why=f"Slack does not answer ({code or status})")
    return Done(trouble=f"Slack refuses it ({code})")


def _given_up(row: Heard, why: str) -> Done:
    """The words stay in the row (`desk_inbox.again`); who typed them is told that they stand nowhere else."""
    trouble = f"{desk_inbox.GIVEN_UP} after {row.tries} tries: {why}"
    said = json.loads(row.body).get("message") if row.kind in (MESSAGE, EDIT) else None
    if not said:
        return Done(trouble=trouble)
    to = owed.Person(
        place=json.loads(row.body)["place"], thread=str(said["thread_ts"]), user=str(said["user"])
    )
    text = (
        "That could not be kept as a note, and the customer has not got it. Please tell whoever runs the hub."
    )
    return Done(trouble=trouble, then=(owed.sentence(row, to, text),))
