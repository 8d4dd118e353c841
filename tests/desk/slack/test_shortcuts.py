"""What a message's own menu does, and the question asked about what was typed."""

from __future__ import annotations

import asyncio

from desk.slack import messages, names
from desk.slack.thread import ask_send
from tests.desk.slack.pressing import Pressing, shown
from tests.servers.slack import Person


async def typed(world: Pressing, thread: str, text: str, who: Person | None = None) -> str:
    """Typed below a card, and kept as the note that it is."""
    person = who or world.bo
    ts = await person.types(world.channel, text, thread=thread)
    await messages.keep(world.desk, world.channel, world.slack.message(world.channel, ts))
    return ts


async def test_send_to_customer_is_one_reply(world: Pressing) -> None:
    talk = world.conversation("where is it?")
    world.actions.claim(talk, "bo")
    thread = await world.card(talk)
    ts = await typed(world, thread, "it is *here* :rocket:")
    assert world.replies(talk) == []
    await asyncio.gather(
        world.bo.shortcut(names.SHORTCUT_SEND, world.channel, ts),
        world.bo.shortcut(names.SHORTCUT_SEND, world.channel, ts),
    )
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, ts)
    assert [one.text for one in world.replies(talk)] == ["it is here 🚀"]


async def test_make_internal_takes_it_back_and_it_can_be_sent_again(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    thread = await world.card(talk)
    ts = await typed(world, thread, "hello")
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, ts)
    await world.bo.shortcut(names.SHORTCUT_INTERNAL, world.channel, ts)
    assert [one.delivery.state for one in world.replies(talk)] == ["cancelled"]
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, ts)
    assert [one.delivery.state for one in world.replies(talk)] == ["cancelled", "held"]
    world.room.becomes(world.replies(talk)[-1].delivery.id, "sent")
    await world.bo.shortcut(names.SHORTCUT_INTERNAL, world.channel, ts)
    assert "gone out already" in world.bo.ephemerals[-1]["text"]


async def test_what_may_not_be_sent_says_why(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    thread = await world.card(talk)
    mention = await typed(world, thread, f"<@{world.eva.id}> do you know?")
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, mention)
    assert "stays internal" in world.bo.ephemerals[-1]["text"]
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, thread)
    assert "Only what somebody typed" in world.bo.ephemerals[-1]["text"]
    loose = await world.bo.types(world.channel, "just talk")
    await world.bo.shortcut(names.SHORTCUT_SEND, world.channel, loose)
    assert "Only what somebody typed" in world.bo.ephemerals[-1]["text"]
    hers = await typed(world, thread, "I would say no", world.eva)
    await world.eva.shortcut(names.SHORTCUT_SEND, world.channel, hers)
    assert "is with Bo Lindqvist" in world.eva.ephemerals[-1]["text"]
    assert world.replies(talk) == []


async def test_the_question_sends_and_goes(world: Pressing) -> None:
    talk = world.conversation()
    world.actions.claim(talk, "bo")
    thread = await world.card(talk)
    for action, replies in ((names.KEEP_INTERNAL, 0), (names.SEND_TYPED, 1)):
        ts = await typed(world, thread, "hello")
        post = ask_send(world.channel, ts, "hello", "web chat")
        await world.desk.client.chat_postEphemeral(
            channel=world.channel,
            user=world.bo.id,
            text=post.text,
            blocks=list(post.blocks),
            thread_ts=thread,
        )
        question = world.bo.ephemerals[-1]["ts"]
        await world.bo.clicks(world.channel, question, action)
        await world.settles()
        assert question not in [one["ts"] for one in world.bo.ephemerals]
        assert len(world.replies(talk)) == replies


async def test_why_here_from_any_message_of_a_thread(world: Pressing) -> None:
    talk = world.conversation("nothing works, error")
    thread = await world.card(talk)
    ts = await typed(world, thread, "hm")
    for message in (ts, thread):
        await world.bo.shortcut(names.SHORTCUT_WHY, world.channel, message)
        assert "problems" in shown(world.bo.views[-1].blocks)
        await world.bo.cancels()
    loose = await world.bo.types(world.channel, "just talk")
    await world.bo.shortcut(names.SHORTCUT_WHY, world.channel, loose)
    assert "not in the thread" in world.bo.ephemerals[-1]["text"]
