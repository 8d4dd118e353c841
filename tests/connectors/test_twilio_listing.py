"""What came while the hub was away is fetched from Twilio's list: all of it, once, and with the webhook's own keys."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from connectors.base import Polled
from connectors.sms_twilio import CONNECTOR
from connectors.twilio import listing
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import MessageReceived, Unreadable
from tests.connectors.twilio_world import ANN, BO, SECOND, SENDER, SHOP, at, message, wire
from tests.servers.twilio import Twilio


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        twilio.number(SHOP)
        twilio.number(SECOND)
        twilio.sender(SENDER)
        yield twilio


async def look(twilio: Twilio, account: Account, cursor: str | None = None) -> Polled:
    async with wire(now=datetime.fromtimestamp(twilio.now(), UTC)) as way:
        return await CONNECTOR.poll(account, cursor, way)


def texts(polled: Polled) -> list[str]:
    return sorted(e.text for e in polled.events if isinstance(e, MessageReceived))


async def says(twilio: Twilio, *words: str, to: str = SHOP) -> None:
    for text in words:
        await twilio.customer(ANN).says(text, to=to)


async def test_an_outage_is_made_good(twilio: Twilio) -> None:
    account = at(twilio)
    await says(twilio, "before")
    twilio.passes(120)
    first = await look(twilio, account)
    assert texts(first) == ["before"]
    await says(twilio, "one", "two")  # nobody answers the webhook
    twilio.passes(7 * 24 * 3600)
    second = await look(twilio, account, first.cursor)
    assert texts(second) == ["one", "two"]
    third = await look(twilio, account, second.cursor)
    assert (third.events, third.cursor, third.again_s) == ((), None, 300.0)


async def test_a_message_has_the_key_and_the_words_of_its_webhook(twilio: Twilio) -> None:
    account = at(twilio, numbers=[SECOND])
    media = (("image/jpeg", b"\xff\xd8\xff"), ("audio/amr", b"#!AMR"))
    delivery = await twilio.customer(ANN).says("Both broken ñ", to=SECOND, media=media)
    twilio.passes(120)
    (event,) = (await look(twilio, account)).events
    assert isinstance(event, MessageReceived)
    assert (event.event_key, event.external_id, event.sender) == (delivery.sid, delivery.sid, f"tel:{ANN}")
    assert (event.text, event.ours, event.verified) == ("Both broken ñ", f"tel:{SECOND}", True)
    assert [m.ref for m in event.media] == [delivery.params["MediaUrl0"], delivery.params["MediaUrl1"]]
    assert [m.kind for m in event.media] == ["image", "audio"]
    assert event.sent_at is not None
    assert abs(event.sent_at.timestamp() - (twilio.now() - 120)) < 5


async def test_what_is_young_is_left_to_the_webhook_and_looked_for_soon(twilio: Twilio) -> None:
    account = at(twilio)
    await says(twilio, "just now")
    first = await look(twilio, account)
    assert (first.events, first.again_s) == ((), listing.SETTLE_S)
    twilio.passes(70)
    assert texts(await look(twilio, account, first.cursor)) == ["just now"]


async def test_the_first_look_is_bounded(twilio: Twilio) -> None:
    await says(twilio, "long ago")
    twilio.passes(3 * 3600)
    await says(twilio, "lately")
    twilio.passes(600)
    assert texts(await look(twilio, at(twilio))) == ["lately"]
    assert texts(await look(twilio, at(twilio, backfill_first_s=24 * 3600))) == ["lately", "long ago"]


async def test_only_what_came_to_our_numbers(twilio: Twilio) -> None:
    async with wire() as way:
        await CONNECTOR.send(message(), at(twilio), way)
    await says(twilio, "to another account of ours", to=SECOND)
    await says(twilio, "to us")
    twilio.passes(120)
    assert texts(await look(twilio, at(twilio))) == ["to us"]


async def test_a_service_whose_numbers_are_not_named(twilio: Twilio) -> None:
    service = twilio.service(twilio.numbers[SHOP])
    await says(twilio, "to a number by itself", to=SECOND)
    await says(twilio, "to the service")
    twilio.passes(120)
    account = at(twilio, address=None, messaging_service_sid=service.sid)
    assert texts(await look(twilio, account)) == ["to the service"]


async def test_a_long_outage_comes_page_by_page_and_look_by_look(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 3)
    monkeypatch.setattr(listing, "PAGES", 2)
    account = at(twilio, numbers=[SECOND])
    wanted = [f"{n:02d}" for n in range(20)]
    for n, text in enumerate(wanted):
        await says(twilio, text, to=(SHOP, SECOND)[n % 2])
        twilio.passes(30)
    twilio.passes(120)
    got: list[str] = []
    cursor, looks = None, 0
    while True:
        polled = await look(twilio, account, cursor)
        got += texts(polled)
        cursor, looks = polled.cursor or cursor, looks + 1
        if polled.again_s:
            break
        if looks == 2:  # what comes in between is not lost either
            await says(twilio, "late")
            twilio.passes(61)
    twilio.passes(400)
    got += texts(await look(twilio, account, cursor))
    assert sorted(got) == [*wanted, "late"]
    assert looks > 2


async def test_a_look_that_is_broken_off_loses_nothing_of_any_number(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGES", 1)  # a number each time
    account = at(twilio, numbers=[SECOND])
    await says(twilio, "one")
    twilio.passes(120)
    first = await look(twilio, account)
    assert (texts(first), first.again_s) == (["one"], 0.0)
    await says(twilio, "two")  # and the hub is away for an hour, between the numbers
    twilio.passes(600)
    await says(twilio, "three", to=SECOND)
    twilio.passes(3600)
    got: list[str] = []
    polled = await look(twilio, account, first.cursor)
    assert polled.again_s == listing.SETTLE_S  # an hour has not been looked at
    for _ in range(3):
        got += texts(polled)
        polled = await look(twilio, account, polled.cursor or first.cursor)
    assert sorted(got) == ["three", "two"]


async def test_the_cursor_of_a_long_look_stays_short(twilio: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 5)
    monkeypatch.setattr(listing, "PAGES", 1)
    for n in range(40):
        await says(twilio, f"{n:02d}")
        twilio.passes(60)
    cursor, got, longest = None, list[str](), 0
    while True:
        polled = await look(twilio, at(twilio), cursor)
        cursor, got = polled.cursor or cursor, got + texts(polled)
        longest = max(longest, len(cursor or ""))
        if polled.again_s:
            break
    assert sorted(got) == [f"{n:02d}" for n in range(40)]
    assert longest < 600  # a SID has 34 characters


async def test_messages_around_the_cursor_come_once(twilio: Twilio) -> None:
    account, cursor, got = at(twilio), None, []
    for n in range(12):
        await says(twilio, f"{n:02d}")
        twilio.passes(25)
        polled = await look(twilio, account, cursor)
        cursor = polled.cursor or cursor
        got += texts(polled)
    twilio.passes(300)
    got += texts(await look(twilio, account, cursor))
    assert got == [f"{n:02d}" for n in range(12)]


async def test_a_failing_list_loses_nothing(twilio: Twilio) -> None:
    account = at(twilio)
    await twilio.customer(ANN).says("a picture", to=SHOP, media=(("image/png", b"x"),))
    twilio.passes(120)
    for operation, status, code in (
        ("messages.list", 500, SendCode.RESPONSE_STATUS),
        ("media.list", 503, SendCode.RESPONSE_STATUS),
        ("messages.list", 429, SendCode.THROTTLED),
    ):
        twilio.fail(operation, status=status, retry_after=4)
        with pytest.raises(SendError) as caught:
            await look(twilio, account)
        assert (caught.value.code, caught.value.retry) == (code, True)
    assert texts(await look(twilio, account)) == ["a picture"]


async def test_files_that_were_deleted_there_are_gone(twilio: Twilio) -> None:
    await twilio.customer(ANN).says("a picture", to=SHOP, media=(("image/png", b"x"),))
    twilio.passes(120)
    twilio.fail("media.list", status=404, code=20404)
    (event,) = (await look(twilio, at(twilio))).events
    assert isinstance(event, MessageReceived)
    assert (event.text, event.media) == ("a picture", ())


async def test_whatsapp_has_its_own_list(twilio: Twilio) -> None:
    bo = twilio.customer(BO, "Bo").whatsapp()
    await bo.says("Hello")
    await bo.location(1.5, 2.5)
    await says(twilio, "an SMS")
    twilio.passes(120)
    async with wire(now=datetime.fromtimestamp(twilio.now(), UTC)) as way:
        polled = await WHATSAPP.poll(at(twilio, "whatsapp_twilio/main", SENDER), None, way)
    assert texts(polled) == ["(Something that cannot be shown here: no words and no file.)", "Hello"]
    assert {e.sender for e in polled.events if isinstance(e, MessageReceived)} == {f"tel:{BO}"}


async def test_a_row_that_cannot_be_read_is_kept(twilio: Twilio) -> None:
    await says(twilio, "x")
    next(iter(twilio.messages.values())).from_ = ""
    twilio.passes(120)
    polled = await look(twilio, at(twilio))
    (event,) = polled.events
    assert isinstance(event, Unreadable)
    assert b'"body":"x"' in polled.blobs[0]


def test_who_is_asked() -> None:
    class Nothing:
        account_sid, auth_token, url = "AC" + "0" * 32, "t", "http://127.0.0.1:1"

    assert CONNECTOR.polls(at(Nothing()))  # type: ignore[arg-type]
    assert not CONNECTOR.polls(at(Nothing(), backfill_s=0))  # type: ignore[arg-type]


async def test_a_cursor_of_another_version_begins_anew(twilio: Twilio) -> None:
    await says(twilio, "x")
    twilio.passes(120)
    assert texts(await look(twilio, at(twilio), "what is this")) == ["x"]
