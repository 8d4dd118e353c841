"""One message of ours out: to a person, below a comment, or to who wrote the comment.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages (messaging_type, the
tag HUMAN_AGENT, reply_to, metadata), .../discovery/private-replies ("Only one message can be sent", "within 7 days"),
https://developers.facebook.com/docs/graph-api/reference/object/comments, and of Instagram
https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api,
.../private-replies, .../comment-moderation and .../instagram-graph-api/reference/ig-user/mentions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import structs

from connectors import calling, fits, media
from connectors.base import Wire
from connectors.graph import api
from connectors.social import parts
from connectors.social.parts import Measure, Part
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Outgoing, Sent

_TAG = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Where an account's calls go. node: whose `messages` it is, the Page or the Instagram account; own: what a
    post's id of ours begins with. host: where the account names no `api`. answers: the edge below a comment.
    marked: our delivery's id goes along, and comes back with the echo; typed: every message says why it is sent."""

    node: str
    own: str
    host: str
    answers: str
    measure: Measure
    limits: Limits
    marked: bool
    typed: bool


class _Way:
    """One message on its way: what went out of it so far."""

    def __init__(self, message: Outgoing, account: Account, wire: Wire, desk: Desk) -> None:
        self.message, self.account, self.wire, self.desk = message, account, wire, desk
        self.sent: list[str] = []

    def url(self, node: str, edge: str) -> str:
        return api.url(self.account, f"{node}/{edge}", host=self.desk.host)

    @property
    def age(self) -> timedelta | None:
        """Of their newest word; None where it is not known, and Meta decides."""
        heard = self.message.heard_at
        return None if heard is None else self.wire.now - heard

    def may_tag(self) -> bool:
        """ "HUMAN_AGENT ... allows human agents to respond": never what no person wrote."""
        return bool(self.account.settings.get("human_agent")) and not self.message.automatic


async def send(message: Outgoing, account: Account, wire: Wire, desk: Desk) -> Sent:
    """Every id. Raises SendError with those that went out before it failed."""
    fits.check(structs.replace(message, template=None), desk.limits)
    way = _Way(message, account, wire, desk)
    if message.answers != "message" and message.public:
        return await _publicly(way)
    if message.answers != "message":
        return await _privately(way)
    return await _directly(way)


# ---------------------------------------------------------------------------------------------------------- to a person


async def _directly(way: _Way) -> Sent:
    recipient = {"id": person(way.message.to, way.account)}
    tagged = _tagged(way)
    planned = parts.plan(way.message, way.desk.measure, way.desk.limits, way.wire)
    files = [await _place(way, part.file) if part.file else None for part in planned]
    quoted = _quoted(way.message)
    for part, file in zip(planned, files, strict=True):
        tagged = await _one(way, recipient, part, file, quoted, tagged=tagged)
        quoted = ""
    return Sent(external_ids=tuple(way.sent))


def _tagged(way: _Way) -> bool:
    """Must it say that a person answers? Raises SendError(WINDOW_CLOSED) where that would be no help either."""
    age = way.age
    if age is None or age <= timedelta(seconds=parts.DAY_S):
        return False
    if way.may_tag() and age <= timedelta(seconds=parts.AGENT_S):
        return True
    days = "7 days" if way.may_tag() else "24 hours"
    raise SendError(SendCode.WINDOW_CLOSED, f"their last word is more than {days} ago")


async def _one(
    way: _Way,
    recipient: dict[str, str],
    part: Part,
    file: dict[str, Any] | None,
    quoted: str,
    *,
    tagged: bool,
) -> bool:
    """Whether it went out with the tag. What was refused for a quote that is gone, or because by Meta's clock the day
    was over, certainly did not go out, and goes without the one or with the other."""
    while True:
        body: dict[str, Any] = {"recipient": recipient, "message": _message(way, part, file)}
        if tagged:
            body |= _TAG
        elif way.desk.typed:
            body["messaging_type"] = "RESPONSE"
        if quoted:
            body["reply_to"] = {"mid": quoted}
        try:
            said = await api.post(way.wire, way.account, way.url(way.desk.node, "messages"), body)
        except SendError as error:
            late = error.code is SendCode.WINDOW_CLOSED and way.may_tag() and not tagged
            if late and "id" in recipient:
                tagged = True
                continue
            if quoted and error.code is SendCode.MESSAGE_INVALID:
                quoted = ""
                continue
            raise replace(error, sent_ids=tuple(way.sent)) from None
        way.sent.append(_id(said, "message_id", way))
        return tagged


def _message(way: _Way, part: Part, file: dict[str, Any] | None) -> dict[str, Any]:
    said = part.body()
    if file is not None:
        said["attachment"] = file
    if way.desk.marked:
        said["metadata"] = str(way.message.delivery_id)
    return said


def _quoted(message: Outgoing) -> str:
    """An answer to the newest needs no quote."""
    mid = message.in_reply_to or ""
    return mid if mid and message.heard_id and mid != message.heard_id else ""


def person(urn: str, account: Account) -> str:
    head, _, number = urn.partition(":")
    if head != account.connector or not number.isascii() or not number.isdigit() or len(number) > 40:
        raise SendError(SendCode.MESSAGE_INVALID, f"that is no address of {account.connector.title()}'s")
    return number


# ---------------------------------------------------------------------------------------------------------------- files


async def _place(way: _Way, file: Attachment) -> dict[str, Any]:
    """The attachment, handed over or linked; nothing of the message has gone out yet. Raises SendError."""
    kind = way.desk.measure.kind(file)
    if not way.desk.measure.uploads:
        return {"type": kind, "payload": {"url": way.wire.link(file)}}
    data = await calling.file_bytes(way.wire, file)
    try:
        return await _upload(way, file, data, kind)
    except SendError as error:
        if kind == "file" or error.code is not SendCode.MESSAGE_INVALID:
            raise
        return await _upload(way, file, data, "file")  # a picture that cannot be shown is still a file


async def _upload(way: _Way, file: Attachment, data: bytes, kind: str) -> dict[str, Any]:
    about = {"attachment": {"type": kind, "payload": {"is_reusable": False}}}
    upload = api.Upload(
        name=media.safe_name(file.name or "file"),
        content_type=file.content_type or media.OCTETS,
        data=data,
        field="filedata",
    )
    fields = {"message": msgspec.json.encode(about).decode()}
    where = way.url(way.desk.node, "message_attachments")
    said = await api.upload(way.wire, way.account, where, fields, upload)
    return {"type": kind, "payload": {"attachment_id": _id(said, "attachment_id", way)}}


# ------------------------------------------------------------------------------------------------------------- comments


async def _publicly(way: _Way) -> Sent:
    """Below what they said. What was said in public may be answered there however old it is."""
    said_id = _answered(way.message)
    body = {"message": parts.in_public(way.message, way.desk.measure)}
    where = way.url(said_id, way.desk.answers)
    if way.account.connector == "instagram" and way.message.answers == "mention":
        post = way.message.thread or ""
        if not post:
            raise SendError(SendCode.REJECTED, "nobody knows any more below which post it is")
        body["media_id"] = post
        if said_id != post:
            body["comment_id"] = said_id
        where = way.url(way.desk.own, "mentions")
    said = await api.post(way.wire, way.account, where, body)
    return Sent(external_ids=(_id(said, "id", way),))


async def _privately(way: _Way) -> Sent:
    """One message to who wrote the comment, once; all else when they have answered it."""
    if way.account.connector == "instagram" and way.message.answers == "mention":
        why = "Instagram does not say who mentioned us, so it can be answered in public only"
        raise SendError(SendCode.MESSAGE_INVALID, why)
    if way.age is not None and way.age > timedelta(seconds=parts.AGENT_S):
        raise SendError(
            SendCode.WINDOW_CLOSED, "what was said in public can be answered in private for 7 days"
        )
    said_id = _answered(way.message)
    of_post = said_id.startswith(f"{way.desk.own}_")
    part = parts.plan_one(way.message, way.desk.measure, way.desk.limits, way.wire)
    file = await _place(way, part.file) if part.file else None
    await _one(way, {"post_id" if of_post else "comment_id": said_id}, part, file, "", tagged=False)
    return Sent(external_ids=tuple(way.sent))


def _answered(message: Outgoing) -> str:
    said_id = message.in_reply_to or message.heard_id or ""
    if not said_id or "/" in said_id or not said_id.isprintable():
        raise SendError(SendCode.REJECTED, "nobody knows any more which comment is answered")
    return said_id


def _id(said: api.Json, name: str, way: _Way) -> str:
    found = said.get(name)
    if isinstance(found, str | int) and not isinstance(found, bool) and 0 < len(str(found)) <= 400:
        return str(found)
    raise SendError(SendCode.RESPONSE_CONTENT, f"Meta's answer has no {name}", sent_ids=tuple(way.sent))
