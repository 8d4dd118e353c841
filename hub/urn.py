"""Addresses as URNs: `tel:+15551234567`, `mailto:ann@example.com`, `webchat:v7f3`, `telegram:42`.

One address has one spelling, so that a message finds the identity that wrote before.
"""

from __future__ import annotations

import re
from functools import lru_cache

import email_validator
import phonenumbers
from email_validator import EmailNotValidError, validate_email

MAX_CHARS = 400  # the store's column; a mail address may have 254 (RFC 5321, 4.5.3.1), a URL-like id more
_HIDDEN = "•••"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
# A space or an invisible character in an id is a copying fault or a trick; none of our channels issues one.
_NOT_IN_ID = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_NOT_IN_NUMBER = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")
# Companies' own networks use .local, and test systems .test; the library's way to allow them is to edit its list.
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in ("local", "test")
]
_MEXICAN = re.compile(r"\+521[0-9]{10}")
_SHORT = re.compile(r"[0-9]{3,6}")  # short codes have 3 to 6 digits, and no country code

# Schemes whose addresses can be written to unasked; all others only by the account that they wrote to.
PUBLIC = frozenset({"tel", "mailto"})
# Schemes of people who come to us and can only be answered while they look: no opt-out is read out of their words.
VISITS = frozenset({"webchat", "console"})
# Schemes of people whose messages bear no name, and whose provider is asked for it.
NAMELESS = frozenset({"messenger", "instagram"})


_UNPROVED = "?unproved"  # no address ends so, and nobody can type one that does: `normalise` refuses it


def unproved(urn: str) -> str:
    """The address of whoever only says that `urn` is theirs, which somebody else has proved to be theirs. It has a
    record of its own until a person decides; what is sent goes to `bare` of it."""
    return urn if is_unproved(urn) else urn + _UNPROVED


def is_unproved(urn: str) -> bool:
    return urn.endswith(_UNPROVED) and urn.startswith("mailto:")


def bare(urn: str) -> str:
    """The address to send to."""
    return urn.removesuffix(_UNPROVED) if is_unproved(urn) else urn


def scheme(urn: str) -> str:
    """`tel` of `tel:+1555…`; empty where there is none."""
    return urn.partition(":")[0] if ":" in urn else ""


def channel_of(account_key: str) -> str:
    """`webchat` of `webchat/main`."""
    return account_key.partition("/")[0]


@lru_cache(maxsize=16384)  # the same people write again
def normalise(urn: str) -> str:
    """The one spelling of an address. Raises ValueError with one sentence where it is none.

    `tel:` and `mailto:` have their rules below, `whatsapp:` before a number is dropped (the same phone); every other
    scheme's id is the provider's, and is kept as it is. Doing it twice changes nothing.
    """
    urn = urn.strip()
    head, colon, rest = urn.partition(":")
    head = head.lower()
    if not colon or not _SCHEME.fullmatch(head):
        raise ValueError(f"{_shown(urn)} is no address: it must look like tel:+15551234567 or webchat:v7f3")
    if head in ("tel", "whatsapp"):
        return tel(rest)
    if head == "mailto":
        return mailto(rest)
    if not rest or _NOT_IN_ID.search(rest):
        raise ValueError(
            f"{_shown(urn)} is no address: its id is empty or has spaces or invisible characters"
        )
    if len(head) + 1 + len(rest) > MAX_CHARS:
        raise ValueError(f"an address may have {MAX_CHARS} characters, and {_shown(urn)} has {len(urn)}")
    return f"{head}:{rest}"


@lru_cache(maxsize=16384)  # parsing takes 40 µs, and the same people write again
def tel(number: str, region: str | None = None) -> str:
    """A phone number as `tel:` and E.164. `region` ("US") reads numbers without a country code.

    Possible numbers are kept even where the library's tables hold them for unassigned: tables are older than numbers.
    Mexican mobiles lose the 1 after +52 that they had until 2019, and that WhatsApp's ids still have. Three to six
    digits are a short code and stay as they are, whatever the region: the parser would make +1 12345 of it. Parameters
    of RFC 3966 (`;ext=`) are dropped. Raises ValueError for anything else, such as a sender's name.
    """
    text = number.strip().removeprefix("tel:").removeprefix("whatsapp:").partition(";")[0]
    digits = _NOT_IN_NUMBER.sub("", text)
    if _SHORT.fullmatch(digits):
        return f"tel:{digits}"
    if _MEXICAN.fullmatch(digits):
        text = f"+52{digits[-10:]}"
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is None or not phonenumbers.is_possible_number(parsed):
        raise ValueError(f"{_shown(number)} is no phone number: write it with + and the country code")
    return f"tel:{phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)}"


@lru_cache(maxsize=16384)
def mailto(address: str) -> str:
    """A mail address as `mailto:`, all in lower case, its domain as the DNS has it (IDNA).

    Only the syntax is looked at (RFC 5322 without comments and quotes; names inside a company's network are good). The
    part before the @ is lower-cased too, against the letter of RFC 5321, 2.4, which itself advises against relying on
    case: no mailbox provider of size tells Ann@ from ann@, people type both, and two records of one person are the
    greater harm. Dots and +tags stay: that they mean nothing is one provider's custom. Raises ValueError.
    """
    text = address.strip()
    text = text[7:] if text[:7].lower() == "mailto:" else text
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"{_shown(address)} is no mail address: {error}") from None
    return f"mailto:{found.local_part.lower()}@{(found.ascii_domain or found.domain).lower()}"


def mask(urn: str) -> str:
    """For logs: enough to tell two customers apart, too little to write to them. Never raises."""
    head, colon, rest = urn.partition(":")
    if not colon:
        return _mask_id(urn)
    if "@" in rest:
        local, _, domain = rest.rpartition("@")
        return f"{head}:{local[:1]}{_HIDDEN}@{domain}"
    return f"{head}:{_mask_number(rest) if head == 'tel' else _mask_id(rest)}"


def _mask_number(number: str) -> str:
    if len(number) >= 12:
        return f"{number[:5]}{_HIDDEN}{number[-4:]}"
    return f"{number[:3]}{_HIDDEN}{number[-2:]}" if len(number) >= 8 else _HIDDEN


def _mask_id(text: str) -> str:
    return f"{text[:4]}{_HIDDEN}" if len(text) >= 8 else f"{text[:1]}{_HIDDEN}"


def display(urn: str) -> str:
    """For people: a number with its spaces, a bare mail address, otherwise the id without its scheme."""
    if is_unproved(urn):
        return f"{display(bare(urn))} (not proved)"
    head, colon, rest = urn.partition(":")
    if head == "tel" and rest.startswith("+"):
        try:
            parsed = phonenumbers.parse(rest)
        except phonenumbers.NumberParseException:
            return rest
        return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
    return rest if colon else urn


def _shown(text: str) -> str:
    """What was given, short enough for a sentence."""
    return repr(text if len(text) <= 60 else text[:57] + "…")
