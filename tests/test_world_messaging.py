"""One customer on many channels: SMS, WhatsApp and Telegram, as she and the agent see them, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store import schema
from crm_store.db import Store
from desk import ways
from desk.replying import WindowClosed
from desk.ways import Written
from hub.errors import Refused
from tests.databases import on_postgresql, on_sqlite
from tests.messaginglines import SHOP, TwilioLine
from tests.messagingworld import MessagingWorld, messaging_world

SMS, WHATSAPP, TELEGRAM = "sms_twilio", "whatsapp", "telegram"
THREE = (SMS, WHATSAPP, TELEGRAM)


@pytest.fixture
async def w(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[MessagingWorld]:
    async with messaging_world(tmp_path, store, valkey, *THREE) as opened:
        yield opened


async def shares_her_number(w: MessagingWorld) -> None:
    """Her own card in Telegram: a claim, which people weigh."""
    await w.lines[TELEGRAM].person("Ann").contact(w.lines[SMS].urn("Ann").removeprefix("tel:+"))  # type: ignore[attr-defined]
    await w.settle()


def merge(w: MessagingWorld, conversation: int) -> None:
    """Cleo reads why the two records may be one person, and says that they are."""
    (proposal,) = w.hub.bo.sees(conversation).proposals
    assert proposal.reasons == ("one of them gave the other's address (tel:+14155550123)",)
    one = w.hub.bo.sees(conversation).customer.id
    w.hub.desk.merge(one, proposal.customer_id, "cleo", why="her own number, in her own card")


# ------------------------------------------------------------------------------------------- one customer, one story


async def test_she_starts_on_sms_and_goes_on_in_whatsapp_and_telegram_and_is_one_customer(
    w: MessagingWorld,
) -> None:
    sms, whatsapp, telegram = (w.lines[name] for name in THREE)
    await w.says("Ann", SMS, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "Sorry! Which one is it?")
    assert sms.got("Ann") == ["Sorry! Which one is it?"]

    await w.says("Ann", WHATSAPP, "The red one. WhatsApp is easier for me")
    assert len(w.hub.people()) == 1, "the same number is the same person, at once"
    assert w.texts(talk)[-1] == "The red one. WhatsApp is easier for me"
    await w.answers(talk, "We look for one.")
    assert whatsapp.got("Ann") == ["We look for one."], "where she last wrote"
    assert len(sms.got("Ann")) == 1

    await w.says("Ann", TELEGRAM, "Is it there? My kettle is broken")
    assert len(w.hub.people()) == 2, "nobody knows yet that this is she"
    await shares_her_number(w)
    merge(w, talk)
    await w.says("Ann", TELEGRAM, "It is me, Ann")
    assert w.texts(talk) == [
        "My kettle is broken",
        "Sorry! Which one is it?",
        "The red one. WhatsApp is easier for me",
        "We look for one.",
        "Is it there? My kettle is broken",
        "👤 Contact card: Ann (+14155550123)",
        "It is me, Ann",
    ]
    choice = w.hub.desk.choices(talk)
    assert choice.winner is not None
    assert (choice.winner.account, choice.winner.urn) == ("telegram/main", telegram.urn("Ann"))
    assert choice.reasons == (
        "telegram: they wrote from here in this conversation, and it is known to be theirs.",
    )
    usable = {str(option.account): option.speaks_for for option in choice.options if option.usable}
    assert sorted(usable) == ["sms_twilio/main", "telegram/main", "whatsapp/main"]
    assert "they used it last" in usable["telegram/main"]
    await w.answers(talk, "It is, Ann.")
    assert telegram.got("Ann") == ["It is, Ann."]
    assert (len(sms.got("Ann")), len(whatsapp.got("Ann"))) == (1, 1)
    await w.answers(talk, "And here is its number: 7.", account="sms_twilio/main", to=sms.urn("Ann"))
    assert sms.got("Ann")[-1] == "And here is its number: 7.", "or wherever Bo wishes"
    ledger = await w.hub.ledger()
    assert (ledger.missing, ledger.on_the_way, ledger.quarantined) == (0, 0, 0)


# ------------------------------------------------------------------------------------------------------------- stop


async def talk_on_three(w: MessagingWorld) -> int:
    """Ann is one customer who has written on all three, WhatsApp and Telegram last."""
    await w.says("Ann", SMS, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    await w.says("Ann", WHATSAPP, "here, too")
    await w.says("Ann", TELEGRAM, "and here")
    await shares_her_number(w)
    merge(w, talk)
    return talk


_numbers = itertools.count()


def refused(w: MessagingWorld, talk: int, channel: str) -> str:
    """What Bo is told when he answers there; "" where he may."""
    line = w.lines[channel]
    try:
        reply = w.hub.bo.replies(
            talk, "?", account=line.account, to=line.urn("Ann"), idem_key=f"try {next(_numbers)}"
        )
    except Refused as because:
        return str(because)
    w.hub.desk.undo(reply.delivery_id, "bo")
    return ""


@pytest.mark.parametrize(
    "opt_outs, database_url",
    [pytest.param("address", "postgresql", marks=pytest.mark.postgres), ("customer", "sqlite")],
    indirect=["database_url"],
)
async def test_stop_holds_for_the_number_and_for_the_customer_where_the_brand_says_so(
    opt_outs: str, tmp_path: Path, store: Store, valkey: str
) -> None:
    """Said by SMS, known to the carrier alone (21610), or by blocking the bot (403): each until she starts again."""
    async with messaging_world(tmp_path, store, valkey, *THREE, opt_outs=opt_outs) as w:
        talk = await talk_on_three(w)
        for how in ("STOP", "the carrier knows", "blocked in Telegram"):
            await stop_and_start(w, talk, how, everywhere=opt_outs == "customer")


async def stop_and_start(w: MessagingWorld, talk: int, how: str, *, everywhere: bool) -> None:
    sms, telegram = w.lines[SMS], w.lines[TELEGRAM]
    before = len(telegram.got("Ann")), len(sms.got("Ann"))
    assert [refused(w, talk, name) for name in THREE] == ["", "", ""]
    where = TELEGRAM if how == "blocked in Telegram" else SMS
    line = w.lines[where]
    if how == "STOP":
        await w.says("Ann", SMS, "STOP")
    else:
        line.blocks("Ann")
        await w.answers(talk, f"News for you ({how})", account=line.account, to=line.urn("Ann"))
        assert w.states()[-1] == "opted_out"
        assert (len(telegram.got("Ann")), len(sms.got("Ann"))) == before
    calls = sms.calls(), telegram.calls()
    told = [refused(w, talk, name) for name in THREE]
    said = "+1 415-555-0123 has opted out of messages from us."
    if how != "STOP":
        said = "Not sent: the owner of that address has blocked us."
    here = [said, said, ""] if where == SMS else ["", "", said]
    if not everywhere:
        assert told == here, "a number is one address, whatever goes to it"
    else:
        assert [one for one in told if one == said] == [one for one in here if one]
        assert all(one == said or one.endswith("has opted out of messages from us.") for one in told)
    assert (sms.calls(), telegram.calls()) == calls, "refused before anybody was asked"
    shown = " ".join(w.hub.desk.choices(talk).reasons)
    assert "they asked us not to write here" in shown

    await line.starts("Ann")
    await w.settle()
    assert [refused(w, talk, name) for name in THREE] == ["", "", ""]
    await w.answers(talk, f"Welcome back ({how})", account=line.account, to=line.urn("Ann"))
    assert line.got("Ann")[-1] == f"Welcome back ({how})"


# ----------------------------------------------------------------------------------------------------------- window

REPLIES = """
replies:
  shipped:
    title: On its way
    text: "{1}: your order is on its way. https://shop.example.com/t/{1}"
    templates:
      whatsapp:
        name: order_shipped
        language: en_US
        header: {order: "{1}"}
        body: []
        buttons: {1: {url: "{1}"}, 2: {reply: "late-{1}"}}
"""
SHIPPED = {
    "header": "Order {{order}}",
    "buttons": (("URL", "Follow it", "https://shop.example.com/t/{{1}}"), ("QUICK_REPLY", "It is late", "")),
}


@on_sqlite
async def test_the_window_closes_and_the_chooser_offers_sms_and_a_template_still_goes(
    tmp_path: Path, store: Store, valkey: str
) -> None:
    async with messaging_world(tmp_path, store, valkey, SMS, WHATSAPP, replies=REPLIES) as w:
        sms, whatsapp = w.lines[SMS], w.lines[WHATSAPP]
        whatsapp.number.template("order_shipped", "Your order is on its way.", **SHIPPED)  # type: ignore[attr-defined]
        await w.says("Ann", WHATSAPP, "Where is my broken kettle?")
        talk = w.hub.bo.takes_next()
        await w.answers(talk, "We look for it.")
        assert whatsapp.got("Ann") == ["We look for it."]
        await w.passes(hours=25)

        choice = w.hub.desk.choices(talk)
        assert choice.winner is not None
        assert choice.winner.account == "sms_twilio/main"
        assert any(
            "the time in which this channel lets us answer is over; an approved template can still go" in why
            for why in choice.reasons
        )
        with pytest.raises(WindowClosed, match="within 24 hours"):
            w.hub.bo.replies(talk, "It is on its way.")
        await w.answers(talk, "It is on its way.", account="sms_twilio/main")
        assert sms.got("Ann") == ["It is on its way."]

        way = next(one for one in choice.options if one.template)
        written = Written(ready="shipped", places=("17",))
        text, template = ways.composed(written, w.hub.config, "general", way)
        await w.answers(talk, text, carries=template)
        assert whatsapp.got("Ann")[1:] == ["Your order is on its way."]
        assert w.states() == ["sent", "sent", "sent"]

        await w.says("Ann", WHATSAPP, "Thank you!")
        await w.answers(talk, "With pleasure.")
        assert whatsapp.got("Ann")[2:] == ["With pleasure."], "her word has opened it again"


@on_postgresql
async def test_a_reply_that_waited_too_long_fails_in_words_and_nobody_is_asked(w: MessagingWorld) -> None:
    """Written within the window, due after it: the clock decides when it goes, not when it was written."""
    await w.says("Ann", WHATSAPP, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    w.hub.bo.replies(talk, "We look for it.")
    calls = w.lines[WHATSAPP].calls()
    await w.passes(hours=24, seconds=1)
    assert w.lines[WHATSAPP].calls() == calls
    (entry,) = [one for one in w.entries(talk) if one.delivery is not None]
    assert entry.delivery is not None
    assert (entry.delivery.state, entry.delivery.code) == ("failed", "window_closed")


# ---------------------------------------------------------------------------------------------------------- reports

STATUSES = ("sent", "delivered", "read")


async def test_doubled_reordered_and_early_reports_only_move_forward(w: MessagingWorld) -> None:
    """Every order of three reports, each twice, on WhatsApp; and on SMS those that overtake our own commit."""
    whatsapp = w.lines[WHATSAPP]
    await w.says("Ann", WHATSAPP, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    orders = list(itertools.permutations(STATUSES))
    w.graph.reports.after, w.graph.reports.doubled = (), True
    for number, _ in enumerate(orders):
        w.hub.bo.replies(talk, f"answer {number}")
    await w.passes(seconds=11)
    for sent, order in zip(whatsapp.ids("Ann"), orders, strict=True):
        for status in order:
            await whatsapp.own.report(sent, status)  # type: ignore[attr-defined]
    await w.settle()
    assert w.states() == ["read"] * len(orders)

    w.twilio.reports.auto, w.twilio.reports.early = ("queued", "sending", "sent", "delivered"), True
    await w.says("Bea", SMS, "It is broken, too")
    other = w.hub.bo.takes_next()
    await w.answers(other, "We come.")
    assert w.states()[-1] == "delivered", "told before we knew its id"
    w.twilio.reports.auto, w.twilio.reports.early = STATUSES[:2], False
    w.twilio.reports.hold = True
    for number in range(4):
        w.hub.bo.replies(other, f"more {number}")
    await w.passes(seconds=11)
    w.twilio.reports.double()
    w.twilio.reports.shuffle(7)
    await w.twilio.reports.flush()
    await w.settle()
    assert w.states()[-4:] == ["delivered"] * 4
    assert [one.delivery.attempts for one in w.entries(other) if one.delivery] == [1] * 5
    ledger = await w.hub.ledger()
    assert (ledger.missing, ledger.on_the_way, ledger.quarantined) == (0, 0, 0)


@on_sqlite
async def test_a_report_that_comes_before_the_answer_is_not_lost_on_whatsapp(w: MessagingWorld) -> None:
    w.graph.reports.after, w.graph.reports.early = STATUSES, True
    await w.says("Ann", WHATSAPP, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "We come.")
    assert w.states() == ["read"]


# ---------------------------------------------------------------------------------------------------------- outage


@on_postgresql
async def test_twilio_cannot_reach_us_and_what_it_gave_up_is_brought_once(w: MessagingWorld) -> None:
    """Twilio calls, calls again, and never more; its list of messages has what was missed."""
    sms = w.lines[SMS]
    assert isinstance(sms, TwilioLine)
    await w.says("Ann", SMS, "My kettle is broken")
    cursor = await w.hub.catches_up("sms_twilio/main")
    number = w.twilio.numbers[SHOP]
    url, number.hook.url = number.hook.url, "http://127.0.0.1:9/nobody"
    lost = await w.twilio.customer("+14155550123", "Ann").says("Are you there?", to=SHOP)
    assert not lost.ok
    number.hook.url = url
    await w.says("Ann", SMS, "I can hear you now")
    talk = w.hub.bo.takes_next()
    assert w.texts(talk) == ["My kettle is broken", "I can hear you now"]
    await w.passes(minutes=5)
    cursor = await w.hub.catches_up("sms_twilio/main", cursor)
    await w.settle()
    assert sorted(w.texts(talk)) == ["Are you there?", "I can hear you now", "My kettle is broken"]
    await w.passes(minutes=5)
    await w.hub.catches_up("sms_twilio/main", cursor)
    await w.hub.catches_up("sms_twilio/main")  # from the very beginning: another machine, its cursor lost
    await w.settle()
    assert len(w.texts(talk)) == 3
    assert w.hub.count(schema.interactions) == 3
