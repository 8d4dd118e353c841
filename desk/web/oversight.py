"""What needs somebody: sends that failed or are in doubt, accounts that do not work, and the quarantine."""

from __future__ import annotations

from aiohttp import web

from crm_store import quarantine, views
from desk import health, safe
from desk.rights import leads
from desk.web import forms, render
from desk.web.context import AGENT, DESK, Need, Route
from hub.errors import NotFound, Refused

_PAGE = 200
STATES = (quarantine.WAITING, quarantine.REPLAYED, quarantine.DROPPED)
SHOWN_BYTES = 16_384
ENTRY = "/quarantine/{entry:[0-9]{1,19}}"


async def failed(request: web.Request) -> web.StreamResponse:
    """An agent's own; everybody's for leads."""
    desk, agent = request.app[DESK], request[AGENT]
    sends = await desk.read(views.failed_sends, None if leads(agent) else agent.key, now=desk.now())
    return render.html(request, "failed.html", sends=sends)


async def accounts(request: web.Request) -> web.StreamResponse:
    """What each account and each channel of Slack does, or does not, and since when."""
    desk = request.app[DESK]
    config, now = desk.config(), desk.now()
    rows = await desk.read(health.accounts, config, now)
    slack = await desk.read(health.blocked, now)
    return render.html(request, "health.html", rows=rows, slack=slack)


async def listed(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    state = request.query.get("state", quarantine.WAITING)
    if state not in STATES:
        raise web.HTTPBadRequest(text=f"A state is {', '.join(STATES)}.")
    rows = await desk.do(quarantine.listed, desk.store, state=state, limit=_PAGE)
    return render.html(request, "quarantine.html", rows=rows, state=state, states=STATES)


async def one(request: web.Request) -> web.StreamResponse:
    """The entry's bytes as text or hexadecimal, escaped: they are a stranger's."""
    desk = request.app[DESK]
    row = await desk.do(quarantine.show, desk.store, forms.whole(request.match_info["entry"], "entry"))
    parts = [("The event as it was journalled", row.entry)] if row.entry else []
    if row.blob:
        try:
            parts.append(("The request as it came", await desk.blobs.aread(row.blob)))
        except (NotFound, OSError):
            parts.append(("The request as it came", b""))
    shown = [(title, len(data), *readable(data)) for title, data in parts]
    return render.html(
        request, "quarantined.html", row=row, parts_shown=shown, can_replay=desk.replay is not None
    )


def readable(data: bytes) -> tuple[str, str]:
    """(form, text): as text where it is text, otherwise as hexadecimal; at most the first 16 kB."""
    start = data[:SHOWN_BYTES]
    more = "\n…" if len(data) > SHOWN_BYTES else ""
    try:
        text = start.decode("utf-8", "strict" if len(data) <= SHOWN_BYTES else "ignore")
    except UnicodeDecodeError:
        text = "\x00"
    strange = sum(not (c.isprintable() or c in "\r\n\t") for c in text)
    if text and strange <= len(text) // 50 and "\x00" not in text:
        return "text", safe.plain(text) + more
    lines = [
        f"{at:06x}  {start[at : at + 16].hex(' ', 1):<47}  "
        + "".join(chr(b) if 32 <= b < 127 else "." for b in start[at : at + 16])
        for at in range(0, min(len(start), 4096), 16)
    ]
    return "hexadecimal", "\n".join(lines) + ("\n…" if len(data) > 4096 else "")


async def replay(request: web.Request) -> web.StreamResponse:
    """Give it to the router again, once: of two who press at the same time, one is told that it was done already."""
    desk, agent = request.app[DESK], request[AGENT].key
    if desk.replay is None:
        raise Refused("This desk cannot replay; `mainstem quarantine replay` can.")
    wanted = forms.whole(request.match_info["entry"], "entry")
    await desk.do(desk.replay, wanted, f"agent:{agent}")
    raise forms.see_other("/quarantine", "replayed")


async def drop(request: web.Request) -> web.StreamResponse:
    """Set it aside for good; its bytes stay."""
    desk, agent = request.app[DESK], request[AGENT].key
    wanted = forms.whole(request.match_info["entry"], "entry")
    await desk.do(quarantine.drop, desk.store, wanted, f"agent:{agent}", desk.now())
    raise forms.see_other("/quarantine", "dropped")


ROUTES = (
    Route("GET", "/failed", failed, Need.AGENT),
    Route("GET", "/health", accounts, Need.LEAD),
    Route("GET", "/quarantine", listed, Need.LEAD),
    Route("GET", ENTRY, one, Need.LEAD),
    Route("POST", f"{ENTRY}/replay", replay, Need.LEAD),
    Route("POST", f"{ENTRY}/drop", drop, Need.LEAD),
)
