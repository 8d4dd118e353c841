"""DKIM signatures (RFC 6376), for mail servers that do not sign by themselves."""

from __future__ import annotations

import re

import dkim

from hub.errors import SendCode, SendError

# What a reader sees and what threads by. Twice: nobody may add a second one underneath the signature (8.15).
_ONCE_MORE = (b"from", b"subject", b"to", b"date")
_SIGNED = (
    *_ONCE_MORE,
    b"cc",
    b"reply-to",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"mime-version",
    b"content-type",
    b"auto-submitted",
    b"list-unsubscribe",  # RFC 8058, 4: both must be under a signature
    b"list-unsubscribe-post",
)


def signed(mail: bytes, selector: str, domain: str, key: str) -> bytes:
    """The mail with its DKIM-Signature in front. key: an RSA private key in PEM, its line ends real or written `\\n`.

    Raises SendError(CHANNEL_CONFIG) where the key cannot be read.
    """
    head = mail.partition(b"\r\n\r\n")[0]
    there = [name.lower() for name in re.findall(rb"^([!-9;-~]+):", head, re.MULTILINE)]
    include = [name for name in _SIGNED if name in there]
    include += [name for name in _ONCE_MORE if name in there]
    try:
        header = dkim.sign(
            mail,
            selector.encode("idna"),
            domain.encode("idna"),
            key.replace("\\n", "\n").replace("\r", "").encode(),
            include_headers=include,
            canonicalize=(b"relaxed", b"relaxed"),  # servers on the way fold headers and trim line ends
        )
    except (dkim.DKIMException, ValueError, IndexError, KeyError, TypeError) as error:
        raise SendError(
            SendCode.CHANNEL_CONFIG,
            f"the DKIM key cannot be used: {type(error).__name__}",
            whole_account=True,
        ) from None
    return bytes(header) + mail
