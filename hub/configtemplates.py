"""`templates` of a ready-made reply: what the text is called where a provider approved it, and what fills it there.

An entry is a name alone, or {name, language} with what the provider's places are filled with: `body` (a list, or a
mapping where they have names), one of `header`, `image`, `video` and `document`, and `buttons` by their number. What
fills one is text with the reply's own places in it ({1}, {2}, ...), and only such as the reply's text has too: nobody
is asked for words that are not shown where people read them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from hub.config import ApprovedText
from hub.model import ButtonKind, HeaderKind, TemplateButton, TemplateHeader
from hub.yamlfile import Keys, Node, Scalar, Section, clip, near

ATTACHED: Final = "attached"  # as the head: the file that the agent attaches
PLACE = re.compile(r"\{(\d{1,2})\}")
_VALUE_CHARS = 2_000
_BUTTONS = 10  # of a template: more than any provider has
_FILES = (HeaderKind.IMAGE, HeaderKind.VIDEO, HeaderKind.DOCUMENT)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_LINK = re.compile(r"https?://[^\s/{}]+(/\S*)?")
_FILE_ID = re.compile(r"\d{1,40}")


def approved(section: Section, accounts: Collection[str], places: int) -> dict[str, ApprovedText]:
    """Account, or a connector for all of its accounts, -> what goes out there. places: those of the reply's text."""
    below = section.section("templates")
    if below is None:
        return {}
    known = {*accounts, *(account.partition("/")[0] for account in accounts)}
    found: dict[str, ApprovedText] = {}
    for where in below.node.entries:
        if where not in known:
            below.fault(where, f'no account or channel "{clip(where)}"{near(where, known)}')
        file, line = below.reader.file, below.line_of(where)
        if isinstance(below.get(where), Keys):
            if (inner := below.section(where)) is not None:
                found[where] = _Entry(inner, places).read(file, line)
        else:
            found[where] = ApprovedText(name=below.text(where), file=file, line=line)
    below.done()
    return found


class _Entry:
    """One entry while it is read: it knows how many places may be filled."""

    def __init__(self, section: Section, places: int) -> None:
        self.section, self.places = section, places

    def read(self, file: str, line: int) -> ApprovedText:
        self.section.need("name")
        body, names = self._body()
        one = ApprovedText(
            name=self.section.text("name"),
            language=self.section.text("language", limit=20),
            body=body,
            names=names,
            header=self._header(),
            buttons=self._buttons(),
            file=file,
            line=line,
        )
        self.section.done()
        if one.header is not None and one.header.kind is HeaderKind.TEXT:
            filled = self.places if body is None else len(body)
            if filled and bool(names) != bool(one.header.name):
                told = "a template has names for all places of its header and body, or for none"
                self.section.fault("header", f"{self.section.what}: {told}")
        return one

    # --------------------------------------------------------------------------------------------------- the parts

    def _body(self) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        node = self.section.get("body")
        if isinstance(node, Keys):
            named = self._named("body", node)
            return tuple(named.values()), tuple(named)
        if node is None:
            return None, ()
        return tuple(self._value("body", one) for one in self.section.items("body")), ()

    def _header(self) -> TemplateHeader | None:
        given = [kind for kind in HeaderKind if self.section.get(_key(kind)) is not None]
        if len(given) > 1:
            self.section.fault(
                _key(given[1]),
                f"{self.section.what}: a template has one of header, image, video and document",
            )
        if not given:
            return None
        kind, node = given[0], self.section.get(_key(given[0]))
        assert node is not None
        if kind in _FILES:
            return TemplateHeader(kind=kind, value=self._file(_key(kind), node))
        if not isinstance(node, Keys):
            return TemplateHeader(kind=kind, value=self._value("header", node))
        named = self._named("header", node)
        if len(named) > 1:
            self.section.fault("header", f"{self.section.what}: a header has one place, so one name")
        return next((TemplateHeader(kind=kind, value=named[name], name=name) for name in named), None)

    def _buttons(self) -> tuple[TemplateButton, ...]:
        below = self.section.section("buttons")
        found: list[TemplateButton] = []
        for key, node in below.node.entries.items() if below is not None else ():
            assert below is not None
            number = int(key) if re.fullmatch(r"[1-9]\d?", key) else 0
            if not 1 <= number <= _BUTTONS:
                below.fault(key, f"{below.what}: a button is named by its number, 1 to {_BUTTONS}")
                continue
            entries = node.entries if isinstance(node, Keys) else {}
            kind = next((one for one in ButtonKind if one in entries), None)
            if kind is None or len(entries) != 1:
                wanted = ", ".join(ButtonKind)
                below.fault(
                    key, f'{below.what}: button {number} takes one of {wanted}, such as {{url: "{{1}}"}}'
                )
                continue
            value = self._value("buttons", entries[kind])
            found.append(TemplateButton(number=number, kind=kind, value=value))
        return tuple(sorted(found, key=lambda one: one.number))

    # -------------------------------------------------------------------------------------------------- the values

    def _named(self, key: str, node: Keys) -> dict[str, str]:
        if (first := next(iter(node.entries), "")).isdigit():
            self._fault(node, f'"{key}" must be filled with text, "{{{first}}}" in quotes')
            return {}
        for name in node.entries:
            if not _NAME.fullmatch(name):
                self._fault(node, f'"{key}": a place is named by letters, digits and _, not "{clip(name)}"')
        return {name: self._value(key, one) for name, one in node.entries.items()}

    def _file(self, key: str, node: Node) -> str:
        """Empty for the file that is attached."""
        value = self._value(key, node)
        if value == ATTACHED:
            return ""
        if value and not any(shape.fullmatch(value) for shape in (PLACE, _FILE_ID, _LINK)):
            self._fault(
                node, f'"{key}" must be a link, the provider\'s id of a file, a place, or "{ATTACHED}"'
            )
        return value

    def _value(self, key: str, node: Node) -> str:
        """Text with places that the reply has."""
        if not isinstance(node, Scalar):
            bare = next(iter(node.entries), "") if isinstance(node, Keys) else ""
            cure = f', "{{{bare}}}" in quotes' if bare.isdigit() else ""
            self._fault(node, f'"{key}" must be filled with text{cure}')
            return ""
        value = node.text.strip()
        if not value or node.empty or len(value) > _VALUE_CHARS:
            self._fault(node, f'"{key}" must be filled with text of 1 to {_VALUE_CHARS:,} characters')
        elif "{{" in value:
            self._fault(node, f'"{key}": write {{1}}, not {{{{1}}}}: it is the reply\'s place that is meant')
        elif strange := [one for one in PLACE.findall(value) if not 1 <= int(one) <= self.places]:
            self._fault(
                node,
                f'"{key}" is filled with {{{strange[0]}}}, which the reply\'s text has not: people read that text',
            )
        return value

    def _fault(self, node: Node, text: str) -> None:
        self.section.reader.fault(node.line, f"{self.section.what}: {text}")


def _key(kind: HeaderKind) -> str:
    return "header" if kind is HeaderKind.TEXT else kind.value
