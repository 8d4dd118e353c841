"""A reply, as one transaction: what must hold before anything is written, and what is written then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, select

from crm_store import answers, carried, consents, conversations, deliveries, interactions, threads
from crm_store.carried import NOTHING, Carried
from crm_store.delivery_states import CUSTOMER_WROTE
from crm_store.schema import deliveries as deliveries_table
from crm_store.schema import identities
from crm_store.schema import interactions as interactions_table
from desk import contents, quiet, windows, words
from desk.rights import Rights
from desk.windows import Standing
from hub import urn as urns
from hub.clock import from_us, to_us
from hub.config import Account
from hub.errors import Refused
from hub.ids import Ids
from hub.limits import Limits
from hub.model import Attachment

Then = Literal["leave", "wait", "close"]
_THEN = ("leave", "wait", "close")
_FOR_EVER = timedelta(days=3650)  # a reply that asks is not sent by time
_KEY_CHARS = 120
TROUBLES = {
    "dead": "that address does not exist any more",
    "blocked": "the owner of that address has blocked us",
}

_n = interactions_table.c
_d = deliveries_table.c


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyResult:
    """undo_until: until when it can be undone; None where it waits for `confirm`, or goes out at once.

    held_reason: why it waits for the agent, in words; None where it does not. new: False for a reply that was made
    before with the same key; nothing was written then.
    """

    delivery_id: int
    undo_until: datetime | None
    held_reason: str | None
    interaction_id: int
    new: bool = True


class WindowClosed(Refused):
    """The customer's last word there is too old for free text; another way, or an approved template, may be open."""

    def __init__(self, text: str, account: str, urn: str) -> None:
        super().__init__(text)
        self.account, self.urn = account, urn


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What the agent asked for."""

    conversation_id: int
    text: str
    idem_key: str
    account: str | None
    to: str | None
    attachments: tuple[Attachment, ...]
    seen_inbound: int | None
    then: Then
    disposition: str | None
    note_id: int | None = None  # the note that becomes this reply
    carries: Carried = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What the desk was built with, and the time."""

    limits: Mapping[str, Limits]
    schemes: Mapping[str, str]
    undo_s: float
    now: datetime


def write(tx: Connection, ids: Ids, rights: Rights, terms: Terms, order: Order) -> ReplyResult:
    """Check everything, then write the interaction, its delivery and what it does to the conversation.

    The conversation's row is held from the first statement on, so of two equal replies the second finds the first.
    """
    row = conversations.get(tx, order.conversation_id, lock=True)
    key = idem_key(order.conversation_id, rights.agent.key, order.idem_key)
    if (known := made_before(tx, key)) is not None:
        return known
    rights.own(row)
    if row.state == "closed":
        raise Refused(f"#{row.number} is closed; reopen it first.")
    if order.then not in _THEN:
        raise Refused("After a reply a conversation is left, waits for the customer, or is closed.")
    target = _target(tx, rights, terms, row, order)
    carries = msgspec.structs.replace(_with_copies(tx, row, target, order.carries), direct=target.direct)
    if row.state in ("waiting", "offered"):
        conversations.claim(tx, ids, row.id, rights.agent.key, now=terms.now, name=rights.name)
    wrote = _wrote_meanwhile(row, order)
    interaction_id = interactions.add_outbound(
        tx,
        ids,
        conversation_id=row.id,
        identity_id=target.identity_id,
        account=target.account,
        text=order.text,
        by=rights.by,
        now=terms.now,
        author_name=rights.agent.name,
        in_reply_to=None if target.direct else _last_external_id(tx, row, target),
        attachments=order.attachments,
        extra={"reply": _before(row, order)},
    )
    due_at = terms.now + (_FOR_EVER if wrote else timedelta(seconds=terms.undo_s))
    delivery_id = deliveries.create(
        tx,
        ids,
        interaction_id=interaction_id,
        conversation_id=row.id,
        account=target.account,
        to_urn=target.urn,
        idem_key=key,
        due_at=due_at,
        by=rights.by,
        now=terms.now,
        code=CUSTOMER_WROTE if wrote else None,
        carries=carries,
    )
    if wrote:
        _hold(tx, ids, row, rights, terms.now, delivery_id)
    else:
        then, ending = order.then, order.disposition
        settle(tx, ids, row.id, rights, terms.now, then=then, disposition=ending, delivery_id=delivery_id)
    return ReplyResult(
        delivery_id=delivery_id,
        interaction_id=interaction_id,
        undo_until=None if wrote or not terms.undo_s else due_at,
        held_reason=HELD_WORDS if wrote else None,
    )


HELD_WORDS = "The customer wrote while you were writing. Read it, then send the reply or take it back."


def _wrote_meanwhile(row: Row[Any], order: Order) -> bool:
    """Did the customer say something that the agent had not seen?"""
    newest, seen = row.last_inbound_id, order.seen_inbound
    return seen is not None and newest is not None and seen < newest


def _hold(tx: Connection, ids: Ids, row: Row[Any], rights: Rights, now: datetime, delivery_id: int) -> None:
    """It waits for the agent's word, and until then does nothing to its conversation."""
    conversations.touch(tx, [row.id])
    data = {"delivery": delivery_id, "code": CUSTOMER_WROTE}
    conversations.log(tx, ids, row.id, "reply_held", rights.by, now, data=data)


def settle(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    rights: Rights,
    now: datetime,
    *,
    then: Then,
    disposition: str | None,
    delivery_id: int,
) -> None:
    """What a reply that goes out does to its conversation."""
    answers.answered(tx, ids, conversation_id, by=rights.by, now=now, then=then, delivery_id=delivery_id)
    if then == "close":
        conversations.close(
            tx, ids, conversation_id, by=rights.by, now=now, disposition=disposition, name=rights.name
        )


def idem_key(conversation_id: int, agent: str, key: str) -> str:
    """A surface's key within its conversation and agent, short enough for its column whatever the surface gave."""
    if not key:
        raise Refused("A reply needs a key, so that a double click is one reply.")
    if len(key) > _KEY_CHARS or not key.isascii() or not key.isprintable():
        key = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{conversation_id}:{agent[:40]}:{key}"


def made_before(tx: Connection, key: str) -> ReplyResult | None:
    """The result of the reply that was made with this key."""
    row = tx.execute(
        select(_d.id, _d.interaction_id, _d.state, _d.code, _d.due_at).where(_d.idem_key == key)
    ).one_or_none()
    if row is None:
        return None
    asks = row.state == "held" and row.code is not None
    return ReplyResult(
        delivery_id=row.id,
        interaction_id=row.interaction_id,
        undo_until=row.due_at if row.state == "held" and not asks else None,
        held_reason=HELD_WORDS if asks else None,
        new=False,
    )


def _before(row: Row[Any], order: Order) -> dict[str, Any]:
    """What `undo` and `confirm` need to know of the moment of the reply."""
    return {
        "then": order.then,
        "disposition": order.disposition,
        "state": row.state,
        "waiting_since": to_us(row.waiting_since) if row.waiting_since else None,
        "snoozed_until": to_us(row.snoozed_until) if row.snoozed_until else None,
    } | ({} if order.note_id is None else {"note": order.note_id})


# ------------------------------------------------------------------------------------------- where it goes, and whether


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """From which account of ours to which address of the customer's. direct: as a message of its own, although what
    they said last may be a comment."""

    account: str
    identity_id: int
    urn: str
    direct: bool


def _target(tx: Connection, rights: Rights, terms: Terms, row: Row[Any], order: Order) -> Target:
    """Where the reply goes: as the agent chose, else back the way the customer came. Raises Refused."""
    account = rights.config.accounts.get(order.account or row.account)
    if account is None or not account.enabled:
        raise Refused(f"There is no account {(order.account or row.account)[:80]!r} to send from.")
    if account.brand != row.brand_id:
        raise Refused("That account is another brand's.")
    identity = _identity(tx, row, order.to)
    _check_reach(tx, terms, account, identity)
    limits = terms.limits.get(account.connector)
    if limits is not None and (lacks := limits.lacks(account.settings)):
        raise Refused(
            f"{account.title} only receives: {account.key} has no {' and no '.join(lacks)} to send to."
        )
    if identity.trouble in TROUBLES:
        raise Refused(f"Not sent: {TROUBLES[identity.trouble]}.")
    urn = urns.bare(identity.urn)
    if consents.blocked(tx, row.brand_id, [urn]):
        raise Refused(f"{words.called('', identity.urn)} has opted out of messages from us.")
    if (urn, account.key) in consents.blocks(tx, row.brand_id, [urn]):
        raise Refused(f"{words.called('', identity.urn)} has blocked {account.title}.")
    _check_quiet(tx, terms, row, account, identity)
    contents.check_carried(order.carries, limits, account)
    direct = _check_window(tx, terms, row, account, identity, order.carries)
    contents.check_message(order.text, order.attachments, limits, account)
    if order.carries.template is not None:
        contents.check_template(order.carries.template, order.attachments, limits, account)
    return Target(account=account.key, identity_id=identity.id, urn=urn, direct=direct)


def _identity(tx: Connection, row: Row[Any], to: str | None) -> Row[Any]:
    """The address written to: one of those the customer has now, merges followed."""
    i = identities.c
    last = tx.execute(select(identities).where(i.id == row.identity_id)).one()
    if to is None or to == last.urn:
        return last
    found = tx.execute(
        select(identities).where(i.brand_id == row.brand_id, i.urn == to, i.customer_id == last.customer_id)
    ).one_or_none()
    if found is None:
        raise Refused("That address is not one of this customer's.")
    return found


def _check_reach(tx: Connection, terms: Terms, account: Account, identity: Row[Any]) -> None:
    """Can this account write to that address? A number or a mailbox can be written to by whoever speaks its scheme; any
    other address by the account that it wrote to, and a form's e-mail address by the account that took the form."""
    scheme = urns.scheme(identity.urn)
    if scheme in urns.PUBLIC and terms.schemes.get(account.connector) == scheme:
        return
    if _last_inbound_at(tx, account.key, identity.id) is None:
        raise Refused(f"{words.called('', identity.urn)} has never written to {account.title}.")


def _check_window(
    tx: Connection, terms: Terms, row: Row[Any], account: Account, identity: Row[Any], carries: Carried
) -> bool:
    """Does it go as a message of its own? Raises WindowClosed. In public there is no window, and for a template none
    either."""
    stands = windows.standings(tx, row.id, [(identity.id, account)], terms.limits).get(
        (identity.id, account.key), windows.ALWAYS
    )
    if carries.public:
        if not stands.public:
            raise Refused("They wrote nothing there that could be answered in public.")
        return False
    if carries.template is not None or stands.open(terms.now):
        return stands.directly(terms.now)
    raise WindowClosed(f"Not sent: {_closed(stands, terms, account)}.", account.key, identity.urn)


def _closed(stands: Standing, terms: Terms, account: Account) -> str:
    limits = terms.limits[account.connector]
    if stands.once:
        return (
            f"{account.title} takes one private answer to what was said in public, and it had that; answer in public, "
            "or when they have written to you"
        )
    if stands.public:
        days = round((limits.private_s or 0) / 86400, 1)
        return (
            f"{account.title} takes a private answer to what was said in public only within {days:g} days; "
            "it can still be answered in public"
        )
    hours = round((limits.window(account.settings) or 0) / 3600, 1)
    after = "; after that an approved template" if limits.templates else ""
    return f"{account.title} takes a reply only within {hours:g} hours of the customer's last message{after}"


def _check_quiet(tx: Connection, terms: Terms, row: Row[Any], account: Account, identity: Row[Any]) -> None:
    """At night nothing goes out that nobody asked for. Raises Refused."""
    until = quiet.until(account.quiet, terms.now)
    if until is None:
        return
    theirs = select(identities.c.id).where(identities.c.customer_id == identity.customer_id)
    used = carried.used(tx, row.id, tx.execute(theirs).scalars())
    last = max((one.at_us for one in used.values()), default=None)
    if not quiet.asked(None if last is None else from_us(last), terms.now):
        raise Refused(
            f"Not sent: {account.title} has quiet hours until {until:%H:%M} UTC, and they have not written since "
            "yesterday."
        )


def _last_inbound_at(tx: Connection, account: str, identity_id: int) -> datetime | None:
    return tx.execute(
        select(_n.received_at)
        .where(_n.identity_id == identity_id, _n.account == account, _n.direction == "in")
        .order_by(_n.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def _last_external_id(tx: Connection, row: Row[Any], target: Target) -> str | None:
    """The provider's id of what this answers: the last the address said on that account in this conversation."""
    return tx.execute(
        select(_n.external_id)
        .where(
            _n.conversation_id == row.id,
            _n.identity_id == target.identity_id,
            _n.account == target.account,
            _n.direction == "in",
            _n.external_id.is_not(None),
        )
        .order_by(_n.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def _with_copies(tx: Connection, row: Row[Any], target: Target, carries: Carried) -> Carried:
    """Copies are a mail's, and for those who take part. Raises Refused for anybody else."""
    if carries.cc is None:
        return carries
    if not target.account.startswith(threads.MAIL_ACCOUNTS):
        return msgspec.structs.replace(carries, cc=None)
    part = threads.people(tx, [row.id]).get(row.id, ())
    for urn in carries.cc:
        if urn not in part:
            raise Refused(f"{urns.display(urn)[:80]} takes no part in this conversation.")
    return carries
