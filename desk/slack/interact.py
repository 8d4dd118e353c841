"""Everything that can be pressed in Slack, and what it leads to: every name of names.py that comes back to us."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from desk.slack import commands, conversation, home_actions, names, receipts, reply, shortcuts
from desk.slack.blocks import Block
from desk.slack.context import SlackDesk
from desk.slack.press import DEADLINE_S, Listener, Press, Submit, Work, agent_of, in_time, pressed, submitted
from hub import log
from hub.errors import MainstemError

_log = log.get("slack")


async def _follow_link(_: Press) -> None:
    """The browser follows it; Slack tells us all the same."""


async def _later(press: Press) -> None:
    """A menu in a modal that counts only when the modal is submitted."""
    await press.ack()


ACTIONS: dict[str, Work] = {
    names.CLAIM: conversation.claim,
    names.ACCEPT: conversation.accept,
    names.DECLINE: conversation.decline,
    names.RELEASE: conversation.release,
    names.REOPEN: conversation.reopen,
    names.REPLY: reply.opened,
    names.TRANSFER: conversation.transfer,
    names.SNOOZE: conversation.snooze,
    names.CLOSE: conversation.close,
    names.WHY: conversation.why,
    names.HISTORY: conversation.history,
    names.MORE: conversation.more,
    names.ASKED: conversation.asked,
    names.OPEN_WEB: _follow_link,
    names.UNDO: receipts.undo,
    names.CONFIRM: receipts.confirm,
    names.RETRY: receipts.retry,
    names.OTHER_CHANNEL: receipts.other_channel,
    names.COUNTS_AS_SENT: receipts.counts_as_sent,
    names.SEND_AGAIN: receipts.send_again,
    names.GIVE_UP: receipts.give_up,
    names.CORRECT: receipts.correct,
    names.LET_STAND: receipts.let_stand,
    names.SEND_TYPED: shortcuts.send_typed,
    names.KEEP_INTERNAL: shortcuts.keep_internal,
    names.HOME_NEXT: home_actions.next_one,
    names.HOME_STATUS: home_actions.status,
    names.HOME_UNTIL: home_actions.status,
    names.HOME_OPEN: home_actions.open_one,
    names.HOME_REPLAY: home_actions.replay,
    names.HOME_REFRESH: home_actions.refresh,
    # inputs of modals that report what is typed or chosen in them
    names.TEXT: reply.changed,
    names.CHANNEL: reply.changed,
    names.THEN: reply.changed,
    names.CANNED: reply.canned,
    names.CHOICES: reply.changed,
    names.PUBLIC: reply.changed,
    names.DROP_READY: reply.dropped,
    **dict.fromkeys(names.PLACES, reply.changed),
    names.QUEUE: _later,
    names.AGENT: _later,
}

SUBMITS: dict[str, Submit] = {
    names.REPLY_VIEW: reply.sent,
    names.CORRECT_VIEW: reply.sent,
    names.TRANSFER_VIEW: conversation.transferred,
    names.SNOOZE_VIEW: conversation.snoozed,
    names.CLOSE_VIEW: conversation.closed,
    names.NEW_VIEW: conversation.began,
    names.ASKED_VIEW: conversation.noted,
}

SHORTCUTS: dict[str, Work] = {
    names.SHORTCUT_SEND: shortcuts.send,
    names.SHORTCUT_INTERNAL: shortcuts.make_internal,
    names.SHORTCUT_WHY: shortcuts.why,
}

# What is searched while one types: action_id -> options, out of the store or the configuration, in a thread.
SEARCHES: dict[str, Callable[[SlackDesk, Mapping[str, Any]], list[Block]]] = {
    names.CANNED: reply.canned_options,
    names.QUEUE: conversation.queue_options,
    names.AGENT: conversation.agent_options,
}


def register(app: AsyncApp, desk: SlackDesk) -> None:
    """Tell `app` what to do about every press."""
    for action_id, work in ACTIONS.items():
        app.action(action_id)(pressed(desk, work))
    for callback_id, submit in SUBMITS.items():
        app.view_submission(callback_id)(submitted(desk, submit))
    for callback_id, work in SHORTCUTS.items():
        app.message_shortcut(callback_id)(pressed(desk, work))
    for action_id, search in SEARCHES.items():
        app.options(action_id)(_searched(desk, search))
    app.command(names.COMMAND)(_commanded(desk))


def _searched(desk: SlackDesk, search: Callable[[SlackDesk, Mapping[str, Any]], list[Block]]) -> Listener:
    """The choices for what was typed; none for who may not act here, or while the store is away."""

    async def listener(ack: AsyncAck, body: dict[str, Any]) -> None:
        try:
            await in_time(agent_of(desk, body), DEADLINE_S)
            options = await in_time(desk.do(lambda: search(desk, body)), DEADLINE_S)
        except MainstemError as error:
            _log.info("search_refused", action=body.get("action_id"), why=type(error).__name__)
            options = []
        await ack(options=options)

    return listener


def _commanded(desk: SlackDesk) -> Listener:
    async def listener(ack: AsyncAck, body: dict[str, Any]) -> None:
        await commands.run(desk, ack, body, time.monotonic())

    return listener
