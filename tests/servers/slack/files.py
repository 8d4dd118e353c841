"""Files: up in three steps, down with the token. https://docs.slack.dev/messaging/working-with-files"""

from __future__ import annotations

import mimetypes
import re
from typing import TYPE_CHECKING

from aiohttp import web

from tests.servers.slack.api import ApiError, Call, method
from tests.servers.slack.conversations import place
from tests.servers.slack.people import TIER_3, TIER_4
from tests.servers.slack.richtext import posted
from tests.servers.slack.workspace import File, Json

if TYPE_CHECKING:
    from tests.servers.slack.server import Slack

LARGEST = 1024**3  # "up to 1 GB"


@method(
    "files.getUploadURLExternal",
    "filename! length!:int alt_txt snippet_type",
    scopes=("files:write",),
    tier=TIER_4,
    takes_json=False,
)
def get_upload_url(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/files.getUploadURLExternal"""
    slack = call.slack
    if call.length <= 0:
        raise ApiError("invalid_arguments", "length: must be more than 0")
    if call.length > LARGEST:
        raise ApiError("file_upload_size_restricted")
    kind = mimetypes.guess_type(call.filename)[0] or "application/octet-stream"
    file = File(slack.ids.new("F"), call.filename, call.length, slack.bot_user_id, mimetype=kind)
    slack.files[file.id] = file
    return {"upload_url": f"{slack.base}/upload/v1/{file.ticket}", "file_id": file.id}


async def take_upload(slack: Slack, request: web.Request) -> web.Response:
    """The second step: the bytes, as the body or as one part of a form, exactly as many as were announced."""
    file = next((one for one in slack.files.values() if one.ticket == request.match_info["ticket"]), None)
    if file is None or file.content is not None:
        return web.Response(status=404, text="Not found")
    if request.content_type == "multipart/form-data":
        parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
        content = parts[0].file.read() if parts else b""
    else:
        content = await request.read()
    if len(content) != file.length:
        return web.Response(status=400, text="Bad request: the length differs from the announced one")
    file.content = content
    return web.Response(text=f"OK - {len(content)}")


@method(
    "files.completeUploadExternal",
    "files!:list channel_id channels initial_comment thread_ts blocks:list",
    scopes=("files:write",),
    tier=TIER_4,
)
def complete_upload(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/files.completeUploadExternal"""
    slack = call.slack
    found = [_announced(slack, one) for one in call.files]
    names = [call.channel_id] if call.channel_id else [one for one in (call.channels or "").split(",") if one]
    if any(not re.fullmatch("[CGDZ][A-Z0-9]{8,}", name) for name in names):
        raise ApiError(
            "invalid_arguments", "input must match regex pattern: ^[CGDZ][A-Z0-9]{8,}$ [/channel_id]"
        )
    channels = [place(call, name) for name in names]
    for channel in channels:
        if channel.archived:
            raise ApiError("is_archived")
        if slack.bot_user_id not in channel.members:
            raise ApiError("not_in_channel")
        if call.thread_ts and call.thread_ts not in channel.messages:
            raise ApiError("invalid_thread_ts")
    for file, given in zip(found, call.files, strict=True):
        file.complete, file.title = True, given.get("title") or file.name
        file.channels = [one.id for one in channels]
    for channel in channels:
        shown = [one.shown(slack.base, slack.team_id, private=channel.private) for one in found]
        message = {
            "type": "message",
            "subtype": "file_share",
            "text": posted(call.initial_comment or ""),
            "files": shown,
            "upload": False,
            "user": slack.bot_user_id,
            "bot_id": slack.bot_id,
            "app_id": slack.app_id,
            "display_as_bot": True,
        }
        slack.post(channel, message, thread=call.thread_ts)
    return {"files": [one.shown(slack.base, slack.team_id) for one in found]}


def _announced(slack: Slack, given: Json) -> File:
    file = slack.files.get(given.get("id", ""))
    if file is None or file.content is None:
        raise ApiError("file_not_found")
    if file.complete:
        raise ApiError("file_already_completed")
    return file


@method(
    "files.info",
    "file! count:int cursor limit:int page:int",
    scopes=("files:read",),
    tier=TIER_4,
    takes_json=False,
)
def files_info(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/files.info"""
    slack = call.slack
    file = slack.files.get(call.file)
    if file is None or file.content is None:
        raise ApiError("file_not_found")
    if file.deleted:
        raise ApiError("file_deleted")
    return {
        "file": file.shown(slack.base, slack.team_id),
        "comments": [],
        "response_metadata": {"next_cursor": ""},
    }


@method("files.delete", "file!", scopes=("files:write",), tier=TIER_3)
def files_delete(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/files.delete"""
    file = call.slack.files.get(call.file)
    if file is None:
        raise ApiError("file_not_found")
    if file.deleted:
        raise ApiError("file_deleted")
    if file.user != call.slack.bot_user_id:
        raise ApiError("cant_delete_file")
    file.deleted = True
    return {}


async def give(slack: Slack, request: web.Request) -> web.StreamResponse:
    """url_private: the bytes for a bearer of a token with files:read; for everybody else the page to sign in, with
    status 200, as Slack does."""
    team, _, file_id = request.match_info["file"].partition("-")
    file = slack.files.get(file_id)
    if request.headers.get("Authorization") != f"Bearer {slack.bot_token}" or slack.revoked:
        return web.Response(text="<!DOCTYPE html><html>Sign in to Acme</html>", content_type="text/html")
    if "files:read" not in slack.scopes:
        return web.Response(text="<!DOCTYPE html><html>Sign in to Acme</html>", content_type="text/html")
    if file is None or file.content is None or file.deleted or team != slack.team_id:
        return web.Response(status=404, text="file_not_found")
    return web.Response(body=file.content, content_type=file.mimetype)
