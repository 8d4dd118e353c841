"""A real PostgreSQL from the system's own binaries, in a folder that goes when the tests go."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psycopg

from tests.servers import NotAvailable, Server, free_port, short_folder

OLDEST = 14


def _candidates() -> Iterator[Path]:
    """Folders that may hold the binaries: as told, as distributions keep them (newest first), on PATH."""
    if told := os.environ.get("PG_BIN"):
        yield Path(told)
    kept = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    yield from sorted(kept, key=lambda folder: int(re.findall(r"\d+", str(folder))[-1]), reverse=True)
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent


def find_binaries() -> Path:
    """The folder with initdb and postgres of a version we support."""
    for folder in _candidates():
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            version = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True
            ).stdout
            found = re.search(r"\(PostgreSQL\) (\d+)", version)
            if found and int(found[1]) >= OLDEST:
                return folder
    raise NotAvailable(
        f"no initdb of PostgreSQL {OLDEST} or newer was found (Debian: apt-get install postgresql)"
    )


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: somebody else's name there, None where we are somebody already."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NotAvailable("we are root, and there is no user postgres or nobody to run PostgreSQL as")


class Postgres(Server):
    """One cluster in one folder; `with Postgres() as postgres: ...` makes, starts and removes it.

    It listens on a unix socket, and with `tcp=True` on a free port of 127.0.0.1 too. With `fsync=False` it is
    quick, and survives its own kill but not the machine's; `fsync=True` is as in production.
    """

    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back

    def __init__(self, *, fsync: bool = False, tcp: bool = False) -> None:
        self.binaries = find_binaries()
        self.user = unprivileged_user()
        # A database is a thousand files, and a disk takes long to make them.
        super().__init__(short_folder("ms-pg", quick=not fsync))
        self.port = free_port() if tcp else 5432
        self.tcp = tcp
        self.fsync = fsync
        if self.user:
            self.folder.chmod(0o755)
            shutil.chown(self.folder, self.user)
        # fmt: off
        self._run(
            "initdb", "--pgdata=data", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
            "--no-sync", "--no-instructions",
        )
        # fmt: on

    def start(self, *options: str) -> Self:
        """Start it, or start it again over the same data; `options` are server options, `-c name=value`."""
        settings = {
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "unix_socket_directories": str(self.folder),
            "port": self.port,
            "fsync": "on" if self.fsync else "off",
            "synchronous_commit": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "shared_buffers": "64MB",
            "max_connections": 200,
            "max_wal_size": "1GB",
            "autovacuum_naptime": "10min",
            # In its folder, which goes with it.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
        }
        pairs = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.spawn(
            [str(self.binaries / "postgres"), "-D", "data", *pairs, *options], self._answers, user=self.user
        )
        return self

    def close(self) -> None:
        """Ended at once, and not killed: it would leave shared memory behind, of which a machine has only so much."""
        if self.running:
            self.thaw()
            assert self.process is not None
            self.process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        super().close()

    def url(self, database: str) -> str:
        """What `DATABASE_URL` would say; psycopg takes it as it is."""
        if self.tcp:
            return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection":
        """A bare connection in autocommit."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        )

    def create(self, database: str, *, template: str = "template1") -> str:
        """A new database, a copy of `template` (which nobody may be connected to); its URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, and whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.folder,
            user=self.user,
            group=self.user and pwd.getpwnam(self.user).pw_gid,
            extra_groups=[] if self.user else None,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
