"""What was typed in a thread goes to the customer, is changed there, or is taken back.

Called by the inbox for what is typed, edited, deleted and marked with the outbox, and by the buttons and shortcuts.
Everything goes through desk/actions; what Slack is to show of it is owed to it (owed.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select

from crm_store import desk_inbox, desk_typed, notes
from crm_store.desk_inbox import Told
from crm_store.desk_typed import Detail, Sent, Typed
from crm_store.schema import interaction_attachments
from desk import words
from desk.replying import ReplyResult, WindowClosed
from desk.slack import names, owed, taking, thread
from desk.slack.context import SlackDesk
from desk.slack.events import message_key
from desk.slack.outcome import Done, Outcome
from desk.slack.text import Plain
from hub import failpoints
from hub.errors import Conflict, NotFound, Refused, StillSeen
from hub.model import Attachment

MENTIONS = "It speaks to somebody in Slack, so it stays internal. Write it without the @, or use Reply."
LOCKED = "It begins with a lock, so it stays internal. Take the lock away first."
REMOVED = "That message was deleted."
NOT_TYPED = "Only what somebody typed below a card can be sent to the customer."
NOT_YET = "That message is just being taken in; try again in a second."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    detail: Detail
    sent: Sent | None
    text: str
    reply_id: int | None
    attachments: tuple[Attachment, ...]
    seen: int | None


def _facts(tx: Connection, typed: Typed) -> _Facts:
    note = notes.get(tx, typed.note_id)
    a = interaction_attachments.c
    files = select(a.sha256, a.name, a.content_type, a.size_bytes)
    found = tx.execute(files.where(a.interaction_id == note.id).order_by(a.position))
    fresh = desk_typed.find(tx, names.SURFACE, typed.place, typed.ts) or typed
    # What was edited later was read once more: the edit's moment counts, which Slack gives in whole seconds.
    read_at = max(typed.ts, fresh.detail.edit)
    return _Facts(
        detail=fresh.detail,
        sent=desk_typed.sent(tx, typed.note_id),
        text=note.text,
        reply_id=note.sent_as,
        attachments=tuple(Attachment(**one._mapping) for one in found),
        seen=desk_typed.seen_inbound(tx, names.SURFACE, typed.thread_id, typed.conversation_id, read_at),
    )


async def send_typed(desk: SlackDesk, place: str, ts: str, agent: str, press: str) -> ReplyResult:
    """What stands there goes to the customer, in the name of `agent`. press: names this press of theirs, so that the
    same one twice is one reply; what was sent already is not sent again by another press.

    Raises Refused, Conflict and NotFound with one sentence, Unavailable.
    """
    return await send(desk, await _typed(desk, place, ts), agent, press)


async def keep_internal(desk: SlackDesk, place: str, ts: str, agent: str) -> None:
    """What stands there is for colleagues: a reply that waits is taken back. Raises as `send_typed`; Conflict where it
    went out."""
    typed = await _typed(desk, place, ts)
    sent = await desk.look(lambda tx: desk_typed.sent(tx, typed.note_id))
    cause = "kept"
    if sent is not None:
        await desk.do(lambda: desk.actions.undo(sent.id, agent))
        cause = f"kept:{sent.id}"
    await _note(desk, typed, None, owed.mark(typed, names.INTERNAL_MARK, cause=cause))


async def _typed(desk: SlackDesk, place: str, ts: str) -> Typed:
    def read(tx: Connection) -> tuple[Typed | None, bool]:
        typed = desk_typed.find(tx, names.SURFACE, place, ts)
        waiting = desk_inbox.waits(tx, names.SURFACE, message_key(place, ts)) is not None
        return typed, waiting

    typed, waiting = await desk.look(read)
    if typed is None:
        raise Conflict(NOT_YET) if waiting else NotFound(NOT_TYPED)
    return typed


async def send(desk: SlackDesk, typed: Typed, agent: str, press: str) -> ReplyResult:
    """See `send_typed`."""
    facts = await desk.look(lambda tx: _facts(tx, typed))
    if facts.sent is not None and facts.reply_id is not None:
        result = _again(facts.sent, facts.reply_id)
    else:
        result = await _send(desk, typed, facts, agent, press)
    failpoints.here("slack.after_send")
    due = result.undo_until or desk.clock()
    await _note(
        desk,
        typed,
        result.delivery_id,
        owed.mark(typed, names.INTERNAL_MARK, on=False, cause=str(result.delivery_id)),
        owed.tick(typed, result.delivery_id, due),
    )
    return result


async def _send(desk: SlackDesk, typed: Typed, facts: _Facts, agent: str, press: str) -> ReplyResult:
    detail = facts.detail
    if detail.removed:
        raise Refused(REMOVED)
    if detail.mentions:
        raise Refused(MENTIONS)
    if detail.locked:
        raise Refused(LOCKED)
    if detail.missing:
        raise Refused(f"{' '.join(detail.missing)} Write it again without that, or use Reply.")
    if detail.text is not None and detail.text != facts.text:
        # Edited at this moment; or while it waited as a reply which was undone: the note has the first words still.
        await desk.do(lambda: desk.actions.edit_note(typed.note_id, detail.agent, detail.text or ""))
    try:
        return await desk.do(
            lambda: desk.actions.send_note(
                typed.note_id,
                agent,
                f"slack:{typed.place}:{typed.ts}:{press}",
                attachments=facts.attachments,
                seen_inbound=facts.seen,
            )
        )
    except WindowClosed as closed:
        raise Refused(f"{closed} Reply, on the card, offers the other ways and what is approved.") from closed


def _again(sent: Sent, reply_id: int) -> ReplyResult:
    held = sent.state == "held" and not sent.asks
    return ReplyResult(
        delivery_id=sent.id,
        interaction_id=reply_id,
        undo_until=sent.due_at if held else None,
        held_reason=None,
        new=False,
    )


async def _note(desk: SlackDesk, typed: Typed, delivery_id: int | None, *then: Told, **known: object) -> None:
    """What is known of it now, and what we owe Slack, in one transaction."""

    def work(tx: Connection) -> None:
        desk_typed.change(tx, typed, delivery_id=delivery_id, **known)
        desk_inbox.put(tx, desk.store.ids, names.SURFACE, then, desk.clock())

    await desk.do(lambda: desk.store.run(work))
    taking.nudge(desk)


# ------------------------------------------------------------------------------------------------- changed afterwards


async def change(desk: SlackDesk, typed: Typed, agent: str, plain: Plain, stamp: str) -> Outcome:
    """Other words for it: for the note while it is one; for the reply, where it still waits or its channel can change
    it; else the question whether a correction is to be sent. stamp: Slack's, of this edit.

    What it reads now is noted first: whoever sends it at this moment sends that.
    Raises Refused, Conflict, NotFound where it cannot be.
    """
    await _note(desk, typed, None, edit=stamp, mentions=plain.mentions, locked=plain.locked, text=plain.text)
    sent = await desk.look(lambda tx: desk_typed.sent(tx, typed.note_id))
    if sent is None:
        if not plain.text.strip() and await _has_files(desk, typed):
            raise Refused("A file's words can be changed, but not be taken away.")
        edit = partial(desk.actions.edit_note, typed.note_id, typed.detail.agent, plain.text)
        sent = await _unless_sent(desk, typed, edit)
        if sent is None:
            return Done()
    if plain.mentions:
        raise Refused("It speaks to somebody in Slack now, so the customer keeps the first text.")
    reply = sent
    try:
        key = f"slack:{typed.place}:{typed.ts}:{stamp}:{plain.text}"
        await desk.do(lambda: desk.actions.revise(reply.id, agent, plain.text, key))
    except StillSeen:
        await _note(desk, typed, reply.id, wanted=plain.text)
        return _correction(typed, reply, plain.text, f"edit:{stamp}")
    failpoints.here("slack.after_revise")
    await _note(desk, typed, reply.id, wanted=None)
    return Done()


async def _unless_sent(desk: SlackDesk, typed: Typed, work: Callable[[], None]) -> Sent | None:
    """Do something to the note, unless somebody has just sent it on: then the reply that it is now."""
    try:
        await desk.do(work)
    except Refused:
        sent = await desk.look(lambda tx: desk_typed.sent(tx, typed.note_id))
        if sent is None:
            raise
        return sent
    return None


async def _has_files(desk: SlackDesk, typed: Typed) -> bool:
    facts = await desk.look(lambda tx: _facts(tx, typed))
    return bool(facts.attachments)


async def take_back(desk: SlackDesk, typed: Typed, agent: str) -> Outcome:
    """It was deleted in Slack: the note goes, a reply is undone or taken back where its channel can, else the question.

    Raises Refused, Conflict, NotFound where it cannot be.
    """
    remove = partial(desk.actions.remove_note, typed.note_id, typed.detail.agent)
    sent = await desk.look(lambda tx: desk_typed.sent(tx, typed.note_id))
    sent = sent or await _unless_sent(desk, typed, remove)
    if sent is not None:
        try:
            done = await desk.do(lambda: desk.actions.withdraw(sent.id, agent))
        except StillSeen:
            await _note(desk, typed, None, removed=True, wanted="")
            return _correction(typed, sent, "", "deleted")
        failpoints.here("slack.after_withdraw")
        if done.how != "before":
            await _note(desk, typed, sent.id, removed=True)
            return Done()
        await desk.do(remove)
    await _note(desk, typed, None, removed=True)
    return Done()


def _correction(typed: Typed, sent: Sent, text: str, cause: str) -> Done:
    post = thread.ask_correction(sent.id, text, words.channel(sent.account))
    return Done(then=(owed.ask(typed, post, cause=cause),))


async def wanted(desk: SlackDesk, delivery_id: int) -> str | None:
    """What a reply should read after an edit that its channel could not carry out ('' where it was deleted); None where
    nobody edited it. For the window in which a correction is written."""

    def read(tx: Connection) -> str | None:
        typed = desk_typed.of_delivery(tx, names.SURFACE, delivery_id)
        return None if typed is None else typed.detail.wanted

    return await desk.look(read)
