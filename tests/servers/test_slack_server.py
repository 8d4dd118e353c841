"""The strict local Slack, as the real slack-bolt and slack-sdk see it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web import WebClient
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import Person, Slack
from tests.servers.slack.bolt import client_of, over_sockets


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack.start() as slack:
        yield slack


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return client_of(slack)


def app_of(slack: Slack, client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client, signing_secret=slack.signing_secret)


BUTTON: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "plain_text", "text": "Ann: hello"}},
    {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "action_id": "claim",
                "value": "7",
                "text": {"type": "plain_text", "text": "Claim"},
            }
        ],
    },
]
MODAL = {
    "type": "modal",
    "callback_id": "reply_view",
    "private_metadata": "7",
    "title": {"type": "plain_text", "text": "Reply"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [
        {
            "type": "input",
            "block_id": "text",
            "label": {"type": "plain_text", "text": "Text"},
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        }
    ],
}


async def test_a_card_is_posted_changed_read_back_and_deleted(slack: Slack, client: AsyncWebClient) -> None:
    billing = slack.channel("billing")
    posted = await client.chat_postMessage(
        channel=billing,
        text="Ann & co",
        blocks=BUTTON,
        metadata={"event_type": "mainstem_post", "event_payload": {"uuid": "u-1"}},
    )
    await client.chat_postMessage(channel=billing, text="below", thread_ts=posted["ts"])
    await client.chat_update(channel=billing, ts=posted["ts"], text="Bo has it", blocks=BUTTON[:1])

    history = (await client.conversations_history(channel=billing, include_all_metadata=True))["messages"]
    assert [(one["text"], one["reply_count"]) for one in history] == [("Bo has it", 1)]
    assert history[0]["metadata"]["event_payload"] == {"uuid": "u-1"}
    assert "metadata" not in (await client.conversations_history(channel=billing))["messages"][0]
    replies = (await client.conversations_replies(channel=billing, ts=posted["ts"]))["messages"]
    assert [one["text"] for one in replies] == ["Bo has it", "below"]

    await client.chat_delete(channel=billing, ts=replies[1]["ts"])
    await client.chat_delete(channel=billing, ts=posted["ts"])
    assert slack.messages(billing) == []


async def test_a_click_opens_a_modal_whose_submission_is_acknowledged(
    slack: Slack, client: AsyncWebClient
) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    submitted: list[str] = []
    async with over_sockets(slack, app_of(slack, client)) as app:

        @app.action("claim")
        async def claim(ack: Any, body: Any) -> None:
            await client.views_open(trigger_id=body["trigger_id"], view=MODAL)
            await ack()

        @app.view("reply_view")
        async def reply(ack: Any, view: Any) -> None:
            text = view["state"]["values"]["text"]["text"]["value"]
            if text == "no":
                await ack(response_action="errors", errors={"text": "too short"})
            else:
                submitted.append(text)
                await ack()

        card = (await client.chat_postMessage(channel=billing, text="Ann", blocks=BUTTON))["ts"]
        await bo.clicks(billing, card, "claim")
        assert bo.views[-1].private_metadata == "7"
        assert await bo.submits({"text": "no"}) == {
            "response_action": "errors",
            "errors": {"text": "too short"},
        }
        assert bo.views[-1].errors == {"text": "too short"}
        assert await bo.submits({"text": "yes, gladly"}) is None
        assert (bo.views, submitted) == ([], ["yes, gladly"])


async def test_what_people_type_and_command_arrives(slack: Slack, client: AsyncWebClient) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    heard: list[dict[str, Any]] = []
    async with over_sockets(slack, app_of(slack, client)) as app:

        @app.event("message")
        async def message(event: Any) -> None:
            heard.append(event)

        @app.command("/hub")
        async def command(ack: Any, command: Any) -> None:
            await ack(f"You asked for {command['text']}")

        @app.shortcut("why_here")
        async def why(ack: Any, body: Any) -> None:
            await ack()
            heard.append(body)

        ts = await bo.types(billing, "a < b & <@U0ANN> :tada:")
        assert (await bo.commands("/hub", "next", billing)) == {"text": "You asked for next"}
        await bo.shortcut("why_here", billing, ts)
        await asyncio.sleep(0.01)
    assert heard[0]["text"] == "a &lt; b &amp; <@U0ANN> :tada:"
    assert heard[0]["channel_type"] == "channel"
    assert heard[1]["message_ts"] == ts


# ------------------------------------------------------------------------------------------------- what is refused


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as failed:
        await call
    return str(failed.value.response["error"])


async def test_a_scope_that_the_app_was_not_given_is_missed(slack: Slack, client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as failed:
        await client.users_lookupByEmail(email="bo@example.com")
    assert failed.value.response["error"] == "missing_scope"
    assert failed.value.response["needed"] == "users:read.email"
    assert (await client.auth_test()).headers["x-oauth-scopes"].split(",") == sorted(slack.scopes)
    slack.scopes.discard("groups:history")
    secret = slack.channel("secret", private=True)
    assert await refused(client.conversations_history(channel=secret)) == "missing_scope"


async def test_calls_that_are_ill_formed(slack: Slack, client: AsyncWebClient) -> None:
    billing = slack.channel("billing")
    assert await refused(client.api_call("chat.shout", json={})) == "unknown_method"
    assert (
        await refused(client.chat_postMessage(channel=billing, text="x", colour="red")) == "invalid_arguments"
    )
    assert await refused(client.api_call("users.info", params={})) == "invalid_arguments"
    assert await refused(client.api_call("users.info", json={"user": "U1"})) == "invalid_arguments"
    assert await refused(client.conversations_history(channel=billing, limit=1001)) == "invalid_limit"
    assert (
        await refused(client.api_call("chat.postMessage", json={"channel": billing, "text": " "}))
        == "no_text"
    )
    assert (
        await refused(client.chat_postMessage(channel=billing, blocks="[", text="x"))
        == "invalid_blocks_format"
    )
    wrong = {"event_type": "x", "payload": {}}
    assert (
        await refused(client.chat_postMessage(channel=billing, text="x", metadata=wrong))
        == "invalid_metadata_format"
    )
    posted = await client.chat_postMessage(channel=billing, text="x")
    assert (
        await refused(client.chat_update(channel=billing, ts=posted["ts"], text="x" * 4001)) == "msg_too_long"
    )
    bad = [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]
    assert await refused(client.chat_postMessage(channel=billing, text="x", blocks=bad)) == "invalid_blocks"
    for token in ("", "xoxb-other"):
        other = AsyncWebClient(token=token, base_url=slack.api)
        assert await refused(other.auth_test()) == ("invalid_auth" if token else "not_authed")
    assert await refused(client.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"
    assert [one.error for one in slack.called("chat.update")] == ["msg_too_long"]


async def test_places_and_messages_that_are_not_ours(slack: Slack, client: AsyncWebClient) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    outside = slack.channel("outside", bot=False)
    secret = slack.channel("secret", private=True, bot=False)
    assert await refused(client.chat_postMessage(channel=outside, text="x")) == "not_in_channel"
    assert await refused(client.chat_postMessage(channel=secret, text="x")) == "channel_not_found"
    assert await refused(client.conversations_info(channel=secret)) == "channel_not_found"
    assert await refused(client.conversations_join(channel=secret)) == "channel_not_found"
    await client.conversations_join(channel=outside)
    await client.chat_postMessage(channel="#outside", text="now")

    ts = await bo.types(billing, "mine")
    assert await refused(client.chat_update(channel=billing, ts=ts, text="ours")) == "cant_update_message"
    assert await refused(client.chat_delete(channel=billing, ts=ts)) == "cant_delete_message"
    assert await refused(client.chat_update(channel=billing, ts="1.000001", text="x")) == "message_not_found"
    assert (
        await refused(client.chat_postMessage(channel=billing, text="x", thread_ts="1.000001"))
        == "thread_not_found"
    )
    assert await refused(client.conversations_replies(channel=billing, ts="1.000001")) == "thread_not_found"
    ours = (await client.chat_postMessage(channel=billing, text="card"))["ts"]
    ann = slack.user("Ann")
    assert (
        await refused(client.chat_postEphemeral(channel=billing, user=ann.id, text="x"))
        == "user_not_in_channel"
    )
    await client.reactions_add(channel=billing, timestamp=ts, name="lock")
    assert (
        await refused(client.reactions_add(channel=billing, timestamp=ts, name="lock")) == "already_reacted"
    )
    assert slack.reactions(billing, ts) == {"lock": [slack.bot_user_id]}
    await client.reactions_remove(channel=billing, timestamp=ts, name="lock")
    assert await refused(client.reactions_remove(channel=billing, timestamp=ts, name="lock")) == "no_reaction"

    slack.archive(billing)
    assert await refused(client.chat_postMessage(channel=billing, text="x")) == "is_archived"
    assert await refused(client.chat_update(channel=billing, ts=ours, text="x")) == "is_inactive"
    slack.unarchive(billing)
    slack.kick(billing)
    assert await refused(client.chat_postMessage(channel=billing, text="x")) == "not_in_channel"
    assert await refused(client.conversations_history(channel=billing)) == "not_in_channel"


async def test_people_are_what_they_are(slack: Slack, client: AsyncWebClient) -> None:
    async def told(person: Person) -> dict[str, Any]:
        user: dict[str, Any] = (await client.users_info(user=person.id))["user"]
        return user

    bo = await told(slack.user("Bo Li", email="bo@example.com"))
    assert (bo["team_id"], bo["is_restricted"], bo["is_bot"], bo["deleted"]) == (
        slack.team_id,
        False,
        False,
        False,
    )
    assert bo["is_email_confirmed"]
    assert "is_stranger" not in bo
    assert "email" not in bo["profile"]  # users:read.email was not asked for
    assert (await told(slack.user("G", guest=True)))["is_restricted"]
    assert (await told(slack.user("G", guest="single")))["is_ultra_restricted"]
    assert (await told(slack.user("B", bot=True)))["is_bot"]
    stranger = await told(slack.user("S", stranger=True))
    assert stranger["is_stranger"]
    assert stranger["team_id"] != slack.team_id
    gone = await told(slack.user("D", deleted=True))
    assert gone["deleted"]
    assert "is_restricted" not in gone
    assert await refused(client.users_info(user="U0NOBODY")) == "user_not_found"


async def test_history_comes_in_pages_and_spans(slack: Slack, client: AsyncWebClient) -> None:
    billing = slack.channel("billing")
    ts = [(await client.chat_postMessage(channel=billing, text=f"m{n}"))["ts"] for n in range(5)]
    below = [
        (await client.chat_postMessage(channel=billing, text=f"r{n}", thread_ts=ts[0]))["ts"]
        for n in range(3)
    ]
    first = await client.conversations_history(channel=billing, limit=2)
    assert [one["text"] for one in first["messages"]] == ["m4", "m3"]
    assert first["has_more"]
    cursor = first["response_metadata"]["next_cursor"]
    second = await client.conversations_history(channel=billing, limit=2, cursor=cursor)
    assert [one["text"] for one in second["messages"]] == ["m2", "m1"]
    spans = await client.conversations_history(channel=billing, oldest=ts[1], latest=ts[3], inclusive=True)
    assert [one["text"] for one in spans["messages"]] == ["m3", "m2", "m1"]
    replies = await client.conversations_replies(channel=billing, ts=ts[0], oldest=below[0])
    assert [one["text"] for one in replies["messages"]] == ["m0", "r1", "r2"]
    page = await client.conversations_replies(channel=billing, ts=ts[0], limit=2)
    assert [one["text"] for one in page["messages"]] == ["m0", "r0", "r1"]
    assert page["has_more"]
    await client.chat_delete(channel=billing, ts=ts[0])
    assert slack.message(billing, ts[0])["subtype"] == "tombstone"
    assert [one["text"] for one in slack.messages(billing, ts[0])] == ["r0", "r1", "r2"]


# -------------------------------------------------------------------------------------------------------- elsewhere


def test_it_runs_in_a_thread_for_plain_code() -> None:
    with Slack.running() as slack:
        billing, bo = slack.channel("billing"), slack.user("Bo")
        posted = WebClient(token=slack.bot_token, base_url=slack.api).chat_postMessage(
            channel=billing, text="hi"
        )
        ts = slack.run(bo.types(billing, "hello", thread=posted["ts"]))
        slack.do(lambda: slack.archive(billing))
    assert [one["ts"] for one in slack.messages(billing, posted["ts"])] == [ts]


async def test_it_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    async with Slack.start() as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api, retry_handlers=[])
        async with aiohttp.ClientSession() as session:
            opened = await client.apps_connections_open(app_token=slack.app_token)
            socket = await session.ws_connect(opened["url"])
            await socket.receive_json()
            typing = asyncio.create_task(slack.user("Bo").types(slack.channel("billing"), "hello"))
            await slack.until(lambda: slack.door.deliveries)
            slack.fail("auth.test", "timeout")
            hanging = asyncio.create_task(client.auth_test())
            await slack.until(lambda: slack.called("auth.test"))
    await asyncio.gather(typing, hanging, return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
