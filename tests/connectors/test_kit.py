"""The checks of connectors/kit find what they are for: a good connector passes, and each way to spoil it is seen."""

import hashlib
import importlib.util
import itertools
import json
import re
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs

from connectors import CONNECTORS
from connectors.kit import hostile, run
from connectors.kit.captures import BadSample, Sample, proof_of, read_http, with_proof
from connectors.kit.files import Expected, expected, load
from connectors.kit.sign import Sign
from crm_store import schema
from hub import log
from hub.model import MessageReceived
from mainstem.cli import cli
from tests.connectors import page
from tests.connectors.batching import BATCH, Batch
from tests.connectors.samples import PAYLOADS, account
from tests.connectors.spoilt import SPOILT
from tests.each import each

_numbers = itertools.count()


def built(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The CONNECTOR of a module that no other test has loaded."""
    spec = importlib.util.spec_from_file_location(f"kit_{next(_numbers)}", folder / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loaded.__name__, loaded)  # msgspec looks annotations up there
    spec.loader.exec_module(loaded)
    return loaded.CONNECTOR


def red(connector: Any, sample: Sample) -> dict[str, str]:
    return {r.check: r.detail for r in run.run(connector, sample) if r.outcome == "failed"}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_spoilt_is_seen(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt, seen = SPOILT[how]
    folder = page.write(tmp_path, spoilt)
    connector, sample = built(folder, "viber", monkeypatch), load(folder / "payloads" / "viber")
    checks = {run.title(check): check for check in run.CHECKS}
    for name, words in seen.items():
        result = run.one(checks[name], connector, sample)
        assert result.outcome == "failed", name
        assert words in result.detail


def test_it_is_seen_however_little_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.configure("critical")
    try:
        test_what_is_spoilt_is_seen("the log has what was said", tmp_path, monkeypatch)
    finally:
        log.configure("info")


# ------------------------------------------------------------------------------------ a channel that batches


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return put(tmp_path, BATCH)


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def test_a_channel_that_batches_passes(batch: Path) -> None:
    results = {r.check: r for r in run.run(Batch(), load(batch))}
    assert {n: r.detail for n, r in results.items() if r.outcome == "failed"} == {}
    assert results["a bad entry leaves the good ones"].outcome == "ok"
    assert results["what is anothers is not ours"].outcome == "ok"


@pytest.mark.parametrize(
    "how,check,words",
    [
        ("handshake", "a wrong proof is forged", "handshake with the proof"),
        ("batch", "a bad entry leaves the good ones", "before the good entries of entry costs ['m1', 'm2']"),
        (
            "twice",
            "twice in one body is once",
            "message with everything twice in entry has event keys of its own",
        ),
        ("anothers", "what is anothers is not ours", "it still gives a message of this one"),
    ],
)
def test_a_spoilt_batch_is_seen(how: str, check: str, words: str, batch: Path) -> None:
    connector = Batch()
    connector.spoilt = how
    assert words in red(connector, load(batch))[check]


def test_a_handshake_with_another_answer_is_seen(batch: Path) -> None:
    put(batch, {"handshake.yaml": "events: []\nanswer: 1158201445\n"})
    wrong = red(Batch(), load(batch))
    assert wrong == {"captures say what was sent": "handshake is answered '1158201444', not '1158201445'"}


# --------------------------------------------------------------------------------------------- the files


def test_a_body_is_whatever_bytes_follow() -> None:
    head = b"# received 2026-11-22T10:00:02Z\nPOST /in/x/y?a=%20b HTTP/1.1\nX-One: 1\nX-One: 2\n\n"
    body = b"--b\r\n\r\n\xff\x00\n\n--b--\r\n"
    for given in (head, head.replace(b"\n", b"\r\n")):
        raw = read_http(given + body)
        assert (raw.method, raw.url, raw.body) == ("POST", "https://hub.example.com/in/x/y?a=%20b", body)
        assert raw.headers == {"x-one": ["1", "2"]}


@each(
    "text,words",
    [
        ("POST / HTTP/1.1\n\n", "its first line must be `# received"),
        ("# received noon\nPOST / HTTP/1.1\n\n", "noon"),
        ("# received 2026-11-22T10:00:02Z\nPOST /\n\n", "no captured request"),
        ("# received 2026-11-22T10:00:02Z\nPOST / HTTP/1.1\nnonsense\n\n", "'nonsense' is no header"),
    ],
)
def test_a_capture_that_is_none_says_why(text: str, words: str) -> None:
    with pytest.raises(BadSample, match=words.replace("`", ".")):
        read_http(text.encode(), "x.http")


def test_signing_as_twilio_does() -> None:
    """Twilio's own example: https://www.twilio.com/docs/usage/security"""
    raw = read_http(
        b"# received 2026-11-22T10:00:02Z\nPOST /myapp.php?foo=1&bar=2 HTTP/1.1\n\n"
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    )
    raw = structs.replace(raw, url="https://mycompany.com/myapp.php?foo=1&bar=2")
    sign = Sign(secret="token", hash="sha1", over=("url", "form"), write="{base64}")
    assert sign.make(raw, account("sms_twilio/x", {"token": ("12345",)})) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_an_expected_event_is_typed_by_its_field(batch: Path) -> None:
    (batch / "scan.pdf").write_bytes(b"%PDF-1.4")
    said = """
- event_key: 0012
  sender: batch:no
  text: yes
  sent_at: 2026-11-22T11:00:00+01:00
  fields: {order: 07, open: no}
  attachments:
    - {name: a.pdf, content_type: application/pdf, file: scan.pdf}
    - {name: b.txt, content_type: text/plain, base64: eA==}
"""
    put(batch, {"message.yaml": said})
    (event,) = told_by(batch).events or ()
    assert isinstance(event, MessageReceived)
    assert (event.event_key, event.text, event.account) == ("0012", "yes", "batch/page")
    assert event.sent_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert event.fields == (("order", "07"), ("open", "no"))
    assert [(a.size_bytes, a.sha256) for a in event.attachments] == [
        (8, hashlib.sha256(b"%PDF-1.4").hexdigest()),
        (1, hashlib.sha256(b"x").hexdigest()),
    ]


def told_by(folder: Path) -> Expected:
    sample = load(folder)
    return expected(sample, "message", sample.good_request())


@pytest.mark.parametrize(
    "name,text,words",
    [
        ("message.yaml", "- {kind: mesage}", 'there is no kind of event .mesage.; did you mean "message"'),
        ("message.yaml", "- {texts: x}", 'a message has no .texts.; did you mean "text"'),
        ("message.yaml", "- {text: x}", "message.yaml:1: .*event_key"),
        ("message.yaml", "text: x", "a list of events"),
        ("sample.yaml", "acount: a/b", 'sample.yaml:1: there is no key .acount.; did you mean "account"'),
        ("sample.yaml", "account: a/b", "the key .proof. is missing"),
        ("sample.yaml", "account: a/b\naccount: a/c", "sample.yaml:2"),
        ("sample.yaml", "account: a/b\nproof: x\nsign: {secrt: x}", "secrt"),
    ],
)
def test_a_file_that_is_wrong_says_where(name: str, text: str, words: str, batch: Path) -> None:
    put(batch, {name: text})
    with pytest.raises(BadSample, match=words):
        told_by(batch)


@pytest.mark.parametrize(
    "skips,said",
    [
        ("{an_unknown_kind_is_kep: x}", 'there is no check .*; did you mean "an_unknown_kind_is_kept"'),
        ("{an_unknown_kind_is_kept: }", "does not say why"),
    ],
)
def test_what_is_skipped_is_a_check_with_a_reason(skips: str, said: str, batch: Path) -> None:
    put(batch, {"sample.yaml": f"{BATCH['sample.yaml']}\nskips: {skips}\n"})
    assert re.search(said, red(Batch(), load(batch))["sample.yaml is understood"])


def test_what_is_skipped_is_shown(batch: Path) -> None:
    why = "it has no word for what it does not know"
    put(batch, {"sample.yaml": f"{BATCH['sample.yaml']}\nskips: {{an_unknown_kind_is_kept: {why}}}\n"})
    (skipped,) = [r for r in run.run(Batch(), load(batch)) if r.check == "an unknown kind is kept"]
    assert (skipped.outcome, skipped.detail) == ("skipped", why)


def test_what_is_missing_is_said(batch: Path) -> None:
    (batch / "message.yaml").unlink()
    put(batch, {"stray.yaml": "[]"})
    (batch / "unknown.http").unlink()
    wrong = red(Batch(), load(batch))
    assert wrong["captures say what was sent"] == "stray.yaml stands there without its stray.http"
    assert wrong["an unknown kind is kept"].startswith("there is no unknown.http")
    (batch / "stray.yaml").unlink()
    (batch / "unknown.yaml").unlink()
    assert "message.yaml: No such file" in red(Batch(), load(batch))["captures say what was sent"]


@pytest.mark.parametrize("place", ["x-proof", "path", "query token"])
def test_a_proof_is_taken_from_its_place_and_put_there(place: str, batch: Path) -> None:
    sample = replace(load(batch), proof={"POST": place})
    raw = read_http(
        b"# received 2026-11-22T10:00:02Z\nPOST /in/x/s3cret?token=s3cret&a=b HTTP/1.1\nX-Proof: s3cret\n\n"
    )
    assert proof_of(raw, sample) == "s3cret"
    assert proof_of(with_proof(raw, sample, "other"), sample) == "other"
    assert proof_of(with_proof(raw, sample), sample) not in ("s3cret", "other")


# ------------------------------------------------------------------------------------------- the command


def told(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["channel", *words], standalone_mode=False)
    if result.exception is not None:
        return 1, str(result.exception)
    return result.return_value or 0, result.output


def test_the_command_checks_ours() -> None:
    code, said = told("check", "console", "--json")
    found = json.loads(said)
    assert (code, found["ok"], found["connector"]) == (0, True, "console")
    assert {c["check"] for c in found["checks"]} == {run.title(check) for check in run.CHECKS}


def test_the_command_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "kit_empty.py").write_text("x = 1\n")
    (tmp_path / "kit_broken.py").write_text("import there_is_none\n")
    (tmp_path / "nothing").mkdir()
    for words, said in {
        ("check", "webhok"): 'no module of that name here; did you mean "webhook"?',
        ("check", "shop.pager"): "there is no connector 'shop.pager'",
        ("check", "kit_empty"): "kit_empty has no CONNECTOR",
        ("check", "nothing.pager"): "the package nothing has no module 'pager'",
        ("check", "kit_broken"): "kit_broken cannot be imported: No module named 'there_is_none'",
        ("check", "webhook", "--payloads", "gone"): "there is no folder gone",
        ("check", "webhook", "--payloads", "nothing"): "nothing has no sample.yaml",
    }.items():
        code, answer = told(*words)
        assert code == 1
        assert said in answer
    (tmp_path / "nothing" / "sample.yaml").write_text("account: webhook/x\nproof: x\n")
    assert "holds no captures" in told("check", "webhook", "--payloads", "nothing")[1]


def test_the_command_ends_with_one_and_names_the_capture(tmp_path: Path) -> None:
    folder = tmp_path / "webhook"
    shutil.copytree(PAYLOADS / "webhook", folder)
    edit = folder / "edit.yaml"
    edit.write_text(edit.read_text().replace("4712", "4711"))
    code, said = told("check", "webhook", "--payloads", str(tmp_path))
    assert code == 1
    assert "captures say what was sent: edit, event 1: text is 'The invoice 4712" in said
    assert "1 failed" in said


def test_the_list_shows_what_each_can() -> None:
    rows = {row["name"]: row for row in json.loads(told("list", "--json")[1])}
    assert sorted(rows) == sorted(CONNECTORS)
    assert (rows["mail"]["in"], rows["mail"]["edits"], rows["webchat"]["reads"]) == (
        ["GET", "POST"],
        False,
        True,
    )
    code, table = told("list")
    assert code == 0
    for name, connector in CONNECTORS.items():
        assert f"{connector.limits.text_chars:,}" in table, name


def test_the_longest_values_are_what_the_store_takes() -> None:
    """The kit may not import the store, so its numbers are held to it here."""
    columns = {
        "external_id": schema.interactions.c.external_id,
        "in_reply_to": schema.interactions.c.in_reply_to,
        "form": schema.interactions.c.form,
        "thread": schema.conversations.c.thread,
        "language": schema.customers.c.language,
        "sender": schema.identities.c.urn,
    }
    for name, column in columns.items():
        assert hostile.MOST_CHARS[name] == column.type.length, name  # type: ignore[attr-defined]
