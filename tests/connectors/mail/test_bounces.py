"""What a report on a delivery says of the address, and what is no such report."""

from __future__ import annotations

from connectors.mail import bounces, mime, refs
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
        ("5.2.3", "message length exceeds the limit", "refused"),
        ("5.3.4", "a size of 20000000 exceeds the limit of 10000000", "refused"),
        ("5.7.1", "Sender address rejected: not owned by user", "refused"),
        ("5.7.1", "Recipient address rejected: blocked by policy", "refused"),
        ("5.7.1", "No mailbox found", "dead"),
        ("450", "Requested mail action not taken: mailbox unavailable", "delayed"),
        ("550", "Requested action not taken: mailbox unavailable", "dead"),
        ("550", "ann@example.net is not a known user of ours", "dead"),
        ("551", "ann@example.net is a deactivated mailbox", "dead"),
        ("550", "BAD_RECIPIENT", "dead"),
        ("550", "we have no such domain", "dead"),
        ("5.4.4", "Host or domain name not found", "dead"),
        ("4.4.3", "Host or domain name not found, try again", "delayed"),
        ("452", "Mailbox size limit exceeded", "full"),
        ("5.7.0", "It has exceeded its quota of space", "full"),
        ("552", "Message would exceed mailbox quota", "full"),
        ("5.0.0", "the user's mailfolder is full", "full"),
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


def test_who_gave_up_has_failed_though_the_trouble_was_a_passing_one() -> None:
    groups = FAILED.replace("5.1.1", "4.4.7") + "Diagnostic-Code: smtp; 421 4.4.7 delivery time expired\n"
    (event,) = mime.read(_dsn(groups), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert (event.status, event.code) == (DeliveryStatus.FAILED, "refused")


@each(
    "fields, code",
    [
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 5.1.1 <a@b.example>: sorry\n", "dead"),
        ("Status: 5.0.0 (disk quota)\n", "full"),
        ("Status: 5.2.3\nDiagnostic-Code: smtp; 552 5.2.3 too large\n", "refused"),
    ],
)
def test_a_status_that_says_nothing_is_looked_for_in_the_words(fields: str, code: str) -> None:
    (event,) = mime.read(_dsn(FAILED.replace("Status: 5.1.1\n", fields)), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert event.code == code


@each(
    "field, address",
    [
        ("rfc822; Ivan@xn--e1afmkfd.xn--p1ai", "ivan@xn--e1afmkfd.xn--p1ai"),
        ("rfc822;<ann+x=y@example.net>", "ann+x=y@example.net"),
        ("RFC822; ann/b!c@example.net", "ann/b!c@example.net"),
        ("utf-8; анна@example.net", "анна@example.net"),
        ("X500; nobody knows", "gone@example.net"),
    ],
)
def test_whom_we_wrote_to_not_whither_it_was_sent_on(field: str, address: str) -> None:
    groups = FAILED.replace("Action:", f"Original-Recipient: {field}\nAction:")
    (event,) = mime.read(_dsn(groups), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert event.recipient == f"mailto:{address}"


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


def _words(
    text: str, sender: str = "MAILER-DAEMON@a.example", subject: str = "failure notice"
) -> list[object]:
    raw = f"From: {sender}\nTo: support@example.com\nSubject: {subject}\n\n{text}"
    told = []
    for event in mime.read(raw.encode(), ACCOUNT, AT).events:
        assert isinstance(event, DeliveryReported), event
        told.append([event.recipient, event.code])
    return told


@each(
    "sender",
    [
        "MAILER-DAEMON <>",
        '"" (Mail Delivery System)',
        "Mail Delivery Subsystem <queue@a.example>",
        "mdaemon@a.example",
    ],
)
def test_the_names_of_servers(sender: str) -> None:
    text = f"Your mail was not delivered to:\n\n  gone@example.net: no such user\n\nReceived: by a\nMessage-ID: {OUR}\n"
    assert _words(text, sender, "Mail") == [["mailto:gone@example.net", "dead"]]
    (event,) = mime.read(f"From: {sender}\nSubject: Mail\n\nGreetings.\n".encode(), ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)
    assert event.automatic


def test_each_that_the_words_name_has_its_own_reason() -> None:
    text = (
        "Hi. I could not deliver to these; call us at 555-421-2600.\n\n<gone@example.net>:\n"
        "550 no such user (gone@example.net)\n\n<full@example.net>:\nover quota\n\n"
        f"--- Below this line is a copy of the message.\n\nReturn-Path: <>\nMessage-ID: {OUR}\n"
        "X-Mailer: Post 4.2.2\n\n<other@example.net>: hello\n"
    )
    assert _words(text) == [["mailto:gone@example.net", "dead"], ["mailto:full@example.net", "full"]]


def test_a_warning_in_words_is_no_failure() -> None:
    for subject, text in (
        (
            "Warning: could not send message for past 4 hours",
            "<slow@example.net>... Deferred\nstill undelivered",
        ),
        (
            "Delayed Mail (still being retried)",
            "It could not be delivered. It will be retried.\n\n<slow@example.net>: x",
        ),
        ("Status (Delay)", "The mail to slow@example.net was not delivered. We will retry for 47 hours."),
    ):
        told = mime.read(
            f"From: MAILER-DAEMON@a.example\nSubject: {subject}\n\n{text}\n\nMessage-ID: {OUR}\n".encode(),
            ACCOUNT,
            AT,
        )
        (event,) = told.events
        assert isinstance(event, DeliveryReported)
        assert (event.status, event.recipient) == (DeliveryStatus.SENT, "mailto:slow@example.net")


@each(
    "text",
    [
        "Your message\n\n  To:      list@example.org\n  Sent:    today\n\ndid not reach the following:\n\n"
        "gone@example.net on Friday\n    The recipient name is not recognized\n",
        "It could not be delivered.\nFinal-Recipient: rfc822; gone@example.net\nAction: failed\nStatus: 5.1.1\n",
        "A message from <me@example.org>\ncould not be delivered:\n\n  gone@example.net\n    unknown user\n",
    ],
)
def test_the_one_who_did_not_get_it_is_told_from_the_others(text: str) -> None:
    assert _words(f"{text}\nReceived: by a\nMessage-ID: {OUR}\n\nWords.\n") == [
        ["mailto:gone@example.net", "dead"]
    ]


def _gateway(returned: str, text: str = "The mail below could not be delivered:\ngone@example.net") -> bytes:
    return (
        "From: Gate <gate@a.example>\nTo: support@example.com\nSubject: Mail could not be delivered\n"
        "Content-Type: multipart/mixed; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\n{text}\n"
        f"--b\nContent-Type: message/rfc822\n\nFrom: support@example.com\nMessage-ID: {returned}\n\nWords.\n--b--\n"
    ).encode()


def test_a_gateway_of_any_name_that_returns_our_own_mail() -> None:
    signed = f"<501.{refs.token(7, 'corpus-secret')}@example.com>"
    (event,) = mime.read(_gateway(signed), ACCOUNT, AT).events
    assert isinstance(event, DeliveryReported)
    assert (event.external_id, event.recipient) == (signed, "mailto:gone@example.net")
    (event,) = mime.read(_gateway(signed, "What is this about, please?"), ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)  # a person sends it to us, and asks
    (event,) = mime.read(_gateway("<7@example.org>"), ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)  # theirs: they tell of their own trouble


@each(
    "fields",
    [
        "From: ann@example.net\nReturn-Path: <>\nSubject: Away",
        "From: postmaster@example.net\nSubject: Your call",
        "From: postmaster@example.net\nSubject: Re: Undeliverable: kettle",
    ],
)
def test_words_like_a_bounces_in_an_answer_to_us_are_words(fields: str) -> None:
    text = "I could not reach you. This address does not exist any more, write to ben@example.net."
    (event,) = mime.read(f"{fields}\nIn-Reply-To: {OUR}\n\n{text}\n".encode(), ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)
    assert event.text == text
