"""Edits, deletions, reactions, answers to buttons, and what is asked of chats. https://core.telegram.org/bots/api"""

from __future__ import annotations

from typing import Final

from tests.servers.telegram.calls import Call, method
from tests.servers.telegram.records import Chat, Json, bad
from tests.servers.telegram.sending import CAPTION_LONGEST, TEXT, chat_of, markup_of, text_of

DELETABLE_S: Final = 48 * 3600  # "A message can only be deleted if it was sent less than 48 hours ago."
ANSWERABLE_S: Final = 15 * 60  # not documented; our reading
SAME: Final = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)
REACTIONS: Final = frozenset((
    "👍", "👎", "❤", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢", "🎉", "🤩", "🤮", "💩", "🙏", "👌", "🕊",
    "🤡", "🥱", "🥴", "😍", "🐳", "❤\u200d🔥", "🌚", "🌭", "💯", "🤣", "⚡", "🍌", "🏆", "💔", "🤨", "😐", "🍓",
    "🍾", "💋", "🖕", "😈", "😴", "😭", "🤓", "👻", "👨\u200d💻", "👀", "🎃", "🙈", "😇", "😨", "🤝", "✍", "🤗",
    "🫡", "🎅", "🎄", "☃", "💅", "🤪", "🗿", "🆒", "💘", "🙉", "🦄", "😘", "💊", "🙊", "😎", "👾", "🤷\u200d♂",
    "🤷", "🤷\u200d♀", "😡",
))  # fmt: skip
EDIT: Final = "business_connection_id chat_id message_id:int inline_message_id reply_markup:json"


def _message(call: Call, chat: Chat, what: str) -> Json:
    if call.message_id is None:
        raise bad("message identifier is not specified")
    found = chat.messages.get(call.message_id)
    if found is None:
        raise bad(f"message to {what} not found")
    return found


def _ours(call: Call, found: Json) -> bool:
    return call.telegram.bot_id in (
        found.get("from", {}).get("id"),
        found.get("sender_business_bot", {}).get("id"),
    )


def _editable(call: Call) -> tuple[Chat, Json]:
    chat = chat_of(call)
    found = _message(call, chat, "edit")
    if not _ours(call, found):
        raise bad("message can't be edited")
    return chat, found


def _changed(call: Call, chat: Chat, found: Json, new: Json) -> Json:
    """The message with its new content; a keyboard that is not given is taken away, as there."""
    keyboard = markup_of(call)
    if keyboard is not None and "inline_keyboard" not in keyboard:
        raise bad("inline keyboard expected")
    after = {key: value for key, value in found.items() if key not in ("reply_markup", "edit_date")}
    after |= new | ({"reply_markup": keyboard} if keyboard and keyboard["inline_keyboard"] else {})
    after = {key: value for key, value in after.items() if value not in (None, [])}
    if after == {key: value for key, value in found.items() if key != "edit_date"}:
        raise bad(SAME)
    chat.messages[found["message_id"]] = after | {"edit_date": int(call.telegram.now())}
    return chat.messages[found["message_id"]]


@method("editMessageText", f"text parse_mode entities:json link_preview_options:json {EDIT}")
def edit_text(call: Call) -> Json:
    chat, found = _editable(call)
    text, entities = text_of(call, "text", TEXT)
    if not text:
        raise bad("message text is empty")
    if "text" not in found:
        raise bad("there is no text in the message to edit")
    return _changed(call, chat, found, {"text": text, "entities": entities})


@method(
    "editMessageCaption", f"caption parse_mode caption_entities:json show_caption_above_media:bool {EDIT}"
)
def edit_caption(call: Call) -> Json:
    chat, found = _editable(call)
    text, entities = text_of(call, "caption", CAPTION_LONGEST, given="caption_entities")
    if "text" in found:
        raise bad("there is no caption in the message to edit")
    return _changed(call, chat, found, {"caption": text or None, "caption_entities": entities})


@method("editMessageReplyMarkup", EDIT)
def edit_markup(call: Call) -> Json:
    chat, found = _editable(call)
    return _changed(call, chat, found, {})


@method("deleteMessage", "chat_id message_id:int")
def delete_message(call: Call) -> bool:
    chat = chat_of(call)
    found = _message(call, chat, "delete")
    late = call.telegram.now() - found["date"] > DELETABLE_S
    if late or (not _ours(call, found) and chat.type != "private"):
        raise bad("message can't be deleted for everyone")
    del chat.messages[call.message_id]
    return True


@method("deleteBusinessMessages", "business_connection_id message_ids:json")
def delete_business(call: Call) -> bool:
    """1-100 messages of one chat. https://core.telegram.org/bots/api#deletebusinessmessages"""
    if call.business_connection_id not in call.telegram.business:
        raise bad("business connection not found")
    ids = call.message_ids
    if not isinstance(ids, list) or not 1 <= len(ids) <= 100:
        raise bad("wrong number of message identifiers")
    link = call.business_connection_id
    for chat in call.telegram.chats.values():
        found = [one for one in ids if chat.messages.get(one, {}).get("business_connection_id") == link]
        for one in found:
            del chat.messages[one]
        if found:
            return True
    raise bad("message to delete not found")


@method("setMessageReaction", "chat_id message_id:int reaction:json is_big:bool")
def set_reaction(call: Call) -> bool:
    """ "bots can set up to one reaction per message"."""
    chat = chat_of(call)
    _message(call, chat, "react")
    wanted = call.reaction or []
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise bad("can't parse reaction type")
    if len(wanted) > 1:
        raise bad("REACTIONS_TOO_MANY")
    for one in wanted:
        if one.get("type") == "emoji" and one.get("emoji") not in REACTIONS:
            raise bad("REACTION_INVALID")
        if one.get("type") not in ("emoji", "custom_emoji"):
            raise bad("can't parse reaction type")
    chat.reactions[call.message_id] = wanted
    return True


@method("answerCallbackQuery", "callback_query_id text show_alert:bool url cache_time:int")
def answer_callback(call: Call) -> bool:
    telegram = call.telegram
    asked = telegram.queries.get(call.callback_query_id or "")
    if asked is None or telegram.now() - asked > ANSWERABLE_S:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    if len(call.text or "") > 200:
        raise bad("MESSAGE_TOO_LONG")
    telegram.answered[call.callback_query_id] = call.text or ""
    return True


@method("getMe")
def get_me(call: Call) -> Json:
    flags = (
        "can_join_groups",
        "can_read_all_group_messages",
        "supports_inline_queries",
        "can_connect_to_business",
    )
    return (
        call.telegram.me() | {name: name == "can_join_groups" for name in flags} | {"has_main_web_app": False}
    )


@method("getChat", "chat_id")
def get_chat(call: Call) -> Json:
    return chat_of(call).shown() | {"accent_color_id": 1, "max_reaction_count": 11}


@method("setMyCommands", "commands:json scope:json language_code")
def set_commands(call: Call) -> bool:
    call.telegram.commands = call.commands or []
    return True


@method("getMyCommands", "scope:json language_code")
def get_commands(call: Call) -> list[Json]:
    return call.telegram.commands
