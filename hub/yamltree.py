"""YAML -> nodes that know their line; every complaint about the YAML itself is FILE:LINE with its cure.

Built on the parser's events, not on PyYAML's loader: a value stays the text that was written until a reader
(hub/yamlfile.py) asks for a type, a doubled key is seen, tags are refused, and nesting and aliases are bounded before
anything is expanded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import yaml

from hub.errors import Fault

MAX_CHARS = 1_000_000  # a thousand rules are about 150,000
MAX_NODES = 100_000  # with every alias counted as often as it is used: no "billion laughs"
MAX_DEPTH = 24

_CURES = (
    ("cannot start any token", "indent with spaces, not tabs, and quote text that begins with @ ` % or &"),
    ("mapping values are not allowed", 'quote the text if it has a colon in it ("like: this")'),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("found undefined alias", "an *alias needs its &anchor above it"),
    ("did not find expected key", "check the indentation, and that quotes and brackets are closed"),
    ("did not find expected '-' indicator", "check the indentation of the list"),
    ("did not find expected", "check that brackets and quotes are closed"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it was written. `plain`: without quotes. size and depth as of every node: itself and below."""

    text: str
    line: int
    plain: bool
    size: int = 1
    depth: int = 1

    @property
    def empty(self) -> bool:
        return self.plain and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    line: int
    size: int
    depth: int


@dataclass(frozen=True, slots=True)
class Keys:
    entries: dict[str, Node]
    lines: dict[str, int]
    line: int
    size: int
    depth: int


Node = Scalar | Items | Keys


def nearest(word: str, among: Collection[str]) -> str | None:
    """What may have been meant; None where nothing is like it."""
    from rapidfuzz import fuzz, process  # 4 MB, for faulty text alone

    found = process.extractOne(word, list(among), scorer=fuzz.ratio, score_cutoff=60)
    return found[0] if found else None


def near(word: str, among: Collection[str]) -> str:
    """`; did you mean "billing"?` where one is near, else the first few that there are."""
    if found := nearest(word, among):
        return f'; did you mean "{clip(found)}"?'
    if not among:
        return "; there is none"
    some = [clip(name) for name in list(among)[:8]]
    return f"; there {'is' if len(among) == 1 else 'are'} {', '.join(some)}{', …' if len(among) > 8 else ''}"


def clip(text: str, chars: int = 40) -> str:
    """A value as complaints show it: short, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= chars else text[: chars - 1] + "…"


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    mapping: bool
    line: int
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    key_line: int = 0
    has_key: bool = False

    def close(self) -> Node:
        below = list(self.entries.values()) if self.mapping else self.items
        size, depth = 1 + sum(n.size for n in below), 1 + max((n.depth for n in below), default=0)
        if self.mapping:
            return Keys(self.entries, self.lines, self.line, size, depth)
        return Items(tuple(self.items), self.line, size, depth)


class _Stop(Exception):
    """The file cannot be read any further."""


class _Builder:
    def __init__(self, file: str, faults: list[Fault]) -> None:
        self.file, self.faults = file, faults
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None
        self.documents = 0

    def fault(self, line: int, text: str) -> None:
        self.faults.append(Fault(self.file, line, text))

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            self.fault(line, f"the tag {clip(event.tag)} is not used here: leave it out")
        if isinstance(event, yaml.ScalarEvent):
            self.add(Scalar(event.value, line, not event.style), event.anchor)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(self.stack) >= MAX_DEPTH:
                self.fault(line, f"nested deeper than {MAX_DEPTH} levels")
                raise _Stop
            self.stack.append(_Open(isinstance(event, yaml.MappingStartEvent), line, event.anchor))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            done = self.stack.pop()
            self.add(done.close(), done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event.anchor or "", line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.fault(line, "a second document begins here: a file holds one; remove the line ---")
                raise _Stop

    def alias(self, name: str, line: int) -> None:
        node = self.anchors.get(name)
        if node is None:
            own = any(frame.anchor == name for frame in self.stack)
            why = "stands for what it is part of" if own else "has no &anchor above it"
            self.fault(line, f"*{clip(name)} {why}")
            node = Scalar("", line, True)
        self.add(node, None)

    def add(self, node: Node, anchor: str | None) -> None:
        if node.size > MAX_NODES or len(self.stack) + node.depth > MAX_DEPTH + 1:
            self.fault(node.line, f"more than {MAX_NODES:,} values or {MAX_DEPTH} levels, aliases counted")
            raise _Stop
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if not top.mapping:
            top.items.append(node)
        elif top.has_key:
            if top.key is not None:
                top.entries[top.key] = node
                top.lines[top.key] = top.key_line
            top.has_key = False
        else:
            self.key(top, node)

    def key(self, top: _Open, node: Node) -> None:
        top.has_key, top.key, top.key_line = True, None, node.line
        if not isinstance(node, Scalar):
            self.fault(node.line, "a key must be plain text, not a list or mapping")
        elif node.plain and node.text == "<<":
            self.fault(node.line, "<< is not used here: write the keys out")
        elif node.text in top.entries:
            before = top.lines[node.text]
            self.fault(node.line, f'"{clip(node.text)}" is here twice, the first on line {before}: keep one')
        else:
            top.key = node.text


def parse(text: str, file: str) -> tuple[Node | None, list[Fault]]:
    """The root node (None: empty, or beyond reading) and every complaint about the YAML itself."""
    faults: list[Fault] = []
    if len(text) > MAX_CHARS:
        return None, [Fault(file, 1, f"larger than {MAX_CHARS:,} characters: split up what it holds")]
    builder = _Builder(file, faults)
    try:
        for event in yaml.parse(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader):
            builder.take(event)
    except _Stop:
        return None, faults
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(int(error.position), 0)) + 1
        return None, [*faults, Fault(file, line, _cured(str(error.reason)))]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = max(1, text.rstrip().count("\n") + 1)
        line = min(mark.line + 1, last) if mark else 1
        return None, [*faults, Fault(file, line, _cured(error.problem or str(error)))]
    except (yaml.YAMLError, UnicodeError) as error:
        return None, [*faults, Fault(file, 1, f"this is not YAML: {clip(str(error))}")]
    return builder.root, faults


def _cured(problem: str) -> str:
    cure = next((cure for sign, cure in _CURES if sign in problem), "")
    return f"this is not YAML: {clip(problem, 100)}" + (f" ({cure})" if cure else "")
