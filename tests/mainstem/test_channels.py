"""Accounts at a provider: the pull process polls them, `channel hook` sets them up, doctor says how they stand."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from crm_store import schema, sources
from hub import clock
from mainstem import channelcheck, cli
from mainstem.commands import shared
from mainstem.doctor import Level
from tests.connectors.samples import account
from tests.faults.installation import CONFIG, Installation
from tests.servers.telegram import Telegram
from tests.servers.telegram.updates import KINDS
from tests.waiting import until

CHANNELS = """
  telegram/main:
    title: Telegram
    settings: {api: "API", poll: POLLS}
    secrets: {token: BOT_TOKEN, webhook: BOT_WEBHOOK}
"""


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with Telegram() as opened:
        yield opened


@pytest.fixture
def hub(tmp_path: Path, telegram: Telegram) -> Iterator[Installation]:
    with Installation(tmp_path, config={"channels.yaml": channels(telegram, "true")}) as installation:
        installation.settings |= {"BOT_TOKEN": telegram.token, "BOT_WEBHOOK": "canary_hook"}
        yield installation


def channels(telegram: Telegram, polls: str) -> str:
    return CONFIG["channels.yaml"] + CHANNELS.lstrip("\n").replace("API", telegram.url).replace(
        "POLLS", polls
    )


def stored(hub: Installation) -> list[str]:
    with hub.store.read() as tx:
        i = schema.interactions.c
        return list(tx.scalars(select(i.text).where(i.account == "telegram/main").order_by(i.id)))


def cursor(hub: Installation) -> int:
    with hub.store.read() as tx:
        c = schema.cursors.c
        value = tx.scalar(select(c.value).where(c.account == "telegram/main", c.name == "poll"))
    return int(str(value).partition(":")[0]) if value else 0


@pytest.mark.slow
def test_from_the_bot_to_the_store_each_once_whatever_dies(hub: Installation, telegram: Telegram) -> None:
    ann = telegram.do(lambda: telegram.person("Ann"))
    telegram.run(ann.says("One"))
    hub.start("router", "pull")
    until(lambda: stored(hub) == ["One"])
    telegram.run(ann.says("Two"))
    until(lambda: stored(hub) == ["One", "Two"])

    hub.kill("pull")  # in the middle of a look
    telegram.run(ann.says("Three"))
    hub.start("pull")
    until(lambda: stored(hub) == ["One", "Two", "Three"])

    hub.kill("router")  # the cursor waits in the stream, the looks go on
    telegram.run(ann.says("Four"))
    until(lambda: telegram.do(lambda: telegram.updates.all[-1].done))
    hub.kill("pull")
    hub.start("pull", "router")
    until(lambda: stored(hub) == ["One", "Two", "Three", "Four"])
    assert cursor(hub) == telegram.updates.all[-1].update_id + 1

    began = time.monotonic()
    hub.stop("pull")  # in the middle of a long poll
    assert time.monotonic() - began < 5
    with hub.store.read() as tx:
        intake = schema.intake.c
        count = tx.scalar(
            select(func.count()).where(intake.account == "telegram/main", intake.outcome == "stored")
        )
        assert count == 4
        assert [(one.account, one.why) for one in sources.readings(tx)] == [("telegram/main", "")]
    _, said = hub.command("doctor")
    assert "telegram/main was polled" in said
    assert "telegram/main: no webhook is set, as polling wants it" in said


@pytest.mark.slow
def test_the_way_out_goes_to_the_bot_and_a_block_is_honoured(hub: Installation, telegram: Telegram) -> None:
    ann = telegram.do(lambda: telegram.person("Ann"))
    telegram.run(ann.says("Where is my parcel?"))
    hub.start("router", "pull", "worker", "clock")
    until(lambda: stored(hub))
    (reply,) = hub.answer(prefix="It left on Monday")
    until(lambda: hub.delivery_states().get(reply) == "sent", 40)
    assert [one["text"] for one in ann.received] == [reply]
    assert "reply_to_message" not in ann.received[0]  # it answers the newest

    telegram.run(ann.reacts(ann.received[0]["message_id"], "👍"))
    telegram.do(lambda: setattr(ann.chat, "gone", "bot was blocked by the user"))  # we are not told yet
    telegram.run(ann.says("Thanks"))
    until(lambda: len(stored(hub)) == 3)
    again = "You are welcome"
    with hub.store.read() as tx:
        talk = tx.execute(select(schema.conversations.c.id)).scalar_one()
    hub.desk.reply(talk, "bo", again, idem_key=again)
    until(lambda: hub.delivery_states().get(again) == "opted_out", 40)
    assert blocked(hub)
    telegram.run(ann.unblocks())
    until(lambda: not blocked(hub))
    late = "Welcome back"
    hub.desk.reply(talk, "bo", late, idem_key=late)
    until(lambda: hub.delivery_states().get(late) == "sent", 40)
    assert [one["text"] for one in ann.received] == [reply, late]


def blocked(hub: Installation) -> bool:
    with hub.store.read() as tx:
        return tx.scalar(select(schema.identities.c.trouble)) == "blocked"


@pytest.mark.slow
def test_a_webhook_in_the_way_is_told_and_taken_away(hub: Installation, telegram: Telegram) -> None:
    folder = hub.folder / "config" / "channels.yaml"
    folder.write_text(channels(telegram, "false").replace("URL", hub.company.url))
    hub.run("config", "apply")
    hub.settings["MAINSTEM_PUBLIC_URL"] = f"http://127.0.0.1:{hub.port}"
    said = hub.run("channel", "hook", "telegram/main")
    assert f"to http://127.0.0.1:{hub.port}/in/telegram/main" in said
    assert telegram.updates.url == f"http://127.0.0.1:{hub.port}/in/telegram/main"
    assert telegram.updates.secret == "canary_hook"
    assert set(telegram.updates.allowed) <= set(KINDS)
    assert "telegram/main: the webhook leads to http://127.0.0.1" in hub.command("doctor")[1]

    hub.start("router", "pull")
    folder.write_text(channels(telegram, "true").replace("URL", hub.company.url))
    hub.run("config", "apply")  # followed while it runs

    def told() -> bool:
        with hub.store.read() as tx:
            return any("a webhook is set" in one.why for one in sources.readings(tx))

    until(told)
    assert "telegram/main cannot be polled: 409: a webhook is set" in hub.command("doctor")[1]
    said = hub.run("channel", "hook", "telegram/main")
    assert "has no webhook any more" in said
    assert telegram.updates.url == ""
    hub.kill("pull")
    hub.start("pull")
    telegram.run(telegram.do(lambda: telegram.person("Ann")).says("Hi"))
    until(lambda: stored(hub) == ["Hi"])
    log = "".join(file.read_text() for file in hub.folder.glob("*.log"))
    assert telegram.token not in log


@pytest.fixture
def command(
    hub: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """As `Installation.command`, in this process."""
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    shared.settings.cache_clear()

    def call(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.run(list(words))
        told = capsys.readouterr()
        return code, told.out + told.err

    yield call
    shared.settings.cache_clear()


def test_what_cannot_be_hooked_is_one_sentence(
    command: Callable[..., tuple[int, str]], telegram: Telegram
) -> None:
    for name, sentence in (
        ("telegram/other", "there is no account telegram/other; there are telegram/main"),
        ("webhook/main", "is set up by hand: docs/channels/webhook.md"),
    ):
        code, said = command("channel", "hook", name)
        assert code == 1
        assert sentence in said
    telegram.do(lambda: setattr(telegram, "revoked", True))
    code, said = command("channel", "hook", "telegram/main")
    assert code == 1
    assert said.strip().startswith("telegram/main: 401: the token does not hold")
    assert telegram.token not in said


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "reading, level, said",
    [
        (None, Level.YELLOW, "telegram/main was never polled: is `mainstem pull` running?"),
        ((10, "", None), Level.GREEN, "telegram/main was polled 10 s ago"),
        ((1800, "", None), Level.RED, "telegram/main was last polled 30 minutes ago"),
        ((5, "the token does not hold", 60), Level.RED, "(tried again at 12:01:00 UTC)"),
    ],
)
def test_how_polling_goes_is_told(
    monkeypatch: pytest.MonkeyPatch, reading: tuple[int, str, int | None] | None, level: Level, said: str
) -> None:
    monkeypatch.setattr(clock, "system", lambda: NOW)
    known = None
    if reading is not None:
        ago, why, again = reading
        next_at = None if again is None else NOW + timedelta(seconds=again)
        known = sources.Reading("telegram/main", NOW - timedelta(seconds=ago), why, next_at)
    found = channelcheck._polling(account("telegram/main", {}), known)
    assert found.level is level
    assert said in found.said
