"""Who may enter the desk: one-time links, passwords, sessions. Stored hashed: a dump of the store opens nothing.

A token is 256 random bits, so a plain SHA-256 is enough for it; passwords are the short thing that needs argon2. Every
function is one short transaction of its own and may be called from any process. Times are the caller's `now`.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION
from sqlalchemy import Connection, delete, insert, or_, select, update

from crm_store.db import Store
from crm_store.schema import credentials, desk_sessions, login_links
from crm_store.statements import inserting
from hub.errors import Refused

LINK_LIFE = timedelta(hours=1)
IDLE = timedelta(hours=4)  # longer than a meeting and a lunch, shorter than a night
ABSOLUTE = timedelta(hours=16)  # one long shift
_TOUCH = timedelta(minutes=1)  # last_used_at is written at most this often: reading a page should not write
TRIES = 5
LOCK = timedelta(minutes=15)  # 5 guesses in 15 minutes are 480 a day
PASSWORD_CHARS = (12, 200)

_hasher = PasswordHasher()  # argon2id with the library's defaults (RFC 9106, low-memory profile)


def _nobodys(hasher: PasswordHasher) -> str:
    """What an unknown name is compared with, so that it takes as long as a known one: of no password, since it is
    drawn and not reckoned (which would take every process that imports this 64 MB and a tenth of a second)."""
    salt, reckoned = (
        b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${reckoned}"


_NOBODY = _nobodys(_hasher)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A logged-in browser. `csrf` stands in every form it is given."""

    agent: str
    csrf: str
    created_at: datetime
    expires_at: datetime


class Check(StrEnum):
    """What became of a password."""

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


# ------------------------------------------------------------------------------------------------ one-time links


def make_link(store: Store, agent: str, now: datetime, life: timedelta = LINK_LIFE) -> str:
    """The token of a new link that logs `agent` in once: `<desk address>/login/<token>`."""
    token = secrets.token_urlsafe(32)

    def work(tx: Connection) -> None:
        tx.execute(delete(login_links).where(login_links.c.expires_at < now - timedelta(days=1)))
        tx.execute(insert(login_links).values(token_hash=_hash(token), agent=agent, expires_at=now + life))

    store.run(work)
    return token


def whose_link(store: Store, token: str, now: datetime) -> str | None:
    """Whom `token` would log in, without using it; None where it is unknown, used or too old."""
    with store.read() as tx:
        return tx.scalar(
            select(login_links.c.agent).where(
                login_links.c.token_hash == _hash(token),
                login_links.c.used_at.is_(None),
                login_links.c.expires_at > now,
            )
        )


def use_link(store: Store, token: str, now: datetime) -> str | None:
    """Use the link up. Its agent for the one caller who came first; None for everybody else."""

    def work(tx: Connection) -> str | None:
        used = tx.execute(
            update(login_links)
            .where(
                login_links.c.token_hash == _hash(token),
                login_links.c.used_at.is_(None),
                login_links.c.expires_at > now,
            )
            .values(used_at=now)
        )
        if used.rowcount != 1:
            return None
        return tx.scalar(select(login_links.c.agent).where(login_links.c.token_hash == _hash(token)))

    return store.run(work)


# ------------------------------------------------------------------------------------------------------ passwords


def set_password(store: Store, agent: str, password: str, now: datetime) -> None:
    """Give `agent` this password and end every session of theirs. Raises Refused where it is too short or too long."""
    shortest, longest = PASSWORD_CHARS
    if not shortest <= len(password) <= longest:
        raise Refused(f"A password has {shortest} to {longest} characters.")
    hashed = _hasher.hash(password)

    def work(tx: Connection) -> None:
        fresh = {"password_hash": hashed, "failures": 0, "locked_until": None, "changed_at": now}
        mine = inserting(tx, credentials).values(agent=agent, **fresh)
        tx.execute(mine.on_conflict_do_update(index_elements=[credentials.c.agent], set_=fresh))
        tx.execute(delete(desk_sessions).where(desk_sessions.c.agent == agent))

    store.run(work)


def has_password(store: Store, agent: str) -> bool:
    with store.read() as tx:
        return tx.scalar(select(credentials.c.agent).where(credentials.c.agent == agent)) is not None


def check_password(store: Store, agent: str, password: str, now: datetime) -> Check:
    """Is it `agent`'s password? After five wrong ones, none is even looked at for a quarter of an hour.

    The try is counted before it is checked: a hundred guesses sent at once are still five.
    """

    def reserve(tx: Connection) -> tuple[str | None, bool]:
        free = or_(credentials.c.locked_until.is_(None), credentials.c.locked_until <= now)
        counted = tx.execute(
            update(credentials)
            .where(credentials.c.agent == agent, free)
            .values(failures=credentials.c.failures + 1, locked_until=None)
        )
        row = tx.execute(
            select(credentials.c.password_hash, credentials.c.failures).where(credentials.c.agent == agent)
        ).first()
        if row is None:
            return None, False
        if counted.rowcount != 1:
            return None, True
        if row.failures >= TRIES:
            tx.execute(
                update(credentials)
                .where(credentials.c.agent == agent)
                .values(failures=0, locked_until=now + LOCK)
            )
        return row.password_hash, False

    hashed, locked = store.run(reserve)
    right = _verify(hashed or _NOBODY, password[: PASSWORD_CHARS[1]])
    if locked:
        return Check.LOCKED
    if hashed is None or not right:
        return Check.WRONG
    renewed = _hasher.hash(password) if _hasher.check_needs_rehash(hashed) else hashed
    store.run(
        lambda tx: tx.execute(
            update(credentials)
            .where(credentials.c.agent == agent, credentials.c.password_hash == hashed)
            .values(failures=0, locked_until=None, password_hash=renewed)
        )
    )
    return Check.RIGHT


def _verify(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


# ------------------------------------------------------------------------------------------------------- sessions


def open_session(
    store: Store, agent: str, now: datetime, instead_of: str | None = None
) -> tuple[str, Session]:
    """A new session under a new token; the one it replaces ends. Returns (token, session)."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    session = Session(agent=agent, csrf=csrf, created_at=now, expires_at=now + ABSOLUTE)

    def work(tx: Connection) -> None:
        tx.execute(delete(desk_sessions).where(desk_sessions.c.expires_at <= now))
        if instead_of:
            tx.execute(delete(desk_sessions).where(desk_sessions.c.token_hash == _hash(instead_of)))
        tx.execute(
            insert(desk_sessions).values(
                token_hash=_hash(token),
                agent=agent,
                csrf=csrf,
                created_at=now,
                last_used_at=now,
                expires_at=session.expires_at,
            )
        )

    store.run(work)
    return token, session


def find_session(store: Store, token: str, now: datetime, *, use: bool = True) -> Session | None:
    """The live session of `token`, or None. `use` False looks without keeping it from going idle: a page's polling."""
    with store.read() as tx:
        row = tx.execute(select(desk_sessions).where(desk_sessions.c.token_hash == _hash(token))).first()
    if row is None or row.expires_at <= now or row.last_used_at + IDLE <= now:
        return None
    if use and row.last_used_at + _TOUCH <= now:
        store.run(
            lambda tx: tx.execute(
                update(desk_sessions)
                .where(desk_sessions.c.token_hash == row.token_hash)
                .values(last_used_at=now)
            )
        )
    return Session(agent=row.agent, csrf=row.csrf, created_at=row.created_at, expires_at=row.expires_at)


def close_session(store: Store, token: str) -> None:
    """Log this browser out. Twice is harmless."""
    store.run(lambda tx: tx.execute(delete(desk_sessions).where(desk_sessions.c.token_hash == _hash(token))))


def close_sessions(store: Store, agent: str) -> None:
    """Log `agent` out everywhere."""
    store.run(lambda tx: tx.execute(delete(desk_sessions).where(desk_sessions.c.agent == agent)))
