"""Replies written in Slack to channels with a window, templates, answers to tap, SMS, a public place."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from crm_store.schema import conversations
from desk.slack import names
from hub import configfiles
from hub.model import HeaderKind, Template, TemplateHeader
from router.rules import compile_rules
from tests.desk import messaging
from tests.desk.messaging import INSTA, TEL
from tests.desk.room import FILES, LIMITS, SCHEMES
from tests.desk.slack.pressing import AGENTS, Pressing, shown


@pytest.fixture
def office(world: Pressing) -> Pressing:
    """The room with the channels of tests/desk/messaging.py."""
    agents = AGENTS.format(bo=world.bo.id, eva=world.eva.id, cleo=world.cleo.id)
    files = {**FILES, "channels.yaml": messaging.CHANNELS, "replies.yaml": messaging.REPLIES}
    queues = world.room.config.files["queues.yaml"]
    world.room.config = configfiles.load({**files, "queues.yaml": queues, "agents.yaml": agents})
    world.room.rules = compile_rules(world.room.config)
    world.actions._limits = {**LIMITS, **messaging.MORE_LIMITS}
    world.actions._schemes = {**SCHEMES, **messaging.MORE_SCHEMES}
    object.__setattr__(world.desk, "limits", world.actions._limits)
    return world


async def opened(world: Pressing, urn: str, account: str, text: str = "where is it?", **more: Any) -> Any:
    """(the conversation, Bo with its reply's modal open)."""
    talk = world.conversation(text, urn, account=account, **more)
    await world.bo.clicks(world.channel, await world.card(talk), names.REPLY)
    return talk, world.bo


def values_of(view: Any, action: str) -> list[str]:
    """What a menu offers."""
    return next(
        [one["value"] for one in block["element"]["options"]]
        for block in view.blocks
        if (block.get("element") or {}).get("action_id") == action
    )


def ids(view: Any) -> list[str]:
    return [str(block.get("block_id")) for block in view.blocks]


async def test_the_card_and_the_modal_say_when_the_window_closes(office: Pressing) -> None:
    talk, bo = await opened(office, TEL, "whatsapp/main")
    until = int(office.room.now.timestamp()) + 86400
    assert f"free text until <!date^{until}^" in shown(bo.views[-1].blocks)
    [card] = [one for one in office.slack.channels[office.channel].messages.values() if one.get("blocks")]
    assert f"WhatsApp: free text until <!date^{until}^" in shown(card["blocks"])
    assert office.row(talk).assignee == "bo"


async def test_a_window_that_closed_meanwhile_offers_another_way_and_what_is_approved(
    office: Pressing,
) -> None:
    talk, bo = await opened(office, TEL, "whatsapp/main")
    office.room.later(days=1, minutes=1)
    answer = await bo.submits({names.TEXT: "It is on its way."})
    assert answer["response_action"] == "update"
    view = bo.views[-1]
    told = shown(view.blocks)
    assert "takes a reply only within 24 hours" in told
    assert "Text messages is chosen below instead" in told
    assert "“Your order is on its way”" in told
    assert office.replies(talk) == []
    assert await bo.presses_submit() is None
    [sent] = office.replies(talk)
    assert (sent.text, sent.delivery.account) == ("It is on its way.", "sms_twilio/uk")


async def test_a_template_is_filled_and_goes_out_as_such(office: Pressing) -> None:
    talk = office.conversation("where is it?", TEL, account="whatsapp/main")
    office.room.later(days=1, minutes=1)
    await office.bo.clicks(office.channel, await office.card(talk), names.REPLY)
    bo = office.bo
    chat = next(one for one in values_of(bo.views[-1], names.CHANNEL) if one.startswith("whatsapp"))
    await bo.clicks_modal(names.CHANNEL, chat)
    await office.settles()
    assert "Only an approved text goes by WhatsApp now" in shown(bo.views[-1].blocks)
    offered = await bo.searches(names.CANNED, "")
    assert [one["value"] for one in offered] == ["shipped"]
    await bo.clicks_modal(names.CANNED, "shipped")
    await office.settles()
    await bo.enters("place_1", "88213")
    await office.settles()
    await bo.enters("place_2", "Monday")
    await office.settles()
    reads = "Your order 88213 is on its way and should reach you on Monday."
    assert reads in shown(bo.views[-1].blocks)
    assert await bo.presses_submit() is None
    [sent] = office.replies(talk)
    assert (sent.text, sent.delivery.account) == (reads, "whatsapp/main")
    assert sent.delivery.carries.template == messaging.shipped("88213", "Monday")
    ts = await office.receipt(sent.delivery.id, await office.card_again(talk))
    receipt = office.slack.channels[office.channel].messages[ts]
    assert "as the template “order_shipped” (en)" in shown(receipt["blocks"])


async def test_places_are_filled_where_free_text_goes_too_and_can_be_dropped(office: Pressing) -> None:
    talk, bo = await opened(office, TEL, "whatsapp/main")
    await bo.searches(names.CANNED, "")
    await bo.clicks_modal(names.CANNED, "shipped")
    await office.settles()
    assert "place_1.shipped" in ids(bo.views[-1])
    await bo.clicks_modal(names.DROP_READY)
    await office.settles()
    assert "place_1.shipped" not in ids(bo.views[-1])
    await bo.searches(names.CANNED, "")
    await bo.clicks_modal(names.CANNED, "shipped")
    await office.settles()
    await bo.enters("place_1", "88213")
    await bo.enters("place_2", "Monday")
    await office.settles()
    await bo.enters(names.TEXT, "Good news.")
    assert await bo.presses_submit() is None
    [sent] = office.replies(talk)
    assert sent.text == "Good news.\n\nYour order 88213 is on its way and should reach you on Monday."
    assert (sent.delivery.carries.template, sent.delivery.carries.choices) == (
        None,
        ("Thanks", "It has not come"),
    )


async def test_answers_to_tap_and_how_they_go(office: Pressing) -> None:
    talk, bo = await opened(office, TEL, "whatsapp/main")
    await bo.searches(names.CANNED, "help")
    await bo.clicks_modal(names.CANNED, "rate")
    await office.settles()
    assert "4 answers to tap; WhatsApp takes 3" in shown(bo.views[-1].blocks)
    await bo.enters(names.CHOICES, "Yes\nNo")
    await office.settles()
    assert "2 answers to tap." in shown(bo.views[-1].blocks)
    sms = next(one for one in values_of(bo.views[-1], names.CHANNEL) if one.startswith("sms"))
    await bo.clicks_modal(names.CHANNEL, sms)
    await office.settles()
    assert "SMS has nothing to tap" in shown(bo.views[-1].blocks)
    assert "1 SMS" in shown(bo.views[-1].blocks)
    await bo.enters(names.CHOICES, "x" * 73)
    answer = await bo.presses_submit()
    assert "at most 72 characters" in str(answer["errors"])
    await bo.enters(names.CHOICES, "Yes\nNo")
    assert await bo.presses_submit() is None
    [sent] = office.replies(talk)
    assert (sent.text, sent.delivery.carries.choices) == ("Did that help?", ("Yes", "No"))


async def test_a_comment_is_answered_in_private_unless_somebody_says_so(office: Pressing) -> None:
    talk, bo = await opened(office, INSTA, "instagram/shop", form="comment", external_id="c1")
    assert await bo.submits({names.TEXT: "We write to you."}) is None
    assert not office.replies(talk)[-1].delivery.carries.public
    await bo.clicks(office.channel, await office.card_again(talk), names.REPLY)
    assert "Everybody can read this" not in shown(bo.views[-1].blocks)
    await bo.clicks_modal(names.PUBLIC, "public")
    await office.settles()
    assert "Everybody can read this" in shown(bo.views[-1].blocks)
    assert await bo.submits({names.TEXT: "Yes, from Monday."}) is None
    sent = office.replies(talk)[-1]
    assert sent.delivery.carries.public
    ts = await office.receipt(sent.delivery.id, await office.card_again(talk))
    assert "in public" in shown(office.slack.channels[office.channel].messages[ts]["blocks"])


async def test_sms_are_counted_with_the_character_that_makes_them_dear(office: Pressing) -> None:
    _, bo = await opened(office, TEL, "sms_twilio/uk")
    await bo.enters(names.TEXT, "It is on its way…")
    await office.settles()
    told = shown(bo.views[-1].blocks)
    assert "1 SMS" in told
    assert "17 of 70 characters" in told
    assert "“…” is not in the SMS alphabet" in told


async def test_where_they_asked_to_be_answered_is_noted_from_the_cards_menu(office: Pressing) -> None:
    talk, bo = await opened(office, TEL, "whatsapp/main")
    bo.views.clear()
    await bo.clicks(office.channel, await office.card_again(talk), names.MORE, f"{names.ASKED}:{talk}")
    sms = next(one for one in values_of(bo.views[-1], names.CHANNEL) if one.startswith("sms"))
    assert await bo.submits({names.CHANNEL: sms}) is None
    winner = office.actions.choices(talk).winner
    assert (winner.account, winner.asked_for) == ("sms_twilio/uk", True)
    await bo.clicks(office.channel, await office.card_again(talk), names.MORE, f"{names.ASKED}:{talk}")
    assert await bo.submits({names.CHANNEL: "any"}) is None
    assert office.actions.choices(talk).winner.account == "whatsapp/main"


async def test_a_first_message_by_a_channel_with_a_window_is_an_approved_text(office: Pressing) -> None:
    bo = office.bo
    await bo.commands(names.COMMAND, "new +44 7700 900123", office.channel)
    view = bo.views[-1]
    assert sorted(values_of(view, names.CHANNEL)) == [
        "mail/support", "sms_twilio/uk", "webhook/main", "whatsapp/main||t",
    ]  # fmt: skip
    assert [one["value"] for one in await bo.searches(names.CANNED, "")] == ["hello", "shipped", "rate"]
    await bo.clicks_modal(names.CHANNEL, "whatsapp/main||t")
    await office.settles()
    assert "Only an approved text goes by WhatsApp now" in shown(bo.views[-1].blocks)
    await bo.submits({names.TEXT: "Is it there?"})
    assert "takes a reply only within 24 hours" in "".join(bo.views[-1].errors.values())
    assert [one["value"] for one in await bo.searches(names.CANNED, "")] == ["shipped"]
    await bo.clicks_modal(names.CANNED, "shipped")
    await office.settles()
    for place, words in (("place_1", "88213"), ("place_2", "Monday")):
        await bo.enters(place, words)
        await office.settles()
    reads = "Your order 88213 is on its way and should reach you on Monday."
    assert reads in shown(bo.views[-1].blocks)
    assert await bo.presses_submit() is None
    with office.room.store.read() as tx:
        [talk] = tx.execute(select(conversations.c.id)).scalars()
    [sent] = office.replies(talk)
    assert (sent.text, sent.delivery.account) == (reads, "whatsapp/main")
    assert sent.delivery.carries.template == messaging.shipped("88213", "Monday")


async def test_a_file_at_the_head_of_an_approved_text_is_attached(office: Pressing) -> None:
    replies = """
replies:
  bill:
    text: Here is your bill of {1}.
    templates: {whatsapp: {name: bill, language: en, document: attached}}
"""
    office.room.config = configfiles.load({**office.room.config.files, "replies.yaml": replies})
    bo = office.bo
    await bo.commands(names.COMMAND, "new +44 7700 900123", office.channel)
    await bo.clicks_modal(names.CHANNEL, "whatsapp/main||t")
    await bo.searches(names.CANNED, "")
    await bo.clicks_modal(names.CANNED, "bill")
    await office.settles()
    assert "Attach a document: it stands at its head." in shown(bo.views[-1].blocks)
    await bo.enters("place_1", "May")
    await bo.presses_submit()
    assert "has a document at its head: attach it" in "".join(bo.views[-1].errors.values())
    assert await bo.submits({names.FILES: [("bill.pdf", b"%PDF-1.7\n%%EOF\n")]}) is None
    with office.room.store.read() as tx:
        [talk] = tx.execute(select(conversations.c.id)).scalars()
    [sent] = office.replies(talk)
    assert [(one.name, one.content_type) for one in sent.attachments] == [("bill.pdf", "application/pdf")]
    assert sent.delivery.carries.template == Template(
        name="bill",
        language="en",
        parameters=("May",),
        header=TemplateHeader(kind=HeaderKind.DOCUMENT, value=""),
    )


async def test_a_ready_made_reply_is_put_into_a_first_message(office: Pressing) -> None:
    bo = office.bo
    await bo.commands(names.COMMAND, "new ann@example.com", office.channel)
    await bo.clicks_modal(names.CHANNEL, "mail/support")
    await bo.searches(names.CANNED, "")
    await bo.clicks_modal(names.CANNED, "hello")
    await office.settles()
    assert await bo.presses_submit() is None
    with office.room.store.read() as tx:
        [talk] = tx.execute(select(conversations.c.id)).scalars()
    [sent] = office.replies(talk)
    assert sent.text == "Hello, and thank you for writing. I am looking into this now."
