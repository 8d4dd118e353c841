"""What `mainstem up` shows: few lines, plain words, colours where the terminal has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from hub.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from mainstem.up import Prepared

# Cyan, green, ... by process, the same in every run.
_COLOURS = {
    "web": "cyan",
    "router": "green",
    "worker": "magenta",
    "clock": "blue",
    "pull": "bright_green",
    "desk": "yellow",
    "slack": "bright_blue",
    "demo": "bright_yellow",
    "simulated": "bright_yellow",
}
_WIDTH = 7


def note(words: str) -> None:
    click.secho(words, dim=True)


def warn(words: str) -> None:
    click.secho(words, fg="yellow", err=True)


def fault(words: str) -> None:
    click.secho(words, fg="red", err=True)


def child_ended(name: str, words: str) -> None:
    click.echo(f"{_label(name)} {click.style(words, fg='red')}", err=True)


def child_said(name: str, line: str) -> None:
    click.echo(f"{_label(name)} {line}", err=True)


def _label(name: str) -> str:
    return click.style(f"{name:>{_WIDTH}} │", fg=_COLOURS.get(name, "white"))


def summary(
    settings: Settings, env: Mapping[str, str], prepared: Prepared, seconds: float, *, demo: bool
) -> None:
    """Where to go, what works and what does not, once everything is ready."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    desk = settings.desk_url or f"http://{settings.near_host}:{env['MAINSTEM_DESK_PORT']}"
    console.print(f"\n[bold green]Mainstem is ready[/] [dim]after {seconds:.1f} s · Ctrl-C stops it[/]\n")
    if prepared.chat:
        console.print(_link("Customer", prepared.chat))
        console.print("          [dim]the chat page; in a second terminal also: mainstem chat[/]")
    if prepared.login:
        console.print(_link("Agent", prepared.login))
        again = f"[dim]logs in as {prepared.agent}, once, within an hour; again: mainstem login {prepared.agent}[/]"
        console.print(f"          {again}")
    else:
        console.print(_link("Agent", desk))
    if prepared.curl:
        console.print("\n[bold]A signed message from anywhere[/] [dim](paste it into a second terminal)[/]")
        console.print(prepared.curl, markup=False)
    console.print(f"\n[bold]Slack[/]     {_slack(settings)}")
    _accounts(console, prepared)
    kept = "DATABASE_URL" if settings.database_url is not None else str(settings.data / "mainstem.db")
    motion = (
        "REDIS_URL" if settings.redis_url is not None else f"embedded Valkey in {settings.data / 'valkey'}"
    )
    console.print(f"\n[dim]Store: {kept} · stream: {motion} · logs: {settings.data / 'logs'}[/]")
    if demo:
        _demo(console, prepared)
    console.print()


def _link(title: str, url: str) -> Text:
    """No markup: an address may have brackets."""
    from rich.style import Style
    from rich.text import Text

    return Text.assemble((f"{title:<10}", "bold"), (url, Style(link=url)))


def _demo(console: object, prepared: Prepared) -> None:
    from rich.console import Console

    assert isinstance(console, Console)
    lines = [r"Demo: customers called “Simulated …” and answers that begin with “\[simulated]” are simulated"]
    if any(account["key"].endswith("/simulated") for account in prepared.accounts):
        lines += [
            "      and so are the providers of the accounts “(simulated)”, which now and then fail.",
            "      Nothing of it is written into your configuration; without --demo the accounts are gone.",
        ]
    else:
        lines[0] += "."
    for line in lines:
        console.print(f"[yellow]{line}[/]")


def _slack(settings: Settings) -> str:
    if settings.slack_bot_token is None:
        return "[dim]not set up; agents can answer from there too: docs/slack.md[/]"
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        return "[yellow]half set up: MAINSTEM_SLACK_APP_TOKEN is missing; docs/slack.md[/]"
    how = "Socket Mode" if settings.slack_app_token is not None else "HTTP mode"
    return f"{how} [dim]· mainstem slack check asks Slack whether everything is well[/]"


def _accounts(console: object, prepared: Prepared) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table.grid(padding=(0, 2))
    for account in prepared.accounts:
        trouble = account.get("trouble", "")
        mark = "[yellow]○[/]" if trouble else "[green]●[/]"
        said = f"[yellow]{escape(trouble)}[/]" if trouble else f"[dim]{escape(account.get('title', ''))}[/]"
        table.add_row(f" {mark} {escape(account['key'])}", said)
    if prepared.accounts:
        console.print("\n[bold]Accounts[/]")
        console.print(table)
