"""Agents on Slack: the process, and what sets it up and mends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from hub.settings import load
from mainstem.commands import shared


@click.group()
def slack() -> None:
    """Agents answer from Slack. docs/slack.md goes from nothing to the first reply."""


@slack.command(short_help="The process: cards and threads out, what agents do in.")
def run() -> int:
    """The process: cards and threads out, what agents do in. Any number of them, anywhere.

    Without a bot token it only says so and waits, for a Procfile names every process.
    """
    settings = load()
    if settings.slack_bot_token is None:
        from mainstem import processes

        return processes.idle(settings, "slack", missing="MAINSTEM_SLACK_BOT_TOKEN", see="docs/slack.md")
    from mainstem import slack as process

    return process.main(settings)


@slack.command(short_help="Print the manifest that the Slack app is made from.")
@click.option("--http", metavar="URL", help="For HTTP mode: the public address of this process.")
def manifest(http: str | None) -> None:
    """Print the manifest that the Slack app is made from: api.slack.com/apps, Create New App, From a manifest, JSON."""
    from desk.slack.manifest import PATH
    from desk.slack.manifest import manifest as made

    if http is not None:
        http = http.rstrip("/").removesuffix(PATH)
        address = urlsplit(http)
        if address.scheme != "https" or not address.hostname or address.query or address.fragment:
            said = "must be an address like https://hub.example.com; Slack calls only https"
            raise click.BadParameter(said, param_hint="--http")
    click.echo(json.dumps(made(http), indent=2, ensure_ascii=False))


@slack.command(short_help="Ask Slack whether everything is set up; change nothing.")
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def check(machine: bool) -> int:
    """Ask Slack whether tokens, scopes, channels and agents are as they should be. Changes nothing."""
    from mainstem.commands.look import print_findings
    from mainstem.doctor import Level, worst
    from mainstem.slackcheck import whole

    found = whole(shared.settings())
    if machine:
        shared.as_json({"worst": worst(found), "findings": found})
    else:
        print_findings(found)
    return 1 if worst(found) is Level.RED else 0


@slack.command(short_help="Draw again what is missing on Slack.")
@click.option("--dry-run", is_flag=True, help="Say what is missing and draw nothing.")
def repair(dry_run: bool) -> int:
    """Draw again what is missing on Slack: cards and threads that somebody deleted, or that never came.

    Goes at the rate that Slack allows and posts nothing twice; what stands is left alone. Twice is harmless.
    Exit code 1 where a channel could not be read.
    """
    from mainstem import slack as process

    found = process.repair(shared.settings(), dry=dry_run)
    click.echo(process.in_words(found, dry=dry_run))
    return 1 if found.unread else 0


@slack.command(short_help="Take up once more what agents did and was given up.")
def retry() -> None:
    """Take up once more what agents did in Slack and was given up after many tries; mend the cause first.

    `mainstem doctor` counts it, the log of `mainstem slack run` says why. Twice is harmless.
    """
    from crm_store import desk_inbox

    with shared.store() as opened:
        count = opened.run(lambda tx: desk_inbox.again(tx, "slack"))
    what = "thing that agents did is" if count == 1 else "things that agents did are"
    click.echo(f"{count:,} {what} taken up once more." if count else "Nothing was given up.")


@slack.command(short_help="How cards, modals and the Home look, on one page.")
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
@click.option("--dark", is_flag=True, help="In Slack's dark colours.")
def preview(to: Path | None, dark: bool) -> None:
    """Every card, thread, modal and the App Home on one page that resembles Slack, with sample data."""
    from desk.slack.preview import whole

    page = whole(dark=dark)
    if to is None:
        sys.stdout.write(page)
        return
    to.write_text(page, encoding="utf-8")
    click.echo(f"Written to {to}; open it in a browser.")
