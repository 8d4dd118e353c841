"""`mainstem slack repair`: is everything that should stand on Slack still there?

Slack is read, at its rate; nothing is posted here. What is missing is marked in the store, and the posters put it up
again in their own time, a post a second in each channel: a repair floods nobody. Twice is once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from crm_store import desk_posts, desk_threads
from crm_store.desk_posts import CARD, TYPED, Post
from crm_store.desk_threads import Thread
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from workers.slack_calls import Calls, Failed, Trouble
from workers.slack_draw import ALERT
from workers.slack_plan import move
from workers.slack_rates import SlackRates

_PAGE = 500  # threads a look at the store
_MESSAGES = 200  # a call; Slack's own advice is no more: https://docs.slack.dev/reference/methods/conversations.history
_BEFORE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """What was found missing, and with `dry` only found. unread: channels that could not be read, and why."""

    threads: int  # looked at
    cards: int  # to be posted again, with what hangs below them
    posts: int  # of threads whose card stands
    unread: Mapping[str, str]


async def repair(desk: SlackDesk, *, dry: bool = False, rates: SlackRates | None = None) -> Repaired:
    """Look for every card of a conversation that is not done with, and for what hangs below it."""
    calls = Calls(desk.client, rates or SlackRates())
    threads = cards = posts = 0
    unread: dict[str, str] = {}
    for place, here in (await _standing(desk)).items():
        threads += len(here)
        try:
            there = await _cards(calls, place, here)
            for thread in here:
                replies = there.get(thread.thread or "")
                if replies is None:
                    cards += 1
                    if not dry:
                        await _stand_up(desk, thread)
                else:
                    posts += await _below(desk, calls, thread, replies, dry=dry)
        except Failed as problem:
            if problem.trouble is Trouble.TOKEN:
                raise
            unread[place] = problem.why
    return Repaired(threads=threads, cards=cards, posts=posts, unread=unread)


async def _standing(desk: SlackDesk) -> dict[str, list[Thread]]:
    """Channel -> the living threads whose cards should stand there."""
    found: dict[str, list[Thread]] = {}
    after = 0
    while True:
        page = await desk.look(
            lambda tx, after=after: desk_threads.unsettled(tx, SURFACE, after=after, limit=_PAGE)  # type: ignore[misc]
        )
        for one in page:
            if one.thread.retired_at is None and one.thread.thread is not None:
                found.setdefault(one.thread.place, []).append(one.thread)
        if len(page) < _PAGE:
            return found
        after = page[-1].thread.id


async def _cards(calls: Calls, place: str, here: list[Thread]) -> dict[str, int]:
    """The messages of the channel since the eldest of these cards: ts -> number of replies."""
    eldest = min(float(thread.thread or 0) for thread in here)
    found: dict[str, int] = {}
    arguments = {"oldest": f"{eldest - _BEFORE_S:.6f}"}
    async for message in _pages(calls, "conversations.history", place, arguments):
        if message.get("subtype") != "tombstone":
            found[str(message["ts"])] = int(message.get("reply_count") or 0)
    return found


async def _below(desk: SlackDesk, calls: Calls, thread: Thread, replies: int, *, dry: bool) -> int:
    """How many posts of a thread are missing; read only where there are fewer than there should be."""
    rows = await desk.look(lambda tx: desk_posts.of_thread(tx, SURFACE, thread.id))
    ours = [row for row in rows if row.posted is not None and row.kind not in (CARD, ALERT)]
    if replies >= len(ours):
        return 0
    there: set[str] = set()
    arguments = {"ts": thread.thread}
    async for message in _pages(calls, "conversations.replies", thread.place, arguments):
        if message.get("subtype") != "tombstone":
            there.add(str(message["ts"]))
            there.update(str(file.get("id")) for file in message.get("files") or ())
    missing = [row for row in ours if row.kind != TYPED and row.posted not in there]
    if missing and not dry:
        await desk.do(lambda: desk.store.run(lambda tx: _again(tx, thread, missing)))
    return len(missing)


def _again(tx: Connection, thread: Thread, missing: list[Post]) -> None:
    for row in missing:
        assert row.posted is not None
        desk_posts.again(tx, row.id, row.posted)
    desk_threads.touch(tx, [thread.id])


async def _stand_up(desk: SlackDesk, thread: Thread) -> None:
    now = desk.clock()

    def work(tx: Connection) -> None:
        if move(tx, desk, thread, "gone", thread.place, now):
            desk_posts.drop_all(tx, SURFACE, thread.id)
            desk_threads.settle(tx, thread.id)

    await desk.do(lambda: desk.store.run(work))


async def _pages(
    calls: Calls, method: str, place: str, arguments: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    cursor = ""
    while True:
        page = await calls.at_rate(method, place, **arguments, limit=_MESSAGES, cursor=cursor or None)
        for message in page.get("messages") or ():
            yield message
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return
