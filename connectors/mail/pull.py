"""A mailbox, read for ever: one thread, one connection, one place in one folder (design: the way in).

What is fetched goes on disk with its cursor before the next is fetched; what the store has is marked afterwards. Every
step may be done twice: the same mail has the same event key. So nothing is lost by a crash anywhere, and a doubt is
settled by reading again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from connectors.base import Cursors, Health
from connectors.mail.fetching import BATCH, Broken, Fetcher, look_up
from connectors.mail.imap import (
    Folder,
    Listed,
    LoginRefused,
    NotDone,
    Session,
    Unreachable,
)
from connectors.mail.oauth import TokenRefused
from connectors.mail.place import Place, place
from connectors.mail.taking import Mail, Taker
from hub import clock as clocks
from hub import log
from hub.config import Account
from hub.errors import Unavailable
from hub.model import Cursor

_log = log.get("mail")
T = TypeVar("T")

SINCE = "imap:since"  # the cursor that says from when on an account's mails are ours; set once
LEFT_OVER = 500  # mails that a start looks at again: taken before it, and never marked
MARK_EVERY_S = 2.0
NOTE_EVERY_S = 30.0
SETTLE_S = 3.0
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 60.0
REFUSED_PAUSE_S, REFUSED_LAST_S = 60.0, 1800.0  # a login that is tried often locks the account


class Logins(Protocol):
    async def access(self, account: Account, *, fresh: bool = False) -> str: ...


class Mailbox:
    """One account's thread. `start`, then `stop` (returns at once) and `join`.

    loop: where the ports live; it must turn until the thread has ended.
    """

    def __init__(
        self,
        account: Account,
        taker: Taker,
        cursors: Cursors,
        logins: Logins,
        loop: asyncio.AbstractEventLoop,
        clock: clocks.Clock = clocks.system,
    ) -> None:
        self.account = account
        self._place: Place = place(account)
        self._taker, self._cursors, self._logins, self._loop, self._clock = (
            taker, cursors, logins, loop, clock,
        )  # fmt: skip
        self._stop = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=account.key, daemon=True)
        self._validity: int | None = None
        self._uid = 0
        self._fetcher = self._new_fetcher()
        self._ghosts: set[int] = set()  # found by a search, and then not there
        self._unmarked: dict[int, tuple[str, ...]] = {}
        self._looked_back = False
        self._unmarkable = ""
        self._marked_at = 0.0
        self._said: tuple[float, str] = (float("-inf"), "?")
        self.read = 0  # mails since the start
        self.connections = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.send(b".")

    def join(self, seconds: float) -> bool:
        """True where the thread has ended."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        self._wake.close()
        self._woken.close()
        return True

    # ------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        pause, refused = FIRST_PAUSE_S, REFUSED_PAUSE_S
        while not self._stop.is_set():
            before, wait = self.read, 0.0
            try:
                with self._open() as session:
                    pause, refused = (FIRST_PAUSE_S if self.read > before else pause), REFUSED_PAUSE_S
                    self._stay(session)
                    pause = FIRST_PAUSE_S
            except (LoginRefused, TokenRefused) as error:
                wait, refused = refused, min(refused * 2, REFUSED_LAST_S)
                self._note(str(error), wait)
            except Broken as error:
                wait = FIRST_PAUSE_S
                _log.warning("a mail did not come", account=self.account.key, uid=error.uid, why=str(error))
            except (Unreachable, NotDone, Unavailable) as error:
                wait = pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreading reconnections, no secret
                pause = FIRST_PAUSE_S if self.read > before else min(pause * 2, LAST_PAUSE_S)
                self._note(str(error), wait)
            except _Stopped:
                break
            except Exception as error:
                wait = pause = LAST_PAUSE_S
                _log.exception("reading a mailbox failed", account=self.account.key)
                self._note(f"a fault of ours: {type(error).__name__}", wait)
            self._stop.wait(wait)

    def _ask(self, asked: Coroutine[Any, Any, T]) -> T:
        """The loop's answer; its errors are raised here. Raises _Stopped rather than wait for a loop that ends."""
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        until_stop = 0.0
        while True:
            try:
                return future.result(0.5)
            except TimeoutError:
                if future.done():
                    raise Unavailable("it took too long") from None
                until_stop += 0.5 if self._stop.is_set() else 0.0
                if until_stop >= 5.0:
                    future.cancel()
                    raise _Stopped from None

    def _open(self) -> Session:
        token = None
        if self._place.oauth:
            token = self._ask(self._logins.access(self.account))
        password = next(iter(self.account.secrets.get("password", ())), None)
        self.connections += 1
        try:
            return Session.open(self._place, password, token)
        except LoginRefused:
            if token is None:
                older = self.account.secrets.get("password", ())[1:]
                if not older:
                    raise
                return Session.open(self._place, older[0])  # the password is just being changed
            token = self._ask(self._logins.access(self.account, fresh=True))
            return Session.open(self._place, None, token)

    def _stay(self, session: Session) -> None:
        """Read, mark and wait, until told to stop. Raises what the connection raises.

        Some servers tell an IDLE only of what comes after it began. What came just before it is looked for: the pauses
        begin short and double, so that such a mail waits no longer than the folder was quiet before it.
        """
        pause = SETTLE_S
        while not self._stop.is_set():
            before = self.read
            folder = session.select()
            self._find_place(session, folder)
            if not self._looked_back:
                self._look_back(session, folder)
            self._catch_up(session, folder)
            self._mark(session, folder)
            self._note("")
            pause = min(pause * 2, self._place.poll_s) if self.read == before else SETTLE_S
            if not session.stirred():
                session.wait(pause, self._enough, self._woken.fileno())

    def _enough(self) -> bool:
        """Is there something better to do than to wait?"""
        if self._stop.is_set():
            return True
        if not self._unmarked or time.monotonic() - self._marked_at < MARK_EVERY_S:
            return False
        return bool(self._ready())

    # --------------------------------------------------------------------------------------------------- its place

    def _find_place(self, session: Session, folder: Folder) -> None:
        """Where reading goes on; from the beginning that counts where the folder is new to us, or was made anew."""
        if self._validity is None:
            self._recall()
        if self._validity == folder.validity:
            return
        began = self._clock()
        start_s = self._place.start_s
        said = "" if start_s is None else (began - timedelta(seconds=start_s)).isoformat()
        since = self._ask(self._cursors.begin(self.account.key, SINCE, said))
        first = self._validity is None
        uid = session.before_since(datetime.fromisoformat(since) if since else None, folder)
        if first:
            self._ask(self._cursors.begin(self.account.key, self._place.name, f"{folder.validity}:{uid}"))
            _log.info("a mailbox is read from now on", account=self.account.key, mails=folder.mails)
        else:
            _log.warning("the folder was made anew; it is read again", account=self.account.key)
        self._validity, self._uid = folder.validity, uid
        self._unmarked.clear()
        self._fetcher, self._looked_back = self._new_fetcher(), True

    def _new_fetcher(self) -> Fetcher:
        return Fetcher(self.account.key, self._place.folder, self._clock)

    def _recall(self) -> None:
        value = self._ask(self._cursors.get(self.account.key, self._place.name)) or ""
        validity, _, uid = value.partition(":")
        if validity.isdigit() and uid.isdigit():
            self._validity, self._uid = int(validity), int(uid)

    # ---------------------------------------------------------------------------------------------------- catching up

    def _catch_up(self, session: Session, folder: Folder) -> None:
        while not self._stop.is_set():
            uids = session.after(self._uid, folder)
            if not uids:
                self._ghosts.clear()
                return
            at = 0
            while at < len(uids) and not self._stop.is_set():
                chunk = uids[at : at + 4 * BATCH]
                listed = dict(look_up(session, chunk))
                # Not listed: expunged, and no search finds it again. One that is found again is asked for alone.
                listed |= {uid: Listed(0, None) for uid in chunk if uid not in listed and uid in self._ghosts}
                self._ghosts.update(uid for uid in chunk if uid not in listed)
                for batch in self._fetcher.batches(chunk, listed):
                    self._batch(session, folder, batch, listed)
                    if self._stop.is_set():
                        return
                self._mark(session, folder)
                at += len(chunk)

    def _batch(
        self, session: Session, folder: Folder, uids: Sequence[int], listed: Mapping[int, Listed]
    ) -> None:
        """Fetch these, take what came, move on."""
        self._take(self._fetcher.fetch(session, folder, uids, listed))
        self._uid = max(self._uid, uids[-1])
        self._fetcher.done(uids)

    def _take(self, mails: Sequence[tuple[int, Mail]], *, again: bool = False) -> None:
        if not mails:
            return
        cursor = None if again else self._cursor(mails[-1][0])
        events = self._ask(self._taker.take(self.account, [mail for _, mail in mails], cursor, again=again))
        self.read += len(mails)
        for (uid, mail), told in zip(mails, events, strict=True):
            if not mail.why and self._place.done != "nothing" and not self._unmarkable:
                self._unmarked[uid] = tuple(event.event_key for event in told)

    def _cursor(self, uid: int) -> Cursor:
        return Cursor(account=self.account.key, name=self._place.name, value=f"{self._validity}:{uid}")

    # ---------------------------------------------------------------------------------------------------- marking

    def _look_back(self, session: Session, folder: Folder) -> None:
        """Once a start: mails below the cursor that bear no mark were taken, and the process ended before it marked
        them. Whatever the store does not have of them is taken now."""
        self._looked_back = True
        since = self._ask(self._cursors.get(self.account.key, SINCE))
        uids = session.unmarked(self._uid, folder, LEFT_OVER)
        listed = look_up(session, uids) if uids else {}
        if since:
            begin = datetime.fromisoformat(since)
            uids = [uid for uid in uids if uid in listed and (listed[uid].at or begin) >= begin]
        for batch in self._fetcher.batches(uids, listed):
            try:
                self._take(self._fetcher.fetch(session, folder, batch, listed), again=True)
            except Broken as error:  # it was given up once already
                _log.debug("a mail still does not come", account=self.account.key, uid=error.uid)
                self._fetcher.troubles.clear()
                raise Unreachable(str(error)) from error

    def _ready(self) -> list[int]:
        """Those of the unmarked whose every event the store has."""
        self._marked_at = time.monotonic()
        some = dict(list(self._unmarked.items())[:LEFT_OVER])
        keys = [key for held in some.values() for key in held]
        try:
            has = self._ask(self._taker.stored.has(self.account.key, keys))
        except Unavailable:
            return []
        return [uid for uid, held in some.items() if has.issuperset(held)]

    def _mark(self, session: Session, folder: Folder) -> None:
        if not self._unmarked:
            return
        ready = self._ready()
        if not ready:
            return
        why = session.mark(ready, folder)
        for uid in ready:
            del self._unmarked[uid]
        if why:
            self._unmarkable = why
            self._unmarked.clear()
            _log.warning("mails are not marked as done", account=self.account.key, why=why)

    # ----------------------------------------------------------------------------------------------------- telling

    def _note(self, why: str, wait: float = 0.0) -> None:
        """Tell the store how it goes: at once when that changed, else now and then."""
        now = time.monotonic()
        if why == self._said[1] and now - self._said[0] < NOTE_EVERY_S and not wait >= REFUSED_PAUSE_S:
            return
        if why and why != self._said[1]:
            _log.warning(
                "a mailbox cannot be read", account=self.account.key, why=why, again_s=round(wait, 1)
            )
        elif not why and self._said[1] not in ("", "?"):
            _log.info("the mailbox is read again", account=self.account.key)
        self._said = (now, why)
        at = self._clock()
        health = Health(at=at, why=why, next_at=at + timedelta(seconds=wait) if why else None)
        try:
            self._ask(self._taker.stored.note(self.account.key, health))
        except Unavailable:
            self._said = (float("-inf"), why)
        except _Stopped:
            raise
        except Exception:  # the thread would end, and nobody be told
            _log.exception("how reading goes cannot be noted", account=self.account.key)


class _Stopped(Exception):
    """The process ends."""
