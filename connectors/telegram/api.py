"""One call of the Bot API (https://core.telegram.org/bots/api#making-requests), by a client of our own on aiohttp.

Not by python-telegram-bot (docs/decisions/0010-client-libraries.md says why, with figures): the hub's sends go through
one guarded session, and what is known when no answer comes must be known exactly (connectors/calling.py).
The token is part of the address, so no address ever comes into a text, a log or a stored value.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec

from connectors import calling, fitting
from connectors.base import Wire
from connectors.telegram.errors import Refusal, error
from hub.config import Account
from hub.errors import SendCode, SendError

T = TypeVar("T")
API = "https://api.telegram.org"
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that goes along, named in the parameters as `attach://<field>` or as the field itself."""

    field: str
    name: str
    content_type: str
    data: bytes = dataclasses.field(repr=False)


class _Envelope(msgspec.Struct, gc=False):
    ok: bool
    result: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(_Envelope)
_refusal = msgspec.json.Decoder(Refusal)


async def call(
    wire: Wire,
    account: Account,
    method: str,
    parameters: Mapping[str, Any],
    result: type[T],
    files: Sequence[Upload] = (),
    *,
    answer_bytes: int = calling.ANSWER_BYTES,
) -> T:
    """The result, read as `result`. Raises SendError; what cannot be read although it says 200 is RESPONSE_CONTENT."""
    url = f"{base(account)}/bot{token(account)}/{method}"
    body: bytes | aiohttp.FormData
    if files:
        body, headers = _form(parameters, files), {"Accept": "application/json"}
    else:
        body, headers = msgspec.json.encode(parameters), dict(_JSON)
    status, said, after_s = await calling.ask(wire, "POST", url, headers, body, answer_bytes=answer_bytes)
    if status == 200:
        try:
            envelope = fitting.decode(_envelope, said)
            if envelope.ok:
                return msgspec.json.decode(envelope.result, type=result)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SendError(
                SendCode.RESPONSE_CONTENT, f"{method}: the answer cannot be read", provider_code="200"
            ) from None
    try:
        refusal = _refusal.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        refusal = Refusal()
    raise error(refusal.error_code or status, refusal, after_s)


def base(account: Account) -> str:
    return str(account.settings.get("api") or API).rstrip("/")


def token(account: Account) -> str:
    """The newest. Raises SendError(CHANNEL_CONFIG) where there is none, or one that would change the address."""
    found = next(iter(account.secrets.get("token", ())), "")
    if not found or not all(c.isascii() and (c.isalnum() or c in ":_-") for c in found):
        raise SendError(
            SendCode.CHANNEL_CONFIG, "the token is none: it looks like 123456:ABC-…", whole_account=True
        )
    return found


def _form(parameters: Mapping[str, Any], files: Sequence[Upload]) -> aiohttp.FormData:
    """multipart/form-data; what is no text goes as JSON. Names stand there as UTF-8, as browsers send them."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in parameters.items():
        form.add_field(name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
    for file in files:
        # As a stream: aiohttp warns of large bytes, for they would go out in one piece.
        form.add_field(file.field, io.BytesIO(file.data), filename=file.name, content_type=file.content_type)
    return form
