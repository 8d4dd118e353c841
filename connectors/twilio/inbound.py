"""What both channels' webhooks say alike: reports, files, consent, and which number of ours was written to.

https://www.twilio.com/docs/messaging/guides/webhook-request ("parameters vary and might change": what is not named here
is ignored), https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from connectors import clean, said
from connectors.base import Raw
from connectors.twilio.errors import CODES, Terms, after_report, number
from connectors.twilio.signature import form
from hub import urn
from hub.config import Account
from hub.errors import Malformed, SendCode
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus, Media, MessageReceived

Form = Mapping[str, str]

_MEDIA_MOST = 20  # an MMS has ten; a number in a form is no reason to count to a billion
_SENT, _FAILED = DeliveryStatus.SENT, DeliveryStatus.FAILED
# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
STATUSES: dict[str, DeliveryStatus] = {
    "accepted": _SENT,  # a messaging service has it, and chooses the number
    "scheduled": _SENT,
    "queued": _SENT,
    "sending": _SENT,
    "sent": _SENT,  # the carrier has it
    "partially_delivered": _SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "undelivered": _FAILED,  # the carrier says no
    "failed": _FAILED,  # Twilio could not send it
    "canceled": _FAILED,
}
_COMING = frozenset({"received", "receiving"})
# Words of Twilio's own list in which the router reads the wish by itself (tests hold the two together); for all others
# that a messaging service was taught, OptOutType is the only one who knows.
KNOWN_WORDS = {
    "STOP": frozenset(
        {"stop", "stopall", "unsubscribe", "end", "quit", "cancel", "revoke", "optout", "opt out", "stop all"}
    ),
    "START": frozenset({"start", "unstop", "subscribe"}),
}


def read(raw: Raw) -> Form:
    """The form. A name that is given twice has its last value."""
    return form(raw.body)


def key(said: Form) -> str:
    """The message's SID: 34 characters, SM… or MM…. Raises Malformed."""
    sid = said.get("MessageSid") or said.get("SmsSid") or ""
    if not sid or len(sid) > 64 or not sid.isalnum():
        raise Malformed("it names no message (MessageSid)")
    return sid


def report(said: Form, raw: Raw, account: Account) -> DeliveryReported | None:
    """What became of a message of ours; None where this is a message of theirs. Raises Malformed."""
    status = said.get("MessageStatus") or said.get("SmsStatus") or ""
    if not status or status in _COMING:
        return None
    sid = key(said)
    means = STATUSES.get(status)
    if means is None:
        raise Malformed(f"the status {status[:40]!r} is not one that Twilio's pages name")
    code, words, terms, here_alone = "", "", Terms(), False
    if means is _FAILED:
        code = said.get("ErrorCode", "")
        meaning = CODES.get(number(code))
        terms = after_report(number(code))
        words = (
            meaning.words
            if meaning
            else said.get("ErrorMessage") or said.get("ChannelStatusMessage") or status
        )
        if meaning and meaning.code is SendCode.OPTED_OUT:
            means, here_alone = DeliveryStatus.OPTED_OUT, meaning.here_alone
        elif meaning and meaning.trouble:
            words, code = f"{code}: {words}", meaning.trouble
    return DeliveryReported(
        account=account.key,
        event_key=f"{sid}:{status}",
        received_at=raw.received_at,
        status=means,
        external_id=sid,
        delivery_id=_delivery(raw.url),
        code=clean.line(code, 40) or None,
        detail=clean.line(words, 300),
        again=terms.again,
        again_s=terms.again_s,
        rest_s=terms.rest_s,
        here_alone=here_alone,
    )


def _delivery(url: str) -> int | None:
    """Ours, which the address for reports carries: so a report also proves that a send in doubt went out."""
    if "delivery=" not in url:
        return None
    found = dict(parse_qsl(urlsplit(url).query)).get("delivery", "")
    return (
        int(found)
        if found.isascii() and found.isdigit() and int(found[:20]) < 1 << 63 and len(found) < 20
        else None
    )


def words(given: Form) -> tuple[str, said.Fields]:
    """What they said or sent in its stead, a place or a tap, and the exact values behind it. On all channels alike: to
    a messaging service some write by RCS where others write SMS."""
    text = clean.text(given.get("Body", ""))
    fields: said.Fields = ()
    if "Latitude" in given and "Longitude" in given:
        place, fields = said.location(
            clean.line(given["Latitude"], 40),
            clean.line(given["Longitude"], 40),
            clean.line(given.get("Label", ""), 300),
            clean.line(given.get("Address", ""), 500),
        )
        text = f"{text}\n{place}" if text and text not in place else place
    elif "ButtonText" in given or "ButtonPayload" in given:
        tapped, fields = said.tapped(
            clean.text(given.get("ButtonText", "")), clean.line(given.get("ButtonPayload", ""), 500)
        )
        text = text or tapped
    elif "ListId" in given or "ListTitle" in given:
        tapped, fields = said.tapped(
            clean.text(given.get("ListTitle", "")), clean.line(given.get("ListId", ""), 500)
        )
        text = text or tapped
        fields += said.fields(("description", clean.line(given.get("ListDescription", ""), 500)))
    return text, fields


def media(said: Form, kinds: Mapping[str, str], fallback: str = "file") -> tuple[Media, ...]:
    """The files, by the addresses where they lie. kinds: content type or its beginning -> kind."""
    count = said.get("NumMedia") or ("1" if "MediaUrl0" in said else "0")
    if count == "0" or not (count.isascii() and count.isdigit() and len(count) < 4):
        return ()
    return tuple(
        file(url, said.get(f"MediaContentType{place}", ""), kinds, fallback)
        for place in range(min(int(count), _MEDIA_MOST))
        if (url := said.get(f"MediaUrl{place}"))
    )


def file(url: str, content_type: str, kinds: Mapping[str, str], fallback: str = "file") -> Media:
    plain = clean.line(content_type.partition(";")[0].lower(), 120)
    kind = kinds.get(plain) or kinds.get(plain.partition("/")[0]) or fallback
    return Media(ref=clean.line(url, 1000), kind=kind, content_type=plain)


def consent(said: Form, message: MessageReceived) -> ConsentChanged | None:
    """OptOutType of Advanced Opt-Out, where the words alone do not say it.

    https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
    """
    kind = said.get("OptOutType", "")
    if kind not in KNOWN_WORDS or message.text.strip().casefold() in KNOWN_WORDS[kind]:
        return None
    return ConsentChanged(
        account=message.account,
        event_key=f"{message.event_key}:consent",
        received_at=message.received_at,
        urn=message.sender,
        granted=kind == "START",
        wording=message.text[:200],
    )


def several(account: Account) -> bool:
    """May customers write to more than one number of this account?"""
    return bool(account.settings.get("messaging_service_sid") or account.settings.get("numbers"))


def ours(to: str, account: Account) -> str:
    """The number of ours that was written to, where that needs saying. Empty where `to` is none."""
    if to == account.address and not several(account):
        return ""
    try:
        return urn.tel(to)
    except ValueError:
        return ""
