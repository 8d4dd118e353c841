"""What the server keeps: its clock, its identifiers, and the records that a test looks at."""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
import time
from dataclasses import dataclass, field

from tests.servers.graph.errors import Json

DAY_S = 86_400
WINDOW_S = DAY_S  # the customer service window, from the customer's last message
AGENT_WINDOW_S = 7 * DAY_S  # HUMAN_AGENT, and a private reply to a comment


class Clock:
    """Seconds of the Unix epoch: the machine's, moved on by `passes`."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return time.time() + self.offset

    def passes(self, seconds: float) -> None:
        self.offset += seconds


class Ids:
    """Identifiers of Meta's shapes, never twice the same."""

    def __init__(self) -> None:
        self._next = itertools.count(int(secrets.randbelow(10**9)) + 10**9)

    def number(self, prefix: str = "10") -> str:
        """Graph's numeric ids, 15 to 17 digits."""
        return f"{prefix}{next(self._next):013d}"

    def wamid(self) -> str:
        return "wamid." + base64.b64encode(b"\x1d\x05" + secrets.token_bytes(30)).decode()

    def mid(self) -> str:
        return "m_" + secrets.token_urlsafe(48)

    def igmid(self) -> str:
        return base64.urlsafe_b64encode(b"ig_dm" + secrets.token_bytes(46)).decode()

    def bsuid(self, country: str, *, parent: bool = False) -> str:
        return f"{country}.{'ENT.' if parent else ''}1{next(self._next):019d}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call as it came. account: the id of whose it was, "" where nobody's. code: Meta's error, 0 for none."""

    method: str
    path: str
    version: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json
    account: str = ""
    status: int = 200
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One accepted message. to: a phone, a BSUID, a PSID, an IGSID, or a comment's id; user: whom it reached."""

    id: str
    account: str
    platform: str
    to: str
    user: str
    kind: str
    text: str
    body: Json
    at: float
    reply_to: str = ""
    opaque: str = ""  # biz_opaque_callback_data, or Messenger's metadata
    media: str = ""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """One send that was refused, in the answer, or (later) in a failed report."""

    account: str
    code: int
    subcode: int | None
    body: Json
    later: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is not a message: "read", "typing_on", "typing_off", "mark_seen", "react", "unreact", "typing"."""

    account: str
    kind: str
    of: str


@dataclass(kw_only=True)
class Media:
    """A file at Meta. owner: the account that may fetch it."""

    id: str
    owner: str
    content: bytes
    mime: str
    at: float
    filename: str = ""
    life_s: float = 30 * DAY_S

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(kw_only=True)
class Comment:
    """A public comment on a post of the account, or (media) on a medium on which it is mentioned."""

    id: str
    account: str
    author: str
    name: str
    post: str
    text: str
    at: float
    parent: str = ""
    ours: bool = False
    hidden: bool = False
    removed: bool = False
    private_reply: str = ""
    replies: list[str] = field(default_factory=list)
