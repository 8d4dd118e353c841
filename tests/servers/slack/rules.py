"""The small rules that Block Kit's tables are made of. Each looks at a value and adds what is wrong to `faults`, in
Slack's words: "must be less than 76 characters [json-pointer:/blocks/0/text/text]"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Rule = Callable[[Any, str, list[str]], None]


def fault(faults: list[str], path: str, words: str) -> None:
    faults.append(f"{words} [json-pointer:{path}]")


def string(most: int, least: int = 1, pattern: str = "") -> Rule:
    def check(value: Any, path: str, faults: list[str]) -> None:
        if not isinstance(value, str):
            fault(faults, path, "must be a string")
        elif len(value) > most:
            fault(faults, path, f"must be less than {most + 1} characters")
        elif len(value) < least:
            fault(faults, path, f"must be more than {least - 1} characters")
        elif pattern and not re.fullmatch(pattern, value):
            fault(faults, path, f"must match {pattern}")

    return check


def boolean(value: Any, path: str, faults: list[str]) -> None:
    if not isinstance(value, bool):
        fault(faults, path, "must be a boolean")


def number(least: int, most: int) -> Rule:
    def check(value: Any, path: str, faults: list[str]) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            fault(faults, path, f"must be a number from {least} to {most}")

    return check


def one_of(*values: str) -> Rule:
    def check(value: Any, path: str, faults: list[str]) -> None:
        if value not in values:
            fault(faults, path, f"must be one of {', '.join(values)}")

    return check


def anything(_value: Any, _path: str, _faults: list[str]) -> None:
    """For what no limit is documented of."""


def list_of(rule: Rule, least: int, most: int) -> Rule:
    def check(value: Any, path: str, faults: list[str]) -> None:
        if not isinstance(value, list):
            fault(faults, path, "must be an array")
            return
        if len(value) > most:
            fault(faults, path, f"no more than {most} items allowed")
        if len(value) < least:
            fault(faults, path, f"no less than {least} items allowed")
        for index, one in enumerate(value):
            rule(one, f"{path}/{index}", faults)

    return check


@dataclass(frozen=True)
class Shape:
    """An object: the properties it must and may have, and no others. also: a last look at the whole of it."""

    needed: Mapping[str, Rule] = field(default_factory=dict)
    may: Mapping[str, Rule] = field(default_factory=dict)
    also: Callable[[dict[str, Any], str, list[str]], None] = anything

    def __call__(self, value: Any, path: str, faults: list[str]) -> None:
        if not isinstance(value, dict):
            fault(faults, path, "must be an object")
            return
        for name in self.needed:
            if name not in value:
                fault(faults, path, f"missing required field: {name}")
        before = len(faults)
        for name, one in value.items():
            rule = self.needed.get(name) or self.may.get(name)
            if rule is None:
                fault(faults, f"{path}/{name}", "no more keys allowed: additional property")
            else:
                rule(one, f"{path}/{name}", faults)
        if len(faults) == before and set(self.needed) <= set(value):
            self.also(value, path, faults)


def by_type(shapes: Mapping[str, Rule], what: str) -> Rule:
    """The rule for the `type` an object says it is of."""

    def check(value: Any, path: str, faults: list[str]) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        rule = shapes.get(str(kind))
        if rule is None:
            fault(faults, path, f"unsupported {what} type: {kind}")
        else:
            rule(value, path, faults)

    return check


def text(most: int, *kinds: str) -> Rule:
    """A text object. https://docs.slack.dev/reference/block-kit/composition-objects/text-object: emoji in plain_text,
    verbatim in mrkdwn alone, at least one character."""
    allowed = kinds or ("plain_text", "mrkdwn")
    shapes: dict[str, Rule] = {
        "plain_text": Shape({"type": anything, "text": string(most)}, {"emoji": boolean}),
        "mrkdwn": Shape({"type": anything, "text": string(most)}, {"verbatim": boolean}),
    }
    return by_type({kind: shapes[kind] for kind in allowed}, "text")


def plain(most: int) -> Rule:
    return text(most, "plain_text")
