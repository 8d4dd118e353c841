"""The room with WhatsApp, SMS, Instagram and Telegram in it: windows, templates, answers to tap, a public place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from crm_store.db import Store
from crm_store.schema import deliveries, delivery_parts
from hub import configfiles
from hub.limits import Limits
from hub.model import ButtonKind, HeaderKind, Template, TemplateButton, TemplateHeader
from router.rules import compile_rules
from tests.desk.room import FILES, LIMITS, SCHEMES, Room

CHANNELS = """
brands:
  main: {name: Harbour & Sons}
accounts:
  webchat/main: {title: Chat on our site}
  console/main: {title: Terminal}
  webhook/main: {title: Forms and letters}
  mail/support: {title: Support mailbox, address: support@example.com, settings: {authserv_id: mx.example.com}}
  whatsapp/main: {title: WhatsApp}
  sms_twilio/uk: {title: Text messages}
  instagram/shop: {title: Instagram}
  telegram/bot: {title: Telegram}
"""
REPLIES = """
replies:
  hello: {title: Looking into it, text: "Hello, and thank you for writing. I am looking into this now."}
  shipped:
    title: Your order is on its way
    text: Your order {1} is on its way and should reach you on {2}.
    templates:
      whatsapp:
        name: order_shipped
        language: en
        header: {order: "{1}"}
        body: {order: "{1}", day: "{2}"}
        buttons: {2: {url: "{1}"}}
    choices: [Thanks, It has not come]
  rate:
    title: Did that help?
    text: Did that help?
    choices: ["Yes", "No", "Partly", "Call me"]
"""
TEL, INSTA, GRAM = "tel:+447700900123", "instagram:178414", "telegram:5501"
MORE_LIMITS = {
    "whatsapp": Limits(
        text_chars=4096,
        attachments=1,
        attachment_bytes=5_000_000,
        source="test",
        window_s=86400,
        templates=True,
        choices=3,
        choice_chars=20,
        links=True,
    ),
    "sms_twilio": Limits(text_chars=1600, attachments=0, attachment_bytes=0, source="test", segments=True),
    "instagram": Limits(
        text_chars=1000,
        attachments=1,
        attachment_bytes=8_000_000,
        source="test",
        window_s=86400,
        choices=13,
        choice_chars=20,
        public=True,
        private_s=7 * 86400,
    ),
    "telegram": Limits(
        text_chars=4096, attachments=1, attachment_bytes=5_000_000, source="test", choices=8, choice_chars=40
    ),
}
MORE_SCHEMES = {"whatsapp": "tel", "sms_twilio": "tel", "instagram": "instagram", "telegram": "telegram"}


def shipped(order: str, day: str) -> Template:
    """The reply of that name with these words in its places, as WhatsApp is given it."""
    return Template(
        name="order_shipped",
        language="en",
        parameters=(order, day),
        names=("order", "day"),
        header=TemplateHeader(kind=HeaderKind.TEXT, value=order, name="order"),
        buttons=(TemplateButton(number=2, kind=ButtonKind.URL, value=order),),
    )


class Messaging(Room):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.config = configfiles.load({**FILES, "channels.yaml": CHANNELS, "replies.yaml": REPLIES})
        self.rules = compile_rules(self.config)
        self.actions._limits = {**LIMITS, **MORE_LIMITS}
        self.actions._schemes = {**SCHEMES, **MORE_SCHEMES}

    def claimed(self, urn: str, text: str, account: str, **more: Any) -> int:
        """They wrote, and Bo has it; its number."""
        number = self.writes(urn, text, account=account, name=more.pop("name", "Ann Lee"), **more)
        if self.row(number).assignee is None:
            self.actions.claim(self.id_of(number), "bo")
        return number

    def reaches(self, delivery: int, external_id: str) -> None:
        """It was sent, and has this id at the provider."""
        self.becomes(delivery, "sent")
        account = self.account_of(delivery)
        row = {"delivery_id": delivery, "part": 0, "account": account, "external_id": external_id}
        self.store.run(lambda tx: tx.execute(insert(delivery_parts).values(**row, state="sent", at=self.now)))

    def account_of(self, delivery: int) -> str:
        with self.store.read() as tx:
            d = deliveries.c
            return str(tx.execute(select(d.account).where(d.id == delivery)).scalar_one())

    def nearly(self) -> None:
        """Ten minutes before windows of a day close."""
        self.now += timedelta(hours=23, minutes=50)

    def closes(self) -> None:
        """The windows have closed."""
        self.now += timedelta(minutes=11)


def make(store: Store, folder: Path) -> Messaging:
    return Messaging(store=store, folder=folder)


__all__ = ["GRAM", "INSTA", "MORE_LIMITS", "TEL", "Messaging", "make"]
