"""What Messenger and Instagram take as a message, by their limits.

Messenger: developers.facebook.com/docs/messenger-platform/reference/send-api (text 2,000; quick replies 13, titles
20, payloads 1,000; metadata 1,000), /reference/templates (button text 640, 1 to 3 buttons; generic 1 to 10
elements, title and subtitle 80), attachments 25 MB. Instagram:
docs/instagram-platform/instagram-api-with-instagram-login/messaging-api (text 1,000 bytes; images 8 MB, others 25
MB). Tags but HUMAN_AGENT ended in 2026. Wordings are Meta's where known, else ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.servers.graph import checks
from tests.servers.graph.account import File
from tests.servers.graph.errors import GraphError, Json

MB = 1024 * 1024
TEXT_CHARS, TEXT_BYTES = 2_000, 1_000
ACTIONS = ("typing_on", "typing_off", "mark_seen", "react", "unreact")
FILES = ("image", "audio", "video", "file")
_TOP = (
    *(
        "recipient",
        "messaging_type",
        "message",
        "sender_action",
        "tag",
        "notification_type",
        "reply_to",
        "payload",
    ),
    *("persona_id", "filedata", "thread_control"),
)
_MESSAGE = (
    "text",
    "attachment",
    "attachments",
    "quick_replies",
    "metadata",
    "sticker_id",
    "reply_to",
    "is_reusable",
)
_BUTTONS = ("web_url", "postback", "phone_number", "account_link", "account_unlink", "game_play")


@dataclass(frozen=True, kw_only=True)
class Message:
    """A send that fits. media: a URL, an attachment's id, or a file."""

    to: str
    by: str  # "id", "comment_id", "user_ref" …
    kind: str = "text"
    text: str = ""
    tag: str = ""
    reply_to: str = ""
    metadata: str = ""
    media: str = ""
    file: File | None = None
    reusable: bool = False


def check(platform: str, given: Json, files: list[File]) -> Message:
    """Raises GraphError."""
    checks.known(given, _TOP, "messages")
    by, to = recipient(given)
    tag = _tag(platform, given, by)
    if "sender_action" in given:
        action = checks.one_of(given["sender_action"], ACTIONS, "sender_action", 100)
        if "message" in given:
            raise GraphError(100, message="Cannot send both message and state at the same time.")
        payload = _table(given, "payload")
        target = str(payload.get("message_id", "")) if action in ("react", "unreact") else ""
        return Message(to=to, by=by, kind=action, text=str(payload.get("reaction", "")), media=target)
    message = given.get("message")
    if not isinstance(message, dict) or not message:
        raise GraphError(100, message="The parameter message is required.")
    checks.known(message, _MESSAGE, "message")
    if sum(one in message for one in ("text", "attachment", "attachments", "sticker_id")) != 1:
        raise GraphError(100, message="Message must have exactly one of text, attachment or sticker_id.")
    checks.text(message, "metadata", "message", 1_000, required=False, code=100)
    replies = message.get("quick_replies", [])
    _quick_replies(replies)
    reply = _table(given, "reply_to") or _table(message, "reply_to")
    base = Message(
        to=to,
        by=by,
        tag=tag,
        reply_to=str(reply.get("mid", "")),
        metadata=str(message.get("metadata", "")),
    )
    if "text" in message:
        return replace(base, text=_text(platform, message["text"]))
    if "sticker_id" in message:
        return replace(base, kind="sticker", media=str(message["sticker_id"]))
    if "attachments" in message:
        for one in checks.rows(message["attachments"], "message[attachments]", 1, 10, 100):
            _attachment(platform, one, [])
        first = message["attachments"][0]
        return replace(base, kind=str(first["type"]), media=str(first["payload"].get("url", "")))
    kind, media, file, reusable, text = _attachment(platform, message["attachment"], files)
    return replace(base, kind=kind, text=text, media=media, file=file, reusable=reusable)


def _table(given: Json, name: str) -> Json:
    return checks.table(given.get(name, {}), name, 100)


def recipient(given: Json) -> tuple[str, str]:
    """("id", "comment_id", "post_id" or "user_ref"; its value)."""
    named = given.get("recipient")
    if not isinstance(named, dict) or len(named) != 1:
        raise GraphError(100, message="The parameter recipient is required.")
    [(by, to)] = named.items()
    checks.one_of(by, ("id", "comment_id", "post_id", "user_ref"), "recipient", 100)
    if not isinstance(to, str) or not to or (by == "id" and not to.isdigit()):
        raise GraphError(100, message=f'Param recipient[{by}] must be a valid ID string (e.g., "123")')
    return by, to


def _tag(platform: str, given: Json, by: str) -> str:
    kind = given.get("messaging_type")
    if kind is None and "tag" not in given:
        if platform == "messenger" and by == "id" and "sender_action" not in given:
            raise GraphError(100, message="The parameter messaging_type is required.")
        return ""
    checks.one_of(kind, ("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"), "messaging_type", 100)
    if kind != "MESSAGE_TAG":
        if "tag" in given:
            raise GraphError(100, message="Param tag needs messaging_type MESSAGE_TAG.")
        return ""
    return checks.one_of(given.get("tag"), ("HUMAN_AGENT",), "tag", 100)


def _text(platform: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise GraphError(100, message="Empty text")
    most = TEXT_BYTES if platform == "instagram" else TEXT_CHARS
    if (len(text.encode()) if platform == "instagram" else len(text)) > most:
        raise GraphError(
            100,
            message=f"Length of param message[text] must be less than or equal to {most}",
            subcode=2018320,
        )
    return text


def _quick_replies(replies: object) -> None:
    for one in checks.rows(replies, "message[quick_replies]", 0, 13, 100):
        checks.known(
            checks.table(one, "quick_replies", 100),
            ("content_type", "title", "payload", "image_url"),
            "quick_replies",
        )
        kinds = ("text", "user_phone_number", "user_email")
        if checks.one_of(one.get("content_type"), kinds, "quick_replies[content_type]", 100) == "text":
            checks.text(one, "title", "quick_replies", 20, code=100, lacks=100)
            checks.text(one, "payload", "quick_replies", 1_000, code=100, lacks=100)


def _attachment(platform: str, given: object, files: list[File]) -> tuple[str, str, File | None, bool, str]:
    attachment = checks.table(given, "message[attachment]", 100)
    checks.known(attachment, ("type", "payload"), "attachment")
    kind = checks.one_of(attachment.get("type"), (*FILES, "template", "MEDIA_SHARE"), "attachment[type]", 100)
    payload = _table(attachment, "payload")
    if kind == "template":
        return kind, "", None, False, template(payload)
    if kind == "MEDIA_SHARE":
        return kind, str(checks.need(payload, "id", "payload", 100)), None, False, ""
    checks.known(payload, ("url", "attachment_id", "is_reusable"), "payload")
    reusable = checks.yes_or_no(payload, "is_reusable", "payload", 100)
    file = next((one for one in files if one.name == "filedata"), None)
    if sum((file is not None, "url" in payload, "attachment_id" in payload)) != 1:
        raise GraphError(100, message="Param attachment must have one of url, attachment_id or filedata.")
    if file is not None:
        upload(platform, kind, file)
        return kind, "", file, reusable, ""
    if "url" in payload:
        return kind, checks.link(payload["url"], "payload[url]", 100), None, reusable, ""
    return kind, str(payload["attachment_id"]), None, reusable, ""


def upload(platform: str, kind: str, file: File) -> None:
    """Raises (#100) 2018109 for a file too large, 2018047 for one of another type than is said."""
    most = 8 * MB if (platform, kind) == ("instagram", "image") else 25 * MB
    if len(file.content) > most:
        raise GraphError(100, subcode=2018109)
    if kind != "file" and file.mime.partition("/")[0] != kind:
        raise GraphError(100, subcode=2018047)


def template(payload: Json) -> str:
    """Its text, or its first element's title."""
    kind = checks.one_of(
        payload.get("template_type"), ("button", "generic", "media", "product"), "template_type", 100
    )
    if kind == "button":
        checks.known(payload, ("template_type", "text", "buttons", "sharable"), "payload")
        _buttons(payload.get("buttons"), 1)
        return checks.text(payload, "text", "payload", 640, code=100, lacks=100)
    elements = checks.rows(payload.get("elements"), "payload[elements]", 1, 10, 100)
    for one in elements:
        if kind == "generic":
            checks.text(checks.table(one, "elements", 100), "title", "elements", 80, code=100, lacks=100)
            checks.text(one, "subtitle", "elements", 80, required=False, code=100)
        if "buttons" in one:
            _buttons(one["buttons"], 1)
    return str(elements[0].get("title", ""))


def _buttons(given: object, least: int) -> None:
    for one in checks.rows(given, "buttons", least, 3, 100):
        kind = checks.one_of(checks.table(one, "buttons", 100).get("type"), _BUTTONS, "buttons[type]", 100)
        if kind in ("web_url", "postback", "phone_number"):
            checks.text(one, "title", "buttons", 20, code=100, lacks=100)
        if kind == "web_url":
            checks.link(one.get("url"), "buttons[url]", 100)
        if kind in ("postback", "phone_number"):
            checks.text(one, "payload", "buttons", 1_000, code=100, lacks=100)
