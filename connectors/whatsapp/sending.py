"""One message of ours out.

https://developers.facebook.com/documentation/business-messaging/whatsapp/reference/whatsapp-business-phone-number/message-api,
.../business-phone-numbers/media (upload). There is no idempotency key and no way to ask what was sent; what we call the
message comes back with its reports (biz_opaque_callback_data), so a report also proves a send in doubt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors import calling
from connectors.base import Wire
from connectors.graph import api
from connectors.graph.api import Upload
from connectors.whatsapp import parts
from connectors.whatsapp.reading import USER_ID
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Attachment, Outgoing, Sent

CLOSED = "their last word is more than 24 hours ago: send a template"
# message_status of a template that waits: .../templates/template-pacing
_HELD = "WhatsApp holds it back until it knows how the template is received"


async def send(message: Outgoing, account: Account, wire: Wire) -> Sent:
    """Files are uploaded first, so that what fails there leaves nothing said. Raises SendError with the ids of what
    went out before it failed."""
    where = api.url(account, f"{number_id(account)}/messages")
    to = recipient(message.to)
    parts.measure(message)
    _open(message, wire)
    uploaded = [
        (file, await _upload(file, account, wire)) for file in message.attachments if parts.takes(file)
    ]
    choose = str(account.settings.get("choose") or parts.CHOOSE)
    ids: list[str] = []
    detail = ""
    for place, content in enumerate(parts.messages(message, uploaded, wire, choose)):
        what: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **to,
            **content,
            "biz_opaque_callback_data": str(message.delivery_id),
        }
        if place == 0 and (quoted := _quoted(message)):
            what["context"] = {"message_id": quoted}
        try:
            said = await api.post(wire, account, where, what)
            ids.append(_id(said))
        except SendError as error:
            raise replace(error, sent_ids=tuple(ids)) from None
        if _status(said) == "held_for_quality_assessment":
            detail = _HELD
    return Sent(external_ids=tuple(ids), detail=detail)


def number_id(account: Account) -> str:
    return str(account.settings.get("phone_number_id") or "")


def recipient(urn: str) -> dict[str, str]:
    """A phone as `to`, a business-scoped id as `recipient`: `to` wins where both stand there, and takes no such id."""
    scheme, _, rest = urn.partition(":")
    if scheme == "tel" and rest.startswith("+") and rest[1:].isdigit():
        return {"to": rest[1:]}
    if scheme == "wa" and USER_ID.fullmatch(rest):
        return {"recipient": rest}
    raise SendError(SendCode.REJECTED, "this address is none that can be written to on WhatsApp")


def _open(message: Outgoing, wire: Wire) -> None:
    """Raises SendError(WINDOW_CLOSED): "when a WhatsApp user messages you, a 24-hour timer ... starts"."""
    if message.template is not None:
        return
    heard = message.heard_at
    if heard is None or wire.now - heard > timedelta(seconds=parts.LIMITS.window_s or 0):
        raise SendError(SendCode.WINDOW_CLOSED, CLOSED)


def _quoted(message: Outgoing) -> str:
    """What it answers, unless that is the newest: then everybody sees what it answers."""
    of = message.in_reply_to
    quotes = message.template is None and of and of != message.heard_id and of.startswith("wamid.")
    return of if quotes and of else ""


async def _upload(file: Attachment, account: Account, wire: Wire) -> str:
    data = await calling.file_bytes(wire, file)
    kind = parts.plain_type(file.content_type)
    said = await api.upload(
        wire,
        account,
        api.url(account, f"{number_id(account)}/media"),
        {"messaging_product": "whatsapp", "type": kind},
        Upload(name=parts.file_name(file), content_type=kind, data=data),
    )
    found = said.get("id")
    if not isinstance(found, str) or not found:
        raise SendError(SendCode.RESPONSE_STATUS, "WhatsApp took a file and gave it no id", retry=True)
    return found


def _id(said: dict[str, Any]) -> str:
    listed = said.get("messages")
    first = listed[0] if isinstance(listed, list) and listed else None
    found = first.get("id") if isinstance(first, dict) else None
    if not isinstance(found, str) or not found:
        raise SendError(SendCode.RESPONSE_CONTENT, "WhatsApp took it and said no id")
    return found


def _status(said: dict[str, Any]) -> str:
    """Of the first message; `_id` has looked at it."""
    return str(said["messages"][0].get("message_status") or "")
