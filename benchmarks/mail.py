"""mail: 2,000 mixed mails from a mailbox to queued conversations, through a running hub.

A real IMAP server (Dovecot where it is installed, else pymap), `mainstem up` with its pull process, SQLite. per_s: from
the moment the account is switched on to the last row, everything between included: fetching, reading in the child
process, blobs, journal, stream, router, store. p99_ms: one mail that arrives while the mailbox rests, from its delivery
to its row. rss_growth_mb: the pull process and its children after the 2,000, against after the first 500. The mails are
the corpus of the tests, each time with another Message-ID; the ledger must hold every event that they come to.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.common import Bench, Figures, LedgerBroken, folder
from benchmarks.start import ROOT, Running, hub
from connectors.mail import mime
from tests.connectors.mail.corpus import ACCOUNT, samples
from tests.servers import NotAvailable
from tests.servers.imap import PASSWORD, USER, Dovecot, Imap, Pymap

KEY = "mail/bench"
FIRST = 500  # read before anything is measured
GAP_S = 0.1
_CONFIG = """
  mail/bench:
    enabled: {enabled}
    title: Benchmark
    address: support@example.com
    settings:
      imap: {{host: 127.0.0.1, port: {port}, tls: none, user: {user}, folder: {folder}, from: all}}
    secrets: {{password: BENCH_MAIL_PASSWORD}}
"""


def server() -> Imap:
    try:
        return Dovecot()
    except NotAvailable:
        return Pymap()


def mails(count: int, start: int) -> tuple[list[bytes], int]:
    """So many different mails, and how many events they come to."""
    kinds = [one.raw for one in samples() if one.raw.strip()]
    made, events = [], 0
    for number in range(start, start + count):
        raw = b"X-Number: %d\r\n" % number + kinds[number % len(kinds)].replace(
            b"Message-ID: <", b"Message-ID: <%d." % number
        )
        made.append(raw)
        events += len(mime.read(raw, ACCOUNT, datetime.now(UTC)).events)
    return made, events


class Rows:
    """What the store has of the account."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def count(self) -> tuple[int, float]:
        """(rows, when the last was stored)."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True) as connection:
            query = "SELECT count(*), coalesce(max(stored_at), 0) FROM intake WHERE account = ?"
            number, at_us = connection.execute(query, (KEY,)).fetchone()
        return int(number), at_us / 1e6

    def wait(self, number: int, within_s: float) -> float:
        """Until there are so many; when the last was stored."""
        until = time.monotonic() + within_s
        while True:
            have, at = self.count()
            if have >= number:
                return at
            if time.monotonic() > until:
                raise LedgerBroken(f"{have} of {number} events are in the store after {within_s:g} s")
            time.sleep(0.02)


def pull(running: Running) -> psutil.Process:
    """The process that fetches mail."""
    for one in psutil.Process(running.process.pid).children(recursive=True):
        if one.cmdline()[-2:] == ["mainstem", "pull"] or one.cmdline()[-1:] == ["pull"]:
            return one
    raise LedgerBroken("no pull process runs")


def rss_mb(process: psutil.Process) -> float:
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


def once(options: argparse.Namespace) -> Figures:
    os.environ["BENCH_MAIL_PASSWORD"] = PASSWORD
    with folder("mail") as place, server() as imap:
        box = imap.box()
        shutil.copytree(ROOT / "config", place / "config")
        channels = place / "config" / "channels.yaml"
        before = channels.read_text()

        def switch(*, on: bool) -> None:
            said = _CONFIG.format(enabled=str(on).lower(), port=imap.port, user=USER, folder=box)
            channels.write_text(before.rstrip() + "\n" + said)

        switch(on=True)
        with hub(place) as running:
            rows = Rows(place / "var" / "mainstem.db")
            some, expected = mails(FIRST, 0)
            imap.put(box, *some)
            rows.wait(expected, 120)
            small = rss_mb(pull(running))
            switch(on=False)
            running.mainstem("config", "apply")
            time.sleep(2.0)
            many, more = mails(options.mails, FIRST)
            imap.put(box, *many)
            began = time.time()
            switch(on=True)
            running.mainstem("config", "apply")
            expected += more
            took = rows.wait(expected, 300) - began
            grown = rss_mb(pull(running)) - small
            waits = single(imap, box, rows, expected, options.single)
            sums = running.ledger()
    if sums["duplicates"]:
        raise LedgerBroken(f"no mail was there twice, and the ledger says {sums}")
    return {
        "per_s": options.mails / took,
        "p99_ms": waits[int(len(waits) * 0.99)] * 1000,
        "p50_ms": waits[len(waits) // 2] * 1000,
        "rss_growth_mb": grown,
        "mails": options.mails,
    }


def single(imap: Imap, box: str, rows: Rows, have: int, count: int) -> list[float]:
    """Seconds from a mail's delivery to its row, sorted, for mails that come one at a time."""
    waits = []
    made, _ = mails(count, 1_000_000)
    for raw in made:
        have += len(mime.read(raw, ACCOUNT, datetime.now(UTC)).events)
        began = time.time()
        imap.put(box, raw)
        waits.append(rows.wait(have, 60) - began)
        time.sleep(GAP_S)
    return sorted(waits)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--single", type=int, default=100)


BENCH = Bench(
    name="mail",
    about="2,000 mixed mails from a mailbox to queued conversations",
    run=once,
    aims={"per_s": "at least 100"},
    options=options,
)

if __name__ == "__main__":
    BENCH.main()
