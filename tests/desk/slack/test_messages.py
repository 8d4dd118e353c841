"""What agents type below a card: a note first, a reply when they say so, and never lost, doubled or sent by mistake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crm_store.db import Store
from desk.slack.sweep import Sweep
from tests.desk.slack.office import Office, opened


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path) as made:
        yield made
    store.close()


async def test_a_whole_story_on_both_databases(store: Any, tmp_path: Path) -> None:
    async with opened(store, tmp_path) as office:
        number = office.room.writes("webchat:ann", "where is my parcel?", name="Ann")
        office.claims(number)
        card = office.card(number)
        office.later(seconds=5)
        ts = await office.bo.types(office.place, "on it's way", card, files=(("a.txt", b"hello"),))
        await office.works()
        await office.bo.reacts(office.place, ts, "outbox_tray")
        await office.works()
        office.later(seconds=2)
        await office.bo.edits(office.place, ts, "on its way")
        await office.works()
        (reply,) = office.replies(number)
        assert reply.delivery is not None
        assert (reply.text, reply.delivery.state, reply.delivery.asks) == ("on its way", "held", False)
        assert [file.name for file in reply.attachments] == ["a.txt"]
        office.sends()
        await office.works()
        assert office.marks(ts) == {"outbox_tray", "white_check_mark"}
        other = await office.bo.types(office.place, "and a note", card)
        await office.works()
        await office.bo.deletes(office.place, other)
        await office.works()
        assert [one.deleted for one in office.notes(number)] == [False, True]
        office.later(seconds=10)
        found = await Sweep(office.desk).once()
        assert (found.threads, found.failed, found.found) == (1, 0, 0)


@pytest.fixture
def ann(office: Office) -> int:
    """Ann wrote; Bo has it. The conversation's number."""
    number = office.room.writes("webchat:ann", "where is my parcel?", name="Ann")
    office.claims(number)
    return number


async def test_what_is_typed_is_a_note(office: Office, ann: int) -> None:
    card = office.card(ann)
    ts = await office.bo.types(office.place, "I will ask the *warehouse*", card)
    await office.works()
    (note,) = office.notes(ann)
    assert (note.text, note.by) == ("I will ask the warehouse", "agent:bo")
    assert office.replies(ann) == []
    assert office.marks(ts) == {"lock"}
    (asked,) = office.bo.ephemerals
    assert asked["thread_ts"] == card
    assert [e["action_id"] for b in asked["blocks"] if b["type"] == "actions" for e in b["elements"]] == [
        "send_typed",
        "keep_internal",
    ]


async def test_the_outbox_sends_it(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "It is on its way & <well>", office.card(ann))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    (reply,) = office.replies(ann)
    assert reply.text == "It is on its way & <well>"
    assert reply.delivery is not None
    assert reply.delivery.state == "held"
    assert office.marks(ts) == {"outbox_tray"}
    office.sends()
    await office.works()
    assert office.marks(ts) == {"outbox_tray", "white_check_mark"}
    assert office.waiting() == []


async def test_reaction_before_its_message_was_worked_off(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert [one.text for one in office.replies(ann)] == ["on its way"]


async def test_two_outboxes_are_one_reply(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.cleo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert len(office.replies(ann)) == 1


async def test_undone_and_sent_again(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    (first,) = office.replies(ann)
    assert first.delivery is not None
    office.room.actions.undo(first.delivery.id, "bo")
    office.later(seconds=12)
    await office.works()
    assert "lock" in office.marks(ts)
    await office.bo.unreacts(office.place, ts, "outbox_tray")
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    states = [one.delivery.state for one in office.replies(ann) if one.delivery]
    assert states == ["cancelled", "held"]


@pytest.mark.parametrize("typed", ["ask <@{eva}> about it", "<!here> anybody?", "see <#{place}>"])
async def test_mentions_stay_internal(office: Office, ann: int, typed: str) -> None:
    typed = typed.replace("{eva}", office.eva.id).replace("{place}", office.place)
    ts = await office.bo.types(office.place, typed, office.card(ann))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert office.replies(ann) == []
    assert len(office.notes(ann)) == 1
    assert "speaks to somebody in Slack" in office.told(office.bo)[-1]


async def test_mention_in_a_note_has_a_name(office: Office, ann: int) -> None:
    await office.bo.types(office.place, f"ask <@{office.eva.id}>", office.card(ann))
    await office.works()
    assert [one.text for one in office.notes(ann)] == ["ask @Eva Marsh"]


async def test_only_who_has_it_may_send(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "on its way", office.card(ann))
    await office.works()
    await office.eva.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert office.replies(ann) == []
    assert "is with Bo" in office.told(office.eva)[0]


async def test_an_unlinked_person_reads_why(office: Office, ann: int) -> None:
    zoe = office.slack.user("Zoe")
    await zoe.types(office.place, "hello", office.card(ann))
    await office.works()
    assert office.notes(ann) == []
    assert "not linked to an agent" in office.told(zoe)[0]


async def test_held_when_the_customer_wrote_meanwhile(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "it is lost", office.card(ann))
    office.later(seconds=5)
    office.room.writes("webchat:ann", "found it!")
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    (reply,) = office.replies(ann)
    assert reply.delivery is not None
    assert reply.delivery.asks


async def test_sent_when_the_newest_words_stood_above(office: Office, ann: int) -> None:
    card = office.card(ann)
    office.room.writes("webchat:ann", "found it!")
    office.later(seconds=5)
    office.shows_more(ann)
    office.later(seconds=5)
    ts = await office.bo.types(office.place, "good!", card)
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    (reply,) = office.replies(ann)
    assert reply.delivery is not None
    assert not reply.delivery.asks


# -------------------------------------------------------------------------------------------------- the direct mode


@pytest.fixture
def direct(office: Office) -> int:
    """A conversation of a queue in which what the assignee types goes out."""
    number = office.room.writes("webchat:dan", "my login is broken", name="Dan")
    assert office.room.row(number).queue == "support"
    office.claims(number)
    return number


async def test_direct(office: Office, direct: int) -> None:
    card = office.card(direct)
    for text in ("one", "two", "three"):
        await office.bo.types(office.place, text, card)
    await office.works()
    assert [one.text for one in office.replies(direct)] == ["one", "two", "three"]
    assert office.bo.ephemerals == []


@pytest.mark.parametrize(
    "typed", [":lock: he is rude", "\U0001f512 he is rude", "what do you think, <@{eva}>?"]
)
async def test_direct_keeps_what_is_internal(office: Office, direct: int, typed: str) -> None:
    await office.bo.types(office.place, typed.replace("{eva}", office.eva.id), office.card(direct))
    await office.works()
    assert office.replies(direct) == []
    assert len(office.notes(direct)) == 1


async def test_what_begins_with_a_lock_is_not_sent_by_an_outbox(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, ":lock: he is rude", office.card(ann))
    await office.works()
    assert office.bo.ephemerals == [], "nobody is asked"
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert office.replies(ann) == []
    assert "begins with a lock" in office.told(office.bo)[-1]


async def test_direct_is_for_the_assignee_alone(office: Office, direct: int) -> None:
    await office.cleo.types(office.place, "shall I take it?", office.card(direct))
    await office.works()
    assert office.replies(direct) == []
    assert len(office.notes(direct)) == 1


async def test_what_was_typed_long_ago_is_asked_about(office: Office, direct: int) -> None:
    await office.bo.types(office.place, "try again please", office.card(direct))
    office.later(minutes=20)
    await office.works()
    assert office.replies(direct) == []
    assert len(office.bo.ephemerals) == 1


# ------------------------------------------------------------------------------------------------ edits and deletes


async def test_an_edited_note(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "tomorow", office.card(ann))
    await office.works()
    office.later(seconds=3)
    await office.bo.edits(office.place, ts, "tomorrow")
    await office.works()
    (note,) = office.notes(ann)
    assert (note.text, note.first_text) == ("tomorrow", "tomorow")


async def test_two_edits_in_one_second(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "a", office.card(ann))
    await office.bo.edits(office.place, ts, "ab")
    await office.bo.edits(office.place, ts, "abc")
    await office.works()
    assert [one.text for one in office.notes(ann)] == ["abc"]


async def test_an_edit_before_its_message(office: Office, ann: int) -> None:
    card = office.card(ann)
    message = {
        "type": "message",
        "user": office.bo.id,
        "text": "first",
        "ts": office.slack.ts(),
        "thread_ts": card,
    }
    after = message | {"text": "second", "edited": {"user": office.bo.id, "ts": office.slack.ts()}}
    changed = {
        "type": "message", "subtype": "message_changed", "channel": office.place, "message": after,
        "previous_message": message, "ts": office.slack.ts(),
    }  # fmt: skip
    await office.tells(changed)
    await office.works()
    await office.tells(message | {"channel": office.place})
    await office.works()
    (note,) = office.notes(ann)
    assert (note.text, note.first_text) == ("second", "first")


async def test_a_deletion_before_its_message(office: Office, ann: int) -> None:
    card = office.card(ann)
    message = {
        "type": "message",
        "user": office.bo.id,
        "text": "oops",
        "ts": office.slack.ts(),
        "thread_ts": card,
    }
    gone = {
        "type": "message", "subtype": "message_deleted", "channel": office.place, "deleted_ts": message["ts"],
        "previous_message": message, "ts": office.slack.ts(),
    }  # fmt: skip
    await office.tells(gone)
    await office.tells(message | {"channel": office.place})
    await office.works()
    (note,) = office.notes(ann)
    assert note.deleted


async def test_links_that_unfold_are_no_edits(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "see https://example.com", office.card(ann))
    await office.works()
    place = office.slack.channels[office.place]
    office.slack.change(place, place.messages[ts] | {"attachments": [{"title": "Example"}]})
    await office.works()
    assert [row.kind for row in office.rows() if row.kind == "edit"] == []


async def test_a_deleted_note(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "oops", office.card(ann))
    await office.works()
    await office.bo.deletes(office.place, ts)
    await office.works()
    assert office.notes(ann)[0].deleted


async def _sent(office: Office, number: int, text: str = "on it's way") -> str:
    ts = await office.bo.types(office.place, text, office.card(number))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    return ts


async def test_an_edit_while_it_can_be_undone(office: Office, ann: int) -> None:
    ts = await _sent(office, ann)
    office.later(seconds=3)
    await office.bo.edits(office.place, ts, "on its way")
    await office.works()
    replies = [(one.text, one.delivery.state) for one in office.replies(ann) if one.delivery]
    assert replies == [("on its way", "held")]


async def test_what_was_edited_while_held_undone_and_sent_again_is_the_edited(
    office: Office, ann: int
) -> None:
    ts = await _sent(office, ann)
    office.later(seconds=3)
    await office.bo.edits(office.place, ts, "on its way")
    await office.works()
    delivery = office.room.delivery_of(ann)
    office.room.actions.undo(delivery.id, "bo")
    await office.bo.unreacts(office.place, ts, "outbox_tray")
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert [one.text for one in office.replies(ann) if one.delivery and one.delivery.state == "held"] == [
        "on its way"
    ]


async def test_an_edit_of_what_was_sent_where_the_channel_cannot(office: Office, ann: int) -> None:
    ts = await _sent(office, ann)
    office.sends()
    await office.works()
    await office.bo.edits(office.place, ts, "on its way")
    await office.works()
    assert [one.text for one in office.replies(ann)] == ["on it's way"]
    asked = office.bo.ephemerals[-1]
    assert "customer still sees the first text" in json.dumps(asked)
    from desk.slack import sending

    delivery = office.room.delivery_of(ann)
    assert await sending.wanted(office.desk, delivery.id) == "on its way"


async def test_a_deletion_while_it_can_be_undone(office: Office, ann: int) -> None:
    ts = await _sent(office, ann)
    await office.bo.deletes(office.place, ts)
    await office.works()
    assert [one.delivery.state for one in office.replies(ann) if one.delivery] == ["cancelled"]
    assert office.notes(ann)[0].deleted


async def test_a_deletion_of_what_was_sent_where_the_channel_cannot(office: Office, ann: int) -> None:
    ts = await _sent(office, ann)
    office.sends()
    await office.works()
    await office.bo.deletes(office.place, ts)
    await office.works()
    assert not office.replies(ann)[0].deleted
    assert "Send a correction?" in json.dumps(office.bo.ephemerals[-1])


# ------------------------------------------------------------------------------------------------------------- files


async def test_a_file_and_its_words(office: Office, ann: int) -> None:
    data = b"%PDF-1.7 invoice"
    ts = await office.bo.types(office.place, "your invoice", office.card(ann), files=(("invoice.pdf", data),))
    await office.works()
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    (reply,) = office.replies(ann)
    (file,) = reply.attachments
    assert (file.name, file.content_type, file.size_bytes) == ("invoice.pdf", "application/pdf", len(data))
    assert office.desk.blobs.read(file.sha256) == data


async def test_a_file_without_words(office: Office, ann: int) -> None:
    ts = await office.bo.types(office.place, "", office.card(ann), files=(("a.txt", b"hello"),))
    await office.works()
    assert [(one.text, len(one.attachments)) for one in office.notes(ann)] == [("", 1)]
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert [one.attachments[0].name for one in office.replies(ann)] == ["a.txt"]


async def test_a_file_that_is_gone_is_said(office: Office, ann: int) -> None:
    card = office.card(ann)
    office.slack.fail("files.info", "file_deleted")
    ts = await office.bo.types(office.place, "your invoice", card, files=(("invoice.pdf", b"%PDF-"),))
    await office.works()
    assert [one.text for one in office.notes(ann)] == ["your invoice"]
    await office.bo.reacts(office.place, ts, "outbox_tray")
    await office.works()
    assert office.replies(ann) == []
    assert "was deleted" in office.told(office.bo)[-1]


async def test_words_do_not_wait_for_files_for_ever(office: Office, ann: int) -> None:
    card = office.card(ann)
    office.slack.fail("files.info", 503, times=-1)
    await office.bo.types(office.place, "your invoice", card, files=(("invoice.pdf", b"%PDF-"),))
    await office.works()
    assert office.notes(ann) == []
    for _ in range(8):
        office.later(seconds=30)
        await office.works()
    assert [one.text for one in office.notes(ann)] == ["your invoice"]


# ------------------------------------------------------------------------------------------- where it does not belong


async def test_what_is_typed_beside_the_threads_is_not_kept(office: Office, ann: int) -> None:
    office.card(ann)
    ts = await office.bo.types(office.place, "lunch?")
    await office.bo.types(office.place, "pizza", ts)
    await office.works()
    assert office.notes(ann) == []
    assert "pizza" not in json.dumps([row.body for row in office.rows()])


async def test_typed_before_the_card_is_known(office: Office, ann: int) -> None:
    """The poster died after it posted and before it noted where: what is typed there waits for that."""
    from crm_store.schema import desk_posts, desk_threads

    card = office.card(ann)
    for table, column in ((desk_threads, "thread"), (desk_posts, "posted")):
        with office.store.begin() as tx:
            tx.execute(table.update().values({column: None}))
    await office.bo.types(office.place, "I am on it", card)
    await office.works()
    assert office.notes(ann) == []
    office.store.run(lambda tx: tx.execute(desk_threads.update().values(thread=card)))
    office.later(seconds=3)
    await office.works()
    assert [one.text for one in office.notes(ann)] == ["I am on it"]
