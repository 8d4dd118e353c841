"""Channels: what each can, and whether a connector keeps to what holds for all."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mainstem.commands import shared

_GROUPS = {"any": "any", "image": "images", "audio": "audio", "video": "video"}
_BESIDES = {
    "edits": "edits", "deletes": "deletes", "reads": "reads", "subject": "subject", "templates": "templates",
}  # fmt: skip
_MARKS = {"ok": "[green]ok[/]     ", "failed": "[red]failed[/] ", "skipped": "[dim]skipped[/]"}


@click.group()
def channel() -> None:
    """Channels: what each can, and the checks for one of your own (docs/adding-a-channel.md)."""


@channel.command()
@click.argument("name")
@click.option(
    "--payloads",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where its captures and sample.yaml are.",
)
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def check(name: str, payloads: Path | None, machine: bool) -> int:
    """Run a connector through what holds for every channel. Ends with 1 where something fails.

    NAME is one of ours, or a module importable from this folder whose CONNECTOR it is (shop.pager). Its captures are
    looked for in tests/connectors/payloads/NAME and payloads/NAME.
    """
    from connectors.kit import run
    from connectors.kit.files import load

    if (here := str(Path.cwd())) not in sys.path:  # the console script's first place is its own folder
        sys.path.insert(0, here)
    connector = run.find(name)
    folder = run.folder_of(name, payloads, connector)
    sample = load(folder)
    console = shared.console()
    results = []
    for result in run.run(connector, sample):
        results.append(result)
        if not machine:
            _print(console, result)
    failed = sum(result.outcome == "failed" for result in results)
    if machine:
        said = {"connector": connector.name, "payloads": os.fspath(folder), "ok": not failed}
        shared.as_json({**said, "checks": [asdict(result) for result in results]})
    else:
        skipped = sum(result.outcome == "skipped" for result in results)
        good = len(results) - failed - skipped
        console.print(
            f"\n{connector.title}: {good} ok, {failed} failed, {skipped} skipped ({len(sample.captures)} captures)"
        )
    return 1 if failed else 0


def _print(console: Any, result: Any) -> None:
    from rich.markup import escape

    detail = f"{': ' if result.detail else ''}{escape(result.detail)}"
    console.print(f"{_MARKS[result.outcome]}  {escape(result.check)}{detail}", soft_wrap=True)


@channel.command()
@click.argument("account", metavar="ACCOUNT")
def hook(account: str) -> None:
    """Tell ACCOUNT's provider where to send what comes in, or that we poll. Twice is harmless.

    ACCOUNT is as in config/channels.yaml, telegram/main. `mainstem doctor` says how it stands.
    """
    from mainstem import channelcheck

    with shared.store() as opened:
        config = shared.config(opened)
    click.echo(channelcheck.hook(shared.settings(), config, account))


@channel.command(name="list")
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def list_(machine: bool) -> None:
    """The channels there are, and what each can."""
    from connectors import CONNECTORS
    from connectors.kit import stated

    rows = stated.rows(CONNECTORS)
    if machine:
        shared.as_json(rows)
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 1))
    for title in ("Name", "Channel", "in", "out needs"):
        table.add_column(title, no_wrap=True)
    for title in ("characters", "files"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("of", "window", "besides"):
        table.add_column(title)
    for row in rows:
        table.add_row(*_cells(row))
    shared.console().print(table)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from mainstem.commands.look import spell

    files = (
        f"{row['attachments']} × {row['attachment_bytes'] / 1024 / 1024:.3g} MB" if row["attachments"] else ""
    )
    kinds = dict.fromkeys(_GROUPS.get(kind.partition("/")[0], "documents") for kind in row["media"])
    besides = [words for what, words in _BESIDES.items() if row[what]]
    return (
        row["name"],
        row["title"],
        ", ".join(row["in"]) or "its own",
        row["out"],
        f"{row['text_chars']:,}",
        files,
        ", ".join(kinds) + (", else links" if row["links"] else ""),
        spell(row["window_s"]) if row["window_s"] else "",
        ", ".join(besides) + (f", {row['choices']} choices" if row["choices"] else ""),
    )
