"""Telegram bots: webhook or long polling in, the Bot API out. Its page is docs/channels/telegram.md.

connector.py: the channel as the hub sees it.   updates.py, message.py, kinds.py: what comes in.
sending.py, parts.py: what goes out.             api.py, errors.py: one call, and what its refusal means.
asking.py: long polling, files, the webhook and how it stands.
"""

from __future__ import annotations

from connectors.telegram.connector import CONNECTOR

__all__ = ["CONNECTOR"]
