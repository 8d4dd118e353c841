"""What a message of theirs says: the text that people read, the exact values behind it, and its files. Pure.

A page a kind: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from connectors import clean, said
from connectors.said import Fields
from connectors.whatsapp.model import Address, Card, File, Inner, Message, Org, Referral
from hub import urn
from hub.model import Media

_WORDS = 5000  # of a flow's answers
_CARDS = 20
_ITEMS = 50
_FN = re.compile(r"^FN(?:;[^:\n]*)?:(.*)$", re.MULTILINE)


class Content(msgspec.Struct, frozen=True, gc=False):
    """claims: numbers that they say are theirs."""

    text: str
    fields: Fields = ()
    media: tuple[Media, ...] = ()
    claims: tuple[str, ...] = ()


def content(message: Message) -> Content | None:
    """None: of a kind that we cannot show, which Meta says itself (`unsupported`) or which we do not know."""
    read = _READ.get(message.type)
    return read(message) if read is not None else None


def kind_of(message: Message) -> str:
    """The kind of something that cannot be shown, in words."""
    inner = message.unsupported.type if message.unsupported else ""
    if message.type == "interactive" and message.interactive:
        inner = message.interactive.type
    if message.type in ("unsupported", "unknown") and not inner:
        return "a kind that WhatsApp does not pass on"
    return clean.line((inner or message.type).replace("_", " "), 60) or "nothing that has a name"


def edited(message: Inner) -> str | None:
    """The text that it has now; None where that is of another kind."""
    if message.text is not None:
        return clean.text(message.text.body)
    file = message.image or message.video or message.document
    return clean.text(file.caption) if file is not None else None


def more(message: Message) -> Fields:
    """What stands around the message: forwarded, about a product, led here by an advertisement."""
    found: Fields = ()
    if context := message.context:
        if context.frequently_forwarded:
            found += (("forwarded", "many times"),)
        elif context.forwarded:
            found += (("forwarded", "yes"),)
        if product := context.referred_product:
            found += said.fields(
                ("catalogue", clean.line(product.catalog_id, 100)),
                ("product", clean.line(product.product_retailer_id, 200)),
            )
    return found + _referral(message.referral) if message.referral else found


def _referral(led: Referral) -> Fields:
    greeting = led.welcome_message.text if led.welcome_message else ""
    fields = said.referral(
        clean.line(led.source_type, 40) or "ad",
        clean.line(led.headline, 300),
        clean.line(led.body, 1000),
        clean.line(led.source_url, 1000),
        clean.line(led.ctwa_clid, 300),
    )
    picture = led.image_url or led.video_url
    return fields + said.fields(
        ("source id", clean.line(led.source_id, 100)),
        ("picture there", clean.line(picture, 1000)),
        ("greeted with", clean.line(greeting, 1000)),
    )


def _text(message: Message) -> Content | None:
    return Content(clean.text(message.text.body)) if message.text else None


def _file(kind: str) -> Callable[[Message], Content | None]:
    def read(message: Message) -> Content | None:
        file: File | None = getattr(message, message.type)
        if file is None or not file.id:
            return None
        actual = "voice" if file.voice else kind
        text = said.sticker() if kind == "sticker" else clean.text(file.caption)
        return Content(text, media=(_media(file, actual),))

    return read


def _media(file: File, kind: str) -> Media:
    return Media(
        ref=clean.line(file.id, 200),
        kind=kind,
        content_type=clean.line(file.mime_type.partition(";")[0].strip().lower(), 120),
        name=clean.line(file.filename, 300),
    )


def _location(message: Message) -> Content | None:
    place = message.location
    if place is None:
        return None
    words, fields = said.location(
        clean.line(str(place.latitude), 40),
        clean.line(str(place.longitude), 40),
        clean.line(place.name, 300),
        clean.line(place.address, 500),
    )
    return Content(words, fields + said.fields(("link", clean.line(place.url, 1000))))


def _contacts(message: Message) -> Content | None:
    if not message.contacts:
        return None
    lines: list[str] = []
    fields: Fields = ()
    claims: list[str] = []
    for card in message.contacts[:_CARDS]:
        if card.origin == "contact_request":
            # Their own, asked for by a button of ours: .../business-scoped-user-ids, "Request contact information".
            claims += _numbers(card)
        words, exact = _card(card)
        lines.append(words)
        fields += exact
    if len(message.contacts) > _CARDS:
        lines.append(f"… and {len(message.contacts) - _CARDS} more")
    return Content("\n".join(lines), fields, claims=tuple(claims))


def _card(card: Card) -> tuple[str, Fields]:
    name = card.name
    called = (name.formatted_name or f"{name.first_name} {name.last_name}".strip()) if name else ""
    if not called and (found := _FN.search(card.vcard)):  # whom a button of ours asked for their number
        called = found[1]
    return said.contact(
        clean.line(called, 200),
        [clean.line(one.phone or one.wa_id, 40) for one in card.phones if one.phone or one.wa_id],
        [clean.line(one.email, 254) for one in card.emails if one.email],
        [
            *(clean.line(one.url, 500) for one in card.urls if one.url),
            *(_written(one) for one in (card.org, *card.addresses) if one and _written(one)),
        ],
    )


def _written(one: Org | Address) -> str:
    """A firm or an address, as one writes it."""
    return clean.line(", ".join(part.strip() for part in msgspec.structs.astuple(one) if part.strip()), 500)


def _numbers(card: Card) -> list[str]:
    found = []
    for one in card.phones:
        try:
            found.append(urn.tel(f"+{one.wa_id}" if one.wa_id else one.phone))
        except ValueError:
            continue
    return found


def _interactive(message: Message) -> Content | None:
    answer = message.interactive
    if answer is None:
        return None
    if answer.nfm_reply is not None:
        flow = answer.nfm_reply
        fields = said.fields(
            ("answers", clean.text(flow.response_json)[:_WORDS]), ("flow", clean.line(flow.name, 100))
        )
        return Content(clean.text(flow.body) or "(They filled in a form.)", fields)
    if (asked := answer.call_permission_reply) is not None and asked.response in _CALLS:
        return Content(_CALLS[asked.response])
    reply = answer.button_reply or answer.list_reply
    if reply is None:
        return None
    words, fields = said.tapped(clean.text(reply.title), clean.line(reply.id, 500))
    return Content(words, fields + said.fields(("description", clean.line(reply.description, 500))))


# To our question whether we may call: https://developers.facebook.com/docs/whatsapp/cloud-api/calling
_CALLS = {"accept": said.call_allowed(True), "reject": said.call_allowed(False)}


def _button(message: Message) -> Content | None:
    if message.button is None:
        return None
    return Content(*said.tapped(clean.text(message.button.text), clean.line(message.button.payload, 500)))


def _order(message: Message) -> Content | None:
    order = message.order
    if order is None:
        return None
    items = [
        " ".join(
            part
            for part in (
                f"{clean.line(str(item.quantity), 20)} × {clean.line(item.product_retailer_id, 100)}",
                f"at {clean.line(str(item.item_price), 20)} {clean.line(item.currency, 10)}".rstrip()
                if item.item_price != ""
                else "",
            )
            if part
        )
        for item in order.product_items[:_ITEMS]
    ]
    words = "🛒 Order: " + (", ".join(items) or "nothing")
    text = clean.text(order.text)
    fields = said.fields(("catalogue", clean.line(order.catalog_id, 100)), ("items", "; ".join(items)))
    return Content(f"{text}\n{words}" if text else words, fields)


_READ: Mapping[str, Callable[[Message], Content | None]] = {
    "text": _text,
    "image": _file("image"),
    "video": _file("video"),
    "audio": _file("audio"),
    "voice": _file("voice"),  # as it was before the Cloud API
    "document": _file("file"),
    "sticker": _file("sticker"),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
}
