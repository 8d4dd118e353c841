"""What the webhooks of Messenger and Instagram look like, as far as we read them.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events (a page a
kind), https://developers.facebook.com/documentation/instagram-platform/webhooks/examples, and of what is said in public
https://developers.facebook.com/docs/graph-api/webhooks/reference/page (feed, mention) and .../reference/instagram.
Some pages write numbers as text, so the decoder takes both.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One of the two. object: what a notification says it is about. words: what an account of ours is called."""

    name: str
    object: str
    words: str


MESSENGER = Way(name="messenger", object="page", words="the Page")
INSTAGRAM = Way(name="instagram", object="instagram", words="the Instagram account")


class Entry(msgspec.Struct, gc=False):
    id: str | int
    time: int | None = None
    messaging: list[msgspec.Raw] | None = None
    standby: list[msgspec.Raw] | None = None
    changes: list[msgspec.Raw] | None = None


class Person(msgspec.Struct, gc=False):
    """user_ref: of a plugin's, in place of an id; nobody can be written to by it for long."""

    id: str | None = None
    user_ref: str | None = None


# ---------------------------------------------------------------------------------------------- what is in a message


class Coordinates(msgspec.Struct, gc=False):
    lat: float | str
    long: float | str


class Element(msgspec.Struct, gc=False):
    """Of a template, or a product of a shop."""

    id: str | int | None = None
    retailer_id: str | int | None = None
    title: str | None = None
    subtitle: str | None = None


class Product(msgspec.Struct, gc=False):
    id: str | int | None = None
    elements: list[Element] | None = None


class Payload(msgspec.Struct, gc=False):
    """story_media_url: of a shared story, in place of `url`."""

    url: str | None = None
    story_media_url: str | None = None
    title: str | None = None
    text: str | None = None
    sticker_id: int | str | None = None
    coordinates: Coordinates | None = None
    product: Product | None = None
    generic: Product | None = None
    elements: list[Element] | None = None


class Attachment(msgspec.Struct, gc=False):
    """URL: as the page on fallbacks long wrote it."""

    type: str
    payload: Payload | None = None
    title: str | None = None
    url: str | None = None
    URL: str | None = None


class Story(msgspec.Struct, gc=False):
    url: str | None = None
    id: str | int | None = None


class ReplyTo(msgspec.Struct, gc=False):
    mid: str | None = None
    story: Story | None = None


class QuickReply(msgspec.Struct, gc=False):
    payload: str | None = None


class Ad(msgspec.Struct, gc=False):
    ad_title: str | None = None
    post_id: str | int | None = None


class Referral(msgspec.Struct, gc=False):
    """What led them here. source: ADS, SHORTLINK, CUSTOMER_CHAT_PLUGIN, ..."""

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: str | int | None = None
    referer_uri: str | None = None
    ads_context_data: Ad | None = None
    product: Product | None = None


class Message(msgspec.Struct, gc=False):
    mid: str
    text: str | None = None
    attachments: list[Attachment] | None = None
    quick_reply: QuickReply | None = None
    reply_to: ReplyTo | None = None
    referral: Referral | None = None
    is_echo: bool = False
    is_deleted: bool = False
    is_unsupported: bool = False
    is_self: bool = False
    app_id: int | str | None = None
    metadata: str | None = None


# ------------------------------------------------------------------------------------------------------- other kinds


class Edit(msgspec.Struct, gc=False):
    mid: str
    text: str | None = None
    num_edit: int = 0


class Reaction(msgspec.Struct, gc=False):
    mid: str
    action: str = "react"
    reaction: str | None = None
    emoji: str | None = None


class Postback(msgspec.Struct, gc=False):
    mid: str | None = None
    title: str | None = None
    payload: str | None = None
    referral: Referral | None = None


class Optin(msgspec.Struct, gc=False):
    """type notification_messages, one_time_notif_req: marketing. Without a type: a plugin's, with its `ref`."""

    type: str | None = None
    title: str | None = None
    payload: str | None = None
    ref: str | None = None
    user_ref: str | None = None
    notification_messages_status: str | None = None


class Delivery(msgspec.Struct, gc=False):
    mids: list[str] | None = None
    watermark: int = 0


class Read(msgspec.Struct, gc=False):
    """Messenger: all until `watermark`. Instagram: `mid`."""

    watermark: int = 0
    mid: str | None = None


class Event(msgspec.Struct, rename={"policy": "policy-enforcement"}, gc=False):
    sender: Person | None = None
    recipient: Person | None = None
    timestamp: int = 0
    message: Message | None = None
    message_edit: Edit | None = None
    reaction: Reaction | None = None
    postback: Postback | None = None
    referral: Referral | None = None
    optin: Optin | None = None
    delivery: Delivery | None = None
    read: Read | None = None
    # Nothing that is said to us: who has the conversation, who has linked an account, Meta's policy (which two
    # pages spell in two ways).
    pass_thread_control: msgspec.Raw = msgspec.Raw()
    take_thread_control: msgspec.Raw = msgspec.Raw()
    request_thread_control: msgspec.Raw = msgspec.Raw()
    app_roles: msgspec.Raw = msgspec.Raw()
    account_linking: msgspec.Raw = msgspec.Raw()
    policy_enforcement: msgspec.Raw = msgspec.Raw()
    policy: msgspec.Raw = msgspec.Raw()


# ------------------------------------------------------------------------------------------------------------ public


class Change(msgspec.Struct, gc=False):
    field: str
    value: msgspec.Raw


class Author(msgspec.Struct, gc=False):
    """self_ig_scoped_id stands there where it is the account itself (not documented in words; our reading)."""

    id: str | None = None
    name: str | None = None
    username: str | None = None
    self_ig_scoped_id: str | None = None


class Feed(msgspec.Struct, rename={"author": "from"}, gc=False):
    """A Page's field `feed`, and `mention` (which has sender_id and sender_name in place of `from`)."""

    item: str = ""
    verb: str = ""
    author: Author | None = None
    sender_id: str | None = None
    sender_name: str | None = None
    post_id: str | None = None
    comment_id: str | None = None
    parent_id: str | None = None
    created_time: int = 0
    message: str | None = None
    photo: str | None = None
    photos: list[str] | None = None
    video: str | None = None
    link: str | None = None


class Medium(msgspec.Struct, gc=False):
    id: str | None = None
    media_product_type: str | None = None
    ad_title: str | None = None


class Comment(msgspec.Struct, rename={"author": "from"}, gc=False):
    """Instagram's fields `comments` and `live_comments`."""

    id: str
    author: Author | None = None
    text: str | None = None
    media: Medium | None = None
    parent_id: str | None = None


class Mention(msgspec.Struct, gc=False):
    """Instagram's field `mentions`: where it is, and neither who nor what."""

    media_id: str
    comment_id: str | None = None
