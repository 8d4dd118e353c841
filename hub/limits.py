"""What a channel takes. Each connector declares its own; desks are handed a table of them when they are built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`source` is the provider's page (or our own document) that says so.

    window_s: how long after the customer's last word free text may be sent; None where there is no such window.
    """

    text_chars: int
    attachments: int
    attachment_bytes: int
    source: str
    edits: bool = False
    deletes: bool = False
    reads: bool = False
    subject: bool = False
    window_s: float | None = None
