"""The people: a phone that texts, and WhatsApp on it. Each deed is a signed webhook to the URL that was configured.

https://www.twilio.com/docs/messaging/guides/webhook-request; ChannelMetadata, MessageType, ExternalUserId and
FrequentlyForwarded as in recorded requests.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.servers.twilio.records import API, Delivery, Hook, Medium, Message, Number, Sender, new_sid
from tests.servers.twilio.segments import segments
from tests.servers.twilio.sending import MEDIA

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

# https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out and help article 223134027.
STOP: Final = frozenset(("stop", "unsubscribe", "end", "quit", "stopall", "revoke", "optout", "cancel"))
START: Final = frozenset(("start", "yes", "unstop"))
HELP: Final = frozenset(("help", "info"))
File = tuple[str, bytes]  # content type, content
VCARD: Final = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{name}\r\nTEL;TYPE=CELL:{phone}\r\nEND:VCARD\r\n"


class Customer:
    """A person with a phone. She writes to `to`, else to the number she wrote to last, else to the account's first."""

    def __init__(self, twilio: Twilio, phone: str, name: str) -> None:
        self.twilio, self.phone, self.name = twilio, phone, name
        self._last = ""

    async def says(self, text: str = "", *, to: str | Number = "", media: Sequence[File] = ()) -> Delivery:
        """An SMS, of any length (it comes whole: "reassembled when the message is received"), or an MMS with up to ten
        media. STOP and its kin stop the number or the service at Twilio."""
        number = self._number(to)
        word = text.strip().lower()
        service = self.twilio.service_of(number.phone)
        kind = "STOP" if word in STOP else "START" if word in START else "HELP" if word in HELP else ""
        key = (service.sid if service is not None else number.phone, self.phone)
        if kind == "STOP":
            self.twilio.stopped.add(key)
        elif kind == "START":
            self.twilio.stopped.discard(key)
        params = {
            "ToCountry": "US", "ToState": "CA", "ToCity": "", "ToZip": "",
            "FromCountry": "US", "FromState": "NY", "FromCity": "NEW YORK", "FromZip": "10001",
            "Body": text, "NumSegments": str(max(1, len(media)) if media else segments(text)),
        }  # fmt: skip
        if kind and service is not None and service.opt_out:
            params["OptOutType"] = kind
        return await self.twilio.receives(self.phone, number.phone, params, media)

    async def stops(self, *, to: str | Number = "") -> Delivery:
        return await self.says("STOP", to=to)

    async def starts(self, *, to: str | Number = "") -> Delivery:
        return await self.says("START", to=to)

    @property
    def received(self) -> list[Message]:
        """What her phone shows as SMS."""
        return [
            one for one in self.twilio.sent if one.to == self.phone and one.status in ("sent", "delivered")
        ]

    def whatsapp(
        self, sender: Sender | str = "", *, user_id: str = "", number_shown: bool = True
    ) -> WhatsApp:
        """Her WhatsApp, talking to `sender`. user_id: her business-scoped id ("US.1349…"). number_shown: False for one
        with a user name, whose number is kept from businesses."""
        address = sender.address if isinstance(sender, Sender) else sender
        return WhatsApp(self, address or next(iter(self.twilio.senders)), user_id, number_shown)

    def _number(self, to: str | Number) -> Number:
        phone = to.phone if isinstance(to, Number) else to or self._last or next(iter(self.twilio.numbers))
        self._last = phone
        return self.twilio.numbers[phone]


class WhatsApp:
    """address: what `From` says: "whatsapp:+…", or "whatsapp:US.1349…" where the number is not shown.

    "If a phone number is present, `from` contains only the phone number, and ExternalUserId contains the BSUID. If no
    phone number is present, Twilio populates `from` and ExternalUserId with the BSUID" (Twilio's notice of May 2026, as
    others quote it). That WaId is missing then is our reading.
    """

    def __init__(self, person: Customer, sender: str, user_id: str, number_shown: bool) -> None:
        self.person, self.twilio, self.sender = person, person.twilio, sender
        self.user_id, self.number_shown = user_id, number_shown
        self.address = f"whatsapp:{person.phone if number_shown else user_id}"

    async def says(
        self, text: str, *, re: str = "", forwarded: int = 0, kind: str = "text", **more: str
    ) -> Delivery:
        """re: the sid of the message that she quotes. forwarded: how often it was before. more: further parameters."""
        return await self._sends(kind, {"Body": text} | self._quote(re) | _forwarded(forwarded) | more)

    async def sends(
        self, content_type: str, content: bytes, caption: str = "", *, kind: str = "", re: str = ""
    ) -> Delivery:
        """One file; `kind` where its type does not tell (a sticker is image/webp, a voice note audio/ogg)."""
        told = kind or {"image": "image", "video": "video", "audio": "audio"}.get(
            content_type.partition("/")[0], "document"
        )
        return await self._sends(told, {"Body": caption} | self._quote(re), ((content_type, content),))

    async def voice(self, content: bytes = b"OggS") -> Delivery:
        return await self.sends("audio/ogg", content, kind="audio")

    async def sticker(self, content: bytes = b"RIFF\x00\x00\x00\x00WEBP") -> Delivery:
        return await self.sends("image/webp", content, kind="sticker")

    async def contact(self, name: str, phone: str) -> Delivery:
        """A card: text/vcard as media. https://www.twilio.com/docs/whatsapp/guidance-whatsapp-media-messages"""
        return await self.sends("text/vcard", VCARD.format(name=name, phone=phone).encode(), kind="contacts")

    async def location(
        self, latitude: float, longitude: float, *, address: str = "", label: str = ""
    ) -> Delivery:
        told = {"Body": "", "Latitude": str(latitude), "Longitude": str(longitude)}
        return await self._sends(
            "location", told | ({"Address": address} if address else {}) | ({"Label": label} if label else {})
        )

    async def presses(self, text: str, *, payload: str = "", of: str = "") -> Delivery:
        """A quick reply's button. ButtonPayload is its id. of: the message it stands under; it must have it."""
        self._offered(of, payload, text)
        told = {"Body": text, "ButtonText": text, "ButtonPayload": payload or text}
        return await self._sends("button" if payload == "" else "interactive", told | self._quote(of))

    async def picks(self, item: str, title: str, *, description: str = "", of: str = "") -> Delivery:
        """An item of a list. https://www.twilio.com/docs/content/twilio-list-picker"""
        self._offered(of, item, title)
        told = {"Body": title, "ListId": item, "ListTitle": title}
        if description:
            told["ListDescription"] = description
        return await self._sends("interactive", told | self._quote(of))

    async def comes_from_ad(
        self,
        text: str,
        *,
        headline: str,
        url: str,
        source_id: str = "120200000000",
        body: str = "",
        click: str = "ARAk",
    ) -> Delivery:
        """The first message after a click on an advertisement."""
        referral = {
            "Body": text,
            "ReferralBody": body,
            "ReferralHeadline": headline,
            "ReferralSourceId": source_id,
            "ReferralSourceType": "ad",
            "ReferralSourceUrl": url,
            "ReferralCtwaClid": click,
        }
        return await self._sends("text", referral)

    async def does(self, kind: str, **params: str) -> Delivery:
        """Something no page lists: an unknown MessageType with its parameters."""
        return await self._sends(kind, {"Body": ""} | params)

    @property
    def received(self) -> list[Message]:
        return [
            one for one in self.twilio.sent
            if one.to == self.address and one.status in ("sent", "delivered", "read")
        ]  # fmt: skip

    def _offered(self, sid: str, number: str, title: str) -> None:
        """Nobody presses what a message does not show."""
        message = self.twilio.messages.get(sid)
        template = self.twilio.templates.get(message.content_sid) if message is not None else None
        if template is not None and template.choices:
            assert (number, title) in template.choices, f"only {template.choices} are offered"

    def _quote(self, sid: str) -> dict[str, str]:
        """Without the sid where the quoted message is older than Twilio keeps the tie, or none of its own."""
        if not sid:
            return {}
        quoted = self.twilio.messages.get(sid)
        return {
            "OriginalRepliedMessageSid": sid,
            "OriginalRepliedMessageSender": quoted.from_ if quoted is not None else self.sender,
        }

    async def _sends(self, kind: str, told: dict[str, str], media: Sequence[File] = ()) -> Delivery:
        self.twilio.windows[self.sender, self.address] = self.twilio.now()
        context: dict[str, Any] = {"ProfileName": self.person.name}
        params = {
            "MessageType": kind,
            "NumSegments": "1",
            "ReferralNumMedia": "0",
            "ProfileName": self.person.name,
        }
        if self.number_shown:
            params["WaId"] = context["WaId"] = self.person.phone.removeprefix("+")
        if self.user_id:
            params["ExternalUserId"] = f"whatsapp:{self.user_id}"
        context |= {
            name: told[name] for name in ("ButtonText", "Forwarded", "FrequentlyForwarded") if name in told
        }
        metadata = {"type": "whatsapp", "data": {"context": context}}
        params["ChannelMetadata"] = json.dumps(metadata, separators=(",", ":"))
        return await self.twilio.receives(self.address, self.sender, params | told, media)


def _forwarded(times: int) -> dict[str, str]:
    """FrequentlyForwarded: "more than 5 times"."""
    if not times:
        return {}
    return {"Forwarded": "true", "FrequentlyForwarded": "true" if times > 5 else "false"}


def inbound(
    twilio: Twilio,
    sender: str,
    to: str,
    params: dict[str, str],
    files: Sequence[File],
    hook: Hook,
    service: str,
) -> tuple[Message, Delivery]:
    """The message as the list will show it, and the webhook that tells of it."""
    assert len(files) <= MEDIA
    media = [Medium(content_type=kind, content=content, created=twilio.now()) for kind, content in files]
    message = Message(
        account_sid=twilio.account_sid,
        from_=sender,
        to=to,
        body=params.get("Body", ""),
        direction="inbound",
        status="received",
        created=twilio.now(),
        sent_at=twilio.now(),
        num_segments=int(params["NumSegments"]),
        service_sid=service,
        media=media,
        sid=new_sid("MM" if media else "SM"),
    )
    told = params | {
        "AccountSid": twilio.account_sid, "ApiVersion": API, "From": sender, "To": to, "NumMedia": str(len(media)),
        "MessageSid": message.sid, "SmsSid": message.sid, "SmsMessageSid": message.sid, "SmsStatus": "received",
    }  # fmt: skip
    for index, medium in enumerate(media):
        told[f"MediaContentType{index}"] = medium.content_type
        told[f"MediaUrl{index}"] = (
            f"{twilio.url}/{API}/Accounts/{twilio.account_sid}/Messages/{message.sid}/Media/{medium.sid}"
        )
    if service:
        told["MessagingServiceSid"] = service
    return message, Delivery(kind="inbound", hook=hook, params=told, token=str(uuid.uuid4()))
