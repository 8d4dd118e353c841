"""What agents type below a card, and what becomes of it: a note first of all, and a reply when they say so.

Every step bears being done again: the note has a key of its own, the row that says where it was typed is UNIQUE, a
note becomes a reply once, and what is owed to Slack afterwards has keys too. So a process may die between any two of
them, and Slack may tell a thing twice, late, or an edit before the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from crm_store import conversations, desk_inbox, desk_posts, desk_threads, desk_typed
from crm_store.desk_inbox import Heard
from crm_store.desk_threads import Thread
from crm_store.desk_typed import Detail, Sent, Typed
from desk import words
from desk.slack import files, gate, names, owed, sending, text, thread
from desk.slack.context import SlackDesk
from desk.slack.events import DELETE, EDIT, MESSAGE, REACTION, message_key, message_of
from desk.slack.outcome import Done, Handler, Later, Outcome
from desk.slack.taking import write_down
from desk.slack.text import Plain
from hub import failpoints, log
from hub.errors import Conflict, MainstemError, NotFound, Refused, Unavailable
from hub.model import Attachment

_CARD_S = 600.0  # how long the id of a card that went up may be unknown to us (the poster died in between)
_FILES_S = 40.0  # how long files are waited for before the words are kept without them
_DIRECT_S = (
    900.0  # what was typed longer ago is asked about, not sent by itself: nobody stands behind it any more
)
_log = log.get("slack")


class NotOurs(Exception):
    """No thread of ours."""


class NotYet(Exception):
    """It may be ours in a moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """new: it was not known before."""

    typed: Typed
    new: bool


# ------------------------------------------------------------------------------------------------------------ keeping


async def keep(desk: SlackDesk, place: str, message: Mapping[str, Any], age_s: float = 0.0) -> Kept:
    """What was typed, kept as a note of whoever typed it. Twice is once; what is known is not changed.

    message: as Slack gives it. age_s: how long we have known of it. Raises NotOurs, NotYet, Refused (may not),
    Unavailable.
    """
    ts, root, user = str(message["ts"]), str(message.get("thread_ts")), str(message.get("user") or "")
    ours, known = await desk.look(lambda tx: _look_up(tx, place, root, ts, age_s))
    plain = text.to_plain(message, gate.names(desk))
    if known is not None:
        return Kept(typed=known, new=False)
    agent = await gate.agent_of(desk, user, _team(message))
    attachments, missing = await _files(desk, message, age_s)
    note_id = await desk.do(
        lambda: desk.actions.note(
            ours.conversation_id,
            agent,
            _words(plain, missing),
            idem_key=desk_typed.note_key(names.SURFACE, place, root, ts),
            attachments=attachments,
        )
    )
    failpoints.here("slack.after_note")
    detail = Detail(
        user=user,
        agent=agent,
        edit=str((message.get("edited") or {}).get("ts") or ""),
        mentions=plain.mentions,
        locked=plain.locked,
        missing=missing,
    )

    def work(tx: Connection) -> Typed:
        desk_typed.add(tx, desk.store.ids, names.SURFACE, ours, ts, note_id, detail, desk.clock())
        found = desk_typed.find(tx, names.SURFACE, place, ts)
        assert found is not None
        return found

    typed = await desk.do(lambda: desk.store.run(work))
    failpoints.here("slack.after_typed")
    return Kept(typed=typed, new=True)


def _look_up(
    tx: Connection, place: str, thread_ts: str, ts: str, age_s: float
) -> tuple[Thread, Typed | None]:
    found = desk_threads.at(tx, names.SURFACE, place, thread_ts)
    if found is None:
        if age_s < _CARD_S and desk_typed.card_on_its_way(tx, names.SURFACE, place):
            raise NotYet
        raise NotOurs
    return found, desk_typed.find(tx, names.SURFACE, place, ts)


def _team(message: Mapping[str, Any]) -> str:
    """The workspace of who typed; a stranger from a shared channel brings their own."""
    return str(message.get("user_team") or message.get("source_team") or message.get("team") or "")


def _words(plain: Plain, missing: tuple[str, ...]) -> str:
    """The note's words; where there are none and the files are not to be had either, colleagues read why."""
    return plain.text if plain.text.strip() or not missing else " ".join(missing)


async def _files(
    desk: SlackDesk, message: Mapping[str, Any], age_s: float
) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
    """The files of a message, and why some are missing. The words do not wait for them for ever."""
    listed = [one for one in message.get("files") or () if isinstance(one, Mapping)]
    if not listed:
        return (), ()
    try:
        return await files.fetch_all(desk, listed)
    except Unavailable as error:
        if age_s < _FILES_S:
            raise
        return (), (str(error),)


# ----------------------------------------------------------------------------------------------------------- handlers


async def typed_message(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    message = body["message"]
    kept = await _keep(desk, row, body["place"], message)
    return kept if isinstance(kept, (Done, Later)) else await _then(desk, kept)


async def _keep(desk: SlackDesk, row: Heard, place: str, message: Mapping[str, Any]) -> Kept | Outcome:
    """`keep`, and what becomes of the row where nothing was kept."""
    age_s = (desk.clock() - row.received_at).total_seconds()
    try:
        return await keep(desk, place, message, age_s)
    except NotOurs:
        return Done(forget=True)
    except NotYet:
        return Later(after_s=2.0)
    except (Refused, NotFound) as error:
        why = f"{error} Customers do not see what you typed, and it is not kept as a note."
        to = owed.Person(place=place, thread=str(message["thread_ts"]), user=str(message["user"]))
        told = () if _is_bot(error) else (owed.sentence(row, to, why),)
        return Done(trouble=str(error), then=told)


def _is_bot(error: MainstemError) -> bool:
    return str(error).startswith("Bots")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """The conversation of something typed, as it is now. sent: the reply that the note is already."""

    assignee: str | None
    queue: str
    account: str
    sent: Sent | None


def _facts(tx: Connection, typed: Typed) -> _Facts:
    row = conversations.get(tx, typed.conversation_id)
    return _Facts(
        assignee=row.assignee,
        queue=row.queue,
        account=row.account,
        sent=desk_typed.sent(tx, typed.note_id),
    )


async def _then(desk: SlackDesk, kept: Kept) -> Outcome:
    """A note now: sent at once where its queue wants that, else marked as internal and asked about."""
    typed = kept.typed
    facts = await desk.look(lambda tx: _facts(tx, typed))
    mine = facts.assignee is not None and facts.assignee == typed.detail.agent
    queue = desk.config().queues.get(facts.queue)
    detail = typed.detail
    plain = mine and not (detail.locked or detail.mentions or detail.removed)
    why = ""
    if plain and queue is not None and queue.slack_direct and _age_s(typed.ts, desk) < _DIRECT_S:
        try:
            await sending.send(desk, typed, typed.detail.agent, "direct")
            return Done()
        except (Refused, Conflict, NotFound) as error:
            why = str(error)
    if facts.sent is not None or typed.detail.removed:
        return Done()
    then = [owed.mark(typed, names.INTERNAL_MARK, cause="typed")]
    if plain:
        text = await _text(desk, typed)
        post = thread.ask_send(typed.place, typed.ts, text, words.channel(facts.account))
        then.append(owed.ask(typed, post, cause="typed"))
    if why:
        then.append(owed.said(typed, why, cause="direct"))
    return Done(then=tuple(then))


def _age_s(ts: str, desk: SlackDesk) -> float:
    """Slack's own stamp says when it was typed."""
    return desk.clock().timestamp() - float(ts)


async def _text(desk: SlackDesk, typed: Typed) -> str:
    return await desk.look(lambda tx: desk_typed.text(tx, typed.note_id))


async def edited(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """Other words for what was typed. An edit that overtakes its message brings that along."""
    place, message = body["place"], body["message"]
    kept = await _keep(desk, row, place, body.get("before") or message)
    if isinstance(kept, (Done, Later)):
        return kept
    outcome = await _edit(desk, kept.typed, message)
    if kept.new and isinstance(outcome, Done) and not outcome.then:
        return await _then(desk, kept)  # the message itself may never come
    return outcome


async def _edit(desk: SlackDesk, typed: Typed, message: Mapping[str, Any]) -> Outcome:
    stamp = str(message["edited"]["ts"])
    detail = typed.detail
    if detail.removed or stamp < detail.edit:
        return Done()
    agent = await _author(desk, typed)
    plain = text.to_plain(message, gate.names(desk))
    try:
        return await sending.change(desk, typed, agent, plain, stamp)
    except (Refused, Conflict, NotFound) as error:
        return Done(trouble=str(error), then=(owed.said(typed, str(error), cause=f"edit:{stamp}"),))


async def deleted(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """Somebody took back what they typed: a note is removed, a reply taken back where it can be."""
    place, ts, before = body["place"], body["ts"], body.get("before")
    typed = await desk.look(lambda tx: desk_typed.find(tx, names.SURFACE, place, ts))
    if typed is None:
        if not before:
            return Done(forget=True)
        kept = await _keep(desk, row, place, before)
        if isinstance(kept, (Done, Later)):
            return Done(forget=True) if isinstance(kept, Done) else kept
        typed = kept.typed
    if typed.detail.removed:
        return Done()
    agent = await _author(desk, typed)
    try:
        return await sending.take_back(desk, typed, agent)
    except (Refused, Conflict, NotFound) as error:
        return Done(trouble=str(error), then=(owed.said(typed, str(error), cause="deleted"),))


async def _author(desk: SlackDesk, typed: Typed) -> str:
    """Only who typed it can edit it, and Slack sees to that. Raises Refused where they may not act any more."""
    return await gate.agent_of(desk, typed.detail.user)


async def reacted(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """The outbox: send what was typed there."""
    place, ts, user = body["place"], body["ts"], body["user"]
    typed = await desk.look(lambda tx: desk_typed.find(tx, names.SURFACE, place, ts))
    if typed is None:
        waiting, ours = await desk.look(lambda tx: _unknown(tx, place, ts))
        if waiting:
            return Later(after_s=1.0)
        if not ours:
            return await _fetched(desk, row, place, ts)
    to = owed.Person(place=place, thread=typed.thread if typed else ts, user=user)
    try:
        agent = await gate.agent_of(desk, user)
        if typed is None:
            raise Refused("Only what somebody typed below a card can be sent to the customer.")
        await sending.send(desk, typed, agent, f"r{row.id}")
    except (Refused, Conflict, NotFound) as error:
        told = () if _is_bot(error) else (owed.sentence(row, to, str(error)),)
        return Done(trouble=str(error), then=told)
    return Done()


def _unknown(tx: Connection, place: str, ts: str) -> tuple[bool, bool]:
    """Is the message still to be worked off? Is it one of our own posts?"""
    waiting = desk_inbox.waits(tx, names.SURFACE, message_key(place, ts)) is not None
    return waiting, desk_posts.by_posted(tx, names.SURFACE, place, ts) is not None


async def _fetched(desk: SlackDesk, row: Heard, place: str, ts: str) -> Outcome:
    """A reaction to a message of which we were never told: asked for, and worked off before the reaction."""
    if row.tries > 3:
        return Done(forget=True)
    answer = await desk.client.conversations_replies(channel=place, ts=ts, limit=1)
    found = [one for one in answer.get("messages") or () if one.get("ts") == ts]
    told = message_of(place, found[0]) if found else None
    if told is None:
        return Done(forget=True)
    thread_ = await desk.look(
        lambda tx: desk_threads.at(tx, names.SURFACE, place, str(found[0]["thread_ts"]))
    )
    if thread_ is None:
        return Done(forget=True)
    await write_down(desk, [told])
    return Later(after_s=0.5, counts=True)


HANDLERS: dict[str, Handler] = {
    MESSAGE: typed_message,
    EDIT: edited,
    DELETE: deleted,
    REACTION: reacted,
}
