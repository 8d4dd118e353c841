"""The modal in which a reply is written: opened, redrawn while one types, and sent.

The reply's key is made when the modal opens and stays with it, so a double submit, and a submit after one that Slack or
we took too long for, are one reply. What cannot be sent keeps the modal as it is, with the reason below its input.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection, select

from crm_store import timeline, views
from crm_store.carried import NOTHING, Carried
from crm_store.schema import interactions
from crm_store.timeline import Entry
from crm_store.views import Card
from desk import replying, ways, words
from desk.replying import ReplyResult, Then, WindowClosed
from desk.rights import rights
from desk.slack import blocks, composing, enclosing, extras, look, modals, names
from desk.slack.blocks import View
from desk.slack.context import SlackDesk
from desk.slack.press import About, Press, Wrong, about, said
from desk.slack.text import emoji
from desk.ways import Written
from hub.config import CannedReply
from hub.errors import Conflict, Refused
from hub.model import Attachment
from router.choose import Choice, Option

_MENTION = re.compile(r"<[@!#][^<>\s]{1,80}>")
_EMOJI = re.compile(r"(?<![\w:/]):([a-z0-9_+'-]{1,60}):(?![\w:])")
_PAUSE_S = 0.25
_KEYS = 5
_THEN: dict[str, Then] = {"leave": "leave", "wait": "wait", "close": "close"}

_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What a reply's modal begins with. not_by: (account, address) that has just failed. files_of: the interaction
    whose files go along."""

    text: str = ""
    notice: str = ""
    not_by: tuple[str, str] | None = None
    files_of: int | None = None
    choices: str = ""


# ------------------------------------------------------------------------------------------------- opening the modal


def take(desk: SlackDesk, conversation: int, agent: str) -> Card:
    """The conversation as this agent may answer it: one that waits is claimed first. Raises Conflict with who was
    faster, Refused."""
    with desk.store.read() as tx:
        card = views.card(tx, conversation)
    if card.state not in ("waiting", "offered"):
        return card
    desk.actions.take(conversation, agent)
    with desk.store.read() as tx:
        return views.card(tx, conversation)


def build(desk: SlackDesk, conversation: int, agent: str, draft: Draft) -> View:
    """The modal, for who has the conversation or leads. Raises Conflict, NotFound, Refused."""
    card, who, config = take(desk, conversation, agent), rights(desk.config(), agent), desk.config()
    who.own(card)  # type: ignore[arg-type]  # a card has what it asks of a row
    if card.state == "closed":
        raise Refused(f"#{card.number} is closed; open it again first.")
    with desk.store.read() as tx:
        shown = look.card(
            tx, config, desk.rules(), conversation, desk.clock(), desk_url=desk.desk_url, limits=desk.limits
        )
    choice = desk.actions.choices(conversation, agent)
    meta = About(
        conversation=conversation,
        seen=shown.card.last_inbound_id,  # read together with what the modal shows
        queue=card.queue,
        files_of=draft.files_of,
    )
    return modals.reply(
        shown,
        choice,
        desk.limits,
        meta=meta.text(),
        text=draft.text,
        channel=_other(choice, draft.not_by),
        notice=draft.notice,
        copies=desk.actions.copies(conversation),
        choices=draft.choices,
    )


def _other(choice: Choice, not_by: tuple[str, str] | None) -> str | None:
    """The best way that is open and not the one that failed."""
    if not_by is None:
        return None
    open_ = (one for one in choice.options if one.usable and (one.account, one.urn) != not_by)
    return next((modals.way(one) for one in open_), None)


async def opened(press: Press) -> None:
    """Reply was pressed."""
    await press.show(lambda: build(press.desk, press.id, press.agent.key, Draft()))


# ------------------------------------------------------------------------------------------------- while it is written


_typing: weakref.WeakKeyDictionary[AsyncWebClient, dict[str, object]] = weakref.WeakKeyDictionary()


async def changed(press: Press) -> None:
    """Something was typed or chosen: the count below the text, and what belongs to the choice. Nothing is kept yet.

    Slack tells of every character and takes about a hundred updates a minute of the workspace, so a modal is redrawn
    when its writer pauses.
    """
    await press.ack()
    if press.view.get("callback_id") not in (names.REPLY_VIEW, names.NEW_VIEW):
        return
    if press.action == names.TEXT:
        typing, modal, mine = _typing.setdefault(press.desk.client, {}), str(press.view["id"]), object()
        typing[modal] = mine
        await asyncio.sleep(_PAUSE_S)
        if typing.get(modal) is not mine:
            return  # there is a newer one
        del typing[modal]
    view = modals.changed(press.view, press.desk.limits, _ready(press))
    if view is not None:
        await press.update(view)


def _ready(press: Press) -> CannedReply | None:
    """The ready-made reply that is being filled in this modal."""
    return press.desk.config().replies.get(about(press.view).ready)


async def canned(press: Press) -> None:
    """A ready-made reply goes below what stands there already; one that has places, or that is all that may go, is
    filled first."""
    await press.ack()
    reply = press.desk.config().replies.get(press.value)
    if reply is None or not press.in_modal:
        return
    says = modals.values(press.view)
    if reply.places or extras.chosen(says.get(names.CHANNEL)).template:
        meta = replace(about(press.view), ready=reply.key).text()
        await press.update(composing.with_ready(press.view, meta, press.desk.limits, reply), force=True)
        return
    typed = str(says.get(names.TEXT) or "").rstrip()
    text = f"{typed}\n\n{reply.text}" if typed else reply.text
    choices = () if str(says.get(names.CHOICES) or "").strip() else reply.choices
    await press.update(composing.with_text(press.view, text, press.desk.limits, choices), force=True)


async def dropped(press: Press) -> None:
    """Not that ready-made reply."""
    await press.ack()
    meta = replace(about(press.view), ready="").text()
    await press.update(composing.with_ready(press.view, meta, press.desk.limits, None), force=True)


def canned_options(desk: SlackDesk, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ready-made replies of the queue that fit what was typed, and the way that is chosen."""
    view = body.get("view") or {}
    way = extras.chosen(modals.values(view).get(names.CHANNEL))
    only_for = way.account if way.template else None
    queue = about(view).queue or str(modals.values(view).get(names.QUEUE) or "")  # a new one is in a menu
    return modals.canned_options(desk.config(), queue, str(body.get("value") or ""), only_for)


# ----------------------------------------------------------------------------------------------------------- sending


async def sent(press: Press) -> dict[str, Any] | None:
    """Send was pressed: the reply stands in the store before the modal closes."""
    meta, says = about(press.view), modals.values(press.view)
    way = await _way(press, meta.conversation, says.get(names.CHANNEL) or meta.way)
    text, carries = composed(press, meta.queue, way)
    attached = await enclosing.files_of(press, way, list(says.get(names.FILES) or ()), meta)
    sending = press.do(
        _send,
        press.desk,
        meta,
        press.agent.key,
        text,
        way,
        attached,
        _THEN.get(str(says.get(names.THEN)), "leave"),
        says.get(names.DISPOSITION) or None,
        tuple(says.get(names.COPIES) or ()) if composing.dropped(press.view) else None,
        carries,
    )
    try:
        result = await sending
    except WindowClosed as closed:
        return {"response_action": "update", "view": await press.do(_elsewhere, press, meta, says, closed)}
    if result.held_reason is None:
        return None
    return {
        "response_action": "update",
        "view": await press.look(lambda tx: _held(tx, meta, result)),
    }


def composed(press: Press, queue: str, way: Option | None) -> tuple[str, Carried]:
    """The words of a modal, and what goes with them. Raises Wrong, Refused."""
    meta, says = about(press.view), modals.values(press.view)
    try:
        choices = ways.taps(str(says.get(names.CHOICES) or ""))
    except Refused as error:
        raise Wrong(names.CHOICES, str(error)) from error
    ready = _ready(press)
    alone = way is not None and way.template and ready is not None
    typed = Written(
        text="" if alone else written(says),
        ready=meta.ready,
        places=extras.places(says, ready) if ready else (),
        choices=choices,
        public=says.get(names.PUBLIC) == extras.PUBLIC,
    )
    return ways.composed(typed, press.desk.config(), queue, way)


def _elsewhere(press: Press, meta: About, says: Mapping[str, Any], closed: WindowClosed) -> View:
    """The modal anew, where the window has closed meanwhile: by another way, or with what is approved."""
    desk, agent = press.desk, press.agent.key
    found = ways.instead(
        desk.actions.choices(meta.conversation, agent),
        ways.ready(desk.config(), meta.queue),
        closed.account,
        closed.urn,
    )
    told = [str(closed)]
    if found.way is not None:
        told.append(f"{found.way.title} is chosen below instead.")
    if found.replies:
        titles = ", ".join(f"\u201c{one.title}\u201d" for one in found.replies[:3])
        told.append(f"Approved texts still go: choose {words.channel(closed.account)} again, then {titles}.")
    text, choices = str(says.get(names.TEXT) or ""), str(says.get(names.CHOICES) or "")
    draft = Draft(
        text=text,
        choices=choices,
        notice=" ".join(told),
        not_by=(closed.account, closed.urn),
        files_of=meta.files_of,
    )
    return build(desk, meta.conversation, agent, draft)


def written(says: Mapping[str, Any]) -> str:
    """The text as a customer reads it. Raises Wrong where it speaks to colleagues."""
    text = str(says.get(names.TEXT) or "")
    if _MENTION.search(text):
        raise Wrong(
            names.TEXT, "This mentions somebody in Slack. Customers do not see mentions: take it out."
        )
    return _EMOJI.sub(lambda found: emoji(found[1]), text)


def _send(
    desk: SlackDesk,
    meta: About,
    agent: str,
    text: str,
    way: Option | None,
    attached: tuple[Attachment, ...],
    then: Then,
    disposition: str | None,
    copies: tuple[str, ...] | None = None,
    carries: Carried = NOTHING,
) -> ReplyResult:
    """The reply, once. The same window submitted again finds what it made: as it is, if that is what is asked for now;
    made anew, if it was undone since; and refused, if another text is out already. copies: what stayed in the menu of
    copies; None where nobody was taken out."""
    take(desk, meta.conversation, agent)  # an idle claim may have gone back while it was written
    known = desk.actions.copies(meta.conversation) if copies is not None else ()
    cc = tuple(urn for urn in known if composing.copy_value(urn) in copies) if copies is not None else None
    key = f"slack:{meta.key}"
    for _ in range(_KEYS):
        result = desk.actions.reply(
            meta.conversation,
            agent,
            text,
            idem_key=key,
            account=way.account if way else None,
            to=way.urn if way else None,
            attachments=attached,
            seen_inbound=meta.seen,
            then=then,
            disposition=disposition,
            carries=msgspec.structs.replace(carries, cc=cc),
        )
        if result.new:
            return result
        with desk.store.read() as tx:
            [before] = timeline.entries(tx, [result.interaction_id])
        if not before.withdrawn:
            return _same(result, before, text)
        key = f"slack:{meta.key}:{result.delivery_id}"
    raise Conflict("This window was sent and taken back too often. Close it and begin again.")


def _same(result: ReplyResult, before: Entry, text: str) -> ReplyResult:
    first = before.text if before.first_text is None else before.first_text
    if first != text.replace("\x00", ""):
        raise Conflict(
            "Your first press was saved after all, and goes out as you had written it then. Take it back in the "
            "thread, then send this; or close this window."
        )
    return result


def _held(tx: Connection, meta: About, result: ReplyResult) -> View:
    """What the modal becomes when the customer wrote meanwhile: what they wrote, and the agent's two ways on."""
    query = select(_n.id).where(
        _n.conversation_id == meta.conversation, _n.direction == "in", _n.id > (meta.seen or 0)
    )
    wrote = timeline.entries(tx, list(tx.execute(query.order_by(_n.id).limit(10)).scalars()))
    quotes = [blocks.quote(entry.text or "A file.", 1500) for entry in wrote]
    ref = str(result.delivery_id)
    ways = blocks.actions(
        blocks.button("Send it anyway", names.CONFIRM, ref, "primary"),
        blocks.button("Take it back", names.UNDO, ref),
    )
    return said(replying.HELD_WORDS, title="The customer wrote", more=(*quotes, ways))


async def _way(press: Press, conversation: int, value: str | None) -> Option | None:
    """The account and address that the menu names. Raises Wrong for one that is not offered any more."""
    if not value:
        return None
    choice = await press.do(press.desk.actions.choices, conversation, press.agent.key)
    way = modals.chosen(choice, value)
    if way is None:
        raise Wrong(names.CHANNEL, "That way is not open any more. Close this window and begin again.")
    return way
