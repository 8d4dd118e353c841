"""Figures over days: queues, agents, volumes; as a table, JSON, or CSV for a spreadsheet."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

from mainstem.commands import shared

_LONGEST_DAYS = 366


@click.command()
@click.argument("what", type=click.Choice(["queues", "agents", "volumes"]))
@click.option(
    "--days",
    type=click.IntRange(1, _LONGEST_DAYS),
    default=7,
    show_default=True,
    help="Up to and with today (UTC).",
)
@click.option("--csv", "spreadsheet", is_flag=True, help="CSV, safe to open in a spreadsheet.")
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def report(what: str, days: int, spreadsheet: bool, machine: bool) -> None:
    """Service level and answers by queue, occupancy by agent, or volumes by day, account and queue."""
    from crm_store import reports
    from hub import clock

    if spreadsheet and machine:
        raise click.UsageError("--csv or --json, not both.")
    now = clock.system()
    since = datetime.combine(now.date() - timedelta(days=days - 1), time(), UTC)
    with shared.store() as opened:
        config = shared.config(opened)
        with opened.read() as tx:
            rows: list[Any]
            if what == "volumes":
                rows = list(reports.volumes(tx, since, now))
            else:
                figures: Any = reports.queues if what == "queues" else reports.agents
                rows = list(figures(tx, config, since, now, now))
    if machine:
        shared.as_json({"since": since, "until": now, what: rows})
    elif spreadsheet:
        click.echo(reports.to_csv(rows), nl=False)
    elif not rows:
        click.echo(f"Nothing since {since:%Y-%m-%d}.")
    else:
        _print(what, since, rows)


def _print(what: str, since: datetime, rows: list[Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    columns = list(asdict(rows[0]))
    table = Table(
        box=None,
        header_style="bold",
        padding=(0, 2),
        title=f"{what.capitalize()} since {since:%Y-%m-%d} (UTC)",
        title_justify="left",
    )
    for name in columns:
        words = isinstance(getattr(rows[0], name), str)
        table.add_column(name.replace("_", " "), justify="left" if words else "right")
    for row in rows:
        table.add_row(*(escape(_cell(getattr(row, name))) for name in columns))
    shared.console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
