"""What cards, threads and Home are told by the store: everything put there as it comes in life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from crm_store import customers, merges
from crm_store.schema import account_states, configs, decisions, desk_posts, desk_threads, quarantine
from desk.slack import cards, home, look, modals
from desk.slack.blocks import digest
from desk.slack.look import AtHome, Item, Shown
from hub import configfiles
from hub.errors import NotFound
from hub.model import Change, Entry, MessageChanged
from router.rules import compile_rules
from tests.databases import on_postgresql, on_sqlite
from tests.desk.room import FILES, LIMITS, START, Room, make
from tests.desk.slack.limits import check_post, check_view, texts

URL = "https://desk.example.com/"


@pytest.fixture
def room(store: Any, tmp_path: Path) -> Room:
    return make(store, tmp_path)


def card(room: Room, number: int, anchor: int | None = None) -> Shown:
    with room.store.read() as tx:
        return look.card(
            tx, room.config, room.rules, room.id_of(number), room.now, anchor=anchor, desk_url=URL
        )


def below(room: Room, number: int, since: int | None, thread_id: int | None = None) -> list[Item]:
    with room.store.read() as tx:
        found = look.thread(
            tx, room.config, room.id_of(number), since, room.now, thread_id=thread_id, desk_url=URL
        )
    for item in found:
        check_post(item.post)
    return found


def at_home(room: Room, agent: str) -> AtHome:
    with room.store.read() as tx:
        return look.home(tx, room.config, agent, room.now)


def says(item: Item) -> str:
    return "\n".join(texts(item.post.blocks))


def changes(room: Room, external_id: str, change: Change, text: str = "") -> None:
    room.seq += 1
    event = MessageChanged(
        account="webchat/main", event_key=f"e{room.seq}", received_at=room.now, sender="webchat:ann",
        external_id=external_id, change=change, text=text,
    )  # fmt: skip
    room.handler.batch([Entry(producer="test", seq=room.seq, accepted_at=room.now, event=event)])


# -------------------------------------------------------------------------------------------------------- the card


@on_sqlite
def test_a_card_knows_who_where_and_since_when(room: Room) -> None:
    number = room.writes("webchat:ann", "my invoice is wrong", name="Ann Lee")
    found = card(room, number)
    assert (found.name, found.channel, found.account, found.queue) == (
        "Ann Lee",
        "web chat",
        "Chat on our site",
        "Billing",
    )
    assert found.card.waiting_since == START
    assert found.goal_s == 1800
    assert found.address == ""
    assert found.url == f"https://desk.example.com/conversations/{number}"
    assert found.said is not None
    assert found.said.text == "my invoice is wrong"
    check_post(cards.card(found, room.now))


@on_postgresql
def test_the_rule_is_named_at_its_file_and_line(room: Room) -> None:
    because = card(room, room.writes("webchat:ann", "my invoice is wrong")).because
    line = next(n for n, text in enumerate(FILES["routing.yaml"].split("\n"), 1) if "name: money" in text)
    assert (because.rule, because.place) == ("money", f"routing.yaml:{line}")
    assert card(room, room.writes("webchat:ole", "hello")).because == look.Because()


@on_sqlite
def test_a_rule_is_named_where_it_stood_when_it_decided(room: Room) -> None:
    number = room.writes("webchat:ann", "my invoice is wrong")
    decided_by, old = room.rules.hash, FILES
    room.store.run(
        lambda tx: tx.execute(
            insert(configs).values(
                id=room.store.ids(),
                hash=decided_by,
                files=json.dumps(old),
                summary="",
                by="system",
                at=room.now,
            )
        )
    )
    moved = {**FILES, "routing.yaml": "# a line more\n" * 7 + FILES["routing.yaml"]}
    room.config = configfiles.load(moved)
    room.rules = compile_rules(room.config)
    look._PLACES.clear()
    assert card(room, number).because.place == "routing.yaml:7"
    room.store.run(lambda tx: tx.execute(update(decisions).values(config_hash="f" * 64)))
    assert card(room, number).because == look.Because(rule="money", place="")


@on_postgresql
def test_who_was_transferred_says_by_whom_from_where_and_why(room: Room) -> None:
    number = room.writes("webchat:ann", "my password is broken")
    room.actions.transfer(room.id_of(number), "bo", "billing", "a refund, which I may not give")
    because = card(room, number).because
    assert (because.moved_by, because.moved_from) == ("Bo Lindqvist", "Support")
    assert because.why == "a refund, which I may not give"


@on_sqlite
def test_what_was_said_last_on_other_channels_stands_on_the_card(room: Room) -> None:
    for text in ("one", "two", "three", "four"):
        mail = room.writes("mailto:ann@example.com", text, account="webhook/main", name="Ann")
        room.later(minutes=1)
    room.actions.claim(room.id_of(mail), "bo")
    room.actions.note(room.id_of(mail), "bo", "a note of ours")
    chat = room.writes("webchat:ann", "hello", name="Ann")
    survivor, merged = room.customer_of(chat), room.customer_of(mail)
    room.store.run(
        lambda tx: merges.merge(
            tx, room.store.ids, survivor=survivor, merged=merged, why="", by="agent:cleo", now=room.now
        )
    )
    assert [entry.text for entry in card(room, chat).elsewhere] == ["two", "three", "four"]
    assert [entry.text for entry in card(room, mail).elsewhere] == ["hello"]


@on_postgresql
def test_the_card_quotes_what_is_not_answered_and_keeps_its_quote(room: Room) -> None:
    number = room.writes("webchat:ann", "first")
    room.later(minutes=1)
    room.writes("webchat:ann", "second")
    first = card(room, number)
    assert first.said is not None
    assert first.said.text == "first"
    room.actions.claim(room.id_of(number), "bo")
    room.actions.reply(room.id_of(number), "bo", "hello", idem_key="1")
    room.later(minutes=1)
    room.writes("webchat:ann", "third")
    fresh = card(room, number).said
    assert fresh is not None
    assert fresh.text == "third"
    kept = card(room, number, first.anchor).said
    assert kept is not None
    assert kept.text == "first"


@on_sqlite
def test_a_card_of_nobody_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound), room.store.read() as tx:
        look.card(tx, room.config, room.rules, 42, room.now)


# ------------------------------------------------------------------------------------------------------ the thread


def test_a_thread_holds_what_came_after_the_card(room: Room) -> None:
    number = room.writes("webchat:ann", "first", name="Ann")
    anchor = card(room, number).anchor
    conversation = room.id_of(number)
    room.actions.claim(conversation, "bo")
    room.actions.note(conversation, "bo", "looks rude")
    room.later(seconds=1)
    done = room.actions.reply(conversation, "bo", "hello Ann", idem_key="1")
    room.later(seconds=1)
    room.writes("webchat:ann", "second", name="Ann")
    items = below(room, number, anchor)
    assert [(item.kind, item.loud) for item in items] == [
        ("note", False),
        ("receipt", False),
        ("message", True),
    ]
    assert items[1].ref == str(done.delivery_id)
    assert items[1].delivery_id == done.delivery_id
    assert "Goes out in a moment" in says(items[1])
    assert "Undo" in says(items[1])
    room.later(seconds=20)
    late = below(room, number, anchor)
    assert "Undo" not in says(late[1])
    assert digest(late[1].post) != digest(items[1].post)
    assert digest(late[2].post) == digest(items[2].post)
    everything = below(room, number, None)
    assert [item.kind for item in everything] == ["message", "note", "receipt", "message"]


@on_postgresql
def test_what_the_card_cannot_show_stands_in_the_thread(room: Room) -> None:
    long = room.writes("webchat:ann", "long " * 200)
    assert [item.kind for item in below(room, long, card(room, long).anchor)] == ["message"]
    short = room.writes("webchat:ole", "with a file", files=(("a.png", "image/png", b"x" * 10),))
    (item,) = below(room, short, card(room, short).anchor)
    assert "a.png (10 bytes)" in says(item)
    assert "with a file" not in says(item)
    plain = room.writes("webchat:eva", "short")
    assert below(room, plain, card(room, plain).anchor) == []


@on_sqlite
def test_a_failed_send_is_loud_and_says_what_can_be_done(room: Room) -> None:
    number = room.writes("webchat:ann", "first")
    anchor, conversation = card(room, number).anchor, room.id_of(number)
    room.actions.claim(conversation, "bo")
    done = room.actions.reply(conversation, "bo", "hello", idem_key="1")
    room.becomes(done.delivery_id, "failed", "rejected", "mailbox <!here>")
    (item,) = below(room, number, anchor)
    assert item.loud
    assert "The provider said: “mailbox <!here>”" in says(item)
    assert at_home(room, "bo").failed[0].delivery_id == done.delivery_id


@on_postgresql
def test_what_was_typed_in_the_thread_is_not_said_twice(room: Room) -> None:
    number = room.writes("webchat:ann", "first")
    anchor, conversation = card(room, number).anchor, room.id_of(number)
    room.actions.claim(conversation, "bo")
    note = room.actions.note(conversation, "bo", "typed here")
    sent = room.actions.reply(conversation, "bo", "typed here too", idem_key="1")
    place = {"surface": "slack", "place": "C1", "at": room.now}
    thread = insert(desk_threads).values(id=77, conversation_id=conversation, thread="1.0", **place)
    room.store.run(lambda tx: tx.execute(thread))
    for ref, said in (("1.1", note), ("1.2", sent.interaction_id)):
        typed = {"kind": "typed", "thread_id": 77, "ref": ref, "uuid": ref, "interaction_id": said, **place}
        post = insert(desk_posts).values(id=room.store.ids(), **typed)
        room.store.run(lambda tx, post=post: tx.execute(post))
    (item,) = below(room, number, anchor, thread_id=77)
    assert item.kind == "receipt"
    assert "typed here too" not in says(item)
    assert len(below(room, number, anchor, thread_id=78)) == 2


@on_sqlite
def test_a_removed_note_says_so(room: Room) -> None:
    number = room.writes("webchat:ann", "first")
    anchor, conversation = card(room, number).anchor, room.id_of(number)
    note = room.actions.note(conversation, "bo", "he is lying")
    room.actions.remove_note(note, "bo")
    (item,) = below(room, number, anchor)
    assert "was removed" in says(item)
    assert "he is lying" not in says(item)


def test_a_customers_changes_are_shown_as_differences(room: Room) -> None:
    number = room.writes("webchat:ann", "pay 249 please", name="Ann", external_id="m1")
    anchor = card(room, number).anchor
    room.later(seconds=5)
    changes(room, "m1", Change.EDIT, "pay 294 please")
    room.later(seconds=5)
    changes(room, "m1", Change.EDIT, "pay 300 please")
    room.later(seconds=5)
    changes(room, "m1", Change.REACTION, "👍")
    room.later(seconds=5)
    changes(room, "m1", Change.DELETE)
    items = below(room, number, anchor)
    assert [(item.kind, item.loud) for item in items] == [
        ("change", True), ("change", True), ("change", False), ("change", True)
    ]  # fmt: skip
    leaves = [part["elements"] for item in items[:2] for part in item.post.blocks[1]["elements"]]
    assert [[leaf["text"] for leaf in one] for one in leaves] == [
        ["pay ", "249", "294", " please"],
        ["pay ", "294", "300", " please"],
    ]
    assert "Ann reacted with 👍" in says(items[2])
    assert "pay 300 please" in says(items[3])
    assert len({item.ref for item in items}) == 4


# ------------------------------------------------------------------------------------------------------ Home


@on_postgresql
def test_home_of_an_agent(room: Room) -> None:
    mine = room.writes("webchat:ann", "my password is broken", name="Ann")
    room.writes("webchat:ole", "another error")
    room.actions.claim(room.id_of(mine), "bo")
    room.actions.set_presence("bo", "busy")
    found = at_home(room, "bo")
    assert [one.number for one in found.mine] == [mine]
    assert found.waiting == 1
    assert found.presence.status == "busy"
    assert [row.key for row in found.queues] == ["general", "support"]
    assert (found.accounts, found.quarantined) == ((), ())
    check_view(home.view(found, room.config, room.now))


@on_sqlite
def test_home_of_a_lead(room: Room) -> None:
    room.store.run(
        lambda tx: tx.execute(
            insert(account_states).values(
                account="console/main", paused_until=room.now.replace(hour=11), why="401", at=room.now
            )
        )
    )
    held = {"account": "webhook/main", "kind": "poison", "reason": "no", "state": "waiting", "at": room.now}
    with room.store.begin() as tx:
        tx.execute(insert(quarantine), [{"id": room.store.ids(), **held} for _ in range(120)])
    found = at_home(room, "cleo")
    assert (found.quarantined_count, len(found.quarantined)) == (120, 10)
    assert [(one.account, one.why) for one in found.accounts if one.paused_until] == [("console/main", "401")]
    assert found.accounts[0].account == "console/main", "the troubled first"
    assert len(found.queues) == 3
    check_view(home.view(found, room.config, room.now))


@on_postgresql
def test_home_of_a_stranger_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound):
        at_home(room, "mallory")


@on_sqlite
def test_the_reply_modal_of_a_real_conversation(room: Room) -> None:
    number = room.writes("webchat:ann", "first", name="Ann")
    room.writes("webchat:ann", "second", name="Ann")
    choice = room.actions.choices(room.id_of(number))
    view = modals.reply(card(room, number), choice, LIMITS, meta="7")
    check_view(view)
    told = "\n".join(texts(view["blocks"]))
    assert "first" in told
    assert "second" in told


@on_postgresql
def test_customers_are_called_by_the_name_of_their_record(room: Room) -> None:
    number = room.writes("webchat:ann", "x", name="ann77")
    customer = room.customer_of(number)
    room.store.run(
        lambda tx: customers.change(tx, customer, by="agent:bo", now=room.now, name="Ann Lee", tier="gold")
    )
    found = card(room, number)
    assert (found.name, found.card.customer_tier) == ("Ann Lee", "gold")
