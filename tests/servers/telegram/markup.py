"""Keyboards. https://core.telegram.org/bots/api#inlinekeyboardmarkup, #replykeyboardmarkup, #forcereply"""

from __future__ import annotations

from typing import Any, Final

from tests.servers.telegram.records import Json, bad

ACTIONS: Final = (
    "url", "callback_data", "web_app", "login_url", "switch_inline_query", "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat", "copy_text", "callback_game", "pay",
)  # fmt: skip
INLINE: Final = frozenset(("text", "icon_custom_emoji_id", "style", *ACTIONS))
KEY: Final = frozenset(
    ("text", "request_contact", "request_location", "request_poll", "request_users", "request_chat", "web_app",
     "icon_custom_emoji_id", "style")
)  # fmt: skip
REPLY: Final = frozenset(
    (
        "keyboard",
        "is_persistent",
        "resize_keyboard",
        "one_time_keyboard",
        "input_field_placeholder",
        "selective",
    )
)
DATA_BYTES: Final = 64  # callback_data: "1-64 bytes"
BUTTONS: Final = 100  # of one inline keyboard (not documented; what the servers take)


def checked(markup: Any) -> Json:
    """The markup. Raises ApiError as Telegram words it."""
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    if "inline_keyboard" in markup:
        _inline(markup)
    elif "keyboard" in markup:
        _reply(markup)
    elif "remove_keyboard" in markup:
        _only(markup, {"remove_keyboard", "selective"})
        if markup["remove_keyboard"] is not True:
            raise bad('can\'t parse reply keyboard markup JSON object: field "remove_keyboard" must be True')
    elif "force_reply" in markup:
        _only(markup, {"force_reply", "input_field_placeholder", "selective"})
        if len(markup.get("input_field_placeholder", "")) > 64:
            raise bad("INPUT_FIELD_PLACEHOLDER_INVALID")
    else:
        raise bad("can't parse reply keyboard markup JSON object: none of its kinds")
    return markup


def _only(markup: Json, names: set[str] | frozenset[str]) -> None:
    if extra := set(markup) - names:
        raise bad(f"can't parse reply keyboard markup JSON object: unknown field {min(extra)!r}")


def _rows(found: Any, what: str) -> list[list[Any]]:
    if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
        raise bad(f"can't parse {what} keyboard markup JSON object: an Array of Arrays is expected")
    return found


def _inline(markup: Json) -> None:
    _only(markup, {"inline_keyboard"})
    buttons = [button for row in _rows(markup["inline_keyboard"], "inline") for button in row]
    if len(buttons) > BUTTONS:
        raise bad("reply markup is too long")
    for button in buttons:
        if not isinstance(button, dict) or not isinstance(button.get("text"), str):
            raise bad(
                "can't parse inline keyboard button: InlineKeyboardButton must be an Object with a text"
            )
        if extra := set(button) - INLINE:
            raise bad(f"can't parse inline keyboard button: unknown field {min(extra)!r}")
        if not button["text"].strip():
            raise bad("BUTTON_TEXT_INVALID")
        actions = [name for name in ACTIONS if name in button]
        if len(actions) != 1:
            raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= DATA_BYTES:
            raise bad("BUTTON_DATA_INVALID")
        if "url" in button and not button["url"].startswith(("http://", "https://", "tg://")):
            raise bad(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")


def _reply(markup: Json) -> None:
    _only(markup, REPLY)
    for row in _rows(markup["keyboard"], "reply"):
        for key in row:
            button = {"text": key} if isinstance(key, str) else key
            if not isinstance(button, dict) or not isinstance(button.get("text"), str):
                raise bad("can't parse keyboard button: KeyboardButton must be a String or an Object")
            if extra := set(button) - KEY:
                raise bad(f"can't parse keyboard button: unknown field {min(extra)!r}")
            if not button["text"]:
                raise bad("BUTTON_TEXT_INVALID")
    if len(markup.get("input_field_placeholder", "")) > 64:
        raise bad("INPUT_FIELD_PLACEHOLDER_INVALID")
