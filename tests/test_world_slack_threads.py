"""Agents reply from Slack, continued: edits, files, moving on, the Home, commands, rights, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store.db import Store
from desk.slack import names
from tests.slackworld import SlackWorld, slack_world

ANN = {"email": "ann@example.com", "name": "Ann"}


@pytest.fixture
async def office(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[SlackWorld]:
    async with slack_world(tmp_path, store, valkey) as opened:
        yield opened


async def _writes(office: SlackWorld, text: str = "The kettle is broken", who: str = "Ann") -> None:
    sender = {"email": f"{who.lower()}@example.com", "name": who}
    await office.hub.form(id=f"{who}-1", **{"from": sender}, text=text)
    await office.settle()


async def _claimed(office: SlackWorld) -> str:
    """The card's ts."""
    await _writes(office)
    await office.clicks(office.bo, office.support, names.CLAIM)
    return str(office.card(office.support)["ts"])


async def test_9_what_was_sent_is_edited_and_taken_back_where_the_channel_can(office: SlackWorld) -> None:
    async with office.hub.page() as page:
        await page.types("It is broken")
        await office.settle()
        await office.clicks(office.bo, office.support, names.CLAIM)
        card = office.card(office.support)
        ts = await office.bo.types(office.support, "It left on Mondya.", thread=card["ts"])
        await office.bo.reacts(office.support, ts, names.SEND_REACTION)
        await office.settle()
        await office.passes(seconds=11)
        await page.shows(("you", "It is broken"), ("Bo", "It left on Mondya."))
        await office.settle()
        await office.bo.edits(office.support, ts, "It left on Monday.")
        await office.settle()
        entry = office.hub.bo.sees(office.conversation()).history.entries[-1]
        assert (entry.first_text, entry.text) == ("It left on Mondya.", "It left on Monday.")


async def test_9_the_customers_edits_are_shown_as_a_difference(office: SlackWorld) -> None:
    await _claimed(office)
    await office.hub.form(
        id="e", kind="edit", message="Ann-1", **{"from": ANN}, text="The blue kettle is broken"
    )
    await office.settle()
    assert "blue" in office.words(office.thread(office.support)[-1])
    await office.hub.form(id="d", kind="delete", message="Ann-1", **{"from": ANN})
    await office.settle()
    said = " ".join(office.words(one) for one in office.thread(office.support)[-2:])
    assert "delete" in said.lower() or "took" in said.lower()


async def test_10_files_go_both_ways_and_what_a_channel_does_not_take_is_not_sent(office: SlackWorld) -> None:
    import base64

    png = b"\x89PNG\r\n\x1a\n" + bytes(200)
    file = {"name": "kettle.png", "data": base64.b64encode(png).decode()}
    await office.hub.form(id="1", **{"from": ANN}, text="It is broken, see", attachments=[file])
    await office.settle()
    shared = [one for message in office.thread(office.support) for one in message.get("files", [])]
    assert [one["name"] for one in shared] == ["kettle.png"]
    assert office.slack.file(shared[0]["id"]).content == png

    await office.clicks(office.bo, office.support, names.CLAIM)
    card = office.card(office.support)
    ts = await office.bo.types(
        office.support, "Here is the label", thread=card["ts"], files=(("label.pdf", b"%PDF-1.7 label"),)
    )
    await office.bo.reacts(office.support, ts, names.SEND_REACTION)
    await office.settle()
    await office.passes(seconds=11)
    (sent,) = office.hub.company.received.values()
    assert sent["text"] == "Here is the label"
    assert [one["name"] for one in sent["attachments"]] == ["label.pdf"]


async def test_12_snoozed_it_wakes_with_a_fresh_card_and_closed_it_is_settled(office: SlackWorld) -> None:
    await _claimed(office)
    await office.clicks(office.bo, office.support, names.SNOOZE)
    assert await office.bo.submits() is None
    await office.settle()
    assert office.state() == "snoozed"
    before = len(office.cards(office.support))
    office.hub.passes(days=8)
    await office.wakes()
    await office.settle()
    assert len(office.cards(office.support)) == before + 1
    assert office.state() == "waiting"
    await office.clicks(office.bo, office.support, names.CLAIM)
    await office.clicks(office.bo, office.support, names.CLOSE)
    assert await office.bo.submits({names.DISPOSITION: "repaired"}) is None
    await office.settle()
    assert office.state() == "closed"
    assert "repaired" in office.words(office.card(office.support))


async def test_13_why_here_shows_the_rule_the_facts_and_the_near_misses(office: SlackWorld) -> None:
    await _claimed(office)
    await office.clicks(office.bo, office.support, names.WHY)
    said = office.words(office.bo.views[-1].blocks)
    for part in ("trouble", "routing.yaml:", "broken", "money"):
        assert part in said


async def test_14_home_is_my_list_my_status_and_for_leads_the_queues(office: SlackWorld) -> None:
    await _claimed(office)
    await office.bo.opens_home()
    await office.settle()
    said = office.words(office.bo.home)
    assert "Ann" in said
    assert "uarantine" not in said
    await _writes(office, "Where is my refund?", "Eve")
    await office.cleo.opens_home()
    await office.settle()
    said = office.words(office.cleo.home)
    assert "Billing" in said
    assert "Forms and letters" in said, "the health of each account"
    await office.bo.clicks_home(names.HOME_NEXT)
    await office.settle()


async def test_15_commands_and_shortcuts(office: SlackWorld) -> None:
    await _writes(office)
    place = office.general
    answer = await office.bo.commands("/hub", "next", place)
    assert "Ann" in office.words(answer or {})
    assert office.state() == "open"
    assert "until" in office.words(await office.bo.commands("/hub", "away 30m", place) or {}).lower()
    assert "/hub find" in office.words(await office.bo.commands("/hub", "help", place) or {})
    assert "Support" in office.words(await office.bo.commands("/hub", "queue", place) or {})
    await office.settle()
    card = office.card(office.support)
    ts = await office.bo.types(office.support, "We send a new one", thread=card["ts"])
    await office.settle()
    await office.bo.shortcut(names.SHORTCUT_SEND, office.support, ts)
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == ["We send a new one"]


async def test_16_guests_outsiders_and_the_unlinked_can_do_nothing(office: SlackWorld) -> None:
    await _writes(office)
    card = office.card(office.support)
    guest = office.slack.user("Gus", guest=True)
    stranger = office.slack.user("Sid", stranger=True)
    for person in (office.dot, guest, stranger):
        await person.joins(office.support)
        await person.clicks(office.support, card["ts"], names.CLAIM)
        await person.types(office.support, "Hello from outside", thread=card["ts"])
        await office.settle()
        assert person.ephemerals, "they are told why"
    assert office.state() == "waiting"
    assert "Hello from outside" not in str(office.hub.cleo.sees(office.conversation()).history)


async def test_17_what_was_typed_while_nobody_listened_is_found_by_the_sweep(office: SlackWorld) -> None:
    card = await _claimed(office)
    office.slack.http_to("http://127.0.0.1:9/nobody")
    await office.bo.types(office.support, "Typed during the outage", thread=card)
    await office.settle()
    assert "Typed during the outage" not in str(office.hub.bo.sees(office.conversation()).history)
    office.slack.http_to(None)
    for _ in range(2):
        await office.sweep.once()
        await office.settle()
    notes = [
        one for one in office.hub.bo.sees(office.conversation()).history.entries if one.direction == "note"
    ]
    assert [one.text for one in notes] == ["Typed during the outage"]


async def test_17_a_card_that_somebody_deleted_is_drawn_again(office: SlackWorld) -> None:
    from workers.slack_rates import SlackRates
    from workers.slack_repair import repair

    await _claimed(office)
    ts = office.card(office.support)["ts"]
    place = office.slack.channels[office.support]
    del place.messages[ts]
    said = await repair(office.desk, dry=True, rates=SlackRates(None, pace=0.001))
    assert "1" in str(said)
    assert office.cards(office.support) == []
    await repair(office.desk, rates=SlackRates(None, pace=0.001))
    await office.settle()
    assert len(office.cards(office.support)) == 1


async def test_f25_slack_down_archived_and_revoked_lose_nothing_and_post_nothing_twice(
    office: SlackWorld,
) -> None:
    office.slack.fail("chat.postMessage", 503, times=2)
    await _writes(office)
    await asyncio.sleep(0.01)
    for _ in range(5):
        await asyncio.sleep(0.01)
        await office.settle()
    assert len(office.cards(office.support)) == 1
    office.slack.archive(office.billing)
    await _writes(office, "Where is my refund?", "Eve")
    for _ in range(5):
        await asyncio.sleep(0.01)
        await office.settle()
    assert any("refund" in office.words(one) for one in office.cards(office.ops))
    office.slack.revoke()
    await _writes(office, "The toaster is broken", "Tom")
    office.hub.cleo.takes_next()  # the web desk goes on
    office.slack.mend()
    await office.poster.probe()
    await office.settle()
    said = [office.words(one) for one in office.thread(office.support)] + [
        office.words(office.card(office.support))
    ]
    assert sum("toaster" in one for one in said) >= 1


async def test_f26_a_click_twice_and_two_who_answer_at_once_are_one_reply(office: SlackWorld) -> None:
    card = await _claimed(office)
    one = await office.bo.types(office.support, "A new one is on its way", thread=card)
    await office.settle()
    await asyncio.gather(
        office.bo.reacts(office.support, one, names.SEND_REACTION),
        office.bo.shortcut(names.SHORTCUT_SEND, office.support, one),
        office.bo.shortcut(names.SHORTCUT_SEND, office.support, one),
    )
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == ["A new one is on its way"]
    assert office.hub.company.doubled == 0
