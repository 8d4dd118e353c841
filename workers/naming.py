"""What customers call themselves, where their messages do not say (Messenger, Instagram): asked of the provider once
for each newcomer, beside everything else. A name that does not come changes nothing: nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from connectors import CONNECTORS
from connectors.base import Connector, Names, Wire
from crm_store import naming
from crm_store.db import Store
from crm_store.timeline import made_at
from hub import clock, log
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable

_log = log.get("naming")

ASK_S = 20.0
AT_ONCE = 50  # of an account in one look, one after the other: at Meta's pace some ten a second
_LATER = timedelta(minutes=1)
_REFUSED = timedelta(hours=1)  # until an account that may not ask is tried again
_ASKED_FOR = timedelta(hours=6)  # after they came: later ones do not wait for one who never succeeds


class Naming:
    """Of one store. One `look` at a time. tell: conversations that look different now."""

    def __init__(
        self,
        store: Store,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        wire: Callable[[], Wire],
        tell: Callable[[list[int]], None] = lambda conversations: None,
        connectors: Mapping[str, Connector] = CONNECTORS,
        now: clock.Clock = clock.system,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._accounts, self._wire, self._tell = store, accounts, wire, tell
        self._connectors, self._now, self._stopping = connectors, now, stopping
        self._rests: dict[str, datetime] = {}

    async def look(self) -> int:
        """Ask about those who came; how many there were. Raises nothing but cancellation."""
        found = await asyncio.gather(
            *(
                self._account(account, names)
                for account in list(self._accounts().values())
                if (names := _names(self._connectors.get(account.connector))) is not None
            )
        )
        return sum(found)

    async def _account(self, account: Account, names: Names) -> int:
        asked = 0
        try:
            if self._rests.get(account.key, clock.EPOCH) <= self._now():
                at, waiting = await asyncio.to_thread(self._waiting, account.key)
                for identity, urn in waiting:
                    if self._stopping() or not await asyncio.to_thread(self._move, account.key, at, identity):
                        break
                    asked += 1
                    rest = await self._ask(account, names, identity, urn)
                    if rest is not None:
                        self._rests[account.key] = self._now() + rest
                        await asyncio.to_thread(self._move, account.key, identity, at)
                        break
                    at = identity
        except Unavailable as error:
            _log.warning("store away", error=str(error))
        except Exception:
            _log.exception("naming broke", account=account.key)
        return asked

    async def _ask(self, account: Account, names: Names, identity: int, urn: str) -> timedelta | None:
        """How long the account rests before this one is asked about again; None: this one is done."""
        try:
            async with asyncio.timeout(ASK_S):
                name = await names.called(urn, account, self._wire())
        except TimeoutError:
            return None if self._old(identity) else _LATER
        except SendError as error:
            _log.info("no name", account=account.key, code=error.provider_code, why=error.code.value)
            if error.retry:
                theirs = not error.whole_account and error.code is not SendCode.THROTTLED
                if theirs and self._old(identity):
                    return None
                return max(_LATER, timedelta(seconds=error.after_s or 0.0))
            return _REFUSED if error.whole_account else None
        if name:
            shown = await asyncio.to_thread(
                self._store.run, lambda tx: naming.call(tx, identity, name, self._now())
            )
            if shown:
                self._tell(shown)
        return None

    def _old(self, identity: int) -> bool:
        return self._now() - made_at(identity) > _ASKED_FOR

    # ------------------------------------------------------------------------------------------------- at the store

    def _waiting(self, account: str) -> tuple[int, list[tuple[int, str]]]:
        """Writes only where there is something to write."""
        with self._store.read() as tx:
            at = naming.asked(tx, account)
        if at is None:
            at = self._store.run(lambda tx: naming.begin(tx, account, self._now()))
        with self._store.read() as tx:
            found = list(naming.waiting(tx, account, at, AT_ONCE))
            later = None if found else naming.later(tx, at)
        if later is not None:
            self._move(account, at, later)
        return at, found

    def _move(self, account: str, had: int, to: int) -> bool:
        return self._store.run(lambda tx: naming.move(tx, account, had, to, self._now()))


def _names(connector: object) -> Names | None:
    return connector if isinstance(connector, Names) else None
