"""What agents do with replies: write, undo, confirm, try again, settle what is unknown, choose where they go."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from crm_store import answers, conversations, deliveries, revisions, threads
from crm_store.carried import NOTHING, Carried
from crm_store.delivery_states import CUSTOMER_WROTE
from crm_store.schema import deliveries as deliveries_table
from crm_store.schema import interactions as interactions_table
from desk import contents, replying
from desk.base import Base
from desk.choosing import addresses
from desk.replying import Order, ReplyResult, Terms, Then
from desk.rights import Rights
from hub.errors import Conflict, NotFound, Refused
from hub.ids import Ids
from hub.model import Attachment
from router.choose import Choice, choose

_d = deliveries_table.c


class Answering(Base):
    """The part of Actions that answers customers."""

    def reply(
        self,
        conversation_id: int,
        agent: str,
        text: str,
        *,
        idem_key: str,
        account: str | None = None,
        to: str | None = None,
        attachments: Sequence[Attachment] = (),
        seen_inbound: int | None = None,
        then: Then = "leave",
        disposition: str | None = None,
        carries: Carried = NOTHING,
    ) -> ReplyResult:
        """Answer the customer. It goes out after `undo_s`, until when `undo` takes it back.

        account, to: from where to where; by default back the way the customer came last. seen_inbound: the newest
        inbound interaction the agent had before their eyes; if the customer wrote since, the reply waits for `confirm`.
        then: the conversation stays as it is, waits for the customer, or is closed. carries: a template instead of the
        text where the window is closed, answers to tap, whether to say it in public, who gets a copy. The same
        `idem_key` again gives the first reply's result. Raises Refused before anything is written: not theirs, opted
        out, window closed, too long.
        """
        rights = self._rights(agent)
        order = Order(
            conversation_id=conversation_id,
            text=contents.checked_text(text, contents.TEXT_CHARS),
            idem_key=idem_key,
            account=account,
            to=to,
            attachments=tuple(attachments),
            seen_inbound=seen_inbound,
            then=then,
            disposition=contents.checked_disposition(disposition),
            carries=carries,
        )
        terms = Terms(limits=self._limits, schemes=self._schemes, undo_s=self._undo_s, now=self._clock())
        result, queue = self._store.run(
            lambda tx: (
                replying.write(tx, self._store.ids, rights, terms, order),
                conversations.get(tx, conversation_id).queue,
            )
        )
        if result.new:
            self._sent(conversation_id, queue, result.delivery_id)
        return result

    def choices(self, conversation_id: int, agent: str | None = None) -> Choice:
        """Every way to answer this customer, the best first, each with what speaks for it and what blocks it.

        agent: who asks, where that is to be checked. Raises NotFound, Refused.
        """
        config, now = self._config(), self._clock()
        if agent is not None:
            self._rights(agent)
        with self._store.read() as tx:
            known = addresses(tx, conversation_id, config, self._limits, self._schemes, self._live, now)
        return choose(known, now)

    def copies(self, conversation_id: int) -> tuple[str, ...]:
        """Who gets a copy of a mail in this conversation, where the agent does not choose, besides whom it goes to."""
        with self._store.read() as tx:
            return threads.copied(tx, [conversation_id]).get(conversation_id, ())

    def undo(self, delivery_id: int, agent: str) -> None:
        """Take a reply back before it goes out; the conversation is as it was. Raises Conflict when it has gone."""

        self._on_delivery(delivery_id, agent, self._undo)

    def confirm(self, delivery_id: int, agent: str) -> None:
        """Send a reply that waits because the customer had written. Raises Conflict when it does not wait."""

        def step(tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
            now = self._clock()
            if row.code != CUSTOMER_WROTE or not deliveries.release_held(
                tx, self._store.ids, row.id, by=rights.by, now=now
            ):
                raise Conflict("That reply does not wait for anybody.")
            talk = conversations.get(tx, row.conversation_id)
            if talk.state == "closed":
                raise Refused(f"#{talk.number} is closed; reopen it first.")
            replying.settle(
                tx,
                self._store.ids,
                row.conversation_id,
                rights,
                now,
                then=reply.get("then", "leave"),
                disposition=reply.get("disposition"),
                delivery_id=row.id,
            )

        self._on_delivery(delivery_id, agent, step)

    def retry(self, delivery_id: int, agent: str) -> None:
        """Send a failed reply once more, to the same address. Another channel is another reply."""

        def step(tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
            now = self._clock()
            if not deliveries.retry(tx, self._store.ids, row.id, by=rights.by, now=now):
                raise Conflict("Only a reply that failed can be tried again.")
            _as_it_reads(tx, self._store.ids, row, rights, now)
            conversations.touch(tx, [row.conversation_id])

        self._on_delivery(delivery_id, agent, step)

    def resolve_unknown(self, delivery_id: int, agent: str, how: Literal["sent", "again", "give up"]) -> None:
        """Decide about a reply that may or may not have gone out."""
        if how not in ("sent", "again", "give up"):
            raise Refused("An unknown reply counts as sent, is sent again, or is given up.")

        def step(tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
            now = self._clock()
            if not deliveries.resolve_unknown(tx, self._store.ids, row.id, how, by=rights.by, now=now):
                raise Conflict("It is known by now what became of that reply.")
            if how == "again":
                _as_it_reads(tx, self._store.ids, row, rights, now)
            conversations.touch(tx, [row.conversation_id])

        self._on_delivery(delivery_id, agent, step)

    def _undo(self, tx: Connection, rights: Rights, row: Row[Any], reply: dict[str, Any]) -> None:
        now = self._clock()
        if row.state not in ("held", "queued") or not deliveries.cancel(
            tx, self._store.ids, row.id, by=rights.by, now=now
        ):
            raise Conflict(_GONE.get(row.state, "It is going out at this moment; it cannot be undone."))
        answers.undone(tx, self._store.ids, row, by=rights.by, now=now)

    def _on_delivery(
        self,
        delivery_id: int,
        agent: str,
        step: Callable[[Connection, Rights, Row[Any], dict[str, Any]], None],
    ) -> None:
        """`step` in a transaction that holds the delivery's conversation, for who wrote it, has it, or leads."""
        rights = self._rights(agent)

        def work(tx: Connection) -> tuple[int, str]:
            row = _delivery(tx, delivery_id)
            talk = conversations.get(tx, row.conversation_id, lock=True)
            if row.by != rights.by:
                rights.own(talk)
            row = _delivery(tx, delivery_id)  # as it is now that nobody else acts on the conversation
            step(tx, rights, row, json.loads(row.extra or "{}").get("reply", {}))
            return talk.id, talk.queue

        conversation_id, queue = self._store.run(work)
        self._sent(conversation_id, queue, delivery_id)


_GONE = {
    "sent": "It has gone out already; it cannot be undone.",
    "delivered": "It has arrived already; it cannot be undone.",
    "read": "It has been read already; it cannot be undone.",
    "cancelled": "It was undone already.",
    "failed": "It failed, so there is nothing to undo.",
}


def _as_it_reads(tx: Connection, ids: Ids, row: Row[Any], rights: Rights, now: datetime) -> None:
    """What is sent once more goes out with the words that it has by now; not at all if it was taken back."""
    if row.deleted:
        raise Conflict("That reply was taken back.")
    revisions.renew(tx, ids, row, by=rights.by, now=now)


def _delivery(tx: Connection, delivery_id: int) -> Row[Any]:
    n = interactions_table.c
    row = tx.execute(
        select(deliveries_table, n.extra, n.deleted)
        .join(interactions_table, n.id == _d.interaction_id)
        .where(_d.id == delivery_id)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such reply.")
    return row
