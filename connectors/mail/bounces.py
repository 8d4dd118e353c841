"""Mails that say a mail of ours did not arrive (RFC 3464, RFC 3462, RFC 3463), and the common shapes that are not so.

A bounce is a report on a delivery of ours, found by our Message-ID in what it returns. It opens no conversation and is
never answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from email.message import Message

from connectors.mail import headers, refs

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_FAILED_STATUS = re.compile(r"(?<![\d.v])[45]\.\d{1,3}\.\d{1,3}(?![\d.])")
# A reply of SMTP (RFC 5321, 4.2.1: the second digit is at most 5), and no telephone number.
_REPLY = re.compile(r"(?<![\d.+\-])([45][0-5]\d)(?:[ -](?=[245]\.\d)|[ -](?!\d))")
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._%+\-']{0,63}@[A-Za-z0-9.\-]{1,190}\.(?:xn--[A-Za-z0-9\-]{1,59}|[A-Za-z]{2,24})"
    r"(?![A-Za-z0-9\-]|\.[A-Za-z0-9])"
)
_IN_FIELD = re.compile(
    r"[^\s<>()@,;:\"]{1,64}@[^\s<>()@,;:\"]{1,255}"
)  # any address of RFC 5321 and RFC 6531
_ID_FIELD = re.compile(r"^Message-ID:[ \t]*(?:\r?\n[ \t]+)?<([^<>\s]{1,400})>", re.IGNORECASE | re.MULTILINE)
_MACHINE = re.compile(r"(?:mailer-?daemon|mdaemon|mail delivery (?:sub)?system)", re.IGNORECASE)
_FROM_DAEMON = re.compile(rf"(?:{_MACHINE.pattern}|postmaster)", re.IGNORECASE)
_TAG = re.compile(r"^\s*\[[^\]]{1,40}\]")
_SUBJECT = re.compile(
    r"(?:undeliver(?:able|ed)|undelivered mail|non-? ?delivery|delivery (?:status notification|failure|failed|has failed|error|warning|problem)|"
    r"mail delivery (?:failed|failure|system|error|problem|warning)|(?:mail|message) (?:failed|not delivered|could not be delivered|delayed)|"
    r"delayed mail|returned mail|failure (?:notice|delivery)|could not be delivered|unzustellbar|nicht zustellbar|"
    r"non remis|no se (?:ha podido|pudo) entregar|mancata consegna|onbestelbaar|warning: (?:message|could not send)|"
    r"退信|投递失败|投遞失敗|传输失败|配信不能|配信エラー|не доставлено|недоставлен)",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"(?:(?:could not|couldn.t|cannot|can.t|was not|wasn.t|not|unable to|failed to) (?:be |been |able to )?(?:deliver|reach)|"
    r"undeliverable|still undelivered|delivery (?:\w+ ){0,6}failed|(?:did not|didn.t) (?:reach|receive)|failed recipient|failed address|"
    r"has been (?:returned|postponed))",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"(?:over ?quota|quota (?:exceeded|violation)|disk quota|exceed(?:ed|s)?.{0,20}(?:quota|storage|disk space)|"
    r"out of storage|insufficient storage|space not enough|not enough space|too many messages|full mailbox|"
    r"mail ?(?:box|folder) (?:is |size )?(?:full|limit exceeded|exceeds)|postfach.{0,20}voll)",
    re.IGNORECASE,
)
_WHO = r"(?:user|recipient|addressee|mail[ -]?box|account|address|domain|host)"
_GONE = re.compile(
    rf"(?:{_WHO}s? (?:is |was |has been |name is |name )?(?:unknown|not (?:found|recogni[sz]ed|known|active|valid)(?!, try)|"
    r"invalid|disabled|inactive|deactivated|discontinued)|"
    rf"\b(?:no|not an?|isn.t an?|unknown|invalid|bad|deactivated|illegal)[ _](?:such |known |valid |active |or |unknown |illegal )*{_WHO}\b|"
    r"does ?n.t exist|does not exist|does(?: not|n.t) have an? [^ ]{0,80} ?account|no longer (?:exists|on server)|"
    r"name or service not known|nie istnieje|n.existe pas|no existe|unbekannter empf|empf\w{1,6}nger unbekannt)",
    re.IGNORECASE,
)
# So does the answer to a recipient that is refused for good, where it gives no other reason.
_REFUSES_RECIPIENT = re.compile(
    r"(?:(?<!sender )address rejected|recipient rejected|mailbox (?:unavailable|not available))",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"(?:\bdelay(?:ed)?\b|will (?:continue|be retried|retry|keep trying|try again)|postponed|warning only|"
    r"attempts will|still undelivered|warning: (?:message|could not send)|noch nicht zugestellt)",
    re.IGNORECASE,
)
_RECIPIENT_LINE = re.compile(r"^\s*Final-Recipient:[^;\n]*;(.{1,500})", re.IGNORECASE | re.MULTILINE)
_TELLING = (_FAILED, _GONE, _FULL, _REFUSES_RECIPIENT)
_RETURNED = re.compile(
    r"^(?:(?:Received|Return-Path|MIME-Version|DKIM-Signature|Content-Type)\s*:|"
    r".{0,20}(?:below this line|original message (?:follows|below)|copy of (?:the|your) (?:original )?message))",
    re.IGNORECASE | re.MULTILINE,
)
_NAMES_OTHERS = re.compile(
    r"\s*(?:Message-ID|References|In-Reply-To|From|Sender|To|Cc|Reporting-MTA|Return-Path)\s*:", re.IGNORECASE
)
_OWN_LINE = re.compile(
    rf"\s*[<\"'\[*]{{0,3}}(?:mailto:)?({_ADDRESS.pattern})[>\"'\]]{{0,2}}\s*(?:[:(;,.]|on\b|$)"
)
_TEXT_CHARS = 20_000
_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_ARRIVED = ("delivered", "relayed", "expanded")
_RECIPIENTS = 50
DEAD, FULL, REFUSED, DELAYED = "dead", "full", "refused", "delayed"


@dataclass(frozen=True, slots=True)
class Bounce:
    """message_id: of our mail, with its angle brackets. address: whom it did not reach.

    kind: dead (no such mailbox), full, refused (policy, spam, size, or never reached), delayed (it still tries: no
    failure yet).
    status: the enhanced code of RFC 3463, or the SMTP reply. said: the server's own words, one line.
    """

    message_id: str
    address: str | None
    kind: str
    status: str
    said: str


def read(
    message: Message, sender: str, subject: str, text: str, secrets: Sequence[str] = ()
) -> tuple[Bounce, ...]:
    """One for each recipient that it tells of; empty where the mail is no bounce. sender: its name and address.
    secrets: of our reply tokens.

    And where it does not say of which mail: then nobody could be told but who reads it, so it stays a mail.
    """
    text = text[:_TEXT_CHARS]
    report, nobody = _is_report(message), null_path(message)
    machine = is_machine(sender) or headers.raw(message, "X-Failed-Recipients") != ""
    likely = machine or report or nobody or bool(_FROM_DAEMON.search(sender))
    if likely and (groups := _groups(message)):
        return _standard(message, groups, text)  # none, where it tells that all arrived
    said = explanation(text)
    telling = any(words.search(said) for words in _TELLING)
    returned = _in_what_is_returned(message, text)
    about = _SUBJECT.search(subject) if machine or report or nobody else _about(subject)
    signed = returned is not None and refs.conversation([returned], secrets) is not None
    # A postmaster may be a person, and an absence that nobody sent may say that an address is no more.
    if not (
        (likely and about)
        or (machine and telling)
        or (likely and telling and returned is not None)
        or (signed and _about(subject) and _FAILED.search(text))
    ):
        return ()
    return _by_words(message, subject, text, said)


def is_machine(sender: str) -> bool:
    """Is it a mail server's name or address, and never a person's?"""
    return bool(_MACHINE.search(sender))


def _about(subject: str) -> bool:
    """Is it a bounce's own subject, and no answer to one?"""
    return bool(_SUBJECT.match(_TAG.sub("", subject[:300]).strip()))


def _is_report(message: Message) -> bool:
    if message.get_content_type() != "multipart/report":
        return False
    value = message.get_param("report-type")
    return (value.lower() if isinstance(value, str) else "") in ("delivery-status", "")


def null_path(message: Message) -> bool:
    """Was it sent from nobody, as all bounces are (RFC 5321, 4.5.5)? Some servers write a daemon's name for that."""
    path = message.get("Return-Path")
    return path is not None and headers.raw(message, "Return-Path").lower() in ("<>", "", "<mailer-daemon>")


def explanation(text: str) -> str:
    """The words of a bounce, without the mail that it returns below them."""
    for cut in _RETURNED.finditer(text):
        above = text[: cut.start()]
        if any(words.search(above) for words in _TELLING):
            return above
    return text


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
        action = headers.raw(group, "Action").partition(" ")[0].lower()
        if action in _ARRIVED:
            continue
        told = headers.raw(group, "Status")
        said = headers.raw(group, "Diagnostic-Code").partition(";")[2] or _STATUS.sub("", told).strip("() ")
        said = headers.shown(said)[:300]
        status = (_STATUS.search(told) or [""])[0]
        words = said or (explanation(text) if len(groups) == 1 else "")
        # Whom we wrote to, not whither their server sent it on (RFC 3464, 2.3.1).
        address = _of_field(group, "Original-Recipient") or _of_field(group, "Final-Recipient")
        kind = DELAYED if action == "delayed" else _for_good(kind_of(_exact(status, said), words))
        found.append(Bounce(ours, address, kind, status, said))
    return tuple(found)


def _exact(status: str, said: str) -> str:
    """ "5.0.0" says nothing; often the words hold what the other server said."""
    better = _FAILED_STATUS.search(said) if status[1:] == ".0.0" else None
    return better[0] if better and not better[0].endswith(".0.0") else status


def _for_good(kind: str) -> str:
    """A passing trouble that lasted for as long as they tried."""
    return REFUSED if kind == DELAYED else kind


def _by_words(message: Message, subject: str, text: str, said: str) -> tuple[Bounce, ...]:
    ours = _returned_id(message, text)
    if ours is None:
        return ()
    delayed = bool(_LATER.search(subject) or _LATER.search(said))
    found = []
    for address, words in _failed(message, said):
        status = _FAILED_STATUS.search(words)
        reply = _REPLY.search(words)
        code = status[0] if status else reply[1] if reply else ""
        line = next((line.strip() for line in words.split("\n") if code and code in line), "")
        kind = DELAYED if delayed else _for_good(kind_of(code, f"{line} {words}"))
        found.append(Bounce(ours, address, kind, code, line[:300]))
    return tuple(found)


def _failed(message: Message, said: str) -> list[tuple[str | None, str]]:
    """Whom it did not reach, each with the words about that: those that its server names, else each address that
    begins a line, else the first that is named at all."""
    fields = [headers.raw(message, "X-Failed-Recipients"), *_RECIPIENT_LINE.findall(said)]
    named = [one.lower() for field in fields for one in _IN_FIELD.findall(field)[:_RECIPIENTS]]
    if named:
        return [(one, said) for one in dict.fromkeys(named)]
    ours = {one.address.lower() for one in headers.mailboxes([headers.raw(message, "To")])}
    lines = said.split("\n")
    starts = []
    for at, line in enumerate(lines):
        match = _OWN_LINE.match(line[:1000])
        if match and match[1].lower() not in ours and not _FROM_DAEMON.match(match[1]):
            starts.append((at, match[1].lower()))
    if starts:
        ends = [at for at, _ in starts[1:]] + [len(lines)]
        found: dict[str | None, str] = {}
        for (at, address), end in zip(starts, ends, strict=True):
            found[address] = found.get(address, "") + "\n".join(lines[at:end]) + "\n"
        whole = len(found) == 1
        return [(one, said if whole else words) for one, words in found.items()][:_RECIPIENTS]
    return [(_first(lines, ours), said)]


def _first(lines: Sequence[str], ours: Collection[str]) -> str | None:
    """The first address in the words that is neither whom they are sent to nor a machine's."""
    for line in lines:
        if _NAMES_OTHERS.match(line):
            continue
        for found in _ADDRESS.finditer(line[:1000]):
            address = found[0].lower()
            if address not in ours and not _FROM_DAEMON.match(address):
                return address
    return None


def kind_of(status: str, said: str) -> str:
    """What a server's answer means for the address. RFC 3463, 3.3: x.1.1 no such mailbox, x.2.2 mailbox full."""
    if status[1:] == ".2.2" or _FULL.search(said):
        return FULL
    if status.startswith("4"):
        return DELAYED if not _GONE.search(said) else DEAD
    if status[1:] in (".1.1", ".1.2", ".1.3", ".1.6", ".1.10", ".2.1") or _GONE.search(said):
        return DEAD
    if _REFUSES_RECIPIENT.search(said) and not status[1:].startswith(".7."):
        return DEAD
    return REFUSED


def _returned_id(message: Message, text: str = "") -> str | None:
    """Our own Message-ID: in the mail that is returned whole or in part, else in the words."""
    found = _in_what_is_returned(message, text)
    if found is not None:
        return found
    return next(
        iter(headers.ids([*headers.every(message, "In-Reply-To"), *headers.every(message, "References")])),
        None,
    )


def _in_what_is_returned(message: Message, text: str) -> str | None:
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
    return f"<{match[1]}>" if match else None


def _parts(message: Message) -> list[Message]:
    """The parts of a report, one level deep: what is returned inside is not looked into."""
    inside = message.get_payload()
    return [one for one in inside[:20] if isinstance(one, Message)] if isinstance(inside, list) else []


def _of_field(group: Message, name: str) -> str | None:
    found = _IN_FIELD.search(headers.raw(group, name).partition(";")[2] or headers.raw(group, name))
    return found[0].strip(".'").lower() if found else None
