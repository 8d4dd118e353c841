"""The configuration as applied: one hashed version with who and when, followed by every process.

Applying is one transaction: the whole folder is valid and stored, the generation grows and conversations of removed
queues move, or nothing changes at all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select, update

from crm_store.conversations import HELD, release
from crm_store.db import Store
from crm_store.schema import config_now, configs, conversation_events, conversations
from crm_store.statements import inserting
from hub import clock, configfiles, log
from hub import files as durable
from hub.config import Brand, Config
from hub.errors import ConfigError, Fault, MainstemError, NotFound, Refused, Unavailable
from hub.ids import Ids

T = TypeVar("T")
Check = Callable[[Config], object]

POLL_S = 0.5
CLOSED = "closed"
_log = log.get("config")


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One configuration that was applied. `generation` is 0 but for the one in force."""

    id: int
    hash: str
    by: str
    at: datetime
    summary: str
    files: Mapping[str, str]
    generation: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """changed: False where this very configuration was in force already. moved: conversations taken to other queues."""

    hash: str
    generation: int
    changed: bool
    moved: int = 0


def apply(
    store: Store,
    files: Mapping[str, str],
    by: str,
    check: Check | Sequence[Check] = (),
    now: Callable[[], datetime] = clock.system,
    folder: str = "config",
) -> Applied:
    """Put `files` (name -> text) in force. Twice the same is once. Raises ConfigError with all faults."""
    checks = (check,) if callable(check) else tuple(check)
    config = configfiles.load(files, folder, checks)
    ids = store.ids  # leased in a transaction of its own, so before ours

    def work(tx: Connection) -> Applied:
        before = _locked(tx)
        if before is not None and before.hash == config.hash:
            return Applied(hash=config.hash, generation=before.generation, changed=False)
        if faults := _stranded(tx, config, folder):
            raise ConfigError(faults)
        at, new_id = now(), ids()
        tx.execute(
            insert(configs).values(
                id=new_id,
                hash=config.hash,
                files=json.dumps(dict(files), sort_keys=True, ensure_ascii=False),
                summary=_summary(before, files),
                by=by,
                at=at,
            )
        )
        tx.execute(update(config_now).values(config_id=new_id, generation=config_now.c.generation + 1))
        moved = settle(tx, ids, config, by, at)
        generation_now = tx.execute(select(config_now.c.generation)).scalar_one()
        return Applied(hash=config.hash, generation=generation_now, changed=True, moved=moved)

    return store.run(work)


def current(store: Store) -> Version | None:
    """The configuration in force; None before the first was applied."""
    with store.read() as tx:
        return _current(tx)


def generation(store: Store) -> int:
    """Grows with every change of what is in force; 0 before the first."""
    with store.read() as tx:
        return int(tx.execute(select(func.max(config_now.c.generation))).scalar() or 0)


def history(store: Store, limit: int = 20) -> list[Version]:
    """What was applied, the newest first."""
    with store.read() as tx:
        now = _current(tx)
        rows = tx.execute(select(configs).order_by(configs.c.id.desc()).limit(limit)).all()
    return [_version(row, now.generation if now and row.id == now.id else 0) for row in rows]


def find(store: Store, ref: str) -> Version:
    """The newest version whose hash begins with `ref`; `previous`: the last other than what is in force."""
    with store.read() as tx:
        statement = select(configs).order_by(configs.c.id.desc())
        now = _current(tx)
        if ref == "previous":
            statement = statement.where(configs.c.hash != (now.hash if now else ""))
            if now:
                statement = statement.where(configs.c.id < now.id)
        else:
            statement = statement.where(configs.c.hash.startswith(ref, autoescape=True))
        rows = tx.execute(statement.limit(1 if ref == "previous" else 1000)).all()
    if not rows or not ref:
        raise NotFound(f"no configuration {ref!r} was ever applied; mainstem config history lists them")
    if len({row.hash for row in rows}) > 1:
        raise Refused(f"several configurations begin with {ref!r}: give more of the hash")
    return _version(rows[0])


def rollback(
    store: Store,
    ref: str,
    by: str,
    check: Check | Sequence[Check] = (),
    now: Callable[[], datetime] = clock.system,
) -> Applied:
    """Apply an older version again, as a new generation. Raises as `find` and `apply` do."""
    return apply(store, find(store, ref).files, by, check, now)


def settle_again(store: Store, now: datetime) -> int:
    """`settle` with what is in force, for the sweeper: a process that had not yet heard of a change may have put
    something into a queue that is no more. Whoever applies waits meanwhile, so nothing newer is overruled."""
    ids, version = store.ids, current(store)
    if version is None:
        return 0
    config = configfiles.load(version.files)  # takes longer than all the rest: nobody waits for that

    def work(tx: Connection) -> int:
        held = _locked(tx)
        if held is None or held.generation != version.generation:
            return 0  # who applied it settled it, and the next look is soon
        return settle(tx, ids, config, "system", now)

    return store.run(work)


def settle(tx: Connection, ids: Ids, config: Config, by: str, now: datetime) -> int:
    """Take what is in queues with `moved_to`, or with agents that are no more, to where it belongs; how many.

    Twice is harmless.
    """
    c = conversations.c
    moved = 0
    for conversation_id in _live(tx, c.state.in_(HELD), c.assignee.not_in(list(config.agents))):
        release(tx, ids, conversation_id, by=by, now=now, why="the agent is no longer configured")
        moved += 1
    for queue, target in config.moved.items():
        found = _live(tx, c.queue == queue)
        if not found:
            continue
        tx.execute(update(conversations).where(c.id.in_(found)).values(queue=target, version=c.version + 1))
        data = json.dumps({"from": queue, "to": target})
        tx.execute(
            insert(conversation_events),
            [
                {
                    "id": event_id,
                    "conversation_id": conversation_id,
                    "at": now,
                    "by": by,
                    "what": "transferred",
                    "why": "the queue was removed",
                    "data": data,
                }
                for event_id, conversation_id in zip(ids.take(len(found)), found, strict=True)
            ],
        )
        moved += len(found)
    return moved


def _live(tx: Connection, *where: ColumnElement[bool]) -> list[int]:
    """The conversations that are not closed and of which this holds, locked in their order."""
    c = conversations.c
    query = select(c.id).where(c.id.in_(_open(*where)), c.state != CLOSED, *where)
    return list(tx.execute(query.order_by(c.id).with_for_update()).scalars())


def _open(*where: ColumnElement[bool]) -> Select[tuple[int]]:
    """Those that are not closed and of which this holds. Only they have a slot, so its index finds them: however many
    were ever closed costs nothing."""
    c = conversations.c
    return select(c.id).where(c.slot > "", c.state != CLOSED, *where)


def _locked(tx: Connection) -> Version | None:
    """What is in force, with its row held until the end of the transaction, so that two who apply take turns."""
    tx.execute(inserting(tx, config_now).values(one=1, config_id=0, generation=0).on_conflict_do_nothing())
    tx.execute(update(config_now).values(generation=config_now.c.generation))
    return _current(tx)


def _current(tx: Connection) -> Version | None:
    row = tx.execute(
        select(configs, config_now.c.generation).join(config_now, config_now.c.config_id == configs.c.id)
    ).first()
    return _version(row, row.generation) if row else None


def honours_everywhere(tx: Connection) -> Callable[[str], bool]:
    """Does a brand, as configured now, honour a stop on all addresses of the customer (`opt_outs: customer`)?"""
    query = select(configs.c.hash, configs.c.files).join(config_now, config_now.c.config_id == configs.c.id)
    row = tx.execute(query).first()
    brands = {} if row is None else _brands(row.hash, row.files)
    return lambda brand: brand in brands and brands[brand].opt_outs == "customer"


@lru_cache(maxsize=4)
def _brands(_hash: str, files: str) -> Mapping[str, Brand]:
    return configfiles.load(json.loads(files)).brands


def _version(row: Row[Any], generation: int = 0) -> Version:
    return Version(
        id=row.id,
        hash=row.hash,
        by=row.by,
        at=row.at,
        summary=row.summary,
        files=json.loads(row.files),
        generation=generation,
    )


def _summary(before: Version | None, files: Mapping[str, str]) -> str:
    if before is None:
        return "the first"
    names = sorted({*before.files, *files})
    return "changed: " + ", ".join(name for name in names if before.files.get(name) != files.get(name))


def _stranded(tx: Connection, config: Config, folder: str) -> list[Fault]:
    """Queues that still have conversations and are gone from the files."""
    c = conversations.c
    gone = _open(c.queue.not_in([*config.queues, *config.moved]))
    rows = tx.execute(select(c.queue, func.count()).where(c.id.in_(gone)).group_by(c.queue).order_by(c.queue))
    return [
        Fault(
            f"{folder}/queues.yaml",
            1,
            f'queue "{queue}" still has {count} conversation{"s" if count > 1 else ""}: '
            f"keep it with moved_to: and the queue that takes over",
        )
        for queue, count in rows
    ]


class Follower(Generic[T]):
    """What is built from the configuration in force, for one process; follows changes by itself.

    `get` costs nothing, never waits and never raises. A thread asks for the generation every `every_s` seconds; while
    the database is away, or when a newer configuration cannot be built by this version of the code, the old one stays.
    every_s None: no thread, whoever owns it calls `poll`. The first load raises NotFound or Unavailable.
    remember: a file that keeps what was last in force, so that a process can start while the database is away.
    """

    def __init__(
        self,
        store: Store,
        build: Callable[[Config], T],
        every_s: float | None = POLL_S,
        remember: Path | None = None,
    ) -> None:
        self._store, self._build, self._remember = store, build, remember
        self._seen = 0
        self._failing = ""
        self._polling = threading.Lock()
        self._stop = threading.Event()
        self._value = self._first()
        if every_s is not None:
            threading.Thread(target=self._follow, args=(every_s,), name="config", daemon=True).start()

    def _first(self) -> T:
        try:
            now = current(self._store)
        except Unavailable:
            if self._remember is None or not self._remember.exists():
                raise
            _log.warning("database away: going on with the configuration that was last in force")
            return self._build(configfiles.load(json.loads(self._remember.read_text())))
        if now is None:
            raise NotFound("no configuration is in force yet: mainstem config apply")
        return self._take(now)

    def _take(self, now: Version) -> T:
        self._value = self._build(configfiles.load(now.files))
        self._seen = now.generation
        if self._remember is not None:
            durable.replace(self._remember, json.dumps(dict(now.files)).encode())
        return self._value

    def get(self) -> T:
        return self._value

    def poll(self) -> bool:
        """Look once; True where something new was taken up. Never raises."""
        with self._polling:
            try:
                if generation(self._store) == self._seen:
                    self._failing = ""
                    return False
                now = current(self._store)
                if now is None:
                    return False
                self._take(now)
            except Exception as error:  # whatever it is, the old configuration stays in force here
                self._trouble(error)
                return False
        self._failing = ""
        _log.info("config followed", generation=now.generation, hash=now.hash[:12])
        return True

    def close(self) -> None:
        """Stop following. Twice is harmless."""
        self._stop.set()

    def _follow(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            self.poll()

    def _trouble(self, error: Exception) -> None:
        """Said once, not twice a second."""
        why = f"{type(error).__name__}: {error}" if not isinstance(error, MainstemError) else str(error)
        if why != self._failing:
            self._failing = why
            _log.warning("config not followed", why=why)
