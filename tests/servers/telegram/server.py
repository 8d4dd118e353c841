"""The Bot API's front door: /bot{token}/{method} and /file/bot{token}/{path}."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections import deque
from typing import Any, Final

from aiohttp import web

from tests.servers.local import Asked, Local, Order
from tests.servers.telegram import changing, files, sending, updates
from tests.servers.telegram.calls import METHODS, Call, Upload, given, typed
from tests.servers.telegram.people import Group, Person
from tests.servers.telegram.records import ApiError, Chat, Json, Refused, Sent, Stored, Update, bad
from tests.servers.telegram.updates import Updates

_ROOMS: Final = (changing, files, sending, updates)  # importing them declares their methods
# https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
OVERALL_PER_S, GROUP_PER_MINUTE = 30, 20


class Telegram(Local):
    """sent: every message of the bot's that was taken; refused: every call that was not. updates: see updates.py.

    limits: whether the rates of the FAQ are kept to: 30 messages a second, 1 in each chat, 20 a minute in a group.
    """

    def __init__(
        self, *, token: str = "", username: str = "shop_bot", name: str = "Shop", port: int = 0
    ) -> None:
        super().__init__(port=port)
        self.token = token or f"{secrets.randbelow(9 * 10**9) + 10**9}:AA{secrets.token_hex(16)}"
        self.bot_id, self.username, self.name = int(self.token.partition(":")[0]), username, name
        self.revoked = False
        self.limits = False
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, Stored] = {}
        self.links: dict[str, tuple[Stored, float]] = {}
        self.sent: list[Sent] = []
        self.refused: list[Refused] = []
        self.queries: dict[str, float] = {}
        self.answered: dict[str, str] = {}  # callback queries, and what was shown
        self.commands: list[Json] = []
        self.business: dict[str, Json] = {}  # connections, by their id
        self.updates: Updates = Updates(self)
        self.ids = itertools.count(700_000_001)
        self._turns: deque[float] = deque()

    # ------------------------------------------------------------------------------------------------- who is there

    def me(self) -> Json:
        return {"id": self.bot_id, "is_bot": True, "first_name": self.name, "username": self.username}

    def person(self, name: str, *, username: str = "", language: str = "en", last_name: str = "") -> Person:
        """Somebody the bot cannot write to before she writes."""
        return Person(self, next(self.ids), name, username, language, last_name)

    def group(self, title: str, *, supergroup: bool = False, forum: bool = False) -> Group:
        number = next(self.ids)
        chat_id = -1_000_000_000_000 - number if supergroup or forum else -number
        kind = "supergroup" if supergroup or forum else "group"
        return Group(self, Chat(id=chat_id, type=kind, title=title, forum=forum))

    def channel(self, title: str, *, username: str = "") -> Group:
        number = -1_000_000_000_000 - next(self.ids)
        return Group(self, Chat(id=number, type="channel", title=title, username=username))

    # -------------------------------------------------------------------------------------------- updates, in short

    async def happens(self, kind: str, body: Json) -> Update:
        if kind == "business_connection":
            self.business[body["id"]] = body
        return await self.updates.happens(kind, body)

    async def flush(self, *, together: bool = False) -> None:
        await self.updates.flush(together=together)

    async def retry(self) -> list[Update]:
        return await self.updates.retry()

    async def redeliver(self, update_id: int, times: int = 1) -> None:
        await self.updates.redeliver(update_id, times)

    def shuffle(self, seed: int = 0) -> None:
        self.updates.shuffle(seed)

    def double(self) -> None:
        self.updates.double()

    # --------------------------------------------------------------------------------------------------------- rates

    def take_turn(self, chat: Chat) -> None:
        """Raises 429 with retry_after where `limits` are on. A burst of one in a chat is all that is promised."""
        if not self.limits:
            return
        now = self.now()
        for moments, within in ((self._turns, 1.0), (chat.slow, 60.0)):
            while moments and moments[0] <= now - within:
                moments.popleft() if isinstance(moments, deque) else moments.pop(0)
        waits = [self._turns[0] + 1 - now] if len(self._turns) >= OVERALL_PER_S else []
        if chat.slow and chat.slow[-1] > now - 1:
            waits.append(chat.slow[-1] + 1 - now)
        if chat.type != "private" and len(chat.slow) >= GROUP_PER_MINUTE:
            waits.append(chat.slow[0] + 60 - now)
        if waits:
            seconds = max(1, -int(-max(waits) // 1))
            raise ApiError(429, f"retry after {seconds}", retry_after=seconds)
        self._turns.append(now)
        chat.slow.append(now)

    # ----------------------------------------------------------------------------------------------------- the door

    async def understand(self, request: web.Request) -> Asked:
        parts = re.fullmatch(r"/(file/)?bot([^/]*)/(.+)", request.path)
        operation = "" if parts is None else "file" if parts[1] else parts[3].lower()
        params: Json = {}
        if parts is not None and not parts[1]:
            try:
                params = (await given(request))[0]
            except ApiError:
                pass  # told when it is answered
        return Asked(
            operation=operation, to=str(params.get("chat_id", "")), method=request.method, path=request.path,
            params=params, headers={k.lower(): v for k, v in request.headers.items()},
        )  # fmt: skip

    def error(self, order: Order) -> web.Response:
        status = order.status or 500
        if status == 429:
            wait = order.retry_after or 1
            return ApiError(429, f"retry after {wait}", retry_after=wait).response()
        return ApiError(status, order.message).response()

    async def answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        parts = re.fullmatch(r"/(file/)?bot([^/]*)/(.+)", request.path)
        try:
            # What is no token at all has no such page; a token of nobody's is unauthorized.
            if parts is None or not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", parts[2]):
                raise ApiError(404)
            if parts[2] != self.token or self.revoked:
                raise ApiError(401)
            if parts[1]:
                return self._file(parts[3])
            found, uploads = await given(request)
            result = await self.carry_out(parts[3].lower(), found, uploads)
        except ApiError as failed:
            self.refused.append(
                Refused(
                    method=asked.operation,
                    code=failed.code,
                    description=failed.description,
                    params=asked.params,
                )
            )
            return failed.response()
        if isinstance(result, tuple):
            return web.json_response({"ok": True, "result": result[0], "description": result[1]})
        return web.json_response({"ok": True, "result": result})

    async def carry_out(self, name: str, found: Json, uploads: dict[str, Upload]) -> Any:
        """Raises ApiError."""
        if name not in METHODS:
            raise ApiError(404, "method not found")
        declared = METHODS[name]
        if sum(len(one.content) for one in uploads.values()) > files.UPLOAD:
            raise ApiError(413)
        args = typed(declared, found, uploads)
        for key, kind in declared.args.items():
            if kind == "file" and key in args:
                args[key] = await self._fetched(args[key], uploads, photo=key == "photo")
        for item in (
            args["media"] if declared.name == "sendMediaGroup" and isinstance(args.get("media"), list) else ()
        ):
            if isinstance(item, dict) and isinstance(item.get("media"), str):
                item["media"] = await self._fetched(item["media"], uploads, photo=item.get("type") == "photo")
        result = declared.work(Call(telegram=self, method=declared.name, args=args, uploads=uploads))
        return await result if asyncio.iscoroutine(result) else result

    async def _fetched(self, value: str, uploads: dict[str, Upload], *, photo: bool) -> str:
        """A URL is fetched by Telegram, without any password of ours."""
        if not value.startswith(("http://", "https://")):
            return value
        heard = await self.call(
            "GET", value, body=None, headers={"User-Agent": "TelegramBot (like TwitterBot)"}
        )
        if not heard.ok:
            raise bad("failed to get HTTP URL content")
        kind = heard.headers.get("content-type", "").partition(";")[0]
        if kind == "text/html" or (photo and not kind.startswith("image/")):
            raise bad("wrong type of the web page content")
        if len(heard.body) > (files.URL_PHOTO if photo else files.DOWNLOAD):
            raise bad("failed to get HTTP URL content")
        key = f"url{len(uploads)}"
        uploads[key] = Upload(value.rpartition("/")[2].partition("?")[0] or "file", heard.body, kind)
        return f"attach://{key}"

    def _file(self, path: str) -> web.Response:
        """Good for an hour after getFile, and for whoever knows the token."""
        stored, until = self.links.get(path, (None, 0.0))
        if stored is None or until < self.now():
            raise ApiError(404)
        return web.Response(body=stored.content, headers={"Content-Type": "application/octet-stream"})
