"""The `pull` process: what nobody brings us is fetched. A thread a mailbox, a task for each account that is polled, one
journal, one pump to the stream.

One is enough. A second one reads every mailbox twice and changes nothing, since the same mail has the same event key;
but of two that poll one bot, Telegram serves only the later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import uvloop

from connectors import CONNECTORS, accounts, polling
from connectors.base import Wire
from connectors.http import guarded_session
from connectors.kept import FOLDER as KEPT
from connectors.kept import Kept
from connectors.mail.child import Parser
from connectors.mail.oauth import Tokens
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from crm_store import sources
from hub import blobs as blob_stores
from hub import clock, log
from hub.blobs import Reader
from hub.config import Account, Config
from hub.errors import Unavailable
from hub.inlet import Inlet
from hub.journal import Journal
from hub.redis import connect_writer
from hub.secrets import load_key
from hub.settings import Settings
from mainstem import ports, processes
from mainstem.pool import Pool

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from crm_store.db import Store

_log = log.get("pull")

FOLDER = "journal-pull"  # a producer of its own, beside the edge's
LOOK_EVERY_S = 1.0  # a changed configuration is followed within that
END_S = 5.0


def main(settings: Settings) -> int:
    """Run until told to stop. Without anything to fetch it waits for that: a Procfile names every process."""
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "pull")
    store = processes.open_store(settings, stop, "pull")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(settings, url, store, stop))
    store.close()
    return processes.end(code)


def pulled(config: Config, settings: Settings) -> dict[str, Account]:
    """The accounts that are pulled: switched on, in order, mailboxes with a server or accounts that are polled."""
    good, _ = accounts.resolve(config, os.environ, load_key(settings))
    return {key: account for key, account in good.items() if accounts.pulled(account)}


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> int:
    journal = Journal.open(settings.data / FOLDER)

    def wanted(config: Config) -> Mapping[str, Account]:
        return pulled(config, settings)

    follower = await asyncio.to_thread(processes.follow, store, wanted, stop, "pull")
    looks, receipts = Pool("store", threads=4), Pool("receipts", threads=1, waiting=4)
    writer, parser = connect_writer(url), Parser(processes=min(os.cpu_count() or 1, 2))
    inlet = Inlet(journal, writer, ports.StoreReceipts(store, receipts))
    files, cursors, stored = (
        blob_stores.of(settings),
        ports.StoreCursors(store, looks),
        ports.StoreStored(store, looks),
    )
    taker = Taker(reads=parser, blobs=files, accept=inlet.accept, stored=stored)
    pump = asyncio.create_task(inlet.run(), name="inlet")
    # Every account that is polled holds a connection for as long as a look lasts.
    async with guarded_session(allow_private=settings.allow_private_targets, connections=0) as http:
        kept = Kept(settings.data / KEPT)
        threads = Threads(taker, cursors, Tokens(http, kept), store)

        def wire() -> Wire:
            return Wire(
                http=http,
                redis=writer,
                blobs=Reader(files),
                public_url=settings.public_address,
                now=clock.system(),
                kept=kept,
            )

        polls = polling.Pollers(
            polling.Reader(
                cursors=cursors,
                accept=inlet.accept,
                blobs=files,
                notes=stored,
                wire=wire,
                connectors=CONNECTORS,
            ),
            lambda key: _forget(store, key),
        )
        _log.info("ready", accounts=len(follower.get()))
        processes.settle()
        try:
            while not stop.is_set():
                mail, rest = _apart(follower.get())
                await threads.follow(mail)
                await polls.follow(rest)
                done, _ = await asyncio.wait({pump}, timeout=LOOK_EVERY_S)
                if done:
                    stop.set()
                    pump.result()
        finally:
            await polls.end()
            await threads.end()
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await parser.close()
            journal.close()
            follower.close()
            for pool in (looks, receipts):
                pool.close()
            await writer.aclose()
    return 0


def _apart(accounts_: Mapping[str, Account]) -> tuple[dict[str, Account], dict[str, Account]]:
    """(mailboxes, accounts that are polled)."""
    mail = {key: account for key, account in accounts_.items() if account.connector == "mail"}
    return mail, {key: account for key, account in accounts_.items() if key not in mail}


async def _forget(store: Store, key: str) -> None:
    """Nobody asks any more how reading it goes."""
    with contextlib.suppress(Unavailable):
        await asyncio.to_thread(store.run, lambda tx: sources.forget(tx, key))


class Threads:
    """One mailbox a thread, as the configuration has them; one that changed begins anew."""

    def __init__(self, taker: Taker, cursors: ports.StoreCursors, tokens: Tokens, store: Store) -> None:
        self._taker, self._cursors, self._tokens, self._store = taker, cursors, tokens, store
        self._running: dict[str, Mailbox] = {}

    async def follow(self, wanted: Mapping[str, Account]) -> None:
        """Start and stop what differs. Does nothing where nothing does."""
        over = [key for key, box in self._running.items() if wanted.get(key) != box.account]
        if over:
            await self._end(over)
        for key in over:
            if key not in wanted:
                await _forget(self._store, key)
        for key, account in wanted.items():
            if key not in self._running:
                box = Mailbox(account, self._taker, self._cursors, self._tokens, asyncio.get_running_loop())
                self._running[key] = box
                box.start()

    async def end(self) -> None:
        await self._end(list(self._running))

    async def _end(self, keys: list[str]) -> None:
        ending = {key: self._running.pop(key) for key in keys}
        for box in ending.values():
            box.stop()
        ended = await asyncio.gather(*(asyncio.to_thread(box.join, END_S) for box in ending.values()))
        for key, done in zip(ending, ended, strict=True):
            if not done:  # it hangs in a server that does not answer; what it has accepted is on disk
                _log.warning("a mailbox's thread does not end yet", account=key)
