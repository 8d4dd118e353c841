"""Agents reply from Slack: a story for each line of what the Slack desk promises, numbered as docs/slack.md's issue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store.db import Store
from desk.slack import names
from tests.databases import on_postgresql, on_sqlite
from tests.servers.http import Say
from tests.slackworld import SlackWorld, slack_world


@pytest.fixture
async def office(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[SlackWorld]:
    async with slack_world(tmp_path, store, valkey) as opened:
        yield opened


async def test_ann_writes_bo_claims_and_answers_from_slack_and_she_reads_it(office: SlackWorld) -> None:
    async with office.hub.page() as page:
        await page.types("The kettle I bought is broken")
        await office.settle()
        card = office.card(office.support)
        assert "The kettle I bought is broken" in office.words(card)
        assert office.cards(office.billing) == []

        await office.clicks(office.bo, office.support, names.CLAIM)
        assert office.state() == "open"
        assert "Bo" in office.words(office.card(office.support))

        await office.replies(office.bo, office.support, "We send you a new one.")
        assert office.offered(office.support, names.UNDO)
        await office.passes(seconds=11)
        await page.shows(("you", "The kettle I bought is broken"), ("Bo", "We send you a new one."))
        await page.stays_so()  # and its receipt is on its way
        await office.settle()
        assert "Delivered" in office.line(office.support, "We send you a new one.")
        assert not office.offered(office.support, names.UNDO)
    assert len(office.cards(office.support)) == 1, "one message, updated in place"


@on_postgresql
async def test_1_each_queue_has_its_channel_and_what_fails_comes_to_the_leads(office: SlackWorld) -> None:
    await office.claimed()
    await office.hub.form(id="2", **{"from": {"email": "eve@example.com"}}, text="Where is my refund?")
    await office.settle()
    assert len(office.cards(office.support)) == len(office.cards(office.billing)) == 1
    assert office.cards(office.ops) == []
    office.hub.company.queue.append(Say(status=400))
    await office.replies(office.bo, office.support, "We send you a new one.")
    await office.passes(seconds=11)
    assert "We send you a new one." in office.words(office.card(office.ops))


@on_sqlite
async def test_2_the_card_says_who_where_and_why(office: SlackWorld) -> None:
    await office.hub.form(
        id="1",
        **{"from": {"email": "ann@example.com", "name": "Ann Lee"}},
        text="It is broken. " + "word " * 400,
    )
    await office.settle()
    shown = office.words(office.card(office.support))
    for said in (
        "Ann Lee",
        "Forms and letters",
        "high",
        "Waiting",
        "It is broken.",
        "routing.yaml:",
        "trouble",
    ):
        assert said in shown
    assert 115 <= shown.count("word") <= 118, "its first 600 characters"
    for action in (names.CLAIM, names.REPLY, names.TRANSFER, names.SNOOZE, names.MORE):
        assert office.button(office.card(office.support), action)


async def test_3_of_two_who_claim_one_gets_it_and_the_other_reads_who(office: SlackWorld) -> None:
    await office.hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="It is broken")
    await office.settle()
    card = office.card(office.support)
    await asyncio.gather(
        office.bo.clicks(office.support, card["ts"], names.CLAIM),
        office.cleo.clicks(office.support, card["ts"], names.CLAIM),
    )
    await office.settle()
    winner = office.hub.bo.sees(office.conversation()).card.assignee
    loser = office.cleo if winner == "bo" else office.bo
    assert ("Bo" if winner == "bo" else "Cleo") in office.words(loser.ephemerals[-1])
    assert len(office.bo.ephemerals) + len(office.cleo.ephemerals) == 1


@on_postgresql
async def test_3_a_claim_nobody_works_on_goes_back_and_the_card_says_so(office: SlackWorld) -> None:
    ts = await office.claimed()
    assert not office.button(office.card(office.support), names.CLAIM)
    office.hub.passes(minutes=31)
    await office.wakes()
    await office.settle()
    card = office.card(office.support)
    assert card["ts"] == ts, "the same message, drawn anew"
    assert office.state() == "waiting"
    assert office.button(card, names.CLAIM)
    assert "Bo" not in office.words(card)
    await office.clicks(office.cleo, office.support, names.CLAIM)
    assert office.hub.cleo.sees(office.conversation()).card.assignee == "cleo"


@on_sqlite
async def test_4_what_she_writes_again_stands_in_the_thread_and_its_agent_is_told_once(
    office: SlackWorld,
) -> None:
    async with office.hub.page() as page:
        await page.types("It is broken")
        await office.settle()
        await office.clicks(office.bo, office.support, names.CLAIM)
        before = len(office.thread(office.support))
        for text in ("Hello?", "Are you there?", "It smokes"):
            await page.types(text)
            await office.settle()
        new = office.thread(office.support)[before:]
    shown = [office.words(one) for one in new]
    assert all(any(text in one for one in shown) for text in ("Hello?", "Are you there?", "It smokes"))
    assert sum(f"<@{office.bo.id}>" in str(one) for one in new) == 1, "a burst is announced once"


@on_postgresql
async def test_5_a_double_submit_is_one_reply_and_words_that_came_meanwhile_hold_it(
    office: SlackWorld,
) -> None:
    async with office.hub.page() as page:
        await page.types("It is broken")
        await office.settle()
        await office.clicks(office.bo, office.support, names.REPLY)
        found = await office.bo.searches(names.CANNED, "hell")
        assert [option["text"]["text"] for option in found] == ["Hello"]
        await office.bo.submits({names.TEXT: "We send a new one.", names.THEN: "wait"})
        await office.settle()
        assert office.state() == "pending"
        assert office.hub.deliveries() == ["held"]

        await office.clicks(office.bo, office.support, names.REPLY)
        await page.types("Wait, it works again!")
        await office.settle()
        await office.bo.submits({names.TEXT: "It left the warehouse."})
        await office.settle()
        held = office.offering(office.support, names.CONFIRM)
        await office.passes(seconds=11)
        assert office.hub.deliveries()[-1] == "held", "it waits for Bo"
        await office.clicks(office.bo, office.support, names.CONFIRM, held)
        await office.settle()
        await page.shows(
            ("you", "It is broken"),
            ("you", "Wait, it works again!"),
            ("Bo", "We send a new one."),
            ("Bo", "It left the warehouse."),
        )


@on_sqlite
async def test_5_the_modal_counts_presets_and_fills_in(office: SlackWorld) -> None:
    await office.claimed()
    await office.clicks(office.bo, office.support, names.REPLY)
    said = office.words(office.bo.views[-1].blocks)
    assert "Forms and letters · ann@example.com" in said
    assert "Suggested: " in said
    await office.bo.enters(names.TEXT, "Dear Ann,")
    await office.slack.until(lambda: "9 of 3,000" in office.words(office.bo.views[-1].blocks))
    assert [one["text"]["text"] for one in await office.bo.searches(names.CANNED, "refund")] == []
    await office.bo.searches(names.CANNED, "look")
    await office.bo.clicks_modal(names.CANNED, "hello")
    await office.slack.until(lambda: "I am looking" in str(office.bo.views[-1].blocks))
    await office.bo.clicks_modal(names.THEN, "close")
    await office.slack.until(lambda: "ended" in str(office.bo.views[-1].blocks))
    assert await office.bo.presses_submit() is None
    await office.passes(seconds=11)
    assert office.hub.company.got == ["Dear Ann,\n\nHello, I am looking into this."]
    assert office.state() == "closed"


@on_postgresql
async def test_6_typing_in_the_thread_is_internal_until_it_is_sent(office: SlackWorld) -> None:
    await office.claimed()
    card = office.card(office.support)
    one = await office.bo.types(office.support, "I think she means the blue one", thread=card["ts"])
    two = await office.bo.types(office.support, "A new one is on its way.", thread=card["ts"])
    await office.settle()
    assert names.INTERNAL_MARK in office.slack.reactions(office.support, one)
    assert office.hub.deliveries() == []
    await office.bo.reacts(office.support, two, names.SEND_REACTION)
    await office.settle()
    await office.passes(seconds=11)
    await office.passes(seconds=2)  # whoever looked while it was on its way looks again a second later
    assert office.hub.company.got == ["A new one is on its way."]
    assert names.SENT_MARK in office.slack.reactions(office.support, two)
    texts = [(one.direction, one.text) for one in office.hub.bo.sees(office.conversation()).history.entries]
    assert texts.count(("note", "I think she means the blue one")) == 1
    assert ("note", "A new one is on its way.") not in texts, "it is not shown twice"


@on_sqlite
async def test_6_the_question_below_what_was_typed_sends_it_or_keeps_it(office: SlackWorld) -> None:
    await office.claimed()
    kept = await office.types(office.bo, "Her third kettle this year")
    sent = await office.types(office.bo, "A new one is on its way.")
    first, second = office.bo.ephemerals
    assert "A new one is on its way." in office.words(second)
    await office.bo.clicks(office.support, first["ts"], names.KEEP_INTERNAL)
    await office.bo.clicks(office.support, second["ts"], names.SEND_TYPED)
    await office.slack.until(lambda: not office.bo.ephemerals)  # both questions go
    await office.passes(seconds=11)
    await office.passes(seconds=2)  # whoever looked while it was on its way looks again a second later
    assert office.hub.company.got == ["A new one is on its way."]
    assert list(office.slack.reactions(office.support, kept)) == [names.INTERNAL_MARK]
    assert list(office.slack.reactions(office.support, sent)) == [names.SENT_MARK]
    await office.types(office.cleo, "I would have refunded it")
    assert office.cleo.ephemerals == [], "nobody is asked about what somebody else's customer might get"


@on_postgresql
async def test_6_direct_mode_sends_what_the_assignee_types_and_nobody_elses(office: SlackWorld) -> None:
    await office.hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="Where is my refund?")
    await office.settle()
    await office.clicks(office.bo, office.billing, names.CLAIM)
    card = office.card(office.billing)
    await office.cleo.types(office.billing, "Tell her it takes five days", thread=card["ts"])
    await office.bo.types(office.billing, f"<@{office.cleo.id}> thanks", thread=card["ts"])
    await office.bo.types(office.billing, "It takes five days.", thread=card["ts"])
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == ["It takes five days."]


@on_sqlite
async def test_7_and_8_a_reply_can_be_undone_and_a_failed_one_tried_again(office: SlackWorld) -> None:
    await office.claimed()
    await office.replies(office.bo, office.support, "First words")
    await office.clicks(office.bo, office.support, names.UNDO, office.offering(office.support, names.UNDO))
    await office.passes(seconds=11)
    assert office.hub.company.got == []

    office.hub.company.queue.append(Say(status=400))
    await office.replies(office.bo, office.support, "Second words")
    await office.passes(seconds=11)
    receipt = office.offering(office.support, names.RETRY)
    assert office.button(receipt, names.OTHER_CHANNEL)
    await office.clicks(office.bo, office.support, names.RETRY, receipt)
    assert office.hub.company.got == ["Second words"]
    assert "Sent" in office.line(office.support, "Second words")


@on_postgresql
async def test_2_and_8_one_person_on_two_channels_is_told_by_the_other_when_one_fails(
    office: SlackWorld,
) -> None:
    async with office.hub.page() as page:
        await page.types("Do you open on Sundays?")
        await office.settle()
        await office.claimed()
        chat, form = office.hub.people()
        office.hub.desk.merge(form, chat, "cleo", "she said so")
        office.hub.desk.change_customer(form, "cleo", tier="gold")
        await office.settle()
        card = office.words(office.card(office.support))
        assert "gold" in card
        assert "Elsewhere" in card
        assert "Do you open on Sundays?" in card

        office.hub.company.queue.append(Say(status=400))
        await office.clicks(office.bo, office.support, names.REPLY)
        by_form = office.way(office.bo, "webhook/main")
        assert await office.bo.submits({names.TEXT: "We do.", names.CHANNEL: by_form}) is None
        await office.settle()
        await office.passes(seconds=11)
        receipt = office.offering(office.support, names.OTHER_CHANNEL)
        assert "Not sent" in office.words(receipt) or "Failed" in office.words(receipt)
        await office.clicks(office.bo, office.support, names.OTHER_CHANNEL, receipt)
        assert await office.bo.presses_submit() is None, "text and another channel stand there already"
        await office.passes(seconds=11)
        await page.shows(("you", "Do you open on Sundays?"), ("Bo", "We do."))
        await page.stays_so()
        await office.settle()
        assert "Delivered" in office.line(office.support, "by web chat")
    assert office.hub.company.got == []


@on_sqlite
async def test_11_mentions_and_markup_do_no_harm_in_either_direction(office: SlackWorld) -> None:
    await office.hub.form(
        id="1",
        **{"from": {"email": "ann@example.com", "name": "<!channel> *Ann*"}},
        text="It is broken <!channel> <!here> <@U123> <https://evil.example|your bank> *bold* & more",
    )
    await office.settle()
    posted = office.slack.called("chat.postMessage")[-1].args
    assert not posted.get("link_names")
    assert "<!channel>" not in str(posted["text"])
    assert "<https://evil" not in str(posted["text"])
    await office.clicks(office.bo, office.support, names.CLAIM)
    card = office.card(office.support)
    ts = await office.bo.types(office.support, f"<@{office.cleo.id}> what do we say?", thread=card["ts"])
    await office.bo.reacts(office.support, ts, names.SEND_REACTION)
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == []
    await office.replies(office.bo, office.support, "Prices & <terms> at https://shop.example/a?b=1&c=2")
    await office.passes(seconds=11)
    assert office.hub.company.got == ["Prices & <terms> at https://shop.example/a?b=1&c=2"]


@on_postgresql
async def test_12_transferred_snoozed_and_closed(office: SlackWorld) -> None:
    await office.claimed()
    await office.clicks(office.bo, office.support, names.TRANSFER)
    answer = await office.bo.submits({names.QUEUE: "billing", names.REASON: "She wants her money"})
    assert answer is None
    await office.settle()
    assert not office.button(office.card(office.support), names.CLAIM)
    assert f"<#{office.billing}>" in office.words(office.card(office.support))
    fresh = office.card(office.billing)
    assert office.button(fresh, names.CLAIM)
    assert "She wants her money" in office.words(fresh) + office.words(office.thread(office.billing))

    await office.clicks(office.bo, office.billing, names.CLAIM)
    await office.clicks(office.bo, office.billing, names.SNOOZE)
    answer = await office.bo.submits()
    assert answer is None, answer
    await office.settle()
    assert office.state() == "snoozed"
