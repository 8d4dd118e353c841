"""Meta's error codes, and what each means for us.

https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes,
https://developers.facebook.com/documentation/business-messaging/messenger-platform/error-codes (Instagram's messages,
too) and https://developers.facebook.com/docs/graph-api/guides/error-handling. "In general, Meta recommends that you
build your app's error handling logic around code values": so the code decides, refined by its subcode where Messenger
and Instagram say the important thing only there; what is in neither table goes by is_transient and the HTTP status.

The same code comes with the answer to a send or, on WhatsApp, with a later report; both are judged by these tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from connectors import fitting
from hub.errors import SendCode, SendError

_CONFIG, _INVALID, _REJECTED = SendCode.CHANNEL_CONFIG, SendCode.MESSAGE_INVALID, SendCode.REJECTED
_STOPPED, _CLOSED = SendCode.OPTED_OUT, SendCode.WINDOW_CLOSED


class Meaning(NamedTuple):
    """retry: may the same message go out later? whole: the account's trouble, not this message's. after_s: how long to
    wait where the answer does not say."""

    code: SendCode
    words: str
    retry: bool = False
    whole: bool = False
    after_s: float | None = None


def _account(words: str) -> Meaning:
    return Meaning(_CONFIG, words, whole=True)


def _later(words: str, *, whole: bool = False) -> Meaning:
    return Meaning(SendCode.RESPONSE_STATUS, words, retry=True, whole=whole)


def _patience(words: str, after_s: float, *, whole: bool = True) -> Meaning:
    return Meaning(SendCode.THROTTLED, words, retry=True, whole=whole, after_s=after_s)


def _recipient(words: str) -> Meaning:
    return Meaning(_REJECTED, words)


def _content(words: str) -> Meaning:
    return Meaning(_INVALID, words)


_TOKEN = "the access token does not hold any more: make a new one"  # noqa: S105 - words
_RIGHT = "the app lacks a permission, or it was taken away: look at the token's permissions"

CODES: dict[int, Meaning] = {
    # ------------------------------------------------------------------ who we are, and what we may
    0: _account(_TOKEN),
    3: _account("the app lacks a capability or a permission: look at the token's permissions"),
    10: _account(_RIGHT),
    33: _account("our phone number is deleted, or is not the one that phone_number_id names"),
    102: _account(_TOKEN),
    104: _account("no access token came along"),
    190: _account(_TOKEN),
    230: _account("the app lacks pages_messaging"),
    368: _account("Meta has restricted or blocked us for breaking its rules: look at the account's quality"),
    467: _account(_TOKEN),
    803: _account("Meta finds no such object: look at the ids in the settings"),
    2500: _account("the address is none of the Graph API: look at version and the ids in the settings"),
    # ------------------------------------------------------------------ too much, too fast
    4: _patience("the app has made too many calls", 300.0),
    9: _patience("too much was asked for", 300.0),
    17: _patience("too many calls were made for this user", 300.0),
    32: _patience("too many calls were made for this Page", 300.0),
    341: _patience("the app has reached a limit", 300.0),
    613: _patience("too many calls were made", 60.0),
    80006: _patience("too many Messenger calls were made for this Page", 300.0),
    80007: _patience("the WhatsApp business account has made too many calls", 300.0),
    130429: _patience("more messages a second than our number may send", 5.0),
    131048: _patience("WhatsApp limits our number, since many blocked it or called it spam", 3600.0),
    131056: _patience("too many messages to this person within a short time", 6.0, whole=False),
    133016: _patience("the number was registered and deregistered too often", 3600.0),
    # ------------------------------------------------------------------ Meta's own trouble
    -1: _later("Instagram's server failed"),
    1: _later("Meta failed, or cannot read the request"),
    2: _later("Meta's service is down or overloaded"),
    1200: _later("Meta could not send it for now"),
    131000: _later("WhatsApp failed, and does not say why"),
    131016: _later("WhatsApp is overloaded"),
    131057: _later("our number is in maintenance, perhaps for more throughput", whole=True),
    133004: _later("WhatsApp's server is not available"),
    135000: _later("WhatsApp failed, and does not say why: perhaps a parameter"),
    # ------------------------------------------------------------------ who it is for
    551: Meaning(_STOPPED, "this person takes no messages from us: blocked, switched off, or gone"),
    10900: _recipient("this comment was answered in private already"),
    10903: _recipient("this comment cannot be answered in private"),
    130403: _recipient("WhatsApp lets us not write to this person"),
    130472: _recipient("WhatsApp keeps this person out of an experiment, and takes no marketing for them"),
    130497: _recipient("our account may not write to people in that country"),
    131021: _recipient("it is our own number"),
    131026: _recipient(
        "WhatsApp cannot deliver: not on WhatsApp, an old app, its terms not accepted, or we are blocked"
    ),
    131030: _recipient("a test number writes only to those on its list of recipients"),
    131049: _recipient("WhatsApp chose not to deliver this marketing message to them today"),
    131050: _recipient("they have stopped marketing messages from us"),
    131062: _recipient("this message needs their phone number, and we have their WhatsApp id alone"),
    131063: _recipient("our account may not write to people in that country"),
    # ------------------------------------------------------------------ the window
    470: Meaning(_CLOSED, "their last word is more than 24 hours ago: send a template"),
    131047: Meaning(_CLOSED, "their last word is more than 24 hours ago: send a template"),
    # ------------------------------------------------------------------ what it says
    6: _content("Meta cannot read the message"),
    100: _content("Meta does not take a part of the request"),
    105: _content("there are too many parts in the request"),
    505: _content("the request is not complete"),
    506: _content("the very same was said just before"),
    2022: _content("sending this kind of message is switched off for us"),
    131001: _content("the text is too long"),
    131008: _content("something that must be there is missing"),
    131009: _content("a value is not valid"),
    131051: _content("WhatsApp does not take this kind of message"),
    131052: _content("a file of theirs cannot be downloaded"),
    131053: _content("WhatsApp does not take the file: its type, size or coding"),
    131055: _content("this way of sending takes marketing templates only"),
    131060: _content("this message is not available for now"),
    132000: _content("the template has another number of parameters"),
    132001: _content("the template does not exist in that language, or is not approved"),
    132005: _content("the template is too long with these parameters"),
    132007: _content("the template is against WhatsApp's rules"),
    132012: _content("a parameter is not of the kind that the template wants"),
    132015: _content("WhatsApp has paused the template for its low quality"),
    132016: _content("WhatsApp has switched the template off for its low quality"),
    132018: _content("a parameter of the template is not valid"),
    132068: _content("the flow is blocked"),
    132069: _content("the flow is slowed down: ten messages an hour"),
    134100: _content("this way of sending takes marketing templates only"),
    134101: _content("the template is not ready yet: up to ten minutes after it was made"),
    134102: _content("the template is not available"),
    # ------------------------------------------------------------------ our account and number
    131005: _account(_RIGHT),
    131006: _account("WhatsApp finds no such object: look at phone_number_id"),
    131031: _account("WhatsApp has locked our business account"),
    131037: _account("the display name of our number must be approved first"),
    131042: _account("WhatsApp cannot bill us: look at the payment method"),
    131045: _account("our number is not registered rightly: register it again"),
    133000: _account("the number was not deregistered completely: do that once more"),
    133005: _account("the PIN of two-step verification is wrong"),
    133006: _account("our number must be verified before it is registered"),
    133008: _account("too many wrong PINs: wait as long as Meta says"),
    133009: _account("the PIN was entered too fast"),
    133010: _account("our number is not registered with the Cloud API"),
    133015: _account("our number was deleted just now: wait five minutes and register it again"),
    134011: _account("the terms of WhatsApp Payments have not been accepted"),
}

# (code, subcode): where the subcode says what the code alone does not.
SUBCODES: dict[tuple[int, int], Meaning] = {
    (1, 99): _account("Meta fails for want of a permission, of Advanced Access or of Business Verification"),
    (1, 1357046): Meaning(SendCode.UNKNOWN, "Meta failed, and may have sent it all the same"),
    (2, 2018344): _account("the Page's privacy terms must be accepted first"),
    (4, 2018022): _patience("too many messages went to phone numbers", 300.0),
    (4, 2018354): _patience("their next marketing message is not due yet", 3600.0, whole=False),
    (9, 2018352): _recipient("they have had as many marketing messages as they may today"),
    (10, 2018065): Meaning(_CLOSED, "their last word is too long ago for Messenger"),
    (10, 2018278): Meaning(_CLOSED, "their last word is too long ago for Messenger"),
    (10, 2534022): Meaning(_CLOSED, "their last word is too long ago for Instagram"),
    (10, 2018108): Meaning(_STOPPED, "they take no messages from us for now"),
    (100, 33): _account(
        "Meta finds no such object, or the token may not see it: look at the ids in the settings"
    ),
    (100, 2018001): _recipient("Meta knows nobody by this id here"),
    (100, 2018047): _content("the file could not be uploaded"),
    (100, 2018109): _content("the file is too large"),
    (100, 2018164): _recipient("another app has this conversation: it must hand it over"),
    (100, 2534014): _recipient("the person is not found"),
    (100, 2534037): _recipient("another app owns this conversation: look at the routing of conversations"),
    (200, 1545041): Meaning(_STOPPED, "they take no messages from us for now"),
    (200, 2018021): _account("the Page may not be used by this app yet"),
    (200, 2018028): _account("the app lacks pages_messaging, so only its own people can be written to"),
    (200, 2534041): _account("the owner of the Instagram account has taken the app's access away"),
    (551, 1545041): Meaning(_STOPPED, "they take no messages from us for now"),
    (613, 1893016): _patience("too many messages of this kind went to this person", 3600.0, whole=False),
}

_PERMISSION = _account(_RIGHT)  # 200 to 299, all of them
_ELSEWHERE = _account("it leads elsewhere, which is not followed: look at `api`")
_FAILED = Meaning(SendCode.UNKNOWN, "Meta failed, and may have sent it all the same")
_OTHER = Meaning(SendCode.RESPONSE_STATUS, "Meta refuses it")
_TRANSIENT = _later("Meta could not do it for now")
# What an answer without a code of Meta's says.
_STATUSES: dict[int, Meaning] = {
    401: _account(_TOKEN),
    403: _PERMISSION,
    408: _FAILED,
    429: _patience("too many calls were made", 60.0),
}


class Data(msgspec.Struct, gc=False):
    details: str = ""


class Error(msgspec.Struct, gc=False):
    """As it stands in an answer, and (without subcode) in webhooks."""

    code: int | None = None
    error_subcode: int | None = None
    message: str = ""
    title: str = ""
    error_user_msg: str = ""
    error_data: Data | str | None = None
    is_transient: bool = False
    fbtrace_id: str = ""

    @property
    def words(self) -> str:
        """What Meta says: the details, which name the parameter, else what is meant for people, else the title."""
        details = self.error_data.details if isinstance(self.error_data, Data) else ""
        return " ".join((details or self.error_user_msg or self.message or self.title).split())[:200]


class _Answer(msgspec.Struct, gc=False):
    error: Error


_decoder = msgspec.json.Decoder(_Answer, strict=False)


def meaning(code: int, subcode: int = 0) -> Meaning | None:
    """What the tables say; None where they say nothing."""
    found = SUBCODES.get((code, subcode)) or CODES.get(code)
    return found or (_PERMISSION if 200 <= code <= 299 else None)


def failure(status: int, body: bytes, after_s: float | None) -> SendError:
    """What an answer that is no success means. after_s: what its headers ask for."""
    try:
        said = fitting.decode(_decoder, body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = Error()
    if said.code is None:
        return error(_by_status(status), str(status), "", after_s)
    found = meaning(said.code, said.error_subcode or 0)
    if found is None:
        found = _TRANSIENT if said.is_transient else _by_status(status)
    code = f"{said.code}/{said.error_subcode}" if said.error_subcode else str(said.code)
    return error(found, code, said.words, after_s)


def error(found: Meaning, code: str, words: str = "", after_s: float | None = None) -> SendError:
    wait_s = after_s if after_s is not None else found.after_s
    return SendError(
        found.code,
        f"{code}: {found.words}" + (f" ({words})" if words else ""),
        retry=found.retry,
        provider_code=code,
        after_s=wait_s if found.retry else None,
        whole_account=found.whole,
    )


class Terms(NamedTuple):
    """Of a message that failed after Meta took it: as in `hub.model.DeliveryReported`."""

    again: int = 0
    again_s: float = 60.0
    rest_s: float = 0.0


def after_report(code: int, subcode: int = 0) -> Terms:
    """May a message go out anew after a report with this code, and does the account rest?"""
    found = meaning(code, subcode)
    if found is None:
        return Terms()
    rest_s = found.after_s or (300.0 if found.code is _CONFIG else 60.0) if found.whole else 0.0
    return Terms(1 if found.retry or code in _AGAIN else 0, max(found.after_s or 0.0, 60.0), rest_s)


_AGAIN = {131053}  # a file that could not be fetched from us may be fetched another time


def number(value: Any) -> int:
    """A code as it comes; 0 where it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 10 else 0


def _by_status(status: int) -> Meaning:
    if status >= 500:
        return _FAILED
    return _ELSEWHERE if 300 <= status < 400 else _STATUSES.get(status, _OTHER)
