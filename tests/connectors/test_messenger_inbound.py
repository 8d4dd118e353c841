"""Messenger at the strict local Graph API: what each refusal means, how the Page stands, what comes in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from connectors.base import Examines, FetchError, Fetches, Finding, Hooks
from connectors.graph import errors
from hub.errors import SendCode, SendError
from hub.model import (
    Change,
    ConsentChanged,
    Media,
    MessageChanged,
    MessageReceived,
)
from tests.connectors.social_world import JPEG, Place, place
from tests.each import each


@pytest.fixture
async def page() -> AsyncIterator[Place]:
    async with place("messenger") as found:
        yield found


# -------------------------------------------------------------------------------------------------------------- errors

ROWS = [
    (0, 0, SendCode.CHANNEL_CONFIG, False, True),
    (1, 0, SendCode.RESPONSE_STATUS, True, False),
    (1, 99, SendCode.CHANNEL_CONFIG, False, True),
    (1, 1357046, SendCode.UNKNOWN, False, False),
    (2, 0, SendCode.RESPONSE_STATUS, True, False),
    (2, 2018344, SendCode.CHANNEL_CONFIG, False, True),
    (3, 0, SendCode.CHANNEL_CONFIG, False, True),
    (4, 0, SendCode.THROTTLED, True, True),
    (4, 2018022, SendCode.THROTTLED, True, True),
    (4, 2018354, SendCode.THROTTLED, True, False),
    (9, 2018352, SendCode.REJECTED, False, False),
    (10, 0, SendCode.CHANNEL_CONFIG, False, True),
    (10, 2018065, SendCode.WINDOW_CLOSED, False, False),
    (10, 2018108, SendCode.OPTED_OUT, False, False),
    (10, 2018278, SendCode.WINDOW_CLOSED, False, False),
    (10, 2534022, SendCode.WINDOW_CLOSED, False, False),
    (17, 0, SendCode.THROTTLED, True, True),
    (32, 0, SendCode.THROTTLED, True, True),
    (100, 0, SendCode.MESSAGE_INVALID, False, False),
    (100, 33, SendCode.CHANNEL_CONFIG, False, True),
    (100, 2018001, SendCode.REJECTED, False, False),
    (100, 2018047, SendCode.MESSAGE_INVALID, False, False),
    (100, 2018109, SendCode.MESSAGE_INVALID, False, False),
    (100, 2018164, SendCode.REJECTED, False, False),
    (100, 2534014, SendCode.REJECTED, False, False),
    (100, 2534037, SendCode.REJECTED, False, False),
    (190, 0, SendCode.CHANNEL_CONFIG, False, True),
    (190, 463, SendCode.CHANNEL_CONFIG, False, True),
    (200, 0, SendCode.CHANNEL_CONFIG, False, True),
    (200, 1545041, SendCode.OPTED_OUT, False, False),
    (200, 2018021, SendCode.CHANNEL_CONFIG, False, True),
    (200, 2018028, SendCode.CHANNEL_CONFIG, False, True),
    (200, 2534041, SendCode.CHANNEL_CONFIG, False, True),
    (230, 0, SendCode.CHANNEL_CONFIG, False, True),
    (299, 0, SendCode.CHANNEL_CONFIG, False, True),
    (341, 0, SendCode.THROTTLED, True, True),
    (368, 0, SendCode.CHANNEL_CONFIG, False, True),
    (551, 0, SendCode.OPTED_OUT, False, False),
    (551, 1545041, SendCode.OPTED_OUT, False, False),
    (613, 0, SendCode.THROTTLED, True, True),
    (613, 1893016, SendCode.THROTTLED, True, False),
    (1200, 0, SendCode.RESPONSE_STATUS, True, False),
    (2500, 0, SendCode.CHANNEL_CONFIG, False, True),
    (10900, 0, SendCode.REJECTED, False, False),
    (10903, 0, SendCode.REJECTED, False, False),
    (80006, 0, SendCode.THROTTLED, True, True),
]


@pytest.mark.parametrize("name", ["messenger", "instagram"])
async def test_every_code_means_what_meta_says(name: str) -> None:
    async with place(name) as found:
        for code, subcode, meaning, retry, whole in ROWS:
            found.graph.fail(code, subcode=subcode or None)
            error = await found.fails()
            said = (error.code, error.retry, error.whole_account, error.provider_code)
            name_of = f"{code}/{subcode}" if subcode else str(code)
            assert said == (meaning, retry, whole, name_of), (code, subcode)
            assert errors.meaning(code, subcode)
        assert found.graph.sent == []


def test_no_code_of_metas_is_left_without_a_row() -> None:
    """Those of WhatsApp alone are in its own tests."""
    assert {(code, subcode) for code, subcode, *_ in ROWS} >= errors.SUBCODES.keys()


async def test_patience_is_what_meta_asks_for(page: Place) -> None:
    page.graph.fail(613, retry_after=17)
    assert (await page.fails()).after_s == 17
    page.graph.fail(80006, regain_minutes=3)
    assert (await page.fails()).after_s == 180


# ------------------------------------------------------------------------------------------------- how it stands, files


async def test_doctor_sees_a_page_that_stands_and_one_that_does_not(page: Place) -> None:
    assert isinstance(page.connector, Examines)
    assert isinstance(page.connector, Hooks)
    page.meta.fields = set()
    found = await page.connector.examine(page.account, page.way)
    assert Finding(what="the Page is Acme") in found
    assert [one.wrong for one in found if one.wrong] == [
        "Nothing comes in: run `mainstem channel hook messenger/main`."
    ]
    said = await page.connector.hook(page.account, page.way)
    assert said == await page.connector.hook(page.account, page.way)
    assert page.meta.fields == {
        "messages", "messaging_postbacks", "messaging_optins", "messaging_referrals", "message_deliveries",
        "message_reads", "message_reactions", "message_edits", "message_echoes", "feed", "mention",
    }  # fmt: skip
    found = await page.connector.examine(page.account, page.way)
    assert not [one.wrong for one in found if one.wrong]
    assert any("/in/messenger/main" in one.what for one in found)
    page.meta.fields = {"messages"}
    found = await page.connector.examine(page.account, page.way)
    assert any("message_deliveries" in one.what and one.wrong for one in found)
    page.meta.expire()
    with pytest.raises(SendError) as caught:
        await page.connector.examine(page.account, page.way)
    assert caught.value.provider_code == "190/463"


async def test_files_are_fetched_without_the_token_and_from_meta_alone(page: Place) -> None:
    assert isinstance(page.connector, Fetches)
    await page.bo.sends(JPEG, "image/jpeg", filename="a.jpg")
    (media,) = (await page.message()).media
    fetched = await page.connector.fetch(media, page.account, page.way)
    assert (fetched.data, fetched.content_type, fetched.name) == (JPEG, "image/jpeg", "a.jpg")
    assert all("authorization" not in {k.lower() for k in request.headers} for request in page.graph.requests)
    for elsewhere in (
        "https://example.com/a.jpg",
        "https://fbcdn.net.example.com/a",
        "file:///etc/passwd",
        "x",
    ):
        with pytest.raises(FetchError) as caught:
            await page.connector.fetch(Media(ref=elsewhere), page.account, page.way)
        assert not caught.value.retry


@each(
    "settings, wrong",
    [
        ({"page_id": 17}, "page_id must be the Page's id: digits, in quotes"),
        ({"human_agent": "yes"}, "human_agent must be true or false"),
        ({"api": "http://example.com"}, "api must begin with https:// unless it is on this machine"),
        ({"colour": "red"}, "messenger has no setting 'colour'"),
    ],
)
async def test_settings_are_looked_at(page: Place, settings: dict[str, Any], wrong: str) -> None:
    spoilt = replace(page.account, settings={**page.account.settings, **settings})
    (found,) = page.connector.check(spoilt)
    assert found.startswith(wrong)


# ------------------------------------------------------------------------------------------------------ what comes in


async def test_what_people_do_is_read_as_it_is_delivered(page: Place) -> None:
    bo = page.bo
    await bo.stickers()
    await bo.stickers(older=True)
    await bo.stickers(767226160478561)
    await bo.is_at(52.5, 13.25)
    await bo.shares()
    await bo.shares("template", "Blue shoe")
    await bo.unsupported()
    await bo.says("This one", quoting=page.newest)
    await bo.presses("Get started", "START")
    await bo.arrives()
    await bo.posts("Great shop!")
    await bo.mentions("Ask @Acme!")
    said = [event for event in await page.heard() if isinstance(event, MessageReceived)]
    assert [(event.form, event.text.splitlines()[0] if event.text else "") for event in said] == [
        ("message", "👍 (sticker)"),
        ("message", "👍 (sticker)"),
        ("message", ""),
        ("message", "📍 Location: Bo's location"),
        ("message", "A page"),
        ("message", "Blue shoe"),
        ("message", "(Something that cannot be shown here: something that they shared.)"),
        ("message", "This one"),
        ("message", "Get started"),
        ("message", "(They came by newsletter.)"),
        ("comment", "Great shop!"),
        ("mention", "Ask @Acme!"),
    ]
    assert [one.kind for event in said[:3] for one in event.media] == ["sticker"] * 3
    assert said[7].in_reply_to == page.newest
    assert {event.sender for event in said} == {page.to_bo().to}
    assert {event.sender_name for event in said if event.form != "message"} == {"Bo Lind"}


async def test_posts_that_are_shared_together_all_come_and_none_twice(page: Place) -> None:
    one, other = ({"url": f"https://scontent.xx.fbcdn.net/{name}.jpg"} for name in ("one", "other"))
    shared = [{"type": kind, "payload": payload} for payload in (one, other) for kind in ("share", "ig_post")]
    await page.bo.message({"attachments": shared})
    (event,) = await page.heard()
    assert isinstance(event, MessageReceived)
    assert [file.ref for file in event.media] == [one["url"], other["url"]]


async def test_wishes_about_marketing_are_consent_for_marketing(page: Place) -> None:
    await page.bo.opts_in()
    await page.bo.opts_in(stops=True)
    wishes = [event for event in await page.heard() if isinstance(event, ConsentChanged)]
    assert [(wish.granted, wish.scope, wish.urn) for wish in wishes] == [
        (True, "marketing", page.to_bo().to),
        (False, "marketing", page.to_bo().to),
    ]


async def test_what_is_told_of_messages(page: Place) -> None:
    page.meta.echoes = False
    (sent,) = (await page.send()).external_ids
    await page.bo.reacts("👍", sent)
    await page.bo.reacts("", sent)
    await page.bo.edits(page.newest, "Where is my letter?")
    await page.bo.unsends(page.newest)
    changes = [event for event in await page.heard() if isinstance(event, MessageChanged)]
    assert [(one.change, one.external_id, one.text) for one in changes] == [
        (Change.REACTION, sent, "👍"),
        (Change.REACTION, sent, ""),
        (Change.EDIT, page.newest, "Where is my letter?"),
        (Change.DELETE, page.newest, ""),
    ]


async def test_what_is_not_said_to_us_is_left_alone(page: Place) -> None:
    await page.bo.says("To the bot", standby=True)
    await page.bo.presses("Bot menu", "MENU", standby=True)
    for kind in ("pass_thread_control", "take_thread_control", "request_thread_control"):
        await page.bo.thread(kind)
    assert await page.heard() == []
