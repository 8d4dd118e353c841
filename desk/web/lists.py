"""Lists to work from: my conversations and the queues, one queue, a search, who is here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from crm_store import presence, quarantine, views
from crm_store.views import Card
from desk import health
from desk.rights import leads, sees
from desk.web import forms, render
from desk.web.context import AGENT, DESK, Need, Route
from hub.config import Config
from hub.errors import NotFound, Refused

SEARCH_CHARS = 200
QUEUE_ROWS = 200
AWAY_FOR = {"": None, "30": 30, "60": 60, "120": 120, "480": 480}  # minutes a status holds


async def home(request: web.Request) -> web.StreamResponse:
    desk, agent = request.app[DESK], request[AGENT]
    config, now = desk.config(), desk.now()

    def look(tx: Connection) -> dict[str, Any]:
        return {
            "mine": views.mine(tx, agent.key),
            "queues": views.queue_list(tx, config, now),
            "failed": len(views.failed_sends(tx, None if leads(agent) else agent.key, now=now)),
            "troubled": _troubled(tx, config, now) if leads(agent) else 0,
            "my_status": presence.of(tx, agent.key, now).status,
        }

    found = await desk.read(look)
    found["quarantined"] = await desk.do(quarantine.count, desk.store) if leads(agent) else 0
    rows = [row for row in found["queues"] if leads(agent) or row.key in agent.queues]
    rows.sort(key=lambda row: row.key not in agent.queues)
    return render.html(request, "home.html", **{**found, "queues": rows})


def _troubled(tx: Connection, config: Config, now: datetime) -> int:
    """Accounts that are switched on and do not work, and channels of Slack that take nothing."""
    bad = sum(one.enabled and not one.well for one in health.accounts(tx, config, now))
    return bad + len(health.blocked(tx, now))


async def queue(request: web.Request) -> web.StreamResponse:
    desk, key = request.app[DESK], request.match_info["key"]
    unknown = NotFound("There is no such queue, or it is not one of yours.")
    if key not in request[AGENT].queues and not leads(request[AGENT]):
        raise unknown
    config, now = desk.config(), desk.now()

    def look(tx: Connection) -> tuple[views.QueueRow | None, list[Card]]:
        # A queue that left the configuration stands there as long as conversations do.
        row = next((row for row in views.queue_list(tx, config, now) if row.key == key), None)
        return row, views.waiting(tx, row.key, QUEUE_ROWS) if row else []

    row, cards = await desk.read(look)
    if row is None:
        raise unknown
    return render.html(request, "queue.html", row=row, cards=cards)


async def take_next(request: web.Request) -> web.StreamResponse:
    """The best waiting conversation of my queues becomes mine."""
    desk = request.app[DESK]
    taken = await desk.do(desk.actions.next, request[AGENT].key)
    if taken is None:
        raise forms.see_other("/", "empty")
    card = await desk.read(views.card, taken)
    raise forms.see_other(f"/conversations/{card.number}", "claimed")


async def search(request: web.Request) -> web.StreamResponse:
    """Every character is taken as it is; an agent finds what an agent may see."""
    desk, agent = request.app[DESK], request[AGENT]
    text = " ".join(request.query.get("q", "").replace("\x00", "").split())
    text = text.encode("utf-8", "replace").decode()
    if len(text) > SEARCH_CHARS:
        raise web.HTTPBadRequest(text=f"At most {SEARCH_CHARS} characters can be searched for.")
    hits = views.Hits(conversations=(), customers=())
    if text:
        hits = await desk.read(views.search, text, sees=sees(agent))
    return render.html(request, "search.html", q=text, cards=hits.conversations, people=hits.customers)


async def presence_page(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    agents, now = desk.config().agents, desk.now()

    def look(tx: Connection) -> tuple[dict[str, presence.Presence], dict[str, int]]:
        return presence.everyone(tx, now, agents), presence.loads(tx, agents)

    here, loads = await desk.read(look)
    return render.html(request, "presence.html", here=here, loads=loads, choices=AWAY_FOR)


async def set_presence(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    status = await forms.words(request, "status", 20)
    chosen = await forms.words(request, "for", 4)
    if chosen not in AWAY_FOR:
        raise Refused("Choose one of the offered times.")
    minutes = AWAY_FOR[chosen]
    until = desk.now() + timedelta(minutes=minutes) if minutes else None
    await desk.do(desk.actions.set_presence, request[AGENT].key, status, until=until)
    raise forms.see_other("/presence" if await forms.field(request, "stay", 1) else "/", "presence")


ROUTES = (
    Route("GET", "/", home, Need.AGENT),
    Route("GET", "/queues/{key}", queue, Need.AGENT),
    Route("POST", "/next", take_next, Need.AGENT),
    Route("GET", "/search", search, Need.AGENT),
    Route("GET", "/presence", presence_page, Need.AGENT),
    Route("POST", "/presence", set_presence, Need.AGENT),
)
