"""Bytes that nobody sends in good faith: what becomes of them, and what reading them costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import Any, get_args

from msgspec import structs

from connectors.base import Connector
from connectors.kit import bodies
from connectors.kit.captures import Sample, with_proof
from connectors.kit.tell import Check, Failed, must, parse, shown
from hub import codec
from hub.errors import Forged, Malformed
from hub.model import Event

# Steps (calls and lines of Python) that reading may take: some for any request, some more for each of its bytes.
STEPS = 20_000
STEPS_A_BYTE = 8
# What the store's columns hold (crm_store/schema, which connectors may not import); an index takes 2,700 bytes.
MOST_CHARS = {
    "event_key": 600, "external_id": 400, "in_reply_to": 400, "thread": 200, "form": 20, "language": 12,
    "sender": 400, "urn": 400, "other": 400, "recipient": 400,
}  # fmt: skip
_FIELDS = {kind: kind.__struct_fields__ for kind in get_args(Event)}
LONG = 200  # times that lists are lengthened for counting


def hostile_bodies_are_forged_or_malformed(connector: Connector, sample: Sample) -> None:
    tried: dict[object, set[object]] = {}
    for name, raw in sample.captures.items():
        for body in bodies.nearly(raw.body, tried.setdefault(bodies.kind(raw), set())):
            nothing_but_forged_and_malformed(connector, sample, body, "x", name)


def nothing_but_forged_and_malformed(
    connector: Connector, sample: Sample, body: bytes, proof: str, name: str = ""
) -> None:
    """Whatever bytes come, verify says Forged and parse says Malformed, and nothing else ever."""
    name = name or sample.good
    raw = structs.replace(sample.captures[name], body=body)

    def what() -> str:  # asked for where something is wrong alone: most of a check's time went into it
        return f"{name} with the body {_excerpt(body, sample.captures[name].body)}"

    try:
        connector.verify(with_proof(raw, sample, proof), sample.account)
    except Forged:
        pass
    except Exception as error:
        raise Failed(f"{what()}: verify raised {shown(error)}, and may raise Forged only") from error
    try:
        parsed = connector.parse(raw, sample.account)
    except (Forged, Malformed):
        return
    except Exception as error:
        raise Failed(f"{what()}: parse raised {shown(error)}, and may raise Malformed only") from error
    for event in parsed.events:
        try:
            codec.encode(event)
        except Exception as error:
            raise Failed(f"{what()}: its event cannot be journalled: {shown(error)}") from error
        _fits_the_store(event, what)
    told = connector.answer(raw, sample.account, parsed)
    if not 200 <= told.status < 300:
        raise Failed(f"{what()} is kept and answered {told.status}")


def _excerpt(body: bytes, good: bytes) -> str:
    """As much of a changed body as shows what was changed."""
    same = next((n for n, (one, other) in enumerate(zip(body, good, strict=False)) if one != other), 0)
    start = max(0, same - 30) if len(body) > 80 else 0
    return f"{'…' if start else ''}{body[start : start + 80]!r}{'…' if len(body) > start + 80 else ''}"


def _fits_the_store(event: Event, what: Callable[[], str]) -> None:
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if isinstance(value, str):
            if "\x00" in value:
                raise Failed(f"{what()}: {name} holds a NUL, which no database takes (connectors.clean)")
            most = MOST_CHARS.get(name)
            if most is not None and len(value) > most:
                raise Failed(f"{what()}: {name} has {len(value):,} characters, more than {most}")
        elif isinstance(value, datetime) and not value.tzinfo:
            raise Failed(f"{what()}: {name} is a time without a zone")


def reading_takes_steps_in_proportion(connector: Connector, sample: Sample) -> None:
    """Counted, not timed: a body that is ten times as long may take ten times the steps, not a hundred times."""
    for name, raw in sample.captures.items():
        for times in (1, LONG):
            body = bodies.long(raw, times)
            if body is None:
                continue
            taken = steps(
                lambda body=body, raw=raw, name=name: parse(
                    connector, structs.replace(raw, body=body), sample, name
                )
            )
            most = STEPS + STEPS_A_BYTE * len(body)
            must(
                taken <= most,
                f"{name}: reading {len(body):,} bytes of it takes {taken:,} steps, more than {most:,}",
            )


def steps(work: Any) -> int:
    """How many calls and lines of Python `work` takes."""
    count = 0

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


CHECKS: tuple[Check, ...] = (
    hostile_bodies_are_forged_or_malformed,
    reading_takes_steps_in_proportion,
)
