"""Real local servers for the tests, each started once and stopped for certain."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


class NotAvailable(Exception):
    """The machine lacks what a server needs; the text says what, and how to get it."""


MEMORY = Path("/dev/shm")  # Linux; a container's is often of 64 MB
ROOM = 4 << 30  # bytes: three PostgreSQLs of at most 1 GB of log each


def short_folder(name: str, *, quick: bool = False) -> Path:
    """A new folder near the root: a unix socket's path may have 107 bytes, and `TMPDIR` may be deep.

    quick: in memory, where there is room. It survives a server's kill: only the machine's loses it.
    """
    if quick and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=MEMORY))
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A child process in a process group of its own: started, asked to stop, killed, frozen.

    It dies with the tests, even where they are killed (through `setpriv --pdeathsig`, where Linux has it).
    """

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        raise NotImplementedError

    def spawn(self, command: list[str], ready: Callable[[], bool], *, user: str | None = None) -> None:
        """Start `command` in the folder, its output in `server.log`, and return when `ready()` says so."""
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", self.stop_signal.name.removeprefix("SIG"), *command]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user and _group_of(user),
                extra_groups=[] if user else None,
            )
        # time.monotonic may stand still under a set clock; the number of tries does not.
        for _ in range(3000):
            if self.process.poll() is not None:
                raise RuntimeError(f"{command} ended at once:\n{self.log()}")
            if ready():
                return
            _pause()
        self.kill()
        raise RuntimeError(f"{command} was not ready within 30 s:\n{self.log()}")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def stop(self) -> None:
        """Ask it to end, and wait; the data stay. Nothing happens if it does not run."""
        if self.running:
            self.thaw()
            assert self.process is not None
            self.process.send_signal(self.stop_signal)
            self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL to the whole group, as a machine that loses power; the data stay as they are on disk."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `thaw()`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)


def _pause(sleep: Callable[[float], None] = time.sleep) -> None:
    sleep(0.01)


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid
