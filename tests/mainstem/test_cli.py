"""The command line: it answers at once, and everything wrong is one clear sentence and a non-zero exit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from crm_store import configs, desk_inbox
from crm_store.db import Store
from hub.configfiles import read_folder
from mainstem import beside, cli, demo_accounts
from mainstem.commands import shared

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in a folder of its own: (exit code, what it printed, what it complained)."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MAINSTEM_") or name in ("REDIS_URL", "DATABASE_URL", "PORT"):
            monkeypatch.delenv(name)
    shared.settings.cache_clear()

    def call(*words: str, **env: str) -> tuple[int, str, str]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        shared.settings.cache_clear()
        capsys.readouterr()
        code = cli.run(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    yield call
    shared.settings.cache_clear()


@pytest.fixture
def hub(sqlite_url: str) -> dict[str, str]:
    """A migrated database with the configuration that ships in force, as the environment names it."""
    store = Store.open(sqlite_url)
    configs.apply(store, read_folder(ROOT / "config"), "test")
    store.close()
    return {"DATABASE_URL": sqlite_url, "MAINSTEM_CONFIG": str(ROOT / "config")}


EMPTY: dict[str, str] = {}

# What is typed and set -> what the one sentence holds. Nothing runs in this folder, and nothing was ever applied.
BAD_WITHOUT_A_HUB = [
    (["frobnicate"], EMPTY, "no command 'frobnicate'"),
    (["doktor"], EMPTY, "Did you mean 'doctor'?"),
    (["--frob"], EMPTY, "No such option"),
    (["slack", "manifest", "--http", "ftp://hub"], EMPTY, "only https"),
    (["slack", "check"], EMPTY, "there is no database"),
    (["slack", "repair"], EMPTY, "Slack is not set up"),
    (["slack", "retry"], EMPTY, "there is no database"),
    (["channel", "hook"], EMPTY, "Missing argument 'ACCOUNT'"),
    (["channel", "hook", "telegram/main"], EMPTY, "there is no database"),
    (["mail", "check"], EMPTY, "there is no database"),
    (["mail", "import"], EMPTY, "Missing argument 'FILE"),
    (["mail", "import", "a.eml"], EMPTY, "there is no database"),
    (["up", "extra"], EMPTY, "unexpected extra argument"),
    (["up", "--dmeo"], EMPTY, "--demo"),
    (["up"], {"PORT": "abc"}, "PORT: "),
    (["up"], {"PORT": "70000"}, "PORT: "),
    (["up"], {"REDIS_URL": "localhost"}, "REDIS_URL: must start with redis://"),
    (["web"], {"MAINSTEM_PUBLIC_URL": "hub.example.com"}, "MAINSTEM_PUBLIC_URL: must be an address"),
    (["web"], EMPTY, "no `mainstem up` is running"),
    (["web", "now"], EMPTY, "unexpected extra argument"),
    (["router"], EMPTY, "no `mainstem up` is running"),
    (["router", "--fast"], EMPTY, "No such option"),
    (["worker"], EMPTY, "no `mainstem up` is running"),
    (["clock"], EMPTY, "no `mainstem up` is running"),
    (["pull"], EMPTY, "no `mainstem up` is running"),
    (["desk"], EMPTY, "no `mainstem up` is running"),
    (["release"], {"MAINSTEM_CONFIG": "nowhere"}, "nowhere"),
    (["say"], EMPTY, "Missing argument 'TEXT'"),
    (["say", "hi"], EMPTY, "there is no database at var/mainstem.db yet"),
    (["chat", "--wait", "soon"], EMPTY, "'soon'"),
    (["chat"], EMPTY, "there is no database"),
    (["login"], EMPTY, "there is no database"),
    (["password"], EMPTY, "Missing argument 'AGENT'"),
    (["report", "weather"], EMPTY, "'weather' is not one of 'queues', 'agents', 'volumes'"),
    (["report", "queues", "--csv", "--json"], EMPTY, "--csv or --json, not both"),
    (["secret"], EMPTY, "Missing argument 'ACCOUNT'"),
    (["secret", "webhook/main"], EMPTY, "there is no database"),
    (["queues", "--once"], EMPTY, "there is no database"),
    (["tail"], EMPTY, "no `mainstem up` is running"),
    (["tail"], {"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis does not answer"),
    (["ledger", "--day", "tomorrow"], EMPTY, "'tomorrow' is no day"),
    (["ledger", "--day", "9999-12-31"], EMPTY, "9999-12-31 has not come yet"),
    (["explain", "one"], EMPTY, "'one' is no conversation's number, such as 1042 or '#1042'"),
    (["explain", "0"], EMPTY, "'0' is no conversation's number"),
    (["explain", "9" * 19], EMPTY, "is no conversation's number"),
    (["explain", "9" * 5000], EMPTY, "is no conversation's number"),
    (["config", "check"], EMPTY, "config"),
    (["config", "check", "--folder", "nowhere"], EMPTY, "nowhere"),
    (["config", "frob"], EMPTY, "No such command 'frob'"),
    (["config", "apply"], EMPTY, "there is no database"),
    (["config", "show"], EMPTY, "there is no database"),
    (["config", "history", "--limit", "0"], EMPTY, "0 is not in the range"),
    (["config", "rollback"], EMPTY, "Missing argument 'REF'"),
    (["quarantine", "show", "x"], EMPTY, "'x' is not a valid integer"),
    (["quarantine", "show", "9" * 19], EMPTY, "is not in the range"),
    (["quarantine", "replay"], EMPTY, "Missing argument 'NUMBERS"),
    (["quarantine", "list"], EMPTY, "there is no database"),
    (["customers", "merge", "1"], EMPTY, "Missing argument 'MERGED'"),
    (["customers", "find", "ann"], EMPTY, "there is no database"),
    (["ledger"], {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "the database does not answer"),
    (["ledger"], {"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
]

BAD_WITH_A_HUB = [
    (["login", "zoe"], "no agent 'zoe'; there are admin, bo, cleo"),
    (["password", "zoe"], "no agent 'zoe'"),
    (["secret", "webhook/other"], "no account 'webhook/other'; there are "),
    (["secret", "webhook/main", "token"], "no secret 'token'; there are signing"),
    (["receive", "console/main"], "console/main is no webhook account that can work"),
    (["say", ""], "TEXT is empty"),
    (["say", "hi", "--account", "console/two"], "no console account 'console/two'; there is console/main"),
    (["say", "hi"], "no web process answers at"),
    (
        ["mail", "import", "a.eml", "--account", "mail/other"],
        "there is no mailbox mail/other; there are mail/support",
    ),
    (["channel", "hook", "telegram/main"], "there is no account telegram/main; there are none to hook"),
    (["channel", "hook", "console/main"], "docs/channels/console.md"),
    (["mail", "import", "nowhere.eml"], "there is no nowhere.eml"),
    (["explain", "4711"], "there is no conversation #4711"),
    (["explain", "#4711"], "there is no conversation #4711"),
    (["config", "show", "secrets.yaml"], "has no file 'secrets.yaml'; it has agents.yaml"),
    (["config", "rollback", "ffffffff"], "no configuration 'ffffffff' was ever applied"),
    (["quarantine", "show", "7"], "nothing with the number 7"),
    (["quarantine", "replay", "7"], "nothing with the number 7"),
    (["quarantine", "drop", "7"], "nothing with the number 7"),
    (["customers", "find", "nobody@example.com"], "no customer for 'nobody@example.com'"),
    (["customers", "find", "\udcff"], "no UTF-8"),
    (["customers", "show", "7"], "no such customer"),
    (["customers", "merge", "7", "8"], "no such customer"),
    (["customers", "merge", "7", "7"], "cannot be merged with themselves"),
    (["customers", "unmerge", "7"], "no such merge"),
]


@pytest.mark.parametrize("words, env, sentence", BAD_WITHOUT_A_HUB, ids=lambda value: str(value)[:40])
def test_what_cannot_be_done_is_one_sentence(
    run: Run, words: list[str], env: dict[str, str], sentence: str
) -> None:
    code, _, told = run(*words, **env)
    assert code in (1, 2)
    assert sentence in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) <= 3  # a line for each fault of the environment or the folder


@pytest.mark.parametrize("words, sentence", BAD_WITH_A_HUB, ids=lambda value: str(value)[:40])
def test_what_is_not_there_is_one_sentence(
    run: Run, hub: dict[str, str], words: list[str], sentence: str
) -> None:
    code, _, told = run(*words, PORT="1", **hub)
    assert code in (1, 2)
    assert sentence.lower() in told.lower()
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1


def test_every_command_has_a_bad_input_above() -> None:
    tried = {words[0] for words, *_ in [*BAD_WITHOUT_A_HUB, *BAD_WITH_A_HUB]}
    assert set(cli.COMMANDS) - set(cli.HIDDEN) - {"doctor"} <= tried


def test_every_listed_command_is_there_and_helps(run: Run) -> None:
    for name in cli.COMMANDS:
        code, told, _ = run(name, "--help")
        assert code == 0
        assert told.startswith(f"Usage: mainstem {name}")


def test_help_imports_nothing_heavy() -> None:
    """What takes the time of an answer is what is imported for it: half a second for any of these."""
    code = (
        "import sys; from mainstem import cli; cli.run(['--help']);"
        "print(sorted({'sqlalchemy', 'aiohttp', 'redis', 'rq', 'rich', 'alembic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_good_configuration_costs_no_process_what_it_does_not_name() -> None:
    """All countries' holidays are 11 MB, the words for faults 4: in each of five processes."""
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from crm_store import configs, matching; from hub.configfiles import load, read_folder;"
        "from router.calendars import open_now;"
        "office = load(read_folder(Path('config'))).calendars['office'];"
        "print(office.holidays, open_now(office, datetime(2026, 12, 25, 12, tzinfo=UTC)));"
        "print(sorted(name for name in sys.modules"
        " if name == 'rapidfuzz' or name.startswith('holidays.countries.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines() == ["GB-ENG False", "['holidays.countries.united_kingdom']"]


# ------------------------------------------------------------------------------------------------- what goes right


def test_a_faulty_folder_is_told_with_every_line(run: Run, hub: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    for name, text in read_folder(ROOT / "config").items():
        (folder / name).write_text(text.replace("queue: billing", "queue: bilingual"))
    code, _, told = run("config", "check", **(hub | {"MAINSTEM_CONFIG": str(folder)}))
    assert code == 1
    assert 'no queue "bilingual"' in told
    assert "billing" in told
    code, _, told = run("config", "apply")
    assert code == 1
    assert "routing.yaml:" in told


def test_secrets_that_are_named_wrongly_are_told_before_they_are_applied(
    run: Run, hub: dict[str, str], tmp_path: Path
) -> None:
    """Applied, the account would be put aside, and its channel silent."""
    folder = tmp_path / "config"
    folder.mkdir()
    account = "accounts:\n  telegram/main:\n    title: Telegram\n    secrets: {tokn: BOT_TOKEN, webhook: BOT_HOOK}\n"
    for name, text in read_folder(ROOT / "config").items():
        (folder / name).write_text(text.replace("accounts:\n", account, 1))
    code, _, told = run("config", "check", **(hub | {"MAINSTEM_CONFIG": str(folder)}))
    assert code == 1
    assert "telegram/main: it needs the secret 'token', and the file names no variable for it" in told
    assert "telegram/main: telegram has no secret 'tokn'" in told


def test_secrets_that_are_not_here_are_a_note(run: Run, hub: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    account = "accounts:\n  telegram/main: {secrets: {token: BOT_TOKEN, webhook: [BOT_NEW, BOT_OLD]}}\n"
    for name, text in read_folder(ROOT / "config").items():
        (folder / name).write_text(text.replace("accounts:\n", account, 1))
    code, told, _ = run("config", "check", BOT_NEW="x", **(hub | {"MAINSTEM_CONFIG": str(folder)}))
    good, note = told.splitlines()
    assert (code, note) == (
        0,
        "telegram/main waits for its secrets, which are not set in this terminal: BOT_TOKEN, BOT_OLD",
    )
    assert "is good: 5 accounts" in good
    assert len(run("config", "check", BOT_TOKEN="x", BOT_OLD="y")[1].splitlines()) == 1


def test_apply_history_and_rollback(run: Run, hub: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    for name, text in read_folder(ROOT / "config").items():
        (folder / name).write_text(text.replace("title: General", "title: Everything"))
    assert "nothing changed" in run("config", "apply", **hub)[1]
    assert "is in force" in run("config", "apply", MAINSTEM_CONFIG=str(folder))[1]
    rows = json.loads(run("config", "history", "--json")[1])
    assert [bool(row["generation"]) for row in rows] == [True, False]
    assert rows[0]["summary"] == "changed: queues.yaml"
    assert "in force again" in run("config", "rollback", "previous")[1]
    assert "title: General\n" in run("config", "show", "queues.yaml")[1]


def test_secrets_links_and_passwords(run: Run, hub: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, secret, _ = run("secret", "webhook/main", **hub)
    assert code == 0
    assert len(secret.strip()) == 64
    assert run("secret", "webhook/main", "signing")[1] == secret
    assert run("secret", "console/main")[1] != secret
    code, link, note = run("login", "bo")
    assert (code, link.startswith("http://127.0.0.1:8081/login/")) == (0, True)
    assert note.startswith("Nobody answers there yet: no `mainstem up` is running over var")
    assert "mail/support" in run("secret", "mail/support")[2], "it is switched off"


def test_what_runs_in_the_folder_is_found_whatever_its_port(
    run: Run, hub: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PORT", "MAINSTEM_DESK_PORT"):
        monkeypatch.setenv(name, "")  # so that what the command takes over ends with this test
    (tmp_path / "var").mkdir()
    up = beside.Note(tmp_path / "var")
    up.leave({"PORT": "4", "MAINSTEM_DESK_PORT": "7"})
    assert (tmp_path / "var" / "up.json").stat().st_mode & 0o077 == 0
    assert "http://127.0.0.1:7/login/" in run("login", "bo", **hub)[1]
    monkeypatch.setenv("MAINSTEM_DESK_PORT", "")
    assert "http://127.0.0.1:3/login/" in run("login", "bo", PORT="2")[1], (
        "another installation was asked for"
    )
    assert "answers at http://127.0.0.1:4 (Connection refused)" in run("say", "hi", PORT="")[2]
    up.remove()
    assert beside.found(tmp_path / "var") == {}
    (tmp_path / "var" / "up.json").write_text('{"PORT": "4"}')
    assert beside.found(tmp_path / "var") == {}, "it was killed, and what it left counts no more"


def test_doctor_beside_a_demo_does_not_ask_for_what_would_end_it(
    run: Run, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = demo_accounts.fresh(lambda: 1)
    store = Store.open(sqlite_url)
    configs.apply(store, demo_accounts.laid_over(read_folder(ROOT / "config"), simulated), "up")
    store.close()
    env = {"DATABASE_URL": sqlite_url, "MAINSTEM_CONFIG": str(ROOT / "config"), "PORT": "1"}
    told = run("doctor", **env, **simulated.environment())[1]
    assert "stand-ins" in told
    assert "whatsapp/simulated" in told
    assert "config apply" not in told
    assert "MAINSTEM_PUBLIC_URL" not in told
    for name in simulated.environment():
        monkeypatch.delenv(name)
    assert "config apply" in run("doctor")[1], "it has ended"


def test_what_slack_gave_up_is_taken_up_once_more(run: Run, hub: dict[str, str]) -> None:
    store, now = Store.open(hub["DATABASE_URL"]), datetime.now(UTC)
    told = desk_inbox.Told(key="a", kind="message", body="{}")
    given_up = f"{desk_inbox.GIVEN_UP} after 8 tries: a bug"

    def claimed(tx: Connection) -> list[desk_inbox.Heard]:
        return desk_inbox.claim(tx, "slack", "a", now=now, until=now + timedelta(minutes=1), limit=1)

    store.run(lambda tx: desk_inbox.put(tx, store.ids, "slack", [told], now))
    (row,) = store.run(claimed)
    store.run(lambda tx: desk_inbox.done(tx, store.ids, "slack", row.id, "a", now=now, trouble=given_up))
    assert run("slack", "retry", **hub)[:2] == (0, "1 thing that agents did is taken up once more.\n")
    assert run("slack", "retry")[:2] == (0, "Nothing was given up.\n")
    assert [one.key for one in store.run(claimed)] == ["a"]
    store.close()


def test_the_ledger_of_a_quiet_day(run: Run, hub: dict[str, str]) -> None:
    assert run("ledger", "--day", "2026-01-01", **hub)[1] == "Nothing was accepted on 2026-01-01.\n"
    assert json.loads(run("ledger", "--json")[1])["missing"] == 0


def test_reports_of_a_quiet_week(run: Run, hub: dict[str, str]) -> None:
    code, told, _ = run("report", "agents", "--csv", **hub)
    assert code == 0
    assert told.splitlines()[:2] == ["agent,claimed,here_s,handling_s,occupancy", "bo,0,0,0,"]
    assert run("report", "volumes")[1].startswith("Nothing since ")
    assert {row["agent"] for row in json.loads(run("report", "agents", "--json")[1])["agents"]} >= {
        "bo",
        "cleo",
    }


@pytest.mark.usefixtures("safe_sqlite")
def test_doctor_looks_at_everything_and_is_red_without_redis(run: Run, hub: dict[str, str]) -> None:
    code, told, _ = run("doctor", "--json", PORT="1", REDIS_URL="redis://127.0.0.1:1/0", **hub)
    found = json.loads(told)
    assert code == 1
    assert found["worst"] == "red"
    by_part = {part: [f for f in found["findings"] if f["part"] == part] for part in
               ("journal", "redis", "database", "configuration", "processes")}  # fmt: skip
    assert all(by_part.values())
    assert "Redis does not answer at 127.0.0.1:1" in by_part["redis"][0]["said"]
    assert "synchronous FULL" in by_part["database"][0]["said"]


def test_doctor_reads_redis_and_postgresql(run: Run, valkey: str, postgresql_url: str, redis: object) -> None:
    store = Store.open(postgresql_url)
    configs.apply(store, read_folder(ROOT / "config"), "test")
    store.close()
    told = run("doctor", "--json", REDIS_URL=valkey, DATABASE_URL=postgresql_url, PORT="1")[1]
    said = " ".join(finding["said"] for finding in json.loads(told)["findings"])
    assert "append-only file (appendfsync everysec)" in said
    assert "PostgreSQL 1" in said
    assert (
        "synchronous_commit is off" in said
    )  # the tests' server is quick rather than safe, and doctor sees it
