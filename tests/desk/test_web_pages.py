"""The desk's pages as an agent meets them, on both databases."""

from pathlib import Path

import pytest

from crm_store.db import Store
from tests.desk.room import Room, make


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return make(store, tmp_path / "blobs")


async def test_claim_reply_and_undo(room: Room) -> None:
    number = room.writes("webchat:ann", "Hello, my kettle is broken", name="Ann")
    async with room.browsers() as browse:
        bo = await browse("bo")
        assert "Ann" not in bo.text
        await bo.get("/queues/support")
        assert "my kettle is broken" in bo.text
        await bo.get(f"/conversations/{number}")
        assert "Claim" in bo.text
        await bo.post(f"/conversations/{number}/claim")
        assert "It is yours." in bo.text
        assert room.row(number).assignee == "bo"
        await bo.post(f"/conversations/{number}/reply", {"reply": "Oh dear.", "key": "k" * 32})
        assert "goes out in a moment" in bo.text
        assert "Oh dear." in bo.text
        assert "Undo" in bo.text
        delivery = room.delivery_of(number)
        assert (delivery.state, delivery.to_urn) == ("held", "webchat:ann")
        await bo.post(f"/conversations/{number}/deliveries/{delivery.id}/undo")
        assert room.delivery_of(number).state == "cancelled"
        assert ">Oh dear.</textarea>" in bo.text, "the text comes back to be written anew"
