"""Content templates: buttons and lists are made here before they are sent. The host is content.twilio.com; here it is
the same door. https://www.twilio.com/docs/content/content-api-resources, …/docs/content/twilio-quick-reply,
…/docs/content/twilio-list-picker
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.servers.twilio.errors import ApiError
from tests.servers.twilio.records import Json, Template, stamp

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

BODY: Final = 1024  # "Maximum length: 1,024 characters."
# type: the list's name, how many at most, and its texts with the longest of each (WhatsApp's limits).
CHOICES: Final[dict[str, tuple[str, int, dict[str, int]]]] = {
    "twilio/quick-reply": ("actions", 10, {"title": 20, "id": 200}),
    "twilio/list-picker": ("items", 10, {"item": 24, "id": 200, "description": 72}),
}
TYPES: Final = frozenset(
    (*CHOICES, "twilio/text", "twilio/media", "twilio/location", "twilio/call-to-action", "twilio/card",
     "twilio/carousel", "twilio/catalog", "whatsapp/card", "whatsapp/authentication")
)  # fmt: skip
FIELDS: Final = frozenset(("friendly_name", "language", "variables", "types"))


def create(twilio: Twilio, given: Any) -> web.Response:
    """JSON alone. Made by the API, it is not approved: good within the window."""
    if not isinstance(given, dict):
        raise ApiError(20001, message="The request body is not valid JSON")
    if extra := set(given) - FIELDS:
        raise ApiError(20001, min(extra))
    types = given.get("types")
    if not isinstance(types, dict) or not types:
        raise ApiError(92001, message="'types' Parameter Required")
    if not isinstance(given.get("language"), str):
        raise ApiError(92002, message="'language' Parameter Required")
    for kind, content in types.items():
        _check(kind, content)
    kind, content = next(iter(types.items()))
    listed, _, texts = CHOICES.get(kind, ("", 0, {}))
    title = "title" if "title" in texts else "item"
    template = Template(
        body=content.get("body", ""),
        kind=kind,
        approved=False,
        choices=tuple((one.get("id", one[title]), one[title]) for one in content.get(listed, ())),
        name=given.get("friendly_name", ""),
        types=types,
        language=given["language"],
        variables=given.get("variables") or {},
    )
    twilio.templates[template.sid] = template
    return web.json_response(_shown(twilio, template), status=201)


def _check(kind: str, content: Any) -> None:
    if kind not in TYPES:
        raise ApiError(92003, message=f"Invalid type: {kind}")
    if not isinstance(content, dict):
        raise ApiError(92003, message=f"{kind} must be an object")
    body = content.get("body", "")
    if not isinstance(body, str) or (not body and kind in ("twilio/text", *CHOICES)):
        raise ApiError(92003, message=f"{kind}: body is required")
    if kind not in CHOICES:
        return
    if len(body) > BODY:
        raise ApiError(92003, message=f"{kind}: body has more than {BODY} characters")
    listed, most, texts = CHOICES[kind]
    found = content.get(listed)
    if not isinstance(found, list) or not 1 <= len(found) <= most:
        raise ApiError(92003, message=f"{kind}: 1 to {most} {listed}")
    if kind == "twilio/list-picker" and not 1 <= len(content.get("button", "")) <= 20:
        raise ApiError(92003, message="twilio/list-picker: button has 1 to 20 characters")
    for one in found:
        for name, longest in texts.items():
            if len(one.get(name, "")) > longest or (name in ("title", "item") and not one.get(name)):
                raise ApiError(92003, message=f"{kind}: {name} has 1 to {longest} characters")
    for name in ("title", "item", "id"):
        values = [one[name] for one in found if name in one]
        if len(set(values)) < len(values):
            raise ApiError(92003, message=f"{kind}: {name} twice")


def list_all(twilio: Twilio) -> web.Response:
    shown = [_shown(twilio, one) for one in twilio.templates.values()]
    url = f"{twilio.url}/v1/Content?PageSize=50&Page=0"
    meta = {"page": 0, "page_size": 50, "first_page_url": url, "url": url, "previous_page_url": None}
    return web.json_response({"contents": shown, "meta": meta | {"next_page_url": None, "key": "contents"}})


def fetch(twilio: Twilio, sid: str) -> web.Response:
    return web.json_response(_shown(twilio, _template(twilio, sid)))


def delete(twilio: Twilio, sid: str) -> web.Response:
    del twilio.templates[_template(twilio, sid).sid]
    return web.Response(status=204)


def approval(twilio: Twilio, sid: str) -> web.Response:
    template = _template(twilio, sid)
    status = "approved" if template.approved else "unsubmitted"
    told = {
        "type": "whatsapp", "name": template.name, "category": "UTILITY", "content_type": template.kind,
        "status": status, "rejection_reason": "", "allow_category_change": True,
    }  # fmt: skip
    return web.json_response(
        {
            "sid": sid,
            "account_sid": twilio.account_sid,
            "whatsapp": told,
            "url": f"{twilio.url}/v1/Content/{sid}",
        }
    )


def _template(twilio: Twilio, sid: str) -> Template:
    if sid not in twilio.templates:
        raise ApiError(20404, f"/v1/Content/{sid}")
    return twilio.templates[sid]


def _shown(twilio: Twilio, template: Template) -> Json:
    url = f"{twilio.url}/v1/Content/{template.sid}"
    at = stamp(twilio.opened_at)
    return {
        "sid": template.sid, "account_sid": twilio.account_sid, "friendly_name": template.name,
        "language": template.language, "variables": template.variables,
        "types": template.types or {template.kind: {"body": template.body}},
        "date_created": at, "date_updated": at, "url": url,
        "links": {
            "approval_create": f"{url}/ApprovalRequests/whatsapp", "approval_fetch": f"{url}/ApprovalRequests",
        },
    }  # fmt: skip
