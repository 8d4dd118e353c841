"""What is broken or older than MIME, read as its writer meant it. Pure, linear in the size; nothing here raises.

Boundaries that are not the ones announced, base64 that was cut or added to, uuencoded files within the text, and
OpenPGP's own frames around a text (RFC 9580, 7).
"""

from __future__ import annotations

import binascii
import re
from email import message_from_bytes
from email.message import Message

from connectors.mail import headers
from connectors.mail.quotes import BOUNDARY

_DELIMITER = re.compile(
    rb"^--([^\s\"\\][^\r\n\"\\]{0,69})\r?\n(?=[A-Za-z][A-Za-z0-9\-]{1,60}:|\r?\n)", re.MULTILINE
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_PADDING = re.compile(rb"=+")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_SPACED = re.compile(
    rb"^(From|To|Cc|Subject|Date|Message-ID|Reply-To|In-Reply-To|References|MIME-Version|Content-[a-z\-]{1,40})[ \t]+:",
    re.IGNORECASE | re.MULTILINE,
)
_FROM = re.compile(rb"^From[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb"[!-9;-~]+:|[ \t]|>?From ")
_UU_BEGIN = re.compile(r"begin [0-7]{3,4} (\S[^\n]{0,200})")
_UU_FILES = 50
_SIGNED, _SIGNATURE = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
_LOCKED = "-----BEGIN PGP MESSAGE-----"

SIGNED_PGP = "Signed with OpenPGP; the signature is kept and was not checked."
ENCRYPTED_PGP = "This mail is encrypted (OpenPGP); it cannot be read here."


def header(raw: bytes) -> bytes:
    """`raw` with a header that the library reads to its end. It takes no blank before a colon (RFC 5322, 4.5, has it),
    and a line that is no field for the beginning of the text, though who wrote it stands below."""
    end = _HEAD_END.search(raw)
    head = raw[: end.start()] if end else raw
    mended = _SPACED.sub(rb"\1:", head)
    sender = _FROM.search(mended)
    if sender:
        above = mended[: sender.start()].split(b"\n")
        fields = [line if not line.strip() or _FIELD.match(line) else b"X-Unread: " + line for line in above]
        mended = b"\n".join(fields) + mended[sender.start() :]
    return raw if mended == head else mended + raw[len(head) :]


def parts(data: bytes) -> list[Message]:
    """The parts in the content of a multipart whose boundary is missing or another one; none where there are none."""
    match = _DELIMITER.search(data)
    if match is None:
        return []
    boundary = match[1].rstrip()
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    inside = message_from_bytes(head + data, policy=headers.POLICY).get_payload()
    return [one for one in inside if isinstance(one, Message)] if isinstance(inside, list) else []


def below(part: Message, boundary: str) -> list[Message]:
    """The parts below the end of a multipart: one inside it bears the same boundary, and its end was taken for both."""
    rest = part.epilogue
    if not boundary or not isinstance(rest, str) or f"--{boundary}" not in rest:
        return []
    return parts(rest.encode("utf-8", "surrogateescape"))


def base64_of(data: bytes) -> bytes | None:
    """What `data` encodes, up to the first line of plain words (servers add footers); None where it is all words."""
    joined = b"".join(data.split())
    if not _BASE64.fullmatch(joined) or b" " in data.strip():
        good: list[bytes] = []
        for line in data.splitlines():
            bare = line.strip()
            if bare and (b" " in bare or bare.startswith((b"__", b"--"))):
                break
            good.append(_NOT_BASE64.sub(b"", bare))
        joined = b"".join(good)
        if not joined:
            return None
    if b"=" not in joined.rstrip(b"="):
        return _whole(joined.rstrip(b"="))
    return b"".join(_whole(one) for one in _PADDING.split(joined))  # two encodings, one below the other


def _whole(joined: bytes) -> bytes:
    """Without the characters at the end that make no byte."""
    if len(joined) % 4 == 1:
        joined = joined[:-1]
    try:
        return binascii.a2b_base64(joined + b"=" * (-len(joined) % 4))
    except binascii.Error:
        return b""


def uuencoded(text: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text without the files that stand in it as "begin 644 name … end", and these."""
    if "\nend" not in text or "begin " not in text:
        return text, []
    kept: list[str] = []
    files: list[tuple[str, bytes]] = []
    held: list[str] | None = None  # the lines of a file that has begun
    data = bytearray()
    name = ""
    for line in text.split("\n"):
        if held is None:
            match = _UU_BEGIN.fullmatch(line) if line.startswith("begin ") else None
            if match is None or len(files) >= _UU_FILES:
                kept.append(line)
            else:
                held, name = [line], match[1].strip()
                data.clear()
            continue
        held.append(line)
        if line.rstrip() == "end":
            files.append((name, bytes(data)))
            held = None
            continue
        decoded = _uu_line(line)
        if decoded is None:  # no such file after all
            kept.extend(held)
            held = None
        else:
            data += decoded
    kept.extend(held or ())
    return "\n".join(kept), files


def _uu_line(line: str) -> bytes | None:
    """What a line holds. Some programs fill the last bytes of a line with whatever was there before."""
    for said in (line, line[: ((ord(line[0]) - 32 & 63) * 4 + 5) // 3] if line else line):
        try:
            return binascii.a2b_uu(said)
        except ValueError:
            continue
    return None


def unframed(text: str) -> tuple[str, str]:
    """The text without OpenPGP's frame, what it was (a sentence, or empty). The signature stays, folded away."""
    lines = text.split("\n")
    if _LOCKED in text and any(line.rstrip() == _LOCKED for line in lines):
        return text, ENCRYPTED_PGP
    if _SIGNED not in text or _SIGNATURE not in text:
        return text, ""
    bare = [line.rstrip() for line in lines]
    if _SIGNED not in bare or _SIGNATURE not in bare:
        return text, ""
    start, end = bare.index(_SIGNED), bare.index(_SIGNATURE)
    if end < start:
        return text, ""
    first = next((at for at in range(start + 1, end) if not bare[at]), start)
    said = [line.removeprefix("- ") for line in lines[first + 1 : end]]
    return "\n".join([*lines[:start], *said, BOUNDARY, *lines[end:]]), SIGNED_PGP
