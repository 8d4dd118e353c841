"""What doctor and `mainstem mail check` say of the servers that mail is handed to: can one connect and log in?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hub import clock
from hub.errors import SendError
from hub.settings import Settings
from mainstem.doctor import Finding, Level

if TYPE_CHECKING:
    from hub.config import Account

_PART = "mailboxes"


def examine(settings: Settings, account: Account) -> Iterator[Finding]:
    """One finding for an account that sends, none for one that only receives. Sends nothing, and never raises."""
    from connectors.mail.settings import smtp

    if smtp(account) is None:
        yield Finding(_PART, Level.GREEN, f"{account.key} has no smtp: it only receives")
        return
    try:
        asyncio.run(_look(settings, account))
    except SendError as error:
        passing = error.retry
        cost = (
            "replies wait, and go out when it is well"
            if passing
            else "no reply goes out until it is put right"
        )
        yield Finding(_PART, Level.YELLOW if passing else Level.RED, f"{account.key}: {error.detail}", cost)
    else:
        yield Finding(_PART, Level.GREEN, f"{account.key}: its smtp server lets us send")


async def _look(settings: Settings, account: Account) -> None:
    from connectors.base import Wire
    from connectors.http import guarded_session
    from connectors.kept import FOLDER, Kept
    from connectors.mail import lines
    from hub import blobs as blob_stores

    async with guarded_session(allow_private=settings.allow_private_targets) as session:
        blobs = blob_stores.Reader(blob_stores.of(settings))
        wire = Wire(
            http=session, redis=None, blobs=blobs, public_url=settings.public_address, now=clock.system(),
            kept=Kept(settings.data / FOLDER),
        )  # fmt: skip
        await lines.check(account, wire)
