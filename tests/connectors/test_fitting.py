"""JSON that is not quite of the types that its pages name."""

from typing import Annotated, Any

import msgspec
import pytest

from connectors import fitting
from tests.each import each


class Inner(msgspec.Struct):
    name: str = ""
    size: float = 0.0


class Outer(msgspec.Struct):
    id: str
    at: Annotated[int, msgspec.Meta(ge=0)] = 0
    flag: bool = False
    inner: Inner | None = None
    either: int | str = 0
    many: list[Inner] = []
    words: list[str] = []
    raw: list[msgspec.Raw] = []


DECODER = msgspec.json.Decoder(Outer)


@each(
    "given, read",
    [
        ({"id": 7}, Outer(id="7")),
        ({"id": "7", "at": "1795341600"}, Outer(id="7", at=1795341600)),
        ({"id": "7", "at": 5.0}, Outer(id="7", at=5)),
        ({"id": "7", "at": "2026-11-22T10:00:00+0000"}, Outer(id="7", at=1795341600)),
        ({"id": "7", "at": None, "inner": None, "many": None}, Outer(id="7")),
        ({"id": "7", "flag": 1}, Outer(id="7", flag=True)),
        ({"id": "7", "flag": "false"}, Outer(id="7")),
        ({"id": 7, "either": "x"}, Outer(id="7", either="x")),
        ({"id": 7, "inner": {"name": 5, "size": "1.5", "new": [None]}}, Outer(id="7", inner=Inner("5", 1.5))),
        ({"id": 7, "many": [None, {"name": None}]}, Outer(id="7", many=[Inner()])),
        ({"id": 7, "words": [1, None, "b"]}, Outer(id="7", words=["1", "b"])),
    ],
)
def test_what_is_meant_is_read(given: dict[str, Any], read: Outer) -> None:
    assert fitting.decode(DECODER, msgspec.json.encode(given)) == read


@each(
    "given, name",
    [
        (rb"a\ud83d", "a�"),
        (rb"\uDE00b", "�b"),
        (rb"\ud83d\ud83d\ude00", "�😀"),
        (rb"\\ud83d \ud83d", "\\ud83d �"),
        (rb"\ud83d\\ude00", "�\\ude00"),
        (b"a\xff\xc3\xa4", "a�ä"),
        (b"\xed\xa0\xbd\\u00e4", "���ä"),
    ],
)
def test_what_is_no_text_costs_nothing_beside_it(given: bytes, name: str) -> None:
    body = b'{"id":7,"inner":{"name":"' + given + b'"},"raw":["' + given + b'"]}'
    found = fitting.decode(DECODER, body)
    assert (found.id, found.inner) == ("7", Inner(name))
    assert fitting.decode(msgspec.json.Decoder(str), found.raw[0]) == name


def test_what_is_kept_raw_is_kept_as_it_came() -> None:
    found = fitting.decode(DECODER, b'{"id":7,"raw":[{"a":null}, null]}')
    assert [bytes(one) for one in found.raw] == [b'{"a":null}', b"null"]


@each(
    "given",
    [
        '{"id":{"no":"id"}}',
        '{"id":null}',
        "{}",
        '{"id":"7","at":"soon"}',
        '{"id":"7","at":-1}',
        "[]",
        '{"id":true}',
    ],
)
def test_nothing_is_guessed(given: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        fitting.decode(DECODER, given.encode())
