"""Where a mailbox is and how it is read, as an account's settings say."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from connectors.mail import settings
from hub.config import Account

_SPAN = re.compile(r"(\d{1,4})([dhms])")
_UNIT_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a mailbox is, as settings.imap has it.

    done: keyword, seen, nothing or move:FOLDER. start_s: how far back its first reading goes, in seconds; None: to the
    beginning. poll_s: between two looks, whatever IDLE says.
    """

    server: settings.Server
    folder: str
    done: str
    start_s: float | None
    poll_s: float
    oauth: bool

    @property
    def name(self) -> str:
        """What its cursor is called: another mailbox, server or folder is another source."""
        name = f"imap:{self.server.user}@{self.server.host}/{self.folder}"
        return name if len(name) <= 200 else f"{name[:150]}#{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def place(account: Account) -> Place:
    """The mailbox of an account that has `imap` and whose settings have no complaints (connectors.mail.settings)."""
    server, said = settings.imap(account), account.settings["imap"]
    assert server is not None
    return Place(
        server=server,
        folder=str(said.get("folder") or "INBOX"),
        done=str(said.get("done") or "keyword"),
        start_s=span(said.get("from") or "1d"),
        poll_s=span(said.get("poll") or "2m") or 120.0,
        oauth=settings.auth(account) == settings.XOAUTH2,
    )


def span(value: Any) -> float | None:
    """Seconds; None for "all". Raises ValueError."""
    text = str(value)
    if text == "all":
        return None
    if text == "now":
        return 0.0
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(found[1]) * _UNIT_S[found[2]]
