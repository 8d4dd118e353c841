"""The two stories of the first release, told as people see them, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crm_store import schema
from crm_store.db import Store
from hub.errors import Conflict, Refused
from tests.databases import on_postgresql, on_sqlite
from tests.world import World, world


@pytest.fixture
async def hub(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[World]:
    async with world(tmp_path, store, valkey) as opened:
        yield opened


async def test_ann_writes_on_the_page_bo_answers_and_it_is_there_also_after_a_reload(hub: World) -> None:
    async with hub.page() as page:
        await page.types("The kettle I bought is broken")
        await hub.settle()
        assert [queue for queue, _ in hub.waiting()] == ["support"]

        taken = hub.bo.takes_next()
        seen = hub.bo.sees(taken)
        assert [entry.text for entry in seen.history.entries] == ["The kettle I bought is broken"]
        assert seen.decision is not None
        assert seen.decision.rule == "trouble"

        hub.bo.replies(taken, "We send you a new one.")
        await hub.settle()
        assert hub.deliveries() == ["held"], "it can still be undone"

        token = page.token
    hub.passes(seconds=11)  # while Ann reloads her page
    await hub.settle()
    async with hub.page(token) as page:
        await page.shows(("you", "The kettle I bought is broken"), ("Bo", "We send you a new one."))
        await page.stays_so()
        await hub.settle()
        assert hub.deliveries() == ["delivered"]

        await page.types("Thank you!")
        await hub.settle()
        assert hub.bo.sees(taken).card.state == "open", "her answer comes to Bo, not to the queue"
    ledger = await hub.ledger()
    assert (ledger.journalled, ledger.missing, ledger.on_the_way) == (3, 0, 0)  # two messages and a receipt


async def test_a_form_is_routed_and_answered_and_a_signed_post_goes_out(hub: World) -> None:
    form = {
        "id": "form-1",
        "from": {"email": "ann@example.com", "name": "Ann"},
        "text": "Where is my refund?",
        "form": "form",
    }
    await hub.form(**form)
    await hub.form(**form)  # the website tries again, as websites do
    await hub.settle()
    assert hub.waiting() == [("billing", "Ann")]

    taken = hub.cleo.takes_next()
    first = hub.cleo.replies(taken, "On its way.", idem_key="the same click")
    again = hub.cleo.replies(taken, "On its way.", idem_key="the same click")
    assert again.delivery_id == first.delivery_id
    hub.passes(seconds=11)
    await hub.settle()

    assert hub.company.got == ["On its way."]
    assert hub.company.doubled == 0
    assert hub.deliveries() == ["sent"]
    ledger = await hub.ledger()
    assert (ledger.journalled, ledger.stored, ledger.duplicates, ledger.missing) == (2, 1, 1, 0)


@on_postgresql
async def test_an_account_that_only_receives_says_so_before_anything_is_written(hub: World) -> None:
    await hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="hello")
    await hub.settle()
    taken = hub.bo.takes_next()
    forms = replace(hub.config.accounts["webhook/main"], settings={})
    hub.config = replace(hub.config, accounts={**hub.config.accounts, "webhook/main": forms})
    with pytest.raises(Refused, match="only receives: webhook/main has no url"):
        hub.bo.replies(taken, "hello to you")
    assert hub.deliveries() == []
    assert "it has no url" in hub.desk.choices(taken).reasons[1]


@on_sqlite
async def test_a_reply_that_is_undone_never_leaves(hub: World) -> None:
    await hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="hello")
    await hub.settle()
    taken = hub.bo.takes_next()
    reply = hub.bo.replies(taken, "Oops, wrong window.")
    hub.desk.undo(reply.delivery_id, "bo")
    hub.passes(seconds=60)
    await hub.settle()
    assert hub.company.got == []
    assert hub.deliveries() == ["cancelled"]


@on_postgresql
async def test_two_agents_take_one_conversation_and_one_is_told(hub: World) -> None:
    await hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="it is broken")
    await hub.settle()
    taken = hub.bo.takes_next()
    with pytest.raises(Conflict, match="Bo"):
        hub.desk.claim(taken, "cleo")


async def test_redis_forgets_everything_while_messages_come_in(hub: World) -> None:
    async with hub.page() as page:
        await page.types("one")
        hub.redis.flushall()
        await page.types("two")
        hub.passes(seconds=30)
        await hub.inlet.recover()
        await hub.settle()
        taken = hub.bo.takes_next()
        assert [entry.text for entry in hub.bo.sees(taken).history.entries] == ["one", "two"]
    ledger = await hub.ledger()
    assert (ledger.journalled, ledger.stored, ledger.missing) == (2, 2, 0)


@on_sqlite
async def test_stop_is_honoured_before_anything_is_sent(hub: World) -> None:
    ann = {"from": {"email": "ann@example.com", "name": "Ann"}}
    await hub.form(id="1", **ann, text="hello")
    await hub.settle()
    taken = hub.bo.takes_next()
    hub.bo.replies(taken, "Hello Ann, would you like our newsletter?")
    await hub.form(id="2", **ann, text="STOP")
    hub.passes(seconds=11)
    await hub.settle()
    assert hub.company.got == []
    assert hub.deliveries() == ["opted_out"]
    assert hub.count(schema.consents, schema.consents.c.granted.is_(False)) == 1


@on_postgresql
async def test_bo_changes_what_he_said_and_ann_and_the_company_read_the_new_words(hub: World) -> None:
    async with hub.page() as page:
        await page.types("When does it ship?")
        await hub.settle()
        taken = hub.bo.takes_next()
        first = hub.bo.replies(taken, "On Friday.")
        second = hub.bo.replies(taken, "Dear Mr Miller, your password is 1234.")
        hub.passes(seconds=11)
        await hub.settle()
        await page.shows(
            ("you", "When does it ship?"),
            ("Bo", "On Friday."),
            ("Bo", "Dear Mr Miller, your password is 1234."),
        )
        hub.desk.revise(first.delivery_id, "bo", "On Monday.", "e1")
        hub.desk.withdraw(second.delivery_id, "bo")
        await hub.settle()
        now = [("you", "When does it ship?"), ("Bo", "On Monday."), ("Bo", "(taken back)")]
        await page.shows(*now)
        await page.stays_so()
        token = page.token
    hub.redis.flushall()
    async with hub.page(token) as page:
        await page.shows(*now)
        await page.stays_so()
    entries = hub.bo.sees(taken).history.entries
    assert [(e.text, e.first_text, e.deleted) for e in entries[1:]] == [
        ("On Monday.", "On Friday.", False),
        ("Dear Mr Miller, your password is 1234.", None, True),
    ]


@on_sqlite
async def test_the_company_is_told_what_bo_changed_and_took_back(hub: World) -> None:
    await hub.form(id="1", **{"from": {"email": "ann@example.com"}}, text="hello")
    await hub.settle()
    taken = hub.bo.takes_next()
    replies = [hub.bo.replies(taken, text) for text in ("On Friday.", "Or not.")]
    hub.passes(seconds=11)
    await hub.settle()
    assert hub.company.got == ["On Friday.", "Or not."]
    hub.desk.revise(replies[0].delivery_id, "bo", "On Monday.", "e1")
    hub.desk.withdraw(replies[1].delivery_id, "bo")
    await hub.settle()
    assert hub.company.got == ["On Monday."]
    assert hub.company.doubled == 0


@on_postgresql
async def test_a_note_goes_on_to_ann_and_is_said_once(hub: World) -> None:
    async with hub.page() as page:
        await page.types("When does it ship?")
        await hub.settle()
        taken = hub.bo.takes_next()
        note = hub.desk.note(taken, "bo", "On Friday.", idem_key="slack:C1:17.1")
        await hub.settle()
        await page.stays_so()
        hub.desk.send_note(note, "bo", "slack:C1:17.1")
        hub.passes(seconds=11)
        await hub.settle()
        await page.shows(("you", "When does it ship?"), ("Bo", "On Friday."))
        entries = hub.bo.sees(taken).history.entries
        assert [(e.direction, e.text) for e in entries] == [
            ("in", "When does it ship?"),
            ("out", "On Friday."),
        ]
