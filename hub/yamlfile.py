"""Readers that turn YAML nodes into typed values.

Every complaint is FILE:LINE with its cure, and all are collected before anything is refused. A value is the text that
was written until its reader says what it should be, so `no`, `12:30` and `007` are what they look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar

from hub.errors import Fault
from hub.yamltree import Items, Keys, Node, Scalar, clip, near, nearest, parse

__all__ = ["KEY", "Items", "Keys", "Node", "Reader", "Scalar", "Section", "clip", "near", "parse", "seconds"]

T = TypeVar("T")

MAX_FAULTS = 200  # of one file; more help nobody
KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}")

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(-?)((?:\d+(?:\.\d+)?[smhd])+)")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?\d{1,18}\.\d{1,18}")


def seconds(text: str) -> float | None:
    """`90s`, `5m`, `1h30m`, `-10m`, `0` -> seconds; None where it is none of these."""
    if text == "0":
        return 0.0
    if not (match := _DURATION.fullmatch(text)):
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(match[2]))
    return -total if match[1] else total


class Reader:
    """The complaints about one file, as they are found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def fault(self, line: int, text: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(self.file, line, text))

    def root(self, text: str, what: str) -> Section:
        """The file's mapping; an empty one where the file cannot be read."""
        node, faults = parse(text, self.file)
        self.faults.extend(faults[:MAX_FAULTS])
        if node is None and not faults:
            self.fault(1, f"{what} is empty")
        elif node is not None and not isinstance(node, Keys):
            self.fault(node.line, f"{what} must hold keys (name: value)")
        keys = node if isinstance(node, Keys) else None
        return Section(self, keys or Keys({}, {}, 1, 1, 1), what, keys is None)

    def plain(self, node: Node) -> Any:
        """Plain data, typed as YAML 1.2 has it: true and false, numbers, null, text. `no` and `on` must be quoted."""
        if isinstance(node, Keys):
            return {key: self.plain(value) for key, value in node.entries.items()}
        if isinstance(node, Items):
            return [self.plain(item) for item in node.items]
        if not node.plain:
            return node.text
        if node.empty:
            return None
        if node.text in ("true", "false"):
            return node.text == "true"
        if node.text.lower() in _FLAGS:
            self.fault(
                node.line, f'{node.text} may mean a word or a yes/no: write "{node.text}", true or false'
            )
        if _INTEGER.fullmatch(node.text) and not re.match(r"[+-]?0\d", node.text):
            return int(node.text)
        return float(node.text) if _NUMBER.fullmatch(node.text) else node.text


class Section:
    """A mapping while it is read: ask for each key by the type it should have, then call `done`.

    Every getter returns its default after a complaint, so that reading goes on and finds the other faults.
    `broken`: the mapping could not be read at all, so what it lacks is not worth a complaint.
    """

    def __init__(self, reader: Reader, node: Keys, what: str, broken: bool = False) -> None:
        self.reader, self.node, self.what, self.broken = reader, node, what, broken
        self.line = node.line
        self._asked: dict[str, None] = {}

    def line_of(self, key: str) -> int:
        return self.node.lines.get(key, self.line)

    def fault(self, key: str, text: str) -> None:
        self.reader.fault(self.line_of(key), text)

    def get(self, key: str) -> Node | None:
        """The node of `key`; None where it is missing or left empty."""
        self._asked[key] = None
        node = self.node.entries.get(key)
        return None if isinstance(node, Scalar) and node.empty else node

    def need(self, key: str) -> Node | None:
        node = self.get(key)
        if node is None and not self.broken:
            if key in self.node.entries:
                self.fault(key, f'{self.what}: "{key}" has no value')
            elif nearest(key, self.node.entries) is None:
                self.reader.fault(self.line, f'{self.what} needs "{key}"')
            else:
                self.reader.fault(self.line, f'{self.what} needs "{key}" (is it misspelt?)')
        return node

    def _scalar(self, key: str, wanted: str) -> Scalar | None:
        node = self.get(key)
        if node is None or isinstance(node, Scalar):
            return node
        kind = "a list" if isinstance(node, Items) else "a mapping"
        self.fault(key, f'{self.what}: "{key}" must be {wanted}, not {kind}')
        return None

    def typed(self, key: str, default: T, wanted: str, read: Callable[[str], T | None]) -> T:
        """`read(text)`, or the default after the complaint that it must be `wanted` where that gives None."""
        node = self._scalar(key, wanted)
        if node is None:
            return default
        value = read(node.text)
        if value is None:
            self.fault(key, f'{self.what}: "{key}" must be {wanted}, not "{clip(node.text)}"')
            return default
        return value

    def text(self, key: str, default: str = "", *, limit: int = 200) -> str:
        return self.typed(
            key, default, f"text of at most {limit:,} characters", lambda t: t if len(t) <= limit else None
        )

    def flag(self, key: str, default: bool) -> bool:
        return self.typed(key, default, "true or false", lambda t: _FLAGS.get(t.lower()))

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        def read(text: str) -> int | None:
            return int(text) if _INTEGER.fullmatch(text) and least <= int(text) <= most else None

        return self.typed(key, default, f"a whole number from {least:,} to {most:,}", read)

    def number(self, key: str, default: float, least: float, most: float) -> float:
        def read(text: str) -> float | None:
            fits = _INTEGER.fullmatch(text) or _NUMBER.fullmatch(text)
            return float(text) if fits and least <= float(text) <= most else None

        return self.typed(key, default, f"a number from {least:g} to {most:g}", read)

    def duration(self, key: str, default: T, least: float = 0.0, most: float = 366 * 86400.0) -> float | T:
        fallback: float | T = default

        def read(text: str) -> float | None:
            value = seconds(text)
            return value if value is not None and least <= value <= most else None

        below = "" if least < 0 else f" of {least:g}s or more" if least else ""
        return self.typed(key, fallback, f"a time{below} such as 90s, 5m, 2h or 3d", read)

    def days(self, key: str) -> tuple[date, ...]:
        out = []
        for node in self.items(key, "dates like 2026-12-24"):
            try:
                out.append(date.fromisoformat(node.text if isinstance(node, Scalar) else ""))
            except ValueError:
                self.reader.fault(node.line, f'{self.what}: "{key}" must be dates like 2026-12-24')
        return tuple(out)

    def items(self, key: str, wanted: str = "a list") -> tuple[Node, ...]:
        """The items of a list; one value alone is a list of one."""
        node = self.get(key)
        if isinstance(node, Keys):
            self.fault(key, f'{self.what}: "{key}" must be {wanted}, not a mapping')
            return ()
        return () if node is None else node.items if isinstance(node, Items) else (node,)

    def words(self, key: str, *, limit: int = 80) -> tuple[str, ...]:
        """Texts, each once, in the order given."""
        out: dict[str, None] = {}
        for node in self.items(key, "a word or a list of words"):
            if isinstance(node, Scalar) and not node.empty and 0 < len(node.text.strip()) <= limit:
                out[node.text.strip()] = None
            else:
                self.reader.fault(
                    node.line, f'{self.what}: "{key}" must be words of at most {limit} characters'
                )
        return tuple(out)

    def one_of(self, key: str, default: T, table: Mapping[str, T]) -> T:
        def read(text: str) -> T | None:
            return table.get(text)

        node = self._scalar(key, f"one of {', '.join(table)}")
        if node is not None and node.text not in table:
            self.fault(key, f'{self.what}: "{key}" has no "{clip(node.text)}"{near(node.text, table)}')
            return default
        return self.typed(key, default, f"one of {', '.join(table)}", read)

    def refer(self, key: str, kind: str, among: Collection[str]) -> str | None:
        """The name of something that is declared; None (after a complaint) where it is not."""
        node = self._scalar(key, f"the name of a {kind}")
        if node is None:
            return None
        if node.text not in among:
            self.reader.fault(node.line, f'no {kind} "{clip(node.text)}"{near(node.text, among)}')
            return None
        return node.text

    def refers(self, key: str, kind: str, among: Collection[str]) -> tuple[str, ...]:
        out: dict[str, None] = {}
        for node in self.items(key, f"names of {kind}s"):
            if isinstance(node, Scalar) and node.text in among:
                out[node.text] = None
            else:
                name = node.text if isinstance(node, Scalar) else "…"
                self.reader.fault(node.line, f'no {kind} "{clip(name)}"{near(name, among)}')
        return tuple(out)

    def section(self, key: str) -> Section | None:
        node = self.get(key)
        if node is None:
            return None
        if not isinstance(node, Keys):
            self.fault(key, f'{self.what}: "{key}" must hold keys (name: value)')
            return None
        below = Section(self.reader, node, f"{self.what}: {key}")
        below.line = self.line_of(key)
        return below

    def entries(self, key: str, what: str, pattern: re.Pattern[str] = KEY) -> Iterator[tuple[str, Section]]:
        """Each named entry below `key` as a section that calls itself `what "name"`."""
        below = self.section(key)
        for name, node in below.node.entries.items() if below else ():
            line = below.node.lines[name] if below else 0
            if not pattern.fullmatch(name):
                shape = (
                    "small letters, digits, - and _, a letter first, at most 40"
                    if pattern is KEY
                    else 'named "connector/name"'
                )
                self.reader.fault(line, f'{what} "{clip(name)}": a key is {shape}')
            if isinstance(node, Scalar) and node.empty:
                node = Keys({}, {}, line, 1, 1)
            if not isinstance(node, Keys):
                self.reader.fault(line, f'{what} "{clip(name)}" must hold keys (name: value)')
                continue
            section = Section(self.reader, node, f'{what} "{clip(name)}"')
            section.line = line
            yield name, section

    def done(self) -> None:
        """Complain of every key that nobody asked for."""
        for key, line in self.node.lines.items():
            if key not in self._asked:
                known = near(key, list(self._asked))
                self.reader.fault(line, f'{self.what} knows no "{clip(key)}"{known}')
