"""By which way an answer goes: windows, where they asked to be answered, who is here now, quiet hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors import visitor
from crm_store import views
from crm_store.carried import NOTHING, Carried, unpack
from crm_store.db import Store
from crm_store.schema import interactions
from desk import quiet, ways
from desk.replying import WindowClosed
from desk.ways import Written
from hub import configfiles
from hub.config import ConversationPolicy, Quiet
from hub.errors import ConfigError, Refused
from hub.redis import connect, connect_async
from mainstem.ports import VisitorsHere
from tests.databases import on_postgresql, on_sqlite
from tests.desk import messaging
from tests.desk.messaging import INSTA, TEL, Messaging
from tests.desk.room import FILES
from tests.each import each


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Messaging:
    return messaging.make(store, tmp_path / "blobs")


def options(room: Messaging, number: int) -> dict[str, Any]:
    return {str(one.account): one for one in room.actions.choices(room.id_of(number), "bo").options}


# ------------------------------------------------------------------------------------------------------ windows


@on_sqlite
def test_a_window_follows_the_customers_last_word(room: Messaging) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    london = replace(room.config.accounts["whatsapp/main"], title="The London shop")
    room.config = replace(room.config, accounts={**room.config.accounts, "whatsapp/main": london})
    first = window(room, number)
    assert first is not None
    assert (first.title, first.until) == ("The London shop", room.now + timedelta(days=1)), "of several"
    room.later(hours=5)
    room.writes(TEL, "and?", account="whatsapp/main")
    second = window(room, number)
    assert second is not None
    assert second.until == room.now + timedelta(days=1)
    assert second.open(room.now)
    room.later(days=1)
    assert not second.open(room.now)


@on_postgresql
def test_a_closed_window_names_what_else_is_open(room: Messaging) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    room.later(days=1, minutes=1)
    with pytest.raises(WindowClosed, match="within 24 hours") as refused:
        room.actions.reply(room.id_of(number), "bo", "hi", idem_key="1")
    assert (refused.value.account, refused.value.urn) == ("whatsapp/main", TEL)
    choice = room.actions.choices(room.id_of(number), "bo")
    found = ways.instead(choice, ways.ready(room.config, "general"), "whatsapp/main", TEL)
    assert found.way is not None
    assert found.way.account == "sms_twilio/uk"
    assert [one.key for one in found.replies] == ["shipped"]


def test_what_goes_out_is_the_template_only_where_nothing_else_may(room: Messaging) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    filled = Written(ready="shipped", places=("7", "Monday"))
    reads = "Your order 7 is on its way and should reach you on Monday."
    open_way = options(room, number)["whatsapp/main"]
    assert ways.composed(filled, room.config, "general", open_way) == (
        reads,
        Carried(choices=("Thanks", "It has not come")),
    )
    room.later(days=1, minutes=1)
    closed = options(room, number)["whatsapp/main"]
    text, carries = ways.composed(filled, room.config, "general", closed)
    assert text == reads
    assert carries.template is not None
    assert carries.template.parameters == ("7", "Monday")
    with pytest.raises(Refused, match="2 places"):
        ways.composed(replace(filled, places=("7", " ")), room.config, "general", closed)
    with pytest.raises(Refused, match="Only the approved text"):
        ways.composed(replace(filled, text="and more"), room.config, "general", closed)
    with pytest.raises(Refused, match="no approved text"):
        ways.composed(Written(ready="rate"), room.config, "general", closed)
    with pytest.raises(Refused, match="not there any more"):
        ways.composed(Written(ready="gone"), room.config, "general", open_way)


# ------------------------------------------------------------------------------------------------- answers to tap


@each(
    "choices, channel, limits, said",
    [
        ((), "WhatsApp", "whatsapp", ""),
        (("Yes", "No", "Later"), "WhatsApp", "whatsapp", "3 answers to tap."),
        (("Yes",), "WhatsApp", "whatsapp", "1 answer to tap."),
        (("a", "b", "c", "d"), "WhatsApp", "whatsapp", "4 answers to tap; WhatsApp takes 3: they go as a numbered"),
        (("x" * 21,), "WhatsApp", "whatsapp", "WhatsApp takes 20 characters in each: they go as a numbered"),
        (("Yes",), "SMS", "sms_twilio", "SMS has nothing to tap: they go as a numbered list"),
    ],
)  # fmt: skip
def test_what_becomes_of_answers_to_tap(
    choices: tuple[str, ...], channel: str, limits: str, said: str
) -> None:
    told = ways.taps_said(choices, channel, messaging.MORE_LIMITS[limits])
    assert told.startswith(said)
    assert bool(told) == bool(choices)


def test_answers_to_tap_are_read_a_line_each() -> None:
    assert ways.taps(" Yes \n\nNo\n Yes\nNot  sure\n") == ("Yes", "No", "Not sure")
    with pytest.raises(Refused, match="At most 20"):
        ways.taps("\n".join(map(str, range(21))))
    with pytest.raises(Refused, match="at most 72 characters"):
        ways.taps("x" * 73)


# ------------------------------------------------------------------------------------------------------ in public


@on_sqlite
def test_only_what_was_said_in_public_is_answered_there(room: Messaging) -> None:
    number = room.claimed(INSTA, "is it in blue?", "instagram/shop", form="comment", external_id="c1")
    conversation = room.id_of(number)
    assert options(room, number)["instagram/shop"].public
    room.actions.reply(conversation, "bo", "Yes", idem_key="1", carries=Carried(public=True))
    room.writes(INSTA, "and in red?", account="instagram/shop", external_id="m2")
    assert not options(room, number)["instagram/shop"].public
    with pytest.raises(Refused, match="could be answered in public"):
        room.actions.reply(conversation, "bo", "Yes", idem_key="2", carries=Carried(public=True))
    assert unpacked(room, number) == Carried(public=True)


def answers(room: Messaging, number: int, key: str, *, public: bool = False) -> int:
    carries = Carried(public=public)
    return room.actions.reply(room.id_of(number), "bo", "Yes", idem_key=key, carries=carries).delivery_id


def window(room: Messaging, number: int) -> ways.Window | None:
    with room.store.read() as tx:
        return ways.window(tx, views.card(tx, room.id_of(number)), room.config, room.actions.limits)


def test_a_comment_is_answered_in_private_once_and_for_a_week_and_in_public_for_ever(room: Messaging) -> None:
    """developers.facebook.com, Private Replies: "Only one message can be sent", "within 7 days"."""
    number = room.claimed(INSTA, "is it in blue?", "instagram/shop", form="comment", external_id="c1")
    week = room.now + timedelta(days=7)
    room.later(days=6)
    way = options(room, number)["instagram/shop"]
    assert (way.usable, way.public, way.window_until) == (True, True, week)
    taken_back = answers(room, number, "1")
    with pytest.raises(WindowClosed, match="one private answer"):
        answers(room, number, "2")
    room.actions.undo(taken_back, "bo")
    answers(room, number, "3")
    once = options(room, number)["instagram/shop"]
    assert (once.usable, once.only_public, once.window_until) == (False, True, None)
    assert once.blocked_by[0].startswith("what they said in public has had its one private answer")
    shown = window(room, number)
    assert shown is not None
    assert shown.until is None
    room.later(days=30)
    answers(room, number, "4", public=True)
    room.writes(INSTA, "Yes, please", account="instagram/shop", external_id="m2")
    assert options(room, number)["instagram/shop"].usable
    answers(room, number, "5")
    answers(room, number, "6")


@on_postgresql
def test_a_week_old_comment_is_only_answered_in_public(room: Messaging) -> None:
    number = room.claimed(INSTA, "is it in blue?", "instagram/shop", form="comment", external_id="c1")
    room.later(days=7, minutes=1)
    way = options(room, number)["instagram/shop"]
    assert (way.usable, way.only_public) == (False, True)
    with pytest.raises(WindowClosed, match="within 7 days; it can still be answered in public"):
        answers(room, number, "1")
    answers(room, number, "2", public=True)


@on_sqlite
def test_a_comment_opens_no_window_for_direct_messages(room: Messaging) -> None:
    """They wrote to us, and days later commented on something, which is another conversation."""
    shop = replace(room.config.accounts["instagram/shop"], policy=ConversationPolicy.THREAD)
    room.config = replace(room.config, accounts={**room.config.accounts, "instagram/shop": shop})
    number = room.claimed(INSTA, "hello", "instagram/shop", external_id="m1")
    day = room.now + timedelta(days=1)
    room.later(days=3)
    other = room.claimed(INSTA, "in blue?", "instagram/shop", form="comment", external_id="c1", thread="p1")
    assert other != number
    assert options(room, number)["instagram/shop"].window_until == day
    with pytest.raises(WindowClosed, match="24 hours"):
        answers(room, number, "1")


@on_postgresql
def test_who_has_written_to_us_since_is_answered_as_anybody_who_has(room: Messaging) -> None:
    """They answered our private answer, which is another conversation where each post is one."""
    shop = replace(room.config.accounts["instagram/shop"], policy=ConversationPolicy.THREAD)
    room.config = replace(room.config, accounts={**room.config.accounts, "instagram/shop": shop})
    number = room.claimed(INSTA, "in blue?", "instagram/shop", form="comment", external_id="c1", thread="p1")
    answers(room, number, "1")
    assert sent(room, number) == (Carried(), "c1")
    assert not options(room, number)["instagram/shop"].usable
    room.later(hours=1)
    assert room.claimed(INSTA, "Yes, please", "instagram/shop", external_id="m1") != number
    way = options(room, number)["instagram/shop"]
    assert (way.usable, way.public, way.window_until) == (True, True, room.now + timedelta(days=1))
    answers(room, number, "2")
    assert sent(room, number) == (Carried(direct=True), None)
    answers(room, number, "3", public=True)
    assert sent(room, number) == (Carried(public=True), "c1")
    room.later(days=1, minutes=1)
    assert options(room, number)["instagram/shop"].only_public
    with pytest.raises(WindowClosed, match="one private answer"):
        answers(room, number, "4")


@on_sqlite
def test_a_comment_has_its_private_answer_before_an_open_window_is_used(room: Messaging) -> None:
    """They wrote to us alone, and then commented: the answer stands below the comment; the next goes the other way."""
    number = room.claimed(INSTA, "hello", "instagram/shop", external_id="m1")
    day = room.now + timedelta(days=1)
    room.later(hours=1)
    room.writes(INSTA, "in blue?", account="instagram/shop", form="comment", external_id="c1")
    week = room.now + timedelta(days=7)
    assert options(room, number)["instagram/shop"].window_until == week
    answers(room, number, "1")
    assert sent(room, number) == (Carried(), "c1")
    assert options(room, number)["instagram/shop"].window_until == day
    answers(room, number, "2")
    assert sent(room, number) == (Carried(direct=True), None)


@on_postgresql
def test_who_presses_a_button_has_written_to_us(room: Messaging) -> None:
    """What came of it has no id by which it could be answered; the comment before it is not answered again."""
    number = room.claimed(INSTA, "in blue?", "instagram/shop", form="comment", external_id="c1")
    answers(room, number, "1")
    room.later(hours=1)
    room.writes(INSTA, "(They came by a link.)", account="instagram/shop")
    answers(room, number, "2")
    assert sent(room, number) == (Carried(direct=True), None)


@on_sqlite
def test_what_came_late_opens_no_window_anew(room: Messaging) -> None:
    """WhatsApp repeats what it could not hand over, and its window counts from when that was said."""
    said = room.now - timedelta(hours=20)
    number = room.claimed(TEL, "hello", "whatsapp/main", sent_at=said)
    assert options(room, number)["whatsapp/main"].window_until == said + timedelta(days=1)
    room.later(hours=5)
    with pytest.raises(WindowClosed, match="24 hours"):
        answers(room, number, "1")


def unpacked(room: Messaging, number: int) -> Carried:
    with room.store.read() as tx:
        entries = views.conversation(tx, room.id_of(number)).history.entries
    return next((one.delivery.carries for one in reversed(entries) if one.delivery), NOTHING)


def sent(room: Messaging, number: int) -> tuple[Carried, str | None]:
    """How the last reply goes, and what it answers."""
    reply = room.delivery_of(number)
    with room.store.read() as tx:
        n = interactions.c
        answered = tx.execute(select(n.in_reply_to).where(n.id == reply.interaction_id)).scalar_one()
    return unpack(reply.carries), answered


# ------------------------------------------------------------------------------- where they asked to be answered


@on_postgresql
def test_where_they_asked_to_be_answered_goes_first(room: Messaging) -> None:
    number = room.claimed(TEL, "please text me", "whatsapp/main")
    conversation = room.id_of(number)
    assert next(iter(options(room, number))) == "whatsapp/main"
    room.actions.asked_for(conversation, "bo", "sms_twilio/uk", TEL)
    choice = room.actions.choices(conversation, "bo")
    assert choice.winner is not None
    assert (choice.winner.account, choice.winner.asked_for) == ("sms_twilio/uk", True)
    assert choice.reasons[0].startswith("Text messages: they asked to be answered here")
    with room.store.read() as tx:
        last = views.happenings(tx, conversation)[-1]
    assert (last.what, last.data["to"]) == ("asked_for", "Text messages (+44 7700 900123)")
    room.actions.asked_for(conversation, "bo", None)
    assert next(iter(options(room, number))) == "whatsapp/main"
    with pytest.raises(Refused, match="not one of the ways"):
        room.actions.asked_for(conversation, "bo", "sms_twilio/uk", "tel:+15550001111")
    with pytest.raises(Refused):
        room.actions.asked_for(conversation, "eva", None)


# ------------------------------------------------------------------------------------------------- who is here now


@on_sqlite
async def test_who_has_a_chat_open_is_here_now(valkey: str, room: Messaging) -> None:
    client, edge = connect(valkey), connect_async(valkey)
    live = VisitorsHere(client)
    ann, ben = ("webchat/main", "webchat:ann1"), ("webchat/main", "webchat:ben2")
    assert live([ann, ben, ("sms_twilio/uk", TEL)]) == []
    await visitor.look(edge, "webchat/main", "ann1", "0")
    assert live([ann, ben]) == [ann]
    assert 0 < client.ttl(visitor.here_key("webchat/main", "ann1")) <= visitor.HERE_S
    room.actions._live = live
    number = room.claimed("webchat:ann1", "hello", "webchat/main")
    assert "they are here now" in options(room, number)["webchat/main"].speaks_for
    await edge.aclose()
    client.close()


def test_while_redis_is_away_nobody_is_here() -> None:
    assert VisitorsHere(connect("redis://127.0.0.1:1/0"))([("webchat/main", "webchat:ann1")]) == []


# ------------------------------------------------------------------------------------------------------ quiet hours

NIGHT = Quiet(start=time(21), to=time(8), timezone="Europe/Berlin")


@each(
    "at, ends",
    [
        ("2026-11-20T19:59", None),  # 20:59 in Berlin
        ("2026-11-20T20:00", "2026-11-21T07:00"),
        ("2026-11-21T06:59", "2026-11-21T07:00"),
        ("2026-11-21T07:00", None),
        ("2026-07-01T19:30", "2026-07-02T06:00"),  # summer time
    ],
)
def test_quiet_hours_go_by_the_clock_of_their_place(at: str, ends: str | None) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert quiet.until(NIGHT, utc(at)) == (utc(ends) if ends else None)


@on_postgresql
def test_at_night_only_answers_go_out(room: Messaging) -> None:
    account = replace(room.config.accounts["sms_twilio/uk"], quiet=NIGHT)
    room.config = replace(room.config, accounts={**room.config.accounts, "sms_twilio/uk": account})
    room.later(hours=10)  # 20:30 UTC, 21:30 in Berlin
    with pytest.raises(Refused, match="quiet hours until 07:00 UTC"):
        room.actions.begin("bo", "general", "sms_twilio/uk", "+44 7700 900999", "News!", idem_key="1")
    number = room.claimed(TEL, "hello?", "sms_twilio/uk")
    assert options(room, number)["sms_twilio/uk"].usable
    room.actions.reply(room.id_of(number), "bo", "hello!", idem_key="2")
    room.later(days=1, hours=1)
    assert options(room, number)["sms_twilio/uk"].blocked_by == ("quiet hours until 07:00 UTC",)
    with pytest.raises(Refused, match="quiet hours"):
        room.actions.reply(room.id_of(number), "bo", "and one more thing", idem_key="3")
    room.later(hours=10)
    room.actions.reply(room.id_of(number), "bo", "and one more thing", idem_key="3")


def test_quiet_hours_are_read_with_their_faults() -> None:
    def read(line: str) -> Quiet | None:
        channels = (
            f"accounts:\n  webchat/main:\n    title: Chat\n    quiet: {line}\nbrands: {{main: {{name: A}}}}\n"
        )
        replies = "replies: {}\n"
        config = configfiles.load({**FILES, "channels.yaml": channels, "replies.yaml": replies})
        return config.accounts["webchat/main"].quiet

    assert read('{from: "21:00", to: "08:00", timezone: Europe/Berlin}') == NIGHT
    for line, fault in (
        ('{from: "21:00", to: "21:00", timezone: UTC}', "would never end"),
        ('{from: "25:00", to: "08:00", timezone: UTC}', "from must be a time of day"),
        ('{from: "21:00", to: "08:00", timezone: Europe/Berlim}', "no time zone"),
        ('{from: "21:00", to: "08:00"}', "timezone"),
    ):
        with pytest.raises(ConfigError, match=fault):
            read(line)
