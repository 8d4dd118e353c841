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
    human_window_s: the window where a person answers, if the account's setting `human_agent` says that we may use it.
    templates: approved texts can be sent outside the window. choices, choice_chars: how many answers to tap may go with
    a message, and how long each may be; 0: none. media: what attachments may be, as types or beginnings of them
    ("image/"); empty: anything. links: what does not fit goes out as a link. segments: a text is counted in SMS.
    public: what was said in public can be answered there, at any time, or in private: once, and within private_s.
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
    human_window_s: float | None = None
    templates: bool = False
    choices: int = 0
    choice_chars: int = 0
    media: tuple[str, ...] = ()
    links: bool = False
    segments: bool = False
    public: bool = False
    private_s: float | None = None

    def lacks(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of `needs` that an account's settings do not give."""
        return tuple(name for name in self.needs if not settings.get(name))

    def window(self, settings: Mapping[str, Any]) -> float | None:
        """How long after the customer's last word a person of an account with these settings may answer freely."""
        if self.human_window_s is not None and settings.get("human_agent"):
            return self.human_window_s
        return self.window_s

    def takes(self, content_type: str, size_bytes: int) -> bool:
        """Can such a file go out as itself?"""
        fits = not self.media or content_type.startswith(self.media)
        return self.attachments > 0 and size_bytes <= self.attachment_bytes and fits
