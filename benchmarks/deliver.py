"""The way out: 5,000 replies over 10 accounts to a provider that takes 20 ms, against a bare client with as many
requests in flight as the provider saw of ours; and whether an account that hangs, or that may send once a second,
delays the others.

Everything is what production runs: the webhook connector, the drain, SQLite (or --database URL), buckets in Valkey.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import redis
import sqlalchemy as sa
import uvloop

from benchmarks import common
from benchmarks.common import Figures, folder
from connectors.base import Wire
from crm_store.db import Store
from crm_store.migrate import migrate
from crm_store.schema import conversations, deliveries, identities, interactions
from hub import clock
from hub.config import Account
from hub.ids import Ids
from mainstem.processes import settle
from tests.servers.valkey import Valkey
from workers.context import session
from workers.drain import Drain
from workers.lane import Tuning
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


def _reply(
    ids: Ids, account: str, due_at: datetime, now: datetime
) -> tuple[int, dict[sa.Table, dict[str, Any]]]:
    """A queued reply with its conversation: (its delivery, a row a table)."""
    identity, conversation, interaction, delivery = ids.take(4)
    number = next(_numbers)
    urn = f"webhook:customer-{identity}"
    seen = {"brand_id": "acme", "first_seen_at": now, "last_seen_at": now}
    return delivery, {
        identities: {"id": identity, "urn": urn, "customer_id": identity, **seen},
        conversations: {
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
        },
        interactions: {
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
        },
        deliveries: {
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
        },
    }


def fill(store: Store, replies: list[tuple[str, datetime]]) -> dict[int, tuple[str, datetime]]:
    """One conversation and one queued reply for each (account, due); delivery -> these."""
    ids, now = store.ids, clock.system()
    rows: dict[sa.Table, list[dict[str, Any]]] = defaultdict(list)
    made: dict[int, tuple[str, datetime]] = {}
    for account, due_at in replies:
        delivery, row_of = _reply(ids, account, due_at, now)
        for table, row in row_of.items():
            rows[table].append(row)
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
        self.store.ids.take(1)  # leases its slot now, outside of any transaction
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
        names = {f"a{n}": (300.0, 1000) for n in range(ACCOUNTS)}
        mine = accounts(self.url, names)
        keys = list(mine)
        now = clock.system()
        made = fill(self.store, [(keys[n % ACCOUNTS], now) for n in range(count)])
        async with session(allow_private=True) as http:
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
        async with session(allow_private=True) as http:
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


async def measure(bench: Bench, options: argparse.Namespace) -> Figures:
    """One repetition: ours and the bare client in turn, then the quiet accounts alone and beside the troubled ones."""
    await bench.ours(min(500, options.replies))  # warm
    await bench.bare(500, bench.peak)
    settle()  # as a worker does; both sides are in this process
    ours = await bench.ours(options.replies)
    in_flight = bench.peak
    bare = await bench.bare(options.replies, in_flight)
    alone, _ = await bench.steady(options.seconds, options.per_s, trouble=False)
    beside, slow = await bench.steady(options.seconds, options.per_s, trouble=True)
    return {
        "ratio_to_bare": bare / ours,
        "per_s": options.replies / ours,
        "p99_ratio": beside / alone,
        "rate_error": abs((len(slow) - 1) / (slow[-1] - slow[0]) - 1.0),
        "bare_per_s": options.replies / bare,
        "in_flight": in_flight,
        "p99_alone_ms": alone * 1000,
        "p99_beside_ms": beside * 1000,
    }


def run(options: argparse.Namespace) -> Figures:
    with folder("deliver") as here, provider() as url, Valkey() as valkey:
        database = options.database or f"sqlite:///{here / 'bench.db'}"
        migrate(database)
        bench = Bench(url, valkey, database)
        try:
            return uvloop.run(measure(bench, options))
        finally:
            bench.close()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replies", type=int, default=REPLIES, metavar="N")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady load, each time")
    parser.add_argument("--per-s", type=float, default=160.0, help="replies a second of the steady load")
    parser.add_argument(
        "--database", help="a fresh, empty database; SQLite in a folder of its own unless given"
    )


BENCH = common.Bench(
    name="deliver",
    about="replies over 10 accounts to a provider that takes 20 ms, against a bare client; a hung account beside 8",
    run=run,
    aims={
        "ratio_to_bare": "at least 0.7",
        "p99_ratio": "at most 1.2",
        "rate_error": "at most 0.05",
    },
    options=_options,
)

if __name__ == "__main__":
    provide() if sys.argv[1:] == ["--provider"] else BENCH.main()
