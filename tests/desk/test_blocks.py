"""Who has blocked us in WhatsApp: seen on the desk, and no reason not to send a text message to the same number."""

from pathlib import Path

import pytest

from crm_store import consents
from crm_store.db import Store
from hub.errors import Refused
from hub.model import ConsentChanged
from tests.desk import messaging
from tests.desk.messaging import TEL, Messaging


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Messaging:
    return messaging.make(store, tmp_path / "blobs")


def blocks(room: Messaging, account: str) -> None:
    """As the sender and the router note a provider's word."""
    word = ConsentChanged(
        account=account,
        event_key="b",
        received_at=room.now,
        urn=TEL,
        granted=False,
        scope=consents.here(account),
    )
    room.store.run(
        lambda tx: consents.apply(
            tx, room.store.ids, [word], lambda _: "main", "system", room.now, lambda _: True
        )
    )


def test_a_block_in_whatsapp_leaves_text_messages(room: Messaging) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    room.later(minutes=1)
    blocks(room, "whatsapp/main")
    options = {str(one.account): one for one in room.actions.choices(room.id_of(number), "bo").options}
    assert options["whatsapp/main"].blocked_by == ("they have blocked us",)
    assert options["sms_twilio/uk"].usable
    with pytest.raises(Refused, match="has blocked WhatsApp"):
        room.actions.reply(room.id_of(number), "bo", "hi", idem_key="1")
    room.actions.reply(room.id_of(number), "bo", "hi", idem_key="2", account="sms_twilio/uk")
    room.later(minutes=1)
    room.writes(TEL, "sorry, it was the cat", account="whatsapp/main")
    room.actions.reply(room.id_of(number), "bo", "hi again", idem_key="3", account="whatsapp/main")
