"""Keeping child processes running: restarts with back-off, their words into files, an end within seconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mainstem import lifeline

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0  # so a crash loop costs two starts a minute, and a cure is noticed within half a minute
STEADY_S = 60.0  # who ran this long begins again with the first wait
LOG_BYTES = 10 * 1024 * 1024  # a file's size at which it becomes NAME.log.1


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run. `keep` are file descriptors that it inherits; `before` runs before every start."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    keep: tuple[int, ...] = ()
    before: Callable[[], None] | None = None
    started: Callable[[int], None] | None = None


@dataclass
class Log:
    """One program's words: a file with one predecessor, and the last lines for complaints."""

    path: Path
    last: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    def write(self, line: bytes) -> None:
        self.last.append(line.decode(errors="replace").rstrip())
        with contextlib.suppress(OSError):  # a full disk must not stop the supervisor
            if self.path.exists() and self.path.stat().st_size > LOG_BYTES:
                self.path.replace(self.path.with_suffix(".log.1"))
            with self.path.open("ab") as file:
                file.write(line)


class Child:
    """One program, running or about to run again."""

    def __init__(
        self, program: Program, logs: Path, say: Callable[[str, str], None], heard: Callable[[str, str], None]
    ) -> None:
        self.program = program
        self.log = Log(logs / f"{program.name}.log")
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self._say = say
        self._heard = heard
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def run(self) -> None:
        """Start it, again and again, until `stop`."""
        wait = FIRST_WAIT_S
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._once()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_S:
                wait = FIRST_WAIT_S
            self.restarts += 1
            pause = wait * random.uniform(0.8, 1.2)  # noqa: S311 - spreading restarts, no secret
            words = next((line for line in reversed(self.log.last) if line.strip()), "it said nothing")
            self._say(self.program.name, f"{_ended(code)}: {words} (again in {pause:.1f} s)")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _once(self) -> int:
        program = self.program
        try:
            if program.before is not None:
                program.before()
            self.process = await asyncio.create_subprocess_exec(
                *program.command,
                cwd=program.cwd,
                env={**os.environ, **(program.env or {}), lifeline.PARENT: str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=program.keep,
                start_new_session=True,  # the terminal's Ctrl-C is for us: we end them in order
                preexec_fn=lifeline.before_exec(),
                limit=1024 * 1024,
            )
        except OSError as error:
            self.log.write(f"cannot be started: {error}\n".encode())
            return 127
        if program.started is not None:
            program.started(self.process.pid)
        if self._stopping.is_set():  # asked to stop while it was being born
            self.signal(signal.SIGTERM)
        await self._listen(self.process)
        return await self.process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line beyond the limit
                continue
            if not line:
                return
            self.log.write(line)
            self._heard(self.program.name, self.log.last[-1])

    def signal(self, number: signal.Signals) -> None:
        """To the whole group of the child, so that what it forked ends with it."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self.pid, number)
                else:
                    os.kill(self.pid, number)

    def stop(self) -> None:
        """Ask it to end, and do not start it again."""
        self._stopping.set()
        self.signal(signal.SIGTERM)


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


class Supervisor:
    """Several children, one after the other in `add`'s order; stopped in the opposite order, stage by stage.

    say: what a person should read (a child ended, and why); heard: every line of theirs.
    """

    def __init__(
        self, logs: Path, say: Callable[[str, str], None], heard: Callable[[str, str], None]
    ) -> None:
        self._logs = logs
        self._say = say
        self._heard = heard
        self.stages: list[list[tuple[Child, asyncio.Task[None]]]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def add(self, *programs: Program) -> list[Child]:
        """Start a stage of programs together."""
        stage = []
        for program in programs:
            child = Child(program, self._logs, self._say, self._heard)
            stage.append((child, asyncio.create_task(child.run(), name=program.name)))
        self.stages.append(stage)
        return [child for child, _ in stage]

    @property
    def children(self) -> list[Child]:
        return [child for stage in self.stages for child, _ in stage]

    async def stop(self, grace_s: float = 8.0) -> list[str]:
        """End every child, the stage added last first. Names those that had to be killed."""
        killed = []
        for stage in reversed(self.stages):
            for child, _ in stage:
                child.stop()
            tasks = [task for _, task in stage]
            _, late = await asyncio.wait(tasks, timeout=grace_s) if tasks else (set(), set())
            if late:
                killed += [child.program.name for child, task in stage if task in late]
                for child, _ in stage:
                    child.signal(signal.SIGKILL)
                await asyncio.wait(tasks, timeout=2.0)
        self.stages.clear()
        return killed

    def kill(self) -> None:
        """End everything now; what is on disk stays, and that is enough."""
        for child in self.children:
            child.stop()
            child.signal(signal.SIGKILL)
