"""docs/security.md names rows, files and tests: each is there, and no test of this folder is forgotten."""

import re
from pathlib import Path

from hub.settings import Settings, variable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S13", "S14", "S16", "S17", "S18",
        "S19", "S21")  # fmt: skip


def row(name: str) -> list[str]:
    (line,) = re.findall(rf"^\| {name} .*$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_row_says_what_where_and_which_test() -> None:
    for name in ROWS:
        _, what, where, tests = row(name)
        assert len(what) > 40, name
        files, proofs = re.findall(r"`([^`]+)`", where), re.findall(r"`([^`]+)`", tests)
        assert files, name
        assert proofs, name
        for path in files + proofs:
            assert (ROOT / path).is_file(), path
        assert all(path.startswith("tests/") for path in proofs), name
        assert not any(path.startswith("tests/") for path in files), name


def test_no_test_of_this_folder_is_forgotten() -> None:
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path == Path(__file__) or f"`tests/security/{path.name}`" in PAGE, path.name


def test_the_settings_it_names_are_there() -> None:
    known = {variable(field) for field in Settings.__dataclass_fields__}
    assert set(re.findall(r"\b(?:MAINSTEM_[A-Z_]+|REDIS_URL|DATABASE_URL)\b", PAGE)) <= known
