"""Message templates of a WhatsApp Business Account, and what a send of one must fit.

developers.facebook.com/documentation/business-messaging/whatsapp/templates (parameters, named or by position), and the
error codes 132000 to 132016. Which code answers which misfit, where several would do, is our reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.servers.graph import checks
from tests.servers.graph.errors import GraphError, Json

HELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MEDIA_HEADERS = ("IMAGE", "VIDEO", "DOCUMENT", "LOCATION")
BODY_MOST = 1_024


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
            "parameter_format": "POSITIONAL"
            if all(one.isdigit() for one in HELD.findall(self.body))
            else "NAMED",
            "components": parts,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "id": self.id,
        }


def check(given: Json, templates: list[Template]) -> tuple[Template, str]:
    """The template that `given` names, and its text with the parameters in it; raises GraphError."""
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
    parts = given.get("components") or []
    if not isinstance(parts, list):
        raise GraphError(131009, "Param template['components'] must be an array.")
    by_type: dict[str, list[Json]] = {}
    for part in parts:
        kind = checks.one_of(
            str(checks.table(part, "components").get("type", "")).lower(),
            ("header", "body", "button"),
            "components['type']",
        )
        checks.known(part, ("type", "parameters", "sub_type", "index"), "components")
        by_type.setdefault(kind, []).append(part)
    _header(found, by_type.get("header", []))
    values = _texts([one for part in by_type.get("body", []) for one in part.get("parameters", [])])
    body = _fill(found.body, values, "body")
    if len(body) > BODY_MOST:
        raise GraphError(
            132005, f"body: translated text is {len(body)} characters, at most {BODY_MOST} are allowed"
        )
    for part in by_type.get("button", []):
        _button(found, part)
    return found, body


def _texts(parameters: list[Any]) -> list[tuple[str, str]]:
    """(name, or "" by position; text) of each."""
    values = []
    for one in parameters:
        checks.known(
            checks.table(one, "parameters"),
            (
                "type",
                "text",
                "parameter_name",
                "currency",
                "date_time",
                "image",
                "video",
                "document",
                "location",
            ),
            "parameters",
        )
        kind = checks.one_of(one.get("type"), ("text", "currency", "date_time"), "parameters['type']", 132012)
        if kind == "text":
            said = checks.text(one, "text", "parameters", 32_768)
        else:
            said = str(checks.need(checks.table(one.get(kind), kind), "fallback_value", kind))
        if re.search(r"[\n\t]| {5}", said):
            raise GraphError(
                100, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
            )
        values.append((str(one.get("parameter_name", "")), said))
    return values


def _fill(pattern: str, values: list[tuple[str, str]], where: str) -> str:
    names = list(dict.fromkeys(HELD.findall(pattern)))
    if len(names) != len(values):
        raise GraphError(
            132000,
            f"{where}: number of localizable_params ({len(values)}) does not match the expected number of params "
            f"({len(names)})",
        )
    if any(not name.isdigit() for name in names):
        said = dict(values)
        if set(said) != set(names):
            raise GraphError(132012, f"{where}: Parameter name is missing or empty")
        return HELD.sub(lambda match: said[match.group(1)], pattern)
    by_place = {name: text for name, (_, text) in zip(sorted(names, key=int), values, strict=True)}
    return HELD.sub(lambda match: by_place[match.group(1)], pattern)


def _header(template: Template, parts: list[Json]) -> None:
    parameters = [one for part in parts for one in part.get("parameters", [])]
    if template.header in MEDIA_HEADERS:
        kind = template.header.lower()
        if (
            len(parameters) != 1
            or parameters[0].get("type") != kind
            or not isinstance(parameters[0].get(kind), dict)
        ):
            raise GraphError(132012, f"header: Format mismatch, expected {template.header}, received UNKNOWN")
        return
    _fill(template.header, _texts(parameters), "header")


def _button(template: Template, part: Json) -> None:
    index = int(part.get("index", -1))
    if not 0 <= index < len(template.buttons):
        raise GraphError(131009, f"Button index {index} is not of the template.")
    kind = template.buttons[index][0]
    if str(part.get("sub_type", "")).upper() != kind:
        raise GraphError(132012, f"button: Format mismatch, expected {kind}")
    for one in part.get("parameters", []):
        wanted = {"QUICK_REPLY": "payload", "URL": "text", "COPY_CODE": "coupon_code"}.get(kind, "")
        if one.get("type") != wanted or not isinstance(one.get(wanted), str):
            raise GraphError(132012, f"button: a parameter of type {wanted} is expected")
