"""What agents do with conversations: take, give back, transfer, snooze, close, tag, note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crm_store import assignments, conversations, interactions, notes
from desk import contents, replying, words
from desk.base import Base, Changed, short
from desk.choosing import ASKED, UNASKED, addresses, nobody_live
from desk.rights import Rights
from hub.errors import Conflict, Refused
from hub.model import Attachment

NOTE_CHARS = 20_000
_SNOOZE_AT_MOST = timedelta(days=366)


class Conversing(Base):
    """The part of Actions that changes conversations."""

    # ---------------------------------------------------------------------------------------- taking and giving back

    def claim(self, conversation_id: int, agent: str) -> None:
        """Take a waiting conversation, or one offered to this agent. Of many one succeeds; Conflict names them."""
        rights, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> Changed:
            row = conversations.get(tx, conversation_id)
            if row.offered_to != agent:
                rights.of_queue(row.queue)
            conversations.claim(tx, self._store.ids, conversation_id, agent, now=now, name=rights.name)
            return Changed(conversations=(conversation_id,), queues=(row.queue,))

        self._do(work)

    def take(self, conversation_id: int, agent: str) -> None:
        """`claim` for who presses: what is theirs already, by an earlier press or from another surface, stays so."""
        try:
            self.claim(conversation_id, agent)
        except Conflict:
            with self._store.read() as tx:
                row = conversations.get(tx, conversation_id)
            if row.assignee != agent or row.state == "closed":
                raise

    def next(self, agent: str) -> int | None:
        """Claim the best waiting conversation of the agent's queues that their skills fit; None where there is none.

        Raises Refused when they have as many open as their limit allows.
        """
        rights, now = self._rights(agent), self._clock()
        who = rights.agent

        def work(tx: Connection) -> tuple[int, str] | None:
            return assignments.take_next(
                tx, self._store.ids, who.key, queues=who.queues, skills=who.skills, limit=who.limit, now=now
            )

        taken = self._store.run(work)
        if taken is None:
            return None
        self._tell(Changed(conversations=(taken[0],), queues=(taken[1],)))
        return taken[0]

    def accept(self, conversation_id: int, agent: str) -> None:
        """Take what is offered to this agent; again changes nothing. An offer that ran out but was not taken back yet
        still stands."""
        rights, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> Changed:
            row = conversations.get(tx, conversation_id, lock=True)
            if row.assignee == agent and row.state != "closed":
                return Changed()
            if row.state != "offered" or row.offered_to != agent:
                raise Conflict(f"#{row.number} is not offered to you any more.")
            conversations.claim(tx, self._store.ids, conversation_id, agent, now=now, name=rights.name)
            return Changed(conversations=(conversation_id,), queues=(row.queue,))

        self._do(work)

    def decline(self, conversation_id: int, agent: str) -> None:
        """Do not take what is offered; it waits on in its place."""
        rights, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> Changed:
            conversations.decline(tx, self._store.ids, conversation_id, agent, now=now, name=rights.name)
            row = conversations.get(tx, conversation_id)
            return Changed(conversations=(conversation_id,), queues=(row.queue,))

        self._do(work)

    def release(self, conversation_id: int, agent: str, why: str = "") -> None:
        """Give it back to its queue, where it stands as long as it has waited."""

        def step(tx: Connection, rights: Rights, now: datetime) -> None:
            conversations.release(
                tx, self._store.ids, conversation_id, by=rights.by, now=now, why=short(why), name=rights.name
            )

        self._own(conversation_id, agent, step)

    def transfer(
        self, conversation_id: int, agent: str, queue: str, reason: str, to_agent: str | None = None
    ) -> None:
        """Into another queue, or to a colleague as an offer, with a reason. Whoever waits keeps their waiting time."""
        if not reason.strip():
            raise Refused("Say in a few words why; whoever gets it will be glad.")

        def step(tx: Connection, rights: Rights, now: datetime) -> None:
            if queue not in rights.config.queues:
                raise Refused(f"There is no queue {queue[:40]!r}.")
            if to_agent is not None:
                rights.known(to_agent)
            row = conversations.get(tx, conversation_id)
            conversations.transfer(
                tx,
                self._store.ids,
                conversation_id,
                queue,
                head_start_s=rights.config.priorities.get(row.priority, row.head_start_s),
                by=rights.by,
                reason=short(reason),
                now=now,
                to_agent=to_agent,
                offer_until=now + timedelta(seconds=rights.offer_s(queue)) if to_agent else None,
                name=rights.name,
            )

        self._own(conversation_id, agent, step, waiting_too=True, queues=(queue,))

    # ------------------------------------------------------------------------------------------------ its own state

    def snooze(self, conversation_id: int, agent: str, until: datetime, why: str = "") -> None:
        """Out of sight until then (aware, at most a year ahead)."""
        now = self._clock()
        if until.tzinfo is None or not now < until <= now + _SNOOZE_AT_MOST:
            raise Refused("Snooze until a time that is ahead, and less than a year.")

        def step(tx: Connection, rights: Rights, now: datetime) -> None:
            conversations.snooze(
                tx,
                self._store.ids,
                conversation_id,
                until=until,
                by=rights.by,
                now=now,
                why=short(why),
                name=rights.name,
            )

        self._own(conversation_id, agent, step)

    def close(
        self, conversation_id: int, agent: str, disposition: str | None = None, tags: Iterable[str] = ()
    ) -> None:
        """The matter is done; `disposition` says how it ended, in at most 80 characters."""
        added, ended = contents.checked_tags(tags), contents.checked_disposition(disposition)

        def step(tx: Connection, rights: Rights, now: datetime) -> None:
            conversations.close(
                tx,
                self._store.ids,
                conversation_id,
                by=rights.by,
                now=now,
                disposition=ended,
                tags=added,
                name=rights.name,
            )

        self._own(conversation_id, agent, step, waiting_too=True)

    def reopen(self, conversation_id: int, agent: str, why: str = "") -> None:
        """A closed conversation goes on, with this agent."""
        rights, now = self._rights(agent), self._clock()

        def work(tx: Connection) -> Changed:
            row = conversations.get(tx, conversation_id, lock=True)
            if row.assignee != agent:
                rights.of_queue(row.queue)
            queue = row.queue
            if queue not in rights.config.queues:  # removed while it was closed: nobody would see it there
                queue = rights.config.moved.get(queue, rights.config.default.queue)
            conversations.reopen(
                tx,
                self._store.ids,
                conversation_id,
                by=rights.by,
                now=now,
                agent=agent,
                queue=queue,
                why=short(why),
                name=rights.name,
            )
            return Changed(conversations=(conversation_id,), queues=(queue,))

        self._do(work)

    def tag(
        self, conversation_id: int, agent: str, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """Add and remove tags; what it has then."""
        added, removed = contents.checked_tags(add), contents.checked_tags(remove)

        def step(tx: Connection, rights: Rights, now: datetime) -> tuple[str, ...]:
            return conversations.tag(
                tx, self._store.ids, conversation_id, add=added, remove=removed, by=rights.by, now=now
            )

        return self._own(conversation_id, agent, step, waiting_too=True)

    def asked_for(self, conversation_id: int, agent: str, account: str | None, urn: str = "") -> None:
        """Note that the customer asked to be answered there, in this conversation; account None: not any more.

        The newest such note counts, and speaks for that way before all others. Raises Refused for a way that is not
        one of theirs.
        """
        config, now = self._config(), self._clock()

        def step(tx: Connection, rights: Rights, now_: datetime) -> None:
            data: dict[str, str] = {}
            if account is not None:
                known = addresses(tx, conversation_id, config, self._limits, self._schemes, nobody_live, now)
                way = next((one for one in known if (one.account, one.urn) == (account, urn)), None)
                if way is None:
                    raise Refused("That is not one of the ways to answer this customer.")
                data = {"to": f"{way.title} ({words.address(urn)})", "account": account, "urn": urn}
            what = ASKED if data else UNASKED
            conversations.touch(tx, [conversation_id])
            conversations.log(tx, self._store.ids, conversation_id, what, rights.by, now_, data=data)

        self._own(conversation_id, agent, step, waiting_too=True)

    def note(
        self,
        conversation_id: int,
        agent: str,
        text: str,
        *,
        idem_key: str | None = None,
        attachments: Sequence[Attachment] = (),
    ) -> int:
        """A note that only colleagues see; its id. Any agent of its queue may leave one.

        The same `idem_key` again gives the first note's id, and nothing is written.
        """
        rights, now = self._rights(agent), self._clock()
        clean = contents.checked_text(text, NOTE_CHARS)
        if not clean.strip() and not attachments:
            raise Refused("The note is empty.")

        key = None if idem_key is None else replying.idem_key(conversation_id, agent, idem_key)

        def work(tx: Connection) -> tuple[int, bool]:
            row = conversations.get(tx, conversation_id, lock=key is not None)
            if key is not None and (known := notes.of_key(tx, key)) is not None:
                return known, False
            if row.assignee != agent:
                rights.of_queue(row.queue)
            note_id = interactions.add_note(
                tx,
                self._store.ids,
                conversation_id,
                clean,
                by=rights.by,
                now=now,
                author_name=rights.agent.name,
                attachments=attachments,
            )
            if key is not None:
                notes.keep_key(tx, key, note_id, now)
            return note_id, True

        note_id, new = self._store.run(work)
        if new:
            self._tell(Changed(conversations=(conversation_id,)))
        return note_id
