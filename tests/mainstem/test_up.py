"""`mainstem up` as people meet it: from nothing to ready, one a folder, gone within seconds, nobody left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import free_port, short_folder

ROOT = Path(__file__).parents[2]


class Hub:
    """One `mainstem up` in a folder of its own, with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.desk_port = free_port(), free_port()
        known = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
        self.env = known | {"PORT": str(self.port), "MAINSTEM_DESK_PORT": str(self.desk_port)}
        self.env.pop("REDIS_URL", None)
        self.env.pop("DATABASE_URL", None)
        self.told = folder / "told"
        with self.told.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mainstem", "up"], cwd=folder, env=self.env, stdout=out, stderr=out
            )

    def ready(self) -> str:
        """Wait for the summary; what was printed."""
        for _ in range(600):
            text = self.told.read_text()
            if "logs:" in text or self.process.poll() is not None:
                return text
            time.sleep(0.05)
        raise AssertionError(f"not ready after 30 s:\n{self.told.read_text()}")

    def mainstem(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mainstem", *words],
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=30,
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


@pytest.fixture
def hub() -> Iterator[Hub]:
    folder = short_folder("ms u")
    shutil.copytree(ROOT / "config", folder / "config")
    started = Hub(folder)
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
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status, answer.read().decode()


def test_from_nothing_to_ready_and_away_again(hub: Hub) -> None:
    told = hub.ready()
    assert "Mainstem is ready" in told
    for line in (f"http://127.0.0.1:{hub.port}/chat/main", f"http://127.0.0.1:{hub.desk_port}/login/"):
        assert line in told
    assert "mail/support  switched off" in told
    assert get(f"http://127.0.0.1:{hub.port}/readyz")[0] == 200
    assert get(f"http://127.0.0.1:{hub.desk_port}/readyz")[0] == 200

    # The line that it prints works as it stands, and what it sends is routed.
    curl = next(line for line in told.splitlines() if line.startswith("body="))
    if shutil.which("curl") and shutil.which("openssl"):
        done = subprocess.run(["sh", "-c", curl], cwd=hub.folder, env=hub.env, capture_output=True, text=True)
        assert '"accepted":true' in done.stdout, done.stderr
    assert hub.mainstem("say", "hello there").returncode == 0
    for _ in range(100):
        metrics = get(f"http://127.0.0.1:{hub.port}/metrics")[1]
        if re.search(r'mainstem_queue_conversations\{queue="\w+",state="waiting"\} [12]\.0', metrics):
            break
        time.sleep(0.05)
    else:
        raise AssertionError(metrics)
    assert 'mainstem_source_up{source="redis"} 1.0' in metrics
    assert get(f"http://127.0.0.1:{hub.desk_port}/metrics")[0] == 200

    second = hub.mainstem("up")
    assert second.returncode == 1
    assert f"already runs over {hub.folder}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    elsewhere = hub.mainstem("up", MAINSTEM_DATA=str(hub.folder / "other"))
    assert elsewhere.returncode == 1
    assert f"port {hub.port} of 127.0.0.1 is taken by another program: set PORT" in elsewhere.stderr

    family = hub.family()
    assert len(family) == 6  # web, desk, router, worker, clock, and Valkey
    began = time.monotonic()
    hub.process.send_signal(signal.SIGINT)
    assert hub.process.wait(15) == 0
    assert time.monotonic() - began < 8.0
    assert gone(family, 1.0) == []
    assert "Traceback" not in hub.told.read_text()
    assert hub.mainstem("ledger", "--json").returncode == 0


@pytest.mark.slow
def test_killed_it_leaves_nobody_and_the_next_start_goes_on(hub: Hub) -> None:
    hub.ready()
    hub.mainstem("say", "are you there?")
    family = hub.family()
    hub.process.kill()
    hub.process.wait()
    assert gone(family, 10.0) == []
    again = Hub(hub.folder)
    try:
        assert "Mainstem is ready" in again.ready()
        assert again.mainstem("ledger").returncode == 0
        assert "nothing is missing" in again.mainstem("ledger").stdout.lower()
    finally:
        again.close()


@pytest.mark.slow
def test_a_bad_save_changes_nothing_and_a_good_one_is_in_force(hub: Hub) -> None:
    hub.ready()
    file = hub.folder / "config" / "routing.yaml"
    good = file.read_text()
    file.write_text(good.replace("queue: billing", "queue: bilingual"))
    until(lambda: 'no queue "bilingual"; did you mean "billing"?' in hub.told.read_text())
    file.write_text(good.replace("name: money", "name: coins"))
    until(lambda: "is in force; every process follows" in hub.told.read_text())
    assert "name: coins" in hub.mainstem("config", "show", "routing.yaml").stdout


def until(holds: object) -> None:
    assert callable(holds)
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")
