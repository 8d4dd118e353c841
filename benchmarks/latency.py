"""latency: 200 messages a second through the whole way in of a running hub, from accepted to queued.

An open loop of signed webhooks against `mainstem up` (real processes, SQLite, embedded Valkey). For every message: from
`accepted_at`, which the edge writes as it takes it, to the moment when another process sees its row committed, found
by looking every 5 ms; that is in the figure. The ledger must have every message before anything is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import threading
import time
from pathlib import Path

import aiohttp

from benchmarks.common import Bench, Figures, LedgerBroken, folder
from benchmarks.start import Running, hub
from connectors import signing

LOOK_S = 0.005
WORDS = ("Where is my invoice?", "It does not work.", "What is the price?", "Hello again.", "Thank you!")


class Watch:
    """Sees rows of intake as they are committed. One that comes 3 s after its successors breaks the run."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._stop = threading.Event()
        self.seen: dict[tuple[str, int], float] = {}  # entry -> seconds from accepted to seen
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        since_us = time.time_ns() // 1000
        newest_us = since_us
        while not self._stop.wait(LOOK_S):
            rows = connection.execute(
                "SELECT producer, seq, accepted_at FROM intake WHERE accepted_at > ?",
                (newest_us - 3_000_000,),
            ).fetchall()
            now_us = time.time_ns() // 1000
            for producer, seq, accepted_us in rows:
                if accepted_us >= since_us:
                    self.seen.setdefault((producer, seq), (now_us - accepted_us) / 1e6)
                    newest_us = max(newest_us, accepted_us)
        connection.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


async def send(running: Running, per_s: int, seconds: float, customers: int) -> int:
    """An open loop: every message leaves at its time, whether those before it were answered or not."""
    secret = running.mainstem("secret", "webhook/main").strip()
    url = f"{running.edge}/in/webhook/main"
    chance = random.Random(7)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as http:

        async def one(number: int) -> None:
            who = f"c{chance.randrange(customers)}@example.com"
            said = {"id": f"m{number}", "from": {"email": who}, "text": chance.choice(WORDS)}
            body = json.dumps(said).encode()
            headers = {signing.HEADER: signing.sign(secret, body, int(time.time()))}
            async with http.post(url, data=body, headers=headers) as answer:
                if answer.status != 200:
                    raise LedgerBroken(f"the edge answered {answer.status}: {await answer.text()}")

        began = asyncio.get_running_loop().time()
        count = int(per_s * seconds)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / per_s - asyncio.get_running_loop().time()))
                group.create_task(one(number))
    return count


def once(options: argparse.Namespace) -> Figures:
    with folder("latency") as place, hub(place) as running:
        time.sleep(2.0)
        watch = Watch(place / "var" / "mainstem.db")
        count = asyncio.run(send(running, options.per_s, options.seconds, options.customers))
        sums = running.ledger()
        time.sleep(0.1)
        watch.close()
        if sums["stored"] != count or len(watch.seen) != count:
            raise LedgerBroken(
                f"{count} were accepted, the ledger says {sums}, and {len(watch.seen)} were seen"
            )
        taken = sorted(watch.seen.values())
    return {"p50_ms": taken[count // 2] * 1000, "p99_ms": taken[int(count * 0.99)] * 1000, "messages": count}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--per-s", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--customers", type=int, default=1000)


BENCH = Bench(
    name="latency",
    about="accepted to queued, 200 messages a second through a running hub",
    run=once,
    aims={"p99_ms": "under 250"},
    options=options,
)

if __name__ == "__main__":
    BENCH.main()
