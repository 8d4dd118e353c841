"""The names by which Slack tells us what somebody pressed. Buttons carry the id they are about as their value.

They are in messages that Slack keeps for years: a name is never given a new meaning.
"""

from __future__ import annotations

from typing import Final

SURFACE: Final = "slack"  # in desk_threads, desk_posts and desk_inbox

# action_id of buttons and menus whose value is a conversation's id
CLAIM: Final = "claim"
ACCEPT: Final = "accept"
DECLINE: Final = "decline"
RELEASE: Final = "release"
REPLY: Final = "reply"
TRANSFER: Final = "transfer"
SNOOZE: Final = "snooze"
CLOSE: Final = "close"
REOPEN: Final = "reopen"
WHY: Final = "why"
HISTORY: Final = "history"
ASKED: Final = "asked"  # where they asked to be answered
MORE: Final = "more"  # an overflow menu; its options' values are "name:conversation", with the names above
OPEN_WEB: Final = "open_web"  # a link; Slack reports it all the same

# action_id of buttons whose value is a delivery's id
UNDO: Final = "undo"
CONFIRM: Final = "confirm"
RETRY: Final = "retry"
OTHER_CHANNEL: Final = "other_channel"
COUNTS_AS_SENT: Final = "counts_as_sent"
SEND_AGAIN: Final = "send_again"
GIVE_UP: Final = "give_up"
CORRECT: Final = "correct"  # "the customer still sees the first text": send a correction
LET_STAND: Final = "let_stand"

# action_id of buttons about what an agent typed in a thread; the value is "channel:ts"
SEND_TYPED: Final = "send_typed"
KEEP_INTERNAL: Final = "keep_internal"

# App Home
HOME_NEXT: Final = "home_next"
HOME_STATUS: Final = "home_status"  # a menu: available, busy, away, offline
HOME_UNTIL: Final = "home_until"  # a menu of durations
HOME_OPEN: Final = "home_open"  # value: a conversation's id
HOME_REPLAY: Final = "home_replay"  # value: a quarantined entry's id
HOME_REFRESH: Final = "home_refresh"

# Modals: callback_id of the view; and block_id = action_id of their inputs
REPLY_VIEW: Final = "reply_view"
TRANSFER_VIEW: Final = "transfer_view"
SNOOZE_VIEW: Final = "snooze_view"
CLOSE_VIEW: Final = "close_view"
WHY_VIEW: Final = "why_view"
HISTORY_VIEW: Final = "history_view"
FOUND_VIEW: Final = "found_view"
NEW_VIEW: Final = "new_view"
CORRECT_VIEW: Final = "correct_view"
ASKED_VIEW: Final = "asked_view"

TEXT: Final = "text"
CHANNEL: Final = "channel"  # "account|urn" of one of the chooser's options
CANNED: Final = "canned"  # an external select: options come as one types
FILES: Final = "files"
COPIES: Final = "copies"  # who of those that take part gets a copy of a mail
CHOICES: Final = "choices"  # answers to tap, one a line
PUBLIC: Final = "public"  # private, public
PLACES: Final = tuple(f"place_{number}" for number in range(1, 21))  # of a ready-made reply
DROP_READY: Final = "drop_ready"  # a button: not this ready-made reply
THEN: Final = "then"  # leave, wait, close
DISPOSITION: Final = "disposition"
TAGS: Final = "tags"
QUEUE: Final = "queue"
AGENT: Final = "agent"
REASON: Final = "reason"
UNTIL: Final = "until"

# Message shortcuts (slash commands do not work in threads)
SHORTCUT_SEND: Final = "send_to_customer"
SHORTCUT_INTERNAL: Final = "make_internal"
SHORTCUT_WHY: Final = "why_here"

COMMAND: Final = "/hub"

# Reactions
SEND_REACTION: Final = "outbox_tray"
INTERNAL_MARK: Final = "lock"
SENT_MARK: Final = "white_check_mark"

# metadata of posts: {"event_type": METADATA, "event_payload": {"uuid": …}}
METADATA: Final = "mainstem_post"
