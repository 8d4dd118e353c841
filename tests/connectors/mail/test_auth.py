"""Whom to believe: our own server's Authentication-Results alone (RFC 8601; docs/security.md, S9 and S10)."""

from __future__ import annotations

from email import message_from_string

from connectors.mail import auth, headers
from tests.each import each

US = "mx.example.com"
PASS = "spf=pass smtp.mailfrom=ann@example.net; dkim=pass header.d=example.net; dmarc=pass header.from=example.net"
BY_US = "Received: from a.example.net by mx.example.com; Mon, 4 Mar 2024 10:15:00 +0100"
FROM = "From: Ann <ann@example.net>"


def _proof(*fields: str, sender: str = "ann@example.net", host: str | None = US) -> auth.Proof:
    message = message_from_string("\n".join(fields) + "\n\nHello.\n", policy=headers.POLICY)
    return auth.proof(message, sender, host)


def _says(what: str, host: str = US) -> str:
    return f"Authentication-Results: {host}; {what}"


def test_a_pass_by_our_own_server_proves_the_sender() -> None:
    assert _proof(_says(PASS), BY_US, FROM) == auth.Proof(True, "spf=pass dkim=pass dmarc=pass")


@each(
    "what",
    [
        "dmarc=pass (p=REJECT sp=NONE dis=NONE) header.from=example.net",
        "DMARC=PASS header.from=Example.NET",
        "dmarc = pass header.from=example.net.",
        "dkim=fail header.d=x.example; dkim=pass header.d=example.net header.s=s1",
        "dkim=pass header.i=@example.net",
        "spf=pass (sender (ours; really) is fine) smtp.mailfrom=ann@example.net",
        "dmarc=none header.from=example.net; spf=pass smtp.mailfrom=example.net",
    ],
)  # fmt: skip
def test_each_way_to_say_so(what: str) -> None:
    assert _proof(_says(what), BY_US, FROM).verified


@each(
    "what",
    [
        "dmarc=fail header.from=example.net",
        "dmarc=none header.from=example.net",
        "dmarc=temperror header.from=example.net",
        "dmarc=fail header.from=example.net; spf=pass smtp.mailfrom=ann@example.net",
        "dmarc=pass header.from=evil.example",
        "dmarc=pass",
        "spf=pass smtp.mailfrom=bounce@evil.example; dkim=pass header.d=evil.example",
        "dkim=pass header.d=notexample.net",
        "dkim=pass header.d=net",
        "none",
        "",
        "spf=fail (dmarc=pass header.from=example.net) smtp.mailfrom=x@evil.example",
        "spf=fail (a (nested; dmarc=pass header.from=example.net) comment; dmarc=pass header.from=example.net)",
        'spf=pass smtp.mailfrom="a; dmarc=pass header.from=example.net; b"@evil.example',
        'spf=none smtp.mailfrom="a\\"; dmarc=pass header.from=example.net; \\""@evil.example',
        "spf=fail (unclosed; dmarc=pass header.from=example.net",
        "x-dmarc=pass header.from=example.net",
        "dmarc=passed header.from=example.net",
        'spf=pass reason="smtp.mailfrom=ann@example.net" smtp.mailfrom=x@evil.example',
    ],
)
def test_what_proves_nothing(what: str) -> None:
    assert not _proof(_says(what), BY_US, FROM).verified


def test_another_servers_word_counts_for_nothing() -> None:
    for host in ("mx.evil.example", "mx.example.com.evil.example", "example.com", "xmx.example.com"):
        assert not _proof(_says(PASS, host), BY_US, FROM).verified


def test_the_hosts_name_in_other_clothes_is_still_ours() -> None:
    for host in (
        "MX.Example.COM",
        "mx.example.com.",
        "mx.example.com 1",
        '"mx.example.com"',
        "(hi) mx.example.com",
    ):
        assert _proof(_says(PASS, host), BY_US, FROM).verified, host


def test_a_field_forged_below_the_trace_is_not_read() -> None:
    hops = [BY_US] * (auth.HOPS + 1)
    assert not _proof(*hops, _says(PASS), FROM).verified
    fail = _says("spf=fail smtp.mailfrom=x@evil.example; dkim=none; dmarc=fail header.from=example.net")
    assert not _proof(fail, BY_US, _says(PASS), FROM).verified
    assert not _proof(fail, _says(PASS), BY_US, FROM).verified


def test_a_forged_field_right_below_ours_cannot_turn_a_result() -> None:
    ours = _says("spf=softfail smtp.mailfrom=x@evil.example; dkim=none; dmarc=none header.from=example.net")
    proof = _proof(BY_US, ours, _says(PASS), FROM)
    assert proof == auth.Proof(False, "spf=softfail dkim=none dmarc=none")


def test_a_field_forged_above_by_another_host_does_not_hide_ours() -> None:
    assert _proof(_says("dmarc=fail", "mx.evil.example"), _says(PASS), BY_US, FROM).verified


def test_several_fields_of_our_servers_milters_are_read_together() -> None:
    fields = [
        _says("spf=pass smtp.mailfrom=b.example"),
        _says("dkim=none"),
        _says("dmarc=pass header.from=example.net"),
    ]
    assert _proof(*fields, BY_US, FROM) == auth.Proof(True, "spf=pass dkim=none dmarc=pass")


def test_arc_is_somebody_elses_word() -> None:
    arc = f"ARC-Authentication-Results: i=1; {US}; {PASS}"
    assert not _proof(arc, BY_US, FROM).verified
    assert not _proof(arc, _says("arc=pass; dmarc=fail header.from=example.net"), BY_US, FROM).verified


def test_two_senders_are_never_proved() -> None:
    assert not _proof(_says(PASS), BY_US, FROM, "From: vip@example.org").verified
    assert not _proof(_says(PASS), BY_US, "From: ann@example.net, vip@example.org").verified


def test_without_a_name_for_our_server_nothing_counts() -> None:
    assert _proof(_says(PASS), BY_US, FROM, host=None).said.startswith("not checked")
    assert _proof(BY_US, FROM).said == f"not checked: {US} says nothing of this mail"


def test_a_homograph_is_another_domain() -> None:
    what = "dmarc=pass header.from=example.net"
    assert not _proof(_says(what), BY_US, "From: a@ex\u0430mple.net", sender="a@ex\u0430mple.net").verified


def test_it_takes_no_time_whatever_stands_there() -> None:
    for junk in ("(" * 30_000, '"' * 30_000, "a;" * 15_000, "\\" * 30_000, "spf=pass header.d" * 2_000):
        assert not _proof(_says(junk), BY_US, FROM).verified
