"""Changing and taking back what was said, on the desk's pages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from crm_store import timeline
from crm_store.db import Store
from crm_store.schema import deliveries, revisions
from tests.databases import on_postgresql, on_sqlite
from tests.desk import room as rooms
from tests.desk.room import Room, make


@pytest.fixture
def room(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    can = replace(rooms.LIMITS["webchat"], edits=True, deletes=True)
    monkeypatch.setitem(rooms.LIMITS, "webchat", can)
    return make(store, tmp_path / "blobs")


def sent(room: Room, text: str = "It ships on Friday.", account: str = "webchat/main") -> tuple[int, int]:
    """A conversation of Bo's with a reply that went out: (its number, the delivery)."""
    urn = "webchat:ann" if account == "webchat/main" else "console:ann"
    number = room.writes(urn, "hello", name="Ann", account=account)
    room.actions.claim(room.id_of(number), "bo")
    made = room.actions.reply(room.id_of(number), "bo", text, idem_key="k")
    room.store.run(
        lambda tx: tx.execute(
            update(deliveries)
            .where(deliveries.c.id == made.delivery_id)
            .values(state="delivered", sent_at=room.now)
        )
    )
    return number, made.delivery_id


def becomes(room: Room, state: str, **values: Any) -> None:
    """What the sender would have noted of the newest revision."""
    r = revisions
    room.store.run(lambda tx: tx.execute(update(r).values(state=state, **values)))


def asked(room: Room) -> list[tuple[str, str, str]]:
    with room.store.read() as tx:
        r = revisions.c
        return [tuple(row) for row in tx.execute(select(r.change, r.text, r.state).order_by(r.id))]


async def test_a_sent_reply_is_changed_and_says_how_far_it_is(room: Room) -> None:
    number, delivery = sent(room)
    on = f"/conversations/{number}/deliveries/{delivery}"
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        assert "Change or take back" in bo.text
        form = {"reply": "It ships on Monday.", "key": "a" * 32}
        await bo.post(f"{on}/revise", form)
        await bo.post(f"{on}/revise", form)
        assert asked(room) == [("edit", "It ships on Monday.", "queued")]
        assert "The customer gets the new words in a moment." in bo.text
        assert "Being changed." in bo.text
        assert "The customer still sees the first text." in bo.text
        becomes(room, "failed", code="rejected", detail="422: unknown kind")
        await bo.get(f"/conversations/{number}")
        assert "Not changed." in bo.text
        assert "422: unknown kind" in bo.text


@on_sqlite
async def test_a_sent_reply_is_taken_back(room: Room) -> None:
    number, delivery = sent(room)
    on = f"/conversations/{number}/deliveries/{delivery}"
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        await bo.post(f"{on}/withdraw")
        assert asked(room) == [("delete", "", "queued")]
        assert "Being taken back." in bo.text
        answer = await bo.post(f"{on}/revise", {"reply": "Or not.", "key": "b" * 32})
        assert answer.status == 409
        assert "That reply was taken back." in bo.text


@on_postgresql
async def test_where_a_channel_cannot_the_words_become_a_correction(room: Room) -> None:
    number, delivery = sent(room, account="console/main")
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        assert "Take back" not in bo.text, "what cannot be done is not offered"
        answer = await bo.post(
            f"/conversations/{number}/deliveries/{delivery}/revise", {"reply": "On Monday.", "key": "c" * 32}
        )
        assert answer.status == 403
        assert "Terminal cannot change what was sent: the customer still sees the first text." in bo.text
        assert ">On Monday.</textarea>" in bo.text, "to be sent as a correction"


@on_sqlite
async def test_only_those_who_may_are_offered_it(room: Room) -> None:
    number, delivery = sent(room)
    async with room.browsers() as browse:
        ada, cleo = await browse("ada"), await browse("cleo")
        await ada.get(f"/conversations/{number}")
        assert "Change or take back" in ada.text, "an admin may"
        await cleo.get(f"/conversations/{number}")
        assert "Change or take back" in cleo.text, "a lead may"
        eva = await browse("eva")
        refused = await eva.post(f"/conversations/{number}/deliveries/{delivery}/withdraw")
        assert refused.status == 404
        assert asked(room) == []


async def test_a_note_is_changed_and_removed_by_its_author(room: Room) -> None:
    number, _ = sent(room)
    note = room.actions.note(room.id_of(number), "bo", "she is cross")
    on = f"/conversations/{number}/notes/{note}"
    async with room.browsers() as browse:
        bo = await browse("bo")
        await bo.get(f"/conversations/{number}")
        await bo.post(f"{on}/edit", {"note": "she is upset"})
        assert "she is upset" in bo.text
        with room.store.read() as tx:
            (entry,) = timeline.entries(tx, [note])
        assert (entry.text, entry.first_text) == ("she is upset", "she is cross")
        await bo.post(f"{on}/remove")
        assert "The note was removed." in bo.text
        wrong = await bo.post(f"/conversations/{number}/notes/{note + 1}/remove")
        assert wrong.status == 404
