"""What leaves the process in a log line, and what does not."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import log

CANARY = "canary-7f3a9b"


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    log.configure("info", "text")


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> io.StringIO:
    stream = io.StringIO()
    log.configure("debug", request.param, stream=stream)
    return stream


def test_addresses_are_masked(lines: io.StringIO) -> None:
    log.get("web").info(
        "accepted",
        sender="tel:+15551234567",
        to=["mailto:ann@example.com"],
        reason="Key (urn)=(tel:+436641234567) exists, bo@example.com",
    )
    said = lines.getvalue()
    for hidden in ("5551234567", "ann@", "6641234567", "bo@"):
        assert hidden not in said


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": f"Bearer {CANARY}"},
        {"headers": {"Authorization": CANARY, "X-Signature": CANARY}},
        {"url": f"https://api.telegram.org/bot12345:{CANARY}/sendMessage"},
        {"url": f"https://example.com/?a=1&access_token={CANARY}"},
        {"url": f"redis://user:{CANARY}@host:1/0"},
        {"error": f"401 for Bearer {CANARY}"},
        {"error": f'{{"api_key": "{CANARY}"}}'},
        {"password": CANARY},
        {"webhook_secret": [CANARY]},
        {"nested": [{"token": CANARY}]},
    ],
)
def test_secrets_never_leave(lines: io.StringIO, fields: dict[str, object]) -> None:
    log.get("web").info("told", **fields)
    try:
        raise RuntimeError(f"token={CANARY}")
    except RuntimeError:
        log.get("web").exception("failed")
    logging.getLogger("library").warning("secret=%s", CANARY)
    assert "told" in lines.getvalue()
    assert CANARY not in lines.getvalue()


def test_what_people_wrote_is_for_debug_only(lines: io.StringIO) -> None:
    log.get("web").info("accepted", text="my knee hurts")
    assert "knee" not in lines.getvalue()
    log.get("web").debug("accepted", text="my knee hurts")
    assert "knee" in lines.getvalue()


def test_no_one_forges_a_line(lines: io.StringIO) -> None:
    log.get("web").info(
        "accepted", name="x\n12:00:00 error  web  all is lost\x1b[2J\u2028\u202e", key="a\r\nb"
    )
    said = lines.getvalue()
    assert said.count("\n") == 1
    for bad in ("\x1b", "\u2028", "\u202e", "\r"):
        assert bad not in said
    try:
        raise ValueError("a\n00:00:00.000 error web forged")
    except ValueError:
        log.get("web").exception("failed")
    assert all(
        row.startswith(("    | ", "{")) or " web " in row[:40] for row in lines.getvalue().splitlines()
    )
    assert not any(row.startswith("00:00:00.000") for row in lines.getvalue().splitlines())


def test_json_lines_are_json() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream=stream)
    log.get("web").info("accepted", count=3, path=Path("/x"), raw=b"\xff", half="\ud800", deep={"a": {1, 2}})
    said = json.loads(stream.getvalue())
    assert (said["event"], said["count"], said["source"], said["level"]) == ("accepted", 3, "web", "info")


def test_below_its_level_nothing_is_said() -> None:
    stream = io.StringIO()
    log.configure("warning", "text", stream=stream)
    log.get("web").info("accepted")
    assert stream.getvalue() == ""


class Sullen:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_nothing_stops_a_line(lines: io.StringIO) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    log.get("web").info("accepted", thing=Sullen())
    try:
        raise Odd
    except Odd:
        log.get("web").exception("failed")
    logging.getLogger("library").warning("%s and %s", "one")
    assert lines.getvalue().count("\n") >= 3


def test_a_full_disk_stops_nothing() -> None:
    before = log.dropped()
    full = open("/dev/full", "w")  # noqa: SIM115
    log.configure("info", "text", stream=full)
    log.get("web").info("accepted")
    logging.getLogger("library").error("failed")
    assert log.dropped() == before + 2
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, full.fileno())  # what is still buffered has a place to go
    os.close(null)
    full.close()
