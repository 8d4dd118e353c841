"""A visitor's own stream in Redis: what we said to somebody who sits at a page or a terminal.

The worker appends, the process that holds the visitor's connection forwards. Entries go after TTL_S without a new
one, and the oldest beyond KEPT; the store remembers for ever, is asked by whoever comes, and fills a lost stream again.
`epoch` tells that it was lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from hub.errors import SendCode, SendError
from hub.model import Change, Outgoing, Revision, Sent
from hub.redis import GONE

TTL_S = (
    24 * 3600
)  # a day: until then every status is long in the store, where a page that comes later finds it
KEPT = 4_000  # messages, or a little more: whoever comes back every day keeps the stream alive for ever
NUDGES = "ms:visitor-nudges"  # published after each append: `account visitor`
EPOCH = "ms:visitor-epoch"
HERE_S = 30  # a chat that looks for news, as it does every few seconds, is open; so long after its last look


class File(msgspec.Struct, array_like=True, gc=False):
    sha256: str
    name: str
    size_bytes: int
    content_type: str


class Line(msgspec.Struct, gc=False, omit_defaults=True):
    """One message of ours. `seq` is the interaction's id, the same that History gives; time in milliseconds.

    change: which of the message's changes this is, 0 as it was first said; the highest counts. gone: taken back.
    """

    seq: int
    text: str
    at_ms: int
    by: str = ""
    files: list[File] = []
    change: int = 0
    gone: bool = False


_decoder = msgspec.json.Decoder(Line)


def key(account: str, visitor: str) -> str:
    return f"ms:visitor:{account}:{visitor}"


def here_key(account: str, visitor: str) -> str:
    """There while the visitor has a chat open."""
    return f"ms:visitor-here:{account}:{visitor}"


def external_id(seq: int) -> str:
    """The id by which a receipt names the message. The same for every attempt."""
    return str(seq)


async def append(redis: Any, message: Outgoing, visitor: str) -> Sent:
    """Put a message into its visitor's stream and nudge whoever holds the connection.

    Appending twice is harmless: readers tell by `seq` what they have shown. So every failure may be retried.
    Raises SendError(CONNECTION_FAILED) where Redis does not take it.
    """
    line = _line(message)
    await _put(redis, message.account, visitor, line)
    return Sent(external_ids=(external_id(line.seq),))


async def change(redis: Any, revision: Revision, visitor: str) -> Sent:
    """Put into the stream how a message reads now, or that it is gone. Twice is harmless, as with append."""
    line = _line(revision.message)
    if revision.change is Change.DELETE:
        line = Line(seq=line.seq, text="", at_ms=line.at_ms, by=line.by, gone=True)
    line.change = revision.number
    await _put(redis, revision.message.account, visitor, line)
    return Sent(external_ids=revision.external_ids)


def _line(message: Outgoing) -> Line:
    return Line(
        seq=message.interaction_id or message.delivery_id,
        text=message.text,
        at_ms=int(message.created_at.timestamp() * 1000) if message.created_at else 0,
        by=message.author_name,
        files=[File(a.sha256, a.name, a.size_bytes, a.content_type) for a in message.attachments],
    )


async def _put(redis: Any, account: str, visitor: str, line: Line) -> None:
    name = key(account, visitor)
    try:
        async with redis.pipeline(transaction=False) as pipe:
            pipe.xadd(name, {"m": msgspec.json.encode(line)}, maxlen=KEPT, approximate=True)
            pipe.expire(name, TTL_S)
            pipe.publish(NUDGES, f"{account} {visitor}")
            await pipe.execute()
    except GONE as error:
        raise SendError(
            SendCode.CONNECTION_FAILED, f"Redis does not take it: {type(error).__name__}", retry=True
        ) from None


async def find(redis: Any, message: Outgoing, visitor: str) -> Sent | None:
    """Is the message in its visitor's stream? None: it is not, and may be appended (again) without harm."""
    seq = message.interaction_id or message.delivery_id
    try:
        entries = await redis.xrange(key(message.account, visitor))
    except GONE as error:
        raise SendError(SendCode.UNKNOWN, f"Redis does not answer: {type(error).__name__}") from None
    found = any(line.seq == seq for _, line in lines(entries))
    return Sent(external_ids=(external_id(seq),)) if found else None


async def read(redis: Any, account: str, visitor: str, after: str = "0") -> list[tuple[str, Line]]:
    """(stream id, message) of everything after the stream id `after`, in order."""
    return lines(await redis.xrange(key(account, visitor), min=f"({after}"))


def lines(entries: Sequence[Any]) -> list[tuple[str, Line]]:
    """Redis's answer to XRANGE as messages; bytes of a version that we cannot read are passed over."""
    out = []
    for at, fields in entries:
        try:
            line = _decoder.decode(fields[b"m"])
        except (msgspec.DecodeError, KeyError):
            continue
        out.append((at.decode() if isinstance(at, bytes) else str(at), line))
    return out


async def look(redis: Any, account: str, visitor: str, after: str) -> tuple[str, list[tuple[str, Line]]]:
    """(epoch, what follows the stream id `after`) in one round trip.

    The epoch is a word that changes when Redis has forgotten everything (FLUSHALL, an empty new server).
    """
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(EPOCH, secrets.token_hex(8), nx=True)
        pipe.get(EPOCH)
        pipe.set(here_key(account, visitor), b"1", ex=HERE_S)
        pipe.xrange(key(account, visitor), min=f"({after}")
        _, found, _, entries = await pipe.execute()
    return (found.decode() if found else ""), lines(entries)
