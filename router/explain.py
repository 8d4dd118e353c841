"""Why a conversation landed where it did: computed again from a decision's stored facts, its text and its rules. Pure.

The rule set must be that of the decision's own configuration (its hash); with another, the explanation says what that
one would do.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.checks import Check
from router.facts import Facts
from router.rules import Compiled, Decision, RuleSet
from router.said import Said

NEAR = 3  # near misses shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One condition, put to the facts. `wanted`: "channel is webchat"; `saw`: "console"."""

    wanted: str
    saw: str
    held: bool
    line: int
    parts: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """A rule that matched. `gave`: "queue billing", "priority high", "tag urgent", ... in words."""

    rule: str
    file: str
    line: int
    seen: tuple[Seen, ...]
    gave: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NearMiss:
    """A rule before the one that decided that failed by exactly one condition; `held` others held."""

    rule: str
    file: str
    line: int
    failed: Seen
    held: int
    gave: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """decided None: no rule named a queue, so the default did. overtaken: later rules that match as well, and lost."""

    decision: Decision
    hash: str
    decided: Applied | None
    adjusted: tuple[Applied, ...]
    near: tuple[NearMiss, ...]
    overtaken: tuple[Applied, ...]


def explain(rules: RuleSet, facts: Facts, text: str) -> Explanation:
    """What `rules.decide(facts, text)` decides, and why."""
    said = Said(text)
    decision = rules.decide(facts, text)
    names = [rule.rule.name for rule in rules.rules]
    end = names.index(decision.rule) if decision.rule in names else len(names)
    before, after = rules.rules[:end], rules.rules[end + 1 :]
    return Explanation(
        decision=decision,
        hash=rules.hash,
        decided=_applied(rules.rules[end], facts, said) if end < len(names) else None,
        adjusted=tuple(_applied(rule, facts, said) for rule in before if rule.holds(facts, said)),
        near=_near(before, facts, said),
        overtaken=tuple(
            _applied(rule, facts, said) for rule in after if not rule.rule.goes_on and rule.holds(facts, said)
        )[:NEAR],
    )


def _near(rules: tuple[Compiled, ...], facts: Facts, said: Said) -> tuple[NearMiss, ...]:
    """The nearest first: those of which the most conditions held, then in the order of the file."""
    found = []
    for rule in rules:
        failed = [check for check in rule.checks if not check.holds(facts, said)]
        if len(failed) == 1:
            found.append(
                NearMiss(
                    rule=rule.rule.name,
                    file=rule.rule.file,
                    line=rule.rule.line,
                    failed=_seen(failed[0], facts, said),
                    held=len(rule.checks) - 1,
                    gave=_gave(rule),
                )
            )
    return tuple(sorted(found, key=lambda miss: -miss.held)[:NEAR])


def _applied(rule: Compiled, facts: Facts, said: Said) -> Applied:
    return Applied(
        rule=rule.rule.name,
        file=rule.rule.file,
        line=rule.rule.line,
        seen=tuple(_seen(check, facts, said) for check in rule.checks),
        gave=_gave(rule),
    )


def _seen(check: Check, facts: Facts, said: Said) -> Seen:
    return Seen(
        wanted=check.wanted,
        saw=check.saw(facts, said),
        held=check.holds(facts, said),
        line=check.line,
        parts=tuple(_seen(part, facts, said) for part in check.parts),
    )


def _gave(rule: Compiled) -> tuple[str, ...]:
    then = rule.rule.then
    words = [f"queue {then.queue}"] if then.queue else []
    words += [f"priority {then.priority}"] if then.priority else []
    words += [f"tag {tag}" for tag in then.tags]
    return (*words, *(f"skill {skill}" for skill in then.skills))


# ------------------------------------------------------------------------------------------------------- in words


def render(explanation: Explanation) -> str:
    """The explanation as lines of text, for a terminal."""
    decision = explanation.decision
    start = f", a head start of {duration(decision.head_start_s)}" if decision.head_start_s else ""
    lines = [f"Queue {decision.queue}, priority {decision.priority}{start}."]
    if decision.tags:
        lines.append(f"Tags: {', '.join(decision.tags)}.")
    if decision.skills:
        lines.append(f"Needs: {', '.join(decision.skills)}.")
    lines.append("")
    if explanation.decided is None:
        lines.append("No rule that names a queue matched, so the default decided.")
    else:
        lines.append(f'Decided by rule "{explanation.decided.rule}"  {_place(explanation.decided)}')
        lines += _conditions(explanation.decided.seen, 1)
    for rule in explanation.adjusted:
        lines.append(f'Adjusted by rule "{rule.rule}" ({", ".join(rule.gave)})  {_place(rule)}')
        lines += _conditions(rule.seen, 1)
    if explanation.near:
        lines += ["", "Near misses, each by one condition:"]
    for miss in explanation.near:
        lines.append(f'  "{miss.rule}" ({", ".join(miss.gave)})  {_place(miss)}')
        lines += _conditions((miss.failed,), 2)
    if explanation.overtaken:
        lines += ["", "Would have matched too, but stand further down:"]
    lines += [f'  "{rule.rule}" ({", ".join(rule.gave)})  {_place(rule)}' for rule in explanation.overtaken]
    return "\n".join(lines)


def _place(rule: Applied | NearMiss) -> str:
    return f"{rule.file}:{rule.line}"


def _conditions(seen: tuple[Seen, ...], depth: int) -> list[str]:
    if not seen and depth == 1:
        return ["  always"]
    lines = []
    for one in seen:
        lines.append(
            f"{'  ' * depth}{'✓' if one.held else '✗'} {one.wanted}: saw {one.saw}  (line {one.line})"
        )
        lines += _conditions(one.parts, depth + 1)
    return lines


def duration(seconds: float) -> str:
    """`90` -> `1m30s`, as the files write it."""
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    words = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count:.0f}{unit}")
    if left or not words:
        words.append(f"{left:g}s")
    return sign + "".join(words)
