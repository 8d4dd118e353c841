"""`mainstem doctor`: reads the settings that decide what a crash costs, and says it in plain words.

Looks only: the one thing it writes is a file of 4 KiB beside the journal, to time the disk, and it removes it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.errors import MainstemError
from hub.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.config import Account

LOW_DISK_BYTES = 1 << 30
NO_DISK_BYTES = 100 << 20
SLOW_FSYNC_MS = 20.0  # group commit hides it, but a burst waits in line for it
SKEW_S = 2.0  # signatures allow minutes; rank_at, leases and due times are compared across machines
_VOLATILE = {"tmpfs", "ramfs"}
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}  # flock and WAL need a local disk


class Level(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `cost`: what a crash or a loss there costs, where that is the question."""

    part: str
    level: Level
    said: str
    cost: str = ""


def examine(settings: Settings, redis_url: Callable[[Settings], str]) -> list[Finding]:
    """Everything, in the order a message passes through it. A part that fails is a finding, never an exception."""
    found: list[Finding] = []
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("journal", lambda: _journal(settings)),
        ("blobs", lambda: _blobs(settings)),
        ("redis", lambda: _redis(redis_url(settings))),
        ("database", lambda: _database(settings)),
        ("configuration", lambda: _configuration(settings)),
        ("mailboxes", lambda: _mailboxes(settings)),
        ("channels", lambda: _channels(settings)),
        ("processes", lambda: _processes(settings)),
        ("slack", lambda: _slack(settings)),
    )
    for part, look in looks:
        try:
            found += look()
        except (MainstemError, OSError) as error:
            found.append(Finding(part, Level.RED, str(error)))
    return found


# ------------------------------------------------------------------------------------------------------ the disks


def _journal(settings: Settings) -> Iterator[Finding]:
    folder = settings.data / "journal"
    cost = (
        "a crash of web costs nothing that was answered; the loss of this disk costs what was answered and not yet"
        " stored, normally the last second"
    )
    if not settings.data.exists():
        yield Finding("journal", Level.YELLOW, f"{settings.data} does not exist yet: run `mainstem up`", cost)
        return
    place = folder if folder.is_dir() else settings.data
    yield from _disk("journal", place)
    try:
        ms = _fsync_ms(place)
    except OSError as error:
        said = f"{place} cannot be written ({error.strerror}): web answers every provider “try again later”"
        yield Finding("journal", Level.RED, said, cost)
        return
    level = Level.GREEN if ms < SLOW_FSYNC_MS else Level.YELLOW
    yield Finding("journal", level, f"{place}: an fsync takes {ms:.1f} ms (median of 9)", cost)


def _disk(part: str, place: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(place).free
    kind = filesystem_of(place)
    if free < LOW_DISK_BYTES:
        level = Level.RED if free < NO_DISK_BYTES else Level.YELLOW
        yield Finding(part, level, f"only {free / 1e6:,.0f} MB are free at {place}")
    else:
        yield Finding(part, Level.GREEN, f"{free / 1e9:,.1f} GB are free at {place} ({kind})")
    if kind in _VOLATILE:
        yield Finding(
            part, Level.RED, f"{place} is in memory ({kind})", "a restart of the machine loses it all"
        )
    if kind in _NETWORK:
        yield Finding(
            part, Level.RED, f"{place} is on a network ({kind})", "its locks and fsyncs are not sure"
        )


def filesystem_of(place: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system that holds `place`; "unknown" off Linux."""
    best, kind = "", "unknown"
    with suppress(OSError):
        here = f"{place.resolve()}/"
        for line in mounts.read_text().splitlines():
            _, point, what, *_ = line.split()
            point = point.replace("\\040", " ")
            if here.startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                best, kind = point, what
    return kind


def _fsync_ms(place: Path) -> float:
    path = place / f".doctor-{os.getpid()}"
    times = []
    try:
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        try:
            for _ in range(9):
                began = time.perf_counter()
                os.pwrite(fd, b"\0" * 4096, 0)
                os.fsync(fd)
                times.append((time.perf_counter() - began) * 1000)
        finally:
            os.close(fd)
    finally:
        path.unlink(missing_ok=True)
    return statistics.median(times)


def _blobs(settings: Settings) -> Iterator[Finding]:
    from mainstem import blobcheck

    if isinstance(settings.blobs, str) or settings.data.exists():
        level, said = blobcheck.look(settings)
        yield Finding("blobs", Level(level), said, blobcheck.COST)


# ------------------------------------------------------------------------------------------- Redis and the store


def _redis(url: str) -> Iterator[Finding]:
    from mainstem.redischeck import examine as look

    yield from look(url)


def _database(settings: Settings) -> Iterator[Finding]:
    from crm_store.db import Store
    from crm_store.migrate import check
    from mainstem.commands.shared import sqlite_path

    path = sqlite_path(settings)
    if path is not None and not path.exists():
        yield Finding("database", Level.RED, f"there is no database at {path} yet: run `mainstem up`")
        return
    check(settings.database)
    store = Store.open(settings.database, pool_size=1)
    try:
        with store.read() as tx:
            if store.postgresql:
                yield from _postgresql(tx)
            else:
                yield from _sqlite(tx)
        if path is not None:
            yield from _disk("database", path.parent)
    finally:
        store.close()


def _sqlite(tx: Connection) -> Iterator[Finding]:
    mode = str(tx.exec_driver_sql("PRAGMA journal_mode").scalar())
    sync = int(tx.exec_driver_sql("PRAGMA synchronous").scalar() or 0)
    version = str(tx.exec_driver_sql("SELECT sqlite_version()").scalar())
    ok = mode == "wal" and sync >= 2
    cost = "a crash costs nothing committed; the loss of this disk costs everything since the last backup"
    names = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    said = f"SQLite {version}, journal {mode.upper()}, synchronous {names.get(sync, sync)}"
    yield Finding("database", Level.GREEN if ok else Level.RED, said, cost)
    yield Finding("database", Level.GREEN, "one machine only: set DATABASE_URL to PostgreSQL for several")


def _postgresql(tx: Connection) -> Iterator[Finding]:
    def show(name: str) -> str:
        return str(tx.exec_driver_sql(f"SHOW {name}").scalar())

    version = int(show("server_version_num"))
    said = f"PostgreSQL {show('server_version')}"
    if version >= 140000:
        yield Finding("database", Level.GREEN, said)
    else:
        yield Finding("database", Level.RED, f"{said} is too old: 14 or newer is needed")
    risky = [name for name in ("fsync", "full_page_writes") if show(name) != "on"]
    if risky:
        cost = "a crash of the machine may damage the database for good"
        yield Finding("database", Level.RED, f"{' and '.join(risky)} off", cost)
    if show("synchronous_commit") == "off":
        cost = "a crash costs the last commits, which the journal has cut already: those messages are lost"
        yield Finding("database", Level.RED, "synchronous_commit is off: set it on", cost)
    elif not risky:
        cost = (
            "a crash costs nothing committed; the loss of this disk what is not in the standby or the backup"
        )
        said = f"fsync on, synchronous_commit {show('synchronous_commit')}"
        yield Finding("database", Level.GREEN, said, cost)
    theirs: Any = tx.exec_driver_sql("SELECT clock_timestamp()").scalar()
    yield _skew(theirs)


def _skew(theirs: datetime) -> Finding:
    away = abs(datetime.now(theirs.tzinfo) - theirs)
    if away > timedelta(seconds=SKEW_S):
        said = (
            f"this machine's clock and the database's differ by {away.total_seconds():.1f} s: run NTP on both"
        )
        return Finding("database", Level.YELLOW, said)
    return Finding("database", Level.GREEN, f"the clocks agree within {away.total_seconds() * 1000:.0f} ms")


def _configuration(settings: Settings) -> Iterator[Finding]:
    from connectors import accounts
    from crm_store.db import Store
    from hub.configfiles import digest, read_folder
    from hub.secrets import load_key
    from mainstem import demo_accounts
    from mainstem.prepare import in_force

    store = Store.open(settings.database, pool_size=1)
    try:
        current = in_force(store)
    finally:
        store.close()
    if current is None:
        yield Finding("configuration", Level.RED, "none is applied yet: run `mainstem config apply`")
        return
    yield Finding("configuration", Level.GREEN, f"{current.hash[:12]} is in force: {_counted(current)}")
    if settings.config.is_dir():
        files, _ = demo_accounts.over(read_folder(settings.config), os.environ)
        if digest(files) != current.hash:
            said = f"the folder {settings.config} differs from what is in force: mainstem config apply"
            yield Finding("configuration", Level.YELLOW, said)
    resolved, troubles = accounts.resolve(current, os.environ, load_key(settings))
    for key, trouble in sorted(troubles.items()):
        yield Finding("configuration", Level.YELLOW, f"{key} does not work: {trouble}")
    if resolved:
        yield Finding("configuration", Level.GREEN, f"accounts that work: {', '.join(sorted(resolved))}")
    yield from shared_secrets(list(resolved.values()))
    yield from file_links(settings, demo_accounts.others(resolved.values(), os.environ))


def shared_secrets(found: Sequence[Account]) -> Iterator[Finding]:
    """Two variables may hold one secret, which `config check` cannot see."""
    from connectors import accounts

    for place, account in enumerate(found):
        for said in accounts.shares(account, found[:place], lambda one: one.secrets):
            yield Finding("configuration", Level.YELLOW, f"{account.key}: {said}")


def file_links(settings: Settings, found: Sequence[Account]) -> Iterator[Finding]:
    """Files that go out as links need an address that providers and customers can reach."""
    from connectors import CONNECTORS

    linking = sorted(account.key for account in found if CONNECTORS[account.connector].limits.links)
    if linking and settings.public_url is None:
        yield Finding(
            "configuration",
            Level.YELLOW,
            f"where a file goes out as a link ({', '.join(linking)}), nobody can open it: it begins with"
            f" {settings.public_address}, this machine's own address; set MAINSTEM_PUBLIC_URL to the one by which the"
            " world reaches the edge",
        )


def _mailboxes(settings: Settings) -> Iterator[Finding]:
    from mainstem.mailcheck import examine as look

    yield from look(settings)


def _channels(settings: Settings) -> Iterator[Finding]:
    from mainstem.channelcheck import examine as look

    yield from look(settings)


def _counted(config: Any) -> str:
    counts = {
        "accounts": config.accounts,
        "queues": config.queues,
        "rules": config.rules,
        "agents": config.agents,
    }
    return ", ".join(f"{len(of)} {what}" for what, of in counts.items())


# --------------------------------------------------------------------------------------------------- the processes


def _processes(settings: Settings) -> Iterator[Finding]:
    import asyncio

    from mainstem.up import asks_readyz

    costs = {
        "web": "providers call again, chats reconnect; nothing answered is lost",
        "desk": "agents log in again where their session ended; nothing typed and sent is lost",
    }
    for name, port in (("web", settings.port), ("desk", settings.desk_port_or_next)):
        answer = asyncio.run(asks_readyz(settings.near_host, port))
        if answer is None:
            yield Finding(
                "processes",
                Level.YELLOW,
                f"{name} does not answer on port {port} of this machine",
                costs[name],
            )
        elif answer[0] != 200:
            yield Finding("processes", Level.RED, f"{name} is not ready: {answer[1].strip()}", costs[name])
        else:
            yield Finding("processes", Level.GREEN, f"{name} is ready on port {port}", costs[name])


# ---------------------------------------------------------------------------------------------------------- Slack


def _slack(settings: Settings) -> Iterator[Finding]:
    if settings.slack_bot_token is None:
        return
    from crm_store.db import Store
    from mainstem.prepare import in_force
    from mainstem.slackcheck import backlog, examine

    store = Store.open(settings.database, pool_size=1)
    try:
        current = in_force(store)
        if current is not None:
            yield from examine(settings, current)
            yield from backlog(store)
    finally:
        store.close()


def worst(found: list[Finding]) -> Level:
    order = list(Level)
    return max((finding.level for finding in found), key=order.index, default=Level.GREEN)
