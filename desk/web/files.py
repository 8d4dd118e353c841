"""Attachments: saved, never opened in a page of the desk. Only what really is a picture, a recording or a film, of a
kind that browsers know, may be shown in one (hub/showing.py)."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection, select

from crm_store.schema import conversations, identities, interaction_attachments, interactions
from desk import safe
from desk.web import forms
from desk.web.context import DESK, Need, Route
from desk.web.reach import NUMBER, visible
from hub import showing
from hub.errors import NotFound


async def attachment(request: web.Request) -> web.StreamResponse:
    """A file out of the history that the conversation's page shows. `?show=1`: in its place there, if it can be."""
    desk = request.app[DESK]
    card = await visible(request)
    interaction = forms.whole(request.match_info["interaction"], "message")
    position = forms.whole(request.match_info["position"], "file")

    def look(tx: Connection) -> tuple[str, str, str] | None:
        return _find(tx, card.conversation_id, card.customer_id, interaction, position)

    found = await desk.read(look)
    if found is None:
        raise NotFound("There is no such file in this conversation.")
    sha256, saved_as, said = found
    data = await desk.blobs.aread(sha256)
    shown = showing.shown_as(data[: showing.HEAD_BYTES], said)
    inline = shown in showing.IN_PLACE and request.query.get("show") == "1"
    headers = {
        "Content-Type": shown if inline and shown else showing.OCTETS,
        "Content-Disposition": showing.disposition(
            "inline" if inline else "attachment", safe.filename(saved_as)
        ),
        "Content-Security-Policy": showing.LOCKED,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
        "Accept-Ranges": "bytes",
    }
    status, more, body = showing.asked(request.headers.get("Range"), data)
    return web.Response(status=status, body=body, headers=headers | more)


def _find(
    tx: Connection, conversation: int, customer: int, interaction: int, position: int
) -> tuple[str, str, str] | None:
    """The file (sha256, name, type), if its message stands in this conversation or came from an address of theirs."""
    a, n, i, c = interaction_attachments.c, interactions.c, identities.c, conversations.c
    query = (
        select(a.sha256, a.name, a.content_type)
        .join(interactions, n.id == a.interaction_id)
        .join(identities, i.id == n.identity_id)
        .join(conversations, c.id == n.conversation_id)
        .where(
            a.interaction_id == interaction,
            a.position == position,
            (c.id == conversation) | (i.customer_id == customer),
        )
    )
    found = tx.execute(query).first()
    return (found.sha256, found.name, found.content_type) if found else None


ROUTES = (
    Route(
        "GET",
        f"/conversations/{NUMBER}/files/{{interaction:[0-9]{{1,19}}}}/{{position:[0-9]{{1,4}}}}",
        attachment,
        Need.AGENT,
    ),
)
