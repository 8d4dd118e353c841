"""Every name that can come back from Slack leads somewhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from desk.slack import app as slack_app
from desk.slack import interact, names
from desk.slack.manifest import SHORTCUTS
from tests.desk.slack.pressing import Pressing, shown

# names that are no press: surfaces, blocks that are only read at submit, marks
_SILENT = {
    "SURFACE", "FILES", "COPIES", "DISPOSITION", "TAGS", "REASON", "UNTIL", "COMMAND", "SEND_REACTION", "INTERNAL_MARK",
    "SENT_MARK", "METADATA",
    "PLACES",  # of which each is listened to
    "WHY_VIEW", "HISTORY_VIEW", "FOUND_VIEW",  # nothing to submit
}  # fmt: skip


def test_every_name_is_listened_to() -> None:
    heard = interact.ACTIONS.keys() | interact.SUBMITS.keys() | interact.SHORTCUTS.keys()
    unheard = {name: value for name, value in vars(names).items() if name.isupper() and value not in heard}
    assert unheard.keys() == _SILENT
    assert set(names.PLACES) <= heard


def test_every_shortcut_of_the_manifest_is_listened_to() -> None:
    assert {callback for callback, _, _ in SHORTCUTS} == interact.SHORTCUTS.keys()


def test_registering_asks_nothing_of_slack_or_the_store() -> None:
    desk: Any = object()
    app = AsyncApp(client=AsyncWebClient(token="xoxb-none"), signing_secret="none")
    interact.register(app, desk)
    assert len(app._async_listeners) == (
        len(interact.ACTIONS) + len(interact.SUBMITS) + len(interact.SHORTCUTS) + len(interact.SEARCHES) + 1
    )


async def test_a_link_is_only_acknowledged(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    await world.bo.clicks(world.channel, ts, names.MORE, f"{names.OPEN_WEB}:{talk}")
    assert world.bo.ephemerals == []
    assert world.row(talk).state == "waiting"


async def test_what_is_not_there_is_said(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    message = world.slack.message(world.channel, ts)
    for value in ("12345", "x", "9" * 40, "-1", ""):
        for block in message["blocks"]:
            for element in block.get("elements", ()):
                if element.get("action_id") == names.CLAIM:
                    element["value"] = value
        await world.bo.clicks(world.channel, ts, names.CLAIM)
        assert (
            "There is no" in world.bo.ephemerals[-1]["text"] or "not there" in world.bo.ephemerals[-1]["text"]
        )


async def test_by_http_it_is_the_same(world: Pressing) -> None:
    """A button, a modal's errors, a search, a command: what Slack sends as forms, and what goes back as JSON."""
    secret = world.slack.signing_secret
    app = slack_app.make(world.desk, secret, now=world.slack.door.signed_at)
    opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(slack_app.serve_http(app, world.desk, 0, opened=opened.set_result))
    try:
        world.slack.http_to(f"http://127.0.0.1:{await opened}/slack/events")
        talk = world.conversation()
        ts = await world.card(talk)
        await world.bo.clicks(world.channel, ts, names.REPLY)
        assert [one["value"] for one in await world.bo.searches(names.CANNED, "look")] == ["hello"]
        await world.bo.submits({names.TEXT: "hi <!here>"})
        assert "mentions" in world.bo.views[-1].errors[names.TEXT]
        assert await world.bo.submits({names.TEXT: "hi"}) is None
        assert [one.text for one in world.replies(talk)] == ["hi"]
        await world.bo.commands(names.COMMAND, "queue", world.channel)
        assert "General" in shown(world.bo.ephemerals[-1]["blocks"])
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def test_more_queues_and_agents_than_a_menu_takes_are_searched(world: Pressing) -> None:
    config = world.room.config
    queues = {f"q{n}": replace(config.queues["billing"], key=f"q{n}", title=f"Team {n}") for n in range(150)}
    agents = {
        f"a{n}": replace(config.agents["eva"], key=f"a{n}", name=f"Agent {n}", slack=None) for n in range(150)
    }
    world.room.config = replace(
        config, queues={**config.queues, **queues}, agents={**config.agents, **agents}
    )
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    await world.bo.clicks(world.channel, await world.card(talk), names.TRANSFER)
    assert [one["value"] for one in await world.bo.searches(names.QUEUE, "team 14")][:2] == ["q14", "q140"]
    assert [one["value"] for one in await world.bo.searches(names.AGENT, "agent 149")] == ["a149"]
    await world.bo.clicks_modal(names.QUEUE, "q14")
    assert await world.bo.submits({names.AGENT: "a149", names.REASON: "theirs"}) is None
    row = world.row(talk)
    assert (row.queue, row.state, row.offered_to) == ("q14", "offered", "a149")
