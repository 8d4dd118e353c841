"""The rules as one compiled set: facts and text in, a decision out. Pure.

First match wins for the queue. Rules that `continue` adjust on the way there: the first priority given stands, tags
and skills add up. Where no rule names a queue, the default does, as the last rule would.

Exact conditions and words are not asked rule by rule: for each value of a fact a bit mask tells which rules it leaves
possible; patterns are searched all at once. So a decision is a few look-ups, an AND, and whatever the few rules left
still ask (any, not, languages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from hub.config import Config, Outcome, Rule
from hub.configrouting import DEFAULT, NORMAL
from hub.errors import ConfigError, Fault
from router.checks import Check, pattern_options
from router.conditions import compile_when
from router.facts import Facts
from router.said import Said

SET_MEMORY_BYTES = 16 << 20
_MADE = 1000  # adjusted decisions kept; 10 µs each to make
# Letters and digits small, anything else a space: what `\w+` finds in ASCII, by two calls instead of a search a word
# (2.5 µs for 200 characters instead of 8.5).
_ASCII_WORDS = bytes(
    ord(chr(c).lower()) if c < 128 and (chr(c).isalnum() or chr(c) == "_") else 32 for c in range(256)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`rule` gave the queue ("default" where none did); `adjusted_by`: the rules before it that matched, in order."""

    rule: str
    queue: str
    priority: str
    head_start_s: float
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    adjusted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule with its conditions. `rest`: those that the index does not answer."""

    rule: Rule
    checks: tuple[Check, ...]
    rest: tuple[Callable[[Facts, Said], bool], ...]

    def holds(self, facts: Facts, said: Said) -> bool:
        return all(check.holds(facts, said) for check in self.checks)


class RuleSet:
    """Compiled rules. `hash` is the configuration's; `calendars` are those whose hours the rules ask for."""

    def __init__(self, config: Config, rules: Sequence[Compiled]) -> None:
        self.hash = config.hash
        self.rules = tuple(rules)
        self.default = config.default
        self.priorities = dict(config.priorities)
        self.calendars = frozenset(
            check.fact.removeprefix("hours.")
            for rule in rules
            for check in _every(rule.checks)
            if check.fact and check.fact.startswith("hours.")
        )
        self._all = (1 << len(rules)) - 1
        self._exact = self._index_facts(many=False)
        self._lists = self._index_facts(many=True)
        self._index_words()
        self._patterned = sum(1 << i for i, rule in enumerate(rules) if any(c.patterns for c in rule.checks))
        self._patterns = _Patterns(rules)
        self._ready = {i: self._decision((), rule.rule.name, rule.rule.then) for i, rule in enumerate(rules)}
        self._ready_default = self._decision((), DEFAULT, Outcome())
        self._made: dict[tuple[str, ...], Decision] = {}

    # ---------------------------------------------------------------------------------------------- the index

    def _index_facts(self, *, many: bool) -> list[tuple[str, dict[Any, int], int]]:
        """For each fact: value -> the rules it leaves possible, and those left where the value is none of these."""
        accepts: dict[str, dict[int, frozenset[Any]]] = {}
        for i, rule in enumerate(self.rules):
            for check in rule.checks:
                if check.fact is not None and check.many is many:
                    accepts.setdefault(check.fact, {})[i] = check.values
        out = []
        for fact, by_rule in accepts.items():
            free = self._all & ~sum(1 << i for i in by_rule)
            table: dict[Any, int] = {}
            for i, values in by_rule.items():
                for value in values:
                    table[value] = table.get(value, free) | 1 << i
            out.append((fact, table, free))
        # Those that leave the fewest rules come first, so that nothing left is known soon.
        return sorted(out, key=lambda entry: entry[2].bit_count())

    def _index_words(self) -> None:
        self._wordy = 0  # rules that ask for words
        self._by_word: dict[str, int] = {}
        self._by_phrase: dict[str, list[tuple[str, int]]] = {}
        self._by_piece: list[tuple[str, int]] = []
        for i, rule in enumerate(self.rules):
            for wanted in (check.wanted_words for check in rule.checks if check.wanted_words):
                self._wordy |= 1 << i
                for word in wanted.words:
                    self._by_word[word] = self._by_word.get(word, 0) | 1 << i
                for first, phrase in wanted.phrases:
                    self._by_phrase.setdefault(first, []).append((phrase, 1 << i))
                self._by_piece += [(piece, 1 << i) for piece in wanted.pieces]
        self._vocabulary = frozenset(self._by_word) | frozenset(self._by_phrase)
        self._ascii = {word.encode(): word for word in self._vocabulary if word.isascii()}
        self._ascii_vocabulary = frozenset(self._ascii)

    def _said_mask(self, said: Said) -> int:
        """The rules whose words are in the text."""
        mask = 0
        if said.text.isascii():
            tokens = said.text.encode().translate(_ASCII_WORDS).split()
            found = [self._ascii[token] for token in self._ascii_vocabulary.intersection(tokens)]
        else:
            found = list(self._vocabulary & said.words)
            for piece, bit in self._by_piece:  # their scripts are not ASCII
                if piece in said.folded:
                    mask |= bit
        for word in found:
            mask |= self._by_word.get(word, 0)
            for phrase, bit in self._by_phrase.get(word, ()):
                if phrase in said.joined:
                    mask |= bit
        return mask

    # --------------------------------------------------------------------------------------------- a decision

    def possible(self, facts: Facts) -> int:
        """The rules that these facts leave possible, as a mask for `decide`: the same for all who share the facts."""
        mask = self._all
        get = facts.get
        for fact, table, free in self._exact:
            mask &= table.get(get(fact), free)
            if not mask:
                return 0
        for fact, table, free in self._lists:
            has = free
            for value in get(fact) or ():
                has |= table.get(value, 0)
            mask &= has
        return mask

    def decide(self, facts: Facts, text: str, possible: int | None = None) -> Decision:
        """Where the message goes. `text` as `facts.text_of` gives it; read only if a rule that is left asks.

        possible: what `possible(facts)` said, where the caller has it already.
        """
        mask = self.possible(facts) if possible is None else possible
        if not mask:
            return self._ready_default
        said = Said(text)
        if mask & self._wordy:
            mask &= ~self._wordy | self._said_mask(said)
        if mask & self._patterned:
            mask &= ~self._patterned | self._patterns.mask(said)
        adjusted: list[Compiled] = []
        while mask:
            low = mask & -mask
            mask ^= low
            index = low.bit_length() - 1
            rule = self.rules[index]
            for holds in rule.rest:
                if not holds(facts, said):
                    break
            else:
                if rule.rule.goes_on:
                    adjusted.append(rule)
                elif adjusted:
                    return self._adjusted(adjusted, rule.rule.name, rule.rule.then)
                else:
                    return self._ready[index]
        return self._adjusted(adjusted, DEFAULT, Outcome()) if adjusted else self._ready_default

    def _adjusted(self, adjusted: Sequence[Compiled], name: str, last: Outcome) -> Decision:
        """The same object for the same rules: whoever keeps what is made of a decision knows it again."""
        key = (name, *(rule.rule.name for rule in adjusted))
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= _MADE:
                self._made.clear()
            made = self._made[key] = self._decision(adjusted, name, last)
        return made

    def _decision(self, adjusted: Sequence[Compiled], name: str, last: Outcome) -> Decision:
        outcomes = [*(rule.rule.then for rule in adjusted), last, self.default]
        if last.queue:  # what the default gives is for what the default decides
            outcomes.pop()
        priority = next((o.priority for o in outcomes if o.priority), NORMAL)
        return Decision(
            rule=name,
            queue=last.queue or self.default.queue or "",
            priority=priority,
            head_start_s=self.priorities.get(priority, 0.0),
            tags=tuple(dict.fromkeys(tag for o in outcomes for tag in o.tags)),
            skills=tuple(dict.fromkeys(skill for o in outcomes for skill in o.skills)),
            adjusted_by=tuple(rule.rule.name for rule in adjusted),
        )


def _every(checks: Sequence[Check]) -> list[Check]:
    return [inner for check in checks for inner in (check, *_every(check.parts))]


def compile_rules(config: Config) -> RuleSet:
    """The configuration's rules, ready. Raises ConfigError with every fault in their conditions."""
    faults: list[Fault] = []
    compiled = []
    for rule in config.rules:
        checks = compile_when(rule, config, faults)
        compiled.append(Compiled(rule, checks, tuple(check.holds for check in _rest(checks))))
    if faults:
        raise ConfigError(faults)
    return RuleSet(config, compiled)


def _rest(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.fact is None and not check.wanted_words and not check.patterns]


class _Patterns:
    """All patterns in one pass: 10 of them cost 2 µs a message together, 20 one by one (measured, 150 characters).

    The set's automaton may run out of memory in the middle of a text, and then reports nothing found. A pattern that
    always matches stands guard: where even that was not found, they are asked one by one.
    """

    def __init__(self, rules: Sequence[Compiled]) -> None:
        self._by_rule = [
            (1 << i, check) for i, rule in enumerate(rules) for check in rule.checks if check.patterns
        ]
        self._bits = [bit for bit, check in self._by_rule for _ in check.patterns]
        self._set: Any = re2.Set.SearchSet(pattern_options(SET_MEMORY_BYTES))
        for _, check in self._by_rule:
            for pattern in check.patterns:
                self._set.Add(pattern)
        self._guard = self._set.Add("")
        try:
            self._set.Compile()
        except re2.error:  # too much for one automaton
            self._set = None

    def mask(self, said: Said) -> int:
        found = self._set.Match(said.text) if self._set is not None else ()
        mask = 0
        if self._guard in found:
            for index in found:
                mask |= self._bits[index] if index != self._guard else 0
        else:
            for bit, check in self._by_rule:
                mask |= bit if check.holds({}, said) else 0
        return mask
