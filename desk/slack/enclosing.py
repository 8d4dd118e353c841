"""The files of a reply's modal: looked at before they are fetched, and fetched once however often it is pressed."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from crm_store import timeline
from desk import contents
from desk.slack import files, names
from desk.slack.context import SlackDesk
from desk.slack.press import About, Press, Wrong, in_time
from hub import urn as urns
from hub.errors import Refused, Unavailable
from hub.limits import Limits
from hub.model import Attachment
from router.choose import Option

_FETCH_S = 1.6  # of the time there is; the rest is the store's
_FETCHES = 200


async def files_of(
    press: Press, way: Option | None, listed: list[Mapping[str, Any]], meta: About
) -> tuple[Attachment, ...]:
    """The files that go with the reply, looked at before they are fetched. Large ones take longer than Slack waits: the
    modal stays, and its next press finds them here."""
    kept = await press.look(lambda tx: _kept(tx, meta.files_of)) if meta.files_of else ()
    if not listed:
        return kept
    _check(press, way, listed, len(kept))
    fetching = [_fetching(press.desk, str(one.get("id") or "")) for one in listed]
    try:
        found = await in_time(asyncio.gather(*(asyncio.shield(one) for one in fetching)), _FETCH_S)
    except Unavailable as error:
        late = not all(one.done() for one in fetching)
        text = "The files are still on their way to us. Nothing is sent yet: press again in a few seconds."
        raise Wrong(names.FILES, text if late else str(error)) from error
    except Refused as error:
        raise Wrong(names.FILES, str(error)) from error
    return (*kept, *found)


def _check(press: Press, way: Option | None, listed: list[Mapping[str, Any]], kept: int) -> None:
    """By what Slack says of them, so that nobody waits for a file that the channel does not take."""
    config = press.desk.config()
    account = config.accounts.get(way.account or "") if way else None
    limits: Limits | None = press.desk.limits.get(urns.channel_of(account.key)) if account else None
    if account is None or limits is None:
        return
    declared = [
        Attachment(
            sha256="0" * 64,
            content_type="application/octet-stream",
            size_bytes=int(one.get("size") or 1),
            name=str(one.get("name") or "file"),
        )
        for one in listed
    ]
    try:
        contents.check_message("-", [*declared, *declared[:1] * kept], limits, account)
    except Refused as error:
        raise Wrong(names.FILES, str(error)) from error


_Fetches = dict[str, asyncio.Task[Attachment]]
_fetches: weakref.WeakKeyDictionary[AsyncWebClient, _Fetches] = weakref.WeakKeyDictionary()


def _fetching(desk: SlackDesk, file_id: str) -> asyncio.Task[Attachment]:
    """The fetch of a file, begun once however often its modal is submitted. A failed one is begun anew."""
    ours = _fetches.setdefault(desk.client, {})
    known = ours.get(file_id)
    if known is not None and not (known.done() and (known.cancelled() or known.exception())):
        return known
    if len(ours) > _FETCHES:
        for old in [key for key, one in ours.items() if one.done()]:
            del ours[old]
    ours[file_id] = task = asyncio.ensure_future(files.fetch(desk, file_id))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # somebody may look, or nobody
    return task


def _kept(tx: Connection, interaction: int | None) -> tuple[Attachment, ...]:
    """The files of a reply that is written anew."""
    if interaction is None:
        return ()
    return tuple(
        Attachment(sha256=one.sha256, content_type=one.content_type, size_bytes=one.size_bytes, name=one.name)
        for entry in timeline.entries(tx, [interaction])
        for one in entry.attachments
    )
