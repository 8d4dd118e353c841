"""Templates and static files. Everything a template prints is escaped, and a misspelt name is an error, not a hole."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from desk import kinds, prepared, safe, words
from desk.rights import leads
from desk.web.context import AGENT, DESK, SESSION
from hub import showing

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _read_assets() -> dict[str, tuple[str, bytes]]:
    """Name -> (address with the content's hash, bytes). A changed file has another address, so caches may keep it."""
    assets = {}
    for file in sorted((HERE / "static").iterdir()):
        if file.suffix in TYPES:
            data = file.read_bytes()
            assets[file.name] = (f"/static/{hashlib.sha256(data).hexdigest()[:16]}/{file.name}", data)
    return assets


ASSETS = _read_assets()


def _when(at: datetime, *, day: bool = True) -> Markup:
    """A moment; the page's script turns it into the reader's own time."""
    text = at.strftime("%d %b %Y, %H:%M UTC") if day else at.strftime("%H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), text)


def _since(at: datetime, now: datetime) -> Markup:
    """How long ago `at` was; the page's script keeps counting."""
    return Markup('<time class="since" datetime="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), words.span((now - at) / timedelta(seconds=1))
    )


def _until(at: datetime, now: datetime) -> Markup:
    """A moment to come and how far off it is; the page's script counts on, and looks again when it is there."""
    return Markup('{} (in <time class="until" datetime="{}">{}</time>)').format(
        _when(at, day=(at - now) >= timedelta(hours=12)),
        at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        words.span((at - now) / timedelta(seconds=1)),
    )


def _shown(content_type: str) -> str:
    """The element that shows a file of this type: image, audio or video; "" where it is only to be saved. Whether it
    really is one, desk/web/files.py looks at its bytes."""
    return showing.family(content_type) if content_type in showing.IN_PLACE else ""


def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(
        rich=safe.rich,
        plain=safe.plain,
        one_line=safe.one_line,
        filename=safe.filename,
        when=_when,
        since=_since,
        until=_until,
        span=words.span,
        bytes=words.size,
        shown=_shown,
        address=lambda value: safe.plain(words.address(value)),
    )
    env.globals.update(
        words=words,
        asset=lambda name: ASSETS[name][0],
        new_key=lambda: secrets.token_hex(16),
        kind_of=kinds.kind_of,
        enclosures=prepared.enclosures,
    )
    return env


ENV = _environment()


def html(request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
    """A whole page. What the layout needs of the request is added here; `values` are the template's own."""
    desk = request.app[DESK]
    agent = request.get(AGENT)
    session = request.get(SESSION)
    done = request.query.get("done", "")
    body = ENV.get_template(template).render(
        me=agent,
        lead=agent is not None and leads(agent),
        csrf=session.csrf if session else "",
        config=desk.config(),
        now=desk.now(),
        path=request.path,
        done_key=done,
        done=words.DONE.get(done),
        letters=desk.letters is not None,
        **{"error": None, "back_to": "", "letter": None, "before": None, **values},
    )
    return web.Response(text=body, status=status, content_type="text/html")


async def static(request: web.Request) -> web.Response:
    """A file of ours under its content's hash; any other hash is 404, so nothing stale is ever kept."""
    name = request.match_info["name"]
    address, data = ASSETS.get(name, ("", b""))
    if address != request.path:
        raise web.HTTPNotFound
    return web.Response(
        body=data,
        content_type=TYPES[Path(name).suffix],
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
