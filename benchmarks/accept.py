"""Signed webhooks of 600 bytes into journal and stream: what one costs, how long it takes, and whether any is lost.

What is measured is `mainstem web` itself, over SQLite and Valkey, with its metrics, limits and recovery; no router
runs, so that journal and stream keep all of it and the run can count it. The load comes from this process over the
loopback, on a bounded number of kept connections; requests are made and signed beforehand, so that the two servers are
loaded alike. Besides our own webhook's JSON, which the first figures are of, a Twilio SMS, a Telegram update and a
WhatsApp batch of 100 go the same way (benchmarks/accept_providers.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import redis

from benchmarks import accept_providers, common
from benchmarks.start import ROOT, free_port, is_ready
from connectors import signing
from hub.codec import decode
from hub.model import MessageReceived
from hub.parts import KEYS
from tests.servers.valkey import Valkey

BODY_BYTES = 600
IN_FLIGHT = 64
CUSTOMERS = 2_000  # who write again and again; a number never seen before costs 40 µs more, once (hub/urn.py)
ROUND = 2_000  # requests a round, half a second or less: the machine's mood is in both of a pair
ROUNDS = 12
PROVIDER_ROUNDS = 8  # of each provider's
# What the edge takes from one account in the long run (connectors.edge.Limits); rounds wait for it, the burst allowed
# on top is for the burst.
ACCOUNT_PER_S = 2_000
ACCOUNT = "webhook/main"
_numbers = count(1)
Maker = Callable[[int, int], accept_providers.Made]


def request(secret: str, at: int) -> tuple[str, bytes]:
    """(event key, a whole HTTP request)."""
    number = next(_numbers)
    key = f"bench-{number}"
    said = {
        "id": key,
        "from": f"tel:+1415555{number % CUSTOMERS:04}",
        "subject": "Order",
        "sent_at": "2026-11-21T10:00:00Z",
        "text": "",
    }
    said["text"] = ("My parcel has not come. " * 40)[: BODY_BYTES - len(json.dumps(said))]
    body = json.dumps(said).encode()
    head = (
        f"POST /in/{ACCOUNT} HTTP/1.1\r\nHost: hub.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\n{signing.HEADER}: {signing.sign(secret, body, at)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return key, head.encode() + body


class Line:
    """One kept connection that asks and waits for the answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, whole: bytes) -> int:
        """The status."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(whole)
        head = await self._reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        await self._reader.readexactly(int(head[at : head.index(b"\r", at)]))
        return int(head[9:12])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def closed_loop(port: int, requests: list[bytes]) -> list[int]:
    """Every request as soon as a connection is free."""
    waiting = iter(requests)
    statuses: list[int] = []

    async def work() -> None:
        line = Line(port)
        for whole in waiting:
            statuses.append(await line.ask(whole))
        line.close()

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return statuses


async def open_loop(port: int, requests: list[bytes], per_s: float) -> tuple[list[int], list[float]]:
    """Requests at their times, whatever the answers do; seconds are counted from the time each was due."""
    free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
    for _ in range(256):
        free.put_nowait(Line(port))
    statuses: list[int] = []
    took: list[float] = []

    async def one(whole: bytes, due: float) -> None:
        line = await free.get()
        statuses.append(await line.ask(whole))
        took.append(time.perf_counter() - due)
        free.put_nowait(line)

    started = time.perf_counter()
    tasks = []
    for number, whole in enumerate(requests):
        due = started + number / per_s
        if (rest := due - time.perf_counter()) > 0:
            await asyncio.sleep(rest)
        tasks.append(asyncio.create_task(one(whole, due)))
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait().close()
    return statuses, took


@contextmanager
def edge(place: Path, redis_url: str) -> Iterator[tuple[int, psutil.Process, str]]:
    """(port, process, the account's secret) of a `mainstem web` over `place`, ready."""
    shutil.copytree(ROOT / "config", place / "config")
    accept_providers.add_accounts(place / "config")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    env.pop("DATABASE_URL", None)
    env |= {"REDIS_URL": redis_url, "PORT": str(free_port()), "MAINSTEM_LOG_LEVEL": "warning"}
    env |= accept_providers.ENVIRONMENT
    mainstem = [sys.executable, "-m", "mainstem"]
    subprocess.run([*mainstem, "release"], cwd=place, env=env, check=True, stdout=sys.stderr)
    with subprocess.Popen([*mainstem, "web"], cwd=place, env=env, stdout=sys.stderr) as child:
        try:
            while not is_ready(f"http://127.0.0.1:{env['PORT']}/readyz"):
                if child.poll() is not None:
                    raise RuntimeError("mainstem web ended at once")
                time.sleep(0.02)
            told = subprocess.run(
                [*mainstem, "secret", ACCOUNT], cwd=place, env=env, check=True, capture_output=True
            )
            yield int(env["PORT"]), psutil.Process(child.pid), told.stdout.decode().strip()
        finally:
            child.terminate()


@contextmanager
def bare() -> Iterator[tuple[int, psutil.Process]]:
    """(port, process) of benchmarks/accept_server.py."""
    command = [sys.executable, "-m", "benchmarks.accept_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            url = child.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"{command} ended at once")
            yield int(url.rpartition(":")[2]), psutil.Process(child.pid)
        finally:
            child.terminate()


def cpu_s(process: psutil.Process) -> float:
    """Of all its threads. Linux counts nanoseconds for each; elsewhere the clock ticks at 10 ms."""
    try:
        tasks = Path(f"/proc/{process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        times = process.cpu_times()
        return times.user + times.system


def run(options: argparse.Namespace) -> common.Figures:
    with (
        common.folder("accept") as folder,
        Valkey() as valkey,
        edge(folder, valkey.url) as (port, process, secret),
        bare() as theirs,
    ):
        return measured((port, process), theirs, secret, valkey, options)


def measured(
    ours: tuple[int, psutil.Process],
    theirs: tuple[int, psutil.Process],
    secret: str,
    valkey: Valkey,
    options: argparse.Namespace,
) -> common.Figures:
    sent: set[tuple[str, str]] = set()

    def make(number: int) -> list[bytes]:
        made = [request(secret, int(time.time())) for _ in range(number)]
        sent.update((ACCOUNT, key) for key, _ in made)
        return [whole for _, whole in made]

    port = ours[0]
    costs = paired(ours, theirs, lambda: make(ROUND), ROUNDS, ROUND / ACCOUNT_PER_S)
    figures: common.Figures = {
        "cpu_ratio": ratio(costs),
        "edge_us": min(costs["edge"]) * 1e6,
        "bare_us": min(costs["bare"]) * 1e6,
    }
    figures |= providers(ours, theirs, sent)
    burst, _ = asyncio.run(open_loop(port, make(2_000), 2_000))
    calm, took = asyncio.run(open_loop(port, make(int(300 * options.seconds)), 300))
    took.sort()
    figures["p50_ms"] = took[len(took) // 2] * 1000
    figures["p99_ms"] = took[int(len(took) * 0.99)] * 1000
    figures["refused"] = sum(status != 200 for status in [*burst, *calm])
    figures["lost"] = lost(valkey, sent)
    return figures


def paired(
    ours: tuple[int, psutil.Process],
    theirs: tuple[int, psutil.Process],
    make: Callable[[], list[bytes]],
    rounds: int,
    every_s: float,
) -> dict[str, list[float]]:
    """CPU seconds a request of both servers, round by round, each round the same requests to both."""
    costs: dict[str, list[float]] = {"edge": [], "bare": []}
    began = time.monotonic()
    for number in range(rounds + 1):
        load = make()
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))
        sides = {"edge": ours, "bare": theirs}
        for name in sides if number % 2 else reversed(sides):
            at, who = sides[name]
            before = cpu_s(who)
            statuses = asyncio.run(closed_loop(at, load))
            spent = cpu_s(who) - before
            if set(statuses) != {200}:
                raise common.LedgerBroken(f"{name} answered {set(statuses)}")
            if number:  # the first warms both up
                costs[name].append(spent / len(load))
    return costs


def ratio(costs: dict[str, list[float]]) -> float:
    """The median over the rounds."""
    return statistics.median(e / b for e, b in zip(costs["edge"], costs["bare"], strict=True))


def providers(
    ours: tuple[int, psutil.Process], theirs: tuple[int, psutil.Process], sent: set[tuple[str, str]]
) -> common.Figures:
    """The providers' figures; what went in is added to `sent`."""
    figures: common.Figures = {}
    for name, maker, requests in accept_providers.KINDS:

        def make(maker: Maker = maker, requests: int = requests) -> list[bytes]:
            made = [maker(ours[0], int(time.time())) for _ in range(requests)]
            sent.update(key for keys, _ in made for key in keys)
            return [whole for _, whole in made]

        costs = paired(ours, theirs, make, PROVIDER_ROUNDS, requests / ACCOUNT_PER_S)
        if name == "whatsapp":
            figures["whatsapp_per_message_us"] = min(costs["edge"]) / accept_providers.BATCH * 1e6
        else:
            figures[f"{name}_cpu_ratio"] = ratio(costs)
    return figures


def lost(valkey: Valkey, sent: set[tuple[str, str]], within_s: float = 30.0) -> int:
    """How many of `sent` are not in the stream, once the pump has had time. Raises where others are."""
    found: set[tuple[str, str]] = set()
    total = 0
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with valkey.client() as client:
            entries = [fields for name in KEYS for _, fields in streamed(client, name)]
        events = [decode(fields[b"d"])[0] for fields in entries]
        keys = [(one.account, one.event_key) for one in events if isinstance(one, MessageReceived)]
        total, found = len(keys), set(keys)
        if len(found) >= len(sent):
            break
        time.sleep(0.5)
    if found - sent or total != len(found):
        raise common.LedgerBroken(
            f"the stream holds {total} entries of {len(found)} keys; {len(sent)} were sent"
        )
    return len(sent - found)


def streamed(client: redis.Redis, name: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return list(client.xrange(name))  # type: ignore[arg-type]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the open loop lasts")


BENCH = common.Bench(
    name="accept",
    about="a signed webhook of 600 bytes into journal and stream",
    run=run,
    aims={"cpu_ratio": "<= 2.0", "p99_ms": "< 50", "refused": "0", "lost": "0"},
    repeat=3,
    options=options,
)

if __name__ == "__main__":
    BENCH.main()
