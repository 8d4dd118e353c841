"""What is said of a mailbox's settings before it is used."""

from dataclasses import replace
from typing import Any

from connectors.mail import CONNECTOR
from connectors.mail.settings import Server, auth, imap, smtp
from tests.connectors.mail.outgoing import mailbox
from tests.each import each

HERE, THERE = {"host": "localhost"}, {"host": "mail.example.com"}
PW = {"password": ("pw",)}


@each(
    "secrets, settings, said",
    [
        ({}, {"smtp": "smtp.example.com"}, "smtp must have settings of its own"),
        ({}, {"smtp": {"port": 25}}, "smtp needs host"),
        ({}, {"smtp": {"host": "a b"}}, "smtp.host must be a host name"),
        ({}, {"smtp": {**THERE, "port": 70_000}}, "smtp.port must be a whole number from 1 to 65535"),
        ({}, {"smtp": {**THERE, "tls": True}}, "smtp.tls must be tls, starttls or none"),
        ({}, {"smtp": {**THERE, "speed": 1}}, "smtp has no setting 'speed'"),
        (PW, {"smtp": {**THERE, "tls": "none"}}, "smtp.tls none would send the password in the clear"),
        (PW, {"imap": {**THERE, "tls": "none"}}, "imap.tls none would send the password in the clear"),
        ({}, {"imap": THERE}, "imap needs the secret 'password'"),
        (PW, {"imap": {**THERE, "done": "burn"}}, "imap.done must be keyword, seen, nothing or move:Folder"),
        (PW, {"imap": {**THERE, "from": "yesterday"}}, "imap.from must be now, all or a span"),
        (PW, {"imap": {**THERE, "poll": "1h"}}, "imap.poll must be between 10s and 9m"),
        ({}, {"smtp": {**THERE, "user": "bo"}}, "smtp.user needs the secret 'password'"),
        ({}, {"auth": "magic"}, "auth must be password or xoauth2"),
        ({}, {"auth": "xoauth2"}, "auth xoauth2 needs the secret 'refresh_token'"),
        ({"refresh_token": ("x",)}, {"auth": "xoauth2"}, "auth xoauth2 needs oauth"),
        ({}, {"oauth": {"token_url": "ftp://x", "client_id": "a"}}, "oauth.token_url must begin with https"),
        ({}, {"dkim": {"selector": "s1"}}, "dkim needs the secret 'dkim'"),
        ({"dkim": ("x",)}, {}, "the secret 'dkim' needs the setting dkim"),
        ({}, {"name": "a\nb"}, "name must be one line"),
        ({}, {"signature": "x" * 2_001}, "signature may have 2000 characters"),
        ({}, {"reply_token": "yes"}, "reply_token must be true or false"),
        ({}, {"colour": "red"}, "mail has no setting 'colour'"),
    ],
)
def test_complaints(secrets: dict[str, tuple[str, ...]], settings: dict[str, Any], said: str) -> None:
    found = CONNECTOR.check(mailbox(secrets, **settings))
    assert [one for one in found if said in one], found


@each(
    "secrets, settings",
    [
        (PW, {"imap": THERE, "smtp": {**THERE, "port": 587}, "name": "x", "signature": "a\nb"}),
        ({}, {"smtp": {**HERE, "tls": "none"}}),
        (PW, {"imap": {**HERE, "tls": "none", "from": "all", "poll": "90s", "done": "move:Done"}}),
        (
            {"client_secret": ("x",)},
            {"auth": "xoauth2", "oauth": {"token_url": "https://x/t", "client_id": "a"}},
        ),
        ({"dkim": ("x",)}, {"smtp": THERE, "dkim": {"selector": "s1", "domain": "example.com"}}),
    ],
)
def test_what_is_good(secrets: dict[str, tuple[str, ...]], settings: dict[str, Any]) -> None:
    assert CONNECTOR.check(mailbox(secrets, **settings)) == []


def test_an_account_needs_an_address() -> None:
    assert CONNECTOR.check(replace(mailbox(), address=None)) == ["it needs an address: that of the mailbox"]
    assert "is no mail address" in CONNECTOR.check(replace(mailbox(), address="support"))[0]


@each(
    "given, made",
    [
        ({}, ("x", 465, "tls")),
        ({"port": 587}, ("x", 587, "starttls")),
        ({"tls": "starttls"}, ("x", 587, "starttls")),
        ({"tls": "none"}, ("x", 25, "none")),
        ({"port": 2525, "tls": "starttls"}, ("x", 2525, "starttls")),
    ],
)
def test_ports_and_encryption_follow_from_each_other(
    given: dict[str, Any], made: tuple[str, int, str]
) -> None:
    account = mailbox(smtp={"host": "x", **given})
    assert smtp(account) == Server(*made, user="support@example.com")
    assert imap(account) is None
    assert auth(account) is None
