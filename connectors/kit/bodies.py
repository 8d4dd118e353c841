"""Bodies made from a good one: with a field more, an element twice, a bad entry among good ones, and hostile."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from connectors.base import Raw

EXTRA = "mainstem_check"  # no provider sends a field of this name
Path = tuple[str | int, ...]


def json_of(raw: Raw) -> Any:
    """The body as JSON; None where it is none (or is `null`)."""
    try:
        return msgspec.json.decode(raw.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_form(raw: Raw) -> bool:
    return (raw.header("content-type") or "").partition(";")[0].strip() == "application/x-www-form-urlencoded"


def with_a_field_more(raw: Raw, open_fields: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """(where, the body with one field more there), for every object of JSON, a form's parameters, or a part more."""
    whole = json_of(raw)
    for path, found in walk(whole):
        if isinstance(found, dict) and not any(key in open_fields for key in path):
            changed = copy.deepcopy(whole)
            at(changed, path)[EXTRA] = {"of": ["next", 1, None, True]}
            yield spelled(path), msgspec.json.encode(changed)
    if is_form(raw):
        yield "the end", raw.body + b"&Mainstem%43heck=1&" + EXTRA.encode() + b"="
        yield "the beginning", EXTRA.encode() + b"=%C3%A4&" + raw.body
    kind = raw.header("content-type") or ""
    if kind.startswith("multipart/form-data") and "boundary=" in kind:
        boundary = kind.partition("boundary=")[2].partition(";")[0].strip('"').encode()
        part = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n1\r\n' % (boundary, EXTRA.encode())
        yield "the beginning", part + raw.body


def doubled(raw: Raw) -> Iterator[tuple[str, bytes]]:
    """(where, the body with every element of that list twice)."""
    whole = json_of(raw)
    for path, found in walk(whole):
        if isinstance(found, list) and found:
            changed = put(whole, path, [one for one in found for _ in range(2)])
            yield spelled(path), msgspec.json.encode(changed)


def respelled(raw: Raw) -> bytes:
    """The same JSON in other bytes; the body itself where it is none."""
    whole = json_of(raw)
    if whole is not None:
        compact = msgspec.json.encode(whole)
        return compact if compact != raw.body else msgspec.json.format(raw.body, indent=1)
    return raw.body


def lists_of_objects(whole: Any) -> Iterator[tuple[Path, list[Any]]]:
    for path, found in walk(whole):
        if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
            yield path, found


def bad_entries(good: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(what it is, an entry that cannot be read), some of them made from a good one."""
    yield "null", None
    yield "a number", 7
    yield "a text", "x"
    yield "an empty object", {}
    yield "a list", []
    yield "an object of a kind that nobody knows", {EXTRA: {"type": "telepathy"}, "type": "telepathy"}
    odd: tuple[Any, ...] = (None, 7, [], {}, "x")
    for key in good:
        yield f"one without {key!r}", {k: v for k, v in good.items() if k != key}
        for value in odd:
            yield f"one whose {key!r} is {value!r}", {**good, key: value}


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every object and list in it, from the outside in, with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        yield path, value
        for place, inner in enumerate(value):
            yield from walk(inner, (*path, place))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def put(whole: Any, path: Path, value: Any) -> Any:
    """A copy of `whole` with `value` at `path`; what does not hold that place is shared, and not to be changed."""
    if not path:
        return value
    changed = whole.copy()
    changed[path[0]] = put(whole[path[0]], path[1:], value)
    return changed


def spelled(path: Path) -> str:
    """("entry", 0, "changes") -> entry[0].changes"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the outermost level"


RUBBISH = (
    b"", b"null", b"[]", b"{}", b"\x00", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"=" * 1000, b"&" * 10_000,
    b"%ZZ%00%FF=%ED%A0%80", b"--\r\n" * 1000,
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, "", 0, -1, 1e400, True, [], {}, "\x00", "a" * 10_000, 10**400, "٣", ["x"] * 300, {"a": {"b": []}},
    "\u202e\u0000\ufeff", -(1 << 63), 1e300, [[]], [None],
)  # fmt: skip


def nearly(good: bytes, tried: set[object] | None = None) -> list[bytes]:
    """Bodies that a parser is likely to trip over, made from one that it takes.

    tried: what was tried with others of the same `kind`, which is left out and added to. A place stands for another
    where all that holds it has the same keys and the same words (`type`, `status` and whatever else is spelled in
    lower case): there a parser goes the same way.
    """
    tried = set() if tried is None else tried
    out = [
        good[:-1],
        good[: len(good) // 2],
        good[1:],
        good * 2,
        good.replace(b"=", b"=%00%ED%A0%80", 3),
        good.replace(b"&", b"&&", 3),
        good.replace(b"\r\n", b"\n"),
    ]
    if _first("rubbish", tried):
        out += RUBBISH
    try:
        whole = msgspec.json.decode(good)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return out + _odd_parameters(good, tried)
    held_by: dict[Path, object] = {(): None}  # place -> what holds it, by keys and words
    for path, found in walk(whole):
        keys = list(found) if isinstance(found, dict) else range(min(len(found), 2))
        around: tuple[object, ...] = (held_by[path[:-1]], path)
        if isinstance(found, dict):
            around = (*around, frozenset((k, _word(v)) for k, v in found.items()))
        held_by[path] = hash(around)
        for key in keys:
            if _first((held_by[path], key), tried):
                out += _odd(whole, (*path, key), good)
    out.append(good.replace(b'"', b'"\\ud800', 3))
    return out


def kind(raw: Raw) -> object:
    """Alike for requests that differ in their bodies and proofs alone, and in nothing that says what they are."""
    said = ((name, value) for name, values in raw.headers.items() for value in values if not _varies(value))
    return raw.method, raw.url.partition("?")[0], frozenset(said)


def _varies(value: str) -> bool:
    """A number, a signature, a time."""
    return len(value) > 60 or any(char.isdigit() for char in value)


def _first(what: object, tried: set[object]) -> bool:
    if what in tried:
        return False
    tried.add(what)
    return True


def _word(value: object) -> object:
    """What may decide how the rest is read: a word of a provider's own, or of which type a value is."""
    if isinstance(value, str) and re.fullmatch(r"[a-z_]{1,40}", value):
        return value
    return value if isinstance(value, bool) else type(value).__name__


def _odd_parameters(good: bytes, tried: set[object]) -> list[bytes]:
    """Of a form: each parameter left out, given twice, and with values that nobody expects."""
    pairs = [pair.partition(b"=")[::2] for pair in good.split(b"&") if b"=" in pair]
    odd = (
        b"",
        b"%00",
        b"-1",
        b"9" * 400,
        b"a" * 10_000,
        b"%D9%A3",
        b"%FF",
        b"%ED%A0%80",
        b"https://127.0.0.1/",
        b"[]",
    )
    out: list[bytes] = []
    around = frozenset((name, _word(value.decode("latin-1"))) for name, value in pairs)
    for place, (name, value) in enumerate(pairs[:60]):
        if not _first((around, name), tried):
            continue
        rest = [*pairs[:place], *pairs[place + 1 :]]
        changed = (rest, [*pairs, (name, value)], *([*rest, (name, other)] for other in odd))
        out += [b"&".join(b"=".join(pair) for pair in one) for one in changed]
    return out


def _odd(whole: Any, path: Path, good: bytes) -> Iterator[bytes]:
    for value in ODD:
        try:
            yield msgspec.json.encode(put(whole, path, value))
        except (OverflowError, ValueError, TypeError):
            key = f'"{path[-1]}":'.encode()
            yield good.replace(key, key + b'1e999,"_":')


def long(raw: Raw, times: int) -> bytes | None:
    """The same request with every list of it `times` as long, for counting what reading it takes."""
    whole = json_of(raw)
    if whole is None:
        return raw.body + b"".join(b"&extra%d=%d" % (n, n) for n in range(times)) if is_form(raw) else None
    longer = copy.deepcopy(whole)
    for path, found in list(walk(whole)):
        if isinstance(found, list) and found and not any(isinstance(step, int) for step in path):
            at(longer, path)[:] = found * times  # the same ones: they are only written out
    return _lengthened(longer, times)


def _lengthened(value: Any, times: int) -> bytes:
    if isinstance(value, dict):
        value = {**value, EXTRA: ["x"] * times, f"{EXTRA}_text": "x" * 10 * times}
    return msgspec.json.encode(value)
