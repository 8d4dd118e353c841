"""A person in the workspace: types, reacts, presses, fills in. Their client checks what Slack's client checks.

Each act returns once the app has acknowledged it, or has not within three seconds; what the app does afterwards goes
on.
"""

from __future__ import annotations

import mimetypes
import uuid
from typing import TYPE_CHECKING, Any

from tests.servers.slack import payloads
from tests.servers.slack.blocks import MESSAGE, checked
from tests.servers.slack.richtext import typed
from tests.servers.slack.views import elements, make, push, replace
from tests.servers.slack.workspace import File, Json, User, View

if TYPE_CHECKING:
    from tests.servers.slack.delivery import Delivery
    from tests.servers.slack.server import Slack

Upload = tuple[str, bytes]


class NoAnswer(Exception):
    """The app did not acknowledge within three seconds, or with an error: the person reads of trouble."""


class Person:
    """views: the stack of open modals, the last on top. ephemerals: what only they see, eldest first."""

    def __init__(self, slack: Slack, user: User) -> None:
        self.slack = slack
        self.user = user
        self.offered: dict[str, list[Json]] = {}

    @property
    def id(self) -> str:
        return self.user.id

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def views(self) -> list[View]:
        return self.slack.stacks[self.id]

    @property
    def home(self) -> list[Json]:
        """The blocks of their App Home; [] before anything was published."""
        view = self.slack.homes.get(self.id)
        return view.blocks if view else []

    @property
    def ephemerals(self) -> list[Json]:
        return self.slack.ephemeral[self.id]

    # --------------------------------------------------------------------------------------------------- messages

    async def types(
        self, channel: str, text: str, thread: str | None = None, files: tuple[Upload, ...] = (), **more: Any
    ) -> str:
        """The ts. text: as one types it (richtext.typed)."""
        place = self.slack.channels[channel]
        assert not place.archived, "nobody can write in an archived channel"
        if self.id not in place.members:
            place.members.append(self.id)
        said, blocks = typed(text, self.slack.ids.new("b"))
        message: Json = {"type": "message", "user": self.id, "client_msg_id": str(uuid.uuid4()), "text": said}
        message |= {"team": self.user.team_id} | more
        if blocks:
            message["blocks"] = blocks
        if self.user.team_id != self.slack.team_id:
            message |= {"user_team": self.user.team_id, "source_team": self.user.team_id}
        if files:
            shown = [one.shown(self.slack.base, self.slack.team_id) for one in self._uploaded(files, channel)]
            message |= {"subtype": "file_share", "files": shown, "upload": False, "display_as_bot": False}
        posted, delivery = self.slack.told(place, message, thread=thread)
        await _first(delivery)
        return str(posted["ts"])

    async def edits(self, channel: str, ts: str, text: str) -> None:
        place = self.slack.channels[channel]
        before = place.messages[ts]
        assert before["user"] == self.id, "only one's own messages can be edited"
        said, blocks = typed(text, self.slack.ids.new("b"))
        edited = {"user": self.id, "ts": f"{self.slack.ts().partition('.')[0]}.000000"}
        await _first(self.slack.change(place, before | {"text": said, "blocks": blocks, "edited": edited}))

    async def deletes(self, channel: str, ts: str) -> None:
        place = self.slack.channels[channel]
        await _first(self.slack.remove(place, ts))

    async def reacts(self, channel: str, ts: str, name: str) -> None:
        await _first(self.slack.react(self.slack.channels[channel], ts, name, self.id))

    async def unreacts(self, channel: str, ts: str, name: str) -> None:
        await _first(self.slack.unreact(self.slack.channels[channel], ts, name, self.id))

    async def joins(self, channel: str) -> None:
        await _first(self.slack.joins(self.slack.channels[channel], self.id))

    async def leaves(self, channel: str) -> None:
        await _first(self.slack.leaves(self.slack.channels[channel], self.id))

    async def opens_home(self) -> None:
        """https://docs.slack.dev/reference/events/app_home_opened"""
        event: Json = {
            "type": "app_home_opened",
            "user": self.id,
            "channel": self.slack.direct(self.id).id,
            "tab": "home",
            "event_ts": self.slack.ts(),
        }
        if self.id in self.slack.homes:
            event["view"] = payloads.with_state(self.slack.homes[self.id])
        await _first(self.slack.emit(event))

    async def becomes(self, **changes: Any) -> None:
        """deleted=True, guest=True …: told of by user_change."""
        for name, value in changes.items():
            assert hasattr(self.user, name)
            setattr(self.user, name, value)
        self.user.updated = int(self.slack.stamps.wall())
        shown = self.user.shown(with_email="users:read.email" in self.slack.scopes)
        await _first(self.slack.emit({"type": "user_change", "user": shown, "event_ts": self.slack.ts()}))

    def _uploaded(self, files: tuple[Upload, ...], channel: str | None = None) -> list[File]:
        found = []
        for name, content in files:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            file = File(
                self.slack.ids.new("F"),
                name,
                len(content),
                self.id,
                mimetype=kind,
                content=content,
                complete=True,
            )
            file.channels = [channel] if channel else []
            self.slack.files[file.id] = file
            found.append(file)
        return found

    # -------------------------------------------------------------------------------------------------- pressing

    async def clicks(self, channel: str, ts: str, action_id: str, value: Any = None) -> None:
        """A button of a message or of an ephemeral; with `value`, the button or the option that has it."""
        message = self._shown(channel, ts)
        block, element = _find(message.get("blocks", []), action_id, value)
        payload = payloads.base(self.slack, self.user, "block_actions")
        payload |= payloads.from_message(self.slack, self.user, message, channel)
        ephemeral = bool(message.get("is_ephemeral"))
        payload["response_url"] = payloads.new_response_url(
            self.slack, self.user, channel, ts, ephemeral=ephemeral
        )
        held = None
        if element["type"] not in ("button", "overflow"):
            held = payloads.value_for(element, value, self.offered.get(action_id, []), [], self.slack)
            payload["state"]["values"] = {block["block_id"]: {action_id: held}}
        payload["actions"] = [payloads.action_of(self.slack, block, element, value, held)]
        await self._press(payload)

    async def clicks_home(self, action_id: str, value: Any = None) -> None:
        await self._click_view(self.slack.homes[self.id], action_id, value)

    async def clicks_modal(self, action_id: str, value: Any = None) -> None:
        """A button, menu or dispatching input of the modal on top."""
        await self._click_view(self.views[-1], action_id, value)

    async def enters(self, action_id: str, text: str) -> None:
        """Types into an input of the modal on top. The app hears of it where dispatch_action says so; what
        was typed is kept all the same."""
        view = self.views[-1]
        block, element = _find(view.blocks, action_id)
        held = payloads.value_for(element, text, [], [], self.slack)
        view.values.setdefault(block["block_id"], {})[action_id] = held
        if block.get("dispatch_action"):
            await self._act(view, block, element, text, held)

    async def _click_view(self, view: View, action_id: str, value: Any) -> None:
        block, element = _find(view.blocks, action_id, value)
        held = None
        if element["type"] not in ("button", "overflow"):
            held = payloads.value_for(element, value, self.offered.get(action_id, []), [], self.slack)
            view.values.setdefault(block["block_id"], {})[action_id] = held
            if block["type"] == "input" and not block.get("dispatch_action"):
                return
        await self._act(view, block, element, value, held)

    async def _act(self, view: View, block: Json, element: Json, value: Any, held: Json | None) -> None:
        payload = payloads.base(self.slack, self.user, "block_actions", view=view)
        payload |= payloads.from_view(view)
        payload["actions"] = [payloads.action_of(self.slack, block, element, value, held)]
        await self._press(payload)

    async def searches(self, action_id: str, text: str, channel: str = "", ts: str = "") -> list[Json]:
        """What an external select offers for `text`: in the modal on top, or in a message. At most 100 options."""
        view = None if channel else self.views[-1]
        message = self._shown(channel, ts) if channel else None
        block, element = _find(view.blocks if view else (message or {}).get("blocks", []), action_id)
        assert len(text) >= element.get("min_query_length", 3), "the menu asks for more characters first"
        payload = payloads.base(self.slack, self.user, "block_suggestion", view=view, trigger=False)
        payload |= {"action_id": action_id, "block_id": block["block_id"], "value": text}
        if view:
            payload |= payloads.from_view(view)
        elif message:
            payload |= payloads.from_message(self.slack, self.user, message, channel)
        answer = await self._press(payload) or {}
        offered = payloads.options_of(answer)
        self.offered[action_id] = offered
        return offered

    # ------------------------------------------------------------------------------------------------------ modals

    async def submits(self, values: dict[str, Any] | None = None) -> Json | None:
        """Fill in the modal on top by block_id and press its button. The response_action, or None: it closed.

        Values: text, an option's value, a list of them, a date, [(file name, bytes), …]. Raises AssertionError where
        Slack would not let them submit, NoAnswer where the app did not answer; the modal then stays as it
        is filled in.
        """
        view = self.views[-1]
        by_block = {block["block_id"]: (block, one) for block, one in elements(view.blocks)}
        for block_id, value in (values or {}).items():
            assert block_id in by_block, f"no input {block_id!r} in {list(by_block)}"
            element = by_block[block_id][1]
            uploads = self._uploaded(tuple(value)) if element["type"] == "file_input" else []
            offered = self.offered.get(element["action_id"], [])
            held = payloads.value_for(element, value, offered, uploads, self.slack)
            view.values.setdefault(block_id, {})[element["action_id"]] = held
        return await self.presses_submit()

    async def presses_submit(self) -> Json | None:
        """The button of the modal on top, as it is filled in (once more: a double submit)."""
        view = self.views[-1]
        assert view.shown.get("submit"), "the modal has no button to submit"
        shown = payloads.with_state(view)
        for block in view.blocks:
            if block["type"] == "input" and not block.get("optional"):
                held = shown["state"]["values"][block["block_id"]][block["element"]["action_id"]]
                assert payloads.filled(held), f"{block['block_id']} must be filled in"
        payload = payloads.base(self.slack, self.user, "view_submission", view=view)
        payload |= {"view": shown, "response_urls": []}
        answer = await self._press(payload)
        if view not in self.views:
            return answer or None
        return self._carry_out(view, answer)

    def _carry_out(self, view: View, answer: Json | None) -> Json | None:
        """https://docs.slack.dev/surfaces/modals#updating_response"""
        if not answer:
            self.views.remove(view)
            return None
        action = answer.get("response_action")
        if action == "errors":
            inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
            errors = answer.get("errors") or {}
            assert errors
            assert set(errors) <= inputs, f"errors for blocks that are no inputs: {set(errors) - inputs}"
            view.errors = dict(errors)
        elif action == "update":
            replace(self.slack, view, answer["view"])
        elif action == "push":
            push(self.views, make(self.slack, self.id, "modal", answer["view"]))
        elif action == "clear":
            self.views.clear()
        else:
            raise AssertionError(f"no such response_action: {answer}")
        return answer

    async def cancels(self) -> None:
        """Close the modal on top; the app is told where notify_on_close says so."""
        view = self.views.pop()
        if view.shown["notify_on_close"]:
            payload = payloads.base(self.slack, self.user, "view_closed", trigger=False)
            await self._press(payload | {"view": payloads.with_state(view), "is_cleared": False})

    # -------------------------------------------------------------------------------------- commands and shortcuts

    async def commands(self, command: str, text: str, channel: str) -> Json | None:
        """A slash command; what the app answered. https://docs.slack.dev/interactivity/implementing-slash-commands"""
        known = [one["command"] for one in self.slack.manifest["features"].get("slash_commands", [])]
        assert "commands" in self.slack.scopes
        assert command in known, f"no command {command} in {known}"
        place = self.slack.channels[channel]
        payload: Json = {
            "token": self.slack.verification_token,
            "team_id": self.slack.team_id,
            "team_domain": "acme",
            "channel_id": channel,
            "channel_name": place.name or "directmessage",
            "user_id": self.id,
            "user_name": self.user.username,
            "command": command,
            "text": text,
            "api_app_id": self.slack.app_id,
            "is_enterprise_install": "false",
            "response_url": payloads.new_response_url(self.slack, self.user, channel),
            "trigger_id": payloads.new_trigger(self.slack, self.user),
        }
        answer = await self._press(payload, kind="slash_commands")
        if answer and (answer.get("text") or answer.get("blocks")):
            shown = {
                "text": answer.get("text", ""),
                "channel": channel,
                "ts": self.slack.ts(),
                "is_ephemeral": True,
            }
            if answer.get("blocks"):
                shown["blocks"] = checked(answer["blocks"], MESSAGE, self.slack.ids)
            if answer.get("response_type") == "in_channel":
                self.slack.post(place, shown)
            else:
                self.ephemerals.append(shown)
        return answer

    async def shortcut(self, callback_id: str, channel: str, ts: str) -> None:
        """A message shortcut. https://docs.slack.dev/interactivity/implementing-shortcuts"""
        known = [one["callback_id"] for one in self.slack.manifest["features"].get("shortcuts", [])]
        assert callback_id in known, f"no shortcut {callback_id} in {known}"
        message = self.slack.message(channel, ts)
        payload = payloads.base(self.slack, self.user, "message_action")
        payload |= {
            "callback_id": callback_id,
            "action_ts": self.slack.ts(),
            "channel": {"id": channel, "name": self.slack.channels[channel].name},
            "message_ts": ts,
            "message": dict(message),
            "response_url": payloads.new_response_url(self.slack, self.user, channel, ts),
        }
        await self._press(payload)

    # ------------------------------------------------------------------------------------------------------- inside

    def _shown(self, channel: str, ts: str) -> Json:
        for one in self.ephemerals:
            if one["ts"] == ts and one["channel"] == channel:
                return one
        return self.slack.message(channel, ts)

    async def _press(self, payload: Json, kind: str = "interactive") -> Json | None:
        delivery = self.slack.door.send(kind, payload)
        if not await delivery.first:
            raise NoAnswer(f"{payload.get('type', kind)}: {delivery.tries}")
        answer: Json | None = delivery.answer
        return answer


async def _first(delivery: Delivery | None) -> None:
    if delivery is not None:
        await delivery.first


def _find(blocks: list[Json], action_id: str, value: Any = None) -> tuple[Json, Json]:
    found = [(block, one) for block, one in elements(blocks) if one["action_id"] == action_id]
    if value is not None:
        buttons = [pair for pair in found if pair[1]["type"] == "button" and pair[1].get("value") == value]
        options = [
            pair
            for pair in found
            if pair[1]["type"] == "overflow" and value in [one.get("value") for one in pair[1]["options"]]
        ]
        found = buttons or options or [pair for pair in found if pair[1]["type"] != "button"]
    names = [(one["action_id"], one.get("value")) for _, one in elements(blocks)]
    assert found, f"nothing to press called {action_id!r} ({value!r}) in {names}"
    return found[0]
