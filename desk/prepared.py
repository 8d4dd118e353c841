"""A ready-made reply as it goes out: its places filled, with what the channel needs where free text may not be sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from msgspec import structs

from crm_store.carried import Carried
from hub.config import ApprovedText, CannedReply
from hub.configtemplates import PLACE
from hub.errors import Refused
from hub.model import ButtonKind, HeaderKind, Template, TemplateHeader
from hub.urn import channel_of

_FILE = re.compile(r"https?://[^\s/]+(/\S*)?|\d+")  # a link, or the provider's id of a file
_A_FILE = {HeaderKind.IMAGE: "an image", HeaderKind.VIDEO: "a video", HeaderKind.DOCUMENT: "a document"}


def filled(reply: CannedReply, parameters: Sequence[str]) -> str:
    """Its text with {1}, {2}, ... filled in. Raises Refused unless every place has its words."""
    if len(parameters) != reply.places or not all(words.strip() for words in parameters):
        raise Refused(f"\u201c{reply.title}\u201d has {reply.places} places to fill.")
    return PLACE.sub(lambda place: parameters[int(place[1]) - 1].strip(), reply.text)


def begun(reply: CannedReply, parameters: Sequence[str]) -> str:
    """Its text with those places filled that have words by now; the others stay as they are."""
    words = [*map(str.strip, parameters), *[""] * reply.places]
    return PLACE.sub(lambda place: words[int(place[1]) - 1] or place[0], reply.text)


def approved_text(reply: CannedReply, account: str) -> ApprovedText | None:
    """What the provider of this account has approved of it; None where there is no such thing."""
    return reply.approved.get(account) or reply.approved.get(channel_of(account))


def encloses(reply: CannedReply, account: str) -> str:
    """The file that goes at its head and that the agent attaches ("an image"); empty where there is none."""
    text = approved_text(reply, account)
    return _A_FILE[text.header.kind] if text and text.header and text.header.attached else ""


def enclosures(reply: CannedReply) -> list[str]:
    """The same of every account that it is approved for, each once."""
    return sorted({encloses(reply, account) for account in reply.approved} - {""})


def approved(reply: CannedReply, account: str, parameters: Sequence[str]) -> Template | None:
    """What goes out there instead of its text, with the same words in its places. Raises Refused where they do not fit
    into one that is more than text."""
    text = approved_text(reply, account)
    if text is None:
        return None
    words = [word.strip() for word in parameters]
    plain = _filling(words, str)
    template = Template(
        name=text.name,
        language=text.language,
        parameters=tuple(words) if text.body is None else tuple(map(plain, text.body)),
        names=text.names,
        header=_header(text.header, words),
        buttons=tuple(structs.replace(one, value=plain(one.value)) for one in text.buttons),
    )
    _check(reply, template)
    return template


def carried(
    reply: CannedReply, account: str, parameters: Sequence[str], *, as_template: bool, public: bool = False
) -> Carried:
    """What goes with its text over this account. Raises Refused where a template is wanted and there is none."""
    template = approved(reply, account, parameters) if as_template else None
    if as_template and template is None:
        raise Refused(f"\u201c{reply.title}\u201d has no approved text for {account}.")
    return Carried(template=template, choices=() if as_template else reply.choices, public=public)


def _filling(words: Sequence[str], write: Callable[[str], str]) -> Callable[[str], str]:
    """Text -> the same with the words in its places, each as `write` writes it."""
    known = {str(place): write(word) for place, word in enumerate(words, 1)}
    return lambda text: PLACE.sub(lambda place: known.get(place[1].lstrip("0"), place[0]), text)


def _header(header: TemplateHeader | None, words: Sequence[str]) -> TemplateHeader | None:
    """Within a link, words are written as links write them."""
    if header is None:
        return None
    linked = header.kind is not HeaderKind.TEXT and not PLACE.fullmatch(header.value)
    write = (lambda word: quote(word, safe="")) if linked else str
    return structs.replace(header, value=_filling(words, write)(header.value))


def _check(reply: CannedReply, template: Template) -> None:
    head = template.header
    linked = head is not None and head.kind is not HeaderKind.TEXT and not head.attached
    if head is not None and linked and not _FILE.fullmatch(head.value):
        raise Refused(
            f"\u201c{reply.title}\u201d has {_A_FILE[head.kind]} at its head: give a link to it (https://\u2026)."
        )
    for button in template.buttons:
        if button.kind is ButtonKind.URL and any(map(str.isspace, button.value)):
            raise Refused(
                f"What you fill in is the end of a link in \u201c{reply.title}\u201d: no spaces there."
            )
