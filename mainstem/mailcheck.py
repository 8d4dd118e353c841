"""What doctor and `mainstem mail check` say of mailboxes: what reading them last met, and what they answer now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hub import clock
from hub.errors import MainstemError
from hub.settings import Settings
from mainstem.doctor import Finding, Level

if TYPE_CHECKING:
    from connectors.mail.imap import Session
    from connectors.mail.place import Place
    from crm_store.sources import Reading
    from hub.config import Account

_PART = "mailboxes"
_COST = "mails wait in the mailbox, and are read from where reading stopped; nothing is lost"
_LATE_S = 900.0  # a mailbox is looked at every nine minutes at the latest


def examine(settings: Settings) -> Iterator[Finding]:
    """A finding or more for each mailbox that is read; never raises for what a server says or does not say."""
    from connectors import accounts
    from crm_store import sources
    from crm_store.db import Store
    from hub.secrets import load_key
    from mainstem.prepare import in_force

    store = Store.open(settings.database, pool_size=1)
    try:
        config = in_force(store)
        with store.read() as tx:
            readings = {reading.account: reading for reading in sources.readings(tx)}
    finally:
        store.close()
    if config is None:
        return
    good, _ = accounts.resolve(config, os.environ, load_key(settings))
    boxes = [account for account in good.values() if account.connector == "mail" and accounts.pulled(account)]
    if not boxes:
        yield Finding(_PART, Level.GREEN, "none is switched on (docs/channels/mail.md)")
    for account in boxes:
        yield _reading(account, readings.get(account.key))
        yield from _answers(settings, account)


def _reading(account: Account, reading: Reading | None) -> Finding:
    if reading is None:
        return Finding(
            _PART, Level.YELLOW, f"{account.key} was never read: is `mainstem pull` running?", _COST
        )
    ago = (clock.system() - reading.at).total_seconds()
    if reading.why:
        said = f"{account.key} cannot be read: {reading.why}"
        if reading.next_at is not None:
            said += f" (tried again at {reading.next_at:%H:%M:%S} UTC)"
        return Finding(_PART, Level.RED, said, _COST)
    if ago > _LATE_S:
        said = f"{account.key} was last read {ago / 60:,.0f} minutes ago: is `mainstem pull` running?"
        return Finding(_PART, Level.RED, said, _COST)
    return Finding(_PART, Level.GREEN, f"{account.key} was read {ago:.0f} s ago", _COST)


def _answers(settings: Settings, account: Account) -> Iterator[Finding]:
    from connectors.mail.imap import LoginRefused, Session
    from connectors.mail.place import place

    where = place(account)
    try:
        token = asyncio.run(_token(settings, account)) if where.oauth else None
        password = next(iter(account.secrets.get("password", ())), None)
        with Session.open(where, password, token) as session:
            yield from _abilities(account, where, session)
    except LoginRefused as error:
        yield Finding(
            _PART, Level.RED, f"{account.key}: {error}. Look at user and password (or app password)"
        )
    except MainstemError as error:
        yield Finding(
            _PART, Level.RED, f"{account.key} at {where.server.host}:{where.server.port}: {error}", _COST
        )


def _abilities(account: Account, where: Place, session: Session) -> Iterator[Finding]:
    folder = session.select()
    said = f"{account.key}: {where.folder} of {where.server.user} at {where.server.host} has {folder.mails:,} mails"
    yield Finding(_PART, Level.GREEN, said)
    if not session.can("IDLE"):
        said = f"{account.key}: the server has no IDLE; new mails are found every {where.poll_s:.0f} s"
        yield Finding(_PART, Level.YELLOW, said)
    if where.done == "keyword" and not folder.keywords:
        said = f"{account.key}: the server keeps no keywords, so nothing is marked; set `done: seen` or `move:FOLDER`"
        yield Finding(_PART, Level.YELLOW, said)
    if where.done.startswith("move:") and not (session.can("MOVE") or session.can("UIDPLUS")):
        said = f"{account.key}: the server can neither MOVE nor expunge single mails; set `done: seen`"
        yield Finding(_PART, Level.RED, said)


async def _token(settings: Settings, account: Account) -> str:
    from connectors.http import guarded_session
    from connectors.kept import FOLDER, Kept
    from connectors.mail.oauth import Tokens

    async with guarded_session(allow_private=settings.allow_private_targets) as http:
        return await Tokens(http, Kept(settings.data / FOLDER)).access(account)
