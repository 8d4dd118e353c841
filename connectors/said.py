"""What customers send besides text, in words: every channel's location, contact card or tap reads the same on a desk.

Pure. Each gives the text that people and rules read, and the fields that keep the exact values.
"""

from __future__ import annotations

from collections.abc import Iterable

Fields = tuple[tuple[str, str], ...]


def fields(*pairs: tuple[str, object]) -> Fields:
    """Those of the pairs that have a value, as `MessageReceived.fields` wants them."""
    return tuple((name, str(value)) for name, value in pairs if value not in (None, "", (), [], {}))


def location(
    latitude: object, longitude: object, name: str = "", address: str = "", *, live: bool = False
) -> tuple[str, Fields]:
    """A place. `live`: it moves; this is where it was at first."""
    where = ", ".join(part for part in (name, address) if part) or f"{latitude}, {longitude}"
    words = f"📍 {'Live location' if live else 'Location'}: {where}"
    return words, fields(
        ("latitude", latitude), ("longitude", longitude), ("place", name), ("address", address)
    )


def contact(
    name: str, phones: Iterable[str] = (), mails: Iterable[str] = (), more: Iterable[str] = ()
) -> tuple[str, Fields]:
    """Somebody's card. Its numbers are that somebody's, so never claims of the sender's."""
    phones, mails, more = tuple(phones), tuple(mails), tuple(more)
    ways = ", ".join((*phones, *mails, *more))
    words = f"👤 Contact card: {name or 'no name'}" + (f" ({ways})" if ways else "")
    return words, fields(
        ("contact", name), ("contact phones", ", ".join(phones)), ("contact mails", ", ".join(mails))
    )


def sticker(emoji: str = "") -> str:
    return f"{emoji} (sticker)" if emoji else "(sticker)"


def tapped(title: str, payload: str = "") -> tuple[str, Fields]:
    """A button, quick reply or list row: what stood on it is what they said."""
    return title or payload, fields(("tapped", payload))


def call_allowed(yes: bool) -> str:
    """To our question whether we may call them."""
    return "(They allow us to call them.)" if yes else "(They do not want us to call them.)"


def story(kind: str) -> str:
    """`kind`: "mentioned us in their story", "answered our story", ..."""
    return f"(They {kind}.)"


def referral(source: str, headline: str = "", body: str = "", url: str = "", ref: str = "") -> Fields:
    """What led them here: an advertisement, a link, a post."""
    return fields(
        ("came from", source), ("headline", headline), ("said there", body), ("link", url), ("ref", ref)
    )


def unsupported(kind: str) -> str:
    """Something of a kind that is kept as it came, and that we cannot show."""
    return f"(Something that cannot be shown here: {kind}.)"
