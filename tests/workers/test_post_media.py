"""Files that come later, in a Slack thread: said where they are missing, put there once they are here, told once."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from hub.blobs import Blobs, BlobStore
from hub.errors import Unavailable
from tests.desk.room import PNG
from tests.desk.test_media import SENT, ends, outcomes
from tests.workers.test_post import BEN, Office, says, small

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


class Away:
    """A bucket that does not answer until it does. Nothing else may be asked of it: that would hold the loop up."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs, self.away = blobs, True

    async def aread(self, sha256: str) -> bytes:
        if self.away:
            raise Unavailable("the bucket does not answer")
        return await self.blobs.aread(sha256)


async def test_a_bucket_that_is_away_holds_its_file_up_for_a_minute(small: Office) -> None:
    away = Away(small.room.blobs)
    small.desk = replace(small.desk, blobs=cast("BlobStore", away))
    poster = small.poster()
    small.writes("see here", files=(("roof.png", "image/png", PNG),))
    small.writes("and here", urn=BEN)
    await poster.once()
    assert len(small.cards(small.general)) == 2
    away.away = False
    small.room.later(seconds=61)
    await poster.once()
    (shared,) = [m for m in small.everything() if m.get("files")]
    assert shared["files"][0]["name"] == "roof.png"
    small.once_each()


async def test_a_file_that_is_gone_is_said_to_be(small: Office) -> None:
    small.writes("see here", files=(("roof.png", "image/png", PNG),))
    for file in small.room.folder.glob("??/*"):
        file.unlink()
    poster = small.poster()
    await poster.once()
    assert ":paperclip: roof.png is not kept any more." in small.thread(small.general)
