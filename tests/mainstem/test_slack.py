"""Setting Slack up by command, and its process: what is wrong is said in words, and nothing hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from crm_store import configs
from crm_store.db import Store
from hub.configfiles import load, read_folder
from hub.settings import load as settings_of
from mainstem import terminal
from mainstem.commands import shared
from mainstem.doctor import Level
from mainstem.slack import in_words
from mainstem.slackcheck import examine, whole
from mainstem.up import Prepared
from tests.mainstem.running import Hub, gone, running
from tests.servers.slack import Slack
from tests.waiting import until
from workers.slack_repair import Repaired

ROOT = Path(__file__).parents[2]
QUEUES = ("general", "support", "sales", "billing")


class Office:
    """A workspace as docs/slack.md makes it, and the files of a folder that fit it."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack
        self.bo, self.cleo = slack.user("Bo"), slack.user("Cleo")
        self.channels = {name: slack.channel(name, bot=False) for name in (*QUEUES, "hub-ops")}
        self.files = read_folder(ROOT / "config")
        self.change("queues.yaml", '# slack: {ops: "#hub-ops"}', 'slack: {ops: "#hub-ops"}')
        for queue in QUEUES:
            self.change("queues.yaml", f"  {queue}:\n", f'  {queue}:\n    slack: "#{queue}"\n')
        self.change("agents.yaml", "    name: Bo\n", f"    name: Bo\n    slack: {self.bo.id}\n")
        self.change("agents.yaml", "    name: Cleo\n", f"    name: Cleo\n    slack: {self.cleo.id}\n")
        self.env = {
            "MAINSTEM_SLACK_API": slack.api,
            "MAINSTEM_SLACK_BOT_TOKEN": slack.bot_token,
            "MAINSTEM_SLACK_APP_TOKEN": slack.app_token,
        }

    def change(self, name: str, old: str, new: str) -> None:
        assert old in self.files[name], old
        self.files[name] = self.files[name].replace(old, new, 1)

    def check(self, **env: str) -> dict[str, Level]:
        """What is said -> how bad it is."""
        known = {name: value for name, value in (self.env | env).items() if value}
        found = examine(settings_of(known), load(self.files))
        return {one.said: one.level for one in found}

    def says(self, level: Level, *words: str, **env: str) -> None:
        """One finding of that level holds all the words."""
        told = self.check(**env)
        fit = [said for said, how in told.items() if how is level and all(word in said for word in words)]
        assert len(fit) == 1, told


@pytest.fixture
def office() -> Iterator[Office]:
    with Slack.running() as slack:
        yield Office(slack)


# ------------------------------------------------------------------------------------------------------- the check


def test_everything_is_well(office: Office) -> None:
    told = office.check()
    assert set(told.values()) == {Level.GREEN}
    assert "the bot token is that of @mainstem in Acme" in told
    assert "channels: #general, #support, #sales, #billing, #hub-ops" in told
    assert "agents who can act: bo, cleo" in told


def test_no_token_is_no_fault_unless_somebody_counts_on_it(office: Office) -> None:
    office.says(Level.YELLOW, "MAINSTEM_SLACK_BOT_TOKEN is not set", MAINSTEM_SLACK_BOT_TOKEN="")
    office.files = read_folder(ROOT / "config")
    nothing = {"MAINSTEM_SLACK_BOT_TOKEN": "", "MAINSTEM_SLACK_APP_TOKEN": ""}
    assert office.check(**nothing) == {"not set up (docs/slack.md): agents use the web desk": Level.GREEN}


def test_tokens(office: Office) -> None:
    office.says(Level.RED, "refuses the bot token (invalid_auth)", MAINSTEM_SLACK_BOT_TOKEN="xoxb-other")
    office.says(Level.RED, "app token (invalid_auth)", MAINSTEM_SLACK_APP_TOKEN="xapp-1-other")
    office.says(Level.RED, "the slack process does not start", MAINSTEM_SLACK_APP_TOKEN="")
    http = {"MAINSTEM_SLACK_APP_TOKEN": "", "MAINSTEM_SLACK_SIGNING_SECRET": "s", "PORT": "8080"}
    office.says(Level.GREEN, "HTTP mode", "/slack/events", "port 8082", **http)
    office.slack.do(office.slack.revoke)
    office.says(Level.RED, "token_revoked", "install the app again")


def test_an_app_token_of_another_app(office: Office) -> None:
    office.slack.app_token = "xapp-1-A0STAGING-1"
    told = {"MAINSTEM_SLACK_APP_TOKEN": "xapp-1-A0STAGING-1"}
    office.says(Level.RED, "another app (A0STAGING)", office.slack.app_id, **told)


@pytest.mark.parametrize(
    "scope, also",
    [
        ("reactions:write", "agents who can act: bo, cleo"),
        ("channels:read", "channels cannot be looked at without the missing scope"),
        ("users:read", "agents cannot be looked at without the missing scope"),
    ],
)
def test_a_missing_scope_is_named_and_the_rest_is_looked_at(office: Office, scope: str, also: str) -> None:
    office.slack.scopes -= {scope} | ({"groups:read"} if scope == "channels:read" else set())
    office.says(Level.RED, "missing scopes", scope, "mainstem slack manifest")
    assert also in office.check()


def test_channels(office: Office) -> None:
    office.slack.do(lambda: office.slack.archive(office.channels["support"]))
    office.slack.channel("back-office", private=True, bot=False, members=(office.bo,))
    office.change("queues.yaml", '"#sales"', '"#slaes"')
    office.change("queues.yaml", '"#billing"', '"#back-office"')
    office.says(Level.RED, "queue support", "#support is archived")
    office.says(Level.RED, "queue sales", "no channel #slaes")
    office.says(Level.RED, "queue billing", "#back-office", "/invite @Mainstem")
    office.says(Level.GREEN, "channels: #general, #hub-ops")


def test_queues_without_a_channel(office: Office) -> None:
    office.change("queues.yaml", '    slack: "#sales"\n', "")
    office.says(Level.GREEN, "on the web desk alone", "sales")
    office.files["queues.yaml"] = read_folder(ROOT / "config")["queues.yaml"]
    office.says(Level.YELLOW, "no queue has a channel")
    office.says(Level.YELLOW, "failures have no channel")


def test_people(office: Office) -> None:
    gus, eve = office.slack.user("Gus", guest=True), office.slack.user("Eve", stranger=True)
    office.change("agents.yaml", office.cleo.id, gus.id)
    office.change("agents.yaml", "    name: Admin\n", f"    name: Admin\n    slack: {eve.id}\n")
    office.says(Level.RED, "agent cleo cannot act", gus.id, "Guests")
    office.says(Level.RED, "agent admin cannot act", eve.id, "another one")
    office.says(Level.YELLOW, "nobody who can act on Slack works in: sales, billing")
    office.change("agents.yaml", gus.id, "U0123456789")
    office.says(Level.RED, "agent cleo: nobody in this workspace", "U0123456789")


def test_nobody_is_linked(office: Office) -> None:
    office.files["agents.yaml"] = read_folder(ROOT / "config")["agents.yaml"]
    office.says(Level.YELLOW, "no agent is linked")


def test_slack_in_trouble(office: Office) -> None:
    for what, words in ((503, "HTTP 503"), ("cut", "Server disconnected")):
        office.slack.do(lambda what=what: office.slack.fail("auth.test", what))  # type: ignore[misc]
        office.says(Level.RED, "the bot token", words)
    office.slack.do(lambda: office.slack.fail("conversations.list", "ratelimited", 1, 1))
    assert set(office.check().values()) == {Level.GREEN}  # a short pause is waited for
    office.slack.do(lambda: office.slack.fail("conversations.list", "ratelimited", 1, 60))
    office.says(Level.RED, "asks for a pause", "channels")
    office.says(Level.RED, "connection refused", MAINSTEM_SLACK_API="http://127.0.0.1:9/api/")


def test_the_folder_is_looked_at_as_it_is_saved(
    office: Office, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    for name, text in office.files.items():
        (folder / name).write_text(text)

    def found(url: str) -> dict[str, Level]:
        env = {"MAINSTEM_CONFIG": str(folder), "DATABASE_URL": url, "MAINSTEM_DATA": str(tmp_path)}
        settings = settings_of(office.env | env)
        monkeypatch.setattr(shared, "settings", lambda: settings)
        return {one.said: one.level for one in whole(settings)}

    nothing_runs = found(f"sqlite:///{tmp_path}/none.db")
    waits = f"{folder} is not in force yet: start `mainstem up`, or `mainstem config apply`"
    assert nothing_runs[waits] is Level.YELLOW
    assert nothing_runs["agents who can act: bo, cleo"] is Level.GREEN

    store = Store.open(sqlite_url)
    configs.apply(store, office.files, "test")
    store.close()
    assert set(found(sqlite_url).values()) == {Level.GREEN}

    (folder / "queues.yaml").write_text("queues: [")
    faulty = found(sqlite_url)
    assert any("is faulty (mainstem config check)" in said for said in faulty)
    assert "agents who can act: bo, cleo" in faulty  # of what was applied before


@pytest.mark.parametrize(
    "env, said",
    [
        ({}, "not set up; agents can answer from there too"),
        ({"MAINSTEM_SLACK_BOT_TOKEN": "xoxb-1"}, "half set up: MAINSTEM_SLACK_APP_TOKEN is missing"),
        ({"MAINSTEM_SLACK_BOT_TOKEN": "xoxb-1", "MAINSTEM_SLACK_APP_TOKEN": "xapp-1"}, "Socket Mode"),
        ({"MAINSTEM_SLACK_BOT_TOKEN": "xoxb-1", "MAINSTEM_SLACK_SIGNING_SECRET": "1"}, "HTTP mode"),
    ],
)
def test_what_up_says_of_slack(env: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    ports = {"PORT": "8080", "MAINSTEM_DESK_PORT": "8081"}
    terminal.summary(settings_of(env | ports), ports, Prepared(applied=True), 1.0, demo=False)
    assert said in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------- what repair says


@pytest.mark.parametrize(
    "found, dry, said",
    [
        ((7, 0, 0), False, "Nothing is missing: 7 cards looked for."),
        ((1, 1, 0), True, "Missing: 1 card with its thread; 1 card looked for."),
        ((9, 0, 2), True, "Missing: 2 messages of threads; 9 cards looked for."),
        (
            (9, 2, 1),
            False,
            "Marked to be posted again: 2 cards with their threads and 1 message of a thread; 9 cards looked for."
            " The slack process posts them, one a second in each channel.",
        ),
    ],
)
def test_a_repair_in_words(found: tuple[int, int, int], dry: bool, said: str) -> None:
    threads, cards, posts = found
    assert in_words(Repaired(threads=threads, cards=cards, posts=posts, unread={}), dry=dry) == said


def test_what_could_not_be_read_is_not_called_well() -> None:
    found = Repaired(threads=3, cards=0, posts=0, unread={"C1": "HTTP 503"})
    first, second = in_words(found, dry=False).splitlines()
    assert first == "Nothing is missing where Slack could be read: 3 cards looked for."
    assert second == "Channel C1 could not be read: HTTP 503"


# ----------------------------------------------------------------------------------------------------- the process


@contextmanager
def process(folder: Path, env: dict[str, str]) -> "Iterator[subprocess.Popen[str]]":
    """`mainstem slack run`, killed at the end whatever became of it."""
    started = subprocess.Popen(
        [sys.executable, "-m", "mainstem", "slack", "run"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def ends(started: "subprocess.Popen[str]", within_s: float) -> None:
    """SIGTERM ends it in order, that quickly."""
    began = time.monotonic()
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 0
    assert time.monotonic() - began < within_s


def slacks(hub: Hub) -> list[psutil.Process]:
    return [one for one in hub.family() if "slack" in one.cmdline()]


def test_without_a_token_it_waits_and_costs_little(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    with process(tmp_path, env) as idle:
        assert idle.stdout is not None
        assert "MAINSTEM_SLACK_BOT_TOKEN" in idle.stdout.readline()
        assert (
            psutil.Process(idle.pid).memory_info().rss < 60e6
        )  # 26 MB as measured: nothing of Slack is imported
        ends(idle, 10.0)


@pytest.mark.slow
def test_up_with_slack_from_the_first_word_to_the_answer(office: Office) -> None:
    slack, general = office.slack, office.channels["general"]
    with running(office.files, **office.env, MAINSTEM_UNDO_S="1") as hub:
        told = hub.ready()
        assert "Socket Mode" in told
        assert len(slacks(hub)) == 1
        slack.run(slack.connected())
        assert "agents who can act: bo, cleo" in hub.mainstem("doctor").stdout
        assert hub.mainstem("say", "Where is my parcel?").returncode == 0
        until(lambda: slack.messages(general))
        card = slack.messages(general)[0]["ts"]
        slack.run(office.bo.clicks(general, card, "claim"))
        slack.run(office.bo.clicks(general, card, "reply"))
        until(lambda: office.bo.views)
        assert slack.run(office.bo.submits({"text": "It comes tomorrow."})) is None
        until(
            lambda: "Sent: It comes tomorrow." in [one["text"] for one in slack.messages(general, card)], 30
        )

        def removed() -> None:
            slack.remove(slack.channels[general], card)

        slack.do(removed)
        assert "Missing: 1 card with its thread" in hub.mainstem("slack", "repair", "--dry-run").stdout
        assert hub.mainstem("slack", "repair").returncode == 0
        until(lambda: [one for one in slack.messages(general) if one.get("subtype") != "tombstone"])
        refused = hub.mainstem("slack", "repair", MAINSTEM_SLACK_BOT_TOKEN="xoxb-other")
        assert refused.returncode == 1
        assert refused.stderr.startswith("Slack refuses the bot token (invalid_auth)")
        assert len(refused.stderr.splitlines()) == 1

        (one,) = slacks(hub)
        assert one.memory_info().rss < 170e6  # 114 MB as measured

        with process(hub.folder, hub.env) as second:  # any number may run
            slack.run(slack.connected(2))
            ends(second, 10.0)
        by_http = {"MAINSTEM_SLACK_APP_TOKEN": "", "MAINSTEM_SLACK_SIGNING_SECRET": "s"}
        taken = hub.mainstem("slack", "run", MAINSTEM_SLACK_PORT=str(hub.port), **by_http)
        assert taken.stderr.endswith(
            f"port {hub.port} is taken by another program: set MAINSTEM_SLACK_PORT\n"
        )
        asked = len(slack.called("conversations.list"))
        slack.do(lambda: slack.fail("*", "timeout", -1))
        with process(hub.folder, hub.env) as waiting:  # Slack takes the call and never answers it
            until(lambda: len(slack.called("conversations.list")) > asked)
            ends(waiting, 10.0)
        slack.do(slack.mend)

        family = hub.family()
        hub.process.send_signal(signal.SIGINT)
        assert hub.process.wait(60) == 0
        assert gone(family, 1.0) == []
        assert "Traceback" not in hub.told.read_text()
