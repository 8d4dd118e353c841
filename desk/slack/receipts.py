"""The buttons below a reply: take it back, send it after all, try it again, send it elsewhere, correct it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from crm_store import desk_typed, timeline
from crm_store.schema import deliveries, interactions
from crm_store.timeline import Entry
from desk.rights import rights
from desk.slack import look, modals, names
from desk.slack.blocks import View
from desk.slack.press import About, Press, answer, said
from desk.slack.reply import Draft, build
from hub import urn as urns
from hub.errors import Conflict, NotFound, Refused

_d, _n = deliveries.c, interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A delivery and what it carries. typed: it was a note first, so its text stands in the
    thread."""

    delivery_id: int
    state: str
    conversation_id: int
    account: str
    to_urn: str
    entry: Entry
    typed: bool


def written_in(tx: Connection, delivery_id: int) -> Written:
    """Raises NotFound."""
    row = tx.execute(
        select(deliveries, _n.extra)
        .join(interactions, _n.id == _d.interaction_id)
        .where(_d.id == delivery_id)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such reply.")
    [entry] = timeline.entries(tx, [row.interaction_id])
    return Written(
        delivery_id=row.id,
        state=row.state,
        conversation_id=row.conversation_id,
        account=row.account,
        to_urn=row.to_urn,
        entry=entry,
        typed="note" in json.loads(row.extra or "{}").get("reply", {}),
    )


# After which states of a delivery a press has what it wanted: pressed twice, or by two people.
_GOING = frozenset(("queued", "sending", "sent", "delivered", "read"))
_WANTED = {
    names.UNDO: frozenset(("cancelled",)),
    names.CONFIRM: _GOING,
    names.RETRY: _GOING,
    names.COUNTS_AS_SENT: frozenset(("sent", "delivered", "read")),
    names.SEND_AGAIN: _GOING,
    names.GIVE_UP: frozenset(("failed",)),
}


async def _settle(press: Press, action: str, *extra: str) -> bool:
    """Do it to the delivery; False where that was done already."""
    actions = press.desk.actions
    does = {
        names.UNDO: actions.undo,
        names.CONFIRM: actions.confirm,
        names.RETRY: actions.retry,
    }.get(action, actions.resolve_unknown)
    try:
        await press.do(does, press.id, press.agent.key, *extra)
    except Conflict:
        reply = await press.look(lambda tx: written_in(tx, press.id))
        if reply.state not in _WANTED[action]:
            raise
        return False
    return True


async def undo(press: Press) -> None:
    """Take it back; what was written comes back into a modal, unless it stands in the thread."""
    new = await _settle(press, names.UNDO)
    await press.ack()
    reply = await press.look(lambda tx: written_in(tx, press.id))
    if not new or reply.typed:
        if press.in_modal:
            await press.update(said("It was taken back. It never went out."), force=True)
        return
    count = len(reply.entry.attachments)
    along = f" Its {count} file{'s' if count > 1 else ''} will go along again." if count else ""
    draft = Draft(
        text=reply.entry.text,
        notice=f"Taken back: it never went out. Write it anew, or close this window.{along}",
        files_of=reply.entry.id if count else None,
    )
    try:
        await press.show(
            lambda: build(press.desk, reply.conversation_id, press.agent.key, draft), instead=True
        )
    except (Conflict, Refused) as error:  # of the window: the reply was taken back before
        raise Refused(f"It was taken back and never went out. It cannot be written anew: {error}") from error


async def other_channel(press: Press) -> None:
    """The same text by another way."""
    reply = await press.look(lambda tx: written_in(tx, press.id))
    count = len(reply.entry.attachments)
    along = f" Its {count} file{'s' if count > 1 else ''} will go along." if count else ""
    draft = Draft(
        text=reply.entry.text,
        notice=f"It did not go out. Choose another way.{along}",
        not_by=(reply.account, reply.to_urn),
        files_of=reply.entry.id if count else None,
    )
    await press.show(lambda: build(press.desk, reply.conversation_id, press.agent.key, draft))


async def confirm(press: Press) -> None:
    await _settle(press, names.CONFIRM)
    await _done(press, "It goes out now.")


async def retry(press: Press) -> None:
    await _settle(press, names.RETRY)
    await _done(press, "It is being sent again.")


async def counts_as_sent(press: Press) -> None:
    await _settle(press, names.COUNTS_AS_SENT, "sent")
    await _done(press, "It counts as sent.")


async def send_again(press: Press) -> None:
    await _settle(press, names.SEND_AGAIN, "again")
    await _done(press, "It is being sent again.")


async def give_up(press: Press) -> None:
    await _settle(press, names.GIVE_UP, "give up")
    await _done(press, "It was given up.")


async def _done(press: Press, text: str) -> None:
    """In a thread the receipt says so; a modal has nothing else to show."""
    await press.ack()
    if press.in_modal:
        await press.update(said(text), force=True)


# --------------------------------------------------------------------------------------------------------- corrections


async def correct(press: Press) -> None:
    """The customer still sees the first text: write them another, by the way that the first went."""

    def make() -> View:
        desk = press.desk
        with desk.store.read() as tx:
            reply = written_in(tx, press.id)
            typed = desk_typed.of_delivery(tx, names.SURFACE, press.id)
            config, now = desk.config(), desk.clock()
            shown = look.card(tx, config, desk.rules(), reply.conversation_id, now, desk_url=desk.desk_url)
        rights(config, press.agent.key).own(shown.card)  # type: ignore[arg-type]
        wanted = typed.detail.wanted if typed else None
        ways = desk.actions.choices(reply.conversation_id, press.agent.key).options
        first_way = (reply.account, reply.to_urn)
        meta = About(
            conversation=reply.conversation_id,
            seen=shown.card.last_inbound_id,
            queue=shown.card.queue,
            way=next((modals.way(one) for one in ways if (one.account, urns.bare(one.urn)) == first_way), ""),
        )
        first = reply.entry.text if reply.entry.first_text is None else reply.entry.first_text
        return modals.correct(shown, first, first if wanted is None else wanted, meta=meta.text())

    await press.show(make)


async def let_stand(press: Press) -> None:
    """The question goes; nothing else changes."""
    await press.ack()
    await answer(press.body, delete_original=True)
