"""The payloads of clicks, submissions, commands and shortcuts, and the values of inputs.

https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.servers.slack.views import elements
from tests.servers.slack.workspace import File, Json, Trigger, User, View

if TYPE_CHECKING:
    from tests.servers.slack.server import Slack


def base(slack: Slack, user: User, kind: str, *, view: View | None = None, trigger: bool = True) -> Json:
    payload: Json = {
        "type": kind,
        "user": {"id": user.id, "username": user.username, "name": user.username, "team_id": user.team_id},
        "api_app_id": slack.app_id,
        "token": slack.verification_token,
        "team": {"id": slack.team_id, "domain": "acme"},
        "enterprise": None,
        "is_enterprise_install": False,
    }
    if trigger:
        payload["trigger_id"] = new_trigger(slack, user, view)
    return payload


def new_trigger(slack: Slack, user: User, view: View | None = None) -> str:
    trigger_id = f"{len(slack.triggers) + 1}.{slack.ids.new('')}.{slack.ids.new('').lower()}"
    slack.triggers[trigger_id] = Trigger(user.id, slack.clock.now(), view.id if view else None)
    return trigger_id


def new_response_url(slack: Slack, user: User, channel: str, ts: str = "", *, ephemeral: bool = False) -> str:
    key = slack.ids.new("R")
    slack.response_urls[key] = {
        "uses": 0,
        "born": slack.clock.now(),
        "user": user.id,
        "channel": channel,
        "ts": ts,
        "ephemeral": ephemeral,
    }
    return f"{slack.base}/respond/{key}"


def from_message(slack: Slack, user: User, message: Json, channel: str) -> Json:
    """What block_actions and block_suggestion say of the message they come from."""
    ephemeral = bool(message.get("is_ephemeral"))
    container = {
        "type": "message",
        "message_ts": message["ts"],
        "channel_id": channel,
        "is_ephemeral": ephemeral,
    }
    if "thread_ts" in message:
        container["thread_ts"] = message["thread_ts"]
    said: Json = {
        "container": container,
        "channel": {"id": channel, "name": slack.channels[channel].name or "directmessage"},
        "state": {"values": {}},
    }
    if not ephemeral:
        said["message"] = copy.deepcopy(message)
    return said


def from_view(view: View) -> Json:
    return {"container": {"type": "view", "view_id": view.id}, "view": with_state(view)}


def with_state(view: View) -> Json:
    """The view with what its inputs hold: initial values until somebody changes them."""
    shown = copy.deepcopy(view.shown)
    values: dict[str, dict[str, Json]] = {}
    for block, element in elements(shown["blocks"]):
        if element["type"] == "button" or element["type"] == "overflow":
            continue
        held = view.values.get(block["block_id"], {}).get(element["action_id"])
        values.setdefault(block["block_id"], {})[element["action_id"]] = held or initial(element)
    shown["state"] = {"values": values}
    return shown


_INITIAL = {
    "plain_text_input": ("initial_value", "value"),
    "email_text_input": ("initial_value", "value"),
    "url_text_input": ("initial_value", "value"),
    "number_input": ("initial_value", "value"),
    "static_select": ("initial_option", "selected_option"),
    "external_select": ("initial_option", "selected_option"),
    "radio_buttons": ("initial_option", "selected_option"),
    "checkboxes": ("initial_options", "selected_options"),
    "multi_static_select": ("initial_options", "selected_options"),
    "multi_external_select": ("initial_options", "selected_options"),
    "multi_users_select": ("initial_users", "selected_users"),
    "users_select": ("initial_user", "selected_user"),
    "conversations_select": ("initial_conversation", "selected_conversation"),
    "channels_select": ("initial_channel", "selected_channel"),
    "datepicker": ("initial_date", "selected_date"),
    "timepicker": ("initial_time", "selected_time"),
    "datetimepicker": ("initial_date_time", "selected_date_time"),
    "file_input": ("", "files"),
}


def initial(element: Json) -> Json:
    name, held = _INITIAL[element["type"]]
    nothing: Any = [] if held.startswith(("selected_options", "selected_users", "files")) else None
    return {"type": element["type"], held: element.get(name, nothing)}


def options_of(element: Json) -> list[Json]:
    grouped = [option for group in element.get("option_groups", ()) for option in group["options"]]
    return [*element.get("options", ()), *grouped]


def value_for(element: Json, value: Any, offered: list[Json], files: list[File], slack: Slack) -> Json:
    """The value a person gives an input. Raises AssertionError for what Slack would not let them give."""
    kind, (_, held) = element["type"], _INITIAL[element["type"]]
    if kind == "file_input":
        shown = [one.shown(slack.base, slack.team_id) for one in files]
        assert len(shown) <= element.get("max_files", 10), "too many files"
        for one in shown:
            kinds = element.get("filetypes")
            assert not kinds or one["filetype"] in kinds, f"{one['name']} is none of {kinds}"
        return {"type": kind, held: shown}
    if held in ("selected_option", "selected_options"):
        choices = {one["value"]: one for one in options_of(element) + (offered if "external" in kind else [])}
        for one in value if isinstance(value, list | tuple) else [] if value is None else [value]:
            assert one in choices, f"no option {one!r} in {list(choices)}"
        if held == "selected_options":
            assert len(value) <= element.get("max_selected_items", len(value)), "too many options"
            return {"type": kind, held: [choices[one] for one in value]}
        return {"type": kind, held: None if value is None else choices[value]}
    if held == "value" and value is not None:
        length = len(value)
        assert length <= element.get("max_length", 3000), (
            f"{length} characters do not go into {element['action_id']}"
        )
        assert not value or length >= element.get("min_length", 0), (
            f"{element['action_id']} wants more characters"
        )
    return {"type": kind, held: value or None if held == "value" else value}


def filled(held: Json) -> bool:
    return any(value not in (None, "", []) for name, value in held.items() if name != "type")


def action_of(slack: Slack, block: Json, element: Json, value: Any, held: Json | None) -> Json:
    """One of `actions` in block_actions."""
    action: Json = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": slack.ts(),
    }
    if element["type"] == "button":
        action["text"] = element["text"]
        if "value" in element:
            action["value"] = element["value"]
        if "style" in element:
            action["style"] = element["style"]
    elif element["type"] == "overflow":
        chosen = [one for one in element["options"] if one.get("value") == value]
        assert chosen, f"no option {value!r} in {[one.get('value') for one in element['options']]}"
        action["selected_option"] = chosen[0]
    else:
        action |= {name: one for name, one in (held or {}).items() if name != "type"}
        if "placeholder" in element:
            action["placeholder"] = element["placeholder"]
    return action
