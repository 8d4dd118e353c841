"""A message's raw request, to be saved: what came of a kind that nobody here can show.

For leads and admins alone: one request of a provider's may hold several customers' messages.
"""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection, select

from crm_store.schema import conversations, identities, interactions
from desk.web import forms
from desk.web.context import DESK, Need, Route
from desk.web.reach import NUMBER, visible
from hub import showing
from hub.errors import NotFound


async def raw(request: web.Request) -> web.StreamResponse:
    """Every byte as it came; nothing opens it."""
    card = await visible(request)
    interaction = forms.whole(request.match_info["interaction"], "message")

    def look(tx: Connection) -> str | None:
        n, i, c = interactions.c, identities.c, conversations.c
        query = (
            select(n.blob)
            .join(identities, i.id == n.identity_id)
            .join(conversations, c.id == n.conversation_id)
            .where(
                n.id == interaction,
                n.direction == "in",
                (c.id == card.conversation_id) | (i.customer_id == card.customer_id),
            )
        )
        return tx.scalar(query)

    desk = request.app[DESK]
    blob = await desk.read(look)
    if blob is None:
        raise NotFound("There is no raw request of that message.")
    data = await desk.blobs.aread(blob)
    return web.Response(
        body=data,
        headers={
            "Content-Type": showing.OCTETS,
            "Content-Disposition": showing.disposition(
                "attachment", f"request-{card.number}-{interaction}.txt"
            ),
            "Content-Security-Policy": showing.LOCKED,
            "Cache-Control": "private, no-store",
        },
    )


ROUTES = (Route("GET", f"/conversations/{NUMBER}/raw/{{interaction:[0-9]{{1,19}}}}", raw, Need.LEAD),)
