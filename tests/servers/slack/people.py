"""Methods about who calls and whom it sees: auth.test, users.*, team.info, apps.connections.open."""

from __future__ import annotations

from typing import TypeVar

from tests.servers.slack.api import ApiError, Call, method
from tests.servers.slack.workspace import Json, User

T = TypeVar("T")

TIER_1, TIER_2, TIER_3, TIER_4 = 1, 20, 50, 100


@method("api.test", "error foo", tier=TIER_4)
def api_test(call: Call) -> Json:
    if call.error:
        raise ApiError(call.error)
    return {"args": call.args}


@method("auth.test", tier=None)
def auth_test(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/auth.test ("hundreds a minute")"""
    slack = call.slack
    if call.token == slack.app_token:
        return {"app_id": slack.app_id, "app_name": "Mainstem"}
    return {
        "url": "https://acme.slack.com/",
        "team": slack.team,
        "user": slack.users[slack.bot_user_id].username,
        "team_id": slack.team_id,
        "user_id": slack.bot_user_id,
        "bot_id": slack.bot_id,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", scopes=("connections:write",), tier=TIER_1, app_token=True)
def connections_open(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/apps.connections.open"""
    slack = call.slack
    if not slack.manifest["settings"].get("socket_mode_enabled", True):
        raise ApiError("forbidden_team")
    link = slack.base.replace("http://", "ws://")
    return {"url": f"{link}/link/?ticket={slack.door.ticket()}&app_id={slack.app_id}"}


@method("team.info", "team domain", scopes=("team:read",), tier=TIER_3, takes_json=False)
def team_info(call: Call) -> Json:
    slack = call.slack
    return {
        "team": {"id": slack.team_id, "name": slack.team, "domain": "acme", "url": "https://acme.slack.com/"}
    }


@method("bots.info", "bot team_id", scopes=("users:read",), tier=TIER_3, takes_json=False)
def bots_info(call: Call) -> Json:
    slack = call.slack
    if call.bot != slack.bot_id:
        raise ApiError("bot_not_found")
    name = slack.users[slack.bot_user_id].name
    return {
        "bot": {
            "id": slack.bot_id,
            "deleted": False,
            "name": name,
            "app_id": slack.app_id,
            "user_id": slack.bot_user_id,
        }
    }


@method("users.info", "user! include_locale:bool", scopes=("users:read",), tier=TIER_4, takes_json=False)
def users_info(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/users.info"""
    return {"user": _shown(call, known(call, call.user))}


@method(
    "users.list",
    "cursor limit:int include_locale:bool team_id",
    scopes=("users:read",),
    tier=TIER_2,
    takes_json=False,
)
def users_list(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/users.list"""
    users = [one for one in call.slack.users.values() if not one.stranger]
    found, cursor = page(users, call.cursor, call.limit or 1000)
    return {
        "members": [_shown(call, one) for one in found],
        "response_metadata": {"next_cursor": cursor},
    }


@method("users.lookupByEmail", "email!", scopes=("users:read.email",), tier=TIER_3, takes_json=False)
def users_lookup(call: Call) -> Json:
    """https://docs.slack.dev/reference/methods/users.lookupByEmail"""
    for one in call.slack.users.values():
        if one.email and one.email.lower() == call.email.lower() and not one.deleted:
            return {"user": _shown(call, one)}
    raise ApiError("users_not_found")


def _shown(call: Call, user: User) -> Json:
    shown = user.shown(with_email="users:read.email" in call.slack.scopes)
    if user.id == call.slack.bot_user_id:
        shown["profile"] |= {"bot_id": call.slack.bot_id, "api_app_id": call.slack.app_id}
    return shown


def known(call: Call, user_id: str) -> User:
    user = call.slack.users.get(user_id)
    if user is None:
        raise ApiError("user_not_found")
    return user


def page(found: list[T], cursor: str | None, limit: int) -> tuple[list[T], str]:
    """One page, and the cursor of the next or "". https://docs.slack.dev/apis/web-api/pagination"""
    if limit < 1 or limit > 1000:
        raise ApiError("invalid_limit")
    try:
        start = int(bytes.fromhex(cursor)) if cursor else 0
    except ValueError:
        raise ApiError("invalid_cursor") from None
    end = start + limit
    return found[start:end], str(end).encode().hex() if end < len(found) else ""
