"""What of a mail's parts is its text, what is a file, and what can only be named. RFC 2045, 2046, 2183, 2387.

Any shape is read: no part is trusted to be what it says, and a mail without a readable part has an empty text. Nothing
is executed, rendered or unpacked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from email.message import Message
from typing import Any

from connectors import media
from connectors.mail import calendars, charsets, headers, markup, mending, tnef
from connectors.mail.quotes import BOUNDARY, PART

PARTS = 1_000
DEPTH = 50
FILES = 100
_MENDED = 3  # multiparts without their boundary that are looked into
TEXT_CHARS = 200_000
_SEALS = frozenset(
    ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
)
_REPORTS = frozenset(
    ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
     "message/global-disposition-notification", "message/feedback-report")
)  # fmt: skip
_READ_BY_ALL = ("text/plain", "text/html", "multipart/", "application/")
_EMPTY_WORDS = (
    "your mail program does not",
    "html only",
    "view this email in",
    "this is a multi-part message",
)


class TooMany(ValueError):
    """More parts or levels than a mail of people's has; one sentence."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment: a safe name, its type by content, its bytes. inline: shown within the HTML, by this Content-ID."""

    name: str
    content_type: str
    data: bytes
    inline: str | None = None


@dataclass(slots=True)
class Content:
    """text: as a reader sees it, quotations marked. notes: what else there is, a sentence each (signed, encrypted, an
    invitation). html: there is an HTML part to be shown."""

    text: str = ""
    html: bool = False
    files: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Texts:
    plain: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)  # text out of HTML


def read(message: Message) -> Content:
    """Everything in `message`. Raises TooMany; nothing else."""
    reader = _Reader()
    texts = reader.walk(message, 0)
    content = reader.content
    content.text = (_chosen(texts) or _chosen(reader.enclosed))[:TEXT_CHARS]
    return content


def _chosen(texts: _Texts) -> str:
    plain = "\n\n".join(text.strip("\n") for text in texts.plain if text.strip())
    plain = plain.replace(f"\n\n{PART}\n\n", f"\n\n{PART}\n")
    marked = "\n\n".join(text for text in texts.marked if text.strip())
    if not plain.strip():
        return marked
    if marked and len(plain) < 200 and any(words in plain.lower() for words in _EMPTY_WORDS):
        return marked
    return plain


class _Reader:
    def __init__(self) -> None:
        self.content = Content()
        self.enclosed = _Texts()  # the text inside a winmail.dat: most times the mail's own once more
        self.parts = 0
        self._mended = 0
        self._calendars: dict[bytes, int] = {}  # content -> its place among the files

    def walk(self, part: Message, depth: int) -> _Texts:
        self.parts += 1
        if self.parts > PARTS:
            raise TooMany(f"it has more than {PARTS:,} parts")
        if depth > DEPTH:
            raise TooMany(f"its parts nest deeper than {DEPTH}")
        kind = next(iter(part.get_content_type().split()), "text/plain")  # nothing may be glued to it
        payload = payload_of(part)
        if kind.startswith("multipart/") and isinstance(payload, list):
            inside = [one for one in payload if isinstance(one, Message)]
            return self._several(kind, part, [*inside, *self._below(part)], depth)
        if kind.startswith("multipart/"):
            return self._without_boundary(part, depth)
        if kind.startswith("message/") and kind not in _REPORTS and isinstance(payload, list):
            self._mail_in_mail(part, payload)
            return _Texts()
        return self._leaf(kind, part)

    def _below(self, part: Message) -> list[Message]:
        boundary = _parameter(part, "boundary")
        if self._mended >= _MENDED or not isinstance(boundary, str):
            return []
        found = mending.below(part, boundary)
        self._mended += bool(found)
        return found

    def _without_boundary(self, part: Message, depth: int) -> _Texts:
        """It says that it has parts, and none were found where it says so."""
        data = bytes_of(part)
        self._mended += 1
        found = mending.parts(data) if self._mended <= _MENDED else []
        if found:
            return self._several("multipart/mixed", part, found, depth)
        return self._plain(charsets.decode(data, charset_of(part)))

    def _plain(self, text: str) -> _Texts:
        text, frame = mending.unframed(
            text.replace("\r\n", "\n").replace("\r", "\n").replace(BOUNDARY, "").replace(PART, "")
        )
        if frame:
            self._note(frame)
        text, files = mending.uuencoded(text)
        for name, data in files:
            self._file(name, data, None)
        return _Texts([text], [])

    def _several(self, kind: str, part: Message, inside: list[Message], depth: int) -> _Texts:
        if kind == "multipart/encrypted":
            self._note(mending.ENCRYPTED_PGP)
        elif kind == "multipart/signed":
            smime = "pkcs7" in headers.raw(part, "Content-Type").lower()
            self._note(mending.SIGNED_PGP.replace("OpenPGP", "S/MIME") if smime else mending.SIGNED_PGP)
        read = [(one, self.walk(one, depth + 1)) for one in inside]
        if kind == "multipart/alternative":
            # Each says the same: the plain one to read, the marked one where there is no other, and what is for
            # watches and the like where there is neither.
            common = [(one, t) for one, t in read if one.get_content_type().startswith(_READ_BY_ALL)]
            if any(x.strip() for _, t in common for x in (*t.plain, *t.marked)):
                read = common
            plain = next((t.plain for _, t in read if any(x.strip() for x in t.plain)), [])
            marked = next((t.marked for _, t in reversed(read) if any(x.strip() for x in t.marked)), [])
            return _Texts([_chosen(_Texts(plain, marked))], []) if plain else _Texts([], marked)
        out = _Texts()
        for _, texts in read:  # the parts of a mixed mail follow one another, whatever each is made of
            chosen = _chosen(texts)
            if chosen.strip():
                out.plain += [PART, chosen] if out.plain else [chosen]
        return out

    def _leaf(self, kind: str, part: Message) -> _Texts:
        data = bytes_of(part)
        name = filename(part)
        attached = disposition_of(part) == "attachment" or bool(
            name and kind != "text/html" and kind != "text/plain"
        )
        if kind == "text/plain" and not attached:
            return self._plain(flowed(part, charsets.decode(data, charset_of(part))))
        if kind == "text/html" and not attached:
            self.content.html = True
            return _Texts(
                [], [markup.to_text(charsets.decode(data, charset_of(part) or markup.charset(data)))]
            )
        if kind in ("text/calendar", "application/ics"):
            words = calendars.words(charsets.decode(data, charset_of(part) or "utf-8"))
            self._calendar(name, data, part)
            if words:
                self._note(words)
            return _Texts()
        if kind in ("application/ms-tnef", "application/vnd.ms-tnef") or name.lower() == "winmail.dat":
            return self._tnef(data, name, part)
        if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            sealed = "signed-data" in headers.raw(part, "Content-Type").lower()
            self._note(
                "Signed with S/MIME in one sealed part; it cannot be read here."
                if sealed
                else "This mail is encrypted (S/MIME); it cannot be read here."
            )
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            return _Texts()
        if kind.startswith("text/") and not attached and not name and kind != "text/rfc822-headers":
            return _Texts([charsets.decode(data, charset_of(part))], [])
        if kind in _SEALS or data or name:
            self._file(name, data, part)
        return _Texts()

    def _calendar(self, name: str, data: bytes, part: Message) -> None:
        """Programs send an invitation twice, to be answered and to be saved: it is one file, by the name it has."""
        same = b"\n".join(data.split(b"\r\n")).strip()
        known = self._calendars.get(same)
        if known is None:
            self._calendars[same] = len(self.content.files)
            self._file(name or "invitation.ics", data, part)
        elif name:
            file = self.content.files[known]
            self.content.files[known] = replace(file, name=media.inspect(name, data).name)

    def _tnef(self, data: bytes, name: str, part: Message) -> _Texts:
        opened = tnef.read(data)
        if opened is None:
            self._file(name or "winmail.dat", data, part)
            return _Texts()
        for inner, content in opened.files:
            self._file(inner, content, None)
        if opened.text:
            self.enclosed.plain.append(opened.text)
        elif opened.html:
            self.enclosed.marked.append(markup.to_text(opened.html))
        return _Texts()

    def _mail_in_mail(self, part: Message, payload: list[Any]) -> None:
        inner = payload[0] if payload and isinstance(payload[0], Message) else None
        subject = headers.words(inner, "Subject") if inner is not None else ""
        try:
            data = inner.as_bytes() if inner is not None else b""
        except Exception:  # the writer of a mail that its reader let pass fails in many ways
            data = b""
        name = filename(part) or f"{subject[:80] or 'mail'}.eml"
        if data:
            self._file(name, data, None, "message/rfc822")

    def _file(self, name: str, data: bytes, part: Message | None, kind: str | None = None) -> None:
        if len(self.content.files) >= FILES:
            raise TooMany(f"it has more than {FILES} files")
        declared = part.get_content_type() if part is not None else kind or ""
        verdict = media.inspect(name or f"attachment{_ENDINGS.get(declared, '')}", data)
        content_id = headers.raw(part, "Content-ID").strip("<> ")[:200] if part is not None else ""
        inline = content_id if content_id and verdict.content_type.startswith("image/") else None
        self.content.files.append(
            File(verdict.name, "message/rfc822" if kind else verdict.content_type, data, inline or None)
        )

    def _note(self, words: str) -> None:
        if words not in self.content.notes:
            self.content.notes.append(words)


_ENDINGS = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "application/pdf": ".pdf",
    "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv", "text/calendar": ".ics", "application/zip": ".zip",
    "audio/mpeg": ".mp3", "video/mp4": ".mp4", "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s", "application/pgp-encrypted": ".asc", "application/pkcs7-mime": ".p7m",
}  # fmt: skip


_NO_LETTER = re.compile(r"[^a-z0-9]")
_ENCODINGS = {
    "base64": "base64",
    "quotedprintable": "quoted-printable",
}  # as they are meant, however they are written


def payload_of(part: Message) -> Any:
    """A part's content as the library holds it. A charset parameter that is no name of anything is taken away."""
    try:
        return part.get_payload()
    except Exception:
        part.del_param("charset")
        return part.get_payload()


def bytes_of(part: Message) -> bytes:
    """A part's content; what its transfer encoding cannot give back is taken as it stands."""
    said = headers.raw(part, "Content-Transfer-Encoding")
    encoding = _ENCODINGS.get(_NO_LETTER.sub("", re.split(r"[;(,]", said[:100])[0].lower()), said)
    if encoding == "base64":
        data = _decoded(part, "")
        found = None if data is None else mending.base64_of(data)
        data = data if found is None else found
    else:
        data = _decoded(part, encoding)
    if data is not None:
        return data
    payload = payload_of(part)
    return payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""


def _decoded(part: Message, encoding: str) -> bytes | None:
    """By that encoding, whatever the part says; by none where it is empty."""
    said = part.get("Content-Transfer-Encoding")
    if said is not None:
        del part["Content-Transfer-Encoding"]
    if encoding:
        part["Content-Transfer-Encoding"] = encoding
    try:
        data = part.get_payload(decode=True)
    except Exception:  # the library's decoders raise what they like
        data = None
    if encoding:
        del part["Content-Transfer-Encoding"]
    if said is not None:
        part["Content-Transfer-Encoding"] = said
    return data if isinstance(data, bytes) else None


def _parameter(
    part: Message, name: str, header: str = "Content-Type"
) -> str | tuple[str | None, str | None, str] | None:
    """The library's reading (a triple where RFC 2231 is used), which fails in its own ways over what is broken."""
    if len(headers.raw(part, header)) >= headers.VALUE_CHARS:
        return None
    try:
        return part.get_param(name, header=header)
    except Exception:
        return None


def charset_of(part: Message) -> str | None:
    found = _parameter(part, "charset")
    return found[2] if isinstance(found, tuple) else found if isinstance(found, str) else None


def disposition_of(part: Message) -> str:
    return headers.raw(part, "Content-Disposition").partition(";")[0].strip().lower()


def filename(part: Message) -> str:
    """The name that a part gives itself, in any of the ways (RFC 2231, RFC 2047 against RFC 2231's word); or empty."""
    for name, parameter in (("Content-Disposition", "filename"), ("Content-Type", "name")):
        if len(headers.raw(part, name)) >= headers.VALUE_CHARS:
            continue
        found = _parameter(part, parameter, name)
        if isinstance(found, tuple):
            charset, _, value = found
            try:
                found = charsets.decode(value.encode("latin-1"), charset)
            except UnicodeEncodeError:
                found = value
        else:
            found = headers.as_text(part, found) if found else None
        if isinstance(found, str) and found.strip():
            return headers.decoded(found.strip().strip('"'))[:300]
    return ""


def flowed(part: Message, text: str) -> str:
    """format=flowed (RFC 3676): lines that end in a space go on in the next one of the same quote depth."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if str(_parameter(part, "format") or "").lower() != "flowed":
        return text
    deletes = str(_parameter(part, "delsp") or "").lower() == "yes"
    out: list[str] = []
    joins = False
    depth_before = 0
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        if joins and out and depth == depth_before and bare != "-- ":
            out[-1] = (out[-1][:-1] if deletes else out[-1]) + bare
        else:
            out.append((">" * depth + " " + bare) if depth else bare)
        joins = bare.endswith(" ") and bare != "-- "
        depth_before = depth
    return "\n".join(line.rstrip() if line != "-- " else line for line in out)
