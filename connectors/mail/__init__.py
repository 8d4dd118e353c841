"""E-mail, in and out. Mail is read in a child process (child.py): no mail of a stranger's can stop or fill the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.mail.connector import CONNECTOR as CONNECTOR


def __getattr__(name: str) -> Any:
    """CONNECTOR is there when it is asked for: the child that reads mail needs none of it."""
    if name == "CONNECTOR":
        from connectors.mail.connector import CONNECTOR

        return CONNECTOR
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
