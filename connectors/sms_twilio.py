"""SMS and MMS through Twilio's Programmable Messaging. docs/channels/sms_twilio.md is the page for whoever sets it up.

https://www.twilio.com/docs/messaging/guides/webhook-request; https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Mapping
from datetime import datetime

from connectors import clean, said
from connectors.twilio import inbound, settings
from connectors.twilio.connector import Twilio
from connectors.twilio.sending import BODY_CHARS, Way
from hub import urn
from hub.config import Account
from hub.errors import Malformed
from hub.limits import Limits
from hub.model import MessageReceived

MESSAGES = 10  # how many messages of 1,600 characters one reply may become: nobody reads more on a phone
_KINDS: Mapping[str, str] = {"image": "image", "video": "video", "audio": "audio"}
_VCARDS = frozenset({"text/vcard", "text/x-vcard", "text/directory"})
_BASE64 = re.compile(r"[A-Za-z0-9+/]{58,}={0,2}")
_NOT_IN_NAME = re.compile(r"[^0-9A-Za-z._+-]+")

LIMITS = Limits(
    text_chars=MESSAGES * BODY_CHARS,
    attachments=10,
    # https://www.twilio.com/docs/messaging/guides/accepted-mime-types: all media of a message together; these types are
    # adapted to the phone, all others may be refused by its carrier.
    attachment_bytes=5 * 1024 * 1024,
    media=("image/jpeg", "image/png", "image/gif"),
    links=True,
    segments=True,
    source="docs/channels/sms_twilio.md",
)


class SmsTwilio(Twilio):
    name = "sms_twilio"
    title = "SMS"
    limits = LIMITS
    known = settings.SMS
    way = Way(limits=LIMITS, files=10, files_bytes=5 * 1024 * 1024)

    def message(
        self, form: inbound.Form, account: Account, received_at: datetime, sent_at: datetime | None = None
    ) -> MessageReceived:
        sid = inbound.key(form)
        sender, automatic = _sender(form.get("From", ""))
        text, fields = inbound.words(form)
        if len(text) >= 60 and (plain := _unpacked(text)) is not None:
            fields += said.fields(("as it came", text))
            text = plain
        media = inbound.media(form, _KINDS)
        if not text and any(one.content_type in _VCARDS for one in media):
            text = said.contact("in the file")[0]
        if "OptOutType" in form:
            fields += said.fields(("Twilio read it as", clean.line(form["OptOutType"], 20)))
        return MessageReceived(
            account=account.key,
            event_key=sid,
            external_id=sid,
            received_at=received_at,
            sender=sender,
            text=text,
            verified=True,
            automatic=automatic,
            sent_at=sent_at,
            media=media,
            fields=fields,
            ours=inbound.ours(form.get("To", ""), account),
        )


def _sender(text: str) -> tuple[str, bool]:
    """(address, no person wrote it). Companies and authorities send under a name, which cannot be answered; nor can
    from here who writes by another channel of Twilio's without a number (`messenger:…`), who is a person."""
    try:
        return urn.tel(text), False
    except ValueError:
        name = _NOT_IN_NAME.sub("-", text.strip())[:40].strip("-")
        if not name:
            raise Malformed("it does not say who sent it (From)") from None
        return f"sms:{name}", ":" not in text


def _unpacked(text: str) -> str | None:
    """Twilio has been seen to deliver a long SMS in base64. Such is what it must be: nothing else decodes to plain text
    of many characters. None where it is not that."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        return None
    try:
        given = base64.b64decode(text, validate=True)
        # Where it was cut, a character may be cut with it: only what is whole counts, and only at the end may that be.
        plain = codecs.getincrementaldecoder("utf-8")().decode(given)
    except (binascii.Error, UnicodeDecodeError):
        return None
    readable = all(c.isprintable() or c in "\r\n\t" for c in plain)
    return clean.text(plain) if readable and " " in plain else None


CONNECTOR = SmsTwilio()
