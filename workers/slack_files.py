"""A customer's file, up into the thread: https://docs.slack.dev/messaging/working-with-files

In three steps, of which only the last shows anything. The file's id at Slack is kept before that one, so that after a
crash it is known which file to look for.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from sqlalchemy import Connection, select

from crm_store import desk_posts
from crm_store.desk_posts import Post
from crm_store.desk_threads import Thread
from crm_store.schema import interaction_attachments
from crm_store.timeline import Attached
from desk.safe import filename
from desk.slack import blocks
from desk.slack.blocks import Post as Drawing
from desk.slack.context import SlackDesk
from desk.slack.look import page
from desk.slack.text import escape, line
from hub.errors import NotFound, Unavailable
from workers.slack_calls import Calls, Failed, Trouble

LARGEST_BYTES = 50_000_000  # larger ones stay in the web desk: they are held in memory on their way
_UPLOAD_S = 120.0


def attachment(tx: Connection, ref: str) -> Attached | None:
    """The file that "interaction:position" names."""
    interaction, _, position = ref.partition(":")
    a = interaction_attachments.c
    row = tx.execute(
        select(interaction_attachments).where(
            a.interaction_id == int(interaction), a.position == int(position)
        )
    ).one_or_none()
    if row is None:
        return None
    return Attached(
        position=row.position,
        sha256=row.sha256,
        name=row.name,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
    )


def instead(file: Attached, desk: SlackDesk, number: int | None) -> Drawing:
    """What stands for a file that does not go up."""
    name = escape(line(file.name, 100)) or "A file"
    url = page(desk.desk_url, number) if number else ""
    where = f"<{url}|in the web desk>" if url else "in the web desk"
    large = f"is too large for here: see it {where}"
    words = f":paperclip: {name} {large if file.size_bytes > LARGEST_BYTES else 'is not kept any more'}."
    return Drawing(text=words, blocks=(blocks.section(words),))


async def share(
    calls: Calls, desk: SlackDesk, post: Post, thread: Thread, file: Attached, owner: str
) -> str | None:
    """Its id at Slack, once it stands in the thread; None where it is not to be had, being too large or gone. Raises
    Failed, and OSError where its bytes cannot be read now."""
    if file.size_bytes > LARGEST_BYTES:
        return None
    name = filename(file.name)
    known = post.drawn if post.drawn.startswith("F") else ""
    if not known:
        try:
            content = await desk.blobs.aread(file.sha256)
        except NotFound:
            return None
        except Unavailable as error:  # of the blobs, not of the store: only this thread waits for them
            raise OSError(str(error)) from None
        told = await calls.at_rate("files.getUploadURLExternal", filename=name, length=len(content))
        known = str(told["file_id"])
        await _send(calls, str(told["upload_url"]), content)
        await desk.do(lambda: desk.store.run(lambda tx: desk_posts.prepared(tx, post.id, owner, known)))
    shown: dict[str, Any] = {"files": [{"id": known, "title": name}], "thread_ts": thread.thread}
    try:
        await calls.at_rate("files.completeUploadExternal", channel_id=post.place, **shown)
    except Failed as problem:
        if problem.why == "file_already_completed":
            return known
        if problem.why == "file_not_found":  # what was sent up is forgotten there: anew, at the next try
            await desk.do(lambda: desk.store.run(lambda tx: desk_posts.prepared(tx, post.id, owner, "")))
            raise Failed(Trouble.LATER, problem.why, arrived=False) from problem
        raise
    return known


async def _send(calls: Calls, url: str, content: bytes) -> None:
    session = calls.client.session
    assert session is not None
    try:
        async with session.post(url, data=content, timeout=aiohttp.ClientTimeout(total=_UPLOAD_S)) as answer:
            if answer.status != 200:
                raise Failed(Trouble.LATER, f"upload: HTTP {answer.status}", arrived=False)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Failed(Trouble.LATER, f"upload: {type(error).__name__}", arrived=False) from error
