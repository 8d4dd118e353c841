"""What is left of an answer once it is undone; tests/desk/test_actions_reply.py has what agents see of it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import insert

from crm_store.schema import conversations
from tests.databases import on_postgresql, until_it_waits
from tests.store.people import Office


@on_postgresql
def test_an_undo_while_the_customer_writes_leaves_it_closed(store: Any) -> None:
    """Their next conversation stands where this one would, and is not committed yet. SQLite has one writer."""
    office = Office(store)
    act = office.actions()
    office.customer("Ann", "webchat:ann")
    talk, _ = office.writes("webchat:ann", "hello")
    act.claim(talk, "bo")
    result = act.reply(talk, "bo", "oops", idem_key="k1", then="close")
    row = dict(office.row(talk)._mapping)
    assert (row["state"], row["slot"]) == ("closed", None)
    with ThreadPoolExecutor(1) as thread:
        with store.begin() as tx:
            another = {"id": talk + 1, "number": 7, "slot": row["home"], "state": "waiting"}
            tx.execute(insert(conversations).values(row | another))
            undone = thread.submit(act.undo, result.delivery_id, "bo")
            until_it_waits(tx, undone)
        undone.result(10)
    assert office.row(talk).state == "closed"
