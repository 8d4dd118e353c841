"""What came while nobody could take it: the list of messages, looked through from time to time and at each start.

https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources. Twilio calls a webhook for
at most 15 seconds and never again; its list keeps what the webhook said, less what only WhatsApp's requests carry. A
message has the same event key either way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from connectors.base import Polled, Wire
from connectors.twilio import api, settings
from connectors.twilio.inbound import Form
from connectors.twilio.sending import when
from hub.config import Account
from hub.errors import Malformed, SendError
from hub.model import Event, MessageReceived, Unreadable

PAGE = 200  # messages a request; up to 1000 are given, and a long one is some 10 kB in JSON
ANSWER_BYTES = 8 << 20
PAGES = 20  # of one look; what is left is looked at next, at once
OVERLAP_S = 120  # the list is not promised to be in order of its dates to the second
SETTLE_S = 60  # the webhook has 15 seconds with all its tries, and says more than the list does
_SEEN = 500

Read = Callable[[Form, Account, datetime, datetime | None], MessageReceived]


class _Cursor(msgspec.Struct, omit_defaults=True):
    """at: DateSent of the newest message that was taken, in unix seconds. seen: SIDs within the overlap, with theirs.

    begun: when the look that is not over began; what is younger than that look is the next one's, for every number
    alike, or what came to the first while the last was asked for would lie before the next look. place, page: which of
    our numbers is asked for in it, and the next page of its list. top: the newest so far in it.
    """

    at: int
    seen: dict[str, int] = msgspec.field(default_factory=dict)
    begun: int = 0
    place: int = 0
    page: str = ""
    top: int = 0


@dataclass
class _Look:
    """One call of `poll`. young: something was too young to be taken yet, or may be: the look began long ago."""

    cursor: _Cursor
    account: Account
    wire: Wire
    read: Read
    prefix: str
    events: list[Event]
    blobs: list[bytes]
    young: bool = False


async def poll(account: Account, cursor: str | None, wire: Wire, read: Read, prefix: str = "") -> Polled:
    """One look. prefix: of our numbers on this channel ("whatsapp:"). Raises SendError; nothing is lost then."""
    now = int(wire.now.timestamp())
    had = _decode(cursor) or _Cursor(at=now - int(account.settings.get("backfill_first_s", settings.FIRST_S)))
    late = 0 < had.begun < now - SETTLE_S
    look = _Look(_begun(had, now), account, wire, read, prefix, [], [], young=late)
    targets = _targets(account, prefix)
    every_s = float(account.settings.get("backfill_s", settings.BACKFILL_S))
    for _ in range(PAGES):
        if look.cursor.place >= len(targets):
            break
        await _page(look, targets[look.cursor.place])
    over = look.cursor.place >= len(targets)
    if over:
        look.cursor = _done(look.cursor)
        again_s = min(every_s, SETTLE_S) if look.young else every_s
    else:
        look.cursor.seen = _beside(look.cursor)
        again_s = 0.0
    changed = cursor is None or look.cursor != had
    return Polled(
        events=tuple(look.events),
        blobs=tuple(look.blobs),
        cursor=msgspec.json.encode(look.cursor).decode() if changed else None,
        again_s=again_s,
    )


def _begun(cursor: _Cursor, now: int) -> _Cursor:
    return msgspec.structs.replace(cursor, seen=dict(cursor.seen), begun=cursor.begun or now)


def _decode(text: str | None) -> _Cursor | None:
    """None for what this version did not write: then it begins anew."""
    try:
        return msgspec.json.decode(text, type=_Cursor) if text else None
    except msgspec.DecodeError:
        return None


def _done(cursor: _Cursor) -> _Cursor:
    at = max(cursor.at, cursor.top)
    near = sorted(
        (item for item in cursor.seen.items() if item[1] >= at - OVERLAP_S), key=lambda item: item[1]
    )
    return _Cursor(at=at, seen=dict(near[-_SEEN:]))


def _beside(cursor: _Cursor) -> dict[str, int]:
    """In the middle of a look: what the rest of it may list again, and what the next look may. All between is listed
    once, however long the list is."""
    return {sid: at for sid, at in cursor.seen.items() if at <= cursor.at or at >= cursor.top - OVERLAP_S}


def _targets(account: Account, prefix: str) -> list[str]:
    """Whose messages are asked for. All of the Twilio account's where a service's numbers are not named."""
    mine = [prefix + number for number in settings.numbers(account)]
    return mine or [""]


async def _page(look: _Look, to: str) -> None:
    """One page of one number's list; afterwards the cursor names what is next."""
    cursor = look.cursor
    since = cursor.at - OVERLAP_S
    if cursor.page:
        where = api.base_url(look.account) + cursor.page
    else:
        # "DateSent>=…": the name of the parameter ends in ">". Where only its day counts, more comes than is needed.
        query = {
            "DateSent>": datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "PageSize": PAGE,
        }
        where = f"{api.url(look.account, '/Messages.json')}?{urlencode({'To': to, **query} if to else query)}"
    said = await api.get(look.wire, look.account, where, answer_bytes=ANSWER_BYTES)
    rows = said.get("messages")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            await _take(look, row, since)
    following = said.get("next_page_uri")
    if isinstance(following, str) and following.startswith("/"):
        cursor.page = following
    else:
        cursor.place, cursor.page = cursor.place + 1, ""


async def _take(look: _Look, row: api.Json, since: int) -> None:
    cursor = look.cursor
    sid = row.get("sid")
    sent = when(row.get("date_sent")) or when(row.get("date_created"))
    if row.get("direction") != "inbound" or not isinstance(sid, str) or sent is None or sid in cursor.seen:
        return
    service = settings.service(look.account)
    if service and not settings.numbers(look.account) and row.get("messaging_service_sid") != service:
        return
    at = int(sent.timestamp())
    if at < since:
        return
    if at > cursor.begun - SETTLE_S:
        look.young = True
        return
    await _event(look, row, sid, sent)
    cursor.top = max(cursor.top, at)
    cursor.seen[sid] = at


async def _event(look: _Look, row: api.Json, sid: str, sent: datetime) -> None:
    form = {
        "MessageSid": sid,
        "From": str(row.get("from") or ""),
        "To": str(row.get("to") or ""),
        "Body": str(row.get("body") or ""),
    }
    if str(row.get("num_media") or "0") != "0":
        form |= await _media(look, sid)
    try:
        look.events.append(look.read(form, look.account, look.wire.now, sent))
    except Malformed as error:
        raw = msgspec.json.encode(row)
        sha = hashlib.sha256(raw).hexdigest()
        look.blobs.append(raw)
        look.events.append(
            Unreadable(
                account=look.account.key,
                event_key=f"unreadable:{sha}",
                received_at=look.wire.now,
                reason=str(error),
                blob=sha,
                content_type="application/json",
            )
        )


async def _media(look: _Look, sid: str) -> dict[str, str]:
    """A message's files, as its webhook would have named them. Those that were deleted at Twilio are gone."""
    try:
        said = await api.get(look.wire, look.account, api.url(look.account, f"/Messages/{sid}/Media.json"))
    except SendError as error:
        if error.provider_code == "20404":
            return {}
        raise
    listed: Any = said.get("media_list")
    form: dict[str, str] = {}
    place = 0
    for one in listed if isinstance(listed, list) else ():
        uri = one.get("uri") if isinstance(one, dict) else None
        if isinstance(uri, str) and uri.startswith("/"):
            form[f"MediaUrl{place}"] = api.base_url(look.account) + uri.removesuffix(".json")
            form[f"MediaContentType{place}"] = str(one.get("content_type") or "")
            place += 1
    return {**form, "NumMedia": str(place)}
