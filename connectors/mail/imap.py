"""One connection to a mailbox (RFC 3501, 9051). Blocking: it lives in the mailbox's own thread.

A mail is named by (UIDVALIDITY, UID), never by a sequence number, a date or \\Seen; fetching leaves every flag alone
(BODY.PEEK). What the library raises becomes one of the errors below, by what the caller can do about it.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from connectors.mail import settings
from connectors.mail.place import Place
from hub.errors import MainstemError

CONNECT_S, ANSWER_S = 15.0, 45.0
SLICE_S = 1.0  # of a wait
KEYWORD = "$MainstemDone"  # on a mail that the store has, where `done: keyword`
PIECE_BYTES = 1 << 20  # of a large mail at a time, so that a lost connection costs no more

_AT_ONCE = 40_000  # UIDs in one answer: imaplib takes lines of at most a million characters
_TEMPORARY = re.compile(
    r"\[(UNAVAILABLE|INUSE|LIMIT|SERVERBUG|EXPIRED)\]|too many|try again|temporar", re.IGNORECASE
)


class LoginRefused(MainstemError):
    """The server knows us not, or no more. Trying again soon changes nothing, and may lock the account."""


class Unreachable(MainstemError):
    """No connection, or one that broke. A new one may work."""


class NotDone(MainstemError):
    """The server answered, and the answer is no (or makes no sense)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder as it was selected. keywords: whether marks of our own can be kept."""

    validity: int
    next_uid: int
    mails: int
    keywords: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """What the server says of a mail before it is fetched. Some servers only guess the size."""

    size: int
    at: datetime | None


class Session:
    """A connection, logged in. `with` closes it."""

    def __init__(self, client: IMAPClient, where: Place) -> None:
        self._client = client
        self._place = where
        self._stirred_at = 1

    @classmethod
    def open(cls, where: Place, password: str | None, token: str | None = None) -> Self:
        """Connect and log in. Raises Unreachable or LoginRefused."""
        with _told():
            server = where.server
            context = ssl.create_default_context()
            if server.ca:
                context.load_verify_locations(server.ca)
            client = IMAPClient(
                server.host, server.port, ssl=server.tls == settings.TLS, ssl_context=context,
                timeout=SocketTimeout(CONNECT_S, ANSWER_S),
            )  # fmt: skip
        client.normalise_times = False  # INTERNALDATE with its zone
        client._imap.debug = 0  # it would format every line, the password's too, for a log that nobody reads
        session = cls(client, where)
        try:
            _keep_alive(client.socket())
            with _told():
                if server.tls == settings.STARTTLS:
                    if not client.has_capability("STARTTLS"):
                        raise NotDone("the mail server offers no STARTTLS: nothing is sent in the clear")
                    client.starttls(context)
            session._login(password, token)
        except BaseException:
            session.close()
            raise
        return session

    def _login(self, password: str | None, token: str | None) -> None:
        try:
            if token is not None:
                self._client.oauth2_login(self._place.server.user, token)
            else:
                self._client.login(self._place.server.user, password or "")
            with _told():
                self._client._cached_capabilities = None  # most tell more to those they know
        except (OSError, imaplib.IMAP4.abort) as error:
            raise Unreachable(_words(error)) from error
        except IMAPClientError as error:
            if isinstance(error.__context__, imaplib.IMAP4.abort | OSError) or _TEMPORARY.search(str(error)):
                raise Unreachable(_words(error)) from error
            raise LoginRefused(f"the server refuses the login: {_words(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(polite=error is None)

    def close(self, *, polite: bool = False) -> None:
        """polite: say goodbye first, which a dead server would let us wait for."""
        with contextlib.suppress(Exception):
            if polite:
                self._client.socket().settimeout(2.0)
                self._client.logout()
        with contextlib.suppress(Exception):
            self._client.shutdown()

    def can(self, capability: str) -> bool:
        with _told():
            return bool(self._client.has_capability(capability))

    # ---------------------------------------------------------------------------------------------------- reading

    def select(self) -> Folder:
        """Look at the folder afresh. Raises NotDone where there is none of that name."""
        with _told():
            said = self._client.select_folder(self._place.folder, readonly=self._place.done == "nothing")
        self._stirred_at = 1
        flags = {bytes(flag).lower() for flag in said.get(b"PERMANENTFLAGS", ())}
        if b"UIDVALIDITY" not in said:
            raise NotDone("the server gives no UIDVALIDITY (RFC 3501, 2.3.1.1)")
        return Folder(
            validity=said[b"UIDVALIDITY"],
            next_uid=said.get(b"UIDNEXT") or 0,
            mails=said.get(b"EXISTS", 0),
            keywords=b"\\*" in flags or KEYWORD.lower().encode() in flags,
        )

    def stirred(self) -> bool:
        """Did the server say, amid other answers since the last call, that the folder grew?"""
        said = len(self._client._imap.untagged_responses.get("EXISTS", ()))
        grown, self._stirred_at = said > self._stirred_at, max(said, 1)
        return grown

    def after(self, uid: int, folder: Folder) -> list[int]:
        """UIDs above `uid`, ascending. ("9:*" also gives the last mail where all are below 9.)"""
        found: list[int] = []
        for low, high in _windows(uid + 1, folder):
            found += self._search(["UID", f"{low}:{high}"])
        return sorted({one for one in found if one > uid})

    def before_since(self, since: datetime | None, folder: Folder) -> int:
        """The UID after which reading begins so that every mail which came at or after `since` is read."""
        if since is None:
            return 0
        newest = max(folder.next_uid - 1, 0)
        if folder.mails == 0:
            return newest
        day = (since - timedelta(days=1)).date()  # the server's own days, in a zone that we do not know
        near = sorted(self._search(["SINCE", day]))
        for chunk in _chunks(near, 500):
            listed = self.list(chunk)
            hit = next((uid for uid in chunk if uid in listed and (listed[uid].at or since) >= since), None)
            if hit is not None:
                return hit - 1
        return max([newest, *near]) if newest or near else max(self._search(["ALL"]), default=0)

    def unmarked(self, uid: int, folder: Folder, most: int) -> list[int]:
        """The last `most` mails up to `uid` that do not bear the mark of those which the store has."""
        done = self._place.done
        if uid < 1 or done == "nothing" or (done == "keyword" and not folder.keywords):
            return []
        words = {"keyword": ["UNKEYWORD", KEYWORD], "seen": ["UNSEEN"]}.get(done, ["ALL"])
        return sorted(one for one in self._search(["UID", f"1:{uid}", *words]) if one <= uid)[-most:]

    def _search(self, words: list[Any]) -> list[int]:
        with _told():
            return list(self._client.search(words))

    def list(self, uids: Sequence[int]) -> dict[int, Listed]:
        """Sizes and arrival times of those that are still there."""
        with _told():
            said = self._client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE"])
        return {
            uid: Listed(int(what.get(b"RFC822.SIZE") or 0), _utc(what.get(b"INTERNALDATE")))
            for uid, what in said.items()
        }

    def whole(self, uids: Sequence[int]) -> dict[int, bytes]:
        """Small mails, together. One that is missing was expunged."""
        with _told():
            said = self._client.fetch(uids, ["BODY.PEEK[]"])
        return {uid: what[b"BODY[]"] for uid, what in said.items() if isinstance(what.get(b"BODY[]"), bytes)}

    def piecewise(self, uid: int, have: bytearray, limit: int) -> bool:
        """Fetch on from what we have, to the end or beyond `limit` bytes. False: it was expunged meanwhile.

        What came stays in `have` when the connection breaks.
        """
        while len(have) <= limit:
            asked = f"BODY.PEEK[]<{len(have)}.{PIECE_BYTES}>"
            with _told():
                said = self._client.fetch([uid], [asked]).get(uid)
            if said is None:
                return False
            key = f"BODY[]<{len(have)}>".encode()
            piece = said.get(key)
            if piece is None and not have:
                piece = said.get(b"BODY[]")  # a server that cannot give parts gives it whole
                if isinstance(piece, bytes):
                    have += piece
                    return True
            if not isinstance(piece, bytes):
                return bool(have) and key in said  # NIL: nothing is left
            have += piece
            if len(piece) < PIECE_BYTES:
                return True
        return True

    def head(self, uid: int) -> bytes:
        """Its header alone, where even that can be had."""
        with _told():
            said = self._client.fetch([uid], ["BODY.PEEK[HEADER]"]).get(uid, {})
        found = said.get(b"BODY[HEADER]")
        return found if isinstance(found, bytes) else b""

    # ---------------------------------------------------------------------------------------------------- marking

    def mark(self, uids: Sequence[int], folder: Folder) -> str:
        """Mark what the store has, as `done` says. Returns why it could not, in words; empty where it did."""
        kind, _, to = self._place.done.partition(":")
        try:
            with _told():
                if kind == "keyword":
                    if not folder.keywords:
                        return "the server keeps no keywords"
                    self._client.add_flags(uids, [KEYWORD], silent=True)
                elif kind == "seen":
                    self._client.add_flags(uids, [b"\\Seen"], silent=True)
                elif kind == "move":
                    return self._move(uids, to)
        except NotDone as error:
            return str(error)
        return ""

    def _move(self, uids: Sequence[int], to: str) -> str:
        if not self._client.folder_exists(to):
            self._client.create_folder(to)
        if self._client.has_capability("MOVE"):
            self._client.move(uids, to)
        elif self._client.has_capability("UIDPLUS"):
            self._client.copy(uids, to)
            self._client.add_flags(uids, [b"\\Deleted"], silent=True)
            self._client.uid_expunge(uids)
        else:  # EXPUNGE alone would take other people's deleted mails with ours
            return "the server can neither MOVE nor expunge single mails (UIDPLUS)"
        return ""

    # ---------------------------------------------------------------------------------------------------- waiting

    def wait(self, seconds: float, enough: Callable[[], bool], wake: int) -> None:
        """Until the server says something, `enough()` (asked every second), a byte at `wake`, or the time is over.

        With IDLE (RFC 2177) where there is one. A dead connection may say nothing at all: the next command tells.
        """
        until = time.monotonic() + seconds
        idles = self.can("IDLE")
        with _told():
            heard = False
            if idles:
                self._client.idle()
                heard = self._buffered()
            while not heard and (left := until - time.monotonic()) > 0 and not enough():
                heard = self._readable(min(SLICE_S, left), wake)
            if idles:
                self._client.idle_done()  # reads whatever it was; the library's own idle_check tears lines apart

    def _buffered(self) -> bool:
        """Did more come with the server's go-ahead? The socket would not tell."""
        library, ends = self._client._imap, self._client.socket()
        file = getattr(library, "_file", None) or library.file  # another name since Python 3.14
        ends.setblocking(False)
        try:
            return bool(file.peek(1))
        except OSError:  # nothing there, as TLS says it
            return False
        finally:
            ends.settimeout(ANSWER_S)

    def _readable(self, seconds: float, wake: int) -> bool:
        """Within so long: did anything come, be it the end of the connection?"""
        ends = self._client.socket()
        if isinstance(ends, ssl.SSLSocket) and ends.pending():
            return True
        poller = select.poll()
        poller.register(ends.fileno(), select.POLLIN)
        poller.register(wake, select.POLLIN)
        return bool(poller.poll(seconds * 1000))


def _windows(low: int, folder: Folder) -> Iterator[tuple[int, str]]:
    """Ranges of UIDs, so that no answer is longer than the library takes. One where that cannot happen."""
    if folder.mails < _AT_ONCE:
        yield low, "*"
        return
    step = max(_AT_ONCE, (folder.next_uid - low) // 500)
    while low + step < folder.next_uid:
        yield low, str(low + step - 1)
        low += step
    yield low, "*"


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _utc(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _keep_alive(opened: socket.socket) -> None:
    """A peer that vanished is noticed after some two minutes, though nothing is sent."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 90_000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.IPPROTO_TCP, option, value)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What the library raises, as one of ours."""
    try:
        yield
    except MainstemError:
        raise
    except imaplib.IMAP4.abort as error:
        raise Unreachable(f"the connection broke: {_words(error)}") from error
    except IMAPClientError as error:
        raise NotDone(f"the server says: {_words(error)}") from error
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        raise Unreachable(f"the mail server's certificate is not trusted: {why}") from error
    except ssl.SSLError as error:
        if isinstance(
            error, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):  # in the middle, as any connection may end
            raise Unreachable("the connection broke") from error
        raise Unreachable("no TLS comes about with the mail server: are port and tls right?") from error
    except OSError as error:  # among them time-outs
        raise Unreachable(f"the server does not answer: {_words(error)}") from error
    except (ValueError, KeyError, IndexError, AssertionError, TypeError) as error:
        raise NotDone(f"its answer cannot be read: {type(error).__name__}") from error


def _words(error: BaseException) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said[:200]
