"""One press of a button, menu, shortcut or command: who pressed, on what, and how they are answered.

Slack gives three seconds and never asks again, and shows a warning where nothing was acknowledged. So a press is
acknowledged only when what it asks for stands in the store, or when the agent has been told in a sentence why not;
anything else is left to Slack's warning. https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook.async_client import AsyncWebhookClient
from sqlalchemy import Connection

from desk.rights import leads, rights
from desk.slack import gate
from desk.slack.blocks import View, modal, plain
from desk.slack.context import SlackDesk
from desk.slack.modals import block_of
from hub import log
from hub.config import Agent
from hub.errors import Conflict, MainstemError, NotFound, Refused, Unavailable

__all__ = ["About", "Press", "Wrong", "pressed", "said", "submitted", "tell", "whole"]

T = TypeVar("T")

DEADLINE_S = 2.5  # of Slack's three seconds; the rest is the way back
FIRST_S = 1.2  # a modal that is not ready by then is opened empty: a trigger is good for three seconds
PATIENCE_S = 20.0  # for what fills it
_BIGGEST = (1 << 63) - 1
_log = log.get("slack")

NOT_SAVED = "The store does not answer, so this may not have been saved. Nothing is lost here; press again in a moment."


class Wrong(Refused):
    """Refused because of one input of a modal: where the sentence is to stand."""

    def __init__(self, action: str, text: str) -> None:
        super().__init__(text)
        self.action = action


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a modal is about; it travels in its private_metadata.

    key: made when the modal opened, so that however often it is submitted, it is done once. seen: the newest inbound
    interaction that the agent saw in it. event: the newest of the conversation's events then. files_of: an interaction
    whose files go along with the reply. ready: the ready-made reply that was picked, to be filled. way: by which it
    goes, where the window has no menu of them.
    """

    conversation: int = 0
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: int | None = None
    event: int = 0
    queue: str = ""
    files_of: int | None = None
    ready: str = ""
    way: str = ""

    def text(self) -> str:
        return json.dumps(
            {name: value for name in self.__slots__ if (value := getattr(self, name))}, separators=(",", ":")
        )


def about(view: Mapping[str, Any]) -> About:
    """What a view's private_metadata says. Raises Refused for a view that is none of ours."""
    try:
        return About(**json.loads(view.get("private_metadata") or "{}"))
    except (TypeError, ValueError):
        raise Refused("This window is of another version. Close it and begin again.") from None


@dataclass(frozen=True, kw_only=True)
class Press:
    """body: what Slack sent, as it came. value: of the button, or of the option that was chosen. began: by the
    monotonic clock."""

    desk: SlackDesk
    agent: Agent
    body: Mapping[str, Any]
    ack: AsyncAck
    value: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def user(self) -> str:
        """The Slack id of who pressed."""
        return user_of(self.body)

    @property
    def action(self) -> str:
        """The action_id of what was pressed; empty for what has none."""
        return str((self.body.get("actions") or [{}])[0].get("action_id") or "")

    @property
    def leads(self) -> bool:
        return leads(self.agent)

    @property
    def by(self) -> str:
        return f"agent:{self.agent.key}"

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
    def in_home(self) -> bool:
        return self.view.get("type") == "home"

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

    async def open(self, view: View) -> str:
        """Show a modal, on top of the one it was pressed in; its id. Raises Refused where Slack does not take it."""
        opens = self.desk.client.views_push if self.in_modal else self.desk.client.views_open
        try:
            answer = await opens(trigger_id=self.trigger, view=view)
        except SlackApiError as error:
            code = str(error.response.get("error"))
            _log.warning("modal_not_opened", error=code, view=view.get("callback_id"))
            raise Refused(_NOT_OPENED.get(code, f"Slack did not open the window ({code}).")) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused("Slack did not open the window. Press again.") from error
        return str(answer["view"]["id"])

    async def update(self, view: View, view_id: str | None = None, *, force: bool = False) -> bool:
        """Draw a modal anew; False where it is gone, or (unless forced) was drawn anew since this press."""
        known: dict[str, Any] = {}
        if view_id is None and not force and self.view.get("hash"):
            known["hash"] = self.view["hash"]
        try:
            await self.desk.client.views_update(view_id=view_id or str(self.view["id"]), view=view, **known)
        except SlackApiError as error:
            _log.info("modal_not_updated", error=str(error.response.get("error")))
            return False
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.info("modal_not_updated", error=type(error).__name__)
            return False
        return True

    async def show(self, build: Callable[[], View], *, instead: bool = False) -> None:
        """The modal that `build` makes out of the store, in a thread. A slow store does not lose the press: an empty
        window is opened in time and filled when it can be. instead: of the modal it was pressed in, not on top."""
        making = asyncio.ensure_future(self.desk.do(build))
        if instead and self.in_modal:
            await self.update(await in_time(making, self.left_s()), force=True)
            return
        done, _ = await asyncio.wait({making}, timeout=FIRST_S)
        if done:
            await self.open(making.result())
            return
        view_id = await self.open(said("One moment …"))
        await self.ack()
        try:
            view = await in_time(making, PATIENCE_S)
        except MainstemError as error:
            view = said(sentence(error))
        await self.update(view, view_id)

    async def tell(self, text: str) -> bool:
        """One sentence that only they see; False where Slack did not take it."""
        return await tell(self.desk, self.body, text)


_NOT_OPENED = {
    "expired_trigger_id": "That took longer than Slack waits. Press again.",
    "exchanged_trigger_id": "That was pressed twice; the first press counts.",
    "push_limit_reached": "There are too many windows on top of each other. Close one.",
}


def whole(text: str) -> int:
    """An id that the store can hold. Raises NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _BIGGEST):
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


async def agent_of(desk: SlackDesk, body: Mapping[str, Any]) -> Agent:
    """The agent who pressed. Raises Refused for anybody else."""
    key = await gate.agent_of(desk, user_of(body), team_of(body))
    return rights(desk.config(), key).agent


def value_of(action: Mapping[str, Any]) -> str:
    """Of a button, or of what was chosen in a menu."""
    chosen = action.get("selected_option") or {}
    return str(action.get("value") or chosen.get("value") or "")


def sentence(error: BaseException) -> str:
    """What the agent reads. An outage of the store is told in our words, not the database's."""
    away = isinstance(error, Unavailable) and "database" in str(error)
    return NOT_SAVED if away else str(error)


# ------------------------------------------------------------------------------------------------- telling why not


async def tell(desk: SlackDesk, body: Mapping[str, Any], text: str) -> bool:
    """One sentence that only whoever pressed sees: below the card, on top of a modal, or over their Home."""
    try:
        if body.get("view"):
            pressed_in_modal = body["view"].get("type") == "modal"
            opens = desk.client.views_push if pressed_in_modal else desk.client.views_open
            await opens(trigger_id=str(body.get("trigger_id") or ""), view=said(text))
            return True
        channel, thread = place_of(body)
        await desk.client.chat_postEphemeral(
            channel=channel, user=user_of(body), text=text, blocks=[paragraph(text)], thread_ts=thread
        )
        return True
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        _log.info("not_told_in_place", error=type(error).__name__)
        return await answer(body, text=text, blocks=[paragraph(text)])


async def answer(body: Mapping[str, Any], **message: Any) -> bool:
    """By the address that Slack gives for answers, which works where the bot is not in the channel. With
    delete_original: the ephemeral question that was pressed goes."""
    address = body.get("response_url")
    if not address:
        return False
    if "text" in message:
        message |= {"response_type": "ephemeral", "replace_original": False}
    try:
        got = await AsyncWebhookClient(str(address), timeout=5).send(**message)
    except (aiohttp.ClientError, TimeoutError):
        return False
    return bool(got.status_code == 200)


def place_of(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """(channel, ts of the thread) in which it was pressed."""
    box, message = body.get("container") or {}, body.get("message") or {}
    channel = box.get("channel_id") or (body.get("channel") or {}).get("id") or body.get("channel_id") or ""
    thread = message.get("thread_ts") or box.get("thread_ts")
    if not thread and not box.get("is_ephemeral"):
        thread = message.get("ts") or box.get("message_ts")
    return str(channel), str(thread) if thread else None


def paragraph(text: str) -> dict[str, Any]:
    """A paragraph that Slack does not read for markup."""
    return {"type": "section", "text": plain(text, 3000)}


def said(*paragraphs: str, title: str = "Mainstem", more: tuple[dict[str, Any], ...] = ()) -> View:
    """A modal that only says something."""
    return modal("said", title, [*(paragraph(text) for text in paragraphs), *more], close="Close")


# --------------------------------------------------------------------------------------------------------- listeners

Work = Callable[[Press], Awaitable[None]]
Submit = Callable[[Press], Awaitable[dict[str, Any] | None]]
Listener = Callable[..., Awaitable[None]]


def pressed(desk: SlackDesk, work: Work) -> Listener:
    """A listener for buttons, menus and shortcuts: done and acknowledged, or told why not and acknowledged."""

    async def listener(ack: AsyncAck, body: dict[str, Any]) -> None:
        began = time.monotonic()
        action = (body.get("actions") or [{}])[0]
        try:
            agent = await in_time(agent_of(desk, body), DEADLINE_S)
            await work(Press(desk=desk, agent=agent, body=body, ack=ack, value=value_of(action), began=began))
        except MainstemError as error:
            _refused(error, action.get("action_id") or body.get("callback_id"))
            if not await tell(desk, body, sentence(error)):
                return  # Slack shows its warning beside the button
        await ack()

    return listener


def submitted(desk: SlackDesk, work: Submit) -> Listener:
    """A listener for a modal's button. What is refused stands below the input it concerns, and what was typed stays.

    Submissions of one modal wait for each other, so that the second finds what the first did.
    """
    turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def listener(ack: AsyncAck, body: dict[str, Any]) -> None:
        began = time.monotonic()
        view = body["view"]
        turn = turns.setdefault(str(view["id"]), asyncio.Lock())
        try:
            agent = await in_time(agent_of(desk, body), DEADLINE_S)
            press = Press(desk=desk, agent=agent, body=body, ack=ack, began=began)
            async with asyncio.timeout(press.left_s()):
                await turn.acquire()
            try:
                response = await work(press)
            finally:
                turn.release()
        except TimeoutError:
            await ack(_kept(view, Unavailable(NOT_SAVED)))
        except MainstemError as error:
            _refused(error, view.get("callback_id"))
            await ack(_kept(view, error))
        else:
            await (ack(response) if response else ack())

    return listener


def _kept(view: Mapping[str, Any], error: MainstemError) -> dict[str, Any]:
    """The answer that keeps a modal as it is, with the sentence in it."""
    inputs = [str(block["block_id"]) for block in view.get("blocks") or () if block.get("type") == "input"]
    at = [block_of(view, action) for action in (getattr(error, "action", ""), "text", "reason") if action]
    place = next((block for block in at if block in inputs), inputs[0] if inputs else None)
    if place is None:
        return {"response_action": "update", "view": said(sentence(error))}
    return {"response_action": "errors", "errors": {place: sentence(error)}}


def _refused(error: MainstemError, what: object) -> None:
    told = _log.info if isinstance(error, (Refused, Conflict, NotFound)) else _log.warning
    told("press_refused", what=what, why=type(error).__name__)
