"""Modals and App Home. https://docs.slack.dev/surfaces/modals, https://docs.slack.dev/surfaces/app-home"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING

from tests.servers.slack.api import ApiError, Call, method
from tests.servers.slack.blocks import view_checked
from tests.servers.slack.people import TIER_4, known
from tests.servers.slack.workspace import Json, Trigger, View

if TYPE_CHECKING:
    from tests.servers.slack.server import Slack

TRIGGER_S = 3.0  # https://docs.slack.dev/interactivity/handling-user-interaction#modal_responses
STACK = 3  # https://docs.slack.dev/surfaces/modals: "push_limit_reached"
LARGEST = 250 * 1024  # view_too_large


@method("views.open", "trigger_id interactivity_pointer view!:dict", tier=TIER_4)
def views_open(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/views.open"""
    trigger = _exchange(call)
    stack = call.slack.stacks[trigger.user]
    view = _new(call, trigger.user, "modal")
    stack[:] = [view]
    view.shown |= {"root_view_id": view.id, "previous_view_id": None}
    return {"view": view.shown}


@method("views.push", "trigger_id interactivity_pointer view!:dict", tier=TIER_4)
def views_push(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/views.push: only by a trigger of an open modal."""
    trigger = _exchange(call)
    stack = call.slack.stacks[trigger.user]
    if trigger.view not in [one.id for one in stack]:
        raise ApiError("not_found")
    view = _new(call, trigger.user, "modal")
    push(stack, view)
    return {"view": view.shown}


@method("views.update", "view!:dict external_id view_id hash", tier=TIER_4)
def views_update(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/views.update"""
    views = call.slack.views
    if call.external_id:
        view = next((one for one in views.values() if one.external_id == call.external_id), None)
    else:
        view = views.get(call.view_id or "")
    if view is None or view not in call.slack.stacks[view.user]:
        raise ApiError("not_found")
    if call.hash is not None and call.hash != view.hash:
        raise ApiError("hash_conflict")
    replace(call.slack, view, call.view)
    return {"view": view.shown}


@method("views.publish", "user_id! view!:dict hash", tier=TIER_4)
def views_publish(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/views.publish"""
    slack = call.slack
    user = known(call, call.user_id)
    before = slack.homes.get(user.id)
    if call.hash is not None and before is not None and call.hash != before.hash:
        raise ApiError("hash_conflict")
    if not slack.manifest["features"].get("app_home", {}).get("home_tab_enabled"):
        raise ApiError("not_enabled")
    if before is None:
        slack.homes[user.id] = _new(call, user.id, "home")
    else:
        replace(slack, before, call.view)
    return {"view": slack.homes[user.id].shown}


def _exchange(call: Call) -> Trigger:
    """The trigger, which is then spent."""
    trigger = call.slack.triggers.get(call.trigger_id or "")
    if trigger is None:
        raise ApiError("invalid_trigger_id")
    if trigger.used:
        raise ApiError("exchanged_trigger_id")
    if call.slack.clock.now() - trigger.born > TRIGGER_S:
        raise ApiError("expired_trigger_id")
    trigger.used = True
    return trigger


def _new(call: Call, user: str, kind: str) -> View:
    return make(call.slack, user, kind, call.view)


def make(slack: Slack, user: str, kind: str, given: Json) -> View:
    """A new view of somebody's, checked. Raises ApiError."""
    view = View(_shown(slack, kind, given, slack.ids.new("V")), user)
    if view.external_id and any(one.external_id == view.external_id for one in slack.views.values()):
        raise ApiError("duplicate_external_id")
    slack.views[view.id] = view
    return view


def push(stack: list[View], view: View) -> None:
    if len(stack) >= STACK:
        raise ApiError("push_limit_reached")
    view.shown |= {"root_view_id": stack[0].id, "previous_view_id": stack[-1].id}
    stack.append(view)


def replace(slack: Slack, view: View, given: Json) -> None:
    """The view is drawn anew. What was typed stays where block_id and action_id stay; initial values count for new
    inputs alone."""
    after = _shown(slack, view.shown["type"], given, view.id)
    for name in ("root_view_id", "previous_view_id"):
        after[name] = view.shown.get(name)
    view.shown = after
    view.errors = {}
    inputs = {(block["block_id"], element["action_id"]) for block, element in elements(after["blocks"])}
    view.values = {
        block_id: kept
        for block_id, by_action in view.values.items()
        if (kept := {name: value for name, value in by_action.items() if (block_id, name) in inputs})
    }


def elements(blocks: list[Json]) -> list[tuple[Json, Json]]:
    """Every interactive element with its block."""
    found = []
    for block in blocks:
        candidates = [block.get("element"), block.get("accessory"), *block.get("elements", ())]
        found += [(block, one) for one in candidates if isinstance(one, dict) and "action_id" in one]
    return found


def _shown(slack: Slack, kind: str, given: Json, view_id: str) -> Json:
    if given.get("type") != kind:
        raise ApiError("invalid_arguments", f"view.type must be {kind}")
    if len(json.dumps(given)) > LARGEST:
        raise ApiError("view_too_large")
    checked = view_checked(given, slack.ids)
    return {
        "id": view_id,
        "team_id": slack.team_id,
        "type": kind,
        "title": checked.get("title"),
        "submit": checked.get("submit"),
        "close": checked.get("close"),
        "blocks": checked["blocks"],
        "private_metadata": checked.get("private_metadata", ""),
        "callback_id": checked.get("callback_id", ""),
        "external_id": checked.get("external_id", ""),
        "clear_on_close": checked.get("clear_on_close", False),
        "notify_on_close": checked.get("notify_on_close", False),
        "state": {"values": {}},
        "hash": f"{int(slack.stamps.wall())}.{hashlib.sha256(secrets.token_bytes(8)).hexdigest()[:8]}",
        "root_view_id": view_id,
        "previous_view_id": None,
        "app_id": slack.app_id,
        "app_installed_team_id": slack.team_id,
        "bot_id": slack.bot_id,
    }
