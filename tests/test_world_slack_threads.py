"""Agents reply from Slack, continued: edits, files, moving on, why, the Home, commands (lines 9 to 15)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crm_store.db import Store
from desk.slack import names
from tests.servers.http import Say
from tests.slackworld import SlackWorld, leaves, slack_world

ANN = {"email": "ann@example.com", "name": "Ann"}


@pytest.fixture
async def office(tmp_path: Path, sqlite_url: str, valkey: str) -> AsyncIterator[SlackWorld]:
    """Over SQLite alone: what fails here is Slack, not the store."""
    store = Store.open(sqlite_url)
    async with slack_world(tmp_path, store, valkey) as opened:
        yield opened
    store.close()


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
        await page.shows(("you", "It is broken"), ("Bo", "It left on Monday."))
        await office.bo.deletes(office.support, ts)
        await office.settle()
        await page.shows(("you", "It is broken"), ("Bo", "(taken back)"))


async def test_9_where_the_channel_cannot_follow_a_correction_is_asked_for(office: SlackWorld) -> None:
    office.hub.limits["webhook"] = replace(office.hub.limits["webhook"], edits=False, deletes=False)
    await office.claimed()
    ts = await office.types(office.bo, "It left on Mondya.")
    await office.reacts(office.bo, ts)
    await office.passes(seconds=11)
    await office.bo.edits(office.support, ts, "It left on Monday.")
    await office.settle()
    asked = office.bo.ephemerals[-1]
    assert "the customer still sees the first text" in office.words(asked)
    await office.bo.clicks(office.support, asked["ts"], names.CORRECT)
    assert await office.bo.presses_submit() is None, "the text as it is now stands there already"
    await office.settle()
    await office.passes(seconds=11)
    assert office.hub.company.got == ["It left on Mondya.", "It left on Monday."]

    await office.bo.deletes(office.support, ts)
    await office.settle()
    asked = office.bo.ephemerals[-1]
    assert "the customer still sees the first text" in office.words(asked)
    await office.bo.clicks(office.support, asked["ts"], names.LET_STAND)
    await office.passes(seconds=11)
    assert len(office.hub.company.received) == 2


async def test_9_the_customers_edits_are_shown_as_a_difference(office: SlackWorld) -> None:
    await office.claimed()
    await office.hub.form(
        id="e",
        kind="edit",
        message="Ann-The kettle is broken",
        **{"from": ANN},
        text="The blue kettle is broken",
    )
    await office.settle()
    edit = office.thread(office.support)[-1]
    assert "changed this" in office.words(edit)
    assert [one["text"] for one in leaves(edit) if one.get("style") == {"bold": True}][1:] == ["blue "]
    await office.hub.form(id="d", kind="delete", message="Ann-The kettle is broken", **{"from": ANN})
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

    office.hub.limits["webhook"] = replace(office.hub.limits["webhook"], attachment_bytes=1000)
    ts = await office.types(office.bo, "And the manual", files=(("manual.pdf", b"%PDF-1.7" + bytes(2000)),))
    await office.reacts(office.bo, ts)
    assert "manual.pdf" in office.words(office.bo.ephemerals[-1]), "they are told why"
    await office.clicks(office.bo, office.support, names.REPLY)
    filled = {names.TEXT: "And the manual", names.FILES: [("manual.pdf", b"%PDF-1.7" + bytes(2000))]}
    answer = await office.bo.submits(filled)
    assert answer is not None
    assert "manual.pdf" in answer["errors"][names.FILES], "and in the modal, which keeps what was typed"
    await office.passes(seconds=11)
    assert len(office.hub.company.received) == 1


async def test_11_what_an_agent_formats_in_slack_reaches_the_customer_as_plain_words(
    office: SlackWorld,
) -> None:
    await office.claimed()
    ts = await office.types(
        office.bo,
        "*Yes* :tada: see <https://shop.example/returns?a=1&b=2|our page>, cost < 5 & > 3, ask @here_or_there",
    )
    await office.reacts(office.bo, ts)
    loud = await office.types(office.bo, "@here can anybody help?")
    await office.reacts(office.bo, loud)
    place = await office.types(office.bo, f"see <#{office.billing}>")
    await office.reacts(office.bo, place)
    await office.passes(seconds=11)
    assert office.hub.company.got == [
        "Yes \U0001f389 see our page (https://shop.example/returns?a=1&b=2), cost < 5 & > 3, ask @here_or_there"
    ]
    said = [office.words(one) for one in office.bo.ephemerals]
    assert sum("stays internal" in one for one in said) == 2


async def test_12_snoozed_it_wakes_with_a_fresh_card_and_closed_it_is_settled(office: SlackWorld) -> None:
    await office.claimed()
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
    assert await office.bo.submits({names.DISPOSITION: "repaired", names.TAGS: "kettle, warranty"}) is None
    await office.settle()
    assert office.state() == "closed"
    for said in ("repaired", "kettle", "warranty", "Bo"):
        assert said in office.words(office.card(office.support))


async def test_13_why_here_shows_the_rule_the_facts_and_the_near_misses(office: SlackWorld) -> None:
    await office.claimed()
    await office.clicks(office.bo, office.support, names.WHY)
    said = office.words(office.bo.views[-1].blocks)
    for part in ("trouble", "routing.yaml:", "broken", "money"):
        assert part in said


async def test_14_home_is_my_list_my_status_and_for_leads_the_queues(office: SlackWorld) -> None:
    await office.claimed()
    said = await office.opens_home(office.bo, "Ann")
    assert "Yours (1)" in said
    assert "uarantine" not in said
    await office.writes("Where is my refund?", "Eve")
    said = await office.opens_home(office.cleo, "Billing")
    assert "*1 waiting*" in said
    assert "Forms and letters" in said, "the health of each account"
    await office.bo.clicks_home(names.HOME_STATUS, "busy")
    await office.bo.clicks_home(names.HOME_UNTIL, "60")
    await office.slack.until(lambda: "Busy* until <!date^" in str(office.bo.home))
    await office.bo.clicks_home(names.HOME_NEXT)
    await office.slack.until(lambda: "is yours." in office.words(office.bo.home))
    assert "Eve" in office.words(office.bo.views[-1].blocks), "who waits longest opens"


async def test_14_home_shows_failed_sends_and_leads_the_quarantine_with_replay(office: SlackWorld) -> None:
    await office.claimed()
    office.hub.company.queue.append(Say(status=400))
    await office.replies(office.bo, office.support, "We send you a new one.")
    await office.passes(seconds=11)
    await office.hub.garbles(nothing="that anybody reads")
    await office.settle()
    assert "We send you a new one." in await office.opens_home(office.bo, "Not sent (1)")
    assert not office.button({"blocks": office.bo.home}, names.HOME_REPLAY)
    await office.opens_home(office.cleo, "Quarantine (1)")
    await office.cleo.clicks_home(names.HOME_REPLAY)
    await office.slack.until(lambda: "given to the router again" in office.words(office.cleo.home))
    assert office.replayed == ["agent:cleo"]
    await office.bo.clicks_home(names.HOME_OPEN)
    assert office.button({"blocks": office.bo.views[-1].blocks}, names.RETRY), "and it can be sent from there"


async def test_15_commands_and_shortcuts(office: SlackWorld) -> None:
    await office.writes()
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

    await office.bo.shortcut(names.SHORTCUT_WHY, office.support, ts)
    assert "trouble" in office.words(office.bo.views.pop().blocks)
    await office.bo.commands("/hub", f"why {office.hub.bo.sees(office.conversation()).card.number}", place)
    assert "trouble" in office.words(office.bo.views.pop().blocks)
    await office.bo.commands("/hub", "find kettle", place)
    assert "Ann" in office.words(office.bo.views.pop().blocks)
    regretted = await office.types(office.bo, "We send a second one")
    await office.reacts(office.bo, regretted)
    await office.bo.shortcut(names.SHORTCUT_INTERNAL, office.support, regretted)
    await office.passes(seconds=11)
    assert office.hub.company.got == ["We send a new one"]
    await office.bo.commands("/hub", "new eve@example.com", place)
    assert office.words(office.bo.views[-1].blocks)
