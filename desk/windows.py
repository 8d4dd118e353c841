"""Until when an answer goes by a channel that has a window: for the choice of a way, for both desks, and for the look
before a reply is written.

A direct message needs a direct word of theirs that is young enough: a comment is none. A comment is answered in private
once, and only for so long; in public at any time. Who has written to us alone since is answered as anybody who has, and
so is who did before, once the comment takes no answer in private any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crm_store import carried
from crm_store.carried import PUBLIC_FORMS, Answered, Heard
from hub.clock import EPOCH, from_us
from hub.config import Account
from hub.limits import Limits
from hub.urn import channel_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Of an address at an account. limited: is there a window at all? until: free text for them alone goes until then;
    None, where `limited`: not before they write. public: what is answered was said in public, so it can be answered
    there. once: it was, and has had its one answer in private. directly_from, directly_until: what is for them alone
    goes as a message of its own then, and not as the answer to what they said in public."""

    limited: bool = False
    until: datetime | None = None
    public: bool = False
    once: bool = False
    directly_from: datetime = EPOCH
    directly_until: datetime | None = None

    def open(self, now: datetime) -> bool:
        return not self.limited or (self.until is not None and self.until >= now)

    def directly(self, now: datetime) -> bool:
        return self.directly_until is not None and self.directly_from <= now <= self.directly_until


ALWAYS = Standing()


def standings(
    tx: Connection,
    conversation_id: int,
    ways: Iterable[tuple[int, Account]],
    limits: Mapping[str, Limits],
) -> dict[tuple[int, str], Standing]:
    """(identity, account) -> how it stands there, for replies from this conversation. Two or three statements for any
    number, and one for each comment; none where no channel has a window."""
    bound = [
        (identity_id, account, known)
        for identity_id, account in ways
        if (known := limits.get(channel_of(account.key))) is not None
        and (known.public or known.window(account.settings) is not None)
    ]
    heard = carried.heard(tx, [identity_id for identity_id, _, _ in bound])
    talks = [identity_id for identity_id, _, known in bound if known.public]
    here = carried.answered(tx, conversation_id, talks) if talks else {}
    return {
        (identity_id, account.key): _standing(
            tx,
            conversation_id,
            identity_id,
            account,
            known,
            heard.get((identity_id, account.key)),
            here.get((identity_id, account.key)),
        )
        for identity_id, account, known in bound
    }


def _standing(
    tx: Connection,
    conversation_id: int,
    identity_id: int,
    account: Account,
    limits: Limits,
    heard: Heard | None,
    answered: Answered | None,
) -> Standing:
    said = answered or heard
    window_s = limits.window(account.settings)
    direct_at_us = heard.direct_at_us if heard is not None else None
    message_until = _after(direct_at_us, window_s)
    if not limits.public or said is None or said.form not in PUBLIC_FORMS:
        return Standing(limited=window_s is not None, until=message_until)
    once = answered is not None and carried.in_private(
        tx, conversation_id, identity_id, account.key, answered
    )
    answer_until = None if once else _after(said.at_us, limits.private_s)
    since = direct_at_us is not None and direct_at_us > said.at_us
    return Standing(
        limited=once or limits.private_s is not None,
        until=max(filter(None, (answer_until, message_until)), default=None),
        public=True,
        once=once,
        directly_from=EPOCH if since or answer_until is None else answer_until,
        directly_until=message_until,
    )


def _after(at_us: int | None, window_s: float | None) -> datetime | None:
    return None if at_us is None or window_s is None else from_us(at_us) + timedelta(seconds=window_s)
