"""An account's settings in YAML, checked. docs/channels/sms_twilio.md and whatsapp_twilio.md tell people of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connectors import checking, http
from connectors.twilio import contents
from hub import urn
from hub.config import Account

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
BACKFILL_S = 300.0
FIRST_S = 3600.0
_DAY_S = 24 * 3600.0


def _matches(pattern: re.Pattern[str], words: str) -> Callable[[Any], str]:
    def wrong(value: Any) -> str:
        return "" if isinstance(value, str) and pattern.fullmatch(value) else words

    return wrong


def _numbers(value: Any) -> str:
    words = "must be a list of our numbers, each with + and its country code, or a short code"
    if not isinstance(value, list) or not value:
        return words
    for one in value:
        if not isinstance(one, str | int):
            return words
        try:
            urn.tel(str(one))
        except ValueError:
            return f"holds {str(one)[:40]!r}, which is no phone number: write it in quotes, with + and the country code"
    return ""


def _seconds(value: Any) -> str:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _DAY_S
    return "" if fine and (value == 0 or value >= 10) else "must be seconds: 0 for never, or 10 to 86400"


def _url(value: Any) -> str:
    return checking.text(value) or http.complaint(value) or ""


def _choose(value: Any) -> str:
    fine = isinstance(value, str) and 0 < len(value.strip()) <= contents.CHOOSE_CHARS
    return (
        ""
        if fine
        else f"must be text of at most {contents.CHOOSE_CHARS} characters: it opens a list of answers"
    )


KNOWN: checking.Known = {
    "account_sid": _matches(_ACCOUNT, "must be the Account SID: AC and 32 hexadecimal digits"),
    "messaging_service_sid": _matches(
        _SERVICE, "must be a messaging service's SID: MG and 32 hexadecimal digits"
    ),
    "numbers": _numbers,
    "fallback_url": _url,
    "backfill_s": _seconds,
    "backfill_first_s": _seconds,
    "api": checking.api,
}
SMS: checking.Known = {**KNOWN, "mms": checking.flag}
WHATSAPP: checking.Known = {**KNOWN, "choose": _choose}


def complaints(account: Account, known: checking.Known) -> list[str]:
    """One sentence each."""
    found = checking.complaints(account, known)
    if "account_sid" not in account.settings:
        found.append("account_sid is missing: the Account SID from Twilio's console, AC…")
    if account.address is not None:
        try:
            urn.tel(account.address)
        except ValueError:
            found.append("address must be our number, with + and its country code, or a short code")
    elif not account.settings.get("numbers") and not account.settings.get("messaging_service_sid"):
        found.append("say which number is ours: address, numbers, or messaging_service_sid")
    names = account.secret_names or account.secrets
    if ("api_key" in names) != ("api_secret" in names):
        found.append("api_key and api_secret belong together: name both or neither")
    return found


def numbers(account: Account) -> tuple[str, ...]:
    """Our own numbers as Twilio writes them, the address first: "+14155550100", "12345"."""
    given = [account.address] if account.address else []
    given += [str(one) for one in account.settings.get("numbers") or ()]
    return tuple(dict.fromkeys(urn.tel(one).removeprefix("tel:") for one in given))


def service(account: Account) -> str:
    return str(account.settings.get("messaging_service_sid") or "")
