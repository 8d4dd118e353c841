"""S10, as far as addresses are claimed today: who claims another's address gets nothing of theirs, before or after."""

from __future__ import annotations

import json

import pytest

from crm_store import merges, schema, views
from crm_store.batch_plan import NEVER_US
from crm_store.db import Store
from hub.clock import to_us
from hub.model import CallState, Event, IdentityLearned
from tests.router.way_in import WayIn, call

ANN = "mailto:ann@example.com"
STRANGER = "webchat:stranger"


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


def owner(way: WayIn, urn: str) -> int:
    return int(way.one(schema.identities, schema.identities.c.urn == urn).customer_id)


def words_of(way: WayIn, customer: int) -> list[str]:
    """What an agent reads in a customer's record: the interactions of the addresses that are theirs now."""
    mine = {i.id for i in way.rows(schema.identities, schema.identities.c.customer_id == customer)}
    return [row.text for row in way.rows(schema.interactions) if row.identity_id in mine]


def claimed_by_a_stranger(way: WayIn, *more: Event) -> None:
    way.take(way.ann("let me in", sender=STRANGER, sender_name="Mallory", claims=(ANN,)), *more)


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("in_one_batch", [True, False])
def test_who_writes_from_a_claimed_address_gets_a_record_of_their_own(
    way: WayIn, verified: bool, in_one_batch: bool
) -> None:
    letter = way.ann("my own words", account="webhook/main", sender=ANN, sender_name="Ann", verified=verified)
    claimed_by_a_stranger(way, *([letter] if in_one_batch else []))
    if not in_one_batch:
        assert owner(way, ANN) == owner(way, STRANGER)
        way.take(letter)
    stranger, ann = owner(way, STRANGER), owner(way, ANN)
    assert ann != stranger
    assert (words_of(way, stranger), words_of(way, ann)) == (["let me in"], ["my own words"])
    talks = {c.customer_id: c for c in way.rows(schema.conversations)}
    assert set(talks) == {ann, stranger}, "and neither stands in the other's conversation"
    identity = way.one(schema.identities, schema.identities.c.urn == ANN)
    assert (identity.verified, identity.name) == (verified, "Ann")
    assert to_us(identity.last_seen_at) != NEVER_US
    person = way.one(schema.customers, schema.customers.c.id == ann)
    assert (person.name, person.stage, person.by) == ("Ann", "lead", "customer")
    proposal = way.one(schema.merge_proposals)
    assert {proposal.one_id, proposal.other_id} == {ann, stranger}
    assert json.loads(proposal.evidence)["claimed"] == ANN
    facts = [json.loads(row.facts) for row in way.rows(schema.decisions)]
    assert facts[-1]["sender"] == ("verified" if verified else "claimed")


def test_taken_over_once_it_stays(way: WayIn) -> None:
    claimed_by_a_stranger(way)
    way.take(way.ann("one", sender=ANN, verified=False))
    ann = owner(way, ANN)
    way.take(way.ann("two", sender=ANN), way.ann("again", sender=STRANGER, claims=(ANN,)))
    assert owner(way, ANN) == ann
    assert words_of(way, ann) == ["one", "two"]
    assert way.count(schema.merge_proposals) == 1


def test_a_call_from_a_claimed_number_opens_nobodys_record(way: WayIn) -> None:
    way.take(way.ann("hello", sender=STRANGER, claims=("tel:+15550100",)))
    way.take(call(way.now, CallState.RINGING))
    assert owner(way, "tel:+15550100") != owner(way, STRANGER)
    assert way.count(schema.conversations) == 2


def test_a_claim_does_not_collect_its_owners_other_addresses(way: WayIn) -> None:
    """A provider vouches that two addresses are one person's; one of them is only claimed, by somebody else."""
    claimed_by_a_stranger(way)
    way.take(
        IdentityLearned(
            account="webhook/main", event_key="i1", received_at=way.now, urn=ANN, other="tel:+15550100",
            verified=True,
        )
    )  # fmt: skip
    assert owner(way, "tel:+15550100") != owner(way, STRANGER)
    way.take(way.ann("it is me", sender=ANN, account="webhook/main"))
    assert words_of(way, owner(way, STRANGER)) == ["let me in"]


def test_unmerging_gives_nothing_back_to_who_only_claimed_it(way: WayIn) -> None:
    claimed_by_a_stranger(way)
    way.take(way.ann("somebody else", sender="webchat:third"))
    stranger, third = owner(way, STRANGER), owner(way, "webchat:third")
    ids = way.store.ids
    merged = way.store.run(
        lambda tx: merges.merge(tx, ids, survivor=third, merged=stranger, why="", by="agent:bo", now=way.now)
    )
    way.take(way.ann("mine", sender=ANN))
    ann = owner(way, ANN)
    assert ann not in (stranger, third)
    way.store.run(lambda tx: merges.unmerge(tx, ids, merged.id, by="agent:bo", now=way.now))
    assert (owner(way, ANN), owner(way, STRANGER)) == (ann, stranger)


def test_a_verified_address_is_nobodys_by_claiming(way: WayIn) -> None:
    way.take(way.ann("mine", sender=ANN))
    ann = owner(way, ANN)
    claimed_by_a_stranger(way)
    assert owner(way, ANN) == ann
    assert words_of(way, ann) == ["mine"]


def test_an_unproved_message_from_a_proved_address_is_marked(way: WayIn) -> None:
    """A From: header or a form's field with a customer's address is shown as what it is: a claim (S10)."""
    way.take(way.ann("really me", sender=ANN))
    way.take(way.ann("send the goods elsewhere", sender=ANN, account="webhook/main", verified=False))
    with way.store.read() as tx:
        shown = views.conversation(tx, way.conversation().id).history.entries
    assert {entry.text: entry.claimed for entry in shown} == {
        "really me": False,
        "send the goods elsewhere": True,
    }
    facts = json.loads(way.rows(schema.decisions)[-1].facts)
    assert facts["sender"] == "claimed"
