"""The embedded Valkey: one a folder, nothing forgotten, nobody left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from hub.errors import Refused
from mainstem import embedded
from mainstem.embedded import Embedded
from mainstem.supervise import Program, Supervisor
from tests.servers import short_folder
from tests.waiting import eventually


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder with a space in its name, near the root."""
    folder = short_folder("ms e")
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def gone(pid: int) -> bool:
    """Ended; whoever inherited it may be slow to collect it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextlib.asynccontextmanager
async def running(data: Path) -> AsyncIterator[tuple[Embedded, Supervisor]]:
    server = Embedded(data)
    server.take()
    supervisor = Supervisor(data / "logs", lambda *_: None, lambda *_: None)
    supervisor.add(server.program())
    try:
        await eventually(server.answers)
        yield server, supervisor
    finally:
        assert await supervisor.stop() == []
        server.release()


async def test_it_keeps_what_it_was_told_and_forgets_nothing_when_killed(data: Path) -> None:
    async with running(data) as (server, supervisor):
        client = redis.Redis.from_url(server.url)
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("save")["save"] == ""
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        for number in range(500):
            client.xadd("s", {"n": number})
        # Where the disk is slow, it writes up to two seconds late; the journal is there for those.
        await eventually(lambda: not client.info("persistence")["aof_buffer_length"])
        (child,) = supervisor.children
        old = child.pid
        child.signal(signal.SIGKILL)
        await eventually(lambda: child.pid not in (None, old) and server.answers())
        assert child.restarts == 1
        assert client.xlen("s") == 500
        client.close()


async def test_a_second_one_in_the_same_folder_is_refused(data: Path) -> None:
    async with running(data):
        with pytest.raises(Refused, match=f"another Mainstem \\(process {os.getpid()}\\)"):
            Embedded(data).take()
    again = Embedded(data)
    again.take()
    again.release()


async def test_a_path_too_long_for_a_socket_gets_a_private_short_one(data: Path) -> None:
    deep = data / ("a folder with a long name " * 4).strip()
    async with running(deep) as (server, _):
        assert len(str(server.socket)) < 100
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert embedded.runs(deep)
    assert not server.socket.parent.exists()


async def test_a_place_that_others_may_enter_is_not_used(data: Path) -> None:
    deep = data / ("a folder with a long name " * 4).strip()
    place = embedded.socket_path(deep).parent
    place.mkdir(mode=0o755)
    try:
        with pytest.raises(Refused, match="only you may enter"):
            Embedded(deep).take()
    finally:
        place.rmdir()


HOST = """
import asyncio, sys
from pathlib import Path
from mainstem.embedded import Embedded
from mainstem.supervise import Supervisor
async def main():
    server = Embedded(Path(sys.argv[1])); server.take()
    supervisor = Supervisor(Path(sys.argv[1]) / "logs", print, print)
    (child,) = supervisor.add(server.program())
    while child.pid is None or not server.answers(): await asyncio.sleep(0.02)
    print("pid", child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_it_dies_with_its_parent_and_the_next_start_has_everything(data: Path) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, str(data)], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    pid = next(int(line.split()[1]) for line in host.stdout if line.startswith("pid "))
    with redis.Redis.from_url(embedded.url(data)) as client:
        client.set("kept", "yes")
    host.kill()
    host.wait()
    host.stdout.close()
    async with running(data) as (server, _):  # takes the folder over, whether the orphan has ended yet or not
        assert gone(pid)
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"


async def test_a_frozen_orphan_is_ended_by_force(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_ORPHAN_S", 0.5)
    host = subprocess.Popen([sys.executable, "-c", HOST, str(data)], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    pid = next(int(line.split()[1]) for line in host.stdout if line.startswith("pid "))
    os.kill(pid, signal.SIGSTOP)
    host.kill()
    host.wait()
    host.stdout.close()
    async with running(data):
        assert gone(pid)


# ---------------------------------------------------------------------------------------------- the supervisor


async def test_a_crash_loop_is_told_in_words_and_slows_down(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(tmp_path, lambda name, words: told.append(f"{name} {words}"), lambda *_: None)
    command = (sys.executable, "-c", "print('the disk is gone'); raise SystemExit(3)")
    (child,) = supervisor.add(Program(name="router", command=command))
    await eventually(lambda: child.restarts >= 2)
    began = time.monotonic()
    assert await supervisor.stop() == []
    assert time.monotonic() - began < 10.0
    assert told[0].startswith("router ended with code 3: the disk is gone (again in 0.")
    assert told[1].startswith("router ended with code 3: the disk is gone (again in ")
    assert "the disk is gone" in (tmp_path / "router.log").read_text()


async def test_who_does_not_listen_is_killed_with_what_it_started(tmp_path: Path) -> None:
    deaf = "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN);"
    deaf += "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True);"
    deaf += "time.sleep(60)"
    supervisor = Supervisor(tmp_path, lambda *_: None, lambda *_: None)
    (child,) = supervisor.add(Program(name="deaf", command=(sys.executable, "-c", deaf)))
    await eventually(lambda: bool(child.log.last))
    assert await supervisor.stop(grace_s=0.3) == ["deaf"]
    grandchild = int(child.log.last[0])
    await eventually(lambda: gone(grandchild))


async def test_what_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(tmp_path, lambda _, words: told.append(words), lambda *_: None)
    supervisor.add(Program(name="gone", command=(str(tmp_path / "nothing"),)))
    await eventually(lambda: bool(told))
    await supervisor.stop()
    assert "cannot be started" in told[0]
