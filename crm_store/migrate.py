"""Bringing a database to this version's schema, and refusing one that this version cannot live with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, text

from crm_store.db import engine_for
from crm_store.schema import MIN_CODE, VERSION, schema_info
from hub.errors import MainstemError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig


class WrongSchema(MainstemError):
    """The database is older than this code, or too new for it."""


_LOCK = 0x6D61696E  # any number of ours, for PostgreSQL's advisory lock: one migrator at a time


def alembic_config() -> AlembicConfig:
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(url: str) -> None:
    """Create or upgrade the schema at `url`. Twice is harmless; two at once wait for each other.

    Raises WrongSchema where the database was made by a version that this code is too old for.
    """
    # Here and not above: every process checks the schema, and only a release needs the 12 MB of Alembic.
    from alembic import command

    engine = engine_for(url)
    try:
        with engine.connect() as connection:
            tx = connection.execution_options(mainstem_write=True)
            with tx.begin():
                if engine.dialect.name == "postgresql":
                    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                if inspect(tx).has_table("schema_info"):
                    _refuse_newer(tx.execute(select(schema_info)).one_or_none())
                config = alembic_config()
                config.attributes["connection"] = tx
                command.upgrade(config, "head")
                tx.execute(schema_info.delete())
                tx.execute(schema_info.insert().values(one=1, version=VERSION, min_code=MIN_CODE))
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Raises WrongSchema unless this code can work with the database at `url` as it is."""
    engine = engine_for(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("schema_info"):
                raise WrongSchema("the database has no tables yet: run `mainstem release`")
            row = connection.execute(select(schema_info)).one()
            _refuse_newer(row)
            if row.version < VERSION:
                raise WrongSchema(
                    f"the database has schema {row.version}, this code needs {VERSION}: run `mainstem release`"
                )
    finally:
        engine.dispose()


def _refuse_newer(row: object) -> None:
    if row is not None and row.min_code > VERSION:  # type: ignore[attr-defined]
        raise WrongSchema(
            f"the database has schema {row.version}, which needs code of version {row.min_code} or newer;"  # type: ignore[attr-defined]
            f" this is {VERSION}"
        )
