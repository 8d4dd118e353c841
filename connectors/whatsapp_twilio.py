"""WhatsApp through Twilio. docs/channels/whatsapp_twilio.md is the page for whoever sets it up.

https://www.twilio.com/docs/messaging/guides/webhook-request#whatsapp-specific-parameters,
https://www.twilio.com/docs/whatsapp/key-concepts (the window), https://www.twilio.com/docs/content (templates).
MessageType, ListId, ListTitle and ExternalUserId stand on no page of Twilio's: they are what its requests carry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec import structs

from connectors import checking, clean, said
from connectors.base import Raw, Wire
from connectors.twilio import contents, inbound, settings
from connectors.twilio.connector import Twilio
from connectors.twilio.sending import BODY_CHARS, ONE_MAP, Way
from hub import urn
from hub.config import Account, ApprovedText
from hub.errors import Malformed, SendCode, SendError
from hub.limits import Limits
from hub.model import Change, Event, IdentityLearned, MessageChanged, MessageReceived, Outgoing, Sent

PREFIX = "whatsapp:"
WINDOW_S = 24 * 3600.0  # "lasts for 24 hours after the last inbound message you receive from a user"
MESSAGES = 10
_CONTENT = re.compile(r"HX[0-9a-fA-F]{32}")
VARIABLE_CHARS = 16  # https://www.twilio.com/docs/content/using-variables-with-content-api
# Two letters of a country, a full stop, up to 128 letters and digits; ENT where businesses share one.
_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[0-9A-Za-z]{1,128}")
# Everything that WhatsApp records itself is Ogg Opus; a sticker is WebP.
_KINDS: Mapping[str, str] = {
    "audio/ogg": "voice",
    "image/webp": "sticker",
    "image": "image",
    "video": "video",
    "audio": "audio",
}
# MessageType of what has words, a file or fields of its own, and so needs no more explanation.
_PLAIN = frozenset({"", "text", "button", "interactive"})
_VCARDS = frozenset({"text/vcard", "text/x-vcard"})
# An answer to whether we may call: Twilio's page "WhatsApp Business Calling with Twilio Programmable Voice".
_MAY_WE_CALL, _ANSWERS = "VOICE_CALL_REQUEST", {"ACCEPTED": True, "REJECTED": False}

LIMITS = Limits(
    text_chars=MESSAGES * BODY_CHARS,
    attachments=10,
    # https://www.twilio.com/docs/whatsapp/guidance-whatsapp-media-messages: 16 MB each, images 5 MB.
    attachment_bytes=16 * 1024 * 1024,
    media=(
        "image/jpeg", "image/png", "audio/ogg", "audio/amr", "audio/3gpp", "audio/aac", "audio/mpeg", "audio/mp4",
        "video/mp4", "application/pdf", "application/msword", "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint", "application/vnd.openxmlformats-officedocument", "text/vcard",
    ),
    links=True,
    reads=True,
    window_s=WINDOW_S,
    templates=True,
    choices=contents.ITEMS,
    choice_chars=contents.ITEM_CHARS,
    source="docs/channels/whatsapp_twilio.md",
)  # fmt: skip


class WhatsAppTwilio(Twilio):
    name = "whatsapp_twilio"
    title = "WhatsApp (Twilio)"
    limits = LIMITS
    known: ClassVar[checking.Known] = settings.WHATSAPP
    # "Only one media per message"; beside sounds, cards and documents of WhatsApp's no text is shown for the first two.
    way = Way(
        limits=LIMITS,
        prefix=PREFIX,
        files=1,
        files_bytes=16 * 1024 * 1024,
        bare=("audio/", "text/vcard"),
        taps=contents.Contents(),
    )

    def check_template(self, text: ApprovedText) -> list[str]:
        found = []
        if not _CONTENT.fullmatch(text.name):
            found.append(
                f"Twilio names a template by its ContentSid, HX and 32 hex digits, not {text.name[:60]!r}"
            )
        if text.header is not None or text.buttons:
            found.append(ONE_MAP)
        if long := [name for name in text.names if len(name) > VARIABLE_CHARS]:
            found.append(
                f"Twilio names a variable with at most {VARIABLE_CHARS} characters, unlike {long[0]!r}"
            )
        return found

    def message(
        self, form: inbound.Form, account: Account, received_at: datetime, sent_at: datetime | None = None
    ) -> MessageReceived:
        sid = inbound.key(form)
        text, fields = _words(form)
        media = inbound.media(form, _KINDS)
        if form.get("MessageType") == "sticker":
            media = tuple(structs.replace(one, kind="sticker") for one in media)
        if not text and media:
            text = _of_file(form, media[0].kind, media[0].content_type)
        if not text and not media:
            text = said.unsupported(clean.line(form.get("MessageType", ""), 40) or "no words and no file")
        return MessageReceived(
            account=account.key,
            event_key=sid,
            external_id=sid,
            received_at=received_at,
            sender=_address(form.get("From", "")),
            sender_name=clean.line(form.get("ProfileName", ""), 200),
            text=text,
            verified=True,
            sent_at=sent_at,
            in_reply_to=clean.line(form.get("OriginalRepliedMessageSid", ""), 64) or None,
            media=media,
            fields=fields,
            ours=inbound.ours(form.get("To", "").removeprefix(PREFIX), account),
        )

    def besides(
        self, form: inbound.Form, message: MessageReceived, raw: Raw
    ) -> tuple[tuple[Event, ...], tuple[bytes, ...]]:
        kind = form.get("MessageType", "")
        if kind == "reaction" and message.in_reply_to:
            return (_reaction(form, message),), ()
        blobs: tuple[bytes, ...] = ()
        if not form.get("Body") and not message.media and kind not in _PLAIN and "Latitude" not in form:
            message = structs.replace(message, blob=hashlib.sha256(raw.body).hexdigest())
            blobs = (raw.body,)
        learned = _learned(form, message)
        return ((message, learned) if learned is not None else (message,)), blobs

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        if message.template is None:
            heard = message.heard_at
            if heard is None or wire.now - heard > timedelta(seconds=WINDOW_S):
                raise SendError(
                    SendCode.WINDOW_CLOSED, "their last word is more than 24 hours ago: send a template"
                )
        return await super().send(message, account, wire)


def _address(text: str) -> str:
    """`whatsapp:+1…` is the phone of the same number; who hides it has an id for this business. Raises Malformed."""
    bare = text.removeprefix(PREFIX)
    if _USER_ID.fullmatch(bare):
        return f"wa:{bare}"
    try:
        return urn.tel(bare)
    except ValueError:
        raise Malformed("it does not say who sent it (From)") from None


def _words(form: inbound.Form) -> tuple[str, said.Fields]:
    """What they said, in words, and the exact values behind them."""
    text, fields = inbound.words(form)
    if text == _MAY_WE_CALL and (answer := form.get("ButtonPayload", "")) in _ANSWERS:
        text = said.call_allowed(_ANSWERS[answer])
    if form.get("FrequentlyForwarded") == "true":
        fields += (("forwarded", "many times"),)
    elif form.get("Forwarded") == "true":
        fields += (("forwarded", "yes"),)
    if "ReferralSourceId" in form or "ReferralCtwaClid" in form or "ReferralSourceUrl" in form:
        fields += _referral(form)
    if flow := form.get("FlowData") or form.get("InteractiveData"):
        fields += said.fields(("answers", clean.text(flow)[:5000]))
        text = text or "(They filled in a form.)"
    if "OptOutType" in form:
        fields += said.fields(("Twilio read it as", clean.line(form["OptOutType"], 20)))
    if username := clean.line(form.get("ProfileUsername", "").lstrip("@"), 64):
        fields += (("username", f"@{username}"),)
    return text, fields


def _referral(form: inbound.Form) -> said.Fields:
    def of(name: str) -> str:
        return clean.line(form.get(f"Referral{name}", ""), 1000)

    fields = said.referral(
        of("SourceType") or "ad", of("Headline"), of("Body"), of("SourceUrl"), of("CtwaClid")
    )
    return fields + said.fields(
        ("source id", of("SourceId")), ("picture there", of("MediaUrl") or of("MediaUrl0"))
    )


def _of_file(form: inbound.Form, kind: str, content_type: str) -> str:
    """Words for a file that came without any, where it is not one that simply shows itself."""
    if kind == "sticker":
        return said.sticker()
    if form.get("MessageType") == "contacts" or content_type in _VCARDS:
        return said.contact("in the file")[0]
    return ""


def _reaction(form: inbound.Form, message: MessageReceived) -> MessageChanged:
    """No page of Twilio's promises reactions; this is how it names one where it passes it on (our reading)."""
    return MessageChanged(
        account=message.account,
        event_key=message.event_key,
        received_at=message.received_at,
        sender=message.sender,
        external_id=message.in_reply_to or "",
        change=Change.REACTION,
        text=clean.text(form.get("Body", "")),
    )


def _learned(form: inbound.Form, message: MessageReceived) -> IdentityLearned | None:
    """Number and business-scoped id in one request are one person's; WhatsApp vouches for it."""
    given = form.get("ExternalUserId") or form.get("ExternalUserIdentifier") or ""
    user = given.removeprefix(PREFIX)
    if not _USER_ID.fullmatch(user):
        return None
    other = f"wa:{user}"
    mine = message.sender
    if mine == other:
        number = form.get("WaId", "")
        if not (number.isascii() and number.isdigit()):
            return None
        try:
            mine = urn.tel(f"+{number}")
        except ValueError:
            return None
    return IdentityLearned(
        account=message.account,
        event_key=f"identity:{other}:{mine}",
        received_at=message.received_at,
        urn=mine,
        other=other,
        verified=True,
        name=message.sender_name,
    )


CONNECTOR = WhatsAppTwilio()
