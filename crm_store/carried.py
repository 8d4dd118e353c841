"""What a delivery carries besides its message, and what the channel must know of the customer's last word there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection

from crm_store.statements import rows
from hub.model import Template

# Channels of our own and mail: no windows, one address an account, nothing in public.
PLAIN = ("mail/", "webchat/", "console/", "webhook/")
PUBLIC_FORMS = ("comment", "mention")  # hub.model.MessageReceived.form: what everybody can read


class Carried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As in `hub.model.Outgoing`. In deliveries.carries as JSON; NULL where all are as they are without it.

    cc: of those who take part, who gets a copy, where the agent chose; None: everybody.
    direct: what was said last may be a comment, and this is no answer to it: it goes as a message of its own.
    """

    template: Template | None = None
    choices: tuple[str, ...] = ()
    public: bool = False
    cc: tuple[str, ...] | None = None
    direct: bool = False

    def packed(self) -> str | None:
        return None if self == NOTHING else msgspec.json.encode(self).decode()


NOTHING = Carried()
_decoder = msgspec.json.Decoder(Carried)


def unpack(carries: str | None) -> Carried:
    return NOTHING if carries is None else _decoder.decode(carries)


class Heard(msgspec.Struct, frozen=True):
    """The newest message of an address to an account. at_us: when it was said, as far as its provider may be believed:
    what comes late opens no window anew. ours: which address of ours it went to. form: message, comment, mention.
    direct_at_us: when they last said something to us alone; None: never."""

    at_us: int
    external_id: str | None
    ours: str
    form: str
    direct_at_us: int | None = None


class Answered(msgspec.Struct, frozen=True):
    """What a reply answers: the newest that an address said to an account, in one conversation."""

    interaction_id: int
    at_us: int
    external_id: str
    form: str


class Used(msgspec.Struct, frozen=True):
    """When an address wrote to an account last, and whether in this conversation."""

    at_us: int
    here: bool


class _Extra(msgspec.Struct):
    ours: str = ""


_extra = msgspec.json.Decoder(_Extra)
# Of an address only its newest words are looked at, ours among them, so that a reply to somebody of ten thousand costs
# one millisecond and not ten. An index by account would find the rest, and cost every message a tenth of its writing.
LATELY = 500
_LATELY: Mapping[str, str] = {
    # It finds where to begin in the index of (identity, id), and reads what is asked for from there on.
    "sqlite": f"""
    FROM identities k JOIN interactions n ON n.identity_id = k.id AND n.direction = 'in' AND n.id >= coalesce((
        SELECT f.id FROM interactions f WHERE f.identity_id = k.id ORDER BY f.id DESC LIMIT 1 OFFSET {LATELY - 1}), 0)
    WHERE k.id {{ids}}""",  # noqa: S608
    # Which PostgreSQL would do once for every message, where it prefers a hash; so it is told to read backwards.
    "postgresql": f"""
    FROM unnest(CAST(:ids AS bigint[])) AS k (id) CROSS JOIN LATERAL (
        SELECT * FROM interactions f WHERE f.identity_id = k.id ORDER BY f.id DESC LIMIT {LATELY}) AS n
    WHERE n.direction = 'in'""",  # noqa: S608
}
_SAID_AT = "CASE WHEN i.at < i.received_at THEN i.at ELSE i.received_at END"
_NEWEST = f"""
    SELECT i.identity_id, i.account, {_SAID_AT}, i.external_id, i.extra, i.form FROM interactions i
    WHERE i.id IN (SELECT max(n.id) {{lately}} GROUP BY n.identity_id, n.account)
"""  # noqa: S608
_DIRECT = f"""
    SELECT i.identity_id, i.account, {_SAID_AT} FROM interactions i
    WHERE i.id IN (SELECT max(n.id) {{lately}} AND n.form NOT IN ('comment', 'mention')
        GROUP BY n.identity_id, n.account)
"""  # noqa: S608
_ANSWERED = f"""
    SELECT i.identity_id, i.account, i.id, {_SAID_AT}, i.external_id, i.form FROM interactions i
    WHERE i.id IN (SELECT max(n.id) {{lately}} AND n.conversation_id = :conversation AND n.external_id IS NOT NULL
        GROUP BY n.identity_id, n.account)
"""  # noqa: S608
_USED = """
    SELECT n.identity_id, n.account, max(n.received_at),
        max(CASE WHEN n.conversation_id = :conversation THEN 1 ELSE 0 END)
    {lately} GROUP BY n.identity_id, n.account
"""
_ANSWERS = """
    SELECT d.carries FROM interactions o JOIN deliveries d ON d.interaction_id = o.id
    WHERE o.conversation_id = :conversation AND o.id > :after AND o.identity_id = :identity AND o.account = :account
      AND o.direction = 'out' AND o.in_reply_to = :external_id
      AND d.state NOT IN ('failed', 'cancelled', 'opted_out')
"""
_FORMS = f"""
    SELECT i.account, i.external_id, i.form, {_SAID_AT} FROM interactions i
    WHERE i.account = :account AND i.external_id {{texts}} AND i.direction = 'in'
"""  # noqa: S608


def heard(tx: Connection, identities: Iterable[int]) -> dict[tuple[int, str], Heard]:
    """(identity, account) -> what it said last there. One statement for any number; one more for those who said that
    in public."""
    wanted = sorted(set(identities))
    if not wanted:
        return {}
    newest = _lately(tx, _NEWEST, ids=wanted)
    commented = sorted({row[0] for row in newest if row[5] in PUBLIC_FORMS})
    found = _lately(tx, _DIRECT, ids=commented) if commented else ()
    direct = {(identity_id, account): at_us for identity_id, account, at_us in found}
    return {
        (identity_id, account): Heard(
            at_us,
            external_id,
            _extra.decode(extra).ours if extra else "",
            form,
            direct.get((identity_id, account)) if form in PUBLIC_FORMS else at_us,
        )
        for identity_id, account, at_us, external_id, extra, form in newest
    }


def answered(
    tx: Connection, conversation_id: int, identities: Iterable[int]
) -> dict[tuple[int, str], Answered]:
    """(identity, account) -> what a reply in this conversation answers there. One statement for any number."""
    wanted = sorted(set(identities))
    found = _lately(tx, _ANSWERED, conversation=conversation_id, ids=wanted) if wanted else ()
    return {(identity_id, account): Answered(*rest) for identity_id, account, *rest in found}


def used(tx: Connection, conversation_id: int, identities: Iterable[int]) -> dict[tuple[int, str], Used]:
    """(identity, account) -> when it wrote there last. One statement for any number."""
    wanted = sorted(set(identities))
    found = _lately(tx, _USED, conversation=conversation_id, ids=wanted) if wanted else ()
    return {(identity_id, account): Used(at_us, bool(here)) for identity_id, account, at_us, here in found}


def in_private(
    tx: Connection, conversation_id: int, identity_id: int, account: str, comment: Answered
) -> bool:
    """Has what they said in public been answered in private, or is about to be?"""
    found = rows(
        tx,
        _ANSWERS,
        conversation=conversation_id,
        identity=identity_id,
        account=account,
        after=comment.interaction_id,
        external_id=comment.external_id,
    )
    return any(not unpack(carries).public for (carries,) in found)


def forms(tx: Connection, names: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], tuple[str, int]]:
    """(account, provider's id) -> what a customer's message was, and when it was said; a statement an account."""
    return {
        (account, external_id): (form, at_us)
        for account, ids in sorted(names.items())
        for _, external_id, form, at_us in rows(tx, _FORMS, account=account, texts=sorted(set(ids)))
    }


def _lately(tx: Connection, statement: str, **values: Any) -> Sequence[Any]:
    return rows(tx, _of(statement, tx.dialect.name), **values)


@cache
def _of(statement: str, dialect: str) -> str:
    return statement.replace("{lately}", _LATELY[dialect])
