"""Every name that can come back from Slack leads somewhere."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from desk.slack import interact, names
from desk.slack.manifest import SHORTCUTS
from tests.desk.slack.pressing import Pressing

# names that are no press: surfaces, blocks that are only read at submit, marks
_SILENT = {
    "SURFACE", "FILES", "DISPOSITION", "TAGS", "REASON", "UNTIL", "COMMAND", "SEND_REACTION", "INTERNAL_MARK",
    "SENT_MARK", "METADATA",
    "WHY_VIEW", "HISTORY_VIEW", "FOUND_VIEW",  # nothing to submit
}  # fmt: skip


def test_every_name_is_listened_to() -> None:
    heard = interact.ACTIONS.keys() | interact.SUBMITS.keys() | interact.SHORTCUTS.keys()
    unheard = {name: value for name, value in vars(names).items() if name.isupper() and value not in heard}
    assert unheard.keys() == _SILENT


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
