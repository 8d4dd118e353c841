"""What the bot's account holds, and the errors of its API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]
_PREFIX = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
    413: "Request Entity Too Large", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
}  # fmt: skip


class ApiError(Exception):
    """{"ok": false, "error_code", "description", "parameters"?}"""

    def __init__(self, code: int, about: str = "", **parameters: int) -> None:
        super().__init__(code, about)
        prefix = _PREFIX.get(code, "Internal Server Error")
        self.code = code
        self.description = f"{prefix}: {about}" if about else prefix
        self.parameters = parameters

    def response(self) -> web.Response:
        said: Json = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            said["parameters"] = self.parameters
        headers = {}
        if "retry_after" in self.parameters:
            headers["Retry-After"] = str(self.parameters["retry_after"])
        return web.json_response(said, status=self.code, headers=headers)


def bad(about: str, **parameters: int) -> ApiError:
    return ApiError(400, about, **parameters)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message of the bot's as it was taken. raw: the Message as answered; what became of it: `Chat.messages`."""

    method: str
    chat_id: int
    message_id: int
    text: str
    raw: Json
    params: Json


@dataclass(frozen=True, kw_only=True)
class Refused:
    method: str
    code: int
    description: str
    params: Json


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file at Telegram."""

    file_id: str
    unique_id: str
    path: str
    content: bytes
    size: int
    mime_type: str
    name: str


@dataclass(kw_only=True)
class Update:
    """One update. tries: what our webhook answered, status or problem. done: taken, confirmed or dropped."""

    update_id: int
    kind: str
    body: Json
    expires: float
    tries: list[str] = field(default_factory=list)
    done: bool = False
    failures: int = 0

    @property
    def raw(self) -> Json:
        return {"update_id": self.update_id, self.kind: self.body}

    @property
    def taken(self) -> bool:
        return bool(self.tries) and self.tries[-1].startswith("2")


@dataclass(kw_only=True)
class Chat:
    """messages: by id, the bot's and others'. gone: "" or the words of a 403; migrated_to: the supergroup it became."""

    id: int
    type: str
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    known: bool = True  # to the bot: somebody who never wrote cannot be written to
    gone: str = ""
    migrated_to: int = 0
    forum: bool = False
    last_id: int = 0
    messages: dict[int, Json] = field(default_factory=dict)
    reactions: dict[int, list[Json]] = field(default_factory=dict)
    slow: list[float] = field(default_factory=list)  # when the bot sent, for its rates

    def shown(self) -> Json:
        told: Json = {"id": self.id, "type": self.type}
        for name in ("title", "first_name", "last_name", "username"):
            if value := getattr(self, name):
                told[name] = value
        if self.forum:
            told["is_forum"] = True
        return told

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id
