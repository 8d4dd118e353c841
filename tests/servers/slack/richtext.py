"""What Slack makes of what a person types: the message's text, escaped, and its rich_text block.

https://docs.slack.dev/messaging/formatting-message-text, https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.servers.slack.workspace import Json

_TOKEN = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)(?:\|[^>]*)?>|<#(?P<channel>C[A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<!(?P<range>here|channel|everyone)(?:\|[^>]*)?>|<!subteam\^(?P<usergroup>S[A-Z0-9]+)(?:\|[^>]*)?>"
    r"|(?:(?<=\s)|^)@(?P<at>here|channel|everyone)\b"
    r"|<(?P<link>https?://[^|>\s]+)(?:\|(?P<label>[^>]*))?>|(?P<url>https?://[^\s<>]+)"
    r"|:(?P<emoji>[+-]1|100|[a-z0-9_'-]*[a-z][a-z0-9_+'-]*)(?:::skin-tone-(?P<skin>[2-6]))?:"
    r"|```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`"
    r"|(?<!\w)\*(?P<bold>[^*\s](?:[^*\n]*[^*\s])?)\*(?!\w)|(?<!\w)_(?P<italic>[^_\s](?:[^_\n]*[^_\s])?)_(?!\w)"
    r"|(?<!\w)~(?P<strike>[^~\s](?:[^~\n]*[^~\s])?)~(?!\w)",
    re.DOTALL,
)
# The few whose code points tests may look for; Slack sends `unicode` for every standard one.
_UNICODE = {
    "lock": "1f512",
    "tada": "1f389",
    "smile": "1f604",
    "thumbsup": "1f44d",
    "+1": "1f44d",
    "heart": "2764-fe0f",
    "outbox_tray": "1f4e4",
    "white_check_mark": "2705",
    "wave": "1f44b",
    "slightly_smiling_face": "1f642",
}


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def typed(text: str, block_id: str) -> tuple[str, list[Json]]:
    """The `text` and `blocks` of a message a person typed. `<@U…>`, `<#C…>`, `@here` stand for what is picked from the
    menus; links, :emoji:, *bold*, _italic_, ~strike~, `code` and ```blocks``` are formatted as one types them."""
    if not text:
        return "", []
    said, outer, section = "", list[Json](), list[Json]()
    for element, raw in _elements(text):
        said += raw
        if element["type"] == "rich_text_preformatted":
            if section:
                outer.append({"type": "rich_text_section", "elements": section})
            outer.append(element)
            section = []
        else:
            section.append(element)
    if section:
        outer.append({"type": "rich_text_section", "elements": section})
    return said, [{"type": "rich_text", "block_id": block_id, "elements": outer}]


def _elements(text: str) -> Iterator[tuple[Json, str]]:
    at = 0
    for match in _TOKEN.finditer(text):
        if plain := text[at : match.start()]:
            yield {"type": "text", "text": plain}, escape(plain)
        at = match.end()
        yield _element(match)
    if rest := text[at:]:
        yield {"type": "text", "text": rest}, escape(rest)


def _element(match: re.Match[str]) -> tuple[Json, str]:
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    kind = next(iter(found))
    value = found[kind]
    if kind in ("user", "channel", "usergroup"):
        mark = {"user": "@", "channel": "#", "usergroup": "!subteam^"}[kind]
        return {"type": kind, f"{kind}_id": value}, f"<{mark}{value}>"
    if kind in ("range", "at"):
        return {"type": "broadcast", "range": value}, f"<!{value}>"
    if kind in ("link", "url"):
        label = found.get("label")
        link: Json = {"type": "link", "url": value} | ({"text": label} if label else {})
        return link, f"<{escape(value)}|{escape(label)}>" if label else f"<{escape(value)}>"
    if kind in ("emoji", "skin"):
        name = found["emoji"]
        emoji: Json = {"type": "emoji", "name": name}
        if name in _UNICODE:
            emoji["unicode"] = _UNICODE[name]
        if "skin" in found:
            emoji["skin_tone"] = int(found["skin"])
        return emoji, match.group()
    if kind == "pre":
        return (
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": value}], "border": 0},
            f"```{escape(value)}```",
        )
    return {"type": "text", "text": value, "style": {kind: True}}, escape(match.group())


_CONTROL = re.compile(
    r"<(?:[@#!][^<>\s]+(?:[^<>]*)|(?:https?|mailto|tel|slack):[^<>]+)>|&(?:amp|lt|gt);|[&<>]"
)


def posted(text: str) -> str:
    """`text` of an app as Slack keeps it: control sequences stay, every other &, < and > is escaped."""
    return _CONTROL.sub(
        lambda found: found.group() if len(found.group()) > 1 else escape(found.group()), text
    )
