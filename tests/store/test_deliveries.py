"""Deliveries at the store: reports in any order, before and after our own commit, and by two at once (F17)."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from msgspec import structs

from crm_store import (
    carried,
    consents,
    deliveries,
    doubts,
    outbox,
    outcomes,
    pauses,
    receipts,
    schema,
)
from crm_store.db import Store
from crm_store.delivery_states import Moved
from crm_store.parked import Name, forget, lock, name_of, put, take
from crm_store.schema import consent_changes, identities, parked_reports
from hub.errors import NotFound
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus, Template
from tests.databases import on_postgresql, until_it_waits
from tests.each import each
from tests.workers.office import START, Office
from workers.sending import outgoing

LEASE = timedelta(seconds=90)
ACCOUNT = "webhook/main"


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store)


def report(status: str, external_id: str | None = "x1", **more: object) -> DeliveryReported:
    return DeliveryReported(
        account=ACCOUNT,
        event_key=f"{external_id}-{status}",
        received_at=START,
        status=DeliveryStatus(status),
        external_id=external_id,
        **more,  # type: ignore[arg-type]
    )


def tell(office: Office, *reports: DeliveryReported) -> None:
    office.store.run(lambda tx: deliveries.apply_reports(tx, office.store.ids, reports, office.now))


def begin(office: Office, owner: str = "w") -> list[outbox.Claimed]:
    """Claim and mark whatever is due."""

    def work(tx: sa.Connection) -> list[outbox.Claimed]:
        claimed = outbox.claim(tx, {ACCOUNT: 10}, owner=owner, now=office.now, lease=LEASE)
        begun = outbox.begin(tx, [c.id for c in claimed], owner=owner, now=office.now, lease=LEASE)
        return [c for c in claimed if c.id in begun]

    return office.store.run(work)


def commit(
    office: Office, delivery: outbox.Claimed, external_ids: Sequence[str] = ("x1",), owner: str = "w"
) -> None:
    sent = outcomes.Outcome(delivery=delivery, state="sent", at=office.now, sent_ids=tuple(external_ids))
    office.store.run(lambda tx: outcomes.finish(tx, office.store.ids, [sent], owner=owner, now=office.now))


def parked(office: Office) -> int:
    with office.store.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(parked_reports)).scalar_one())


@on_postgresql
def test_whose_lease_has_ended_waits_for_who_tells_its_end(office: Office) -> None:
    """A sender that was frozen notes what became of its try, at the moment in which it is given up."""
    delivery = office.reply()
    [claimed] = begin(office)
    office.later(minutes=5)
    sent = outcomes.Outcome(delivery=claimed, state="sent", at=office.now, sent_ids=("x1",))

    def expire() -> list[Moved]:
        with office.store.begin() as tx:  # not repeated where the two meet
            return doubts.expire(tx, office.store.ids, office.now)

    with ThreadPoolExecutor(1) as thread:
        with office.store.begin() as tx:
            lock(tx, [name_of(ACCOUNT, delivery)])
            expired = thread.submit(expire)
            until_it_waits(tx, expired)
            outcomes.finish(tx, office.store.ids, [sent], owner="w", now=office.now)
        assert expired.result(10) == []
    assert (office.state(delivery), office.parts(delivery)) == ("sent", {"x1": "sent"})


def test_the_same_key_is_the_same_delivery(office: Office) -> None:
    conversation = office.conversation()
    first = office.reply(conversation, idem_key="view-1")
    assert office.reply(conversation, "again", idem_key="view-1") == first
    assert office.events(first) == ["queued"]


def test_each_of_many_accounts_gives_as_many_as_it_has_room_for(office: Office) -> None:
    accounts = [f"webhook/a{n:03}" for n in range(120)]
    replies = {a: [office.reply(to=f"webhook:{a}-{n}", account=a) for n in range(2)] for a in accounts[::30]}
    rooms = {a: 1 if a == accounts[30] else 5 for a in accounts}
    claimed = office.store.run(lambda tx: outbox.claim(tx, rooms, owner="w", now=office.now, lease=LEASE))
    replies[accounts[30]] = replies[accounts[30]][:1]
    assert [c.id for c in claimed] == sorted(d for mine in replies.values() for d in mine)


def test_a_delivery_that_is_not_there(office: Office) -> None:
    with pytest.raises(NotFound, match="no delivery 7"):
        office.store.run(lambda tx: deliveries.cancel(tx, office.store.ids, 7, by="agent:bo", now=office.now))


@each("order", itertools.permutations(["commit", "sent", "delivered", "read"]))
def test_reports_and_our_commit_in_any_order(office: Office, order: tuple[str, ...]) -> None:
    """All 24 orders, each report twice: the end is the same, and no state ever goes back."""
    delivery, part = office.reply(), "-".join(order)
    [claimed] = begin(office)
    rank = ["sending", "sent", "delivered", "read"]
    reached = 0
    for what in order:
        for _ in range(1 if what == "commit" else 2):
            commit(office, claimed, (part,)) if what == "commit" else tell(office, report(what, part))
            now = rank.index(office.state(delivery))
            assert now >= reached
            reached = now
    assert office.state(delivery) == "read"
    assert office.parts(delivery) == {part: "read"}
    assert parked(office) == 0


@each("order", itertools.permutations(["commit", "delivered", "failed"]))
def test_a_failure_is_not_lost_whatever_came_first(office: Office, order: tuple[str, ...]) -> None:
    delivery, part = office.reply(), "-".join(order)
    [claimed] = begin(office)
    for what in order:
        if what == "commit":
            commit(office, claimed, (part,))
        else:
            detail = "no such mailbox" if what == "failed" else ""
            tell(office, report(what, part, code="5.1.1", detail=detail))
    row = office.row(delivery)
    assert (row.state, row.provider_code, row.detail) == ("failed", "5.1.1", "no such mailbox")


def test_a_delivery_is_delivered_when_all_its_parts_are(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    commit(office, claimed, ("a", "b", "c"))
    tell(office, report("delivered", "c"), report("read", "a"))
    assert office.state(delivery) == "sent"
    tell(office, report("delivered", "b"))
    assert office.state(delivery) == "delivered"
    tell(office, report("read", "b"), report("read", "c"))
    assert office.state(delivery) == "read"


def test_a_report_by_our_own_id_waits_for_the_send_and_then_counts(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    tell(office, report("delivered", None, delivery_id=delivery))
    assert (office.state(delivery), parked(office)) == ("sending", 1)
    commit(office, claimed, ("a",))
    assert (office.state(delivery), office.parts(delivery)) == ("delivered", {"a": "delivered"})


@pytest.mark.parametrize("when", ["queued", "sending", "sent"])
def test_a_late_word_on_a_try_that_an_agent_repeated_says_nothing_of_the_new_one(
    office: Office, when: str
) -> None:
    """Else the agent sends again what arrived."""
    delivery = office.reply()
    [claimed] = begin(office)
    commit(office, claimed)
    tell(office, report("failed", "x1", delivery_id=delivery))
    office.store.run(
        lambda tx: deliveries.retry(tx, office.store.ids, delivery, by="agent:bo", now=office.now)
    )
    again = [] if when == "queued" else begin(office)
    if when == "sent":
        commit(office, again[0], ("x2",))
    tell(office, report("failed", "x1", delivery_id=delivery, code="5.0.0"))
    if when != "sent":
        commit(office, (again or begin(office))[0], ("x2",))
    assert office.state(delivery) == "sent"
    tell(office, report("delivered", "x2", delivery_id=delivery))
    assert (office.state(delivery), parked(office)) == ("delivered", 0)
    assert office.parts(delivery) == {"x1": "failed", "x2": "delivered"}


def test_a_report_that_names_nothing_is_no_trouble(office: Office) -> None:
    tell(office, report("sent", None))
    assert parked(office) == 0


def test_an_unknown_send_that_is_reported_was_sent(office: Office) -> None:
    delivery = office.reply()
    begin(office)
    office.later(minutes=5)
    office.store.run(lambda tx: doubts.expire(tx, office.store.ids, office.now))
    assert office.state(delivery) == "unknown"
    tell(office, report("sent", "x1", delivery_id=delivery))
    assert (office.state(delivery), office.parts(delivery)) == ("sent", {"x1": "sent"})
    tell(office, report("delivered", "x1"))
    assert office.state(delivery) == "delivered"


def test_a_report_that_came_before_the_lease_ended_settles_it(office: Office) -> None:
    delivery = office.reply()
    begin(office)
    tell(office, report("delivered", "x1", delivery_id=delivery))
    office.later(minutes=5)
    office.store.run(lambda tx: doubts.expire(tx, office.store.ids, office.now))
    assert office.state(delivery) == "delivered"


def test_what_was_reported_as_sent_is_not_tried_again(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    failed = outcomes.Outcome(delivery=claimed, state="queued", at=office.now, code="response_status")
    office.store.run(lambda tx: outcomes.finish(tx, office.store.ids, [failed], owner="w", now=office.now))
    tell(office, report("delivered", "x1", delivery_id=delivery))
    assert office.state(delivery) == "delivered"
    assert begin(office) == []


def test_a_report_of_another_account_moves_nothing(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    commit(office, claimed)

    stranger = structs.replace(report("failed", "x1", delivery_id=delivery), account="webhook/stranger")
    tell(office, stranger)
    assert office.state(delivery) == "sent"


def test_a_report_of_what_never_comes_is_forgotten_in_time(office: Office) -> None:
    tell(office, report("delivered", "nobody"))
    assert parked(office) == 1
    office.store.run(lambda tx: receipts.take_late(tx, office.store.ids, office.now))
    assert parked(office) == 1
    assert office.store.run(lambda tx: forget(tx, office.now + timedelta(days=8))) == 1


def test_a_parked_report_comes_back_as_it_was(office: Office) -> None:
    said = report(
        "failed", delivery_id=7, code="30008", detail="gone", recipient="tel:+15550001", again=2, again_s=5.0,
        rest_s=1.0, reported_at=START - timedelta(seconds=3), here_alone=True,
    )  # fmt: skip
    plain = report("sent")
    unset = {name for name in said.__struct_fields__ if getattr(said, name) == getattr(plain, name)}
    assert unset == {"account", "received_at", "external_id", "blob", "until"}, "a new field is parked, too"
    wanted = [name_of(ACCOUNT, 7), Name(account=ACCOUNT, external_id="x1")]
    office.store.run(lambda tx: put(tx, office.store.ids, [said, plain]))
    assert office.store.run(lambda tx: take(tx, wanted)) == [said, plain]
    assert office.store.run(lambda tx: take(tx, wanted)) == []


def test_what_was_parked_and_cannot_be_read_holds_nothing_up(office: Office) -> None:
    good, wanted = report("sent"), [Name(account=ACCOUNT, external_id="x1")]
    office.store.run(lambda tx: put(tx, office.store.ids, [report("failed"), report("read"), good]))
    with office.store.begin() as tx:
        broken = (
            tx.execute(sa.select(parked_reports.c.id).order_by(parked_reports.c.id).limit(2)).scalars().all()
        )
        for row_id, event in zip(broken, ("{", '{"kind": "report"}'), strict=True):
            tx.execute(sa.update(parked_reports).where(parked_reports.c.id == row_id).values(event=event))
    assert office.store.run(lambda tx: take(tx, wanted)) == [good]
    assert parked(office) == 2, "they stay to be looked at, for as long as all that is parked"


def test_the_sweeper_applies_what_was_parked_too_late(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    tell(office, report("delivered", "x1"))
    with office.store.begin() as tx:  # as if an older version had committed the ids and not looked
        rows = tx.execute(sa.select(parked_reports)).mappings().all()
        tx.execute(sa.delete(parked_reports))
    commit(office, claimed)
    with office.store.begin() as tx:
        tx.execute(sa.insert(parked_reports), [dict(row) for row in rows])
    assert office.state(delivery) == "sent"
    office.store.run(lambda tx: receipts.take_late(tx, office.store.ids, office.now))
    assert (office.state(delivery), parked(office)) == ("delivered", 0)


def test_a_report_and_the_commit_at_the_same_moment_never_miss_each_other(office: Office) -> None:
    """Fifteen rounds of both starting together; either order, the report is applied and nothing stays parked."""
    for round_ in range(15):
        delivery = office.reply(to=f"webhook:c{round_}")
        [claimed] = begin(office)
        external_id = f"e{round_}"
        gate = threading.Barrier(2)

        def send(claimed: outbox.Claimed = claimed, external_id: str = external_id) -> None:
            gate.wait()  # noqa: B023
            commit(office, claimed, (external_id,))

        def hear(external_id: str = external_id) -> None:
            gate.wait()  # noqa: B023
            tell(office, report("delivered", external_id))

        threads = [threading.Thread(target=work) for work in (send, hear)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert office.state(delivery) == "delivered"
    assert parked(office) == 0


@pytest.mark.postgres
def test_the_commit_waits_for_a_report_that_is_just_being_parked(postgresql_url: str) -> None:
    """The very race, held open: the report has looked and parked, and has not committed."""
    store = Store.open(postgresql_url)
    office = Office(store)
    delivery = office.reply()
    [claimed] = begin(office)
    sending = threading.Thread(target=commit, args=(office, claimed))
    with store.begin() as tx:
        deliveries.apply_reports(tx, store.ids, [report("read")], office.now)
        sending.start()
        sending.join(0.3)
        assert sending.is_alive()
    sending.join(10)
    assert office.state(delivery) == "read"
    store.close()


def test_what_is_known_moves_and_what_is_not_is_parked_in_one_batch(office: Office) -> None:
    known = [office.reply(to=f"webhook:c{n}") for n in range(8)]
    for claimed in begin(office):
        commit(office, claimed, (f"k{claimed.id}",))
    batch = [report("delivered", f"k{d}") for d in known] + [report("read", f"u{n}") for n in range(5)]
    tell(office, *batch, *batch)
    assert {office.state(d) for d in known} == {"delivered"}
    assert parked(office) == 10


def test_a_late_success_counts_though_its_lease_was_lost(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    office.later(minutes=5)
    office.store.run(lambda tx: doubts.expire(tx, office.store.ids, office.now))
    commit(office, claimed)
    assert office.state(delivery) == "sent"


def test_a_late_failure_does_not(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    office.later(minutes=5)
    office.store.run(lambda tx: doubts.expire(tx, office.store.ids, office.now))
    failed = outcomes.Outcome(delivery=claimed, state="failed", at=office.now, code="rejected")
    office.store.run(lambda tx: outcomes.finish(tx, office.store.ids, [failed], owner="w", now=office.now))
    assert office.state(delivery) == "unknown"


def test_of_many_who_claim_at_once_each_delivery_has_one(office: Office) -> None:
    replies = [office.reply(to=f"webhook:c{n}") for n in range(30)]
    won: list[list[int]] = []

    def take(name: str) -> None:
        mine: list[int] = []
        for _ in range(10):
            mine += [c.id for c in begin(office, name)]
        won.append(mine)

    threads = [threading.Thread(target=take, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*won)) == sorted(replies)


def test_a_provider_s_word_that_they_stopped_us_is_kept_as_consent_until_they_start_again(
    office: Office,
) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    commit(office, claimed)
    tell(office, report("opted_out", code="21610", detail="they sent STOP"))
    row = office.row(delivery)
    assert (row.state, row.code) == ("opted_out", "opted_out")
    with office.store.read() as tx:
        assert consents.blocked(tx, "acme", [row.to_urn]) == {row.to_urn}
        assert list(tx.scalars(sa.select(consent_changes.c.wording))) == ["they sent STOP"]
    assert trouble(office, row.to_urn) == "blocked"
    start = ConsentChanged(
        account=ACCOUNT, event_key="s", received_at=office.now, urn=row.to_urn, granted=True
    )
    office.store.run(
        lambda tx: consents.apply(tx, office.store.ids, [start], lambda _: "acme", "customer", office.now)
    )
    assert trouble(office, row.to_urn) is None


def trouble(office: Office, urn: str) -> str | None:
    with office.store.read() as tx:
        return tx.execute(sa.select(identities.c.trouble).where(identities.c.urn == urn)).scalar_one()


def test_what_a_delivery_carries_comes_with_what_the_customer_said_last_there(office: Office) -> None:
    """Over a provider's channel: the template, the choices, where to say it, and the newest word of the address."""
    account, person = "sms_twilio/main", "tel:+15550001111"
    first = office.conversation(person, account)
    extra = '{"ours":"tel:+15559990000"}'
    office.inbound(first, account, external_id="c9", form="comment", extra=extra)
    asked = carried.Carried(
        template=Template(name="HX1", language="en", parameters=("4711",)), choices=("Yes", "No"), public=True
    )
    delivery = office.reply(first, account=account, to=person, carries=asked)
    with office.store.read() as tx:
        [claimed] = outbox.load(tx, [delivery])
    assert carried.unpack(claimed.carries) == asked
    assert claimed.heard is not None
    assert (claimed.heard.external_id, claimed.heard.ours) == ("c9", "tel:+15559990000")
    sent = outgoing(claimed, tries=1)
    assert (sent.template, sent.choices, sent.public) == (asked.template, ("Yes", "No"), True)
    assert (sent.ours, sent.heard_id) == ("tel:+15559990000", "c9")
    assert sent.answers == "message"  # what it answers is the conversation's newest, not the comment


def test_a_comment_opens_no_window_and_has_its_own(office: Office) -> None:
    """What a window counts from: their last word to us alone, or what was said in public if that is answered."""
    account, person = "messenger/main", "messenger:77"
    talk = office.conversation(person, account)
    office.inbound(talk, account, external_id="m1")
    written = office.now
    direct = office.reply(talk, account=account, to=person)
    office.later(days=2)
    office.inbound(talk, account, external_id="c1", form="comment")
    commented = office.now
    office.later(days=1)
    below = office.reply(talk, account=account, to=person)
    office.later(hours=1)
    office.inbound(talk, account, external_id="c2", form="comment")
    with office.store.begin() as tx:
        for delivery, answers in ((direct, "m1"), (below, "c1")):
            d, n = schema.deliveries.c, schema.interactions
            said = sa.select(d.interaction_id).where(d.id == delivery).scalar_subquery()
            tx.execute(sa.update(n).where(n.c.id == said).values(in_reply_to=answers))
        told = {one.id: outgoing(one, tries=1) for one in outbox.load(tx, [direct, below])}
    assert (told[direct].answers, told[direct].heard_at) == ("message", written)
    assert (told[below].answers, told[below].heard_at) == ("comment", commented)


def test_a_message_of_its_own_answers_no_comment(office: Office) -> None:
    account, person = "messenger/main", "messenger:77"
    talk = office.conversation(person, account)
    office.inbound(talk, account, external_id="m1")
    written = office.now
    office.later(hours=1)
    office.inbound(talk, account, external_id="c1", form="comment")
    alone = office.reply(talk, account=account, to=person, carries=carried.Carried(direct=True))
    with office.store.read() as tx:
        [claimed] = outbox.load(tx, [alone])
    sent = outgoing(claimed, tries=1)
    assert (sent.answers, sent.in_reply_to, sent.heard_at) == ("message", None, written)


def test_of_an_address_only_the_newest_words_are_looked_at(office: Office) -> None:
    """However much they have written; every other address is looked at by itself."""
    many, few = "tel:+15550001111", "tel:+15550002222"
    first, other = office.conversation(many, "whatsapp/main"), office.conversation(few, "whatsapp/main")
    office.inbound(first, "sms_twilio/main", external_id="s1")
    office.inbound(other, "sms_twilio/main", external_id="s2")
    office.inbound(other, "whatsapp/main", external_id="w2", form="comment")
    with office.store.begin() as tx:
        n = schema.interactions
        row = tx.execute(sa.select(n).where(n.c.external_id == "s1")).one()._asdict()
        new = [row | {"id": office.store.ids(), "account": "whatsapp/main"} for _ in range(carried.LATELY)]
        tx.execute(sa.insert(n), new[:-1])
        mine, theirs = row["identity_id"], identity_of(tx, few)
        known = {(mine, "sms_twilio/main"), (mine, "whatsapp/main")}
        others = {(theirs, "sms_twilio/main"), (theirs, "whatsapp/main")}
        assert carried.heard(tx, [mine, theirs]).keys() == known | others
        tx.execute(sa.insert(n), new[-1:])
        found = carried.heard(tx, [mine, theirs])
        assert found.keys() == {(mine, "whatsapp/main")} | others
        assert carried.used(tx, other, [mine, theirs]).keys() == found.keys()
        assert carried.used(tx, other, [mine])[mine, "whatsapp/main"].here is False
        assert carried.answered(tx, other, [mine, theirs])[theirs, "sms_twilio/main"].external_id == "s2"


def identity_of(tx: sa.Connection, urn: str) -> int:
    return int(tx.execute(sa.select(identities.c.id).where(identities.c.urn == urn)).scalar_one())


# ------------------------------------------------------------------------------ what did not arrive goes out anew


def failed(external_id: str = "x1", **more: object) -> DeliveryReported:
    """As of a phone that is switched off."""
    more = {"again": 3, "again_s": 600.0, "code": "30003", "detail": "out of reach", **more}
    return report("failed", external_id, **more)


def sent_once(office: Office, *external_ids: str) -> int:
    delivery = office.reply()
    [claimed] = begin(office)
    commit(office, claimed, external_ids or ("x1",))
    return delivery


def send_again(office: Office, external_id: str) -> None:
    [claimed] = begin(office)
    commit(office, claimed, (external_id,))


def test_what_did_not_arrive_goes_out_anew_so_often_and_no_more(office: Office) -> None:
    delivery = sent_once(office)
    for times, minutes in enumerate((10, 40, 160), start=1):
        tell(office, failed(f"x{times}"))
        row = office.row(delivery)
        assert (row.state, row.code, row.provider_code) == ("queued", "tried_again", "30003")
        assert row.due_at == office.now + timedelta(minutes=minutes)
        assert row.detail == f"out of reach; tried again at {row.due_at:%H:%M} UTC"
        assert begin(office) == []
        office.later(minutes=minutes)
        send_again(office, f"x{times + 1}")
    tell(office, failed("x4"))
    assert (office.state(delivery), office.row(delivery).detail) == ("failed", "out of reach")
    assert office.parts(delivery) == {f"x{n}": "failed" for n in (1, 2, 3, 4)}
    assert office.events(delivery).count("queued") == 4  # the first time, and three


@pytest.mark.parametrize("when", ["queued", "sending", "sent"])
def test_the_same_failure_twice_sends_nothing_twice(office: Office, when: str) -> None:
    """F17: doubled, late, in one batch, by our id and by theirs."""
    delivery = sent_once(office)
    tell(office, failed(), failed(delivery_id=delivery))
    assert office.events(delivery).count("queued") == 2
    office.later(minutes=10)
    again = [] if when == "queued" else begin(office)
    if when == "sent":
        commit(office, again[0], ("x2",))
    tell(office, failed(delivery_id=delivery), report("sent", delivery_id=delivery), failed())
    if when != "sent":
        commit(office, (again or begin(office))[0], ("x2",))
    office.store.run(lambda tx: receipts.take_late(tx, office.store.ids, office.now))
    assert (office.state(delivery), parked(office)) == ("sent", 0)
    office.later(hours=3)
    assert begin(office) == []
    tell(office, report("delivered", "x2"))
    assert office.parts(delivery) == {"x1": "failed", "x2": "delivered"}


def test_a_failure_that_overtakes_our_commit_counts_once_it_is_there(office: Office) -> None:
    delivery = office.reply()
    [claimed] = begin(office)
    tell(office, failed(), failed())
    assert parked(office) == 2
    commit(office, claimed)
    assert (office.state(delivery), office.events(delivery).count("queued")) == ("queued", 2)
    assert office.row(delivery).due_at == office.now + timedelta(minutes=10)  # not forgotten in the parking


@pytest.mark.parametrize("order", [("delivered", "failed"), ("failed", "delivered"), ("read", "failed")])
@pytest.mark.parametrize("together", [True, False])
def test_what_arrived_is_never_sent_again(office: Office, order: tuple[str, str], together: bool) -> None:
    delivery = sent_once(office)
    reports = [failed() if status == "failed" else report(status) for status in order]
    for some in [reports] if together else [[one] for one in reports]:
        tell(office, *some)
    office.later(hours=3)
    assert begin(office) == []
    late = not together and order[0] == "failed"  # it waited to be sent, and that is taken back
    assert office.state(delivery) == ("delivered" if late else "failed")
    assert office.parts(delivery) == {"x1": "delivered" if late else "failed"}


def test_what_is_one_of_several_parts_is_not_sent_again(office: Office) -> None:
    delivery = sent_once(office, "x1", "x2")
    tell(office, failed("x1"), failed("x2"))
    assert office.state(delivery) == "failed"


def test_what_nobody_knows_to_have_gone_is_not_sent_again(office: Office) -> None:
    delivery = office.reply()
    begin(office)
    office.later(minutes=5)
    office.store.run(lambda tx: doubts.expire(tx, office.store.ids, office.now))
    tell(office, failed("x9", delivery_id=delivery))
    assert office.state(delivery) == "failed"


def test_an_old_message_is_not_sent_again(office: Office) -> None:
    delivery = sent_once(office)
    office.later(hours=23, minutes=51)
    tell(office, failed())
    assert office.state(delivery) == "failed"


def test_later_words_do_not_wait_for_what_is_tried_again(office: Office) -> None:
    conversation = office.conversation()
    office.reply(conversation)
    commit(office, begin(office)[0])
    later = office.reply(conversation, "and this")
    tell(office, failed())
    [claimed] = begin(office)
    assert claimed.id == later


def test_a_failure_of_the_whole_account_lets_it_rest(office: Office) -> None:
    delivery = sent_once(office)
    tell(office, failed(again=0, rest_s=300.0, code="30034", detail="our number is in no campaign"))
    assert office.state(delivery) == "failed"
    with office.store.read() as tx:
        assert pauses.paused(tx, office.now) == {ACCOUNT: START + timedelta(minutes=5)}
    office.later(hours=1)
    other = sent_once(office, "y1")
    tell(office, failed("y1", again=0, rest_s=300.0))  # received at START: it says nothing of now
    with office.store.read() as tx:
        assert (office.state(other), pauses.paused(tx, office.now)) == ("failed", {})


def test_who_blocks_one_account_is_still_reached_by_others(office: Office) -> None:
    """WhatsApp's block says nothing of SMS to the same number, and ends when they write there again."""
    person, here, there = "tel:+15550001111", "whatsapp_twilio/main", "sms_twilio/main"
    conversation = office.conversation(person, here)
    delivery = office.reply(conversation, account=here, to=person)
    claimed = office.store.run(
        lambda tx: outbox.claim(tx, {here: 10}, owner="w", now=office.now, lease=LEASE)
    )
    office.store.run(lambda tx: outbox.begin(tx, [delivery], owner="w", now=office.now, lease=LEASE))
    commit(office, claimed[0])
    office.later(seconds=1)
    blocked = structs.replace(
        report("opted_out", code="63033", detail="they have blocked us", here_alone=True),
        account=here,
        received_at=office.now,
    )
    tell(office, blocked)
    assert (office.state(delivery), trouble(office, person)) == ("opted_out", None)

    def stopped(account: str | None) -> set[str]:
        with office.store.read() as tx:
            return consents.blocked(tx, "acme", [person], account=account)

    assert (stopped(here), stopped(there), stopped(None)) == ({person}, set(), set())
    office.later(hours=1)
    office.inbound(office.conversation(person, there), there)
    assert stopped(here) == {person}
    office.later(hours=1)
    office.inbound(conversation, here)
    assert stopped(here) == set()
