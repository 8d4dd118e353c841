"""Meta's Graph API as far as we need it: addresses, the token, one call.

https://developers.facebook.com/docs/graph-api/overview, .../overview/rate-limiting (headers) and
.../guides/secure-requests (appsecret_proof). By a thin client of our own: Meta has none for Python that sends messages
(docs/decisions/0010-client-libraries.md).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from connectors import calling, checking
from connectors.base import Wire
from connectors.graph import errors
from hub.config import Account
from hub.errors import SendCode, SendError

API = "https://graph.facebook.com"
VERSION = "v26.0"  # of 29 July 2026; https://developers.facebook.com/docs/graph-api/changelog
_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_LONGEST_S = 24 * 3600.0

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that goes along as a multipart field."""

    name: str
    content_type: str
    data: bytes = dataclasses.field(repr=False)
    field: str = "file"


def url(account: Account, path: str, query: Mapping[str, str] | None = None, *, host: str = API) -> str:
    """`path` is a node and an edge, "1055/messages". host: where the account names no `api` of its own."""
    base = str(account.settings.get("api") or host).rstrip("/")
    version = str(account.settings.get("version") or VERSION)
    asked = dict(query or {})
    if account.settings.get("proof"):
        asked["appsecret_proof"] = proof(account)
    where = f"{base}/{version}/{quote(path, safe='/')}"
    return f"{where}?{urlencode(asked)}" if asked else where


def token(account: Account) -> str:
    """The newest. Raises SendError where there is none that a header can carry."""
    found = next(iter(account.secrets.get("token", ())), "")
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise SendError(SendCode.CHANNEL_CONFIG, "the access token is none", whole_account=True)
    return found


def proof(account: Account) -> str:
    """appsecret_proof, for apps that are set to "Require app secret"."""
    secret = next(iter(account.secrets.get("app_secret", ())), "")
    return hmac.digest(secret.encode(), token(account).encode(), hashlib.sha256).hex()


def bearer(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(account)}"}


async def post(wire: Wire, account: Account, where: str, what: Mapping[str, Any]) -> Json:
    """JSON to `where` (see `url`). Raises SendError; what may have been done all the same is UNKNOWN."""
    headers = {**bearer(account), "Content-Type": "application/json", "Accept": "application/json"}
    return await _ask(wire, "POST", where, headers, msgspec.json.encode(what))


async def upload(wire: Wire, account: Account, where: str, fields: Mapping[str, str], file: Upload) -> Json:
    """multipart/form-data. An upload that nobody names again does nothing, so it may be tried again: never UNKNOWN."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field(file.field, file.data, filename=file.name, content_type=file.content_type)
    headers = {**bearer(account), "Accept": "application/json"}
    return await _harmless(wire, "POST", where, headers, form)


async def get(wire: Wire, account: Account, where: str, other_token: str = "") -> Json:
    """Raises SendError. Reading changes nothing, so what failed there may be tried again: never UNKNOWN.

    other_token: in place of the account's, such as the app's own ("id|secret")."""
    headers = {"Authorization": f"Bearer {other_token}"} if other_token else bearer(account)
    return await _harmless(wire, "GET", where, {**headers, "Accept": "application/json"}, None)


async def put(wire: Wire, account: Account, where: str, what: Mapping[str, Any]) -> Json:
    """A POST that leaves the same when it is done twice (a subscription, a profile): never UNKNOWN."""
    headers = {**bearer(account), "Content-Type": "application/json", "Accept": "application/json"}
    return await _harmless(wire, "POST", where, headers, msgspec.json.encode(what))


async def delete(wire: Wire, account: Account, where: str) -> Json:
    return await _harmless(wire, "DELETE", where, {**bearer(account), "Accept": "application/json"}, None)


async def _harmless(
    wire: Wire, method: str, where: str, headers: Mapping[str, str], body: bytes | aiohttp.FormData | None
) -> Json:
    try:
        return await _ask(wire, method, where, headers, body)
    except SendError as error:
        if error.code not in (SendCode.UNKNOWN, SendCode.RESPONSE_CONTENT):
            raise
        raise replace(error, code=SendCode.RESPONSE_STATUS, retry=True) from None


async def _ask(
    wire: Wire, method: str, where: str, headers: Mapping[str, str], body: bytes | aiohttp.FormData | None
) -> Json:
    status, said, after_s = await calling.ask(wire, method, where, headers, body, waits=patience)
    if not 200 <= status < 300:
        raise errors.failure(status, said, after_s)
    try:
        answer = msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise SendError(
            SendCode.RESPONSE_CONTENT,
            f"Meta answered {status} with what cannot be read",
            provider_code=str(status),
        )
    if "error" in answer:  # Graph has been seen to say so with a 200
        raise errors.failure(status, said, after_s)
    return answer


def patience(response: aiohttp.ClientResponse) -> float | None:
    """Retry-After; else the longest estimated_time_to_regain_access (minutes) of X-Business-Use-Case-Usage, which also
    stands there, as 0, while nothing is the matter."""
    asked = calling.patience(response)
    if asked is not None:
        return asked
    usage = response.headers.get("X-Business-Use-Case-Usage", "")
    try:
        said = msgspec.json.decode(usage.encode("utf-8", "replace"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    minutes = [
        case.get("estimated_time_to_regain_access")
        for cases in (said.values() if isinstance(said, dict) else ())
        for case in (cases if isinstance(cases, list) else ())
        if isinstance(case, dict)
    ]
    longest = max((value for value in minutes if isinstance(value, int | float)), default=0)
    return min(longest * 60.0, _LONGEST_S) if longest > 0 else None


# ------------------------------------------------------------------------------------------------------- settings


def _version(value: Any) -> str:
    fine = isinstance(value, str) and _VERSION.fullmatch(value)
    return "" if fine else f"must be a version of the Graph API, such as {VERSION}"


def digits(words: str) -> Callable[[Any], str]:
    """For an id of Meta's: in quotes, since YAML's numbers lose digits in some hands."""

    def wrong(value: Any) -> str:
        fine = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 30
        return "" if fine else f"must be {words}: digits, in quotes"

    return wrong


# Each connector adds its own.
KNOWN: checking.Known = {"api": checking.api, "version": _version, "proof": checking.flag}


def complaints(account: Account, known: checking.Known) -> list[str]:
    """One sentence each, also where the handshake could not be answered."""
    found = checking.complaints(account, known)
    if not (account.secret_names.get("verify_token") or account.secrets.get("verify_token")):
        found.append(
            "it needs the secret 'verify_token', a word of yours that Meta's dashboard is given, too"
        )
    return found
