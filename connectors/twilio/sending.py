"""One message of ours, as Twilio takes it. https://www.twilio.com/docs/messaging/api/message-resource (create)

Twilio cuts a text into SMS segments and joins them at the phone by itself, up to 1,600 characters; what is longer
goes out as several messages, whose ids are all kept. There is no idempotency key: what may have been sent is looked
for (`find`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from connectors.base import Wire
from connectors.texts import numbered, split
from connectors.twilio import api, contents, errors, settings
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Outgoing, Sent

BODY_CHARS = 1600  # error 21617
CLOCKS = timedelta(seconds=5)  # their clock may be that much behind ours
_PAGES = 5  # of 50 messages to one person: more since a send began is no person
_PAGE = 50
_NO_CONTENT = 21655
ONE_MAP = "a Content has one list of variables for its header, body and buttons: name all of them as its body"
_TRIAL = "Sent from your Twilio trial account - "

Fields = list[tuple[str, str]]  # of a form


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a channel goes through Twilio.

    prefix: before every number. files: media a message. files_bytes: of one message together. bare: types (or their
    beginnings) of media beside which no text is shown, so that the text goes by itself. taps: where answers to tap are
    made, if the channel has any; without, they are a numbered list.
    """

    limits: Limits
    prefix: str = ""
    files: int = 1
    files_bytes: int
    bare: tuple[str, ...] = ()
    taps: contents.Contents | None = None

    def address(self, urn: str) -> str:
        """`tel:+1…` as Twilio wants it. Raises SendError for an address of another kind."""
        scheme, _, rest = urn.partition(":")
        if scheme == "tel" or (scheme == "wa" and self.prefix):
            return self.prefix + rest
        raise SendError(SendCode.REJECTED, "this address is none that can be written to on this channel")


@dataclass(frozen=True, slots=True)
class Part:
    """asked: the text without the choices below it, where they may stand on buttons instead."""

    text: str
    files: tuple[Attachment, ...] = ()
    asked: str = ""


async def send(message: Outgoing, account: Account, wire: Wire, way: Way) -> Sent:
    """Every part, one after the other. Raises SendError with the ids of those that went out before it."""
    to = way.address(message.to)
    sender = _from(message, account, way)
    around = [("To", to), *sender, ("StatusCallback", _callback(message, account, wire))]
    said = _contents(message, account, wire, way)
    content = ""
    if way.taps is not None and tappable(message, account, way):
        content = await way.taps.sid(message.text, message.choices, account, wire) or ""
    ids: list[str] = []
    for place, fields in enumerate(said, 1):
        try:
            if content and place == len(said):
                ids.append(await _tapped(content, fields, around, account, wire, way))
            else:
                ids.append(await _one([*around, *fields], account, wire))
        except SendError as error:
            raise replace(error, sent_ids=tuple(ids)) from None
    return Sent(external_ids=tuple(ids))


async def _one(form: Fields, account: Account, wire: Wire) -> str:
    return _id(await api.post(wire, account, api.url(account, "/Messages.json"), form))


async def _tapped(
    content: str, numbered: Fields, around: Fields, account: Account, wire: Wire, way: Way
) -> str:
    """The question with its buttons. A Content that is gone is the one refusal after which the numbered text goes: it
    is certain then that nothing went out, and that nothing but the Content was wrong."""
    try:
        return await _one([*around, ("ContentSid", content)], account, wire)
    except SendError as error:
        if error.provider_code != str(_NO_CONTENT) or error.code is SendCode.UNKNOWN or way.taps is None:
            raise
        way.taps.forget(content)
    return await _one([*around, *numbered], account, wire)


def _callback(message: Outgoing, account: Account, wire: Wire) -> str:
    query = urlencode({"delivery": message.delivery_id})
    return f"{wire.inbound(account)}?{query}{api.OVERRIDES}"


def _from(message: Outgoing, account: Account, way: Way) -> list[tuple[str, str]]:
    """The number that the customer wrote to; else what the account sends from. A messaging service may stand beside a
    number of its pool, and then sends from that one."""
    mine, service = settings.numbers(account), settings.service(account)
    theirs = message.ours.removeprefix("tel:")
    fields = [("MessagingServiceSid", service)] if service else []
    if theirs and (service or theirs in mine):
        return [("From", way.prefix + theirs), *fields]
    if fields or not mine:
        if not fields:
            raise SendError(
                SendCode.CHANNEL_CONFIG, "the account has no number to send from", whole_account=True
            )
        return fields
    return [("From", way.prefix + mine[0])]


def _contents(message: Outgoing, account: Account, wire: Wire, way: Way) -> list[list[tuple[str, str]]]:
    if message.template is not None and way.limits.templates:
        return [_template(message)]
    if len(message.text) > way.limits.text_chars:
        raise SendError(
            SendCode.MESSAGE_INVALID, f"the text is longer than {way.limits.text_chars} characters"
        )
    if not message.text and not message.attachments:
        raise SendError(SendCode.MESSAGE_INVALID, "there is neither text nor attachment")
    return [
        [
            *([("Body", part.text)] if part.text else []),
            *[("MediaUrl", wire.link(one)) for one in part.files],
        ]
        for part in parts(
            message,
            account,
            way,
            [f"{a.name or 'File'}: {wire.link(a)}" for a in unfit(message, account, way)],
        )
    ]


def _template(message: Outgoing) -> list[tuple[str, str]]:
    """https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder"""
    template = message.template
    assert template is not None
    if not template.name.startswith("HX"):
        raise SendError(SendCode.MESSAGE_INVALID, "a template's name here is its ContentSid, HX…")
    if message.attachments:
        raise SendError(SendCode.MESSAGE_INVALID, "no file can go out with a template")
    if template.header is not None or template.buttons:
        raise SendError(SendCode.MESSAGE_INVALID, ONE_MAP)
    fields = [("ContentSid", template.name)]
    if template.parameters:
        if not all(template.parameters) or any("\n" in one for one in template.parameters):
            raise SendError(SendCode.MESSAGE_INVALID, errors.CODES[21656].words)
        names = template.names or [str(place) for place, _ in enumerate(template.parameters, 1)]
        given = dict(zip(names, template.parameters, strict=True))
        fields.append(("ContentVariables", msgspec.json.encode(given).decode()))
    return fields


def unfit(message: Outgoing, account: Account, way: Way) -> list[Attachment]:
    """Attachments that go out as links in the text."""
    if account.settings.get("mms") is False:
        return list(message.attachments)
    return [a for a in message.attachments if not way.limits.takes(a.content_type, a.size_bytes)]


def tappable(message: Outgoing, account: Account, way: Way) -> bool:
    """May its choices stand on buttons? A link differs with each try, and would be a new Content each time."""
    taken = way.taps is not None and message.template is None and not unfit(message, account, way)
    return taken and contents.fits(message.text, message.choices)


def parts(message: Outgoing, account: Account, way: Way, links: Sequence[str] = ()) -> list[Part]:
    """The messages that it takes, in order: the text, then the files; the first files with the last of the text, where
    the channel shows both. Answers to tap stand under a text alone, which comes last, so that they are in sight."""
    text = "\n".join(line for line in (message.text, numbered(message.choices), *links) if line)
    if tappable(message, account, way):
        shown = [Part("", together) for together in _together(message.attachments, way)]
        return [*shown, Part(text, asked=message.text)]
    texts = split(text, BODY_CHARS)
    not_as_files = unfit(message, account, way)
    found = [Part(text) for text in texts]
    for files in _together([a for a in message.attachments if a not in not_as_files], way):
        beside = found and not found[-1].files and not files[0].content_type.startswith(way.bare or ("-",))
        if beside and len(found) == len(texts):
            found[-1] = Part(found[-1].text, files)
        else:
            found.append(Part("", files))
    return found


def _together(files: Sequence[Attachment], way: Way) -> list[tuple[Attachment, ...]]:
    groups: list[list[Attachment]] = []
    for one in files:
        last = groups[-1] if groups else []
        if (
            last
            and len(last) < way.files
            and sum(a.size_bytes for a in last) + one.size_bytes <= way.files_bytes
        ):
            last.append(one)
        else:
            groups.append([one])
    return [tuple(group) for group in groups]


def _id(said: api.Json) -> str:
    """The new message's SID. Raises SendError where Twilio took it only to say that it failed."""
    code = errors.number(said.get("error_code"))
    if code and said.get("status") in ("failed", "undelivered"):
        meaning = errors.CODES.get(code) or errors.Meaning(SendCode.REJECTED, "Twilio could not send it")
        raise errors.error(meaning, str(code), str(said.get("error_message") or "")[:200])
    sid = said.get("sid")
    if not isinstance(sid, str) or not sid:
        raise SendError(SendCode.RESPONSE_CONTENT, "Twilio took it and said no id")
    return sid


# ------------------------------------------------------------------------------------------------ was it sent?


async def find(message: Outgoing, account: Account, wire: Wire, way: Way) -> Sent | None:
    """The message list has what was sent to them since, with its words; every part must be among it.

    Raises SendError(UNKNOWN) where only some are, where a template's words cannot be compared, or where nobody answers.
    """
    wanted = [Part(message.text)] if message.template is not None else parts(message, account, way)
    since = (message.created_at or wire.now - timedelta(days=1)) - CLOCKS
    try:
        listed = await _listed(account, wire, way.address(message.to), since)
    except SendError as error:
        why = f"Twilio could not be asked: {error.detail}"
        raise SendError(SendCode.UNKNOWN, why, retry=True) from None
    linked = bool(unfit(message, account, way))
    ids: list[str] = []
    for place, part in enumerate(wanted):
        may_go_on = linked and place == len(wanted) - 1
        found = next((row for row in listed if row["sid"] not in ids and _is(row, part, may_go_on)), None)
        if found is not None:
            ids.append(found["sid"])
    if len(ids) == len(wanted):
        return Sent(external_ids=tuple(ids))
    if ids:
        words = f"only {len(ids)} of {len(wanted)} parts are at Twilio"
        raise SendError(SendCode.UNKNOWN, words, sent_ids=tuple(ids))
    ends = [text for part in wanted for text in (part.text, part.asked) if text]
    mute = any(not row.get("body") and str(row.get("num_media") or "0") == "0" for row in listed)
    if mute and any(part.asked for part in wanted):
        raise SendError(SendCode.UNKNOWN, "Twilio's list has a message without words, which may be this one")
    if any(str(row.get("body") or "").endswith(text) for row in listed for text in ends):
        raise SendError(SendCode.UNKNOWN, "Twilio's list has a message that only ends like this one")
    if message.template is not None or not ends:
        raise SendError(SendCode.UNKNOWN, "Twilio's list cannot be compared with this message")
    return None


def _is(row: api.Json, part: Part, may_go_on: bool) -> bool:
    """A trial account's texts have a sentence before them; links, which differ with each try, stand at the end. Nothing
    else may stand there: another message that only ends like this one is no proof of it."""
    body = str(row.get("body") or "").removeprefix(_TRIAL)
    files = str(row.get("num_media") or "0")
    if not part.text:
        return not body and files == str(len(part.files))
    return body in (part.text, part.asked or part.text) or (may_go_on and body.startswith(part.text))


async def _listed(account: Account, wire: Wire, to: str, since: datetime) -> list[api.Json]:
    """What was sent to `to` since, the oldest first. What still waits has no DateSent: the time of creation counts."""
    where = f"{api.url(account, '/Messages.json')}?{urlencode({'To': to, 'PageSize': _PAGE})}"
    found: list[api.Json] = []
    for _ in range(_PAGES):
        said = await api.get(wire, account, where)
        rows = [row for row in said.get("messages") or () if isinstance(row, dict)]
        new = [row for row in rows if (at := when(row.get("date_created"))) is not None and at >= since]
        found += [row for row in new if isinstance(row.get("sid"), str) and row.get("direction") != "inbound"]
        following = said.get("next_page_uri")
        if not isinstance(following, str) or not following.startswith("/") or len(new) < len(rows):
            break
        where = api.base_url(account) + following
    return found[::-1]


def when(text: Any) -> datetime | None:
    """RFC 2822, as every date of this API."""
    if not isinstance(text, str):
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
