"""What every test may ask for: real servers, a fresh migrated store on each database, and only the loopback.

A test that finds its server missing is skipped, and the run's last lines say so in words; with
`MAINSTEM_NO_SKIP=1` (as `.ci/run` has it) it fails instead.
"""

import functools
import gc
import ipaddress
import os
import shutil
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import redis.asyncio
from hypothesis import settings

from tests.servers import NotAvailable
from tests.servers.emptied import Emptied
from tests.servers.postgres import Postgres
from tests.servers.valkey import Valkey

pytest_plugins = ["pytester"]

# How long one example takes is the machine's affair; what must be quick is in benchmarks/.
settings.register_profile("mainstem", parent=settings.default, deadline=None)
settings.load_profile("mainstem")

NO_SKIP = os.environ.get("MAINSTEM_NO_SKIP", "") not in ("", "0")

# -------------------------------------------------------------------------------------------- skips, in words


def absent(what: str, because: object) -> None:
    """Skip, and have the summary say: SKIPPED: 12 tests with PostgreSQL, because no initdb was found."""
    pytest.skip(f"with {what}, because {because}")


def _fail_instead_of_skip(report: Any) -> None:
    if NO_SKIP and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"MAINSTEM_NO_SKIP is set, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    _fail_instead_of_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    _fail_instead_of_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        if isinstance(report.longrepr, tuple)
        else "no reason given"
        for report in terminalreporter.stats.get("skipped", ())
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"SKIPPED: {count} test{'s' * (count != 1)} {reason}", yellow=True)


@pytest.hookimpl(trylast=True)  # once the deselected are gone
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take file by file: first those that start many processes, then the longest, so that all end together."""
    if hasattr(config, "workerinput"):
        count = Counter(item.path for item in items)
        heavy = {item.path for item in items if _starts_processes(item)}
        items.sort(key=lambda item: (item.path not in heavy, -count[item.path]))


def _starts_processes(item: pytest.Item) -> bool:
    patience_s = max((mark.args[0] for mark in item.iter_markers("timeout")), default=0)
    return patience_s > 120 or item.get_closest_marker("browser") is not None or "faults" in item.path.parts


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Any:
    """What is loaded here stays: the garbage collector need not walk through it, now or a thousand times later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(5_000)  # new objects between two walks; Python's own is 700
        gc.enable()


# ---------------------------------------------------------------------------------------------- loopback only


def _is_near(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that reaches beyond this machine fails, even where the code under test hides the error."""
    reached: list[str] = []

    def guarded(name: str, address_at: int) -> None:
        original: Callable[..., Any] = getattr(socket.socket, name)

        def guard(self: socket.socket, *args: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                host = args[address_at][0]
                if not _is_near(host):
                    reached.append(f"{name} {args[address_at]}")
                    raise PermissionError(f"tests stay on the loopback: {name} {args[address_at]}")
            return original(self, *args)

        monkeypatch.setattr(socket.socket, name, guard)

    guarded("connect", 0)
    guarded("connect_ex", 0)
    guarded("sendto", -1)

    look_up = socket.getaddrinfo

    def guarded_look_up(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if not _is_near(name) and not _is_literal(name):
            reached.append(f"look-up of {name}")
            raise socket.gaierror(socket.EAI_NONAME, f"tests stay on the loopback: look-up of {name}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    if reached:
        pytest.fail(f"the test reached beyond the loopback: {', '.join(reached)}")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------- the stream


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """One Valkey for all tests of this process. Who kills one starts his own: `with Valkey() as v`."""
    with Valkey(appendfsync="everysec") as server:  # as `mainstem up` has it
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> str:
    """The URL of a real Valkey, empty; what `REDIS_URL` would say."""
    if not valkey_server.running:
        valkey_server.start()
    valkey_server.wipe()
    return valkey_server.url


@pytest.fixture
def redis(valkey: str) -> Iterator["redis_py.Redis"]:
    """A synchronous client that tries nothing twice, as a reader's; replies are bytes."""
    with redis_py.Redis.from_url(valkey, retry=None) as client:
        yield client


@pytest.fixture
async def async_redis(valkey: str) -> AsyncIterator["redis.asyncio.Redis"]:
    """An asyncio client; replies are bytes."""
    async with redis_py.asyncio.Redis.from_url(valkey) as client:
        yield client


# -------------------------------------------------------------------------------------------------- the store

TEMPLATE = "mainstem_template"


@pytest.fixture(scope="session", autouse=True)
def _engines() -> Iterator[Any]:
    """Statements are compiled once for all engines of this process, where each test's would do it anew for itself.

    What is compiled is found by its dialect: engines share the first that has asked its server what it is.
    SQLite is quick rather than safe, as the tests' PostgreSQL is: `safe_sqlite` has it as people have it.
    """
    import sqlalchemy

    from crm_store import db

    safe = db._sqlite_connect
    dialects: dict[str, Any] = {}
    compiled: dict[Any, Any] = {}

    def create_engine(url: str, **options: Any) -> sqlalchemy.Engine:
        engine: Any = sqlalchemy.create_engine(url, **options)
        known = dialects.setdefault(engine.dialect.name, engine.dialect)
        if known.server_version_info is not None:
            engine.dialect.initialize = lambda _connection: None
            engine.dialect = known
        engine.update_execution_options(compiled_cache=compiled)
        return engine

    def quick(connection: sqlite3.Connection, record: Any) -> None:
        safe(connection, record)
        connection.execute("PRAGMA synchronous=OFF")  # a test would wait for the disk twenty times

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "create_engine", create_engine)
        patch.setattr(db, "_sqlite_connect", quick)
        # Tests that share a busy machine stand still for seconds, and are not repeated as our processes' work is.
        patch.setattr(db, "_ASLEEP_MS", 100_000)
        yield safe


@pytest.fixture(scope="session", autouse=True)
def _yaml() -> Iterator[None]:
    """A text is parsed once: most tests begin with the same few files. (Its nodes are frozen.)"""
    from hub import yamlfile, yamltree

    once = functools.lru_cache(500)(yamltree.parse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamltree, "parse", once)
        patch.setattr(yamlfile, "parse", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers_close() -> Iterator[None]:
    """Ours and the providers' stand-ins, wherever a test runs them in this process."""
    from aiohttp import web

    from tests.servers.closing import cleanup

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web.BaseRunner, "cleanup", cleanup)
        yield


@pytest.fixture
def safe_sqlite(_engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite as people have it."""
    monkeypatch.setattr("crm_store.db._sqlite_connect", _engines)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of this process, quick rather than safe."""
    try:
        server = Postgres()
    except NotAvailable as because:
        absent("PostgreSQL", because)
        raise
    with server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied and never written."""
    from crm_store.migrate import migrate

    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a copy of the one file is then the whole
    connection.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: Postgres) -> str:
    """The name of a migrated database on the server, to be copied and never written."""
    from crm_store.migrate import migrate

    migrate(postgres_server.create(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite file."""
    path = tmp_path / "mainstem.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def emptied_postgres(postgres_server: Postgres, migrated_postgres: str) -> Iterator[Emptied]:
    """One migrated database for all tests of this process, emptied after each."""
    emptied = Emptied(postgres_server, migrated_postgres)
    yield emptied
    emptied.close()


@pytest.fixture
def postgresql_url(emptied_postgres: Emptied) -> Iterator[str]:
    """A PostgreSQL database as if freshly migrated; emptied afterwards, whoever is still connected."""
    yield emptied_postgres.take()
    emptied_postgres.give_back()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database: the test runs once on SQLite and once on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(database_url: str) -> Iterator[Any]:
    """An open store over `database_url`, closed afterwards."""
    from crm_store.db import Store

    opened = Store.open(database_url)
    yield opened
    opened.close()


# ------------------------------------------------------------------------------------------------ the browser


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that the system has."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    absent("a browser", "no Chromium was found (Debian: apt-get install chromium)")
    raise AssertionError


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium under Playwright's synchronous interface.

    It holds an event loop of its own in this thread, so asyncio tests stand in other files.
    Mark the tests `browser`.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a browser profile of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
