"""start: `mainstem up` from nothing to ready, and the memory of all its processes at rest.

ready_s: from the call to both pages saying that they are ready, in an empty folder. rss_mb: the resident memory of
every process, shared pages counted in each of them, once caches are warm and nothing happens. Before the figures are
printed a message goes in and the ledger has it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.common import Bench, Figures, LedgerBroken, folder

ROOT = Path(__file__).parents[1]
REST_S = 8.0  # caches are warm and nothing is happening


@dataclass
class Running:
    """A hub under `mainstem up`."""

    process: subprocess.Popen[bytes]
    place: Path
    env: dict[str, str]
    ready_s: float

    @property
    def edge(self) -> str:
        return f"http://127.0.0.1:{self.env['PORT']}"

    def mainstem(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mainstem", *words],
            cwd=self.place,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LedgerBroken(f"mainstem {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def ledger(self) -> dict[str, int]:
        """Today's sums over all accounts, once nothing is on the way any more. Raises LedgerBroken."""
        sums: dict[str, int] = {}
        for _ in range(60):
            told = json.loads(self.mainstem("ledger", "--json"))
            names = ("journalled", "stored", "duplicates", "quarantined", "on_the_way", "missing")
            sums = {name: sum(row[name] for row in told["accounts"]) for name in names}
            if not sums["on_the_way"] and not sums["missing"]:
                return sums
            time.sleep(0.5)
        raise LedgerBroken(f"the ledger does not close: {sums}")


@contextmanager
def hub(place: Path) -> Iterator[Running]:
    """`mainstem up` over `place`, ready; stopped afterwards."""
    if not (place / "config").exists():
        shutil.copytree(ROOT / "config", place / "config")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    env |= {"PORT": str(free_port()), "MAINSTEM_DESK_PORT": str(free_port())}
    for name in ("REDIS_URL", "DATABASE_URL"):
        env.pop(name, None)
    began = time.perf_counter()
    with (place / "told").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "mainstem", "up"], cwd=place, env=env, stdout=out, stderr=out
        )
    try:
        for port in (env["PORT"], env["MAINSTEM_DESK_PORT"]):
            while not is_ready(f"http://127.0.0.1:{port}/readyz"):
                if process.poll() is not None or time.perf_counter() - began > 60:
                    raise RuntimeError((place / "told").read_text())
                time.sleep(0.02)
        yield Running(process, place, env, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def is_ready(url: str) -> bool:
    """Does the page answer yes?"""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port of the loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rss_mb(pid: int) -> float:
    """Of the process and all below it, in megabytes of 10^6 bytes."""
    top = psutil.Process(pid)
    return sum(p.memory_info().rss for p in [top, *top.children(recursive=True)]) / 1e6


def once(_options: argparse.Namespace) -> Figures:
    with folder("start") as place, hub(place) as running:
        running.mainstem("say", "is anybody there?")
        sums = running.ledger()
        if sums["stored"] != 1:
            raise LedgerBroken(f"one message went in, and the ledger says {sums}")
        time.sleep(REST_S)
        return {"ready_s": running.ready_s, "rss_mb": rss_mb(running.process.pid)}


BENCH = Bench(
    name="start",
    about="from nothing to ready, and memory at rest",
    run=once,
    aims={"ready_s": "at most 8", "rss_mb": "at most 500"},
)

if __name__ == "__main__":
    BENCH.main()
