from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from crm_store import beginning, conversations, customers, matching, merges, views
from crm_store.schema import customers as customers_table
from crm_store.schema import identities, merge_moves
from crm_store.schema import merges as merges_table
from hub.errors import Conflict, NotFound, Refused
from hub.model import IdentityLearned
from tests.databases import on_postgresql, until_it_waits
from tests.store.people import Office, at_once


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


def owners(office: Office) -> dict[str, int]:
    with office.store.read() as tx:
        return {row.urn: row.customer_id for row in tx.execute(select(identities))}


def merge(office: Office, survivor: int, merged: int) -> merges.Merged:
    return office.do(  # type: ignore[no-any-return]
        merges.merge, survivor=survivor, merged=merged, why="same voice", by="agent:bo"
    )


def unmerge(office: Office, merge_id: int) -> merges.Merged:
    return office.do(merges.unmerge, merge_id, by="agent:bo")  # type: ignore[no-any-return]


def test_addresses_move_and_go_back_and_what_was_said_follows(office: Office) -> None:
    ann = office.customer("Ann", "webchat:ann", "tel:+15551230001")
    lee = office.customer("A. Lee", "mailto:lee@example.com")
    first, _ = office.writes("webchat:ann", "in the chat")
    second, _ = office.writes("mailto:lee@example.com", "by mail", account="mail/main")

    done = merge(office, ann, lee)
    assert (done.survivor_id, done.merged_id, done.new) == (ann, lee, True)
    assert set(owners(office).values()) == {ann}
    with office.store.read() as tx:
        page = views.conversation(tx, first)
        assert [entry.text for entry in page.history.entries] == ["in the chat", "by mail"]
        assert [card.conversation_id for card in page.linked] == [second]
        assert views.customer(tx, lee).customer.id == ann, "whoever was merged is who they are now"

    unmerge(office, done.id)
    assert owners(office) == {
        "webchat:ann": ann,
        "tel:+15551230001": ann,
        "mailto:lee@example.com": lee,
    }
    with office.store.read() as tx:
        assert [e.text for e in views.customer(tx, ann).history.entries] == ["in the chat"]
        assert [e.text for e in views.customer(tx, lee).history.entries] == ["by mail"]
        assert [card.conversation_id for card in views.conversation(tx, first).linked] == [second]


def test_a_merge_twice_is_one_and_an_undo_twice_is_told(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "webchat:lee")
    done = merge(office, ann, lee)
    for one, other in ((ann, lee), (lee, ann)):
        again = merge(office, one, other)
        assert (again.id, again.new) == (done.id, False)
    unmerge(office, done.id)
    with pytest.raises(Conflict, match="taken back already"):
        unmerge(office, done.id)
    with pytest.raises(NotFound):
        unmerge(office, 12345)


def test_what_cannot_be_merged(office: Office) -> None:
    ann, far = office.customer("Ann", "webchat:ann"), office.customer("Ann", "webchat:ann", brand="other")
    with pytest.raises(Refused, match="two brands"):
        merge(office, ann, far)
    with pytest.raises(Refused, match="same customer"):
        merge(office, ann, ann)
    with pytest.raises(NotFound):
        merge(office, ann, 12345)
    with office.store.read() as tx:
        assert tx.execute(select(merges_table)).first() is None


def test_both_ways_at_once_make_no_ring(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "webchat:lee")
    results = at_once(8, lambda n: merge(office, *((ann, lee) if n % 2 else (lee, ann))))
    assert sum(result.new for result in results) == 1, results
    assert len(set(owners(office).values())) == 1


def test_a_next_message_finds_its_conversation_before_and_after(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "webchat:lee")
    of_lee, _ = office.writes("webchat:lee", "hi")
    done = merge(office, ann, lee)
    assert office.row(of_lee).slot == f"c:{ann}", "Ann has none open: Lee's is it"
    during, _ = office.writes("webchat:lee", "and this")
    unmerge(office, done.id)
    assert office.row(of_lee).slot == f"c:{lee}"
    assert office.row(during).customer_id == lee, "what was opened meanwhile is whose address it is"


def test_two_open_ones_both_stay(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "webchat:lee")
    of_ann, _ = office.writes("webchat:ann", "one")
    of_lee, _ = office.writes("webchat:lee", "two")
    done = merge(office, ann, lee)
    assert (office.row(of_ann).slot, office.row(of_lee).slot) == (f"c:{ann}", f"x:{of_lee}")
    assert {office.row(c).state for c in (of_ann, of_lee)} == {"waiting"}
    unmerge(office, done.id)
    assert (office.row(of_ann).slot, office.row(of_lee).slot) == (f"c:{ann}", f"c:{lee}")
    office.do(conversations.close, of_lee, by="agent:bo")
    assert office.row(of_lee).home == f"c:{lee}"


@on_postgresql
@pytest.mark.parametrize("whose", ["ann", "lee"])
def test_one_that_is_reopened_at_this_moment_stays_open(office: Office, whose: str) -> None:
    """Its transaction is not over when the merge looks. SQLite has one writer."""
    people = {name: office.customer(name, f"webchat:{name}") for name in ("ann", "lee")}
    talks = {name: office.writes(f"webchat:{name}", "hello")[0] for name in people}
    office.do(conversations.close, talks[whose], by="agent:bo")
    with ThreadPoolExecutor(1) as thread:
        with office.store.begin() as tx:
            conversations.reopen(tx, office.ids, talks[whose], by="agent:bo", now=office.now)
            merged = thread.submit(merge, office, people["ann"], people["lee"])
            until_it_waits(tx, merged)
        merged.result(10)
    of_ann, of_lee = (office.row(talks[name]) for name in ("ann", "lee"))
    assert (of_ann.state, of_ann.slot) == ("waiting", f"c:{people['ann']}")
    assert (of_lee.state, of_lee.slot, of_lee.home) == ("waiting", f"x:{of_lee.id}", of_ann.home)
    with office.store.read() as tx:
        assert [card.conversation_id for card in views.conversation(tx, of_ann.id).linked] == [of_lee.id]


@on_postgresql
def test_one_that_is_begun_at_this_moment_comes_along(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "mailto:lee@example.com")
    with ThreadPoolExecutor(1) as thread:
        with office.store.begin() as tx:
            row = beginning.address(
                tx, office.ids, "acme", "mailto:lee@example.com", name="", by="agent:bo", now=office.now
            )
            merged = thread.submit(merge, office, ann, lee)
            until_it_waits(tx, merged)
            place = beginning.Place(
                brand="acme",
                account="mail/main",
                identity_id=row.id,
                customer_id=row.customer_id,
                home=f"c:{row.customer_id}",
                queue="sales",
                priority="normal",
                head_start_s=0.0,
                subject="",
            )
            begun = beginning.begin(tx, office.ids, place, "bo", now=office.now)
        merged.result(10)
    assert begun is not None
    assert office.row(begun).slot == f"c:{ann}", "where her next message looks for it"


def test_a_chain_undone_from_the_bottom(office: Office) -> None:
    a, b, c = (office.customer(name, f"webchat:{name}") for name in "abc")
    one, two = merge(office, b, a), merge(office, c, b)
    talk, _ = office.writes("webchat:a", "hi")
    assert set(owners(office).values()) == {c}
    unmerge(office, one.id)
    assert owners(office) == {"webchat:a": a, "webchat:b": c, "webchat:c": c}
    assert office.row(talk).slot == f"c:{a}"
    again = merge(office, c, a)
    unmerge(office, two.id)
    assert owners(office) == {"webchat:a": c, "webchat:b": b, "webchat:c": c}, "a is c's by the third merge"
    unmerge(office, again.id)
    assert owners(office) == {f"webchat:{name}": who for name, who in zip("abc", (a, b, c), strict=True)}


NAMES = "abcde"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("unmerge"), st.integers(0, 9), st.just("")),
    ),
    max_size=14,
)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(steps=STEPS)
def test_in_any_order_the_owner_is_who_stands_above(
    office: Office, steps: list[tuple[str, Any, str]]
) -> None:
    """Against a model: an address is owned by the top of the tree of active merges above its first owner."""
    people = {name: office.customer(name) for name in NAMES}
    addresses = {
        office.identity(person, f"webchat:{person}:{n}"): person for person in people.values() for n in (1, 2)
    }
    above: dict[int, int] = {}
    active: dict[int, int] = {}  # merge -> who was merged

    def top(person: int) -> int:
        while person in above:
            person = above[person]
        return person

    for what, one, other in steps:
        if what == "merge":
            survivor, merged = top(people[one]), top(people[other])
            if one == other:
                continue
            done = merge(office, people[one], people[other])
            assert done.new == (survivor != merged)
            if done.new:
                above[merged] = survivor
                active[done.id] = merged
        elif active:
            merge_id = sorted(active)[one % len(active)]
            unmerge(office, merge_id)
            del above[active.pop(merge_id)]
        with office.store.read() as tx:
            query = select(identities.c.id, identities.c.customer_id).where(identities.c.id.in_(addresses))
            assert dict(tx.execute(query).all()) == {i: top(p) for i, p in addresses.items()}
            assert merges.roots_of(tx, people.values()) == {p: top(p) for p in people.values()}
    with office.store.begin() as tx:
        for table in (merges_table, merge_moves):
            tx.execute(delete(table))
        tx.execute(update(customers_table).values(merged_into=None))


# ------------------------------------------------------------------------------------------------- what is learned


def learned(urn: str, other: str, *, verified: bool, name: str = "") -> IdentityLearned:
    from tests.store.people import START

    return IdentityLearned(
        account="webchat/main",
        event_key=f"{urn}={other}",
        received_at=START,
        urn=urn,
        other=other,
        verified=verified,
        name=name,
    )


def learn(office: Office, *events: IdentityLearned) -> set[int]:
    with office.store.begin() as tx:
        return customers.learn(tx, office.ids, events, lambda account: "acme", office.now)


def test_certain_evidence_alone_merges_by_itself(office: Office) -> None:
    ann, lee = office.customer("Ann", "webchat:ann"), office.customer("Lee", "tel:+15551230001")
    learn(office, learned("webchat:ann", "tel:+15551230001", verified=True))
    assert set(owners(office).values()) == {ann}
    with office.store.read() as tx:
        assert views.customer(tx, lee).merges[0].by == "system"


@pytest.mark.parametrize("verified", [True, False])
def test_a_claim_is_only_proposed(office: Office, verified: bool) -> None:
    """A vouched-for link to an address that is itself only claimed, and a mere claim between verified ones."""
    ann = office.customer("Ann", "webchat:ann")
    lee = office.customer("Lee", "tel:+15551230001", verified=not verified)
    for _ in range(2):
        learn(office, learned("webchat:ann", "tel:+15551230001", verified=verified))
    assert owners(office) == {"webchat:ann": ann, "tel:+15551230001": lee}
    with office.store.read() as tx:
        [proposal] = views.proposals(tx, ann)
    assert (proposal.customer_id, proposal.customer_name) == (lee, "Lee")
    assert len(proposal.reasons) == 1
    office.run(matching.refuse, proposal.id, by="agent:bo")
    with pytest.raises(Conflict):
        office.run(matching.refuse, proposal.id, by="agent:bo")
    learn(office, learned("webchat:ann", "tel:+15551230001", verified=verified))
    with office.store.read() as tx:
        assert views.proposals(tx, ann) == (), "what was refused is not proposed again"


def test_a_new_address_joins_where_vouched_for_and_stands_alone_where_claimed(office: Office) -> None:
    ann = office.customer("Ann", "webchat:ann")
    learn(office, learned("webchat:ann", "tel:+15551230001", verified=True))
    learn(office, learned("mailto:ceo@example.com", "webchat:ann", verified=False))
    who = owners(office)
    assert who["tel:+15551230001"] == ann
    assert who["mailto:ceo@example.com"] != ann, "nobody owns an address by claiming it"
    with office.store.read() as tx:
        assert [p.customer_id for p in views.proposals(tx, ann)] == [who["mailto:ceo@example.com"]]
