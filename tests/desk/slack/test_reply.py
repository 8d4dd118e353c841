"""Replies written in Slack's modal: one each, whatever is pressed how often; and the buttons below them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from desk.slack import enclosing, files, modals, names, press
from hub.errors import Unavailable
from hub.model import ConsentChanged
from tests.desk.room import PNG
from tests.desk.slack.pressing import ANN, ANN_TEL, Pressing, shown
from tests.waiting import eventually


async def opened(world: Pressing, talk: int, who: str = "bo") -> Any:
    """Reply was pressed; the person whose modal is open."""
    person = getattr(world, who)
    await person.clicks(world.channel, await world.card(talk), names.REPLY)
    return person


async def test_a_reply_is_in_the_store_before_the_modal_closes(world: Pressing) -> None:
    talk = world.conversation("where is my order?")
    bo = await opened(world, talk)
    view = bo.views[-1]
    assert "where is my order?" in shown(view.blocks)
    assert world.row(talk).assignee == "bo", "answering what nobody has is claiming it"
    assert await bo.submits({names.TEXT: "On its way :rocket: at 10:30:45", names.THEN: "wait"}) is None
    [sent] = world.replies(talk)
    assert sent.text == "On its way 🚀 at 10:30:45"
    assert (sent.delivery.state, sent.delivery.to_urn, sent.sender_name) == ("held", ANN, "Bo Lindqvist")
    assert world.row(talk).state == "pending"
    assert bo.views == []


async def test_two_agents_answer_at_once_and_one_does(world: Pressing) -> None:
    talk = world.conversation()
    ts = await world.card(talk)
    await asyncio.gather(
        world.bo.clicks(world.channel, ts, names.REPLY), world.eva.clicks(world.channel, ts, names.REPLY)
    )
    has = world.row(talk).assignee
    winner, loser = (world.bo, world.eva) if has == "bo" else (world.eva, world.bo)
    assert (len(winner.views), loser.views) == (1, [])
    told = loser.ephemerals[-1]["text"]  # by who looked before the other had it, or after
    assert "was faster" in told or "is with" in told


async def test_whoever_lost_it_while_writing_keeps_the_text(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    world.actions.release(talk, "bo")
    world.actions.claim(talk, "eva")
    answer = await bo.submits({names.TEXT: "hello"})
    assert answer["response_action"] == "errors"
    assert "is with Eva Marsh" in answer["errors"][names.TEXT]
    assert world.replies(talk) == []
    world.actions.release(talk, "eva")  # an idle claim goes back
    assert await bo.presses_submit() is None
    assert world.row(talk).assignee == "bo"
    assert [one.text for one in world.replies(talk)] == ["hello"]


async def test_a_double_submit_is_one_reply(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    values = {names.TEXT: "hello", names.THEN: "close"}
    for change in values.items():
        view = bo.views[-1]
        view.values.setdefault(change[0], {})
    first, second = bo.submits(values), bo.submits(values)
    await asyncio.gather(first, second)
    assert [one.text for one in world.replies(talk)] == ["hello"]
    assert world.row(talk).state == "closed"


async def test_a_submit_after_a_time_out_is_the_same_reply(
    world: Pressing, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    held = threading.Event()
    written = world.actions.reply
    world.actions.reply = lambda *args, **more: (held.wait(60), written(*args, **more))[1]
    with monkeypatch.context() as patch:
        patch.setattr(press, "DEADLINE_S", 0.3)
        answer = await bo.submits({names.TEXT: "hello"})
    assert answer["errors"] == {names.TEXT: press.NOT_SAVED}
    held.set()
    await eventually(lambda: world.replies(talk))
    answer = await bo.submits({names.TEXT: "hello there"})
    assert "first press was saved after all" in answer["errors"][names.TEXT], "no text is lost in silence"
    assert await bo.submits({names.TEXT: "hello"}) is None
    assert [one.text for one in world.replies(talk)] == ["hello"]


async def test_after_undoing_what_was_saved_late_the_modal_sends_anew(
    world: Pressing, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    meta = press.about(bo.views[-1].shown)
    late = world.actions.reply(talk, "bo", "first", idem_key=f"slack:{meta.key}")
    world.actions.undo(late.delivery_id, "bo")
    assert await bo.submits({names.TEXT: "second"}) is None
    assert [(one.text, one.delivery.state) for one in world.replies(talk)] == [
        ("first", "cancelled"),
        ("second", "held"),
    ]


async def test_the_store_away_keeps_the_modal(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    written = world.actions.reply
    world.actions.reply = lambda *_, **__: (_ for _ in ()).throw(
        Unavailable("the database does not answer: x")
    )
    answer = await bo.submits({names.TEXT: "hello"})
    assert answer["errors"] == {names.TEXT: press.NOT_SAVED}
    world.actions.reply = written
    assert await bo.presses_submit() is None
    assert len(world.replies(talk)) == 1


async def test_held_because_the_customer_wrote_while_the_modal_was_open(world: Pressing) -> None:
    talk = world.conversation("where is it?")
    bo = await opened(world, talk)
    assert world.conversation("forget it, it came") == talk
    answer = await bo.submits({names.TEXT: "I am looking"})
    assert answer["response_action"] == "update"
    assert "forget it, it came" in shown(bo.views[-1].blocks)
    [sent] = world.replies(talk)
    assert sent.delivery.asks
    await bo.clicks_modal(names.CONFIRM)
    await world.settles()
    [sent] = world.replies(talk)
    assert (sent.delivery.state, sent.delivery.asks) == ("queued", False)
    assert "goes out now" in shown(bo.views[-1].blocks)


async def test_taking_a_held_reply_back_brings_its_text_back(world: Pressing) -> None:
    talk = world.conversation("where is it?")
    bo = await opened(world, talk)
    world.conversation("forget it, it came")
    await bo.submits({names.TEXT: "I am looking"})
    await bo.clicks_modal(names.UNDO)
    await world.settles()
    [view] = bo.views
    assert view.shown["callback_id"] == names.REPLY_VIEW
    assert text_in(view) == "I am looking"
    assert "forget it, it came" in shown(view.blocks)
    assert await bo.submits({names.TEXT: "Glad to hear!"}) is None
    assert [one.delivery.state for one in world.replies(talk)] == ["cancelled", "held"]
    assert not world.replies(talk)[-1].delivery.asks, "this time it was seen"


async def test_the_channel_is_preset_with_its_reason_and_can_be_chosen(world: Pressing) -> None:
    talk = world.conversation()
    world.conversation("this is me too", ANN_TEL, account="sms/main")
    merge(world, talk, ANN_TEL)
    bo = await opened(world, talk)
    by = element(bo.views[-1], names.CHANNEL)
    assert by["initial_option"]["value"] == f"webchat/main|{ANN}"
    assert await bo.submits({names.TEXT: "by text", names.CHANNEL: f"sms/main|{ANN_TEL}"}) is None
    [sent] = world.replies(talk)
    assert (sent.delivery.account, sent.delivery.to_urn) == ("sms/main", ANN_TEL)


async def test_who_opted_out_meanwhile_is_not_written_to(world: Pressing) -> None:
    from crm_store import consents

    talk = world.conversation("hi", ANN_TEL, account="sms/main")
    bo = await opened(world, talk)
    stop = ConsentChanged(
        account="sms/main", event_key="s1", received_at=world.room.now, urn=ANN_TEL, granted=False
    )
    store = world.room.store
    store.run(lambda tx: consents.apply(tx, store.ids, [stop], lambda _: "main", "customer", world.room.now))
    answer = await bo.submits({names.TEXT: "hello"})
    assert "opted out" in answer["errors"][names.TEXT]


async def test_the_count_lives_while_one_types(world: Pressing) -> None:
    talk = world.conversation("hi", ANN_TEL, account="sms/main")
    bo = await opened(world, talk)
    await bo.enters(names.TEXT, "x" * 161)
    await world.settles()
    assert "2" in count(bo.views[-1])
    await bo.enters(names.TEXT, "Grüße 🎉")
    await world.settles()
    assert "70" in count(bo.views[-1]), "an emoji halves what a message holds"
    await bo.clicks_modal(names.THEN, "close")
    await world.settles()
    assert element(bo.views[-1], names.DISPOSITION)
    assert await bo.submits({names.TEXT: "done", "ended": "solved"}) is None
    assert (world.row(talk).state, world.row(talk).disposition) == ("closed", "solved")


async def test_one_redraws_when_the_writer_pauses(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    for number in range(1, 8):
        await bo.enters(names.TEXT, "x" * number)
    await world.settles()
    assert len(world.slack.called("views.update")) == 1
    assert "7 of" in count(bo.views[-1])


async def test_ready_made_replies_are_searched_and_put_below_what_stands_there(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    assert [one["value"] for one in await bo.searches(names.CANNED, "look")] == ["hello"]
    assert await bo.searches(names.CANNED, "refund") == [], "it is another queue's"
    assert {one["value"] for one in await bo.searches(names.CANNED, "")} == {"hello", "more"}
    await bo.enters(names.TEXT, "Dear Ann,")
    await bo.clicks_modal(names.CANNED, "hello")
    await world.settles()
    assert text_in(bo.views[-1]) == "Dear Ann,\n\nHello, I am looking into this now."
    assert await bo.presses_submit() is None
    assert world.replies(talk)[0].text.startswith("Dear Ann,")


async def test_a_strangers_search_finds_nothing(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    bo.user.guest = True
    from desk.slack import gate

    gate.forget(world.desk)
    assert await bo.searches(names.CANNED, "") == []


async def test_mentions_stay_internal(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    for text in (f"ask <@{world.eva.id}>", "hello <!channel>", "see <#C0123456789|general>"):
        answer = await bo.submits({names.TEXT: text})
        assert "mentions" in answer["errors"][names.TEXT]
    assert world.replies(talk) == []
    assert await bo.submits({names.TEXT: "5 < 6 & <b>bold</b> *x* <https://evil|bank>"}) is None
    assert world.replies(talk)[0].text == "5 < 6 & <b>bold</b> *x* <https://evil|bank>"


async def test_files_go_along_and_are_checked_first(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    answer = await bo.submits({names.TEXT: "see", names.FILES: [(f"{n}.png", PNG) for n in range(6)]})
    assert "takes 5 at most" in answer["errors"][names.FILES]
    assert world.slack.called("files.info") == [], "nothing was fetched for that"
    assert await bo.submits({names.TEXT: "see", names.FILES: [("plan.png", PNG)]}) is None
    [sent] = world.replies(talk)
    [file] = sent.attachments
    assert (file.name, file.content_type, world.room.blobs.read(file.sha256)) == (
        "plan.png",
        "image/png",
        PNG,
    )


async def test_files_that_take_long_keep_the_modal_and_are_there_at_the_next_press(
    world: Pressing, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    held = asyncio.Event()
    fetched = []
    fetch = files.fetch

    async def slowly(desk: Any, file_id: str) -> Any:
        fetched.append(file_id)
        await held.wait()
        return await fetch(desk, file_id)

    monkeypatch.setattr(files, "fetch", slowly)
    monkeypatch.setattr(enclosing, "_FETCH_S", 0.1)
    answer = await bo.submits({names.TEXT: "see", names.FILES: [("plan.png", PNG)]})
    assert "press again" in answer["errors"][names.FILES]
    assert world.replies(talk) == []
    held.set()
    await asyncio.gather(*enclosing._fetches[world.desk.client].values())
    assert await bo.presses_submit() is None
    assert len(world.replies(talk)[0].attachments) == 1
    assert len(fetched) == 1


# ------------------------------------------------------------------------------------------ what became of it


async def sent(
    world: Pressing, talk: int, state: str | None = None, text: str = "on its way"
) -> tuple[int, str]:
    """Bo's reply with its receipt below the card: (delivery, ts)."""
    thread = await world.card(talk)
    delivery = world.actions.reply(talk, "bo", text, idem_key="k").delivery_id
    if state is not None:
        world.room.becomes(delivery, state, "rejected" if state == "failed" else None)
    return delivery, await world.receipt(delivery, thread)


async def test_undo_twice_is_once_and_the_text_comes_back(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    _, ts = await sent(world, talk)
    await world.bo.clicks(world.channel, ts, names.UNDO)
    await world.settles()
    [view] = world.bo.views
    assert text_in(view) == "on its way"
    await world.bo.clicks(world.channel, ts, names.UNDO)
    await world.settles()
    assert len(world.bo.views) == 1
    assert world.bo.ephemerals == []
    assert [one.delivery.state for one in world.replies(talk)] == ["cancelled"]


async def test_undo_too_late_says_so(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    delivery, ts = await sent(world, talk)
    world.room.becomes(delivery, "sent")
    await world.bo.clicks(world.channel, ts, names.UNDO)
    assert "gone out already" in world.bo.ephemerals[-1]["text"]
    assert world.bo.views == []


async def test_undo_by_who_does_not_have_it_any_more_says_what_was_done(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    _, ts = await sent(world, talk)
    world.actions.transfer(talk, "bo", "billing", "It is about money")
    await world.bo.clicks(world.channel, ts, names.UNDO)
    await world.settles()
    assert [one.delivery.state for one in world.replies(talk)] == ["cancelled"]
    assert world.bo.ephemerals[-1]["text"].startswith("It was taken back and never went out.")
    assert "You are not in the queue billing" in world.bo.ephemerals[-1]["text"]


async def test_undone_files_go_along_with_what_is_written_anew(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    await bo.submits({names.TEXT: "see", names.FILES: [("plan.png", PNG)]})
    [first] = world.replies(talk)
    ts = await world.receipt(first.delivery.id, await world.card_again(talk))
    await bo.clicks(world.channel, ts, names.UNDO)
    await world.settles()
    assert "1 file will go along" in shown(bo.views[-1].blocks)
    assert await bo.submits({names.TEXT: "see this"}) is None
    assert [file.name for file in world.replies(talk)[-1].attachments] == ["plan.png"]


@pytest.mark.parametrize(
    "state, action, becomes",
    [
        ("failed", names.RETRY, "queued"),
        ("unknown", names.COUNTS_AS_SENT, "sent"),
        ("unknown", names.SEND_AGAIN, "queued"),
        ("unknown", names.GIVE_UP, "failed"),
    ],
)
async def test_the_ways_on(world: Pressing, state: str, action: str, becomes: str) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    _, ts = await sent(world, talk, state)
    await world.bo.clicks(world.channel, ts, action)
    assert world.replies(talk)[0].delivery.state == becomes
    await world.bo.clicks(world.channel, ts, action)
    assert world.bo.ephemerals == [], "pressed twice is once"
    assert len(world.replies(talk)) == 1
    await world.eva.clicks(world.channel, ts, action)
    assert "is with Bo Lindqvist" in world.eva.ephemerals[-1]["text"]


async def test_use_another_channel_begins_with_the_text_and_another_way(world: Pressing) -> None:
    talk = world.conversation()
    world.conversation("this is me too", ANN_TEL, account="sms/main")
    merge(world, talk, ANN_TEL)
    world.actions.claim(talk, "bo")
    _, ts = await sent(world, talk, "failed")
    await world.bo.clicks(world.channel, ts, names.OTHER_CHANNEL)
    [view] = world.bo.views
    assert text_in(view) == "on its way"
    assert element(view, names.CHANNEL)["initial_option"]["value"] == f"sms/main|{ANN_TEL}"
    assert await world.bo.presses_submit() is None
    assert [one.delivery.account for one in world.replies(talk)] == ["webchat/main", "sms/main"]


async def asked_to_correct(world: Pressing, delivery: int) -> str:
    """Bo was asked whether to send a correction, and pressed that button; the question's ts."""
    from desk.slack.thread import ask_correction

    post = ask_correction(delivery, "tomorrow", "web chat")
    await world.desk.client.chat_postEphemeral(
        channel=world.channel, user=world.bo.id, text=post.text, blocks=list(post.blocks)
    )
    question = str(world.bo.ephemerals[-1]["ts"])
    await world.bo.clicks(world.channel, question, names.CORRECT)
    return question


async def test_a_correction_goes_where_the_first_text_went(world: Pressing) -> None:
    talk = world.conversation()
    world.conversation("this is me too", ANN_TEL, account="sms/main")
    merge(world, talk, ANN_TEL)
    world.actions.claim(talk, "bo")
    first = world.actions.reply(talk, "bo", "tonorrow", idem_key="k", account="sms/main", to=ANN_TEL)
    world.room.becomes(first.delivery_id, "sent")
    await asked_to_correct(world, first.delivery_id)
    assert await world.bo.submits({names.TEXT: "I meant: tomorrow"}) is None
    assert [one.delivery.account for one in world.replies(talk)] == ["sms/main", "sms/main"]


async def test_a_correction_is_a_reply(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    delivery, _ = await sent(world, talk, "sent", "tonorrow")
    question = await asked_to_correct(world, delivery)
    assert "tonorrow" in shown(world.bo.views[-1].blocks)
    assert await world.bo.submits({names.TEXT: "I meant: tomorrow"}) is None
    assert [one.text for one in world.replies(talk)] == ["tonorrow", "I meant: tomorrow"]
    await world.bo.clicks(world.channel, question, names.LET_STAND)
    await world.settles()
    assert question not in [one["ts"] for one in world.bo.ephemerals]


async def test_a_window_of_another_version_is_told(world: Pressing) -> None:
    talk = world.conversation()
    bo = await opened(world, talk)
    bo.views[-1].shown["private_metadata"] = json.dumps({"from": "the future"})
    answer = await bo.submits({names.TEXT: "hello"})
    assert "another version" in answer["errors"][names.TEXT]


# ------------------------------------------------------------------------------------------------------- looking


def element(view: Any, action: str) -> dict[str, Any]:
    found = [one["element"] for one in view.blocks if (one.get("element") or {}).get("action_id") == action]
    return found[0] if found else {}


def text_in(view: Any) -> str:
    """What the person reads in the text's box."""
    block = modals.block_of(view.shown, names.TEXT)
    typed = view.values.get(block, {}).get(names.TEXT)
    return str(typed["value"] if typed else element(view, names.TEXT).get("initial_value"))


def count(view: Any) -> str:
    return shown([one for one in view.blocks if one["block_id"] == "count"])


def merge(world: Pressing, talk: int, urn: str) -> None:
    """They are one person."""
    from crm_store import views

    with world.room.store.read() as tx:
        one = views.card(tx, talk).customer_id
        [other] = [hit.customer.id for hit in views.search(tx, urn.partition(":")[2]).customers]
    if one != other:
        world.actions.merge(one, other, "cleo")
