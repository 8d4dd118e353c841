"""Looking without touching: doctor, queues, tail, ledger."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mainstem.commands import shared

if TYPE_CHECKING:
    from hub.model import Event

_MARKS = {"green": "[green]●[/]", "yellow": "[yellow]▲[/]", "red": "[red]✖[/]"}


@click.command()
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def doctor(machine: bool) -> int:
    """What a crash of each part would cost, and what is not well. Ends with 1 where something is red."""
    from mainstem import doctor as look

    found = look.examine(shared.settings(), shared.redis_url)
    worst = look.worst(found)
    if machine:
        shared.as_json({"worst": worst, "findings": found})
    else:
        print_findings(found)
    return 1 if worst is look.Level.RED else 0


def print_findings(found: list[Any]) -> None:
    from rich.markup import escape

    console = shared.console()
    part = ""
    for finding in found:
        if finding.part != part:
            part = finding.part
            console.print(f"\n[bold]{part.capitalize()}[/]")
        console.print(f" {_MARKS[finding.level]} {escape(finding.said)}")
        if finding.cost:
            console.print(f"   [dim]{escape(finding.cost)}[/]")
    console.print()


@click.command()
@click.option("--once", is_flag=True, help="Print the table once instead of following it.")
@click.option("--json", "machine", is_flag=True, help="One JSON document, once.")
def queues(once: bool, machine: bool) -> None:
    """Who waits where, how long, and who is there to answer. Follows until Ctrl-C."""
    from crm_store import views
    from hub import clock
    from mainstem.prepare import in_force

    with shared.store() as opened:

        def rows() -> list[Any]:
            config = in_force(opened)
            assert config is not None
            with opened.read() as tx:
                return list(views.queue_list(tx, config, clock.system()))

        shared.config(opened)
        if machine:
            shared.as_json(rows())
            return
        console = shared.console()
        if once or not console.is_terminal:
            console.print(_queue_table(rows()))
            return
        from rich.live import Live

        with Live(_queue_table(rows()), console=console, screen=False, auto_refresh=False) as live:
            while True:
                time.sleep(1.0)
                live.update(_queue_table(rows()), refresh=True)


def _queue_table(rows: list[Any]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2))
    table.add_column("Queue")
    for title in ("waiting", "late", "longest wait", "offered", "open", "pending", "snoozed", "agents here"):
        table.add_column(title, justify="right")
    for row in rows:
        late = f"[red]{row.late}[/]" if row.late else "0"
        here = str(row.agents_here) if row.agents_here or not row.waiting else "[red]0[/]"
        table.add_row(
            escape(row.title),
            str(row.waiting),
            late,
            spell(row.longest_wait_s) if row.waiting else "",
            *(str(n) for n in (row.offered, row.open, row.pending, row.snoozed)),
            here,
        )
    return table


def spell(seconds: float) -> str:
    """90 -> "1 min 30 s"; two units at most."""
    whole = max(int(seconds), 0)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


@click.command()
@click.option("--day", metavar="YYYY-MM-DD", help="The day (UTC) of acceptance; today unless given.")
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def ledger(day: str | None, machine: bool) -> int:
    """Prove for a day that journalled = stored + duplicates + quarantined + on the way. Ends with 1 where not."""
    from crm_store import ledger as book

    when = _day(day)
    with shared.store() as opened:
        rows = book.day(opened, when)
    missing = sum(row.missing for row in rows)
    if machine:
        shared.as_json({"day": when, "missing": missing, "accounts": rows})
        return 1 if missing else 0
    if not rows:
        click.echo(f"Nothing was accepted on {when}.")
        return 0
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        box=None, header_style="bold", padding=(0, 2), title=f"Ledger of {when} (UTC)", title_justify="left"
    )
    table.add_column("Account")
    columns = ("journalled", "stored", "duplicates", "quarantined", "on_the_way", "missing")
    for title in columns:
        table.add_column(title.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(escape(row.account), *(f"{getattr(row, name):,}" for name in columns))
    console = shared.console()
    console.print(table)
    console.print("[green]Nothing is missing.[/]" if not missing else f"[red]{missing:,} are missing.[/]")
    return 1 if missing else 0


def _day(word: str | None) -> date:
    today = datetime.now(UTC).date()
    if word is None:
        return today
    if word == "yesterday":
        return today - timedelta(days=1)
    try:
        when = date.fromisoformat(word)
    except ValueError:
        raise click.BadParameter(
            f"{word!r} is no day; a day looks like {today}", param_hint="--day"
        ) from None
    if when > today:
        raise click.BadParameter(f"{when} has not come yet", param_hint="--day")
    return when


@click.command()
@click.option("--account", metavar="KEY", help="Only this account.")
@click.option(
    "--from-start", is_flag=True, help="Begin with what is still in the stream, not with what comes now."
)
@click.option("--texts", is_flag=True, help="Show what people wrote. Without it: only how much.")
@click.option("--json", "machine", is_flag=True, help="One JSON object a line.")
def tail(account: str | None, from_start: bool, texts: bool, machine: bool) -> None:
    """The stream, live: every event as it comes in, until Ctrl-C. It reads beside the routers and takes nothing."""
    import json

    from hub import watch

    with shared.redis_client() as client:
        client.ping()
        for found in watch.tail(client, from_start=from_start):
            if found is None:
                continue
            _, at, event = found
            if isinstance(event, Exception):
                click.secho(f"{at}  unreadable: {event}", fg="red", err=True)
            elif account is None or event.account == account:
                line = _event_line(event, texts)
                click.echo(
                    json.dumps(_plain_event(event, texts), default=str, ensure_ascii=False)
                    if machine
                    else line
                )


def _plain_event(event: Event, texts: bool) -> dict[str, Any]:
    import msgspec

    from hub import urn

    said: dict[str, Any] = msgspec.to_builtins(event) | {"kind": type(event).__name__}
    if "sender" in said:
        said["sender"] = urn.mask(said["sender"])
    if not texts:
        for name in ("text", "subject", "fields", "claims", "sender_name"):
            said.pop(name, None)
    return said


def _event_line(event: Event, texts: bool) -> str:
    from hub import urn

    at = click.style(f"{event.received_at:%H:%M:%S}", dim=True)
    kind = click.style(f"{type(event).__name__:<16}", fg="cyan")
    who = urn.mask(getattr(event, "sender", None) or getattr(event, "urn", "") or "")
    words = getattr(event, "text", "") or ""
    if texts:
        said = "".join(c if c.isprintable() else " " for c in words)[:200]
    else:
        said = f"{len(words)} characters" if words else ""
    status = str(getattr(event, "status", "") or getattr(event, "change", "") or "")
    return f"{at}  {kind} {event.account:<20} {who:<28} {status or said}".rstrip()
