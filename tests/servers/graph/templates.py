"""Message templates of a WhatsApp Business Account, and what a send of one must fit.

developers.facebook.com/documentation/business-messaging/whatsapp/templates (parameters, named or by position), and the
error codes 132000 to 132016. Which code answers which misfit stands on no page; from what people were answered:
132000 "number of localizable_params" (github.com/chatwoot/chatwoot/issues/13851 too, of a named header that is not
filled), 132012 "Format mismatch, expected IMAGE, received UNKNOWN" (github.com/netflie/laravel-notification-whatsapp/
issues/36), 100 "Parameter name is missing or empty" (the same, issues/41), 131008 "Button at index 0 of type Url
requires a parameter" (github.com/PipedreamHQ/pipedream/issues/5899), 100 "Button at index 0 is of type Call and does
not support parameters" (github.com/Secreto31126/whatsapp-api-js/issues/175), 100 "['sub_type'] must be one of"
(github.com/shridarpatil/frappe_whatsapp/issues/188). The others are our reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.servers.graph import checks, kinds
from tests.servers.graph.errors import GraphError, Json

HELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MEDIA_HEADERS = ("IMAGE", "VIDEO", "DOCUMENT", "LOCATION")
BODY_MOST, HEADER_MOST = 1_024, 60
SUB_TYPES = (
    *(
        "BOOKING_CONFIRMATION",
        "CATALOG",
        "COPY_CODE",
        "FLOW",
        "MPM",
        "ORDER_DETAILS",
        "QUICK_REPLY",
        "REMINDER",
    ),
    *("URL", "VOICE_CALL"),
)
# A button's kind -> (its name in errors, the type of its parameter and where the value stands).
BUTTONS = {
    "QUICK_REPLY": ("QuickReply", "payload"),
    "URL": ("Url", "text"),
    "COPY_CODE": ("CopyCode", "coupon_code"),
}


@dataclass(kw_only=True)
class Template:
    """body: with {{1}} or {{name}}. header: a text, one of MEDIA_HEADERS, or "". buttons: (kind, text, url or
    payload) with kind "QUICK_REPLY", "URL", "PHONE_NUMBER" or "COPY_CODE". status: "APPROVED", "PENDING",
    "REJECTED", "PAUSED", "DISABLED". category: "MARKETING", "UTILITY", "AUTHENTICATION"."""

    id: str
    name: str
    language: str
    body: str
    category: str = "UTILITY"
    status: str = "APPROVED"
    header: str = ""
    footer: str = ""
    buttons: tuple[tuple[str, str, str], ...] = ()

    @property
    def named(self) -> bool:
        """A button's link has its variable by position either way."""
        return any(not one.isdigit() for one in HELD.findall(f"{self.header} {self.body}"))

    @property
    def shown(self) -> Json:
        """As GET /{waba}/message_templates lists it."""
        parts: list[Json] = []
        if self.header:
            media = self.header in MEDIA_HEADERS
            parts.append({"type": "HEADER", "format": self.header if media else "TEXT"})
            if not media:
                parts[-1]["text"] = self.header
        parts.append({"type": "BODY", "text": self.body})
        if self.footer:
            parts.append({"type": "FOOTER", "text": self.footer})
        if self.buttons:
            keys = {"URL": "url", "PHONE_NUMBER": "phone_number", "COPY_CODE": "example"}
            buttons = [
                {"type": kind, "text": text} | ({keys[kind]: extra} if kind in keys else {})
                for kind, text, extra in self.buttons
            ]
            parts.append({"type": "BUTTONS", "buttons": buttons})
        return {
            "name": self.name,
            "parameter_format": "NAMED" if self.named else "POSITIONAL",
            "components": parts,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "id": self.id,
        }


def check(given: Json, templates: list[Template], has: kinds.HasMedia) -> tuple[Template, str]:
    """The template that `given` names, and its text with the parameters in it; raises GraphError. has: see `kinds`."""
    checks.known(given, ("name", "language", "components", "namespace"), "template")
    name = checks.text(given, "name", "template", 512)
    language = checks.table(checks.need(given, "language", "template"), "template['language']")
    checks.known(language, ("code", "policy"), "template['language']")
    code = checks.text(language, "code", "template['language']", 20)
    found = next((one for one in templates if (one.name, one.language) == (name, code)), None)
    if found is None or found.status in ("PENDING", "REJECTED"):
        raise GraphError(132001, f"template name ({name}) does not exist in {code}")
    if found.status == "PAUSED":
        raise GraphError(132015)
    if found.status == "DISABLED":
        raise GraphError(132016)
    by_type = _components(given)
    if max(len(by_type["header"]), len(by_type["body"])) > 1:
        raise GraphError(131009, "A template has one header and one body.")
    _header(found, _parameters(by_type["header"]), has)
    body = _fill(found, found.body, _parameters(by_type["body"]), "body", BODY_MOST)
    _buttons(found, by_type["button"])
    return found, body


def head(given: Json) -> tuple[str, Json]:
    """(kind, file) at the head of a template that fits; ("", {}) where no file is there."""
    for part in given.get("components") or []:
        for one in part["parameters"] if str(part["type"]).lower() == "header" else []:
            if one["type"] in ("image", "video", "document"):
                return one["type"], one[one["type"]]
    return "", {}


def _components(given: Json) -> dict[str, list[Json]]:
    parts = given.get("components") or []
    if not isinstance(parts, list):
        raise GraphError(131009, "Param template['components'] must be an array.")
    by_type: dict[str, list[Json]] = {"header": [], "body": [], "button": []}
    for place, part in enumerate(parts):
        where = f"template['components'][{place}]"
        kind = str(checks.table(part, where).get("type", "")).lower()
        checks.one_of(kind, by_type, f"{where}['type']", 100)
        extra = ("sub_type", "index") if kind == "button" else ()
        checks.known(part, ("type", "parameters", *extra), where)
        if kind == "button":
            checks.one_of(str(part.get("sub_type", "")).upper(), SUB_TYPES, f"{where}['sub_type']", 100)
        by_type[kind].append(part)
    return by_type


def _parameters(parts: list[Json]) -> list[Json]:
    found: list[Json] = []
    for part in parts:
        given = part.get("parameters", [])
        if not isinstance(given, list):
            raise GraphError(131009, "Param parameters must be an array.")
        found += [checks.table(one, "parameters") for one in given]
    return found


_OF_KIND = ("text", "currency", "date_time", "image", "video", "document", "location")


def _said(one: Json, where: str) -> str:
    """The text of one parameter."""
    checks.known(one, ("type", "parameter_name", *_OF_KIND), "parameters")
    kind = str(one.get("type"))
    if kind not in ("text", "currency", "date_time") or (where == "header" and kind != "text"):
        raise GraphError(132012, f"{where}: Format mismatch, expected TEXT, received {kind.upper()}")
    if kind == "text":
        said = checks.text(one, "text", "parameters", 32_768)
    else:
        said = str(checks.need(checks.table(one.get(kind), kind), "fallback_value", kind))
    if re.search(r"[\n\t]| {5}", said):
        raise GraphError(
            100, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
        )
    return said


def _fill(template: Template, pattern: str, parameters: list[Json], where: str, most: int) -> str:
    names = list(dict.fromkeys(HELD.findall(pattern)))
    texts = [_said(one, where) for one in parameters]
    if len(names) != len(texts):
        raise GraphError(
            132000,
            f"{where}: number of localizable_params ({len(texts)}) does not match the expected number of params "
            f"({len(names)})",
        )
    given = [one.get("parameter_name") for one in parameters]
    if template.named and not all(given):
        raise GraphError(100, "Parameter name is missing or empty")
    if not template.named and any(given):
        raise GraphError(100, f"{where}: the parameters of this template have no names")
    if template.named and set(given) != set(names):
        raise GraphError(132012, f"{where}: there is no parameter {sorted(map(str, given))}")
    order = [str(one) for one in given] if template.named else sorted(names, key=int)
    said = dict(zip(order, texts, strict=True))
    text = HELD.sub(lambda match: said[match.group(1)], pattern)
    if len(text) > most:
        raise GraphError(
            132005, f"{where}: translated text is {len(text)} characters, at most {most} are allowed"
        )
    return text


def _header(template: Template, parameters: list[Json], has: kinds.HasMedia) -> None:
    if template.header not in MEDIA_HEADERS:
        _fill(template, template.header, parameters, "header", HEADER_MOST)
        return
    kind = template.header.lower()
    if len(parameters) > 1:
        raise GraphError(132000, f"header: number of params ({len(parameters)}) does not match (1)")
    received = str(parameters[0].get("type", "UNKNOWN")) if parameters else "UNKNOWN"
    if received != kind:
        raise GraphError(
            132012, f"header: Format mismatch, expected {template.header}, received {received.upper()}"
        )
    checks.known(parameters[0], ("type", kind), "parameters")
    value = checks.table(checks.need(parameters[0], kind, "parameters"), kind)
    if kind == "location":
        kinds.location(value)
        return
    checks.known(value, ("id", "link", *(("filename",) if kind == "document" else ())), kind)
    kinds.media(kind, value, has)


def _buttons(template: Template, parts: list[Json]) -> None:
    filled: set[int] = set()
    for part in parts:
        said = str(part["index"]) if part.get("index") == 0 else str(checks.need(part, "index", "components"))
        index = int(said) if said.isdigit() else -1
        if not 0 <= index < len(template.buttons) or index in filled:
            raise GraphError(131009, f"Button index {said} is not of the template, or is there twice.")
        filled.add(index)
        _button(template, index, part)
    for place, (kind, _, extra) in enumerate(template.buttons):
        if place not in filled and (kind == "COPY_CODE" or (kind == "URL" and HELD.search(extra))):
            raise _wanting(place, BUTTONS[kind][0])


def _button(template: Template, index: int, part: Json) -> None:
    kind, _, extra = template.buttons[index]
    fixed = kind == "URL" and not HELD.search(extra)
    if kind not in BUTTONS or fixed:
        called = BUTTONS[kind][0] if fixed else "Call"
        raise GraphError(
            100, f"buttons: Button at index {index} is of type {called} and does not support parameters"
        )
    called, wanted = BUTTONS[kind]
    if str(part["sub_type"]).upper() != kind:
        raise GraphError(132012, f"button: Format mismatch, expected {kind}")
    parameters = _parameters([part])
    if not parameters:
        raise _wanting(index, called)
    if len(parameters) > 1:
        raise GraphError(132000, f"buttons: Button at index {index} has {len(parameters)} params, 1 expected")
    checks.known(parameters[0], ("type", wanted), "parameters")
    if parameters[0].get("type") != wanted:
        raise GraphError(132012, f"button: a parameter of type {wanted} is expected")
    if not checks.text(parameters[0], wanted, "parameters", 2_000).strip():
        raise _wanting(index, called)


def _wanting(index: int, called: str) -> GraphError:
    return GraphError(131008, f"buttons: Button at index {index} of type {called} requires a parameter")
