"""What a message holds, in words, exact values and files. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from connectors import clean, said
from connectors.social.model import Attachment, Element, Message, Payload, Product, Referral
from hub.config import Account
from hub.model import Media

# Where Meta keeps what people send; an address elsewhere is a link that somebody shared.
HOSTS = ("fbcdn.net", "fbsbx.com", "cdninstagram.com", "facebook.com", "instagram.com")
_STORES = HOSTS[:3]
_FILES = {kind: kind for kind in ("image", "video", "audio", "file")} | {"animated_image": "image"}
_SHARED: Mapping[str, tuple[str, str]] = {  # type -> (what it is, the kind of its file)
    "share": ("a post", "file"),
    "post": ("a post", "file"),
    "ig_post": ("a post", "file"),
    "reel": ("a reel", "video"),
    "ig_reel": ("a reel", "video"),
    "story": ("a story", "file"),
    "ig_story": ("a story", "file"),
}
# The like comes in three sizes (not documented; met in practice for as long as there have been stickers).
_LIKES = frozenset({"369239263222822", "369239343222814", "369239383222810"})


class Content(NamedTuple):
    """whole: everything in it can be shown."""

    text: str = ""
    fields: said.Fields = ()
    media: tuple[Media, ...] = ()
    whole: bool = True


def stored(url: str, account: Account) -> bool:
    """Is it a file of Meta's, which `fetch` may get?"""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return False
    if any(host == name or host.endswith(f".{name}") for name in _STORES):
        return True
    api = account.settings.get("api")
    return isinstance(api, str) and host == urlsplit(api).hostname


def content(message: Message, account: Account) -> Content:
    found: list[Content] = []
    if message.reply_to and (story := message.reply_to.story):
        told = _told("answered our story", "", story.url or "", "file", account)
        found.append(told._replace(fields=said.fields(("story", _short(story.id)))))
    text = clean.text(message.text or "")
    if message.quick_reply:
        words, exact = said.tapped(text, clean.line(message.quick_reply.payload or "", 1000))
        found.append(Content(words, exact))
    elif text:
        found.append(Content(text))
    stickers: set[str] = set()
    shared: dict[str, str] = {}
    for attachment in message.attachments or ():
        sticker = _sticker(attachment)
        if sticker and sticker in stickers:
            continue  # until August 2026 it stands there twice, as a sticker and as an image
        stickers.add(sticker)
        piece = _attached(attachment, sticker, text, account)
        if attachment.type in _SHARED and shared.setdefault(piece.text, attachment.type) != attachment.type:
            continue  # from November 2025 to February 2026 a post stands there as a share and as an ig_post
        found.append(piece)
    if message.is_unsupported:
        found.append(_unknown("a message that Instagram keeps from programs"))
    if message.referral:
        found.append(Content("", referral(message.referral)))
    if not any(one.text or one.media for one in found):
        found.append(_unknown("a message with nothing in it"))
    return _together(found)


def referral(given: Referral) -> said.Fields:
    ad = given.ads_context_data
    exact = said.referral(
        clean.line(given.source or given.type or ""),
        clean.line((ad.ad_title if ad else None) or ""),
        url=clean.line(given.referer_uri or "", 1000),
        ref=clean.line(given.ref or "", 1000),
    )
    product = given.product.id if given.product else None
    return exact + said.fields(("ad", _short(given.ad_id)), ("product", _short(product)))


# -------------------------------------------------------------------------------------------------------- attachments


def _attached(given: Attachment, sticker: str, text: str, account: Account) -> Content:
    payload = given.payload or Payload()
    url = payload.url or payload.story_media_url or given.url or given.URL or ""
    title = clean.line(payload.title or given.title or "", 300)
    if sticker:
        return Content(
            said.sticker("👍") if sticker in _LIKES else "",
            said.fields(("sticker", sticker)),
            _file(url, "sticker", account, sure=True),
        )
    if given.type in _FILES:
        files = _file(url, _FILES[given.type], account, sure=True)
        return Content("", (), files) if files else _unknown(f"{given.type} without an address")
    if given.type in _SHARED:
        what, kind = _SHARED[given.type]
        return _told(f"shared {what}", title, url, kind, account)
    if (read := _OTHERS.get(given.type)) is not None:
        return read(payload, title, url, text, account)
    return _unknown(clean.line(given.type, 40), title, _link(url))


def _told(what: str, title: str, url: str, kind: str, account: Account) -> Content:
    """What they did with a story, a post or a reel: with its file where Meta keeps it, else with its address."""
    files = _file(url, kind, account)
    return Content(_lines(said.story(what), title, "" if files else _link(url)), (), files)


def _location(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    if payload.coordinates is None:
        return Content(_lines(title, _link(url))) if title else _unknown("a location without a place")
    at = payload.coordinates
    return Content(*said.location(_short(at.lat), _short(at.long), title))


def _fallback(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    """ "when a user shares a URL with a Page, an attachment is created"; without a payload it is a share of a kind that
    the API does not show."""
    if not title and not url:
        return _unknown("something that they shared")
    link = _link(url)
    return Content("" if link and link in text else _lines(title, link))


def _story_mention(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    return _told("mentioned us in their story", "", url, "file", account)


def _template(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    product = payload.product or Product()
    generic = payload.generic or Product()
    shown = [*(payload.elements or ()), *(product.elements or ()), *(generic.elements or ())]
    lines = [clean.text(payload.text or ""), title, *(_element(one) for one in shown)]
    ids = ", ".join(_short(one.retailer_id or one.id) for one in product.elements or ())
    words = _lines(*lines)
    return Content(words, said.fields(("product", ids))) if words else _unknown("a template")


def _heart(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    return Content("❤")


def _refused(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    return _unknown("a kind that Meta does not pass on")


def _ephemeral(payload: Payload, title: str, url: str, text: str, account: Account) -> Content:
    return _unknown("a picture or film that can be seen once")


_OTHERS: Mapping[str, Callable[[Payload, str, str, str, Account], Content]] = {
    "location": _location,
    "fallback": _fallback,
    "story_mention": _story_mention,
    "template": _template,
    "ephemeral": _ephemeral,
    "like_heart": _heart,  # a double tap in Instagram
    "unsupported_type": _refused,
}


def _sticker(given: Attachment) -> str:
    """Its number; "sticker" where it has none; "" where it is no sticker."""
    number = given.payload.sticker_id if given.payload else None
    if given.type not in ("sticker", "image"):
        return ""
    return _short(number) or ("sticker" if given.type == "sticker" else "")


def _element(given: Element) -> str:
    parts = (clean.line(given.title or "", 300), clean.line(given.subtitle or "", 300))
    return ": ".join(part for part in parts if part)


def _file(url: str, kind: str, account: Account, *, sure: bool = False) -> tuple[Media, ...]:
    """sure: it is a file wherever it is; fetching it there may still be refused."""
    if not url or not (sure or stored(url, account)):
        return ()
    return (Media(ref=clean.text(url)[:4000], kind=kind),)


def _unknown(kind: str, *known: str) -> Content:
    """known: what stands in it all the same."""
    return Content(_lines(said.unsupported(kind), *known), whole=False)


def _link(url: str) -> str:
    return clean.line(url, 2000) if url.startswith(("https://", "http://")) else ""


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _short(value: object) -> str:
    return "" if value is None else clean.line(str(value), 200)


def _together(found: Iterable[Content]) -> Content:
    found = tuple(found)
    return Content(
        _lines(*(one.text for one in found)),
        tuple(field for one in found for field in one.fields),
        tuple(file for one in found for file in one.media),
        all(one.whole for one in found),
    )
