"""The folders' names are generic, so what ships and who owns a name is written down and held to the tree."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {"hub", "connectors", "crm_store", "router", "desk", "workers", "mainstem"}
# Folders of ours that are imported from the root without being installed.
BESIDE = {"config", "tests", "benchmarks"}

# In pieces, so that this file does not hold what it looks for.
REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted",
    "registry" + ".npmjs",
    "proxy.golang" + ".org",
    "--index" + "-url",
    "--extra-index" + "-url",
    "--find" + "-links",
)


def committed_files() -> list[Path]:
    """Every text file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:  # an unpacked archive: all but what tools make
        return [
            path
            for path in ROOT.rglob("*")
            if path.is_file()
            and not {".venv", ".git", "var", "__pycache__"} & set(path.relative_to(ROOT).parts)
        ]
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_other_distribution_owns_one_of_our_names() -> None:
    # One owner may stand several times, once a file.
    owners = importlib.metadata.packages_distributions()
    others = {name: set(owners.get(name, ())) - {"mainstem"} for name in ROOMS | BESIDE}
    assert {name: found for name, found in others.items() if found} == {}


def test_every_package_is_listed_by_name() -> None:
    in_tree = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for room in ROOMS
        for file in (ROOT / room).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == in_tree


def test_it_is_never_uploaded() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def process_types() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(re.fullmatch(r"([a-z]+): (.+)", line).groups() for line in lines)  # type: ignore[union-attr]


def test_procfile_has_a_line_for_each_process_type() -> None:
    assert set(process_types()) == {"release", "web", "router", "worker", "clock", "pull", "desk", "slack"}


@pytest.mark.parametrize("process", ["release", "web", "router", "worker", "clock", "pull", "desk", "slack"])
def test_procfile_names_commands_that_exist(process: str) -> None:
    program, name, *_ = process_types()[process].split()
    assert program == "mainstem"
    from mainstem.cli import cli

    assert isinstance(cli, click.Group)
    assert name in cli.list_commands(click.Context(cli))


def test_no_committed_file_names_a_package_registry() -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {needle}"
        for path in committed_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for needle in REGISTRIES
        if needle in line
    ]
    # The one place where the options' names must stand: it tells the resolver to leave them out.
    assert [line for line in lines if not line.startswith("Makefile:")] == []


@pytest.mark.parametrize("flavour", ["run", "dev", "uv"])
def test_every_locked_package_has_its_hashes(flavour: str) -> None:
    text = (ROOT / "requirements" / f"{flavour}.txt").read_text()
    packages = [part for part in re.split(r"\n(?=\w)", text) if not part.startswith("#") or "==" in part]
    assert packages
    assert [package for package in packages if "==" not in package or "--hash=sha256:" not in package] == []
