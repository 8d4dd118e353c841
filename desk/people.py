"""What agents do with customer records, and say about themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from crm_store import customers, matching, merges, presence
from crm_store.customers import Customer
from crm_store.merges import Merged
from desk.base import Base, Changed, short
from desk.rights import Rights
from hub import notices
from hub.errors import Refused


class People(Base):
    """The part of Actions that changes customers and presence."""

    def change_customer(self, customer_id: int, agent: str, **values: Any) -> Customer:
        """Set any of name, tier, tags, language, preferred_channel, kind, stage, notes."""
        who, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> tuple[Customer, list[int]]:
            changed = customers.change(tx, customer_id, by=who.by, now=now, **values)
            return changed, customers.shown_with(tx, customer_id)

        changed, shown = self._store.run(work)
        self._tell(Changed(conversations=tuple(shown)))
        return changed

    def merge(self, survivor: int, merged: int, agent: str, why: str = "") -> Merged:
        """Two records are one person. A lead's to say; can be taken back at any time; twice is once."""
        who, now = self._lead(agent), self._clock()

        def work(tx: Connection) -> Merged:
            return merges.merge(
                tx, self._store.ids, survivor=survivor, merged=merged, why=short(why), by=who.by, now=now
            )

        done = self._store.run(work)
        self._tell(Changed(conversations=done.conversation_ids))
        return done

    def unmerge(self, merge_id: int, agent: str) -> Merged:
        """They are two after all: every address, and what was said with it, is at once its true owner's again."""
        who, now = self._lead(agent), self._clock()
        done = self._store.run(lambda tx: merges.unmerge(tx, self._store.ids, merge_id, by=who.by, now=now))
        self._tell(Changed(conversations=done.conversation_ids))
        return done

    def refuse_proposal(self, proposal_id: int, agent: str) -> None:
        """These two are not one person; it is not proposed again."""
        who = self._lead(agent)
        self._store.run(lambda tx: matching.refuse(tx, proposal_id, by=who.by))

    def _lead(self, agent: str) -> Rights:
        who = self._rights(agent)
        who.lead()
        return who

    def set_presence(
        self, agent: str, status: str, until: datetime | None = None, by: str | None = None
    ) -> None:
        """An agent's own status; `by` is a lead who sets somebody else's."""
        if by is not None and by != agent:
            self._rights(by).lead()
        self._rights(agent)
        now = self._clock()
        if until is not None and until.tzinfo is None:
            raise Refused("Say until when with a time zone.")
        self._store.run(lambda tx: presence.put(tx, self._store.ids, agent, status, now=now, until=until))
        self._notify(notices.PRESENCE, agent=agent)
