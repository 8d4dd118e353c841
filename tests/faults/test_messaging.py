"""F11 to F13 and F16 to F18 for every messaging channel: through the real edge, journal, router and sender.

One body for all channels; what differs between them stands in tests/messaginglines.py, in words of the provider's own
pages. Kills of real processes: test_messaging_killed.py.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crm_store import schema
from crm_store.db import Store
from hub.errors import Refused
from tests.messaginglines import Line, post, posts
from tests.messagingworld import ALL, LINES, MessagingWorld, messaging_world


@pytest.fixture
async def w(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str, valkey: str
) -> AsyncIterator[MessagingWorld]:
    """A world with the one channel that the test names, beside a company's forms."""
    store = Store.open(sqlite_url)
    async with messaging_world(tmp_path, store, valkey, request.param) as opened:
        yield opened
    store.close()


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("w", names or ALL, indirect=True)


def line(w: MessagingWorld) -> Line:
    (only,) = w.lines.values()
    return only


async def talk_of(w: MessagingWorld, who: str, text: str = "It is broken") -> int:
    """Somebody writes, and Cleo, who may have any number of conversations, takes it."""
    await line(w).says(who, text)
    await w.settle()
    return w.hub.cleo.takes_next()


def delivery(w: MessagingWorld, talk: int) -> tuple[str, int, str | None]:
    """State, tries and code of the newest reply."""
    found = [entry.delivery for entry in w.entries(talk) if entry.delivery is not None][-1]
    return found.state, found.attempts, found.code


async def balanced(w: MessagingWorld) -> None:
    ledger = await w.hub.ledger()
    assert (ledger.missing, ledger.on_the_way) == (0, 0)


# ------------------------------------------------------------------------------------------------ F11: too much at once


@each()
async def test_f11_an_account_that_is_told_to_wait_holds_up_no_other(w: MessagingWorld) -> None:
    channel = line(w)
    talks = [await talk_of(w, who) for who in ("Ann", "Bea")]
    await w.hub.form(id="1", **{"from": {"email": "cy@example.com"}}, text="It is broken")
    await w.settle()
    form = w.hub.cleo.takes_next()
    channel.throttles(60)
    for talk in (*talks, form):
        w.hub.cleo.replies(talk, f"re {talk}")
    await w.passes(seconds=11)
    assert w.hub.company.got == [f"re {form}"], "another account goes on"
    waiting = [talk for talk in talks if delivery(w, talk)[0] == "queued"]
    assert waiting
    assert [delivery(w, talk)[1] for talk in waiting] == [0] * len(waiting), "no try is counted"
    asked = channel.calls()
    await w.passes(seconds=30)
    assert channel.calls() == asked, "nobody is asked before the time that was said"
    await w.passes(seconds=35)
    assert [channel.got(who) for who in ("Ann", "Bea")] == [[f"re {talk}"] for talk in talks]
    assert w.states() == ["sent"] * 3


@each(*(name for name in ALL if LINES[name].throttles_one))
async def test_f11_one_person_who_gets_too_much_waits_alone(w: MessagingWorld) -> None:
    channel = line(w)
    talks = [await talk_of(w, who) for who in ("Ann", "Bea")]
    channel.throttles(60, to="Ann")
    for talk in talks:
        w.hub.cleo.replies(talk, f"re {talk}")
    await w.passes(seconds=11)
    assert [delivery(w, talk)[:2] for talk in talks] == [("queued", 0), ("sent", 1)]
    await w.passes(seconds=65)
    assert [channel.got(who) for who in ("Ann", "Bea")] == [[f"re {talk}"] for talk in talks]


# ------------------------------------------------------------------------------------------- F12: answers that are none

HOWS = ("error", "html", "cut", "lost", "truncated", "hang", "away")


@each()
async def test_f12_whatever_a_provider_answers_nothing_is_lost_in_silence_or_sent_twice(
    w: MessagingWorld,
) -> None:
    """500 in JSON, 503 as a page, a reset before and after the work, half an answer, none in time, nobody there."""
    channel, patient_s = line(w), w.hub.patience_s
    people = dict(zip(HOWS, ("Ann", "Bea", "Cy", "Dan", "Eve", "Fay", "Gus"), strict=True))
    talks = {how: await talk_of(w, who) for how, who in people.items()}
    account = w.hub.accounts[channel.account]
    for how, talk in talks.items():
        if how == "away":
            gone = {**account.settings, "api": "http://127.0.0.1:9"}
            w.hub.accounts[account.key] = replace(account, settings=gone)
        else:
            channel.breaks(how, people[how])
        w.hub.patience_s = 0.5 if how == "hang" else patient_s
        w.hub.cleo.replies(talk, f"re {how}")
        await w.passes(seconds=11)
        w.hub.accounts[account.key] = account
        if how in channel.doubts:
            assert delivery(w, talk)[0] in ("sent", "unknown"), how
        else:
            assert delivery(w, talk)[0] in ("queued", "sent"), how
        w.hub.patience_s = patient_s
    channel.mend()
    for minutes in (1, 30, 60):
        await w.passes(minutes=minutes)
    for how, who in people.items():
        state, got = delivery(w, talks[how])[0], channel.got(who)
        if how in channel.doubts and not (channel.asks or (channel.echoes and got)):
            assert state == "unknown", how
            assert got == ([] if how in ("cut", "html") else [f"re {how}"])
            told = [entry.delivery for entry in w.entries(talks[how]) if entry.delivery][-1]
            assert told.detail, "and the agent reads why"
        else:
            assert (state, got) == ("sent", [f"re {how}"]), how
    await balanced(w)


@each()
async def test_f12_who_is_in_doubt_decides_and_it_goes_out_once_more(w: MessagingWorld) -> None:
    channel = line(w)
    if channel.asks:
        channel.twilio.fail("messages.list", status=500, times=-1)  # type: ignore[attr-defined]
    talk = await talk_of(w, "Ann")
    channel.breaks("cut", "Ann")
    reply = w.hub.cleo.replies(talk, "re")
    await w.passes(seconds=11)
    await w.passes(hours=1)
    assert (delivery(w, talk)[0], channel.got("Ann")) == ("unknown", [])
    w.hub.desk.resolve_unknown(reply.delivery_id, "cleo", "again")
    channel.mend()
    await w.passes(seconds=11)
    assert (delivery(w, talk)[0], channel.got("Ann")) == ("sent", ["re"])


@each(*(name for name in ALL if LINES[name].asks))
async def test_f12_a_provider_that_cannot_be_asked_yet_is_asked_again(w: MessagingWorld) -> None:
    """What was in doubt through an outage is settled after it, and nobody had to decide."""
    channel = line(w)
    w.twilio.fail("messages.list", status=503, times=3)
    talk = await talk_of(w, "Ann")
    channel.breaks("lost", "Ann")
    w.hub.cleo.replies(talk, "re")
    await w.passes(seconds=11)
    seen = []
    for _ in range(6):
        await w.passes(seconds=40)
        seen.append(delivery(w, talk)[0])
    assert seen[0] == "unknown"
    assert (seen[-1], channel.got("Ann")) == ("sent", ["re"])


# ------------------------------------------------------------------------------------------------------ F13: opted out


@each()
async def test_f13_who_has_stopped_us_is_not_asked_again_until_they_start(w: MessagingWorld) -> None:
    channel = line(w)
    talk = await talk_of(w, "Ann")
    if channel.stops:
        channel.blocks("Ann")
        w.hub.cleo.replies(talk, "News?")
        await w.passes(seconds=11)
        assert delivery(w, talk)[::2] == ("opted_out", "opted_out")
    else:
        await w.says("Ann", channel.name, "STOP")
    asked = channel.calls()
    with pytest.raises(Refused, match=r"has (opted out of|blocked)"):
        w.hub.cleo.replies(talk, "But these news?")
    assert channel.calls() == asked
    assert channel.got("Ann") == []
    shown = " ".join(w.hub.desk.choices(talk).reasons)
    assert "they asked us not to write here" in shown or "they have blocked us" in shown
    assert w.hub.count(schema.consents, schema.consents.c.granted.is_(False)) == 1

    await channel.starts("Ann")
    await w.settle()
    w.hub.cleo.replies(talk, "Good to have you back")
    await w.passes(seconds=11)
    assert channel.got("Ann") == ["Good to have you back"]
    if channel.stops:
        told = next(one.delivery for one in w.entries(talk) if one.delivery is not None)
        assert told.detail, "the words that the provider has for it"


@each()
async def test_f13_stop_overtakes_what_waits_to_go_out(w: MessagingWorld) -> None:
    channel = line(w)
    talk = await talk_of(w, "Ann")
    w.hub.cleo.replies(talk, "News?")
    await w.says("Ann", channel.name, "STOP")
    await w.passes(seconds=11)
    assert (w.states(), channel.got("Ann"), channel.calls()) == (["opted_out"], [], 0)


# ----------------------------------------------------------------------------------------------- F16, F18: once is once


@each()
async def test_f16_f18_the_same_request_ten_times_and_a_day_and_a_week_later(w: MessagingWorld) -> None:
    channel = line(w)
    heard = await channel.says("Ann", "It is broken")
    assert await posts(heard.call, 10) == {200}
    await w.settle()
    talk = w.hub.cleo.takes_next()
    for hours in (25, 8 * 24):
        await w.passes(hours=hours)
        assert await posts(heard.call, 2) == {200}, "old, signed, and known"
        await w.settle()
        assert w.texts(talk) == ["It is broken"]
    assert w.hub.count(schema.conversations) == 1
    assert "conflict" not in w.events(talk)

    assert await post(channel.altered(heard.call, "broken", "mended")) == 200
    await w.settle()
    assert w.texts(talk) == ["It is broken"], "the first word counts"
    assert w.events(talk).count("conflict") == 1, "and the other is on record"
    ledger = await w.hub.ledger()
    assert ledger.stored + ledger.duplicates == ledger.journalled
    assert (ledger.missing, ledger.on_the_way, ledger.quarantined) == (0, 0, 0)


@each(*(name for name in ALL if LINES[name].reports))
async def test_f16_f18_an_old_report_says_nothing_new(w: MessagingWorld) -> None:
    channel = line(w)
    talk = await talk_of(w, "Ann")
    w.hub.cleo.replies(talk, "re")
    await w.passes(seconds=11)
    (sent,) = channel.ids("Ann")
    reports = [await channel.report(sent, status) for status in channel.reports]
    for call in reports:
        assert await posts(call, 5) == {200}
    await w.settle()
    assert w.states() == [channel.reports[-1]]
    history = w.hub.count(schema.delivery_events)
    await w.passes(hours=25)
    for call in reports:
        assert await post(call) == 200
    await w.settle()
    assert w.states() == [channel.reports[-1]]
    assert w.hub.count(schema.delivery_events) == history


# --------------------------------------------------------------------------------------------------------- F17: reorder


@each(*(name for name in ALL if LINES[name].reports))
async def test_f17_reports_in_every_order_only_move_forward(w: MessagingWorld) -> None:
    channel = line(w)
    talk = await talk_of(w, "Ann")
    orders = list(itertools.permutations(channel.reports))
    for number, _ in enumerate(orders):
        w.hub.cleo.replies(talk, f"re {number}")
    await w.passes(seconds=11)
    calls = [
        [await channel.report(sent, status) for status in order]
        for sent, order in zip(channel.ids("Ann"), orders, strict=True)
    ]
    for step in range(len(channel.reports)):
        for order in calls:
            assert await posts(order[step], 2) == {200}
        await w.settle()
    assert w.states() == [channel.reports[-1]] * len(orders)


@each(*(name for name in ALL if LINES[name].changes))
async def test_f17_what_became_of_a_message_may_come_before_it(w: MessagingWorld) -> None:
    """Every order of a message, its edit and a heart on it; and of one and its deletion. Nothing waits for ever."""
    channel = line(w)
    rows = [*itertools.permutations(("said", "edit", "react")), ("said", "delete"), ("delete", "said")]
    calls = []
    for number, row in enumerate(rows):
        heard = await channel.unsent("Ann", f"text {number}", deletes="delete" in row)
        made = {what: await channel.changed("Ann", what, heard) for what in sorted(row) if what != "said"}
        calls.append([heard.call if what == "said" else made[what] for what in row])
    for step in range(3):
        for order in calls:
            if step < len(order):
                assert await posts(order[step], 2) == {200}
        await w.settle()
    entries = w.entries(w.hub.cleo.takes_next())
    by_text = {entry.first_text or entry.text: entry for entry in entries}
    assert len(entries) == len(rows)
    for number, row in enumerate(rows):
        entry = by_text[f"text {number}"]
        if "delete" in row:
            assert entry.deleted, row
        else:
            assert (entry.text, entry.reactions) == ("changed", ("❤",)), row
    await balanced(w)


@each()
async def test_f17_a_report_that_overtakes_our_own_commit_is_kept_for_it(w: MessagingWorld) -> None:
    channel = line(w)
    if channel.asks:
        w.twilio.reports.auto, w.twilio.reports.early = channel.reports, True
    w.graph.reports.after, w.graph.reports.early, w.graph.reports.doubled = channel.reports, True, True
    talk = await talk_of(w, "Ann")
    w.hub.cleo.replies(talk, "re")
    await w.passes(seconds=11)
    assert w.states() == [channel.reports[-1] if channel.reports else "sent"]
