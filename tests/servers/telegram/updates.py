"""How updates reach us: by webhook, or by getUpdates. https://core.telegram.org/bots/api#getting-updates

The order of deliveries and what a failed one does to those behind it are as in tdlib/telegram-bot-api's WebhookActor:
updates of one chat wait for the one before them, those of other chats do not.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tests.servers.local import NO_CONNECTION, Heard
from tests.servers.telegram.calls import Call, method
from tests.servers.telegram.records import ApiError, Json, Update, bad

if TYPE_CHECKING:
    from tests.servers.telegram.server import Telegram

KINDS: Final = (
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection",
    "business_message", "edited_business_message", "deleted_business_messages", "message_reaction",
    "message_reaction_count", "inline_query", "chosen_inline_result", "callback_query",
    "shipping_query", "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer",
    "my_chat_member", "chat_member", "chat_join_request", "chat_boost", "removed_chat_boost",
)  # fmt: skip
# "Specify an empty list to receive all update types except chat_member, message_reaction, and message_reaction_count".
LEFT_OUT: Final = frozenset(("chat_member", "message_reaction", "message_reaction_count"))
KEPT_S: Final = 24 * 3600  # "updates … will not be kept longer than 24 hours"
PORTS: Final = (443, 80, 88, 8443)
NOT_BY_ANSWER: Final = ("deletewebhook", "setwebhook", "close", "logout")


class Updates:
    """all: every update that came to be. hold: deliver nothing until `flush()`."""

    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram
        self.all: list[Update] = []
        self.hold = False
        self.url = ""
        self.secret = ""
        self.max_connections = 40
        self.allowed: list[str] = []
        self.last_error = ""
        self.last_error_at = 0.0
        self.next_id = random.Random().randint(100_000_000, 900_000_000)
        self.poll: asyncio.Future[str] | None = None
        self._extra: list[Update] = []
        self._order: Callable[[list[Update]], None] | None = None

    @property
    def pending(self) -> list[Update]:
        now = self.telegram.now()
        for one in self.all:
            one.done = one.done or one.expires < now
        return [one for one in self.all if not one.done]

    def wanted(self, kind: str) -> bool:
        return kind in self.allowed if self.allowed else kind not in LEFT_OUT

    async def happens(self, kind: str, body: Json) -> Update:
        """An update comes to be, and is delivered once where a webhook is set (unless `hold`)."""
        update = Update(update_id=self.next_id, kind=kind, body=body, expires=self.telegram.now() + KEPT_S)
        if not self.wanted(kind):
            update.done = True
            return update
        self.next_id += 1
        self.all.append(update)
        if self.poll is not None and not self.poll.done():
            self.poll.set_result("")
        if self.url and not self.hold and not self._waits(update):
            await self.attempt(update)
        return update

    def _waits(self, update: Update) -> bool:
        queue = _queue(update)
        return any(one is not update and _queue(one) == queue for one in self.pending)

    async def attempt(self, update: Update) -> Heard:
        """One POST. Every 2xx takes the update; an answer with a "method" is carried out."""
        heard = await self.telegram.call(
            "POST", self.url, body=json.dumps(update.raw, ensure_ascii=False).encode(), headers=self.headers()
        )
        update.tries.append(heard.problem or str(heard.status))
        if heard.ok:
            update.done = True
            await self._answered(heard)
        else:
            update.failures += 1
            self.last_error_at = self.telegram.now()
            self.last_error = {
                NO_CONNECTION: "Connection refused", "": f"Wrong response from the webhook: {heard.status}",
            }.get(heard.problem, "Read timeout expired")  # fmt: skip
        return heard

    def headers(self) -> dict[str, str]:
        told = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}
        return told | ({"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {})

    async def _answered(self, heard: Heard) -> None:
        try:
            said = json.loads(heard.body)
        except ValueError:
            return
        name = str(said.pop("method", "")).lower() if isinstance(said, dict) else ""
        if name and name not in NOT_BY_ANSWER and not name.startswith("get"):
            await self.telegram.carry_out(name, said, {})

    async def retry(self) -> list[Update]:
        """The next attempt of everything that waits, in order; a chat's stop at its first failure."""
        tried: list[Update] = []
        stuck: set[str] = set()
        for update in self.pending if self.url else ():
            if _queue(update) in stuck:
                continue
            tried.append(update)
            if not (await self.attempt(update)).ok:
                stuck.add(_queue(update))
        return tried

    async def flush(self, *, together: bool = False) -> None:
        """What was held back is delivered, as `shuffle` and `double` left it; together: all at once."""
        waiting = self.pending + self._extra
        if self._order is not None:
            self._order(waiting)
        self.hold, self._extra, self._order = False, [], None
        if together:
            await asyncio.gather(*map(self.attempt, waiting))
        else:
            for update in waiting:
                await self.attempt(update)

    def shuffle(self, seed: int = 0) -> None:
        self._order = random.Random(seed).shuffle

    def double(self) -> None:
        self._extra = list(self.pending)

    async def redeliver(self, update_id: int, times: int = 1) -> list[Heard]:
        """The same update again, `times` at once: the first answers were lost on the way."""
        update = next(one for one in self.all if one.update_id == update_id)
        return await asyncio.gather(*(self.attempt(update) for _ in range(times)))

    # ----------------------------------------------------------------------------------------------------- polling

    async def get(self, call: Call) -> list[Json]:
        """https://core.telegram.org/bots/api#getupdates: an offset above an update's id confirms it."""
        if self.url:
            raise ApiError(
                409,
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            )
        self._stop_poll(
            "terminated by other getUpdates request; make sure that only one bot instance is running"
        )
        if call.allowed_updates is not None:
            self.allowed = _kinds(call.allowed_updates)
        offset = call.offset or 0
        if offset < 0:
            offset = min((one.update_id for one in self.pending[offset:]), default=0)
        for one in self.all:
            one.done = one.done or one.update_id < offset
        limit = min(max(call.limit if call.limit is not None else 100, 1), 100)
        if not self.pending and (call.timeout or 0) > 0:
            await self._wait(min(call.timeout, 50))
        return [one.raw for one in self.pending[:limit]]

    async def _wait(self, seconds: float) -> None:
        poll = self.poll = asyncio.get_running_loop().create_future()
        await asyncio.wait({poll}, timeout=seconds)
        if self.poll is poll:
            self.poll = None
        if poll.done() and (ended := poll.result()):
            raise ApiError(409, ended)

    def _stop_poll(self, why: str) -> None:
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(why)

    def set_webhook(self, call: Call) -> tuple[bool, str]:
        url = call.url or ""
        if call.drop_pending_updates:
            for one in self.all:
                one.done = True
        if not url:
            return self.delete_webhook()
        _check_url(url)
        secret = call.secret_token or ""
        if not re.fullmatch("[A-Za-z0-9_-]{0,256}", secret):
            raise bad(
                "secret token contains unallowed characters"
                if len(secret) <= 256
                else "secret token is too long"
            )
        if call.allowed_updates is not None:  # "If not specified, the previous setting will be used"
            self.allowed = _kinds(call.allowed_updates)
        same = (url, secret) == (self.url, self.secret)
        self.url, self.secret = url, secret
        self.max_connections = min(max(call.max_connections or 40, 1), 100)
        self._stop_poll("terminated by setWebhook request")
        return True, "Webhook is already set" if same else "Webhook was set"

    def delete_webhook(self) -> tuple[bool, str]:
        had, self.url, self.secret = bool(self.url), "", ""
        return True, "Webhook was deleted" if had else "Webhook is already deleted"

    def info(self) -> Json:
        told: Json = {
            "url": self.url, "has_custom_certificate": False, "pending_update_count": len(self.pending),
        }  # fmt: skip
        if self.url:
            told |= {"max_connections": self.max_connections, "ip_address": "127.0.0.1"}
        if self.last_error:
            told |= {"last_error_date": int(self.last_error_at), "last_error_message": self.last_error}
        if self.allowed:
            told["allowed_updates"] = self.allowed
        return told


def _queue(update: Update) -> str:
    body = update.body
    chat = (
        body.get("chat") or body.get("message", {}).get("chat") or body.get("user") or body.get("from") or {}
    )
    return str(chat.get("id", ""))


def _check_url(url: str) -> None:
    """HTTPS on one of four ports; a loopback address is let off both, and from the resolution of its name."""
    parts = urlsplit(url)
    if parts.hostname in ("127.0.0.1", "localhost", "::1"):
        return
    if parts.scheme != "https":
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    if (parts.port or 443) not in PORTS:
        raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")


def _kinds(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise bad("can't parse allowed updates JSON object")
    for kind in given:
        if kind not in KINDS:  # overlooked by Telegram; nobody will ever get it, so it is our mistake
            raise bad(f"unknown update type {kind!r} in allowed_updates")
    return given


async def _get_updates(call: Call) -> list[Json]:
    return await call.telegram.updates.get(call)


def _set_webhook(call: Call) -> tuple[bool, str]:
    return call.telegram.updates.set_webhook(call)


method("getUpdates", "offset:int limit:int timeout:int allowed_updates:json")(_get_updates)
method(
    "setWebhook",
    "url certificate:file ip_address max_connections:int allowed_updates:json drop_pending_updates:bool secret_token",
)(_set_webhook)


@method("deleteWebhook", "drop_pending_updates:bool")
def delete_webhook(call: Call) -> tuple[bool, str]:
    if call.drop_pending_updates:
        for one in call.telegram.updates.all:
            one.done = True
    return call.telegram.updates.delete_webhook()


@method("getWebhookInfo")
def webhook_info(call: Call) -> Json:
    return call.telegram.updates.info()
