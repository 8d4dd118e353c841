"""One module a channel: verifies, parses and sends, and knows nothing of customers, queues or the store.

The connectors are loaded when `CONNECTORS` is asked for. Who needs one of our modules only, as the process does that
reads mails, starts in half the time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.base import Connector

    CONNECTORS: dict[str, Connector]

_MODULES = (
    "console",
    "instagram",
    "mail",
    "messenger",
    "telegram",
    "sms_twilio",
    "webchat",
    "webhook",
    "whatsapp",
    "whatsapp_twilio",
)


def __getattr__(name: str) -> dict[str, Connector]:
    if name != "CONNECTORS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = [import_module(f"{__name__}.{module}").CONNECTOR for module in _MODULES]
    # Threads that asked at the same time are given the same.
    made: dict[str, Connector] = globals().setdefault(name, {one.name: one for one in loaded})
    return made
