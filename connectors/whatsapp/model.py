"""What WhatsApp's webhooks look like, as far as we read them.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages (a page a kind),
.../webhooks/reference/user_preferences, .../business-scoped-user-ids (user_id, username, user_id_update).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Text(msgspec.Struct, gc=False):
    body: str = ""


class File(msgspec.Struct, gc=False):
    """An image, video, sound, document or sticker. The URL that stands beside the id lives five minutes, so it is the
    id that counts."""

    id: str = ""
    mime_type: str = ""
    caption: str = ""
    filename: str = ""
    voice: bool = False


class Location(msgspec.Struct, gc=False):
    latitude: float | str
    longitude: float | str
    name: str = ""
    address: str = ""
    url: str = ""


class Phone(msgspec.Struct, gc=False):
    phone: str = ""
    wa_id: str = ""


class Mail(msgspec.Struct, gc=False):
    email: str = ""


class Link(msgspec.Struct, gc=False):
    url: str = ""


class Name(msgspec.Struct, gc=False):
    formatted_name: str = ""
    first_name: str = ""
    last_name: str = ""


class Org(msgspec.Struct, gc=False):
    company: str = ""
    department: str = ""
    title: str = ""


class Address(msgspec.Struct, gc=False):
    street: str = ""
    zip: str = ""
    city: str = ""
    state: str = ""
    country: str = ""


class Card(msgspec.Struct, gc=False):
    """origin "contact_request": their own number, which a button of ours asked them for."""

    name: Name | None = None
    vcard: str = ""
    phones: list[Phone] = []
    emails: list[Mail] = []
    urls: list[Link] = []
    org: Org | None = None
    addresses: list[Address] = []
    origin: str = ""


class Reply(msgspec.Struct, gc=False):
    id: str = ""
    title: str = ""
    description: str = ""


class Flow(msgspec.Struct, gc=False):
    name: str = ""
    body: str = ""
    response_json: str = ""


class CallPermission(msgspec.Struct, gc=False):
    response: str = ""


class Interactive(msgspec.Struct, gc=False):
    type: str
    button_reply: Reply | None = None
    list_reply: Reply | None = None
    nfm_reply: Flow | None = None
    call_permission_reply: CallPermission | None = None


class Button(msgspec.Struct, gc=False):
    text: str = ""
    payload: str = ""


class Reaction(msgspec.Struct, gc=False):
    """Without an emoji, it was taken back."""

    message_id: str
    emoji: str = ""


class Item(msgspec.Struct, gc=False):
    product_retailer_id: str = ""
    quantity: int | float | str = 1
    item_price: int | float | str = ""
    currency: str = ""


class Order(msgspec.Struct, gc=False):
    catalog_id: str = ""
    text: str = ""
    product_items: list[Item] = []


class System(msgspec.Struct, gc=False):
    """previous_user_id: since August 2026."""

    type: str = ""
    body: str = ""
    wa_id: str = ""
    new_wa_id: str = ""
    user_id: str = ""
    previous_user_id: str = ""


class Inner(msgspec.Struct, gc=False):
    """What an edited message reads now."""

    type: str = ""
    text: Text | None = None
    image: File | None = None
    video: File | None = None
    document: File | None = None


class Edit(msgspec.Struct, gc=False):
    original_message_id: str
    message: Inner


class Revoke(msgspec.Struct, gc=False):
    original_message_id: str


class Unsupported(msgspec.Struct, gc=False):
    type: str = ""


class Product(msgspec.Struct, gc=False):
    catalog_id: str = ""
    product_retailer_id: str = ""


class Context(msgspec.Struct, gc=False):
    id: str = ""
    forwarded: bool = False
    frequently_forwarded: bool = False
    referred_product: Product | None = None


class Welcome(msgspec.Struct, gc=False):
    text: str = ""


class Referral(msgspec.Struct, gc=False):
    """welcome_message: what the advertisement greeted them with, before they wrote."""

    source_type: str = ""
    source_id: str = ""
    source_url: str = ""
    headline: str = ""
    body: str = ""
    image_url: str = ""
    video_url: str = ""
    ctwa_clid: str = ""
    welcome_message: Welcome | None = None


class Message(msgspec.Struct, gc=False):
    """sender, user_id: the phone without its plus, and the business-scoped id; either may be missing."""

    id: str
    type: str
    timestamp: str
    sender: str = msgspec.field(name="from", default="")
    user_id: str = msgspec.field(name="from_user_id", default="")
    group_id: str = ""
    text: Text | None = None
    image: File | None = None
    video: File | None = None
    audio: File | None = None
    voice: File | None = None
    document: File | None = None
    sticker: File | None = None
    location: Location | None = None
    contacts: list[Card] | None = None
    interactive: Interactive | None = None
    button: Button | None = None
    reaction: Reaction | None = None
    order: Order | None = None
    system: System | None = None
    edit: Edit | None = None
    revoke: Revoke | None = None
    unsupported: Unsupported | None = None
    context: Context | None = None
    referral: Referral | None = None


class Status(msgspec.Struct, gc=False):
    """errors: one by one, so that what cannot be read of them does not cost the report."""

    id: str
    status: str
    timestamp: str
    type: str = ""
    recipient_id: str = ""
    recipient_user_id: str = ""
    biz_opaque_callback_data: str = ""
    errors: list[msgspec.Raw] = []


class Call(msgspec.Struct, gc=False):
    """By voice, where the business has switched that on: https://developers.facebook.com/docs/whatsapp/cloud-api/calling.
    Whoever answers it is none of ours."""

    id: str
    event: str
    timestamp: str
    direction: str = ""
    sender: str = msgspec.field(name="from", default="")
    user_id: str = msgspec.field(name="from_user_id", default="")
    duration: float = 0.0


class Preference(msgspec.Struct, gc=False):
    category: str
    value: str
    timestamp: int | str
    wa_id: str = ""
    user_id: str = ""
    detail: str = ""


class Ids(msgspec.Struct, gc=False):
    previous: str
    current: str


class NewId(msgspec.Struct, gc=False):
    user_id: Ids
    wa_id: str = ""


class Profile(msgspec.Struct, gc=False):
    name: str = ""
    username: str = ""


class Contact(msgspec.Struct, gc=False):
    """Who writes, or is written to."""

    profile: Profile | None = None
    wa_id: str = ""
    user_id: str = ""


class Metadata(msgspec.Struct, gc=False):
    phone_number_id: str
    display_phone_number: str = ""


class Value(msgspec.Struct, gc=False):
    metadata: Metadata | None = None
    contacts: list[Contact] = []
    messages: list[Message] | UnsetType = UNSET
    statuses: list[Status] | UnsetType = UNSET
    calls: list[Call] | UnsetType = UNSET
    errors: list[msgspec.Raw] | UnsetType = UNSET
    user_preferences: list[Preference] | UnsetType = UNSET
    user_id_update: list[NewId] | UnsetType = UNSET


class Loose(msgspec.Struct, gc=False):
    """The same where something in it cannot be read: each piece by itself."""

    metadata: Metadata | None = None
    contacts: list[msgspec.Raw] = []
    messages: list[msgspec.Raw] | UnsetType = UNSET
    statuses: list[msgspec.Raw] | UnsetType = UNSET
    calls: list[msgspec.Raw] | UnsetType = UNSET
    errors: list[msgspec.Raw] | UnsetType = UNSET
    user_preferences: list[msgspec.Raw] | UnsetType = UNSET
    user_id_update: list[msgspec.Raw] | UnsetType = UNSET


class Change(msgspec.Struct, kw_only=True, gc=False):
    """field: some that stand in between leave it out, as they do an entry's id."""

    field: str = "messages"
    value: Value


class LooseChange(msgspec.Struct, kw_only=True, gc=False):
    field: str = "messages"
    value: msgspec.Raw


class Entry(msgspec.Struct, kw_only=True, gc=False):
    id: str = ""
    changes: list[Change]


class LooseEntry(msgspec.Struct, kw_only=True, gc=False):
    id: str = ""
    changes: list[msgspec.Raw]


class Body(msgspec.Struct, gc=False):
    object: str
    entry: list[Entry]
