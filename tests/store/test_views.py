from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update
from sqlalchemy import text as sql

from crm_store import customers, merges, presence, views
from crm_store.db import Store
from crm_store.schema import conversations, decisions, deliveries, interactions
from hub.errors import NotFound
from tests.store.people import CONFIG, START, Office


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


def statements(office: Office, work: Any) -> int:
    """How many statements `work(tx)` takes."""
    seen: list[str] = []

    def count(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(office.store.engine, "before_cursor_execute", count)
    try:
        with office.store.read() as tx:
            work(tx)
    finally:
        event.remove(office.store.engine, "before_cursor_execute", count)
    return len(seen)


def test_queues_as_they_stand(office: Office) -> None:
    act = office.actions()
    for number in range(4):
        office.customer(str(number), f"webchat:{number}")
    one, _ = office.writes("webchat:0", "first")
    office.later(seconds=50)
    two, _ = office.writes("webchat:1", "second")
    office.writes("webchat:2", "bill", queue="billing")
    office.writes("webchat:3", "lost", queue="gone")
    office.later(seconds=20)
    act.set_presence("bo", "available")
    act.claim(two, "bo")
    with office.store.read() as tx:
        rows = {row.key: row for row in views.queue_list(tx, CONFIG, office.now)}
    assert list(rows) == ["sales", "billing", "gone"], (
        "conversations in a queue nobody configured are not hidden"
    )
    sales = rows["sales"]
    assert (sales.waiting, sales.open, sales.late, sales.longest_wait_s, sales.agents_here) == (
        1,
        1,
        1,
        70.0,
        1,
    )
    assert (rows["billing"].waiting, rows["billing"].late) == (1, 0)
    act.release(two, "bo")
    with office.store.read() as tx:
        assert [card.number for card in views.waiting(tx, "sales")] == [1001, 1002]
        assert views.waiting(tx, "sales", limit=1)[0].preview == "first"
    assert office.row(one).state == "waiting"


def test_what_an_agent_has(office: Office) -> None:
    act = office.actions()
    talks = []
    for number in range(3):
        office.customer(str(number), f"webchat:{number}", tier="gold" if number == 1 else None)
        talks.append(office.writes(f"webchat:{number}", "hi")[0])
        office.later(seconds=1)
    for talk in talks[:2]:
        act.claim(talk, "bo")
    act.transfer(talks[2], "lea", office.row(talks[2]).queue, "his", "bo")
    act.reply(talks[0], "bo", "hello", idem_key="k", then="wait")
    with office.store.read() as tx:
        cards = views.mine(tx, "bo")
        assert [(card.number, card.state) for card in cards] == [
            (1002, "open"),
            (1003, "offered"),
            (1001, "pending"),
        ]
        assert cards[0].customer_tier == "gold"
        assert views.mine(tx, "cy") == []
    act.close(talks[1], "bo", "sold")
    with office.store.read() as tx:
        assert [(card.number, card.disposition) for card in views.closed(tx, "bo")] == [(1002, "sold")]


def test_a_conversations_page_has_the_whole_history_over_all_channels(office: Office) -> None:
    act = office.actions()
    office.customer("Ann", "webchat:ann", "mailto:ann@example.com")
    old, _ = office.writes("mailto:ann@example.com", "by mail", account="mail/main", queue="billing")
    office.later(hours=1)
    act.close(old, "cy")
    talk, said = office.writes("webchat:ann", "in the chat")
    with office.store.begin() as tx:
        tx.execute(
            insert(decisions).values(
                id=office.ids(),
                conversation_id=talk,
                interaction_id=said,
                config_hash="h",
                rule="sales first",
                facts_version=1,
                facts='{"channel": "webchat"}',
                outcome='{"queue": "sales"}',
                at=office.now,
            )
        )
    with office.store.read() as tx:
        page = views.conversation(tx, "#1002")
    assert [(e.text, e.account, e.number) for e in page.history.entries] == [
        ("by mail", "mail/main", 1001),
        ("in the chat", "webchat/main", 1002),
    ]
    assert {identity.urn for identity in page.identities} == {"webchat:ann", "mailto:ann@example.com"}
    assert page.decision is not None
    assert (page.decision.rule, page.decision.facts, page.decision.text) == (
        "sales first",
        {"channel": "webchat"},
        "in the chat",
    )
    assert [card.number for card in page.others] == [1001]
    assert page.history.before is None
    with office.store.read() as tx:
        assert views.conversation(tx, old).decision is None
        with pytest.raises(NotFound):
            views.conversation(tx, 1)


def test_history_turns_page_by_page(office: Office) -> None:
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "0")
    for number in range(1, 7):
        office.later(seconds=1)
        office.writes("webchat:ann", str(number), conversation=talk)
    pages, before = [], None
    while True:
        with office.store.read() as tx:
            page = views.conversation(tx, talk, before=before, limit=3).history
        pages.append([entry.text for entry in page.entries])
        before = page.before
        if before is None:
            break
    assert pages == [["4", "5", "6"], ["1", "2", "3"], ["0"]]


def test_a_page_takes_as_many_statements_for_many_rows_as_for_one(office: Office) -> None:
    act = office.actions()
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "0")
    act.claim(talk, "bo")
    act.reply(talk, "bo", "hello", idem_key="first")
    few = statements(office, lambda tx: views.conversation(tx, talk))
    for number in range(30):
        office.writes("webchat:ann", str(number), conversation=talk)
        office.writes("webchat:ann", str(number))
        act.reply(talk, "bo", "hello", idem_key=str(number))
    assert statements(office, lambda tx: views.conversation(tx, talk)) == few
    assert few <= 20
    assert statements(office, lambda tx: views.queue_list(tx, CONFIG, office.now)) == 3
    assert statements(office, lambda tx: views.waiting(tx, "sales")) == 1
    assert statements(office, lambda tx: views.mine(tx, "bo")) == 1
    assert statements(office, lambda tx: views.search(tx, "hello")) <= 12


# S12: what is typed is only ever looked for.
NASTY = [
    "%",
    "_",
    "\\",
    "' OR '1'='1",
    '"',
    "a' --",
    "%%%",
    "\x00",
    "(((",
    "MATCH *",
    "😀",
    "x" * 5000,
    "$$",
    ":p",
]


def test_what_is_typed_stands_for_itself(office: Office) -> None:
    office.customer("Ann", "webchat:ann")
    office.writes("webchat:ann", "hello")
    for text in NASTY:
        with office.store.read() as tx:
            assert customers.find(tx, text) == (), text
            assert views.search(tx, text) == views.Hits(conversations=(), customers=()), text


def test_addresses_stand_with_the_last_used_first(office: Office) -> None:
    ann = office.customer("Ann", "webchat:a", "mailto:a@example.com", "tel:+447700900123", "telegram:1")
    for urn in ("tel:+447700900123", "webchat:a", "mailto:a@example.com", "webchat:a"):
        office.later(seconds=1)
        office.writes(urn, "hello")
    with office.store.read() as tx:
        found = [one.urn for one in customers.identities_of(tx, ann)]
    assert found == ["webchat:a", "mailto:a@example.com", "tel:+447700900123", "telegram:1"]


def test_people_and_words_are_found(office: Office) -> None:
    ann = office.customer("Ann 100% Lee_x", "mailto:ann@example.com", "tel:+15551234567")
    office.customer("Bea", "webchat:bea")
    office.writes("mailto:ann@example.com", "where is my 50%_off?", account="mail/main")
    office.writes("webchat:bea", "hi")
    office.customer("Ann", "webchat:other", brand="other")

    def people(text: str, **kw: Any) -> list[str]:
        with office.store.read() as tx:
            return [hit.customer.name for hit in customers.find(tx, text, **kw)]

    assert people("100%") == ["Ann 100% Lee_x"]
    assert people("LEE_") == ["Ann 100% Lee_x"]
    assert people("Ann@Example.com") == ["Ann 100% Lee_x"]
    assert people("+1 555 123 4567") == ["Ann 100% Lee_x"]
    assert people("#1002") == ["Bea"]
    assert people("ann", brand="other") == ["Ann"]
    with office.store.read() as tx:
        assert [card.number for card in views.search(tx, "50%_OFF").conversations] == [1001]
        assert [card.number for card in views.search(tx, "#1002").conversations] == [1002]
        assert customers.find(tx, "example.com")[0].urns == ("mailto:ann@example.com", "tel:+15551234567")
        assert views.customer(tx, ann).conversations[0].number == 1001
        with pytest.raises(NotFound):
            views.customer(tx, 5)


def test_names_and_words_are_found_in_any_alphabet(office: Office) -> None:
    office.customer("Иван Петров", "webchat:ivan")
    office.customer("Österreichische Post", "webchat:post")
    office.writes("webchat:ivan", "Привет, мир")
    with office.store.read() as tx:
        for text in ("Иван", "иван", "ПЕТР", "Öster", "öster", "reichische p"):
            assert len(customers.find(tx, text)) == 1, text
        for text in ("Привет", "привет"):
            assert [card.number for card in views.search(tx, text).conversations] == [1001], text


def test_a_mail_is_found_by_its_subject(office: Office) -> None:
    office.customer("Ann", "mailto:ann@example.com")
    _, mail = office.writes("mailto:ann@example.com", "see there", account="mail/main")
    with office.store.begin() as tx:
        tx.execute(update(interactions).where(interactions.c.id == mail).values(subject="Broken kettle"))
    with office.store.read() as tx:
        assert [card.number for card in views.search(tx, "kettle").conversations] == [1001]


def test_who_may_not_see_everything_finds_all_that_they_may_see(office: Office) -> None:
    """However much newer there is that they may not."""
    office.customer("Ann Lee", "webchat:ann")
    mine, _ = office.writes("webchat:ann", "the kettle is broken")
    for number in range(25):
        office.customer(f"Bea Lee {number}", f"webchat:b{number}")
        office.later(seconds=1)
        office.writes(f"webchat:b{number}", "my kettle, too", queue="billing")
    sales = views.Sees(queues=("sales",), agent="bo")
    with office.store.read() as tx:
        for text in ("kettle", "Lee", "1001"):
            hits = views.search(tx, text, sees=sales)
            assert [card.conversation_id for card in hits.conversations] == [mine], text
            assert [hit.customer.name for hit in hits.customers] == ([] if text == "kettle" else ["Ann Lee"])
        assert views.search(tx, "1002", sees=sales) == views.Hits(conversations=(), customers=())
        assert len(views.search(tx, "kettle").conversations) == 20
    assert statements(office, lambda tx: views.search(tx, "Lee", sees=sales)) <= 20


def test_who_may_be_the_same_person_is_found_from_either_side_without_reading_all(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    said: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda _c, _cu, text, *_: said.append(text))
    with store.read() as tx:
        assert views.proposals(tx, 1) == ()
        (asked,) = (text for text in said if "merge_proposals" in text)
        plan = [row.detail for row in tx.execute(sql(f"EXPLAIN QUERY PLAN {asked.replace('?', '1')}"))]
    assert not any(step.startswith("SCAN") for step in plan), plan
    store.close()


def test_a_merged_customer_is_found_as_who_they_are_now(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "webchat:lee")
    office.actions().merge(ann, lee, "lea")
    with office.store.read() as tx:
        assert [hit.customer.id for hit in customers.find(tx, "Lee")] == [ann]


# ------------------------------------------------------------------------------------------------- the visitor's chat


def sent(office: Office, delivery_id: int) -> None:
    with office.store.begin() as tx:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id)
            .values(state="sent", sent_at=office.now, updated_at=office.now)
        )


def test_a_chat_resumes_with_nothing_missing(office: Office) -> None:
    act = office.actions()
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "one", external_id="ann:c1")
    act.claim(talk, "bo")
    office.later(seconds=1)
    reply = act.reply(talk, "bo", "two", idem_key="k")
    office.later(seconds=1)
    _, seen = office.writes("webchat:ann", "three", conversation=talk)

    def since(after: int, limit: int = 200) -> list[str]:
        with office.store.read() as tx:
            return [
                past.text for past in views.history_since(tx, "webchat/main", "webchat:ann", after, limit)
            ]

    assert since(0) == ["one", "three"], "what is held has not been said"
    office.later(seconds=8)
    sent(office, reply.delivery_id)
    assert since(0) == ["one", "two", "three"]
    assert since(seen) == ["two"], "older than what was seen, but it went out after that"
    office.later(seconds=1)
    _, newest = office.writes("webchat:ann", "four", conversation=talk)
    assert since(seen) == ["two", "four"]
    assert since(newest) == []
    assert since(0, limit=1) == ["one"]
    with office.store.read() as tx:
        assert views.history_since(tx, "webchat/main", "webchat:ann", 0)[0].client_id == "ann:c1"
        assert views.history_since(tx, "mail/main", "webchat:ann", 0) == []
        assert views.history_since(tx, "webchat/main", "webchat:eve", 0) == []


def test_paging_comes_forward_however_many_were_read_late(office: Office) -> None:
    act = office.actions()
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "0")
    act.claim(talk, "bo")
    for number in range(12):
        office.later(seconds=20)
        sent(office, act.reply(talk, "bo", str(number), idem_key=str(number)).delivery_id)
    office.later(hours=1)
    with office.store.begin() as tx:
        tx.execute(update(deliveries).values(state="read", updated_at=office.now))
    after, seen = 0, []
    for _ in range(10):
        with office.store.read() as tx:
            rows = views.history_since(tx, "webchat/main", "webchat:ann", after, 3)
        seen += [row.seq for row in rows]
        if len(rows) < 3:
            break
        assert rows[-1].seq > after
        after = rows[-1].seq
    assert len(set(seen)) == 13


def test_how_long_a_visitor_will_wait(office: Office) -> None:
    act = office.actions()
    people = []
    for number in range(4):
        people.append(office.customer(str(number), f"webchat:{number}"))
        office.writes(f"webchat:{number}", "hi")
        office.later(seconds=1)

    def wait(who: str) -> Any:
        with office.store.read() as tx:
            return views.wait(tx, "webchat/main", who, office.now)

    assert wait("webchat:3") is None, "nobody knows yet how fast they are"
    assert act.next("bo") is not None
    assert act.next("bo") is not None
    assert wait("webchat:0") is None, "they are being answered"
    assert wait("webchat:2") == (0, 1800.0)
    assert wait("webchat:3") == (1, 3600.0)
    merged = {"why": "", "by": "agent:lea"}
    office.do(merges.merge, survivor=office.customer("Three", "tel:+3"), merged=people[3], **merged)
    assert wait("webchat:3") == (1, 3600.0), "whoever they turn out to be"
    office.later(hours=2)
    assert wait("webchat:3") is None


def test_presence_and_failed_sends_of_long_ago(office: Office) -> None:
    office.do(presence.put, "bo", "available", until=office.now + timedelta(hours=8))
    with office.store.read() as tx:
        assert presence.of(tx, "bo", office.now + timedelta(hours=9)).status == "offline"
        assert presence.everyone(tx, office.now)["bo"].since == START
    act = office.actions()
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "hi")
    act.claim(talk, "bo")
    act.reply(talk, "bo", "hi", idem_key="k")
    with office.store.begin() as tx:
        tx.execute(update(deliveries).values(state="failed"))
    with office.store.read() as tx:
        assert len(views.failed_sends(tx, now=office.now)) == 1
        assert views.failed_sends(tx, now=office.now + timedelta(days=15)) == []
        assert tx.execute(select(conversations.c.state)).scalar_one() == "open"
