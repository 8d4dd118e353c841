"""WhatsApp Cloud API: a business account, its numbers, and what they answer.

developers.facebook.com/documentation/business-messaging/whatsapp: reference/whatsapp-business-phone-number/message-api,
business-phone-numbers/media, business-scoped-user-ids (`recipient`, 131062), support/error-codes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

import aiohttp
from yarl import URL

from tests.servers.graph import cdn, checks, kinds, templates
from tests.servers.graph.account import Account, Call
from tests.servers.graph.customer import Customer
from tests.servers.graph.door import Told
from tests.servers.graph.errors import GraphError, Json, missing
from tests.servers.graph.model import DAY_S, WINDOW_S, Mark, Media, Sent
from tests.servers.graph.rates import NUMBER_PER_S, PAIR_BURST, PAIR_EVERY_S
from tests.servers.graph.statuses import status_value
from tests.servers.graph.templates import Template
from tests.servers.graph.waba import SHOWN, Waba

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph

_KINDS = (
    *("text", "image", "audio", "video", "document", "sticker", "location", "contacts", "reaction"),
    *("interactive", "template"),
)
_MEDIA = ("image", "audio", "video", "document", "sticker")
_TOP = (
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
)


class Number(Account):
    """A business phone number. customers: by phone and by BSUID; a stranger's phone is on WhatsApp unless
    `graph.absent` names it. parent_bsuids: whether webhooks carry them. conversations: whether statuses do (Graph
    below v24.0).
    """

    platform = "whatsapp"
    object: ClassVar[str] = "whatsapp_business_account"

    def __init__(self, graph: Graph, waba: Waba, phone: str, name: str, number_id: str) -> None:
        super().__init__(graph, number_id or graph.ids.number())
        self.waba, self.display, self.name = waba, phone, name
        self.phone = re.sub(r"\D", "", phone)
        self.customers: dict[str, Customer] = {}
        self.seen: dict[str, str] = {}  # wamid -> the customer's BSUID, or a stranger's phone
        self.sends: dict[str, Sent] = {}  # all that were answered with 200, those too that fail later
        self.parent_bsuids = False
        self.conversations = False
        waba.numbers.append(self)

    @property
    def token(self) -> str:
        return self.waba.token

    @token.setter
    def token(self, token: str) -> None:
        self.waba.token = token

    def expire(self, subcode: int = 463) -> None:
        for one in (self.waba, *self.waba.numbers):
            one.expired = subcode

    def renew(self) -> str:
        for one in self.waba.numbers:
            one.expired = None
        return self.waba.renew()

    @property
    def node(self) -> Json:
        return {
            "id": self.id,
            "verified_name": self.name,
            "code_verification_status": "VERIFIED",
            "display_phone_number": self.display,
            "quality_rating": "GREEN",
            "platform_type": "CLOUD_API",
            "throughput": {"level": "STANDARD"},
            "name_status": "APPROVED",
            "status": "CONNECTED",
            "account_mode": "LIVE",
            "messaging_limit_tier": "TIER_1K",
            "is_official_business_account": False,
            "webhook_configuration": {"application": self.graph.door.callbacks.get(self.object, "")},
            "health_status": {"can_send_message": "AVAILABLE", "entities": []},
        }

    def template(self, name: str, body: str, **more: str | tuple[tuple[str, str, str], ...]) -> Template:
        """As `Waba.template`."""
        return self.waba.template(name, body, **more)  # type: ignore[arg-type]

    def customer(
        self,
        name: str = "Ann",
        phone: str = "16505551234",
        *,
        username: str = "",
        hidden: bool = False,
        country: str = "US",
    ) -> Customer:
        """Who may write to this number. hidden: webhooks carry no phone (which needs a username). The same phone
        has the same BSUID at every number."""
        user_id, parent = self.graph.bsuids.setdefault(
            phone, (self.graph.ids.bsuid(country), self.graph.ids.bsuid(country, parent=True))
        )
        made = Customer(self, name, phone, user_id, parent, username=username, hidden=hidden)
        self.customers |= {phone: made, user_id: made, parent: made}
        return made

    # -------------------------------------------------------------------------------------------------- the API

    async def call(self, call: Call) -> Json:
        if call.node in self.graph.media and call.node != self.id:
            return self._media(call, self.graph.media[call.node])
        match (call.method, call.edge):
            case ("GET", ""):
                return self.picked(self.node, call, SHOWN)
            case ("POST", "messages"):
                return await self._messages(call.given)
            case ("POST", "media"):
                return self._upload(call)
        raise missing(call.node, call.method.lower())

    def _upload(self, call: Call) -> Json:
        if call.given.get("messaging_product") != "whatsapp":
            raise GraphError(100, message="The parameter messaging_product is required.")
        file = next((one for one in call.files if one.name == "file"), None)
        if file is None:
            raise GraphError(100, message="The parameter file is required.")
        checks.known(call.given, ("messaging_product", "type"), "media")
        checks.need(call.given, "type", "media", 100)
        most = kinds.UPLOADS.get(file.mime)
        if most is None:
            allowed = ", ".join(sorted(kinds.UPLOADS))
            raise GraphError(
                100,
                message=f"Param file must be a file with one of the following types: {allowed}. Received file of type "
                f"'{file.mime}'.",
            )
        if file.mime == "image/webp" and b"ANIM" not in file.content[:64]:
            most = kinds.STATIC_STICKER
        if len(file.content) > most or not file.content:
            raise GraphError(131053, f"The file has {len(file.content)} bytes; 1 to {most} are allowed.")
        return {"id": self.keep(file.content, file.mime, file.filename).id}

    def _media(self, call: Call, media: Media) -> Json:
        gone = self.graph.clock.now() > media.at + media.life_s
        wrong = call.query.get("phone_number_id", media.owner) != media.owner
        if gone or wrong or call.edge:
            raise missing(media.id, call.method.lower())
        if call.method == "DELETE":
            del self.graph.media[media.id]
            return {"success": True}
        return {
            "messaging_product": "whatsapp",
            "url": cdn.whatsapp_url(self.graph, media),
            "mime_type": media.mime,
            "sha256": media.sha256,
            "file_size": len(media.content),
            "id": media.id,
        }

    async def _messages(self, given: Json) -> Json:
        if given.get("messaging_product") != "whatsapp":
            raise GraphError(100, message="The parameter messaging_product is required.")
        if "status" in given:
            return self._mark(given)
        kind = given.get("type", "text")
        if kind not in _KINDS:
            upper = ", ".join(sorted(one.upper() for one in _KINDS))
            raise GraphError(100, message=f'Param type must be one of {{{upper}}} - got "{kind}".')
        checks.known(given, (*_TOP, kind), "messages")
        checks.one_of(given.get("recipient_type", "individual"), ("individual",), "recipient_type", 100)
        opaque = checks.text(given, "biz_opaque_callback_data", "messages", 512, required=False, code=100)
        reply_to = self._context(given)
        to, customer, by_phone = self._recipient(given)
        text, template, media = self._content(kind, given)
        self._rates(to)
        if not by_phone and template is not None and template.category == "AUTHENTICATION":
            raise GraphError(131062)
        if by_phone and kinds.BSUID.match(str(given["to"])):
            self.graph.misdirected.append(given)
            return self._said(given, to, self.graph.ids.wamid(), by_phone)
        failed = self._obstacle(kind, to, customer, template) or await self._linked(kind, given)
        if failed is not None and failed.code not in self.graph.later:
            raise failed
        sent = Sent(
            id=self.graph.ids.wamid(),
            account=self.id,
            platform="whatsapp",
            to=str(given.get("to") or given["recipient"]),
            user=customer.user_id if customer else to,
            kind=kind,
            text=text,
            body=given,
            at=self.graph.clock.now(),
            reply_to=reply_to,
            opaque=opaque,
            media=media,
        )
        self.seen[sent.id] = sent.user
        self.sends[sent.id] = sent
        if failed is None:
            self.accept(sent)
        else:
            self.graph.objects[sent.id] = self
            self.refuse(failed, given, later=True)
        await self.graph.reports.follow(
            self, sent.id, failed.code if failed else 0, failed.details if failed else ""
        )
        return self._said(given, to, sent.id, by_phone)

    def _said(self, given: Json, to: str, wamid: str, by_phone: bool) -> Json:
        contact = {"input": str(given.get("to") or given.get("recipient"))}
        contact |= {"wa_id": to} if by_phone else {"user_id": to}
        return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]}

    def _mark(self, given: Json) -> Json:
        checks.known(given, ("messaging_product", "status", "message_id", "typing_indicator"), "messages")
        checks.one_of(given["status"], ("read",), "status", 100)
        wamid = str(checks.need(given, "message_id", "messages", 100))
        if wamid not in self.seen:
            raise GraphError(131009, "Message id is not valid.")
        self.graph.marks.append(Mark(account=self.id, kind="read", of=wamid))
        if "typing_indicator" in given:
            indicator = checks.table(given["typing_indicator"], "typing_indicator")
            checks.one_of(indicator.get("type"), ("text",), "typing_indicator['type']", 100)
            self.graph.marks.append(Mark(account=self.id, kind="typing", of=wamid))
        return {"success": True}

    def _context(self, given: Json) -> str:
        if "context" not in given:
            return ""
        context = checks.table(given["context"], "context", 100)
        checks.known(context, ("message_id",), "context")
        wamid = checks.text(context, "message_id", "context", 512, code=100)
        if not wamid.startswith("wamid."):
            raise GraphError(131009, "Param context['message_id'] is not a valid message id.")
        return wamid

    def _recipient(self, given: Json) -> tuple[str, Customer | None, bool]:
        """(phone or BSUID, who that is, whether by phone); "to" wins over "recipient", as documented."""
        if given.get("to"):
            phone = kinds.phone(given["to"]) if not kinds.BSUID.match(str(given["to"])) else str(given["to"])
            if phone == self.phone:
                raise GraphError(131021)
            return phone, self.customers.get(phone), True
        if not given.get("recipient"):
            raise GraphError(100, message="The parameter to is required.")
        user = str(given["recipient"])
        customer = self.customers.get(user) if kinds.BSUID.match(user) else None
        if customer is None or (".ENT." in user and not self.parent_bsuids):
            raise GraphError(131009, "Param recipient is not a user of this business portfolio.")
        return user, customer, False

    def _content(self, kind: str, given: Json) -> tuple[str, Template | None, str]:
        if kind == "template":
            said = checks.table(checks.need(given, kind, "messages"), kind)
            template, text = templates.check(said, self.waba.templates, self._has)
            _, file = templates.head(said)
            return text, template, str(file.get("id") or file.get("link") or "")
        value = checks.need(given, kind, "messages")
        if kind == "contacts":
            return kinds.contacts(value), None, ""
        value = checks.table(value, kind)
        if kind in _MEDIA:
            return kinds.media(kind, value, self._has), None, str(value.get("id") or value.get("link"))
        if kind == "interactive":
            return kinds.interactive(value, self._has), None, ""
        if kind == "reaction" and value.get("message_id") not in self.seen:
            raise GraphError(131009, "Param reaction['message_id'] is not a message of this conversation.")
        plain = {"text": kinds.text, "location": kinds.location, "reaction": kinds.reaction}
        return plain[kind](value), None, ""

    def _has(self, media_id: str, kind: str) -> None:
        media = self.graph.media.get(media_id)
        if media is None or media.owner != self.id or self.graph.clock.now() > media.at + media.life_s:
            raise GraphError(
                131009, f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID"
            )
        if media.mime not in kinds.TYPES[kind]:
            raise GraphError(131053, f"Media of type {media.mime} cannot be sent as {kind}.")

    def _rates(self, to: str) -> None:
        if not self.graph.rates.take(("number", self.id), NUMBER_PER_S, NUMBER_PER_S):
            raise GraphError(130429)
        if not self.graph.rates.take(("pair", self.id, to), 1 / PAIR_EVERY_S, PAIR_BURST):
            raise GraphError(131056)

    def _obstacle(
        self, kind: str, to: str, customer: Customer | None, template: Template | None
    ) -> GraphError | None:
        """Why it cannot be delivered, though nothing is wrong with it."""
        if to in self.graph.absent or (customer is not None and customer.blocks):
            return GraphError(131026)
        if template is not None:
            stopped = customer is not None and customer.stopped and template.category == "MARKETING"
            return GraphError(131050) if stopped else None
        if kind == "reaction":
            return None
        last = customer.last_in if customer else None
        return GraphError(131047) if last is None or self.graph.clock.now() > last + WINDOW_S else None

    async def _linked(self, kind: str, given: Json) -> GraphError | None:
        """Meta fetches a linked file: here only from this machine; elsewhere it is taken to be good."""
        kind, file = templates.head(given[kind]) if kind == "template" else (kind, given[kind])
        link = file.get("link") if kind in _MEDIA else None
        if not link or URL(link).host not in ("127.0.0.1", "localhost"):
            return None
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(link) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return GraphError(131053, "Failed to fetch the media from the link.")
        most = kinds.TYPES[kind].get(answer.content_type)
        if answer.status != 200 or most is None or len(content) > most:
            return GraphError(
                131053, f"Unsupported {kind}: {answer.status} {answer.content_type} {len(content)} bytes"
            )
        return None

    # ------------------------------------------------------------------------------------------------ telling

    async def tell_value(self, told_id: str, value: Json, fieldname: str = "messages") -> Told:
        """A change of this number's, with the metadata that each has."""
        meta = {"display_phone_number": self.phone, "phone_number_id": self.id}
        full = {"messaging_product": "whatsapp", "metadata": meta, **value}
        entry = {"id": self.waba.id, "changes": [{"value": full, "field": fieldname}]}
        self.fields = self.waba.fields if self.waba.apps else set()
        return await self.tell(told_id, fieldname, entry)

    @property
    def told_as(self) -> str:
        return self.id if self.id in self.graph.door.callbacks else self.waba.id

    async def tell_error(self, code: int, details: str = "") -> Told:
        """An account-level error: value.errors, with neither messages nor statuses."""
        return await self.tell_value("", {"errors": [GraphError(code, details).reported()]})

    async def report(self, sent_id: str, status: str, code: int = 0, details: str = "") -> Told:
        """ "sent", "delivered", "read", "played", "failed" (with a code), "deleted", "warning"."""
        return await self.tell_value(sent_id, status_value(self, self.sends[sent_id], status, code, details))

    async def writes(self, customer: Customer, text: str) -> Told:
        """A person writes in the WhatsApp Business app (coexistence): field smb_message_echoes."""
        wamid = self.graph.ids.wamid()
        self.seen[wamid] = customer.user_id
        echo = {
            "from": self.phone,
            **({} if customer.hidden else {"to": customer.phone}),
            "to_user_id": customer.user_id,
            "id": wamid,
            "timestamp": str(int(self.graph.clock.now())),
            "type": "text",
            "text": {"body": text},
        }
        return await self.tell_value(wamid, {"message_echoes": [echo]}, "smb_message_echoes")

    def keep(self, content: bytes, mime: str, filename: str = "", life_s: float | None = None) -> Media:
        return super().keep(content, mime, filename, 30 * DAY_S if life_s is None else life_s)
