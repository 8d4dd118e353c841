"""Which channel of the workspace belongs to which queue: names and ids, as the configuration and Slack have them now.

Slack is asked when a name is not known and every ten minutes, because channels are renamed, archived and left.
https://docs.slack.dev/reference/methods/conversations.list (tier 2: about 20 calls a minute for the workspace)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from desk.slack.context import SlackDesk
from hub import log

_log = log.get("slack")

_EVERY_S = 600.0
_AGAIN_S = 60.0  # a name that Slack does not know is not asked for more often than this
_PAGE = 1000
_PAGES = 50
_ID = re.compile(r"[CG][A-Z0-9]{6,20}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A channel that the bot can see. shared: people of other companies read it."""

    id: str
    name: str
    member: bool
    archived: bool
    private: bool
    shared: bool


async def list_channels(client: AsyncWebClient) -> list[Channel]:
    """Every channel that the bot can see, archived ones too. Raises SlackApiError and aiohttp's errors."""
    found: list[Channel] = []
    cursor = ""
    for _ in range(_PAGES):
        page = await client.conversations_list(
            types="public_channel,private_channel", limit=_PAGE, cursor=cursor, exclude_archived=False
        )
        found += [_channel(said) for said in page.get("channels") or ()]
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    return found


def _channel(said: Mapping[str, object]) -> Channel:
    return Channel(
        id=str(said["id"]),
        name=str(said.get("name") or ""),
        member=bool(said.get("is_member")),
        archived=bool(said.get("is_archived")),
        private=bool(said.get("is_private")),
        shared=bool(said.get("is_ext_shared")),
    )


class Directory:
    """Answers from what it knows, at once; `refresh` asks Slack. One for a process."""

    def __init__(self, desk: SlackDesk) -> None:
        self._desk = desk
        self._known: dict[str, Channel] = {}
        self._ids: dict[str, str] = {}
        self._asked = -_EVERY_S

    def find(self, name: str | None) -> str | None:
        """The id of "C0123456789", "#billing" or "billing"; None where Slack knows no such channel."""
        if not name:
            return None
        return name if _ID.fullmatch(name) else self._ids.get(name.removeprefix("#"))

    def place_of(self, queue: str) -> str | None:
        """The channel of a queue; None where it has none, or none that Slack knows."""
        found = self._desk.config().queues.get(queue)
        return self.find(found.slack) if found else None

    def ops(self) -> str | None:
        """The channel for leads and failures."""
        return self.find(self._desk.config().slack_ops)

    def unknown(self) -> tuple[str, ...]:
        """What the configuration names and Slack does not know."""
        config = self._desk.config()
        named = [queue.slack for queue in config.queues.values()] + [config.slack_ops]
        return tuple(dict.fromkeys(name for name in named if name and self.find(name) is None))

    def forget(self) -> None:
        """A channel was made, renamed, archived or left: ask again at the next `refresh`."""
        self._asked = -_EVERY_S

    async def refresh(self) -> None:
        """Ask Slack where that is due. Keeps what it knew, and says so in the log, where Slack does not answer."""
        waits = _AGAIN_S if self.unknown() else _EVERY_S
        if time.monotonic() - self._asked < waits:
            return
        self._asked = time.monotonic()
        try:
            found = await list_channels(self._desk.client)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            _log.warning("channels_not_listed", why=str(error)[:200])
            return
        self._known = {channel.id: channel for channel in found}
        # An archived channel may share its name with a living one.
        self._ids = {c.name: c.id for c in sorted(found, key=lambda c: not c.archived)}
        await self._join()
        if unknown := self.unknown():
            _log.warning("channels_unknown", channels=", ".join(unknown))

    async def _join(self) -> None:
        """Be in the public channels that the configuration names. Into a private one somebody must invite the app."""
        named = [self.place_of(queue) for queue in self._desk.config().queues] + [self.ops()]
        for place in dict.fromkeys(one for one in named if one):
            channel = self._known.get(place)
            if channel is None or channel.member or channel.archived or channel.private:
                continue
            try:
                await self._desk.client.conversations_join(channel=place)
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                _log.warning("channel_not_joined", channel=channel.name, why=str(error)[:200])
                continue
            self._known[place] = replace(channel, member=True)
            _log.info("channel_joined", channel=channel.name)

    async def run(self) -> None:
        """Keep it fresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(2.0)
