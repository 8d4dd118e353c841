"""A provider of OAuth 2 on 127.0.0.1, strict: tokens for mailboxes by refresh token (RFC 6749, 6), and whose a token is
(RFC 7662), which a mail server asks.

A refresh token is good once: each answer brings the next, and who comes with an older one loses every token of that
mailbox (RFC 9700, 4.14.2). Whatever a request lacks or has too much stands in `faults`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from tests.servers.threaded import Threaded

CLIENT, SECRET = "hub.apps.example", "hush, it is a secret"
SCOPE = "https://mail.example/"
LASTS_S = 3600


@dataclass
class _Mailbox:
    refresh: str
    spent: set[str] = field(default_factory=set)
    access: dict[str, float] = field(default_factory=dict)  # token -> until when, by the provider's clock
    revoked: bool = False


class OAuth(Threaded):
    """`mailboxes`: user -> its first refresh token. now: its clock, in seconds, which the test sets.

    rotates: whether a refresh token is good once. asked: the forms it was sent, secrets and all, at the token's door.
    """

    def __init__(self, mailboxes: Mapping[str, str], *, rotates: bool = True) -> None:
        super().__init__()
        self._boxes = {user: _Mailbox(refresh) for user, refresh in mailboxes.items()}
        self.rotates = rotates
        self.now = 0.0
        self.asked: list[dict[str, str]] = []
        self.introspected: list[str] = []
        self.faults: list[str] = []
        self.status = 200
        self.port = 0

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def introspection(self) -> str:
        """What a mail server asks; it has a name and a password of its own there."""
        return f"http://mailserver:sesame@127.0.0.1:{self.port}/introspect"

    def refresh_of(self, user: str) -> str:
        """The one that is good now."""
        return self._boxes[user].refresh

    def revoke(self, user: str) -> None:
        """Its owner took the permission back: no token of that mailbox is good any more."""
        self._boxes[user].revoked = True
        self._boxes[user].access.clear()

    def forget_access(self, user: str) -> None:
        """Its access tokens end before their time."""
        self._boxes[user].access.clear()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_post("/introspect", self._introspect)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._up.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form)
        if self.status != 200:
            return web.Response(status=self.status, text="come later")
        if request.content_type != "application/x-www-form-urlencoded":
            return self._fault("invalid_request", f"{request.content_type} is no form")
        if strange := set(form) - {"grant_type", "refresh_token", "client_id", "client_secret", "scope"}:
            return self._fault("invalid_request", f"it has {strange}")
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return self._fault("invalid_client", "who are you?", 401)
        if form.get("grant_type") != "refresh_token":
            return self._fault("unsupported_grant_type", "a refresh token, please")
        if form.get("scope", SCOPE) != SCOPE:
            return self._fault("invalid_scope", "more than was allowed")
        return self._renewed(form.get("refresh_token", ""))

    def _renewed(self, refresh: str) -> web.Response:
        for box in self._boxes.values():
            if refresh in box.spent:
                box.revoked = True
                box.access.clear()
                return self._fault("invalid_grant", "A refresh token was used twice.")
            if refresh == box.refresh and not box.revoked:
                token = secrets.token_urlsafe(24)
                box.access[token] = self.now + LASTS_S
                said: dict[str, object] = {
                    "access_token": token,
                    "token_type": "Bearer",
                    "expires_in": LASTS_S,
                }
                if self.rotates:
                    box.spent.add(refresh)
                    box.refresh = said["refresh_token"] = secrets.token_urlsafe(24)
                return web.json_response(said, headers={"Cache-Control": "no-store"})
        return self._answer("invalid_grant", "Token has been expired or revoked.")

    def _fault(self, error: str, why: str, status: int = 400) -> web.Response:
        self.faults.append(f"{error}: {why}")
        return self._answer(error, why, status)

    def _answer(self, error: str, why: str, status: int = 400) -> web.Response:
        return web.json_response({"error": error, "error_description": why}, status=status)

    async def _introspect(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if given != "Basic bWFpbHNlcnZlcjpzZXNhbWU=":
            self.faults.append("a mail server without a password asked whose a token is")
            return web.Response(status=401)
        token = str((await request.post()).get("token", ""))
        self.introspected.append(token)
        for user, box in self._boxes.items():
            if box.access.get(token, 0.0) > self.now:
                return web.json_response({"active": True, "username": user, "scope": SCOPE})
        return web.json_response({"active": False})
