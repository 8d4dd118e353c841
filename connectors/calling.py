"""One request to a provider, and what is known of it when no whole answer comes. Every `send` over HTTP goes here.

And what may go wrong before anything leaves: the bytes of an attachment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp

from connectors import http
from connectors.base import Wire
from hub.errors import NotFound, SendCode, SendError, Unavailable
from hub.model import Attachment

ANSWER_BYTES = 256 * 1024  # of a provider's answer; more is not read


def patience(response: aiohttp.ClientResponse) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3); a date there is rare from APIs and left to our own back-off."""
    value = response.headers.get("Retry-After", "")
    return (
        float(min(int(value), 24 * 3600)) if value.isascii() and value.isdigit() and len(value) < 9 else None
    )


async def file_bytes(wire: Wire, file: Attachment, sent_ids: tuple[str, ...] = ()) -> bytes:
    """What an attachment holds; `sent_ids`: what of its message went out before it.

    Raises SendError, since that it did not go out is certain: MESSAGE_INVALID where the file is gone,
    CONNECTION_FAILED where it cannot be read now.
    """
    try:
        return await wire.blobs.read(file.sha256)
    except NotFound:
        why = f"the file {file.name or 'attached'} is gone"
        raise SendError(SendCode.MESSAGE_INVALID, why, sent_ids=sent_ids) from None
    except Unavailable as error:
        raise SendError(SendCode.CONNECTION_FAILED, str(error), retry=True, sent_ids=sent_ids) from None


async def ask(
    wire: Wire,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | aiohttp.FormData | None = None,
    *,
    answer_bytes: int = ANSWER_BYTES,
    waits: Callable[[aiohttp.ClientResponse], float | None] = patience,
) -> tuple[int, bytes, float | None]:
    """(status, body, Retry-After in seconds). Redirects are not followed; an answer that is too long reads as empty.

    waits: reads the third from an answer, where a provider has headers of its own for it.
    Raises SendError where no whole answer came: CONNECTION_FAILED if nothing can have left, else UNKNOWN; and
    CHANNEL_CONFIG where the address is none that we call.
    """
    left = False  # has anything of the request reached them?
    # A payload of its own kind, or every kind that aiohttp has is asked whether it is one of theirs.
    data = aiohttp.BytesPayload(body) if isinstance(body, bytes) else body
    try:
        async with wire.http.request(
            method, url, data=data, headers=headers, allow_redirects=False
        ) as response:
            left = True
            try:
                said = await http.read_capped(response, answer_bytes)
            except http.TooLarge:
                said = b""
            except (aiohttp.ClientError, TimeoutError, OSError):
                if response.status >= 300:  # a refusal stays one, whatever its page would have said
                    return response.status, b"", waits(response)
                raise
            return response.status, said, waits(response)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, http.TargetRefused) as error:
        if refused := http.refusal(error):
            raise SendError(SendCode.CHANNEL_CONFIG, str(refused), whole_account=True) from None
        raise SendError(
            SendCode.CONNECTION_FAILED, f"no connection: {type(error).__name__}", retry=True
        ) from None
    except aiohttp.InvalidURL:
        raise SendError(SendCode.CHANNEL_CONFIG, "the address is not a URL", whole_account=True) from None
    except (TimeoutError, aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        what = "the answer broke off" if left else "no answer came"
        raise SendError(SendCode.UNKNOWN, f"{what}: {type(error).__name__}") from None
