"""Who may enter, and what signs: login links, passwords, the derived secrets of our own protocols."""

from __future__ import annotations

import os
import sys

import click

from hub.errors import NotFound, Refused, Unavailable
from mainstem.commands import shared


@click.command()
@click.argument("agent", required=False)
def login(agent: str | None) -> None:
    """Print a link that logs AGENT in, once, within an hour. Without AGENT: the first administrator."""
    from mainstem.prepare import login_link

    with shared.store() as opened:
        _, link = login_link(shared.settings(), opened, shared.config(opened), agent)
    click.echo(link)
    try:
        shared.redis_url(shared.settings())
    except Unavailable as error:
        click.secho(f"Nobody answers there yet: {error}", err=True, fg="yellow")


@click.command()
@click.argument("agent")
def password(agent: str) -> None:
    """Set AGENT's password for the desk. It is asked for, or read from standard input; never an argument."""
    from crm_store import logins
    from hub import clock

    with shared.store() as opened:
        config = shared.config(opened)
        if agent not in config.agents:
            raise NotFound(f"no agent {agent!r}; there are {', '.join(sorted(config.agents)) or 'none'}")
        if sys.stdin.isatty():
            new = click.prompt("New password", hide_input=True, confirmation_prompt=True)
        else:
            new = sys.stdin.readline().rstrip("\n")
        logins.set_password(opened, agent, new, clock.system())
    click.echo(f"{agent}'s password is set.")


@click.command()
@click.argument("account")
@click.argument("purpose", required=False)
def secret(account: str, purpose: str | None) -> None:
    """Print the secret of ACCOUNT (such as webhook/main) that is derived from this installation's key.

    Secrets that the environment gives are not shown: they stand where you put them.
    """
    from connectors import CONNECTORS, accounts
    from hub.secrets import load_key

    with shared.store() as opened:
        config = shared.config(opened)
    found = config.accounts.get(account)
    if found is None:
        raise NotFound(f"no account {account!r}; there are {', '.join(sorted(config.accounts)) or 'none'}")
    connector = CONNECTORS.get(found.connector)
    if connector is None:
        raise NotFound(
            f"there is no connector {found.connector!r}; there are {', '.join(sorted(CONNECTORS))}"
        )
    wanted = purpose or next(iter(connector.secrets), None)
    if wanted not in connector.secrets:
        raise NotFound(
            f"{account} has no secret {wanted!r}; there are {', '.join(connector.secrets) or 'none'}"
        )
    if names := found.secret_names.get(wanted):
        raise Refused(f"this secret of {account} comes from the variable {names[0]} and is not shown")
    if not connector.derives:
        raise Refused(
            f"{account}: {connector.title} hands out this secret; name its variable in {found.file}"
        )
    resolved, troubles = accounts.resolve(config, os.environ, load_key(shared.settings()))
    if account not in resolved:
        raise Refused(f"{account} does not work: {troubles.get(account, 'it is switched off')}")
    click.echo(resolved[account].secrets[wanted][0])
