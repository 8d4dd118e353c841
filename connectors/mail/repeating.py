"""What is answered, below an answer: an attribution and ">" lines in plain text, a blockquote in HTML (RFC 3676, 4.5).

It was a stranger's: in HTML everything of it is escaped and nothing of it is a link, and there is never more of it than
a reader looks at. Mail programs and our own reader fold it (quotes.py, markup.py).
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import UTC

from connectors import clean
from connectors.mail import fields
from hub.model import Quoted

CHARS = 10_000
LINES = 200
_LEFT_OUT = "[…]"
_NAME_CHARS = 80
# As Gmail marks its own: programs that fold quotations by it are many, and none is known to mind it.
_HTML = (
    '<br>\n<div class="gmail_quote">\n<div dir="ltr" class="gmail_attr">{who}<br></div>\n'
    '<blockquote class="gmail_quote" type="cite" style="margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex" '
    'dir="auto">\n{lines}\n</blockquote>\n</div>\n'
)


@dataclass(frozen=True, slots=True)
class Repeated:
    plain: str
    html: str


def repeated(quoted: Quoted) -> Repeated | None:
    """None where nothing is left of it that could be read."""
    lines = _lines(quoted.text)
    if not lines:
        return None
    who = _attribution(quoted)
    plain = "\n".join([who, *(_marked(line) for line in lines)])
    said = "<br>\n".join(html.escape(line, quote=False) for line in lines)
    return Repeated(plain, _HTML.format(who=html.escape(who, quote=False), lines=said))


def _lines(text: str) -> list[str]:
    """At most LINES and CHARS, ended at a line where there is one to end at."""
    kept = clean.text(text).strip("\n").rstrip()
    cut = len(kept) > CHARS
    if cut:
        kept = kept[:CHARS]
        kept = kept[: kept.rindex("\n")] if "\n" in kept[CHARS // 2 :] else kept
    lines = kept.split("\n") if kept else []
    if len(lines) > LINES:
        lines, cut = lines[:LINES], True
    return [*lines, _LEFT_OUT] if cut else lines


def _marked(line: str) -> str:
    """What was a quotation already gets its mark without a blank, so that depths can be told (RFC 3676, 4.5)."""
    return f">{line}" if line.startswith(">") else f"> {line}".rstrip()


def _attribution(quoted: Quoted) -> str:
    """`On 21 Nov 2026 at 10:00 UTC, Ann Lee <ann@example.org> wrote:`, on one line."""
    address = quoted.urn.removeprefix("mailto:")
    name = fields.line(quoted.name.replace("<", "").replace(">", ""), _NAME_CHARS)
    who = f"{name} <{address}>" if name and name != address else address
    at = quoted.at.astimezone(UTC)
    return f"On {at.day} {_MONTHS[at.month - 1]} {at:%Y at %H:%M} UTC, {fields.line(who, 3 * _NAME_CHARS)} wrote:"


# Not by the locale of the process: every attempt says the same.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
