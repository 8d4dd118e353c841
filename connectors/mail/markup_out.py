"""An agent's plain text as the HTML part of a mail: escaped, its links clickable, nothing loaded from anywhere."""

from __future__ import annotations

import html
import re

# Addresses as people type them. What closes a sentence or a bracket around it is not part of one.
_LINK = re.compile(
    r"(?P<url>(?:https?://|www\.)[^\s<>\"“”«»]{1,2000})"
    r"|(?P<mail>(?<![\w.+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+)",
    re.IGNORECASE,
)
_CLOSES = ".,;:!?'*_"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def page(text: str, signature: str = "", quoted: str = "") -> str:
    """The whole document. `text` and `signature` have \\n as line ends; `quoted` is HTML."""
    below = f'<div style="color:#555">-- <br>\n{_lines(signature)}</div>\n' if signature else ""
    return (
        '<!doctype html>\n<html>\n<head><meta charset="utf-8"></head>\n<body>\n'
        f'<div dir="auto">{_lines(text)}</div>\n{"<br>" if below else ""}{below}{quoted}</body>\n</html>\n'
    )


def _lines(text: str) -> str:
    return "<br>\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    out, at = [], 0
    for found in _LINK.finditer(line):
        shown = _trimmed(found[0])
        if found["url"]:
            target = shown if "://" in shown[:8] else f"http://{shown}"
        else:
            target = f"mailto:{shown}"
        out.append(_spaced(line[at : found.start()]))
        out.append(f'<a href="{html.escape(target)}">{html.escape(shown)}</a>')
        at = found.start() + len(shown)
    out.append(_spaced(line[at:]))
    return "".join(out)


def _trimmed(url: str) -> str:
    """Without what ends the sentence: `(see https://example.com/a_(b)).` is `https://example.com/a_(b)`."""
    while url:
        last = url[-1]
        if last in _CLOSES or (last in _PAIRS and url.count(last) > url.count(_PAIRS[last])):
            url = url[:-1]
        else:
            break
    return url


def _spaced(text: str) -> str:
    """Escaped; of several spaces all but the last stay (HTML would make one of them)."""
    escaped = html.escape(text, quote=False).replace("\t", "    ")
    escaped = re.sub(r"^ ", "\u00a0", escaped)
    return re.sub(r" (?= )", "\u00a0", escaped)
