"""The mails of tests/connectors/payloads/mail: each with what a person would read in it, written beside it.

`NAME.json` says: subject, sender, name, text (without the notes, which stand above it in brackets), quoted (words that
are folded away, or nothing is), files as [name, type], notes, automatic, references, participants, claims. Or
"quarantined", or "bounces": [message_id, address, kind] for each recipient. What is left out is empty or false.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hub.config import Account

FOLDER = Path(__file__).parent.parent / "payloads" / "mail"
AT = datetime(2024, 3, 4, 9, 30, tzinfo=UTC)
ACCOUNT = Account(
    key="mail/support",
    connector="mail",
    name="support",
    brand="example",
    title="Example Support",
    address="support@example.com",
    settings={"authserv_id": "mx.example.com"},
    secrets={"token": ("corpus-secret",)},
)


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    raw: bytes
    wanted: dict[str, Any]


def samples() -> list[Sample]:
    """All of them, by name."""
    return [
        Sample(path.stem, path.read_bytes(), json.loads(path.with_suffix(".json").read_text("utf-8")))
        for path in sorted(FOLDER.glob("*.eml"))
    ]
