"""The sender against a real HTTP server that fails on command, on both databases."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from crm_store import carried, consents, deliveries, receipts
from crm_store.db import Store
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus, Outgoing, Sent
from tests.databases import on_postgresql, on_sqlite
from tests.servers.provider import Provider, answers, breaks_off, hangs, resets
from tests.workers.office import QUICK, Office
from workers.sending import MAX_TRIES, RULES


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as started:
        yield started


@pytest.fixture
async def office(store: Store, provider: Provider) -> AsyncIterator[Office]:
    async with Office(store, provider.url) as made:
        yield made


@pytest.fixture
async def desk(sqlite_url: str, provider: Provider) -> AsyncIterator[Office]:
    """An office on SQLite alone, for tables of cases whose statements the other tests run on both databases."""
    store = Store.open(sqlite_url)
    async with Office(store, provider.url) as made:
        yield made
    store.close()


async def test_a_reply_arrives_once_and_is_sent(office: Office, provider: Provider) -> None:
    delivery = office.reply(text="your parcel is on its way")
    await office.send()
    assert office.state(delivery) == "sent"
    assert [got.body["text"] for got in provider.got] == ["your parcel is on its way"]
    assert office.parts(delivery) == {f"ext-{delivery}": "sent"}
    assert office.events(delivery) == ["queued", "sent"]
    assert [m.state for m in office.moved] == ["sent"]
    await office.send(hours=2)
    assert len(provider.got) == 1


async def test_what_no_store_takes_of_an_answer_leaves_no_doubt(office: Office, provider: Provider) -> None:
    """A NUL in what a provider says, which PostgreSQL refuses: the end of the try is noted, without it."""
    provider.next_for["main"] += [answers(500, "bad\x00gateway"), answers(200, '{"id": "a\\u0000b"}')]
    delivery = office.reply()
    await office.send()
    assert (office.state(delivery), office.row(delivery).detail) == (
        "queued",
        "500: their server failed (badgateway)",
    )
    await office.send(minutes=1)
    assert (office.state(delivery), office.parts(delivery)) == ("sent", {"ab": "sent"})


@on_postgresql
async def test_a_held_reply_goes_when_its_time_comes_and_not_before(
    office: Office, provider: Provider
) -> None:
    delivery = office.reply(state="held", in_s=10)
    drained = await office.send()
    assert (office.state(delivery), provider.got) == ("held", [])
    assert drained.next_due == office.row(delivery).due_at
    await office.send(seconds=10)
    assert office.state(delivery) == "sent"


@on_sqlite
async def test_a_reply_that_waits_for_the_agent_goes_only_when_confirmed(
    office: Office, provider: Provider
) -> None:
    conversation = office.conversation()
    waits = office.reply(conversation, "first", state="held", code="customer_wrote")
    second = office.reply(conversation, "second")
    await office.send(days=3)
    assert office.states(waits, second) == ["held", "sent"]
    office.store.run(
        lambda tx: deliveries.release_held(tx, office.store.ids, waits, by="agent:bo", now=office.now)
    )
    await office.send()
    assert office.state(waits) == "sent"
    assert [got.body["text"] for got in provider.got] == ["second", "first"]


@on_postgresql
async def test_an_undone_reply_never_goes(office: Office, provider: Provider) -> None:
    delivery = office.reply(state="held", in_s=10)
    undo = lambda tx: deliveries.cancel(tx, office.store.ids, delivery, by="agent:bo", now=office.now)  # noqa: E731
    assert office.store.run(undo)
    await office.send(minutes=5)
    assert (office.state(delivery), provider.got) == ("cancelled", [])
    assert not office.store.run(undo)


async def test_undo_and_sending_race_and_exactly_one_wins(office: Office, provider: Provider) -> None:
    replies = [office.reply(to=f"webhook:c{n}", state="held") for n in range(40)]

    def undo(delivery: int) -> bool:
        return office.store.run(
            lambda tx: deliveries.cancel(tx, office.store.ids, delivery, by="agent:bo", now=office.now)
        )

    drain = asyncio.create_task(office.drain(replace(QUICK, per_account=3)).run())
    won = await asyncio.gather(*(asyncio.to_thread(undo, d) for d in reversed(replies)))
    await drain
    times = provider.times()
    for delivery, undone in zip(reversed(replies), won, strict=True):
        assert times[str(delivery)] == (0 if undone else 1)
        assert office.state(delivery) == ("cancelled" if undone else "sent")


async def test_a_conversation_keeps_its_order(office: Office, provider: Provider) -> None:
    conversation = office.conversation()
    provider.next_for["main"].append(answers(500))
    texts = [f"part {n}" for n in range(5)]
    for text in texts:
        office.reply(conversation, text)
    for _ in range(12):
        await office.send(minutes=1)
    assert [got.body["text"] for got in provider.got] == ["part 0", *texts]


@on_sqlite
async def test_replies_go_before_bulk(office: Office, provider: Provider) -> None:
    for n in range(6):
        office.reply(to=f"webhook:b{n}", text="newsletter", bulk=True)
    office.later(seconds=5)
    office.reply(to="webhook:ann", text="reply")
    await office.drain(replace(QUICK, per_account=1)).run()
    assert provider.got[0].body["text"] == "reply"
    assert len(provider.got) == 7


# ------------------------------------------------------------------- F12: the provider's answers, each with its result

# behaviour -> (state after the first try, requests after an hour of trying)
ANSWERS: dict[str, tuple[Any, str, str]] = {
    "500": (answers(500, "<html>oops</html>"), "queued", "sent"),
    "502 html": (answers(502, "<html>bad gateway</html>"), "queued", "sent"),
    "503": (answers(503), "queued", "sent"),
    "429 says 30 s": (answers(429, Retry_After="30"), "queued", "sent"),
    "400": (answers(400, '{"error": "no"}'), "failed", "failed"),
    "401": (answers(401), "queued", "sent"),
    "404": (answers(404), "failed", "failed"),
    "410": (answers(410), "failed", "failed"),
    "413": (answers(413), "failed", "failed"),
    "422": (answers(422), "failed", "failed"),
    "302": (answers(302, Location="http://127.0.0.1:1/"), "queued", "sent"),
    "200 html": (answers(200, "<html>thanks</html>"), "sent", "sent"),
    "no answer": (hangs(), "unknown", "unknown"),
    "reset": (resets(), "unknown", "unknown"),
    "truncated": (breaks_off(), "unknown", "unknown"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_an_answer_leads_to(desk: Office, provider: Provider, name: str) -> None:
    behaviour, first, later = ANSWERS[name]
    provider.next_for["main"].append(behaviour)
    delivery = desk.reply()
    patience_s = 0.3 if name == "no answer" else QUICK.send_s  # a busy machine is not a provider that hangs
    await desk.send(replace(QUICK, send_s=patience_s))
    assert desk.state(delivery) == first
    if first != "sent":
        assert desk.row(delivery).detail
    for _ in range(8):
        await desk.send(minutes=10)
    assert desk.state(delivery) == later
    assert len(provider.got) == (2 if later == "sent" and first != "sent" else 1)


@on_postgresql
async def test_no_connection_is_certainly_not_sent(office: Office) -> None:
    office.open("main", settings={"url": "http://127.0.0.1:1/"})
    delivery = office.reply()
    await office.send()
    assert office.state(delivery) == "queued"
    assert (office.row(delivery).code, office.row(delivery).attempts) == ("connection_failed", 1)


@on_sqlite
async def test_trying_ends_and_says_so(office: Office, provider: Provider) -> None:
    provider.always["main"] = answers(500)
    delivery = office.reply()
    for _ in range(MAX_TRIES + 2):
        await office.send(minutes=16)
    assert office.state(delivery) == "failed"
    assert len(provider.got) == MAX_TRIES
    assert "given up after 8 tries" in office.row(delivery).detail
    del provider.always["main"]
    assert office.store.run(
        lambda tx: deliveries.retry(tx, office.store.ids, delivery, by="agent:bo", now=office.now)
    )
    await office.send()
    assert office.state(delivery) == "sent"


@on_postgresql
async def test_what_is_a_day_old_is_given_up(office: Office, provider: Provider) -> None:
    provider.always["main"] = answers(503)
    delivery = office.reply()
    office.later(hours=24)
    await office.send()
    assert office.state(delivery) == "failed"
    assert "given up after a day" in office.row(delivery).detail


# ------------------------------------------------------------------------- every code, through a connector that says it


class Says:
    """A connector that raises what it is told to, and finds what it is told to."""

    name, title, urn_scheme, secrets, methods, derives = "webhook", "Says", "webhook", (), (), False
    limits = Limits(text_chars=20, attachments=0, attachment_bytes=0, source="a test")

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.sent: list[Outgoing] = []
        self.found: Any = SendError(SendCode.UNKNOWN, "cannot be asked")
        self.looked = 0

    async def send(self, message: Outgoing, account: Any, wire: Any) -> Sent:
        self.sent.append(message)
        what = self.said.pop(0) if self.said else Sent(external_ids=(f"x{message.delivery_id}",))
        if isinstance(what, BaseException):
            raise what
        return what

    async def find(self, message: Outgoing, account: Any, wire: Any) -> Sent | None:
        self.looked += 1
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def says(office: Office, *said: Any) -> Says:
    connector = Says(*said)
    office.connectors = {"webhook": connector}  # type: ignore[dict-item]
    return connector


# code -> (state after one try with retry=True, with retry=False, does the try count, does the account rest)
CODES = {
    SendCode.CHANNEL_CONFIG: ("queued", "queued", False, True),
    SendCode.MESSAGE_INVALID: ("failed", "failed", True, False),
    SendCode.CONNECTION_FAILED: ("queued", "queued", True, False),
    SendCode.THROTTLED: ("queued", "queued", False, False),
    SendCode.RESPONSE_STATUS: ("queued", "failed", True, False),
    SendCode.RESPONSE_CONTENT: ("queued", "unknown", True, False),
    SendCode.REJECTED: ("failed", "failed", True, False),
    SendCode.OPTED_OUT: ("opted_out", "opted_out", True, False),
    SendCode.WINDOW_CLOSED: ("failed", "failed", True, False),
    SendCode.UNKNOWN: ("unknown", "unknown", True, False),
}


def test_every_code_has_its_row() -> None:
    assert set(CODES) == set(SendCode) == set(RULES)


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("code", list(SendCode))
async def test_what_a_code_leads_to(desk: Office, code: SendCode, retry: bool) -> None:
    connector = says(desk, SendError(code, "because", retry=retry, provider_code="E42"))
    first, other = desk.reply(), desk.reply(to="webhook:bea", in_s=1)
    await desk.send()
    yes, no, counts, rests = CODES[code]
    row = desk.row(first)
    assert (row.state, row.code, row.provider_code) == (yes if retry else no, code.value, "E42")
    assert row.attempts == (1 if counts else 0)
    await desk.send(seconds=1)
    assert desk.state(other) == ("queued" if rests else "sent")
    assert bool(desk.warned) is rests
    sent = [m.delivery_id for m in connector.sent]
    for _ in range(3):
        await desk.send(minutes=10)
    if row.state == "queued":
        assert desk.state(first) == "sent"
    else:
        assert (desk.state(first), [m.delivery_id for m in connector.sent].count(first)) == (row.state, 1)
    assert row.state == "queued" or sent.count(first) == 1


@on_sqlite
async def test_patience_for_the_account_is_obeyed_and_costs_no_try(office: Office) -> None:
    connector = says(
        office, SendError(SendCode.THROTTLED, "slow down", retry=True, after_s=90, whole_account=True)
    )
    first, second = office.reply(), office.reply(to="webhook:bea", in_s=1)
    other = office.open("other")
    await office.send()
    elsewhere = office.reply(to="webhook:cy", account=other.key)
    await office.send(seconds=80)
    assert office.states(first, second, elsewhere) == ["queued", "queued", "sent"]
    assert len(connector.sent) == 2
    assert not office.warned
    await office.send(seconds=15)
    assert office.states(first, second) == ["sent", "sent"]
    assert office.row(first).attempts == 1


@on_postgresql
async def test_patience_for_a_recipient_leaves_the_others_alone(office: Office) -> None:
    says(office, SendError(SendCode.THROTTLED, "slow down", retry=True, after_s=60))
    first, same, other = office.reply(), office.reply(in_s=1), office.reply(to="webhook:bea", in_s=1)
    await office.send()
    await office.send(seconds=1)
    assert office.states(first, same, other) == ["queued", "queued", "sent"]
    await office.send(seconds=60)
    assert office.states(first, same, other) == ["sent"] * 3


@on_sqlite
async def test_a_connector_that_breaks_is_unknown_and_stops_nobody(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    says(office, ZeroDivisionError("oops"))
    first, second = office.reply(), office.reply(to="webhook:bea", in_s=1)
    await office.send()
    await office.send(seconds=1)
    assert office.states(first, second) == ["unknown", "sent"]
    assert "ZeroDivisionError" in office.row(first).detail


@on_postgresql
async def test_parts_that_went_out_are_kept_and_the_rest_is_not_sent_in_silence(office: Office) -> None:
    connector = says(
        office, SendError(SendCode.RESPONSE_STATUS, "the second failed", retry=True, sent_ids=("p1",))
    )
    delivery = office.reply()
    for _ in range(3):
        await office.send(hours=1)
    assert office.state(delivery) == "failed"
    assert "only 1 part(s) went out" in office.row(delivery).detail
    assert office.parts(delivery) == {"p1": "sent"}
    assert len(connector.sent) == 1


@on_sqlite
async def test_a_channel_that_hears_at_once_is_believed(office: Office) -> None:
    says(office, Sent(external_ids=("a", "b"), status=DeliveryStatus.DELIVERED))
    delivery = office.reply()
    await office.send()
    assert office.state(delivery) == "delivered"
    assert office.parts(delivery) == {"a": "delivered", "b": "delivered"}


# ---------------------------------------------------------------------------------- consent and limits, before the call


def stop(office: Office, urn: str = "webhook:ann", *, granted: bool = False) -> None:
    wish = ConsentChanged(
        account="webhook/main",
        event_key=f"w-{granted}",
        received_at=office.now,
        urn=urn,
        granted=granted,
        wording="STOP",
    )
    office.store.run(
        lambda tx: consents.apply(tx, office.store.ids, [wish], lambda _: "acme", "customer", office.now)
    )


@on_postgresql
async def test_who_opted_out_is_never_written_to(office: Office, provider: Provider) -> None:
    delivery = office.reply(state="held", in_s=5)
    stop(office)
    await office.send(seconds=10)
    assert (office.state(delivery), provider.got) == ("opted_out", [])
    assert office.row(delivery).detail == "the customer opted out"


@on_sqlite
async def test_an_opt_out_that_the_provider_tells_stops_the_next_send(office: Office) -> None:
    connector = says(office, SendError(SendCode.OPTED_OUT, "21610"))
    first = office.reply()
    await office.send()
    second = office.reply()
    await office.send()
    assert office.states(first, second) == ["opted_out", "opted_out"]
    assert len(connector.sent) == 1
    office.later(minutes=1)
    stop(office, granted=True)
    third = office.reply()
    await office.send()
    assert office.state(third) == "sent"


@on_postgresql
async def test_who_blocks_one_account_gets_what_goes_over_another(office: Office) -> None:
    other, person = office.open("other"), "tel:+15550001111"
    connector = says(office, SendError(SendCode.OPTED_OUT, "63033", here_alone=True))
    first = office.reply(to=person)
    await office.send()
    second, third = office.reply(to=person), office.reply(to=person, account=other.key)
    await office.send()
    assert office.states(first, second, third) == ["opted_out", "opted_out", "sent"]
    assert [m.account for m in connector.sent] == ["webhook/main", other.key]
    office.later(minutes=1)
    office.inbound(office.conversation(person), "webhook/main")
    office.later(minutes=1)
    again = office.reply(to=person)
    await office.send()
    assert office.state(again) == "sent"  # who writes to us has blocked us no more


@on_sqlite
async def test_what_did_not_arrive_is_sent_anew_and_then_arrives(office: Office) -> None:
    connector = says(office, Sent(external_ids=("x1",)), Sent(external_ids=("x2",)))
    delivery = office.reply()
    await office.send()

    def tell(status: DeliveryStatus, external_id: str, **more: Any) -> None:
        said = DeliveryReported(
            account="webhook/main", event_key=external_id, received_at=office.now, status=status,
            external_id=external_id, **more,
        )  # fmt: skip
        ids = office.store.ids
        office.store.run(lambda tx: receipts.apply_reports(tx, ids, [said, said], office.now))

    tell(DeliveryStatus.FAILED, "x1", again=1, again_s=60.0, code="30008", detail="nobody says why")
    await office.send(seconds=30)
    assert (office.state(delivery), len(connector.sent)) == ("queued", 1)
    await office.send(seconds=31)
    assert (office.state(delivery), len(connector.sent)) == ("sent", 2)
    assert [m.attempt for m in connector.sent] == [1, 2]
    tell(DeliveryStatus.FAILED, "x1", again=1)  # once more of the first
    tell(DeliveryStatus.DELIVERED, "x2")
    await office.send(hours=1)
    assert (office.state(delivery), len(connector.sent)) == ("delivered", 2)
    assert office.row(delivery).code is None


@on_postgresql
async def test_what_the_channel_cannot_take_is_refused_before_the_call(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "PLAIN", ())  # this one has a window
    connector = says(office)
    long = office.reply(text="x" * 21)
    await office.send()
    assert (office.state(long), office.row(long).detail) == ("failed", "21 characters; this channel takes 20")
    connector.limits = replace(connector.limits, window_s=3600.0)  # type: ignore[misc]
    fresh = office.reply(to="webhook:bea")
    await office.send()
    late = office.reply(to="webhook:cy")
    await office.send(hours=2)
    assert office.states(fresh, late) == ["sent", "queued"] or office.states(fresh, late) == [
        "sent",
        "failed",
    ]
    assert office.row(late).code == "window_closed"
    assert [m.to for m in connector.sent] == ["webhook:bea"]


# -------------------------------------------------------------------------------------------------------------- unknown


@on_sqlite
async def test_an_unknown_send_that_is_found_was_sent(office: Office) -> None:
    connector = says(office, SendError(SendCode.UNKNOWN, "no answer"))
    delivery = office.reply()
    await office.send()
    assert (office.state(delivery), connector.looked) == ("unknown", 0)
    connector.found = Sent(external_ids=("found-1",))
    await office.send(seconds=6)
    assert office.state(delivery) == "sent"
    assert office.parts(delivery) == {"found-1": "sent"}
    assert len(connector.sent) == 1


@on_postgresql
async def test_an_unknown_send_that_the_provider_has_not_goes_again_but_not_at_once(office: Office) -> None:
    connector = says(office, SendError(SendCode.UNKNOWN, "no answer"))
    connector.found = None
    delivery = office.reply()
    await office.send()
    await office.send(seconds=6)
    assert (office.state(delivery), connector.looked) == ("unknown", 1)
    await office.send(seconds=31)
    assert office.state(delivery) == "sent"
    assert len(connector.sent) == 2


@on_sqlite
async def test_an_unknown_send_that_cannot_be_looked_for_waits_for_the_agent(office: Office) -> None:
    connector = says(office, SendError(SendCode.UNKNOWN, "no answer"))
    conversation = office.conversation()
    first, second = office.reply(conversation, "one"), office.reply(conversation, "two", in_s=1)
    await office.send()
    await office.send(seconds=30)
    assert office.states(first, second) == ["unknown", "queued"]  # it holds the next one back for a minute
    await office.send(seconds=31)
    assert office.states(first, second) == ["unknown", "sent"]
    await office.send(days=30)
    assert (office.state(first), connector.looked, len(connector.sent)) == ("unknown", 1, 2)


@pytest.mark.parametrize(
    "how, state, sends", [("sent", "sent", 1), ("again", "sent", 2), ("give up", "failed", 1)]
)
async def test_what_an_agent_decides_of_an_unknown_send(
    office: Office, how: Any, state: str, sends: int
) -> None:
    connector = says(office, SendError(SendCode.UNKNOWN, "no answer"))
    delivery = office.reply()
    await office.send()
    decide = lambda tx: deliveries.resolve_unknown(  # noqa: E731
        tx, office.store.ids, delivery, how, by="agent:bo", now=office.now
    )
    assert office.store.run(decide)
    assert not office.store.run(decide)
    await office.send(minutes=1)
    assert (office.state(delivery), len(connector.sent)) == (state, sends)


# ------------------------------------------------------------------------------------- many at once, and nobody waits


async def test_two_drains_at_once_send_each_reply_once(office: Office, provider: Provider) -> None:
    office.open("second")
    for n in range(60):
        office.reply(to=f"webhook:c{n % 30}", account=("webhook/main", "webhook/second")[n % 2])
    await asyncio.gather(office.drain().run(), office.drain().run(), office.drain().run())
    assert set(provider.times().values()) == {1}
    assert len(provider.got) == 60


@on_postgresql
async def test_an_account_that_hangs_delays_no_other(office: Office, provider: Provider) -> None:
    office.open("hung")
    provider.always["hung"] = hangs()
    for n in range(50):
        office.reply(to=f"webhook:h{n}", account="webhook/hung")
    quick = [office.reply(to=f"webhook:q{n}") for n in range(100)]
    drain = asyncio.create_task(office.drain().run())
    async with asyncio.timeout(20):
        while set(office.states(*quick)) != {"sent"}:
            await asyncio.sleep(0.05)
    office.stopping = True
    drain.cancel()
    await asyncio.gather(drain, return_exceptions=True)
    hung = [got for got in provider.got if got.path == "hung"]
    assert len(hung) == QUICK.per_account
    assert {office.state(int(got.delivery)) for got in hung} == {"unknown"}
    assert set(office.states(*quick)) == {"sent"}


async def test_a_process_that_must_end_ends_soon_and_loses_nothing(
    office: Office, provider: Provider
) -> None:
    provider.always["main"] = hangs()
    replies = [office.reply(to=f"webhook:c{n}") for n in range(50)]
    drain = asyncio.create_task(office.drain(replace(QUICK, stop_s=0.1)).run())
    while len(provider.got) < QUICK.per_account:
        await asyncio.sleep(0.01)
    office.stopping = True
    async with asyncio.timeout(20):  # long before its sends would end
        await drain
    states = office.states(*replies)
    begun = QUICK.per_account
    assert (states.count("unknown"), states.count("queued")) == (begun, 50 - begun)
    assert all(office.row(d).lease_owner is None for d in replies)
    del provider.always["main"]
    office.stopping = False
    await office.send()
    assert office.states(*replies).count("sent") == 50 - begun
    assert set(provider.times().values()) == {1}


async def test_what_was_marked_before_a_freeze_is_not_sent_after_it(desk: Office) -> None:
    """A process that stood still past its lease must not send what others may have settled meanwhile."""
    from crm_store import outbox
    from workers.turn import LEASE

    reply = desk.reply()
    drain = desk.drain()
    drain._follow()
    lane = drain._lanes["webhook/main"]

    def mark(tx: Any) -> Any:
        (claimed,) = outbox.claim(tx, {"webhook/main": 1}, owner=drain._owner, now=desk.now, lease=LEASE)
        outbox.begin(tx, [reply], owner=drain._owner, now=desk.now, lease=LEASE)
        return claimed

    now = time.monotonic()
    lane.marked.append((now, desk.store.run(mark)))
    drain._fill(lane, now + LEASE.total_seconds())
    assert (drain._tasks, [result.outcome.state for result in drain._results]) == (set(), ["queued"])


async def test_a_crash_in_the_middle_is_unknown_and_never_sent_twice(
    office: Office, provider: Provider
) -> None:
    """What a dead sender left: one row leased, one being sent."""
    from crm_store import outbox
    from workers.turn import LEASE

    leased, begun = office.reply(), office.reply(to="webhook:bea")

    def die(tx: Any) -> None:
        outbox.claim(tx, {"webhook/main": 10}, owner="dead", now=office.now, lease=LEASE)
        outbox.begin(tx, [begun], owner="dead", now=office.now, lease=LEASE)

    office.store.run(die)
    await office.send(seconds=45)
    assert (office.states(leased, begun), provider.got) == (["queued", "sending"], [])
    await office.send(seconds=60)
    assert office.states(leased, begun) == ["sent", "unknown"]
    await office.send(days=1)
    assert office.state(begun) == "unknown"
    assert provider.times() == {str(leased): 1}
