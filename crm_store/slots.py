"""Process slots: which of the 1,024 id spaces (hub/ids.py) this process may use, as a lease in the store."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from crm_store.schema import process_slots
from hub import clock
from hub.errors import Unavailable
from hub.ids import SLOTS

LEASE = timedelta(minutes=10)
_RENEW_S = 120.0


class Slot:
    """One leased slot, renewed by a daemon thread. A process that was frozen past its lease still cannot harm: ids
    carry their millisecond, and every id stands under a primary key."""

    def __init__(self, engine: Engine, write_option: str) -> None:
        self._engine = engine
        self._options = {write_option: True}
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.number = self._take()
        self._stop = threading.Event()
        threading.Thread(target=self._keep, name="slot", daemon=True).start()

    def _take(self) -> int:
        for _ in range(20):
            now = clock.system()
            try:
                with self._engine.connect() as connection:
                    tx = connection.execution_options(**self._options)
                    with tx.begin():
                        query = select(process_slots.c.slot, process_slots.c.leased_until)
                        rows: dict[int, datetime] = {row.slot: row.leased_until for row in tx.execute(query)}
                        lease = {"owner": self._owner, "leased_until": now + LEASE}
                        number = next((n for n in range(SLOTS) if n not in rows), None)
                        if number is not None and len(rows) < 64:
                            tx.execute(insert(process_slots).values(slot=number, **lease))
                            return number
                        ended = sorted((until, slot) for slot, until in rows.items() if until < now)
                        for until, number in ended:
                            taken = tx.execute(
                                update(process_slots)
                                .where(
                                    process_slots.c.slot == number,
                                    process_slots.c.leased_until == until,
                                )
                                .values(**lease)
                            )
                            if taken.rowcount == 1:
                                return number
                        free = next((n for n in range(SLOTS) if n not in rows), None)
                        if free is not None:
                            tx.execute(insert(process_slots).values(slot=free, **lease))
                            return free
            except IntegrityError:
                continue  # another process took the same one; look again
        raise Unavailable("all 1,024 process slots are leased")

    def _keep(self) -> None:
        while not self._stop.wait(_RENEW_S):
            with contextlib.suppress(SQLAlchemyError):  # the next renewal is in time as well
                self._write(
                    update(process_slots)
                    .where(process_slots.c.slot == self.number, process_slots.c.owner == self._owner)
                    .values(leased_until=clock.system() + LEASE)
                )

    def release(self) -> None:
        self._stop.set()
        with contextlib.suppress(SQLAlchemyError):  # the lease ends by itself
            self._write(
                delete(process_slots).where(
                    process_slots.c.slot == self.number,
                    or_(process_slots.c.owner == self._owner, process_slots.c.leased_until < clock.system()),
                )
            )

    def _write(self, statement: object) -> None:
        with self._engine.connect() as connection:
            tx = connection.execution_options(**self._options)
            with tx.begin():
                tx.execute(statement)  # type: ignore[call-overload]
