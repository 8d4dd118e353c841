"""One press of a button, menu, shortcut or command: who pressed, on what, and how they are answered.

Slack gives three seconds and never asks again, and shows a warning where nothing was acknowledged. So a press is
acknowledged only when what it asks for stands in the store, or when the agent has been told in a sentence why not;
anything else is left to Slack's warning. https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook.async_client import AsyncWebhookClient
from sqlalchemy import Connection

from desk.rights import rights
from desk.slack.context import SlackDesk
from hub import log
from hub.config import Agent, Role
from hub.errors import Conflict, MainstemError, NotFound, Refused, Unavailable

T = TypeVar("T")

DEADLINE_S = 2.5  # of Slack's three seconds; the rest is the way back
_log = log.get("slack")

NOT_SAVED = "That was not saved: the store does not answer. Nothing is lost here; press again in a moment."
BAD_ID = (1 << 63) - 1


def _moment() -> float:
    return time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Press:
    """body: what Slack sent, as it came. value: of the button, or of the option that was chosen."""

    desk: SlackDesk
    agent: Agent
    body: Mapping[str, Any]
    value: str
    began: float = field(default_factory=_moment)

    @property
    def user(self) -> str:
        """The Slack id of who pressed."""
        return user_of(self.body)

    @property
    def leads(self) -> bool:
        return self.agent.role in (Role.LEAD, Role.ADMIN)

    @property
    def trigger(self) -> str:
        return str(self.body.get("trigger_id") or "")

    @property
    def view(self) -> Mapping[str, Any]:
        """The modal or Home it was pressed in; empty in a message."""
        return self.body.get("view") or {}

    @property
    def in_modal(self) -> bool:
        return self.view.get("type") == "modal"

    @property
    def id(self) -> int:
        """The value as an id of ours. Raises NotFound."""
        return whole(self.value)

    def left_s(self) -> float:
        return max(0.05, self.began + DEADLINE_S - time.monotonic())

    async def do(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A synchronous call in a thread. Raises Unavailable when time is up; it may then still succeed, so whatever
        is done by it must bear being done again."""
        return await in_time(self.desk.do(lambda: work(*args, **kwargs)), self.left_s())

    async def look(self, read: Callable[[Connection], T]) -> T:
        return await in_time(self.desk.look(read), self.left_s())

    async def open(self, view: Mapping[str, Any]) -> str:
        """Show a modal, on top of the one it was pressed in; its id. Raises Refused where Slack does not take it."""
        opens = self.desk.client.views_push if self.in_modal else self.desk.client.views_open
        try:
            answer = await opens(trigger_id=self.trigger, view=dict(view))
        except SlackApiError as error:
            code = str(error.response.get("error"))
            _log.warning("modal_not_opened", error=code, view=view.get("callback_id"))
            raise Refused(_NOT_OPENED.get(code, f"Slack did not open the window ({code}).")) from error
        return str(answer["view"]["id"])

    async def update(self, view: Mapping[str, Any], view_id: str | None = None) -> bool:
        """Draw a modal anew; False where it is gone, or was drawn anew meanwhile."""
        known = {"hash": self.view["hash"]} if view_id is None and self.view.get("hash") else {}
        try:
            await self.desk.client.views_update(
                view_id=view_id or str(self.view["id"]), view=dict(view), **known
            )
        except SlackApiError as error:
            _log.info("modal_not_updated", error=str(error.response.get("error")))
            return False
        return True

    async def tell(self, sentence: str) -> bool:
        """One sentence that only they see; False where Slack did not take it."""
        return await tell(self.desk, self.body, sentence)


_NOT_OPENED = {
    "expired_trigger_id": "That took longer than Slack waits. Press again.",
    "exchanged_trigger_id": "That was pressed twice; the first press counts.",
    "push_limit_reached": "There are too many windows on top of each other. Close one.",
}


def whole(text: str) -> int:
    """An id that the store can hold. Raises NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= BAD_ID):
        raise NotFound("That button is about something that is not there.")
    return int(text)


def user_of(body: Mapping[str, Any]) -> str:
    user = body.get("user")
    return str(user.get("id") if isinstance(user, Mapping) else body.get("user_id") or "")


def team_of(body: Mapping[str, Any]) -> str:
    """The workspace of who pressed: a stranger from a shared channel brings their own."""
    user, team = body.get("user"), body.get("team")
    if isinstance(user, Mapping) and user.get("team_id"):
        return str(user["team_id"])
    return str((team.get("id") if isinstance(team, Mapping) else None) or body.get("team_id") or "")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """`work`, which goes on by itself when it takes longer; Unavailable then."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.add_done_callback(_late)
        raise Unavailable(NOT_SAVED)
    return task.result()


def _late(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more; what it raised is for the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("late_press_failed", error=type(error).__name__)


async def pressed_by(desk: SlackDesk, body: Mapping[str, Any]) -> Agent:
    """The agent who pressed. Raises Refused for anybody else."""
    from desk.slack import gate

    key = await gate.agent_of(desk, user_of(body), team_of(body))
    return rights(desk.config(), key).agent


def value_of(action: Mapping[str, Any]) -> str:
    """Of a button, or of what was chosen in a menu."""
    chosen = action.get("selected_option") or {}
    return str(action.get("value") or chosen.get("value") or "")


def sentence(error: BaseException) -> str:
    """What the agent reads. An outage is told in our words, not the database's."""
    return NOT_SAVED if isinstance(error, Unavailable) else str(error)


async def tell(desk: SlackDesk, body: Mapping[str, Any], text: str) -> bool:
    """One sentence that only whoever pressed sees: below the card, on top of a modal, or over their Home."""
    try:
        if body.get("view"):
            await _over(desk, body, text)
            return True
        channel, thread = place_of(body)
        await desk.client.chat_postEphemeral(
            channel=channel,
            user=user_of(body),
            text=text,
            blocks=[plain(text)],
            **({"thread_ts": thread} if thread else {}),
        )
        return True
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        _log.info("not_told_in_channel", error=type(error).__name__)
        return await _answer(body, text)


async def _over(desk: SlackDesk, body: Mapping[str, Any], text: str) -> None:
    modal = (body.get("view") or {}).get("type") == "modal"
    opens = desk.client.views_push if modal else desk.client.views_open
    await opens(trigger_id=str(body.get("trigger_id") or ""), view=said(text))


async def _answer(body: Mapping[str, Any], text: str) -> bool:
    """By the address that Slack gave for answers: it works where the bot is not in the channel."""
    address = body.get("response_url")
    if not address:
        return False
    try:
        answer = await AsyncWebhookClient(str(address)).send(
            text=text, blocks=[plain(text)], response_type="ephemeral", replace_original=False
        )
    except (aiohttp.ClientError, TimeoutError):
        return False
    return bool(answer.status_code == 200)


def place_of(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """(channel, ts of the thread) of the message that was pressed on."""
    box = body.get("container") or {}
    channel = box.get("channel_id") or (body.get("channel") or {}).get("id") or body.get("channel_id") or ""
    message = body.get("message") or {}
    thread = message.get("thread_ts") or box.get("thread_ts") or message.get("ts") or box.get("message_ts")
    if box.get("is_ephemeral"):
        thread = box.get("thread_ts") or message.get("thread_ts")
    return str(channel), str(thread) if thread else None


def plain(text: str) -> dict[str, Any]:
    """A paragraph that Slack does not read for markup."""
    return {"type": "section", "text": {"type": "plain_text", "text": text[:3000] or " ", "emoji": False}}


def said(*paragraphs: str, title: str = "Mainstem", more: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A modal that only says something."""
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": title[:24]},
        "close": {"type": "plain_text", "text": "Close"},
        "blocks": [*(plain(text) for text in paragraphs), *more],
    }


# --------------------------------------------------------------------------------------------------------- listeners

Work = Callable[[Press], Awaitable[None]]
Listener = Callable[..., Awaitable[None]]


def pressed(desk: SlackDesk, work: Work) -> Listener:
    """A listener for buttons, menus and shortcuts: done and acknowledged, or told why not and acknowledged."""

    async def listener(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
        began = time.monotonic()
        actions = body.get("actions") or [{}]
        try:
            agent = await in_time(pressed_by(desk, body), DEADLINE_S)
            await work(Press(desk=desk, agent=agent, body=body, value=value_of(actions[0]), began=began))
        except MainstemError as error:
            level = _log.info if isinstance(error, (Refused, Conflict, NotFound)) else _log.warning
            level("press_refused", action=actions[0].get("action_id"), why=type(error).__name__)
            if not await tell(desk, body, sentence(error)):
                return  # Slack shows its warning beside the button
        await ack()

    return listener
