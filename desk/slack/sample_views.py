"""The made-up desk's modals, Home tabs and notices for leads; `shots` is everything there is to look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from crm_store.customers import Customer, Found, Identity
from crm_store.presence import Presence
from crm_store.quarantine import Held
from crm_store.views import ConversationView, Decided, FailedSend, Happening, History, Hits, QueueRow
from desk.health import Blocked, Health, Unread
from desk.slack import home, modals, ops
from desk.slack.look import AtHome
from desk.slack.sample import (
    CONFIG,
    DESK,
    ELSEWHERE,
    FIRST,
    HERE,
    LIMITS,
    NOW,
    SAID,
    Shot,
    card_shots,
    conversation,
    reply,
    shown,
    thread_shots,
)
from desk.slack.sample import ago as _at
from desk.slack.sample_messaging import messaging_shots
from router.choose import Address, Choice, choose
from router.explain import Applied, Explanation, NearMiss, Seen
from router.rules import Decision

# ------------------------------------------------------------------------------------------------------ modals


def choice() -> Choice:
    def way(account: str, urn: str, **more: Any) -> Address:
        return Address(account=account, urn=urn, title=CONFIG.accounts[account].title, **more)

    chat = way(
        "webchat/main", "webchat:v7f3a1", live=True, in_conversation=True, verified=True, last_used_at=NOW
    )
    text = way("sms_twilio/uk", "tel:+447700900123", verified=True, preferred=True)
    mail = way("mail/support", "mailto:ann@example.com", trouble="full")
    whatsapp = way("whatsapp/main", "tel:+447700900123", has_window=True)
    return choose((chat, text, mail, whatsapp), NOW)


def _explained() -> Explanation:
    words_ = Seen(wanted="text has invoice, refund or payment", saw='"refund"', held=True, line=43)
    number = Seen(wanted=r"text matches \binv-\d{4,}\b", saw="no match", held=False, line=45)
    either = Seen(wanted="any of 2", saw="1 of 2 hold", held=True, line=42, parts=(words_, number))
    gold = Seen(wanted="customer tier is gold", saw="gold", held=True, line=14)
    file = "config/routing.yaml"
    return Explanation(
        decision=Decision(
            rule="money", queue="billing", priority="urgent", head_start_s=3600, tags=("gold", "refund")
        ),
        hash="sample",
        decided=Applied(rule="money", file=file, line=41, seen=(either,), gave=("queue billing",)),
        adjusted=(
            Applied(
                rule="gold customers", file=file, line=12, seen=(gold,), gave=("priority urgent", "tag gold")
            ),
        ),
        near=(
            NearMiss(
                rule="urgent words",
                file=file,
                line=5,
                held=0,
                gave=("priority high",),
                failed=Seen(wanted="text has urgent or emergency", saw="none of them", held=False, line=6),
            ),
        ),
        overtaken=(),
    )


def _customer() -> Customer:
    return Customer(
        id=3,
        brand="main",
        kind="person",
        stage="customer",
        name="Ann Lee",
        tier="gold",
        tags=(),
        language="en",
        preferred_channel=None,
        notes="",
        merged_into=None,
        created_at=_at(days=90),
        updated_at=_at(days=1),
    )


def history() -> ConversationView:
    def known(some_id: int, urn: str, verified: bool) -> Identity:
        return Identity(
            id=some_id,
            urn=urn,
            verified=verified,
            name="",
            trouble=None,
            opted_out=(),
            first_seen_at=_at(days=90),
        )

    told = tuple(replace(one, number=1017) for one in ELSEWHERE)
    said = (*told, FIRST, reply("delivered", sent_at=_at(seconds=50)))
    happened = (
        Happening(id=1, at=_at(minutes=3), by="rule:money", what="routed", why="", data={"queue": "billing"}),
        Happening(id=2, at=_at(minutes=2), by="agent:eva", what="claimed", why="", data={}),
    )
    return ConversationView(
        card=conversation(),
        customer=_customer(),
        identities=(
            known(1, "webchat:v7f3a1", True),
            known(2, "tel:+447700900123", True),
            known(3, "mailto:ann@example.com", False),
        ),
        history=History(entries=said, before=9),
        events=happened,
        decision=None,
        linked=(),
        others=(),
        proposals=(),
    )


def modal_shots() -> list[Shot]:
    """Every modal."""
    one = shown(conversation(state="open", assignee="eva", rank_at=None))
    decided = Decided(
        id=1,
        interaction_id=10,
        config_hash="sample",
        rule="money",
        facts_version=1,
        facts={},
        outcome={},
        text=SAID,
        at=_at(minutes=3),
    )
    other = conversation(
        conversation_id=8, number=1017, state="closed", queue="support", preview="Password?", tags=()
    )
    hits = Hits(
        conversations=(conversation(), other),
        customers=(Found(customer=_customer(), urns=("tel:+447700900123", "mailto:ann@example.com")),),
    )
    text = "Dear Ann, I have just refunded both charges. It takes three to five working days to show. Sorry – Eva"
    sms = modals.way(next(way for way in choice().options if way.account == "sms_twilio/uk"))
    made = {
        "reply": (
            "Reply; refused once",
            modals.reply(
                one,
                choice(),
                LIMITS,
                text="Dear Ann, I have just refunded both charges.",
                notice="The customer wrote while you were writing. Read it, then send the reply or take it back.",
            ),
        ),
        "reply-sms": (
            "Reply by SMS, then close",
            modals.reply(one, choice(), LIMITS, text=text, channel=sms, then="close"),
        ),
        "transfer": ("Transfer", modals.transfer(one, CONFIG, here=HERE, me="cleo")),
        "snooze": ("Snooze", modals.snooze(one)),
        "close": ("Close", modals.close(one)),
        "why": ("Why here?", modals.why(one, CONFIG, decided, _explained(), True)),
        "history": ("History", modals.history(one, history(), CONFIG, desk_url=DESK)),
        "found": ("Found", modals.found("ann", hits, CONFIG)),
        "new": ("New", modals.new(CONFIG, LIMITS, queues=("billing", "general"))),
        "correct": ("Correction", modals.correct(one, "Your refund is 249.", "Your refund is 294.")),
    }
    return [Shot(f"modal-{key}", title, "view", view=view) for key, (title, view) in made.items()]


# ------------------------------------------------------------------------------------------------ Home, leads


def failed_send(**more: Any) -> FailedSend:
    values: dict[str, Any] = {
        "delivery_id": 502,
        "conversation_id": 8,
        "number": 1017,
        "account": "mail/support",
        "to_urn": "mailto:ann@example.com",
        "state": "failed",
        "code": "rejected",
        "provider_code": "550",
        "detail": "mailbox unknown",
        "text": "Dear Ann, here is your invoice.",
        "by": "agent:eva",
        "assignee": "eva",
        "at": _at(minutes=20),
    }
    return FailedSend(**{**values, **more})


def _queue(key: str, waiting: int, late: int, wait: float, here: int) -> QueueRow:
    return QueueRow(
        key=key,
        title=CONFIG.queues[key].title,
        waiting=waiting,
        offered=0,
        open=4,
        pending=2,
        snoozed=1,
        late=late,
        longest_wait_s=wait,
        service_within_s=300,
        agents_here=here,
    )


HELD = Held(
    id=91,
    account="whatsapp/main",
    kind="unreadable",
    reason="JSON ends in the middle of a text at byte 1,204",
    state="waiting",
    at=_at(minutes=44),
    producer="edge-1",
    seq=12,
    entry=None,
    blob=None,
    replayed_at=None,
    by=None,
)
PAUSED = Health(
    account="sms_twilio/uk",
    title="Text messages",
    channel="SMS",
    enabled=True,
    paused_until=NOW + timedelta(minutes=14),
    why="401: the token is not valid any more",
)


_TROUBLE = Unread(
    since=_at(minutes=35),
    why="the mail server's certificate is not trusted: certificate has expired",
    next_at=NOW + timedelta(seconds=50),
)
UNREAD = Health(
    account="mail/support",
    title="Support mailbox",
    channel="e-mail",
    enabled=True,
    paused_until=None,
    why="",
    unread=_TROUBLE,
)


_MINE = (
    conversation(state="open", assignee="eva"),
    conversation(
        conversation_id=9,
        number=1039,
        state="pending",
        assignee="eva",
        customer_name="Ole Dahl",
        waiting_since=None,
        customer_tier=None,
        preview="ok thanks, I will wait",
        last_at=_at(hours=2),
        tags=(),
    ),
    conversation(
        conversation_id=8,
        number=1017,
        state="snoozed",
        assignee="eva",
        customer_name="",
        waiting_since=None,
        customer_tier=None,
        preview="Password?",
        snoozed_until=NOW + timedelta(hours=3),
        failed=1,
    ),
)
_AWAY = Presence(agent="eva", status="away", since=_at(hours=1), until=NOW + timedelta(minutes=27))
_WELL = tuple(
    Health(account=one.key, title=one.title, channel="", enabled=True, paused_until=None, why="")
    for one in CONFIG.accounts.values()
    if one.key not in (PAUSED.account, UNREAD.account)
)
EVA = AtHome(
    agent=CONFIG.agents["eva"],
    presence=_AWAY,
    mine=_MINE,
    failed=(failed_send(),),
    waiting=3,
    queues=(_queue("billing", 3, 0, 190, 2),),
)
CLEO = AtHome(
    agent=CONFIG.agents["cleo"],
    presence=replace(_AWAY, status="available", until=None),
    mine=(),
    failed=(
        failed_send(),
        failed_send(
            state="unknown",
            code="unknown",
            number=1021,
            account="sms_twilio/uk",
            to_urn="tel:+447700900123",
        ),
    ),
    waiting=5,
    queues=(
        _queue("general", 2, 0, 130, 3),
        _queue("support", 14, 6, 2460, 0),
        _queue("billing", 3, 0, 190, 2),
        _queue("sales", 0, 0, 0, 1),
    ),
    accounts=(PAUSED, UNREAD, *_WELL),
    blocked=(
        Blocked(
            place="C0BILLING",
            since=_at(minutes=90),
            why="the channel is archived.",
            cure="Unarchive it, or name another in config/queues.yaml.",
        ),
    ),
    quarantined=(HELD,),
    quarantined_count=1,
)


def home_shots() -> list[Shot]:
    """Home of an agent and of a lead."""
    return [
        Shot("home-agent", "Home of an agent", "view", view=home.view(EVA, CONFIG, NOW, desk_url=DESK)),
        Shot("home-lead", "Home of a lead", "view", view=home.view(CLEO, CONFIG, NOW, desk_url=DESK)),
    ]


def ops_shots() -> list[Shot]:
    """What the leads' channel is told."""
    return [
        Shot(
            "ops",
            "#hub-ops",
            "post",
            (
                ops.failed_send(failed_send(), CONFIG),
                ops.account_paused(PAUSED),
                ops.account_paused(replace(PAUSED, paused_until=None)),
                ops.unread(UNREAD, _TROUBLE),
                ops.read_again(UNREAD, 2100),
                ops.quarantined(HELD, CONFIG),
                ops.posting(
                    "the channel is archived", "C0BILLING", "Unarchive it, or give its queue another.", 12
                ),
                ops.posting_again("C0BILLING"),
            ),
        )
    ]


def shots() -> list[Shot]:
    """Everything, in the order of the page."""
    return [*card_shots(), *thread_shots(), *modal_shots(), *messaging_shots(), *home_shots(), *ops_shots()]
