"""Block Kit, checked as Slack does. https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/reference/views"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from tests.servers.slack.api import ApiError
from tests.servers.slack.elements import (
    ELEMENTS,
    ID,
    IMAGE,
    IN_ACTIONS,
    IN_INPUT,
    IN_SECTION,
    INLINE,
    IS_SECTION,
    STYLE,
    only,
)
from tests.servers.slack.rules import (
    Rule,
    Shape,
    anything,
    boolean,
    by_type,
    fault,
    list_of,
    number,
    plain,
    string,
    text,
)
from tests.servers.slack.workspace import Ids, Json

MESSAGE: Final = "message"
MODAL: Final = "modal"
HOME: Final = "home"
# https://docs.slack.dev/reference/block-kit/blocks: "up to 50 blocks in each message, and 100 in modals or Home tabs"
MOST: Final = {MESSAGE: 50, MODAL: 100, HOME: 100}
# "12,000 text characters with a buffer for block containers" (github.com/slackapi/bolt-js/issues/2509, where one
# markdown block held 13,297 characters and a divider beside it cost 125): text, and 125 for each block or element.
MESSAGE_BUDGET: Final = 13_422
CONTAINER: Final = 125
MARKDOWN: Final = (
    12_000  # https://docs.slack.dev/reference/block-kit/blocks/markdown-block: all of a message together
)

_BASE: dict[str, Rule] = {"type": anything}
_MAY: dict[str, Rule] = {"block_id": ID}
_INLINE = list_of(by_type(INLINE, "rich text"), 0, 10_000)
_SECTION = Shape(_BASE | {"elements": _INLINE})
_LIST = Shape(
    _BASE | {"style": STYLE, "elements": list_of(IS_SECTION, 1, 10_000)},
    {"indent": number(0, 8), "offset": number(0, 10_000), "border": number(0, 1)},
)
_RICH: dict[str, Rule] = {
    "rich_text_section": _SECTION,
    "rich_text_list": _LIST,
    "rich_text_preformatted": Shape(
        _BASE | {"elements": _INLINE}, {"border": number(0, 1), "language": string(40)}
    ),
    "rich_text_quote": Shape(_BASE | {"elements": _INLINE}, {"border": number(0, 1)}),
}


def _section(block: Json, path: str, faults: list[str]) -> None:
    if "text" not in block and "fields" not in block:
        fault(faults, path, "must have text or fields")


def _image(block: Json, path: str, faults: list[str]) -> None:
    if ("image_url" in block) == ("slack_file" in block):
        fault(faults, path, "must have either image_url or slack_file")


_CONTEXT: dict[str, Rule] = {"image": IMAGE, "plain_text": plain(3000), "mrkdwn": text(3000, "mrkdwn")}
_BLOCKS: dict[str, Rule] = {
    "section": Shape(
        _BASE,
        _MAY
        | {
            "text": text(3000),
            "fields": list_of(text(2000), 1, 10),
            "accessory": by_type(only(IN_SECTION), "accessory"),
            "expand": boolean,
        },
        _section,
    ),
    "header": Shape(_BASE | {"text": plain(150)}, _MAY),
    "divider": Shape(_BASE, _MAY),
    "context": Shape(_BASE | {"elements": list_of(by_type(_CONTEXT, "context element"), 1, 10)}, _MAY),
    "actions": Shape(_BASE | {"elements": list_of(by_type(only(IN_ACTIONS), "element"), 1, 25)}, _MAY),
    "input": Shape(
        _BASE | {"label": plain(2000), "element": by_type(only(IN_INPUT), "input element")},
        _MAY | {"hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
    ),
    "image": Shape(
        _BASE | {"alt_text": string(2000)},
        _MAY | {"image_url": string(3000), "slack_file": anything, "title": plain(2000)},
        _image,
    ),
    "rich_text": Shape(_BASE | {"elements": list_of(by_type(_RICH, "rich text"), 1, 10_000)}, _MAY),
}
_ON: dict[str, dict[str, Rule]] = {
    MESSAGE: _BLOCKS | {"markdown": Shape(_BASE | {"text": string(MARKDOWN)}, _MAY)},
    MODAL: _BLOCKS,
    HOME: _BLOCKS,
}
_VIEW: dict[str, Rule] = {
    "private_metadata": string(3000, 0),
    "callback_id": string(255, 0),
    "external_id": string(255, 0),
}
_VIEWS: dict[str, Rule] = {
    MODAL: Shape(
        {"type": anything, "title": plain(24), "blocks": anything},
        _VIEW
        | {
            "submit": plain(24),
            "close": plain(24),
            "clear_on_close": boolean,
            "notify_on_close": boolean,
            "submit_disabled": boolean,
        },
    ),
    HOME: Shape({"type": anything, "blocks": anything}, _VIEW),
}


def checked(blocks: list[Json], surface: str, ids: Ids) -> list[Json]:
    """The blocks of a message as Slack keeps them: with a block_id and action_ids where the app gave none. Raises
    ApiError("invalid_blocks") with a line for each fault, and "msg_blocks_too_long"."""
    faults: list[str] = []
    _check(blocks, surface, faults)
    if faults:
        raise ApiError("invalid_blocks", *faults)
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if markdown > MARKDOWN or weight(blocks) > MESSAGE_BUDGET:
        raise ApiError("msg_blocks_too_long")
    return _with_ids(blocks, ids)


def view_checked(view: Json, ids: Ids) -> Json:
    """A view likewise. Raises ApiError("invalid_arguments")."""
    surface = str(view.get("type"))
    faults: list[str] = []
    _VIEWS[surface](view, "/view", faults)
    blocks = view.get("blocks")
    _check(blocks, surface, faults, "/view/blocks")
    if not faults and isinstance(blocks, list):
        if surface == MODAL and "submit" not in view and any(one["type"] == "input" for one in blocks):
            fault(faults, "/view/submit", "submit is required when an input block is within the blocks")
        focused = [one for block in blocks for one in _elements(block) if one.get("focus_on_load")]
        if len(focused) > 1:
            fault(faults, "/view/blocks", "only one element may have focus_on_load")
    if faults:
        raise ApiError("invalid_arguments", *faults)
    return {**view, "blocks": _with_ids(view["blocks"], ids)}


def weight(blocks: list[Json]) -> int:
    """What a message's blocks weigh against MESSAGE_BUDGET."""
    return sum(_weights(blocks))


def _weights(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        if value.get("type") not in (None, "plain_text", "mrkdwn", "text"):
            yield CONTAINER
        if isinstance(said := value.get("text"), str):
            yield len(said)
        for one in value.values():
            yield from _weights(one)
    elif isinstance(value, list):
        for one in value:
            yield from _weights(one)


def _check(blocks: Any, surface: str, faults: list[str], path: str = "/blocks") -> None:
    before = len(faults)
    list_of(by_type(_ON[surface], "block"), 0, MOST[surface])(blocks, path, faults)
    if len(faults) > before:
        return
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id in seen:
            fault(faults, f"{path}/{index}/block_id", f"block_id {block_id!r} already exists")
        seen.add(block_id or f"#{index}")
        actions = [one["action_id"] for one in _elements(block) if "action_id" in one]
        if len(set(actions)) < len(actions):
            fault(faults, f"{path}/{index}", "action_id already exists in the block")
        if surface != MODAL and (block.get("element") or {}).get("type") == "file_input":
            fault(faults, f"{path}/{index}/element", "file_input works in modals alone")
        if block["type"] == "rich_text":
            _lists(block, f"{path}/{index}", faults)


def _lists(block: Json, path: str, faults: list[str]) -> None:
    for index, one in enumerate(block["elements"]):
        if one["type"] == "rich_text_list":
            list_of(_SECTION, 1, 10_000)(one["elements"], f"{path}/elements/{index}/elements", faults)


def _elements(block: Json) -> list[Json]:
    """The block's interactive elements."""
    candidates = [block.get("element"), block.get("accessory")]
    if block["type"] == "actions":
        candidates += block["elements"]
    return [
        one for one in candidates if one is not None and one["type"] in ELEMENTS and one["type"] != "image"
    ]


def _with_ids(blocks: list[Json], ids: Ids) -> list[Json]:
    kept = copy.deepcopy(blocks)
    for block in kept:
        block.setdefault("block_id", ids.new("b"))
        for element in _elements(block):
            element.setdefault("action_id", ids.new("a"))
    return kept
