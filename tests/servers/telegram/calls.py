"""How a method is declared and called. https://core.telegram.org/bots/api#making-requests: the query, a form, JSON or
multipart/form-data; names of methods are case-insensitive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.servers.telegram.records import Json, bad

if TYPE_CHECKING:
    from tests.servers.telegram.server import Telegram


@dataclass(frozen=True)
class Upload:
    """A file of a multipart request."""

    name: str
    content: bytes
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class Call:
    telegram: Telegram
    method: str
    args: Json
    uploads: dict[str, Upload] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """An argument, or None."""
        return self.args.get(name)


Work = Callable[[Call], Any]


@dataclass(frozen=True)
class Method:
    name: str
    work: Work
    args: dict[str, str]


METHODS: dict[str, Method] = {}
COMMON = (
    "chat_id message_thread_id:int direct_messages_topic_id:int business_connection_id disable_notification:bool "
    "protect_content:bool allow_paid_broadcast:bool message_effect_id suggested_post_parameters:json "
    "reply_parameters:json reply_markup:json"
)
CAPTION = "caption parse_mode caption_entities:json show_caption_above_media:bool"


def method(name: str, args: str = "") -> Callable[[Work], Work]:
    """`args`: "text parse_mode entities:json"; kinds: text, int, float, bool, json, file."""

    def declare(work: Work) -> Work:
        kinds = dict(word.partition(":")[::2] for word in args.split())
        METHODS[name.lower()] = Method(name, work, {key: kind or "text" for key, kind in kinds.items()})
        return work

    return declare


async def given(request: web.Request) -> tuple[Json, dict[str, Upload]]:
    """What was sent, as it came. Raises ApiError for a body that is not what it says."""
    found: Json = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.content_type == "application/json":
        raw = await request.read()
        try:
            body = json.loads(raw) if raw.strip() else {}
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(body, dict):
            raise bad("object expected")
        return found | {key: value for key, value in body.items() if value is not None}, uploads
    for key, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            value.file.seek(0)  # it is read when the request is noted, and again when it is answered
            uploads[key] = Upload(value.filename, value.file.read(), value.content_type)
        else:
            found[key] = value
    return found, uploads


def typed(declared: Method, found: Json, uploads: dict[str, Upload]) -> Json:
    """Arguments by their kinds. Telegram overlooks a name it does not know; here it is an error: nobody reads it."""
    args: Json = {}
    for name, value in found.items():
        if name not in declared.args:
            raise bad(f"unknown parameter {name!r} of {declared.name} (overlooked by Telegram)")
        args[name] = _typed(name, value, declared.args[name])
    names = {
        str(value)[len("attach://") :]
        for value in _strings(list(args.values()))
        if value.startswith("attach://")
    }
    for name in uploads:
        if declared.args.get(name) == "file":
            args[name] = f"attach://{name}"
        elif name not in names:
            raise bad(f"unknown file {name!r} (overlooked by Telegram)")
    return args


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return [value] if isinstance(value, str) else []


def _typed(name: str, value: Any, kind: str) -> Any:
    match kind:
        case "json":
            if not isinstance(value, str):
                return value
            try:
                return json.loads(value)
            except ValueError:
                raise bad(f"can't parse {name.replace('_', ' ')} JSON object") from None
        case "int" | "float":
            try:
                return int(value) if kind == "int" else float(value)
            except (TypeError, ValueError):
                raise bad(f"{name} is not a number") from None
        case "bool":
            return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes", "y")
    if isinstance(value, dict | list | bool):
        raise bad(f'field "{name}" must be of type String')
    return str(value)
