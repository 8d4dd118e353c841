"""A message of ours as mail: the same bytes for every attempt of a delivery, whatever the agent and the customer wrote.

Sources: RFC 5322 (format), 2045-2047 and 2231 (MIME), 3834 (automatic mail), 2369 and 8058 (the way out of bulk mail).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from connectors import clean
from connectors.mail import dkim_sign, fields, markup_out, refs, repeating, settings, unsubscribe
from connectors.media import OCTETS, safe_name
from hub import urn
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Outgoing

TEXT_CHARS = 100_000
FILES = 20
FILES_BYTES = 18 * 1024 * 1024  # together; a third more as base64, and most servers take 25 MB
OTHERS = 50  # in Cc; servers must take 100 recipients (RFC 5321, 4.5.3.1.8)
_SUBJECT_CHARS = 250
_NAME_CHARS = 120
_ABOVE = 20  # References kept, the latest; the first always (RFC 5322, 3.6.4, and what old threads need)
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}")
_IS_REPLY = re.compile(
    r"\s*(?:re|aw|sv|vs|antw|odp|rif|res|ref|tr|wg|fwd?)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """A mail and its envelope. sender "": the null one, and ours: what else it may be. recipients: the one whom the
    delivery is for stands first.

    utf8: an address in it is not ASCII, so that the server must know SMTPUTF8 (RFC 6531).
    """

    message_id: str
    sender: str
    ours: str
    recipients: tuple[str, ...]
    data: bytes
    utf8: bool = False


def compose(message: Outgoing, account: Account, files: Sequence[bytes], public_url: str) -> Mail:
    """files: the attachments' bytes, in their order. Raises SendError(MESSAGE_INVALID, REJECTED, CHANNEL_CONFIG)."""
    _within_limits(message)
    ours = settings.address(account)
    to, *others = _recipients(message, ours)
    mail_id = message_id(message, account)
    from_name = _named(account, message, "name")
    head = [
        fields.mailboxes("From", [fields.mailbox(ours, from_name)]),
        fields.mailboxes("To", [to]),
    ]
    if others:
        head.append(fields.mailboxes("Cc", others))
    head += [
        fields.text("Subject", _subject(message, from_name or ours)),
        fields.folded("Date", [format_datetime((message.created_at or _EPOCH).astimezone(UTC))]),
        fields.folded("Message-ID", [mail_id]),
    ]
    if token := _token(message, account) if account.settings.get("reply_token") else "":
        local, _, domain = ours.rpartition("@")
        head.append(fields.mailboxes("Reply-To", [fields.mailbox(f"{local}+{token}@{domain}", from_name)]))
    head += _threaded(message)
    way_out = (
        unsubscribe.link(public_url, account, f"mailto:{to}", message.delivery_id) if message.bulk else ""
    )
    head += _manners(message, way_out)
    data = "".join(head).encode() + _body(message, account, files)
    if sign := settings.dkim(account):
        data = dkim_sign.signed(data, sign.selector, sign.domain, account.secrets["dkim"][0])
    return Mail(
        message_id=mail_id,
        sender="" if message.automatic else ours,
        ours=ours,
        recipients=(to, *others),
        data=data,
        utf8=not all(address.isascii() for address in (ours, to, *others)),
    )


def message_id(message: Outgoing, account: Account) -> str:
    """`<{delivery}.{token}@{domain}>`: the same for every attempt, and what comes back in answers and bounces."""
    token = _token(message, account)
    domain = settings.address(account).rpartition("@")[2]
    return f"<{message.delivery_id}{'.' if token else ''}{token}@{domain}>"


def _token(message: Outgoing, account: Account) -> str:
    secrets = account.secrets.get("token", ())
    return refs.token(message.conversation_id, secrets[0]) if message.conversation_id and secrets else ""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# -------------------------------------------------------------------------------------------------------- who and what


def _within_limits(message: Outgoing) -> None:
    sizes = [file.size_bytes for file in message.attachments]
    wrong = ""
    if len(message.text) > TEXT_CHARS:
        wrong = f"the text is longer than {TEXT_CHARS} characters"
    elif not message.text.strip() and not sizes:
        wrong = "there is neither text nor attachment"
    elif len(sizes) > FILES:
        wrong = f"at most {FILES} attachments are sent"
    elif sum(sizes) > FILES_BYTES:
        wrong = f"the attachments together are larger than {FILES_BYTES // 1024 // 1024} MB"
    elif len(message.cc) > OTHERS:
        wrong = f"at most {OTHERS} others get a copy"
    if wrong:
        raise SendError(SendCode.MESSAGE_INVALID, wrong)


def _recipients(message: Outgoing, ours: str) -> list[str]:
    """To first, then Cc, each once, ourselves never among the copies: a mail to ourselves would come back in."""
    to = _address(message.to)
    if to is None:
        raise SendError(SendCode.REJECTED, "the recipient is no mail address")
    found = {to: None}
    for other in message.cc:
        address = _address(other)
        if address is not None and address != ours:
            found.setdefault(address, None)
    return list(found)


def _address(given: str) -> str | None:
    try:
        address = urn.mailto(given).removeprefix("mailto:")
    except ValueError:
        return None
    return address if given.startswith("mailto:") and fields.good(address) else None


def _subject(message: Outgoing, who: str) -> str:
    """With `Re:` where it answers something: some mail programs thread by References and subject together."""
    subject = fields.line(message.subject or "", _SUBJECT_CHARS)
    answers = message.in_reply_to or message.references
    if not subject:
        return "Re: Your message" if answers else f"Message from {who}"
    return subject if not answers or _IS_REPLY.match(subject) else f"Re: {subject}"


def _named(account: Account, message: Outgoing, setting: str) -> str:
    """`name` of the settings, with the agent's name where it says {agent}."""
    said = str(account.settings.get(setting) or "")
    return fields.line(said.replace("{agent}", message.author_name), _NAME_CHARS)


def _threaded(message: Outgoing) -> list[str]:
    """In-Reply-To and References: what came before, the oldest first and the answered one last (RFC 5322, 3.6.4)."""
    answered = fields.ids([message.in_reply_to or ""])
    above = fields.ids(reversed(message.references))
    if not answered:
        answered = above[-1:]
    above = [one for one in above if one not in answered] + answered
    if len(above) > _ABOVE:
        above = above[:1] + above[1 - _ABOVE :]
    if not above:
        return []
    return [fields.folded("In-Reply-To", answered), fields.folded("References", above)]


def _manners(message: Outgoing, way_out: str) -> list[str]:
    """What tells machines that nobody waits for their answer, and people how to leave."""
    head = []
    if message.automatic:
        answers = message.in_reply_to or message.references
        head.append(fields.folded("Auto-Submitted", ["auto-replied" if answers else "auto-generated"]))
    if message.bulk:
        head.append(fields.folded("Precedence", ["bulk"]))
    if message.automatic or message.bulk:
        head.append(
            fields.folded("X-Auto-Response-Suppress", ["OOF,", "AutoReply"])
        )  # [MS-OXCMAIL], 2.1.3.2.7
    if message.bulk:
        head.append(fields.folded("List-Unsubscribe", [f"<{way_out}>"]))
        if way_out.startswith("https://"):  # one click is for https alone (RFC 8058, 3.1)
            head.append(fields.folded("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]))
    return head


# ------------------------------------------------------------------------------------------------------------ the body


def _body(message: Outgoing, account: Account, files: Sequence[bytes]) -> bytes:
    """From MIME-Version on. Boundaries come from the delivery, so that each attempt has the same bytes; no encoded
    part can hold one, for neither quoted-printable nor base64 writes `=_`."""
    text = clean.text(message.text).strip("\n")
    said = clean.text(settings.signature(account))
    signature = said.replace("{agent}", fields.line(message.author_name, _NAME_CHARS)).strip()
    below = repeating.repeated(message.quoted) if message.quoted and settings.quotes(account) else None
    root = EmailMessage(policy=SMTP)
    plain = f"{text}\n\n-- \n{signature}\n" if signature else f"{text}\n"
    if below is not None:
        plain += f"\n{below.plain}\n"
    root.set_content(plain, charset="utf-8", cte="quoted-printable")
    root.add_alternative(
        markup_out.page(text, signature, below.html if below else ""),
        subtype="html", charset="utf-8", cte="quoted-printable",
    )  # fmt: skip
    root.set_boundary(f"=_{message.delivery_id}_a")
    for part in root.iter_parts():
        del part["MIME-Version"]  # it belongs to the whole alone
    for file, data in zip(message.attachments, files, strict=True):
        main, sub = _media_type(file.content_type)
        root.add_attachment(data, maintype=main, subtype=sub, filename=safe_name(file.name or "file"))
    if message.attachments:
        root.set_boundary(f"=_{message.delivery_id}_m")
        for part in root.iter_parts():
            del part["MIME-Version"]
    return root.as_bytes()


def _media_type(said: str) -> tuple[str, str]:
    """As it is kept, if it reads like a type; mails and multiparts as plain bytes, for they may not be encoded."""
    kind = said.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(kind) or kind.startswith(("multipart/", "message/")):
        kind = OCTETS
    main, _, sub = kind.partition("/")
    return main, sub
