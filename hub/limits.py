"""What a channel takes. Each connector declares its own; desks are handed a table of them when they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`source` is the provider's page (or our own document) that says so.

    needs: settings without which an account of it can only receive.
    window_s: how long after the customer's last word free text may be sent; None where there is no such window.
    edits, deletes: what was sent can be changed, or taken back, at the customer's; edits_s, deletes_s: only so long
    after it was sent, None for ever.
    """

    text_chars: int
    attachments: int
    attachment_bytes: int
    source: str
    edits: bool = False
    deletes: bool = False
    edits_s: float | None = None
    deletes_s: float | None = None
    reads: bool = False
    subject: bool = False
    needs: tuple[str, ...] = ()
    window_s: float | None = None

    def lacks(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of `needs` that an account's settings do not give."""
        return tuple(name for name in self.needs if not settings.get(name))
