"""Who is never answered by a machine (RFC 3834; docs/security.md, S8)."""

from __future__ import annotations

from email import message_from_string

from connectors.mail import automatic, headers, mime, refs
from hub.model import MessageReceived
from tests.connectors.mail.corpus import ACCOUNT, AT
from tests.each import each


def _why(fields: str, sender: str = "ann@example.net", subject: str = "Hello") -> str:
    return automatic.why(message_from_string(f"{fields}\n\n", policy=headers.POLICY), sender, subject)


@each(
    "fields",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated; type=x",
        "auto-submitted: AUTO-NOTIFIED",
        "Precedence: bulk",
        "Precedence: list",
        "Precedence: junk",
        "Precedence:  Auto_Reply ",
        "List-Id: <a.example>",
        "List-Unsubscribe: <mailto:u@a.example>",
        "List-Post: NO",
        "X-Auto-Response-Suppress: OOF, AutoReply",
        "X-Auto-Response-Suppress: All",
        "Return-Path: <>",
        "Return-Path:",
        "Return-Path: <MAILER-DAEMON>",
        "X-Autoreply: yes",
        "X-Loop: desk",
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b",
    ],
)
def test_a_machines_fields(fields: str) -> None:
    assert _why(fields)


@each(
    "fields",
    ["Auto-Submitted: no", "Auto-Submitted: No (a person)", "Precedence: first-class", "Return-Path: <ann@example.net>",
     "X-Auto-Response-Suppress: None", "X-Mailer: Autopilot", "Subject: x", "X-SES-Outgoing: 2024.03.04-1",
     "Feedback-ID: 1.eu-west-1.x=:AmazonSES", "X-Mailgun-Sid: Wy="],
)  # fmt: skip
def test_a_persons_fields(fields: str) -> None:
    assert _why(fields) == ""


@each(
    "sender",
    ["MAILER-DAEMON@a.example", "mailerdaemon@a.example", "postmaster@a.example", "no-reply@a.example",
     "noreply@a.example", "do-not-reply@a.example", "noreply+x7@a.example", "bounce-77@a.example",
     "notifications@a.example", "root@a.example"],
)  # fmt: skip
def test_a_machines_address(sender: str) -> None:
    assert _why("X: y", sender)


@each(
    "sender",
    [
        "ann@example.net",
        "norman@a.example",
        "rooty@a.example",
        "anna.root@a.example",
        "root.anna@a.example",
        "alerta@a.example",
        "",
        "reply@a.example",
    ],
)
def test_a_persons_address(sender: str) -> None:
    assert _why("X: y", sender) == ""


@each(
    "subject",
    ["Automatic reply: x", "Automatische Antwort: x", "Réponse automatique : x", "Respuesta automática: x",
     "Risposta automatica: x", "Resposta automática: x", "Out of Office: x", "Abwesenheitsnotiz", "Autoreply: x",
     "自動返信: x", "自动回复: x", "Автоответ: x", "Odpowiedź automatyczna: x",
     "[Automatyczna odpowiedź] x", "Automatiskt svar: x", "Автоматический ответ: x", "自动答复: x", "자동 회신: x",
     "Automated response", "Out-of-office", "Out of Office AutoReply: x", "Abwesend: x",
     "AUTO: Ann Berger is out of the office (returning 05/01/2024)"],
)  # fmt: skip
def test_an_absence(subject: str) -> None:
    assert _why("X: y", subject=subject)


@each(
    "subject",
    [
        "Re: out of the office?",
        "Our office",
        "Automatic door",
        "Kettle",
        "",
        "Out of office next week, deliver later?",
        "Abwesend bis Montag, bitte später liefern",
        "Auto: Versicherung",
        "Re: Automatic reply: x",
    ],
)
def test_no_absence(subject: str) -> None:
    assert _why("X: y", subject=subject) == ""


@each(
    "fields",
    ["From: support@example.com", "From: Support <Support+c2-x@Example.com>",
     f"From: ann@example.net\nMessage-ID: <7.{refs.token(7, 'corpus-secret')}@example.com>"],
)  # fmt: skip
def test_our_own_mail_that_comes_back_is_never_answered(fields: str) -> None:
    (event,) = mime.read(f"{fields}\nSubject: Hello\n\nWords.\n".encode(), ACCOUNT, AT).events
    assert isinstance(event, MessageReceived)
    assert event.automatic
