"""A mail as its sender made it: its HTML in a frame that can do nothing, and its raw source to be saved.

Three walls, each enough by itself: the HTML is sanitised, in a process apart (the port `letters`); the frame has an
origin of its own and may run and send nothing (`sandbox`); the policy lets nothing in but the mail's own pictures. The
policy and the sandbox go with the answer, so they hold as well where somebody opens its address by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from aiohttp import web
from sqlalchemy import Connection, select

from crm_store.schema import conversations, identities, interactions
from crm_store.views import Card
from desk import words
from desk.web import forms
from desk.web.context import DESK, FRAMED, Letter, Need, Route
from desk.web.reach import NUMBER, visible
from hub import showing
from hub.errors import NotFound

# Links open a window of their own, which is no prisoner of the sandbox; nothing else is allowed to the frame.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
_POLICY = (
    "default-src 'none'; img-src {images}; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    f"frame-ancestors 'self'; sandbox {SANDBOX}"
)
_OWN_PICTURES, _ALL_PICTURES = "data:", "data: https:"

# Mails are written for white paper, whatever the desk's own colours.
_PAGE = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light"><title>Mail</title><style>
html {{ background: #fff; color: #17212c; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
body {{ margin: 0; padding: 12px 14px; overflow-wrap: anywhere; }}
img {{ max-width: 100%; }}
table {{ max-width: 100%; overflow-wrap: normal; }}
blockquote {{ margin: 0 0 0 4px; padding-left: 10px; border-left: 2px solid #dde3ea; }}
a {{ color: #1659c7; }}
a[data-to]::after {{ content: " [" attr(data-to) "]" !important; font: 12px/1.3 monospace !important;
  color: #5a6675 !important; background: #fff !important; unicode-bidi: isolate !important; direction: ltr !important;
  text-decoration: none !important; text-transform: none !important; letter-spacing: 0 !important; }}
.left-out {{ border: 1px dashed #98a5b4; border-radius: 4px; padding: 1px 6px; font-size: 12px; color: #5a6675; }}
</style></head><body>{body}</body></html>
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """The mail that a conversation's page shows as HTML. src: the frame's address."""

    interaction: int
    pictures: bool
    left_out: int
    why: str
    src: str
    sandbox: str = SANDBOX


async def opened(request: web.Request, card: Card) -> Opened | None:
    """What `?html=` (an interaction) and `?pictures=1` of a conversation's page ask for."""
    asked = request.query.get("html", "")
    if not asked or request.app[DESK].letters is None:
        return None
    interaction, pictures = forms.whole(asked, "message"), request.query.get("pictures") == "1"
    letter = await _letter(request, card, interaction, pictures)
    request[FRAMED] = True
    src = f"/conversations/{card.number}/mail/{interaction}/html" + ("?pictures=1" if pictures else "")
    return Opened(interaction, pictures, letter.left_out, letter.why, src)


async def _letter(request: web.Request, card: Card, interaction: int, pictures: bool) -> Letter:
    letters = request.app[DESK].letters
    if letters is None:
        raise NotFound("This desk shows texts alone.")
    return await letters(await _raw(request, card, interaction), pictures)


async def _raw(request: web.Request, card: Card, interaction: int) -> bytes:
    """The mail as it came, if it stands in this conversation, or came from an address of this customer's."""

    def look(tx: Connection) -> str | None:
        n, i, c = interactions.c, identities.c, conversations.c
        query = (
            select(n.blob, n.account)
            .join(identities, i.id == n.identity_id)
            .join(conversations, c.id == n.conversation_id)
            .where(
                n.id == interaction,
                n.direction == "in",
                (c.id == card.conversation_id) | (i.customer_id == card.customer_id),
            )
        )
        found = tx.execute(query).first()
        # What other channels keep is a request to us, which is nobody's to see here.
        return found.blob if found is not None and words.is_mail(found.account) else None

    desk = request.app[DESK]
    blob = await desk.read(look)
    if blob is None:
        raise NotFound("There is no such mail in this conversation.")
    return await desk.blobs.aread(blob)


async def html(request: web.Request) -> web.StreamResponse:
    """The frame's page. `?pictures=1`: with pictures on other machines, which then learn that they were looked at."""
    card = await visible(request)
    interaction = forms.whole(request.match_info["interaction"], "message")
    pictures = request.query.get("pictures") == "1"
    letter = await _letter(request, card, interaction, pictures)
    return web.Response(
        text=_PAGE.format(lang="en", body=letter.html or f"<p>{escape(letter.why)}</p>"),
        content_type="text/html",
        headers={
            "Content-Security-Policy": _POLICY.format(images=_ALL_PICTURES if pictures else _OWN_PICTURES),
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "no-referrer",
            "X-DNS-Prefetch-Control": "off",  # a look-up of a name made for one mail tells that it was read
            "Cache-Control": "private, no-store",
        },
    )


async def source(request: web.Request) -> web.StreamResponse:
    """Every byte as it came, to be saved; nothing opens it."""
    card = await visible(request)
    interaction = forms.whole(request.match_info["interaction"], "message")
    data = await _raw(request, card, interaction)
    return web.Response(
        body=data,
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": showing.disposition("attachment", f"mail-{card.number}-{interaction}.eml"),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )


_ON = f"/conversations/{NUMBER}/mail/{{interaction:[0-9]{{1,19}}}}"
ROUTES = (Route("GET", f"{_ON}/html", html, Need.AGENT), Route("GET", f"{_ON}/source", source, Need.AGENT))
