"""Any bytes at all, and any mail with random damage: one answer, never an error."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.mail import mime
from hub import codec
from hub.model import DeliveryReported, MessageReceived, Unreadable
from tests.connectors.mail.corpus import ACCOUNT, AT, samples
from tests.connectors.mail.winmail import build

MAILS = [sample.raw for sample in samples()]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"--", b"--=_cut", b"=?utf-8?q?", b"?=", b"\0", b"\xff\xfe", b"Content-Type: ",
    b"multipart/mixed; boundary=", b"message/rfc822", b"charset=", b"text/html", b"From: ", b"begin 644 a", b"\nend",
    b"base64", b"<", b">", b"%", b"(", b'"', b";", b"*0*=",
]  # fmt: skip


def _read(raw: bytes) -> None:
    parsed = mime.read(raw, ACCOUNT, AT)
    assert parsed.blobs[0] == raw
    assert parsed.events
    for event in parsed.events:
        assert isinstance(event, MessageReceived | DeliveryReported | Unreadable)
        assert codec.decode(codec.encode(event))[0] == event
    assert mime.read(raw, ACCOUNT, AT) == parsed


@settings(max_examples=150)
@given(st.binary(max_size=2_000))
def test_any_bytes(raw: bytes) -> None:
    _read(raw)


@settings(max_examples=150)
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=20)), max_size=60))
def test_any_pieces_of_mails(pieces: list[bytes]) -> None:
    _read(b"".join(pieces))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(MAILS), st.data())
def test_any_mail_with_any_damage(raw: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
        put = data.draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=10), st.just(raw[at:end])))
        how = data.draw(st.sampled_from(["cut", "replace", "insert"]))
        raw = raw[:at] if how == "cut" else raw[:at] + put + (raw[end:] if how == "replace" else raw[at:])
    _read(raw)


@settings(max_examples=60)
@given(st.integers(0, 200), st.binary(max_size=8))
def test_any_damage_to_a_winmail(at: int, put: bytes) -> None:
    inside = build("Words.", [("a.txt", b"abc")])
    head = b"From: ann@example.net\r\nContent-Type: application/ms-tnef\r\n\r\n"
    _read(head + inside[:at] + put + inside[at + len(put) :])
