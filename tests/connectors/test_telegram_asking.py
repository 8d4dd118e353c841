"""What is asked of Telegram: what came in, by getUpdates and by webhook; files; how the bot stands."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from connectors.base import Examines, FetchError, Fetches, Hooks, Polled, Polls
from connectors.telegram import CONNECTOR
from connectors.telegram.kinds import ALLOWED, SILENT_UPDATES
from hub.errors import SendCode, SendError
from hub.model import Change, ConsentChanged, Event, Media, MessageChanged, MessageReceived, Unreadable
from tests.connectors.gate import gate
from tests.connectors.samples import account
from tests.connectors.telegramming import JPEG, PUBLIC, WEBHOOK, Bot, bot
from tests.each import each
from tests.servers.telegram import Person
from tests.servers.telegram.updates import KINDS

BOLD = [{"type": "bold", "offset": 0, "length": 1}]
WEEK_S = 7 * 24 * 3600


@pytest.fixture
async def ours() -> AsyncIterator[Bot]:
    async with bot(poll=True) as opened:
        yield opened


@pytest.fixture
async def hooked() -> AsyncIterator[Bot]:
    async with bot() as opened:
        yield opened


async def look(ours: Bot, cursor: str | None = None) -> Polled:
    return await CONNECTOR.poll(ours.account, cursor, ours.wire)


def words(events: tuple[Event, ...]) -> list[str]:
    return [event.text for event in events if isinstance(event, MessageReceived)]


def test_it_can_all_that() -> None:
    for able in (Fetches, Polls, Examines, Hooks):
        assert isinstance(CONNECTOR, able)
    assert set(KINDS) <= {*ALLOWED, *SILENT_UPDATES}  # every kind of update that is documented has its place


# ---------------------------------------------------------------------------------------------------- long polling


async def test_what_was_looked_at_stays_until_the_next_look_confirms_it(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("One")
    await ann.says("Two")
    first = await look(ours)
    again = await look(ours)  # the process died before it was on disk
    assert first.events[0].event_key == again.events[0].event_key
    assert words(first.events) == words(again.events) == ["One", "Two"]
    assert [one.done for one in ours.telegram.updates.all] == [False, False]

    await ann.says("Three")
    assert words((await look(ours, first.cursor)).events) == ["Three"]
    assert [one.done for one in ours.telegram.updates.all] == [True, True, False]


async def test_a_look_waits_for_what_comes(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    waiting = asyncio.create_task(look(ours))
    while not ours.telegram.updates.poll:
        await asyncio.sleep(0.005)
    await ann.says("At last")
    assert words((await waiting).events) == ["At last"]


async def test_after_a_quiet_week_an_id_below_the_offset_is_not_lost(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("Before")
    before = await look(ours)
    ours.telegram.passes(WEEK_S)
    ours.telegram.updates.next_id -= 3  # drawn by lot, and just below what we have read
    await ann.says("After the holidays")
    after = await look(ours, before.cursor)
    assert words(after.events) == ["After the holidays"]
    assert {e.event_key for e in after.events} - {e.event_key for e in before.events}
    # The number that once was another message's is another message all the same.
    await ann.says("And more")
    await ann.says("And the number of before")
    last = await look(ours, after.cursor)
    assert not {e.event_key for e in last.events} & {e.event_key for e in before.events}


async def test_another_bots_cursor_means_nothing(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("Hi")
    seen = int(ours.telegram.now())
    for cursor in (f"999999999:{seen}:1", "999999999", "", "x:y:z", f"999999999:{seen}:"):
        assert words((await look(ours, cursor)).events) == ["Hi"]


async def test_a_tap_is_answered_while_polling(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("Hi")
    await ours.send(ann, "What shall we do?", choices=("Refund", "Wait"))
    await ann.presses(ours.telegram.sent[-1].message_id, "Refund")
    found = await look(ours)
    assert words(found.events) == ["Hi", "Refund"]
    assert len(ours.telegram.answered) == 1
    ours.telegram.answered.clear()
    ours.telegram.fail("answercallbackquery", status=400)
    assert words((await look(ours)).events) == ["Hi", "Refund"]  # an answer that fails is no failure


async def test_one_update_that_cannot_be_read_is_kept_whole_among_the_others(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("Before")
    await ours.telegram.happens("message", {"odd": True})
    await ann.says("After")
    found = await look(ours)
    before, odd, after = found.events
    assert words((before, after)) == ["Before", "After"]
    assert isinstance(odd, Unreadable)
    assert found.blobs == (
        b'{"update_id": %d, "message": {"odd": true}}' % ours.telegram.updates.all[1].update_id,
    )


async def test_half_an_emoji_stops_no_polling(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    for text in ("Before", "Half \ud83d", "After"):
        await ann.says(text)
    assert words((await look(ours)).events) == ["Before", "Half \ufffd", "After"]


async def test_a_webhook_that_is_set_is_said_in_words_and_hook_removes_it(ours: Bot) -> None:
    await CONNECTOR.hook(replace(ours.account, settings={"api": ours.telegram.url}), ours.wire)
    with pytest.raises(SendError) as caught:
        await look(ours)
    error = caught.value
    assert (error.code, error.retry, error.whole_account) == (SendCode.CHANNEL_CONFIG, False, True)
    assert "mainstem channel hook" in error.detail
    assert "fetches" in await CONNECTOR.hook(ours.account, ours.wire)
    await ours.telegram.person("Ann").says("Hi")
    assert words((await look(ours)).events) == ["Hi"]


async def test_two_who_poll_with_one_token_are_told(ours: Bot) -> None:
    ours.telegram.fail(
        "getupdates",
        status=409,
        message="terminated by other getUpdates request; make sure that only one bot instance is running",
    )
    with pytest.raises(SendError) as caught:
        await look(ours)
    assert (caught.value.code, caught.value.retry) == (SendCode.RESPONSE_STATUS, True)


@pytest.mark.parametrize("how", ["html", "truncated", "cut"])
async def test_a_look_that_fails_changes_nothing(ours: Bot, how: str) -> None:
    ann = ours.telegram.person("Ann")
    await ann.says("Hi")
    ours.telegram.fail("getupdates", how=how, status=502)
    with pytest.raises(SendError):
        await look(ours)
    assert words((await look(ours)).events) == ["Hi"]


async def test_a_hundred_long_messages_come_in_one_look(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    for _ in range(100):
        await ann.says("ü" * 4096, entities=BOLD)  # together 0.8 MB: more than an ordinary answer may have
    assert len((await look(ours)).events) == 100


# --------------------------------------------------------------------------------------------------------- webhook


async def test_every_deed_of_a_person_comes_in_by_webhook(hooked: Bot, tmp_path: Path, valkey: str) -> None:
    telegram = hooked.telegram
    ann, bo = telegram.person("Ann", username="ann", language="de"), telegram.person("Bo")
    async with gate(tmp_path, valkey, accounts={"telegram/main": hooked.account}) as g:
        await CONNECTOR.hook(hooked.account, replace(hooked.wire, public_url=g.url))
        assert telegram.updates.secret == WEBHOOK
        await ann.starts("ref_42")
        await ann.says("see https://shop.example 🙂")
        await ann.edits(2, "see https://shop.example/2")
        await ann.album([("photo", JPEG), ("photo", JPEG)], caption="Both")
        await ann.contact("+14155552671")
        await ann.does(hologram={"x": 1})
        await hooked.send(ann, "Well?", choices=("Yes", "No"))
        answer = telegram.sent[-1].message_id
        await ann.presses(answer, "Yes")
        await ann.reacts(answer, "👍")
        await ann.reacts(answer)
        await ann.says("No, this one", reply_to=answer, quote="Well")
        await ann.blocks()
        await ann.unblocks()
        group = telegram.group("Friends")
        await group.adds_bot(bo)
        await bo.says("/start@shop_bot", chat=group.chat)
        await group.migrates(bo)
        assert [one.tries for one in telegram.updates.all] == [["200"]] * len(telegram.updates.all)
        kept = g.kept()
        assert len(telegram.answered) == 1  # by the webhook's own answer
    texts = [e.text for e in kept if isinstance(e, MessageReceived)]
    assert texts == [
        "/start", "see https://shop.example 🙂", "Both", "", "👤 Contact card: Ann (+14155552671)",
        "(Something that cannot be shown here: hologram.)", "Yes", "No, this one",
    ]  # fmt: skip
    albums = {e.album for e in kept if isinstance(e, MessageReceived) and e.media}
    assert len(albums) == 1
    changes = [(e.change, e.text) for e in kept if isinstance(e, MessageChanged)]
    assert changes == [
        (Change.EDIT, "see https://shop.example/2"), (Change.REACTION, "👍"), (Change.REACTION, ""),
    ]  # fmt: skip
    assert [e.granted for e in kept if isinstance(e, ConsentChanged)] == [False, True]
    assert {e.sender for e in kept if isinstance(e, MessageReceived | MessageChanged)} == {
        f"telegram:{ann.id}"
    }
    last = next(e for e in kept if isinstance(e, MessageReceived) and e.text == "No, this one")
    assert (last.in_reply_to, last.quoted, last.language) == (f"{ann.id}:{answer}", "Well", "de")


async def test_the_same_update_ten_times_at_once_has_one_key(
    hooked: Bot, tmp_path: Path, valkey: str
) -> None:
    """F16; the store then counts one. Days later it is the same key still, and the same whether pushed or polled."""
    async with gate(tmp_path, valkey, accounts={"telegram/main": hooked.account}) as g:
        await CONNECTOR.hook(hooked.account, replace(hooked.wire, public_url=g.url))
        update = await hooked.telegram.person("Ann").says("Once")
        await hooked.telegram.redeliver(update.update_id, times=10)
        assert {e.event_key for e in g.kept()} == {f"{hooked.telegram.bot_id}:{update.body['chat']['id']}:1"}
        pushed = g.kept()[0]
    update.done = False
    await CONNECTOR.hook(
        replace(hooked.account, settings={"api": hooked.telegram.url, "poll": True}), hooked.wire
    )
    (polled,) = (await look(hooked)).events
    assert structs.replace(polled, received_at=pushed.received_at) == pushed


async def test_every_order_of_a_short_conversation_has_the_same_events(ours: Bot) -> None:
    """F17: keys and names depend on nothing that came before."""
    ann = ours.telegram.person("Ann")
    await ann.says("One")
    await ann.edits(1, "One, corrected")
    await ann.says("Two", reply_to=1)
    await ours.send(ann, "Three")
    ours.telegram.updates.allowed = list(ALLOWED)
    await ann.reacts(3, "👍")
    whole = (await look(ours)).events
    assert len(whole) == 4
    pending = list(ours.telegram.updates.pending)
    for order in permutations(pending):
        ours.telegram.updates.all = list(order)
        found = (await look(ours)).events
        assert {plain(e) for e in found} == {plain(e) for e in whole}


def plain(event: Event) -> Event:
    return structs.replace(event, received_at=datetime(2026, 1, 1, tzinfo=UTC))


async def test_what_is_forged_is_answered_401_and_an_old_one_is_only_a_duplicate(
    hooked: Bot, tmp_path: Path, valkey: str
) -> None:
    """F18: Telegram signs no time, so an old request holds, with the key that it always had."""
    async with gate(tmp_path, valkey, accounts={"telegram/main": hooked.account}) as g:
        for secret in ("", "wrong", WEBHOOK[:-1], WEBHOOK.upper()):
            async with g.http.post(
                f"{g.url}/in/telegram/main", data=b"{}", headers={"X-Telegram-Bot-Api-Secret-Token": secret}
            ) as got:
                assert got.status == 401
        async with g.http.post(
            f"{g.url}/in/telegram/other", data=b"{}", headers={"X-Telegram-Bot-Api-Secret-Token": WEBHOOK}
        ) as got:
            assert got.status == 404
        assert g.kept() == []


# ----------------------------------------------------------------------------------------------------------- files


async def received(ours: Bot, ann: Person, **more: Any) -> Media:
    await ann.sends(**more)
    found = [e for e in (await look(ours)).events if isinstance(e, MessageReceived)]
    (media,) = found[-1].media
    assert ours.telegram.token not in repr(found)
    return media


async def test_a_file_is_fetched_by_its_id(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    media = await received(ours, ann, kind="document", content=b"%PDF-1.7 hi", name="Größe.pdf")
    fetched = await CONNECTOR.fetch(media, ours.account, ours.wire)
    assert (fetched.data, fetched.name, fetched.content_type) == (
        b"%PDF-1.7 hi",
        "Größe.pdf",
        "application/pdf",
    )
    photo = await received(ours, ann, kind="photo", content=JPEG)
    assert (await CONNECTOR.fetch(photo, ours.account, ours.wire)).data == JPEG
    assert photo.size_bytes == len(JPEG)  # the largest size


async def test_what_is_larger_than_bots_get_is_said_in_words(ours: Bot) -> None:
    ann = ours.telegram.person("Ann")
    media = await received(ours, ann, kind="video", size=21 * 1024 * 1024)
    asked = len(ours.telegram.requests)
    for one in (media, structs.replace(media, size_bytes=None)):
        with pytest.raises(FetchError, match="20 MB") as caught:
            await CONNECTOR.fetch(one, ours.account, ours.wire)
        assert not caught.value.retry
    assert len(ours.telegram.requests) == asked + 1


@each(
    "operation, order, retry",
    [
        ("getfile", {"status": 500}, True),
        ("getfile", {"status": 429, "retry_after": 7}, True),
        ("getfile", {"status": 401}, True),
        ("getfile", {"how": "cut"}, True),
        ("getfile", {"how": "truncated"}, True),
        (
            "getfile",
            {"status": 400, "message": "wrong file_id or the file is temporarily unavailable"},
            False,
        ),
        ("file", {"status": 404}, True),
        ("file", {"how": "html", "status": 502}, True),
        ("file", {"how": "cut", "times": 2}, True),  # a GET is asked for once more by the session itself
    ],
)
async def test_a_file_that_does_not_come(
    ours: Bot, operation: str, order: dict[str, Any], retry: bool
) -> None:
    media = await received(ours, ours.telegram.person("Ann"), kind="photo", content=JPEG)
    ours.telegram.fail(operation, **order)
    with pytest.raises(FetchError) as caught:
        await CONNECTOR.fetch(media, ours.account, ours.wire)
    assert caught.value.retry is retry
    assert caught.value.after_s == (7 if order.get("retry_after") else caught.value.after_s)
    chain: BaseException | None = caught.value
    while chain is not None:  # the token is in the address, and in nothing that is said or logged
        assert ours.telegram.token not in f"{chain!r} {chain}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)


# ---------------------------------------------------------------------------------------------------- how it stands


async def findings(ours: Bot, **more: Any) -> tuple[list[str], list[str]]:
    found = await CONNECTOR.examine(ours.account, replace(ours.wire, **more))
    return [one.what for one in found if not one.wrong], [
        f"{one.what}: {one.wrong}" for one in found if one.wrong
    ]


async def test_what_doctor_learns_of_a_webhook(hooked: Bot) -> None:
    telegram = hooked.telegram
    good, wrong = await findings(hooked)
    assert good == ["the token is @shop_bot's"]
    assert wrong == ["no webhook is set: Nothing comes in: run `mainstem channel hook telegram/main`."]

    hub = telegram.url + "/nowhere"  # a hub that is not there any more
    said = await CONNECTOR.hook(hooked.account, replace(hooked.wire, public_url=hub))
    assert said == f"Telegram now sends what telegram/main gets to {hub}/in/telegram/main."
    assert await findings(hooked, public_url=hub) == (
        ["the token is @shop_bot's", f"the webhook leads to {hub}/in/telegram/main"], [],
    )  # fmt: skip
    assert telegram.updates.allowed == list(ALLOWED)

    _, wrong = await findings(hooked)
    assert wrong[0].startswith(f"the webhook leads to 127.0.0.1: It should lead to {PUBLIC}/in/telegram/main")

    await telegram.person("Ann").says("Hi")
    good, wrong = await findings(hooked, public_url=hub)
    assert "1 update(s) wait at Telegram" in good
    assert "a delivery failed: Wrong response from the webhook: 404" in wrong[0]

    telegram.updates.allowed = ["message"]
    _, wrong = await findings(hooked, public_url=hub)
    assert wrong[0].startswith("it is not told of business_message, callback_query")


async def test_what_doctor_learns_of_polling(ours: Bot) -> None:
    assert await findings(ours) == (
        ["the token is @shop_bot's", "no webhook is set, as polling wants it"],
        [],
    )
    await CONNECTOR.hook(replace(ours.account, settings={"api": ours.telegram.url}), ours.wire)
    _, wrong = await findings(ours)
    assert wrong[0].startswith("a webhook is set: It excludes polling")


async def test_a_revoked_token_is_found(ours: Bot) -> None:
    ours.telegram.revoked = True
    with pytest.raises(SendError, match="token does not hold"):
        await CONNECTOR.examine(ours.account, ours.wire)


@pytest.mark.parametrize("secret", ["", "white space", "x" * 257, "ümlaut"])
async def test_a_secret_that_telegram_would_refuse_is_refused_here(hooked: Bot, secret: str) -> None:
    odd = replace(hooked.account, secrets={**hooked.account.secrets, "webhook": (secret,)})
    with pytest.raises(SendError, match="A-Z") as caught:
        await CONNECTOR.hook(odd, hooked.wire)
    assert caught.value.code is SendCode.CHANNEL_CONFIG
    assert hooked.telegram.requests == []


@pytest.mark.parametrize(
    "public", ["http://hub.example.com", "https://hub.example.com:8080", "http://127.0.0.1:80"]
)
async def test_an_address_that_telegram_would_not_call_is_refused_here(hooked: Bot, public: str) -> None:
    real = replace(hooked.account, settings={})
    with pytest.raises(SendError, match="443, 80, 88, 8443"):
        await CONNECTOR.hook(real, replace(hooked.wire, public_url=public))


@each(
    "settings, said",
    [
        ({"poll": "yes"}, "poll must be true or false"),
        ({"api": 5}, "api must be text"),
        ({"api": "ftp://x"}, "must begin with https://"),
        ({"api": "http://10.0.0.5:8081"}, "unless it is on this machine"),
        ({"parse_mode": "HTML"}, "no setting 'parse_mode'"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], said: str) -> None:
    found = CONNECTOR.check(account("telegram/main", {"token": ("1:x",), "webhook": ("w",)}, **settings))
    assert len(found) == 1
    assert said in found[0]


def test_who_neither_polls_nor_has_a_secret_is_told() -> None:
    assert "poll: true" in CONNECTOR.check(account("telegram/main", {"token": ("1:x",)}))[0]
    assert CONNECTOR.check(account("telegram/main", {"token": ("1:x",)}, poll=True)) == []
    assert (
        CONNECTOR.check(account("telegram/main", {"token": ("1:x",)}, poll=True, api="http://127.0.0.1:1"))
        == []
    )
