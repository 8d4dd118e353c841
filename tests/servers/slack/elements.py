"""Block Kit's elements and composition objects. https://docs.slack.dev/reference/block-kit/block-elements,
https://docs.slack.dev/reference/block-kit/composition-objects"""

from __future__ import annotations

from typing import Any

from tests.servers.slack.rules import (
    Rule,
    Shape,
    anything,
    boolean,
    fault,
    list_of,
    number,
    one_of,
    plain,
    string,
    text,
)
from tests.servers.slack.workspace import Json

ID = string(255)
_URL = string(3000, pattern=r"(?s)(https?|mailto|slack|tel):.+")
# https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object
CONFIRM = Shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)
# https://docs.slack.dev/reference/block-kit/composition-objects/option-object: 75, 150, 75
_OPTION = Shape({"text": plain(75), "value": string(150)}, {"description": plain(75)})
_RICH_OPTION = Shape({"text": text(75), "value": string(150)}, {"description": text(75)})
_MENU_OPTION = Shape({"text": plain(75)}, {"value": string(150), "description": plain(75), "url": _URL})
# https://docs.slack.dev/reference/block-kit/composition-objects/option-group-object
_GROUP = Shape({"label": plain(75), "options": list_of(_OPTION, 1, 100)})
# https://docs.slack.dev/reference/block-kit/composition-objects/dispatch-action-configuration-object
_DISPATCH = Shape(
    {"trigger_actions_on": list_of(one_of("on_enter_pressed", "on_character_entered"), 1, 2)},
)
_ANY: dict[str, Rule] = {"type": anything}
_MAY: dict[str, Rule] = {"action_id": ID, "confirm": CONFIRM, "focus_on_load": boolean}
_WITH_HINT = _MAY | {"placeholder": plain(150)}


def _choices(element: Json, path: str, faults: list[str]) -> None:
    """options or option_groups, one of the two; what is chosen at first must be among them, letter for letter."""
    if ("options" in element) == ("option_groups" in element):
        fault(faults, path, "must have either options or option_groups")
        return
    grouped = [one for group in element.get("option_groups", ()) for one in group["options"]]
    options = [*element.get("options", ()), *grouped]
    values = [one["value"] for one in options if "value" in one]
    if len(set(values)) < len(values):
        fault(faults, path, "options must have different values")
    chosen = (
        [element["initial_option"]] if "initial_option" in element else element.get("initial_options", [])
    )
    for one in chosen:
        if one not in options:
            fault(faults, f"{path}/initial_option", "must be one of the options")


def _writes(element: Json, path: str, faults: list[str]) -> None:
    least, most = element.get("min_length", 0), element.get("max_length", 3000)
    if least > most:
        fault(faults, path, "min_length must not be more than max_length")
    if len(element.get("initial_value", "")) > most:
        fault(faults, f"{path}/initial_value", f"must be less than {most + 1} characters")


def _static(least: int, most: int, option: Rule, chosen: dict[str, Rule], *, grouped: bool = True) -> Shape:
    lists: dict[str, Rule] = {"options": list_of(option, least, most)}
    if grouped:
        lists["option_groups"] = list_of(_GROUP, 1, 100)
    return Shape(_ANY, _WITH_HINT | lists | chosen, _choices)


_SELECTED = {"max_selected_items": number(1, 100)}
_TYPED = _WITH_HINT | {"dispatch_action_config": _DISPATCH}
BUTTON = Shape(
    _ANY | {"text": plain(75)},
    {
        "action_id": ID,
        "confirm": CONFIRM,
        "url": _URL,
        "value": string(2000),
        "style": one_of("primary", "danger"),
        "accessibility_label": string(75),
    },
)
IMAGE = Shape(_ANY | {"alt_text": string(2000)}, {"image_url": _URL, "slack_file": anything})

ELEMENTS: dict[str, Rule] = {
    "button": BUTTON,
    "image": IMAGE,
    "overflow": Shape(
        _ANY | {"options": list_of(_MENU_OPTION, 1, 5)}, {"action_id": ID, "confirm": CONFIRM}, _choices
    ),
    "static_select": _static(1, 100, _OPTION, {"initial_option": _OPTION}),
    "multi_static_select": _static(
        1, 100, _OPTION, {"initial_options": list_of(_OPTION, 1, 100), **_SELECTED}
    ),
    "radio_buttons": _static(1, 10, _RICH_OPTION, {"initial_option": _RICH_OPTION}, grouped=False),
    "checkboxes": _static(
        1, 10, _RICH_OPTION, {"initial_options": list_of(_RICH_OPTION, 1, 10)}, grouped=False
    ),
    "external_select": Shape(
        _ANY, _WITH_HINT | {"initial_option": _OPTION, "min_query_length": number(0, 100)}
    ),
    "multi_external_select": Shape(
        _ANY,
        _WITH_HINT
        | {"initial_options": list_of(_OPTION, 1, 100), "min_query_length": number(0, 100), **_SELECTED},
    ),
    "users_select": Shape(_ANY, _WITH_HINT | {"initial_user": ID}),
    "multi_users_select": Shape(_ANY, _WITH_HINT | {"initial_users": list_of(ID, 1, 100), **_SELECTED}),
    "conversations_select": Shape(
        _ANY,
        _WITH_HINT
        | {
            "initial_conversation": ID,
            "default_to_current_conversation": boolean,
            "filter": anything,
            "response_url_enabled": boolean,
        },
    ),
    "channels_select": Shape(_ANY, _WITH_HINT | {"initial_channel": ID, "response_url_enabled": boolean}),
    "datepicker": Shape(_ANY, _WITH_HINT | {"initial_date": string(10, pattern=r"\d{4}-\d\d-\d\d")}),
    "timepicker": Shape(
        _ANY, _WITH_HINT | {"initial_time": string(5, pattern=r"\d\d:\d\d"), "timezone": string(100)}
    ),
    "datetimepicker": Shape(_ANY, _MAY | {"initial_date_time": number(10**9, 10**10 - 1)}),
    "plain_text_input": Shape(
        _ANY,
        _TYPED
        | {
            "initial_value": string(3000, 0),
            "multiline": boolean,
            "min_length": number(0, 3000),
            "max_length": number(1, 3000),
        },
        _writes,
    ),
    "email_text_input": Shape(_ANY, _TYPED | {"initial_value": string(3000)}),
    "url_text_input": Shape(_ANY, _TYPED | {"initial_value": string(3000)}),
    "number_input": Shape(
        _ANY | {"is_decimal_allowed": boolean},
        _TYPED | {"initial_value": string(40), "min_value": string(40), "max_value": string(40)},
    ),
    "file_input": Shape(
        _ANY, {"action_id": ID, "filetypes": list_of(string(40), 1, 100), "max_files": number(1, 10)}
    ),
}

# "Works with block types" of each element's page.
_PICKERS = ("radio_buttons", "checkboxes", "datepicker", "timepicker")
_SELECTS = ("static_select", "external_select", "users_select", "conversations_select", "channels_select")
_MULTI = ("multi_static_select", "multi_external_select", "multi_users_select")
_TEXTS = ("plain_text_input", "email_text_input", "url_text_input", "number_input")
IN_SECTION = ("button", "image", "overflow", *_PICKERS, *_SELECTS, *_MULTI)
IN_ACTIONS = ("button", "overflow", "datetimepicker", *_PICKERS, *_SELECTS)
IN_INPUT = (*_TEXTS, "datetimepicker", "file_input", *_PICKERS, *_SELECTS, *_MULTI)


def only(kinds: tuple[str, ...]) -> dict[str, Rule]:
    return {kind: ELEMENTS[kind] for kind in kinds}


# --------------------------------------------------------------------------------------------------------- rich_text

_STYLES = ("bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink")
_STYLE = Shape(
    {},
    dict.fromkeys(_STYLES, boolean),
)
# https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
INLINE: dict[str, Rule] = {
    "text": Shape(_ANY | {"text": string(40_000)}, {"style": _STYLE}),
    "link": Shape(_ANY | {"url": _URL}, {"text": string(40_000, 0), "style": _STYLE, "unsafe": boolean}),
    "emoji": Shape(
        _ANY | {"name": string(100)}, {"unicode": string(100), "style": _STYLE, "skin_tone": number(2, 6)}
    ),
    "user": Shape(_ANY | {"user_id": ID}, {"style": _STYLE}),
    "usergroup": Shape(_ANY | {"usergroup_id": ID}, {"style": _STYLE}),
    "channel": Shape(_ANY | {"channel_id": ID}, {"style": _STYLE}),
    "broadcast": Shape(_ANY | {"range": one_of("here", "channel", "everyone")}, {"style": _STYLE}),
    "date": Shape(
        _ANY | {"timestamp": anything, "format": string(200)},
        {"url": _URL, "fallback": string(200), "style": _STYLE},
    ),
    "color": Shape(_ANY | {"value": string(40)}, {"style": _STYLE}),
}


def _is_section(value: Any, path: str, faults: list[str]) -> None:
    if not isinstance(value, dict) or value.get("type") != "rich_text_section":
        fault(faults, path, "must be a rich_text_section")


IS_SECTION = _is_section
STYLE = one_of("bullet", "ordered")
