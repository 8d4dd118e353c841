"""The pieces of Block Kit that the desk is drawn with, each within Slack's limits whatever it is given.

Limits: https://docs.slack.dev/reference/block-kit/blocks and its elements' pages. All text of strangers goes through
`plain` or `quote`, which Slack shows and does not parse; `mrkdwn` is for our own words, in which theirs are escaped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from desk.slack.text import shown
from hub.text import clip, storable

Block = dict[str, Any]
View = dict[str, Any]

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
SECTION_CHARS = 3000
CONTEXT_CHARS = 2000  # no limit is documented for it; a section's is 3,000
BUTTON_CHARS = 75
OPTION_CHARS = 75
OPTION_VALUE_CHARS = 150
OPTIONS = 100
OVERFLOW = 5
HEADER_CHARS = 150
TITLE_CHARS = 24
INPUT_CHARS = 3000
PLACEHOLDER_CHARS = 150
META_CHARS = 3000
# Of a whole message, in the bytes of its blocks' texts. Undocumented: people report msg_blocks_too_long from about
# 11,300 to 13,200 characters on (bolt-js issues 2509 and 2867); how signs beyond ASCII count, nobody says.
MESSAGE_BYTES = 9000
FALLBACK_CHARS = 300


@dataclass(frozen=True, slots=True)
class Post:
    """A message: its blocks, and the text that notifications and screen readers have, already escaped."""

    text: str
    blocks: tuple[Block, ...]


def digest(post: Post) -> str:
    """What a post shows, as sha256 hex: equal for equal posts (desk_posts.drawn)."""
    shows = json.dumps([post.text, post.blocks], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(shows.encode()).hexdigest()


def cut(text: str, size: int) -> str:
    """The first `size` bytes (UTF-8) of `text` at most, whole characters, an ellipsis where there was more."""
    if len(text) <= size and len(text.encode()) <= size:
        return text
    return text[:size].encode()[: max(size - 3, 0)].decode("utf-8", "ignore").rstrip() + "…"


def plain(text: str, chars: int = SECTION_CHARS) -> Block:
    """Text that Slack shows as it is; short names of emoji stay short names. Never empty: Slack refuses that."""
    return {"type": "plain_text", "text": clip(shown(text), chars) or "–", "emoji": False}


def mrkdwn(text: str, chars: int = SECTION_CHARS) -> Block:
    """Our own words, formatted; whatever is not ours in it is escaped already. Names and addresses become no links."""
    return {"type": "mrkdwn", "text": clip(shown(text), chars) or "–", "verbatim": True}


def section(text: str, accessory: Block | None = None) -> Block:
    """Our own words."""
    return {"type": "section", "text": mrkdwn(text)} | ({"accessory": accessory} if accessory else {})


def context(*texts: str | Block) -> Block:
    """Small print, at most ten pieces: a str is our own words in mrkdwn; a stranger's go in as `plain(...)`."""
    some = [mrkdwn(text, CONTEXT_CHARS) if isinstance(text, str) else text for text in texts if text]
    return {"type": "context", "elements": some[:10]}


def divider() -> Block:
    return {"type": "divider"}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER_CHARS)}


def quote(text: str, size: int = 6000) -> Block:
    """A stranger's words with a bar at their side, at most `size` bytes of them."""
    return rich(quoted(leaf(cut(shown(text), size))))


def rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def quoted(*leaves: Block) -> Block:
    return {"type": "rich_text_quote", "elements": list(leaves)}


def words(*leaves: Block) -> Block:
    return {"type": "rich_text_section", "elements": list(leaves)}


def leaf(text: str, *styles: str) -> Block:
    """A piece of rich text. styles: bold, italic, strike, code. Never empty: Slack refuses that."""
    one: Block = {"type": "text", "text": shown(text) or "–"}
    return one | {"style": dict.fromkeys(styles, True)} if styles else one


def button(label: str, action: str, value: str, style: str | None = None, url: str | None = None) -> Block:
    """style: primary or danger. url: a link; Slack reports the press all the same."""
    one: Block = {
        "type": "button",
        "text": plain(label, BUTTON_CHARS),
        "action_id": action,
        "value": value[:2000],
    }
    one |= {"style": style} if style else {}
    return one | {"url": url} if url else one


def option(label: str, value: str, description: str = "") -> Block:
    """One choice of a menu. The value must be within OPTION_VALUE_CHARS; longer is a bug of the caller's."""
    if not 0 < len(value) <= OPTION_VALUE_CHARS:
        raise ValueError(f"an option's value has {len(value)} characters")
    one: Block = {"text": plain(label, OPTION_CHARS), "value": value}
    return one | {"description": plain(description, OPTION_CHARS)} if description else one


def menu(action: str, placeholder: str, options: Sequence[Block], initial: str | None = None) -> Block:
    """A static select. initial: the value of the option that is chosen at first; one that is not there is left out."""
    some = list(options[:OPTIONS])
    one: Block = {
        "type": "static_select",
        "action_id": action,
        "placeholder": plain(placeholder, PLACEHOLDER_CHARS),
        "options": some,
    }
    chosen = next((o for o in some if o["value"] == initial), None)
    return one | {"initial_option": chosen} if chosen else one


def overflow(action: str, options: Sequence[Block]) -> Block:
    """A menu behind three dots, at most five options."""
    return {"type": "overflow", "action_id": action, "options": list(options[:OVERFLOW])}


def actions(*elements: Block, block_id: str | None = None) -> Block:
    one: Block = {"type": "actions", "elements": list(elements[:25])}
    return one | {"block_id": block_id} if block_id else one


def initial(text: str, chars: int) -> Block:
    """What stands in an input at first; nothing where there is nothing."""
    text = storable(text)[:chars]
    return {"initial_value": text} if text else {}


def field_of(
    label: str, element: Block, *, hint: str = "", optional: bool = False, block_id: str | None = None,
    dispatch: bool = False,
) -> Block:  # fmt: skip
    """An input with its label; its block is named as its element unless said otherwise."""
    one: Block = {
        "type": "input",
        "block_id": block_id or element["action_id"],
        "label": plain(label, 2000),
        "element": element,
        "optional": optional,
    }
    one |= {"hint": plain(hint, 2000)} if hint else {}
    return one | {"dispatch_action": True} if dispatch else one


def modal(
    callback: str, title: str, blocks: Iterable[Block], meta: str = "", submit: str = "", close: str = "Cancel"
) -> View:  # fmt: skip
    """A modal. meta: its private_metadata; longer than META_CHARS is a bug of the caller's."""
    if len(meta) > META_CHARS:
        raise ValueError(f"private_metadata has {len(meta)} characters")
    view: View = {
        "type": "modal",
        "callback_id": callback,
        "title": plain(title, TITLE_CHARS),
        "close": plain(close, TITLE_CHARS),
        "private_metadata": meta,
        "blocks": list(blocks)[:VIEW_BLOCKS],
    }
    return view | {"submit": plain(submit, TITLE_CHARS)} if submit else view
