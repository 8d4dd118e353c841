"""What WhatsApp takes as each kind of message, by its limits.

developers.facebook.com/documentation/business-messaging/whatsapp/messages/*: text 4,096; captions 1,024; buttons 3
with titles of 20 and ids of 256; lists of 10 rows in 10 sections, button 20, row title 24, description 72, id 200;
body of an interactive message 1,024 (a list's 4,096), header and footer 60; media types and sizes:
.../business-phone-numbers/media ("Supported Media Types"). Which code answers which misfit is our reading (100,
131008 and 131009 are all in use).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.servers.graph import checks
from tests.servers.graph.errors import GraphError, Json

MB = 1024 * 1024
TEXT_MOST, CAPTION_MOST = 4_096, 1_024
TYPES: dict[str, dict[str, int]] = {
    "audio": dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * MB),
    "document": dict.fromkeys(
        (
            "text/plain",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        100 * MB,
    ),
    "image": dict.fromkeys(("image/jpeg", "image/png"), 5 * MB),
    "sticker": {"image/webp": 500 * 1024},  # animated; a static one STATIC_STICKER
    "video": dict.fromkeys(("video/mp4", "video/3gpp"), 16 * MB),
}
STATIC_STICKER = 100 * 1024
UPLOADS = {mime: most for types in TYPES.values() for mime, most in types.items()}
HasMedia = Callable[[str, str], None]
_PHONE = re.compile(r"^\+?[\d\-() ]{5,30}$")
BSUID = re.compile(r"^[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}$")


def text(given: Json) -> str:
    checks.known(given, ("body", "preview_url"), "text")
    checks.yes_or_no(given, "preview_url", "text")
    return checks.text(given, "body", "text", TEXT_MOST, code=100)


def media(kind: str, given: Json, has: HasMedia) -> str:
    """The caption. has(id, kind): raises where there is no such medium, or of a wrong type or size."""
    extra = {
        "image": ("caption",),
        "video": ("caption",),
        "document": ("caption", "filename"),
        "audio": ("voice",),
    }
    checks.known(given, ("id", "link", *extra.get(kind, ())), kind)
    if ("id" in given) == ("link" in given):
        raise GraphError(
            131009 if "id" in given else 131008, f"Param {kind} must have either an id or a link."
        )
    if "link" in given:
        checks.link(given["link"], f"{kind}['link']")
    else:
        has(str(given["id"]), kind)
    checks.text(given, "filename", kind, 240, required=False)
    return checks.text(given, "caption", kind, CAPTION_MOST, required=False)


def location(given: Json) -> str:
    checks.known(given, ("latitude", "longitude", "name", "address"), "location")
    for name, most in (("latitude", 90), ("longitude", 180)):
        value = checks.need(given, name, "location") if given.get(name) != 0 else 0
        try:
            if abs(float(value)) > most:
                raise ValueError
        except (TypeError, ValueError):
            raise GraphError(131009, f"Param location['{name}'] is not valid.") from None
    return str(given.get("name", ""))


_CONTACT = ("addresses", "birthday", "emails", "name", "org", "phones", "urls")


def contacts(given: object) -> str:
    names = []
    for one in checks.rows(given, "contacts", 1, 257):
        checks.known(checks.table(one, "contacts"), _CONTACT, "contacts")
        name = checks.table(checks.need(one, "name", "contacts"), "contacts['name']")
        names.append(checks.text(name, "formatted_name", "contacts['name']", 1_024))
        if len(name) < 2:
            raise GraphError(131009, "contacts['name'] needs one part besides formatted_name.")
    return ", ".join(names)


def reaction(given: Json) -> str:
    checks.known(given, ("message_id", "emoji"), "reaction")
    checks.text(given, "message_id", "reaction", 512)
    emoji = given.get("emoji")
    if not isinstance(emoji, str) or len(emoji) > 16 or (emoji.isascii() and emoji):
        raise GraphError(131009, "Param reaction['emoji'] is not a valid emoji.")
    return emoji


def interactive(given: Json, has: HasMedia) -> str:
    """The body's text."""
    checks.known(given, ("type", "header", "body", "footer", "action"), "interactive")
    kinds = {
        "button": _buttons,
        "list": _list,
        "cta_url": _cta,
        "location_request_message": _named("send_location"),
        "contact_request": _named("request_contact_info"),
    }
    kind = checks.one_of(checks.need(given, "type", "interactive"), kinds, "interactive['type']")
    body = checks.table(checks.need(given, "body", "interactive"), "interactive['body']")
    said = checks.text(body, "text", "interactive['body']", 4_096 if kind == "list" else 1_024)
    if "footer" in given:
        checks.text(checks.table(given["footer"], "footer"), "text", "interactive['footer']", 60)
    if "header" in given:
        _header(checks.table(given["header"], "header"), kind, has)
    kinds[kind](checks.table(checks.need(given, "action", "interactive"), "interactive['action']"))
    return said


def _header(given: Json, kind: str, has: HasMedia) -> None:
    allowed = ("text",) if kind == "list" else ("text", "image", "video", "document")
    of = checks.one_of(given.get("type"), allowed, "interactive['header']['type']")
    if of == "text":
        checks.text(given, "text", "interactive['header']", 60)
    else:
        media(of, checks.table(checks.need(given, of, "header"), of), has)


def _buttons(action: Json) -> None:
    checks.known(action, ("buttons",), "action")
    ids: list[str] = []
    titles: list[str] = []
    for one in checks.rows(action.get("buttons"), "action['buttons']", 1, 3):
        checks.known(checks.table(one, "buttons"), ("type", "reply"), "buttons")
        checks.one_of(one.get("type"), ("reply",), "buttons['type']")
        reply = checks.table(checks.need(one, "reply", "buttons"), "reply")
        checks.known(reply, ("id", "title"), "reply")
        ids.append(checks.text(reply, "id", "reply", 256))
        titles.append(checks.text(reply, "title", "reply", 20))
    _distinct(ids, "id")
    _distinct(titles, "title")


def _list(action: Json) -> None:
    checks.known(action, ("button", "sections"), "action")
    checks.text(action, "button", "action", 20)
    sections = checks.rows(action.get("sections"), "action['sections']", 1, 10)
    ids: list[str] = []
    for one in sections:
        checks.known(checks.table(one, "sections"), ("title", "rows"), "sections")
        checks.text(one, "title", "sections", 24, required=len(sections) > 1)
        for row in checks.rows(one.get("rows"), "sections['rows']", 1, 10):
            checks.known(checks.table(row, "rows"), ("id", "title", "description"), "rows")
            ids.append(checks.text(row, "id", "rows", 200))
            checks.text(row, "title", "rows", 24)
            checks.text(row, "description", "rows", 72, required=False)
    if len(ids) > 10:
        raise GraphError(131009, "Total row count exceed max allowed count: 10")
    _distinct(ids, "row id")


def _cta(action: Json) -> None:
    checks.known(action, ("name", "parameters"), "action")
    checks.one_of(action.get("name"), ("cta_url",), "action['name']")
    given = checks.table(checks.need(action, "parameters", "action"), "parameters")
    checks.text(given, "display_text", "parameters", 20)
    checks.link(given.get("url"), "parameters['url']")


def _named(name: str) -> Callable[[Json], None]:
    def check(action: Json) -> None:
        checks.known(action, ("name",), "action")
        checks.one_of(action.get("name"), (name,), "action['name']")

    return check


def _distinct(values: list[str], what: str) -> None:
    if len(set(values)) != len(values):
        raise GraphError(131009, f"Duplicated {what} in the action.")


def phone(value: object) -> str:
    """Digits only; raises (#100) for what is no phone number."""
    if not isinstance(value, str) or not _PHONE.match(value):
        raise GraphError(100, "Param to is not a valid WhatsApp phone number.")
    return re.sub(r"\D", "", value)
