"""What fault tests share: an installation over SQLite, and one over a PostgreSQL of its own that may be killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.faults.installation import Installation
from tests.servers import NotAvailable
from tests.servers.postgres import Postgres


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path) as installation:
        yield installation


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server for one test alone, with fsync as in production: it is going to be killed."""
    try:
        server = Postgres(fsync=True, tcp=True)
    except NotAvailable as because:
        absent("PostgreSQL", because)
        raise
    with server:
        yield server


@pytest.fixture
def pg_hub(tmp_path: Path, postgres: Postgres) -> Iterator[Installation]:
    with Installation(tmp_path, postgres.create("hub")) as installation:
        yield installation
