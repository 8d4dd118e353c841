"""`make bench`: every benchmark in turn, each in a process of its own. `--write` renews docs/performance.md.

ARGS="accept route" names some of them; the others' figures in the page stay as they were.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
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
        PAGE.write_text(page(results))
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


def page(results: dict[str, Any]) -> str:
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
            "Three aims are missed. `accept`: the three runs of the table gave 2.08, 2.13 and 2.22 on Debian's Python"
            " 3.11.2; seven on 3.11.7, with others on the machine, 1.87 to 2.15. `deliver`: 0.61, 0.68 and 0.71; the"
            " version of the day before gave 0.56 and 0.73 within the same half hour."
            " `route`: beside its interaction a message has a row of intake, a decision, its conversation and their"
            " look-ups. On SQLite 0.25 allows about 43 µs for all of it, and Python and SQLite take 50, though they"
            " overlap. On PostgreSQL it allows 40 to 46 µs, and a message costs about 70 of CPU, on a core of its own:"
            " 33 the server, 29 the router, 8 Redis (docs/decisions/0008). The table of route is older"
            " than what came since, which was measured in turn with the version before: a request at the edge takes"
            " 0.93 to 0.97 of its CPU; a message on PostgreSQL 42 µs of the router's where it was 65, and 31 of the"
            " server's where it was 51.",
            "",
            "Verified and read alone, an SMS costs 23 µs where our webhook's JSON costs 12 and an"
            " update 13: its form has 19 fields, which are read and sorted (9 µs) for an HMAC over all of them (2 µs)."
            " In a WhatsApp batch 13 of a message's microseconds are the reading; each also says which phone and which"
            " business-scoped id belong together, which is an event of its own.",
            "",
            *(table(name, result) for name, result in ordered.items()),
            f"{_KEPT}{json.dumps(ordered)} -->",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
