"""S13, S1 and S18 for Slack: strangers' words do nothing there, nobody forges its requests, its tokens stay inside."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from crm_store.db import Store
from desk.slack import names
from desk.slack.manifest import PATH
from hub import log
from hub.settings import load as load_settings
from tests.faults.installation import Installation, until
from tests.servers import free_port
from tests.servers.http import Say
from tests.servers.slack import Slack
from tests.slackworld import SlackWorld, slack_world

EVIL = (
    "<!channel> <!here> <!subteam^S1> <@U123ABC> <#C1ABC> <https://evil.example|bank.com> *x* _y_ `z` @channel "
    "&lt;!channel&gt; https://evil.example"
)
FILE = "<!channel> <https:evil.example|x> @here.png"


@pytest.fixture
async def office(tmp_path: Path, sqlite_url: str, valkey: str) -> AsyncIterator[SlackWorld]:
    store = Store.open(sqlite_url)
    async with slack_world(tmp_path, store, valkey, called=EVIL) as opened:
        yield opened
    store.close()


async def test_s13_a_strangers_words_do_nothing_in_slack_wherever_they_stand(office: SlackWorld) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(200)).decode()
    ann = {"email": "ann@example.com", "name": EVIL}
    files = [{"name": FILE, "data": png}]
    await office.hub.form(
        id="1", **{"from": ann}, subject=EVIL, text=f"broken {EVIL}", attachments=files, fields={EVIL: EVIL}
    )
    await office.settle()
    await _everything_that_agents_do(office)
    await office.hub.form(id="2", **{"from": ann}, text=EVIL)
    await office.hub.form(id="3", kind="edit", message="2", **{"from": ann}, text=f"{EVIL}!")
    await office.hub.form(id="4", kind="delete", message="1", **{"from": ann})
    await office.hub.garbles(id=EVIL, **{"from": EVIL})
    await office.settle()
    await office.opens_home(office.bo, "Yours")
    await office.opens_home(office.cleo, "Quarantine")

    drawn = [call for call in office.slack.calls if call.method.startswith(("chat.", "views."))]
    shown = str([call.args for call in drawn])
    assert shown.count("evil.example") > 30, "it was shown"
    for call in drawn:
        if call.method == "chat.postMessage":
            said = {
                name: call.args.get(name) for name in ("link_names", "unfurl_links", "unfurl_media", "parse")
            }
            assert said == {
                "link_names": False,
                "unfurl_links": False,
                "unfurl_media": False,
                "parse": "none",
            }
        _harmless(office, _read(call.args))
    for person in (office.bo, office.cleo):
        for one in person.ephemerals:
            _harmless(office, one)
    assert not office.slack.called("chat.unfurl")


async def _everything_that_agents_do(office: SlackWorld) -> None:
    """With hostile words wherever somebody can put words."""
    await office.clicks(office.bo, office.support, names.CLAIM)
    conversation = office.conversation()
    (customer,) = office.hub.people()
    office.hub.desk.change_customer(customer, "cleo", tier=EVIL[:40], tags=[EVIL[:60]])
    office.hub.desk.note(conversation, "cleo", EVIL)
    for action in (names.WHY, names.HISTORY, names.SNOOZE):
        await office.clicks(office.bo, office.support, action)
        office.bo.views.clear()
    await office.clicks(office.bo, office.support, names.REPLY)
    await office.bo.searches(names.CANNED, "")
    office.hub.company.queue.append(Say(status=400, body=json.dumps({"error": EVIL}).encode()))
    assert await office.bo.submits({names.TEXT: EVIL.replace("<", "(")}) is None
    await office.passes(seconds=11)
    await office.clicks(
        office.bo, office.support, names.OTHER_CHANNEL, office.offering(office.support, names.OTHER_CHANNEL)
    )
    office.bo.views.clear()
    await office.types(office.bo, f"what do we say to {EVIL}")
    await office.bo.commands("/hub", f"find {EVIL}", office.general)
    await office.bo.commands("/hub", "find broken", office.general)
    await office.bo.commands("/hub", EVIL, office.general)
    await office.bo.commands("/hub", f"queue {EVIL}", office.general)
    office.bo.views.clear()
    await office.clicks(office.bo, office.support, names.TRANSFER)
    assert await office.bo.submits({names.QUEUE: "billing", names.REASON: EVIL}) is None
    await office.settle()
    await office.cleo.commands("/hub", "queue billing", office.general)
    await office.clicks(office.cleo, office.billing, names.CLOSE)
    assert await office.cleo.submits({names.DISPOSITION: EVIL[:80], names.TAGS: EVIL[:60]}) is None
    await office.settle()


def _read(value: Any) -> Any:
    """What a call gave, its JSON read."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return {name: _read(one) for name, one in value.items()} if isinstance(value, dict) else value


_OURS = re.compile(r"<!date\^\d+\^[^<>|^]+\|[^<>]+>|<http://desk\.test[^<>|]*\|[^<>]+>")


def _harmless(office: SlackWorld, node: Any) -> None:
    """No text that Slack parses has a bracket which is not ours, and no element of rich text calls or leads anybody."""
    known = {f"<@{one.id}>" for one in (office.bo, office.cleo)} | {
        f"<#{one}>" for one in office.slack.channels
    }
    for one in _dicts(node):
        kind, text = one.get("type"), one.get("text")
        if isinstance(text, str) and kind not in ("plain_text", "text", "link"):
            for ours in known:
                text = text.replace(ours, "")
            text = _OURS.sub("", text)
            assert "<" not in text, text
            assert ">" not in text, text
        assert kind != "mrkdwn" or one["verbatim"] is True
        assert kind not in ("user", "usergroup", "broadcast", "channel", "team")
        if "url" in one:
            assert one["url"].startswith(("http://desk.test/", "https://acme.slack.com/")), one


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _dicts(value)


# ------------------------------------------------------------------------------------- S1 and S18, in real processes

QUEUES = """
priorities: {normal: 0s}
slack: {ops: "#hub-ops"}
queues: {general: {title: General, slack: "#desk"}}
"""


@pytest.mark.timeout(300)  # many processes
async def test_s1_and_s18_nobody_forges_slacks_requests_and_no_token_gets_out(tmp_path: Path) -> None:
    """One process by HTTP, one by a socket, under an API that refuses, breaks and comes back."""
    port = free_port()
    with Slack.running() as slack:
        bo = slack.user("Bo")
        for name in ("desk", "hub-ops"):
            slack.channel(name, members=(bo,))
        agents = f"agents: {{bo: {{name: Bo, queues: all, slack: {bo.id}}}}}\n"
        hub = Installation(tmp_path, config={"queues.yaml": QUEUES, "agents.yaml": agents})
        hub.settings = {
            "MAINSTEM_SLACK_BOT_TOKEN": slack.bot_token, "MAINSTEM_SLACK_SIGNING_SECRET": slack.signing_secret,
            "MAINSTEM_SLACK_API": slack.api, "MAINSTEM_SLACK_PORT": str(port), "MAINSTEM_LOG_LEVEL": "debug",
        }  # fmt: skip
        with hub:
            slack.fail("chat.postMessage", "internal_error")
            slack.fail("conversations.list", 503)
            hub.start("web", "router", "slack")
            hub.start("slack:2", MAINSTEM_SLACK_APP_TOKEN=slack.app_token)
            await hub.ready()
            await hub.say({"id": "1", "from": {"email": "ann@example.com", "name": "Ann"}, "text": "Hello"})
            slack.run(slack.connected())
            await _forged(slack, f"http://127.0.0.1:{port}{PATH}")
            slack.do(slack.revoke)
            said = [hub.command("slack", "check")[1], hub.command("doctor")[1]]
            slack.do(slack.mend)
            said.append(hub.command("slack", "check")[1])
            await until(lambda: _posted(slack), 60, "the card does not come")
            said += [" ".join(one.cmdline()) for one in psutil.process_iter() if one.pid in _ours(hub)]
            for name in ("slack", "slack:2"):
                hub.stop(name)
            said += [path.read_text() for path in tmp_path.glob("*.log")]
            said.append(_dump(hub))
            said += [str(call.args) for call in slack.calls]
        assert "refuses the bot token" in said[0]
        for secret in (slack.bot_token, slack.app_token, slack.signing_secret):
            assert not [text[:300] for text in said if secret in text]


async def _posted(slack: Slack) -> bool:
    return bool([one for one in slack.called("chat.postMessage") if not one.error])


def _ours(hub: Installation) -> set[int]:
    return {process.pid for process in hub.running.values()}


def _dump(hub: Installation) -> str:
    with sqlite3.connect(f"file:{hub.folder / 'var' / 'mainstem.db'}?mode=ro", uri=True) as store:
        dumped = "\n".join(store.iterdump())
    with hub.valkey.client() as client:
        return dumped + str([(name, client.dump(name)) for name in client.scan_iter()])


async def _forged(slack: Slack, address: str) -> None:
    """Five minutes, before and after: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    body = b'{"type": "url_verification", "challenge": "c"}'

    async def status(ago_s: int, data: bytes = body, name: str = "", value: str = "") -> int:
        slack.door.signed_at = lambda: time.time() - ago_s
        signed = (
            slack.door.signed(body) | {"Content-Type": "application/json"} | ({name: value} if name else {})
        )
        headers = {name: value for name, value in signed.items() if value}
        async with http.post(address, data=data, headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession() as http:

        async def listens() -> bool:
            try:
                return await status(0) == 200
            except aiohttp.ClientError:
                return False

        await until(listens, 60, "the HTTP way in does not open")
        for ago_s, answered in ((298, 200), (-298, 200), (302, 401), (-302, 401), (86_400, 401)):
            assert await status(ago_s) == answered, ago_s
        assert await status(0, body.replace(b'"c"', b'"d"')) == 401
        assert await status(0, name="X-Slack-Signature", value="v0=" + "0" * 64) == 401
        assert await status(0, name="X-Slack-Signature") == 401
        assert await status(0, name="X-Slack-Request-Timestamp") == 401
    slack.door.signed_at = time.time


async def test_s18_tokens_are_in_no_repr_and_no_traceback() -> None:
    tokens = {
        "MAINSTEM_SLACK_BOT_TOKEN": "xoxb-canary-1", "MAINSTEM_SLACK_APP_TOKEN": "xapp-canary-2",
        "MAINSTEM_SLACK_SIGNING_SECRET": "canary-3",
    }  # fmt: skip
    settings = load_settings(tokens | {"MAINSTEM_SLACK_API": f"http://127.0.0.1:{free_port()}/api/"})
    client = AsyncWebClient(token=tokens["MAINSTEM_SLACK_BOT_TOKEN"], base_url=settings.slack_api)
    out = io.StringIO()
    log.configure("debug", "text", stream=out)
    try:
        await client.auth_test(app_token=tokens["MAINSTEM_SLACK_APP_TOKEN"])
    except aiohttp.ClientError as error:
        log.get("slack").exception("no answer", error=str(error), settings=settings, client=client)
    finally:
        log.configure("warning")
    said = out.getvalue()
    assert "Traceback" in said
    for text in (said, repr(settings), str(settings), repr(client)):
        assert not [token for token in tokens.values() if token in text]
    with pytest.raises(Exception, match="MAINSTEM_SLACK_BOT_TOKEN") as wrong:
        load_settings({"MAINSTEM_SLACK_BOT_TOKEN": "canary-4"})
    assert "canary-4" not in str(wrong.value)
