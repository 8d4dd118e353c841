"""Events are worked off once and in order, whoever dies, and whatever Slack says twice or late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_store.db import Store
from crm_store.schema import desk_threads
from desk.slack import inbox, look
from desk.slack.inbox import Inbox
from desk.slack.outcome import Done
from hub import failpoints
from tests.desk.slack.office import Office, opened

POINTS = [name for name in failpoints.ALL if name.startswith("slack.")]


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path, connect=False) as made:
        yield made
    store.close()


class Killed(BaseException):
    """The process is gone; nothing of ours catches this."""


class Reaper:
    """Kills at the `nth` time that the process comes by `point`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.point, self.left, self.killed = "", 0, False
        monkeypatch.setattr(failpoints, "here", self)

    def arm(self, point: str, nth: int) -> None:
        self.point, self.left, self.killed = point, nth, False

    def __call__(self, name: str) -> None:
        if name == self.point:
            self.left -= 1
            if self.left == 0:
                self.killed = True
                raise Killed


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    return Reaper(monkeypatch)


async def says(office: Office, event: dict[str, Any]) -> None:
    """Slack tells it until it is acknowledged."""
    for _ in range(3):
        try:
            assert (await office.tells(event)).status == 200
            return
        except Killed:
            continue


async def works(office: Office) -> None:
    """The process works; when it dies, another one starts after the lease."""
    for _ in range(3):
        try:
            await office.inbox.once()
            return
        except Killed:
            await asyncio.sleep(0.05)  # what ran beside it in threads ends
            office.later(seconds=200)
            office.inbox = Inbox(office.desk)


def message(office: Office, card: str, text: str, **more: Any) -> dict[str, Any]:
    ts = office.slack.ts()
    posted = {"type": "message", "user": office.bo.id, "text": text, "ts": ts, "thread_ts": card, **more}
    office.slack.channels[office.place].messages[ts] = posted
    return posted | {"channel": office.place}


def outbox(office: Office, ts: str, person: Any = None) -> dict[str, Any]:
    item = {"type": "message", "channel": office.place, "ts": ts}
    user = (person or office.bo).id
    stamp = office.slack.ts()
    return {
        "type": "reaction_added",
        "user": user,
        "reaction": "outbox_tray",
        "item": item,
        "event_ts": stamp,
    }


def edit(office: Office, said: dict[str, Any], text: str) -> dict[str, Any]:
    edited = {"user": office.bo.id, "ts": f"{office.slack.ts().partition('.')[0]}.000000"}
    before = {name: said[name] for name in said if name != "channel"}
    return {
        "type": "message", "subtype": "message_changed", "channel": office.place, "previous_message": before,
        "message": before | {"text": text, "edited": edited}, "ts": office.slack.ts(),
    }  # fmt: skip


def deletion(office: Office, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "message", "subtype": "message_deleted", "channel": office.place, "deleted_ts": said["ts"],
        "previous_message": {name: said[name] for name in said if name != "channel"}, "ts": office.slack.ts(),
    }  # fmt: skip


def conversation(office: Office, nth: int) -> tuple[int, str]:
    number = office.room.writes(f"webchat:c{nth}", "where is my parcel?")
    office.claims(number, "cleo")
    office.later(seconds=1)
    return number, office.card(number)


@pytest.mark.parametrize("point", [point for point in POINTS if point != "slack.after_withdraw"])
async def test_killed_anywhere_it_is_one_reply_as_typed_last(
    office: Office, reaper: Reaper, point: str
) -> None:
    reached = 0
    for nth in range(1, 20):
        number, card = conversation(office, nth)
        reaper.arm(point, nth)
        said = message(office, card, "tomorow", user=office.cleo.id)
        await says(office, said)
        await works(office)
        await says(office, outbox(office, said["ts"], office.cleo))
        await works(office)
        office.later(seconds=2)
        await says(office, edit(office, said, "tomorrow"))
        await works(office)
        assert [(one.text, one.direction) for one in office.entries(number)[1:] if not one.withdrawn] == [
            ("tomorow", "note"),
            ("tomorrow", "out"),
        ], (point, nth)
        assert [row.kind for row in office.waiting() if row.kind != "tick"] == []
        if not reaper.killed:
            break
        reached += 1
    assert reached, f"{point} is never passed"


@pytest.mark.parametrize("point", ["slack.after_withdraw", "slack.before_done", "slack.after_inbox"])
async def test_killed_anywhere_what_was_deleted_is_not_sent(
    office: Office, reaper: Reaper, point: str
) -> None:
    reached = 0
    for nth in range(1, 20):
        number, card = conversation(office, nth)
        reaper.arm(point, nth)
        said = message(office, card, "oops", user=office.cleo.id)
        for event in (said, outbox(office, said["ts"], office.cleo), deletion(office, said)):
            await says(office, event)
            await works(office)
        note, reply = (next(e for e in office.entries(number) if e.direction == d) for d in ("note", "out"))
        assert note.deleted, (point, nth)
        assert reply.delivery is not None
        assert reply.delivery.state == "cancelled", (point, nth)
        if not reaper.killed:
            break
        reached += 1
    assert reached, f"{point} is never passed"


@pytest.mark.parametrize("point", ["slack.after_note", "slack.after_typed", "slack.after_send"])
async def test_whoever_draws_the_thread_meanwhile_says_nothing_twice(
    office: Office, reaper: Reaper, point: str
) -> None:
    """The note and the reply are committed; the rows that say where they were typed are not."""
    _, card = conversation(office, 1)
    said = message(office, card, "on its way", user=office.cleo.id)
    reaper.arm(point, 1)
    await says(office, said)
    with suppress(Killed):
        await office.inbox.once()
    await says(office, outbox(office, said["ts"], office.cleo))
    with suppress(Killed):
        await office.inbox.once()
    assert reaper.killed
    with office.store.read() as tx:
        thread = tx.execute(select(desk_threads)).one()
        items = look.thread(
            tx, office.room.config, thread.conversation_id, None, office.room.now, thread_id=thread.id
        )
    assert "on its way" not in json.dumps([item.post.blocks for item in items])
    assert [item.kind for item in items if item.kind == "note"] == []


async def test_events_in_any_order_and_twice(office: Office) -> None:
    """Reaction, edit, message: the customer gets the edited text once."""
    number, card = conversation(office, 1)
    said = message(office, card, "tomorow", user=office.cleo.id)
    changed = edit(office, said, "tomorrow")
    sent = outbox(office, said["ts"], office.cleo)
    for event in (sent, changed, sent, said, changed, said):
        await office.tells(event)
        await office.inbox.once()
        office.later(seconds=1)
    for _ in range(5):
        office.later(seconds=2)
        await office.inbox.once()
    assert [one.text for one in office.replies(number)] == ["tomorrow"]
    assert len(office.notes(number)) == 1


async def test_two_processes_keep_everything_once(office: Office) -> None:
    number, card = conversation(office, 1)
    second = Inbox(office.desk)
    for n in range(12):
        await office.tells(message(office, card, f"note {n}", user=office.cleo.id))
    await asyncio.gather(office.inbox.once(), second.once())
    await asyncio.gather(office.inbox.once(), second.once())
    assert [one.text for one in office.notes(number)] == [f"note {n}" for n in range(12)]


async def test_a_reaction_to_a_message_nobody_told_of(office: Office) -> None:
    number, card = conversation(office, 1)
    said = message(office, card, "on its way", user=office.cleo.id)
    await office.tells(outbox(office, said["ts"], office.cleo))
    for _ in range(3):
        await office.inbox.once()
        office.later(seconds=1)
    assert [one.text for one in office.replies(number)] == ["on its way"]


async def test_a_reaction_to_a_card_sends_nothing(office: Office) -> None:
    number, card = conversation(office, 1)
    await office.tells(outbox(office, card, office.cleo))
    await office.inbox.once()
    assert office.replies(number) == []
    assert "Only what somebody typed" in office.told(office.cleo)[0]


async def test_reactions_elsewhere_are_nothing(office: Office) -> None:
    said = message(office, office.slack.ts(), "lunch?")
    await office.tells(outbox(office, said["ts"]))
    await office.inbox.once()
    assert office.waiting() == []
    assert office.bo.ephemerals == []


async def test_what_cannot_be_worked_off_stops_nobody(office: Office) -> None:
    number, card = conversation(office, 1)

    async def breaks(*_: Any) -> Done:
        raise ZeroDivisionError

    worker = Inbox(office.desk, {**inbox.HANDLERS, "edit": breaks})
    said = message(office, card, "a", user=office.cleo.id)
    await office.tells(said)
    await office.tells(edit(office, said, "b"))
    _, other = conversation(office, 2)
    await office.tells(message(office, other, "c", user=office.cleo.id))
    for _ in range(12):
        await worker.once()
        office.later(seconds=300)
    assert [one.text for one in office.notes(number)] == ["a"]
    (row,) = office.rows("edit")
    assert row.done_at is not None
    assert "given up after 8 tries" in row.trouble
    assert "could not be kept" in office.told(office.cleo)[-1]
    assert json.loads(row.body)["message"]["text"] == "b", "the words stay"


async def test_an_outage_is_nobodys_fault(office: Office) -> None:
    number, card = conversation(office, 1)
    office.slack.fail("users.info", 503, times=-1)
    await office.tells(message(office, card, "a", user=office.cleo.id))
    for _ in range(40):
        await office.inbox.once()
        office.later(seconds=60)
    assert office.notes(number) == []
    office.slack.mend()
    await office.inbox.once()
    assert [one.text for one in office.notes(number)] == ["a"]


async def test_marks_wait_as_long_as_slack_asks(office: Office) -> None:
    number, card = conversation(office, 1)
    office.slack.fail("reactions.add", "ratelimited", retry_after=30)
    said = message(office, card, "a", user=office.cleo.id)
    await office.tells(said)
    await office.inbox.once()
    assert len(office.notes(number)) == 1
    assert office.marks(said["ts"]) == set()
    office.later(seconds=20)
    await office.inbox.once()
    assert office.marks(said["ts"]) == set()
    office.later(seconds=12)
    await office.inbox.once()
    assert office.marks(said["ts"]) == {"lock"}


async def test_a_revoked_token_loses_nothing(office: Office) -> None:
    number, card = conversation(office, 1)
    office.slack.revoke()
    said = message(office, card, "a", user=office.cleo.id)
    assert (await office.tells(said)).status == 200
    await office.inbox.once()
    office.slack.mend()
    for _ in range(3):
        office.later(seconds=61)
        await office.inbox.once()
    assert [one.text for one in office.notes(number)] == ["a"]
    assert office.marks(said["ts"]) == {"lock"}


@pytest.mark.parametrize(
    "more",
    [
        {"bot_id": "B0001"},
        {"subtype": "bot_message"},
        {"user": "USLACKBOT"},
        {"subtype": "channel_join"},
        {"thread_ts": None},
    ],
)
async def test_programs_are_not_heard(office: Office, more: dict[str, Any]) -> None:
    _, card = conversation(office, 1)
    await office.tells(message(office, card, "a") | more)
    assert office.rows() == []


async def test_the_loop_wakes_and_stops(office: Office) -> None:
    number, card = conversation(office, 1)
    task = asyncio.ensure_future(office.inbox.run())
    await office.tells(message(office, card, "a", user=office.cleo.id))
    async with asyncio.timeout(60):
        while not office.notes(number):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
