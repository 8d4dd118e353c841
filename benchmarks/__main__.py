"""`make bench`: every benchmark in turn, each in a process of its own. `--write` renews docs/performance.md and
leaves what people wrote there.

ARGS="accept route" names some of them; the others' figures in the page stay as they were.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import Bench

NAMES = ("accept", "route", "latency", "deliver", "growth", "start", "slack", "mail")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_KEPT = "<!-- figures: "  # the page carries its own data, so that one benchmark can be renewed alone


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Every claim of speed, printed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all unless given")
    parser.add_argument(
        "--write", action="store_true", help=f"put the figures into {PAGE.parent.name}/{PAGE.name}"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    results, failed = kept(), []
    for name in options.names or NAMES:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"], stdout=subprocess.PIPE, check=False
        )
        if done.returncode:
            failed.append(name)
            continue
        results[name] = json.loads(done.stdout) | {"day": dt.datetime.now(dt.UTC).date().isoformat()}
        print(table(name, results[name]), flush=True)
    if options.write:
        PAGE.write_text(page(results, remarks(PAGE.read_text())))
    if failed:
        print(f"No figures from: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def kept() -> dict[str, Any]:
    """The figures that the page holds now."""
    if not PAGE.exists():
        return {}
    held = next((line for line in PAGE.read_text().splitlines() if line.startswith(_KEPT)), None)
    found: dict[str, Any] = json.loads(held.removeprefix(_KEPT).removesuffix(" -->")) if held else {}
    return found


def remarks(said: str) -> str:
    """What people wrote into the page, between the line on the machine and the first table: it stays."""
    found = re.search(r"^Machine: .*?\n\n(.*?)\n\n## ", said, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def table(name: str, result: dict[str, Any]) -> str:
    bench: Bench = importlib.import_module(f"benchmarks.{name}").BENCH
    rows = [f"## {name}", "", f"{bench.about[0].upper()}{bench.about[1:]}.", ""]
    rows += ["| figure | measured | aim |", "|---|---|---|"]
    rows += [
        f"| `{figure}` | {value:,} | {bench.aims.get(figure, '')} |"
        for figure, value in result["figures"].items()
    ]
    rows += ["", f"`python -m benchmarks.{name}`, {result['day']}", ""]
    return "\n".join(rows)


def page(results: dict[str, Any], remarks: str) -> str:
    ordered = {name: results[name] for name in NAMES if name in results}
    last = list(ordered.values())[-1]
    machine = last["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    return "\n".join(
        [
            "# Performance",
            "",
            "Every figure is printed by a benchmark in this repository, after that run's ledger came out clean, and is",
            "the median of repeated runs. Ratios are taken within one run, so that a noisy machine is in both of their",
            "sides; absolute figures are this machine's on that day. `make bench` prints them all on yours, and",
            '`make bench ARGS="--write"` renews this page.',
            "",
            f"Machine: {where}. Load generators, databases and Redis run on the same cores; PostgreSQL has fsync on"
            f" and 512 MB of buffers. {versions}.",
            "",
            remarks,
            "",
            *(table(name, result) for name, result in ordered.items()),
            f"{_KEPT}{json.dumps(ordered)} -->",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
