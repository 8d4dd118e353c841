"""The servers and guards that all other tests lean on do what they say."""

import asyncio
import socket
import sqlite3
from pathlib import Path

import psycopg
import pytest
import redis as redis_py

from tests.conftest import _is_near
from tests.servers.emptied import Emptied
from tests.servers.postgres import Postgres
from tests.servers.valkey import Valkey


def test_valkey_keeps_what_it_acknowledged_through_a_kill() -> None:
    with Valkey(tcp=True) as valkey:
        client = redis_py.Redis.from_url(valkey.url)
        client.xadd("events", {"text": "hello"})
        client.close()
        valkey.kill()
        assert not valkey.running
        valkey.start()
        client = redis_py.Redis.from_url(valkey.url)
        assert client.xlen("events") == 1
        client.close()
    assert not valkey.folder.exists()


def test_a_frozen_valkey_does_not_answer_until_it_is_thawed() -> None:
    with (
        Valkey() as valkey,
        redis_py.Redis(unix_socket_path=str(valkey.socket), socket_timeout=0.1, retry=None) as client,
    ):
        client.set("a", 1)
        valkey.freeze()
        with pytest.raises(redis_py.exceptions.TimeoutError):
            client.get("a")
        valkey.thaw()
        assert client.get("a") == b"1"


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_valkey_empty(redis: "redis_py.Redis", turn: int) -> None:
    assert redis.keys() == []
    redis.set("left", turn)


async def test_the_asyncio_client_speaks_to_the_same_server(
    async_redis: "redis_py.asyncio.Redis", valkey: str
) -> None:
    await async_redis.set("a", "1")
    with redis_py.Redis.from_url(valkey) as client:
        assert client.get("a") == b"1"


@pytest.mark.postgres
def test_each_postgresql_database_is_a_copy_of_its_own(postgres_server: Postgres) -> None:
    original = postgres_server.create("fixture_original")
    with psycopg.connect(original) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
    copy = postgres_server.create("fixture_copy", template="fixture_original")
    with psycopg.connect(copy) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
        connection.execute("DELETE FROM t")
    with psycopg.connect(original) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
    postgres_server.drop("fixture_copy")
    postgres_server.drop("fixture_original")


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement, same",
    [
        ("INSERT INTO counters (name, value) VALUES ('x', 1)", True),
        ("SELECT nextval('conversation_number')", True),
        ("CREATE TABLE more (x int)", False),
        ("ALTER TABLE counters ADD COLUMN more int", False),
        ("ALTER TABLE counters ALTER COLUMN value DROP NOT NULL", False),
        ("DROP INDEX INDEX", False),
        ("UPDATE alembic_version SET version_num = 'x'", False),
        ("ALTER DATABASE DATABASE SET work_mem = '1MB'", False),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", False),
    ],
)
def test_the_next_test_finds_postgresql_as_if_it_were_new(
    emptied_postgres: Emptied, statement: str, same: bool
) -> None:
    """Emptied where rows alone were written, and made anew after anything else; whoever is connected is sent away."""
    url = emptied_postgres.take()
    index = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisunique AND indexrelid >= 16384 LIMIT 1"
    stays = psycopg.connect(url)
    with psycopg.connect(url) as connection:
        name = connection.execute(index).fetchone()[0]
        connection.execute(
            statement.replace("DATABASE SET", f'"{connection.info.dbname}" SET').replace(
                "INDEX INDEX", f"INDEX {name}"
            )
        )
    emptied_postgres.give_back()
    with pytest.raises(psycopg.OperationalError):
        stays.execute("SELECT 1")
    stays.close()
    again = emptied_postgres.take()
    assert (again == url) == same
    with psycopg.connect(again) as connection:
        assert connection.execute("SELECT count(*) FROM counters").fetchone() == (0,)
        assert connection.execute("SELECT nextval('conversation_number')").fetchone() == (1001,)
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute(index).fetchone() == (name,)
    emptied_postgres.give_back()


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres_server")  # announces the skip where there is no PostgreSQL
def test_postgresql_comes_back_after_a_kill_with_what_was_committed() -> None:
    with Postgres(fsync=True, tcp=True) as postgres:
        with psycopg.connect(postgres.url("postgres")) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS x")
        postgres.kill()
        postgres.start()
        with psycopg.connect(postgres.url("postgres")) as connection:
            assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
        postgres.stop()
        assert not postgres.running


def test_a_database_is_migrated_and_empty(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        rows = connection.execute("SELECT count(*) FROM interactions").fetchall()
        connection.close()
    else:
        with psycopg.connect(database_url) as opened:
            rows = opened.execute("SELECT count(*) FROM interactions").fetchall()
    assert rows == [(0,)]


@pytest.mark.parametrize(
    "host, near",
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
        ("example.com", False),
    ],
)
def test_what_counts_as_near(host: str, near: bool) -> None:
    assert _is_near(host) is near


FAR_TESTS = """
import asyncio, contextlib, socket
import aiohttp, uvloop

async def open_asyncio():
    await asyncio.open_connection("192.0.2.1", 9)

async def open_aiohttp():
    async with aiohttp.ClientSession() as session:
        await session.get("http://192.0.2.1:9/")
"""
FAR_TEST = """
def test_{way}():
    with contextlib.suppress(OSError, aiohttp.ClientError):
        {code}
"""
FAR = {
    "connect": 'with socket.socket() as s: s.connect(("192.0.2.1", 9))',
    "connect_ex": 'with socket.socket() as s: s.connect_ex(("192.0.2.1", 9))',
    "datagram": 'with socket.socket(type=socket.SOCK_DGRAM) as s: s.sendto(b"x", ("192.0.2.1", 9))',
    "look_up": 'socket.getaddrinfo("far.example", 80)',
    "on_asyncio": "asyncio.run(open_asyncio())",
    "on_uvloop": "uvloop.run(open_aiohttp())",
}


def test_a_test_that_reaches_beyond_the_loopback_fails_even_where_the_error_is_hidden(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest("from tests.conftest import _loopback_only")
    pytester.makepyfile(FAR_TESTS + "".join(FAR_TEST.format(way=way, code=code) for way, code in FAR.items()))
    result = pytester.runpytest(
        "-p", "no:valkey", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"
    )
    result.assert_outcomes(passed=len(FAR), errors=len(FAR))  # each was let go on, and found out afterwards
    said = [line for line in result.outlines if line.startswith("E  ") and "beyond the loopback: " in line]
    assert len(said) == len(FAR)


def test_the_loopback_is_open() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())


@pytest.mark.parametrize("no_skip, outcome", [("", {"skipped": 1}), ("1", {"failed": 1})])
def test_a_skip_is_announced_and_fails_where_nothing_may_be_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, no_skip: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("MAINSTEM_NO_SKIP", no_skip)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pytester.makeconftest("from tests.conftest import *\nfrom tests.conftest import _loopback_only")
    pytester.makepyfile(
        "from tests.conftest import absent\ndef test_it():\n    absent('PostgreSQL', 'there is none')"
    )
    result = pytester.runpytest_subprocess("-p", "no:valkey")
    result.assert_outcomes(**outcome)
    if not no_skip:
        result.stdout.fnmatch_lines(["SKIPPED: 1 test with PostgreSQL, because there is none"])


async def test_asyncio_tests_need_no_mark() -> None:
    await asyncio.sleep(0)
