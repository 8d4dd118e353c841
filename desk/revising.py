"""What agents do with what they have written: change it, take it back, and send a note on as a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from crm_store import conversations, notes
from crm_store.notes import Note
from desk import replying
from desk.answering import Answering
from desk.base import Changed
from desk.conversing import NOTE_CHARS
from desk.replying import Order, ReplyResult, Terms, Then
from desk.rights import Rights
from hub.errors import Conflict, Refused
from hub.model import Attachment

_SENT = "That note has become a reply; change or take back the reply instead."


class Revising(Answering):
    """The part of Actions that changes what was written before."""

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
        clean = replying.checked_text(text, NOTE_CHARS)
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
