"""The ways to answer, built out of the store for router/choose.py."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from crm_store import consents
from crm_store.schema import account_states, customers, identities
from desk.actions import Actions
from hub.errors import NotFound, Refused
from hub.model import ConsentChanged
from tests.databases import on_postgresql, on_sqlite
from tests.store.people import CONFIG, LIMITS, SCHEMES, Office


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


@pytest.fixture
def talk(office: Office) -> int:
    office.customer("Ann", "webchat:ann", "mailto:ann@example.com", "tel:+15551230001", "fax:1")
    conversation, _ = office.writes("webchat:ann", "hello")
    return conversation


def ways(
    office: Office, talk: int, act: Any = None
) -> dict[str, tuple[str | None, tuple[str, ...], tuple[str, ...]]]:
    choice = (act or office.actions()).choices(talk, "bo")
    return {one.urn: (one.account, one.speaks_for, one.blocked_by) for one in choice.options}


@on_sqlite
def test_every_address_with_the_account_that_reaches_it(office: Office, talk: int) -> None:
    found = ways(office, talk)
    assert {urn: account for urn, (account, _, _) in found.items()} == {
        "webchat:ann": "webchat/main",
        "mailto:ann@example.com": "mail/main",
        "tel:+15551230001": "window/main",
        "fax:1": None,
    }
    choice = office.actions().choices(talk)
    assert choice.winner is not None
    assert choice.winner.urn == "webchat:ann"
    assert "they wrote from here in this conversation" in choice.winner.speaks_for
    assert choice.reasons


def test_what_speaks_and_what_blocks(office: Office, talk: int) -> None:
    change = ConsentChanged(
        account="webchat/main", event_key="1", received_at=office.now, urn="webchat:ann", granted=False
    )
    with office.store.begin() as tx:
        consents.apply(tx, office.ids, [change], lambda _: "acme", "customer", office.now)
        tx.execute(update(customers).values(preferred_channel="mail"))
        tx.execute(update(identities).where(identities.c.urn.like("mailto:%")).values(trouble="full"))
    found = ways(office, talk)
    assert found["webchat:ann"][2] == ("they asked us not to write here",)
    assert found["mailto:ann@example.com"][1:] == (
        ("it is the channel they prefer", "it is known to be theirs"),
        ("their mailbox is full",),
    )
    assert found["tel:+15551230001"][2] == ("the time in which this channel lets us answer is over",)
    assert office.actions().choices(talk).winner is None


@on_postgresql
def test_a_window_is_open_after_a_word_and_a_pause_ends(office: Office, talk: int) -> None:
    office.writes("tel:+15551230001", "hi", account="window/main", conversation=talk)
    with office.store.begin() as tx:
        tx.execute(
            insert(account_states).values(
                account="window/main", paused_until=office.now + timedelta(minutes=5), why="x", at=office.now
            )
        )
    assert ways(office, talk)["tel:+15551230001"][2] == ("this channel is paused after a failure",)
    office.later(minutes=6)
    assert ways(office, talk)["tel:+15551230001"][2] == ()
    office.later(hours=24)
    assert len(ways(office, talk)["tel:+15551230001"][2]) == 1


@on_sqlite
def test_an_address_learned_by_a_merge_counts(office: Office, talk: int) -> None:
    bea = office.customer("Bea", "mailto:bea@example.com")
    act = office.actions()
    act.merge(office.who("webchat:ann").customer_id, bea, "lea")
    assert ways(office, talk)["mailto:bea@example.com"][0] == "mail/main"
    with pytest.raises(NotFound):
        act.choices(1)
    with pytest.raises(Refused, match="no agent"):
        act.choices(talk, "zed")


def test_without_schemes_only_where_they_wrote_from(office: Office, talk: int) -> None:
    off = replace(CONFIG.accounts["webchat/main"], enabled=False)
    config = replace(CONFIG, accounts={**CONFIG.accounts, "webchat/main": off})

    def make(schemes: dict[str, str]) -> Actions:
        return Actions(
            office.store,
            lambda: config,
            LIMITS,
            office.woken.append,
            lambda *_a, **_k: None,
            office.clock,
            10.0,
            schemes,
            live=lambda pairs: [pair for pair in pairs if pair[1] == "webchat:ann"],
        )

    found = ways(office, talk, make({}))
    assert [account for account, _, _ in found.values() if account] == ["webchat/main"]
    assert found["webchat:ann"][1][0] == "they are here now"
    assert found["webchat:ann"][2] == ("this account is switched off",)
    assert make(SCHEMES).choices(talk).winner is not None
