"""The `pull` process: what nobody brings us is fetched. A thread a mailbox, one journal, one pump to the stream.

One is enough; a second one reads everything twice and changes nothing, since the same mail has the same event key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import uvloop

from connectors import accounts
from connectors.http import guarded_session
from connectors.kept import FOLDER as KEPT
from connectors.kept import Kept
from connectors.mail.child import Parser
from connectors.mail.oauth import Tokens
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from crm_store import sources
from hub import blobs as blob_stores
from hub import log
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
    """Run until told to stop. Without a mailbox it waits for one: a Procfile names every process."""
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "pull")
    store = processes.open_store(settings, stop, "pull")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(settings, url, store, stop))
    store.close()
    return processes.end(code)


def mailboxes(config: Config, settings: Settings) -> dict[str, Account]:
    """The accounts that are pulled: switched on, in order, with a server to pull from."""
    good, _ = accounts.resolve(config, os.environ, load_key(settings))
    return {key: account for key, account in good.items() if accounts.pulled(account)}


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> int:
    journal = Journal.open(settings.data / FOLDER)

    def wanted(config: Config) -> Mapping[str, Account]:
        return mailboxes(config, settings)

    follower = await asyncio.to_thread(processes.follow, store, wanted, stop, "pull")
    looks, receipts = Pool("store", threads=4), Pool("receipts", threads=1, waiting=4)
    writer, parser = connect_writer(url), Parser(processes=min(os.cpu_count() or 1, 2))
    inlet = Inlet(journal, writer, ports.StoreReceipts(store, receipts))
    taker = Taker(
        reads=parser,
        blobs=blob_stores.of(settings),
        accept=inlet.accept,
        stored=ports.StoreStored(store, looks),
    )
    pump = asyncio.create_task(inlet.run(), name="inlet")
    async with guarded_session(allow_private=settings.allow_private_targets) as http:
        tokens = Tokens(http, Kept(settings.data / KEPT))
        threads = Threads(taker, ports.StoreCursors(store, looks), tokens, store)
        _log.info("ready", mailboxes=len(follower.get()))
        processes.settle()
        try:
            while not stop.is_set():
                await threads.follow(follower.get())
                done, _ = await asyncio.wait({pump}, timeout=LOOK_EVERY_S)
                if done:
                    stop.set()
                    pump.result()
        finally:
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
                with contextlib.suppress(Unavailable):
                    await asyncio.to_thread(self._store.run, lambda tx, key=key: sources.forget(tx, key))
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
