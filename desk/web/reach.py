"""Which conversation a path names, and whether the agent who asks may see it."""

from __future__ import annotations

from aiohttp import web

from crm_store import views
from crm_store.views import Card
from desk.rights import may_see
from desk.web.context import AGENT, DESK
from hub.errors import NotFound

NUMBER = "{number:[0-9]{1,12}}"


async def visible(request: web.Request) -> Card:
    """The conversation that the path names, if this agent may see it; the same NotFound whether it is there or not."""
    desk, number = request.app[DESK], request.match_info["number"]
    unknown = NotFound(f"There is no conversation #{int(number)}, or it is not in your queues.")
    try:
        card = await desk.read(views.card, number)
    except NotFound:
        raise unknown from None
    if card.number != int(number) or not may_see(request[AGENT], card):
        raise unknown
    return card
