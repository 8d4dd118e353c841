"""How it goes with what is pulled."""

from datetime import UTC, datetime

from crm_store import sources
from crm_store.db import Store

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_server_may_say_anything(store: Store) -> None:
    """What cannot be noted would end the mailbox's thread, and nobody would read it again."""
    store.run(lambda tx: sources.note(tx, "mail/support", NOON, "the server says: no\x00 way", None))
    with store.read() as tx:
        assert [(one.account, one.why) for one in sources.readings(tx)] == [
            ("mail/support", "the server says: no way")
        ]
