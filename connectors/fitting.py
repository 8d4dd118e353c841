"""A provider's JSON that is not quite of the types that its pages name: numbers as text, text as numbers, nulls where
nothing should stand. Older versions, resellers in between and their examples differ so; what is meant is clear.
Nor is all of it always text: a name that is cut at a length ends with half an emoji, and what a person's own program
sends may hold any byte.

Only where the strict reading has failed is it tried, so that what is right costs nothing more. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

_T = TypeVar("_T")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_ESCAPED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,30})?")
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0", "")


def decode(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    """As `decoder.decode`, and where that finds a wrong type, of what is left when all is made to fit; where it finds
    what is no text, with a � in its place. Raises what it raises."""
    try:
        return _decode(decoder, body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if (whole := as_text(bytes(body))) == body:
            raise
        return _decode(decoder, whole)


def as_text(body: bytes) -> bytes:
    """The same JSON, with a � for each half of a surrogate pair and for what is no UTF-8."""
    whole = body.decode(errors="replace").encode()
    return _ESCAPED.sub(lambda found: rb"\ufffd" if found[1] else found[0], whole)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as first:
        wanted: Any = decoder.type
        value = fitted(msgspec.json.decode(body), _types(wanted))
        try:
            return decoder.decode(msgspec.json.encode(value))
        except (msgspec.DecodeError, OverflowError):
            raise first from None


@lru_cache(maxsize=64)
def _types(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def fitted(value: Any, kind: inspect.Type) -> Any:
    """`value` as near to `kind` as it gets without a guess; null where it stands for nothing is left out."""
    if isinstance(kind, inspect.UnionType):
        kind = _member(value, kind)
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        types = {field.encode_name: field.type for field in kind.fields}
        return {
            name: fitted(one, types[name])
            for name, one in value.items()
            if name in types and (one is not None or isinstance(types[name], inspect.RawType))
        }
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        keep = isinstance(kind.item_type, inspect.RawType)  # read one by one, and kept where that fails
        return [fitted(one, kind.item_type) for one in value if keep or one is not None]
    return _plain(value, kind)


def _member(value: Any, kind: inspect.UnionType) -> inspect.Type:
    """The one of the union's types that such a value can be meant to be."""
    members = [one.type if isinstance(one, inspect.Metadata) else one for one in kind.types]
    shape = inspect.StructType if isinstance(value, dict) else inspect.ListType
    if isinstance(value, dict | list):
        return next((one for one in members if isinstance(one, shape)), kind)
    scalars = [one for one in members if isinstance(one, _SCALARS)]
    return scalars[0] if len(scalars) == 1 else kind


_SCALARS = (inspect.StrType, inspect.IntType, inspect.FloatType, inspect.BoolType)


def _plain(value: Any, kind: inspect.Type) -> Any:
    text = str(value)
    if isinstance(kind, inspect.StrType) and isinstance(value, int | float) and not isinstance(value, bool):
        return text
    if isinstance(kind, inspect.IntType):
        if isinstance(value, str) and text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20:
            return int(text)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and _TIME.match(text):
            return _seconds(text)
    if isinstance(kind, inspect.FloatType) and isinstance(value, str) and _NUMBER.fullmatch(text):
        return float(text)
    if isinstance(kind, inspect.BoolType) and text in (*_TRUE, *_FALSE):
        return text in _TRUE
    return value


def _seconds(text: str) -> int | str:
    """A time that is written out, where a number of seconds should stand."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
