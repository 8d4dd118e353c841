"""Real worker processes: killed at every named place (F10), without Redis, asked to end. F29 stands in tests/faults."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis as redis_py

from connectors import accounts
from crm_store import configs
from crm_store.db import Store
from hub import clock, jobs
from hub.config import Account
from hub.configfiles import load
from tests.servers.provider import Provider, hangs
from tests.waiting import eventually
from tests.workers.office import Office

WORKER = """
from hub.settings import load
from workers import run
import threading
run.worker(load(), threading.Event())
"""
ROOT = Path(__file__).parents[2]


def files(url: str, find: bool = False) -> dict[str, str]:
    found = f"\n      find_url: {url}/find" if find else ""
    return {
        "channels.yaml": f"""
brands:
  acme:
    name: Acme
accounts:
  webhook/main:
    title: Webhook
    rate_per_s: 200
    burst: 20
    settings:
      url: {url}/main{found}
""",
        "queues.yaml": "priorities: {normal: 0s}\nqueues:\n  general:\n    title: General\n",
        "routing.yaml": "rules: []\ndefault: {queue: general}\n",
        "agents.yaml": "agents: {}\n",
    }


class Machine:
    """What every process of one installation shares, and those started here."""

    def __init__(self, database_url: str, redis_url: str, data: Path, redis: "redis_py.Redis") -> None:
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_")},
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "MAINSTEM_DATA": str(data),
            "MAINSTEM_ALLOW_PRIVATE_TARGETS": "1",
            "MAINSTEM_SECRET_KEY": "k" * 40,
            "PYTHONPATH": str(ROOT),
        }
        self.redis = redis
        self.store = Store.open(database_url)
        self.office = Office(self.store)
        self.office.now = clock.system()
        self.started: list[subprocess.Popen[bytes]] = []

    def configure(self, url: str) -> None:
        configs.apply(self.store, files(url), "test")
        self.office.accounts = self.accounts(url)

    def accounts(self, url: str, *, find: bool = False) -> dict[str, Account]:
        good, troubles = accounts.resolve(
            load(files(url, find)), {}, self.env["MAINSTEM_SECRET_KEY"].encode()
        )
        assert not troubles
        return dict(good)

    @contextmanager
    def beside(self, name: str) -> Iterator[Office]:
        """An office over a copy of the store as it is now."""
        source, copy = (
            self.env["DATABASE_URL"].removeprefix("sqlite:///"),
            f"{self.env['MAINSTEM_DATA']}.{name}",
        )
        with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(copy)) as there:
            here.backup(there)
        with closing(Store.open(f"sqlite:///{copy}")) as store:
            office = Office(store)
            office.now = self.office.now
            yield office

    def start(self, program: str, **env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", program], env=self.env | env, cwd=ROOT)
        self.started.append(process)
        return process

    def wake(self) -> None:
        assert jobs.enqueue(self.redis, jobs.DELIVER)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(60)
        self.store.close()


@pytest.fixture
def machine(sqlite_url: str, valkey: str, tmp_path: Path, redis: "redis_py.Redis") -> Iterator[Machine]:
    made = Machine(sqlite_url, valkey, tmp_path / "var", redis)
    yield made
    made.close()


# place -> (did the provider have it, state after everything with find_url, without)
PLACES = {
    "deliver.after_claim": (0, "sent", "sent"),
    "deliver.before_send": (0, "sent", "unknown"),
    "deliver.after_send": (1, "sent", "unknown"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_worker_killed_anywhere_sends_once_or_says_that_it_does_not_know(
    machine: Machine, place: str
) -> None:
    """What becomes of it depends on whether the provider can be asked: both are tried after the same death."""
    had, *after = PLACES[place]
    async with Provider() as provider:
        machine.configure(provider.url)
        delivery = machine.office.reply()
        machine.wake()
        process = machine.start(WORKER, MAINSTEM_FAIL=place)
        await eventually(lambda: process.poll() is not None)
        assert process.returncode == 137
        assert provider.times()[str(delivery)] == had
        received = list(provider.got)
        for find, state in zip((True, False), after, strict=True):
            provider.got[:] = received
            with machine.beside(f"find-{find}") as office:
                office.accounts = machine.accounts(provider.url, find=find)
                async with office:
                    for later_s in (120, 10, 40, 3600):
                        await office.send(seconds=later_s)
                assert office.state(delivery) == state, find
            assert provider.times()[str(delivery)] == (1 if state == "sent" else had), find


async def test_a_worker_ends_soon_when_asked_idle_or_busy(machine: Machine) -> None:
    async with Provider() as provider:
        machine.configure(provider.url)
        office = machine.office
        quick = office.reply()
        machine.wake()
        idle = machine.start(WORKER)
        await eventually(lambda: office.state(quick) == "sent")
        idle.send_signal(signal.SIGTERM)
        await eventually(lambda: idle.poll() is not None, 15)
        assert idle.returncode == 0
        provider.always["main"] = hangs()
        office.now = clock.system() - timedelta(seconds=1)
        slow = office.reply(to="webhook:bea")
        machine.wake()
        busy = machine.start(WORKER)
        await eventually(lambda: len(provider.got) == 2)
        busy.send_signal(signal.SIGTERM)
        await eventually(lambda: busy.poll() is not None, 20)  # long before its send would end
        assert (busy.returncode, office.state(slow)) == (0, "unknown")


async def test_replies_go_out_while_redis_is_away(machine: Machine) -> None:
    async with Provider() as provider:
        machine.configure(provider.url)
        delivery = machine.office.reply()
        machine.start(WORKER, REDIS_URL="redis://127.0.0.1:1/0")
        await eventually(lambda: machine.office.state(delivery) == "sent")
        later = machine.office.reply(to="webhook:bea")
        await eventually(lambda: machine.office.state(later) == "sent")
        assert set(provider.times().values()) == {1}
