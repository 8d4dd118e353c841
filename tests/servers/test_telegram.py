"""The local Telegram refuses what Telegram refuses: each test would fail if it were lenient."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.each import each
from tests.servers.telegram import Person, Telegram


class Bot:
    """A plain client: nothing of ours in between."""

    def __init__(self, telegram: Telegram, session: aiohttp.ClientSession) -> None:
        self.telegram, self.session, self.token = telegram, session, telegram.token
        self.headers: dict[str, str] = {}

    async def ask(self, method: str, **more: Any) -> tuple[int, Any]:
        url = f"{self.telegram.url}/bot{self.token}/{method}"
        async with self.session.post(url, **more) as answer:
            self.headers = {k.lower(): v for k, v in answer.headers.items()}
            return answer.status, await answer.json()

    async def __call__(self, method: str, **args: Any) -> Any:
        status, said = await self.ask(method, json=args)
        assert status == 200, said
        return said["result"]

    async def refused(self, method: str, **args: Any) -> str:
        status, said = await self.ask(method, json=args)
        assert said["ok"] is False
        assert said["error_code"] == status
        return str(said["description"])


@pytest.fixture
async def telegram() -> AsyncIterator[Telegram]:
    async with Telegram() as telegram:
        yield telegram


@pytest.fixture
async def bot(telegram: Telegram) -> AsyncIterator[Bot]:
    async with aiohttp.ClientSession() as session:
        yield Bot(telegram, session)


@pytest.fixture
async def ann(telegram: Telegram) -> Person:
    ann = telegram.person("Ann", username="ann_b")
    await ann.starts("ref_42")
    return ann


async def test_the_token(telegram: Telegram, bot: Bot) -> None:
    assert (await bot("getMe"))["username"] == "shop_bot"
    assert (await bot("GETME"))["is_bot"] is True
    assert await bot.refused("getNothing") == "Not Found: method not found"
    bot.token = f"{telegram.bot_id}:AAwrong"
    assert await bot.refused("getMe") == "Unauthorized"
    bot.token = "wrong"
    assert await bot.refused("getMe") == "Not Found"
    bot.token, telegram.revoked = telegram.token, True
    assert await bot.refused("sendMessage", chat_id=1, text="Hi") == "Unauthorized"


async def test_a_message_by_every_encoding(telegram: Telegram, bot: Bot, ann: Person) -> None:
    form = {"chat_id": str(ann.id), "text": "Hi", "reply_markup": '{"force_reply": true}'}
    multipart = aiohttp.FormData(form)
    multipart.add_field("unused", "")
    assert (await bot.ask("sendMessage", data=form))[1]["result"]["text"] == "Hi"
    assert (await bot.ask("sendMessage", json=form))[0] == 200
    assert (await bot.ask("sendMessage", params=form))[0] == 200
    assert "unknown parameter 'unused'" in (await bot.ask("sendMessage", data=multipart))[1]["description"]
    assert [one.text for one in telegram.sent] == ["Hi"] * 3
    assert telegram.sent[0].raw["from"]["id"] == telegram.bot_id
    status, said = await bot.ask("sendMessage", data=b"{", headers={"Content-Type": "application/json"})
    assert (status, said["description"]) == (400, "Bad Request: can't parse JSON object")


KEYBOARD = {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]}


@each(
    "args,words",
    [
        ({"chat_id": None}, "chat_id is empty"), ({"chat_id": 5}, "chat not found"),
        ({"chat_id": "@nobody"}, "chat not found"), ({"text": ""}, "message text is empty"),
        ({"text": "  \n"}, "message text is empty"), ({"text": "x" * 4097}, "message is too long"),
        ({"parse_mode": "rtf"}, "unsupported parse_mode"),
        ({"parse_mode": "HTML", "text": "<b>Hi"}, "can't parse entities: Can't find end tag corresponding"),
        ({"parse_mode": "HTML", "text": "<p>Hi</p>"}, "can't parse entities: Unsupported start tag \"p\""),
        ({"parse_mode": "HTML", "text": "<b>Hi</i>"}, "can't parse entities: Unmatched end tag"),
        ({"parse_mode": "HTML", "text": "a < b"}, "can't parse entities: Unclosed start tag"),
        ({"parse_mode": "MarkdownV2", "text": "Hi."}, "can't parse entities: Character '.' is reserved"),
        ({"parse_mode": "MarkdownV2", "text": "*Hi"}, "can't parse entities: Can't find end of Bold entity"),
        ({"parse_mode": "Markdown", "text": "*Hi"}, "can't parse entities: Can't find end of the entity"),
        ({"entities": [{"type": "bold", "offset": 1, "length": 5}]}, "entity begins or ends"),
        ({"reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        ({"reply_parameters": {"message_id": 1, "quote": "none"}}, "QUOTE_TEXT_INVALID"),
        ({"reply_to_message_id": 1}, "unknown parameter 'reply_to_message_id'"),
        ({"reply_markup": []}, "object expected as reply markup"),
        ({"reply_markup": {"inline_keyboard": [{"text": "a"}]}}, "an Array of Arrays is expected"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "a"}]]}}, "Text buttons are unallowed"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "x" * 65}]]}}, "BUTTON_DATA_INVALID"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "a", "url": "shop"}]]}}, "Wrong HTTP URL"),
        ({"reply_markup": {"keyboard": [[{"text": ""}]]}}, "BUTTON_TEXT_INVALID"),
        ({"link_preview_options": True}, "object expected as link preview options"),
        ({"message_thread_id": 4}, "message thread not found"),
    ],
)  # fmt: skip
async def test_what_is_refused_and_why(
    telegram: Telegram, bot: Bot, ann: Person, args: dict[str, Any], words: str
) -> None:
    telegram.refused.clear()
    said = await bot.refused("sendMessage", **({"chat_id": ann.id, "text": "Hi"} | args))
    assert said.startswith("Bad Request: ")
    assert words in said
    assert telegram.sent == []
    assert words in telegram.refused[0].description


@pytest.mark.parametrize(
    "mode,text,plain,entities",
    [
        ("HTML", "a <b>😀b</b> &lt;c&gt;", "a 😀b <c>", [("bold", 2, 3)]),
        ("HTML", '<a href="https://x.example/?a=1&amp;b=2">x</a>', "x", [("text_link", 0, 1)]),
        ("HTML", "<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        (
            "MarkdownV2",
            r"*a* __b__ \. `c.d`",
            "a b . c.d",
            [("bold", 0, 1), ("underline", 2, 1), ("code", 6, 3)],
        ),
        ("MarkdownV2", r"[x\.](https://x.example)", "x.", [("text_link", 0, 2)]),
        ("Markdown", "*a* _b_ 1.5", "a b 1.5", [("bold", 0, 1), ("italic", 2, 1)]),
    ],
)
async def test_markup_becomes_entities(
    bot: Bot, ann: Person, mode: str, text: str, plain: str, entities: list[tuple[str, int, int]]
) -> None:
    told = await bot("sendMessage", chat_id=ann.id, text=text, parse_mode=mode)
    assert told["text"] == plain
    assert [(one["type"], one["offset"], one["length"]) for one in told["entities"]] == entities


async def test_the_length_counts_after_parsing(bot: Bot, ann: Person) -> None:
    text = "<b>" + "x" * 4096 + "</b>"
    assert len((await bot("sendMessage", chat_id=ann.id, text=text, parse_mode="HTML"))["text"]) == 4096
    assert "too long" in await bot.refused("sendMessage", chat_id=ann.id, text=text)


async def test_who_cannot_be_written_to(telegram: Telegram, bot: Bot, ann: Person) -> None:
    stranger, team = telegram.person("Cy"), telegram.group("Team")

    async def said(chat_id: int) -> str:
        return await bot.refused("sendMessage", chat_id=chat_id, text="Hi")

    assert await said(stranger.id) == "Forbidden: bot can't initiate conversation with a user"
    await ann.blocks()
    assert await said(ann.id) == "Forbidden: bot was blocked by the user"
    await ann.unblocks()
    await bot("sendMessage", chat_id=ann.id, text="Hi")
    ann.deactivates()
    assert await said(ann.id) == "Forbidden: user is deactivated"
    await team.adds_bot(ann)
    new = await team.migrates(ann)
    status, body = await bot.ask("sendMessage", json={"chat_id": team.id, "text": "Hi"})
    assert (status, body["parameters"]) == (400, {"migrate_to_chat_id": new.id})
    assert body["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    await bot("sendMessage", chat_id=new.id, text="Hi")
    await new.kicks_bot(ann)
    assert await said(new.id) == "Forbidden: bot was kicked from the supergroup chat"


async def test_the_rates(telegram: Telegram, bot: Bot, ann: Person) -> None:
    telegram.limits = True
    await bot("sendMessage", chat_id=ann.id, text="1")
    status, said = await bot.ask("sendMessage", json={"chat_id": ann.id, "text": "2"})
    assert (status, said["parameters"]) == (429, {"retry_after": 1})
    assert said["description"] == "Too Many Requests: retry after 1"
    telegram.passes(1)
    await bot("sendMessage", chat_id=ann.id, text="2")
    team = telegram.group("Team")
    for _ in range(20):
        await bot("sendMessage", chat_id=team.id, text="x")
        telegram.passes(1)
    assert "retry after 4" in await bot.refused("sendMessage", chat_id=team.id, text="x")


async def test_files_both_ways(telegram: Telegram, bot: Bot, ann: Person) -> None:
    form = aiohttp.FormData({"chat_id": str(ann.id), "caption": "Bill"})
    form.add_field("document", b"%PDF", filename="bill.pdf", content_type="application/pdf")
    told = (await bot.ask("sendDocument", data=form))[1]["result"]
    assert (told["document"]["file_name"], told["document"]["file_size"]) == ("bill.pdf", 4)
    again = await bot("sendDocument", chat_id=ann.id, document=told["document"]["file_id"])
    assert again["document"]["file_unique_id"] == told["document"]["file_unique_id"]
    update = await ann.sends("photo", b"\xff\xd8large", caption="Look")
    found = await bot("getFile", file_id=update.body["photo"][-1]["file_id"])
    link = f"{telegram.url}/file/bot{bot.token}/{found['file_path']}"
    async with bot.session.get(link) as answer:
        assert await answer.read() == b"\xff\xd8large"
    async with bot.session.get(link.replace(bot.token, bot.token + "x")) as answer:
        assert answer.status == 401
    telegram.passes(3601)
    async with bot.session.get(link) as answer:
        assert answer.status == 404
    large = await ann.sends("video", size=20 * 1024 * 1024 + 1)
    assert "file is too big" in await bot.refused("getFile", file_id=large.body["video"]["file_id"])
    assert "invalid file_id" in await bot.refused("getFile", file_id="none")
    assert "wrong file identifier" in await bot.refused("sendPhoto", chat_id=ann.id, photo="none")
    assert "no photo in the request" in await bot.refused("sendPhoto", chat_id=ann.id)
    assert "caption is too long" in await bot.refused(
        "sendPhoto", chat_id=ann.id, photo="x", caption="x" * 1025
    )
    assert "failed to get HTTP URL" in await bot.refused(
        "sendPhoto", chat_id=ann.id, photo="http://127.0.0.1:1/a.jpg"
    )


async def test_a_photo_must_be_one(bot: Bot, ann: Person) -> None:
    form = aiohttp.FormData({"chat_id": str(ann.id)})
    form.add_field("photo", b"%PDF", filename="bill.jpg", content_type="image/jpeg")
    assert (await bot.ask("sendPhoto", data=form))[1]["description"] == "Bad Request: IMAGE_PROCESS_FAILED"


async def test_an_album(telegram: Telegram, bot: Bot, ann: Person) -> None:
    file = (await ann.sends("photo")).body["photo"][-1]["file_id"]
    pair = [{"type": "photo", "media": file, "caption": "Two"}, {"type": "photo", "media": file}]
    told = await bot("sendMediaGroup", chat_id=ann.id, media=pair)
    assert len({one["media_group_id"] for one in told}) == 1
    assert [one.text for one in telegram.sent] == ["Two", ""]
    assert "2-10" in await bot.refused("sendMediaGroup", chat_id=ann.id, media=pair[:1])
    assert "2-10" in await bot.refused("sendMediaGroup", chat_id=ann.id, media=pair * 6)
    mixed = [*pair, {"type": "document", "media": file}]
    assert "can't use the media" in await bot.refused("sendMediaGroup", chat_id=ann.id, media=mixed)
    form = aiohttp.FormData({"chat_id": str(ann.id)})
    form.add_field(
        "media", json.dumps([{"type": "document", "media": f"attach://{name}"} for name in ("a", "b")])
    )
    form.add_field("a", b"1", filename="a.txt", content_type="text/plain")
    form.add_field("b", b"2", filename="b.txt", content_type="text/plain")
    told = (await bot.ask("sendMediaGroup", data=form))[1]["result"]
    assert [one["document"]["file_name"] for one in told] == ["a.txt", "b.txt"]


async def test_edits_deletions_and_reactions(telegram: Telegram, bot: Bot, ann: Person) -> None:
    told = await bot("sendMessage", chat_id=ann.id, text="Hi", reply_markup=KEYBOARD)
    at = {"chat_id": ann.id, "message_id": told["message_id"]}
    assert (await bot("editMessageText", **at, text="Hello"))["text"] == "Hello"
    assert "message is not modified" in await bot.refused("editMessageText", **at, text="Hello")
    assert "reply_markup" not in ann.received[0]
    assert "no caption in the message" in await bot.refused("editMessageCaption", **at, caption="x")
    assert "to edit not found" in await bot.refused(
        "editMessageText", chat_id=ann.id, message_id=99, text="x"
    )
    assert "can't be edited" in await bot.refused("editMessageText", chat_id=ann.id, message_id=1, text="x")
    assert await bot("setMessageReaction", **at, reaction=[{"type": "emoji", "emoji": "👍"}]) is True
    assert "REACTION_INVALID" in await bot.refused(
        "setMessageReaction", **at, reaction=[{"type": "emoji", "emoji": "🥐"}]
    )
    telegram.passes(48 * 3600 + 1)
    assert "can't be deleted" in await bot.refused("deleteMessage", **at)
    fresh = (await bot("sendMessage", chat_id=ann.id, text="x"))["message_id"]
    assert await bot("deleteMessage", chat_id=ann.id, message_id=fresh) is True
    assert "to delete not found" in await bot.refused("deleteMessage", chat_id=ann.id, message_id=fresh)


async def test_buttons_want_an_answer_in_time(telegram: Telegram, bot: Bot, ann: Person) -> None:
    told = await bot("sendMessage", chat_id=ann.id, text="Sure?", reply_markup=KEYBOARD)
    query = (await ann.presses(told["message_id"], "yes")).body
    assert (query["data"], query["message"]["text"]) == ("yes", "Sure?")
    assert await bot("answerCallbackQuery", callback_query_id=query["id"], text="Thanks") is True
    assert telegram.answered == {query["id"]: "Thanks"}
    assert "query is too old" in await bot.refused("answerCallbackQuery", callback_query_id="1")
    telegram.passes(3600)
    assert "query is too old" in await bot.refused("answerCallbackQuery", callback_query_id=query["id"])


async def _polls(telegram: Telegram) -> None:
    while telegram.updates.poll is None:
        await asyncio.sleep(0)


async def test_polling(telegram: Telegram, bot: Bot, ann: Person) -> None:
    await ann.says("one")
    first = await bot("getUpdates")
    assert [one["message"]["text"] for one in first] == ["/start ref_42", "one"]
    assert await bot("getUpdates") == first
    assert len(await bot("getUpdates", limit=1)) == 1
    assert await bot("getUpdates", offset=first[-1]["update_id"] + 1) == []
    assert await bot("getUpdates", offset=first[0]["update_id"]) == []
    waiting = asyncio.create_task(bot("getUpdates", timeout=30))
    await _polls(telegram)
    await ann.says("two")
    assert [one["message"]["text"] for one in await waiting] == ["two"]
    telegram.passes(24 * 3600 + 1)
    assert await bot("getUpdates") == []
    waiting = asyncio.create_task(bot.refused("getUpdates", timeout=30))
    await _polls(telegram)
    assert await bot("getUpdates") == []
    assert await waiting == (
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    )
    await bot("setWebhook", url="http://127.0.0.1:1/hook")
    assert (await bot.refused("getUpdates")).startswith(
        "Conflict: can't use getUpdates method while webhook is active"
    )


@pytest.mark.parametrize("how,done", [("html", 0), ("cut", 0), ("error", 0), ("lost", 1), ("truncated", 1)])
async def test_it_fails_on_command(telegram: Telegram, bot: Bot, ann: Person, how: str, done: int) -> None:
    telegram.fail("sendmessage", how=how, status=502, to=str(ann.id))
    url = f"{telegram.url}/bot{bot.token}/sendMessage"
    bo = telegram.group("Bo")
    await bot("sendMessage", chat_id=bo.id, text="Hi")

    async def attempt() -> int:
        try:
            async with bot.session.post(url, json={"chat_id": ann.id, "text": "Hi"}) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return 0

    status = await attempt()
    assert status == (502 if how in ("html", "error") else 0)
    assert len(telegram.sent) == 1 + done
    telegram.fail("sendmessage", status=429, retry_after=7)
    assert await bot.refused("sendMessage", chat_id=ann.id, text="Hi") == "Too Many Requests: retry after 7"
    await bot("sendMessage", chat_id=ann.id, text="Hi")
