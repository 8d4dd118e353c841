"""The strict local Slack, as the real slack-bolt and slack-sdk see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import Slack


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack.start() as slack:
        yield slack


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api)


@asynccontextmanager
async def socket_app(slack: Slack, client: AsyncWebClient) -> AsyncIterator[AsyncApp]:
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=0.2)
    await handler.connect_async()
    await slack.connected()
    try:
        yield app
    finally:
        await handler.close_async()
        await asyncio.sleep(0)


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
    async with socket_app(slack, client) as app:

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
    async with socket_app(slack, client) as app:

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


async def test_a_scope_that_the_app_was_not_given_is_missed(slack: Slack, client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as refused:
        await client.users_lookupByEmail(email="bo@example.com")
    assert refused.value.response["error"] == "missing_scope"
    assert refused.value.response["needed"] == "users:read.email"
