"""Twilio's error codes, and what each means for us: https://www.twilio.com/docs/api/errors (one page a code).

The same code comes with the answer to a send or with a later report; both are judged by this table. Twilio has many
more; what is not here is judged by its HTTP status, and reported with Twilio's own words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from hub.errors import SendCode, SendError

_CONFIG, _INVALID, _REJECTED = SendCode.CHANNEL_CONFIG, SendCode.MESSAGE_INVALID, SendCode.REJECTED
_THROTTLED, _STATUS, _STOPPED = SendCode.THROTTLED, SendCode.RESPONSE_STATUS, SendCode.OPTED_OUT
_DEAD = "dead"


class Meaning(NamedTuple):
    """retry: may the same message go out later? whole: the account's trouble, not this message's. trouble: what it says
    of the address, for whatever would be sent there. here_alone: they have blocked this channel of ours alone."""

    code: SendCode
    words: str
    retry: bool = False
    whole: bool = False
    trouble: str = ""
    here_alone: bool = False


def _account(words: str) -> Meaning:
    return Meaning(_CONFIG, words, whole=True)


def _later(words: str) -> Meaning:
    return Meaning(_STATUS, words, retry=True)


def _patience(words: str, *, whole: bool = True) -> Meaning:
    return Meaning(_THROTTLED, words, retry=True, whole=whole)


def _recipient(words: str, trouble: str = "") -> Meaning:
    return Meaning(_REJECTED, words, trouble=trouble)


def _content(words: str) -> Meaning:
    return Meaning(_INVALID, words)


CODES: dict[int, Meaning] = {
    # ------------------------------------------------------------------------------ the API and the account
    20001: _content("Twilio does not know one of the parameters"),
    20003: _account("Twilio refuses the credentials: check account_sid, auth_token, api_key and api_secret"),
    20005: _account("the Twilio account is not active"),
    20006: _account("these credentials may not do that"),
    20008: _account("these are test credentials, which send nothing"),
    20010: _account("that is switched off for the Twilio account"),
    20404: _account("Twilio finds no such account or resource: check account_sid"),
    20422: _content("Twilio does not take one of the parameters"),
    20429: _patience("Twilio takes no more requests at once"),
    20500: Meaning(SendCode.UNKNOWN, "Twilio failed, and may have sent it all the same"),
    20503: Meaning(SendCode.UNKNOWN, "Twilio is not available, and may have sent it all the same"),
    # ------------------------------------------------------------------------------ who it is for
    21211: _recipient("the number is no phone number"),
    21214: _recipient("the number cannot be reached"),
    21217: _recipient("the number does not seem to be valid"),
    21219: _recipient("a trial account sends to verified numbers only"),
    21265: _recipient("the number is a short code, which cannot be written to"),
    21266: _recipient("it is our own number"),
    21401: _recipient("the number is no phone number"),
    21407: _account("our number cannot send SMS"),
    21408: _recipient("sending to that country is not switched on: Console, Messaging, Geo permissions"),
    21421: _recipient("the number is not valid"),
    21601: _account("our number cannot receive SMS"),
    21604: _recipient("there is no number to send to"),
    21608: _recipient("a trial account sends to verified numbers only"),
    21610: Meaning(_STOPPED, "they have sent STOP to our number"),
    21612: _recipient("this number cannot be reached from ours"),
    21614: _recipient("the number is no mobile number"),
    21635: _recipient("the number is a landline"),
    # ------------------------------------------------------------------------------ whom it is from
    21210: _account("our own number is not verified"),
    21212: _account("our own number is not valid: check the account's address and numbers"),
    21603: _account("there is no number to send from"),
    21606: _recipient("our number cannot send there"),
    21607: _account("a trial account must send from its own number"),
    21611: _patience("too many messages wait for our number at Twilio"),
    21616: _account("our number stands for several of the Twilio account"),
    21659: _account("our number is not one of Twilio's, or is a short code of another country"),
    21660: _account("our number belongs to another Twilio account"),
    21661: _account("our number cannot send SMS"),
    21701: _account("the messaging service does not exist"),
    21702: _account("the messaging service is not available"),
    21703: _account("the messaging service has no number that could send there"),
    21704: _account("the messaging service has no numbers"),
    21705: _account("the messaging service's SID is not valid"),
    21709: _account("the sender's name is not allowed for this messaging service"),
    21712: _account("our number is in another messaging service"),
    21910: _account("our address and theirs are not of one channel"),
    # ------------------------------------------------------------------------------ what it says
    21602: _content("there is no text"),
    21605: _content("the text is too long"),
    21609: _account("the address for status reports is not valid: check MAINSTEM_PUBLIC_URL"),
    21617: _content("the text is longer than 1,600 characters"),
    21618: _content("the text cannot be sent"),
    21619: _content("there is neither text nor media"),
    21620: _content("the address of a file is not valid"),
    21621: _account("our number cannot send MMS: set mms to false"),
    21622: _account("the Twilio account cannot send MMS: set mms to false"),
    21623: _content("there are too many files"),
    21654: _content("there is no ContentSid"),
    21655: _content("there is no such template: its name is the ContentSid, HX…"),
    21656: _content("the template's parameters do not fit: none may be empty or have line breaks"),
    # ------------------------------------------------------------------------------ what became of it: SMS and MMS
    30001: _later("it waited too long at Twilio"),
    30002: _account("the Twilio account is suspended"),
    30003: _later("the phone is switched off or out of reach"),
    30004: _recipient("it was blocked on its way, or by them"),
    30005: _recipient("the number is unknown, or no longer there", _DEAD),
    30006: _recipient("the number is a landline, or its carrier takes no such messages"),
    30007: _content("a carrier's filter, or Twilio's, held it back"),
    30008: _later("it failed, and the carrier does not say why"),
    30010: _content("it costs more than the price that was set"),
    30011: _recipient("MMS cannot be received there"),
    30012: _content("the time in which it may be sent is too short"),
    30013: _content("the time in which it may be sent is too long"),
    30014: _recipient("the number is not valid"),
    30015: _account("that kind of channel is not supported"),
    30016: _account("our address and theirs are not of one channel"),
    30017: _later("the carrier's network is congested"),
    30018: _recipient("that country's carrier wants our sender registered beforehand"),
    30019: _content("it is too large for the carrier"),
    30020: _later("Twilio failed inside"),
    30021: _later("Twilio failed inside"),
    30022: _account("the carriers' rate for this 10DLC campaign is used up"),
    30023: _account("the carriers' daily limit for this 10DLC brand is reached"),
    30024: _account("our number is not known to the carrier yet"),
    30027: _account("T-Mobile's daily limit for this 10DLC brand is reached"),
    30032: _account("the toll-free number has not been verified"),
    30033: _account("the 10DLC campaign is suspended"),
    30034: _account("our number is in no registered 10DLC campaign"),
    30035: _account("our number is still being configured for 10DLC"),
    30036: _later("it could not be sent in time"),
    30037: _account("sending is switched off for the Twilio account"),
    30038: _content("a one-time password was held back by a filter"),
    30039: _content("Twilio saw a loop between two machines"),
    30410: _later("the carrier did not answer in time"),
    30450: _recipient("Twilio's protection against fraud holds back what goes to that number"),
    30500: _later("Twilio failed inside"),
    # ------------------------------------------------------------------------------ files and addresses we named
    11200: _later("Twilio could not fetch a file from us"),
    11751: _content("a file is too large for the channel"),
    12300: _content("a file's type is not one that Twilio takes"),
    # ------------------------------------------------------------------------------ WhatsApp
    63001: _account("WhatsApp refuses Twilio's credentials for our sender"),
    63002: _account("WhatsApp does not find our sender's address"),
    63003: _recipient("the number is not on WhatsApp"),
    63005: _content("WhatsApp does not take this content"),
    63006: _content("WhatsApp could not read this content"),
    63007: _account("our number is no WhatsApp sender at Twilio"),
    63008: _account("the WhatsApp sender is not set up rightly at Twilio"),
    63009: _later("WhatsApp answered with an error"),
    63010: _later("Twilio failed inside"),
    63011: _content("the channel finds fault with the message"),
    63012: _later("WhatsApp failed inside"),
    63013: _content("it is against WhatsApp's rules"),
    63014: Meaning(_STOPPED, "they have blocked us on WhatsApp", here_alone=True),
    63015: _recipient("the sandbox sends to those only who have joined it"),
    63016: Meaning(SendCode.WINDOW_CLOSED, "their last word is more than 24 hours ago: send a template"),
    63017: _patience("more messages a second than the Twilio account may send"),
    63018: _patience("more messages than WhatsApp lets our sender send"),
    63019: _later("Twilio could not fetch a file from us"),
    63020: _account("the WhatsApp account is locked, or cannot pay"),
    63021: _content("WhatsApp does not take this content"),
    63022: _account("the name of the WhatsApp sender is not valid"),
    63023: _later("WhatsApp failed and does not say why"),
    63024: _recipient("WhatsApp cannot deliver to this recipient"),
    63025: _content("it is there already"),
    63026: _account("WhatsApp holds what our sender says for spam"),
    63027: _content("the template does not exist in that language"),
    63028: _content("the template has another number of parameters"),
    63029: _later("their phone could not fetch the template"),
    63030: _content("a parameter does not fit this kind of message"),
    63031: _recipient("it is our own number"),
    63032: _recipient("WhatsApp keeps this person out of an experiment, and takes nothing for them"),
    63033: Meaning(_STOPPED, "they have blocked us on WhatsApp", here_alone=True),
    63034: _content("a file is too large for the channel"),
    63035: _recipient("our agent is not launched, and this person is no tester"),
    63036: _recipient("the number cannot be reached on this channel"),
    63037: _later("a file could not be handed to the channel"),
    63038: _account("the Twilio account's daily limit is reached"),
    63040: _content("the template could not be submitted"),
    63041: _content("WhatsApp has paused the template"),
    63042: _content("WhatsApp has switched the template off"),
    63049: _recipient("WhatsApp chose not to deliver this marketing message to them today"),
}  # fmt: skip

# HTTP status -> what it means where the body names no code. https://www.twilio.com/docs/usage/twilios-response
_STATUSES = {401: 20003, 404: 20404, 429: 20429}


class _Said(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


_decoder = msgspec.json.Decoder(_Said)


def failure(status: int, body: bytes, after_s: float | None) -> SendError:
    """What an answer that is no success means."""
    code, words = _read(body)
    meaning = CODES.get(code) or CODES.get(_STATUSES.get(status, 0))
    if status >= 500:  # whatever the code: it may have been taken before they failed
        meaning = Meaning(SendCode.UNKNOWN, "Twilio failed, and may have sent it all the same")
    if meaning is None:
        meaning = _by_status(status)
    return error(meaning, str(code or status), words, after_s)


def error(meaning: Meaning, code: str, words: str = "", after_s: float | None = None) -> SendError:
    return SendError(
        meaning.code,
        f"{code}: {meaning.words}" + (f" ({words})" if words else ""),
        retry=meaning.retry,
        provider_code=code,
        after_s=after_s if meaning.retry else None,
        whole_account=meaning.whole,
        here_alone=meaning.here_alone,
    )


class Terms(NamedTuple):
    """Of a message that failed after Twilio took it: as in `hub.model.DeliveryReported`."""

    again: int = 0
    again_s: float = 60.0
    rest_s: float = 0.0


def after_report(code: int) -> Terms:
    """May a message go out anew after a report with this code, and does the account rest?"""
    meaning = CODES.get(code)
    if meaning is None:
        return Terms()
    rest_s = (300.0 if meaning.code is _CONFIG else 60.0) if meaning.whole else 0.0
    again, again_s = _AGAIN.get(code, (1 if meaning.retry else 0, 60.0))
    return Terms(again, again_s, rest_s)


_AGAIN = {30003: (3, 600.0)}  # a phone that is switched off: after ten minutes, forty, and nearly three hours


def _read(body: bytes) -> tuple[int, str]:
    """(code, their sentence); 0 where there is none."""
    try:
        said = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0, ""
    return number(said.code), " ".join((said.message or "").split())[:200]


def number(code: Any) -> int:
    """A code as it comes, in JSON or in a form; 0 where it is none."""
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0


def _by_status(status: int) -> Meaning:
    if 300 <= status < 400:
        return _account("redirects are not followed; is api right?")
    if status == 403:
        return _account("Twilio does not let this account do that")
    return Meaning(_STATUS, "Twilio refuses it")
