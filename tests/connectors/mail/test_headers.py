"""Header fields as they come: encoded, doubled, broken, endless."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from connectors.mail import headers
from connectors.mail.headers import Mailbox
from tests.each import each


@each(
    "value, shown",
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        ("=?UTF-8?B?Y2Fmw6k=?=", "café"),
        ("=?UTF-8?B?Y2Fmw6k?=", "café"),
        ("=?utf-8*en?q?hi?=", "hi"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("a=?utf-8?q?b?=c", "abc"),
        ("=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "café"),
        ("=?koi8-r?B?/sHKzsnL?=", "Чайник"),
        ("=?iso-2022-jp?B?GyRCJGQkKyRzGyhC?=", "やかん"),
        ("=?gb2312?B?xPq6ww==?=", "您好"),
        ("=?utf-8?q?a b?=", "a b"),
        ("=?x?y?z?=", "=?x?y?z?="),
        ("=?utf-8?B?!!!?=", ""),
        ("a\x00b\x1bc\u2028d", "a b c d"),
        ("=?utf-8?q?a=0D=0ABcc:_b?=", "a Bcc: b"),
    ],
)
def test_words_for_people(value: str, shown: str) -> None:
    assert headers.decoded(value) == shown


@each(
    "value, found",
    [
        ("ann@example.net", [Mailbox("", "ann@example.net")]),
        ("Ann <ann@example.net>", [Mailbox("Ann", "ann@example.net")]),
        ('"Berger, Ann" <ann@example.net>, c@d.example', [Mailbox("Berger, Ann", "ann@example.net"),
                                                          Mailbox("", "c@d.example")]),
        ("ann@example.net (Ann)", [Mailbox("Ann", "ann@example.net")]),
        ("(a (b, c) d) ann@example.net", [Mailbox("a (b, c) d", "ann@example.net")]),
        ("Team: a@x.example, b@x.example;", [Mailbox("", "a@x.example"), Mailbox("", "b@x.example")]),
        ("undisclosed-recipients:;", []),
        ("=?utf-8?q?J=C3=BCrgen?= <j@x.example>", [Mailbox("Jürgen", "j@x.example")]),
        ("'Ann' <ann@x.example>; Bo <bo@x.example>", [Mailbox("Ann", "ann@x.example"), Mailbox("Bo", "bo@x.example")]),
        ('"boss@corp.example" <evil@x.example>', [Mailbox("boss@corp.example", "evil@x.example")]),
        ('"a\\"b" <c@x.example>', [Mailbox("ab", "c@x.example")]),
        ("Ann <ann@x.example", [Mailbox("Ann", "ann@x.example")]),
        ("<>", []),
        ("Ann", [Mailbox("Ann", "")]),
        ("Berger, Ann <ann@x.example>, c@d.example", [Mailbox("Berger, Ann", "ann@x.example"),
                                                      Mailbox("", "c@d.example")]),
        ("=?UTF-8?Q?M=C3=BCller,_Ann_(x)?= <ann@x.example>", [Mailbox("Müller, Ann (x)", "ann@x.example")]),
        ("Ann Berger ann@x.example", [Mailbox("Ann Berger", "ann@x.example")]),
        ('"Ann" ann@x.example', [Mailbox("Ann", "ann@x.example")]),
        ("Ann <<ann@x.example>>", [Mailbox("Ann", "ann@x.example")]),
        ("Ann <ann@ x. example>", [Mailbox("Ann", "ann@x.example")]),
        ("root, ann@x.example", [Mailbox("", "ann@x.example")]),
        ("boss@corp.example ann@x.example", [Mailbox("", "boss@corp.example ann@x.example")]),
        (",,;", []),
    ],
)  # fmt: skip
def test_addresses(value: str, found: list[Mailbox]) -> None:
    assert headers.mailboxes([value]) == found


def test_raw_bytes_are_read_in_the_mails_own_charset() -> None:
    for charset in ("koi8-r", "windows-1251", "utf-8"):
        data = f"Subject: Чайник\nContent-Type: text/plain; charset={charset}\n\n".encode(charset)
        assert headers.words(message_from_bytes(data, policy=headers.POLICY), "Subject") == "Чайник"
    inner = (
        "Subject: Чайник\nContent-Type: multipart/mixed; boundary=b\n\n"
        "--b\nContent-Type: text/plain; charset=koi8-r\n\nx\n--b--\n"
    )
    message = message_from_bytes(inner.encode("koi8-r"), policy=headers.POLICY)
    assert headers.words(message, "Subject") == "Чайник"


@each(
    "value, ids",
    [
        ("<a@b> <c@d>", ["<a@b>", "<c@d>"]),
        ("<a@b><c@d>\r\n\t<a@b>", ["<a@b>", "<c@d>"]),
        ("a@b, c@d", ["<a@b>", "<c@d>"]),
        ("< a@b >", ["<a@b>"]),
        ("Your message of Monday", []),
        ("<" * 1000, []),
    ],
)
def test_message_ids(value: str, ids: list[str]) -> None:
    assert headers.ids([value]) == ids


@each(
    "value, at",
    [
        ("Mon, 04 Mar 2024 10:15:00 +0100", datetime(2024, 3, 4, 9, 15, tzinfo=UTC)),
        ("4 Mar 2024 10:15 GMT", datetime(2024, 3, 4, 10, 15, tzinfo=UTC)),
        ("Mon, 04 Mar 2024 10:15:00 -0000", datetime(2024, 3, 4, 10, 15, tzinfo=UTC)),
        ("the other day", None),
        ("Mon, 04 Mar 99999 10:15:00 +9999", None),
        ("", None),
    ],
)
def test_dates(value: str, at: datetime | None) -> None:
    assert headers.date(value) == at


@given(st.text(max_size=200))
def test_nothing_breaks_them(value: str) -> None:
    headers.decoded(value)
    headers.mailboxes([value])
    headers.ids([value])
    headers.date(value)
