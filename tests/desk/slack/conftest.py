"""The room in which things are pressed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from desk.slack import app, enclosing, home_actions, press
from tests.desk.slack.pressing import Pressing, pressing
from tests.servers.slack import delivery, views


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's three seconds, and ours of them, are met by a busy machine. Where they are the subject a test sets its
    own."""
    monkeypatch.setattr(delivery, "ACK_S", 60.0)
    monkeypatch.setattr(views, "TRIGGER_S", 60.0)
    for module, name in (
        (app, "ACK_S"), (press, "DEADLINE_S"), (press, "FIRST_S"), (enclosing, "_FETCH_S"), (home_actions, "_SLACK_S"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 50.0)


@pytest.fixture
async def world(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Pressing]:
    async with pressing(sqlite_url, tmp_path / "blobs") as made:
        yield made
