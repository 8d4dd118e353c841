"""What the pages say is run: the curl line, and the connector that a page builds."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors import CONNECTORS, signing
from hub.model import MessageReceived
from tests.conftest import absent
from tests.connectors import page
from tests.connectors.gate import gate
from tests.connectors.samples import SAMPLES, account
from tests.each import each

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> Iterator[str]:
    text = (DOCS / page).read_text("utf-8")
    return (found[1] for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


async def test_the_curl_line_of_the_page_works(tmp_path: Path, valkey: str) -> None:
    for tool in ("bash", "curl", "openssl"):
        if shutil.which(tool) is None:
            absent(tool, "it is not installed")
    accounts = {"webhook/main": account("webhook/main", {"signing": ("a-secret-of-the-test",)})}
    async with gate(tmp_path, valkey, accounts=accounts) as g:
        (line,) = blocks("channels/webhook.md", "sh")
        child = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            line,
            env={"HUB": g.url, "SECRET": "a-secret-of-the-test", "PATH": "/usr/bin:/bin:/usr/local/bin"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        assert (child.returncode, err) == (0, b"")
        said = json.loads(out)
        (event,) = g.kept()
        assert isinstance(event, MessageReceived)
        assert said == {"accepted": True, "id": event.event_key}
        assert (event.sender, event.text) == ("mailto:ann@example.com", "Where is my parcel?")


def test_the_python_of_the_page_signs_as_we_do() -> None:
    (code,) = blocks("channels/webhook.md", "python")
    space: dict[str, Any] = {}
    exec(code, space)
    body = b'{"id":"x"}'
    value = space["signature"]("secret", body)
    stamp = int(value[2:].partition(",")[0])
    signing.check(value, ["secret"], body, stamp)
    assert value == signing.sign("secret", body, stamp)


def checked(folder: Path) -> tuple[int, dict[str, str]]:
    """What `mainstem channel check` says there: its exit code, and what is wrong by check."""
    told = subprocess.run(
        [sys.executable, "-m", "mainstem", "channel", "check", "viber", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stderr == ""
    checks = json.loads(told.stdout)["checks"]
    return told.returncode, {c["check"]: c["detail"] for c in checks if c["outcome"] == "failed"}


def test_the_channel_of_the_page_passes_every_check(tmp_path: Path) -> None:
    assert checked(page.write(tmp_path)) == (0, {})


def test_a_spoilt_copy_of_it_does_not(tmp_path: Path) -> None:
    """tests/connectors/test_kit.py spoils more of it, a line at a time."""
    spoilt = {"sender_name=clean.line(sender.name)": "sender_name=clean.line(sender.id)"}
    code, wrong = checked(page.write(tmp_path, spoilt))
    assert code == 1
    told = "message, event 1: sender_name is '01234567890A=', not 'Ann Lee'"
    assert wrong == {"captures say what was sent": told}


def test_the_code_of_the_page_is_as_tidy_as_ours(tmp_path: Path) -> None:
    page.write(tmp_path)
    settings = ["--config", str(DOCS.parent / "pyproject.toml")]
    for tool in (["ruff", "format", "--diff"], ["ruff", "check", "--ignore", "I001"]):
        told = subprocess.run(
            [sys.executable, "-m", *tool, *settings, "viber.py"], cwd=tmp_path, capture_output=True, text=True
        )
        assert told.returncode == 0, told.stdout


@each("name", CONNECTORS)
def test_the_page_names_its_secrets_limits_and_settings(name: str) -> None:
    """What the sample has been given, and what the limits say."""
    page, sample = (DOCS / "channels" / f"{name}.md").read_text("utf-8"), SAMPLES[name]
    limits = CONNECTORS[name].limits
    for word in (*sample.account.secrets, *sample.account.settings, *limits.needs):
        assert word in page, f"{name}.md does not name {word}"
    assert f"{limits.text_chars:,}" in page, f"{name}.md does not say how long a text may be"


def test_the_pages_name_every_setting_secret_and_status() -> None:
    """What check() knows stands in the channel's page, so that neither gets ahead of the other."""
    from connectors import webchat, webhook
    from connectors.mail import settings as mail

    known = {"webhook": webhook._SETTINGS, "webchat": webchat._SETTINGS, "console": {}, "mail": mail.KNOWN}
    for name, settings in known.items():
        page = (DOCS / "channels" / f"{name}.md").read_text("utf-8")
        for setting in settings:
            assert f"{setting}:" in page, f"{name}.md does not name the setting {setting}"
        limit = CONNECTORS[name].limits
        assert f"{limit.text_chars:,}" in page, name
        assert CONNECTORS[name].limits.source == f"docs/channels/{name}.md"
    for status in webhook._FAILURES:
        assert str(status) in (DOCS / "channels" / "webhook.md").read_text("utf-8"), status
