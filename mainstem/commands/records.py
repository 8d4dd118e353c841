"""What is kept: quarantine and its replay, customers and their merges."""

from __future__ import annotations

from typing import Any

import click

from hub import clock
from hub.errors import NotFound, Refused
from mainstem.commands import shared

_json = click.option("--json", "machine", is_flag=True, help="One JSON document.")
_id = click.IntRange(1, (1 << 63) - 1)  # what a column of the store can hold


def safe(text: str, longest: int = 200) -> str:
    """One line without control characters: what strangers wrote must not drive this terminal."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= longest else line[: longest - 1] + "…"


# ----------------------------------------------------------------------------------------------------- quarantine


@click.group()
def quarantine() -> None:
    """What could not be read: list, show, replay, drop. Its bytes are kept whatever you do."""


@quarantine.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was replayed or dropped.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@_json
def list_(everything: bool, limit: int, machine: bool) -> None:
    """What waits, the newest first."""
    from crm_store import quarantine as held

    with shared.store() as opened:
        rows = held.listed(opened, state=None if everything else held.WAITING, limit=limit)
    if machine:
        shared.as_json([_plain(row) for row in rows])
        return
    if not rows:
        click.secho("Nothing waits in quarantine.", fg="green")
    for row in rows:
        what = f"{row.account:<20} {row.kind:<10} {row.state:<8} {safe(row.reason, 80)}"
        click.echo(f"{row.id}  {row.at:%Y-%m-%d %H:%M}Z  {what}")


def _plain(row: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row) | {"entry": None if row.entry is None else row.entry.hex()}


@quarantine.command()
@click.argument("number", type=_id)
@_json
def show(number: int, machine: bool) -> None:
    """One entry with the beginning of its raw bytes."""
    from crm_store import quarantine as held
    from hub import blobs

    with shared.store() as opened:
        row = held.show(opened, number)
    if machine:
        shared.as_json(_plain(row))
        return
    for name in (
        "id",
        "account",
        "kind",
        "state",
        "at",
        "reason",
        "producer",
        "seq",
        "blob",
        "replayed_at",
        "by",
    ):
        if (value := getattr(row, name)) is not None:
            click.echo(f"{name:<12} {safe(str(value), 2000)}")
    if row.blob is not None:
        data = blobs.of(shared.settings()).read(row.blob)
        click.echo(f"{'bytes':<12} {len(data):,}\n")
        click.echo(safe(data[:2000].decode("utf-8", "replace"), 2000))


@quarantine.command()
@click.argument("numbers", type=_id, nargs=-1, required=True)
def replay(numbers: tuple[int, ...]) -> int:
    """Read entries again with today's code and hand what they say to the router. Exactly once each."""
    from hub.errors import MainstemError
    from mainstem.replay import Replay

    failed = 0
    with shared.store() as opened:
        again = Replay(opened, shared.settings(), lambda: shared.config(opened))
        for number in numbers:
            try:
                click.echo(f"{number}: {again(number, shared.who())}")
            except MainstemError as error:
                failed += 1
                click.secho(f"{number}: {error}", fg="red", err=True)
    return 1 if failed else 0


@quarantine.command()
@click.argument("number", type=_id)
def drop(number: int) -> None:
    """Nobody needs this one: it no longer waits. Its bytes stay."""
    from crm_store import quarantine as held

    with shared.store() as opened:
        held.drop(opened, number, shared.who(), clock.system())
    click.echo(f"{number} no longer waits.")


# ------------------------------------------------------------------------------------------------------ customers


@click.group()
def customers() -> None:
    """Find, show, merge and unmerge customers."""


@customers.command()
@click.argument("text")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@_json
def find(text: str, limit: int, machine: bool) -> None:
    """Customers by an address, a part of a name, or the number of a conversation of theirs ("#1042")."""
    from crm_store import customers as people

    with shared.store() as opened, opened.read() as tx:
        found = people.find(tx, text, limit=limit)
    if machine:
        shared.as_json(list(found))
        return
    if not found:
        raise NotFound(f"no customer for {text!r}")
    for hit in found:
        who = hit.customer
        click.echo(
            f"{who.id}  {who.stage:<8} {safe(who.name or '(no name)', 40):<30} {safe(', '.join(hit.urns), 100)}"
        )


@customers.command("show")
@click.argument("customer", type=_id)
@_json
def show_customer(customer: int, machine: bool) -> None:
    """One customer: addresses, conversations, merges, and who may be the same person."""
    from crm_store import views

    with shared.store() as opened, opened.read() as tx:
        view = views.customer(tx, customer)
    if machine:
        shared.as_json(view)
        return
    who = view.customer
    click.secho(f"{safe(who.name or '(no name)')}", bold=True, nl=False)
    click.echo(
        f"  {who.id}  {who.kind}, {who.stage}, brand {who.brand}" + (f", tier {who.tier}" if who.tier else "")
    )
    if who.id != customer:
        click.secho(f"  ({customer} was merged into this one)", dim=True)
    for address in view.identities:
        marks = [
            "verified" if address.verified else "claimed",
            *(f"opted out of {s}" for s in address.opted_out),
        ]
        click.echo(f"  {safe(address.urn):<40} {', '.join(marks)}")
    for card in view.conversations:
        click.echo(
            f"  #{card.number:<6} {card.state:<8} {card.queue:<16} {safe(card.subject or card.preview, 60)}"
        )
    for merge in view.merges:
        undone = f", taken back {merge.undone_at:%Y-%m-%d}" if merge.undone_at else ""
        click.echo(
            f"  merge {merge.id}: {merge.merged_id} into {merge.survivor_id}, {merge.at:%Y-%m-%d} by {merge.by}{undone}"
        )
    for proposal in view.proposals:
        reasons = "; ".join(proposal.reasons)
        click.echo(
            f"  maybe the same: {proposal.customer_id} {safe(proposal.customer_name, 40)} ({safe(reasons)})"
        )


@customers.command()
@click.argument("survivor", type=_id)
@click.argument("merged", type=_id)
@click.option("--why", default="", help="The reason, for the records.")
def merge(survivor: int, merged: int, why: str) -> None:
    """Make MERGED and SURVIVOR one customer. `unmerge` takes it back at any time."""
    from crm_store import merges

    if survivor == merged:
        raise Refused("a customer cannot be merged with themselves: give two numbers")
    with shared.store() as opened:
        done = opened.run(
            lambda tx: merges.merge(
                tx, opened.ids, survivor=survivor, merged=merged, why=why, by=shared.who(), now=clock.system()
            )
        )
    if not done.new:
        click.echo("They are one already; nothing changed.")
        return
    click.echo(f"Merged: {len(done.identity_ids)} addresses moved to {done.survivor_id}.")
    click.secho(f"To take it back: mainstem customers unmerge {done.id}", dim=True)


@customers.command()
@click.argument("merge_id", metavar="MERGE", type=_id)
def unmerge(merge_id: int) -> None:
    """Take back MERGE, a number that `merge` printed and `show` lists."""
    from crm_store import merges

    with shared.store() as opened:
        done = opened.run(
            lambda tx: merges.unmerge(tx, opened.ids, merge_id, by=shared.who(), now=clock.system())
        )
    click.echo(f"Taken back: {len(done.identity_ids)} addresses are {done.merged_id}'s again.")
