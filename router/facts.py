"""What rules may see of a message: flat, JSON-able, stored with every decision. The text stays where it is.

A fact that is not known is None, and no condition on it holds. Tier and tags are compared without regard to case, so
they are kept folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.config import Account
from hub.model import CallEvent, MessageReceived

VERSION = 1  # of the set of facts; decisions carry it

Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """What the store knows of the sender at the moment of deciding.

    verified: the address is theirs beyond doubt. It counts only for a message that its channel vouches for too: a
    From: header with a verified customer's address is still only a claim.
    first_contact: nothing has ever been heard from this customer before this message.
    """

    kind: str = "person"
    stage: str = "lead"
    tier: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    preferred_channel: str | None = None
    verified: bool = False
    first_contact: bool = True


def gather(
    message: MessageReceived | CallEvent,
    person: Person,
    account: Account,
    calendars_open: Mapping[str, bool],
) -> dict[str, Any]:
    """The facts of one message. `calendars_open`: for (at least) the calendars that the rules ask for."""
    facts: dict[str, Any] = {
        "channel": account.connector,
        "account": account.key,
        "brand": account.brand,
        "customer.kind": person.kind,
        "customer.stage": person.stage,
        "customer.tier": person.tier.casefold() if person.tier else None,
        "customer.tags": [tag.casefold() for tag in person.tags],
        "customer.preferred_channel": person.preferred_channel,
        "contact": "first" if person.first_contact else "returning",
    }
    if isinstance(message, MessageReceived):
        language = message.language or person.language
        facts["form"] = message.form
        facts["sender"] = "verified" if message.verified and person.verified else "claimed"
        facts["automatic"] = message.automatic
    else:
        language = person.language
        facts["form"] = "call"
        facts["sender"] = "claimed"  # a caller's number can be forged
        facts["automatic"] = False
    facts["language"] = language.lower().replace("_", "-") if language else None
    for key, is_open in calendars_open.items():
        facts["hours." + key] = "open" if is_open else "closed"
    return facts


def text_of(subject: str | None, text: str) -> str:
    """What conditions on text read: the subject, where there is one, then the message."""
    return f"{subject}\n{text}" if subject else text
