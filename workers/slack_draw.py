"""What a thread should look like now: read and drawn in one look at the store, and compared with what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from crm_store import conversations, desk_posts, desk_threads
from crm_store.desk_posts import CARD, TYPED, Post, Wanted
from crm_store.desk_threads import Thread
from crm_store.schema import interaction_attachments, interactions
from crm_store.timeline import made_at
from desk.slack import blocks, cards, look
from desk.slack.blocks import Post as Drawing
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from desk.slack.thread import to_whom

FILE, ALERT = "file", "alert"
MENTION_EVERY_S = 60.0  # bursts of a customer's are announced once, and every message of them is posted
_MENTIONED = ("message", "change")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What should stand in a thread. drawing None: a file, which is uploaded and never redrawn."""

    kind: str
    ref: str
    interaction_id: int | None
    delivery_id: int | None
    drawing: Drawing | None
    mention: str | None = None  # whom to tell when it is posted

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.ref

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            kind=self.kind, ref=self.ref, interaction_id=self.interaction_id, delivery_id=self.delivery_id
        )

    def as_posted(self) -> Drawing:
        """With the mention that its first posting carries; a redraw tells nobody, so it goes without."""
        assert self.drawing is not None
        if self.mention is None:
            return self.drawing
        return to_whom(self.drawing, self.mention)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A thread as it should be (`wishes`, the card first) and as it is (`posts`).

    was, version: the thread's and the conversation's version at this look. anew: why the card belongs to the past.
    """

    thread: Thread
    version: int
    queue: str
    state: str
    wishes: tuple[Wish, ...]
    posts: tuple[Post, ...]
    anew: str | None

    @property
    def was(self) -> int:
        return self.thread.shown_version

    def missing(self) -> list[Wanted]:
        """What is not written down yet, in order."""
        known = {(post.kind, post.ref) for post in self.posts}
        return [wish.wanted for wish in self.wishes if wish.key not in known]

    def stale(self) -> list[tuple[Post, Drawing]]:
        """What stands there and shows something else, the card first."""
        rows = {(post.kind, post.ref): post for post in self.posts}
        return [
            (post, wish.drawing)
            for wish in self.wishes
            if wish.drawing is not None
            and (post := rows.get(wish.key)) is not None
            and post.posted is not None
            and post.drawn != blocks.digest(wish.drawing)
        ]

    def wish(self, post: Post) -> Wish | None:
        return next((wish for wish in self.wishes if wish.key == (post.kind, post.ref)), None)

    @property
    def waiting(self) -> bool:
        """Is something of it not posted, or in flight?"""
        return any(post.posted is None for post in self.posts)

    @property
    def card(self) -> Post | None:
        return next((post for post in self.posts if post.kind == CARD), None)


def scene(tx: Connection, desk: SlackDesk, thread_id: int, now: datetime) -> Scene | None:
    """A thread as of now; None where it is gone."""
    thread = desk_threads.get(tx, thread_id)
    if thread is None:
        return None
    posts = desk_posts.of_thread(tx, SURFACE, thread_id)
    row = conversations.get(tx, thread.conversation_id)
    first = next((post for post in posts if post.kind == CARD), None)
    anchor = first.interaction_id if first is not None else None
    shown = look.card(
        tx, desk.config(), desk.rules(), thread.conversation_id, now, anchor=anchor, desk_url=desk.desk_url,
        limits=desk.limits,
    )  # fmt: skip
    drawing = cards.card(shown, now)
    if thread.retired_at is not None:
        living = desk_threads.living(tx, SURFACE, thread.conversation_id)
        where = living.place if living is not None else ""
        drawing = cards.tombstone(shown, thread.retired_why or "gone", where, now)
    card = Wish(
        kind=CARD, ref=str(thread.conversation_id), interaction_id=anchor, delivery_id=None, drawing=drawing
    )
    items = look.thread(
        tx, desk.config(), thread.conversation_id, anchor, now, thread_id=thread_id, desk_url=desk.desk_url
    )
    wishes = [card, *_below(tx, items, shown.assignee_slack, posts)]
    wishes += _removed(tx, posts, {wish.key for wish in wishes})
    if thread.retired_at is not None:  # what stands there is kept up to date; nothing is added
        stands = {(post.kind, post.ref) for post in posts}
        wishes = [wish for wish in wishes if wish.key in stands]
    return Scene(
        thread=thread,
        version=row.version,
        queue=row.queue,
        state=row.state,
        wishes=tuple(wishes),
        posts=tuple(post for post in posts if post.kind != TYPED),
        anew=None if thread.retired_at is not None else desk_threads.stands_anew(tx, thread),
    )


def _below(
    tx: Connection, items: Sequence[look.Item], assignee: str | None, posts: Sequence[Post]
) -> list[Wish]:
    files = _files(tx, [i.interaction_id for i in items if i.kind == "message" and i.interaction_id])
    stands = {post.ref for post in posts if post.kind == "receipt" and post.posted is not None}
    told = _told(items)
    wishes: list[Wish] = []
    for item in items:
        wishes.append(
            Wish(
                kind=item.kind,
                ref=item.ref,
                interaction_id=item.interaction_id,
                delivery_id=item.delivery_id,
                drawing=item.post,
                mention=assignee if item.ref in told and item.kind in _MENTIONED else None,
            )
        )
        if item.kind == "message":
            wishes += [
                Wish(kind=FILE, ref=ref, interaction_id=item.interaction_id, delivery_id=None, drawing=None)
                for ref in files.get(item.interaction_id or 0, ())
            ]
    # A receipt that is redrawn tells nobody, so one that comes to need somebody is spoken of once, at the end.
    for item in items:
        if item.kind == "receipt" and item.loud and item.ref in stands and assignee is not None:
            wishes.append(_alert(item, assignee))
    return wishes


def _removed(tx: Connection, posts: Sequence[Post], wished: set[tuple[str, str]]) -> list[Wish]:
    """Notes that stand there and were removed since: their words go, and that there were some is said."""
    gone = [post for post in posts if post.kind == "note" and (post.kind, post.ref) not in wished]
    if not gone:
        return []
    n = interactions.c
    deleted = set(tx.scalars(select(n.id).where(n.id.in_([p.interaction_id for p in gone]), n.deleted)))
    return [
        Wish(
            kind=post.kind,
            ref=post.ref,
            interaction_id=post.interaction_id,
            delivery_id=None,
            drawing=Drawing(text="A note was removed.", blocks=(blocks.context("_A note was removed._"),)),
        )
        for post in gone
        if post.posted is not None and post.interaction_id in deleted
    ]


def _alert(item: look.Item, assignee: str) -> Wish:
    words = f"<@{assignee}> A reply of this conversation needs you: see its line above."
    drawing = Drawing(text=words, blocks=(blocks.section(words),))
    return Wish(
        kind=ALERT,
        ref=item.ref,
        interaction_id=item.interaction_id,
        delivery_id=item.delivery_id,
        drawing=drawing,
    )


def _told(items: Sequence[look.Item]) -> set[str]:
    """The refs of what is announced: of everything that came within a minute of one that was, nothing."""
    told: set[str] = set()
    last: datetime | None = None
    for item in items:
        if item.loud and item.kind in _MENTIONED:
            at = made_at(int(item.ref))
            if last is None or (at - last).total_seconds() >= MENTION_EVERY_S:
                told.add(item.ref)
                last = at
    return told


def _files(tx: Connection, interactions: Sequence[int]) -> dict[int, list[str]]:
    """interaction -> the refs of its files."""
    found: dict[int, list[str]] = {}
    if interactions:
        a = interaction_attachments.c
        query = select(a.interaction_id, a.position).where(a.interaction_id.in_(sorted(interactions)))
        for interaction_id, position in tx.execute(query.order_by(a.interaction_id, a.position)):
            found.setdefault(interaction_id, []).append(f"{interaction_id}:{position}")
    return found
