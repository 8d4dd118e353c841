"""Where files are fetched.

WhatsApp (.../whatsapp/business-phone-numbers/media): GET /{media-id} gives a lookaside URL that lives 5 minutes and
wants the access token; without a User-Agent it refuses (not documented; so it is met in practice). Messenger and
Instagram: the URL in the webhook carries its own proof, no token; Instagram's lookaside URL redirects to the CDN
(not documented; our reading).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from aiohttp import web

from tests.servers.graph.failing import broken
from tests.servers.graph.model import Media

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph

URL_S = 300  # "all media URLs expire after 5 minutes"
CDN_S = 7 * 86_400  # not documented


def _hash(graph: Graph, media_id: str, until: int) -> str:
    return hmac.new(graph.app_secret.encode(), f"{media_id}.{until}".encode(), hashlib.sha256).hexdigest()[
        :40
    ]


def whatsapp_url(graph: Graph, media: Media) -> str:
    until = int(graph.clock.now()) + URL_S
    query = f"mid={media.id}&ext={until}&hash={_hash(graph, media.id, until)}"
    return f"{graph.base}/lookaside/whatsapp_business/attachments/?{query}"


def social_url(graph: Graph, media: Media, platform: str) -> str:
    until = int(graph.clock.now()) + CDN_S
    if platform == "instagram":
        query = f"asset_id={media.id}&ext={until}&signature={_hash(graph, media.id, until)}"
        return f"{graph.base}/lookaside/ig_messaging_cdn/?{query}"
    return _cdn(graph, media, until)


def _cdn(graph: Graph, media: Media, until: int) -> str:
    name = media.filename or media.id
    return f"{graph.base}/lookaside/cdn/{media.id}/{name}?oe={until}&oh={_hash(graph, media.id, until)}"


async def give(graph: Graph, request: web.Request) -> web.StreamResponse:
    failure = next((one for one in graph.failures if one.meets("cdn", "", "")), None)
    if failure is not None:
        failure.times -= 1
        if failure.how:
            return await broken(request, failure, b"\xff" * 64, graph._released)
        return web.Response(status=failure.status or 500)
    part, _, rest = request.match_info["tail"].partition("/")
    query = request.query
    until = int(query.get("ext") or query.get("oe") or 0)
    media_id = query.get("mid") or query.get("asset_id") or rest.partition("/")[0]
    proof = query.get("hash") or query.get("signature") or query.get("oh") or ""
    media = graph.media.get(media_id)
    if media is None or not hmac.compare_digest(proof, _hash(graph, media_id, until)):
        return web.Response(status=404)
    if until <= graph.clock.now():
        return web.Response(status=404 if part == "whatsapp_business" else 403, text="URL signature expired")
    if part == "whatsapp_business":
        if not request.headers.get("User-Agent"):
            return web.Response(status=400, text="Sorry, this content isn't available right now")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token or not graph.accounts[media.owner].holds(token) or graph.accounts[media.owner].expired:
            return web.Response(status=401)
    if part == "ig_messaging_cdn":
        return web.Response(status=302, headers={"Location": _cdn(graph, media, until)})
    headers = {"Content-Type": media.mime}
    if media.filename:
        headers["Content-Disposition"] = f'inline; filename="{media.filename}"'
    return web.Response(body=media.content, headers=headers)
