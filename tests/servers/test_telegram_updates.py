"""The local Telegram's side of a conversation: every kind of update, by webhook, again, doubled and out of order."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.servers.http import Provider, Say, Seen
from tests.servers.telegram import Person, Telegram
from tests.servers.telegram.people import business_connection


@pytest.fixture
def hub() -> Iterator[Provider]:
    with Provider() as hub:
        yield hub


@pytest.fixture
async def telegram() -> AsyncIterator[Telegram]:
    async with Telegram() as telegram:
        yield telegram


@pytest.fixture
def ann(telegram: Telegram) -> Person:
    return telegram.person("Ann", username="ann_b")


async def call(telegram: Telegram, method: str, **args: Any) -> dict[str, Any]:
    url = f"{telegram.url}/bot{telegram.token}/{method}"
    async with aiohttp.ClientSession() as session, session.post(url, json=args) as answer:
        said: dict[str, Any] = await answer.json()
        return said


async def hook(telegram: Telegram, hub: Provider, **more: Any) -> dict[str, Any]:
    return await call(telegram, "setWebhook", url=f"{hub.url}/tg", secret_token="s3cret_-", **more)


def update(seen: Seen) -> Any:
    return json.loads(seen.body)


def texts(hub: Provider) -> list[str]:
    return [update(seen)["message"]["text"] for seen in hub.seen]


@pytest.mark.parametrize(
    "args,words",
    [
        ({"url": "http://hub.example/tg"}, "An HTTPS URL must be provided for webhook"),
        ({"url": "https://hub.example:8080/tg"}, "only on ports 80, 88, 443 or 8443"),
        (
            {"url": "http://127.0.0.1:1/", "secret_token": "no spaces"},
            "secret token contains unallowed characters",
        ),
        ({"url": "http://127.0.0.1:1/", "secret_token": "x" * 257}, "secret token is too long"),
        (
            {"url": "http://127.0.0.1:1/", "allowed_updates": "message"},
            "can't parse allowed updates JSON object",
        ),
        ({"url": "http://127.0.0.1:1/", "allowed_updates": ["messages"]}, "unknown update type 'messages'"),
    ],
)
async def test_webhooks_that_are_refused(telegram: Telegram, args: dict[str, Any], words: str) -> None:
    said = await call(telegram, "setWebhook", **args)
    assert said["error_code"] == 400
    assert words in said["description"]
    assert telegram.updates.url == ""


async def test_a_webhook_and_its_secret(telegram: Telegram, hub: Provider, ann: Person) -> None:
    assert (await hook(telegram, hub))["description"] == "Webhook was set"
    assert (await hook(telegram, hub))["description"] == "Webhook is already set"
    came = await ann.says("/start ref_42 see https://shop.example 😀 @somebody")
    assert came.taken
    seen = hub.seen[0]
    assert seen.headers["x-telegram-bot-api-secret-token"] == "s3cret_-"
    assert seen.headers["content-type"] == "application/json"
    message = update(seen)["message"]
    kinds = [(one["type"], one["offset"], one["length"]) for one in message["entities"]]
    assert kinds == [("bot_command", 0, 6), ("url", 18, 20), ("mention", 42, 9)]
    assert message["chat"] == {"id": ann.id, "type": "private", "first_name": "Ann", "username": "ann_b"}
    info = (await call(telegram, "getWebhookInfo"))["result"]
    assert (info["pending_update_count"], info["max_connections"]) == (0, 40)
    assert (await call(telegram, "deleteWebhook"))["description"] == "Webhook was deleted"
    await ann.says("kept")
    assert len(hub.seen) == 1
    assert (await hook(telegram, hub, drop_pending_updates=True))["ok"] is True
    assert await telegram.retry() == []


async def test_a_failing_webhook_keeps_what_it_was_given(
    telegram: Telegram, hub: Provider, ann: Person
) -> None:
    bo = telegram.person("Bo")
    await hook(telegram, hub)
    hub.answers([Say(status=503)])
    first = await ann.says("one")
    second = await ann.says("two")  # waits behind the first of its chat
    other = await bo.says("three")
    assert (first.taken, second.tries, other.taken) == (False, [], True)
    info = (await call(telegram, "getWebhookInfo"))["result"]
    assert (info["pending_update_count"], info["last_error_message"]) == (
        2,
        "Wrong response from the webhook: 503",
    )
    hub.answers([Say(cut="before")])
    await telegram.retry()
    await telegram.retry()
    assert texts(hub) == ["one", "three", "one", "one", "two"]
    assert [update(seen)["update_id"] for seen in hub.seen] == [
        one.update_id for one in (first, other, first, first, second)
    ]
    hub.default = Say(status=500)
    await ann.says("lost")
    telegram.passes(24 * 3600 + 1)
    assert await telegram.retry() == []


async def test_doubled_shuffled_and_at_once(telegram: Telegram, hub: Provider, ann: Person) -> None:
    await hook(telegram, hub)
    telegram.updates.hold = True
    for text in "abcdef":
        await ann.says(text)
    telegram.double()
    telegram.shuffle(3)
    await telegram.flush(together=True)
    assert sorted(texts(hub)) == sorted("abcdef" * 2)
    assert texts(hub) != list("abcdefabcdef")
    one = await ann.says("again")
    await telegram.redeliver(one.update_id, 10)
    assert len({seen.body for seen in hub.seen if update(seen)["message"]["text"] == "again"}) == 1
    assert texts(hub).count("again") == 11


async def test_only_what_was_asked_for(telegram: Telegram, hub: Provider, ann: Person) -> None:
    await hook(telegram, hub)
    said = await ann.says("Hi")
    await ann.reacts(said.body["message_id"], "👍")
    assert len(hub.seen) == 1
    await hook(telegram, hub, allowed_updates=["message_reaction"])
    await ann.says("Not wanted")
    await ann.reacts(said.body["message_id"], "🔥")
    told = update(hub.seen[1])["message_reaction"]
    assert (told["old_reaction"][0]["emoji"], told["new_reaction"][0]["emoji"]) == ("👍", "🔥")
    assert len(hub.seen) == 2


async def test_an_answer_may_be_a_call(telegram: Telegram, hub: Provider, ann: Person) -> None:
    await hook(telegram, hub)
    said = {"method": "sendMessage", "chat_id": ann.id, "text": "At once"}
    hub.answers([Say(body=json.dumps(said).encode(), headers={"Content-Type": "application/json"})])
    await ann.says("Hi")
    assert [one.text for one in telegram.sent] == ["At once"]


async def test_every_kind_of_message(telegram: Telegram, ann: Person) -> None:
    said = await ann.says("Hello world")
    number = said.body["message_id"]
    quoting = await ann.says("This", reply_to=number, quote="world")
    assert quoting.body["quote"] == {"text": "world", "position": 6, "is_manual": True}
    assert quoting.body["reply_to_message"]["message_id"] == number
    for kind in ("photo", "document", "audio", "voice", "video", "video_note", "animation", "sticker"):
        body = (await ann.sends(kind, caption="Look")).body
        file = body[kind][-1] if kind == "photo" else body[kind]
        assert {"file_id", "file_unique_id", "file_size"} <= set(file)
        assert body["caption"] == "Look"
    assert "document" in (await ann.sends("animation")).body
    album = await ann.album([("photo", b"\xff\xd81"), ("video", b"2")], caption="Two")
    assert len({one.body["media_group_id"] for one in album}) == 1
    assert ["caption" in one.body for one in album] == [True, False]
    assert (await ann.location()).body["location"]["latitude"] == 52.52
    assert {"venue", "location"} <= set((await ann.venue("Shop", "Street 1")).body)
    assert (await ann.contact("+14155550123")).body["contact"]["user_id"] == ann.id
    assert (await ann.dice(6)).body["dice"]["value"] == 6
    assert (await ann.poll("Which?", ["a", "b"])).body["poll"]["options"][1]["text"] == "b"
    assert (await ann.forwards("Seen?")).body["forward_origin"]["type"] == "hidden_user"
    assert (await ann.does(gift={"gift": {}})).kind == "message"
    edited = await ann.edits(number, "Hello you")
    assert (edited.kind, edited.body["message_id"]) == ("edited_message", number)
    assert edited.body["edit_date"] >= edited.body["date"]


async def test_groups_channels_and_business(telegram: Telegram, ann: Person) -> None:
    team, news = telegram.group("Team"), telegram.channel("News", username="news")
    added = await team.adds_bot(ann)
    assert added.body["new_chat_member"]["status"] == "member"
    assert (await ann.says("Hi all", chat=team.chat)).body["chat"] == {
        "id": team.id,
        "type": "group",
        "title": "Team",
    }
    new = await team.migrates(ann)
    to, back = telegram.updates.all[-2:]
    assert (to.body["migrate_to_chat_id"], back.body["migrate_from_chat_id"]) == (new.id, team.id)
    assert (await new.kicks_bot(ann)).body["new_chat_member"]["status"] == "kicked"
    post = await news.posts("Sale")
    assert "from" not in post.body
    assert (await news.edits_post(post.body["message_id"], "No sale")).kind == "edited_channel_post"
    owner = telegram.person("Owner")
    link = business_connection(owner)
    await telegram.happens("business_connection", link)
    written = await ann.says("Hi", business=link["id"])
    assert (written.kind, written.body["business_connection_id"]) == ("business_message", link["id"])
    assert (await ann.edits(written.body["message_id"], "Hey")).kind == "edited_business_message"
    deleted = await ann.deletes(written.body["message_id"])
    assert deleted is not None
    assert (deleted.kind, deleted.body["message_ids"]) == (
        "deleted_business_messages",
        [written.body["message_id"]],
    )
    assert await ann.deletes((await ann.says("Oops")).body["message_id"]) is None
    told = await call(telegram, "sendMessage", chat_id=ann.id, text="Yes?", business_connection_id=link["id"])
    assert told["result"]["from"]["id"] == owner.id
    assert told["result"]["sender_business_bot"]["id"] == telegram.bot_id
    wrong = await call(telegram, "sendMessage", chat_id=ann.id, text="Yes?", business_connection_id="other")
    assert wrong["description"] == "Bad Request: business connection not found"
    ids = [told["result"]["message_id"]]
    gone = {"business_connection_id": link["id"], "message_ids": ids}
    assert (await call(telegram, "deleteBusinessMessages", **gone))["result"] is True
    assert "not found" in (await call(telegram, "deleteBusinessMessages", **gone))["description"]
    assert (await ann.blocks()).body["new_chat_member"]["status"] == "kicked"
    assert (await ann.unblocks()).body["new_chat_member"]["status"] == "member"


def test_in_a_thread(hub: Provider) -> None:
    with Telegram() as telegram:
        telegram.run(hook(telegram, hub))
        assert telegram.run(telegram.person("Ann").starts("ref")).taken
        assert texts(hub) == ["/start ref"]
