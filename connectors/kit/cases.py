"""What a provider can do wrong, and what a send may then come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.kit.server import Act, answer
from hub.errors import SendCode

RETRY_AFTER_S = 7

OK = answer(200, b"{}")
_PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True)
class Case:
    """What the provider does, and what the send may then come to. codes: empty for any of the list.

    sent: a Sent is as good an end. retry: what `retry` must be; None for either.
    """

    what: str
    act: Act
    codes: frozenset[SendCode] = frozenset()
    sent: bool = False
    retry: bool | None = None
    after_s: float | None = None


def _case(what: str, raw: bytes, *codes: SendCode, **more: Any) -> Case:
    return Case(what, Act(answer=raw), frozenset(codes), **more)


# A 2xx that cannot be read may have been a yes: whatever it is called, it is not simply sent again.
CASES: tuple[Case, ...] = (
    _case("200 with something that is no JSON", answer(200, b"\xff\xfeOK?"), sent=True, retry=False),
    _case("200 with nothing at all", answer(200, b""), sent=True, retry=False),
    _case("200 with JSON of another shape", answer(200, b'[[{"a":null}],7]'), sent=True, retry=False),
    _case("200 with JSON that is cut off", answer(200, b'{"id":"12'), sent=True, retry=False),
    _case("200 with null in place of its answer", answer(200, b"null"), sent=True, retry=False),
    _case("200 with a page of HTML", answer(200, _PAGE, "text/html"), sent=True, retry=False),
    _case("a redirect", answer(302, b"", Location="/elsewhere")),
    _case("400 without a word", answer(400, b"{}")),
    _case("400 with a page of HTML", answer(400, _PAGE, "text/html")),
    _case("401", answer(401, b"{}"), SendCode.CHANNEL_CONFIG, retry=False),
    _case("403", answer(403, b"{}"), retry=False),
    _case("404", answer(404, b"{}"), retry=False),
    _case(
        "429 with Retry-After",
        answer(429, b"{}", Retry_After=str(RETRY_AFTER_S)),
        SendCode.THROTTLED,
        retry=True,
        after_s=RETRY_AFTER_S,
    ),
    _case("429 without a word", answer(429, b""), SendCode.THROTTLED, retry=True),
    _case("500", answer(500, b"{}"), SendCode.RESPONSE_STATUS, SendCode.UNKNOWN),
    _case("502 with a page of HTML", answer(502, _PAGE, "text/html"), SendCode.RESPONSE_STATUS, SendCode.UNKNOWN),
    _case("503 with JSON that is cut off", answer(503, b'{"er'), SendCode.RESPONSE_STATUS, SendCode.UNKNOWN),
    _case(
        "503 with a Retry-After that is no number",
        answer(503, b"", Retry_After="\u0663 fortnights".encode("utf-8").decode("latin-1")),
        SendCode.RESPONSE_STATUS,
        SendCode.UNKNOWN,
    ),
)  # fmt: skip

_UNKNOWN = frozenset({SendCode.UNKNOWN})
LOST: tuple[Case, ...] = (
    Case("a hang-up before it has read the request", Act(reads=False), _UNKNOWN, retry=False),
    Case("a hang-up after it has read the request", Act(), _UNKNOWN, retry=False),
    Case(
        "a hang-up in the middle of its answer",
        Act(answer=b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"),
        _UNKNOWN,
        retry=False,
    ),
    Case("an answer that is no HTTP", Act(answer=b"\x00\x01SSH-2.0\r\n\r\n"), _UNKNOWN, retry=False),
    Case("an answer that never comes", Act(hangs=True), _UNKNOWN, retry=False),
)
