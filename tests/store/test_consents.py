from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from crm_store import consents, customers, views
from crm_store.schema import consent_changes
from hub.model import ConsentChanged
from tests.store.people import START, Office


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


def said(
    urn: str, granted: bool, after_s: float = 0, scope: str = "all", wording: str = ""
) -> ConsentChanged:
    return ConsentChanged(
        account="webchat/main",
        event_key=f"{urn}{after_s}",
        received_at=START + timedelta(seconds=after_s),
        urn=urn,
        granted=granted,
        scope=scope,
        wording=wording,
    )


def apply(office: Office, *rows: ConsentChanged, everywhere: bool = False) -> None:
    with office.store.begin() as tx:
        consents.apply(
            tx,
            office.ids,
            rows,
            lambda account: "acme",
            "customer",
            START + timedelta(days=1),
            everywhere=lambda brand: everywhere,
        )


def blocked(office: Office, *urns: str, scope: str = "all", brand: str = "acme") -> set[str]:
    with office.store.read() as tx:
        return consents.blocked(tx, brand, urns, scope)


def test_stop_then_start_then_stop(office: Office) -> None:
    assert blocked(office, "tel:+1") == set()
    for after, granted in enumerate((False, True, False)):
        apply(office, said("tel:+1", granted, after, wording="words"))
        assert blocked(office, "tel:+1", "tel:+2") == (set() if granted else {"tel:+1"})
    h = consent_changes.c
    with office.store.read() as tx:
        changes = tx.execute(select(h.granted, h.wording, h.by).where(h.urn == "tel:+1").order_by(h.at)).all()
    assert [(c.granted, c.wording, c.by) for c in changes] == [
        (False, "words", "customer"),
        (True, "words", "customer"),
        (False, "words", "customer"),
    ]


def test_all_of_it_in_one_batch_comes_to_the_same(office: Office) -> None:
    apply(
        office,
        said("tel:+1", False, 0),
        said("tel:+1", True, 1),
        said("tel:+2", True, 1),
        said("tel:+2", False, 2),
    )
    assert blocked(office, "tel:+1", "tel:+2") == {"tel:+2"}


def test_the_last_word_counts_not_the_last_to_arrive(office: Office) -> None:
    apply(office, said("tel:+1", False, 10))
    apply(office, said("tel:+1", True, 5))
    assert blocked(office, "tel:+1") == {"tel:+1"}
    apply(office, said("tel:+2", True, 5))
    apply(office, said("tel:+2", False, 5))
    apply(office, said("tel:+2", True, 5))
    assert blocked(office, "tel:+2") == {"tel:+2"}, "of two at one moment the withholding one"


def test_scopes(office: Office) -> None:
    apply(office, said("tel:+1", False, scope="marketing"), said("tel:+2", False))
    assert blocked(office, "tel:+1", "tel:+2") == {"tel:+2"}
    assert blocked(office, "tel:+1", "tel:+2", scope="marketing") == {"tel:+1", "tel:+2"}
    apply(office, said("tel:+1", True, 1), said("tel:+2", True, 1, scope="marketing"))
    assert blocked(office, "tel:+1", "tel:+2") == {"tel:+2"}, "marketing alone does not open all"
    assert blocked(office, "tel:+1", scope="marketing") == {"tel:+1"}, "nor does all open marketing"


def test_a_brands_consent_is_its_own(office: Office) -> None:
    apply(office, said("tel:+1", False))
    assert blocked(office, "tel:+1", brand="other") == set()


def test_a_bulk_is_looked_up_at_once(office: Office) -> None:
    urns = [f"tel:+1{n:010}" for n in range(1500)]
    apply(office, *(said(urn, False) for urn in urns[::2]))
    assert blocked(office, *urns) == set(urns[::2])
    apply(office)


def test_it_is_shown_with_the_address_and_survives_merging(office: Office) -> None:
    ann, lee = office.customer("Ann", "tel:+1"), office.customer("Lee", "tel:+2")
    apply(office, said("tel:+2", False))
    office.actions().merge(ann, lee, "lea")
    with office.store.read() as tx:
        shown = {one.urn: one.opted_out for one in views.customer(tx, ann).identities}
    assert shown == {"tel:+1": (), "tel:+2": ("all",)}


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_stop_counts_on_the_customers_other_addresses_where_the_brand_says_so(
    office: Office, everywhere: bool
) -> None:
    ann = ("tel:+15551230001", "telegram:42", "mailto:ann@example.com")
    customer = office.customer("Ann", *ann)
    office.customer("Bea", "telegram:43")
    apply(office, said(ann[0], False, 1), everywhere=everywhere)
    stopped = set(ann) if everywhere else {ann[0]}
    assert blocked(office, *ann, "telegram:43") == stopped
    assert blocked(office, *ann, scope="marketing") == stopped
    with office.store.read() as tx:
        known = customers.identities_of(tx, customer)
    assert {one.urn for one in known if "all" in one.opted_out} == stopped
    apply(office, said(ann[1], True, 2), everywhere=everywhere)  # "start" on Telegram opens Telegram alone
    assert blocked(office, *ann) == stopped - {ann[1]}
    apply(office, said(ann[0], True, 3), everywhere=everywhere)  # and where she had said stop, all of it
    assert blocked(office, *ann) == set()
