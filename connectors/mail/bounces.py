"""Mails that say a mail of ours did not arrive (RFC 3464, RFC 3462, RFC 3463), and the common shapes that are not so.

A bounce is a report on a delivery of ours, found by our Message-ID in what it returns. It opens no conversation and is
never answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from connectors.mail import headers

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_REPLY = re.compile(r"\b([45]\d\d)[ -]")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+\-']{1,64}@[A-Za-z0-9.\-]{1,190}\.[A-Za-z]{2,24}")
_ID_FIELD = re.compile(r"^Message-ID:[ \t]*(?:\r?\n[ \t]+)?<([^<>\s]{1,400})>", re.IGNORECASE | re.MULTILINE)
_FROM_DAEMON = re.compile(r"(?:mailer-?daemon|postmaster|mail delivery (?:subsystem|system))", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?:undeliver(?:able|ed)|delivery (?:status notification|failure|has failed)|"
    r"mail delivery (?:failed|failure|system)|returned mail|failure notice|message not delivered|could not be delivered|unzustellbar|nicht zustellbar|"
    r"non remis|no se (?:ha podido|pudo) entregar|mancata consegna|onbestelbaar|warning: message)",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"(?:over ?quota|quota exceeded|mailbox (?:is )?full|out of storage|insufficient storage|postfach.{0,20}voll)",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"(?:user unknown|no such (?:user|mailbox|recipient|address)|unknown (?:user|recipient|mailbox)|does ?n.t exist|"
    r"does not exist|address rejected|recipient rejected|mailbox (?:not found|unavailable)|"
    r"account (?:disabled|inactive|has been disabled)|does(?: not|n.t) have an? [^ ]{0,80} ?account|invalid (?:recipient|mailbox)|no mailbox here|address not found|unbekannter empf)",
    re.IGNORECASE,
)
_NAMES_OTHERS = re.compile(
    r"\s*(?:Message-ID|References|In-Reply-To|From|Reporting-MTA|Return-Path)\s*:", re.IGNORECASE
)
_TEXT_CHARS = 20_000
_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_ARRIVED = ("delivered", "relayed", "expanded")
_RECIPIENTS = 50
DEAD, FULL, REFUSED, DELAYED = "dead", "full", "refused", "delayed"


@dataclass(frozen=True, slots=True)
class Bounce:
    """message_id: of our mail, with its angle brackets. address: whom it did not reach.

    kind: dead (no such mailbox), full, refused (policy, spam, size), delayed (it still tries: no failure yet).
    status: the enhanced code of RFC 3463, or the SMTP reply. said: the server's own words, one line.
    """

    message_id: str
    address: str | None
    kind: str
    status: str
    said: str


def read(message: Message, sender: str, subject: str, text: str) -> tuple[Bounce, ...]:
    """One for each recipient that it tells of; empty where the mail is no bounce.

    And where it does not say of which mail: then nobody could be told but who reads it, so it stays a mail.
    """
    report = message.get_content_type() == "multipart/report" and _report_type(message) in (
        "delivery-status",
        "",
    )
    if report and (groups := _groups(message)):
        return _standard(message, groups, text)  # none, where it tells that all arrived
    daemon = bool(_FROM_DAEMON.search(sender)) or headers.raw(message, "X-Failed-Recipients") != ""
    null_path = message.get("Return-Path") is not None and headers.raw(message, "Return-Path") in ("<>", "")
    if not (report or daemon or (null_path and _SUBJECT.search(subject))):
        return ()
    if (
        not _SUBJECT.search(subject)
        and not _GONE.search(text[:_TEXT_CHARS])
        and not _FULL.search(text[:_TEXT_CHARS])
    ):
        return ()
    return _by_words(message, subject, text[:_TEXT_CHARS])


def _report_type(message: Message) -> str:
    value = message.get_param("report-type")
    return value.lower() if isinstance(value, str) else ""


def _groups(message: Message) -> list[Message]:
    """The fields of each recipient that a report tells of (RFC 3464, 2.3)."""
    found = []
    for part in _parts(message):
        groups = part.get_payload()
        if part.get_content_type() in _STATUS_TYPES and isinstance(groups, list):
            found += [
                one for one in groups[:_RECIPIENTS] if isinstance(one, Message) and headers.raw(one, "Action")
            ]
    return found[:_RECIPIENTS]


def _standard(message: Message, groups: list[Message], text: str) -> tuple[Bounce, ...]:
    ours = _returned_id(message, text)
    if ours is None:
        return ()
    found = []
    for group in groups:
        action = headers.raw(group, "Action").lower()
        if action in _ARRIVED:
            continue
        said = headers.shown(headers.raw(group, "Diagnostic-Code").partition(";")[2])[:300]
        status = (_STATUS.search(headers.raw(group, "Status")) or [""])[0]
        address = headers.raw(group, "Final-Recipient") or headers.raw(group, "Original-Recipient")
        kind = DELAYED if action == "delayed" else kind_of(status, said)
        found.append(Bounce(ours, _bare(address.partition(";")[2] or address), kind, status, said))
    return tuple(found)


def _by_words(message: Message, subject: str, text: str) -> tuple[Bounce, ...]:
    ours = _returned_id(message, text)
    if ours is None:
        return ()
    status = _STATUS.search(text)
    reply = _REPLY.search(text)
    code = status[0] if status else reply[1] if reply else ""
    failed = headers.raw(message, "X-Failed-Recipients")
    address = _ADDRESS.search(failed) or _not_ours(message, text)
    delayed = re.search(
        r"\bdelay|will (?:continue|retry|keep trying)|noch nicht zugestellt|warning", subject, re.IGNORECASE
    )
    line = next((line.strip() for line in text.split("\n") if code and code in line), "")
    kind = DELAYED if delayed else kind_of(code, f"{line} {text}")
    return (Bounce(ours, address[0].lower() if address else None, kind, code, line[:300]),)


def _not_ours(message: Message, text: str) -> re.Match[str] | None:
    """The first address in the words that is neither whom they are sent to nor a machine's."""
    ours = {one.address.lower() for one in headers.mailboxes([headers.raw(message, "To")])}
    for line in text.split("\n"):
        if _NAMES_OTHERS.match(line):
            continue
        for found in _ADDRESS.finditer(line[:1000]):
            address = found[0].lower()
            if address not in ours and not _FROM_DAEMON.match(address):
                return found
    return None


def kind_of(status: str, said: str) -> str:
    """What a server's answer means for the address. RFC 3463, 3.3: x.1.1 no such mailbox, x.2.2 mailbox full."""
    if status[1:] in (".2.2", ".2.3") or _FULL.search(said):
        return FULL
    if status.startswith("4"):
        return DELAYED if not _GONE.search(said) else DEAD
    if status[1:] in (".1.1", ".1.2", ".1.3", ".1.6", ".1.10", ".2.1") or _GONE.search(said):
        return DEAD
    return REFUSED


def _returned_id(message: Message, text: str = "") -> str | None:
    """Our own Message-ID: in the mail that is returned whole or in part, else in the words."""
    for part in _parts(message):
        kind = part.get_content_type()
        inner = part.get_payload()
        if kind not in _STATUS_TYPES and isinstance(inner, list) and inner and isinstance(inner[0], Message):
            found = headers.ids([headers.raw(inner[0], "Message-ID")])
            if found:
                return found[0]
        elif kind == "text/rfc822-headers":
            data = part.get_payload(decode=True)
            if isinstance(data, bytes) and (match := _ID_FIELD.search(data.decode("latin-1"))):
                return f"<{match[1]}>"
    match = _ID_FIELD.search(text)
    if match:
        return f"<{match[1]}>"
    return next(
        iter(headers.ids([headers.raw(message, "In-Reply-To"), headers.raw(message, "References")])), None
    )


def _parts(message: Message) -> list[Message]:
    """The parts of a report, one level deep: what is returned inside is not looked into."""
    inside = message.get_payload()
    return [one for one in inside[:20] if isinstance(one, Message)] if isinstance(inside, list) else []


def _bare(address: str) -> str | None:
    found = _ADDRESS.search(address)
    return found[0].lower() if found else None
