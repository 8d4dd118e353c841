"""The rules as one compiled set: facts and text in, a decision out. Pure.

First match wins for the queue. Rules that `continue` adjust on the way there: the first priority given stands, tags
and skills add up. Where no rule names a queue, the default does, as the last rule would.

Exact conditions and words are not asked rule by rule: for each value of a fact a bit mask tells which rules it leaves
possible; words and patterns are searched all at once. So a decision is a few look-ups, an AND, and whatever the few
rules left still ask (any, not, languages).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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
SEARCHED_WORDS = 500  # looked for by automaton; of more, each of its states would be large


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
        self._search = _Search(rules, sorted(self._ascii_vocabulary))
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
        self._ascii_vocabulary = frozenset(word for word in self._vocabulary if word.isascii())

    def _said_mask(self, said: Said, found: Collection[str] | None) -> int:
        """The rules whose words are in the text. found: those of the vocabulary, where they are known already."""
        mask = 0
        if found is None:
            found = self._vocabulary & said.words
            for piece, bit in self._by_piece:
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
        if mask & (self._wordy | self._patterned):
            patterned, words = self._search(said)
            mask &= ~self._patterned | patterned
            if mask & self._wordy:
                mask &= ~self._wordy | self._said_mask(said, words)
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


class _Search:
    r"""All patterns and words in one pass: 10 and 106 of them take 1.3 µs a message (200 characters); one by one the
    patterns took 20, and the words of the text, each looked up, 3.

    The automaton may run out of memory in the middle of a text, and then reports nothing found. A pattern that matches
    the end of any text stands guard: where even that was not found, patterns are asked one by one and words are left to
    the caller. So are those of a text that is not ASCII, where `\\b` is not the border of what we call a word.
    """

    def __init__(self, rules: Sequence[Compiled], words: Sequence[str]) -> None:
        self._by_rule = [
            (1 << i, check) for i, rule in enumerate(rules) for check in rule.checks if check.patterns
        ]
        self._words = words if len(words) <= SEARCHED_WORDS else None
        patterns = [(bit, pattern) for bit, check in self._by_rule for pattern in check.patterns]
        self._bits = [bit for bit, _ in patterns]
        self._set: Any = re2.Set.SearchSet(pattern_options(SET_MEMORY_BYTES))
        for _, pattern in patterns:
            self._set.Add(pattern)
        for word in self._words or ():
            self._set.Add(rf"\b{word}\b")
        self._guard = self._set.Add(r"\z")
        try:
            self._set.Compile()
        except re2.error:  # too much for one automaton
            self._set = None

    def __call__(self, said: Said) -> tuple[int, list[str] | None]:
        """(the rules whose patterns are in the text; the words in it, None where they were not looked for)."""
        found = self._set.Match(said.text) if self._set is not None else None
        mask = 0
        if not found or self._guard not in found:
            for bit, check in self._by_rule:
                mask |= bit if check.holds({}, said) else 0
            return mask, None
        words = []
        patterns = len(self._bits)
        for index in found:
            if index < patterns:
                mask |= self._bits[index]
            elif index != self._guard and self._words is not None:
                words.append(self._words[index - patterns])
        return mask, words if self._words is not None and said.text.isascii() else None
