"""What an SMTP reply means for a message (RFC 5321, 4.2; enhanced codes: RFC 3463 and its registry at IANA).

4yz is for now and 5yz for good; the enhanced code says whether it is the recipient, the message or ourselves.
"""

from __future__ import annotations

import re
from enum import StrEnum

from connectors import clean
from hub.errors import SendCode, SendError


class At(StrEnum):
    """What the server was answering."""

    HELLO = "the connection"
    LOGIN = "the login"
    SENDER = "our address"
    RECIPIENT = "the recipient"
    MAIL = "the mail"


_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_SAID_CHARS = 300

# How long until the next try, by how many there were: greylisting lets a mail in after 5 to 60 minutes, and
# workers/sending.py tries eight times, so that these span six and a half hours (RFC 5321, 4.5.4.1 asks for patience).
_WAITS_S = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0)
_LEAST_S, _MOST_S = 20.0, 4 * 3600.0
_FULL_HOUR_S = 3600.0  # what limits per day or hour are waited out by

_REJECTED, _INVALID, _CONFIG = SendCode.REJECTED, SendCode.MESSAGE_INVALID, SendCode.CHANNEL_CONFIG
# 5yz by enhanced code, the longest that fits: (code, what it means to an agent).
_FOR_GOOD: dict[str, tuple[SendCode, str]] = {
    "1.0": (_REJECTED, "they do not take this address"),
    "1.1": (_REJECTED, "there is no such mailbox"),
    "1.2": (_REJECTED, "there is no such domain"),
    "1.3": (_REJECTED, "they do not read this address"),
    "1.4": (_REJECTED, "the address is ambiguous"),
    "1.6": (_REJECTED, "the mailbox has moved"),
    "1.7": (_CONFIG, "they do not read our address"),
    "1.8": (_CONFIG, "they do not know our domain"),
    "1.10": (_REJECTED, "the domain takes no mail"),
    "2.0": (_REJECTED, "the mailbox takes nothing"),
    "2.1": (_REJECTED, "the mailbox is switched off"),
    "2.2": (_REJECTED, "the mailbox is full"),
    "2.3": (_INVALID, "the mail is larger than the mailbox takes"),
    "3.4": (_INVALID, "the mail is larger than they take"),
    "3": (_REJECTED, "their system does not take it"),
    "4": (_REJECTED, "there is no way to their server"),
    "5": (_REJECTED, "the two servers do not understand each other"),
    "6.7": (_REJECTED, "their server takes no address with such letters"),
    "6": (_INVALID, "they do not take what the mail holds"),
    "7.8": (_CONFIG, "the user or the password is wrong"),
    "7.9": (_CONFIG, "they want another way to log in"),
    "7.11": (_CONFIG, "they want the connection encrypted"),
    "7.57": (_CONFIG, "they want a login"),
    "7.60": (_CONFIG, "the login may not send as our address"),
    "7": (_REJECTED, "their rules refuse it"),
}
# 5yz without one, by what was being answered; then by the code alone.
_BARE: dict[tuple[At | None, int], tuple[SendCode, str]] = {
    (At.RECIPIENT, 552): (_REJECTED, "the mailbox is full"),
    (At.MAIL, 552): (_INVALID, "the mail is larger than they take"),
    (None, 530): (_CONFIG, "they want a login"),
    (None, 534): (_CONFIG, "they want another way to log in"),
    (None, 535): (_CONFIG, "the user or the password is wrong"),
    (None, 538): (_CONFIG, "they want the connection encrypted"),
    (None, 550): (_REJECTED, "there is no such mailbox, or they refuse it"),
    (None, 551): (_REJECTED, "the recipient is not there"),
    (None, 552): (_INVALID, "the mail is larger than they take"),
    (None, 553): (_REJECTED, "they do not take this address"),
    (None, 556): (_REJECTED, "the domain takes no mail"),
}
# Said in words alone: whoever left or blocked us is not written to again.
_LEFT = re.compile(
    r"unsubscribed|opted[ -]?out|opt-out|blocked by (?:the )?(?:recipient|user)|recipient has blocked",
    re.IGNORECASE,
)
_AS_US = re.compile(
    r"SendAsDenied|not (?:allowed|permitted|authorized) to send as", re.IGNORECASE
)  # Exchange
_RELAY = re.compile(
    r"relay(?:ing)?[ -](?:access )?(?:denied|not|is not|prohibited)|unable to relay", re.IGNORECASE
)
# Limits of our own account or of theirs; Gmail 5.4.5, Microsoft 5.2.0 SubmissionQuotaExceeded, 4.3.2 STOREDRV.
_TOO_MUCH = re.compile(
    r"too many|rate[ -]?limit|limit(?:s)? (?:is |was |has been |have been )?(?:exceeded|reached)|exceeded .{0,40}limit"
    r"|quota ?exceeded|throttl|receiving mail (?:too quickly|at a rate)|concurrent connections",
    re.IGNORECASE,
)
_OF_OURS = re.compile(
    r"daily|per (?:day|hour)|sending limit|submissionquota|user sending|hourly", re.IGNORECASE
)
_AGAIN_IN = re.compile(r"(\d{1,5})\s*(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?)\b", re.IGNORECASE)
_PASSING_LOGIN = "the login does not work just now"


def failure(code: int, said: str, at: At, attempt: int) -> SendError:
    """The error that a reply of 4yz or 5yz to `at` amounts to. attempt: of this delivery, from 1."""
    found = _ENHANCED.match(said)
    enhanced = found[1] if found else ""
    ours = at in (At.HELLO, At.LOGIN, At.SENDER)
    provider_code = f"{code} {enhanced}".strip()
    rest = clean.line(said[found.end() :] if found else said, _SAID_CHARS)
    if _TOO_MUCH.search(said) and not enhanced.endswith((".2.2", ".5.3")):  # a full mailbox has a quota, too
        daily = bool(_OF_OURS.search(said))
        return SendError(
            SendCode.THROTTLED,
            _sentence("they ask for patience", at, provider_code, rest),
            retry=True,
            provider_code=provider_code,
            after_s=_said_s(said) or (_FULL_HOUR_S if daily else wait_s(attempt)),
            whole_account=ours or daily,
        )
    if code < 500:
        meaning = _PASSING_LOGIN if at is At.LOGIN else "not now"
        return SendError(
            SendCode.RESPONSE_STATUS,
            _sentence(meaning, at, provider_code, rest),
            retry=True,
            provider_code=provider_code,
            after_s=_said_s(said) or wait_s(attempt),
        )
    kind, meaning = _for_good(code, enhanced, said, at)
    return SendError(
        kind,
        _sentence(meaning, at, provider_code, rest),
        provider_code=provider_code,
        whole_account=kind is SendCode.CHANNEL_CONFIG,
    )


def wait_s(attempt: int) -> float:
    """Seconds until the next try after the `attempt`-th."""
    return _WAITS_S[min(max(attempt, 1), len(_WAITS_S)) - 1]


def _for_good(code: int, enhanced: str, said: str, at: At) -> tuple[SendCode, str]:
    if _LEFT.search(said):
        return SendCode.OPTED_OUT, "the recipient wants no more mail from us"
    if _AS_US.search(said):
        return SendCode.CHANNEL_CONFIG, "the login may not send as our address"
    if _RELAY.search(said):
        return SendCode.CHANNEL_CONFIG, "they send on no mail for us"
    subject, _, detail = enhanced[2:].partition(".")
    known = _FOR_GOOD.get(f"{subject}.{detail}") or _FOR_GOOD.get(subject) if enhanced else None
    known = known or _BARE.get((at, code)) or _BARE.get((None, code))
    if at in (At.HELLO, At.LOGIN, At.SENDER):
        # Whatever they have against our address or our login, no message of ours will go until somebody looks at it.
        if known is not None and known[0] in (SendCode.CHANNEL_CONFIG, SendCode.MESSAGE_INVALID):
            return known
        return SendCode.CHANNEL_CONFIG, "they do not let us send"
    return known or (
        SendCode.REJECTED if code not in range(500, 505) else SendCode.RESPONSE_STATUS,
        "they refuse it",
    )


def _said_s(said: str) -> float | None:
    """Seconds, where the reply names a time to come again: "Greylisted, try again in 300 seconds"."""
    found = _AGAIN_IN.search(said)
    if found is None:
        return None
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2][0].lower()]
    return float(min(max(seconds, _LEAST_S), _MOST_S))


def _sentence(meaning: str, at: At, provider_code: str, rest: str) -> str:
    return f"{meaning}: to {at} the server said {provider_code}{' ' if rest else ''}{rest}"
