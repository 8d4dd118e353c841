"""The Slack app's manifest, made from the names that the code listens to, so that the two cannot part.

https://docs.slack.dev/reference/app-manifest (schema version 1)
"""

from __future__ import annotations

from typing import Any

from desk.slack import names

PATH = "/slack/events"  # HTTP mode: one address for events, buttons and commands

# scope -> why it is asked for; docs/slack.md shows this table to whoever installs the app
SCOPES = {
    "channels:history": "read the threads of public channels it is in, to store what agents type and to find gaps",
    "channels:join": "join the queues' public channels by itself",
    "channels:read": "find the queues' channels by name",
    "chat:write": "post and update cards",
    "commands": "/hub and the message shortcuts",
    "files:read": "take files that agents send to customers",
    "files:write": "show files that customers sent",
    "groups:history": "the same for private channels it was invited to",
    "groups:read": "the same for private channels it was invited to",
    "metadata.message:read": "find its own posts again after a crash, so that nothing is posted twice",
    "reactions:read": "the outbox reaction sends a typed message",
    "reactions:write": "the lock and the tick on typed messages",
    "users:read": "tell members from guests, outsiders and bots",
}
EVENTS = (
    "app_home_opened",
    "channel_archive",
    "channel_deleted",
    "channel_rename",
    "channel_unarchive",
    "group_archive",
    "group_deleted",
    "group_rename",
    "group_unarchive",
    "member_joined_channel",
    "message.channels",
    "message.groups",
    "reaction_added",
    "user_change",
)
SHORTCUTS = (
    (names.SHORTCUT_SEND, "Send to customer", "Send this message of yours to the customer"),
    (names.SHORTCUT_INTERNAL, "Make internal", "Keep this message among colleagues"),
    (names.SHORTCUT_WHY, "Why here?", "Why this conversation landed in this queue"),
)


def manifest(http: str | None = None) -> dict[str, Any]:
    """The app as Slack's “from a manifest” takes it. http: the public address of HTTP mode; None for Socket Mode."""
    address = None if http is None else http.rstrip("/") + PATH
    request = {} if address is None else {"request_url": address}
    return {
        "display_information": {
            "name": "Mainstem",
            "description": "Customers' conversations from every channel, answered here",
            "background_color": "#1d3a4a",
        },
        "features": {
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": False},
            "bot_user": {"display_name": "Mainstem", "always_online": True},
            "slash_commands": [
                {
                    "command": names.COMMAND,
                    "description": "Your conversations and queues",
                    "usage_hint": "next | away 30m | find … | new | queue | why | help",
                    "should_escape": True,
                    **({} if address is None else {"url": address}),
                }
            ],
            "shortcuts": [
                {"name": name, "type": "message", "callback_id": callback, "description": words}
                for callback, name, words in SHORTCUTS
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS), **request},
            "interactivity": {
                "is_enabled": True,
                **request,
                **({} if address is None else {"message_menu_options_url": address}),
            },
            "org_deploy_enabled": False,
            "socket_mode_enabled": address is None,
            "token_rotation_enabled": False,
        },
    }
