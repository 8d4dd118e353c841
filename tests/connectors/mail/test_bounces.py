"""What a report on a delivery says of the address, and what is no such report."""

from __future__ import annotations

from connectors.mail import bounces, mime
from hub.model import DeliveryReported, DeliveryStatus, MessageReceived
from tests.connectors.mail.corpus import ACCOUNT, AT
from tests.each import each

OUR = "<501.c2f-aaaabbbbccccdddd@example.com>"


@each(
    "status, said, kind",
    [
        ("5.1.1", "", "dead"),
        ("5.1.2", "", "dead"),
        ("5.1.10", "", "dead"),
        ("5.2.1", "mailbox disabled", "dead"),
        ("5.2.2", "", "full"),
        ("4.2.2", "", "full"),
        ("5.0.0", "552 over quota", "full"),
        ("5.0.0", "550 no such user", "dead"),
        ("5.7.1", "rejected as spam", "refused"),
        ("5.7.26", "unauthenticated mail is prohibited", "refused"),
        ("5.3.4", "message too big", "refused"),
        ("4.4.1", "connection timed out", "delayed"),
        ("550", "user unknown", "dead"),
        ("554", "blocked", "refused"),
        ("", "", "refused"),
    ],
)
def test_what_a_servers_answer_means(status: str, said: str, kind: str) -> None:
    assert bounces.kind_of(status, said) == kind


def _dsn(groups: str, returned: str = f"Message-ID: {OUR}\n", kind: str = "text/rfc822-headers") -> bytes:
    return (
        "From: mailer-daemon@a.example\nReturn-Path: <>\nSubject: Undelivered\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Type: text/plain\n\nIt did not arrive.\n"
        f"--b\nContent-Type: message/delivery-status\n\n{groups}\n"
        f"--b\nContent-Type: {kind}\n\n{returned}\n--b--\n"
    ).encode()


FAILED = "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; Gone@Example.net\nAction: failed\nStatus: 5.1.1\n"


def test_a_report_names_our_mail_the_address_and_why() -> None:
    (event,) = mime.read(_dsn(FAILED + "Diagnostic-Code: smtp; 550 5.1.1 no such user\n"), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert event.external_id == OUR
    assert event.status is DeliveryStatus.FAILED
    assert event.code == "dead"
    assert event.recipient == "mailto:gone@example.net"
    assert event.detail == "5.1.1 550 5.1.1 no such user"
    assert event.blob


def test_a_delay_is_no_failure() -> None:
    groups = FAILED.replace("failed", "delayed").replace("5.1.1", "4.4.7")
    (event,) = mime.read(_dsn(groups), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert (event.status, event.code) == (DeliveryStatus.SENT, None)


@each("action", ["delivered", "relayed", "expanded"])
def test_that_it_arrived_is_no_bounce(action: str) -> None:
    for event in mime.read(_dsn(FAILED.replace("failed", action)), ACCOUNT, AT).events:
        assert not isinstance(event, DeliveryReported) or event.status is not DeliveryStatus.FAILED


def test_the_id_is_found_where_it_is_returned() -> None:
    whole = f"From: support@example.com\nMessage-ID:\n {OUR}\n\nWords.\n"
    for returned, kind in (
        (whole, "message/rfc822"),
        (whole, "text/rfc822-headers"),
        (whole, "message/rfc822-headers"),
    ):
        (event,) = mime.read(_dsn(FAILED, returned, kind), ACCOUNT, AT).events
        assert isinstance(event, DeliveryReported)
        assert event.external_id == OUR, kind


def test_each_recipient_has_its_own_event() -> None:
    second = "\nFinal-Recipient: rfc822; full@example.net\nAction: failed\nStatus: 5.2.2\n"
    events = mime.read(_dsn(FAILED + second), ACCOUNT, AT).events
    assert [getattr(event, "code", "") for event in events] == ["dead", "full"]
    assert len({event.event_key for event in events}) == 2


@each(
    "raw",
    [
        b"From: ann@example.net\n\nMy mail came back: 550 user unknown.\n",
        b"From: ann@example.net\nSubject: Undeliverable: your parcel\n\nThe courier says so.\n",
        b"From: postmaster@a.example\nSubject: Our new server\n\nWe have moved.\n",
        b"From: ann@example.net\nSubject: Fwd: failure notice\n\n550 5.1.1 user unknown\n",
    ],
)
def test_people_may_write_about_bounces(raw: bytes) -> None:
    (event,) = mime.read(raw, ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)


def test_one_that_does_not_name_our_mail_is_there_to_be_read() -> None:
    words = (
        b"From: MAILER-DAEMON@a.example\nReturn-Path: <>\nSubject: failure notice\n\n"
        b"<ann@example.net>: no such user\n"
    )
    for raw in (words, _dsn(FAILED, "Subject: x\n")):
        (event,) = mime.read(raw, ACCOUNT, AT).events
        assert isinstance(event, MessageReceived)
        assert event.automatic
