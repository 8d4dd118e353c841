"""The words of a rule's `when`, compiled once into closures. docs/routing.md describes them; a test holds it to that.

A mapping holds when every key in it holds; a list of values means any of them. What
comes out are checks (router/checks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from hub.config import Config, Rule
from hub.errors import Fault
from hub.yamltree import clip, near
from router.checks import Check, either, every, pattern_options, shown, some
from router.facts import Facts
from router.said import Said, Wanted

MAX_DEPTH = 6  # of all, any and not
MAX_PATTERN_CHARS = 500
PATTERN_MEMORY_BYTES = 1 << 20  # of a compiled pattern; re2 refuses what would need more

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Word:
    """A condition on one fact. known: the values there are (None: any). fold: compared without regard to case."""

    fact: str
    known: Callable[[Config], Collection[str]] | None = None
    kind: str = "value"
    fold: bool = False


def _channels(config: Config) -> Collection[str]:
    return dict.fromkeys(account.connector for account in config.accounts.values())


# word -> the fact it asks for
WORDS = {
    "channel": _Word("channel", _channels, "channel of any account"),
    "account": _Word("account", lambda config: config.accounts, "account"),
    "brand": _Word("brand", lambda config: config.brands, "brand"),
    "form": _Word("form"),
    "sender": _Word("sender", lambda _: ("verified", "claimed")),
    "contact": _Word("contact", lambda _: ("first", "returning")),
}
CUSTOMER_WORDS = {
    "kind": _Word("customer.kind", lambda _: ("person", "organisation")),
    "stage": _Word("customer.stage", lambda _: ("lead", "customer")),
    "tier": _Word("customer.tier", fold=True),
    "preferred_channel": _Word("customer.preferred_channel", _channels, "channel of any account"),
}
TEXT_WORDS = ("words", "matches")
HOURS = ("open", "closed")
LISTS = ("all", "any")
ALL_WORDS = (*WORDS, "language", "automatic", "text", "customer", "hours", *LISTS, "not")


def compile_when(rule: Rule, config: Config, faults: list[Fault]) -> tuple[Check, ...]:
    """The conditions that must all hold; complaints are added to `faults`."""
    if rule.when is None:
        return ()
    return _Compiler(rule, config, faults).mapping(rule.when, (), 1)


class _Compiler:
    def __init__(self, rule: Rule, config: Config, faults: list[Fault]) -> None:
        self.rule, self.config, self.faults = rule, config, faults

    def line(self, path: Path) -> int:
        while path and path not in self.rule.lines:
            path = path[:-1]
        return self.rule.lines.get(path, self.rule.line)

    def fault(self, path: Path, text: str) -> None:
        self.faults.append(Fault(self.rule.file, self.line(path), f'rule "{clip(self.rule.name)}": {text}'))

    def mapping(self, data: Any, path: Path, depth: int) -> tuple[Check, ...]:
        name = f'"{path[-1]}"' if path and isinstance(path[-1], str) else "a condition"
        if not isinstance(data, dict):
            self.fault(path, f"{name if path else 'when'} must hold conditions such as channel: webchat")
            return ()
        if not data:
            self.fault(path, "there is no condition here; leave it out to match everything")
        checks: list[Check] = []
        for key, value in data.items():
            here = (*path, key)
            if key in WORDS:
                checks += self.exact(WORDS[key], key, value, here)
            elif key in ("all", "any", "not"):
                checks += self.nested(key, value, here, depth)
            elif key in _READERS:
                checks += _READERS[key](self, value, here)
            else:
                self.fault(here, f'no condition "{clip(key)}"{self.hint(key)}')
        return tuple(checks)

    def hint(self, key: str) -> str:
        if key in CUSTOMER_WORDS or key == "tags":
            return f"; it stands below customer (customer: {{{key}: …}})"
        if key in TEXT_WORDS:
            return f"; it stands below text (text: {{{key}: …}})"
        return near(key, ALL_WORDS)

    def values(self, data: Any, path: Path, *, limit: int = 200) -> list[tuple[str, Path]]:
        """The texts of one value or of a list of them, each with its path."""
        items = (
            [(item, (*path, i)) for i, item in enumerate(data)] if isinstance(data, list) else [(data, path)]
        )
        if not items:
            self.fault(path, f'"{path[-1]}" is an empty list, which never holds: leave it out')
        out = []
        for item, here in items:
            if isinstance(item, str) and 0 < len(item.strip()) <= limit:
                out.append((item.strip(), here))
            else:
                self.fault(
                    here, f'"{path[-1]}" must be text of at most {limit} characters, or a list of texts'
                )
        return out

    def exact(self, word: _Word, name: str, data: Any, path: Path) -> list[Check]:
        known = word.known(self.config) if word.known else None
        wanted: dict[str, None] = {}
        for value, here in self.values(data, path):
            if known is not None and value not in known:
                self.fault(here, f'no {word.kind} "{clip(value)}" for {name}{near(value, known)}')
            wanted[value.casefold() if word.fold else value] = None
        return [self.fact_is(word.fact, name, tuple(wanted), path)] if wanted else []

    def fact_is(self, fact: str, name: str, wanted: Sequence[Any], path: Path) -> Check:
        values = frozenset(wanted)
        return Check(
            word=name,
            wanted=f"{name} is {either([shown(value) for value in wanted])}",
            line=self.line(path),
            holds=lambda facts, said: facts.get(fact) in values,
            saw=lambda facts, said: shown(facts.get(fact)),
            fact=fact,
            values=values,
        )

    # ------------------------------------------------------------------------------------------- single words

    def language(self, data: Any, path: Path) -> list[Check]:
        tags = [value.lower().replace("_", "-") for value, _ in self.values(data, path, limit=12)]
        if not tags:
            return []
        exact, starts = frozenset(tags), tuple(tag + "-" for tag in tags)

        def holds(facts: Facts, said: Said) -> bool:
            language = facts.get("language")
            return language is not None and (language in exact or language.startswith(starts))

        return [
            Check(
                "language",
                f"language is {either(tags)}",
                self.line(path),
                holds,
                lambda facts, said: shown(facts.get("language")),
            )
        ]

    def automatic(self, data: Any, path: Path) -> list[Check]:
        if data not in ("true", "false"):
            self.fault(path, '"automatic" must be true or false')
            return []
        return [self.fact_is("automatic", "automatic", (data == "true",), path)]

    def customer(self, data: Any, path: Path) -> list[Check]:
        checks: list[Check] = []
        for key, value in self.keys(data, path, (*CUSTOMER_WORDS, "tags")):
            here = (*path, key)
            if key == "tags":
                checks += self.tags(value, here)
            else:
                checks += self.exact(CUSTOMER_WORDS[key], f"customer {key}", value, here)
        return checks

    def tags(self, data: Any, path: Path) -> list[Check]:
        tags = [value.casefold() for value, _ in self.values(data, path, limit=40)]
        if not tags:
            return []
        wanted = frozenset(tags)
        return [
            Check(
                "customer tags",
                f"customer tags have {either(tags)}",
                self.line(path),
                lambda facts, said: not wanted.isdisjoint(facts.get("customer.tags") or ()),
                lambda facts, said: ", ".join(facts.get("customer.tags") or ()) or "none",
                fact="customer.tags",
                values=wanted,
                many=True,
            )
        ]

    def hours(self, data: Any, path: Path) -> list[Check]:
        checks: list[Check] = []
        for key, value in self.keys(data, path, None):
            here = (*path, key)
            if key not in self.config.calendars:
                self.fault(here, f'no calendar "{clip(key)}"{near(key, self.config.calendars)}')
            elif value not in HOURS:
                self.fault(here, f'hours of "{key}" must be open or closed')
            else:
                checks.append(self.fact_is(f"hours.{key}", f"hours {key}", (value,), here))
        return checks

    def keys(self, data: Any, path: Path, known: Collection[str] | None) -> list[tuple[str, Any]]:
        example = "hours: {office: open}" if known is None else f"{path[-1]}: {{{next(iter(known))}: …}}"
        if not isinstance(data, dict) or not data:
            self.fault(path, f'"{path[-1]}" must hold keys, such as {example}')
            return []
        for key in data:
            if known is not None and key not in known:
                self.fault((*path, key), f'{path[-1]} knows no "{clip(key)}"{near(key, known)}')
        return [(key, value) for key, value in data.items() if known is None or key in known]

    # --------------------------------------------------------------------------------------------------- text

    def text(self, data: Any, path: Path) -> list[Check]:
        if not isinstance(data, dict):
            return self.words(data, path)  # text: [invoice, refund] is short for text: {words: …}
        checks: list[Check] = []
        for key, value in self.keys(data, path, TEXT_WORDS):
            here = (*path, key)
            checks += self.words(value, here) if key == "words" else self.matches(value, here)
        return checks

    def words(self, data: Any, path: Path) -> list[Check]:
        texts = []
        for value, here in self.values(data, path, limit=100):
            if "*" in value:
                self.fault(here, f'"{clip(value)}": words are whole words; write each form, or use matches')
            elif not Wanted.of([value]):
                self.fault(here, f'"{clip(value)}" has no letter or digit to look for')
            else:
                texts.append(value)
        if not texts:
            return []
        wanted = Wanted.of(texts)
        return [
            Check(
                "text words",
                f"text has {either(texts)}",
                self.line(path),
                lambda facts, said: said.has(wanted),
                lambda facts, said: either([f'"{found}"' for found in said.which(wanted)]) or "none of them",
                wanted_words=wanted,
            )
        ]

    def matches(self, data: Any, path: Path) -> list[Check]:
        options = pattern_options(PATTERN_MEMORY_BYTES)
        patterns = []
        for value, here in self.values(data, path, limit=MAX_PATTERN_CHARS):
            try:
                patterns.append(re2.compile(value, options))
            except re2.error as error:
                why = error.args[0] if error.args else ""
                why = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
                self.fault(here, f"not a regular expression that re2 takes: {clip(why)}")
        if not patterns:
            return []

        def saw(facts: Facts, said: Said) -> str:
            found = (pattern.search(said.text) for pattern in patterns)
            return next((f'"{clip(match.group())}"' for match in found if match), "no match")

        return [
            Check(
                "text matches",
                f"text matches {either([pattern.pattern for pattern in patterns])}",
                self.line(path),
                lambda facts, said: any(pattern.search(said.text) for pattern in patterns),
                saw,
                patterns=tuple(pattern.pattern for pattern in patterns),
            )
        ]

    # ------------------------------------------------------------------------------------------- all, any, not

    def nested(self, key: str, data: Any, path: Path, depth: int) -> list[Check]:
        if depth >= MAX_DEPTH:
            self.fault(path, f"conditions are nested deeper than {MAX_DEPTH} levels")
            return []
        if key == "not":
            return self.negated(self.mapping(data, path, depth + 1), path)
        if not isinstance(data, list) or not data:
            self.fault(path, f'"{key}" must be a list of conditions, each beginning with a dash')
            return []
        parts = [
            self.together(self.mapping(item, (*path, i), depth + 1), (*path, i))
            for i, item in enumerate(data)
        ]
        tests = tuple(part.holds for part in parts)
        return [
            Check(
                key,
                f"{key} of {len(parts)}",
                self.line(path),
                every(tests) if key == "all" else some(tests),
                lambda facts, said: f"{sum(part.holds(facts, said) for part in parts)} of {len(parts)} hold",
                parts=tuple(parts),
            )
        ]

    def together(self, checks: tuple[Check, ...], path: Path) -> Check:
        if len(checks) == 1:
            return checks[0]
        return Check(
            "all",
            " and ".join(check.wanted for check in checks),
            self.line(path),
            every(tuple(check.holds for check in checks)),
            lambda facts, said: "; ".join(check.saw(facts, said) for check in checks),
            parts=checks,
        )

    def negated(self, checks: tuple[Check, ...], path: Path) -> list[Check]:
        if not checks:
            return []
        inner = self.together(checks, path)
        return [
            Check(
                "not",
                f"not ({inner.wanted})",
                self.line(path),
                lambda facts, said: not inner.holds(facts, said),
                inner.saw,
                parts=(inner,),
            )
        ]


_READERS: dict[str, Callable[[_Compiler, Any, Path], list[Check]]] = {
    "language": _Compiler.language,
    "automatic": _Compiler.automatic,
    "customer": _Compiler.customer,
    "hours": _Compiler.hours,
    "text": _Compiler.text,
}
