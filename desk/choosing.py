"""What is known of every way to answer a customer, for router/choose.py to weigh. A few statements for any number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from crm_store import carried, consents, conversations, customers
from crm_store.carried import Used
from crm_store.customers import Customer, Identity
from crm_store.schema import account_states, conversation_events
from desk import quiet, windows
from desk.windows import Standing
from hub import urn as urns
from hub.clock import from_us
from hub.config import Account, Config
from hub.limits import Limits
from router.choose import Address

ASKED, UNASKED = "asked_for", "not_asked_for"  # conversation_events.what

Live = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[str, str]]]


def nobody_live(_pairs: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Where nobody can tell who is in a chat at this moment."""
    return ()


def addresses(
    tx: Connection,
    conversation_id: int,
    config: Config,
    limits: Mapping[str, Limits],
    schemes: Mapping[str, str],
    live: Live,
    now: datetime,
) -> list[Address]:
    """Every address of the conversation's customer with every account of its brand that reaches it.

    An address that no account reaches stands there with none. Raises NotFound.
    """
    row = conversations.get(tx, conversation_id)
    customer = customers.of_identity(tx, row.identity_id)
    known = customers.identities_of(tx, customer.id)
    used = carried.used(tx, conversation_id, [identity.id for identity in known])
    paused = _paused(tx, now)
    answer = quiet.asked(_latest(used.values()), now)
    asked = _asked(tx, conversation_id)
    blocks = consents.blocks(tx, row.brand_id, [urns.bare(identity.urn) for identity in known])
    ours = [account for account in config.accounts.values() if account.brand == row.brand_id]
    ways = [
        (identity, account)
        for identity in known
        for account in ours
        if account.connector in limits and _reaches(account, identity, schemes, used)
    ]
    stands = windows.standings(tx, conversation_id, [(one.id, account) for one, account in ways], limits)
    present = set(live([(account.key, identity.urn) for identity, account in ways]))
    found = [
        _address(
            identity,
            account,
            customer,
            used.get((identity.id, account.key)),
            limits[account.connector],
            live=(account.key, identity.urn) in present,
            paused=account.key in paused,
            asked=(account.key, identity.urn) == asked,
            quiet_until=None if answer else quiet.until(account.quiet, now),
            blocked=(urns.bare(identity.urn), account.key) in blocks,
            standing=stands.get((identity.id, account.key), windows.ALWAYS),
        )
        for identity, account in ways
    ]
    reached = {identity.id for identity, _ in ways}
    found += [
        Address(account=None, urn=identity.urn, title=urns.scheme(identity.urn), verified=identity.verified)
        for identity in known
        if identity.id not in reached
    ]
    return found


def _latest(used: Iterable[Used]) -> datetime | None:
    at_us = max((one.at_us for one in used), default=None)
    return None if at_us is None else from_us(at_us)


def _reaches(
    account: Account,
    identity: Identity,
    schemes: Mapping[str, str],
    used: Mapping[tuple[int, str], Used],
) -> bool:
    scheme = urns.scheme(identity.urn)
    if scheme in urns.PUBLIC and schemes.get(account.connector) == scheme:
        return True
    return (identity.id, account.key) in used


def _address(
    identity: Identity,
    account: Account,
    customer: Customer,
    used: Used | None,
    limits: Limits,
    *,
    live: bool,
    paused: bool,
    asked: bool = False,
    quiet_until: datetime | None = None,
    blocked: bool = False,
    standing: Standing,
) -> Address:
    return Address(
        account=account.key,
        urn=identity.urn,
        title=account.title,
        asked_for=asked,
        preferred=customer.preferred_channel in (account.connector, account.key),
        in_conversation=used is not None and used.here,
        last_used_at=from_us(used.at_us) if used else None,
        live=live,
        verified=identity.verified,
        opted_out="all" in identity.opted_out,
        window_until=standing.until,
        has_window=standing.limited,
        once=standing.once,
        templates=limits.templates,
        quiet_until=quiet_until,
        trouble=identity.trouble or ("blocked" if blocked else None),
        paused=paused,
        enabled=account.enabled,
        lacks=limits.lacks(account.settings),
        public=standing.public,
    )


def _asked(tx: Connection, conversation_id: int) -> tuple[str, str] | None:
    """(account, address) where they asked to be answered, as an agent noted last."""
    e = conversation_events.c
    query = select(e.what, e.data).where(e.conversation_id == conversation_id, e.what.in_((ASKED, UNASKED)))
    row = tx.execute(query.order_by(e.id.desc()).limit(1)).first()
    if row is None or row.what == UNASKED:
        return None
    data = json.loads(row.data)
    return str(data.get("account")), str(data.get("urn"))


def _paused(tx: Connection, now: datetime) -> set[str]:
    query = select(account_states.c.account).where(account_states.c.paused_until > now)
    return set(tx.execute(query).scalars())
