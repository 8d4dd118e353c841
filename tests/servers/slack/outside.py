"""What happens in the workspace, and the events Slack tells the app of it; what a test looks at.

https://docs.slack.dev/reference/events
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

from tests.servers.slack.api import ApiError, Called
from tests.servers.slack.clock import Clock
from tests.servers.slack.delivery import Delivery, Door
from tests.servers.slack.workspace import Channel, File, Ids, Json, Stamps, User


class Outside:
    """Half of `Slack`: the workspace as everybody in it sees it."""

    ids: Ids
    clock: Clock
    stamps: Stamps
    door: Door
    team_id: str
    app_id: str
    bot_user_id: str
    verification_token: str
    revoked: str
    subscriptions: set[str]
    users: dict[str, User]
    channels: dict[str, Channel]
    files: dict[str, File]
    calls: list[Called]

    # ------------------------------------------------------------------------------------------------- looking

    def messages(self, channel: str, thread: str | None = None) -> list[Json]:
        """What stands in the channel, or in a thread below its parent, eldest first; metadata and all."""
        if thread is None:
            return [
                one
                for one in self.channels[channel].messages.values()
                if one.get("thread_ts", one["ts"]) == one["ts"] or one.get("subtype") == "thread_broadcast"
            ]
        return [
            one
            for one in self.channels[channel].messages.values()
            if one.get("thread_ts") == thread and one["ts"] != thread
        ]

    def message(self, channel: str, ts: str) -> Json:
        """Raises KeyError where it is gone."""
        return self.channels[channel].messages[ts]

    def reactions(self, channel: str, ts: str) -> dict[str, list[str]]:
        return {one["name"]: list(one["users"]) for one in self.message(channel, ts).get("reactions", ())}

    def file(self, file_id: str) -> File:
        return self.files[file_id]

    def called(self, method: str) -> list[Called]:
        """The calls of one method."""
        return [one for one in self.calls if one.method == method]

    # ------------------------------------------------------------------------------------------------- changing

    def archive(self, channel: str) -> Delivery | None:
        place = self.channels[channel]
        place.archived = True
        kind = "group_archive" if place.private else "channel_archive"
        return self.emit({"type": kind, "channel": channel, "user": "", "event_ts": self.ts()}, channel=place)

    def unarchive(self, channel: str) -> Delivery | None:
        place = self.channels[channel]
        place.archived = False
        kind = "group_unarchive" if place.private else "channel_unarchive"
        return self.emit({"type": kind, "channel": channel, "user": "", "event_ts": self.ts()}, channel=place)

    def rename(self, channel: str, name: str) -> Delivery | None:
        place = self.channels[channel]
        place.name = name
        kind = "group_rename" if place.private else "channel_rename"
        told = {"id": channel, "name": name, "created": place.created}
        return self.emit({"type": kind, "channel": told, "event_ts": self.ts()}, channel=place)

    def kick(self, channel: str) -> Delivery | None:
        """The bot is taken out of a channel."""
        place = self.channels[channel]
        event = {
            "type": "group_left" if place.private else "channel_left",
            "channel": channel,
            "actor_id": "",
            "event_ts": self.ts(),
        }
        delivery = self.emit(event, channel=place)
        place.members.remove(self.bot_user_id)
        return delivery

    def revoke(self, error: str = "token_revoked") -> None:
        """Every call answers `error` from now on ("account_inactive" and "invalid_auth" too), until `mend`."""
        self.revoked = error

    def http_to(self, url: str | None) -> None:
        """Deliver by signed HTTP requests to `url` from now on; None: by Socket Mode again."""
        self.door.url = url

    def rate_limited(self) -> Delivery:
        """https://docs.slack.dev/apis/events-api#rate-limiting: more than 30,000 events in an hour."""
        return self.door.send(
            "events_api",
            {
                "token": self.verification_token,
                "type": "app_rate_limited",
                "team_id": self.team_id,
                "minute_rate_limited": int(self.stamps.wall()) // 60 * 60,
                "api_app_id": self.app_id,
            },
        )

    async def repeats(self) -> bool:
        """The last event comes once more, as where the acknowledgement was lost: same event_id, retry 1. Whether it was
        acknowledged."""
        last = next(one for one in reversed(self.door.deliveries) if one.kind == "events_api")
        return await self.door.send(last.kind, last.payload, tries=["timeout"]).first

    async def verifies(self, url: str) -> bool:
        """Whether `url` answers url_verification with its challenge, as Slack asks before it takes an address."""
        return await self.door.verifies(url, self.verification_token)

    @property
    def lost(self) -> list[Json]:
        """Payloads that the app never acknowledged, and those for which nobody was connected."""
        return self.door.lost

    async def passes(self, seconds: float) -> None:
        """Slack's clock moves on: triggers expire, retries come, rates recover. Message timestamps move with it."""
        await self.clock.passes(seconds)

    async def settled(self) -> None:
        """Until everything on its way to the app was acknowledged, or was not within three seconds."""
        await self.door.settled()

    async def until(self, condition: Callable[[], object], within_s: float = 60.0) -> None:
        """Until `condition()` is true; raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.002)

    async def connected(self, connections: int = 1) -> None:
        """Until so many sockets are open."""
        await self.until(lambda: len(self.door.connections) >= connections)

    # --------------------------------------------------------------------------------------------- what happens

    def post(
        self, channel: Channel, words: Json, *, thread: str | None = None, broadcast: bool = False
    ) -> Json:
        """A message stands in the channel; its event is on the way (`told`)."""
        return self.told(channel, words, thread=thread, broadcast=broadcast)[0]

    def told(
        self, channel: Channel, words: Json, *, thread: str | None = None, broadcast: bool = False
    ) -> tuple[Json, Delivery | None]:
        ts = self.ts()
        message: Json = {**words, "ts": ts}
        if thread is not None:
            parent = channel.messages[thread]
            message["thread_ts"] = thread
            message["parent_user_id"] = parent.get("user", "")
            if broadcast:
                message["subtype"] = "thread_broadcast"
            _count_reply(parent, message)
        channel.messages[ts] = message
        event = {**message, "channel": channel.id, "event_ts": ts, "channel_type": channel.type}
        return copy.deepcopy(message), self.emit(event, channel=channel)

    def change(self, channel: Channel, after: Json) -> Delivery | None:
        """https://docs.slack.dev/reference/events/message/message_changed"""
        before = channel.messages[after["ts"]]
        channel.messages[after["ts"]] = after
        ts = self.ts()
        return self.emit(
            {
                "type": "message",
                "subtype": "message_changed",
                "message": after,
                "previous_message": before,
                "channel": channel.id,
                "hidden": True,
                "ts": ts,
                "event_ts": ts,
                "channel_type": channel.type,
            },
            channel=channel,
        )

    def remove(self, channel: Channel, ts: str) -> Delivery | None:
        """https://docs.slack.dev/reference/events/message/message_deleted. The parent of a living thread leaves a
        tombstone, told of as a change."""
        before = channel.messages[ts]
        if before.get("reply_count"):
            kept = {
                name: before[name]
                for name in before
                if name.startswith(("thread", "reply", "latest")) or name == "ts"
            }
            text = "This message was deleted."
            after = {
                **kept,
                "type": "message",
                "subtype": "tombstone",
                "user": "USLACKBOT",
                "text": text,
                "hidden": True,
            }
            return self.change(channel, after)
        del channel.messages[ts]
        thread = before.get("thread_ts", ts)
        if thread != ts and thread in channel.messages:
            _recount(channel, thread)
        now = self.ts()
        return self.emit(
            {
                "type": "message",
                "subtype": "message_deleted",
                "previous_message": before,
                "channel": channel.id,
                "hidden": True,
                "deleted_ts": ts,
                "ts": now,
                "event_ts": now,
                "channel_type": channel.type,
            },
            channel=channel,
        )

    def react(self, channel: Channel, ts: str, name: str, user: str) -> Delivery | None:
        message = channel.messages[ts]
        reactions = message.setdefault("reactions", [])
        one = next((found for found in reactions if found["name"] == name), None)
        if one is not None and user in one["users"]:
            raise ApiError("already_reacted")
        if one is None:
            if len(reactions) >= 50:
                raise ApiError("too_many_emoji")
            one = {"name": name, "users": [], "count": 0}
            reactions.append(one)
        one["users"].append(user)
        one["count"] += 1
        return self._reacted("reaction_added", channel, message, name, user)

    def unreact(self, channel: Channel, ts: str, name: str, user: str) -> Delivery | None:
        message = channel.messages[ts]
        one = next((found for found in message.get("reactions", []) if found["name"] == name), None)
        if one is None or user not in one["users"]:
            raise ApiError("no_reaction")
        one["users"].remove(user)
        one["count"] -= 1
        if not one["users"]:
            message["reactions"].remove(one)
        return self._reacted("reaction_removed", channel, message, name, user)

    def _reacted(self, kind: str, channel: Channel, message: Json, name: str, user: str) -> Delivery | None:
        event = {
            "type": kind,
            "user": user,
            "reaction": name,
            "item": {"type": "message", "channel": channel.id, "ts": message["ts"]},
            "item_user": message.get("user", ""),
            "event_ts": self.ts(),
        }
        return self.emit(event, channel=channel)

    def joins(self, channel: Channel, user: str) -> Delivery | None:
        if user in channel.members:
            return None
        channel.members.append(user)
        return self.emit(self._membership("member_joined_channel", channel, user), channel=channel)

    def leaves(self, channel: Channel, user: str) -> Delivery | None:
        channel.members.remove(user)
        return self.emit(self._membership("member_left_channel", channel, user), channel=channel)

    def _membership(self, kind: str, channel: Channel, user: str) -> dict[str, Any]:
        return {
            "type": kind,
            "user": user,
            "channel": channel.id,
            "channel_type": "G" if channel.private else "C",
            "team": self.users[user].team_id,
            "event_ts": self.ts(),
        }

    def direct(self, user: str) -> Channel:
        """The direct conversation of the bot with somebody."""
        for one in self.channels.values():
            if one.im == user:
                return one
        channel = Channel(self.ids.new("D"), "", im=user, members=[self.bot_user_id, user])
        self.channels[channel.id] = channel
        return channel

    # -------------------------------------------------------------------------------------------------------- events

    def emit(self, event: Json, *, channel: Channel | None = None) -> Delivery | None:
        """To the app, if it subscribed to this kind of event and its bot may see the place. None: it may not."""
        kind = event["type"]
        if channel is not None:
            if self.bot_user_id not in channel.members:
                return None
            if kind == "message":
                kind = f"message.{ {'channel': 'channels', 'group': 'groups', 'im': 'im'}[channel.type] }"
        if kind not in self.subscriptions or self.revoked:
            return None
        return self.door.send("events_api", self.wrapped(event))

    def wrapped(self, event: Json) -> Json:
        """https://docs.slack.dev/apis/events-api#event-type-structure"""
        return {
            "token": self.verification_token,
            "team_id": self.team_id,
            "context_team_id": self.team_id,
            "context_enterprise_id": None,
            "api_app_id": self.app_id,
            "event": json.loads(json.dumps(event)),
            "type": "event_callback",
            "event_id": self.ids.new("Ev"),
            "event_time": int(float(event.get("event_ts") or self.stamps.wall())),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": self.team_id,
                    "user_id": self.bot_user_id,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
            "event_context": f"4-{self.ids.new('')}",
        }

    def ts(self) -> str:
        return self.stamps.new(self.clock.offset)


def _count_reply(parent: Json, reply: Json) -> None:
    users = parent.setdefault("reply_users", [])
    if reply.get("user") not in users:
        users.append(reply.get("user"))
    parent["thread_ts"] = parent["ts"]
    parent["reply_count"] = parent.get("reply_count", 0) + 1
    parent["reply_users_count"] = len(users)
    parent["latest_reply"] = reply["ts"]


def _recount(channel: Channel, thread: str) -> None:
    parent = channel.messages[thread]
    for name in ("reply_users", "reply_count", "reply_users_count", "latest_reply"):
        parent.pop(name, None)
    for one in list(channel.messages.values()):
        if one.get("thread_ts") == thread and one["ts"] != thread:
            _count_reply(parent, one)
