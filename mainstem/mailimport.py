"""`mainstem mail import`: mails from files go the way of fetched ones: parsed apart, on disk, to the routers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connectors.mail import files
from connectors.mail.child import Parser
from connectors.mail.taking import Mail, Taker
from hub import blobs as blob_stores
from hub import clock, log
from hub.errors import Refused
from hub.inlet import Inlet
from hub.journal import Journal
from hub.model import Unreadable
from hub.redis import connect_writer
from mainstem import ports
from mainstem.locks import FolderLock
from mainstem.pool import Pool

if TYPE_CHECKING:
    from crm_store.db import Store
    from hub.config import Account
    from hub.settings import Settings

FOLDER = "journal-import"
_BATCH, _BATCH_BYTES = 50, 8 << 20
_QUIET_S = 10.0  # without progress; then it says what it waits for
_RECEIVED_CHARS = 2_000


@dataclass
class Counts:
    """What came of them. waiting: entries on disk that no router has stored yet."""

    new: int = 0
    known: int = 0
    unreadable: int = 0
    waiting: int = 0

    @property
    def mails(self) -> int:
        return self.new + self.known + self.unreadable

    def words(self) -> str:
        many = "" if self.mails == 1 else "s"
        said = f"{self.mails:,} mail{many}: {self.new:,} new, {self.known:,} known, {self.unreadable:,} unreadable"
        if self.unreadable:
            said += " (mainstem quarantine list)"
        if self.waiting:
            said += (
                f". {self.waiting:,} wait on disk for a router; run the same command again to send them on"
            )
        return said + "."


async def run(settings: Settings, url: str, store: Store, account: Account, paths: Sequence[Path]) -> Counts:
    """Take every mail in `paths`. Raises Refused where another import runs in this folder."""
    log.configure("warning", settings.log_format)
    with FolderLock(settings.data / "import.lock") as lock:
        if not lock.take():
            raise Refused(f"another import runs here (process {lock.holder()})")
        journal = Journal.open(settings.data / FOLDER)
        looks, receipts = Pool("store", threads=2), Pool("receipts", threads=1, waiting=4)
        writer, parser = connect_writer(url), Parser()
        inlet = Inlet(journal, writer, ports.StoreReceipts(store, receipts), every_s=0.5)
        stored = ports.StoreStored(store, looks)
        taker = Taker(reads=parser, blobs=blob_stores.of(settings), accept=inlet.accept, stored=stored)
        pump = asyncio.create_task(inlet.run(), name="inlet")
        try:
            counts = await _take_all(account, taker, files.found(paths))
            counts.waiting = await _until_stored(journal, pump)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await parser.close()
            journal.close()
            looks.close()
            receipts.close()
            await writer.aclose()
    return counts


async def _take_all(account: Account, taker: Taker, paths: Sequence[Path]) -> Counts:
    counts, seen = Counts(), set[str]()
    with _bar(paths) as advance:
        for batch in _batches(paths, advance):
            mails = [Mail(raw=raw, received_at=received_at(raw)) for raw in batch]
            # Read once to learn the keys: what the store has is not journalled anew, and counts as known.
            known = await _known(account, taker, mails, seen)
            fresh = [mail for mail, is_known in zip(mails, known, strict=True) if not is_known]
            counts.known += len(mails) - len(fresh)
            for events in await taker.take(account, fresh) if fresh else ():
                if any(isinstance(event, Unreadable) for event in events):
                    counts.unreadable += 1
                else:
                    counts.new += 1
    return counts


async def _known(account: Account, taker: Taker, mails: Sequence[Mail], seen: set[str]) -> list[bool]:
    read = await asyncio.gather(*(taker.reads.parse(m.raw, account, m.received_at) for m in mails))
    keys = [{event.event_key for event in parsed.events} for parsed in read]
    has = await taker.stored.has(account.key, [key for some in keys for key in some])
    out = []
    for some in keys:
        out.append(bool(some) and some <= has | seen)
        seen |= some
    return out


def received_at(raw: bytes) -> datetime:
    """When our server got it, by the topmost Received (RFC 5321, 4.4: the newest stands first); else now."""
    now = clock.system()
    head = (
        raw[:65_536]
        .partition(b"\r\n\r\n")[0]
        .decode("ascii", "replace")
        .replace("\r\n ", " ")
        .replace("\r\n\t", " ")
    )
    line = next((row for row in head.split("\r\n") if row[:9].lower() == "received:"), "")
    said = line[:_RECEIVED_CHARS].rpartition(";")[2].strip()
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return now
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return min(at, now) if at.year > 1990 else now


def _batches(paths: Sequence[Path], advance: Callable[[int], None]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for raw in _every(paths, advance):
        batch.append(raw)
        size += len(raw)
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _every(paths: Sequence[Path], advance: Callable[[int], None]) -> Iterator[bytes]:
    for path in paths:
        if str(path) == "-":
            yield from files.mails(sys.stdin.buffer, advance)
        else:
            with path.open("rb") as stream:
                yield from files.mails(stream, advance)


@contextlib.contextmanager
def _bar(paths: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """A progress bar by bytes where a person looks on; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    total = None if any(str(path) == "-" for path in paths) else sum(path.stat().st_size for path in paths)
    columns: tuple[Any, ...] = (TextColumn("Mails"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("mails", total=total)
        yield lambda size: progress.update(task, advance=size)


async def _until_stored(journal: Journal, pump: asyncio.Task[None]) -> int:
    """Wait for the routers; how many entries still wait once nothing moves for a while."""
    left, quiet = journal.pending, 0.0
    while journal.pending and quiet < _QUIET_S and not pump.done():
        await asyncio.sleep(0.1)
        quiet = quiet + 0.1 if journal.pending == left else 0.0
        left = journal.pending
    if pump.done():
        pump.result()
    if left:
        click.echo("No router stores them now: is `mainstem router` running?", err=True)
    return left
