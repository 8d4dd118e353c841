"""What is done with a reply or a note that stands in a conversation already: taken back, tried again, put otherwise."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection, select

from crm_store.schema import deliveries, interactions
from crm_store.views import Card
from desk.web import forms
from desk.web.context import AGENT, DESK, Need, Route
from desk.web.conversation import action
from desk.web.reach import NUMBER
from hub.errors import NotFound, Refused

_DELIVERY = f"/conversations/{NUMBER}/deliveries/{{delivery:[0-9]{{1,19}}}}"
_NOTE = f"/conversations/{NUMBER}/notes/{{note:[0-9]{{1,19}}}}"


async def _delivery(request: web.Request, card: Card) -> tuple[int, int]:
    """(delivery, its interaction), if the delivery belongs to the conversation that the path names."""
    wanted = forms.whole(request.match_info["delivery"], "delivery")
    d = deliveries.c

    def look(tx: Connection) -> int | None:
        query = select(d.interaction_id).where(d.id == wanted, d.conversation_id == card.conversation_id)
        return tx.scalar(query)

    interaction = await request.app[DESK].read(look)
    if interaction is None:
        raise NotFound("There is no such reply in this conversation.")
    return wanted, interaction


async def undo(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    delivery, interaction = await _delivery(request, card)
    await desk.do(desk.actions.undo, delivery, request[AGENT].key)
    return f"/conversations/{card.number}?done=undone&draft={interaction}"


async def confirm(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    delivery, _ = await _delivery(request, card)
    await desk.do(desk.actions.confirm, delivery, request[AGENT].key)
    return "confirmed"


async def retry(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    delivery, _ = await _delivery(request, card)
    await desk.do(desk.actions.retry, delivery, request[AGENT].key)
    return "retried"


async def resolve(request: web.Request, card: Card) -> str:
    """What is to be taken for true of a send that nobody knows of: it was sent, send again, give up."""
    desk = request.app[DESK]
    delivery, _ = await _delivery(request, card)
    how = await forms.words(request, "how", 10)
    if how not in ("sent", "again", "give up"):
        raise Refused("Choose one of the three.")
    await desk.do(desk.actions.resolve_unknown, delivery, request[AGENT].key, how)
    return "resolved"


async def revise(request: web.Request, card: Card) -> str:
    """Other words for a reply. Where that cannot be done any more, they stand in the reply's box: as a correction."""
    desk = request.app[DESK]
    delivery, _ = await _delivery(request, card)
    text, key = await forms.field(request, "reply"), await forms.idem_key(request)
    done = await desk.do(desk.actions.revise, delivery, request[AGENT].key, text, key)
    return {"before": "rewritten", "after": "revised", "nothing": "same"}[done.how]


async def withdraw(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    delivery, _ = await _delivery(request, card)
    done = await desk.do(desk.actions.withdraw, delivery, request[AGENT].key)
    return {"before": "undone", "after": "withdrawn", "nothing": "gone"}[done.how]


async def _note(request: web.Request, card: Card) -> int:
    """The note that the path names, if it belongs to the conversation that the path names."""
    wanted = forms.whole(request.match_info["note"], "note")
    n = interactions.c

    def look(tx: Connection) -> int | None:
        return tx.scalar(
            select(n.id).where(
                n.id == wanted, n.conversation_id == card.conversation_id, n.direction == "note"
            )
        )

    if await request.app[DESK].read(look) is None:
        raise NotFound("There is no such note in this conversation.")
    return wanted


async def edit_note(request: web.Request, card: Card) -> str:
    desk, note_id = request.app[DESK], await _note(request, card)
    await desk.do(desk.actions.edit_note, note_id, request[AGENT].key, await forms.field(request, "note"))
    return "changed"


async def remove_note(request: web.Request, card: Card) -> str:
    desk, note_id = request.app[DESK], await _note(request, card)
    await desk.do(desk.actions.remove_note, note_id, request[AGENT].key)
    return "removed"


ROUTES = (
    *(
        Route("POST", f"{_DELIVERY}/{name}", action(work), Need.AGENT)
        for name, work in (
            ("undo", undo),
            ("confirm", confirm),
            ("retry", retry),
            ("resolve", resolve),
            ("revise", revise),
            ("withdraw", withdraw),
        )
    ),
    *(
        Route("POST", f"{_NOTE}/{name}", action(work), Need.AGENT)
        for name, work in (("edit", edit_note), ("remove", remove_note))
    ),
)
