"""Everything that is pressed in Slack, and what it leads to. Every listener that is not an event's is named here."""

from __future__ import annotations

from slack_bolt.async_app import AsyncApp

from crm_store import views
from desk.slack import names
from desk.slack.context import SlackDesk
from desk.slack.press import Press, Work, pressed
from hub.errors import Conflict


async def claim(press: Press) -> None:
    """Take it. The same agent twice is once; of several agents the slower ones read who was faster."""
    conversation, actions = press.id, press.desk.actions
    try:
        await press.do(actions.claim, conversation, press.agent.key)
    except Conflict:
        card = await press.look(lambda tx: views.card(tx, conversation))
        if card.assignee != press.agent.key or card.state == "closed":
            raise


async def accept(press: Press) -> None:
    await press.do(press.desk.actions.accept, press.id, press.agent.key)


async def decline(press: Press) -> None:
    await press.do(press.desk.actions.decline, press.id, press.agent.key)


async def release(press: Press) -> None:
    await press.do(press.desk.actions.release, press.id, press.agent.key)


async def reopen(press: Press) -> None:
    await press.do(press.desk.actions.reopen, press.id, press.agent.key)


BUTTONS: dict[str, Work] = {
    names.CLAIM: claim,
    names.ACCEPT: accept,
    names.DECLINE: decline,
    names.RELEASE: release,
    names.REOPEN: reopen,
}


def register(app: AsyncApp, desk: SlackDesk) -> None:
    """Tell `app` what to do about every name in names.py that can be pressed."""
    for action_id, work in BUTTONS.items():
        app.action(action_id)(pressed(desk, work))
