"""One post to Slack, or one redraw: leased, looked for where it may stand there already, sent, and noted.

The request leaves only under a lease that was committed with its try counted. So a poster that dies anywhere leaves
either nothing, or a row with a try: whoever takes it next looks for its uuid first. Where a lease ends while its holder
sleeps, the later one's post is found to be one too many and deleted.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from crm_store import conversations, desk_posts, desk_threads
from crm_store.desk_posts import CARD, NO_THREAD, NOTICE, Post
from crm_store.desk_threads import Thread
from crm_store.timeline import made_at
from desk.slack import blocks
from desk.slack.blocks import Post as Drawing
from desk.slack.context import SlackDesk
from desk.slack.names import METADATA, SURFACE
from hub import failpoints, log
from workers import slack_draw, slack_files, slack_ops
from workers.slack_calls import Calls, Failed, Trouble
from workers.slack_draw import FILE, Scene
from workers.slack_rates import POST

_log = log.get("slack")

LEASE_S = 60.0  # six times the time-out of a call
FILE_LEASE_S = 600.0
_LOOK_BACK_S = 300.0  # clocks differ: how long before its row a post is looked for
_PAGE = 200
# Our words are text and blocks; nothing in them is to be made into a mention, a link or a preview (S13).
_QUIET: Mapping[str, Any] = {"link_names": False, "parse": "none"}
_NO_PREVIEW: Mapping[str, Any] = {"unfurl_links": False, "unfurl_media": False}


@dataclass(frozen=True, slots=True)
class Taken:
    """A post whose row is ours until `until` (monotonic)."""

    post: Post
    until: float


class Putter:
    def __init__(self, desk: SlackDesk, calls: Calls, owner: str) -> None:
        self._desk, self._calls, self._owner = desk, calls, owner

    # ---------------------------------------------------------------------------------------------------- posting

    async def take(self, place: str) -> Taken | None:
        """The next post of this channel, leased; None where there is none. Another poster was quicker: tried again."""
        while True:
            now = self._desk.clock()
            post = await self._desk.look(
                lambda tx, now=now: desk_posts.next_unposted(tx, SURFACE, place, now)  # type: ignore[misc]
            )
            if post is None:
                return None
            taken = await self.lease(post)
            if taken is not None:
                return taken

    async def lease(self, post: Post) -> Taken | None:
        lasts_s = FILE_LEASE_S if post.kind == FILE else LEASE_S
        began, now = time.monotonic(), self._desk.clock()
        until = now + timedelta(seconds=lasts_s)
        work = self._store(lambda tx: desk_posts.lease(tx, post, self._owner, now=now, until=until))
        return Taken(post, began + lasts_s / 2) if await work else None

    async def put(self, taken: Taken) -> bool:
        """Post it, unless it stands there already or is not wanted any more. False: it was dropped. Raises Failed."""
        post = taken.post
        if post.thread_id == NO_THREAD:
            return await self._put_notice(taken)
        now = self._desk.clock()
        scene = await self._desk.look(lambda tx: slack_draw.scene(tx, self._desk, post.thread_id, now))
        if scene is None:
            return await self._drop(post)
        if post.tries:
            stands = await self._find(post, scene.thread)
            if stands is not None:
                _log.info("found", post=post.id, kind=post.kind)
                await self._note(post, stands, post.drawn if post.kind == FILE else "")
                return True
        wish = scene.wish(post)
        if scene.thread.retired_at is not None or wish is None:
            return await self._drop(post)
        if wish.drawing is None:
            return await self._put_file(post, scene)
        ts = await self._send(taken, wish.as_posted(), scene.thread.thread if post.kind != CARD else None)
        await self._note(post, ts, blocks.digest(wish.drawing))
        return True

    async def _put_notice(self, taken: Taken) -> bool:
        post, now = taken.post, self._desk.clock()
        if post.tries:
            stands = await self._find(post, None)
            if stands is not None:
                await self._note(post, stands, "")
                return True
        drawing = await self._desk.look(lambda tx: slack_ops.drawing(tx, self._desk, post, now))
        if drawing is None:
            return await self._drop(post)
        await self._note(post, await self._send(taken, drawing, None), blocks.digest(drawing))
        return True

    async def _put_file(self, post: Post, scene: Scene) -> bool:
        file = await self._desk.look(lambda tx: slack_files.attachment(tx, post.ref))
        if file is None:
            return await self._drop(post)
        shared = await slack_files.share(self._calls, self._desk, post, scene.thread, file, self._owner)
        if shared is None:
            number = await self._desk.look(
                lambda tx: int(conversations.get(tx, scene.thread.conversation_id).number)
            )
            drawing = slack_files.instead(file, self._desk, number)
            ts = await self._send(Taken(post, time.monotonic() + 1), drawing, scene.thread.thread)
            await self._note(post, ts, blocks.digest(drawing))
            return True
        await self._note(post, shared, shared)
        return True

    async def _send(self, taken: Taken, drawing: Drawing, thread: str | None) -> str:
        """The token of the channel is taken already. The ts. Raises Failed."""
        post = taken.post
        if time.monotonic() > taken.until:  # we slept: another may have it by now
            raise Failed(Trouble.LATER, "the lease is over", arrived=False)
        arguments: dict[str, Any] = {
            "text": drawing.text,
            "blocks": list(drawing.blocks),
            "metadata": {"event_type": METADATA, "event_payload": {"uuid": post.uuid}},
            "thread_ts": thread,
            **_QUIET,
            **_NO_PREVIEW,
        }
        failpoints.here("post.before_send")
        try:
            answer = await self._calls.now(POST, post.place, **arguments)
        except Failed as problem:
            if problem.trouble is not Trouble.CONTENT:
                raise
            _log.error("not taken", post=post.id, kind=post.kind, why=problem.why)
            arguments |= {"text": _PLAIN.text, "blocks": list(_PLAIN.blocks)}
            answer = await self._calls.at_rate(POST, post.place, **arguments)
        failpoints.here("post.after_send")
        return str(answer["ts"])

    async def _note(self, post: Post, ts: str, drawn: str) -> None:
        """It stands there. Where another poster noted its own first, ours is one too many."""
        now = self._desk.clock()

        def work(tx: Connection) -> bool:
            if not desk_posts.done(tx, post.id, self._owner, posted=ts, drawn=drawn, now=now):
                return False
            if post.kind == CARD:
                desk_threads.posted(tx, post.thread_id, ts)
            return True

        if not await self._store(work):
            row = await self._desk.look(lambda tx: desk_posts.get(tx, post.id))
            if row is not None and row.posted not in (None, ts) and post.kind != FILE:
                _log.warning("posted by two", post=post.id)
                await self._calls.at_rate("chat.delete", post.place, ts=ts)

    async def _drop(self, post: Post) -> bool:
        await self._store(lambda tx: desk_posts.drop(tx, post.id))
        return False

    # --------------------------------------------------------------------------------------------------- looking up

    async def _find(self, post: Post, thread: Thread | None) -> str | None:
        """Where it stands already: its ts, or a file's id. Of several, the first stays and the others are deleted."""
        found: list[str] = []
        async for message in self._heard(post, thread):
            payload = (message.get("metadata") or {}).get("event_payload") or {}
            if payload.get("uuid") == post.uuid:
                found.append(str(message["ts"]))
            elif post.kind == FILE and post.drawn and post.drawn in _file_ids(message):
                return post.drawn
        for extra in sorted(found)[1:]:
            await self._calls.at_rate("chat.delete", post.place, ts=extra)
        return min(found, default=None)

    async def _heard(self, post: Post, thread: Thread | None) -> AsyncIterator[Mapping[str, Any]]:
        oldest = f"{made_at(post.id).timestamp() - _LOOK_BACK_S:.6f}"
        arguments: dict[str, Any] = {"oldest": oldest, "limit": _PAGE, "include_all_metadata": True}
        method = "conversations.history"
        if thread is not None and post.kind not in (CARD, NOTICE):
            method, arguments["ts"] = "conversations.replies", thread.thread
        cursor = ""
        while True:
            page = await self._calls.at_rate(method, post.place, **arguments, cursor=cursor or None)
            for message in page.get("messages") or ():
                yield message
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    # ---------------------------------------------------------------------------------------------------- redrawing

    async def redraw(self, scene: Scene) -> bool:
        """Draw the first thing that shows something else; its token is taken already. False: another has it in hand.

        Raises Failed.
        """
        post, drawing = scene.stale()[0]
        if await self.lease(post) is None:
            return False
        assert post.posted is not None
        arguments: dict[str, Any] = {"ts": post.posted, "text": drawing.text, "blocks": list(drawing.blocks)}
        try:
            try:
                await self._calls.now("chat.update", post.place, **arguments, **_QUIET)
            except Failed as problem:
                if problem.trouble is not Trouble.CONTENT:
                    raise
                _log.error("not taken", post=post.id, kind=post.kind, why=problem.why)
                arguments |= {"text": _PLAIN.text, "blocks": list(_PLAIN.blocks)}
                await self._calls.at_rate("chat.update", post.place, **arguments, **_QUIET)
        except Failed as problem:
            if problem.trouble is Trouble.MESSAGE and await self._gone(post, scene, problem):
                return True
            await self.give_back(post, arrived=True)
            raise
        drawn, ts, now = blocks.digest(drawing), post.posted, self._desk.clock()
        noted = self._store(
            lambda tx: desk_posts.done(tx, post.id, self._owner, posted=ts, drawn=drawn, now=now)
        )
        if not await noted:  # our lease ended meanwhile, and who had it next may have drawn before us
            await self._store(lambda tx: desk_posts.undrawn(tx, post.id))
            await self._store(lambda tx: desk_threads.touch(tx, [scene.thread.id]))
        return True

    async def _gone(self, post: Post, scene: Scene, problem: Failed) -> bool:
        """Somebody deleted it. A living card stands up again, and so does a receipt; what was said stays deleted."""
        now, thread, posted = self._desk.clock(), scene.thread, post.posted
        assert posted is not None
        living = thread.retired_at is None and problem.why == "message_not_found"
        _log.warning("not there", post=post.id, kind=post.kind, why=problem.why)

        def work(tx: Connection) -> None:
            if living and post.kind == CARD:
                desk_threads.retire(tx, thread.id, "gone", now)
                desk_posts.drop_unbegun(tx, SURFACE, thread.id)
                desk_threads.settle(tx, thread.id)
                desk_threads.open_card(
                    tx, self._desk.store.ids, SURFACE, thread.conversation_id, thread.place, now
                )
            elif living and post.kind == "receipt":
                desk_posts.again(tx, post.id, posted)
            else:
                drawn = next((w.drawing for w in scene.wishes if w.key == (post.kind, post.ref)), None)
                shows = blocks.digest(drawn) if drawn is not None else ""
                desk_posts.done(tx, post.id, self._owner, posted=posted, drawn=shows, now=now)

        await self._store(work)
        return True

    async def give_back(self, post: Post, *, arrived: bool) -> None:
        await self._store(lambda tx: desk_posts.give_back(tx, post.id, self._owner, arrived=arrived))

    async def _store(self, work: Any) -> Any:
        return await self._desk.do(lambda: self._desk.store.run(work))


_PLAIN = Drawing(
    text="This cannot be shown here. It is in the web desk.",
    blocks=(blocks.section("_This cannot be shown here. It is in the web desk._"),),
)


def _file_ids(message: Mapping[str, Any]) -> list[str]:
    return [str(file.get("id")) for file in message.get("files") or ()]
