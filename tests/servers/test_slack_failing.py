"""How the local Slack fails on command, keeps to Slack's rates, and takes and gives files."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import Slack
from tests.servers.slack.bolt import client_of


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack.start() as slack:
        yield slack


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return client_of(slack)


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(SlackApiError) as failed:
        await call
    return str(failed.value.response["error"])


async def test_it_fails_on_command(slack: Slack) -> None:
    billing = slack.channel("billing")
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api, retry_handlers=[], timeout=1)

    async def post() -> Any:
        return await client.chat_postMessage(channel=billing, text="x")

    slack.fail("chat.postMessage", 503)
    with pytest.raises(SlackApiError) as down:
        await post()
    assert down.value.response.status_code == 503
    slack.fail("chat.postMessage", "ratelimited", retry_after=7)
    with pytest.raises(SlackApiError) as limited:
        await post()
    assert limited.value.response.headers["Retry-After"] == "7"
    slack.fail("chat.postMessage", "is_archived")
    assert await refused(post()) == "is_archived"
    slack.fail("*", "cut")
    with pytest.raises(aiohttp.ClientError):
        await post()
    assert slack.messages(billing) == []
    slack.fail("chat.postMessage", "lost")
    with pytest.raises(aiohttp.ClientError):
        await post()
    assert len(slack.messages(billing)) == 1
    slack.revoke("account_inactive")
    assert await refused(post()) == "account_inactive"
    slack.mend()
    await post()
    slack.fail("chat.postMessage", "timeout")
    with pytest.raises(TimeoutError):
        await post()
    assert [one.error for one in slack.calls] == [
        "503", "ratelimited", "is_archived", "cut", "", "account_inactive", "", "timeout"
    ]  # fmt: skip


async def test_rates_are_kept_to_where_asked(slack: Slack, client: AsyncWebClient) -> None:
    billing, sales = slack.channel("billing"), slack.channel("sales")
    slack.limits = True
    ts = [(await client.chat_postMessage(channel=billing, text="x"))["ts"] for _ in range(3)]
    with pytest.raises(SlackApiError) as limited:
        await client.chat_postMessage(channel=billing, text="x")
    assert limited.value.response.status_code == 429
    assert limited.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel=sales, text="x")
    await slack.passes(1)
    await client.chat_postMessage(channel=billing, text="x")

    for n in range(50):
        await client.chat_update(channel=billing, ts=ts[0], text=f"{n}")
    with pytest.raises(SlackApiError) as limited:
        await client.chat_update(channel=billing, ts=ts[0], text="50")
    assert 55 < int(limited.value.response.headers["Retry-After"]) <= 60
    await slack.passes(60)
    await client.chat_update(channel=billing, ts=ts[0], text="50")


# ------------------------------------------------------------------------------------------------------------ files


async def test_files_go_up_in_three_steps_and_down_with_the_token(
    slack: Slack, client: AsyncWebClient
) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    card = (await client.chat_postMessage(channel=billing, text="card"))["ts"]
    done = await client.files_upload_v2(
        channel=billing, thread_ts=card, filename="bill.pdf", content=b"%PDF-1.7", initial_comment="From Ann"
    )
    [message] = slack.messages(billing, card)
    assert (message["text"], message["files"][0]["id"]) == ("From Ann", done["files"][0]["id"])
    assert slack.file(done["files"][0]["id"]).content == b"%PDF-1.7"

    ts = await bo.types(billing, "see this", thread=card, files=(("a.png", b"png"),))
    [file] = slack.message(billing, ts)["files"]
    async with aiohttp.ClientSession() as session:
        for token, kind in ((slack.bot_token, "image/png"), ("xoxb-other", "text/html")):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(file["url_private_download"], headers=headers) as answer:
                assert answer.content_type == kind
                assert (await answer.read() == b"png") == (token == slack.bot_token)
    assert (await client.files_info(file=file["id"]))["file"]["mimetype"] == "image/png"
    url = await client.files_getUploadURLExternal(filename="x", length=3)
    async with aiohttp.ClientSession() as session, session.post(url["upload_url"], data=b"four") as answer:
        assert answer.status == 400
    files = [{"id": url["file_id"]}]
    assert await refused(client.files_completeUploadExternal(files=files)) == "file_not_found"
