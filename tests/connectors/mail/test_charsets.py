"""Bytes become text whatever a mail claims that they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.mail import charsets
from tests.each import each

WORDS = {
    "iso-8859-1": "Grüße über Öl",
    "iso-8859-2": "Łukasz pije żółtą kawę",
    "iso-8859-5": "Чайник сломан",
    "iso-8859-7": "Το δέμα έφυγε",
    "iso-8859-8-i": "שלום",
    "iso-8859-9": "İstanbul’a değil".replace("’", "'"),
    "iso-8859-15": "zwölf €",
    "windows-1250": "Příliš žluťoučký",
    "windows-1251": "Чайник",
    "windows-1252": "“quotes” – €",
    "windows-1253": "Καλημέρα",
    "windows-1254": "İğne",
    "windows-1255": "שלום",
    "windows-1256": "مرحبا",
    "windows-1257": "Ačiū žmonėms",
    "windows-1258": "chào",
    "koi8-r": "Здравствуйте",
    "koi8-u": "Їжак",
    "cp866": "Привет",
    "tis-620": "สวัสดี",
    "gb2312": "您好",
    "gbk": "镕基",
    "gb18030": "𠀀您好",
    "big5": "許功蓋",
    "euc-kr": "안녕하세요",
    "ks_c_5601-1987": "안녕하세요",
    "euc-jp": "やかん",
    "shift_jis": "ソ表能",
    "iso-2022-jp": "お世話になります",
    "iso-2022-kr": "안녕",
    "hz-gb-2312": "您好",
    "utf-7": "Grüße + €",
    "utf-8": "Zażółć 🙂",
    "utf-16le": "wide żółć",
    "utf-32": "wider żółć",
    "x-sjis": "ソフト",
    "x-mac-cyrillic": "Чай",
    "macintosh": "Café",
}
_PYTHON = {"iso-8859-8-i": "iso-8859-8", "ks_c_5601-1987": "cp949", "x-sjis": "cp932",
           "x-mac-cyrillic": "mac_cyrillic", "hz-gb-2312": "hz"}  # fmt: skip


@each("name", WORDS)
def test_each_charset_under_the_name_that_mails_use(name: str) -> None:
    data = WORDS[name].encode(_PYTHON.get(name, name))
    for said in (name, name.upper(), f' "{name}" '):
        assert charsets.decode(data, said) == WORDS[name]


@each(
    "data, said, text",
    [
        ("Grüße".encode(), "iso-8859-1", "Grüße"),
        ("Grüße".encode("cp1252"), "utf-8", "Grüße"),
        ("Grüße".encode("cp1252"), "us-ascii", "Grüße"),
        ("Grüße".encode(), None, "Grüße"),
        ("Grüße".encode("cp1252"), None, "Grüße"),
        ("Grüße".encode("cp1252"), "no-such-thing", "Grüße"),
        (b"\x80 5", "iso-8859-1", "€ 5"),
        (b"\xef\xbb\xbfa", "iso-8859-1", "a"),
        (b"\xff\xfea\0", "utf-8", "a"),
        (b"a", "zlib", "a"),
        (b"eJw=", "base64", "eJw="),
        (b"a\xff", "rot13", "aÿ"),
        (b"\x81\x8d", "us-ascii", "\x81\x8d"),
        (b"", "utf-16", ""),
        ("您好，今天".encode(), "big5", "您好，今天"),
        ("您好，今天".encode(), "gb2312", "您好，今天"),
        ("안녕하세요".encode(), "euc-kr", "안녕하세요"),
        ("Привет".encode(), "windows-1251", "Привет"),
        ("Привет".encode(), "koi8-r", "Привет"),
        ("Příliš".encode(), "iso-8859-2", "Příliš"),
        ("联通".encode("gbk"), "gb2312", "联通"),
        ("Café na".encode() + b"\xefve", "utf-8", "Café na\ufffdve"),
        ("Привет".encode("cp1251"), "windows1251", "Привет"),
        ("Привет".encode("cp1251"), "win-1251", "Привет"),
        ("Příliš".encode("cp1250"), "x-cp1250", "Příliš"),
        ("Příliš".encode("cp1250"), "charset=windows-1250", "Příliš"),
        ("Příliš".encode("cp1250"), "windows-1250 format=flowed", "Příliš"),
        ("안녕".encode("cp949"), "x-windows-949", "안녕"),
        ("やかん".encode("euc-jp"), "x-euc-jp", "やかん"),
        ("①やかん".encode("cp932"), "windows-31j", "①やかん"),
        (b"\x1b$B$d$+$s\x1b(B!", "us-ascii", "やかん!"),
        (b"\x1b$B$d$+$s\x1b(B!", "no-such-thing", "やかん!"),
        (b"\x1b$B-!$d$+$s\x1b(B! \x1b$B5!7o\x1b(J", "iso-2022-jp", "①やかん! 機件"),
        (b"\x1b$B-!$d\x1b(I6]\x1b(B", "iso-2022-jp", "①やｶﾝ"),
        (b"\x1b$B", "iso-2022-jp", ""),
        (b"\\~ \\x41", "unicode_escape", "\\~ \\x41"),
    ],
)
def test_what_is_said_and_what_is(data: bytes, said: str | None, text: str) -> None:
    assert charsets.decode(data, said) == text


@given(
    st.binary(max_size=300),
    st.one_of(
        st.none(),
        st.sampled_from([*WORDS, "idna", "hex", "\0", "utf-8\n", "unicode_escape"]),
        st.text(max_size=50),
    ),
)
def test_anything_is_text(data: bytes, said: str | None) -> None:
    assert isinstance(charsets.decode(data, said), str)
