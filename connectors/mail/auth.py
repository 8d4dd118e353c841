"""What our own mail server found out about a mail's sender: SPF, DKIM, DMARC (RFC 8601).

Only the fields that our own server wrote count: those with its authserv-id, and of them only the topmost block, since
anybody can write further ones below (docs/security.md, S9). Without an authserv-id configured, nothing counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from connectors.mail import headers

_METHOD = re.compile(r"\s*(spf|dkim|dmarc|arc|iprev|auth)\s*=\s*([a-z]{2,12})\b", re.IGNORECASE)
_PROPERTY = re.compile(
    r"(?:^|\s)(header\.d|header\.i|header\.from|smtp\.mailfrom)\s*=\s*(\S{1,255})", re.IGNORECASE
)
HOPS = 2  # Received fields above Authentication-Results: the border's own, and one of the store behind it
_SHOWN = ("spf", "dkim", "dmarc")


@dataclass(frozen=True, slots=True)
class Proof:
    """verified: somebody who may vouch for the domain in From: does. said: for agents, such as "spf=pass dkim=pass"."""

    verified: bool
    said: str


def proof(message: Message, sender: str, authserv_id: str | None, hops: int = HOPS) -> Proof:
    """Of the address in From. DMARC pass proves it; so does a DKIM or SPF pass of the very same domain."""
    if not authserv_id:
        return Proof(False, "not checked: the account names no authserv_id")
    ours = _ours(message, authserv_id, hops)
    if not ours:
        return Proof(False, f"not checked: {authserv_id} says nothing of this mail")
    domain = sender.rpartition("@")[2].lower().rstrip(".")
    found: dict[str, str] = {}
    verified = False
    for statements in ours:
        told = dict(found)
        for statement in statements:
            match = _METHOD.match(statement)
            if match is None or (method := match[1].lower()) in told:
                continue  # a field above has spoken of it: one below may be forged
            result = match[2].lower()
            if method not in found or result == "pass":  # a mail may bear several DKIM signatures
                found[method] = result
            if result == "pass" and domain:
                about = {key.lower(): _domain(value) for key, value in _PROPERTY.findall(statement)}
                verified = verified or _aligned(method, about, domain)
    said = " ".join(f"{method}={found[method]}" for method in _SHOWN if method in found)
    if len(headers.mailboxes(headers.every(message, "From"))) != 1:
        return Proof(False, f"{said}, but it names several senders")
    if found.get("dmarc") in ("fail", "reject", "quarantine"):
        verified = False
    if found.get("dmarc") == "pass" and not verified:
        said += ", of another domain than the sender's"
    elif verified and found.get("dmarc") != "pass":
        said += " aligned=pass"  # by a signature or a server of the sender's very domain
    return Proof(verified, said or "nothing was checked")


def _ours(message: Message, authserv_id: str, hops: int) -> list[list[str]]:
    """Our server's own fields: the topmost run of them, and not below the trace of where the mail came in from.

    A border server must take away what claims to be its own (RFC 8601, 5). Should it not, a forged field stands below
    the Received that it wrote itself: `hops` says how many of those our own servers add.
    """
    wanted = authserv_id.strip().lower().rstrip(".")
    out: list[list[str]] = []
    received = 0
    for name, value in message.items():
        field = name.lower()
        if field == "received":
            received += 1
            if out or received > hops:
                break
        if field != "authentication-results":
            continue
        text = " ".join(str(value)[: headers.VALUE_CHARS].split())
        head, *statements = _statements(text)
        host = head.split()
        if host and host[0].lower().rstrip(".") == wanted:
            out.append(statements)
        elif out:
            break
    return out


def _statements(value: str) -> list[str]:
    """What stands between semicolons, without comments (they may nest), and without what could pass for a statement in
    quoted words: the envelope's sender stands there as its writer chose it."""
    out: list[list[str]] = [[]]
    comments = 0
    quoted = escaped = False
    for c in value:
        if escaped:
            escaped = False
            c = "_"
        elif c == "\\" and (quoted or comments):
            escaped = True
            continue
        elif quoted and c != '"':
            c = "_" if c in " \t;=()<>" else c
        elif c == '"' and not comments:
            quoted = not quoted
            continue
        elif c == "(":
            comments += 1
        elif c == ")" and comments:
            comments -= 1
            c = " "
        elif c == ";" and not comments:
            out.append([])
            continue
        if not comments:
            out[-1].append(c)
    return ["".join(one) for one in out]


def _aligned(method: str, about: dict[str, str], domain: str) -> bool:
    if method == "dmarc":
        return about.get("header.from") == domain
    if method == "dkim":
        return domain in (about.get("header.d"), about.get("header.i"))
    return method == "spf" and about.get("smtp.mailfrom") == domain


def _domain(value: str) -> str:
    return value.strip("\"'<>").rpartition("@")[2].lower().rstrip(".")
