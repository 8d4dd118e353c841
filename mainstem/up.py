"""`mainstem up`: everything in this folder, supervised, until Ctrl-C.

This process stays small: it starts, watches and ends the others, and imports none of their rooms. What needs the store
(migrating, applying the configuration, a login link) a child does and tells in one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import click

from hub.errors import MainstemError, Refused, Unavailable
from hub.settings import Settings
from mainstem import beside, terminal
from mainstem.embedded import Embedded
from mainstem.locks import FolderLock
from mainstem.supervise import Program, Supervisor

PROCESSES = ("web", "desk", "router", "worker", "clock")
READY_S = 60.0  # then it says what it waits for, and goes on waiting
GRACE_S = 6.0  # what a child gets to end by itself
_SETTLE_S = 0.2  # editors write a file in several steps

# A child's line that deserves the console: a warning or worse, in either log format.
_LOUD = re.compile(r"^[\d:.]+ (warning|error|critical) |\"level\": ?\"(warning|error|critical)\"|^Traceback")


@dataclass(kw_only=True)
class Prepared:
    """What the preparing child tells: the configuration's faults, accounts, troubles, and where to go."""

    applied: bool
    faults: list[str] = field(default_factory=list)
    accounts: list[dict[str, str]] = field(default_factory=list)
    login: str = ""
    agent: str = ""
    chat: str = ""
    curl: str = ""
    pulls: bool = False  # is there a mailbox to read?


class Up:
    """One run of `mainstem up`."""

    def __init__(self, settings: Settings, *, demo: bool, verbose: bool) -> None:
        self.settings = settings
        self.demo = demo
        self.verbose = verbose
        self.data = settings.data.resolve()
        self.lock = FolderLock(self.data / "up.lock")
        self.note = beside.Note(self.data)
        self.embedded: Embedded | None = None
        self.began = time.monotonic()
        self.stop_asked = asyncio.Event()
        self.env: dict[str, str] = {}
        self.watching: asyncio.Task[None] | None = None
        self.supervisor = Supervisor(self.data / "logs", terminal.child_ended, self._heard)

    # ------------------------------------------------------------------------------------------ from start to end

    async def run(self) -> int:
        """Start, wait for the end, stop. Returns the exit code; raises MainstemError where it cannot start."""
        if not self.lock.take():
            raise Refused(
                f"Mainstem already runs over {self.data} (process {self.lock.holder()}): use that one, or stop it with"
                f" Ctrl-C in its terminal or `kill {self.lock.holder()}`"
            )
        self._catch_signals()
        try:
            started = asyncio.create_task(self._start())
            asked = asyncio.create_task(self.stop_asked.wait())
            await asyncio.wait({started, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                started.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await started
                return 0
            asked.cancel()
            started.result()
            await self.stop_asked.wait()
            return 0
        finally:
            await self._end()

    async def _start(self) -> None:
        self._choose_ports()
        terminal.note("Starting …")
        if self.demo:
            self._simulate()
        given = {name: os.environ[name] for name in beside.ADDRESSES if os.environ.get(name)}
        self.note.leave(given | self.env)
        await self._redis()
        prepared = await self._prepare()
        self.watching = asyncio.create_task(self._apply_on_save())  # from here on a save counts
        programs = [self._process(name) for name in PROCESSES]
        if self.settings.slack_bot_token is not None:
            programs.append(self._process("slack", "run"))
        if prepared.pulls:
            programs.append(self._process("pull"))
        self.supervisor.add(*programs)
        await self._ready()
        if self.demo:
            self.supervisor.add(self._process("demo"))
        terminal.summary(self.settings, self.env, prepared, time.monotonic() - self.began, demo=self.demo)

    async def _end(self) -> None:
        if self.watching is not None:
            self.watching.cancel()
        if self.supervisor.stages:
            terminal.note("Stopping …")
        killed = await self.supervisor.stop(GRACE_S)
        if self.embedded is not None:
            self.embedded.release()
        self.note.remove()
        self.lock.release()
        if killed:
            terminal.note(f"Had to be killed: {', '.join(killed)}. Nothing accepted is lost by that.")
        terminal.note("Stopped. Everything accepted is kept; `mainstem up` goes on from here.")

    def _catch_signals(self) -> None:
        def asked() -> None:
            if self.stop_asked.is_set():
                self.supervisor.kill()
            self.stop_asked.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, asked)

    # -------------------------------------------------------------------------------------------------- the parts

    def _choose_ports(self) -> None:
        """Both ports, free; 0 takes whatever is. Raises Refused with the variable to set."""
        settings = self.settings
        port = _free_port(settings.host, settings.port, "PORT")
        wanted = settings.desk_port if settings.desk_port is not None else (port + 1 if settings.port else 0)
        variable = (
            "MAINSTEM_DESK_PORT" if settings.desk_port is not None else "PORT (the desk takes the next one)"
        )
        desk = _free_port(settings.host, wanted, variable)
        self.env |= {"PORT": str(port), "MAINSTEM_DESK_PORT": str(desk)}

    def _simulate(self) -> None:
        """The providers' stand-ins, started along; every child learns from its environment what and where they are."""
        from mainstem import demo_accounts

        if why := demo_accounts.missing():
            terminal.warn(why)
            return
        self.env |= demo_accounts.fresh(lambda: _free_port("127.0.0.1", 0, "")).environment()
        self.supervisor.add(self._process("simulated"))

    async def _redis(self) -> None:
        if self.settings.redis_url is not None:
            return
        self.embedded = Embedded(self.data)
        await asyncio.to_thread(self.embedded.take)
        self.env["REDIS_URL"] = self.embedded.url
        (child,) = self.supervisor.add(self.embedded.program())
        for _ in range(1500):
            if self.embedded.answers():
                return
            if child.restarts > 2:
                raise Unavailable(
                    f"the embedded Valkey does not start: {' '.join(list(child.log.last)[-2:])}"
                )
            await asyncio.sleep(0.02)
        raise Unavailable(f"the embedded Valkey is not ready after 30 s; its words are in {child.log.path}")

    async def _prepare(self) -> Prepared:
        """Migrate, apply the configuration, learn what to show. Raises MainstemError with the child's words."""
        code, out, err = await self._run("prepare")
        told = out.strip().splitlines()
        if code != 0 or not told:
            raise Unavailable(err.strip() or f"preparing ended with code {code}")
        prepared = Prepared(**json.loads(told[-1]))
        for fault in prepared.faults:
            terminal.fault(fault)
        if prepared.faults and not prepared.applied:
            raise MainstemError("Nothing is started: correct the configuration first.")
        if prepared.faults:
            terminal.warn("The configuration in the folder is not applied; the one applied before goes on.")
        return prepared

    async def _run(self, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mainstem",
            *words,
            env={**os.environ, **self.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            raise
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    def _process(self, name: str, *words: str) -> Program:
        # Few arenas: glibc's default of eight a core keeps memory that idle threads once used.
        env = {**self.env, "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}
        return Program(name=name, command=(sys.executable, "-m", "mainstem", name, *words), env=env)

    async def _ready(self) -> None:
        """Wait until web and desk say that they are. Says after a minute what it waits for."""
        waiting = {"web": int(self.env["PORT"]), "desk": int(self.env["MAINSTEM_DESK_PORT"])}
        deadline = time.monotonic() + READY_S
        said = False
        while waiting:
            for name, port in list(waiting.items()):
                answer = await asks_readyz(self.settings.near_host, port)
                if answer is not None and answer[0] == 200:
                    del waiting[name]
            if waiting and not said and time.monotonic() > deadline:
                said = True
                terminal.warn(
                    f"Still waiting for {' and '.join(waiting)}; its words are in {self.data / 'logs'}"
                )
            await asyncio.sleep(0.05)

    # ------------------------------------------------------------------------------------------------ while it runs

    async def _apply_on_save(self) -> None:
        """Apply the folder whenever something in it is saved; a bad save changes nothing and says why."""
        from watchfiles import awatch

        folder = self.settings.config
        if not folder.is_dir():
            return
        # The directory, not its files: watching a file misses every second os.replace.
        async for _ in awatch(folder, debounce=int(_SETTLE_S * 1000), recursive=False):
            code, out, err = await self._run("config", "apply")
            if code == 0:
                terminal.note(out.strip())
                await self._pull_as_well()
            else:
                for line in err.strip().splitlines():
                    terminal.fault(line)

    async def _pull_as_well(self) -> None:
        """Start `pull` where what was just applied is the first to need it."""
        if any(child.program.name == "pull" for child in self.supervisor.children):
            return
        code, _, _ = await self._run("pulls")
        if code == 0:
            self.supervisor.add(self._process("pull"))

    def _heard(self, name: str, line: str) -> None:
        if self.verbose or _LOUD.search(line):
            terminal.child_said(name, line)


def _free_port(host: str, port: int, variable: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = (
                "is taken by another program"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror})"
            )
            raise Refused(f"port {port} of {host} {why}: set {variable}, for example PORT=8090") from None
        return int(probe.getsockname()[1])


async def asks_readyz(host: str, port: int) -> tuple[int, str] | None:
    """(status, body) of GET /readyz; None where nobody answers yet. host: as addresses name it."""
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(host.strip("[]"), port)
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(65536)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return int(head.split()[1]), body.decode(errors="replace")
    except (OSError, TimeoutError, IndexError, ValueError):
        return None


def main(settings: Settings, *, demo: bool, verbose: bool) -> int:
    """Run until stopped."""

    async def whole() -> Any:
        return await Up(settings, demo=demo, verbose=verbose).run()

    code: int = asyncio.run(whole())
    click.echo("", nl=False)
    return code
