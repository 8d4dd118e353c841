"""Mails made to stall or break whoever reads them (docs/security.md, S6). Written when asked for: some are large."""

from __future__ import annotations

import base64

_HEAD = b"From: Ann <ann@example.net>\r\nTo: support@example.com\r\nSubject: Bomb\r\n"
_TEXT = b"Content-Type: text/plain\r\n\r\nThe words.\r\n"


def many_parts(number: int = 100_000) -> bytes:
    return (
        _HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: text/x\r\n\r\n\r\n" * number
    )


def many_addresses(number: int = 100_000) -> bytes:
    return _HEAD + b"Cc: " + b",\r\n ".join(b"a%d@example.org" % n for n in range(number)) + b"\r\n" + _TEXT


def addresses_on_one_line(number: int = 20_000) -> bytes:
    return _HEAD + b"Cc: " + b",".join(b"a%d@example.org" % n for n in range(number)) + b"\r\n" + _TEXT


def nested_multiparts(number: int = 1_000) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(number))
    return _HEAD + b"".join(levels) + _TEXT


def nested_mails(number: int = 1_000) -> bytes:
    return _HEAD + b"Content-Type: message/rfc822\r\n\r\n" * number + _TEXT


def nested_comments(number: int = 5_000) -> bytes:
    return b"From: " + b"(" * number + b" ann@example.net\r\n" + _TEXT


def nested_comments_closed(number: int = 5_000) -> bytes:
    return b"From: " + b"(" * number + b")" * number + b" ann@example.net\r\n" + _TEXT


def long_header(size: int = 10_000_000) -> bytes:
    return _HEAD + b"X-Long: " + b"x" * size + b"\r\n" + _TEXT


def many_headers(number: int = 100_000) -> bytes:
    return _HEAD + b"X-A: b\r\n" * number + _TEXT


def many_received(number: int = 4_000) -> bytes:
    return b"Received: from a by b; Mon, 4 Mar 2024 10:15:00 +0100\r\n" * number + _HEAD + _TEXT


def declared_size() -> bytes:
    return (
        _HEAD
        + b"Content-Length: 1073741824\r\nContent-Type: text/plain; size=1073741824\r\n\r\nThe words.\r\n"
    )


def endless_base64(size: int = 20_000_000) -> bytes:
    return (
        _HEAD
        + b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"A" * size
    )


def unknown_charset() -> bytes:
    return _HEAD + b"Content-Type: text/plain; charset=no-such-thing\r\n\r\nThe words: \xff\r\n"


def invalid_charset() -> bytes:
    return (
        _HEAD
        + b"Content-Type: text/plain; charset*=utf-8'%00'\xff\xfe%0a; charset*0*=x\r\n\r\nThe words.\r\n"
    )


def zip_as_charset() -> bytes:
    return _HEAD + b"Content-Type: text/plain; charset=zlib\r\n\r\n" + base64.b64encode(b"x" * 99) + b"\r\n"


def encoded_words(size: int = 400_000) -> bytes:
    return _HEAD + b"X-Subject: a\r\nSubject: " + b"=?utf-8?q?" * (size // 10) + b"\r\n" + _TEXT


def encoded_words_valid(number: int = 10_000) -> bytes:
    return b"From: a@example.net\r\nSubject:" + b" =?utf-8?b?w6Q=?=\r\n" * min(number, 4_900) + _TEXT


def parameters(number: int = 20_000) -> bytes:
    return (
        _HEAD
        + b"Content-Type: text/plain; "
        + b"; ".join(b"a*%d=b" % n for n in range(number))
        + b"\r\n\r\nx\r\n"
    )


def quotes_in_parameters(number: int = 50_000) -> bytes:
    return _HEAD + b'Content-Type: text/plain; name="' + b'\\"' * number + b"\r\n\r\nx\r\n"


def on_on_on(number: int = 100_000) -> bytes:
    return _HEAD + b"Content-Type: text/plain\r\n\r\n" + b"On " * number + b"\r\n"


def attribution_lines(number: int = 20_000) -> bytes:
    return (
        _HEAD
        + b"Content-Type: text/plain\r\n\r\n"
        + b"On 1 March 2024 somebody wrote:\r\nsomething\r\n" * number
    )


def quote_marks(number: int = 200_000) -> bytes:
    return _HEAD + b"Content-Type: text/plain\r\n\r\n" + b">" * number + b"\r\n" + b"> a\r\n" * 20_000


def rules(number: int = 30_000) -> bytes:
    return _HEAD + b"Content-Type: text/plain\r\n\r\n" + b"__________\r\n" * number


def deep_html(number: int = 50_000) -> bytes:
    return _HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div>" * number + b"x"


def nested_quotes(number: int = 20_000) -> bytes:
    return (
        _HEAD + b"Content-Type: text/html\r\n\r\n" + b"<blockquote>word <a href=https://a.example>b" * number
    )


def wide_html(number: int = 100_000) -> bytes:
    return _HEAD + b"Content-Type: text/html\r\n\r\n" + b"<p style='color:red;'>a</p>" * number


def calendar(number: int = 50_000) -> bytes:
    return (
        _HEAD
        + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"
        + b"A:\r\n " * number
    )


def references(number: int = 30_000) -> bytes:
    return (
        _HEAD + b"References: " + b"<a@b>" * number + b"\r\nIn-Reply-To: " + b"<" * 30_000 + b"\r\n" + _TEXT
    )


def uuencoded(number: int = 40_000) -> bytes:
    return _HEAD + b"Content-Type: text/plain\r\n\r\n" + b"begin 644 a\r\n" * number + b"end\r\n"


ALL = {
    made.__name__: made
    for made in (
        many_parts, many_addresses, addresses_on_one_line, nested_multiparts, nested_mails, nested_comments,
        nested_comments_closed, long_header, many_headers, many_received, declared_size, endless_base64,
        unknown_charset, invalid_charset, zip_as_charset, encoded_words, encoded_words_valid, parameters,
        quotes_in_parameters, on_on_on, attribution_lines, quote_marks, rules, deep_html, nested_quotes, wide_html,
        calendar, references, uuencoded,
    )
}  # fmt: skip
