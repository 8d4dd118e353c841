"""What a customer wishes of being written to, in their own words: stop, start, help, or nothing of the kind.

47 CFR 64.1200(a)(10), 89 FR 15756: "stop", "quit", "end", "revoke", "opt out", "cancel" and "unsubscribe" as a reply
revoke consent, and so does any other wording that a reasonable person would understand so. Hence two ways: the whole
message is a keyword, or a sentence in it asks for no more messages. An order that is to be cancelled, a visitor who
stops by and a mailing's own footer, quoted in an answer, are none of this.

What is missed can be set by an agent; what is wrongly taken silences a customer. A sentence needs both a verb of
stopping and messages, or the writer, as what it is about.
"""

from __future__ import annotations

import re
import unicodedata

import re2

from router.consent_words import ASKS, CERTAIN, EXCEPTIONS, FILLERS, KEYWORDS, QUOTED, Wish

READ_CHARS = 5_000

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 64 << 20
_ASKS = re2.compile("|".join(f"(?:{pattern})" for pattern in ASKS), _OPTIONS)
_EXCEPTIONS = re2.compile("|".join(f"(?:{pattern})" for pattern in EXCEPTIONS), _OPTIONS)

# Sentences end in a line break, everything else that is no word in a space.
_ASCII = {
    code: "\n" if chr(code) in ".!?;:\r\n" else " "
    for code in range(128)
    if not chr(code).isalnum() and chr(code) != " "
}
_ENDS = re.compile("[\n\u2026\u3002\uff01\uff1f]+")
_OTHER = re.compile(r"[^\w\n]+")
# A glance that rules out nearly all messages, for 2 µs instead of 7.7 (200 characters): any number of spaces is as good
# as one, so that the text need not be taken apart. Sets are matched without the cost of a match's object; the end,
# which every text has, tells "not found" from "out of memory", where nothing is found either.
_SMALL = bytes(ord(chr(c).lower()) if c < 128 and chr(c).isalnum() else 32 for c in range(256))
_FIRST = frozenset(word.split()[0].encode() for word in (*KEYWORDS, *CERTAIN, *FILLERS))
_SPACES = re.compile(r"(\[[^]]* [^]]*\])\{0,\d+\}| \?| ")


def _any_spaces(found: re.Match[str]) -> str:
    if found[1]:
        return f"{found[1]}*"  # words between: their number is counted where it matters
    return " *" if found[0] == " ?" else " +"


_GLANCE = re2.Set.SearchSet(_OPTIONS)
_GLANCE.Add("|".join(f"(?:{_SPACES.sub(_any_spaces, pattern)})" for pattern in ASKS))
_NOTHING = [_GLANCE.Add(r"\z")]
_GLANCE.Compile()
_CONTRACTED = re.compile(r"\b(don|didn|haven|can|isn|won|doesn) t\b")


def wish(text: str) -> Wish | None:
    """What the writer asks for; None for all other messages, which are nearly all of them."""
    text = text[:READ_CHARS]
    if _surely_none(text):
        return None
    own = _own_words(text).strip()
    plain = _plain(own)
    if not plain:
        return None
    if found := _keyword(plain.replace("\n", " ")):
        return found
    line = own.partition("\n")[0]
    if len(line) <= 40 and _plain(line) in CERTAIN:  # a line of its own, then a name or a reason
        return "stop"
    if _ASKS.search(plain) and any(
        _ASKS.search(sentence) and not _EXCEPTIONS.search(sentence) for sentence in plain.split("\n")
    ):
        return "stop"
    return None


def _surely_none(text: str) -> bool:
    """Neither a keyword, since it begins with no word of one, nor any sentence that asks. All words in one row hold
    every such sentence that their sentences hold, and what is quoted may only add to them."""
    if not text.isascii():
        return False
    small = b" %b " % text.encode().translate(_SMALL)
    first = small.split(None, 1)[:1]
    if not first or first[0] in _FIRST or b" t " in small:  # "t": of "don't", which `_plain` joins
        return False
    return bool(_GLANCE.Match(small) == _NOTHING)


def _own_words(text: str) -> str:
    """Without what is quoted and signed: a mailing's footer says "unsubscribe" in every answer to it."""
    return text[: quoted.start()] if (quoted := QUOTED.search(text)) else text


def _plain(text: str) -> str:
    """Small words between single spaces, a sentence a line."""
    if text.isascii():
        text = text.lower().translate(_ASCII)
    else:
        folded = unicodedata.normalize("NFKD", text.casefold())
        bare = "".join(c for c in folded if not unicodedata.combining(c)).translate(_ASCII)
        text = _OTHER.sub(" ", _ENDS.sub("\n", bare))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    text = "\n".join(line for line in lines if line)
    # Where no "t" stands alone there is nothing to join; looking with the pattern took half of all this.
    return _CONTRACTED.sub(r"\1t", text) if " t " in f"{text} ".replace("\n", " ") else text


def _keyword(message: str) -> Wish | None:
    if len(message) > 80:
        return None
    if found := KEYWORDS.get(message):
        return found
    words = [word for word in message.split() if word not in FILLERS]
    rest = " ".join(dict.fromkeys(words))  # "stop stop stop" is stop
    return "stop" if rest in CERTAIN else None
