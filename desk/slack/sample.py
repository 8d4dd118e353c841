"""A made-up desk to judge cards and threads by: no store, no clock, no Slack; the same every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_store.presence import Presence
from crm_store.revisions import Revision
from crm_store.timeline import Attached, Delivery, Entry
from crm_store.views import Card
from desk.slack import cards, changes, thread
from desk.slack.blocks import Post, View
from desk.slack.look import Because, Shown
from hub.config import Account, Agent, Brand, CannedReply, Config, Outcome, Queue, Role
from hub.limits import Limits

NOW = datetime(2026, 11, 20, 10, 33, 20, tzinfo=UTC)
DESK = "https://desk.example.com"
HOSTILE = (
    "<!channel> <!here> <@U0123ABCD> <https://evil.example|bank.com> *bold* _it_ `code` :tada:\n"
    "&lt;b&gt; <b>b</b> \u202egnp.exe\u202c zero\u200bwidth https://example.com/?a=1&b=2\n> quote\n```pre```"
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One thing to look at. kind: post, thread (its first post is the card), view. made: what is drawn."""

    key: str
    title: str
    kind: str
    posts: tuple[Post, ...] = ()
    view: View | None = None


def ago(**before: float) -> datetime:
    return NOW - timedelta(**before)


CONFIG = Config(
    hash="sample",
    brands={"main": Brand(key="main", name="Harbour & Sons")},
    accounts={
        key: Account(
            key=key, connector=key.partition("/")[0], name=key.partition("/")[2], brand="main", title=title
        )
        for key, title in (
            ("webchat/main", "Chat on our site"),
            ("sms_twilio/uk", "Text messages"),
            ("mail/support", "Support mailbox"),
            ("whatsapp/main", "WhatsApp"),
        )
    },
    queues={
        key: Queue(key=key, title=title, service_within_s=within, slack=f"#{key}")
        for key, title, within in (
            ("general", "General", 900.0),
            ("support", "Support", 300.0),
            ("billing", "Billing", 1800.0),
            ("sales", "Sales", 300.0),
        )
    },
    agents={
        "bo": Agent(key="bo", name="Bo Lindqvist", queues=("general", "support"), slack="U01BO"),
        "eva": Agent(key="eva", name="Eva Marsh", queues=("billing",), slack="U01EVA"),
        "cleo": Agent(
            key="cleo", name="Cleo Adeyemi", role=Role.LEAD, queues=("general", "billing"), slack="U01CLEO"
        ),
    },
    calendars={},
    replies={
        "hello": CannedReply(
            key="hello", title="Hello, looking into it", text="Hello, and thank you for writing."
        )
    },
    priorities={"urgent": 3600.0, "high": 600.0, "normal": 0.0},
    rules=(),
    default=Outcome(queue="general"),
)
LIMITS = {
    "webchat": Limits(text_chars=4000, attachments=5, attachment_bytes=10_000_000, source="sample"),
    "sms_twilio": Limits(text_chars=1600, attachments=0, attachment_bytes=0, source="sample"),
    "mail": Limits(text_chars=100_000, attachments=10, attachment_bytes=10_000_000, source="sample"),
    "whatsapp": Limits(
        text_chars=4096, attachments=1, attachment_bytes=5_000_000, source="sample", window_s=86400
    ),
}
HERE = {
    "bo": Presence(agent="bo", status="available", since=ago(hours=2), until=None),
    "eva": Presence(agent="eva", status="away", since=ago(hours=1), until=NOW + timedelta(minutes=27)),
}
SAID = (
    "Hello, I was charged twice for order 88213: 249.00 on the 17th and again on the 19th. The second refund you "
    "promised on the phone has not come either. I have attached the statement. Could somebody please look at this "
    "today? My rent goes out tomorrow."
)


def entry(some_id: int, text: str, **more: Any) -> Entry:
    values: dict[str, Any] = {
        "conversation_id": 7,
        "number": 1042,
        "direction": "in",
        "form": "message",
        "first_text": None,
        "subject": None,
        "account": "webchat/main",
        "urn": "webchat:v7f3a1",
        "identity_id": 1,
        "sender_name": "Ann Lee",
        "by": "customer",
        "at": ago(minutes=3),
        "automatic": False,
        "claimed": False,
        "fields": (),
        "language": "en",
        "deleted": False,
        "withdrawn": False,
        "reactions": (),
        "attachments": (),
        "delivery": None,
    }
    values |= more
    return Entry(id=some_id, text=text, received_at=values["at"], **values)


def delivery(state: str, **more: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": 501,
        "account": "webchat/main",
        "to_urn": "webchat:v7f3a1",
        "due_at": ago(seconds=60),
        "code": None,
        "provider_code": None,
        "detail": "",
        "attempts": 1,
        "sent_at": None,
        "asks": False,
    }
    return Delivery(state=state, **{**values, **more})


def reply(state: str, text: str = "I am looking at both charges now.", **more: Any) -> Entry:
    at = ago(minutes=1)
    return entry(30, text, direction="out", by="agent:eva", at=at, delivery=delivery(state, **more))


def revised(change: str, state: str, code: str | None = None, detail: str = "") -> Entry:
    """A reply that went out and was changed or taken back since."""
    one = Revision(
        id=601, delivery_id=501, number=1, change=change, text="I am looking at both charges today.", state=state,
        code=code, detail=detail, by="agent:eva", created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return replace(reply("delivered", sent_at=ago(seconds=50)), revisions=(one,))


def conversation(**more: Any) -> Card:
    values: dict[str, Any] = {
        "conversation_id": 7,
        "number": 1042,
        "brand": "main",
        "queue": "billing",
        "state": "waiting",
        "priority": "urgent",
        "subject": "",
        "preview": SAID[:160],
        "account": "webchat/main",
        "identity_id": 1,
        "urn": "webchat:v7f3a1",
        "customer_id": 3,
        "customer_name": "Ann Lee",
        "customer_tier": "gold",
        "tags": ("refund",),
        "skills": (),
        "waiting_since": ago(minutes=3),
        "rank_at": ago(minutes=63),
        "assignee": None,
        "offered_to": None,
        "offer_expires_at": None,
        "snoozed_until": None,
        "disposition": None,
        "opened_at": ago(minutes=3),
        "closed_at": None,
        "last_at": ago(minutes=3),
        "last_inbound_id": 10,
        "version": 1,
    }
    return Card(**{**values, **more})


STATEMENT = Attached(
    position=0,
    sha256="a" * 64,
    name="statement-november.pdf",
    content_type="application/pdf",
    size_bytes=184_320,
)
FIRST = entry(10, SAID, attachments=(STATEMENT,))
ELSEWHERE = (
    entry(
        2, "Invoice 88213 attached.", account="mail/support", direction="out", by="agent:bo", at=ago(days=9)
    ),
    entry(
        5,
        "When will I get my money back??",
        account="sms_twilio/uk",
        urn="tel:+447700900123",
        at=ago(days=1, hours=3),
    ),
)


def shown(card: Card | None = None, **more: Any) -> Shown:
    card = card or conversation()
    who = {"bo": "Bo Lindqvist", "eva": "Eva Marsh", "cleo": "Cleo Adeyemi"}
    values: dict[str, Any] = {
        "card": card,
        "name": card.customer_name,
        "channel": "web chat",
        "account": "Chat on our site",
        "address": "",
        "queue": CONFIG.queues[card.queue].title,
        "assignee": who.get(card.assignee or "", ""),
        "assignee_slack": "U01EVA" if card.assignee == "eva" else None,
        "offered": who.get(card.offered_to or "", ""),
        "said": FIRST,
        "elsewhere": ELSEWHERE,
        "because": Because(rule="money", place="routing.yaml:41"),
        "closed_by": "Eva Marsh",
        "snoozed_by": "Eva Marsh",
        "goal_s": 1800.0,
        "direct": False,
        "url": f"{DESK}/conversations/{card.number}",
    }
    return Shown(**{**values, **more})


def _plain_card() -> Shown:
    """A newcomer: nothing is known, nothing was said elsewhere, no rule matched."""
    card = conversation(
        number=1043,
        queue="general",
        priority="normal",
        customer_name="",
        customer_tier=None,
        tags=(),
        waiting_since=ago(seconds=20),
    )
    said = entry(11, "hi, do you ship to Norway?", sender_name="", at=ago(seconds=20))
    return shown(
        card,
        name="web chat v7f3a1",
        said=said,
        elsewhere=(),
        because=Because(),
        goal_s=900.0,
        queue="General",
    )


def _hostile_card() -> Shown:
    name = "Ann <!channel> *Lee* <@U1> \u202eevil"
    card = conversation(customer_name=name, customer_tier="<!here>", tags=("*x*", "<b>"))
    bad = entry(
        10, HOSTILE, sender_name=name, attachments=(replace(STATEMENT, name="<!channel>\u202efdp.exe"),)
    )
    return shown(
        card, name=name, said=bad, elsewhere=(entry(2, HOSTILE, account="mail/support", at=ago(days=1)),)
    )


def card_shots() -> list[Shot]:
    """A card in every state."""
    eva = {"assignee": "eva", "rank_at": None}
    offer = {"state": "offered", "offered_to": "bo", "offer_expires_at": NOW + timedelta(seconds=41)}
    moved = Because(moved_by="Bo Lindqvist", moved_from="Support", why="needs a refund that I may not give")
    long = entry(10, "\n".join(f"{n}. line of a long complaint, with some words in it" for n in range(40)))
    made = {
        "waiting": ("Waiting", shown()),
        "newcomer": ("Waiting: a newcomer, no rule matched", _plain_card()),
        "offered": ("Offered", shown(conversation(**offer))),
        "open": ("Claimed", shown(conversation(state="open", **eva))),
        "pending": ("Answered", shown(conversation(state="pending", waiting_since=None, **eva))),
        "transferred": ("Transferred here, a long text", shown(because=moved, said=long)),
        "mail": (
            "A mail",
            shown(
                said=entry(10, SAID, subject="Charged twice!", account="mail/support"),
                channel="mail",
                account="Support mailbox",
                address="ann@example.com",
            ),
        ),
        "snoozed": (
            "Snoozed",
            shown(conversation(state="snoozed", snoozed_until=NOW + timedelta(hours=3), **eva)),
        ),
        "closed": (
            "Closed",
            shown(conversation(state="closed", closed_at=ago(minutes=1), disposition="refunded", **eva)),
        ),
        "hostile": ("A hostile customer", _hostile_card()),
    }
    shots = [
        Shot(f"card-{key}", title, "post", (cards.card(one, NOW),)) for key, (title, one) in made.items()
    ]
    gone = cards.tombstone(shown(because=moved), "transferred", "C0BILLING", NOW)
    woke = cards.tombstone(shown(), "woken", "C0BILLING", NOW)
    return [*shots, Shot("card-tombstones", "Tombstones: transferred, woken", "post", (gone, woke))]


def thread_shots() -> list[Shot]:
    """A story below its card, and every state of a receipt."""
    card = cards.card(shown(conversation(state="pending", assignee="eva", waiting_since=None)), NOW)
    again = thread.message(entry(20, "Hello? Is anybody there?", at=ago(minutes=2)), CONFIG)
    story = (
        card,
        thread.message(FIRST, CONFIG, text=False),
        thread.note(
            entry(15, "Checked the ledger: both charges are real.", direction="note", by="agent:bo"), CONFIG
        ),
        thread.to_whom(again, "U01EVA"),
        thread.receipt(reply("delivered", sent_at=ago(seconds=50)), CONFIG, NOW),
        changes.change(
            "edit", "Ann Lee", "I was charged 249.00 on the 19th.", "I was charged 294.00 on the 18th.", NOW
        ),
        changes.change("delete", "Ann Lee", "never mind, found it", "", NOW),
        changes.change("reaction", "Ann Lee", "", "👍", NOW),
    )
    states = (
        reply("held", due_at=NOW + timedelta(seconds=8)),
        reply("queued"),
        reply("queued", code="throttled"),
        reply("sent", sent_at=ago(seconds=50)),
        reply("read", sent_at=ago(seconds=50)),
        reply("held", code="customer_wrote", asks=True),
        reply("failed", code="rejected", detail="mailbox <!here> unknown", provider_code="550"),
        reply("opted_out", code="opted_out"),
        reply("unknown", code="unknown"),
        reply("cancelled"),
        revised("edit", "done"),
        revised("delete", "queued"),
        revised("edit", "failed", code="rejected", detail="too old to be edited"),
    )
    return [
        Shot("thread", "A card with its thread", "thread", story),
        Shot("receipts", "Receipts", "post", tuple(thread.receipt(one, CONFIG, NOW) for one in states)),
        Shot(
            "typed",
            "Typed in the thread: the question, the receipt, an edit that the channel cannot follow",
            "post",
            (
                thread.ask_send("C0BILLING", "1.2", "I am looking at both charges now.", "web chat"),
                thread.receipt(states[3], CONFIG, NOW, typed=True),
                thread.ask_correction(501, "I am looking at both charges today.", "SMS"),
            ),
        ),
    ]
