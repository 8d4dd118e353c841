"""What the pages say is run: the curl line, and the connector that a page builds."""

import asyncio
import json
import re
import shutil
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import CONNECTORS, signing
from hub.model import MessageReceived
from tests.conftest import absent
from tests.connectors import conformance, samples
from tests.connectors.gate import gate
from tests.connectors.samples import Sample, account

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


@pytest.fixture
def pager() -> tuple[Any, Sample]:
    """The connector that the page builds, and its sample as the page states it."""
    module_code, sample_code = blocks("adding-a-channel.md", "python")
    (capture,) = blocks("adding-a-channel.md", "http")
    module = types.ModuleType("connectors.pager")
    exec(compile(module_code, "docs/adding-a-channel.md", "exec", dont_inherit=True), module.__dict__)
    stated = eval("{" + sample_code + "}", {**vars(samples)})["pager"]
    sample = Sample(
        account=stated.account,
        proof=stated.proof,
        signs_body=stated.signs_body,
        timed=stated.timed,
        captures=(("message", capture.rstrip("\n")),),
    )
    return module.CONNECTOR, sample


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_the_channel_of_the_page_conforms(check: conformance.Check, pager: tuple[Any, Sample]) -> None:
    check(*pager)


def test_the_channel_of_the_page_takes_whatever_comes(pager: tuple[Any, Sample]) -> None:
    connector, sample = pager
    for body in conformance.nearly(sample.good().body):
        conformance.nothing_but_forged_and_malformed(connector, sample, body, "x")


def test_the_channel_of_the_page_reads_its_capture(pager: tuple[Any, Sample]) -> None:
    connector, sample = pager
    (event,) = connector.parse(sample.good(), sample.account).events
    assert (event.event_key, event.sender, event.text) == (
        "88121",
        "tel:+14155552671",
        "The lift is stuck again",
    )


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
