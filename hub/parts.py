"""How an entry stands in the stream: sixteen parts, a key each, and which part is whose."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from hub.codec import decode
from hub.errors import NewerVersion
from hub.model import CallEvent, ConsentChanged, DeliveryReported, Event, IdentityLearned, MessageChanged
from hub.model import MessageReceived as Message

PARTS = 16
GROUP = "router"
EPOCH = (
    "ms:epoch"  # set by who made the streams; gone with them, so that every writer sees that they were lost
)

# The fields of an entry. One letter each: they are sent with every one.
PRODUCER, SEQ, ACCEPTED, PAYLOAD = b"p", b"s", b"a", b"d"


def key(part: int) -> str:
    """The stream of one part."""
    return f"ms:stream:{part}"


KEYS = tuple(key(part) for part in range(PARTS))


def part_of(event: Event) -> int:
    """The part whose order concerns `event`: all that one sender says is in one, for ever (CRC-32, no process's hash).

    A provider's reports of one message stay in order among themselves; what a provider reports of a message may
    overtake the message, which the store copes with anyway.
    """
    match event:
        case Message() | MessageChanged() | CallEvent():
            of = event.sender
        case ConsentChanged() | IdentityLearned():
            of = event.urn
        case DeliveryReported():
            of = f"{event.account} {event.external_id or event.delivery_id or event.recipient}"
        case _:
            of = f"{event.account} {event.event_key}"
    return zlib.crc32(of.encode("utf-8", "replace")) % PARTS


def part_of_payload(payload: bytes) -> int:
    """The same for journalled bytes; where they cannot be read, any part will do, and it is always the same."""
    try:
        return part_of(decode(payload)[0])
    except (ValueError, NewerVersion):
        return zlib.crc32(payload) % PARTS


def payload(fields: Mapping[bytes, bytes]) -> bytes:
    """The encoded event of a stream entry as Redis gives it; empty where there is none."""
    return fields.get(PAYLOAD, b"")
