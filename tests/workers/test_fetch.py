"""Customers' files are fetched, judged by their bytes, kept and shown, whatever their provider does (F-matrix)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors import fetching as client
from connectors.base import Fetched, FetchError, Wire
from crm_store import media, schema, timeline
from crm_store.db import Store
from crm_store.media import Ended
from hub import failpoints
from hub.blobs import Blobs
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from hub.model import Media
from tests.databases import on_postgresql, on_sqlite
from tests.servers.http import Provider, Say
from tests.workers.office import START, Office
from workers import sweep
from workers.fetching import Fetching, judge

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 20
OGG = b"OggS" + b"sound" * 20
MP4 = b"\x00\x00\x00\x18ftypisom" + b"film" * 20
ACCOUNT = "webhook/main"
ROOT = Path(__file__).parents[2]
_m = schema.media.c


class Gallery:
    """A channel whose files are at `ref` below its account's address."""

    name = "webhook"

    def __init__(self) -> None:
        self.limit_bytes, self.total_s = 4096, 30.0
        self.asked: list[str] = []
        self.raises: Exception | None = None

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        self.asked.append(media.ref)
        if self.raises is not None:
            raise self.raises
        return await client.get(
            wire,
            f"{account.settings['url']}/{media.ref}",
            headers={"Authorization": "Basic secret"},
            limit_bytes=self.limit_bytes,
            total_s=self.total_s,
        )


class Darkroom:
    """Messages with files, and who fetches them."""

    def __init__(self, store: Store, provider: Provider, folder: Path) -> None:
        self.office = Office(store, provider.url)
        self.provider, self.blobs, self.gallery = provider, Blobs(folder), Gallery()
        self.told: list[Ended] = []
        self.connectors: dict[str, Any] = {"webhook": self.gallery}

    def said(self, *files: Media, account: str = ACCOUNT, urn: str = "webhook:ann") -> int:
        """A customer's message with these files; its id."""
        office = self.office
        conversation = office.conversation(urn, account)
        message = office.inbound(conversation, account)
        rows = [
            {
                "interaction_id": message,
                "position": position,
                "account": account,
                "ref": file.ref,
                "kind": file.kind,
                "name": file.name,
                "content_type": file.content_type,
                "size_bytes": file.size_bytes,
                "state": "waiting",
                "due_at": office.now,
                "at": office.now,
            }
            for position, file in enumerate(files)
        ]
        office.store.run(lambda tx: tx.execute(sa.insert(schema.media), rows))
        return message

    def fetching(self, **more: Any) -> Fetching:
        office = self.office
        values: dict[str, Any] = {
            "wire": office.wire,
            "blobs": self.blobs,
            "owner": "test",
            "connectors": self.connectors,
            "tell": self.told.extend,
            "now": office.clock,
            "poll_s": 0.02,
            **more,
        }
        return Fetching(office.store, lambda: office.accounts, **values)

    async def fetch(self, **by: float) -> Any:
        self.office.later(**by)
        return await self.fetching().run()

    def row(self, message: int, position: int = 0) -> Any:
        with self.office.store.read() as tx:
            return tx.execute(
                sa.select(schema.media).where(_m.interaction_id == message, _m.position == position)
            ).one()

    def entry(self, message: int) -> timeline.Entry:
        with self.office.store.read() as tx:
            (entry,) = timeline.entries(tx, [message])
        return entry

    def version(self, message: int) -> int:
        with self.office.store.read() as tx:
            return int(
                tx.execute(
                    sa.select(schema.conversations.c.version)
                    .join(
                        schema.interactions,
                        schema.interactions.c.conversation_id == schema.conversations.c.id,
                    )
                    .where(schema.interactions.c.id == message)
                ).scalar_one()
            )


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


@pytest.fixture
async def room(store: Store, provider: Provider, tmp_path: Path) -> AsyncIterator[Darkroom]:
    made = Darkroom(store, provider, tmp_path / "blobs")
    async with made.office:
        yield made


# ------------------------------------------------------------------------------------------------------ it comes


async def test_files_come_and_stand_where_they_were_announced(room: Darkroom) -> None:
    room.provider.answers(
        [
            Say(
                body=PNG,
                headers={
                    "Content-Type": "text/html",
                    "Content-Disposition": 'attachment; filename="a/b.png"',
                },
            )
        ]
    )
    message = room.said(Media(ref="one", kind="image", content_type="image/jpeg", name="said.jpg"))
    assert room.entry(message).expected[0].coming
    before = room.version(message)
    done = await room.fetch()
    entry = room.entry(message)
    (file,) = entry.attachments
    assert (file.name, file.content_type, file.size_bytes, file.position) == (
        "b.png",
        "image/png",
        len(PNG),
        0,
    )
    assert room.blobs.read(file.sha256) == PNG
    assert entry.expected == ()
    assert (room.row(message).state, room.row(message).lease_owner) == ("done", None)
    assert room.version(message) == before + 1
    assert [one.due.interaction_id for one in room.told] == [message]
    assert (done.tried, done.next_due) == (1, None)
    assert room.provider.seen[0].headers["authorization"] == "Basic secret"


@on_sqlite
@pytest.mark.parametrize(
    "file, data, name, content_type",
    [
        (Media(ref="x", kind="image"), PNG, "image.png", "image/png"),
        (Media(ref="x", kind="voice"), OGG, "audio.ogg", "audio/ogg"),
        (Media(ref="x", kind="voice"), MP4, "audio.m4a", "audio/mp4"),
        (Media(ref="x", kind="file", content_type="audio/mp4"), MP4, "audio.m4a", "audio/mp4"),
        (Media(ref="x", kind="video"), MP4, "video.mp4", "video/mp4"),
        (Media(ref="x", name="bill.pdf", content_type="image/png"), b"%PDF-1.7 x", "bill.pdf", "application/pdf"),
        (Media(ref="x", name="../../etc/pass\u202ewd.txt"), b"root", "passwd.txt", "text/plain"),
        (Media(ref="x", name="page"), b"<html><script>alert(1)</script>", "page", "application/octet-stream"),
        (Media(ref="x", name="data.json"), b'{"a": 1}', "data.json", "text/plain"),
    ],
)  # fmt: skip
async def test_the_bytes_say_what_a_file_is(
    room: Darkroom, file: Media, data: bytes, name: str, content_type: str
) -> None:
    room.provider.answers([Say(body=data, headers={"Content-Type": "application/x-lie"})])
    message = room.said(file)
    await room.fetch()
    (attached,) = room.entry(message).attachments
    assert (attached.name, attached.content_type) == (name, content_type)


@on_sqlite
@pytest.mark.parametrize(
    "name, data",
    [("invoice.pdf", b"MZ\x90\x00"), ("run.jpg.exe", PNG), ("x.html", b"hello"), ("a.svg", b"<svg>")],
)
async def test_programs_and_pages_are_kept_out(room: Darkroom, name: str, data: bytes) -> None:
    room.provider.answers([Say(body=data)])
    message = room.said(Media(ref="x", name=name))
    await room.fetch()
    (gone,) = room.entry(message).expected
    assert gone.state == "refused"
    assert "not taken" in gone.why
    assert room.blobs.usage() == (0, 0)
    assert room.entry(message).attachments == ()
    await room.fetch(days=2)
    assert len(room.provider.seen) == 1


@on_postgresql
async def test_many_come_at_once_and_a_slow_provider_holds_up_no_other(room: Darkroom) -> None:
    room.office.open("slow")
    room.provider.check = lambda seen: Say(body=PNG, hang=True) if "/slow/" in seen.path else Say(body=PNG)
    slow = room.said(*[Media(ref=f"{n}", kind="image") for n in range(12)], account="webhook/slow")
    quick = room.said(*[Media(ref=f"{n}", kind="image") for n in range(12)])
    task = asyncio.create_task(room.fetching().run())
    async with asyncio.timeout(20):
        while len(room.entry(quick).attachments) < 12:
            await asyncio.sleep(0.02)
    assert room.entry(slow).attachments == ()
    assert sum("/slow/" in seen.path for seen in room.provider.seen) == 8
    room.provider.release()
    await task
    assert len(room.entry(slow).attachments) == 12


# ------------------------------------------------------------------------------------------------- it does not come


@on_sqlite
async def test_a_provider_in_trouble_is_asked_again(room: Darkroom) -> None:
    cut = [Say(cut="before")] * 2  # a kept connection that breaks is tried once more by aiohttp itself
    room.provider.answers([Say(status=500), *cut, Say(cut="body", body=b"half"), Say(body=PNG)])
    message = room.said(Media(ref="one", kind="image"))
    for tries, wait_s in ((1, 7), (2, 20), (3, 80)):
        await room.fetch()
        row = room.row(message)
        assert (row.state, row.tries) == ("waiting", tries)
        assert timedelta(0) < row.due_at - room.office.now <= timedelta(seconds=wait_s)
        assert row.why.startswith("The file did not come")
        assert room.entry(message).expected[0].coming
        await room.fetch()
        assert room.row(message).tries == tries, "not before its time"
        room.office.later(seconds=wait_s)
    await room.fetch()
    assert room.row(message).state == "done"


@on_postgresql
async def test_what_a_provider_asks_for_is_waited(room: Darkroom) -> None:
    room.provider.answers([Say(status=429, headers={"Retry-After": "120"}), Say(body=PNG)])
    message = room.said(Media(ref="one", kind="image"))
    await room.fetch()
    assert room.row(message).due_at == room.office.now + timedelta(seconds=120)
    await room.fetch(seconds=119)
    assert len(room.provider.seen) == 1
    await room.fetch(seconds=2)
    assert room.row(message).state == "done"


@on_sqlite
async def test_after_a_day_it_is_said_that_it_failed(room: Darkroom) -> None:
    room.provider.default = Say(status=503)
    message = room.said(Media(ref="one", kind="image"))
    for _ in range(60):
        await room.fetch(minutes=30)
    (gone,) = room.entry(message).expected
    assert (gone.state, gone.coming) == ("failed", False)
    assert (
        gone.why
        == "The file did not come: 127.0.0.1 answers 503, it has trouble of its own. It was tried for a day."
    )
    assert 20 < len(room.provider.seen) < 60


PACKED = zlib.compress(b"\0" * 100_000)
WRONG = [
    (Say(status=410), "no longer there"),
    (Say(status=403), "may not be read"),
    (Say(status=302, headers={"Location": "ftp://example.com/"}), "no URL"),
    (Say(status=302, headers={"Location": "/again"}), "passed on more than 3 times"),
    (Say(body=b"x" * 5000), "larger than"),
    (Say(body=b"x", headers={"Content-Encoding": "br"}), "was not asked for"),
    (Say(body=PACKED, headers={"Content-Encoding": "deflate"}), "larger than"),
]


@on_sqlite
@pytest.mark.parametrize("say, words", WRONG)
async def test_what_cannot_come_is_not_asked_for_again(room: Darkroom, say: Say, words: str) -> None:
    room.provider.default = say
    message = room.said(Media(ref="one", kind="image"))
    await room.fetch()
    (gone,) = room.entry(message).expected
    assert gone.state == "failed"
    assert words in gone.why
    assert room.blobs.usage() == (0, 0)


AGAIN = [
    (Say(status=404), "it is not there"),
    (Say(status=401), "credentials are refused"),
    (Say(body=b""), "is empty"),
    (Say(body=b"<!doctype html><title>Log in</title>"), "page of the provider's"),
    (Say(body=b'{"error": "expired"}'), "page of the provider's"),
    (Say(body=b"not packed", headers={"Content-Encoding": "gzip"}), "cannot be unpacked"),
    (Say(hang=True), "within 0.2 seconds"),
]


@on_sqlite
@pytest.mark.parametrize("say, words", AGAIN)
async def test_what_may_come_yet_is_waited_for(room: Darkroom, say: Say, words: str) -> None:
    if say.hang:
        room.gallery.total_s = 0.2
    room.provider.default = say
    message = room.said(Media(ref="one", kind="image", content_type="image/png"))
    await room.fetch()
    (coming,) = room.entry(message).expected
    assert coming.coming
    assert words in coming.why


@on_postgresql
async def test_packed_bytes_are_counted_unpacked_and_come_unpacked(room: Darkroom) -> None:
    room.provider.default = Say(body=zlib.compress(PNG), headers={"Content-Encoding": "deflate"})
    message = room.said(Media(ref="one", kind="image"))
    await room.fetch()
    (file,) = room.entry(message).attachments
    assert room.blobs.read(file.sha256) == PNG


@on_postgresql
@pytest.mark.parametrize(
    "raised, state",
    [
        (FetchError("It is a secret."), "failed"),
        (FetchError("Later.", retry=True), "waiting"),
        (FetchError("Not\x00yet.", retry=True), "waiting"),
        (SendError(SendCode.THROTTLED, "patience", retry=True, after_s=9.0), "waiting"),
        (SendError(SendCode.CHANNEL_CONFIG, "no such token"), "failed"),
        (KeyError("url"), "waiting"),
    ],
)
async def test_whatever_a_connector_does_has_an_outcome(
    room: Darkroom, raised: Exception, state: str
) -> None:
    room.gallery.raises = raised
    message = room.said(Media(ref="one"))
    await room.fetch()
    assert room.row(message).state == state
    assert room.row(message).why


@on_postgresql
async def test_a_channel_without_files_and_a_message_taken_back(room: Darkroom) -> None:
    room.connectors["webhook"] = object()
    message = room.said(Media(ref="one"))
    await room.fetch()
    assert room.row(message).state == "failed"
    room.connectors["webhook"] = room.gallery
    message = room.said(Media(ref="two"))
    room.office.store.run(
        lambda tx: tx.execute(
            sa.update(schema.interactions).where(schema.interactions.c.id == message).values(deleted=True)
        )
    )
    await room.fetch()
    assert room.row(message).state == "failed"
    assert "taken back" in room.row(message).why
    assert room.gallery.asked == []


@on_sqlite
async def test_an_account_that_is_gone_fails_after_a_while(room: Darkroom) -> None:
    message = room.said(Media(ref="one"), account="webhook/gone")
    done = await room.fetch()
    assert (done.tried, done.next_due, room.row(message).state) == (0, None, "waiting")
    swept = sweep.look(room.office.store, room.office.accounts, room.office.now)
    assert not swept.conversations
    room.office.later(minutes=16)
    swept = sweep.look(room.office.store, room.office.accounts, room.office.now)
    assert len(swept.conversations) == 1
    row = room.row(message)
    assert (row.state, row.why[:30]) == ("failed", "The account webhook/gone is no")
    assert not sweep.look(room.office.store, room.office.accounts, room.office.now).conversations


@on_postgresql
async def test_a_full_disk_costs_no_file(room: Darkroom) -> None:
    class Full:
        async def aput(self, data: bytes) -> str:
            raise Unavailable("no space left on device")

    room.provider.default = Say(body=PNG)
    message = room.said(Media(ref="one", kind="image"))
    await room.fetching(blobs=Full()).run()
    row = room.row(message)
    assert (row.state, row.why) == ("waiting", "There is no room for the file here now.")
    await room.fetch(seconds=90)
    assert room.row(message).state == "done"


# -------------------------------------------------------------------------------------------- twice, and half done


async def test_two_who_fetch_at_once_fetch_each_file_once(room: Darkroom) -> None:
    room.provider.default = Say(body=PNG)
    message = room.said(*[Media(ref=f"{n}", kind="image") for n in range(6)])
    await asyncio.gather(*(room.fetching(owner=f"w{n}").run() for n in range(3)))
    assert len(room.provider.seen) == 6
    assert len(room.entry(message).attachments) == 6


async def test_who_dies_leaves_a_file_that_is_fetched_again(room: Darkroom) -> None:
    """Between the blob and the commit: claimed, the bytes are kept, nobody has noted it."""
    room.provider.default = Say(body=PNG)
    message = room.said(Media(ref="one", kind="image"))
    store, now = room.office.store, room.office.now
    (due,) = store.run(
        lambda tx: media.claim(tx, {ACCOUNT: 5}, owner="dead", now=now, lease=timedelta(seconds=120))
    )
    assert due.tries == 1
    room.blobs.put(PNG)
    done = await room.fetch(seconds=60)
    assert (done.tried, done.next_due) == (0, now + timedelta(seconds=120))
    await room.fetch(seconds=61)
    assert room.row(message).state == "done"
    assert (room.row(message).tries, len(room.entry(message).attachments)) == (2, 1)
    assert room.blobs.usage()[0] == 1
    # The dead one was only frozen, and comes back with the same file, and with bad news.
    late = Ended(due=due, state="done", file=room.told[0].file)
    assert store.run(lambda tx: media.finish(tx, store.ids, [late], owner="dead", now=START)) == []
    bad = Ended(due=due, state="failed", why="no")
    assert store.run(lambda tx: media.finish(tx, store.ids, [bad], owner="dead", now=START)) == []
    entry = room.entry(message)
    assert (len(entry.attachments), entry.expected) == (1, ())
    with store.read() as tx:
        n = schema.interactions.c
        assert tx.execute(sa.select(n.attachments).where(n.id == message)).scalar_one() == 1


async def test_it_counts_who_is_first_even_after_its_lease(room: Darkroom) -> None:
    message = room.said(Media(ref="one", kind="image"))
    store = room.office.store
    claimed = []
    for owner in ("slow", "quick"):
        now = room.office.now
        claimed += store.run(
            partial(media.claim, rooms={ACCOUNT: 5}, owner=owner, now=now, lease=timedelta(seconds=1))
        )
        room.office.later(seconds=2)
    slow, _ = claimed
    bad = Ended(due=slow, state="failed", why="no")
    assert store.run(lambda tx: media.finish(tx, store.ids, [bad], owner="slow", now=START)) == [], (
        "it holds no lease"
    )
    assert room.row(message).state == "fetching"


def test_waits_grow_and_spread() -> None:
    due = media.Due(
        interaction_id=1, position=0, conversation_id=1, account=ACCOUNT, media=Media(ref="x"), tries=3,
        at=START, gone=False,
    )  # fmt: skip
    waits = {judge(due, FetchError("no", retry=True), START).due_at for _ in range(20)}
    assert len(waits) > 10
    spread = [(at - START).total_seconds() for at in waits if at is not None]
    assert 45 <= min(spread) <= max(spread) <= 75


# ------------------------------------------------------------------------------------------- a process that dies

DIES = """
import asyncio, os, sys
from pathlib import Path
from crm_store.db import Store
from tests.workers.office import Office
from tests.workers.test_fetch import Darkroom
class Somewhere: url = sys.argv[2]
async def main():
    room = Darkroom(Store.open(sys.argv[1]), Somewhere, Path(sys.argv[3]))
    async with room.office:
        room.office.later(seconds=float(sys.argv[4]))
        await room.fetching(owner=str(os.getpid())).run()
    room.office.store.close()
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", [name for name in failpoints.ALL if name.startswith("fetch.")])
async def test_a_process_killed_anywhere_leaves_every_file_to_come_once(
    place: str, room: Darkroom, database_url: str, tmp_path: Path
) -> None:
    room.provider.default = Say(body=PNG)
    message = room.said(*[Media(ref=f"{n}", kind="image") for n in range(3)])

    def process(after_s: float, **environ: str) -> int:
        words = [
            sys.executable,
            "-c",
            DIES,
            database_url,
            room.provider.url,
            str(tmp_path / "blobs"),
            str(after_s),
        ]
        return subprocess.run(words, env=os.environ | environ, cwd=ROOT, timeout=60, check=False).returncode

    assert await asyncio.to_thread(process, 0, MAINSTEM_FAIL=place) == 137
    assert len(room.entry(message).attachments) in ((0,) if place != "fetch.after_note" else (1, 2, 3))
    assert await asyncio.to_thread(process, 200) == 0
    entry = room.entry(message)
    assert [file.position for file in entry.attachments] == [0, 1, 2]
    assert entry.expected == ()
    assert room.blobs.usage() == (1, len(PNG)), "the same bytes are one file"
    with room.office.store.read() as tx:
        n = schema.interactions.c
        assert tx.execute(sa.select(n.attachments).where(n.id == message)).scalar_one() == 3
