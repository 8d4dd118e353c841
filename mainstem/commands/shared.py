"""What the commands share: the settings, the store and Redis of this folder, and how to print."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from hub.errors import NotFound, Unavailable

if TYPE_CHECKING:
    import redis

    from crm_store.db import Store
    from hub.config import Config
    from hub.settings import Settings


@cache
def settings() -> Settings:
    """The environment's settings; what it leaves open is taken from the `up` that runs over the same data folder.

    Another PORT means another installation. Raises SettingsError with a line a fault.
    """
    from hub.settings import load
    from mainstem import beside

    given = load()
    running = beside.found(given.data)
    if not running or os.environ.get("PORT", "") not in ("", running["PORT"]):
        return given
    os.environ.update({name: value for name, value in running.items() if not os.environ.get(name)})
    return load()


def redis_url(found: Settings) -> str:
    """`REDIS_URL`, or the embedded server that an `up` in this folder keeps. Raises Unavailable where neither is."""
    from mainstem import embedded

    if found.redis_url is not None:
        return found.redis_url
    if embedded.runs(found.data):
        return embedded.url(found.data)
    raise Unavailable(
        f"no `mainstem up` is running over {found.data} and REDIS_URL is not set: start the one or set the other"
    )


@contextmanager
def redis_client() -> Iterator[redis.Redis]:
    """A synchronous client that gives up within seconds."""
    from hub.redis import connect

    client = connect(redis_url(settings()))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def store() -> Iterator[Store]:
    """The store of this folder, its schema checked. Raises Unavailable or WrongSchema with what to do."""
    found = settings()
    path = sqlite_path(found)
    if path is not None and not path.exists():
        raise Unavailable(
            f"there is no database at {path} yet: run `mainstem up` or `mainstem release` first"
        )
    from crm_store.db import Store
    from crm_store.migrate import check

    check(found.database)
    opened = Store.open(found.database, pool_size=1)
    try:
        yield opened
    finally:
        opened.close()


def sqlite_path(found: Settings) -> Any:
    """The database's file; None where it is no SQLite."""
    from pathlib import Path

    url = found.database
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def config(opened: Store) -> Config:
    """The configuration as applied. Raises NotFound where none ever was."""
    from mainstem.prepare import in_force

    current = in_force(opened)
    if current is None:
        raise NotFound("no configuration is applied yet: run `mainstem config apply`")
    return current


def who() -> str:
    """Who acts, for the records: the name of the terminal's user."""
    import getpass

    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return "shell"


def as_json(value: Any) -> None:
    """Print for machines: one document, times in ISO 8601."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def console() -> Any:
    """A rich console on standard output."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=160)  # a pipe folds nothing
