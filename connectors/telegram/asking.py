"""What we ask of Telegram: what came in (getUpdates), files, and how the bot stands."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from connectors import fetching
from connectors.base import Fetched, FetchError, Finding, Parsed, Polled, Wire
from connectors.telegram import updates
from connectors.telegram.api import API, base, call, token
from connectors.telegram.kinds import ALLOWED
from connectors.telegram.message import FILE_BYTES
from connectors.telegram.model import Number
from hub import log
from hub.config import Account
from hub.errors import Malformed, SendCode, SendError
from hub.model import Event, Media, MessageReceived, Unreadable

_log = log.get("telegram")

WAIT_S = 20  # of a look that finds nothing; below the session's own end (connectors/http.py)
AT_ONCE = 100  # "Values between 1-100 are accepted" (#getupdates)
ANSWER_BYTES = 8 << 20  # a hundred updates of 64 KiB, the most that Telegram's server makes of one
QUIET_S = 6 * 24 * 3600.0  # a day less than the week after which Telegram draws the next id by lot
SECRET = re.compile(
    r"[A-Za-z0-9_-]{1,256}"
)  # "Only characters A-Z, a-z, 0-9, _ and - are allowed" (#setwebhook)
PORTS = (443, 80, 88, 8443)  # "Ports currently supported for webhooks" (#setwebhook)


class _Id(msgspec.Struct, gc=False):
    update_id: Number


# ---------------------------------------------------------------------------------------------------- long polling


async def poll(account: Account, cursor: str | None, wire: Wire) -> Polled:
    """One getUpdates. Telegram forgets what lies before `offset`, so that is asked for only when it is on disk.

    The cursor is `offset:unix time:bot`. After six quiet days no offset is asked for: the next id may be any, and one
    below the offset would count as read. Another bot's offset means nothing, either.
    """
    now = wire.now.timestamp()
    parameters: dict[str, Any] = {"timeout": WAIT_S, "limit": AT_ONCE, "allowed_updates": ALLOWED}
    if (offset := _offset(cursor, now, updates.bot_of(account))) is not None:
        parameters["offset"] = offset
    began = time.monotonic()
    found = await call(wire, account, "getUpdates", parameters, list[msgspec.Raw], answer_bytes=ANSWER_BYTES)
    received_at = datetime.fromtimestamp(now + time.monotonic() - began, UTC)
    events: list[Event] = []
    blobs: list[bytes] = []
    last = offset
    for raw in found:
        body = bytes(raw)
        last = _after(body, last)
        parsed = read(body, received_at, account)
        events += parsed.events
        blobs += parsed.blobs
    if found and last is None:
        raise SendError(SendCode.RESPONSE_CONTENT, "getUpdates: the updates have no ids")
    await _answer_taps(events, account, wire)
    value = f"{last}:{int(received_at.timestamp())}:{updates.bot_of(account)}" if found else None
    return Polled(events=tuple(events), blobs=tuple(blobs), cursor=value)


def read(body: bytes, received_at: datetime, account: Account) -> Parsed:
    """What the edge makes of a pushed update: one that cannot be read is kept whole."""
    try:
        return updates.events(body, received_at, account)
    except Malformed as error:
        sha = hashlib.sha256(body).hexdigest()
        event = Unreadable(
            account=account.key,
            event_key=f"unreadable:{sha}",
            received_at=received_at,
            reason=str(error),
            blob=sha,
            content_type="application/json",
        )
        return Parsed(events=(event,), blobs=(body,))


def _offset(cursor: str | None, now: float, bot: str) -> int | None:
    offset, _, rest = (cursor or "").partition(":")
    seen, _, whose = rest.partition(":")
    if not (offset.isdigit() and seen.isdigit()) or whose != bot or now - int(seen) > QUIET_S:
        return None
    return int(offset)


def _after(body: bytes, before: int | None) -> int | None:
    try:
        return msgspec.json.decode(body, type=_Id).update_id + 1
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None if before is None else before + 1  # they come in order, without gaps


async def _answer_taps(events: list[Event], account: Account, wire: Wire) -> None:
    """The button stops turning. That is all it does, so a failure is no failure (#answercallbackquery)."""
    taps = [e.event_key.removeprefix(updates.TAP) for e in events if is_tap(e)]

    async def one(tap: str) -> None:
        try:
            async with asyncio.timeout(5.0):
                await call(wire, account, "answerCallbackQuery", {"callback_query_id": tap}, msgspec.Raw)
        except (SendError, TimeoutError) as error:
            _log.debug("a tap was not answered", account=account.key, why=str(error))

    await asyncio.gather(*(one(tap) for tap in taps))


def is_tap(event: Event) -> bool:
    return isinstance(event, MessageReceived) and event.event_key.startswith(updates.TAP)


# ----------------------------------------------------------------------------------------------------------- files


class _File(msgspec.Struct, gc=False):
    file_path: str = ""
    file_size: int | None = None


_TOO_LARGE = "Telegram gives bots no file larger than 20 MB, and this one is: ask for it in another way."


async def fetch(media: Media, account: Account, wire: Wire) -> Fetched:
    """getFile, then the file (#getfile). Its address holds the token, so it is made here and kept nowhere."""
    if media.size_bytes is not None and media.size_bytes > FILE_BYTES:
        raise FetchError(_TOO_LARGE)
    try:
        found = await call(wire, account, "getFile", {"file_id": media.ref}, _File)
        secret = token(account)
    except SendError as error:
        if "file is too big" in error.detail.lower():
            raise FetchError(_TOO_LARGE) from None
        again = error.retry or error.code in (
            SendCode.UNKNOWN,
            SendCode.RESPONSE_CONTENT,
            SendCode.CHANNEL_CONFIG,
        )
        raise FetchError(f"Telegram does not give the file: {error.detail}.", again, error.after_s) from None
    path = found.file_path
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise FetchError("Telegram does not say where the file is, as it does while it is not --local.")
    url = f"{base(account)}/file/bot{secret}/{quote(path)}"
    fetched = await fetching.get(wire, url, limit_bytes=FILE_BYTES)
    return Fetched(
        data=fetched.data,
        content_type=media.content_type or fetched.content_type,
        name=media.name or fetched.name or path.rpartition("/")[2],
    )


# ----------------------------------------------------------------------------------------------------- how it stands


class _Me(msgspec.Struct, gc=False):
    id: int
    username: str = ""
    first_name: str = ""


class _Hook(msgspec.Struct, gc=False):
    """#webhookinfo"""

    url: str = ""
    pending_update_count: int = 0
    last_error_date: int | None = None
    last_error_message: str = ""
    allowed_updates: list[str] | None = None


async def examine(account: Account, wire: Wire) -> tuple[Finding, ...]:
    me = await call(wire, account, "getMe", {}, _Me)
    hook = await call(wire, account, "getWebhookInfo", {}, _Hook)
    found = [Finding(what=f"the token is @{me.username or me.id}'s")]
    polls, ours = bool(account.settings.get("poll")), wire.inbound(account)
    cure = f"run `mainstem channel hook {account.key}`"
    if polls and hook.url:
        found.append(
            Finding(what="a webhook is set", wrong=f"It excludes polling: {cure}, which removes it.")
        )
    elif polls:
        found.append(Finding(what="no webhook is set, as polling wants it"))
    elif not hook.url:
        found.append(Finding(what="no webhook is set", wrong=f"Nothing comes in: {cure}."))
    elif hook.url != ours:
        where = urlsplit(hook.url).hostname or "elsewhere"
        found.append(
            Finding(what=f"the webhook leads to {where}", wrong=f"It should lead to {ours}: {cure}.")
        )
    else:
        found.append(Finding(what=f"the webhook leads to {ours}"))
    missing = sorted(set(ALLOWED) - set(hook.allowed_updates)) if hook.allowed_updates is not None else []
    if hook.url and not polls and (missing or hook.allowed_updates is None):
        what = ", ".join(missing) or "message_reaction"
        found.append(Finding(what=f"it is not told of {what}", wrong=f"These are lost: {cure}."))
    found += _backlog(hook, polls, wire.now)
    return tuple(found)


def _backlog(hook: _Hook, polls: bool, now: datetime) -> list[Finding]:
    """last_error: of the latest failure, however long ago it was."""
    found = []
    count = hook.pending_update_count
    if count:
        late = (
            ""
            if count < AT_ONCE
            else "They are kept for 24 hours only: look whether this hub can be reached."
        )
        found.append(Finding(what=f"{count} update(s) wait at Telegram", wrong=late))
    if hook.last_error_date and not polls:
        ago = now.timestamp() - hook.last_error_date
        words = " ".join(hook.last_error_message.split())[:200]
        when = f"{max(ago, 0) / 60:,.0f} minutes ago a delivery failed: {words}"
        wrong = "Look at this address from outside, and at its certificate." if ago < 3600 or count else ""
        found.append(Finding(what=when, wrong=wrong))
    return found


async def hook(account: Account, wire: Wire) -> str:
    """setWebhook with our secret and the kinds that we read; for an account that polls, deleteWebhook."""
    if account.settings.get("poll"):
        await call(wire, account, "deleteWebhook", {}, bool)
        return f"{account.key} has no webhook any more; `mainstem pull` fetches what comes in."
    url = wire.inbound(account)
    secret = next(iter(account.secrets.get("webhook", ())), "")
    if not SECRET.fullmatch(secret):
        why = "the secret `webhook` may only have A-Z, a-z, 0-9, _ and -, at most 256 of them"
        raise SendError(SendCode.CHANNEL_CONFIG, why, whole_account=True)
    parts = urlsplit(url)
    port = parts.port or {"https": 443}.get(parts.scheme)
    if base(account) == API and (parts.scheme != "https" or port not in PORTS):
        why = f"Telegram calls https:// at the ports {', '.join(map(str, PORTS))} only, and this hub is at {url}"
        raise SendError(
            SendCode.CHANNEL_CONFIG, f"{why}; set MAINSTEM_PUBLIC_URL, or poll", whole_account=True
        )
    more = {"url": url, "secret_token": secret, "allowed_updates": ALLOWED}
    await call(wire, account, "setWebhook", more, bool)
    return f"Telegram now sends what {account.key} gets to {url}."
