"""Mails are read in a process of their own, with limits on its time and memory: some are made to stall whoever reads
them (docs/security.md, S6). A mail that breaks them is quarantined whole; the next one finds a fresh process.

Parent and child speak over pipes: a line of JSON that says how many bytes of what follow, then these bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import IO, Any

from connectors.base import Parsed
from connectors.mail import mime
from hub import codec, log
from hub.clock import from_us, to_us
from hub.config import Account

CPU_S = 10  # for one mail
MEMORY_BYTES = 512 * 1024 * 1024  # of address space, our own code included
WALL_S = 60.0  # a machine under load; beyond it nobody waits
_START_S = 60.0
_MAILS = 5_000  # then a fresh process: whatever a library leaks stays bounded
_HEAD_BYTES = 1 << 20
_READY = b"ready\n"
# What the child sees of our environment. Accounts' secrets are in variables of any name, so the rest is left out.
_TOLD = frozenset(
    ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
)
_log = log.get("mail")


class Parser:
    """Up to `processes` children, started when they are needed. Not for several event loops."""

    def __init__(
        self,
        processes: int = 1,
        *,
        cpu_s: int = CPU_S,
        memory_bytes: int = MEMORY_BYTES,
        wall_s: float = WALL_S,
    ) -> None:
        self._limits = (str(cpu_s), str(memory_bytes))
        self._wall_s = wall_s
        self._idle: list[_Child] = []
        self._free = asyncio.Semaphore(processes)
        self._closed = False

    async def parse(self, raw: bytes, account: Account, received_at: datetime) -> Parsed:
        """The events of a mail, and the blobs that they name. Never raises for what a mail holds.

        Raises OSError where no process can be started: the mail has nothing to do with it, and may be read later.
        """
        if len(raw) > mime.MAIL_BYTES:
            return mime.read(raw, account, received_at)  # refused by its size, before anything is read
        async with self._free:
            for last in (False, True):
                child = await self._child()
                try:
                    async with asyncio.timeout(self._wall_s):
                        parsed = await child.ask(raw, account, received_at)
                except (TimeoutError, EOFError, OSError, ValueError) as error:
                    await child.kill()
                    why = "the time was up" if isinstance(error, TimeoutError) else child.end()
                    _log.warning(
                        "mail_reader_died", account=account.key, bytes=len(raw), why=why, again=not last
                    )
                    if last or isinstance(error, TimeoutError) or child.took_too_long():
                        break
                except BaseException:
                    await child.kill()  # cancelled in the middle of an answer
                    raise
                else:
                    if child.mails >= _MAILS or self._closed:
                        await child.kill()
                    else:
                        self._idle.append(child)
                    return parsed
        return self._refused(raw, account, received_at)

    def _refused(self, raw: bytes, account: Account, received_at: datetime) -> Parsed:
        cpu_s, memory_bytes = self._limits
        why = f"reading it took more than {cpu_s} s of time or {int(memory_bytes) >> 20} MB, or ended the reader"
        return mime.unreadable(why, hashlib.sha256(raw).hexdigest(), raw, account, received_at)

    async def _child(self) -> _Child:
        """One that lives. What ended while it waited (the system was short of memory) says nothing of any mail."""
        while self._idle:
            child = self._idle.pop()
            if child.lives():
                return child
            await child.kill()
        return await self._start()

    async def close(self) -> None:
        """End the children that wait; one that reads is ended when it is done."""
        self._closed = True
        while self._idle:
            await self._idle.pop().kill()

    async def _start(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder we are in is no place for modules
            "-m",
            "connectors.mail.child",
            *self._limits,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                name: value
                for name, value in os.environ.items()
                if name in _TOLD or name.startswith("PYTHON")
            },
            limit=_HEAD_BYTES,
        )
        child = _Child(process)
        try:
            async with asyncio.timeout(_START_S):
                ready = await child.ready()
        except BaseException:
            await child.kill()
            raise
        if not ready:
            await child.kill()
            raise OSError(f"the process that reads mails does not start: {child.end()}")
        return child


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.mails = 0

    async def ready(self) -> bool:
        """It has loaded its modules; False where it ended over that."""
        assert self._process.stdout is not None
        return await self._process.stdout.readline() == _READY

    def lives(self) -> bool:
        return self._process.returncode is None

    def end(self) -> str:
        """How it ended, for the log."""
        code = self._process.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit {code}"

    def took_too_long(self) -> bool:
        """The system ended it for the processor time it used: another one would fare no better."""
        return self._process.returncode == -signal.SIGXCPU

    async def ask(self, raw: bytes, account: Account, received_at: datetime) -> Parsed:
        """Raises EOFError where the child died over it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.mails += 1
        head = {"account": _told(account), "at": to_us(received_at), "bytes": len(raw)}
        self._process.stdin.write(json.dumps(head).encode() + b"\n")
        self._process.stdin.write(raw)
        with contextlib.suppress(ConnectionError):  # it died while it was told; reading says so
            await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError
        said = json.loads(line)
        read = self._process.stdout.readexactly
        try:
            events = [codec.decode(await read(size))[0] for size in said["events"]]
            files = [await read(size) for size in said["blobs"]]
        except asyncio.IncompleteReadError:
            raise EOFError from None
        return Parsed(events=tuple(events), blobs=(raw, *files))

    async def kill(self) -> None:
        """End it, and wait until the system has let it go. Twice is as good as once.

        By os.kill: Process.kill asks first whether the process has ended, and so takes its exit code away from the
        event loop's own watcher, which then warns of an "Unknown child process pid".
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


def _told(account: Account) -> dict[str, Any]:
    """What reading needs of an account: nothing that opens a mailbox."""
    return {
        "key": account.key,
        "connector": account.connector,
        "name": account.name,
        "brand": account.brand,
        "title": account.title,
        "address": account.address,
        "settings": {name: account.settings[name] for name in _SETTINGS if name in account.settings},
        "token": list(account.secrets.get("token", ())),
    }


_SETTINGS = ("authserv_id", "authserv_hops")


# ------------------------------------------------------------------------------------------------------------ the child


def main(arguments: Sequence[str]) -> int:
    """Read mails from standard input until it ends.

    A MemoryError ends it: what earlier mails left in this process may be the reason, so a fresh one tries again.
    """
    cpu_s, memory_bytes = int(arguments[0]), int(arguments[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    inlet, outlet = sys.stdin.buffer, sys.stdout.buffer
    outlet.write(_READY)
    outlet.flush()
    while line := inlet.readline():
        head = json.loads(line)
        raw = inlet.read(head["bytes"])
        if len(raw) < head["bytes"]:
            break
        _allow(cpu_s)
        _answer(outlet, mime.read(raw, _account(head["account"]), from_us(head["at"])), raw)
    return 0


def _allow(cpu_s: int) -> None:
    """So much from now on: beyond it the system ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _answer(outlet: IO[bytes], parsed: Parsed, raw: bytes) -> None:
    events = [codec.encode(event) for event in parsed.events]
    files = [blob for blob in parsed.blobs if blob is not raw]
    head = {"events": [len(data) for data in events], "blobs": [len(data) for data in files]}
    outlet.write(json.dumps(head).encode() + b"\n")
    for data in (*events, *files):
        outlet.write(data)
    outlet.flush()


def _account(said: dict[str, Any]) -> Account:
    token = tuple(said.pop("token"))
    return Account(**said, secrets={"token": token})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
