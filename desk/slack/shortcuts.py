"""Message shortcuts, and the questions asked about what somebody typed below a card.

Slash commands do not work in threads, so what they could do there is in each message's own menu.
"""

from __future__ import annotations

from crm_store import desk_threads
from desk.slack import conversation, names, sending
from desk.slack.press import Press, answer, in_time
from hub.errors import NotFound


async def send_typed(press: Press) -> None:
    """The question's Send button, whose value is "channel:ts"."""
    place, _, ts = press.value.partition(":")
    await _send(press, place, ts)
    await _question_goes(press)


async def keep_internal(press: Press) -> None:
    """The question's other button: it stays the note that it is; a reply that it has become is taken back."""
    place, _, ts = press.value.partition(":")
    await _keep(press, place, ts)
    await _question_goes(press)


async def send(press: Press) -> None:
    """Send to customer."""
    await _send(press, *_message(press))


async def make_internal(press: Press) -> None:
    """Make internal: a reply that has not gone out yet is taken back and stays as a note."""
    await _keep(press, *_message(press))


async def why(press: Press) -> None:
    """Why here?: of the conversation in whose thread the message stands."""
    place, ts = _message(press)
    thread = str((press.body.get("message") or {}).get("thread_ts") or ts)
    found = await press.look(lambda tx: desk_threads.at(tx, names.SURFACE, place, thread))
    if found is None:
        raise NotFound("That is not in the thread of a conversation.")
    await press.show(lambda: conversation.why_view(press.desk, press.agent, found.conversation_id))


def _message(press: Press) -> tuple[str, str]:
    """(channel, ts) of what the shortcut was used on."""
    channel, message = press.body.get("channel") or {}, press.body.get("message") or {}
    return str(channel.get("id") or ""), str(message.get("ts") or press.body.get("message_ts") or "")


async def _send(press: Press, place: str, ts: str) -> None:
    """A trigger is one press's alone; a reply that was taken back can be sent by the next one."""
    work = sending.send_typed(press.desk, place, ts, press.agent.key, f"p{press.trigger}")
    await in_time(work, press.left_s())


async def _keep(press: Press, place: str, ts: str) -> None:
    await in_time(sending.keep_internal(press.desk, place, ts, press.agent.key), press.left_s())


async def _question_goes(press: Press) -> None:
    await press.ack()
    await answer(press.body, delete_original=True)
