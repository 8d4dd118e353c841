"""A ready-made reply as it goes out: its places filled, with what the channel needs where free text may not be sent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from crm_store.carried import Carried
from hub.config import CannedReply
from hub.errors import Refused
from hub.model import Template
from hub.urn import channel_of

_PLACE = re.compile(r"\{(\d{1,2})\}")


def filled(reply: CannedReply, parameters: Sequence[str]) -> str:
    """Its text with {1}, {2}, ... filled in. Raises Refused unless every place has its words."""
    if len(parameters) != reply.places or not all(words.strip() for words in parameters):
        raise Refused(f"\u201c{reply.title}\u201d has {reply.places} places to fill.")
    return _PLACE.sub(lambda place: parameters[int(place[1]) - 1].strip(), reply.text)


def begun(reply: CannedReply, parameters: Sequence[str]) -> str:
    """Its text with those places filled that have words by now; the others stay as they are."""
    words = [*map(str.strip, parameters), *[""] * reply.places]
    return _PLACE.sub(lambda place: words[int(place[1]) - 1] or place[0], reply.text)


def approved(reply: CannedReply, account: str, parameters: Sequence[str]) -> Template | None:
    """What the provider of this account has approved of it; None where there is no such thing."""
    text = reply.approved.get(account) or reply.approved.get(channel_of(account))
    if text is None:
        return None
    words = tuple(word.strip() for word in parameters)
    return Template(name=text.name, language=text.language, parameters=words)


def carried(
    reply: CannedReply, account: str, parameters: Sequence[str], *, as_template: bool, public: bool = False
) -> Carried:
    """What goes with its text over this account. Raises Refused where a template is wanted and there is none."""
    template = approved(reply, account, parameters) if as_template else None
    if as_template and template is None:
        raise Refused(f"\u201c{reply.title}\u201d has no approved text for {account}.")
    return Carried(template=template, choices=() if as_template else reply.choices, public=public)
