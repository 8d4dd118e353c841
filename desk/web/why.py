"""Why a conversation landed where it did, as a page: the rule's path, what each condition saw, what nearly matched."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection

from crm_store import views
from crm_store.views import Decided
from desk.web import render
from desk.web.context import DESK, Need, Route
from desk.web.reach import NUMBER, visible
from desk.why import explained


async def show(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    card = await visible(request)

    def look(tx: Connection) -> Decided | None:
        return views.latest_decision(tx, card.conversation_id)

    decided = await desk.read(look)
    told, same = None, True
    if decided is not None:
        told, same = await desk.do(explained, desk.store, desk.rules(), decided, card.subject)
    return render.html(request, "why.html", card=card, decided=decided, told=told, same_rules=same)


ROUTES = (Route("GET", f"/conversations/{NUMBER}/why", show, Need.AGENT),)
