"""What happened while nobody listened is found in Slack's history, once, and nothing is done twice for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from crm_store.db import Store
from crm_store.schema import desk_threads
from desk.slack.sweep import Sweep
from tests.desk.slack.office import Office, opened, serving


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path, connect=False) as made:
        yield made
    store.close()


@pytest.fixture
def ann(office: Office) -> int:
    number = office.room.writes("webchat:ann", "where is my parcel?")
    office.claims(number)
    return number


async def swept(office: Office) -> int:
    found = await Sweep(office.desk).once()
    assert found.failed == 0
    await office.works()
    return found.found


async def test_what_was_typed(office: Office, ann: int) -> None:
    card = office.card(ann)
    await office.bo.types(office.place, "one", card)
    async with serving(office):
        await office.bo.types(office.place, "two", card)
    await office.bo.types(office.place, "three", card)
    await office.bo.types(office.place, "elsewhere")
    assert await swept(office) == 2
    assert sorted(one.text for one in office.notes(ann)) == ["one", "three", "two"]
    assert await swept(office) == 0


async def test_what_was_edited_is_read_as_it_is_now(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "tomorow", office.card(ann))
    office.later(seconds=2)
    await office.bo.edits(office.place, ts, "tomorrow")
    await swept(office)
    assert [one.text for one in office.notes(ann)] == ["tomorrow"]
    assert await swept(office) == 0


async def test_an_edit_of_what_is_known(office: Office, ann: int) -> None:
    card = office.card(ann)
    async with serving(office):
        ts = await office.bo.types(office.place, "tomorow", card)
        await office.works()
    office.later(seconds=2)
    await office.bo.edits(office.place, ts, "tomorrow")
    assert await swept(office) == 1
    assert [one.text for one in office.notes(ann)] == ["tomorrow"]
    assert await swept(office) == 0


async def test_a_deletion(office: Office, ann: int) -> None:
    card = office.card(ann)
    async with serving(office):
        ts = await office.bo.types(office.place, "oops", card)
        await office.works()
    await office.bo.deletes(office.place, ts)
    assert await swept(office) == 1
    assert office.notes(ann)[0].deleted
    assert await swept(office) == 0


async def test_an_outbox(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await swept(office)
    assert [one.text for one in office.replies(ann)] == ["on its way"]
    assert await swept(office) == 0


async def test_what_was_undone_is_not_sent_again(office: Office, ann: int) -> None:
    """Its outbox still stands on it."""
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await swept(office)
    office.room.actions.undo(office.room.delivery_of(ann).id, "bo")
    office.later(seconds=30)
    assert await swept(office) == 0
    assert [one.delivery.state for one in office.replies(ann) if one.delivery] == ["cancelled"]


async def test_long_threads_and_slow_slack(office: Office, ann: int) -> None:
    card = office.card(ann)
    for n in range(30):
        await office.bo.types(office.place, f"{n}", card)
    office.slack.fail("conversations.replies", "ratelimited", retry_after=0)
    assert await swept(office) == 30


async def test_a_thread_that_is_gone_stops_nobody(office: Office, ann: int) -> None:
    office.card(ann)
    other = office.room.writes("webchat:dan", "hello")
    office.claims(other)
    card = office.card(other)
    await office.bo.types(office.place, "hi", card)
    gone = office.card(office.room.writes("webchat:eve", "hello"))
    del office.slack.channels[office.place].messages[gone]
    assert await swept(office) == 1
    assert len(office.notes(other)) == 1


async def test_slack_away(office: Office, ann: int) -> None:
    office.card(ann)
    office.slack.fail("conversations.replies", 503)
    found = await Sweep(office.desk).once()
    assert (found.threads, found.failed) == (1, 1)


async def test_of_closed_threads_those_of_the_last_hours_are_read(office: Office, ann: int) -> None:
    office.card(ann)
    conversation = office.room.id_of(ann)
    settled = update(desk_threads).values(settled=True)
    office.store.run(lambda tx: tx.execute(settled))
    office.desk.actions.close(conversation, "bo")
    assert (await Sweep(office.desk).once()).threads == 1
    office.later(hours=7)
    assert (await Sweep(office.desk).once()).threads == 0
    office.desk.actions.reopen(conversation, "bo")
    office.desk.actions.snooze(conversation, "bo", office.desk.clock() + timedelta(days=9))
    assert (await Sweep(office.desk).once()).threads == 1
