"""What a delivery carries besides its message, and what the channel must know of the customer's last word there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection

from crm_store.statements import rows
from hub.model import Template

# Channels of our own and mail: no windows, one address an account, nothing in public.
PLAIN = ("mail/", "webchat/", "console/", "webhook/")


class Carried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As in `hub.model.Outgoing`. In deliveries.carries as JSON; NULL where all are as they are without it.

    cc: of those who take part, who gets a copy, where the agent chose; None: everybody.
    """

    template: Template | None = None
    choices: tuple[str, ...] = ()
    public: bool = False
    cc: tuple[str, ...] | None = None

    def packed(self) -> str | None:
        return None if self == NOTHING else msgspec.json.encode(self).decode()


NOTHING = Carried()
_decoder = msgspec.json.Decoder(Carried)


def unpack(carries: str | None) -> Carried:
    return NOTHING if carries is None else _decoder.decode(carries)


class Heard(msgspec.Struct, frozen=True):
    """The newest message of an address to an account. at_us: when it was received. ours: which address of ours it went
    to. form: message, comment, mention."""

    at_us: int
    external_id: str | None
    ours: str
    form: str


class _Extra(msgspec.Struct):
    ours: str = ""


_extra = msgspec.json.Decoder(_Extra)
_NEWEST = """
    SELECT i.identity_id, i.account, i.received_at, i.external_id, i.extra, i.form FROM interactions i
    WHERE i.id IN (SELECT max(id) FROM interactions
        WHERE identity_id {ids} AND direction = 'in' GROUP BY identity_id, account)
"""
_FORMS = """
    SELECT account, external_id, form FROM interactions
    WHERE account = :account AND external_id {texts} AND direction = 'in'
"""


def heard(tx: Connection, identities: Iterable[int]) -> dict[tuple[int, str], Heard]:
    """(identity, account) -> what it said last there. One statement for any number."""
    wanted = sorted(set(identities))
    if not wanted:
        return {}
    return {
        (identity_id, account): Heard(at_us, external_id, _extra.decode(extra).ours if extra else "", form)
        for identity_id, account, at_us, external_id, extra, form in rows(tx, _NEWEST, ids=wanted)
    }


def forms(tx: Connection, names: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """(account, provider's id) -> what it was, for messages of customers; a statement an account."""
    return {
        (account, external_id): form
        for account, ids in sorted(names.items())
        for _, external_id, form in rows(tx, _FORMS, account=account, texts=sorted(set(ids)))
    }
