"""The contract of a connector, and the ports through which it asks for what it may not reach itself.

A connector is a module with a `CONNECTOR` that satisfies `Connector`, one line in connectors/__init__.py, one test
with payloads and one docs page. verify and parse are pure; send is the only place that speaks to the provider.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import quote

import msgspec

from connectors.kept import Kept
from hub.config import Account, ApprovedText
from hub.errors import MainstemError, SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Cursor, Event, Media, Outgoing, Revision, Sent

if TYPE_CHECKING:
    import aiohttp


class Raw(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as the provider sent it. `url` is rebuilt from our configured public address, never from Host.

    headers: every name in lower case; a header given twice has its values in order.
    """

    method: str
    url: str
    headers: Mapping[str, Sequence[str]]
    body: bytes
    received_at: datetime
    remote: str = ""

    def __repr__(self) -> str:
        """Without URL, headers and body, which may hold tokens and a customer's words."""
        return f"Raw(method={self.method!r}, received_at={self.received_at!r}, remote={self.remote!r})"

    def header(self, name: str) -> str | None:
        """The header's only value. None where it is missing or doubled (a doubled header proves nothing)."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None


class Parsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a request said. `blobs` are bytes named by events (by their sha256), stored before the events are."""

    events: tuple[Event, ...] = ()
    blobs: tuple[bytes, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider is told."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PastMessage:
    """One message of a visitor's own history, as a resuming chat needs it. `seq` only grows."""

    seq: int
    direction: str  # "in" or "out"
    text: str
    at: datetime
    author_name: str = ""
    client_id: str | None = None
    attachments: tuple[tuple[str, str, int, str], ...] = ()  # sha256, name, size_bytes, content_type
    change: int = 0  # which of its changes this is; the highest counts
    gone: bool = False  # taken back


class History(Protocol):
    """The store's answer to: what has been said with this address on this account, after `after`?"""

    async def since(self, account: str, urn: str, after: int, limit: int = 200) -> list[PastMessage]: ...


class Cursors(Protocol):
    """How far a pulled source has been read, as the store knows it. Both raise Unavailable where it does not answer."""

    async def get(self, account: str, name: str) -> str | None: ...

    async def begin(self, account: str, name: str, value: str) -> str:
        """Note where a source begins, unless that is known already; what stands then. Afterwards its events move it."""
        ...


class Live(Protocol):
    """Queue figures for a waiting customer: (people ahead, seconds they may expect), None where unknown."""

    async def wait(self, account: str, urn: str) -> tuple[int, float] | None: ...


class BlobReader(Protocol):
    async def read(self, sha256: str) -> bytes: ...


class Keeps(Protocol):
    """hub.blobs.Blobs.aput: returns the bytes' name once they are on disk; raises Unavailable."""

    async def aput(self, data: bytes) -> str: ...


class Accepts(Protocol):
    """hub.inlet.Inlet.accept: returns once the events are on disk; raises Unavailable where they cannot be."""

    def __call__(self, events: Sequence[Event], cursor: Cursor | None = None) -> Awaitable[None]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """How reading a pulled source goes. why: empty while it goes well; next_at: when it is tried again."""

    at: datetime
    why: str = ""
    next_at: datetime | None = None


class Notes(Protocol):
    """Where that is noted. May raise Unavailable."""

    async def note(self, account: str, health: Health) -> None: ...


def no_link(attachment: Attachment) -> str:
    """Where nobody serves files to the world. Raises SendError(MESSAGE_INVALID)."""
    why = f"{attachment.name or 'the file'} cannot go out: files cannot be sent as links here"
    raise SendError(SendCode.MESSAGE_INVALID, why)


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What a `send` may use: one shared guarded HTTP session, Redis, the blobs and the time.

    public_url: without a slash at its end. link: an address at which a provider or a customer gets this file for some
    time; it ends by itself. kept: where tokens that a provider hands out as we go outlive the process; None where
    nothing does.
    """

    http: aiohttp.ClientSession
    redis: Any
    blobs: BlobReader
    public_url: str
    now: datetime
    link: Callable[[Attachment], str] = no_link
    kept: Kept | None = None

    def inbound(self, account: Account) -> str:
        """What a provider is to call when somebody writes."""
        return f"{self.public_url}/in/{account.connector}/{quote(account.name, safe='')}"


class Connector(Protocol):
    """One channel.

    name: as in `connector/name` and the path `/in/{name}/{account}`.
    secrets: purposes that an account of it must have; an empty secret is refused at start.
    bad_signature: what a forged request is told (401 or 403). unknown_account: 404, or 200 where a provider would
    otherwise unsubscribe us. unavailable: what it is told when the journal cannot be written.
    urn_scheme: the scheme of its addresses.
    methods: what the edge takes at /in/{name}/{account}; GET too where a provider wants a handshake, none where the
    channel has pages of its own instead. derives: its secrets come from the installation's key where YAML names none
    (our own protocols, where no provider hands any out). A connector that `MayHave` more secrets has those besides.
    """

    name: str
    title: str
    urn_scheme: str
    secrets: tuple[str, ...]
    limits: Limits
    bad_signature: int
    unknown_account: int
    unavailable: Answer
    methods: tuple[str, ...]
    derives: bool

    def check(self, account: Account) -> list[str]:
        """Complaints about an account's settings, each one sentence; empty when it can work. Pure."""
        ...

    def verify(self, raw: Raw, account: Account) -> None:
        """Raises Forged unless the request is the provider's, for this account, and fresh. Pure, constant-time."""
        ...

    def parse(self, raw: Raw, account: Account) -> Parsed:
        """The events in a verified request, in the order they happened. Raises Malformed if it cannot be read. Pure.

        Called twice with the same request it gives the same event keys.
        """
        ...

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        """What the provider is told once everything is on disk. Pure."""
        ...

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        """Hand one message to the provider. Returns every provider id, or raises SendError; never retries by itself."""
        ...

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        """Ask the provider whether `message` was sent after all. None: it was not.

        Raises SendError(UNKNOWN) where it cannot be asked; with `retry` where it only cannot be now.
        """
        ...


@runtime_checkable
class MayHave(Protocol):
    """A connector whose accounts may have secrets besides `secrets`; its `check` says which of them must be, by
    `account.secret_names`. They are never derived, and accounts may share them (one OAuth client, one DKIM key)."""

    optional: tuple[str, ...]


@runtime_checkable
class Separate(Protocol):
    """A connector of a provider's where some secrets are one account's alone (one bot's); our own protocols derive
    theirs, and there it holds for all of them."""

    separate: tuple[str, ...]


@runtime_checkable
class Changes(Protocol):
    """A connector whose channel can change what it has sent, or take it back: `limits.edits`, `limits.deletes`."""

    async def change(self, revision: Revision, account: Account, wire: Wire) -> Sent:
        """Let a message of ours read differently, or be gone. Returns the provider ids that it has from now on.

        After a crash or a time-out it is called again with the same revision: that must leave what one call leaves,
        so a message that is gone already counts as taken back, and one that reads so already as changed. Raises
        SendError as `send` does; UNKNOWN is tried again, too. Called only for what the limits say.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file's bytes, and what its source said of it. Who asked looks at the bytes themselves (connectors/media.py)."""

    data: bytes = field(repr=False)
    content_type: str = ""
    name: str = ""


@dataclass(eq=False)
class FetchError(MainstemError):
    """A file did not come. retry: it may yet; after_s: not before. The text is one sentence, without secrets."""

    why: str
    retry: bool = False
    after_s: float | None = None

    def __str__(self) -> str:
        return self.why


@runtime_checkable
class Fetches(Protocol):
    """A connector whose messages name files at the provider (`MessageReceived.media`)."""

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        """The bytes, by connectors/fetching.py and with the provider's credentials, which never follow a redirect to
        another host. Raises FetchError. Called again after a failure or a crash."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Polled:
    """What a look at a provider brought. cursor: how far that was, kept with the events; None: where it was.

    again_s: when to look next, 0 for at once.
    """

    events: tuple[Event, ...] = ()
    blobs: tuple[bytes, ...] = ()
    cursor: str | None = None
    again_s: float = 0.0


@runtime_checkable
class Polls(Protocol):
    """A connector whose provider can be asked for what came in: long polling, or the list of what a webhook missed.

    What it brings has the same event keys as what the webhook brings, so the two may overlap.
    """

    def polls(self, account: Account) -> bool:
        """Is this account asked for? By its settings; pure."""
        ...

    async def poll(self, account: Account, cursor: str | None, wire: Wire) -> Polled:
        """One look, from `cursor` on (None: the first). Raises SendError, whose `after_s` and `retry` are followed.

        The next look is only made when what this one brought is on disk.
        """
        ...


@runtime_checkable
class Shared(Protocol):
    """A connector whose provider sends what concerns several accounts to one address, in one body.

    Accounts of it with a common secret see each other in `account.siblings`: own id -> key.
    """

    def own_id(self, account: Account) -> str:
        """What the provider calls this account in what it sends. Pure."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a look at an account's state at the provider showed. `wrong` says how to cure it, in a sentence or two."""

    what: str
    wrong: str = ""


@runtime_checkable
class Examines(Protocol):
    """A connector that can look, for `mainstem doctor`, whether an account stands at the provider as it should."""

    async def examine(self, account: Account, wire: Wire) -> tuple[Finding, ...]:
        """Its token, its webhook, what is subscribed. Changes nothing. Raises SendError where nobody answers."""
        ...


@runtime_checkable
class Hooks(Protocol):
    """A connector that can tell its provider where to send what comes in (`mainstem channel hook ACCOUNT`)."""

    async def hook(self, account: Account, wire: Wire) -> str:
        """Set it; what was done, in a sentence. Twice is harmless. Raises SendError."""
        ...


@runtime_checkable
class Names(Protocol):
    """A connector whose messages bear no names, and whose provider says them when asked."""

    async def called(self, urn: str, account: Account, wire: Wire) -> str:
        """What somebody who wrote to this account calls themselves; empty where the provider does not say. Raises
        SendError; asked again only where that says `retry`, or that the account must not ask at all."""
        ...


@runtime_checkable
class Approves(Protocol):
    """A connector whose provider approves texts, and that knows what an entry of replies.yaml must look like."""

    def check_template(self, text: ApprovedText) -> list[str]:
        """Complaints as sentences, each naming the cure; for `mainstem config check`. Pure."""
        ...
