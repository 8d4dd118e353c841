"""A person on WhatsApp, who does what people do; each method returns what Meta told the app of it.

developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/*: text, image, audio,
video, document, sticker, location, contacts, interactive, button, reaction, order, system, unsupported, edit,
revoke, group; user_preferences; and .../business-scoped-user-ids for user_id, from_user_id, user_id_update.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.servers.graph import cdn
from tests.servers.graph.door import Told
from tests.servers.graph.errors import GraphError, Json

if TYPE_CHECKING:
    from tests.servers.graph.whatsapp import Number

AD: Json = {
    "source_url": "https://fb.me/3cr4Wqqkv",
    "source_id": "120226305854810726",
    "source_type": "ad",
    "body": "Summer succulents are here!",
    "headline": "Chat with us",
    "media_type": "image",
    "image_url": "https://scontent.xx.fbcdn.net/v/t45.1",
    "ctwa_clid": "Aff-n8ZTODiE79d22KtAwQKj9e",
    "welcome_message": {"text": "Hi there! Let us know how we can help!"},
}


class Customer:
    """last_in: when they last wrote, which opens the window. blocks: sends to them fail (131026). stopped: no marketing
    (131050), as `prefers` sets it. hidden: their phone stands in no webhook."""

    def __init__(
        self,
        number: Number,
        name: str,
        phone: str,
        user_id: str,
        parent_user_id: str,
        *,
        username: str = "",
        hidden: bool = False,
    ) -> None:
        assert username or not hidden
        self.number, self.name, self.phone = number, name, phone
        self.user_id, self.parent_user_id = user_id, parent_user_id
        self.username, self.hidden = username, hidden
        self.last_in: float | None = None
        self.blocks = self.stopped = False

    # --------------------------------------------------------------------------------------------------- writing

    async def says(
        self,
        text: str,
        *,
        quoting: str = "",
        forwarded: int = 0,
        ad: Json | None = None,
        product: tuple[str, str] | None = None,
        group: str = "",
    ) -> Told:
        """quoting: a wamid. forwarded: how often it was before. ad: a referral (`AD`). product: (catalogue,
        retailer id), by "Message business" below `quoting`. group: a group's id."""
        extra = self._context(quoting, forwarded, product)
        if ad is not None:
            extra["referral"] = ad
        if group:
            extra["group_id"] = group
        return await self.message("text", {"body": text}, **extra)

    async def sends(
        self,
        content: bytes,
        mime: str,
        *,
        kind: str = "",
        caption: str = "",
        filename: str = "",
        voice: bool = False,
        animated: bool = False,
        quoting: str = "",
        forwarded: int = 0,
        url: bool = True,
        ad: Json | None = None,
    ) -> Told:
        """A file. kind: "image", "audio", "video", "document" or "sticker"; by its type where not said. voice: a voice
        note. url: whether the webhook carries the URL beside the id, as it does since November 2025."""
        kind = kind or mime.partition("/")[0]
        kind = kind if kind in ("image", "audio", "video", "sticker") else "document"
        media = self.number.keep(
            content, mime, filename, 7 * 86_400
        )  # "media IDs in webhooks expire after 7 days"
        body: Json = {"caption": caption} if caption else {}
        if kind == "document":
            body["filename"] = filename or "file"
        sha = base64.b64encode(bytes.fromhex(media.sha256)).decode()
        body |= {"mime_type": mime, "sha256": sha, "id": media.id}
        if url:
            body["url"] = cdn.whatsapp_url(self.number.graph, media)
        if kind == "audio":
            body["voice"] = voice
        if kind == "sticker":
            body["animated"] = animated
        extra = self._context(quoting, forwarded, None) | ({"referral": ad} if ad else {})
        return await self.message(kind, body, **extra)

    async def is_at(
        self, latitude: float, longitude: float, name: str = "", address: str = "", url: str = ""
    ) -> Told:
        place = {"latitude": latitude, "longitude": longitude, "name": name, "address": address, "url": url}
        return await self.message("location", {key: value for key, value in place.items() if value != ""})

    async def shares(self, *contacts: Json, asked: bool = False) -> Told:
        """Contact cards. asked: their own phone, by a REQUEST_CONTACT_INFO button."""
        if asked:
            phone = {"phone": f"+{self.phone}", "wa_id": self.phone, "type": "CELL"}
            contacts = ({"origin": "contact_request", "phones": [phone]},)
        return await self.message("contacts", list(contacts))

    async def presses(self, button_id: str, title: str, of: str = "") -> Told:
        """A reply button of our message `of`."""
        reply = {"type": "button_reply", "button_reply": {"id": button_id, "title": title}}
        return await self.message("interactive", reply, **self._context(of, 0, None))

    async def picks(self, row_id: str, title: str, description: str = "", of: str = "") -> Told:
        """A row of our list `of`."""
        row = {"id": row_id, "title": title} | ({"description": description} if description else {})
        reply = {"type": "list_reply", "list_reply": row}
        return await self.message("interactive", reply, **self._context(of, 0, None))

    async def fills(self, answers: Json, of: str = "") -> Told:
        """A flow."""
        reply = {"name": "flow", "body": "Sent", "response_json": json.dumps(answers)}
        return await self.message(
            "interactive", {"type": "nfm_reply", "nfm_reply": reply}, **self._context(of, 0, None)
        )

    async def taps(self, text: str, payload: str, of: str = "") -> Told:
        """A template's quick reply."""
        return await self.message("button", {"payload": payload, "text": text}, **self._context(of, 0, None))

    async def orders(self, catalog_id: str, *items: Json, text: str = "") -> Told:
        """items: product_retailer_id, quantity, item_price, currency."""
        return await self.message(
            "order", {"catalog_id": catalog_id, "text": text, "product_items": list(items)}
        )

    async def reacts(self, emoji: str, to: str) -> Told:
        """emoji "" takes the reaction back: then the property is left out."""
        body = {"message_id": to} | ({"emoji": emoji} if emoji else {})
        return await self.message("reaction", body)

    async def edits(self, wamid: str, text: str) -> Told:
        """Coexistence only; at times Meta sends `unsupported("edit")` instead."""
        message = {"context": {"id": "M0"}, "type": "text", "text": {"body": text}}
        return await self.message("edit", {"original_message_id": wamid, "message": message})

    async def revokes(self, wamid: str) -> Told:
        """Deletes for all. Coexistence only."""
        return await self.message("revoke", {"original_message_id": wamid})

    async def unsupported(self, kind: str = "poll_creation", code: int = 131051) -> Told:
        """What the Cloud API cannot show; 131060: not available yet."""
        title = "Message type unknown" if code == 131051 else "This message is currently unavailable."
        details = "Message type is currently not supported." if code == 131051 else title
        error = {"code": code, "title": title, "message": title, "error_data": {"details": details}}
        return await self.message("unsupported", {"type": kind}, errors=[error])

    async def message(self, kind: str, body: Any, **extra: Any) -> Told:
        """Any message, also of a kind that is documented nowhere."""
        now = self.number.graph.clock.now()
        wamid = self.number.graph.ids.wamid()
        self.number.seen[wamid] = self.user_id
        if "group_id" not in extra:
            self.last_in = now
        message: Json = {
            **({} if self.hidden else {"from": self.phone}),
            "from_user_id": self.user_id,
            **({"from_parent_user_id": self.parent_user_id} if self.number.parent_bsuids else {}),
            "id": wamid,
            "timestamp": str(int(now)),
            "type": kind,
            kind: body,
            **extra,
        }
        return await self.number.tell_value(wamid, {"contacts": [self.contact()], "messages": [message]})

    # --------------------------------------------------------------------------------------------- themselves, ours

    async def changes_number(self, phone: str, *, older: bool = False) -> Told:
        """A system message, and a new BSUID. older: of type user_changed_number, as before usernames. Then (field
        user_id_update) the change of id is told on its own."""
        graph = self.number.graph
        before, self.phone, old_id, old_parent = self.phone, phone, self.user_id, self.parent_user_id
        self.user_id, self.parent_user_id = graph.bsuids.setdefault(
            phone, (graph.ids.bsuid(old_id[:2]), graph.ids.bsuid(old_id[:2], parent=True))
        )
        self.number.customers |= {phone: self, self.user_id: self, self.parent_user_id: self}
        change = (before, phone) if older else (old_id, self.user_id)
        system: Json = {"body": f"User {self.name} changed from {change[0]} to {change[1]}"}
        if not self.hidden:
            system["wa_id"] = phone
        if not older:
            system["user_id"] = self.user_id
            if self.number.parent_bsuids:
                system["parent_user_id"] = self.parent_user_id
        system["type"] = "user_changed_number" if older else "user_changed_user_id"
        wamid, now = graph.ids.wamid(), str(int(graph.clock.now()))
        head = {} if self.hidden else {"from": before}
        message = {**head, "id": wamid, "timestamp": now, "type": "system", "system": system}
        told = await self.number.tell_value(wamid, {"messages": [message]})
        if not older:
            update: Json = {} if self.hidden else {"wa_id": phone}
            update |= {
                "detail": f"User id for {self.name} has been updated.",
                "user_id": {"previous": old_id, "current": self.user_id},
                **(
                    {"parent_user_id": {"previous": old_parent, "current": self.parent_user_id}}
                    if self.number.parent_bsuids
                    else {}
                ),
                "timestamp": now,
            }
            contact = {"profile": {"name": self.name}, **({} if self.hidden else {"wa_id": phone})}
            await self.number.tell_value(
                "", {"contacts": [contact], "user_id_update": [update]}, "user_id_update"
            )
        return told

    async def prefers(self, value: str) -> Told:
        """Marketing messages: "stop" or "resume"."""
        assert value in ("stop", "resume")
        self.stopped = value == "stop"
        words = "stop" if self.stopped else "resume"
        preference = {
            **({} if self.hidden else {"wa_id": self.phone}),
            "user_id": self.user_id,
            **({"parent_user_id": self.parent_user_id} if self.number.parent_bsuids else {}),
            "detail": f"User requested to {words} marketing messages",
            "category": "marketing_messages",
            "value": value,
            "timestamp": int(self.number.graph.clock.now()),
        }
        value_ = {"contacts": [self.contact()], "user_preferences": [preference]}
        return await self.number.tell_value("", value_, "user_preferences")

    async def receives(self, wamid: str) -> Told:
        return await self.number.report(wamid, "delivered")

    async def reads(self, wamid: str) -> Told:
        return await self.number.report(wamid, "read")

    async def plays(self, wamid: str) -> Told:
        """A voice message of ours."""
        return await self.number.report(wamid, "played")

    async def misses(self, wamid: str, code: int = 131026, details: str = "") -> Told:
        """Our message fails on its way."""
        GraphError(code)
        return await self.number.report(wamid, "failed", code, details)

    def contact(self, *, shown: bool | None = None) -> Json:
        """As webhooks present them."""
        profile = {"name": self.name} | ({"username": f"@{self.username}"} if self.username else {})
        contact: Json = {"profile": profile}
        if not self.hidden if shown is None else shown:
            contact["wa_id"] = self.phone
        contact["user_id"] = self.user_id
        if self.number.parent_bsuids:
            contact["parent_user_id"] = self.parent_user_id
        return contact

    def _context(self, wamid: str, forwarded: int, product: tuple[str, str] | None) -> Json:
        context: Json = {}
        if wamid:
            ours = wamid in self.number.sends
            context = {"from": self.number.phone if ours or product else self.phone, "id": wamid}
            if self.hidden and not (ours or product):
                del context["from"]
        if product:
            context["referred_product"] = {"catalog_id": product[0], "product_retailer_id": product[1]}
        if forwarded:
            context["forwarded" if forwarded <= 5 else "frequently_forwarded"] = True
        return {"context": context} if context else {}
