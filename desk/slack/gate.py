"""Who may act in Slack: members of our own workspace, checked with Slack, whom config/agents.yaml links to an agent.

Guests, people of other companies in a shared channel, bots and whoever left cannot, whatever the configuration says.
Fields of a user: https://docs.slack.dev/reference/objects/user-object; strangers:
https://docs.slack.dev/apis/slack-connect
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from desk.slack.context import SlackDesk
from hub import log
from hub.errors import Refused, Unavailable

_KEEP_S = 300.0  # what Slack said of somebody; `user_change` ends it earlier
_REFUSED_KEEP_S = 30.0  # a "no" is asked for again soon: somebody may have been let in meanwhile
_PEOPLE = 5000  # remembered at once
_log = log.get("slack")

UNLINKED = (
    "You are not linked to an agent here, so nothing was done. Ask whoever looks after config/agents.yaml"
    " to put your Slack member id there: {user}."
)
AWAY = "Slack does not say who you are at the moment. Try again in a few seconds."

# The first that holds is the reason; what Slack does not say counts as no.
_REFUSALS: tuple[tuple[str, str], ...] = (
    ("deleted", "This Slack account was deactivated."),
    ("is_bot", "Bots cannot act here."),
    ("is_workflow_bot", "Bots cannot act here."),
    ("is_stranger", "Only members of our own workspace can act here; you are from another one."),
    ("is_ultra_restricted", "Guests cannot act here."),
    ("is_restricted", "Guests cannot act here."),
)


@dataclass(slots=True)
class _Known:
    """One client's: what Slack said lately. team: our workspace and, on Enterprise Grid, its organisation."""

    team: frozenset[str] = frozenset()
    people: dict[str, tuple[float, str]] = field(
        default_factory=dict
    )  # user -> (until, why not; '' for fine)
    asking: dict[str, asyncio.Future[str]] = field(default_factory=dict)


_known: weakref.WeakKeyDictionary[AsyncWebClient, _Known] = weakref.WeakKeyDictionary()


async def agent_of(desk: SlackDesk, user_id: str, team_id: str | None = None) -> str:
    """The agent whom this Slack user is. team_id: where Slack says they come from; '' where it does not say.

    Raises Refused with one sentence for everybody else, and Unavailable where Slack cannot be asked.
    """
    found = linked(desk, user_id)
    if found is None:
        raise Refused(UNLINKED.format(user=user_id[:20] or "unknown"))
    known = _known.setdefault(desk.client, _Known())
    if team_id and team_id not in await _own(desk, known):
        raise Refused(dict(_REFUSALS)["is_stranger"])
    if why := await _why_not(desk, known, user_id):
        raise Refused(why)
    return found


def linked(desk: SlackDesk, user_id: str) -> str | None:
    """Whom the configuration links to this Slack user; nothing is checked with Slack."""
    if not user_id:
        return None
    agents = desk.config().agents.values()
    return next((agent.key for agent in agents if agent.slack == user_id), None)


def names(desk: SlackDesk) -> dict[str, str]:
    """Slack id -> what people call them, for what is shown of mentions."""
    return {agent.slack: agent.name for agent in desk.config().agents.values() if agent.slack}


def forget(desk: SlackDesk, user_id: str | None = None) -> None:
    """Somebody's account changed (all accounts, without an id): ask Slack again."""
    known = _known.get(desk.client)
    if known is None:
        return
    if user_id is None:
        known.people.clear()
    else:
        known.people.pop(user_id, None)


async def _own(desk: SlackDesk, known: _Known) -> frozenset[str]:
    if not known.team:
        said = await _ask(desk.client.auth_test())
        known.team = frozenset(str(said[name]) for name in ("team_id", "enterprise_id") if said.get(name))
    return known.team


async def _why_not(desk: SlackDesk, known: _Known, user_id: str) -> str:
    """Asked once however many wait for the answer."""
    until, why = known.people.get(user_id, (0.0, ""))
    if time.monotonic() < until:
        return why
    if (asking := known.asking.get(user_id)) is None:
        asking = known.asking[user_id] = asyncio.ensure_future(_find_out(desk, known, user_id))
        asking.add_done_callback(lambda _: known.asking.pop(user_id, None))
    return await asyncio.shield(asking)


async def _find_out(desk: SlackDesk, known: _Known, user_id: str) -> str:
    own = await _own(desk, known)
    try:
        said = await _ask(desk.client.users_info(user=user_id))
    except Refused as error:  # user_not_found, user_not_visible
        return str(error)
    why = why_not(said.get("user") or {}, own)
    if len(known.people) >= _PEOPLE:
        known.people.clear()
    known.people[user_id] = (time.monotonic() + (_REFUSED_KEEP_S if why else _KEEP_S), why)
    if why:
        _log.warning("person_refused", user=user_id, why=why)
    return why


def why_not(user: Mapping[str, Any], own: frozenset[str]) -> str:
    """Why this user may not act; '' where they may."""
    for name, why in _REFUSALS:
        if user.get(name):
            return why
    teams = {str(user.get("team_id") or ""), *((user.get("enterprise_user") or {}).get("teams") or ())}
    if not teams & own:
        return dict(_REFUSALS)["is_stranger"]
    if user.get("is_email_confirmed") is False:
        return "Confirm your e-mail address in Slack first."
    if user.get("is_invited_user"):
        return "Accept the invitation to the workspace first."
    return ""


async def _ask(call: Any) -> Mapping[str, Any]:
    """Raises Refused where Slack knows no such user, Unavailable for whatever may pass."""
    try:
        answer = await call
    except SlackApiError as error:
        code = str(error.response.get("error"))
        if code in ("user_not_found", "user_not_visible"):
            raise Refused("Slack does not know you in this workspace.") from error
        _log.warning("person_not_checked", error=code)
        raise Unavailable(AWAY) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        _log.warning("person_not_checked", error=type(error).__name__)
        raise Unavailable(AWAY) from error
    data = answer.data
    return data if isinstance(data, dict) else {}
