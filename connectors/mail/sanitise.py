"""The HTML of a stranger's mail -> HTML that may be shown (docs/security.md, S4).

nh3 (https://nh3.readthedocs.io) parses as a browser does and writes again only what the tables below name. What comes
out of it is gone through once more, as text in its canonical form, to say where links go and what was left out; had it
any other form, nothing would be shown. This is the first wall; the page that shows it (desk/web/mail.py) has two more.

It takes time that grows with the square of the nesting, so it runs in a process with limits (display.py).
"""

from __future__ import annotations

import base64
import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import unquote

import nh3
from selectolax.lexbor import LexborHTMLParser

from connectors.mail import styles

HTML_CHARS = 2_000_000
NODES = 60_000
DEPTH = 256  # mails of people reach some 60; nh3 took 1.7 s for 20,000
IMAGES_BYTES = 12_000_000  # of pictures within one view, each counted as often as it is shown
URL_CHARS = 4_000


UNKNOWN = "its HTML comes out in a form that is not known to be safe"


class TooMuch(ValueError):
    """It is not looked at, or not shown; a sentence about the mail."""


@dataclass(frozen=True, slots=True)
class Clean:
    """html: what may stand in a page's body. left_out: pictures on other machines that are not shown."""

    html: str
    left_out: int


_SHARED = {"align", "valign", "dir", "lang", "title", "style"}
_CELL = {"width", "height", "bgcolor", "colspan", "rowspan", "nowrap"}
ATTRIBUTES: dict[str, set[str]] = {
    "*": _SHARED,
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border"},
    "table": {"width", "height", "bgcolor", "border", "cellpadding", "cellspacing"},
    "td": _CELL,
    "th": _CELL,
    "tr": {"bgcolor", "height"},
    "tbody": {"bgcolor"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "font": {"color", "face", "size"},
    "hr": {"width", "size", "color"},
    "ol": {"start", "type", "reversed"},
    "ul": {"type"},
    "li": {"value", "type"},
    "p": set(),
}
TAGS = {
    *(tag for tag in ATTRIBUTES if tag != "*"),
    "abbr", "address", "article", "aside", "b", "big", "blockquote", "br", "caption", "center", "cite", "code", "dd",
    "del", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "i", "ins", "kbd", "main", "mark", "nav", "pre", "q", "s", "samp", "section", "small", "span", "strike",
    "strong", "sub", "sup", "tfoot", "thead", "tt", "u", "var", "wbr",
}  # fmt: skip
# Of these not even the content is text of the mail's.
GONE = {
    "applet", "audio", "canvas", "embed", "frameset", "head", "iframe", "math", "noembed", "noframes", "noscript",
    "object", "plaintext", "script", "select", "style", "svg", "template", "title", "video", "xml", "xmp",
}  # fmt: skip
_PLAIN = re.compile(r"[\w\s#%.,+-]{0,60}")  # sizes, colours, names of fonts and of directions

_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z][a-z-]*="[^"<>]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z][a-z-]*)="([^"]*)"')
_WEB = re.compile(
    r"(https?)://([^/?#\\@\s:\[\]]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?(?=[/?#]|$)", re.IGNORECASE
)
_MAILTO = re.compile(r"mailto:[^\s<>\"\\]{1,500}", re.IGNORECASE)
_TEL = re.compile(r"tel:[+0-9().-]{2,40}", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,([A-Za-z0-9+/=\s]+)", re.IGNORECASE)
# Overrides of direction make one text look like another (desk/safe.py says the same of plain texts).
_ORDER = {
    0x202D: "⟦LRO⟧",
    0x202E: "⟦RLO⟧",
    **dict.fromkeys((0x202A, 0x202B, 0x202C, 0x2066, 0x2067, 0x2068, 0x2069)),
}


def clean(html: str, images: Mapping[str, bytes], *, pictures: bool) -> Clean:
    """images: the mail's own pictures by Content-ID. pictures: let those on other machines be fetched by the reader's
    browser, over https. Raises TooMuch."""
    _measure(html)
    worker = _Worker(images, pictures)
    out = nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=GONE,
        attributes=ATTRIBUTES,
        attribute_filter=worker.attribute,
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        url_relative="deny",
    )
    return Clean(worker.finish(out).translate(_ORDER), worker.left_out)


def _measure(html: str) -> None:
    """Raises TooMuch where cleaning would take long. The parser here is another one, linear, so this is no proof:
    the limits of the process are."""
    if len(html) > HTML_CHARS:
        raise TooMuch(f"its HTML has more than {HTML_CHARS:,} characters")
    root = LexborHTMLParser(html).root
    node, depth, nodes = root, 0, 0
    while node is not None:
        nodes += 1
        if nodes > NODES:
            raise TooMuch(f"its HTML has more than {NODES:,} elements")
        if depth > DEPTH:
            raise TooMuch(f"its HTML nests deeper than {DEPTH} levels")
        if node.child is not None:
            node, depth = node.child, depth + 1
            continue
        while node is not None and node.next is None:
            node, depth = node.parent, depth - 1
        node = node.next if node is not None else None


class _Worker:
    """What one mail's cleaning remembers. Its methods must not raise: nh3 cannot."""

    def __init__(self, images: Mapping[str, bytes], pictures: bool) -> None:
        self.images = {name.lower(): data for name, data in images.items()}
        self.pictures = pictures
        self.left_out = 0
        self.bytes_left = IMAGES_BYTES

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """The value that may stand there, or None."""
        if name == "style":
            return styles.clean(value)
        if name == "href":
            return link(value)
        if name == "src":
            return self._picture(value)
        if name in ("title", "alt"):
            return value[:300]
        if name in ("target", "rel"):
            return value  # our own
        return value if _PLAIN.fullmatch(value) else None

    def _picture(self, value: str) -> str | None:
        value = value.strip()[: URL_CHARS if value[:5].lower() != "data:" else None]
        scheme = value.partition(":")[0].lower()
        if scheme == "cid":
            return self._inline(self.images.get(unquote(value[4:]).strip("<> ").lower(), b""))
        if scheme == "data":
            found = _DATA.fullmatch(value)
            return self._inline(_unpacked(found[1])) if found else None
        to = link(value)
        if to is None or scheme not in ("http", "https"):
            return None
        if not self.pictures:
            self.left_out += 1
            return None
        return "https:" + to.partition(":")[2]

    def _inline(self, data: bytes) -> str | None:
        kind = image_type(data)
        if kind is None or len(data) > self.bytes_left:
            return None
        self.bytes_left -= len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"

    def finish(self, html: str) -> str:
        """Each link tells where it goes; a picture that is not shown leaves its words."""
        out: list[str] = []
        at = 0
        opened: tuple[int, str] | None = None  # where in `out` the link stands, and its host
        for tag in _TAG.finditer(html):
            out.append(_text(html[at : tag.start()]))
            at = tag.end()
            closes, name, said = tag.groups()
            if name not in TAGS or not _known(name, said):
                raise TooMuch(UNKNOWN)
            if name == "a":
                if closes:
                    _tell(out, opened)
                    opened = None
                    out.append("</a>")
                else:
                    opened = _open(out, said)
            elif name == "img" and not closes:
                out.append(_image(said))
            else:
                out.append(tag.group())
        out.append(_text(html[at:]))
        return "".join(out)


def _text(between: str) -> str:
    if "<" in between or ">" in between:
        raise TooMuch(UNKNOWN)
    return between


def _known(name: str, said: str) -> bool:
    allowed = ATTRIBUTES["*"] | ATTRIBUTES.get(name, set()) | {"target", "rel"}
    return all(attribute in allowed for attribute, _ in _ATTRIBUTE.findall(said))


def _open(out: list[str], said: str) -> tuple[int, str] | None:
    """A link's beginning, with its address as its title, and no word of the sender's about it."""
    attributes = dict(_ATTRIBUTE.findall(said))
    to = unescape(attributes.get("href", ""))
    attributes.pop("title", None)
    if to:
        attributes["title"] = escape(to[:300])
    out.append("<a" + "".join(f' {name}="{value}"' for name, value in attributes.items()) + ">")
    found = _WEB.match(to)
    return (len(out) - 1, found[2].lower()) if found else None


def _tell(out: list[str], opened: tuple[int, str] | None) -> None:
    """Where its words do not name the host it goes to, the page shows that beside it (`data-to`)."""
    if opened is None:
        return
    at, host = opened
    words = unescape("".join(piece for piece in out[at + 1 :] if not piece.startswith("<"))).split()
    if not any(_names(word, host) for word in words):
        out[at] = f'{out[at][:-1]} data-to="{escape(host)}">'


def _names(word: str, host: str) -> bool:
    word = word.lower().strip("()[]<>.,;:!'\"").removeprefix("https://").removeprefix("http://")
    return word == host or word.startswith((f"{host}/", f"{host}?"))


def _image(said: str) -> str:
    attributes = dict(_ATTRIBUTE.findall(said))
    if "src" in attributes:
        return f"<img{said}>"
    words = attributes.get("alt", "").strip()
    return f'<span class="left-out">{words}</span>' if words else ""


# ------------------------------------------------------------------------------------------------------------ addresses


def link(value: str) -> str | None:
    """An address that may be followed, its host in ASCII, or None.

    Browsers read odd spellings (`https:\\host`, tabs within, credentials) in ways that people do not: none is let by.
    """
    value = re.sub(r"[\t\r\n]", "", value).strip(" \x00\x0c")
    if len(value) > URL_CHARS or not value.isprintable():
        return None
    if _MAILTO.fullmatch(value) or _TEL.fullmatch(value):
        return value
    found = _WEB.match(value)
    host = _ascii(found[2]) if found else None
    if found is None or host is None:
        return None
    return f"{found[1].lower()}://{host}{found[3] or ''}{value[found.end() :]}"


def _ascii(host: str) -> str | None:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    # Each label in punycode as browsers make it (UTS 46, not transitional). Python's `idna` would make another site's
    # name of some (`ß` becomes `ss`). What is written here is what is followed and what is told, whatever was meant.
    labels = _DOTS.split(unicodedata.normalize("NFKC", host).lower())
    plain = ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}" for label in labels
    )
    return plain if _HOST.fullmatch(plain) else None


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()) + "==")
    except ValueError:
        return b""


_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def image_type(data: bytes) -> str | None:
    """What these bytes really are, if a page may show it as a picture. SVG may not: it is a document."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
