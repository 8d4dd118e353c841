"""A notification of WhatsApp's -> events. Pure.

Keys: a message's is its wamid, a report's the wamid and the status ("Meta retries for up to 7 days ... this may produce
duplicate webhook notifications"). All of it is read in one go; only where something in it cannot be read is it taken
apart, down to the single message, so that one bad piece costs no other.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from connectors import clean, fitting
from connectors.base import Parsed
from connectors.graph import batch, errors
from connectors.graph.batch import BAD, Gathered
from connectors.whatsapp.model import Body, Change, Contact, Loose, LooseChange, LooseEntry
from connectors.whatsapp.reading import ERROR, LISTS, What, know
from hub import log
from hub.config import Account

OBJECT = "whatsapp_business_account"
# Fields of the account itself, and of what others say or handle for it (the Business app, Meta's own agent): Meta's
# pages name them, and they hold nothing that was said to us. They are logged and left.
SILENT_FIELDS = frozenset({
    "account_alerts", "account_review_update", "account_settings_update", "account_update", "automatic_events",
    "business_capability_update", "business_status_update", "business_username_update", "consumer_profile", "flows",
    "group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update", "history",
    "message_echoes",
    "message_template_components_update", "message_template_quality_update", "message_template_status_update",
    "messaging_handovers", "partner_solutions", "payment_configuration_update", "phone_number_name_update",
    "phone_number_quality_update", "security", "smb_app_state_sync", "smb_message_echoes", "standby",
    "template_category_update", "template_correct_category_detection", "tracking_events",
})  # fmt: skip
_log = log.get("whatsapp")
_body = msgspec.json.Decoder(Body)
_entry = msgspec.json.Decoder(LooseEntry)
_loose_change = msgspec.json.Decoder(LooseChange)
_loose = msgspec.json.Decoder(Loose)
_contact = msgspec.json.Decoder(Contact)


class _TakeApart(ValueError):
    """Something in it must be kept by itself."""


def events(body: bytes, received_at: datetime, account: Account, own_id: str) -> Parsed:
    """Raises Malformed where the whole is no notification of WhatsApp's."""
    try:
        found = _body.decode(body)
        if found.object == OBJECT:
            gathered, linked = Gathered(account, received_at), set[str]()
            for entry in found.entry:
                for change in entry.changes:
                    _read(change, _owned(change, gathered, own_id, body, linked))
            return gathered.parsed()
    except BAD:
        pass
    return _apart(body, received_at, account, own_id)


def _owned(change: Change, gathered: Gathered, own_id: str, body: bytes, linked: set[str]) -> What:
    """Raises _TakeApart where it is nobody's."""
    named = change.value.metadata
    if named is None:
        if change.field in SILENT_FIELDS:
            return What(gathered, gathered.account.key, body, linked)
        raise _TakeApart("it does not say which number of ours it is for")
    key = batch.owner(gathered.account, own_id, named.phone_number_id)
    if key is None:
        raise _TakeApart(batch.nobodys("the number", f"{named.phone_number_id} {named.display_phone_number}"))
    return What(gathered, key, body, linked)


def _read(change: Change, what: What) -> None:
    value = change.value
    if change.field in SILENT_FIELDS:
        _silent(change.field, what.account)
        return
    if value.errors is not UNSET:
        raise _TakeApart("it has errors of the account")  # which are kept, each by itself
    known = False
    for contact in value.contacts:
        know(contact, what)
    for name, read, _ in LISTS:
        if (pieces := getattr(value, name)) is not UNSET:
            known = True
            for piece in pieces:
                read(piece, what)
    if not known:
        raise _TakeApart(_nothing(change.field))


def _silent(field: str, account: str) -> None:
    _log.info("WhatsApp tells of the account itself", account=account, field=field)


def _nothing(field: str) -> str:
    return f"a notification about {clean.line(field, 60)!r} says nothing that is known here"


# ------------------------------------------------------------------------------------------------ piece by piece


def _apart(body: bytes, received_at: datetime, account: Account, own_id: str) -> Parsed:
    gathered, linked = Gathered(account, received_at), set[str]()
    for raw in batch.entries(body, OBJECT):
        try:
            entry = fitting.decode(_entry, raw)
        except BAD as error:
            gathered.keep(batch.envelope(OBJECT, raw), f"an entry cannot be read: {error}")
            continue
        for one in entry.changes:
            _change_apart(entry.id, bytes(one), gathered, own_id, linked)
    return gathered.parsed()


def _change_apart(entry: str, raw: bytes, gathered: Gathered, own_id: str, linked: set[str]) -> None:
    alone = _envelope(entry, raw)
    try:
        change = _loose_change.decode(raw)
        if change.field in SILENT_FIELDS:
            _silent(change.field, gathered.account.key)
            return
        value = fitting.decode(_loose, change.value)
    except BAD as error:
        gathered.keep(alone, f"a notification cannot be read: {error}")
        return
    if value.metadata is None:
        gathered.keep(alone, f"{_nothing(change.field)}, nor which number of ours it is for")
        return
    named = value.metadata.phone_number_id
    key = batch.owner(gathered.account, own_id, named)
    why = "" if key else batch.nobodys("the number", f"{named} {value.metadata.display_phone_number}")
    what = What(gathered, key or gathered.account.key, alone, linked)
    for contact in value.contacts:
        try:
            know(fitting.decode(_contact, contact), what)
        except BAD:
            continue  # a name less
    if not _pieces(entry, change.field, value, what, why):
        gathered.keep(alone, why or _nothing(change.field), what.account)


def _pieces(entry: str, field: str, value: Loose, what: What, why: str) -> bool:
    """Whether there was any list that we know. why: each is only kept, for this reason."""
    known = False
    for name, read, decoder in LISTS:
        pieces: list[msgspec.Raw] | UnsetType = getattr(value, name)
        if pieces is UNSET:
            continue
        known = True
        for piece in pieces:
            what.body = _envelope(entry, _change_of(field, value, name, bytes(piece)))
            if why:
                what.gathered.keep(what.body, why)
                continue
            try:
                read(fitting.decode(decoder, piece), what)
            except BAD as error:
                what.gathered.keep(what.body, f"one of {name} cannot be read: {error}", what.account)
    if value.errors is not UNSET:
        known = True
        for piece in value.errors:
            body = _envelope(entry, _change_of(field, value, "errors", bytes(piece)))
            what.gathered.keep(body, _of_account(bytes(piece)), what.account)
    return known


def _of_account(raw: bytes) -> str:
    """An error that concerns no message: somebody must read it, so it is kept with its words."""
    try:
        error = fitting.decode(ERROR, raw)
    except BAD:
        return "WhatsApp reports an error of the account that cannot be read"
    found = errors.meaning(error.code or 0) if error.code is not None else None
    words = (
        f"{found.words} ({error.words})" if found and error.words else found.words if found else error.words
    )
    return f"WhatsApp reports an error of the account: {error.code}: {words}"


def _envelope(entry: str, change: bytes) -> bytes:
    return batch.envelope(OBJECT, batch.part(entry, "changes", [change]))


def _change_of(field: str, value: Loose, name: str, piece: bytes) -> bytes:
    """A change with this one piece, and what it needs to be read again."""
    contacts = b",".join(dict.fromkeys(bytes(one) for one in value.contacts))
    metadata = msgspec.json.encode(value.metadata)
    return b'{"field":%b,"value":{"messaging_product":"whatsapp","metadata":%b,"contacts":[%b],"%b":[%b]}}' % (
        msgspec.json.encode(field), metadata, contacts, name.encode(), piece)  # fmt: skip
