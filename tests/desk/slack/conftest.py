"""The room in which things are pressed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.desk.slack.pressing import Pressing, pressing


@pytest.fixture
async def world(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Pressing]:
    async with pressing(sqlite_url, tmp_path / "blobs") as made:
        yield made
