"""Attachments: saved, never opened in a page of the desk. Only what really is a plain picture may be shown in one."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web
from sqlalchemy import Connection, select

from crm_store.schema import conversations, identities, interaction_attachments, interactions
from desk.web import forms, safe
from desk.web.context import DESK, Need, Route
from desk.web.reach import NUMBER, visible
from hub.errors import NotFound

# Even if a browser were talked into opening one, nothing in it may run or load.
_CSP = "default-src 'none'; sandbox"


async def attachment(request: web.Request) -> web.StreamResponse:
    """A file out of the history that the conversation's page shows. `?show=1`: as a picture, if it is one."""
    desk = request.app[DESK]
    card = await visible(request)
    interaction = forms.whole(request.match_info["interaction"], "message")
    position = forms.whole(request.match_info["position"], "file")

    def look(tx: Connection) -> tuple[str, str] | None:
        return _find(tx, card.conversation_id, card.customer_id, interaction, position)

    found = await desk.read(look)
    if found is None:
        raise NotFound("There is no such file in this conversation.")
    sha256, saved_as = found
    data = await desk.blobs.aread(sha256)
    picture = safe.image_type(data[:16])
    inline = picture is not None and request.query.get("show") == "1"
    name = safe.filename(saved_as)
    return web.Response(
        body=data,
        headers={
            "Content-Type": picture if inline and picture else "application/octet-stream",
            "Content-Disposition": disposition("inline" if inline else "attachment", name),
            "Content-Security-Policy": _CSP,
            "Cache-Control": "private, no-store",
        },
    )


def disposition(how: str, name: str) -> str:
    """RFC 6266: an ASCII name for old readers, the true one as RFC 8187 says."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _find(
    tx: Connection, conversation: int, customer: int, interaction: int, position: int
) -> tuple[str, str] | None:
    """The file, if its message stands in this conversation, or came from an address of this customer's."""
    a, n, i, c = interaction_attachments.c, interactions.c, identities.c, conversations.c
    query = (
        select(a.sha256, a.name)
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
    return (found.sha256, found.name) if found else None


ROUTES = (
    Route(
        "GET",
        f"/conversations/{NUMBER}/files/{{interaction:[0-9]{{1,19}}}}/{{position:[0-9]{{1,5}}}}",
        attachment,
        Need.AGENT,
    ),
)
