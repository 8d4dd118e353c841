"""Answers to tap on WhatsApp: Twilio takes them as a Content alone, which is made before the message that shows it.

https://www.twilio.com/docs/content/content-api-resources, https://www.twilio.com/docs/content/twilio-quick-reply ("in-
session … does not require template approval, only three buttons"; title of 20 characters, body of 1,024),
https://www.twilio.com/docs/content/twilio-list-picker (10 items of 24; the button that opens it: 20).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from connectors.base import Wire
from connectors.texts import units
from connectors.twilio import api
from hub import log
from hub.config import Account
from hub.errors import SendCode, SendError

BODY_CHARS = 1_024
BUTTONS, BUTTON_CHARS = 3, 20
ITEMS, ITEM_CHARS = 10, 24
CHOOSE, CHOOSE_CHARS = "Choose", 20  # on the button that opens a list
KNOWN = 1_000  # Contents that a process remembers
PATIENCE_S = 5.0  # for all that is asked before the message; then it goes out as a numbered text
_PAGES, _PAGE = 5, 100  # of what the account has already, looked at once in a process
_PAGE_BYTES = 1024 * 1024
_NAME = "mainstem_"

_log = log.get("connectors.twilio")

_Shelf = tuple[str, str]  # where the Contents API is, and the Account SID: they belong to that account alone


def fits(text: str, choices: Sequence[str]) -> bool:
    """Can they be tapped below this text? Two braces would be a variable's place to Twilio."""
    names = [choice.strip() for choice in choices]
    short = all(name and units(name) <= ITEM_CHARS for name in names)
    alone = len(set(names)) == len(names) and "{{" not in "\n".join((text, *names))
    return 0 < len(names) <= ITEMS and short and alone and bool(text.strip()) and units(text) <= BODY_CHARS


def types(text: str, choices: Sequence[str], choose: str) -> api.Json:
    """Buttons where they are few and short, else a list. What stands on one comes back, with its number as its id."""
    names = [choice.strip() for choice in choices]
    if len(names) <= BUTTONS and all(units(name) <= BUTTON_CHARS for name in names):
        actions = [{"title": name, "id": str(place)} for place, name in enumerate(names, 1)]
        return {"twilio/quick-reply": {"body": text, "actions": actions}}
    items = [{"item": name, "id": str(place)} for place, name in enumerate(names, 1)]
    return {"twilio/list-picker": {"body": text, "button": choose, "items": items}}


def friendly_name(what: api.Json) -> str:
    """The same for the same content in every process, so that each finds what another made."""
    said = msgspec.json.encode(what, order="sorted")
    return _NAME + hashlib.sha256(said).hexdigest()[:40]


class Contents:
    """Those that are at Twilio, by name: what this process made, and what it found there. The oldest are forgotten."""

    def __init__(self, most: int = KNOWN) -> None:
        self._most = most
        self._sids: dict[tuple[_Shelf, str], str] = {}
        self._looked: set[_Shelf] = set()

    async def sid(self, text: str, choices: Sequence[str], account: Account, wire: Wire) -> str | None:
        """The ContentSid to send; None where Twilio did not give one in time, whatever the reason. Never raises
        SendError: a Content is no message, so nothing has gone out, and the numbered text still can."""
        what = types(text, choices, str(account.settings.get("choose") or CHOOSE))
        shelf, called = _shelf(account), friendly_name(what)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if (shelf, called) not in self._sids and shelf not in self._looked:
                    await self._look(shelf, account, wire)
                if (shelf, called) not in self._sids:
                    self._keep(shelf, called, await _made(called, what, account, wire))
        except (SendError, TimeoutError) as error:
            why = f"{error.code} {error.provider_code}" if isinstance(error, SendError) else "too late"
            _log.warning("answers to tap go as a numbered text", account=account.key, why=why)
            return None
        return self._sids[shelf, called]

    def forget(self, sid: str) -> None:
        """Somebody has deleted it at Twilio."""
        self._sids = {key: known for key, known in self._sids.items() if known != sid}

    async def _look(self, shelf: _Shelf, account: Account, wire: Wire) -> None:
        """What other processes, and this one before it began anew, have made there."""
        where = f"{api.contents_url(account)}/v1/Content?PageSize={_PAGE}"
        for _ in range(_PAGES):
            said = await api.get(wire, account, where, answer_bytes=_PAGE_BYTES)
            rows = said.get("contents")
            for row in rows if isinstance(rows, list) else ():
                called, sid = (
                    (row.get("friendly_name"), row.get("sid")) if isinstance(row, dict) else ("", "")
                )
                if isinstance(called, str) and isinstance(sid, str) and called.startswith(_NAME):
                    self._keep(shelf, called, sid)
            meta = said.get("meta")
            following = meta.get("next_page_url") if isinstance(meta, dict) else None
            # Our credentials go nowhere else, whatever an answer says.
            if not isinstance(following, str) or not following.startswith(f"{api.contents_url(account)}/v1/"):
                break
            where = following
        self._looked.add(shelf)

    def _keep(self, shelf: _Shelf, called: str, sid: str) -> None:
        self._sids[shelf, called] = sid
        while len(self._sids) > self._most:
            del self._sids[next(iter(self._sids))]


def _shelf(account: Account) -> _Shelf:
    return api.contents_url(account), str(account.settings.get("account_sid"))


async def _made(called: str, what: api.Json, account: Account, wire: Wire) -> str:
    asked = {"friendly_name": called, "language": "en", "types": what}
    said = await api.post_json(wire, account, f"{api.contents_url(account)}/v1/Content", asked)
    sid = said.get("sid")
    if not isinstance(sid, str) or not sid.startswith("HX"):
        raise SendError(SendCode.RESPONSE_CONTENT, "Twilio made a Content and said no ContentSid")
    return sid
