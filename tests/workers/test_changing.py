"""Changes of replies that went out: made once they may, in order, again where nobody knows, and shown as they stand."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from connectors import CONNECTORS, signing
from crm_store import consents, pauses, revisions, timeline
from crm_store.db import Store
from crm_store.schema import conversation_events
from crm_store.schema import deliveries as table
from crm_store.schema import revisions as revisions_table
from hub.errors import SendCode, SendError
from hub.model import ConsentChanged, Sent
from tests.databases import on_postgresql, on_sqlite
from tests.servers.http import Provider, Say
from tests.workers.office import SECRET, Office
from workers.changing import Changed, Changing, attempt


class Desk(Office):
    def changing(self, **more: Any) -> Changing:
        return Changing(
            self.store,
            lambda: self.accounts,
            rates=self.rates,
            wire=self.wire,
            owner="test",
            connectors=self.connectors,
            tell=self.moved.extend,
            warn=self.warned.append,
            now=self.clock,
            **{"lasts_s": 60.0, "poll_s": 0.02, "send_s": 30.0, **more},
        )

    async def change(self, **by: float) -> Changed:
        self.later(**by)
        return await self.changing().run()

    def asks(self, delivery_id: int, change: str, text: str = "", key: str = "k") -> int:
        """What desk.actions would have written."""

        def work(tx: Any) -> int:
            row = tx.execute(select(table).where(table.c.id == delivery_id)).one()
            return revisions.add(
                tx, self.store.ids, row, change, text, idem_key=key, by="agent:bo", now=self.now
            )

        return self.store.run(work)

    def revision(self, revision_id: int) -> Any:
        with self.store.read() as tx:
            r = revisions_table
            return tx.execute(select(r).where(r.c.id == revision_id)).one()

    def entry(self, delivery_id: int) -> timeline.Entry:
        with self.store.read() as tx:
            return timeline.entries(tx, [self.row(delivery_id).interaction_id])[0]

    def happened(self) -> list[str]:
        with self.store.read() as tx:
            e = conversation_events.c
            return list(tx.execute(select(e.what).order_by(e.id)).scalars())


def said(provider: Provider) -> list[tuple[str, str, int | None]]:
    """(kind, text, change) of everything the receiver was posted."""
    bodies = [json.loads(seen.body) for seen in provider.seen]
    return [(body["kind"], body.get("text", ""), body.get("change")) for body in bodies]


async def sent(desk: Desk, text: str = "It ships on Friday") -> int:
    delivery = desk.reply(text=text)
    await desk.send()
    assert desk.state(delivery) == "sent"
    return delivery


async def test_an_edit_and_then_a_deletion_are_carried_out_and_shown(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            edit = desk.asks(delivery, "edit", "It ships on Monday")
            assert (await desk.change()).tried == 1
            post = provider.seen[-1]
            signing.check(post.headers["x-mainstem-signature"], (SECRET,), post.body, desk.now.timestamp())
            assert post.headers["idempotency-key"] == f"{delivery}-1"
            assert desk.revision(edit).state == "done"
            shown = desk.entry(delivery)
            assert (shown.text, shown.first_text) == ("It ships on Monday", "It ships on Friday")
            desk.asks(delivery, "delete", key="k2")
            assert (await desk.change(seconds=1)).next_due is None
            assert desk.entry(delivery).deleted
            assert desk.state(delivery) == "sent"
            assert desk.happened() == ["reply_revised", "reply_withdrawn"]
            assert [(m.delivery_id, m.state) for m in desk.moved[-2:]] == [
                (delivery, "edit done"),
                (delivery, "delete done"),
            ]
        assert said(provider) == [
            ("message", "It ships on Friday", None),
            ("message.changed", "It ships on Monday", 1),
            ("message.deleted", "", 2),
        ]


@on_postgresql
async def test_nothing_is_changed_before_its_reply_has_gone_out(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = desk.reply()
            desk.asks(delivery, "edit", "other words")
            changes = desk.store.run(lambda tx: tx.execute(update(table).values(state="sending")))
            assert changes is not None
            ended = await desk.change()
            assert (ended.tried, ended.next_due) == (0, None), "in doubt: nobody spins for it"
            assert provider.seen == []


@on_sqlite
async def test_what_did_not_go_out_after_all_is_changed_in_the_store(store: Store) -> None:
    """It was being sent when the agent changed it; it goes out later with the new words."""
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = desk.reply(text="first")
            revision = desk.asks(delivery, "edit", "second")
            await desk.change()
            assert desk.revision(revision).state == "dropped"
            await desk.send()
            assert said(provider) == [("message", "second", None)]
            undone = desk.reply(text="third")
            desk.asks(undone, "delete", key="k2")
            await desk.change(seconds=1)
            assert desk.state(undone) == "cancelled"
            await desk.send()
            assert len(provider.seen) == 1


@on_postgresql
async def test_a_change_whose_answer_is_lost_is_made_again_under_the_same_key(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            provider.answers([Say(cut="before"), Say(status=503), Say(cut="body")])
            for _ in range(4):
                await desk.change(seconds=900)
            row = desk.revision(revision)
            assert (row.state, row.attempts) == ("done", 4)
            keys = [seen.headers["idempotency-key"] for seen in provider.seen]
            assert keys == [str(delivery), *[f"{delivery}-1"] * 4]


async def test_who_died_between_call_and_commit_is_followed_by_another(store: Store) -> None:
    """The lease ends, and the change is made again: the customer reads the same, and the history says it once."""
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            dead = desk.changing(send_s=1.0)
            todo, _ = dead._turn(False)
            await attempt(
                desk.connectors["webhook"],  # type: ignore[arg-type]
                todo[0],
                desk.accounts["webhook/main"],
                desk.wire(),
                desk.clock,
            )
            assert desk.revision(revision).state == "sending"
            ended = await desk.change()
            assert ended.tried == 0, "somebody may be at it"
            assert ended.next_due == desk.now + timedelta(seconds=6)
            await desk.change(seconds=7)
            assert desk.revision(revision).state == "done"
            with desk.store.read() as tx:
                from crm_store.schema import interaction_changes

                assert len(tx.execute(select(interaction_changes)).all()) == 1
        assert said(provider)[1:] == [("message.changed", "It ships on Monday", 1)] * 2


@on_sqlite
async def test_a_refusal_says_that_the_first_text_stands(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            provider.answers([Say(status=422, body=b"unknown kind")])
            await desk.change()
            row = desk.revision(revision)
            assert (row.state, row.code) == ("failed", "rejected")
            shown = desk.entry(delivery)
            assert (shown.text, shown.first_text) == ("It ships on Friday", None)
            assert "unknown kind" in shown.revisions[-1].detail
            assert desk.happened() == ["revision_failed"]
            desk.asks(delivery, "delete", key="k2")
            provider.answers([Say(status=404)])
            await desk.change(seconds=1)
            assert desk.entry(delivery).deleted, "what is gone already is gone"


@on_postgresql
async def test_what_no_store_takes_of_an_answer_ends_a_change_all_the_same(store: Store) -> None:
    """A NUL in what a provider says, which PostgreSQL refuses: noted without it, and nobody else's is held up."""
    answers = [
        SendError(SendCode.RESPONSE_STATUS, "bad\x00gateway", True, "5\x0000"),
        Sent(external_ids=("a\x00b",)),
    ]

    class Odd:
        limits = CONNECTORS["webhook"].limits

        async def change(self, *_: Any) -> Sent:
            answer = answers.pop(0)
            if isinstance(answer, SendError):
                raise answer
            return answer

    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            desk.connectors = {"webhook": Odd()}  # type: ignore[dict-item]
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            await desk.change()
            row = desk.revision(revision)
            assert (row.state, row.detail, row.provider_code) == ("queued", "badgateway", "500")
            await desk.change(minutes=15)
            assert (desk.revision(revision).state, "ab" in desk.parts(delivery)) == ("done", True)


async def test_rates_pauses_and_patience_are_those_of_sends(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            until = desk.now + timedelta(minutes=5)
            desk.store.run(lambda tx: pauses.pause(tx, "webhook/main", until, "a test", desk.now))
            ended = await desk.change()
            assert (ended.tried, ended.next_due) == (0, until)
            provider.answers([Say(status=429, headers={"Retry-After": "60"})])
            await desk.change(minutes=6)
            row = desk.revision(revision)
            assert (row.state, row.attempts, row.code) == ("queued", 0, "throttled")
            assert row.due_at == desk.now + timedelta(seconds=60)
            await desk.change(seconds=61)
            assert desk.revision(revision).state == "done"


@on_postgresql
async def test_who_has_opted_out_gets_no_new_words_but_old_ones_are_taken_back(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url) as desk:
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            stop = ConsentChanged(
                account="webhook/main", event_key="c", received_at=desk.now, urn="webhook:ann", granted=False
            )
            desk.store.run(
                lambda tx: consents.apply(tx, desk.store.ids, [stop], lambda _: "acme", "customer", desk.now)
            )
            await desk.change()
            assert (desk.revision(revision).state, desk.revision(revision).code) == ("failed", "opted_out")
            desk.asks(delivery, "delete", key="k2")
            await desk.change(seconds=1)
            assert desk.entry(delivery).deleted


async def test_two_at_once_make_each_change_once(store: Store) -> None:
    with Provider(default=Say(after_s=0.02)) as provider:
        async with Desk(store, provider.url) as desk:
            made = [await sent(desk, f"text {number}") for number in range(6)]
            for number, delivery in enumerate(made):
                desk.asks(delivery, "edit", f"other {number}", key=f"k{number}")
            await asyncio.gather(desk.changing().run(), desk.changing().run())
            assert [desk.entry(delivery).text for delivery in made] == [f"other {n}" for n in range(6)]
        assert len(provider.seen) == 12


@on_sqlite
async def test_a_hung_provider_delays_no_other_accounts_changes(store: Store) -> None:
    with Provider() as provider:
        async with Desk(store, provider.url, ("main", "other")) as desk:
            slow = await sent(desk)
            quick = desk.reply(account="webhook/other", to="webhook:bea")
            await desk.send()
            desk.accounts["webhook/main"] = replace(
                desk.accounts["webhook/main"], settings={"url": f"{provider.url}/hang"}
            )
            one = desk.asks(slow, "edit", "slow")
            two = desk.asks(quick, "edit", "quick", key="k2")
            provider.check = lambda seen: Say(hang=True, cut="before") if seen.path == "/hang" else None
            changing = asyncio.create_task(desk.change())
            async with asyncio.timeout(20):
                while desk.revision(two).state != "done":
                    await asyncio.sleep(0.01)
            assert desk.revision(one).state == "sending"
            provider.release()
            await changing
            row = desk.revision(one)
            assert (row.state, row.code) == ("queued", "unknown")


@on_postgresql
@pytest.mark.parametrize("tries", [8])
async def test_after_its_tries_it_is_given_up_and_shown(store: Store, tries: int) -> None:
    with Provider(default=Say(cut="before")) as provider:
        async with Desk(store, provider.url) as desk:
            provider.answers([Say()])
            delivery = await sent(desk)
            revision = desk.asks(delivery, "edit", "It ships on Monday")
            for _ in range(tries):
                await desk.change(seconds=900)
            row = desk.revision(revision)
            assert (row.state, row.code, row.attempts) == ("failed", "unknown", tries)
