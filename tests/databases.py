"""Which database a test runs on where one is enough: whatever the store is asked, tests/store asks it on both.

A file keeps its broadest tests on both and gives each of the others to one of them, by turns.
"""

import pytest

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
