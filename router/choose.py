"""Over which of a customer's addresses a reply should go: what speaks for each, what blocks it, and the winner. Pure.

The caller says what is known of every address; this says what follows from it, in words that an agent understands. A
blocked address is shown all the same, with what blocks it: an agent who looks for it should not wonder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hub import urn as urns


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One address of the customer's with one account of ours that could write to it.

    account None: no account of ours reaches it. title: of the channel, for people. asked_for: the customer asked to be
    answered there (in this conversation). preferred: the record says so. last_used_at: the customer's newest message
    from it to this account, ever; in_conversation: in this conversation. live: a chat open at this moment.
    opted_out, window_until (None: they have not written), once (what they said in public has had its one private
    answer, so that only a word to us alone opens the window), trouble ("dead", "full", "blocked"), paused, quiet (it is
    night, or a day off, where they are): as they stand now. verified: the channel vouches that it is
    theirs; `needs_verified`: the conversation is about things that only they may read.
    """

    account: str | None
    urn: str
    title: str
    asked_for: bool = False
    preferred: bool = False
    in_conversation: bool = False
    last_used_at: datetime | None = None
    live: bool = False
    verified: bool = False
    needs_verified: bool = False
    opted_out: bool = False
    window_until: datetime | None = None
    has_window: bool = False
    once: bool = False
    templates: bool = False  # after the window an approved template may still go out
    quiet_until: datetime | None = None
    trouble: str | None = None
    paused: bool = False
    enabled: bool = True
    lacks: tuple[str, ...] = ()  # settings without which this account can only receive
    public: bool = False  # their last words here can be read by everybody, and answered there


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One way to answer. `blocked_by` empty: it can be used now. Reasons are clauses, the weightiest first."""

    account: str | None
    urn: str
    title: str
    speaks_for: tuple[str, ...]
    blocked_by: tuple[str, ...]
    window_until: datetime | None = None  # free text goes until then; None: for ever, or not at all
    template: bool = False  # nothing but the closed window blocks it, and a template would go
    public: bool = False  # it can also be said in public, below what they said there
    only_public: bool = False  # nothing but the window blocks it, and in public there is none
    asked_for: bool = False

    @property
    def usable(self) -> bool:
        return not self.blocked_by


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """options: the best first, the blocked last. winner None: there is no way at the moment. reasons: why, in words."""

    options: tuple[Option, ...]
    winner: Option | None
    reasons: tuple[str, ...]


_OVER = "the time in which this channel lets us answer is over"
_OVER_BUT = f"{_OVER}; an approved template can still go"
_ONCE = "what they said in public has had its one private answer; the next can go when they have written"
_TROUBLES = {
    "dead": "this address does not exist any more",
    "full": "their mailbox is full",
    "blocked": "they have blocked us",
}
# What speaks for an address, the weightiest first: what they asked for beats a habit, being here beats a record.
_FOR = (
    ("asked_for", "they asked to be answered here"),
    ("live", "they are here now"),
    ("in_conversation", "they wrote from here in this conversation"),
    ("preferred", "it is the channel they prefer"),
    ("verified", "it is known to be theirs"),
)


def choose(addresses: Iterable[Address], now: datetime) -> Choice:
    """The options in order. Of equals, the one used last; of those never used, by account and address."""
    ranked = sorted(addresses, key=lambda address: _rank(address, now), reverse=True)
    last = max((a.last_used_at for a in ranked if a.last_used_at), default=None)
    options = tuple(_option(address, now, last) for address in ranked)
    options = (*(o for o in options if o.usable), *(o for o in options if not o.usable))
    winner = options[0] if options and options[0].usable else None
    return Choice(options=options, winner=winner, reasons=_reasons(options, winner))


def _rank(address: Address, now: datetime) -> tuple[object, ...]:
    weights = tuple(bool(getattr(address, name)) for name, _ in _FOR[:-1])
    used = address.last_used_at.timestamp() if address.last_used_at else 0.0
    return (*weights, used, address.verified, address.account or "", address.urn)


def _option(address: Address, now: datetime, last: datetime | None) -> Option:
    speaks = [words for name, words in _FOR if getattr(address, name)]
    if last is not None and address.last_used_at == last:
        speaks.append("they used it last")
    blocks = tuple(_blocks(address, now))
    return Option(
        account=address.account,
        urn=address.urn,
        title=address.title,
        speaks_for=tuple(speaks),
        blocked_by=blocks,
        window_until=address.window_until if address.has_window else None,
        template=address.templates and blocks == (_OVER_BUT,),
        public=address.public,
        only_public=address.public and bool(blocks) and set(blocks) <= {_OVER, _OVER_BUT, _ONCE},
        asked_for=address.asked_for,
    )


def _blocks(address: Address, now: datetime) -> list[str]:
    if address.account is None:
        return ["no account of ours reaches this address"]
    blocks = []
    if address.opted_out:
        blocks.append("they asked us not to write here")
    if address.trouble:
        blocks.append(_TROUBLES.get(address.trouble, f"this address has a problem ({address.trouble})"))
    if address.has_window and (address.window_until is None or address.window_until <= now):
        blocks.append(_ONCE if address.once else _OVER_BUT if address.templates else _OVER)
    if address.needs_verified and not address.verified:
        blocks.append("it is not certain that this address is theirs")
    if not address.enabled:
        blocks.append("this account is switched off")
    if address.lacks:
        blocks.append(f"this account only receives: it has no {' and no '.join(address.lacks)}")
    if address.paused:
        blocks.append("this channel is paused after a failure")
    if address.quiet_until is not None and address.quiet_until > now:
        blocks.append(f"quiet hours until {address.quiet_until:%H:%M} UTC")
    return blocks


def _reasons(options: tuple[Option, ...], winner: Option | None) -> tuple[str, ...]:
    if not options:
        return ("No address of this customer is known.",)
    reasons = []
    if winner is None and any(option.only_public for option in options):
        reasons.append("Only in public, below what they said, can it be answered at the moment.")
    elif winner is None:
        reasons.append("There is no way to reach this customer at the moment.")
    elif winner.speaks_for:
        reasons.append(f"{winner.title}: {', and '.join(winner.speaks_for[:2])}.")
    else:
        reasons.append(f"{winner.title}: it is the only way that is open.")
    reasons += [
        f"Not {option.title} ({urns.display(option.urn)}): {', '.join(option.blocked_by)}."
        for option in options
        if option.blocked_by and (_speaks(option) or winner is None)
    ]
    return tuple(reasons)


def _speaks(option: Option) -> bool:
    """Would anybody wonder why it is not this one? That an address is known to be theirs makes nobody look for it where
    no account of ours reaches it: a provider's second name for the same person, say."""
    return bool(option.speaks_for) and (option.account is not None or option.speaks_for != (_FOR[-1][1],))
