"""A template as WhatsApp takes it: its name, its language, and what fills its header, its body and its buttons. Pure.

https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/components (a text header has one
parameter; media headers; buttons), .../templates/overview ("Parameter formats": by position, or by name with
`parameter_name`; "Names"), .../templates/utility-templates (what is sent), https://developers.facebook.com/docs/whatsapp/
cloud-api/reference/messages (component, parameter and button objects; `index` is 0 for the first of all buttons). A URL
button's variable is by position in a template with names, too; static buttons have no component.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from hub.config import ApprovedText
from hub.model import ButtonKind, HeaderKind, Template, TemplateButton, TemplateHeader

Json = dict[str, Any]

FILE_NAME_CHARS, URL_CHARS = 240, 2_000
_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2,3})?")
_LINK = re.compile(r"https?://[^\s/?#\[\]]+(/[^\s?#]*)?\S*")
_FILE_ID = re.compile(r"\d{1,40}")

# what a button wants -> (its sub_type, its parameter's type, where the value stands)
_BUTTONS: Mapping[ButtonKind, tuple[str, str, str]] = {
    ButtonKind.URL: ("url", "text", "text"),
    ButtonKind.REPLY: ("quick_reply", "payload", "payload"),
    ButtonKind.CODE: ("copy_code", "coupon_code", "coupon_code"),
}


def complaints(text: ApprovedText) -> list[str]:
    """What is wrong with an entry of replies.yaml, whatever its places are filled with."""
    found = []
    if not _NAME.fullmatch(text.name):
        found.append(f"WhatsApp names a template with small letters, digits and _, not {text.name[:60]!r}")
    if text.language and not _LANGUAGE.fullmatch(text.language):
        found.append(f"WhatsApp writes a language as en or en_US, not {text.language!r}")
    named = (*text.names, text.header.name) if text.header else text.names
    if large := [name for name in named if name != name.lower()]:
        found.append(f"WhatsApp names a parameter with small letters, digits and _, not {large[0]!r}")
    return found


def misfit(template: Template) -> str:
    """Why WhatsApp would not take it, in words; empty where nothing speaks against it."""
    if not template.name.strip():
        return "the template has no name"
    if template.names and len(template.names) != len(template.parameters):
        return "the template's parameters have other names than there are"
    head = template.header
    texts = {f"parameter {place}": value for place, value in enumerate(template.parameters, 1)}
    if head is not None and head.kind is HeaderKind.TEXT:
        texts["header"] = head.value
    for what, value in texts.items():
        if not value.strip():
            return f"the template's {what} is empty"
        if "\n" in value or "\t" in value or "     " in value:
            return f"the template's {what} has a line break, a tab or more than four spaces in a row"
    if head is not None and head.value and head.kind is not HeaderKind.TEXT and not _is_file(head.value):
        return f"the template's {head.kind} is neither a link nor the id of a file at WhatsApp"
    return next(filter(None, map(_button_misfit, template.buttons)), "")


def _button_misfit(button: TemplateButton) -> str:
    if not button.value.strip():
        return f"the template's button {button.number} is empty"
    if button.kind is ButtonKind.URL and (
        len(button.value) > URL_CHARS or any(map(str.isspace, button.value))
    ):
        return f"the end of the link on the template's button {button.number} has spaces, or is too long"
    return ""


def _is_file(value: str) -> bool:
    return bool(_LINK.fullmatch(value) or _FILE_ID.fullmatch(value))


def template(given: Template, attached: Json | None = None) -> Json:
    """attached: the file that stands at its head, as a message of its own would have it ({id, filename})."""
    said: Json = {"name": given.name, "language": {"code": given.language or "en"}}
    if components := list(_components(given, attached)):
        said["components"] = components
    return {"type": "template", "template": said}


def _components(given: Template, attached: Json | None) -> Iterator[Json]:
    if given.header is not None:
        yield {"type": "header", "parameters": [_head(given.header, attached)]}
    if given.parameters:
        names = given.names or ("",) * len(given.parameters)
        texts = [_text(value, name) for name, value in zip(names, given.parameters, strict=True)]
        yield {"type": "body", "parameters": texts}
    for button in given.buttons:
        sub_type, kind, key = _BUTTONS[button.kind]
        parameters = [{"type": kind, key: button.value}]
        yield {
            "type": "button",
            "sub_type": sub_type,
            "index": str(button.number - 1),
            "parameters": parameters,
        }


def _text(value: str, name: str) -> Json:
    """By position where it has no name."""
    return {"type": "text", "text": value} | ({"parameter_name": name} if name else {})


def _head(header: TemplateHeader, attached: Json | None) -> Json:
    if header.kind is HeaderKind.TEXT:
        return _text(header.value, header.name)
    return {"type": header.kind.value, header.kind.value: attached or _file(header)}


def _file(header: TemplateHeader) -> Json:
    """A document without a name is shown as "Untitled": a link's last part is one."""
    if _FILE_ID.fullmatch(header.value):
        return {"id": header.value}
    path = link[1] if (link := _LINK.fullmatch(header.value)) else ""
    name = unquote((path or "").rpartition("/")[2])[-FILE_NAME_CHARS:]
    named = header.kind is HeaderKind.DOCUMENT and name
    return {"link": header.value} | ({"filename": name} if named else {})
