"""The HTML of a mail -> the text that a person would read in it, with what is quoted marked as in plain mails.

Only for reading, search and rules; what a desk shows as HTML is sanitised by itself (docs/security.md, S4). Linear in
the size; what is beyond the caps is cut off here and still stands in the original.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from connectors.mail.quotes import BOUNDARY, PART

HTML_CHARS = 2_000_000
NODES = 60_000
DEPTH = 2_000
_LOOKED_AT = 60  # nodes, to know whether a quotation is a mail sent on

_UNSEEN = frozenset(
    [
        "head",
        "script",
        "style",
        "title",
        "template",
        "noscript",
        "object",
        "svg",
        "math",
        "meta",
        "link",
        "select",
        "option",
        "iframe",
        "audio",
        "video",
        "canvas",
        "map",
        "-comment",
        "_comment",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "caption",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_APART = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "dl"])
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0(?:px|pt)?\s*(?:;|$)",
    re.IGNORECASE,
)
# What mail programs put around, or in front of, the mail that is answered.
_QUOTE_CLASS = frozenset(
    [
        "gmail_quote",
        "yahoo_quoted",
        "protonmail_quote",
        "tutanota_quote",
        "zmail_extra",
        "gmx_quote",
        "mailbird_quote",
        "front-blockquote",
    ]
)
_BELOW_ID = frozenset(
    [
        "divRplyFwdMsg",
        "x_divRplyFwdMsg",
        "appendonsend",
        "mail-editor-reference-message-container",
        "OLK_SRC_BODY_SECTION",
        "replySplit",
        "ms-outlook-mobile-reference-message",
    ]
)
_OUTLOOK_RULE = re.compile(
    r"border(?:-top)?\s*:\s*(?:solid\s+#?(?:E1E1E1|B5C4DF)|none;\s*border-top\s*:\s*solid\s+#?(?:E1E1E1|B5C4DF))",
    re.IGNORECASE,
)
_FORWARD = re.compile(
    r"forwarded message|weitergeleitete|message transf|reenviado|inoltrat|encaminhada", re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:\-]{0,30})")
_ALONE = frozenset(
    (
        "br",
        "img",
        "hr",
        "meta",
        "link",
        "input",
        "p",
        "li",
        "td",
        "th",
        "tr",
        "dd",
        "dt",
        "option",
        "col",
        "wbr",
    )
)
_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_\-]{1,40})", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f\u00a0\u2007\u200b\u2060\ufeff\u00ad]+")
# Joiners belong to emoji and to Persian; a row of them only pushes the preview of a newsletter out of sight.
_FILLER = re.compile(r"(?:[\u034f\u061c\u200c\u200d\u200e][ \t\u00a0\u2007]*){3,}")
_LINES = re.compile(r"\n{3,}")


def charset(html: bytes) -> str | None:
    """What a page says of itself, where its mail says nothing (https://html.spec.whatwg.org, 13.2.3.2)."""
    match = _META.search(html[:1024])
    return match[1].decode("ascii") if match else None


def to_text(html: str) -> str:
    """The text of `html`. Quoted blocks stand behind "> ", and a line BOUNDARY stands where all below is quoted."""
    try:
        tree = LexborHTMLParser(_not_too_deep(html[:HTML_CHARS].replace(BOUNDARY, "").replace(PART, "")))
    except (ValueError, RuntimeError):
        return ""
    root = tree.body or tree.root
    if root is None:
        return ""
    reader = _Reader()
    reader.read(root)
    return reader.text()


def _not_too_deep(html: str) -> str:
    """Up to where it nests deeper than DEPTH: the parser's time grows with the square of that."""
    if html.count("<") <= DEPTH:
        return html
    depth = 0
    for tag in _TAG.finditer(html):
        if tag[2].lower() not in _ALONE:
            depth = depth + 1 if not tag[1] else max(0, depth - 1)
            if depth > DEPTH:
                return html[: tag.start()]
    return html


class _Reader:
    """Walks the tree without recursion: a mail may nest ten thousand deep."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.quote = 0
        self.pre = 0
        self.nodes = 0

    def read(self, root: LexborNode) -> None:
        # (node, None): enter it. (node, what to undo): leave it.
        stack: list[tuple[LexborNode, tuple[bool, bool, bool, str] | None]] = [(root, None)]
        while stack:
            node, undo = stack.pop()
            if undo is not None:
                self._leave(undo)
                continue
            self.nodes += 1
            if self.nodes > NODES:
                return
            tag = node.tag or ""
            if tag == "-text":
                self._words(node.text_content or "")
                continue
            if tag in _UNSEEN or not self._seen(node):
                continue
            undoes = self._enter(node, tag)
            if len(stack) < NODES:
                stack.append((node, undoes))
                children = []
                child = node.child
                while child is not None:
                    children.append(child)
                    child = child.next
                stack.extend((one, None) for one in reversed(children))

    def text(self) -> str:
        self._end()
        return _LINES.sub("\n\n", "\n".join(self.lines)).strip("\n")

    def _seen(self, node: LexborNode) -> bool:
        attributes = node.attributes
        if "hidden" in attributes:
            return False
        style = attributes.get("style")
        return not (style and _HIDDEN.search(style[:2000]))

    def _enter(self, node: LexborNode, tag: str) -> tuple[bool, bool, bool, str]:
        attributes = node.attributes
        quotes = self._is_quote(node, tag)
        block = tag in _BLOCKS or quotes
        if block:
            self._end()
            if tag in _APART and self.lines and self.lines[-1].strip("> "):
                self._put("")
        if (attributes.get("id") or "") in _BELOW_ID or (
            tag == "div" and _OUTLOOK_RULE.search((attributes.get("style") or "")[:500])
        ):
            self._end()
            if self.lines and not self.lines[-1]:
                self.lines.pop()  # one blank line will do, below it
            self.lines += [BOUNDARY, ""]
        self.quote += quotes
        preserves = tag in ("pre", "textarea")
        self.pre += preserves
        if tag == "br":
            self._end(always=True)
        elif tag == "hr":
            self._put("-" * 20)
        elif tag == "li":
            self.line.append("- ")
        elif tag in ("td", "th") and self.line:
            self.line.append(" ")
        elif tag == "img" and (words := _SPACES.sub(" ", attributes.get("alt") or "").strip()):
            self.line.append(f"[{words[:100]}]")
        return block, quotes, preserves, tag if tag != "a" else f"a {self._target(node)}"

    def _leave(self, undo: tuple[bool, bool, bool, str]) -> None:
        block, quotes, preserves, tag = undo
        if tag.startswith("a http"):
            self._link(tag[2:])
        if block:
            self._end()
        self.quote -= quotes
        if block and tag in _APART and self.lines and self.lines[-1].strip("> "):
            self._put("")
        self.pre -= preserves

    def _target(self, node: LexborNode) -> str:
        href = (node.attributes.get("href") or "").strip()
        words = _SPACES.sub(" ", _beginning(node)).strip() if href.startswith(("http://", "https://")) else ""
        bare = href.removeprefix("https://").removeprefix("http://").rstrip("/")
        return "" if not words or len(href) > 300 or words.rstrip("/").endswith(bare) else href

    def _link(self, href: str) -> None:
        self.line.append(f" ({href})")

    def _is_quote(self, node: LexborNode, tag: str) -> bool:
        attributes = node.attributes
        names = (attributes.get("class") or "").split()
        named = tag == "blockquote" or (tag == "div" and attributes.get("name") == "quote")  # GMX and WEB.DE
        if not named and not _QUOTE_CLASS.intersection(names):
            return False
        if tag != "blockquote" and _answered_within(node):
            return False
        return not _FORWARD.search(_beginning(node))  # what was sent on is what the mail says

    def _words(self, text: str) -> None:
        if self.pre:
            first, *rest = text.replace("\r\n", "\n").split("\n")
            self.line.append(first)
            for more in rest:
                self._end(always=True)
                self.line.append(more)
            return
        words = _SPACES.sub(" ", _FILLER.sub(" ", text))
        if words == " " and not self.line:
            if "\u00a0" in text:  # <div>&nbsp;</div>: an empty line
                self.line.append("\u00a0")
            return
        if self.line and self.line[-1].endswith(" ") and words.startswith(" "):
            words = words[1:]
        if words:
            self.line.append(words)

    def _end(self, *, always: bool = False) -> None:
        text = "".join(self.line)
        self.line.clear()
        if not self.pre:
            always = always or text == "\u00a0"
            text = text.strip()
        if text or always:
            self._put(text)

    def _put(self, text: str) -> None:
        self.lines.append("> " * min(self.quote, 5) + text if self.quote else text)


def _answered_within(node: LexborNode) -> bool:
    """Do words stand below a quotation in it? Gmail keeps answers between quotations inside what it calls a quote."""
    child, below = node.child, False
    for _ in range(_LOOKED_AT):
        if child is None:
            break
        if child.tag == "blockquote":
            below = True
        elif below and (child.text_content or "" if child.tag == "-text" else _beginning(child)).strip():
            return True
        child = child.next
    return False


def _beginning(node: LexborNode) -> str:
    """The first words in a node. Not all of them: quotations nest, and each asks."""
    words: list[str] = []
    stack = [node.child]
    for _ in range(_LOOKED_AT):
        if not stack:
            break
        at = stack.pop()
        if at is None:
            continue
        if at is not node:
            stack.append(at.next)
        if at.tag == "-text":
            words.append((at.text_content or "")[:400])
        elif at.tag not in _UNSEEN:
            stack.append(at.child)
    return " ".join(words)[:400]
