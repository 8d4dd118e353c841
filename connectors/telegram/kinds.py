"""The Bot API's kinds of update and of message (https://core.telegram.org/bots/api#update, #message; Bot API 10.2).

Whatever stands in none of these tables is new to us: it is kept as it came.
"""

from __future__ import annotations

# What we ask for with setWebhook and getUpdates. message_reaction only comes where it is asked for by name.
ALLOWED = (
    "message",
    "edited_message",
    "callback_query",
    "message_reaction",
    "my_chat_member",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
)

# Kinds that say nothing a customer service must hear; none of them is asked for, and they leave nothing behind.
SILENT_UPDATES = frozenset(
    {
        "channel_post",  # our bot sits in a channel
        "edited_channel_post",
        "business_connection",  # a business switched the bot on or off for its own chats
        "guest_message",  # the bot was named in a chat that it is not in
        "message_reaction_count",  # anonymous, in channels
        "inline_query",
        "chosen_inline_result",
        "shipping_query",  # we send no invoices
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",  # how a poll stands
        "poll_answer",
        "chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
        "managed_bot",
        "stopped_message_generation",
        "subscription",
    }
)

# Fields of a message that are not what it says.
_ENVELOPE = """
    message_id message_thread_id direct_messages_topic from sender_chat sender_boost_count sender_business_bot
    sender_tag date guest_query_id business_connection_id chat forward_origin is_topic_message is_automatic_forward
    reply_to_message external_reply quote reply_to_story reply_to_checklist_task_id reply_to_poll_option_id via_bot
    edit_date has_protected_content is_from_offline is_paid_post media_group_id author_signature paid_star_count
    link_preview_options suggested_post_info effect_id show_caption_above_media has_media_spoiler reply_markup
    guest_bot_caller_user guest_bot_caller_chat entities caption caption_entities forward_from forward_from_chat
    forward_from_message_id forward_signature forward_sender_name forward_date
"""
ENVELOPE = frozenset(_ENVELOPE.split())

# What is not read here although words may stand below it (`caption`; all else that has one is read).
CAPTIONED = frozenset({"paid_media"})

# "Service message": something happened in the chat, and nobody said anything.
_SERVICE = """
    new_chat_members left_chat_member chat_owner_left chat_owner_changed new_chat_title new_chat_photo delete_chat_photo
    group_chat_created supergroup_chat_created channel_chat_created message_auto_delete_timer_changed migrate_to_chat_id
    migrate_from_chat_id pinned_message connected_website write_access_allowed proximity_alert_triggered boost_added
    chat_background_set checklist_tasks_done checklist_tasks_added direct_message_price_changed forum_topic_created
    forum_topic_edited forum_topic_closed forum_topic_reopened general_forum_topic_hidden general_forum_topic_unhidden
    giveaway_created giveaway_completed managed_bot_created paid_message_price_changed poll_option_added
    poll_option_deleted suggested_post_approved suggested_post_approval_failed suggested_post_declined
    suggested_post_paid suggested_post_refunded users_shared chat_shared video_chat_scheduled video_chat_started
    video_chat_ended video_chat_participants_invited community_chat_added community_chat_removed
"""
SERVICE = frozenset(_SERVICE.split())
