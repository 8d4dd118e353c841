"""Twilio's REST API as far as we need it: who we are there, one call, and the addresses of things.

https://www.twilio.com/docs/usage/api, https://www.twilio.com/docs/usage/requests-to-twilio
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from connectors import calling
from connectors.base import Wire
from connectors.twilio import errors
from connectors.twilio.signature import FORM
from hub.config import Account
from hub.errors import SendCode, SendError

API = "https://api.twilio.com"
SERVICES = "https://messaging.twilio.com"  # messaging services and WhatsApp senders live at another host
CONTENTS = "https://content.twilio.com"  # and Contents at a third
VERSION = "2010-04-01"
# Connection overrides, which Twilio reads and never sends: three tries more, on failures of ours too, all within the
# 15 seconds that it gives a webhook. https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
OVERRIDES = "#rc=3&rp=5xx,ct,rt"

Json = dict[str, Any]


def base_url(account: Account) -> str:
    return str(account.settings.get("api") or API).rstrip("/")


def services_url(account: Account) -> str:
    return str(account.settings.get("api") or SERVICES).rstrip("/")


def contents_url(account: Account) -> str:
    return str(account.settings.get("api") or CONTENTS).rstrip("/")


def url(account: Account, path: str = "") -> str:
    """`path` of the account's own resources: "/Messages.json". Raises SendError."""
    sid = account.settings.get("account_sid")
    if not sid:
        raise SendError(SendCode.CHANNEL_CONFIG, "the account has no account_sid", whole_account=True)
    return f"{base_url(account)}/{VERSION}/Accounts/{sid}{path}"


def authorization(account: Account) -> str:
    """Basic: an API key where there is one, else the account's SID and its auth token, the newest."""
    keys, secrets = account.secrets.get("api_key", ()), account.secrets.get("api_secret", ())
    user, password = (
        (keys[0], secrets[0])
        if keys and secrets
        else (account.settings.get("account_sid", ""), account.secrets["auth_token"][0])
    )
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def post(wire: Wire, account: Account, where: str, form: Iterable[tuple[str, str]]) -> Json:
    """Raises SendError; what may have been done all the same is UNKNOWN."""
    headers = {"Authorization": authorization(account), "Content-Type": FORM, "Accept": "application/json"}
    body = urlencode(list(form)).encode()
    status, said, after_s = await calling.ask(wire, "POST", where, headers, body)
    return _json(status, said, after_s)


async def post_json(wire: Wire, account: Account, where: str, what: Json) -> Json:
    headers = {"Authorization": authorization(account), "Content-Type": "application/json"}
    status, said, after_s = await calling.ask(wire, "POST", where, headers, msgspec.json.encode(what))
    return _json(status, said, after_s)


async def get(wire: Wire, account: Account, where: str, *, answer_bytes: int = calling.ANSWER_BYTES) -> Json:
    """Raises SendError. Reading changes nothing, so what failed there may be tried again."""
    headers = {"Authorization": authorization(account), "Accept": "application/json"}
    try:
        status, said, after_s = await calling.ask(wire, "GET", where, headers, answer_bytes=answer_bytes)
        return _json(status, said, after_s)
    except SendError as error:
        if error.code not in (SendCode.UNKNOWN, SendCode.RESPONSE_CONTENT):
            raise
        raise replace(error, code=SendCode.RESPONSE_STATUS, retry=True) from None


def _json(status: int, body: bytes, after_s: float | None) -> Json:
    if not 200 <= status < 300:
        raise errors.failure(status, body, after_s)
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise SendError(SendCode.RESPONSE_CONTENT, f"Twilio answered {status} with what cannot be read")
    return said
