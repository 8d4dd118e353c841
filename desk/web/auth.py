"""Who is asking, and may they: sessions, roles, forged forms, log-in and log-out.

Every route says who may use it (context.Need); the guard here refuses before a handler runs. A form must carry the
session's token and, where the browser names its origin, come from this one.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import OrderedDict
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler as AnyHandler

from crm_store import logins
from crm_store.logins import Check
from desk.web import render
from desk.web.context import AGENT, DESK, RANK, SESSION, TOKEN, Need, Route, WebDesk
from hub.errors import Unavailable

NEEDS: web.AppKey[dict[tuple[str, str], Need]] = web.AppKey("needs")
TRIES_PER_ADDRESS = 20
WINDOW = timedelta(minutes=5)
STRANGERS_BYTES = 16_384  # what somebody who is not logged in may send: a name and a password
_ADDRESSES = 10_000  # remembered at most; the oldest is forgotten first
_MACHINES = ("/healthz", "/readyz", "/metrics")  # asked by an address of the machine's own, whatever its name
_SAFE_METHODS = frozenset(("GET", "HEAD"))
# A page that refreshes itself says so: it does not keep a session from going idle.
QUIET_HEADER = "X-Desk-Live"


class Tries:
    """How often each network address tried to log in lately. Bounded, in this process alone."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[datetime]] = OrderedDict()

    def allow(self, address: str, now: datetime) -> bool:
        lately = [at for at in self._seen.pop(address, []) if at > now - WINDOW]
        allowed = len(lately) < TRIES_PER_ADDRESS
        self._seen[address] = [*lately, now] if allowed else lately
        while len(self._seen) > _ADDRESSES:
            self._seen.popitem(last=False)
        return allowed


TRIES = web.AppKey("tries", Tries)


def remote(request: web.Request) -> str:
    """The address that asks: the peer's, or what our own proxies (settings.trusted_proxies of them) say of it."""
    hops = request.app[DESK].settings.trusted_proxies
    peer = request.remote or ""
    if not hops:
        return peer
    said = [
        part.strip() for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")
    ]
    return said[-hops] if len(said) >= hops else peer


def secure(desk: WebDesk) -> bool:
    return desk.settings.desk_address.startswith("https://")


def cookie_name(desk: WebDesk, what: str) -> str:
    """`__Host-` makes the browser itself insist on https, the whole path and no other host's say."""
    return f"__Host-desk-{what}" if secure(desk) else f"desk-{what}"


def _set_cookie(response: web.StreamResponse, desk: WebDesk, what: str, value: str, samesite: str) -> None:
    response.set_cookie(
        cookie_name(desk, what), value, path="/", httponly=True, secure=secure(desk), samesite=samesite
    )


def _drop_cookie(response: web.StreamResponse, desk: WebDesk, what: str) -> None:
    response.del_cookie(cookie_name(desk, what), path="/", httponly=True, secure=secure(desk))


# ---------------------------------------------------------------------------------------------------- the guard


def known_host(desk: WebDesk, host: str) -> bool:
    """Is `host` (a Host header) this desk's? A stranger's name pointed at our address (DNS rebinding) is not."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return False
    settings = desk.settings
    if settings.desk_url is not None:
        return name == (urlsplit(settings.desk_url).hostname or "").lower()
    if name in ("localhost", settings.host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def same_origin(request: web.Request) -> bool:
    """Does a form come from this desk? Browsers name the origin of every POST; without one, the token decides."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    desk = request.app[DESK]
    if desk.settings.desk_url is not None:
        return origin.lower() == desk.settings.desk_url.lower()
    return origin.lower() == f"http://{request.host}".lower()


@web.middleware
async def guard(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
    """Refuse whoever may not; give handlers SESSION and AGENT."""
    desk = request.app[DESK]
    if not known_host(desk, request.host) and request.path not in _MACHINES:
        raise web.HTTPMisdirectedRequest(
            text="This desk does not know that host name. MAINSTEM_DESK_URL says how it is reached."
        )
    resource = request.match_info.route.resource
    if resource is None:
        await _identify(request)
        return await handler(request)  # 404 or 405
    method = "GET" if request.method == "HEAD" else request.method
    need = request.app[NEEDS][method, resource.canonical]
    known = need is Need.ANYONE and resource.canonical.startswith("/static/")
    if not known:
        await _identify(request)
    agent = request.get(AGENT)
    if need is not Need.ANYONE:
        if agent is None:
            return _to_login(request)
        if RANK[agent.role] < need:
            raise web.HTTPForbidden(text="That is for leads." if need is Need.LEAD else "That is for admins.")
    if request.method not in _SAFE_METHODS:
        await _check_form(request)
    elif resource.canonical == "/live" and not same_origin(request):
        raise web.HTTPForbidden(text="Only a page of this desk may listen.")
    return await handler(request)


async def _identify(request: web.Request) -> None:
    desk = request.app[DESK]
    token = request.cookies.get(cookie_name(desk, "session"))
    if not token or len(token) > 100:
        return
    quiet = QUIET_HEADER in request.headers or request.path == "/live"
    session = await desk.do(logins.find_session, desk.store, token, desk.now(), use=not quiet)
    agent = desk.config().agents.get(session.agent) if session else None
    if session is not None and agent is not None:
        request[SESSION], request[AGENT], request[TOKEN] = session, agent, token


def _to_login(request: web.Request) -> web.Response:
    if request.method == "GET" and QUIET_HEADER not in request.headers and request.path != "/live":
        raise web.HTTPSeeOther("/login?to=" + quote(request.path_qs, safe="/"))
    raise web.HTTPUnauthorized(text="You are not logged in, or no longer. Log in and try again.")


async def _check_form(request: web.Request) -> None:
    """Raises 403 unless the form was made by this desk for this session (or, before log-in, for this browser)."""
    desk = request.app[DESK]
    if not same_origin(request):
        raise web.HTTPForbidden(text="This form came from another site, so it was not used.")
    if request.content_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise web.HTTPUnsupportedMediaType(text="Only forms are taken here.")
    session = request.get(SESSION)
    if session is None and not 0 < (request.content_length or 0) <= STRANGERS_BYTES:
        raise web.HTTPRequestEntityTooLarge(STRANGERS_BYTES, request.content_length or 0)
    expected = session.csrf if session else request.cookies.get(cookie_name(desk, "form"), "")
    try:
        given = (await request.post()).get("csrf", "")
    except (ValueError, LookupError) as error:  # no parts, no boundary, no such charset
        raise web.HTTPBadRequest(text="That form cannot be read.") from error
    if not expected or not isinstance(given, str):
        raise web.HTTPForbidden(text="The page was too old. Load it again and repeat.")
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise web.HTTPForbidden(text="The page was too old. Load it again and repeat.")


# -------------------------------------------------------------------------------------------------------- log in


def _form(
    request: web.Request, template: str, status: int = 200, error: str | None = None, **values: str
) -> web.Response:
    """A page for somebody who is not logged in. Its forms carry a token that a cookie of this browser repeats."""
    desk = request.app[DESK]
    session = request.get(SESSION)
    token = session.csrf if session else request.cookies.get(cookie_name(desk, "form"), "")
    fresh = not token or len(token) > 100
    if fresh:
        token = secrets.token_urlsafe(32)
    response = render.html(request, template, status, error=error, form_token=token, **values)
    if fresh:
        _set_cookie(response, desk, "form", token, "Strict")
    return response


def local_path(text: str) -> str:
    """`text` if it is a path on this desk; "/" for anything that could lead elsewhere."""
    ok = text.startswith("/") and not text.startswith(("//", "/\\", "/login", "/live"))
    return text if ok and text.isprintable() and "\\" not in text and len(text) < 500 else "/"


async def login_page(request: web.Request) -> web.StreamResponse:
    if request.get(AGENT):
        raise web.HTTPSeeOther(local_path(request.query.get("to", "/")))
    return _form(request, "login.html", to=local_path(request.query.get("to", "/")), name="")


async def login(request: web.Request) -> web.StreamResponse:
    """Name (or mail address) and password. One answer for every wrong pair, whichever half was wrong."""
    desk = request.app[DESK]
    form = await request.post()
    name, password = str(form.get("name", "")).strip(), str(form.get("password", ""))
    to = local_path(str(form.get("to", "/")))
    if not request.app[TRIES].allow(remote(request), desk.now()):
        words = "Too many tries from this network. Wait five minutes."
        return _form(request, "login.html", 429, words, to=to, name=name)
    agents = desk.config().agents
    lower = name.lower()
    agent = agents.get(name) or next(
        (a for a in agents.values() if a.email and a.email.lower() == lower), None
    )
    key = agent.key if agent else ""
    try:
        said = await desk.login_call(logins.check_password, desk.store, key, password, desk.now())
    except Unavailable as error:
        return _form(request, "login.html", 503, str(error), to=to, name=name)
    if said is Check.RIGHT and agent is not None:
        return await _enter(request, agent.key, to)
    words = "That name and password do not go together."
    if said is Check.LOCKED:
        words = "Too many wrong passwords. Wait a quarter of an hour, or ask an admin for a log-in link."
    return _form(request, "login.html", 403, words, to=to, name=name)


async def link_page(request: web.Request) -> web.StreamResponse:
    """Asks before the link is used up: mail programs and scanners open links by themselves, they press no buttons."""
    desk = request.app[DESK]
    key = await desk.do(logins.whose_link, desk.store, request.match_info["token"], desk.now())
    agent = desk.config().agents.get(key) if key else None
    if agent is None:
        words = "This log-in link was used already, or is too old. Ask for another."
        return _form(request, "login.html", 410, words, to="/", name="")
    return _form(request, "link.html", who=agent.name)


async def link(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    key = await desk.do(logins.use_link, desk.store, request.match_info["token"], desk.now())
    if key is None or key not in desk.config().agents:
        words = "This log-in link was used already, or is too old. Ask for another."
        return _form(request, "login.html", 410, words, to="/", name="")
    return await _enter(request, key, "/")


async def _enter(request: web.Request, agent: str, to: str) -> web.StreamResponse:
    """A new session under a new token, whatever token the browser came with."""
    desk = request.app[DESK]
    before = request.cookies.get(cookie_name(desk, "session"))
    token, _ = await desk.do(logins.open_session, desk.store, agent, desk.now(), before)
    response = web.Response(status=303, headers={"Location": to})
    _set_cookie(response, desk, "session", token, "Lax")
    _drop_cookie(response, desk, "form")
    return response


async def logout(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    if (await request.post()).get("everywhere"):
        await desk.do(logins.close_sessions, desk.store, request[AGENT].key)
    await desk.do(logins.close_session, desk.store, request[TOKEN])
    response = web.Response(
        status=303, headers={"Location": "/login", "Clear-Site-Data": '"cache", "storage"'}
    )
    _drop_cookie(response, desk, "session")
    return response


async def account_page(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    has = await desk.do(logins.has_password, desk.store, request[AGENT].key)
    return render.html(request, "account.html", has_password=has)


async def set_password(request: web.Request) -> web.StreamResponse:
    """A new password; every other browser is logged out, this one gets a new session."""
    desk, agent = request.app[DESK], request[AGENT]
    form = await request.post()
    new = str(form.get("password", ""))
    has = await desk.do(logins.has_password, desk.store, agent.key)
    error = None
    if new != str(form.get("again", "")):
        error = "The two spellings differ."
    elif has:
        old = str(form.get("old", ""))
        said = await desk.login_call(logins.check_password, desk.store, agent.key, old, desk.now())
        error = None if said is Check.RIGHT else "The present password is not that one."
    if error:
        return render.html(request, "account.html", 403, has_password=has, error=error)
    await desk.login_call(logins.set_password, desk.store, agent.key, new, desk.now())
    return await _enter(request, agent.key, "/account?done=password")


ROUTES = (
    Route("GET", "/login", login_page, Need.ANYONE),
    Route("POST", "/login", login, Need.ANYONE),
    Route("GET", "/login/{token}", link_page, Need.ANYONE),
    Route("POST", "/login/{token}", link, Need.ANYONE),
    Route("POST", "/logout", logout, Need.AGENT),
    Route("GET", "/account", account_page, Need.AGENT),
    Route("POST", "/account/password", set_password, Need.AGENT),
)
