"""Mailboxes: whether they can be read, and mails that lie in files."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.errors import NotFound
from mainstem.commands import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.config import Account, Config


@click.group()
def mail() -> None:
    """Mailboxes. docs/channels/mail.md goes from a mailbox to the first answered mail."""


@mail.command()
@click.option("--json", "machine", is_flag=True, help="One JSON document.")
def check(machine: bool) -> int:
    """Log in to every mailbox, and say what is well and what is not. Changes nothing."""
    from mainstem.commands.look import print_findings
    from mainstem.doctor import Level, worst
    from mainstem.mailcheck import examine

    with shared.store():  # says what to do where there is none
        found = list(examine(shared.settings()))
    if machine:
        shared.as_json({"worst": worst(found), "findings": found})
    else:
        print_findings(found)
    return 1 if worst(found) is Level.RED else 0


@click.command(hidden=True)
def pulls() -> int:
    """Is there a mailbox to read, or an account to poll? 0 where there is."""
    from mainstem.pull import pulled

    with shared.store() as opened:
        return 0 if pulled(shared.config(opened), shared.settings()) else 1


@mail.command(name="import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="FILE…"
)
@click.option("--account", "key", metavar="NAME", help="The mailbox they came to; the only one unless told.")
def import_(files: tuple[Path, ...], key: str | None) -> int:
    """Take mails from files, as if they had just been fetched: .eml, mbox, folders of them, or - for standard input.

    Line ends do not matter, nor what mbox adds. A mail that is known, from its mailbox or from an earlier import, is
    passed over: twice is once. Each goes the whole way, so the routers should run.
    """
    from mainstem import mailimport

    with shared.store() as opened:
        account = _account(shared.config(opened), key)
        settings = shared.settings()
        missing = [str(path) for path in files if str(path) != "-" and not path.exists()]
        if missing:
            raise NotFound(f"there is no {', '.join(missing)}")
        counts = asyncio.run(
            mailimport.run(settings, shared.redis_url(settings), opened, account, _sources(files))
        )
    click.echo(counts.words())
    return 1 if counts.waiting else 0


def _account(config: Config, key: str | None) -> Account:
    from connectors import accounts
    from hub.secrets import load_key

    boxes = {name: account for name, account in config.accounts.items() if account.connector == "mail"}
    if key is None and len(boxes) != 1:
        raise NotFound(f"say which mailbox with --account; there are {', '.join(sorted(boxes)) or 'none'}")
    name = key if key is not None else next(iter(boxes))
    if name not in boxes:
        raise NotFound(f"there is no mailbox {name}; there are {', '.join(sorted(boxes)) or 'none'}")
    good, _ = accounts.resolve(config, os.environ, load_key(shared.settings()))
    return good.get(name, boxes[name])  # also one that is switched off: its mails came while it was not


def _sources(files: Sequence[Path]) -> Sequence[Path]:
    if any(str(path) == "-" for path in files) and sys.stdin.isatty():
        click.echo("Reading mails from the terminal; end with Ctrl-D.", err=True)
    return files
