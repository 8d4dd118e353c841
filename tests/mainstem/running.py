"""A whole hub under `mainstem up`, in a folder of its own."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.servers import free_port, short_folder

ROOT = Path(__file__).parents[2]


class Hub:
    """One `mainstem up` in a folder of its own, with a space in its name."""

    def __init__(self, folder: Path, *, demo: bool = False, **env: str) -> None:
        self.folder = folder
        self.port, self.desk_port = free_port(), free_port()
        known = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
        self.env = known | {"PORT": str(self.port), "MAINSTEM_DESK_PORT": str(self.desk_port)}
        self.env.pop("REDIS_URL", None)
        self.env.pop("DATABASE_URL", None)
        self.env |= env
        self.told = folder / "told"
        with self.told.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mainstem", "up", *(["--demo"] if demo else [])],
                cwd=folder,
                env=self.env,
                stdout=out,
                stderr=out,
            )

    def ready(self) -> str:
        """Wait for the summary; what was printed."""
        for _ in range(2400):
            text = self.told.read_text()
            if "logs:" in text or self.process.poll() is not None:
                return text
            time.sleep(0.05)
        raise AssertionError(f"not ready after two minutes:\n{self.told.read_text()}")

    def mainstem(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mainstem", *words],
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        family = self.family() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue


@contextmanager
def running(files: Mapping[str, str] | None = None, *, demo: bool = False, **env: str) -> Iterator[Hub]:
    """With the configuration that ships, but for `files`; killed and removed afterwards, whatever became of it."""
    folder = short_folder("ms u")
    shutil.copytree(ROOT / "config", folder / "config")
    for name, text in (files or {}).items():
        (folder / "config" / name).write_text(text)
    started = Hub(folder, demo=demo, **env)
    try:
        yield started
    finally:
        started.close()
        shutil.rmtree(folder, ignore_errors=True)


def gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that are still there after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        processes = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not processes:
            break
        time.sleep(0.05)
    return processes


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()
