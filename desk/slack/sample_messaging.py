"""The made-up desk on channels with windows, templates, answers to tap and a public place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from crm_store.carried import Carried
from crm_store.cited import Cited
from crm_store.timeline import Entry
from desk.slack import cards, composing, modals, names, thread
from desk.slack.blocks import View
from desk.slack.sample import CONFIG, DESK, NOW, Shot, ago, conversation, entry, reply, shown
from desk.ways import Window
from hub.config import ApprovedText, CannedReply
from hub.limits import Limits
from hub.model import Template
from router.choose import Address, Choice, choose

SHIPPED = CannedReply(
    key="shipped",
    title="Your order is on its way",
    text="Your order {1} is on its way and should reach you on {2}.",
    places=2,
    approved={"whatsapp": ApprovedText(name="order_shipped", language="en")},
)
LIMITS = {
    "whatsapp": Limits(
        text_chars=4096, attachments=1, attachment_bytes=5_000_000, source="sample", window_s=86400,
        templates=True, choices=3, choice_chars=20,
    ),
    "sms_twilio": Limits(text_chars=1600, attachments=0, attachment_bytes=0, source="sample", segments=True),
    "instagram": Limits(
        text_chars=1000, attachments=0, attachment_bytes=0, source="sample", window_s=86400, choices=13,
        choice_chars=20, public=True,
    ),
}  # fmt: skip
TEL = "tel:+447700900123"


def _way(account: str, title: str, urn: str = TEL, **more: Any) -> Address:
    return Address(account=account, urn=urn, title=title, verified=True, **more)


def _ways(*, closed: bool) -> Choice:
    until = ago(minutes=20) if closed else NOW + timedelta(hours=3)
    chat = _way(
        "whatsapp/main", "WhatsApp", has_window=True, window_until=until, templates=True, in_conversation=True
    )
    return choose((chat, _way("sms_twilio/uk", "Text messages")), NOW)


def _modals() -> dict[str, tuple[str, View]]:
    one = shown(conversation(state="open", assignee="eva", account="whatsapp/main", urn=TEL))
    closed, open_ = _ways(closed=True), _ways(closed=False)
    chat = next(composing.way(way) for way in closed.options if way.template)
    template = told(
        modals.reply(one, closed, LIMITS, channel=chat, ready=SHIPPED),
        {"place_1": "88213", "place_2": "Monday"},
    )
    filled = composing.changed(template, LIMITS, SHIPPED) or template
    comment = _way("instagram/shop", "Instagram", "instagram:178414", in_conversation=True, public=True)
    public = told(
        modals.reply(one, choose((comment,), NOW), LIMITS, text="Yes, from Monday."), {names.PUBLIC: "public"}
    )
    return {
        "window": (
            "Reply by WhatsApp, with more answers than can be tapped",
            modals.reply(one, open_, LIMITS, text="Did that help?", choices="Yes\nNo\nPartly\nCall me"),
        ),
        "template": ("An approved text, filled", drawn({**filled, "state": template["state"]})),
        "only": ("Nothing but approved texts", modals.reply(one, closed, LIMITS, channel=chat)),
        "closed": (
            "The window closed meanwhile",
            modals.reply(
                one,
                closed,
                LIMITS,
                text="It is on its way.",
                notice="Not sent: WhatsApp takes a reply only within 24 hours of the customer's last message; after "
                "that an approved template. Text messages is chosen below instead. Approved texts still go: choose "
                "WhatsApp again, then “Your order is on its way”.",
            ),
        ),
        "public": (
            "In public",
            drawn({**(composing.changed(public, LIMITS) or public), "state": public["state"]}),
        ),
    }


def drawn(view: View) -> View:
    """What stands in the inputs, as the preview shows it."""
    for action, one in ((a, o) for block in view["state"]["values"].values() for a, o in block.items()):
        for block in view["blocks"]:
            element = block.get("element") or {}
            if element.get("action_id") == action and one.get("value"):
                element["initial_value"] = one["value"]
            elif element.get("action_id") == action and one.get("selected_option"):
                element["initial_option"] = one["selected_option"]
    return view


def told(view: View, typed: dict[str, str]) -> View:
    """The view as Slack tells of it, after somebody typed and chose."""
    state: dict[str, dict[str, Any]] = {}
    for block in view["blocks"]:
        element = block.get("element")
        if element is None:
            continue
        action = element["action_id"]
        if "options" in element:
            option = element.get("initial_option")
            option = next((o for o in element["options"] if o["value"] == typed.get(action)), option)
            state[block["block_id"]] = {action: {"selected_option": option}}
        else:
            state[block["block_id"]] = {action: {"value": typed.get(action, element.get("initial_value"))}}
    return {**view, "state": {"values": state}}


def _kinds() -> tuple[Entry, ...]:
    def say(some_id: int, text: str, **more: Any) -> Entry:
        return entry(some_id, text, account="whatsapp/main", urn=TEL, at=ago(minutes=1), **more)

    pier = (("latitude", "53.5436"), ("longitude", "9.9663"), ("place", "Pier 3"))
    ours = Cited(id=30, direction="out", by="agent:eva", text="Where are you?")
    return (
        say(40, "📍 Location: Pier 3", fields=pier, cites=ours),
        say(
            41, "👤 Contact card: Cem (+4940123)", fields=(("contact", "Cem"), ("contact phones", "+4940123"))
        ),
        say(42, "👍 (sticker)"),
        say(43, "Yes", fields=(("tapped", "c1"),)),
        say(44, "I saw your advertisement", fields=(("came from", "ad"), ("headline", "Blue chairs"))),
        say(45, "(Something that cannot be shown here: hologram.)", raw="0" * 64),
        entry(46, "is it in blue too?", account="instagram/shop", urn="instagram:178414", form="comment"),
    )


def _receipts() -> tuple[Entry, ...]:
    def sent(text: str, carries: Carried, account: str = "whatsapp/main") -> Entry:
        one = reply("delivered", text, sent_at=ago(seconds=50))
        assert one.delivery is not None
        return replace(one, account=account, delivery=replace(one.delivery, account=account, carries=carries))

    template = Template(name="order_shipped", language="en", parameters=("88213", "Monday"))
    return (
        sent("Your order 88213 is on its way and should reach you on Monday.", Carried(template=template)),
        sent("Did that help?", Carried(choices=("Yes", "No"))),
        sent("Yes, from Monday.", Carried(public=True), "instagram/shop"),
    )


def messaging_shots() -> list[Shot]:
    window = Window(title="WhatsApp", until=NOW + timedelta(hours=3), templates=True)
    card = cards.card(
        shown(conversation(account="whatsapp/main", urn=TEL), channel="WhatsApp", window=window), NOW
    )
    url = f"{DESK}/conversations/1042"
    posts = (
        card,
        *(thread.message(one, CONFIG, url=url) for one in _kinds()),
        *(thread.receipt(one, CONFIG, NOW, url=url) for one in _receipts()),
    )
    return [
        Shot("messaging", "A window; what customers send besides text; how replies went", "thread", posts),
        *(Shot(f"modal-{key}", title, "view", view=view) for key, (title, view) in _modals().items()),
    ]
