"""What a refusal of the Bot API means. Telegram publishes no list: "its contents are subject to change in
the future" (https://core.telegram.org/bots/api#making-requests). The words below are what its server sends today
(tdlib/telegram-bot-api, and the collection at TelegramBotAPI/errors); what is not here goes by its status.
"""

from __future__ import annotations

import msgspec

from hub.errors import SendCode, SendError


class Meaning(msgspec.Struct, frozen=True):
    """code, what people read, may the same be tried again, does it concern the whole account?"""

    code: SendCode
    words: str
    retry: bool = False
    whole: bool = False


class Hints(msgspec.Struct, gc=False):
    """#responseparameters"""

    retry_after: int | None = None
    migrate_to_chat_id: int | None = None


class Refusal(msgspec.Struct, gc=False):
    """An answer that is not ok."""

    error_code: int = 0
    description: str = ""
    parameters: Hints | None = None


_STOPPED, _NO = SendCode.OPTED_OUT, SendCode.REJECTED
_WRONG, _OURS = SendCode.MESSAGE_INVALID, SendCode.CHANNEL_CONFIG

# (status, words of the description in lower case, meaning); the first that fits. 0: whatever the status is.
TABLE: tuple[tuple[int, str, Meaning], ...] = (
    # The recipient.
    (403, "bot was blocked by the user", Meaning(_STOPPED, "they have blocked the bot")),
    (403, "user is deactivated", Meaning(_STOPPED, "their Telegram account is deleted")),
    (403, "can't initiate conversation", Meaning(_NO, "they have never written to this bot")),
    (403, "can't send messages to bots", Meaning(_NO, "it is a bot, and bots cannot be written to")),
    (403, "can't send messages to the user", Meaning(_NO, "Telegram does not let the bot write to them")),
    (403, "bot was kicked", Meaning(_NO, "the bot was removed from that group")),
    (403, "voice_messages_forbidden", Meaning(_NO, "they take no voice messages")),
    (403, "privacy_premium_required", Meaning(_NO, "they take messages of Premium users and contacts only")),
    (403, "is not a member", Meaning(_NO, "the bot is not in that group or channel")),
    (403, "", Meaning(_NO, "Telegram does not let the bot write there")),
    (400, "user_is_blocked", Meaning(_STOPPED, "they have blocked the bot")),
    (400, "input_user_deactivated", Meaning(_STOPPED, "their Telegram account is deleted")),
    (400, "chat not found", Meaning(_NO, "they have never written to this bot, or are gone from Telegram")),
    (400, "user not found", Meaning(_NO, "Telegram does not know them")),
    (400, "peer_id_invalid", Meaning(_NO, "Telegram does not know them")),
    (400, "upgraded to a supergroup", Meaning(_NO, "that group has moved and has a new id")),
    (400, "group is deactivated", Meaning(_NO, "that group is closed")),
    (400, "not enough rights", Meaning(_NO, "the bot may not write there")),
    (400, "have no rights", Meaning(_NO, "the bot may not write there")),
    (400, "chat_write_forbidden", Meaning(_NO, "the bot may not write there")),
    (400, "voice_messages_forbidden", Meaning(_NO, "they take no voice messages")),
    (400, "need administrator rights", Meaning(_NO, "the bot may not write there")),
    (400, "topic_closed", Meaning(_NO, "that topic is closed")),
    (400, "message thread not found", Meaning(_NO, "that topic is gone")),
    (400, "allow_payment_required", Meaning(_NO, "they take messages for payment only")),
    (400, "business_peer_usage_missing", Meaning(
        SendCode.WINDOW_CLOSED, "they have not written to this business account for a day")),
    (400, "business_peer_invalid", Meaning(_NO, "the bot may not write in that business chat")),
    (400, "business_connection", Meaning(_NO, "the business account has disconnected the bot")),
    # The message.
    (400, "text is empty", Meaning(_WRONG, "there is nothing in it to send")),
    (400, "message must be non-empty", Meaning(_WRONG, "there is nothing in it to send")),
    (400, "text must be non-empty", Meaning(_WRONG, "there is nothing in it to send")),
    (400, "message is too long", Meaning(_WRONG, "the text is too long")),
    (400, "message_too_long", Meaning(_WRONG, "the text is too long")),
    (400, "caption is too long", Meaning(_WRONG, "the caption is too long")),
    (400, "caption too long", Meaning(_WRONG, "the caption is too long")),
    (400, "can't parse entities", Meaning(_WRONG, "its formatting cannot be read")),
    (400, "entities too long", Meaning(_WRONG, "there is too much formatting in it")),
    (400, "entities_too_long", Meaning(_WRONG, "there is too much formatting in it")),
    (400, "button_data_invalid", Meaning(_WRONG, "an answer to tap is too long")),
    (400, "reply markup", Meaning(_WRONG, "the answers to tap are refused")),
    (400, "file is too big", Meaning(_WRONG, "the file is too large for Telegram")),
    (400, "file must be non-empty", Meaning(_WRONG, "the file is empty")),
    (400, "photo_invalid_dimensions", Meaning(_WRONG, "the picture's size is refused")),
    (400, "image_process_failed", Meaning(_WRONG, "the picture cannot be read")),
    (400, "wrong file", Meaning(_WRONG, "the file is refused")),
    (400, "failed to get http url content", Meaning(_WRONG, "Telegram could not fetch the file from us")),
    (400, "wrong type of the web page", Meaning(_WRONG, "Telegram could not fetch the file from us")),
    (400, "media_empty", Meaning(_WRONG, "the file is refused")),
    (400, "document_invalid", Meaning(_WRONG, "the file is refused")),
    (413, "", Meaning(_WRONG, "the file is too large for Telegram")),
    # Changes of what was sent, and what is quoted.
    (400, "message to be replied not found", Meaning(_NO, "the message that it answers is gone")),
    (400, "replied message not found", Meaning(_NO, "the message that it answers is gone")),
    (400, "reply message not found", Meaning(_NO, "the message that it answers is gone")),
    (400, "to edit not found", Meaning(_NO, "the message is gone")),
    (400, "to delete not found", Meaning(_NO, "the message is gone")),
    (400, "message_id_invalid", Meaning(_NO, "the message is gone")),
    (400, "can't be edited", Meaning(_NO, "Telegram lets it be changed no more")),
    (400, "can't be deleted", Meaning(_NO, "Telegram lets it be taken back no more")),
    (400, "logged out", Meaning(_OURS, "the bot has moved to another Bot API server; look at `api`", whole=True)),
    (400, "", Meaning(_NO, "Telegram refuses it")),
    # Ourselves. A token that is none gives 404, since it is part of the address.
    (401, "", Meaning(_OURS, "the token does not hold; get it anew from @BotFather", whole=True)),
    (404, "", Meaning(_OURS, "the token does not hold; get it anew from @BotFather", whole=True)),
    (409, "webhook is active", Meaning(
        _OURS, "a webhook is set, which excludes polling: run `mainstem channel hook`, or drop `poll`", whole=True)),
    (409, "terminated by other getupdates", Meaning(
        SendCode.RESPONSE_STATUS, "another program polls with the same token: only one may", retry=True, whole=True)),
    (409, "", Meaning(_OURS, "webhook and polling are in each other's way", whole=True)),
    (420, "", Meaning(SendCode.THROTTLED, "Telegram asks for patience", retry=True)),
    (429, "", Meaning(SendCode.THROTTLED, "Telegram asks for patience", retry=True)),
)  # fmt: skip
_SERVER = Meaning(SendCode.RESPONSE_STATUS, "Telegram's server failed", retry=True)
_OTHER = Meaning(SendCode.RESPONSE_STATUS, "Telegram refuses the request")
_LEADS_ELSEWHERE = Meaning(
    SendCode.CHANNEL_CONFIG, "it leads elsewhere, which is not followed; look at `api`", whole=True
)


def meaning(status: int, description: str) -> Meaning:
    low = description.lower()
    for code, words, found in TABLE:
        if code == status and words in low:
            return found
    if status >= 500:
        return _SERVER
    return _LEADS_ELSEWHERE if 300 <= status < 400 else _OTHER


def error(status: int, refusal: Refusal, after_s: float | None = None) -> SendError:
    """after_s: the answer's Retry-After, where its body has none."""
    found = meaning(status, refusal.description)
    hints = refusal.parameters or Hints()
    said = " ".join(refusal.description.split())[:200]
    moved = f", {hints.migrate_to_chat_id}" if hints.migrate_to_chat_id else ""
    asked = float(hints.retry_after) if hints.retry_after is not None else after_s
    return SendError(
        found.code,
        f"{status}: {found.words}{moved}" + (f" ({said})" if said else ""),
        retry=found.retry,
        provider_code=str(status),
        after_s=min(max(asked, 0.0), 24 * 3600.0) if asked is not None and found.retry else None,
        whole_account=found.whole,
    )
