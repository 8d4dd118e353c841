from typing import Any

import pytest
from sqlalchemy import func, insert, select

from crm_store import interactions, views
from crm_store.schema import delivery_parts, parked_reports
from hub.model import Change, MessageChanged
from tests.store.people import Office


@pytest.fixture
def office(store: Any) -> Office:
    office = Office(store)
    office.customer("Ann", "webchat:ann")
    return office


def changed(office: Office, external_id: str, change: Change, text: str = "") -> MessageChanged:
    office.later(seconds=1)
    return MessageChanged(
        account="webchat/main",
        event_key=str(office.now),
        received_at=office.now,
        sender="webchat:ann",
        external_id=external_id,
        change=change,
        text=text,
    )


def apply(office: Office, *changes: MessageChanged) -> interactions.Applied:
    with office.store.begin() as tx:
        return interactions.apply_changes(tx, office.ids, changes, office.now)


def entries(office: Office, talk: int) -> Any:
    with office.store.read() as tx:
        return views.conversation(tx, talk).history.entries


def test_an_edit_shows_the_newest_and_keeps_the_first(office: Office) -> None:
    talk, _ = office.writes("webchat:ann", "helo", external_id="m1")
    done = apply(
        office, changed(office, "m1", Change.EDIT, "hello"), changed(office, "m1", Change.EDIT, "hello!")
    )
    assert done == interactions.Applied(conversation_ids=(talk,), parked=0)
    [entry] = entries(office, talk)
    assert (entry.text, entry.first_text) == ("hello!", "helo")
    assert office.row(talk).version == 2, "whoever looks sees it"


def test_a_deletion_and_a_reaction(office: Office) -> None:
    talk, _ = office.writes("webchat:ann", "oops", external_id="m1")
    apply(office, changed(office, "m1", Change.REACTION, "👍"), changed(office, "m1", Change.DELETE))
    [entry] = entries(office, talk)
    assert (entry.deleted, entry.text, entry.reactions) == (True, "oops", ("👍",))


def test_a_reaction_is_replaced_and_taken_back(office: Office) -> None:
    talk, _ = office.writes("webchat:ann", "oops", external_id="m1")
    for text, shown in (("👍", ("👍",)), ("❤ 👍", ("❤ 👍",)), ("", ()), ("🎉", ("🎉",))):
        apply(office, changed(office, "m1", Change.REACTION, text))
        [entry] = entries(office, talk)
        assert entry.reactions == shown


def test_they_react_to_ours_but_do_not_change_it(office: Office) -> None:
    act = office.actions()
    talk, _ = office.writes("webchat:ann", "hi")
    act.claim(talk, "bo")
    reply = act.reply(talk, "bo", "hello", idem_key="k")
    with office.store.begin() as tx:
        tx.execute(
            insert(delivery_parts).values(
                delivery_id=reply.delivery_id,
                part=0,
                account="webchat/main",
                external_id="ours",
                state="sent",
                at=office.now,
            )
        )
    apply(
        office,
        changed(office, "ours", Change.REACTION, "❤"),
        changed(office, "ours", Change.EDIT, "give me money"),
        changed(office, "ours", Change.DELETE),
    )
    entry = entries(office, talk)[-1]
    assert (entry.text, entry.deleted, entry.reactions) == ("hello", False, ("❤",))


def test_a_change_that_overtakes_its_message_waits_for_it(office: Office) -> None:
    edit, other = changed(office, "m1", Change.EDIT, "hello"), changed(office, "m2", Change.EDIT, "x")
    assert apply(office, edit, other).parked == 2
    with office.store.begin() as tx:  # a delivery report that waits for its send is left alone
        tx.execute(
            insert(parked_reports).values(
                id=office.ids(),
                account="webchat/main",
                external_id="m1",
                event='{"kind": "report"}',
                at=office.now,
            )
        )
    office.later(seconds=-60)
    talk, _ = office.writes("webchat:ann", "helo", external_id="m1")
    with office.store.begin() as tx:
        done = interactions.unpark(tx, office.ids, [("webchat/main", "m1"), ("mail/main", "m2")], office.now)
    assert done == interactions.Applied(conversation_ids=(talk,), parked=0)
    [entry] = entries(office, talk)
    assert (entry.text, entry.first_text) == ("hello", "helo")
    with office.store.begin() as tx:
        assert (
            interactions.unpark(tx, office.ids, [("webchat/main", "m1")], office.now).conversation_ids == ()
        )
        assert tx.execute(select(func.count()).select_from(parked_reports)).scalar_one() == 2


def test_another_accounts_message_of_the_same_name_is_another(office: Office) -> None:
    talk, _ = office.writes("webchat:ann", "hi", external_id="m1", account="mail/main")
    assert apply(office, changed(office, "m1", Change.EDIT, "x")).parked == 1
    assert entries(office, talk)[0].first_text is None


def test_many_at_once(office: Office) -> None:
    talk, _ = office.writes("webchat:ann", "0", external_id="m0")
    for number in range(1, 30):
        office.writes("webchat:ann", str(number), external_id=f"m{number}", conversation=talk)
    apply(office, *(changed(office, f"m{n}", Change.EDIT, f"{n}!") for n in range(450)))
    assert [entry.text for entry in entries(office, talk)] == [f"{n}!" for n in range(30)]
