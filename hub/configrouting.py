"""routing.yaml -> rules and the default. What stands in a rule's `when` is checked by router/conditions.py."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hub.config import Outcome, Rule
from hub.yamlfile import Items, Keys, Node, Reader, Section, clip

NORMAL = "normal"  # the priority of what no rule gives one
DEFAULT = "default"  # the name under which the default decides
NAME_CHARS = 60  # a rule's name: `rule:<name>` stands in columns of 80


class Anything(tuple[str, ...]):
    """The names where they could not be read: whatever is asked for may be among them."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Names:
    """What is declared anywhere, known before anything is read, so that the order of files is of no account."""

    brands: Collection[str]
    queues: Collection[str]  # those that can be routed to
    priorities: Collection[str]
    calendars: Collection[str]
    skills: Collection[str]


def _outcome(section: Section, names: Names) -> Outcome:
    outcome = Outcome(
        queue=section.refer("queue", "queue", names.queues),
        priority=section.refer("priority", "priority", names.priorities or (NORMAL,)),
        tags=section.words("tags", limit=40),
        skills=section.refers("skills", "skill of any agent", names.skills),
    )
    section.done()
    return outcome


def default(root: Section, names: Names) -> Outcome:
    root.need("default")
    section = root.section("default")
    if section is None:
        return Outcome(queue=next(iter(names.queues), ""))
    section.need("queue")
    outcome = _outcome(section, names)
    return outcome if outcome.queue else Outcome(queue=next(iter(names.queues), ""))


def rules(root: Section, names: Names) -> tuple[Rule, ...]:
    node = root.get("rules")
    if node is None:
        return ()
    if not isinstance(node, Items):
        root.fault("rules", '"rules" must be a list: each rule begins with a dash (- name: …)')
        return ()
    out: dict[str, Rule] = {}
    for item in node.items:
        if not isinstance(item, Keys):
            root.reader.fault(item.line, 'a rule must hold keys: "name", "when" and "then"')
            continue
        rule = _rule(root.reader, item, names)
        if rule.name in out:
            before = out[rule.name].line
            root.reader.fault(rule.line, f'a rule named "{clip(rule.name)}" is already on line {before}')
        out.setdefault(rule.name, rule)
    return tuple(out.values())


def _rule(reader: Reader, node: Keys, names: Names) -> Rule:
    section = Section(reader, node, "rule")
    section.need("name")
    name = section.text("name", f"line {node.line}", limit=NAME_CHARS).strip()
    section.what = f'rule "{clip(name)}"'
    if name == DEFAULT:
        section.fault("name", f'no rule may be named "{DEFAULT}": that is what decides when no rule does')
    goes_on = section.flag("continue", False)
    lines: dict[tuple[str | int, ...], int] = {(): section.line_of("when")}
    condition = section.get("when")
    when = None if condition is None else _data(condition, (), lines)
    then = section.section("then")
    section.need("then")
    outcome = _outcome(then, names) if then else Outcome()
    if then:
        _sense(section, then, goes_on)
    section.done()
    return Rule(
        name=name,
        when=when,
        then=outcome,
        goes_on=goes_on,
        file=reader.file,
        line=section.line_of("name"),
        lines=lines,
    )


def _sense(section: Section, then: Section, goes_on: bool) -> None:
    """A rule either chooses the queue, and routing ends there, or adjusts and goes on. Never silently neither."""
    given = [key for key in ("queue", "priority", "tags", "skills") if then.get(key) is not None]
    if not given:
        then.reader.fault(
            then.line_of("queue"), f"{section.what} gives nothing: say a queue, or what to adjust"
        )
    elif "queue" in given and goes_on:
        section.fault(
            "continue", f'{section.what} names a queue, so it cannot "continue": remove one of the two'
        )
    elif "queue" not in given and not goes_on:
        section.reader.fault(
            section.line_of("then"), f'{section.what} names no queue: name one, or add "continue: true"'
        )


def _data(node: Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> Any:
    """A rule's `when` as plain data. Every value stays the text that was written: `language: no` is Norwegian."""
    if isinstance(node, Keys):
        out = {}
        for key, value in node.entries.items():
            lines[*path, key] = node.lines[key]
            out[key] = _data(value, (*path, key), lines)
        return out
    if isinstance(node, Items):
        items = []
        for index, value in enumerate(node.items):
            lines[*path, index] = value.line
            items.append(_data(value, (*path, index), lines))
        return items
    return None if node.empty else node.text
