"""Block Kit, checked as Slack does. https://docs.slack.dev/reference/block-kit"""

from __future__ import annotations

import copy
from typing import Final

from tests.servers.slack.workspace import Ids, Json

MESSAGE: Final = "message"


def checked(blocks: list[Json], surface: str, ids: Ids) -> list[Json]:
    """The blocks as Slack keeps them: with a block_id and action_ids where the app gave none."""
    kept = copy.deepcopy(blocks)
    for block in kept:
        block.setdefault("block_id", ids.new("b"))
        for element in [block.get("element"), block.get("accessory"), *block.get("elements", ())]:
            if isinstance(element, dict) and block["type"] in ("actions", "section", "input"):
                element.setdefault("action_id", ids.new("a"))
    return kept


def view_checked(view: Json, ids: Ids) -> Json:
    return {**view, "blocks": checked(view["blocks"], view["type"], ids)}
