"""Cards and posts at the store: one living card, one poster a row, order in a thread, and a look that stays cheap."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crm_store import (
    conversations,
    customers,
    deliveries,
    desk_changes,
    desk_posts,
    desk_threads,
    interactions,
)
from crm_store.db import Store
from crm_store.desk_posts import Wanted
from crm_store.schema import customers as customers_table
from crm_store.schema import desk_threads as threads_table
from tests.workers.office import Office

SLACK = "slack"
PLACE = "C0BILLING"
QUEUES = ["general"]


class Desk(Office):
    """The office's conversations with cards."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.since: dict[str, int] = {}
        self.changed()

    def do(self, work: Any, *arguments: Any, **more: Any) -> Any:
        return self.store.run(lambda tx: work(tx, *arguments, **more))

    def look(self, work: Any, *arguments: Any, **more: Any) -> Any:
        with self.store.read() as tx:
            return work(tx, *arguments, **more)

    def card(self, conversation: int | None = None, place: str = PLACE) -> int:
        """The thread of a card that is to be posted."""
        wanted = conversation or self.conversation(f"webhook:{self.store.ids()}")
        thread = self.do(desk_threads.open_card, self.store.ids, SLACK, wanted, place, self.now)
        assert thread is not None
        return int(thread)

    def posted(self, thread: int, ts: str = "1.1") -> None:
        """Its card stands there."""
        post = next(p for p in self.look(desk_posts.of_thread, SLACK, thread) if p.kind == "card")
        assert self.lease(post)
        self.do(desk_posts.done, post.id, "me", posted=ts, drawn="d", now=self.now)
        self.do(desk_threads.posted, thread, ts)

    def want(self, thread: int, *refs: str, kind: str = "message") -> int:
        wanted = [Wanted(kind=kind, ref=ref) for ref in refs]
        return int(self.do(desk_posts.intend, self.store.ids, thread, SLACK, PLACE, wanted, self.now))

    def lease(self, post: desk_posts.Post, owner: str = "me", s: float = 60) -> bool:
        until = self.now + timedelta(seconds=s)
        return bool(self.do(desk_posts.lease, post, owner, now=self.now, until=until))

    def next(self, place: str = PLACE) -> desk_posts.Post | None:
        found: desk_posts.Post | None = self.look(desk_posts.next_unposted, SLACK, place, self.now)
        return found

    def show(self, thread: int, *, settled: bool = False) -> bool:
        """As a poster that drew everything."""
        seen = self.look(desk_threads.get, thread)
        version = self.look(conversations.get, seen.conversation_id).version
        return bool(
            self.do(desk_threads.shown, thread, was=seen.shown_version, version=version, settled=settled)
        )

    def behind(self) -> list[int]:
        return [b.thread.id for b in self.look(desk_threads.behind, SLACK)]

    def unshown(self) -> list[int]:
        return [conversation for conversation, _ in self.look(desk_threads.unshown, SLACK, QUEUES)]

    def changed(self) -> set[int]:
        found = self.look(desk_changes.changed, SLACK, self.since)
        self.since = dict(found.at)
        return set(found.threads)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


# ----------------------------------------------------------------------------------------------------------- cards


def test_a_conversation_without_a_card_is_seen_until_it_has_one(desk: Desk) -> None:
    conversation = desk.conversation()
    assert desk.unshown() == [conversation]
    assert desk.look(desk_threads.unshown, SLACK, ["other"]) == []
    assert desk.look(desk_threads.unshown, SLACK, []) == []
    thread = desk.card(conversation)
    assert desk.unshown() == []
    assert desk.behind() == [thread]
    assert desk.do(desk_threads.open_card, desk.store.ids, SLACK, conversation, PLACE, desk.now) is None


def test_the_card_remembers_what_it_quotes(desk: Desk) -> None:
    conversation = desk.conversation()
    last = desk.look(conversations.get, conversation).last_inbound_id
    (card,) = desk.look(desk_posts.of_thread, SLACK, desk.card(conversation))
    assert (card.kind, card.ref, card.interaction_id) == ("card", str(conversation), last)


def test_a_change_puts_a_thread_behind_and_one_seen_too_early_does_not_hide_it(desk: Desk) -> None:
    conversation = desk.conversation()
    thread = desk.card(conversation)
    assert desk.show(thread)
    assert desk.behind() == []
    desk.do(interactions.add_note, desk.store.ids, conversation, "look", by="agent:bo", now=desk.now)
    assert desk.behind() == [thread]
    seen = desk.look(desk_threads.get, thread)
    desk.do(desk_threads.touch, [thread])
    assert not desk.do(desk_threads.shown, thread, was=seen.shown_version, version=99, settled=False)
    once = desk.look(desk_threads.get, thread).shown_version
    desk.do(desk_threads.touch, [thread])
    assert desk.look(desk_threads.get, thread).shown_version < once < 0


def test_a_customers_new_name_puts_their_cards_behind(desk: Desk) -> None:
    conversation = desk.conversation()
    row = desk.look(conversations.get, conversation)
    with desk.store.begin() as tx:
        tx.execute(
            sa.insert(customers_table).values(
                id=row.customer_id, brand_id="acme", created_at=desk.now, updated_at=desk.now
            )
        )
    thread = desk.card(conversation)
    desk.show(thread)
    desk.do(customers.change, row.customer_id, by="agent:bo", now=desk.now, name="Ann")
    assert desk.behind() == [thread]


def test_a_closed_one_is_settled_and_what_happens_later_is_found(desk: Desk) -> None:
    conversation = desk.conversation()
    thread = desk.card(conversation)
    desk.posted(thread)
    desk.do(conversations.close, desk.store.ids, conversation, by="agent:bo", now=desk.now)
    desk.show(thread, settled=True)
    desk.changed()
    assert desk.behind() == []
    assert desk.changed() == set()
    desk.do(interactions.add_note, desk.store.ids, conversation, "late", by="agent:bo", now=desk.now)
    assert desk.behind() == [], "a settled one costs no look"
    assert desk.changed() == {thread}
    desk.do(desk_threads.touch, [thread])
    assert desk.behind() == [thread]


def test_reopened_stands_anew_with_a_second_card(desk: Desk) -> None:
    conversation = desk.conversation()
    old = desk.card(conversation)
    desk.posted(old)
    desk.do(conversations.close, desk.store.ids, conversation, by="agent:bo", now=desk.now)
    desk.show(old, settled=True)
    assert desk.unshown() == []
    desk.do(conversations.reopen, desk.store.ids, conversation, by="agent:bo", now=desk.now)
    assert desk.unshown() == [conversation]
    living = desk.look(desk_threads.living, SLACK, conversation)
    assert desk.look(desk_threads.stands_anew, living) == "reopened"
    assert desk.do(desk_threads.retire, old, "closed", desk.now)
    assert not desk.do(desk_threads.retire, old, "closed", desk.now)
    new = desk.card(conversation)
    assert desk.look(desk_threads.stands_anew, desk.look(desk_threads.get, new)) is None
    with desk.store.read() as tx:
        cards = threads_table.c.conversation_id == conversation
        assert list(tx.scalars(sa.select(threads_table.c.id).where(cards))) == [old, new]
    assert set(desk.behind()) == {old, new}, "the tombstone is to be drawn, too"


def test_what_stands_there_is_found_by_its_id(desk: Desk) -> None:
    thread = desk.card()
    assert desk.look(desk_threads.at, SLACK, PLACE, "7.7") is None
    desk.posted(thread, "7.7")
    assert desk.look(desk_threads.at, SLACK, PLACE, "7.7").id == thread
    assert desk.look(desk_posts.by_posted, SLACK, PLACE, "7.7").kind == "card"
    assert desk.look(desk_posts.by_posted, SLACK, "C2", "7.7") is None


def test_a_deliverys_state_reaches_its_receipt_and_the_living_card(desk: Desk) -> None:
    conversation = desk.conversation()
    thread = desk.card(conversation)
    delivery = desk.reply(conversation)
    desk.changed()
    desk.do(deliveries.cancel, desk.store.ids, delivery, by="agent:bo", now=desk.now)
    assert desk.changed() == {thread}, "the living card"
    desk.do(desk_threads.retire, thread, "transferred", desk.now)
    desk.want(thread, "x")
    receipt = Wanted(kind="receipt", ref=str(delivery), delivery_id=delivery)
    desk.do(desk_posts.intend, desk.store.ids, thread, SLACK, PLACE, [receipt], desk.now)
    other = desk.reply(conversation, "more")
    assert desk.changed() == set()
    desk.do(deliveries.release_held, desk.store.ids, other, by="agent:bo", now=desk.now)
    desk.do(deliveries.cancel, desk.store.ids, delivery, by="agent:bo", now=desk.now)
    assert desk.changed() == set(), "nothing moved, and the tombstone has no receipt of the other"


def test_the_cursor_is_kept_and_never_goes_back(desk: Desk) -> None:
    assert desk.look(desk_changes.cursor, SLACK) == {}
    desk.do(desk_changes.keep_cursor, SLACK, {"events": 7, "changes": 3}, desk.now)
    desk.do(desk_changes.keep_cursor, SLACK, {"events": 5, "changes": 9}, desk.now)
    assert desk.look(desk_changes.cursor, SLACK) == {"events": 7, "changes": 9}


# ----------------------------------------------------------------------------------------------------------- posts


def test_intents_are_once_and_in_order(desk: Desk) -> None:
    thread = desk.card()
    assert desk.want(thread, "a", "b") == 2
    assert desk.want(thread, "b", "c") == 1
    assert desk.want(thread, "a", kind="note") == 1
    posts = desk.look(desk_posts.of_thread, SLACK, thread)
    assert [(p.kind, p.ref) for p in posts[1:]] == [
        ("message", "a"),
        ("message", "b"),
        ("message", "c"),
        ("note", "a"),
    ]
    assert len({p.uuid for p in posts}) == 5
    assert desk.look(desk_posts.newest, SLACK, thread) == posts[-1].id


def test_cards_go_first_and_a_thread_in_its_order(desk: Desk) -> None:
    one, two = desk.card(), desk.card()
    desk.want(one, "a", "b")
    desk.want(two, "c")
    first = desk.next()
    assert first is not None
    assert (first.thread_id, first.kind) == (one, "card")
    desk.posted(one, "1.1")
    second = desk.next()
    assert second is not None
    assert (second.thread_id, second.kind) == (two, "card")
    assert desk.lease(second)
    third = desk.next()
    assert third is not None
    assert third.ref == "a", "the second thread's card is not there yet"
    assert desk.lease(third)
    assert desk.next() is None, "b waits for a, c for its card"
    desk.do(desk_posts.done, third.id, "me", posted="1.2", drawn="d", now=desk.now)
    fourth = desk.next()
    assert fourth is not None
    assert fourth.ref == "b"
    assert desk.look(desk_posts.places, SLACK) == {PLACE: 3}


def test_of_many_posters_one_has_a_row(desk: Desk) -> None:
    post = desk.look(desk_posts.of_thread, SLACK, desk.card())[0]
    won: list[str] = []

    def poster(name: str) -> None:
        if desk.lease(post, name):
            won.append(name)

    threads = [threading.Thread(target=poster, args=(f"poster-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert desk.look(desk_posts.get, post.id).tries == 1


def test_a_lease_ends_and_the_try_is_remembered(desk: Desk) -> None:
    post = desk.look(desk_posts.of_thread, SLACK, desk.card())[0]
    assert desk.lease(post, "one", s=60)
    assert desk.next() is None
    desk.later(seconds=61)
    again = desk.next()
    assert again is not None
    assert again.tries == 1, "it may stand there: it is looked for"
    assert desk.lease(again, "two")
    assert desk.do(desk_posts.done, post.id, "two", posted="5.5", drawn="d", now=desk.now)
    assert not desk.do(desk_posts.done, post.id, "one", posted="5.6", drawn="d", now=desk.now), "one too many"
    assert desk.look(desk_posts.get, post.id).posted == "5.5"


def test_what_certainly_did_not_arrive_is_not_looked_for(desk: Desk) -> None:
    post = desk.look(desk_posts.of_thread, SLACK, desk.card())[0]
    assert desk.lease(post)
    again_at = desk.now + timedelta(seconds=5)
    desk.do(desk_posts.give_back, post.id, "me", again_at=again_at, arrived=False)
    assert desk.next() is None
    desk.later(seconds=5)
    back = desk.next()
    assert back is not None
    assert back.tries == 0
    assert desk.lease(back)
    desk.do(desk_posts.give_back, post.id, "somebody else", arrived=False)
    assert desk.look(desk_posts.get, post.id).lease_owner == "me"
    desk.do(desk_posts.give_back, post.id, "me")
    assert desk.look(desk_posts.get, post.id).tries == 1


def test_a_redraw_is_leased_as_it_was_seen(desk: Desk) -> None:
    thread = desk.card()
    desk.posted(thread)
    seen = desk.look(desk_posts.of_thread, SLACK, thread)[0]
    assert desk.lease(seen, "one")
    assert desk.do(desk_posts.done, seen.id, "one", posted="1.1", drawn="newer", now=desk.now)
    assert not desk.lease(seen, "two"), "it was drawn since"
    fresh = desk.look(desk_posts.get, seen.id)
    assert fresh.tries == 1
    assert desk.lease(fresh, "two")
    assert desk.look(desk_posts.get, seen.id).tries == 1


def test_typed_is_there_already_and_knows_what_it_became(desk: Desk) -> None:
    thread = desk.card()
    desk.posted(thread)
    values = {"thread_id": thread, "surface": SLACK, "place": PLACE, "posted": "2.2", "now": desk.now}
    first = desk.do(desk_posts.typed, desk.store.ids, **values, interaction_id=5)
    assert desk.do(desk_posts.typed, desk.store.ids, **values, delivery_id=6) == first
    assert desk.do(desk_posts.typed, desk.store.ids, **values) == first
    row = desk.look(desk_posts.by_posted, SLACK, PLACE, "2.2")
    assert (row.kind, row.interaction_id, row.delivery_id) == ("typed", 5, 6)
    assert desk.next() is None


def test_a_deleted_post_is_posted_anew_under_another_name(desk: Desk) -> None:
    thread = desk.card()
    desk.posted(thread)
    card = desk.look(desk_posts.of_thread, SLACK, thread)[0]
    assert not desk.do(desk_posts.again, card.id, "9.9")
    assert desk.do(desk_posts.again, card.id, "1.1")
    fresh = desk.look(desk_posts.get, card.id)
    assert (fresh.posted, fresh.drawn, fresh.tries) == (None, "", 0)
    assert fresh.uuid != card.uuid


def test_what_moved_on_is_not_posted_unless_it_may_stand_there(desk: Desk) -> None:
    thread = desk.card()
    desk.want(thread, "a")
    desk.lease(desk.look(desk_posts.of_thread, SLACK, thread)[0])
    desk.do(desk_posts.drop_unbegun, SLACK, thread)
    assert [p.kind for p in desk.look(desk_posts.of_thread, SLACK, thread)] == ["card"]
    assert desk.look(desk_posts.unposted_in, SLACK, thread)


# ----------------------------------------------------------------------------------------- a million closed ones


def _read_whole(store: Store, statement: str) -> set[str]:
    """The tables that a statement, as the driver got it, reads from end to end. Its parameters do not matter here."""
    if not store.postgresql:
        with store.read() as tx:
            plan = tx.execute(sa.text(f"EXPLAIN QUERY PLAN {statement.replace('?', '1')}")).all()
        whole = re.compile(r"SCAN (\S+)|SEARCH (\S+) USING (?!.*unsettled).*\(surface=\?\)$")
        found = (whole.match(row.detail) for row in plan)  # every card there ever was is of the same surface
        return {one[1] or one[2] for one in found if one}
    for pattern, value in _VALUES:
        statement = re.sub(pattern, value, statement)
    with store.read() as tx:
        (plan,) = tx.execute(sa.text(f"EXPLAIN (FORMAT JSON) {statement}")).scalar_one()
    return set(_scanned(plan["Plan"]))


_VALUES = (
    (r"surface = %\(\w+\)s(::\w+)?", "surface = 'slack'"),
    (r"LIMIT %\(\w+\)s(::\w+)?", "LIMIT 500"),
    (r"queue IN \([^)]*\)s[^)]*\)", "queue IN ('general')"),
    (r"\.id > %\(\w+\)s(::\w+)?", ".id > 1000000000000"),
    (r"%\(\w+\)s::VARCHAR", "'waiting'"),
    (r"%\(\w+\)s(::\w+)?", "1"),
)


def _scanned(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from _scanned(below)


def _filled(desk: Desk, number: int) -> None:
    """Closed conversations with settled cards, and one that is open."""
    now = 1_700_000_000_000_000
    series = (
        f"generate_series(1, {number}) AS s(n)"
        if desk.store.postgresql
        else f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {number}) SELECT n FROM s)"
    )
    with desk.store.begin() as tx:
        tx.execute(
            sa.text(
                "INSERT INTO conversations (id, number, brand_id, customer_id, account, identity_id, state, queue,"
                " priority, head_start_s, opened_at, last_at, version)"
                " SELECT n, n + 1000000, 'acme', 1, 'w', 1, 'closed',"
                f" 'general', 'normal', 0, {now}, {now}, 3 FROM {series}"
            )
        )
        tx.execute(
            sa.text(
                "INSERT INTO desk_threads (id, conversation_id, surface, place, thread, shown_version, at, settled)"
                f" SELECT n, n, 'slack', 'C', 'x', 3, {now}, true FROM {series}"
            )
        )
    with desk.store.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE")


def test_no_look_goes_through_closed_conversations(desk: Desk) -> None:
    """By the plan, with 20,000 of them: what is looked at often reads indexes that hold none."""
    _filled(desk, 20_000)
    conversation = desk.conversation()
    statements: list[str] = []

    def heard(_c: object, _m: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    sa.event.listen(desk.store.engine, "before_cursor_execute", heard)
    try:
        assert desk.unshown() == [conversation]
        desk.behind()
        desk.changed()
        desk.next()
        desk.look(desk_posts.places, SLACK)
    finally:
        sa.event.remove(desk.store.engine, "before_cursor_execute", heard)
    looks = [statement for statement in statements if "max(id)" not in statement and "SELECT" in statement]
    assert len(looks) >= 9
    for look in looks:
        assert not _read_whole(desk.store, look) & {"conversations", "desk_threads", "c", "t"}, look
