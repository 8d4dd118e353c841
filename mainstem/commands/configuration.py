"""The configuration: checked, applied, looked at, rolled back; and why a conversation landed where it did."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from hub.errors import NotFound
from mainstem.commands import shared


@click.group()
def config() -> None:
    """Check, apply, show and roll back the configuration."""


_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="The folder of YAML files; MAINSTEM_CONFIG or config/ unless given.",
)


@config.command()
@_folder
def check(folder: Path | None) -> None:
    """Check the folder and change nothing. Every fault is told with its file and line.

    Secrets whose variables are not set here are named; they are no fault, since the hub may have them.
    """
    from connectors.accounts import unset
    from hub.configfiles import load, read_folder
    from mainstem.prepare import checks

    place = folder or shared.settings().config
    loaded = load(read_folder(place), str(place), checks())
    click.secho(
        f"{place} is good: {len(loaded.accounts)} accounts, {len(loaded.queues)} queues, {len(loaded.rules)} rules, "
        f"{len(loaded.agents)} agents ({loaded.hash[:12]}).",
        fg="green",
    )
    for account, names in sorted(unset(loaded, os.environ).items()):
        said = f"{account} waits for its secrets, which are not set in this terminal: {', '.join(names)}"
        click.secho(said, fg="yellow")


@config.command("apply")
@_folder
def apply_(folder: Path | None) -> None:
    """Put the folder in force, everywhere within a second. A faulty folder changes nothing."""
    from mainstem.prepare import apply

    settings = shared.settings()
    if folder is not None:
        settings = replace(settings, config=folder)
    with shared.store() as opened:
        click.echo(apply(settings, opened, shared.who()))


@config.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def history(limit: int, machine: bool) -> None:
    """What was applied, when, by whom; the newest first."""
    from crm_store import configs

    with shared.store() as opened:
        rows = configs.history(opened, limit)
    if machine:
        shared.as_json(
            [{k: getattr(row, k) for k in ("hash", "by", "at", "summary", "generation")} for row in rows]
        )
        return
    if not rows:
        raise NotFound("no configuration is applied yet: run `mainstem config apply`")
    for row in rows:
        mark = click.style("● in force", fg="green") if row.generation else ""
        click.echo(
            f"{row.hash[:12]}  {row.at:%Y-%m-%d %H:%M:%S}Z  {row.by:<16} {row.summary}  {mark}".rstrip()
        )


@config.command()
@click.argument("ref")
def rollback(ref: str) -> None:
    """Put an older configuration in force: REF is the beginning of a hash from `config history`, or "previous".

    The folder is left as it is; applying it again goes forward again.
    """
    from crm_store import configs
    from mainstem.prepare import checks

    with shared.store() as opened:
        applied = configs.rollback(opened, ref, shared.who(), checks())
    click.echo(f"Configuration {applied.hash[:12]} is in force again; the folder still holds the other one.")


@config.command()
@click.argument("file", required=False)
def show(file: str | None) -> None:
    """Print the configuration in force: the names of its files, or FILE itself."""
    with shared.store() as opened:
        current = shared.config(opened)
    if file is None:
        for name, text in sorted(current.files.items()):
            click.echo(f"{name:<24} {len(text.splitlines()):>5} lines")
        return
    name = file if file in current.files else Path(file).name
    if name not in current.files:
        raise NotFound(
            f"the configuration in force has no file {file!r}; it has {', '.join(sorted(current.files))}"
        )
    click.echo(current.files[name], nl=False)


class Number(click.ParamType[int]):
    """A conversation's number, as the desks show it or bare."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        said = value.removeprefix("#")
        fits = said.isascii() and said.isdecimal() and len(said) < 20
        if not fits or not 1 <= int(said) < 1 << 63:  # what a column can hold
            self.fail(f"{value!r} is no conversation's number, such as 1042 or '#1042'", param, ctx)
        return int(said)


@click.command()
@click.argument("conversation", type=Number())
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def explain(conversation: int, machine: bool) -> None:
    """Why CONVERSATION (1042, or '#1042' in quotes) landed in its queue: the rule, what each condition saw, the near
    misses.
    """
    from crm_store import configs, views
    from hub.configfiles import load
    from router.explain import explain as why
    from router.explain import render
    from router.facts import text_of
    from router.rules import compile_rules

    with shared.store() as opened:
        with opened.read() as tx:
            view = views.conversation(tx, f"#{conversation}")
        decision = view.decision
        if decision is None:
            raise NotFound(f"conversation {conversation} was not routed by a rule")
        rules = compile_rules(load(configs.find(opened, decision.config_hash).files))
    told = why(rules, decision.facts, text_of(view.card.subject, decision.text))
    if machine:
        shared.as_json(told)
        return
    click.echo(render(told))
    if view.card.queue != told.decision.queue:
        click.secho(f"Since then it was taken to {view.card.queue}.", dim=True)
