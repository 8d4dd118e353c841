"""Block Kit's documented limits, as a check of whatever was drawn. https://docs.slack.dev/reference/block-kit

Two hands wrote them down: the ones below, and the local Slack's (tests/servers/slack/blocks.py), which are asked too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from desk.slack.blocks import Post
from tests.servers.slack.blocks import MESSAGE, checked, view_checked
from tests.servers.slack.workspace import Ids

TEXTS = {"plain_text", "mrkdwn"}


def check_post(post: Post) -> None:
    assert 0 < len(post.blocks) <= 50
    assert 0 < len(post.text) <= 4000
    # Undocumented; people report msg_blocks_too_long from 11,300 characters on (bolt-js issue 2867).
    assert sum(len(text.encode()) for text in texts(post.blocks)) <= 11_000
    _blocks(post.blocks, "message")
    checked(list(post.blocks), MESSAGE, Ids())


def check_view(view: Mapping[str, Any]) -> None:
    home = view["type"] == "home"
    assert 0 < len(view["blocks"]) <= 100
    assert len(json.dumps(view)) < 250_000
    _blocks(view["blocks"], view["type"])
    view_checked(dict(view), Ids())
    if home:
        assert set(view) == {"type", "blocks"}
        return
    for name in ("title", "submit", "close"):
        if name in view:
            _text(view[name], 24, "plain_text")
    assert len(view["callback_id"]) <= 255
    assert len(view["private_metadata"]) <= 3000
    inputs = [block for block in view["blocks"] if block["type"] == "input"]
    assert not inputs or "submit" in view, "a modal with inputs needs a submit button"
    assert sum(bool(block["element"].get("focus_on_load")) for block in inputs) <= 1


def _blocks(blocks: Any, surface: str) -> None:
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    assert len(ids) == len(set(ids))
    assert all(0 < len(one) <= 255 for one in ids)
    for block in blocks:
        _BLOCKS[block["type"]](block)
        assert block["type"] != "input" or surface == "modal"
        assert block["type"] != "divider" or set(block) == {"type"}


def _text(one: Mapping[str, Any], limit: int, kind: str | None = None) -> None:
    assert one["type"] in ({kind} if kind else TEXTS)
    assert 0 < len(one["text"]) <= limit, one["text"][:100]
    assert one["text"].encode()  # no half of a surrogate pair
    assert "\x00" not in one["text"]


def _section(block: Any) -> None:
    _text(block["text"], 3000)
    if "accessory" in block:
        _element(block["accessory"])


def _context(block: Any) -> None:
    assert 0 < len(block["elements"]) <= 10
    for one in block["elements"]:
        _text(one, 3000)


def _actions(block: Any) -> None:
    assert 0 < len(block["elements"]) <= 25
    names = [one["action_id"] for one in block["elements"]]
    assert len(names) == len(set(names))
    for one in block["elements"]:
        _element(one)


def _input(block: Any) -> None:
    _text(block["label"], 2000, "plain_text")
    if "hint" in block:
        _text(block["hint"], 2000, "plain_text")
    _element(block["element"])


def _rich(block: Any) -> None:
    assert block["elements"]
    for one in block["elements"]:
        assert one["type"] in ("rich_text_section", "rich_text_quote")
        assert one["elements"]
        for leaf in one["elements"]:
            assert leaf["type"] in ("text", "link")
            assert leaf["text"]
            assert leaf["text"].encode()


def _element(one: Any) -> None:
    kind = one["type"]
    assert 0 < len(one["action_id"]) <= 255
    if kind == "button":
        _text(one["text"], 75, "plain_text")
        assert 0 < len(one["value"]) <= 2000
        assert one.get("style") in (None, "primary", "danger")
    elif kind in ("overflow", "static_select"):
        assert 0 < len(one["options"]) <= (5 if kind == "overflow" else 100)
        for option in one["options"]:
            _option(option)
        values = [option["value"] for option in one["options"]]
        assert len(values) == len(set(values))
        assert one.get("initial_option") is None or one["initial_option"] in one["options"]
    elif kind == "plain_text_input":
        assert len(one.get("initial_value") or "x") <= one["max_length"] <= 3000
    else:
        assert kind in ("external_select", "datetimepicker", "file_input"), kind
    if "placeholder" in one:
        _text(one["placeholder"], 150, "plain_text")


def _option(option: Any) -> None:
    _text(option["text"], 75, "plain_text")
    assert 0 < len(option["value"]) <= 150
    if "description" in option:
        _text(option["description"], 75, "plain_text")


_BLOCKS = {
    "section": _section,
    "context": _context,
    "actions": _actions,
    "input": _input,
    "rich_text": _rich,
    "header": lambda block: _text(block["text"], 150, "plain_text"),
    "divider": lambda block: None,
}


def texts(part: Any) -> Iterator[str]:
    """Every text that is shown in a piece of Block Kit."""
    if isinstance(part, Mapping):
        if isinstance(part.get("text"), str):
            yield part["text"]
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from texts(value)


def parsed(part: Any) -> Iterator[str]:
    """Every text that Slack parses: mrkdwn."""
    if isinstance(part, Mapping):
        if part.get("type") == "mrkdwn":
            yield part["text"]
        for value in part.values():
            yield from parsed(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from parsed(value)
