"""Methods about channels and what was said in them. https://docs.slack.dev/apis/web-api/using-the-conversations-api"""

from __future__ import annotations

from typing import Any

from tests.servers.slack.api import ApiError, Call, method
from tests.servers.slack.people import TIER_2, TIER_3, TIER_4, known, page
from tests.servers.slack.workspace import Channel, Json

READ = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
_PREFIX = {"channel": "channels", "group": "groups", "im": "im"}


def place(call: Call, channel_id: str, *, scope: str = "") -> Channel:
    """The channel, as far as the bot may see it. A private one it is not in does not exist for it; scope: "read" or
    "history", which is asked for in the channel's own kind."""
    slack = call.slack
    channel = slack.channels.get(channel_id)
    if channel is None or (channel.type != "channel" and slack.bot_user_id not in channel.members):
        raise ApiError("channel_not_found")
    if scope and (needed := f"{_PREFIX[channel.type]}:{scope}") not in slack.scopes:
        raise ApiError("missing_scope", needed=needed, provided=",".join(sorted(slack.scopes)))
    return channel


@method(
    "conversations.list",
    "cursor exclude_archived:bool limit:int team_id types",
    scopes=READ,
    tier=TIER_2,
    takes_json=False,
)
def conversations_list(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.list: `types` is public_channel unless said."""
    slack = call.slack
    kinds = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
    asked = [word.strip() for word in (call.types or "public_channel").split(",")]
    if not set(asked) <= set(kinds):
        raise ApiError("invalid_types")
    for word in asked:
        needed = f"{ {'channel': 'channels', 'group': 'groups'}.get(kinds[word], kinds[word]) }:read"
        if needed not in slack.scopes:
            raise ApiError("missing_scope", needed=needed, provided=",".join(sorted(slack.scopes)))
    wanted = {kinds[word] for word in asked}
    seen = [
        one
        for one in slack.channels.values()
        if one.type in wanted
        and (one.type == "channel" or slack.bot_user_id in one.members)
        and not (call.exclude_archived and one.archived)
    ]
    found, cursor = page(seen, call.cursor, call.limit or 100)
    return {
        "channels": [one.shown(slack.bot_user_id, slack.team_id) for one in found],
        "response_metadata": {"next_cursor": cursor},
    }


@method(
    "conversations.info",
    "channel! include_locale:bool include_num_members:bool",
    scopes=READ,
    tier=TIER_3,
    takes_json=False,
)
def conversations_info(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.info"""
    channel = place(call, call.channel, scope="read")
    shown = channel.shown(call.slack.bot_user_id, call.slack.team_id)
    if not call.include_num_members:
        shown.pop("num_members", None)
    return {"channel": shown}


@method("conversations.members", "channel! cursor limit:int", scopes=READ, tier=TIER_4, takes_json=False)
def conversations_members(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.members"""
    channel = place(call, call.channel, scope="read")
    found, cursor = page(channel.members, call.cursor, call.limit or 100)
    return {"members": found, "response_metadata": {"next_cursor": cursor}}


@method("conversations.join", "channel!", scopes=("channels:join",), tier=TIER_3)
def conversations_join(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.join: public channels alone."""
    slack, channel = call.slack, place(call, call.channel)
    if channel.type != "channel":
        raise ApiError("method_not_supported_for_channel_type")
    if channel.archived:
        raise ApiError("is_archived")
    already = slack.bot_user_id in channel.members
    if not already:
        slack.joins(channel, slack.bot_user_id)
    more = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    return {"channel": channel.shown(slack.bot_user_id, slack.team_id), **(more if already else {})}


@method(
    "conversations.open",
    "channel users return_im:bool",
    scopes=("im:write", "mpim:write", "groups:write", "channels:manage"),
    tier=TIER_3,
)
def conversations_open(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.open (with one user)"""
    slack = call.slack
    user = known(call, call.users or "")
    return {"channel": {"id": slack.direct(user.id).id}}


_PAGED = "cursor inclusive:bool include_all_metadata:bool latest limit:int oldest"


@method("conversations.history", f"channel! {_PAGED}", scopes=HISTORY, tier=TIER_3, takes_json=False)
def conversations_history(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.history: newest first, threads' replies left out."""
    channel = _heard(call)
    top = [
        one
        for one in reversed(channel.messages.values())
        if one.get("thread_ts", one["ts"]) == one["ts"] or one.get("subtype") == "thread_broadcast"
    ]
    found, cursor = page([one for one in top if _in_time(call, one)], call.cursor, call.limit or 100)
    return _answered(call, found, cursor) | {"pin_count": 0}


@method("conversations.replies", f"channel! ts! {_PAGED}", scopes=HISTORY, tier=TIER_3, takes_json=False)
def conversations_replies(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/conversations.replies: the parent first on every page, then the
    replies, eldest first. The ts of a reply gives that reply alone."""
    channel = _heard(call)
    asked = channel.messages.get(call.ts)
    if asked is None:
        raise ApiError("thread_not_found")
    if asked.get("thread_ts", call.ts) != call.ts:
        return _answered(call, [asked], "")
    replies = [
        one
        for one in channel.messages.values()
        if one.get("thread_ts") == call.ts and one["ts"] != call.ts and _in_time(call, one)
    ]
    found, cursor = page(replies, call.cursor, call.limit or 1000)
    return _answered(call, [asked, *found], cursor)


def _heard(call: Call) -> Channel:
    channel = place(call, call.channel, scope="history")
    if call.slack.bot_user_id not in channel.members:
        raise ApiError("not_in_channel")
    for name in ("oldest", "latest"):
        if (given := call.args.get(name)) is not None and not _is_ts(given):
            raise ApiError(f"invalid_ts_{name}")
    return channel


def _is_ts(given: str) -> bool:
    return given.replace(".", "", 1).isdigit()


def _in_time(call: Call, message: Json) -> bool:
    ts = when(message["ts"])
    eldest, latest = when(call.oldest or "0"), when(call.latest) if call.latest else (10**12, 0)
    return eldest <= ts <= latest if call.inclusive else eldest < ts < latest


def when(ts: str) -> tuple[int, int]:
    """A ts to compare by: as a float it would lose its last digits."""
    seconds, _, rest = ts.partition(".")
    return int(seconds), int((rest or "0").ljust(6, "0")[:6])


def _answered(call: Call, found: list[Json], cursor: str) -> Json:
    answer: dict[str, Any] = {
        "messages": [heard(one, metadata=bool(call.include_all_metadata)) for one in found],
        "has_more": bool(cursor),
    }
    if cursor:
        answer["response_metadata"] = {"next_cursor": cursor}
    return answer


def heard(message: Json, *, metadata: bool) -> Json:
    """A message as history gives it: metadata only where it was asked for."""
    return {name: value for name, value in message.items() if metadata or name != "metadata"}


@method("reactions.add", "channel! name! timestamp!", scopes=("reactions:write",), tier=TIER_3)
def reactions_add(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/reactions.add"""
    channel = _reacted(call)
    call.slack.react(channel, call.timestamp, call.name, call.slack.bot_user_id)
    return {}


@method("reactions.remove", "name! channel timestamp", scopes=("reactions:write",), tier=TIER_2)
def reactions_remove(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/reactions.remove"""
    channel = _reacted(call)
    call.slack.unreact(channel, call.timestamp, call.name, call.slack.bot_user_id)
    return {}


@method(
    "reactions.get", "channel full:bool timestamp", scopes=("reactions:read",), tier=TIER_3, takes_json=False
)
def reactions_get(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/reactions.get"""
    channel = place(call, call.channel)
    if call.timestamp not in channel.messages:
        raise ApiError("message_not_found")
    return {"type": "message", "channel": channel.id, "message": channel.messages[call.timestamp]}


def _reacted(call: Call) -> Channel:
    channel = place(call, call.channel)
    if call.slack.bot_user_id not in channel.members:
        raise ApiError("not_in_channel" if channel.type == "channel" else "channel_not_found")
    if channel.archived:
        raise ApiError("is_archived")
    if not call.name.replace("::", "").replace("+", "").replace("-", "").replace("_", "").isalnum():
        raise ApiError("invalid_name")
    if call.timestamp not in channel.messages:
        raise ApiError("message_not_found")
    return channel
