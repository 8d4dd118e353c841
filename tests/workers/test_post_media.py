"""Files that come later, in a Slack thread: said where they are missing, put there once they are here, told once."""

from __future__ import annotations

from tests.desk.test_media import SENT, ends, outcomes
from tests.workers.test_post import Office, says, small

__all__ = ["small"]  # a fixture


async def test_a_file_that_comes_later_goes_up_where_it_was_announced(small: Office) -> None:
    poster = small.poster()
    small.writes("see here", media=SENT)
    await poster.once()
    assert "A picture is on its way." in "\n".join(small.thread(small.general))
    before = len(small.everything())
    small.room.later(seconds=5)
    ends(small.room, *outcomes(small.room))
    await poster.once()
    await poster.once()
    thread = small.slack.messages(small.general, small.cards(small.general)[0]["ts"])
    words = "\n".join(says(m) for m in thread)
    assert "on its way" not in words
    for said in ("A voice message has not come yet", "A film never came", "A file was kept out"):
        assert said in words
    (shared,) = [m for m in thread if m.get("files")]
    assert shared["files"][0]["name"] == "roof.png"
    assert len(small.everything()) == before + 1, "the file, and no message more"
    assert len(small.cards(small.general)) == 1
    small.once_each()


async def test_pieces_of_an_album_add_to_its_message(small: Office) -> None:
    poster = small.poster()
    conversation = small.writes("Our roof", media=SENT[:1], album="a")
    await poster.once()
    before = len(small.everything())
    assert small.writes("", media=SENT[1:2], album="a") == conversation
    await poster.once()
    await poster.once()
    assert len(small.everything()) == before
    assert "A voice message is on its way." in "\n".join(small.thread(small.general))
