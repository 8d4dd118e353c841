"""Mails out of a folder: small ones together, large and suspicious ones alone and by pieces.

One that ends the connection, or does not come, is tried again by itself; after three tries it is given up with what
there is of it, so that it holds up no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.mail.imap import Folder, Listed, NotDone, Session, Unreachable
from connectors.mail.mime import MAIL_BYTES
from connectors.mail.taking import Mail
from hub import clock as clocks
from hub import log

_log = log.get("mail")

TRIES = 3  # of one mail that the server cannot give, or that ends the connection
SMALL_BYTES = 1 << 20  # up to here mails are fetched together
BATCH, BATCH_BYTES = 50, 8 << 20


class Broken(Exception):
    """One mail ended the connection, or cannot be had yet."""

    def __init__(self, uid: int, why: str) -> None:
        self.uid = uid
        super().__init__(why)


@dataclass
class Trouble:
    """A mail that does not come: how often it was tried, what there is of it."""

    tries: int = 0
    why: str = ""
    have: bytearray = field(default_factory=bytearray)


class Fetcher:
    """Of one folder as it was made: `troubles` and what to be careful with are told by UID, over all connections."""

    def __init__(self, account: str, folder: str, clock: clocks.Clock) -> None:
        self._account, self._folder, self._clock = account, folder, clock
        self.troubles: dict[int, Trouble] = {}
        self._careful = 0  # up to this UID mails are fetched one by one

    def batches(self, uids: Sequence[int], listed: Mapping[int, Listed]) -> Iterable[list[int]]:
        """In the order of UIDs: small mails together, large and suspicious ones alone."""
        batch: list[int] = []
        size = 0
        for uid in uids:
            if uid not in listed:  # expunged since
                continue
            one = listed[uid].size
            if uid <= self._careful or uid in self.troubles or not 0 < one <= SMALL_BYTES:
                if batch:
                    yield batch
                yield [uid]
                batch, size = [], 0
                continue
            if len(batch) >= BATCH or size + one > BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(uid)
            size += one
        if batch:
            yield batch

    def fetch(
        self, session: Session, folder: Folder, uids: Sequence[int], listed: Mapping[int, Listed]
    ) -> list[tuple[int, Mail]]:
        """Those of a batch that are still there. Raises Broken where one of them ended it, Unreachable."""
        if len(uids) == 1:
            mail = self._one(session, folder, uids[0], listed[uids[0]])
            return [(uids[0], mail)] if mail is not None else []
        try:
            found = session.whole(uids)
        except Unreachable:
            self._careful = max(self._careful, uids[-1])  # one of them may be what ended it
            raise
        except NotDone:
            middle = len(uids) // 2
            return [
                *self.fetch(session, folder, uids[:middle], listed),
                *self.fetch(session, folder, uids[middle:], listed),
            ]
        # One that is not among them is gone, or was left out by a server in trouble: asked for alone, it tells.
        out = []
        for uid in uids:
            if uid in found:
                out.append((uid, self._mail(found[uid], listed[uid])))
            elif (mail := self._one(session, folder, uid, listed[uid])) is not None:
                out.append((uid, mail))
        return out

    def done(self, uids: Sequence[int]) -> None:
        """They were taken: there is no trouble with them any more."""
        for uid in uids:
            self.troubles.pop(uid, None)

    def _one(self, session: Session, folder: Folder, uid: int, listed: Listed) -> Mail | None:
        """One mail, by pieces; None where it was expunged. Raises Broken while there is hope."""
        trouble = self.troubles.get(uid, Trouble())
        if trouble.tries >= TRIES:
            return self._given_up(session, folder, uid, trouble, self._arrived(listed))
        had = len(trouble.have)
        self.troubles[uid] = trouble
        try:
            there = session.piecewise(uid, trouble.have, MAIL_BYTES)
        except (Unreachable, NotDone) as error:
            trouble.why = str(error)
            trouble.tries += len(trouble.have) == had  # what gets on is no trouble
            self._careful = max(self._careful, uid)
            raise Broken(uid, str(error)) from error
        if not there:
            if not session.list([uid]):
                return None
            trouble.why, trouble.tries = "the server lists it and gives nothing", trouble.tries + 1
            raise Broken(uid, trouble.why)
        raw = bytes(trouble.have)
        if len(raw) > MAIL_BYTES:
            raw = raw[: MAIL_BYTES // 50]
            why = f"A mail with more than {MAIL_BYTES:,} bytes: only its beginning was fetched."
            key = hashlib.sha256(b"too large\n" + raw).hexdigest()
            return Mail(raw=raw, received_at=self._arrived(listed), why=why, key=key)
        return self._mail(raw, listed)

    def _mail(self, raw: bytes, listed: Listed) -> Mail:
        return Mail(raw=raw, received_at=self._arrived(listed))

    def _arrived(self, listed: Listed) -> datetime:
        """When the mailbox got it, never after now: that is how long the customer has waited."""
        now = self._clock()
        return min(listed.at, now) if listed.at is not None and listed.at.year > 1990 else now

    def _given_up(
        self, session: Session, folder: Folder, uid: int, trouble: Trouble, arrived: datetime
    ) -> Mail:
        """It goes to quarantine with what can be had of it, and the others go on."""
        raw = bytes(trouble.have)
        if not raw and trouble.tries == TRIES:
            # Should asking for the header end the connection too, the next turn asks no more.
            trouble.tries += 1
            try:
                raw = session.head(uid)
            except NotDone:
                raw = b""
            except Unreachable as error:
                raise Broken(uid, str(error)) from error
        where = f"UID {uid} of {self._folder}"
        _log.error("a mail cannot be fetched and is set aside", account=self._account, uid=uid)
        return Mail(
            raw=raw or f"{where} could not be fetched.\n".encode(),
            received_at=arrived,
            why=f"A mail that could not be fetched after {TRIES} tries ({where}): {trouble.why}",
            key=f"imap:{folder.validity}:{uid}",
        )


def look_up(session: Session, uids: Sequence[int]) -> Mapping[int, Listed]:
    """What is there of these; where the server cannot say it of all together, of each."""
    try:
        return session.list(uids)
    except NotDone:
        found: dict[int, Listed] = {}
        for uid in uids:
            try:
                found |= session.list([uid])
            except NotDone:
                found[uid] = Listed(0, None)  # its turn comes, and tells
        return found
