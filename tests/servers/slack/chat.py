"""Methods that post, change and delete messages, and the response_url. https://docs.slack.dev/messaging"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.servers.slack.api import ApiError, Call, method
from tests.servers.slack.blocks import MESSAGE, checked
from tests.servers.slack.conversations import place
from tests.servers.slack.people import TIER_4, known
from tests.servers.slack.richtext import posted
from tests.servers.slack.workspace import Channel, Json

if TYPE_CHECKING:
    from tests.servers.slack.server import Slack

TEXT_KEPT = 40_000  # https://docs.slack.dev/reference/methods/chat.postMessage#truncating
UPDATE_TEXT = 4_000  # https://docs.slack.dev/changelog/2018-04-truncating-really-long-messages: msg_too_long
RESPONSES, RESPONSE_S = (
    5,
    30 * 60,
)  # https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
_WORDS = "text blocks:list attachments:list markdown_text as_user:bool link_names:bool parse"
_LOOKS = "icon_emoji icon_url username mrkdwn:bool unfurl_links:bool unfurl_media:bool"


@method(
    "chat.postMessage",
    f"channel {_WORDS} {_LOOKS} thread_ts reply_broadcast:bool metadata:dict",
    scopes=("chat:write",),
    tier=None,
)
def post_message(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/chat.postMessage"""
    slack = call.slack
    channel = _writable(call)
    words = content(call)
    thread = call.thread_ts
    if thread is not None:
        if thread not in channel.messages:
            raise ApiError("thread_not_found" if _plausible(thread) else "invalid_thread_ts")
        thread = channel.messages[thread].get("thread_ts", thread)
    if call.metadata is not None:
        words["metadata"] = _metadata(call.metadata)
    if call.username or call.icon_emoji or call.icon_url:
        _needs(slack, "chat:write.customize")
    message = slack.post(
        channel, {**_author(slack), **words}, thread=thread, broadcast=bool(call.reply_broadcast)
    )
    return {"channel": channel.id, "ts": message["ts"], "message": message}


@method(
    "chat.update",
    f"channel! ts! {_WORDS} file_ids reply_broadcast:bool metadata:dict",
    scopes=("chat:write",),
)
def update(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/chat.update. Blocks left out while text is given are taken away;
    metadata left out stays, an empty one is taken away; "edited" shows only on messages without blocks."""
    slack, channel = call.slack, place(call, call.channel)
    message = _own(call, channel, call.ts, "cant_update_message")
    if len(call.text or "") > UPDATE_TEXT:
        raise ApiError("msg_too_long")
    words = content(call)
    if call.text is None:
        words["text"] = message["text"]
    after = {name: value for name, value in message.items() if name not in ("blocks", "attachments")} | words
    if call.metadata is not None:
        after["metadata"] = _metadata(call.metadata) if call.metadata else {}
    if "blocks" not in after:
        after["edited"] = {"user": slack.bot_user_id, "ts": f"{slack.ts().partition('.')[0]}.000000"}
    if not after.get("metadata"):
        after.pop("metadata", None)
    slack.change(channel, after)
    return {"channel": channel.id, "ts": call.ts, "text": after["text"], "message": after}


@method("chat.delete", "channel! ts! as_user:bool", scopes=("chat:write",))
def delete(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/chat.delete"""
    channel = place(call, call.channel)
    _own(call, channel, call.ts, "cant_delete_message")
    call.slack.remove(channel, call.ts)
    return {"channel": channel.id, "ts": call.ts}


@method(
    "chat.postEphemeral",
    f"channel user! {_WORDS} icon_emoji icon_url username thread_ts",
    scopes=("chat:write",),
    tier=TIER_4,
)
def post_ephemeral(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/chat.postEphemeral"""
    slack, channel = call.slack, _writable(call)
    user = known(call, call.user)
    if user.id not in channel.members:
        raise ApiError("user_not_in_channel")
    words = content(call)
    ephemeral = {**_author(slack), **words, "channel": channel.id, "ts": slack.ts(), "is_ephemeral": True}
    if call.thread_ts:
        ephemeral["thread_ts"] = call.thread_ts
    slack.ephemeral[user.id].append(ephemeral)
    return {"message_ts": ephemeral["ts"]}


@method("chat.getPermalink", "channel! message_ts!", tier=None, takes_json=False)
def get_permalink(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/chat.getPermalink"""
    channel = place(call, call.channel)
    message = channel.messages.get(call.message_ts)
    if message is None:
        raise ApiError("message_not_found")
    link = f"https://acme.slack.com/archives/{channel.id}/p{call.message_ts.replace('.', '')}"
    thread = message.get("thread_ts", message["ts"])
    if thread != message["ts"]:
        link += f"?thread_ts={thread}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


# ------------------------------------------------------------------------------------------------------------ the words


def content(call: Call) -> Json:
    """text and blocks of a message, checked. https://docs.slack.dev/messaging/formatting-message-text"""
    if call.markdown_text and (call.text or call.blocks):
        raise ApiError("markdown_text_conflict")
    text = call.text or call.markdown_text or ""
    if not text.strip() and not call.blocks and not call.attachments:
        raise ApiError("no_text")
    words: Json = {"text": posted(text[:TEXT_KEPT])}
    if call.blocks:
        words["blocks"] = checked(call.blocks, MESSAGE, call.slack.ids)
    if call.attachments:
        words["attachments"] = call.attachments
    return words


def _metadata(given: Json) -> Json:
    """https://docs.slack.dev/messaging/message-metadata: an event_type and an event_payload of plain values."""
    if set(given) - {"event_type", "event_payload", "entities"}:
        raise ApiError("invalid_metadata_format")
    kind, payload = given.get("event_type"), given.get("event_payload")
    if not isinstance(kind, str) or not kind or not isinstance(payload, dict):
        raise ApiError("invalid_metadata_format")
    if len(json.dumps(given)) > 16_000:
        raise ApiError("metadata_too_large")
    return {"event_type": kind, "event_payload": payload}


def _author(slack: Slack) -> Json:
    return {
        "type": "message",
        "user": slack.bot_user_id,
        "bot_id": slack.bot_id,
        "app_id": slack.app_id,
        "team": slack.team_id,
        "bot_profile": {
            "id": slack.bot_id,
            "app_id": slack.app_id,
            "user_id": slack.bot_user_id,
            "name": slack.users[slack.bot_user_id].name,
            "deleted": False,
            "team_id": slack.team_id,
        },
    }


def _writable(call: Call) -> Channel:
    slack = call.slack
    if not call.channel:
        raise ApiError("channel_not_found")
    named = call.channel.removeprefix("#")
    by_name = next((one.id for one in slack.channels.values() if one.name == named and not one.private), None)
    channel = place(call, by_name or call.channel)
    if channel.archived:
        raise ApiError("is_archived")
    if slack.bot_user_id not in channel.members and "chat:write.public" not in slack.scopes:
        raise ApiError("not_in_channel")
    if channel.read_only:
        raise ApiError("restricted_action_read_only_channel")
    return channel


def _own(call: Call, channel: Channel, ts: str, refused: str) -> Json:
    message = channel.messages.get(ts)
    if message is None or message.get("subtype") == "tombstone":
        raise ApiError("message_not_found")
    if channel.archived:
        raise ApiError("is_inactive")  # "within a frozen, archived or deleted channel"
    if message.get("bot_id") != call.slack.bot_id:
        raise ApiError(refused)
    return message


def _plausible(ts: str) -> bool:
    seconds, dot, rest = ts.partition(".")
    return bool(dot) and seconds.isdigit() and rest.isdigit() and len(rest) == 6


def _needs(slack: Slack, scope: str) -> None:
    if scope not in slack.scopes:
        raise ApiError("missing_scope", needed=scope, provided=",".join(sorted(slack.scopes)))


# ------------------------------------------------------------------------------------------------- response_url


async def respond(slack: Slack, request: web.Request) -> web.Response:
    """A response_url: five times within thirty minutes; replaces, deletes or adds to what was pressed."""
    known_url = slack.response_urls.get(request.match_info["key"])
    if known_url is None:
        return web.Response(status=404, text="no such response_url")
    if known_url["uses"] >= RESPONSES:
        return web.json_response({"ok": False, "error": "used_url"}, status=404)
    if slack.clock.now() - known_url["born"] > RESPONSE_S:
        return web.json_response({"ok": False, "error": "expired_url"}, status=404)
    known_url["uses"] += 1
    try:
        given: dict[str, Any] = await request.json()
        _respond(slack, known_url, given)
    except ApiError as failed:
        return web.json_response({"ok": False, "error": failed.code, **failed.more}, status=500)
    return web.json_response({"ok": True})


def _respond(slack: Slack, url: Json, given: Json) -> None:
    call = Call(slack=slack, args=given, token="")
    channel = slack.channels[url["channel"]]
    shown = slack.ephemeral[url["user"]]
    if given.get("delete_original"):
        if url["ephemeral"]:
            shown[:] = [one for one in shown if one["ts"] != url["ts"]]
        else:
            slack.remove(channel, url["ts"])
        return
    words = content(call)
    if given.get("replace_original"):
        if not url["ephemeral"]:
            slack.change(channel, channel.messages[url["ts"]] | words)
        for number, one in enumerate(shown):
            if one["ts"] == url["ts"]:
                shown[number] = one | words
        return
    thread = {"thread_ts": given["thread_ts"]} if given.get("thread_ts") else {}
    if given.get("response_type") == "in_channel":
        slack.post(channel, {**_author(slack), **words}, thread=given.get("thread_ts"))
    else:
        shown.append(
            {
                **_author(slack),
                **words,
                **thread,
                "channel": channel.id,
                "ts": slack.ts(),
                "is_ephemeral": True,
            }
        )
