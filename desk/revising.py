"""What agents do with what they have written: change it, take it back, and send a note on as a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from crm_store import conversations, notes, revisions, timeline
from crm_store import delivery_states as states
from crm_store.carried import unpack
from crm_store.notes import Note
from crm_store.schema import interaction_attachments
from desk import contents, replying
from desk.answering import Answering
from desk.base import Changed
from desk.conversing import NOTE_CHARS
from desk.replying import Order, ReplyResult, Terms, Then
from desk.rights import Rights
from hub.errors import Conflict, Refused, StillSeen
from hub.limits import Limits
from hub.model import Attachment
from hub.urn import channel_of

_SENT = "That note has become a reply; change or take back the reply instead."
_NOT_SENT = "That reply was not sent, so there is nothing to change. Try it again, or write another."
_FILLED = "An approved text goes out as it was filled: take it back, and fill it anew."
_LIMITED = {revisions.EDIT: ("edits", "edits_s"), revisions.DELETE: ("deletes", "deletes_s")}
_CANNOT = {
    revisions.EDIT: "{title} cannot change what was sent: the customer still sees the first text.",
    revisions.DELETE: "{title} cannot take back what was sent: the customer still sees it.",
}
_TOO_LATE = {
    revisions.EDIT: "{title} changes a message only within {hours:g} hours: the customer still sees the first text.",
    revisions.DELETE: "{title} takes a message back only within {hours:g} hours: the customer still sees it.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Revised:
    """What became of a change of a reply.

    how: "before" it had not gone out, and nobody saw the first text; "after" it is carried out at the customer's now,
    and the history shows what becomes of it (`Entry.revisions`); "nothing" it reads so already, or is gone already.
    undo_until: of a reply that is still held, until when it can be undone. new: False where nothing was written.
    """

    delivery_id: int
    how: Literal["before", "after", "nothing"]
    revision_id: int | None = None
    undo_until: datetime | None = None
    new: bool = True


@dataclass(frozen=True, slots=True)
class Revisable:
    """May the words of a reply still be changed, and may it be taken back? As its channel and the time allow."""

    edit: bool
    delete: bool


class Revising(Answering):
    """The part of Actions that changes what was written before."""

    # ----------------------------------------------------------------------------------------------------- replies

    def revise(self, delivery_id: int, agent: str, text: str, idem_key: str) -> Revised:
        """Other words for a reply, by who wrote it, who has the conversation, or a lead.

        What has not gone out is changed where it waits, and a held one can be undone for `undo_s` from now on. What
        went out is changed at the customer's, in the order of the changes. The same `idem_key` again changes nothing.
        Raises StillSeen (a Refused) where the channel cannot: the customer still sees the first text, and a correction
        can be sent. Raises Refused (not theirs, too long, never sent) and Conflict (undone, taken back).
        """
        clean = contents.checked_text(text, contents.TEXT_CHARS)
        done: list[Revised] = []

        def step(tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
            key = replying.idem_key(row.conversation_id, rights.agent.key, idem_key)
            done.append(self._revised(tx, rights, row, clean, key))

        self._on_delivery(delivery_id, agent, step)
        return done[-1]

    def _revised(self, tx: Connection, rights: Rights, row: Row[Any], text: str, key: str) -> Revised:
        now = self._clock()
        if (known := revisions.of_key(tx, key)) is not None:
            return Revised(delivery_id=row.id, how="after", revision_id=known.id, new=False)
        entry = timeline.entries(tx, [row.interaction_id])[0]
        _still_there(entry)
        account = rights.config.accounts.get(row.account)
        if account is None:
            raise Refused(f"There is no account {row.account[:80]!r} any more.")
        limits = self._limits.get(account.connector)
        contents.check_message(text, _files(tx, row), limits, account)
        if text == timeline.to_be(entry):
            return Revised(delivery_id=row.id, how="nothing", new=False)
        if row.state in (states.HELD, states.QUEUED) and unpack(row.carries).template is not None:
            raise Refused(_FILLED)
        until = now + timedelta(seconds=self._undo_s) if row.state == states.HELD and not row.code else None
        if revisions.rewrite(tx, self._store.ids, row, text, by=rights.by, now=now, due_at=until):
            return Revised(delivery_id=row.id, how="before", undo_until=until)
        if (why := _why_not(revisions.EDIT, row, limits, account.title, now)) is not None:
            raise why
        made = revisions.add(
            tx, self._store.ids, row, revisions.EDIT, text, idem_key=key, by=rights.by, now=now
        )
        return Revised(delivery_id=row.id, how="after", revision_id=made)

    def withdraw(self, delivery_id: int, agent: str) -> Revised:
        """Take a reply back: what has not gone out is undone; what went out is deleted at the customer's.

        Who may, and what is raised, as for `revise`; done twice it is done once. A conversation whose answer is taken
        back after the customer could read it stays as it is: whether it needs another answer is the agent's to say.
        """
        done: list[Revised] = []

        def step(tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
            if row.state in (states.HELD, states.QUEUED):
                self._undo(tx, rights, row, reply)
                done.append(Revised(delivery_id=row.id, how="before"))
            else:
                done.append(self._withdrawn(tx, rights, row))

        self._on_delivery(delivery_id, agent, step)
        return done[-1]

    def _withdrawn(self, tx: Connection, rights: Rights, row: Row[Any]) -> Revised:
        now = self._clock()
        entry = timeline.entries(tx, [row.interaction_id])[0]
        if entry.deleted or entry.withdrawn:
            return Revised(delivery_id=row.id, how="nothing", new=False)
        if (going := _going(entry)) is not None:
            return Revised(delivery_id=row.id, how="after", revision_id=going.id, new=False)
        account = rights.config.accounts.get(row.account)
        limits = self._limits.get(account.connector) if account else None
        title = account.title if account else row.account
        if (why := _why_not(revisions.DELETE, row, limits, title, now)) is not None:
            raise why
        key = f"delete:{row.id}:{len(entry.revisions) + 1}"
        made = revisions.add(
            tx, self._store.ids, row, revisions.DELETE, "", idem_key=key, by=rights.by, now=now
        )
        return Revised(delivery_id=row.id, how="after", revision_id=made)

    def revisable(self, delivery: timeline.Delivery) -> Revisable:
        """What may still be done about a reply, so that a desk offers what can be done and nothing else."""
        if delivery.state in (states.HELD, states.QUEUED):
            return Revisable(delivery.carries.template is None, True)
        limits, now = self._limits.get(channel_of(delivery.account)), self._clock()
        return Revisable(*(_why_not(change, delivery, limits, "", now) is None for change in _LIMITED))

    # ------------------------------------------------------------------------------------------------------- notes

    def send_note(
        self,
        note_id: int,
        agent: str,
        idem_key: str,
        account: str | None = None,
        to: str | None = None,
        attachments: Sequence[Attachment] = (),
        seen_inbound: int | None = None,
        then: Then = "leave",
    ) -> ReplyResult:
        """The note, as it reads now, becomes a reply like any other (see `reply`), in one transaction.

        From then on histories show the reply and not the note again; undoing the reply makes it a note again.
        The same `idem_key` again gives the first reply's result. Raises NotFound, Refused as `reply` does, and
        Conflict where the note has become a reply under another key: somebody else was faster.
        """
        rights = self._rights(agent)
        terms = Terms(limits=self._limits, schemes=self._schemes, undo_s=self._undo_s, now=self._clock())

        def work(tx: Connection) -> tuple[ReplyResult, int, str]:
            conversation_id = notes.get(tx, note_id).conversation_id
            row = conversations.get(tx, conversation_id, lock=True)
            key = replying.idem_key(conversation_id, rights.agent.key, idem_key)
            if (known := replying.made_before(tx, key)) is not None:
                return known, conversation_id, row.queue
            note = notes.get(tx, note_id)
            if note.deleted:
                raise Refused("That note was removed.")
            if note.sent_as is not None:
                raise Conflict("That note has been sent as a reply already.")
            order = Order(
                conversation_id=conversation_id,
                text=note.text,
                idem_key=idem_key,
                account=account,
                to=to,
                attachments=tuple(attachments),
                seen_inbound=seen_inbound,
                then=then,
                disposition=None,
                note_id=note_id,
            )
            result = replying.write(tx, self._store.ids, rights, terms, order)
            notes.sent(tx, self._store.ids, note, result.interaction_id, by=rights.by, now=terms.now)
            return result, conversation_id, row.queue

        result, conversation_id, queue = self._store.run(work)
        if result.new:
            self._sent(conversation_id, queue, result.delivery_id)
        return result

    def edit_note(self, note_id: int, agent: str, text: str) -> None:
        """Other words for a note, by who wrote it or a lead; the first stay in its history. The same words again change
        nothing. Raises Refused for a note that was removed or has become a reply."""
        clean = contents.checked_text(text, NOTE_CHARS)
        if not clean.strip():
            raise Refused("The note is empty.")

        def step(tx: Connection, rights: Rights, note: Note, now: datetime) -> None:
            if note.deleted:
                raise Refused("That note was removed.")
            if clean != note.text:
                notes.edit(tx, self._store.ids, note, clean, by=rights.by, now=now)

        self._on_note(note_id, agent, step)

    def remove_note(self, note_id: int, agent: str) -> None:
        """Take a note back, by who wrote it or a lead; colleagues see that there was one. Again changes nothing.

        Raises Refused for a note that has become a reply.
        """

        def step(tx: Connection, rights: Rights, note: Note, now: datetime) -> None:
            if not note.deleted:
                notes.remove(tx, self._store.ids, note, by=rights.by, now=now)

        self._on_note(note_id, agent, step)

    def _on_note(
        self, note_id: int, agent: str, step: Callable[[Connection, Rights, Note, datetime], None]
    ) -> None:
        rights, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> int:
            conversation_id = notes.get(tx, note_id).conversation_id
            conversations.get(tx, conversation_id, lock=True)
            note = notes.get(tx, note_id)  # as it is now that nobody else acts on the conversation
            if note.by != rights.by and not rights.leads:
                raise Refused("Only who wrote a note, or a lead, may change it.")
            if note.sent_as is not None:
                raise Refused(_SENT)
            step(tx, rights, note, now)
            return conversation_id

        conversation_id = self._store.run(work)
        self._tell(Changed(conversations=(conversation_id,)))


def _going(entry: timeline.Entry) -> revisions.Revision | None:
    """The deletion that is on its way."""
    last = entry.revisions[-1] if entry.revisions else None
    on_its_way = last is not None and last.state in (revisions.QUEUED, revisions.SENDING)
    return last if last is not None and on_its_way and last.change == revisions.DELETE else None


def _still_there(entry: timeline.Entry) -> None:
    if entry.withdrawn or entry.deleted or _going(entry) is not None:
        raise Conflict("That reply was taken back.")


def _files(tx: Connection, row: Row[Any]) -> tuple[Attachment, ...]:
    """What goes with the words, which may be none then."""
    a = interaction_attachments.c
    files = select(a.sha256, a.content_type, a.size_bytes, a.name)
    found = tx.execute(files.where(a.interaction_id == row.interaction_id).order_by(a.position))
    return tuple(Attachment(**one._mapping) for one in found)


def _why_not(
    change: str, row: Row[Any] | timeline.Delivery, limits: Limits | None, title: str, now: datetime
) -> Refused | None:
    """Why what went out, or is going out, must stay as it is; None where nothing speaks against a change."""
    if row.state in (states.FAILED, states.OPTED_OUT):
        return Refused(_NOT_SENT)
    if row.state == states.CANCELLED:
        return Refused("That reply was undone.")
    can, within = _LIMITED[change]
    if limits is None or not getattr(limits, can):
        return StillSeen(_CANNOT[change].format(title=title))
    longest_s: float | None = getattr(limits, within)
    if longest_s is not None and row.sent_at is not None and now - row.sent_at > timedelta(seconds=longest_s):
        return StillSeen(_TOO_LATE[change].format(title=title, hours=longest_s / 3600))
    return None
