"""One address, one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import urn
from tests.each import each


@each(
    "given_, region, expected",
    [
        ("+1 (555) 123-4567", None, "tel:+15551234567"),  # 555 is unassigned: possible, not valid, kept
        ("tel:+43 664 1234567", None, "tel:+436641234567"),
        ("tel:+43-664-1234567;ext=3", None, "tel:+436641234567"),
        ("whatsapp:+4366412345678", None, "tel:+4366412345678"),
        ("0664 1234567", "AT", "tel:+436641234567"),
        ("(415) 555-0100", "US", "tel:+14155550100"),
        ("+39 06 1234 5678", None, "tel:+390612345678"),  # an Italian number keeps its zero
        ("whatsapp:+5215512345678", None, "tel:+525512345678"),  # WhatsApp's ids keep Mexico's old 1
        ("+52 1 55 1234 5678", None, "tel:+525512345678"),
        ("12345", "US", "tel:12345"),  # the parser alone makes +112345 of it
        ("tel:12345", None, "tel:12345"),
        ("911", "US", "tel:911"),
    ],
)
def test_phone_numbers(given_: str, region: str | None, expected: str) -> None:
    assert urn.tel(given_, region) == expected


@each("bad", ["VODAFONE", "", "+", "5551234567", "+1", "+12345678901234567890", "tel:"])
def test_what_is_no_phone_number(bad: str) -> None:
    with pytest.raises(ValueError, match="no phone number"):
        urn.tel(bad)


@each(
    "given_, expected",
    [
        ("Ann@Example.COM", "mailto:ann@example.com"),
        ("mailto:Ann.B+shop@gmail.com", "mailto:ann.b+shop@gmail.com"),  # dots and tags stay
        ("ann@Bücher.example", "mailto:ann@xn--bcher-kva.example"),
        ("scanner@printer.office.local", "mailto:scanner@printer.office.local"),
        ("Jörg@example.com", "mailto:jörg@example.com"),
    ],
)
def test_mail_addresses(given_: str, expected: str) -> None:
    assert urn.mailto(given_) == expected


@each("bad", ["ann", "ann@", "@example.com", "ann@exa mple.com", "a@b@c.com", "ann@x\n.com"])
def test_what_is_no_mail_address(bad: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        urn.mailto(bad)


@each(
    "given_, expected",
    [
        ("TEL:+15551234567", "tel:+15551234567"),
        ("WhatsApp:+15551234567", "tel:+15551234567"),
        ("webchat:v7F3", "webchat:v7F3"),  # an id's case is the provider's
        ("console:ann", "console:ann"),
        ("web:visitor/7", "web:visitor/7"),
        ("telegram:42", "telegram:42"),
        (" mailto:Ann@example.com ", "mailto:ann@example.com"),
    ],
)
def test_urns(given_: str, expected: str) -> None:
    assert urn.normalise(given_) == expected
    assert urn.normalise(expected) == expected


@each(
    "bad",
    [
        "",
        "ann",
        "webchat:",
        "webchat:a b",
        "webchat:a\u202eb",
        "web:" + "x" * 400,
        "1x:2",
        ":x",
        "web:\ud800",
    ],
)
def test_what_is_no_urn(bad: str) -> None:
    with pytest.raises(ValueError):
        urn.normalise(bad)


@given(st.text(max_size=60))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    for head in ("tel:", "mailto:", "webchat:", ""):
        try:
            once = urn.normalise(head + text)
        except ValueError:
            continue
        assert urn.normalise(once) == once
        assert len(once) <= urn.MAX_CHARS


@each(
    "given_, shown",
    [
        ("tel:+15551234567", "tel:+1555•••4567"),
        ("tel:+4312345", "tel:+43•••45"),
        ("tel:12345", "tel:•••"),
        ("mailto:ann@example.com", "mailto:a•••@example.com"),
        ("webchat:v7f3a9b8c7", "webchat:v7f3•••"),
        ("telegram:42", "telegram:4•••"),
        ("no urn at all", "no u•••"),
    ],
)
def test_masks(given_: str, shown: str) -> None:
    assert urn.mask(given_) == shown


@given(st.text(max_size=80))
def test_a_mask_never_fails_and_never_shows_a_long_id(text: str) -> None:
    urn.mask(text)
    urn.display(text)


def test_display() -> None:
    assert urn.display("tel:+436641234567") == "+43 664 1234567"
    assert urn.display("tel:12345") == "12345"
    assert urn.display("mailto:ann@example.com") == "ann@example.com"
    assert urn.channel_of("webchat/main") == "webchat"
    assert urn.scheme("tel:+1") == "tel"
    assert urn.scheme("nothing") == ""
