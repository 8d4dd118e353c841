"""`up --demo`: accounts laid over the folder, deeds that every connector reads, and all of it with real processes."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors import CONNECTORS, accounts
from connectors.base import Raw
from desk.prepared import approved
from hub.config import Account
from hub.configfiles import load, read_folder
from hub.model import Event, MessageReceived, Unreadable
from mainstem import demo_accounts, demo_deeds, demo_providers
from mainstem.demo_accounts import Simulated, Unfit, laid_over
from mainstem.demo_deeds import DEEDS, Deed
from mainstem.prepare import checks
from tests.connectors.twilio_world import message, wire
from tests.mainstem.running import ROOT, Hub, gone, running

SHIPPED = read_folder(ROOT / "config")
SIMULATED = {demo_accounts.key(name) for name in DEEDS}


@pytest.fixture
def simulated() -> Simulated:
    ports = itertools.count(9_001)
    return demo_accounts.fresh(lambda: next(ports))


def channels(text: str) -> dict[str, str]:
    return SHIPPED | {"channels.yaml": text}


def test_the_accounts_hold_and_say_that_they_are_simulated(simulated: Simulated) -> None:
    config = load(laid_over(SHIPPED, simulated), checks=checks())
    good, troubles = accounts.resolve(config, simulated.environment(), b"k" * 32)
    assert not troubles
    assert set(good) >= SIMULATED
    assert all(good[key].title.endswith("(simulated)") for key in SIMULATED)
    assert simulated.environment()["MAINSTEM_ALLOW_PRIVATE_TARGETS"] == "true"


def test_what_the_user_wrote_keeps_its_lines(simulated: Simulated) -> None:
    before, after = load(SHIPPED), load(laid_over(SHIPPED, simulated))
    assert {key: after.accounts[key].line for key in before.accounts} == {
        key: account.line for key, account in before.accounts.items()
    }
    assert {key: after.replies[key] for key in before.replies} == before.replies


@pytest.mark.parametrize(
    "text",
    [
        "accounts:\n    webchat/main:\n        title: Chat\n\n# ours\nbrands:\n  main: {name: Shop}\n",
        "brands:\n  main: {name: Shop}\n",
        "brands:\n  main: {name: Shop}\naccounts:\n",
        "brands:\n  main: {name: Shop}\n  other: {name: Other}\naccounts:  # where\n  webchat/main: {brand: other}",
    ],
)
def test_however_the_file_is_written(text: str, simulated: Simulated) -> None:
    config = load(laid_over(channels(text), simulated))
    assert set(config.accounts) >= SIMULATED
    assert {config.accounts[key].brand for key in SIMULATED} == {"main"}


def test_an_account_of_the_same_name_stays_the_users(simulated: Simulated) -> None:
    own = "brands:\n  main: {name: Shop}\naccounts:\n  telegram/simulated: {title: Mine, settings: {poll: true}}\n"
    config = load(laid_over(channels(own), simulated))
    assert config.accounts["telegram/simulated"].title == "Mine"
    assert not simulated.has(config.accounts["telegram/simulated"])
    assert simulated.has(config.accounts["sms_twilio/simulated"])
    assert set(config.accounts) == SIMULATED


def test_where_nothing_can_be_added_the_folder_is_applied_as_it_is(simulated: Simulated) -> None:
    for files, what in (
        (
            channels("brands: {main: {name: Shop}}\naccounts: {webchat/main: {title: Chat}}\n"),
            "accounts of config/channels.yaml",
        ),
        (SHIPPED | {"replies.yaml": "replies: {bye: {text: Bye}}\n"}, "replies of config/replies.yaml"),
    ):
        with pytest.raises(Unfit):
            laid_over(files, simulated)
        applied, why = demo_accounts.over(files, simulated.environment())
        assert applied == files
        assert f"left out: write the {what} one below the other" in why


def test_without_a_demo_nothing_is_added() -> None:
    assert demo_accounts.over(SHIPPED, {}) == (SHIPPED, "")


# ---------------------------------------------------------------------------------------------- what customers do


class Heard:
    """Every request of the stand-ins, proved and read by its connector."""

    def __init__(self) -> None:
        self.url = ""
        self.known: dict[str, Account] = {}
        self.events: list[Event] = []

    async def take(self, request: web.Request) -> web.Response:
        account = self.known[request.path.removeprefix("/in/")]
        raw = Raw(
            method=request.method,
            url=self.url + request.path,
            headers={name.lower(): [value] for name, value in request.headers.items()},
            body=await request.read(),
            received_at=dt.datetime.now(dt.UTC),
        )
        connector = CONNECTORS[account.connector]
        connector.verify(raw, account)
        self.events += connector.parse(raw, account).events
        return web.Response()


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    found = Heard()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def world(heard: Heard) -> AsyncIterator[demo_providers.World]:
    nothing = demo_accounts.fresh(lambda: 0)
    config = load(laid_over(SHIPPED, nothing))
    heard.known, _ = accounts.resolve(config, nothing.environment(), b"k" * 32)
    async with demo_providers.opened(nothing, heard.url) as opened:
        yield opened


@pytest.mark.parametrize("connector", sorted(DEEDS))
async def test_every_deed_is_proved_and_read(
    connector: str, heard: Heard, world: demo_providers.World
) -> None:
    """Those that need an earlier message of either side do with plain words until there is one, and then with it."""
    one = world.people[0]
    told = await _ours(world, connector)
    deeds: list[Deed] = [deed for _, deed in DEEDS[connector]]
    if connector in demo_deeds.NAMELESS:
        await demo_deeds.NAMELESS[connector](one)
        first = heard.events[0]
        assert isinstance(first, MessageReceived)
        assert one.name in first.text
    for deed in deeds:
        before = len(heard.events)
        assert world.note(one, connector, await deed(one)), "our webhook did not take it"
        assert len(heard.events) > before
    one.told[connector] = told
    for deed in deeds:
        assert world.note(one, connector, await deed(one)), "our webhook did not take it"
    assert not [event for event in heard.events if isinstance(event, Unreadable)]
    names = {
        event.sender_name
        for event in heard.events
        if isinstance(event, MessageReceived) and event.sender_name
    }
    assert all(name.startswith(("Simulated ", "simulated.")) for name in names)


@pytest.mark.parametrize("connector", ["whatsapp", "whatsapp_twilio"])
async def test_the_approved_reply_goes_through_a_closed_window(
    connector: str, heard: Heard, world: demo_providers.World, simulated: Simulated
) -> None:
    one = world.people[0]
    one.whatsapp.last_in = 0.0
    world.twilio.windows.clear()
    reply = load(laid_over(SHIPPED, simulated), checks=checks()).replies[demo_accounts.NAME]
    account = heard.known[demo_accounts.key(connector)]
    api = world.graph.base if connector == "whatsapp" else world.twilio.url
    account = replace(account, settings={**account.settings, "api": api})
    template = approved(reply, account.key, ("Ann",))
    async with wire() as way:
        said = message(key=account.key, to=f"tel:{one.phone}", heard_at=None, template=template)
        await CONNECTORS[connector].send(said, account, way)
    words = [sent.text for sent in world.graph.sent] + [sent.body for sent in world.twilio.sent]
    assert words == ["Hello Ann, there is news about your question. Shall we go on here?"]
    assert [sent.error_code for sent in world.twilio.sent if sent.error_code] == []


async def _ours(world: demo_providers.World, connector: str) -> Any:
    """The id of something that we are supposed to have sent to the first of them."""
    one = world.people[0]
    match connector:
        case "telegram":
            number = one.telegram.chat.next_id()
            one.telegram.chat.messages[number] = {"message_id": number, "from": world.telegram.me()}
            return number
        case "whatsapp":
            return "wamid.ours"
        case "sms_twilio" | "whatsapp_twilio":
            return "SM" + "0" * 32
    return "m_ours"


# ------------------------------------------------------------------------------------------------ with real processes


@pytest.fixture
def demo() -> Iterator[Hub]:
    with running(demo=True) as started:
        yield started


def _rows(hub: Hub, query: str) -> list[tuple[Any, ...]]:
    import sqlite3

    with sqlite3.connect(f"file:{hub.folder}/var/mainstem.db?mode=ro", uri=True) as db:
        return db.execute(query).fetchall()


@pytest.mark.slow
@pytest.mark.timeout(300)  # many processes, and nobody hurries in a demo
def test_the_demo_lives_and_ends_and_leaves_the_folder_alone(demo: Hub) -> None:
    told = demo.ready()
    assert all(f"● {key} " in told for key in SIMULATED)
    for _ in range(1800):
        came = {
            row[0] for row in _rows(demo, "SELECT DISTINCT account FROM interactions WHERE direction = 'in'")
        }
        arrived = _rows(demo, "SELECT 1 FROM deliveries WHERE state IN ('delivered', 'read')")
        if len(came & SIMULATED) >= 3 and arrived:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(f"only {came} were heard of, and {arrived} arrived:\n{demo.told.read_text()}")
    assert "Demo: customers called “Simulated …”" in demo.told.read_text()
    out = _rows(demo, "SELECT text FROM interactions WHERE direction = 'out'")
    assert all(text.startswith("[simulated] ") for (text,) in out)

    # Beside it its stand-ins are known, without a word about them in this terminal.
    said = demo.mainstem("doctor", PORT="", MAINSTEM_DESK_PORT="").stdout
    assert "stand-ins" in said
    assert "config apply" not in said
    assert "simulated does not work" not in said

    # A save keeps the accounts.
    channels_file = demo.folder / "config" / "channels.yaml"
    saved = channels_file.read_text().replace("name: Example Ltd", "name: Another Ltd")
    channels_file.write_text(saved)
    for _ in range(200):
        shown = demo.mainstem("config", "show", "channels.yaml").stdout
        if "Another Ltd" in shown:
            break
        time.sleep(0.1)
    assert "telegram/simulated" in shown
    assert channels_file.read_text() == saved

    family = demo.family()
    began = time.monotonic()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert time.monotonic() - began < 20.0
    assert gone(family, 10.0) == []
    assert not re.search(r"Traceback", demo.told.read_text())
    assert demo.mainstem("config", "apply").returncode == 0
    assert "simulated" not in demo.mainstem("config", "show", "channels.yaml").stdout


def test_it_is_told_where_the_source_tree_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert demo_accounts.missing() == ""
    monkeypatch.setattr(demo_accounts, "ROOT", tmp_path)
    assert "come with the source tree" in demo_accounts.missing()


def test_what_is_made_up_does_not_show_itself(simulated: Simulated) -> None:
    assert simulated.seed not in repr(simulated)
    assert replace(simulated, seed="x").secret("app") != simulated.secret("app")
