"""The poster against a strict local Slack: everything the store says stands there once, in order, whatever fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from crm_store import desk_posts, desk_threads, outbox, outcomes, pauses, sources
from crm_store.db import Store
from desk.slack import names
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from hub import configfiles
from router.rules import compile_rules
from tests.databases import on_postgresql, on_sqlite
from tests.desk import room as rooms
from tests.desk.room import Room
from tests.servers.slack import Slack
from workers.post import Poster, Tuning
from workers.slack_rates import SlackRates
from workers.slack_repair import Repaired, repair

QUEUES = """
slack: {ops: "#hub-ops"}
priorities: {urgent: 1h, high: 10m, normal: 0s, low: -30m}
queues:
  general: {title: General, slack: "#general"}
  support: {title: Support, slack: "#support"}
  billing: {title: Billing, slack: "#billing"}
"""
AGENTS = """
agents:
  bo: {{name: Bo Lindqvist, queues: [general, support, billing], slack: {bo}}}
  cleo: {{name: Cleo Adeyemi, role: lead, queues: [general, billing], limit: 8}}
"""
ANN, BEN = "webchat:ann0123456789", "webchat:ben0123456789"
QUICK = Tuning(poll_s=0.05, gather_s=0.0, leads_s=0.0, probe_s=0.05, first_s=0.01, longest_s=0.05)
PACE = 0.002


class Office:
    """A room whose conversations stand in Slack; `poster()` makes one more poster."""

    def __init__(self, room: Room, slack: Slack, session: aiohttp.ClientSession) -> None:
        self.room, self.slack, self.store = room, slack, room.store
        self.general, self.support = slack.channel("general"), slack.channel("support")
        self.billing, self.ops = slack.channel("billing"), slack.channel("hub-ops")
        self.bo = slack.user("Bo")
        self.configure(QUEUES)
        client = AsyncWebClient(
            token=slack.bot_token, base_url=slack.api, session=session, timeout=30, retry_handlers=[]
        )
        self.desk = SlackDesk(
            store=room.store,
            actions=room.actions,
            config=lambda: self.room.config,
            rules=lambda: self.room.rules,
            limits=rooms.LIMITS,
            client=client,
            blobs=room.blobs,
            desk_url="https://desk.example",
            replay=lambda entry, by: "",
            clock=lambda: self.room.now,
        )
        self.directory = Directory(self.desk)

    def configure(self, queues: str) -> None:
        agents = AGENTS.format(bo=self.bo.id)
        self.room.config = configfiles.load({**rooms.FILES, "queues.yaml": queues, "agents.yaml": agents})
        self.room.rules = compile_rules(self.room.config)

    def poster(self, **more: Any) -> Poster:
        given: dict[str, Any] = {"rates": SlackRates(pace=PACE), "tuning": QUICK, **more}
        return Poster(self.desk, self.directory, **given)

    # -------------------------------------------------------------------------------------------- what happens

    def writes(self, text: str = "hello", urn: str = ANN, **more: Any) -> int:
        """The conversation's id."""
        self.room.later(seconds=1)
        return self.room.id_of(self.room.writes(urn, text, name=more.pop("name", "Ann Weber"), **more))

    def replies(self, conversation: int, text: str = "hi") -> int:
        self.room.later(seconds=1)
        card = self.look(desk_view, conversation)
        result = self.room.actions.reply(
            conversation, "bo", text, seen_inbound=card.last_inbound_id, idem_key=f"{text}{self.room.now}"
        )
        return int(result.delivery_id)

    def sends(self, *, state: str = "sent", code: str | None = None) -> None:
        """As the sender does, for whatever is due."""
        self.room.later(seconds=60)
        now, accounts = self.room.now, dict.fromkeys(self.room.config.accounts, 10)

        def work(tx: Any) -> None:
            lease = timedelta(seconds=60)
            claimed = outbox.claim(tx, accounts, owner="w", now=now, lease=lease)
            outbox.begin(tx, [c.id for c in claimed], owner="w", now=now, lease=lease)
            done = [
                outcomes.Outcome(
                    delivery=c, state=state, at=now, code=code, sent_ids=() if code else (f"x{c.id}",)
                )
                for c in claimed
            ]
            outcomes.finish(tx, self.store.ids, done, owner="w", now=now)

        self.store.run(work)

    # ------------------------------------------------------------------------------------------- what stands there

    def look(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self.store.read() as tx:
            return work(tx, *arguments)

    def cards(self, channel: str) -> list[dict[str, Any]]:
        return self.slack.messages(channel)

    def said(self, channel: str) -> list[str]:
        return [says(message) for message in self.cards(channel)]

    def thread(self, channel: str, number: int = -1) -> list[str]:
        """What hangs below a card."""
        ts = self.cards(channel)[number]["ts"]
        return [says(m) for m in self.slack.messages(channel, ts) if m["ts"] != ts]

    def living(self, conversation: int) -> desk_threads.Thread:
        found: desk_threads.Thread = self.look(desk_threads.living, names.SURFACE, conversation)
        return found

    def everything(self) -> list[dict[str, Any]]:
        return [
            m
            for channel in (self.general, self.support, self.billing, self.ops)
            for card in self.slack.messages(channel)
            for m in (card, *self.slack.messages(channel, card["ts"]))
        ]

    def uuids(self) -> list[str]:
        return [m["metadata"]["event_payload"]["uuid"] for m in self.everything() if "metadata" in m]

    def once_each(self) -> None:
        """Nothing stands there twice, and nothing is left to post."""
        assert len(set(self.uuids())) == len(self.uuids())
        assert self.look(desk_posts.places, names.SURFACE) == {}
        assert self.look(desk_threads.behind, names.SURFACE) == []


def desk_view(tx: Any, conversation: int) -> Any:
    from crm_store import views

    return views.card(tx, conversation)


def says(message: dict[str, Any]) -> str:
    """Every text of a message."""
    found: list[str] = []

    def walk(one: Any) -> None:
        if isinstance(one, dict):
            found.extend(v for k, v in one.items() if k == "text" and isinstance(v, str))
            for value in one.values():
                walk(value)
        elif isinstance(one, list):
            for value in one:
                walk(value)

    walk(message.get("blocks") or [])
    return "\n".join(found) or str(message.get("text"))


@asynccontextmanager
async def office_on(store: Store, folder: Path) -> AsyncIterator[Office]:
    room = Room(store, folder)
    async with Slack.start() as slack, aiohttp.ClientSession() as session:
        office = Office(room, slack, session)
        await office.directory.refresh()
        yield office


@pytest.fixture
async def office(store: Store, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_on(store, tmp_path / "blobs") as made:
        yield made


@pytest.fixture
async def small(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    """For what no database decides."""
    store = Store.open(sqlite_url)
    async with office_on(store, tmp_path / "blobs") as made:
        yield made
    store.close()


# ------------------------------------------------------------------------------------------------------ the good way


async def test_a_card_a_claim_a_message_a_reply_and_its_receipt(office: Office) -> None:
    poster = office.poster()
    ann = office.writes("my invoice is wrong")
    await poster.once()
    (card,) = office.cards(office.billing)
    assert "my invoice is wrong" in says(card)
    assert "Claim" in says(card)
    assert office.living(ann).thread == card["ts"]
    office.room.actions.claim(ann, "bo")
    office.writes("are you there?")
    await poster.once()
    (card,) = office.cards(office.billing)
    assert "Bo Lindqvist" in says(card)
    (message,) = office.thread(office.billing)
    assert "are you there?" in message
    assert f"<@{office.bo.id}>" in message
    office.replies(ann, "yes, one moment")
    await poster.once()
    assert "Undo" in office.thread(office.billing)[1]
    office.sends()
    await poster.once()
    receipt = office.thread(office.billing)[1]
    assert "yes, one moment" in receipt
    assert "Undo" not in receipt
    assert len(office.thread(office.billing)) == 2
    office.once_each()


async def test_nothing_changed_means_no_call(small: Office) -> None:
    poster = small.poster()
    small.writes()
    await poster.once()
    calls = len(small.slack.calls)
    await poster.once()
    await small.poster().once()
    assert len(small.slack.calls) == calls


async def test_posts_make_no_mentions_links_or_previews(small: Office) -> None:
    small.writes("<!channel> <!here> <@U123> <https://evil.example|bank.example> *x*")
    await small.poster().once()
    (call,) = small.slack.called("chat.postMessage")
    assert str(call.args["link_names"]).lower() in ("false", "0")
    assert str(call.args["unfurl_links"]).lower() in ("false", "0")
    assert call.args["parse"] == "none"
    assert "<!channel>" not in small.cards(small.general)[0]["text"]


async def test_a_burst_is_announced_once_and_posted_whole(small: Office) -> None:
    poster = small.poster()
    ann = small.writes()
    small.room.actions.claim(ann, "bo")
    await poster.once()
    for number in range(5):
        small.writes(f"line {number}")
        await poster.once()
    small.room.later(seconds=61)
    small.writes("later")
    await poster.once()
    thread = small.thread(small.general)
    assert [f"line {n}" in thread[n] for n in range(5)] == [True] * 5
    mention = f"<@{small.bo.id}>"
    assert [mention in message for message in thread] == [True, False, False, False, False, True]


@on_postgresql
async def test_transferred_a_tombstone_here_and_a_new_card_there(office: Office) -> None:
    poster = office.poster()
    ann = office.writes()
    await poster.once()
    office.room.actions.claim(ann, "bo")
    office.room.actions.transfer(ann, "bo", "support", "yours")
    await poster.once()
    (old,) = office.said(office.general)
    (new,) = office.said(office.support)
    assert f"<#{office.support}>" in old
    assert "Claim" not in old
    assert "hello" in new
    assert "Claim" in new
    office.once_each()


@on_sqlite
async def test_snoozed_is_small_and_wakes_with_a_fresh_card(office: Office) -> None:
    from crm_store import conversations

    poster = office.poster()
    ann = office.writes()
    await poster.once()
    office.room.actions.claim(ann, "bo")
    office.room.actions.snooze(ann, "bo", until=office.room.now + timedelta(hours=1))
    await poster.once()
    assert "Snoozed" in office.said(office.general)[0]
    office.room.later(hours=2)
    office.store.run(lambda tx: conversations.wake(tx, office.store.ids, office.room.now))
    await poster.once()
    old, new = office.said(office.general)
    assert "Woke up" in old
    assert "hello" in new
    office.once_each()


@on_postgresql
async def test_closed_is_settled_and_reopened_stands_anew(office: Office) -> None:
    poster = office.poster()
    ann = office.writes()
    await poster.once()
    office.room.actions.claim(ann, "bo")
    office.room.actions.close(ann, "bo")
    await poster.once()
    assert "Closed" in office.said(office.general)[0]
    assert office.living(ann).settled
    office.room.later(seconds=1)
    office.room.actions.note(ann, "bo", "for the record")
    await poster.once()
    assert "for the record" in office.thread(office.general)[0]
    assert office.living(ann).settled
    office.room.later(seconds=1)
    office.room.actions.reopen(ann, "bo")
    await poster.once()
    assert len(office.cards(office.general)) == 2
    office.once_each()


@on_sqlite
async def test_a_receipt_of_a_closed_one_still_comes(office: Office) -> None:
    poster = office.poster()
    ann = office.writes()
    office.room.actions.claim(ann, "bo")
    await poster.once()
    office.replies(ann)
    office.room.actions.close(ann, "bo")
    await poster.once()
    assert office.living(ann).settled
    office.sends(state="failed", code="rejected")
    await poster.once()
    thread = office.thread(office.general)
    assert "Not sent" in thread[0]
    assert "Retry" in thread[0]
    assert f"<@{office.bo.id}>" in thread[1], "a receipt that is redrawn tells nobody"
    assert any("Not sent" in notice for notice in office.said(office.ops))
    await poster.once()
    assert len(office.thread(office.general)) == 2


async def test_what_was_typed_in_the_thread_is_not_said_again(small: Office) -> None:
    poster = small.poster()
    ann = small.writes()
    await poster.once()
    thread = small.living(ann)
    ts = await small.bo.types(small.general, "she called before", thread=thread.thread)
    note = small.room.actions.note(ann, "bo", "she called before")
    small.store.run(
        lambda tx: desk_posts.typed(
            tx,
            small.store.ids,
            thread_id=thread.id,
            surface=names.SURFACE,
            place=small.general,
            posted=ts,
            now=small.room.now,
            interaction_id=note,
        )
    )
    await poster.once()
    assert len(small.thread(small.general)) == 1


async def test_a_note_that_was_removed_loses_its_words(small: Office) -> None:
    poster = small.poster()
    ann = small.writes()
    note = small.room.actions.note(ann, "bo", "her card ends in 4242")
    await poster.once()
    assert "4242" in small.thread(small.general)[0]
    small.room.later(seconds=1)
    small.room.actions.remove_note(note, "bo")
    await poster.once()
    (left,) = small.thread(small.general)
    assert "removed" in left
    assert "4242" not in left


async def test_a_process_that_starts_while_the_token_is_refused_waits_for_it(small: Office) -> None:
    small.writes()
    small.slack.revoke()
    await small.poster().once()
    second = small.poster()
    await second._begin()
    await second.once()
    assert len(small.slack.called("chat.postMessage")) == 1
    small.slack.mend()
    await second.standing.probe()
    await second.once()
    assert len(small.cards(small.general)) == 1


async def test_a_customers_file_goes_up_once(small: Office) -> None:
    poster = small.poster()
    small.writes("see here", files=(("note.txt", "text/plain", b"the bytes"),))
    await poster.once()
    thread = small.slack.messages(small.general, small.cards(small.general)[0]["ts"])[1:]
    (shared,) = [m for m in thread if m.get("files")]
    assert small.slack.file(shared["files"][0]["id"]).content == b"the bytes"
    assert shared["files"][0]["name"] == "note.txt"
    small.once_each()


@pytest.mark.parametrize("what", ["cut", "lost", 503, "internal_error"])
async def test_a_files_last_step_fails(small: Office, what: Any) -> None:
    poster = small.poster()
    small.writes("see here", files=(("note.txt", "text/plain", b"the bytes"),))
    small.slack.fail("files.completeUploadExternal", what)
    await until_done(small, poster)
    shared = [m for m in small.everything() if m.get("files")]
    assert len(shared) == 1


# --------------------------------------------------------------------------------------------------------- failures


async def until_done(office: Office, poster: Poster, tries: int = 50) -> None:
    """Looks until nothing is left, as `run` would; whatever rests for a moment is waited for."""
    for _ in range(tries):
        await poster.once()
        if not office.look(desk_posts.places, names.SURFACE) and not office.look(
            desk_threads.behind, names.SURFACE
        ):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not done: {office.look(desk_posts.places, names.SURFACE)} {poster.counts}")


@pytest.mark.parametrize("what", ["cut", "lost", 503, "ratelimited", "internal_error", "fatal_error"])
async def test_a_post_that_fails_stands_there_once_all_the_same(small: Office, what: Any) -> None:
    """ "lost" is done by Slack and never answered: the next try finds it by its uuid."""
    poster = small.poster()
    ann = small.writes()
    small.room.actions.claim(ann, "bo")
    small.slack.fail("chat.postMessage", what)
    await until_done(small, poster)
    for number in range(3):
        small.writes(f"line {number}")
    small.slack.fail("chat.postMessage", what, times=2)
    await until_done(small, poster)
    assert len(small.cards(small.general)) == 1
    assert [f"line {n}" in m for n, m in enumerate(small.thread(small.general))] == [True] * 3
    small.once_each()


@pytest.mark.parametrize("what", ["cut", "lost", 503, "ratelimited"])
async def test_a_redraw_that_fails_is_done_later(small: Office, what: Any) -> None:
    poster = small.poster()
    ann = small.writes()
    await poster.once()
    small.room.actions.claim(ann, "bo")
    small.slack.fail("chat.update", what)
    await until_done(small, poster)
    assert "Bo Lindqvist" in small.said(small.general)[0]


async def test_a_poster_that_died_after_posting_posted_once(office: Office) -> None:
    """Its row is leased, the message stands there, nothing was noted."""
    ann = office.writes()
    first = office.poster()

    async def dies(*_: Any) -> None:
        raise asyncio.CancelledError

    first._putter._note = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await first.once()
    assert len(office.cards(office.general)) == 1
    second = office.poster()
    await second.once()
    assert office.living(ann).thread is None, "the lease stands"
    office.room.later(seconds=61)
    await second.once()
    assert len(office.cards(office.general)) == 1
    assert office.living(ann).thread == office.cards(office.general)[0]["ts"]
    assert second.counts["posted"] == 1
    office.once_each()


async def test_of_two_who_posted_one_the_later_takes_its_own_back(small: Office) -> None:
    """One slept beyond its lease with the request on its way."""
    ann = small.writes()
    sleeper, other = small.poster(), small.poster()
    noted = sleeper._putter._note

    async def sleeps(*arguments: Any) -> None:
        small.room.later(seconds=61)
        find = other._putter._find

        async def blind(*_: Any) -> None:
            return None

        other._putter._find = blind  # type: ignore[method-assign, assignment]
        await other.once()
        other._putter._find = find  # type: ignore[method-assign]
        await noted(*arguments)

    sleeper._putter._note = sleeps  # type: ignore[method-assign, assignment]
    await sleeper.once()
    assert len(small.slack.called("chat.delete")) == 1
    assert [m["ts"] for m in small.cards(small.general)] == [small.living(ann).thread]


async def test_several_posters_at_once_post_everything_once_in_order(office: Office) -> None:
    posters = [office.poster(tuning=replace(QUICK, poll_s=0.3)) for _ in range(3)]
    people = [f"webchat:person{number:06d}" for number in range(6)]
    for urn in people:
        office.writes("first", urn, name=urn)
    running = [asyncio.create_task(poster.run()) for poster in posters]
    for number in range(4):
        for urn in people:
            office.writes(f"line {number}", urn, name=urn)
        await asyncio.sleep(0.05)
    try:
        async with asyncio.timeout(60):
            while (
                len(office.everything()) < 5 * len(people)  # what nobody has planned yet is not behind either
                or office.look(desk_posts.places, names.SURFACE)
                or office.look(desk_threads.behind, names.SURFACE)
            ):
                await asyncio.sleep(0.05)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert len(office.cards(office.general)) == len(people)
    for number in range(len(people)):
        thread = office.thread(office.general, number)
        assert [f"line {n}" in m for n, m in enumerate(thread)] == [True] * 4, thread
    office.once_each()


@pytest.mark.parametrize("error", ["is_archived", "not_in_channel", "channel_not_found"])
async def test_a_channel_that_takes_nothing_falls_back_to_ops_and_comes_back(
    small: Office, error: str
) -> None:
    poster = small.poster()
    ann = small.writes()
    await poster.once()
    ben = small.writes("and I", BEN, name="Ben")
    break_(small, error)
    await until_done(small, poster)
    assert small.living(ann).place == small.ops
    assert small.living(ben).place == small.ops
    notices = [said for said in small.said(small.ops) if "Nothing can be posted" in said]
    assert len(notices) == 1
    mend(small, error)
    await poster.standing.probe()
    await until_done(small, poster)
    assert small.living(ann).place == small.general
    assert small.living(ben).place == small.general
    assert not small.look(pauses.paused, small.room.now)
    again = [said for said in small.said(small.ops) if "takes posts again" in said]
    assert len(again) == 1
    small.once_each()


async def test_a_mailbox_that_is_not_read_is_told_once_and_once_when_it_is_read_again(small: Office) -> None:
    poster, room = small.poster(), small.room
    broken = "the server refuses the login: [AUTHENTICATIONFAILED]"

    def told() -> list[str]:
        return [said for said in small.said(small.ops) if "read" in said]

    async def goes(why: str, minutes: int) -> None:
        """It is looked at every minute, and so is what the leads should know."""
        for _ in range(minutes):
            small.store.run(lambda tx: sources.note(tx, "mail/support", room.now, why, None))
            await until_done(small, poster)
            room.later(minutes=1)

    await goes("", 2)
    await goes("the connection broke: EOF", 1)
    await goes("", 2)
    assert told() == [], "what is over at once is no news"
    await goes(broken, 12)
    (notice,) = told()
    assert "Support mailbox" in notice
    assert "not read" in notice
    assert "AUTHENTICATIONFAILED" in notice
    await goes("the server does not answer: timed out", 3)
    assert len(told()) == 1, "it still is not"
    await goes("", 3)
    assert len(told()) == 2
    assert "is read again, after 1" in told()[1]
    await goes("", 3)
    await goes(broken, 7)
    assert len(told()) == 3, "and another time"
    small.once_each()


def break_(office: Office, error: str) -> None:
    if error == "is_archived":
        office.slack.archive(office.general)
    elif error == "not_in_channel":
        office.slack.kick(office.general)
    else:
        office.slack.channels[office.general].private = True
        office.slack.kick(office.general)


def mend(office: Office, error: str) -> None:
    channel = office.slack.channels[office.general]
    if error == "is_archived":
        office.slack.unarchive(office.general)
        channel.archived = False
    if office.slack.bot_user_id not in channel.members:
        channel.members.append(office.slack.bot_user_id)


@on_postgresql
async def test_a_revoked_token_loses_nothing(office: Office) -> None:
    poster = office.poster()
    ann = office.writes()
    await poster.once()
    office.slack.revoke("account_inactive")
    office.writes("still there?")
    office.writes("I too", BEN, name="Ben")
    await poster.once()
    assert "slack" in office.look(pauses.paused, office.room.now)
    calls = len(office.slack.calls)
    await poster.once()
    assert len(office.slack.calls) == calls, "nothing is tried meanwhile"
    await poster.standing.probe()
    office.slack.mend()
    await poster.standing.probe()
    await until_done(office, poster)
    assert not office.look(pauses.paused, office.room.now)
    assert len(office.cards(office.general)) == 2
    assert "still there?" in office.thread(office.general, 0)[0]
    assert office.living(ann).place == office.general
    office.once_each()


@on_sqlite
@pytest.mark.timeout(60)  # a loop that never rests lets no other time limit fire
async def test_a_card_that_waits_to_be_redrawn_does_not_stop_the_process_while_the_token_is_refused(
    office: Office,
) -> None:
    poster = office.poster()
    ann = office.writes()
    running = asyncio.create_task(poster.run())
    try:
        await office.slack.until(lambda: office.cards(office.general))
        office.slack.revoke()
        office.room.actions.claim(ann, "bo")
        await office.slack.until(lambda: office.slack.calls[-1].error == "token_revoked")
        await asyncio.sleep(0.1)
        office.slack.mend()
        await office.slack.until(lambda: "Bo" in office.said(office.general)[0])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_slack_is_down_for_a_while_and_then_everything_comes_in_order(small: Office) -> None:
    """F25."""
    poster = small.poster()
    small.slack.fail("*", 503, times=-1)
    small.writes("first")
    for number in range(4):
        small.writes(f"line {number}")
        await poster.once()
    assert small.everything() == []
    small.slack.mend()
    await until_done(small, poster)
    assert [f"line {n}" in m for n, m in enumerate(small.thread(small.general))] == [True] * 4
    small.once_each()


async def test_what_slack_does_not_take_is_said_plainly_and_holds_up_nothing(small: Office) -> None:
    poster = small.poster()
    small.slack.fail("chat.postMessage", "invalid_blocks")
    small.writes()
    small.writes("more")
    await poster.once()
    assert "web desk" in small.said(small.general)[0]
    assert "more" in small.thread(small.general)[0]


async def test_a_card_that_somebody_deleted_stands_up_again(small: Office) -> None:
    poster = small.poster()
    ann = small.writes()
    await poster.once()
    channel = small.slack.channels[small.general]
    small.slack.remove(channel, small.cards(small.general)[0]["ts"])
    small.room.actions.claim(ann, "bo")
    await until_done(small, poster)
    (card,) = small.cards(small.general)
    assert "Bo Lindqvist" in says(card)
    small.slack.remove(channel, card["ts"])
    small.writes("hello again")
    await until_done(small, poster)
    assert "hello again" in small.thread(small.general)[0]


# ------------------------------------------------------------------------------------------------ configuration


async def test_another_channel_for_a_queue_moves_its_cards(small: Office) -> None:
    poster = small.poster()
    small.writes()
    await poster.once()
    elsewhere = small.slack.channel("elsewhere")
    small.configure(QUEUES.replace("#general", "#elsewhere"))
    small.directory.forget()
    await poster.once()
    assert len(small.cards(small.general)) == 1, "not known yet: nothing moves"
    await small.directory.refresh()
    await poster.once()
    assert "Moved" in small.said(small.general)[0]
    assert len(small.cards(elsewhere)) == 1
    small.configure(QUEUES.replace(', slack: "#general"', ""))
    await poster.once()
    assert "Moved" in small.said(elsewhere)[0]
    small.once_each()


async def test_a_backlog_that_was_never_in_slack_comes_with_what_is_unanswered(small: Office) -> None:
    small.configure(QUEUES.replace(', slack: "#general"', ""))
    ann = small.writes("one")
    small.room.actions.claim(ann, "bo")
    small.replies(ann, "two")
    small.sends()
    small.writes("three")
    small.writes("four")
    poster = small.poster()
    await poster.once()
    assert small.everything() == []
    small.configure(QUEUES)
    await small.directory.refresh()
    await poster.once()
    assert "three" in small.said(small.general)[0]
    (below,) = small.thread(small.general)
    assert "four" in below


# ------------------------------------------------------------------------------------------------------- repair


@on_postgresql
async def test_repair_draws_what_is_missing_and_nothing_else(office: Office) -> None:
    poster = office.poster()
    ann, ben = office.writes(), office.writes("and I", BEN, name="Ben")
    for number in range(3):
        office.writes(f"line {number}")
    await poster.once()
    rates = SlackRates(pace=PACE)
    calls = len(office.slack.called("chat.postMessage"))
    assert await repair(office.desk, rates=rates) == Repaired(threads=2, cards=0, posts=0, unread={})
    channel = office.slack.channels[office.general]
    below = office.slack.messages(office.general, office.living(ann).thread)
    office.slack.remove(channel, below[2]["ts"])
    office.slack.remove(channel, str(office.living(ben).thread))
    missing = Repaired(threads=2, cards=1, posts=1, unread={})
    assert await repair(office.desk, dry=True, rates=rates) == missing
    await poster.once()
    assert len(office.slack.called("chat.postMessage")) == calls, "dry, it changes nothing"
    assert await repair(office.desk, rates=rates) == missing
    await until_done(office, poster)
    assert len(office.slack.called("chat.postMessage")) == calls + 2
    assert "and I" in office.said(office.general)[-1]
    assert sum("line 1" in said for said in office.thread(office.general, 0)) == 1
    assert (await repair(office.desk, rates=rates)).cards == 0
    office.once_each()


async def test_repair_says_which_channel_it_could_not_read(small: Office) -> None:
    small.writes()
    await small.poster().once()
    small.slack.kick(small.general)
    found = await repair(small.desk, rates=SlackRates(pace=PACE))
    assert found.unread == {small.general: "not_in_channel"}
