"""S18 and S19: secrets and people's words, looked for everywhere afterwards in a hub that runs as it is run."""

from __future__ import annotations

import io
import json
import logging
import re
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import psutil
import pytest
import redis as redis_py
from sqlalchemy import Connection, insert, text

from connectors import accounts, signing
from connectors.base import Raw
from crm_store.db import Store
from crm_store.schema import customers
from hub import log
from hub.configfiles import load
from hub.settings import load as load_settings
from tests.faults.installation import until
from tests.mainstem.running import Hub, running
from tests.servers.http import Provider, Say
from tests.waiting import eventually

SIGNING = "canary-signing-4f0c1d7a9b2e"
OLD = "canary-rotated-77d1e0c4aa31"
PASSWORD = "canary password nobody guesses"
WRONG = "canary wrong password 5521"
MAIL = "canary.person@example.org"
PHONE = "+14155550142"
WORDS = "canarywords about my divorce"
ANSWER = "canaryanswer to be read by one person"
FORGED_LINE = "x\n23:59:59.000 error    web        FORGED LINE\r\nFORGED\u2028FORGED"
CHANNELS = """
brands: {main: {name: Example Ltd}}
accounts:
  webchat/main: {title: Chat}
  console/main: {title: Terminal}
  webhook/main:
    title: Forms
    settings: {url: "URL"}
    secrets: {signing: [CANARY_SIGNING, CANARY_OLD]}
"""
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (debug|info|warning|error|critical) |    \| ")


@dataclass
class Found:
    """What the hub let out, place by place; and what must be in none of it."""

    places: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, text: str) -> None:
        self.places[place] = self.places.get(place, "") + "\n" + text

    def holds(self, words: dict[str, str], where: tuple[str, ...]) -> list[str]:
        return [
            f"{name} in {place}"
            for place, text in self.places.items()
            if place.startswith(where)
            for name, value in words.items()
            if value.lower() in text.lower()
        ]


@pytest.mark.timeout(300)  # many processes
async def test_no_secret_and_no_word_gets_out() -> None:
    with Provider(default=Say(body=b'{"id": "theirs"}')) as company:
        files = {"channels.yaml": CHANNELS.replace("URL", company.url)}
        env = {
            "CANARY_SIGNING": SIGNING, "CANARY_OLD": OLD, "MAINSTEM_ALLOW_PRIVATE_TARGETS": "1", "MAINSTEM_UNDO_S": "0",
        }  # fmt: skip
        with running(files, **env) as hub:
            told = hub.ready()
            assert "Mainstem is ready" in told, told
            found = Found()
            await live_a_little(hub, found, company)
            for child in [*hub.family(), psutil.Process(hub.process.pid)]:
                found.add("argv", " ".join(child.cmdline()))
            look_at_what_it_wrote(hub, found)
    assert found.places["dump of the store"].count(WORDS), "the words were really there"
    secrets = found.secrets
    everywhere = ("argv", "log", "told", "answers", "dump", "redis", "journal", "doctor", "metrics")
    assert not found.holds(secrets, everywhere)
    personal = {"mail": MAIL, "phone": PHONE, "words": WORDS, "answer": ANSWER}
    assert "why=" in found.places["log web.log"], "the forged request was noted"
    assert not found.holds(personal, ("argv", "log", "told", "doctor", "metrics", "answers to the forged"))
    assert "canary" not in found.places["argv"].lower()
    for place, said in found.places.items():
        if place.startswith("log "):
            odd = [line for line in said.splitlines() if line.strip() and not LINE.match(line)]
            # Valkey writes its own lines; ours are ours alone.
            assert place == "log valkey.log" or not odd, (place, odd[:3])


async def live_a_little(hub: Hub, found: Found, company: Provider) -> None:
    """Messages in, good and bad; somebody logs in, sets a password, mistypes it, searches, and answers."""
    edge = f"http://127.0.0.1:{hub.port}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await strangers_come(http, edge, found)
        agent = Agent(http, f"http://127.0.0.1:{hub.desk_port}", found)
        await agent.logs_in(hub.mainstem("login", "admin").stdout.strip())
        await agent.answers(await agent.finds("canarywords"))
        await eventually(lambda: company.seen)  # the answer
        await agent.logs_out()
        async with http.get(f"{edge}/metrics") as got:
            found.add("metrics", await got.text())
    found.add("doctor", (lambda done: done.stdout + done.stderr)(hub.mainstem("doctor")))


async def strangers_come(http: aiohttp.ClientSession, edge: str, found: Found) -> None:
    """By form, signed and forged, by chat, and to an address that is none."""

    async def post(body: bytes, secret: str, **headers: str) -> None:
        stamp = signing.sign(secret, body, int(time.time()))
        async with http.post(
            f"{edge}/in/webhook/main", data=body, headers={signing.HEADER: stamp, **headers}
        ) as got:
            # Whoever signed may be told what of theirs could not be read.
            who = "forged" if got.status == 401 else "signed"
            found.add(f"answers to the {who}", f"{got.status} {got.headers} {await got.text()}")

    person = {"email": MAIL, "phone": PHONE, "name": FORGED_LINE}
    await post(json.dumps({"id": FORGED_LINE, "from": person, "text": WORDS}).encode(), OLD)
    await post(json.dumps({"id": "2", "from": f"{MAIL} {WORDS}", "text": WORDS}).encode(), SIGNING)
    await post(f'{{"id": "3", "text": {WORDS}, {MAIL}'.encode(), SIGNING)
    await post(WORDS.encode(), "not-the-secret", Authorization=f"Bearer {SIGNING}")
    async with http.ws_connect(f"{edge}/chat/main/ws", headers={"Origin": edge}) as socket:
        await socket.send_json({"type": "hello"})
        found.secrets["visitor's token"] = (await socket.receive_json(timeout=30))["token"]
        await socket.send_json({"type": "message", "id": "canary-0001", "text": WORDS})
        while (await socket.receive_json(timeout=30))["type"] != "ok":
            pass
    async with http.get(f"{edge}/nowhere/{SIGNING}?token={SIGNING}&{MAIL}") as got:
        assert got.status == 404


@dataclass
class Agent:
    """Somebody at the desk, in a browser; what it answers them is kept."""

    http: aiohttp.ClientSession
    desk: str
    found: Found
    csrf: str = ""

    async def get(self, path: str) -> str:
        async with self.http.get(self.desk + path) as got:
            text = await got.text()
            self.found.add("answers of the desk", f"{got.status} {text}")
        self.csrf = (re.findall(r'name="csrf" value="([^"]+)"', text) or [self.csrf])[0]
        return text

    async def send(self, path: str, **fields: str) -> int:
        async with self.http.post(
            self.desk + path, data={"csrf": self.csrf, **fields}, allow_redirects=False
        ) as got:
            self.found.add("answers of the desk", f"{got.status} {await got.text()}")
            return got.status

    @property
    def session(self) -> str:
        return {cookie.key: cookie.value for cookie in self.http.cookie_jar}["desk-session"]

    async def logs_in(self, link: str) -> None:
        """By a link, and sets a password, which they mistype later."""
        self.found.secrets["login link"] = link.rpartition("/")[2]
        await self.get(link.removeprefix(self.desk))
        assert await self.send(link.removeprefix(self.desk)) == 303
        self.found.secrets["first session"] = self.session
        await self.get("/account")
        assert await self.send("/account/password", password=PASSWORD, again=PASSWORD) == 303
        self.found.secrets["session"] = self.session
        await self.get("/account")
        status = await self.send("/account/password", old=WRONG, password=WRONG + "!", again=WRONG + "!")
        assert status == 403

    async def finds(self, word: str) -> str:
        """The number of the first conversation that holds it."""
        numbers: list[str] = []

        async def there() -> bool:
            numbers[:] = re.findall(r"/conversations/(\d+)", await self.get(f"/search?q={word}"))
            return bool(numbers)

        await until(there, 60, "the message is not found")
        await self.get(f"/search?q={MAIL}")
        return min(numbers, key=int)

    async def answers(self, number: str) -> None:
        """Claims it, and answers where it came from."""
        await self.get(f"/conversations/{number}")
        assert await self.send(f"/conversations/{number}/claim") == 303
        page = await self.get(f"/conversations/{number}")
        fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="(key|seen)"[^>]*value="([^"]*)"', page))
        channel = re.search(r'name="channel"[^>]*value="([^"]+)"|<option value="(webhook[^"]+)"', page)
        if channel:
            fields["channel"] = channel[1] or channel[2]
        status = await self.send(f"/conversations/{number}/reply", reply=ANSWER, then="leave", **fields)
        assert status == 303, self.found.places["answers of the desk"][-3000:]

    async def logs_out(self) -> None:
        """And mistypes the password."""
        await self.get("/quarantine")
        assert await self.send("/logout") == 303
        await self.get("/login")
        assert await self.send("/login", name="admin", password=WRONG) == 403


def look_at_what_it_wrote(hub: Hub, found: Found) -> None:
    data = hub.folder / "var"
    key = (data / "secret.key").read_text().strip()
    assert (data / "secret.key").stat().st_mode & 0o077 == 0
    found.secrets |= {
        "signing secret": SIGNING, "older signing secret": OLD, "password": PASSWORD, "wrong password": WRONG,
        "installation's key": key,
        "console's secret": accounts.derived("console/main", "token", key.encode()),
        "visitors' secret": accounts.derived("webchat/main", "visitors", key.encode()),
    }  # fmt: skip
    found.add("told", hub.told.read_text())
    for path in sorted((data / "logs").glob("*.log")):
        found.add(f"log {path.name}", path.read_text("utf-8", "backslashreplace"))
    assert len([place for place in found.places if place.startswith("log ")]) >= 3
    with sqlite3.connect(f"file:{data / 'mainstem.db'}?mode=ro", uri=True) as store:
        found.add("dump of the store", "\n".join(store.iterdump()))
    for path in (data / "journal").rglob("*"):
        if path.is_file():
            found.add("journal", path.read_bytes().decode("latin-1"))
    from mainstem import embedded

    with redis_py.Redis.from_url(embedded.url(data)) as client:
        for name in client.scan_iter():
            found.add("redis", f"{name!r} {client.dump(name)!r} {everything(client, name)}")


def everything(client: Any, name: bytes) -> str:
    kind = client.type(name)
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda n: client.lrange(n, 0, -1),
        b"set": client.smembers,
        b"zset": lambda n: client.zrange(n, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    return repr(read[kind](name))


def test_secrets_are_in_no_repr() -> None:
    files = {
        "channels.yaml": CHANNELS.replace("URL", "https://shop.example"),
        "queues.yaml": "queues: {general: {title: General}}",
        "agents.yaml": "agents: {bo: {name: Bo, queues: [general]}}",
        "routing.yaml": "default: {queue: general}",
    }
    config = load(files)
    resolved, troubles = accounts.resolve(config, {"CANARY_SIGNING": SIGNING, "CANARY_OLD": OLD}, b"k" * 32)
    assert not troubles
    derived = resolved["console/main"].secrets["token"][0]
    settings = load_settings(
        {"MAINSTEM_SECRET_KEY": SIGNING * 2, "DATABASE_URL": f"postgres://u:{SIGNING}@h/d", "REDIS_URL": f"redis://:{OLD}@h"}
    )  # fmt: skip
    raw = Raw(
        method="POST", url=f"https://h/in/x?token={SIGNING}", headers={"authorization": (f"Bearer {SIGNING}",)},
        body=WORDS.encode(), received_at=datetime.now(UTC), remote="192.0.2.1",
    )  # fmt: skip
    for one in (config, resolved, resolved["webhook/main"], settings, raw):
        for secret in (SIGNING, OLD, derived, WORDS):
            assert secret not in repr(one), type(one)
            assert secret not in str(one), type(one)


@pytest.mark.parametrize(
    "wrong", ["a row that breaks a rule", "a key that is taken", "a statement that is none"]
)
def test_an_error_of_the_database_shows_no_row(store: Store, wrong: str) -> None:
    """Both databases and SQLAlchemy like to quote what could not be written."""
    out = io.StringIO()
    log.configure("info", "text", stream=out)
    at = {"created_at": datetime.now(UTC), "updated_at": datetime.now(UTC), "by": "x"}

    def work(tx: Connection) -> None:
        if wrong == "a statement that is none":
            tx.execute(text("SELECT nothing FROM customers WHERE name = :name"), {"name": WORDS})
        for _ in range(2):
            brand = None if wrong == "a row that breaks a rule" else "main"
            tx.execute(insert(customers).values(id=1, brand_id=brand, name=f"{WORDS}\n\n{WORDS}", **at))

    try:
        store.run(work)
    except Exception as error:
        log.get("test").exception("it broke", error=str(error))
        logging.getLogger("some.library").exception("it broke")
    finally:
        log.configure("warning")
    said = out.getvalue()
    assert said.count("it broke") == 2
    assert "Error" in said, "what went wrong is still told"
    assert "customers" in said
    assert WORDS not in said


def test_what_postgresql_says_of_a_copied_row_is_not_shown() -> None:
    said = (
        f'psycopg.errors.BadCopyFileFormat: extra data\nCONTEXT:  COPY interactions, line 2: "1\t{WORDS}\n\n{WORDS}"\n'
        "\nThe above exception was the direct cause of the following exception:\n"
        "\nTraceback (most recent call last):\n  x"
    )
    shown = log.mask_text(said)
    assert WORDS not in shown
    assert shown.endswith("Traceback (most recent call last):\n  x")
