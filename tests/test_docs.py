"""The documentation names every command, setting, metric, condition and connector; it fails when the docs lag."""

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from benchmarks import __main__ as bench
from connectors import CONNECTORS
from hub.settings import Settings, variable
from mainstem import cli
from mainstem.metrics import COUNTERS, GAUGES
from router.conditions import ALL_WORDS, CUSTOMER_WORDS, TEXT_WORDS

DOCS = Path(__file__).parents[1] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
ROUTING = (DOCS / "routing.md").read_text()


def commands() -> list[str]:
    """`up`, `config check`, ...: everything a person may type."""
    found = []
    context = click.Context(cli.cli)
    for name in cli.cli.list_commands(context):
        command = cli.cli.get_command(context, name)
        if isinstance(command, click.Group):
            found += [f"{name} {below}" for below in command.list_commands(context)]
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_described(command: str) -> None:
    group, _, below = command.partition(" ")
    rows = [line for line in OPERATIONS.splitlines() if line.startswith("| `mainstem ")]
    if below:
        assert any(f"`mainstem {group} " in row and re.search(rf"\b{below}\b", row) for row in rows)
    else:
        assert any(re.search(rf"`(mainstem )?{group}[ `\[]", row.split("|")[1]) for row in rows)


@pytest.mark.parametrize("name", [known.name for known in fields(Settings)])
def test_every_setting_is_described(name: str) -> None:
    assert f"| `{variable(name)}` |" in OPERATIONS


def test_no_setting_is_described_that_is_not_there() -> None:
    told = set(re.findall(r"^\| `((?:MAINSTEM_)?[A-Z_]+)` \|", OPERATIONS, re.MULTILINE))
    assert told == {variable(known.name) for known in fields(Settings)}


def test_every_metric_is_described_with_its_labels() -> None:
    told = dict(re.findall(r"^\| `(mainstem_\w+)` \| ([\w, ]*)\|", OPERATIONS, re.MULTILINE))
    named = {name: ", ".join(labels) for name, (_, labels) in {**GAUGES, **COUNTERS}.items()}
    assert {name: labels.strip() for name, labels in told.items()} == named


@pytest.mark.parametrize("word", sorted({*ALL_WORDS, *CUSTOMER_WORDS, *TEXT_WORDS}))
def test_every_condition_is_described(word: str) -> None:
    assert re.search(rf"\b{word}\b", ROUTING)


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_every_connector_has_its_page(name: str) -> None:
    page = (DOCS / "channels" / f"{name}.md").read_text()
    assert len(page) > 500


def test_no_link_between_the_pages_is_broken() -> None:
    broken = []
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(DOCS)} -> {target}")
    assert broken == []


def test_the_page_of_figures_is_what_the_benchmarks_would_write() -> None:
    said = bench.PAGE.read_text()
    assert bench.page(bench.kept(), bench.remarks(said)) == said
    assert bench.remarks(said)
