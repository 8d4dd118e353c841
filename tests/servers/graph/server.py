"""The server: Graph's front door, its accounts, and what a test may look at and break.

developers.facebook.com/docs/graph-api/overview (versions, nodes, edges), docs/graph-api/guides/error-handling,
docs/graph-api/guides/secure-requests (appsecret_proof).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.servers.graph import cdn
from tests.servers.graph.account import Account, Call
from tests.servers.graph.door import Door
from tests.servers.graph.errors import GraphError, Json, missing
from tests.servers.graph.failing import HOWS, Failure, broken
from tests.servers.graph.model import Clock, Ids, Mark, Media, Refused, Request, Sent
from tests.servers.graph.rates import Rates
from tests.servers.graph.reading import read
from tests.servers.graph.reports import Reports
from tests.servers.graph.social import Instagram, Page
from tests.servers.graph.waba import Waba
from tests.servers.graph.whatsapp import Number

T = TypeVar("T")
OLDEST, NEWEST = 19.0, 26.0


class Graph:
    """`async with Graph() as graph`, or `with Graph() as graph` from plain code (then `graph.run(…)`). See the package.

    app_secret, verify_token, app_id: made up where not given. port: 0 for any. require_proof: as the app's setting
    "Require App Secret". later: codes of natural refusals that come as a failed report after a 200.
    """

    def __init__(
        self,
        *,
        app_secret: str = "",
        verify_token: str = "",
        app_id: str = "",
        port: int = 0,
        require_proof: bool = False,
    ) -> None:
        self.ids, self.clock = Ids(), Clock()
        self.app_secret = app_secret or secrets.token_hex(16)
        self.verify_token = verify_token or secrets.token_urlsafe(16)
        self.app_id = app_id or self.ids.number()
        self.require_proof = require_proof
        self.later = {131026, 131047, 131049, 131050, 131053}
        self.accounts: dict[str, Account] = {}
        self.objects: dict[str, Account] = {}
        self.media: dict[str, Media] = {}
        self.bsuids: dict[str, tuple[str, str]] = {}
        self.absent: set[str] = set()  # phones that are not on WhatsApp
        self.requests: list[Request] = []
        self.sent: list[Sent] = []
        self.refused: list[Refused] = []
        self.marks: list[Mark] = []
        self.misdirected: list[Json] = []  # sends whose `to` held a BSUID: answered with 200, and dropped
        self.rates = Rates(self.clock)
        self.door = Door(self.clock, lambda: self.app_secret)
        self.reports = Reports(self)
        self.failures: list[Failure] = []
        self.base = ""
        self._port = port
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None

    # --------------------------------------------------------------------------------------------- accounts, webhooks

    def number(
        self,
        phone: str = "+1 555-078-3881",
        *,
        name: str = "Acme",
        waba: Waba | None = None,
        id: str = "",  # noqa: A002
        waba_id: str = "",
        token: str = "",
    ) -> Number:
        """A business number, in a WhatsApp Business Account of its own unless `waba` is given."""
        return Number(self, waba or Waba(self, id=waba_id, token=token), phone, name, id)

    def page(self, name: str = "Acme", *, id: str = "", token: str = "") -> Page:  # noqa: A002
        return Page(self, name, id, token)

    def instagram(
        self,
        username: str = "acme",
        *,
        page: Page | None = None,
        id: str = "",  # noqa: A002
        token: str = "",
    ) -> Instagram:
        """An Instagram professional account (Instagram Login); with `page`, that Page's token acts for it too."""
        return Instagram(self, username, page, id, token)

    def listen(self, url: str, *where: str | Account) -> None:
        """Deliver to `url`: what concerns these objects ("page") or accounts; everything, where none is named."""
        for one in where or ("whatsapp_business_account", "page", "instagram"):
            self.door.callbacks[one.id if isinstance(one, Account) else one] = url

    async def subscribe(self, url: str, *where: str | Account) -> bool:
        """As the dashboard's "Verify and save": the handshake, and `listen` if it went well."""
        good = await self.door.verifies(url, self.verify_token)
        if good:
            self.listen(url, *where)
        return good

    # ------------------------------------------------------------------------------------------------- on command

    def fail(
        self,
        code: int | None = None,
        *,
        subcode: int | None = None,
        status: int | None = None,
        details: str = "",
        how: str = "",
        accepted: bool = False,
        at: str = "messages",
        account: str | Account = "",
        to: str = "",
        times: int = 1,
        retry_after: int | None = None,
        regain_minutes: int = 0,
        after_s: float = 0.0,
    ) -> None:
        """The next `times` calls `at` an edge ("messages", "media", "comments", "object", "*", "cdn") answer so.

        code: one of Meta's, with its documented HTTP status unless `status` says another. how: "hang" (nothing until
        `release`), "cut" (the connection is reset), "truncated" (200 and half a body), "html" (an error page, 502).
        accepted: it is done all the same, and only the answer fails. after_s: it takes that long, and then goes well
        where neither code, status nor how is given. retry_after: a header, in seconds; regain_minutes:
        estimated_time_to_regain_access. to: a recipient; account: an account or its id.
        """
        assert how in HOWS
        self.failures.append(
            Failure(
                code=code,
                subcode=subcode,
                status=status,
                details=details,
                how=how,
                accepted=accepted or how == "truncated",
                at=at,
                account=account.id if isinstance(account, Account) else account,
                to=to,
                times=times,
                retry_after=retry_after,
                regain_minutes=regain_minutes,
                after_s=after_s,
            )
        )

    def mend(self) -> None:
        """Forget every `fail`."""
        self.failures.clear()

    def release(self) -> None:
        """Let go of what hangs. From plain code: `graph.do(graph.release)`."""
        self._released.set()
        self._released = asyncio.Event()

    async def passes(self, seconds: float) -> None:
        """Meta's clock moves on: windows close, URLs expire, and deliveries are retried that are due."""
        self.clock.passes(seconds)
        await self.door.retry()

    async def settled(self) -> None:
        """Until everything that follows by itself (echoes, reports) has been told."""
        await self.door.settled()

    def proof(self, token: str) -> str:
        """The appsecret_proof of a token."""
        return hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()

    # --------------------------------------------------------------------------------------------------- start, stop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_get("/lookaside/{tail:.+}", partial(cdn.give, self))
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.base = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        await self.door.close()
        await self._runner.cleanup()

    def __enter__(self) -> Self:
        up, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

        async def live() -> None:
            async with self:
                up.set()
                await stop.wait()

        def work() -> None:
            try:
                loop.run_until_complete(live())
            finally:
                loop.close()
                up.set()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        self._stop = end
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        assert up.wait(60)
        assert self.base
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._stop()
        self._thread.join(60)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """From a plain thread: `work` in the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, work: Callable[[], T]) -> T:
        """From a plain thread: a plain call (`graph.release`) in the server's loop."""

        async def done() -> T:
            return work()

        return self.run(done())

    # ---------------------------------------------------------------------------------------------------- the door

    async def _take(self, request: web.Request) -> web.StreamResponse:
        call = await read(request)
        account: Account | None = None
        failure: Failure | None = None
        error: GraphError | None = None
        said: Json = {}
        try:
            account = self._account(call, request)
            failure = self._failure(call, account)
            if failure is not None and failure.after_s:
                await asyncio.sleep(failure.after_s)
            if failure is None or failure.accepted or not _breaks(failure):
                said = self._token(call) if call.node == "debug_token" else await account.call(call)
            if failure is not None and not failure.how and _breaks(failure):
                error = _ordered(failure)
        except GraphError as refused:
            error = refused
        if error is not None:
            said = error.body(account.platform if account else "")
            if call.edge == "messages" and account is not None:
                account.refuse(error, call.given)
        status = error.status if error else 200
        self._note(call, request, account, status, error.code if error else 0)
        body = json.dumps(said).encode()
        if failure is not None and failure.how and error is None:
            return await broken(request, failure, body, self._released)
        headers = self._headers(call, account, failure, error)
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")

    def _account(self, call: Call, request: web.Request) -> Account:
        """Whose it is, if the token may; raises GraphError."""
        number = float(call.version[1:]) if call.version else OLDEST
        if number > NEWEST:
            raise GraphError(2500, message=f"Unknown path components: {request.path}")
        if not call.token:
            raise GraphError(2500 if call.node == "me" else 104, status=400 if call.node == "me" else 401)
        holders = [one for one in self.accounts.values() if one.holds(call.token)]
        if not holders:
            raise GraphError(190)
        self._proof(call)
        if over := next(filter(None, (one.over(call.token) for one in holders)), None):
            raise GraphError(190, subcode=over)
        if call.node in ("me", "debug_token", "refresh_access_token"):
            return next((one for one in holders if isinstance(one, Page | Instagram)), holders[0])
        owner = self.accounts.get(call.node) or self.objects.get(call.node)
        if owner is None or not owner.holds(call.token):
            raise missing(call.node, call.method.lower())
        return owner

    def _token(self, call: Call) -> Json:
        """docs/graph-api/reference/debug_token: what a token is good for."""
        asked = str(call.query.get("input_token", ""))
        holders = [one for one in self.accounts.values() if one.holds(asked)]
        valid = bool(holders) and not any(one.expired for one in holders)
        about: Json = {"app_id": self.app_id, "application": "Mainstem", "is_valid": valid, "expires_at": 0}
        if valid:
            about |= {
                "type": "PAGE" if isinstance(holders[0], Page) else "SYSTEM_USER",
                "scopes": holders[0].scopes,
            }
        return {"data": about}

    def _proof(self, call: Call) -> None:
        proof = str(call.query.get("appsecret_proof") or call.given.get("appsecret_proof") or "")
        if not proof and self.require_proof:
            raise GraphError(
                100,
                type="GraphMethodException",
                message="API calls from the server require an appsecret_proof argument",
            )
        if proof and not hmac.compare_digest(proof, self.proof(call.token)):
            raise GraphError(
                100,
                type="GraphMethodException",
                message="Invalid appsecret_proof provided in the API argument",
            )

    def _failure(self, call: Call, account: Account) -> Failure | None:
        found = next((one for one in self.failures if one.meets(call.at, account.id, call.to)), None)
        if found is not None:
            found.times -= 1
        return found

    def _note(
        self, call: Call, request: web.Request, account: Account | None, status: int, code: int
    ) -> None:
        self.requests.append(
            Request(
                method=call.method,
                path=request.path,
                version=call.version,
                query=call.query,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=call.given,
                account=account.id if account else "",
                status=status,
                code=code,
            )
        )

    def _headers(
        self, call: Call, account: Account | None, failure: Failure | None, error: GraphError | None
    ) -> dict[str, str]:
        headers = self.rates.headers(
            account.id if account else "",
            account.platform if account else "",
            failure.regain_minutes if failure else 0,
        )
        headers["facebook-api-version"] = call.version or f"v{OLDEST}"
        headers["x-fb-trace-id"] = secrets.token_urlsafe(8)
        if failure is not None and failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
        if error is not None and error.code == 190:
            headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{error.title}"'
        return headers


def _breaks(failure: Failure) -> bool:
    """Whether anything but slowness was asked for."""
    return failure.code is not None or bool(failure.status or failure.how)


def _ordered(failure: Failure) -> GraphError:
    status = failure.status or 0
    code = failure.code if failure.code is not None else {429: 4}.get(status, 2 if status >= 500 else 1)
    return GraphError(code, failure.details, subcode=failure.subcode, status=failure.status)
