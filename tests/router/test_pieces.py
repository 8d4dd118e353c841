"""Files that are still at their provider, and albums: what the router makes of them, over either database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectors.webhook_body import Body
from crm_store import media, schema
from crm_store.db import Store
from hub.model import ECHO, Attachment, Media, MessageReceived
from tests.databases import on_postgresql, on_sqlite
from tests.router.way_in import WayIn

PHOTO = Attachment(sha256="a" * 64, content_type="image/png", size_bytes=3, name="own.png")


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


def photo(way: WayIn, number: int, text: str = "", **more: Any) -> MessageReceived:
    """The piece `number` of Ann's album."""
    return way.ann(
        text,
        event_key=f"piece-{number}",
        album="holiday",
        media=(Media(ref=f"file-{number}", kind="image"),),
        **more,
    )


def files(way: WayIn) -> list[tuple[int, str, str]]:
    return sorted((row.position, row.ref, row.state) for row in way.rows(schema.media))


def test_files_stand_after_those_that_came_with_the_message(way: WayIn) -> None:
    handled = way.take(
        way.ann(
            "look",
            attachments=(PHOTO,),
            media=(
                Media(ref="one", kind="image", content_type="image/jpeg", size_bytes=5, name="a.jpg"),
                Media(ref="two\x00", size_bytes=-1),
            ),
        )
    )
    said = way.one(schema.interactions)
    assert handled.files
    assert said.attachments == 1, "those that are here"
    assert files(way) == [(1, "one", "waiting"), (2, "two\ufffd", "waiting")]
    first, second = way.rows(schema.media, schema.media.c.interaction_id == said.id)
    assert (first.kind, first.content_type, first.size_bytes, first.name, first.tries) == (
        "image", "image/jpeg", 5, "a.jpg", 0,
    )  # fmt: skip
    assert (first.account, first.due_at, first.at) == ("webchat/main", way.now, way.now)
    assert second.size_bytes is None
    assert not way.take(way.ann("no file")).files


@on_sqlite
def test_the_same_message_again_names_its_files_once(way: WayIn) -> None:
    said = way.ann("look", media=(Media(ref="one"),))
    way.take(said, said)
    assert not way.take(said).files
    assert len(files(way)) == 1


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 1, 1, 3, 2)])
def test_an_album_is_one_message(way: WayIn, order: tuple[int, ...], together: bool) -> None:
    said = [photo(way, number, "We were there" if number == 2 else "") for number in order]
    before = 0
    if together:
        way.take(*said)
    else:
        for one in said:
            way.take(one)
            now = way.conversation().version
            before, grew = now, now - before
            assert grew <= 1
    message = way.one(schema.interactions)
    assert message.text == "We were there"
    assert sorted(row.ref for row in way.rows(schema.media)) == ["file-1", "file-2", "file-3"]
    assert [row.position for row in sorted(way.rows(schema.media), key=lambda r: r.position)] == [0, 1, 2]
    assert way.count(schema.conversations) == 1
    assert way.happened() == ["opened"], "no second card, no second decision, no conflict"
    assert way.count(schema.decisions) == 1
    stored = [row for row in way.rows(schema.intake) if row.outcome == "stored"]
    assert len(stored) == 3
    assert {row.interaction_id for row in way.rows(schema.intake)} == {message.id}


@on_postgresql
def test_a_caption_that_is_there_stays(way: WayIn) -> None:
    way.take(photo(way, 1, "first"), photo(way, 2, "second"))
    way.take(photo(way, 3, "third"))
    assert way.one(schema.interactions).text == "first"


@on_sqlite
def test_pieces_may_bring_their_files_along(way: WayIn) -> None:
    way.take(photo(way, 1, attachments=(PHOTO,)))
    way.take(photo(way, 2, attachments=(PHOTO, PHOTO)))
    way.take(photo(way, 3))
    assert way.one(schema.interactions).attachments == 3
    assert [(p, r) for p, r, _ in files(way)] == [(1, "file-1"), (4, "file-2"), (5, "file-3")]
    assert sorted(row.position for row in way.rows(schema.interaction_attachments)) == [0, 2, 3]


@on_postgresql
def test_the_same_name_of_another_sender_or_account_is_another_album(way: WayIn) -> None:
    way.take(photo(way, 1), photo(way, 2, sender="webchat:bob"), photo(way, 3, account="webchat/desk"))
    assert way.count(schema.interactions) == 3
    assert way.count(schema.albums) == 3


@on_sqlite
def test_a_later_piece_touches_its_conversation_and_reopens_nothing(way: WayIn) -> None:
    way.take(photo(way, 1))
    way.change(schema.conversations, state="closed", slot=None, closed_at=way.now, waiting_since=None)
    before = way.conversation().version
    way.pass_(seconds=2)
    handled = way.take(photo(way, 2))
    after = way.conversation()
    assert (after.state, after.version) == ("closed", before + 1)
    assert handled.conversations == {after.id}
    assert handled.files


@on_postgresql
def test_albums_are_forgotten_and_their_messages_stay(way: WayIn, store: Store) -> None:
    way.take(photo(way, 1))
    way.pass_(days=8)
    assert store.run(lambda tx: media.forget_albums(tx, way.now)) == 1
    assert way.count(schema.interactions) == 1


@pytest.mark.parametrize(
    "sender, name, asked",
    [("messenger:77", "", True), ("instagram:78", "Bo", False), ("webchat:v9", "", False)],
)
def test_a_newcomer_without_a_name_wakes_who_asks_for_it(
    way: WayIn, sender: str, name: str, asked: bool
) -> None:
    said = way.ann("hello", sender=sender, sender_name=name)
    assert way.take(said).files is asked
    assert not way.take(way.ann("again", sender=sender)).files


def test_what_others_wrote_in_our_name_is_a_note_where_they_talk_with_us(way: WayIn) -> None:
    """It opens nothing, reopens nothing, and answers nothing here."""
    echo = way.ann("(Sent by another app.)\nGoodbye", form=ECHO)
    way.take(echo)
    assert not way.rows(schema.interactions)
    assert not way.rows(schema.identities)
    way.take(way.ann("hello"))
    before = way.conversation()
    again = way.ann(echo.text, form=ECHO, media=(Media(ref="1"),))
    assert way.take(again).files
    note = way.rows(schema.interactions)[-1]
    assert (note.direction, note.form, note.by, note.text) == ("note", ECHO, "system", echo.text)
    after = way.conversation()
    assert (after.state, after.waiting_since, after.last_inbound_id) == (
        before.state,
        before.waiting_since,
        before.last_inbound_id,
    )
    assert after.version > before.version
    assert way.take(again).duplicates == 1


def test_no_form_of_a_strangers_is_an_echo() -> None:
    """Their words would open no conversation."""
    body = {"id": "1", "from": "ann", "text": "hello", "form": "letter"}
    assert msgspec.convert(body, Body).form == "letter"
    with pytest.raises(msgspec.ValidationError, match="form"):
        msgspec.convert(body | {"form": ECHO}, Body)
