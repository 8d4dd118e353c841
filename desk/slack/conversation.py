"""What is pressed about a conversation: take it, hand it on, put it away, look into it, begin another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection

from crm_store import presence, views
from crm_store.views import Card
from desk import words
from desk.rights import may_see, queues_of, rights
from desk.slack import blocks, enclosing, extras, look, modals, names, reply, thread
from desk.slack.blocks import Block, View
from desk.slack.context import SlackDesk
from desk.slack.look import Shown
from desk.slack.press import About, Press, Work, about, whole
from desk.why import explained
from hub.config import Agent
from hub.errors import Conflict, MainstemError, NotFound, Refused, Unavailable
from router.choose import Option

T = TypeVar("T")

_TROUBLED = 4  # replies that need somebody, above a history


# ------------------------------------------------------------------------------------------------------ looking


def visible(tx: Connection, agent: Agent, conversation: int | str) -> Card:
    """The conversation, if this agent may see it; the same NotFound whether it is there or not."""
    try:
        card = views.card(tx, conversation)
    except NotFound:
        card = None
    if card is None or not may_see(agent, card):
        raise NotFound("There is no such conversation, or it is not in your queues.")
    return card


def shown_to(desk: SlackDesk, tx: Connection, agent: Agent, conversation: int | str) -> Shown:
    """What its card shows. Raises NotFound."""
    card = visible(tx, agent, conversation)
    return look.card(
        tx,
        desk.config(),
        desk.rules(),
        card.conversation_id,
        desk.clock(),
        desk_url=desk.desk_url,
        limits=desk.limits,
    )


def _opened(tx: Connection, shown: Shown) -> About:
    events = views.happenings(tx, shown.card.conversation_id, limit=1)
    return About(
        conversation=shown.card.conversation_id,
        seen=shown.card.last_inbound_id,
        event=events[-1].id if events else 0,
        queue=shown.card.queue,
    )


def done_since(tx: Connection, meta: About, what: str, by: str) -> bool:
    """Did this agent do that since the modal opened? Then a second submit has nothing left to do."""
    happened = views.happenings(tx, meta.conversation, limit=20)
    return any(one.id > meta.event and one.what == what and one.by == by for one in happened)


# ------------------------------------------------------------------------------------------------------ taking it


async def claim(press: Press) -> None:
    """Of many one has it, and the others read who was faster. Pressed twice by one agent it is once."""
    await press.do(press.desk.actions.take, press.id, press.agent.key)


async def accept(press: Press) -> None:
    await press.do(press.desk.actions.accept, press.id, press.agent.key)


async def decline(press: Press) -> None:
    await _once(press, "declined", press.desk.actions.decline)


async def release(press: Press) -> None:
    await _once(press, "released", press.desk.actions.release)


async def reopen(press: Press) -> None:
    await _once(press, "reopened", press.desk.actions.reopen)
    if press.in_modal:
        await press.show(lambda: history_view(press.desk, press.agent, press.id), instead=True)


async def _once(press: Press, what: str, action: Callable[[int, str], None]) -> None:
    """`action`, or nothing where it is the very last thing that happened, by the same agent."""
    try:
        await press.do(action, press.id, press.agent.key)
    except (Conflict, Refused):
        newest = await press.look(lambda tx: views.happenings(tx, press.id, limit=1))
        if not newest or (newest[-1].what, newest[-1].by) != (what, press.by):
            raise


# ------------------------------------------------------------------------------- handing it on, putting it away


def _modal(
    press: Press, draw: Callable[[Connection, Shown, str], View], *, waiting_too: bool
) -> Callable[[], View]:
    """A modal about a conversation that this agent may act on."""

    def make() -> View:
        desk, conversation = press.desk, press.id
        with desk.store.read() as tx:
            shown = shown_to(desk, tx, press.agent, conversation)
            rights(desk.config(), press.agent.key).own(shown.card, waiting_too=waiting_too)  # type: ignore[arg-type]
            if shown.card.state == "closed":
                raise Refused(f"#{shown.card.number} is closed already.")
            return draw(tx, shown, _opened(tx, shown).text())

    return make


async def transfer(press: Press) -> None:
    def draw(tx: Connection, shown: Shown, meta: str) -> View:
        here = presence.everyone(tx, press.desk.clock())
        return modals.transfer(shown, press.desk.config(), meta=meta, here=here, me=press.agent.key)

    await press.show(_modal(press, draw, waiting_too=True))


async def snooze(press: Press) -> None:
    await press.show(
        _modal(press, lambda tx, shown, meta: modals.snooze(shown, meta=meta), waiting_too=False)
    )


async def close(press: Press) -> None:
    await press.show(_modal(press, lambda tx, shown, meta: modals.close(shown, meta=meta), waiting_too=True))


async def _submit(press: Press, meta: About, what: str, action: Callable[[], None]) -> None:
    """The action, unless this very window brought it about already."""

    def work() -> None:
        with press.desk.store.read() as tx:
            done = done_since(tx, meta, what, press.by)
        if not done:
            action()

    try:
        await press.do(work)
    except Unavailable:
        raise
    except MainstemError:
        if not await press.look(lambda tx: done_since(tx, meta, what, press.by)):
            raise


async def transferred(press: Press) -> None:
    meta, says = about(press.view), modals.values(press.view)
    queue, colleague = str(says.get(names.QUEUE) or meta.queue), says.get(names.AGENT) or None
    reason = str(says.get(names.REASON) or "")
    agent, actions = press.agent.key, press.desk.actions
    await _submit(
        press,
        meta,
        "transferred",
        lambda: actions.transfer(meta.conversation, agent, queue, reason, colleague),
    )


async def snoozed(press: Press) -> None:
    meta = about(press.view)
    until = modals.snoozed_until(modals.values(press.view), press.desk.clock())
    agent, actions = press.agent.key, press.desk.actions
    await _submit(press, meta, "snoozed", lambda: actions.snooze(meta.conversation, agent, until))


async def closed(press: Press) -> None:
    meta, says = about(press.view), modals.values(press.view)
    ended, tags = says.get(names.DISPOSITION) or None, modals.tags_of(says)
    agent, actions = press.agent.key, press.desk.actions
    await _submit(press, meta, "closed", lambda: actions.close(meta.conversation, agent, ended, tags))


async def asked(press: Press) -> None:
    """Where did they ask to be answered?"""

    def make() -> View:
        desk = press.desk
        with desk.store.read() as tx:
            shown = shown_to(desk, tx, press.agent, press.id)
            meta = _opened(tx, shown).text()
        return modals.asked(shown, desk.actions.choices(press.id, press.agent.key), meta=meta)

    await press.show(make)


async def noted(press: Press) -> None:
    meta, value = about(press.view), modals.values(press.view).get(names.CHANNEL)
    agent, actions = press.agent.key, press.desk.actions

    def work() -> None:
        way = modals.chosen(actions.choices(meta.conversation, agent), value)
        account, urn = (way.account, way.urn) if way is not None else (None, "")
        if way is None and value != modals.ANY:
            raise Refused("That way is not open any more. Close this window and begin again.")
        actions.asked_for(meta.conversation, agent, account, urn)

    await press.do(work)


def queue_options(desk: SlackDesk, body: Mapping[str, Any]) -> list[Block]:
    return modals.queue_options(desk.config(), str(body.get("value") or ""))


def agent_options(desk: SlackDesk, body: Mapping[str, Any]) -> list[Block]:
    with desk.store.read() as tx:
        here = presence.everyone(tx, desk.clock())
    return modals.agent_options(desk.config(), str(body.get("value") or ""), here)


# ------------------------------------------------------------------------------------------------- looking into it


def why_view(desk: SlackDesk, agent: Agent, conversation: int | str) -> View:
    """The rule's path, what it saw, what nearly matched. Raises NotFound."""
    with desk.store.read() as tx:
        shown = shown_to(desk, tx, agent, conversation)
        decided = views.latest_decision(tx, shown.card.conversation_id)
    told, same = None, True
    if decided is not None:
        told, same = explained(desk.store, desk.rules(), decided, shown.card.subject)
    return modals.why(shown, desk.config(), decided, told, same)


async def why(press: Press) -> None:
    await press.show(lambda: why_view(press.desk, press.agent, press.id))


def history_view(desk: SlackDesk, agent: Agent, conversation: int | str) -> View:
    """Everything said with the customer; above it what can be done, and the replies that need somebody."""
    config, now = desk.config(), desk.clock()
    with desk.store.read() as tx:
        shown = shown_to(desk, tx, agent, conversation)
        page = views.conversation(tx, shown.card.conversation_id)
    view = modals.history(shown, page, config, desk_url=desk.desk_url)
    ref = str(shown.card.conversation_id)
    if shown.card.state == "closed":
        first = [blocks.button("Open again", names.REOPEN, ref)]
    else:
        first = [blocks.button("Reply", names.REPLY, ref, "primary")]
    above: list[Block] = [blocks.actions(*first, blocks.button("Why here?", names.WHY, ref))]
    troubled = [
        entry
        for entry in page.history.entries
        if entry.conversation_id == shown.card.conversation_id
        and entry.delivery is not None
        and thread.needs_somebody(entry.delivery)
    ]
    for entry in troubled[-_TROUBLED:]:
        above += thread.receipt(entry, config, now).blocks
    return view | {"blocks": [*above, *view["blocks"]][: blocks.VIEW_BLOCKS]}


async def history(press: Press) -> None:
    await press.show(lambda: history_view(press.desk, press.agent, press.id))


# ------------------------------------------------------------------------------------------------------ beginning one


def new_view(desk: SlackDesk, agent: Agent, to: str = "") -> View:
    """The modal that begins a conversation, by what can write first."""
    config = desk.config()
    able = {one.account.key: one for one in desk.actions.senders(agent.key)}
    return modals.new(
        replace(config, accounts={key: one.account for key, one in able.items()}),
        desk.limits,
        queues=queues_of(config, agent),
        meta=About().text(),
        says={modals.TO: to},
        templates=[key for key, one in able.items() if one.template],
    )


async def began(press: Press) -> None:
    """The first message stands in the store, and the conversation is the agent's, before the modal closes."""
    meta, says = about(press.view), modals.values(press.view)
    queue, sender = str(says.get(names.QUEUE) or ""), extras.chosen(says.get(names.CHANNEL))
    way = Option(
        account=sender.account,
        urn=str(says.get(modals.TO) or ""),
        title=words.channel(sender.account),
        speaks_for=(),
        blocked_by=(),
        template=sender.template,
    )
    text, carries = reply.composed(press, queue, way)
    attached = await enclosing.files_of(press, way, list(says.get(names.FILES) or ()), meta)
    await press.do(
        press.desk.actions.begin,
        press.agent.key,
        queue,
        sender.account,
        way.urn,
        text,
        idem_key=f"slack:{meta.key}",
        name=str(says.get(modals.NAME) or ""),
        attachments=attached,
        then="wait",
        carries=carries,
    )


# ---------------------------------------------------------------------------------------------------------- the menu


async def _nothing(press: Press) -> None:
    """A link: the browser follows it."""


MORE: dict[str, Work] = {
    names.CLAIM: claim,
    names.RELEASE: release,
    names.REPLY: reply.opened,
    names.TRANSFER: transfer,
    names.SNOOZE: snooze,
    names.CLOSE: close,
    names.REOPEN: reopen,
    names.WHY: why,
    names.HISTORY: history,
    names.OPEN_WEB: _nothing,
    names.ASKED: asked,
}


async def more(press: Press) -> None:
    """An option of the card's menu: "name:conversation"."""
    name, _, ref = press.value.partition(":")
    if name not in MORE:
        raise NotFound("That is not in the menu any more.")
    whole(ref)
    await MORE[name](replace(press, value=ref))
