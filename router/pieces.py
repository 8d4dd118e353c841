"""Files that are still at their provider, and messages that come in pieces (albums). Pure; rows go into the plan."""

from __future__ import annotations

import hashlib

from crm_store.batch_plan import Album, First, Known, Plan
from hub.model import MessageReceived
from router.setting import clean

_BIGGEST = 2**53  # what a provider says of a size beyond this is nonsense


def key_of(event: MessageReceived) -> str:
    """The name of an album within its account: messages with the same one and the same sender are one."""
    return hashlib.sha256(f"{event.sender}\0{event.album}".encode("utf-8", "surrogatepass")).hexdigest()[:40]


def expect(plan: Plan, event: MessageReceived, interaction: int, position: int, now: int) -> None:
    """The files that a worker is to fetch; the first stands at `position` among the interaction's."""
    plan.rows["media"] += [
        (
            interaction,
            number,
            event.account,
            clean(file.ref),
            clean(file.kind)[:12],
            clean(file.name)[:400],
            clean(file.content_type)[:120],
            file.size_bytes if file.size_bytes is not None and 0 <= file.size_bytes < _BIGGEST else None,
            "waiting",
            now,
            now,
        )
        for number, file in enumerate(event.media, position)
    ]


def begin(known: Known, plan: Plan, event: MessageReceived, first: First, now: int) -> None:
    """Remember that this piece made the interaction that the others belong to."""
    assert first.interaction_id is not None
    assert first.conversation_id is not None
    key = key_of(event)
    files = len(event.attachments) + len(event.media)
    known.albums[event.account, key] = Album(
        first.interaction_id, first.conversation_id, first.text or "", files
    )
    plan.rows["albums"].append((event.account, key, first.interaction_id, now))


def add(plan: Plan, event: MessageReceived, album: Album, now: int) -> First:
    """A later piece: its files, and its caption where the album has none yet. Its own files' rows are the caller's."""
    files = len(event.attachments)
    expect(plan, event, album.id, album.files + files, now)
    album.files += files + len(event.media)
    caption = "" if album.text else clean(event.text)
    album.text = album.text or caption
    had, came = plan.pieces.get(album.id, ("", 0))
    if caption or files:
        plan.pieces[album.id] = (had or caption, came + files)
    return First(album.id, album.conversation_id, album.text)
