"""One condition, compiled: what router/conditions.py makes, router/rules.py goes by and router/explain.py shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

from router.facts import Facts
from router.said import Said, Wanted

Test = Callable[[Facts, Said], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition. `wanted` and `saw` are words for people: "channel is webchat", "saw console".

    fact and values: it holds exactly when the fact is one of these values (`many`: when the fact, a list, has one of
    them); the index needs to know no more. wanted_words and patterns: likewise for the text. parts: what `all`, `any`
    and `not` are made of.
    """

    word: str
    wanted: str
    line: int
    holds: Test
    saw: Callable[[Facts, Said], str]
    fact: str | None = None
    values: frozenset[Any] = frozenset()
    many: bool = False
    wanted_words: Wanted | None = None
    patterns: tuple[str, ...] = ()
    parts: tuple[Check, ...] = field(default=(), repr=False)


def pattern_options(max_mem: int) -> Any:
    """How supervisors' patterns are read: whatever the capital letters; a bad one is a complaint, not a log line."""
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, max_mem
    return options


def every(tests: tuple[Test, ...]) -> Test:
    def holds(facts: Facts, said: Said) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs more than the tests
            if not test(facts, said):
                return False
        return True

    return holds


def some(tests: tuple[Test, ...]) -> Test:
    def holds(facts: Facts, said: Said) -> bool:
        for test in tests:  # noqa: SIM110 - likewise
            if test(facts, said):
                return True
        return False

    return holds


def shown(value: Any) -> str:
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def either(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`; long lists are cut."""
    if len(words) > 8:
        return f"{', '.join(words[:7])} or {len(words) - 7} more"
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
