"""Text with markup becomes text with entities. https://core.telegram.org/bots/api#formatting-options

Offsets and lengths count UTF-16 code units. The words of the errors are tdlib's; the offset in them counts bytes.
"""

from __future__ import annotations

import html
import re
from typing import Final

from tests.servers.telegram.records import ApiError, Json, bad

TAGS: Final = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler", "span": "spoiler",
    "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote", "tg-emoji": "custom_emoji",
}  # fmt: skip
KINDS: Final = frozenset(
    (*TAGS.values(), "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "text_mention",
     "expandable_blockquote")
)  # fmt: skip
RESERVED: Final = frozenset("_*[]()~`>#+-=|{}.!")
MARKS: Final = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _cannot(text: str) -> ApiError:
    return bad(f"can't parse entities: {text}")


def parsed(text: str, mode: str) -> tuple[str, list[Json]]:
    """Raises ApiError: a mode that is none, or markup that does not close."""
    if not mode:
        return text, []
    match mode.lower():
        case "html":
            return _Html(text).parse()
        case "markdownv2":
            return _MarkdownV2(text).parse()
        case "markdown":
            return _markdown(text)
    raise bad("unsupported parse_mode")


def checked(text: str, given: list[Json]) -> list[Json]:
    """Entities as the caller gave them."""
    for one in given:
        if one.get("type") not in KINDS:
            raise bad("can't parse entities: unsupported type specified")
        offset, length = one.get("offset"), one.get("length")
        if not isinstance(offset, int) or not isinstance(length, int):
            raise bad('can\'t parse entities: Field "offset" and "length" must be of type Number')
        if offset < 0 or length <= 0 or offset + length > units(text):
            raise bad("entity begins or ends in a middle of a UTF-16 symbol or outside of the text")
    return given


class _Html:
    """https://core.telegram.org/bots/api#html-style: only its tags, closed in order; four named entities."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.out: list[str] = []
        self.length = 0
        self.open: list[tuple[str, int, dict[str, str]]] = []
        self.found: list[Json] = []

    def parse(self) -> tuple[str, list[Json]]:
        at = 0
        while at < len(self.source):
            if self.source[at] == "<":
                at = self._tag(at)
            elif self.source[at] == "&":
                at = self._entity(at)
            else:
                self._put(self.source[at])
                at += 1
        if self.open:
            raise _cannot(f'Can\'t find end tag corresponding to start tag "{self.open[-1][0]}"')
        return "".join(self.out), sorted(self.found, key=lambda one: (one["offset"], -one["length"]))

    def _put(self, text: str) -> None:
        self.out.append(text)
        self.length += units(text)

    def _where(self, at: int) -> int:
        return len(self.source[:at].encode())

    def _entity(self, at: int) -> int:
        if found := re.compile(r"&(#\d+|#x[0-9a-fA-F]+|lt|gt|amp|quot);").match(self.source, at):
            self._put(html.unescape(found[0]))
            return found.end()
        self._put("&")
        return at + 1

    def _tag(self, at: int) -> int:
        found = re.compile(
            r"<(/?)([a-zA-Z0-9-]*)((?:\s+[a-zA-Z-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*)\s*>"
        ).match(self.source, at)
        if found is None:
            raise _cannot(f"Unclosed start tag at byte offset {self._where(at)}")
        name = found[2].lower()
        if found[1]:
            if not self.open:
                raise _cannot(f"Unexpected end tag at byte offset {self._where(at)}")
            opened, offset, attributes = self.open.pop()
            if name and name != opened:
                raise _cannot(
                    f'Unmatched end tag at byte offset {self._where(at)}, expected "</{opened}>", found "</{name}>"'
                )
            self._close(opened, offset, attributes)
            return found.end()
        if name not in TAGS:
            raise _cannot(f'Unsupported start tag "{name}" at byte offset {self._where(at)}')
        given = {
            key.lower(): html.unescape(value.strip("\"'"))
            for key, value in re.findall(r"([a-zA-Z-]+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+))?", found[3])
        }
        if name == "span" and given.get("class") != "tg-spoiler":
            raise _cannot(f'Tag "span" must have class "tg-spoiler" at byte offset {self._where(at)}')
        self.open.append((name, self.length, given))
        return found.end()

    def _close(self, name: str, offset: int, given: dict[str, str]) -> None:
        if self.length == offset:
            return
        one: Json = {"type": TAGS[name], "offset": offset, "length": self.length - offset}
        if name == "a":
            if not given.get("href", "").startswith(("http://", "https://", "tg://", "mailto:", "tel:")):
                return  # an address that is none leaves plain text
            one["url"] = given["href"]
        if name == "tg-emoji":
            one["custom_emoji_id"] = given.get("emoji-id", "")
        self.found.append(one)


class _MarkdownV2:
    """https://core.telegram.org/bots/api#markdownv2-style: a reserved character is markup or stands behind a \\."""

    def __init__(self, source: str) -> None:
        self.source, self.out, self.length = source, list[str](), 0
        self.open: list[tuple[str, int]] = []
        self.found: list[Json] = []

    def parse(self) -> tuple[str, list[Json]]:
        at = 0
        while at < len(self.source):
            at = self._step(at)
        if self.open:
            mark, offset = self.open[-1]
            kind = "Bold" if mark == "*" else "Italic" if mark == "_" else "Text"
            raise _cannot(f"Can't find end of {kind} entity at byte offset {offset}")
        return "".join(self.out), sorted(self.found, key=lambda one: (one["offset"], -one["length"]))

    def _put(self, text: str) -> None:
        self.out.append(text)
        self.length += units(text)

    def _step(self, at: int) -> int:
        source, char = self.source, self.source[at]
        if char == "\\" and at + 1 < len(source) and 0 < ord(source[at + 1]) < 127:
            self._put(source[at + 1])
            return at + 2
        if char == "`":
            return self._code(at)
        if char == "[":
            self.open.append(("[", self.length))
            return at + 1
        if char == "]" and self.open and self.open[-1][0] == "[":
            return self._link(at)
        mark = source[at : at + 2] if source[at : at + 2] in ("__", "||") else char
        if mark in MARKS:
            if any(mark == one for one, _ in self.open):
                if self.open[-1][0] != mark:
                    raise _cannot(f"Can't find end of the entity starting at byte offset {self.open[-1][1]}")
                _, offset = self.open.pop()
                if self.length > offset:
                    self.found.append({"type": MARKS[mark], "offset": offset, "length": self.length - offset})
            else:
                self.open.append((mark, self.length))
            return at + len(mark)
        if char == ">" and (not self.out or self.out[-1] == "\n"):
            return at + 1  # a quotation's line; its entity is of no use here
        if char in RESERVED:
            raise _cannot(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
        self._put(char)
        return at + 1

    def _code(self, at: int) -> int:
        fence = "```" if self.source.startswith("```", at) else "`"
        end = self.source.find(fence, at + len(fence))
        if end < 0:
            kind = "Pre" if fence == "```" else "Code"
            raise _cannot(f"Can't find end of {kind} entity at byte offset {len(self.source[:at].encode())}")
        offset, inside = self.length, self.source[at + len(fence) : end]
        self._put(re.sub(r"\\([`\\])", r"\1", inside))
        if self.length > offset:
            kind = "pre" if fence == "```" else "code"
            self.found.append({"type": kind, "offset": offset, "length": self.length - offset})
        return end + len(fence)

    def _link(self, at: int) -> int:
        _, offset = self.open.pop()
        found = re.compile(r"\]\(((?:\\.|[^)\\])*)\)").match(self.source, at)
        if found is None:
            raise _cannot("Can't find end of a URL")
        url = re.sub(r"\\(.)", r"\1", found[1])
        if self.length > offset and url:
            self.found.append(
                {"type": "text_link", "offset": offset, "length": self.length - offset, "url": url}
            )
        return found.end()


def _markdown(source: str) -> tuple[str, list[Json]]:
    """The old way: *bold*, _italic_, `code`, [text](url); nothing within another."""
    out, found, length, at = list[str](), list[Json](), 0, 0
    pattern = re.compile(
        r"\\([_*`\[])|\[([^\]]*)\]\(([^)]*)\)|```([\s\S]*?)```|([*_`])([\s\S]*?)\5|([*_`\[])"
    )
    for match in pattern.finditer(source):
        plain = source[at : match.start()]
        out.append(plain)
        length += units(plain)
        at = match.end()
        if match[7]:
            raise _cannot(
                f"Can't find end of the entity starting at byte offset {len(source[: match.start()].encode())}"
            )
        text = match[1] or match[2] or match[4] or match[6] or ""
        if not match[1] and text:
            kind = (
                "text_link"
                if match[2]
                else "pre"
                if match[4]
                else {"*": "bold", "_": "italic", "`": "code"}[match[5]]
            )
            found.append(
                {"type": kind, "offset": length, "length": units(text)}
                | ({"url": match[3]} if match[2] else {})
            )
        out.append(text)
        length += units(text)
    return "".join([*out, source[at:]]), found
