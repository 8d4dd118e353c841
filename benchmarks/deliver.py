"""The way out: 5,000 replies over 10 accounts to a provider that takes 20 ms, against a bare client with as many
requests in flight as the provider saw of ours; and whether an
account that hangs, or that may send once a second, delays the others.

Everything is what production runs: the webhook connector, the drain, SQLite (or --database URL), buckets in Valkey.
`python -m benchmarks.deliver [--json] [--quick] [--database URL]`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import redis
import sqlalchemy as sa
import uvloop

from connectors.base import Wire
from connectors.http import guarded_session
from crm_store.db import Store
from crm_store.migrate import migrate
from crm_store.schema import conversations, deliveries, identities, interactions
from hub import clock
from hub.config import Account
from tests.servers.valkey import Valkey
from workers.drain import Drain, Tuning
from workers.rates import Rates

REPLIES = 5000
ACCOUNTS = 10
TAKES_S = 0.02
TEXT = "Your parcel left our warehouse this morning and arrives tomorrow before noon. " * 3
_SECRET = "a signing secret of the length that real ones have, too"
_numbers = itertools.count(1)


# ------------------------------------------------------------------------------------------------- the provider


def provide() -> None:
    """The provider's process: prints its port, answers POST after 20 ms, never for "hung"; GET /got tells what came."""
    from aiohttp import web

    got: list[tuple[str, str, float]] = []
    now, peak = 0, 0

    async def post(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        at = body.find(b'"delivery":"') + 12
        delivery = body[at : body.index(b'"', at)].decode()
        account = request.match_info["account"]
        got.append((account, delivery, time.time()))
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        try:
            await asyncio.sleep(3600 if account == "hung" else TAKES_S)
        finally:
            now -= 1
        return web.Response(body=b'{"id":"x%s"}' % delivery.encode(), content_type="application/json")

    async def tell(request: web.Request) -> web.StreamResponse:
        nonlocal peak
        said = web.json_response({"got": list(got), "peak": peak})
        got.clear()
        peak = 0
        return said

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/got", tell)
        app.router.add_post("/to/{account}", post)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)  # ends with whoever started us
        await runner.cleanup()

    uvloop.run(serve())


@contextmanager
def provider() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.deliver", "--provider"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            assert process.stdin is not None
            process.stdin.close()


# ------------------------------------------------------------------------------------------------- the outbox


def accounts(url: str, names: Mapping[str, tuple[float, int]]) -> dict[str, Account]:
    return {
        f"webhook/{name}": Account(
            key=f"webhook/{name}",
            connector="webhook",
            name=name,
            brand="acme",
            title=name,
            settings={"url": f"{url}/to/{name}"},
            secrets={"signing": (_SECRET,)},
            rate_per_s=rate,
            burst=burst,
        )
        for name, (rate, burst) in names.items()
    }


def fill(store: Store, replies: list[tuple[str, datetime]]) -> dict[int, tuple[str, datetime]]:
    """One conversation and one queued reply for each (account, due); delivery -> these."""
    ids, now = store.ids, clock.system()
    rows: dict[sa.Table, list[dict[str, Any]]] = defaultdict(list)
    made: dict[int, tuple[str, datetime]] = {}
    for account, due_at in replies:
        identity, conversation, interaction, delivery = ids.take(4)
        number = next(_numbers)
        urn = f"webhook:customer-{identity}"
        seen = {"brand_id": "acme", "first_seen_at": now, "last_seen_at": now}
        rows[identities].append({"id": identity, "urn": urn, "customer_id": identity, **seen})
        rows[conversations].append(
            {
                "id": conversation,
                "number": number,
                "brand_id": "acme",
                "customer_id": identity,
                "account": account,
                "identity_id": identity,
                "state": "open",
                "slot": f"c:{identity}",
                "queue": "general",
                "priority": "normal",
                "head_start_s": 0.0,
                "opened_at": now,
                "last_at": now,
            }
        )
        rows[interactions].append(
            {
                "id": interaction,
                "conversation_id": conversation,
                "identity_id": identity,
                "account": account,
                "direction": "out",
                "form": "message",
                "text": TEXT,
                "by": "agent:bo",
                "at": now,
                "received_at": now,
            }
        )
        rows[deliveries].append(
            {
                "id": delivery,
                "interaction_id": interaction,
                "conversation_id": conversation,
                "account": account,
                "to_urn": urn,
                "idem_key": f"k{delivery}",
                "state": "queued",
                "due_at": due_at,
                "created_at": now,
                "updated_at": now,
                "by": "agent:bo",
            }
        )
        made[delivery] = (account, due_at)

    def work(tx: sa.Connection) -> None:
        for table, values in rows.items():
            tx.execute(sa.insert(table), values)

    store.run(work)
    return made


def all_sent(store: Store, made: Mapping[int, Any], got: list[tuple[str, str, float]]) -> None:
    """The ledger: every reply is noted as sent, and reached the provider exactly once."""
    with store.read() as tx:
        states = dict(tx.execute(sa.select(deliveries.c.id, deliveries.c.state)).all())
    wrong = Counter(states[delivery] for delivery in made if states[delivery] != "sent")
    times = Counter(delivery for _, delivery, _ in got)
    twice = [delivery for delivery, count in times.items() if count > 1]
    missing = [delivery for delivery in made if str(delivery) not in times]
    if wrong or twice or missing:
        raise SystemExit(f"the ledger is not clean: {wrong=} {len(twice)=} {len(missing)=}")


class Bench:
    def __init__(self, url: str, valkey: Valkey, database: str) -> None:
        self.url = url
        self.store = Store.open(database)
        assert self.store.ids
        client = valkey.client()
        self.redis: redis.Redis = client
        self.rates = Rates(client)
        self.peak = 1  # how many the provider had in hand at once

    async def got(self, http: aiohttp.ClientSession) -> list[tuple[str, str, float]]:
        async with http.get(f"{self.url}/got") as response:
            said = await response.json()
        self.peak = int(said["peak"])
        return [(account, delivery, at) for account, delivery, at in said["got"]]

    async def ours(self, count: int) -> float:
        """Seconds for `count` replies, from the first claim to the last commit."""
        names = {f"a{n}": (500.0, 50) for n in range(ACCOUNTS)}
        mine = accounts(self.url, names)
        keys = list(mine)
        now = clock.system()
        made = fill(self.store, [(keys[n % ACCOUNTS], now) for n in range(count)])
        async with guarded_session(allow_private=True) as http:
            drain = Drain(
                self.store,
                lambda: mine,
                rates=self.rates,
                wire=lambda: self._wire(http),
                owner="bench",
                tuning=Tuning(lasts_s=60.0),
            )
            began = time.perf_counter()
            await drain.run()
            took = time.perf_counter() - began
            all_sent(self.store, made, await self.got(http))
        return took

    async def bare(self, count: int, in_flight: int) -> float:
        """The same number of the same bodies through aiohttp alone."""
        body = json.dumps({"delivery": "0123456789012345678", "to": "webhook:customer", "text": TEXT})
        left = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

            async def one() -> None:
                for n in left:
                    target = f"{self.url}/to/a{n % ACCOUNTS}"
                    headers = {"Content-Type": "application/json"}
                    async with http.post(target, data=body, headers=headers) as response:
                        await response.read()

            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(in_flight)))
            took = time.perf_counter() - began
            await self.got(http)
        return took

    async def steady(self, seconds: float, per_s: float, *, trouble: bool) -> tuple[float, list[float]]:
        """(p99 in seconds from due to the provider of 8 quiet accounts, arrival times of the one at 1/s)."""
        names = {f"q{n}": (1000.0, 100) for n in range(8)}
        begins = clock.system() + timedelta(seconds=0.5)
        replies = [
            (f"webhook/q{n % 8}", begins + timedelta(seconds=n / per_s)) for n in range(int(seconds * per_s))
        ]
        if trouble:
            names |= {"hung": (1000.0, 100), "slow": (1.0, 1)}
            replies += [("webhook/hung", begins)] * 300 + [("webhook/slow", begins)] * (int(seconds) + 5)
        mine = accounts(self.url, names)
        made = fill(self.store, replies)
        async with guarded_session(allow_private=True) as http:
            drain = Drain(
                self.store,
                lambda: mine,
                rates=self.rates,
                wire=lambda: self._wire(http),
                owner="bench",
                stopping=lambda: clock.system() > begins + timedelta(seconds=seconds + 1),
                tuning=Tuning(lasts_s=seconds + 5, stop_s=0.2),
            )
            await drain.run()
            got = await self.got(http)
        quiet = {d: v for d, v in made.items() if v[0].startswith("webhook/q")}
        all_sent(self.store, quiet, got)
        waits = sorted(at - made[int(d)][1].timestamp() for _, d, at in got if int(d) in quiet)
        slow = sorted(at for account, _, at in got if account == "slow")
        with self.store.engine.begin() as tx:  # the hung ones would be looked for in the next run
            tx.execute(sa.delete(deliveries))
        return waits[int(len(waits) * 0.99)], slow

    def _wire(self, http: aiohttp.ClientSession) -> Wire:
        return Wire(
            http=http, redis=None, blobs=_NoBlobs(), public_url="http://localhost", now=clock.system()
        )

    def close(self) -> None:
        self.redis.close()
        self.store.close()


class _NoBlobs:
    async def read(self, sha256: str) -> bytes:
        raise FileNotFoundError(sha256)


async def measure(bench: Bench, *, quick: bool) -> dict[str, float]:
    count, rounds, seconds = (1000, 1, 5.0) if quick else (REPLIES, 5, 20.0)
    await bench.ours(500)  # warm
    await bench.bare(500, bench.peak)
    ratios, speeds = [], []
    for _ in range(rounds):
        ours = await bench.ours(count)
        in_flight = bench.peak
        bare = await bench.bare(count, in_flight)
        ratios.append(bare / ours)
        speeds.append(count / ours)
        print(
            f"bare {count / bare:.0f}/s, ours {count / ours:.0f}/s with {in_flight} in flight: {bare / ours:.2f}",
            file=sys.stderr,
        )
    p99s, errors = [], []
    for _ in range(1 if quick else 3):
        alone, _ = await bench.steady(seconds, 160.0, trouble=False)
        beside, slow = await bench.steady(seconds, 160.0, trouble=True)
        p99s.append(beside / alone)
        errors.append(abs((len(slow) - 1) / (slow[-1] - slow[0]) - 1.0))
        print(f"p99 alone {alone * 1000:.1f} ms, beside {beside * 1000:.1f} ms", file=sys.stderr)
    return {
        "ratio_to_bare": round(statistics.median(ratios), 3),
        "per_s": round(statistics.median(speeds)),
        "p99_ratio": round(statistics.median(p99s), 3),
        "rate_error": round(max(errors), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--provider", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--database", help="a fresh, empty database; SQLite in a temporary folder unless given"
    )
    options = parser.parse_args()
    if options.provider:
        provide()
        return
    with tempfile.TemporaryDirectory() as folder, provider() as url, Valkey() as valkey:
        database = options.database or f"sqlite:///{Path(folder) / 'bench.db'}"
        migrate(database)
        bench = Bench(url, valkey, database)
        figures = uvloop.run(measure(bench, quick=options.quick))
        bench.close()
    print(json.dumps({"name": "deliver", "figures": figures}, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
