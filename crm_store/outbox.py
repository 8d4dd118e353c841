"""The outbox as the sender sees it: claim what is due under a lease, mark it as being sent.

A turn of the sender is one transaction: outcomes of what finished (crm_store/outcomes.py), marks for what starts,
claims of what is due next. `sending` is committed before a request leaves. Whoever dies afterwards leaves a lease
that ends, and the delivery is then `unknown`: it is looked for at the provider where that can be asked, and otherwise
shown to an agent.

Statements here are written by hand for both databases (crm_store/statements.py; times in microseconds, as stored):
this is the way of every message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from crm_store import carried, threads
from crm_store.pauses import paused
from crm_store.schema import DELIVERY_IN_DOUBT, DELIVERY_UNFINISHED, interaction_attachments
from crm_store.statements import rows, run
from hub.clock import from_us, to_us
from hub.model import Attachment, Quoted

UNKNOWN_HOLDS = timedelta(seconds=60)  # how long an unknown delivery holds its conversation's next one back

# What may be claimed. Behind an earlier unfinished one of its conversation a delivery waits, but a reply never waits
# for bulk, nothing waits for one that an agent must confirm first or that did not arrive and is tried again later, and
# for an unknown one only a minute.
_DUE = f"""
    q.account = {{account}} AND q.{DELIVERY_UNFINISHED} AND q.state IN ('held', 'queued')
    AND q.due_at <= :due_by AND (q.lease_until IS NULL OR q.lease_until < :now)
    AND NOT (q.state = 'held' AND q.code IS NOT NULL)
    AND NOT EXISTS (
        SELECT 1 FROM deliveries e
        WHERE e.conversation_id = q.conversation_id AND e.id < q.id AND e.{DELIVERY_UNFINISHED}
        AND NOT (e.state = 'held' AND e.code IS NOT NULL)
        AND NOT (e.state = 'queued' AND e.code = 'tried_again' AND e.due_at > :now)
        AND NOT (e.state = 'unknown' AND e.updated_at <= :held_from)
        AND (q.bulk OR NOT e.bulk))
    ORDER BY q.bulk, q.due_at, q.id
"""  # noqa: S608 - constants only
_FIRST_DUE = f"""
    SELECT q.due_at FROM deliveries q
    WHERE q.account = :account AND q.bulk = :bulk AND q.{DELIVERY_UNFINISHED} AND q.state IN ('held', 'queued')
    AND (q.lease_until IS NULL OR q.lease_until < :now) AND NOT (q.state = 'held' AND q.code IS NOT NULL)
    ORDER BY q.due_at LIMIT 1
"""  # noqa: S608
_LEASE = "UPDATE deliveries SET lease_owner = :owner, lease_until = :until"
_TOGETHER = 50  # accounts in one statement; SQLite takes 500 SELECTs
_LEASE_THESE = f"{_LEASE} WHERE id {{ids}}"
_CLAIM_POSTGRESQL = f"""
    WITH due AS (
        SELECT d.id FROM unnest(CAST(:accounts AS text[]), CAST(:rooms AS integer[])) AS a (account, room)
        CROSS JOIN LATERAL (
            SELECT q.id FROM deliveries q WHERE {_DUE.format(account="a.account")}
            LIMIT a.room FOR UPDATE OF q SKIP LOCKED) AS d)
    {_LEASE} FROM due WHERE deliveries.id = due.id RETURNING deliveries.id
"""  # noqa: S608


@cache
def _due_sqlite(accounts: int) -> str:
    """What is due of so many accounts, each with a room of its own: a statement instead of one an account."""
    return " UNION ALL ".join(
        f"SELECT * FROM (SELECT q.id FROM deliveries q WHERE {_DUE.format(account=f':a{n}')} LIMIT :r{n})"  # noqa: S608
        for n in range(accounts)
    )


# In the order of Claimed's fields.
_LOAD = """
    SELECT d.id, d.conversation_id, d.interaction_id, i.identity_id, c.brand_id, d.account, d.to_urn, d.bulk,
           d.attempts, d.due_at, COALESCE(d.tries_from, d.created_at), d.updated_at, i.text, i.subject,
           c.thread, COALESCE(NULLIF(i.in_reply_to, ''), CASE WHEN l.account = d.account THEN l.external_id END),
           i.sender_name, i.at, i.attachments, d.by = 'system', d.carries
    FROM deliveries d
    JOIN interactions i ON i.id = d.interaction_id
    JOIN conversations c ON c.id = d.conversation_id
    LEFT JOIN interactions l ON l.id = c.last_inbound_id
    WHERE d.id {ids} ORDER BY d.bulk, d.due_at, d.id
"""
_BEGIN = """
    UPDATE deliveries SET state = 'sending', attempts = attempts + 1, lease_until = :until, updated_at = :now
    WHERE id {ids} AND lease_owner = :owner AND due_at <= :now AND state IN ('held', 'queued') RETURNING id
"""
_GIVE_BACK = """
    UPDATE deliveries SET lease_owner = NULL, lease_until = NULL
    WHERE id {ids} AND lease_owner = :owner AND state IN ('held', 'queued')
"""


class Claimed(msgspec.Struct, frozen=True):
    """A delivery with all that its send needs; a Struct, because of every message one is made (0.4 µs instead of 3).

    `in_reply_to`: the provider's id of what it answers: the customer's last unless the agent chose another.
    `bulk` is 0 or 1 as SQLite has it. Times in microseconds: few of them are ever looked at.
    """

    id: int
    conversation_id: int
    interaction_id: int
    identity_id: int
    brand: str
    account: str
    to_urn: str
    bulk: bool
    attempts: int
    due_us: int
    tries_from_us: int
    updated_us: int
    text: str
    subject: str | None
    thread: str | None
    in_reply_to: str | None
    author_name: str
    written_us: int
    files: int  # how many attachments it has
    automatic: bool  # 0 or 1: no person wrote it
    carries: str | None  # crm_store.carried.Carried
    attachments: tuple[Attachment, ...] = ()
    references: tuple[str, ...] = ()  # of a mail: what was said before, the newest first
    cc: tuple[str, ...] = ()
    # What the customer said last over this account; not asked of plain channels. at_us: whence its window counts: of
    # what is answered where that was said in public, else of their last word to us alone (0: never).
    heard: carried.Heard | None = None
    answers: str = "message"  # the form of what `in_reply_to` names
    quoted: Quoted | None = None  # of a mail: what it answers

    @property
    def due_at(self) -> datetime:
        return from_us(self.due_us)

    @property
    def tries_from(self) -> datetime:
        return from_us(self.tries_from_us)

    @property
    def updated_at(self) -> datetime:
        return from_us(self.updated_us)

    @property
    def written_at(self) -> datetime:
        return from_us(self.written_us)


# --------------------------------------------------------------------------------------------------------- claim


def claim(
    tx: Connection,
    rooms: Mapping[str, int],
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    stopped: Mapping[str, datetime] | None = None,
    ahead: timedelta = timedelta(0),
) -> list[Claimed]:
    """Lease up to `rooms[account]` deliveries that are due, or will be within `ahead`; replies first, then by age. Of
    every conversation only the lowest unfinished one; of accounts that are paused (`stopped`, where the caller has
    looked) nothing."""
    stopped = paused(tx, now) if stopped is None else stopped
    open_now = sorted((a, room) for a, room in rooms.items() if room > 0 and a not in stopped)
    if not open_now:
        return []
    values: dict[str, Any] = {
        "owner": owner,
        "now": to_us(now),
        "until": to_us(now + lease),
        "held_from": to_us(now - UNKNOWN_HOLDS),
        "due_by": to_us(now + ahead),
    }
    if tx.dialect.name == "postgresql":
        accounts, sizes = [a for a, _ in open_now], [room for _, room in open_now]
        return load(tx, _ids(tx, _CLAIM_POSTGRESQL, **values, accounts=accounts, rooms=sizes))
    due: list[int] = []
    for first in range(0, len(open_now), _TOGETHER):
        some = open_now[first : first + _TOGETHER]
        asked = {
            f"{key}{n}": value for n, pair in enumerate(some) for key, value in zip("ar", pair, strict=True)
        }
        due += _ids(tx, _due_sqlite(len(some)), **values, **asked)
    if due:  # nobody else writes before our commit
        run(tx, _LEASE_THESE, ids=due, owner=owner, until=values["until"])
    return load(tx, due)


def _ids(tx: Connection, statement: str, **values: Any) -> list[int]:
    return [row[0] for row in rows(tx, statement, **values)]


def load(tx: Connection, delivery_ids: Sequence[int]) -> list[Claimed]:
    """These deliveries with their messages, replies before bulk, oldest first."""
    if not delivery_ids:
        return []
    found = [Claimed(*row) for row in rows(tx, _LOAD, ids=delivery_ids)]
    if mails := [claimed for claimed in found if claimed.account.startswith(threads.MAIL_ACCOUNTS)]:
        threaded = _threaded(tx, mails)
        found = [threaded.get(claimed.id, claimed) for claimed in found]
    if talks := [claimed for claimed in found if not claimed.account.startswith(carried.PLAIN)]:
        known = _with_heard(tx, talks)
        found = [known.get(claimed.id, claimed) for claimed in found]
    files = _attachments(tx, [claimed.interaction_id for claimed in found if claimed.files])
    if not files:
        return found
    return [
        msgspec.structs.replace(claimed, attachments=files.get(claimed.interaction_id, ()))
        for claimed in found
    ]


def _threaded(tx: Connection, mails: Sequence[Claimed]) -> dict[int, Claimed]:
    """Mails with what they go on from, what they answer, and who else gets them: nobody gets a copy of what a machine
    says, and it repeats nothing, lest anybody have it send their words on."""
    by_account: dict[str, set[int]] = defaultdict(set)
    for mail in mails:
        by_account[mail.account].add(mail.conversation_id)
    said = {account: threads.said(tx, account, sorted(talks)) for account, talks in by_account.items()}
    about = {account: threads.about(tx, account, sorted(talks)) for account, talks in by_account.items()}
    copied = threads.copied(tx, sorted({mail.conversation_id for mail in mails if not mail.automatic}))
    answered = {
        account: threads.quoted(
            tx,
            account,
            [
                (mail.conversation_id, mail.in_reply_to)
                for mail in mails
                if mail.account == account and mail.in_reply_to and not (mail.automatic or mail.bulk)
            ],
        )
        for account in by_account
    }
    return {
        mail.id: msgspec.structs.replace(
            mail,
            quoted=answered[mail.account].get((mail.conversation_id, mail.in_reply_to or "")),
            subject=mail.subject or about[mail.account].get(mail.conversation_id),
            references=said[mail.account].get(mail.conversation_id, ()),
            cc=_copies(mail, copied.get(mail.conversation_id, ())),
        )
        for mail in mails
    }


def _copies(mail: Claimed, part: Sequence[str]) -> tuple[str, ...]:
    """Who of those that take part gets a copy: everybody, or whom the agent chose."""
    if mail.automatic:
        return ()
    chosen = carried.unpack(mail.carries).cc
    return tuple(urn for urn in part if urn != mail.to_urn and (chosen is None or urn in chosen))


def _with_heard(tx: Connection, talks: Sequence[Claimed]) -> dict[int, Claimed]:
    """Messages over a provider's channel with what the customer said last there, and the form of what they answer: a
    message of its own answers nothing by name, whatever stands last in its conversation."""
    last = carried.heard(tx, [talk.identity_id for talk in talks])
    alone = {talk.id for talk in talks if talk.carries and carried.unpack(talk.carries).direct}
    others: dict[str, set[str]] = defaultdict(set)
    for talk in talks:
        heard = last.get((talk.identity_id, talk.account))
        if (
            talk.in_reply_to
            and talk.id not in alone
            and not (heard and heard.external_id == talk.in_reply_to)
        ):
            others[talk.account].add(talk.in_reply_to)
    forms = carried.forms(tx, others)
    found = {}
    for talk in talks:
        heard = last.get((talk.identity_id, talk.account))
        if talk.id in alone:
            form, at_us, answers = "message", 0, None
        else:
            answers = talk.in_reply_to
            newest = (heard.form, heard.at_us) if heard else ("message", 0)
            form, at_us = forms.get((talk.account, answers or ""), newest)
        if heard is not None and form in carried.PUBLIC_FORMS:  # its own time counts
            heard = msgspec.structs.replace(heard, at_us=at_us)
        elif (
            heard is not None and heard.form in carried.PUBLIC_FORMS
        ):  # a comment opens no window for messages
            heard = msgspec.structs.replace(heard, at_us=heard.direct_at_us or 0)
        found[talk.id] = msgspec.structs.replace(talk, heard=heard, answers=form, in_reply_to=answers)
    return found


def _attachments(tx: Connection, interactions: Sequence[int]) -> dict[int, tuple[Attachment, ...]]:
    found: dict[int, tuple[Attachment, ...]] = {}
    if not interactions:
        return found
    a = interaction_attachments.c
    listed = tx.execute(
        select(a.interaction_id, a.sha256, a.content_type, a.size_bytes, a.name)
        .where(a.interaction_id.in_(interactions))
        .order_by(a.interaction_id, a.position)
    )
    for interaction_id, sha256, content_type, size_bytes, name in listed:
        file = Attachment(sha256=sha256, content_type=content_type, size_bytes=size_bytes, name=name)
        found[interaction_id] = (*found.get(interaction_id, ()), file)
    return found


def give_back(tx: Connection, delivery_ids: Sequence[int], owner: str) -> None:
    """End the leases of what was claimed and not begun."""
    if delivery_ids:
        run(tx, _GIVE_BACK, ids=delivery_ids, owner=owner)


def next_due(tx: Connection, accounts: Sequence[str], now: datetime) -> datetime | None:
    """When the next delivery of these accounts may be sent, the next unknown one looked for, or the next lease of one
    that is being sent ends, so that its sender's death is noticed; None: nothing waits.

    A paused account's time is the end of its pause. What somebody has claimed does not count. Deliveries behind an
    earlier one of their conversation count with their own time, so this may be too early, never too late.
    """
    stopped = paused(tx, now)
    times: list[datetime] = []
    for account in accounts:
        for bulk in (False, True):
            first = run(tx, _FIRST_DUE, account=account, bulk=bulk, now=to_us(now)).scalar()
            if first is not None:
                times.append(max(from_us(first), stopped.get(account, from_us(first))))
    for column, state in (("due_at", "unknown"), ("lease_until", "sending")):
        look = run(
            tx,
            f"SELECT min({column}) FROM deliveries WHERE {DELIVERY_IN_DOUBT} AND state = '{state}'",  # noqa: S608
        ).scalar()
        if look is not None:
            times.append(from_us(look))
    return min(times, default=None)


# ------------------------------------------------------------------------------------------------------- begin


def begin(
    tx: Connection, delivery_ids: Sequence[int], *, owner: str, now: datetime, lease: timedelta
) -> set[int]:
    """Mark as `sending` what is still ours to send, and which that is. An undone one is not among them any more."""
    if not delivery_ids:
        return set()
    return set(_ids(tx, _BEGIN, ids=delivery_ids, owner=owner, now=to_us(now), until=to_us(now + lease)))
