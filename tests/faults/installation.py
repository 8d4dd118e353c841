"""A whole installation of real processes that a test may kill, and the ledger that tells whether anything was lost.

Every message carries a token of its own. `accepted` holds those that the edge answered 2xx; at the end each of them
must stand in exactly one interaction. Replies carry the token too; the company behind the account records what it gets.
"""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import psutil
from sqlalchemy import func, select

from connectors import CONNECTORS, signing
from crm_store import ledger, schema
from crm_store.db import Store
from crm_store.delivery_states import WENT_OUT
from desk.actions import Actions
from hub import clock
from hub.configfiles import load
from hub.errors import Conflict, Unavailable
from hub.parts import KEYS
from hub.settings import load as load_settings
from mainstem.prepare import release
from tests.servers import free_port
from tests.servers.http import Provider, Say, Seen
from tests.servers.valkey import Valkey

DIE_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "channels.yaml": """
brands: {main: {name: Example Ltd}}
accounts:
  webhook/main:
    title: Forms
    rate_per_s: 1000
    burst: 1000
    settings: {url: "URL/answers"}
    secrets: {signing: FAULT_SECRET}
""",
    "queues.yaml": "priorities: {normal: 0s}\nqueues: {general: {title: General}}\n",
    "agents.yaml": "agents: {bo: {name: Bo, queues: all, limit: 1000}}\n",
    "routing.yaml": "rules: []\ndefault: {queue: general}\n",
}
COMMANDS = {"slack": ("slack", "run")}  # of the processes whose command is not their name
SECRET = "a secret that only this test and its company know"


class Company(Provider):
    """Keeps how often each reply came, by its text; answers as `default` or the queue say."""

    def __init__(self) -> None:
        super().__init__(check=self._note)
        self.got: Counter[str] = Counter()

    def _note(self, seen: Seen) -> Say | None:
        """A refusal is not a receipt: what was answered 4xx or 5xx may come again, and should."""
        said = self.queue.popleft() if self.queue else self.default
        if seen.method == "POST" and said.status < 400:
            body = msgspec.json.decode(seen.body)
            if body["kind"] == "message":  # changes of it may come again
                self.got[body["text"]] += 1
        return said


@dataclass
class Load:
    """What one flood of messages came to. `accepted`: tokens that were answered 2xx."""

    accepted: list[str] = field(default_factory=list)
    refused: Counter[int | str] = field(default_factory=Counter)
    slowest_s: float = 0.0  # from a request to its answer


class Installation:
    """`with Installation(folder, database_url) as hub:` then `hub.start("web", "router")`."""

    def __init__(
        self,
        folder: Path,
        database_url: str | None = None,
        *,
        appendfsync: str = "everysec",
        config: Mapping[str, str] | None = None,
    ) -> None:
        """config: files that differ from CONFIG."""
        self.folder = folder
        self.files = CONFIG | dict(config or {})
        self.valkey = Valkey(tcp=True, appendfsync=appendfsync)
        self.company = Company()
        self.port, self.desk_port = free_port(), free_port()
        self.database_url = database_url or f"sqlite:///{folder / 'var' / 'mainstem.db'}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.settings: dict[str, str] = {}
        self.posted: set[str] = set()  # ids of what was answered 200

    def __enter__(self) -> Self:
        self.valkey.start()
        self.company.__enter__()
        config = self.folder / "config"
        config.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (config / name).write_text(text.replace("URL", self.company.url))
        with redirect_stdout(io.StringIO()):
            release(load_settings(self.environment))  # as the command does, whose process would cost a second
        self.store = Store.open(self.database_url)
        self.config = load({name: (config / name).read_text() for name in self.files})
        self.desk = Actions(
            store=self.store,
            config=lambda: self.config,
            limits={name: connector.limits for name, connector in CONNECTORS.items()},
            wake=lambda job: None,
            notify=lambda kind, **ids: None,
            undo_s=0.0,
            schemes={name: connector.urn_scheme for name, connector in CONNECTORS.items()},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.running):
            self.kill(name)
        self.company.__exit__(kind, error, trace)
        self.store.close()
        self.valkey.close()
        if error is not None:  # what the processes said belongs beside the failure
            for log in sorted(self.folder.glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()
                print(f"--- {log.name}", *lines[-15:], sep="\n")

    # ---------------------------------------------------------------------------------------------- its processes

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "REDIS_URL": self.valkey.url,
            "DATABASE_URL": self.database_url,
            "PORT": str(self.port),
            "MAINSTEM_DESK_PORT": str(self.desk_port),
            "MAINSTEM_CONFIG": str(self.folder / "config"),
            "MAINSTEM_DATA": str(self.folder / "var"),
            "MAINSTEM_ALLOW_PRIVATE_TARGETS": "true",
            "FAULT_SECRET": SECRET,
            **self.settings,
        }

    def run(self, *words: str) -> str:
        """A command, to its end."""
        code, said = self.command(*words)
        assert code == 0, said
        return said

    def command(self, *words: str) -> tuple[int, str]:
        """A command, to its end, whatever that is: its exit code and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "mainstem", *words],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def start(self, *names: str, **environment: str) -> None:
        """Start processes; `web`, or `router:2` for a second one of a kind."""
        for name in names:
            kind = name.partition(":")[0]
            with (self.folder / f"{name.replace(':', '-')}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [*DIE_WITH_US, sys.executable, "-m", "mainstem", *COMMANDS.get(kind, (kind,))],
                    cwd=ROOT, env=self.environment | environment, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)  # a machine that is busy takes long even for that

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        process.wait(60)

    def freeze(self, name: str) -> None:
        os.killpg(self.running[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.killpg(self.running[name].pid, signal.SIGCONT)

    def threads(self, name: str) -> int:
        return psutil.Process(self.running[name].pid).num_threads()

    def busy_s(self, name: str) -> float:
        """CPU time that a process took so far."""
        times = psutil.Process(self.running[name].pid).cpu_times()
        return float(times.user + times.system)

    def log(self, name: str) -> str:
        return (self.folder / f"{name.replace(':', '-')}.log").read_text(errors="replace")

    def died(self, name: str, within_s: float = 60.0) -> int:
        """Wait until a process has ended by itself; its exit code."""
        return self.running.pop(name).wait(within_s)

    async def ready(self, within_s: float = 60.0) -> None:
        """Until the edge answers."""
        await until(self._answers, within_s, "the edge does not answer")

    async def _answers(self) -> bool:
        async with aiohttp.ClientSession() as http:
            with suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{self.port}/healthz") as answer:
                    return answer.status == 200
        return False

    # --------------------------------------------------------------------------------------------------- its load

    async def load(
        self,
        count: int,
        *,
        per_s: float = 200.0,
        people: int = 20,
        prefix: str = "m",
        times: int = 1,
        insist: bool = False,
        folk: str = "p",
    ) -> Load:
        """`count` signed messages of `people` people at a steady rate, each `times` times at once. folk: who they are.

        A person sends the next message when the last one was answered, so that each one's order is known. insist: what
        was refused or broke off is sent again with the same id until it is taken, as providers do.
        """
        done = Load()
        began = time.monotonic()
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=200)
        ) as http:

            async def person(who: int) -> None:
                for number in range(who, count, people):
                    await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                    token = f"{prefix}-{number}"
                    body = {"id": token, "from": {"email": f"{folk}{who}@example.com"}, "text": token}
                    while not await self._send(http, done, token, body, times) and insist:
                        assert time.monotonic() - began < 120, done.refused
                        await asyncio.sleep(0.2)

            await asyncio.gather(*(person(who) for who in range(people)))
        return done

    async def _send(
        self, http: aiohttp.ClientSession, done: Load, token: str, body: dict[str, Any], times: int
    ) -> bool:
        began = time.monotonic()
        said = await asyncio.gather(*(self.post(http, body) for _ in range(times)))
        done.slowest_s = max(done.slowest_s, time.monotonic() - began)
        done.refused.update(status for status in said if status != 200)
        if 200 in said:
            done.accepted.append(token)
        return 200 in said

    async def post(
        self, http: aiohttp.ClientSession, body: dict[str, Any], account: str = "webhook/main"
    ) -> int | str:
        """One signed request; the answer's status, or the name of what broke."""
        data = msgspec.json.encode(body)
        headers = {signing.HEADER: signing.sign(SECRET, data, int(time.time()))}
        try:
            async with http.post(
                f"http://127.0.0.1:{self.port}/in/{account}", data=data, headers=headers
            ) as answer:
                await answer.read()
                if answer.status == 200:
                    self.posted.add(body["id"])
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    async def say(self, *bodies: dict[str, Any]) -> None:
        """These, one after the other; each must be taken."""
        async with aiohttp.ClientSession() as http:
            for body in bodies:
                assert await self.post(http, body) == 200, body

    # ------------------------------------------------------------------------------------------------- its ledger

    def texts(self, direction: str = "in") -> list[str]:
        n = schema.interactions.c
        with self.store.read() as tx:
            return list(tx.execute(select(n.text).where(n.direction == direction).order_by(n.id)).scalars())

    async def has(self, accepted: list[str], within_s: float = 60.0) -> None:
        """Until every accepted message is in the store; then, that none of them is there twice."""

        def missing() -> set[str]:
            try:
                return set(accepted) - set(self.texts())
            except Unavailable:
                return set(accepted)

        async def all_there() -> bool:
            return not await asyncio.to_thread(missing)

        try:
            await until(all_there, within_s, "accepted, and not in the store")
        except AssertionError:
            lost = sorted(missing())
            raise AssertionError(f"{len(lost)} accepted messages are not in the store: {lost[:5]}") from None
        doubled = [token for token, times in Counter(self.texts()).items() if times > 1]
        assert not doubled, f"stored twice: {doubled[:5]}"

    async def taken(self, within_s: float = 60.0) -> None:
        """Until everything that `post` saw accepted has its row of intake, whatever it is."""

        def missing() -> set[str]:
            with self.store.read() as tx:
                return self.posted - set(tx.execute(select(schema.intake.c.event_key)).scalars())

        async def all_there() -> bool:
            return not await asyncio.to_thread(missing)

        await until(all_there, within_s, lambda: f"accepted, and without a row of intake: {missing()}")

    async def balanced(self, within_s: float = 60.0) -> ledger.LedgerRow:
        """Until the ledger, by reports that are younger than this call, says that nothing is on the way.

        It must never say that something is missing.
        """
        began, p = clock.system(), schema.producers.c
        rows: list[ledger.LedgerRow] = []

        def look() -> bool:
            nonlocal rows
            with self.store.read() as tx:
                reported = tx.execute(select(func.max(p.reported_at))).scalar()
            rows = ledger.day(self.store, clock.system().date())
            return reported is not None and reported > began and not any(row.on_the_way for row in rows)

        async def quiet() -> bool:
            return await asyncio.to_thread(look)

        await until(quiet, within_s, lambda: f"the ledger: {rows}")
        (row,) = rows
        assert row.missing == 0
        assert row.journalled == row.stored + row.duplicates + row.quarantined
        return row

    def in_stream(self) -> int:
        """How many entries stand in the stream, routed or not."""
        with self.valkey.client() as client:
            return sum(client.xlen(name) for name in KEYS)

    def timeline(self) -> list[tuple[int, str]]:
        """What came in, as the desk shows it: (address, text) by time."""
        n = schema.interactions.c
        with self.store.read() as tx:
            query = select(n.identity_id, n.text).where(n.direction == "in").order_by(n.at, n.id)
            return [(identity, text) for identity, text in tx.execute(query)]

    def in_order(self, prefix: str = "m") -> list[str]:
        """Messages that stand before one that the same person sent earlier; the load is numbered."""
        n = schema.interactions.c
        last: dict[int, int] = {}
        wrong = []
        with self.store.read() as tx:
            rows = tx.execute(
                select(n.identity_id, n.text).where(n.direction == "in").order_by(n.conversation_id, n.id)
            ).all()
        for identity, text in rows:
            if not text.startswith(f"{prefix}-"):
                continue
            number = int(text.rpartition("-")[2])
            if number < last.get(identity, -1):
                wrong.append(text)
            last[identity] = max(number, last.get(identity, -1))
        return wrong

    # ------------------------------------------------------------------------------------------------ its replies

    def answer(self, *, most: int = 1000, prefix: str = "re") -> list[str]:
        """Bo takes what waits and answers each conversation once; the texts that he sent."""
        said = []
        for _ in range(most):
            try:
                taken = self.desk.next("bo")
            except Conflict:
                continue
            if taken is None:
                break
            said.append(f"{prefix}-{taken}")
            self.desk.reply(taken, "bo", said[-1], idem_key=said[-1])
        return said

    def delivery_states(self) -> dict[str, str]:
        """Text of each reply -> the state of its delivery."""
        n, d = schema.interactions.c, schema.deliveries.c
        with self.store.read() as tx:
            rows = tx.execute(
                select(n.text, d.state).join(schema.deliveries, d.interaction_id == n.id).order_by(n.id)
            )
            return {row.text: row.state for row in rows}

    async def sent(self, within_s: float = 60.0) -> Counter[str]:
        """Until no delivery is held, queued or on its way; then, that the company has each one that counts as sent
        once, and none twice. How many there are of each state."""
        states: dict[str, str] = {}

        async def settled() -> bool:
            nonlocal states
            with suppress(Unavailable):
                states = await asyncio.to_thread(self.delivery_states)
                return not {"held", "queued", "sending"}.intersection(states.values())
            return False

        await until(settled, within_s, lambda: f"deliveries: {Counter(states.values())}")
        twice = [text for text, times in self.company.got.items() if times > 1]
        assert not twice, f"sent twice: {twice[:5]}"
        gone = [text for text, state in states.items() if state in WENT_OUT and not self.company.got[text]]
        assert not gone, f"said to be sent, and nobody got it: {gone[:5]}"
        return Counter(states.values())


async def until(
    true: Callable[[], Any], within_s: float, otherwise: str | Callable[[], str] = "it does not happen"
) -> None:
    """Look again and again, for at most `within_s`."""
    end = time.monotonic() + within_s
    while not await true():
        if time.monotonic() > end:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        await asyncio.sleep(0.1)
