"""What a request means: the expected events, and that nothing a provider or a stranger adds to it bends them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import structs

from connectors.base import Answer, Connector, Parsed, Raw, Shared
from connectors.kit import bodies
from connectors.kit.captures import Sample
from connectors.kit.files import Expected, expected
from connectors.kit.tell import Check, Failed, Skipped, must, parse, parse_or_why
from connectors.web import unreadable
from hub import codec, urn
from hub.model import Event, MessageReceived, Unreadable

_URNS = ("sender", "urn", "other", "recipient")  # fields that hold one address


def captures_say_what_was_sent(connector: Connector, sample: Sample) -> None:
    """Each capture against the events beside it, which say what the sender did."""
    for file in sorted(sample.folder.glob("*.yaml")):
        must(
            file.stem in {*sample.captures, "sample"},
            f"{file.name} stands there without its {file.stem}.http",
        )
    for name in sample.captures:
        says(connector, sample, name)


def says(connector: Connector, sample: Sample, name: str) -> None:
    """One capture of them."""
    raw = sample.captures[name]
    wanted = expected(sample, name, raw)
    parsed, why = parse_or_why(connector, raw, sample, name)
    if wanted.events is None:
        must(why is not None, f"{name} should not be readable, and is read as {_kinds(parsed)}")
        must(wanted.reason in str(why), f"{name}: the reason does not say {wanted.reason!r}: {why}")
    else:
        must(why is None, f"{name} cannot be read: {why}")
        _same(parsed.events, wanted, name)
        _blobs(parsed, name)
    told = connector.answer(raw, sample.account, parsed)
    if raw.method == "GET":
        told_of = wanted.answer is not None or wanted.status is not None
        must(
            told_of,
            f"{name}.yaml does not say what a GET is answered (answer:, or status: where words do not matter)",
        )
    if wanted.status is not None:
        must(told.status == wanted.status, f"{name} is answered {told.status}, not {wanted.status}")
    if wanted.answer is not None:
        said = told.body.decode("utf-8", "replace")
        must(wanted.answer == said, f"{name} is answered {said[:80]!r}, not {wanted.answer[:80]!r}")


def _same(got: tuple[Event, ...], wanted: Expected, name: str) -> None:
    assert wanted.events is not None
    must(
        len(got) == len(wanted.events),
        f"{name} gives {len(got)} events ({', '.join(codec.KINDS[type(e)] for e in got)}), not {len(wanted.events)}",
    )
    for place, (one, other) in enumerate(zip(got, wanted.events, strict=True)):
        where = f"{name}, event {place + 1}"
        must(
            type(one) is type(other),
            f"{where} is a {codec.KINDS[type(one)]}, not a {codec.KINDS[type(other)]}",
        )
        if place in wanted.partly:
            said = wanted.partly[place]
            assert isinstance(one, Unreadable)
            must(said.get("reason", "") in one.reason, f"{where}: its reason is {one.reason!r}")
            continue
        for name in one.__struct_fields__:
            a, b = getattr(one, name), getattr(other, name)
            must(a == b, f"{where}: {name} is {a!r}, not {b!r}")


def _blobs(parsed: Parsed, name: str) -> None:
    named = {a.sha256 for e in parsed.events for a in getattr(e, "attachments", ())}
    named |= {e.blob for e in parsed.events if e.blob}
    for blob in parsed.blobs:
        must(
            hashlib.sha256(blob).hexdigest() in named, f"{name}: it gives bytes that none of its events names"
        )
    held = {hashlib.sha256(blob).hexdigest() for blob in parsed.blobs}
    for event in parsed.events:
        if isinstance(event, Unreadable):
            must(event.blob in held, f"{name}: what cannot be read is not among its blobs")


def _kinds(parsed: Parsed) -> str:
    return ", ".join(codec.KINDS[type(e)] for e in parsed.events) or "nothing"


def unknown_fields_change_nothing(connector: Connector, sample: Sample) -> None:
    tried = 0
    for name, raw in sample.captures.items():
        before, why = parse_or_why(connector, raw, sample, name)
        if why is not None:
            continue
        for where, body in bodies.with_a_field_more(raw, sample.open_fields):
            tried += 1
            after, why = parse_or_why(connector, structs.replace(raw, body=body), sample, name)
            what = f"{name} with an unknown field at {where}"
            must(why is None, f"{what} cannot be read any more: {why}")
            must(_plainly(after) == _plainly(before), f"{what} says other things")
    if not tried:
        raise Skipped("its bodies are no JSON, form or multipart that a field could be added to")


def _plainly(parsed: Parsed) -> list[Event]:
    """Without the hashes of the raw bytes, which are others; of what cannot be read, only that there is such."""
    unread = {"event_key": "", "reason": ""}
    return [
        structs.replace(e, blob="", **(unread if isinstance(e, Unreadable) else {})) for e in parsed.events
    ]


def twice_in_one_body_is_once(connector: Connector, sample: Sample) -> None:
    tried = 0
    for name, raw in sample.captures.items():
        before, why = parse_or_why(connector, raw, sample, name)
        if why is not None:
            continue
        for where, body in bodies.doubled(raw):
            after, why = parse_or_why(connector, structs.replace(raw, body=body), sample, name)
            if why is not None:
                must(
                    not sample.batch,
                    f"{name} with everything twice in {where} cannot be read any more: {why}",
                )
                continue
            tried += 1
            new = _keys(after) - _keys(before)
            must(
                not new,
                f"{name} with everything twice in {where} has event keys of its own: {sorted(new)[:3]}",
            )
    if not tried:
        raise Skipped("its captures have no list that could name a thing twice")


def an_unknown_kind_is_kept(connector: Connector, sample: Sample) -> None:
    """As unreadable, or as a message that says what is not supported; never refused, never dropped."""
    if sample.unknown not in sample.captures:
        raise Failed(
            f"there is no {sample.unknown}.http, a kind of event that the connector does not know (key `unknown`)"
        )
    raw = sample.captures[sample.unknown]
    parsed = parse(connector, raw, sample, sample.unknown)
    must(parsed.events, f"{sample.unknown}: an event of an unknown kind leaves nothing behind")
    told = connector.answer(raw, sample.account, parsed)
    must(
        200 <= told.status < 300,
        f"{sample.unknown} is answered {told.status}, so the provider sends it again",
    )


def a_bad_entry_leaves_the_good_ones(connector: Connector, sample: Sample) -> None:
    if not sample.batch:
        raise Skipped("a request carries one event (sample.yaml says no `batch`)")
    tried = 0
    for name, raw in sample.captures.items():
        before, why = parse_or_why(connector, raw, sample, name)
        whole = bodies.json_of(raw)
        if why is not None or whole is None:
            continue
        for path, good in bodies.lists_of_objects(whole):
            if not _carries(connector, raw, sample, name, whole, path, before):
                continue
            tried += 1
            for what, bad in bodies.bad_entries(good[0]):
                for entries, place in (([bad, *good], "before"), ([*good, bad], "after")):
                    body = msgspec.json.encode(bodies.put(whole, path, entries))
                    after = parse(connector, structs.replace(raw, body=body), sample, name)
                    lost = _keys(before) - _keys(after)
                    must(
                        not lost,
                        f"{name}: {what} {place} the good entries of {bodies.spelled(path)} costs {sorted(lost)[:3]}",
                    )
    must(tried, "sample.yaml says `batch`, and no capture has a list whose entries are events")


def _carries(
    connector: Connector, raw: Raw, sample: Sample, name: str, whole: Any, path: bodies.Path, before: Parsed
) -> bool:
    """Does that list carry the events, so that there are fewer without its entries?"""
    body = msgspec.json.encode(bodies.put(whole, path, []))
    after, why = parse_or_why(connector, structs.replace(raw, body=body), sample, name)
    return why is None and _keys(after) < _keys(before) and not _unreadable(after)


def _unreadable(parsed: Parsed) -> bool:
    return any(isinstance(event, Unreadable) for event in parsed.events)


def _keys(parsed: Parsed) -> set[str]:
    return {event.event_key for event in parsed.events}


def verify_and_parse_change_nothing(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.captures.items():
        one, two = parse(connector, raw, sample, name), parse(connector, raw, sample, name)
        must(one == two, f"{name}: read twice it says two things")


def events_are_whole(connector: Connector, sample: Sample) -> None:
    """Every event names its account, survives the journal, and its addresses are in their one spelling."""
    for name, raw in sample.captures.items():
        for event in parse(connector, raw, sample, name).events:
            known = {sample.account.key, *sample.account.siblings.values()}
            must(event.account in known, f"{name}: an event of the account {event.account!r}")
            must(event.event_key, f"{name}: an event without a key")
            must(event.received_at == raw.received_at, f"{name}: received_at is not when the request came")
            must(
                codec.decode(codec.encode(event))[0] == event,
                f"{name}: an event does not survive the journal",
            )
            for address in _addresses(event):
                must(
                    _normal(address) == address,
                    f"{name}: the address {address!r} is not in its one spelling (hub.urn)",
                )


def _addresses(event: Event) -> list[str]:
    found = [getattr(event, field, None) for field in _URNS]
    if isinstance(event, MessageReceived):
        found += [*event.claims, *event.participants]
    return [address for address in found if address is not None]


def _normal(address: str) -> str:
    try:
        return urn.normalise(urn.bare(address))
    except ValueError as error:
        return str(error)


def what_is_anothers_is_not_ours(connector: Connector, sample: Sample) -> None:
    """Where one address serves several accounts (Shared), a body that names another one says nothing to this one."""
    if not isinstance(connector, Shared):
        raise Skipped("each account has an address of its own (it is not Shared)")
    own = connector.own_id(sample.account).encode()
    must(own, "own_id() says nothing for the account of sample.yaml")
    other = bytes(byte - 1 if byte in b"123456789" else byte + 1 for byte in own)
    tried = 0
    for name, raw in sample.captures.items():
        if own not in raw.body:
            continue
        tried += 1
        for event in parse(
            connector, structs.replace(raw, body=raw.body.replace(own, other)), sample, name
        ).events:
            must(
                event.account != sample.account.key or isinstance(event, Unreadable),
                f"{name}: with another account's id in it, it still gives a {codec.KINDS[type(event)]} of this one",
            )
    must(tried, f"no capture names the account as own_id() does ({own.decode()})")


def answers_are_given(connector: Connector, sample: Sample) -> None:
    for name, raw in sample.captures.items():
        parsed = parse(connector, raw, sample, name)
        for what, said in (
            (name, parsed),
            (f"{name}, kept unread,", unreadable(raw, sample.account, "a check")),
        ):
            told = connector.answer(raw, sample.account, said)
            must(isinstance(told, Answer), f"{what}: answer gives {type(told).__name__}, not an Answer")
            must(
                200 <= told.status < 300, f"{what} is answered {told.status}: what is kept is never an error"
            )
    away = connector.unavailable
    must(
        away.status >= 500 or away.body,
        "unavailable must tell the provider to come again (5xx, or words that do)",
    )


def events_are_frozen(connector: Connector, sample: Sample) -> None:
    for event in parse(connector, sample.good_request(), sample, sample.good).events:
        must(isinstance(event, Event), f"{sample.good}: an event that is no event of ours (hub.model)")
        try:
            setattr(event, event.__struct_fields__[0], "other")
        except AttributeError:
            continue
        raise Failed(f"{sample.good}: its event can be changed")


CHECKS: tuple[Check, ...] = (
    captures_say_what_was_sent,
    unknown_fields_change_nothing,
    twice_in_one_body_is_once,
    an_unknown_kind_is_kept,
    a_bad_entry_leaves_the_good_ones,
    verify_and_parse_change_nothing,
    events_are_whole,
    what_is_anothers_is_not_ours,
    answers_are_given,
    events_are_frozen,
)
