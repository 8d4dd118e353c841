"""Which conversation a mail goes on with: our own signed token, and the ids that it names."""

from __future__ import annotations

from email import message_from_string

from hypothesis import given
from hypothesis import strategies as st

from connectors.mail import headers, mime, refs
from hub.model import MessageReceived
from tests.connectors.mail.corpus import ACCOUNT, AT
from tests.each import each

SECRET = "a-secret"
TOKEN = refs.token(4711, SECRET)


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_a_token_names_its_conversation(number: int) -> None:
    token = refs.token(number, SECRET)
    assert refs.conversation([token], [SECRET]) == number
    assert len(token) <= 32  # with "support+" within the 64 of a local part (RFC 5321, 4.5.3.1.1)


@each(
    "text",
    [f"support+{TOKEN}@example.com", f"<99.{TOKEN}@example.com>", TOKEN.upper(), f"<a@b> <1.{TOKEN}@x> <c@d>",
     f"Support <SUPPORT+{TOKEN.upper()}@EXAMPLE.COM>", f"mailto:support+{TOKEN}@example.com"],
)  # fmt: skip
def test_it_is_found_where_mail_programs_leave_it(text: str) -> None:
    assert refs.conversation(["", text], [SECRET]) == 4711


@each(
    "text",
    ["", TOKEN[:-1], TOKEN[1:], TOKEN.replace("-", ""), TOKEN.replace("-", "--"), TOKEN + "a", "x" + TOKEN,
     refs.token(4711, "another"), refs.token(4712, SECRET).partition("-")[0] + "-" + TOKEN.partition("-")[2],
     "c0-aaaaaaaaaaaaaaaa", "cvvvvvvvvvvvvv-aaaaaaaaaaaaaaaa"],
)  # fmt: skip
def test_cut_or_forged_it_names_nothing(text: str) -> None:
    assert refs.conversation([text], [SECRET]) is None


def test_no_flip_of_a_character_is_taken() -> None:
    for at, c in enumerate(TOKEN):
        for other in "ab2c0":
            if other != c:
                assert refs.conversation([TOKEN[:at] + other + TOKEN[at + 1 :]], [SECRET]) is None


def test_a_rotated_secret_is_good_until_it_is_taken_away() -> None:
    assert refs.conversation([TOKEN], ["newer", SECRET]) == 4711
    assert refs.conversation([TOKEN], ["newer"]) is None
    assert refs.conversation([TOKEN], []) is None
    assert refs.conversation([refs.token(4711, "")], [""]) is None


def test_the_first_that_is_valid_counts() -> None:
    forged = refs.token(1, "another")
    assert refs.conversation([forged, TOKEN, refs.token(2, SECRET)], [SECRET]) == 4711


def _references(fields: str) -> tuple[str, ...]:
    return refs.references(message_from_string(f"{fields}\n\n", policy=headers.POLICY))


def test_the_best_first() -> None:
    assert _references("References: <1@a> <2@a>\n <3@a>\nIn-Reply-To: <2@a>") == ("<2@a>", "<3@a>", "<1@a>")
    assert _references("References: <1@a>") == ("<1@a>",)
    assert _references("Subject: Re: x") == ()
    assert _references("References: <1@a>\nReferences: <2@a>, <3.\n long@a>") == (
        "<3.long@a>",
        "<2@a>",
        "<1@a>",
    )


def test_a_long_thread_keeps_the_newest() -> None:
    found = _references("References: " + " ".join(f"<{n}@a>" for n in range(60)))
    assert found[0] == "<59@a>"
    assert len(found) == refs.KEPT


def test_outlooks_thread_is_its_head() -> None:
    head = "AdpuEQAAAQIDBAUGBwgJCgsMDQ4PEA=="
    (first,) = _references(f"Thread-Index: {head}")
    (answer,) = _references("Thread-Index: AdpuEQAAAQIDBAUGBwgJCgsMDQ4PEAAAAAAB")
    assert first == answer
    for broken in ("AdpuEQ==", "%%%", "\u00e9", ""):
        assert _references(f"Thread-Index: {broken}") == ()


def test_what_is_answered_is_a_mail_and_never_a_thread() -> None:
    raw = b"From: ann@example.net\r\nThread-Index: AdpuEQAAAQIDBAUGBwgJCgsMDQ4PEA==\r\n"
    (event,) = mime.read(raw + b"\r\nWords.\r\n", ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)
    assert event.in_reply_to is None
    assert len(event.references) == 1
    (event,) = mime.read(raw + b"References: <1@a> <2@a>\r\n\r\nWords.\r\n", ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)
    assert event.in_reply_to == "<2@a>"
