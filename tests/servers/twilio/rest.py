"""The REST API, resource by resource. https://www.twilio.com/docs/messaging/api,
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource, https://www.twilio.com/docs/usage/twilios-response
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from tests.servers.twilio import sending
from tests.servers.twilio.errors import ApiError
from tests.servers.twilio.records import API, Hook, Json, Medium, Message, Number, stamp

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

Form = dict[str, list[str]]
PAGE, MOST = 50, 1000  # "PageSize: … defaults to 50, maximum 1000"
# A form's or a query's names that a list takes; "DateSent<=2026-11-20" arrives as a name "DateSent<".
FILTERS: Final = frozenset(
    ("To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken")
)
NUMBER: Final = {
    "FriendlyName": "friendly_name",
    "SmsUrl": "url",
    "SmsFallbackUrl": "fallback_url",
    "SmsMethod": "method",
    "SmsFallbackMethod": "fallback_method",
    "StatusCallback": "status_callback",
}


def created(json: Json) -> web.Response:
    return web.json_response(json, status=201)


def fetch_message(twilio: Twilio, sid: str) -> web.Response:
    return web.json_response(_message(twilio, sid).shown())


def change_message(twilio: Twilio, sid: str, form: Form) -> web.Response:
    """Redaction: Body may be made empty, and nothing else. https://www.twilio.com/docs/messaging/api/message-resource"""
    message = _message(twilio, sid)
    if set(form) - {"Body", "Status"}:
        raise ApiError(20001, ", ".join(sorted(set(form) - {"Body", "Status"})))
    if "Status" in form:
        raise ApiError(
            20001, message="Status: only a scheduled message can be canceled"
        )  # nothing is scheduled here
    if form.get("Body") != [""]:
        raise ApiError(20001, message="Body: a message can only be redacted to the empty text")
    if not message.finished:
        raise ApiError(20009, message="Cannot redact this resource before it is complete")
    message.body, message.updated = "", twilio.now()
    return web.json_response(message.shown())


def delete_message(twilio: Twilio, sid: str) -> web.Response:
    if not _message(twilio, sid).finished:
        raise ApiError(20009)
    del twilio.messages[sid]
    return web.Response(status=204)


def list_messages(twilio: Twilio, query: Form) -> web.Response:
    """Newest first. DateSent in GMT: a day, or an instant; both ends count (our reading of "on or before")."""
    for name in query:
        if name not in FILTERS:
            raise ApiError(20001, name)
    one = {name: values[0] for name, values in query.items()}
    keep: list[Callable[[Message], bool]] = []
    if to := one.get("To"):
        keep.append(lambda message: message.to == to)
    if sender := one.get("From"):
        keep.append(lambda message: message.from_ == sender)
    for name in ("DateSent", "DateSent<", "DateSent>"):
        if day := one.get(name):
            keep.append(_dated(name, day))
    found = sorted(
        (message for message in twilio.messages.values() if all(wanted(message) for wanted in keep)),
        key=lambda message: message.created,
    )[::-1]
    return _page(twilio, "Messages", "messages", found, Message.shown, one, lambda message: message.sid)


def _dated(name: str, text: str) -> Callable[[Message], bool]:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(20001, message=f"{name}: not a date") from None
    day = len(text) == len("2026-11-20")
    begin = at if at.tzinfo else at.replace(tzinfo=UTC)
    end = begin + (timedelta(days=1) if day else timedelta(seconds=1))

    def wanted(message: Message) -> bool:
        if message.sent_at is None:
            return False
        sent = datetime.fromtimestamp(message.sent_at, UTC)
        if name == "DateSent<":
            return sent < end
        return sent >= begin if name == "DateSent>" else begin <= sent < end

    return wanted


def _page(
    twilio: Twilio,
    path: str,
    name: str,
    found: Sequence[Any],
    shown: Callable[[Any], Json],
    one: dict[str, str],
    sid_of: Callable[[Any], str],
) -> web.Response:
    """A page goes on after the last item of the one before: what came in between moves nothing."""
    try:
        size = int(one.get("PageSize", PAGE))
        page = int(one.get("Page", 0))
    except ValueError:
        raise ApiError(20001, message="PageSize and Page are numbers") from None
    size = max(1, min(size, MOST))
    start = 0
    if token := one.get("PageToken"):
        after = token.removeprefix("PA")
        start = next((index + 1 for index, item in enumerate(found) if sid_of(item) == after), -1)
        if start < 0:
            raise ApiError(20404, f"PageToken {token}", status=400)
    elif page:
        raise ApiError(20001, message="Page without its PageToken")  # absolute paging was taken away
    items = found[start : start + size]
    base = f"/{API}/Accounts/{twilio.account_sid}/{path}.json"
    kept = {key: value for key, value in one.items() if key not in ("Page", "PageToken", "PageSize")}
    kept["PageSize"] = str(size)

    def uri(number: int, last: str) -> str:
        more = {"PageToken": f"PA{last}"} if last else {}
        return f"{base}?{urlencode(kept | {'Page': str(number)} | more)}"

    more = start + size < len(found)
    return web.json_response(
        {
            name: [shown(item) for item in items],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(0, len(items) - 1),
            "uri": uri(page, one.get("PageToken", "").removeprefix("PA")),
            "first_page_uri": uri(0, ""),
            "next_page_uri": uri(page + 1, sid_of(items[-1])) if more and items else None,
            "previous_page_uri": uri(page - 1, "") if page == 1 else None,
        }
    )


def list_media(twilio: Twilio, sid: str, query: Form) -> web.Response:
    message = _message(twilio, sid)
    one = {name: values[0] for name, values in query.items()}
    return _page(
        twilio, f"Messages/{sid}/Media", "media_list", message.media,
        lambda medium: _shown_medium(twilio, message, medium), one, lambda medium: str(medium.sid),
    )  # fmt: skip


def _shown_medium(twilio: Twilio, message: Message, medium: Medium) -> Json:
    return {
        "account_sid": twilio.account_sid,
        "content_type": medium.content_type,
        "date_created": stamp(medium.created),
        "date_updated": stamp(medium.created),
        "parent_sid": message.sid,
        "sid": medium.sid,
        "uri": f"/{API}/Accounts/{twilio.account_sid}/Messages/{message.sid}/Media/{medium.sid}.json",
    }


def medium(twilio: Twilio, sid: str, media_sid: str, *, as_json: bool) -> web.Response:
    """The bytes are elsewhere: 307 to the CDN, with a signed address that needs no password."""
    message = _message(twilio, sid)
    found = next((one for one in message.media if one.sid == media_sid), None)
    if found is None:
        raise ApiError(20404, f"/Messages/{sid}/Media/{media_sid}")
    if as_json:
        return web.json_response(_shown_medium(twilio, message, found))
    return web.Response(status=307, headers={"Location": twilio.cdn_address(found)})


def delete_medium(twilio: Twilio, sid: str, media_sid: str) -> web.Response:
    message = _message(twilio, sid)
    kept = [one for one in message.media if one.sid != media_sid]
    if len(kept) == len(message.media):
        raise ApiError(20404, f"/Messages/{sid}/Media/{media_sid}")
    message.media = kept
    return web.Response(status=204)


def account(twilio: Twilio) -> web.Response:
    base = f"/{API}/Accounts/{twilio.account_sid}"
    return web.json_response(
        {
            "sid": twilio.account_sid,
            "owner_account_sid": twilio.account_sid,
            "friendly_name": "Simulated",
            "status": twilio.account_status,
            "type": "Trial" if twilio.trial else "Full",
            "auth_token": twilio.auth_token,
            "date_created": stamp(twilio.opened_at),
            "date_updated": stamp(twilio.opened_at),
            "uri": f"{base}.json",
            "subresource_uris": {
                "messages": f"{base}/Messages.json",
                "incoming_phone_numbers": f"{base}/IncomingPhoneNumbers.json",
            },
        }
    )


def list_numbers(twilio: Twilio, query: Form) -> web.Response:
    one = {name: values[0] for name, values in query.items()}
    wanted = one.get("PhoneNumber", "")
    found = [number for number in twilio.numbers.values() if wanted in number.phone]
    return _page(
        twilio, "IncomingPhoneNumbers", "incoming_phone_numbers", found,
        lambda number: _shown_number(twilio, number), one, lambda number: str(number.sid),
    )  # fmt: skip


def fetch_number(twilio: Twilio, sid: str) -> web.Response:
    return web.json_response(_shown_number(twilio, _number(twilio, sid)))


def change_number(twilio: Twilio, sid: str, form: Form) -> web.Response:
    number = _number(twilio, sid)
    for name, values in form.items():
        if name not in NUMBER:
            raise ApiError(20001, name)
        value, field = values[0], NUMBER[name]
        if name.endswith("Url") and value and not sending.is_url(value):
            raise ApiError(21502, message=f"{name} is not valid: {value}")
        if name.endswith("Method") and value not in ("GET", "POST"):
            raise ApiError(21403, message=f"{name} is not valid: {value}")
        setattr(number.hook if hasattr(Hook(), field) else number, field, value)
    return web.json_response(_shown_number(twilio, number))


def _shown_number(twilio: Twilio, number: Number) -> Json:
    return {
        "sid": number.sid,
        "account_sid": twilio.account_sid,
        "api_version": API,
        "friendly_name": number.friendly_name or number.phone,
        "phone_number": number.phone,
        "capabilities": {"voice": True, "sms": number.sms, "mms": number.mms, "fax": False},
        "sms_url": number.hook.url,
        "sms_method": number.hook.method,
        "sms_fallback_url": number.hook.fallback_url,
        "sms_fallback_method": number.hook.fallback_method,
        "sms_application_sid": "",
        "status_callback": number.status_callback,
        "status_callback_method": "POST",
        "status": "in-use",
        "origin": "twilio",
        "date_created": stamp(number.created),
        "date_updated": stamp(number.created),
        "uri": f"/{API}/Accounts/{twilio.account_sid}/IncomingPhoneNumbers/{number.sid}.json",
    }


def _message(twilio: Twilio, sid: str) -> Message:
    if not re.fullmatch("(SM|MM)[0-9a-fA-F]{32}", sid) or sid not in twilio.messages:
        raise ApiError(20404, f"/{API}/Accounts/{twilio.account_sid}/Messages/{sid}.json")
    return twilio.messages[sid]


def _number(twilio: Twilio, sid: str) -> Number:
    for number in twilio.numbers.values():
        if number.sid == sid:
            return number
    raise ApiError(20404, f"/{API}/Accounts/{twilio.account_sid}/IncomingPhoneNumbers/{sid}.json")


async def json_of(request: web.Request) -> Any:
    """None where it is none."""
    if request.content_type != "application/json":
        return None
    try:
        return await request.json()
    except ValueError:
        return None


async def form_of(request: web.Request) -> dict[str, list[str]]:
    """The form of a POST, else the query. JSON is no form: Twilio sees no parameters in it."""
    text = request.rel_url.raw_query_string
    if request.method == "POST":
        if request.content_type != "application/x-www-form-urlencoded":
            await request.read()
            return {}
        text = (await request.read()).decode()
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
