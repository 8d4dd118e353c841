"""One call of Slack's Web API: at its rate, within its time, and with what went wrong put into a few kinds.

https://docs.slack.dev/reference/methods/chat.postMessage#errors
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from workers.slack_rates import SlackRates

# files.* and conversations.* read no JSON body; these do.
_JSON = {"chat.postMessage", "chat.update", "chat.delete", "files.completeUploadExternal"}
_RETRY_AFTER_S = 30.0  # where Slack says "too often" and not for how long


class Trouble(Enum):
    """What can be done about a call that failed."""

    LATER = "later"  # the same call again, after a while
    PLACE = "place"  # nothing can be posted in this channel: its posts stand in the ops channel instead
    TOKEN = "token"  # nothing can be posted at all until somebody mends the app  # noqa: S105
    THREAD = "thread"  # the card is not there any more
    MESSAGE = "message"  # the message is not there any more, or cannot be changed any more
    CONTENT = "content"  # Slack does not take what it was given


_KINDS: Mapping[str, Trouble] = {
    **dict.fromkeys(
        ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
         "team_added_to_org", "message_limit_exceeded", "lost"),
        Trouble.LATER,
    ),
    **dict.fromkeys(
        ("is_archived", "channel_not_found", "not_in_channel", "is_inactive", "channel_is_archived",
         "restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
         "restricted_action_non_threadable_channel", "posting_to_general_channel_denied"),
        Trouble.PLACE,
    ),
    **dict.fromkeys(
        ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
         "missing_scope", "not_allowed_token_type", "org_login_required", "ekm_access_denied", "accesslimited",
         "access_denied", "team_access_not_granted", "enterprise_is_restricted", "two_factor_setup_required"),
        Trouble.TOKEN,
    ),
    **dict.fromkeys(
        ("thread_not_found", "invalid_thread_ts", "cannot_reply_to_message", "restricted_action_thread_locked"),
        Trouble.THREAD,
    ),
    **dict.fromkeys(
        ("message_not_found", "cant_update_message", "edit_window_closed", "cant_delete_message"),
        Trouble.MESSAGE,
    ),
}  # fmt: skip
# After these the call may have had its effect all the same ("it's possible some aspect of the operation succeeded").
_PERHAPS = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "lost"}


class Failed(Exception):
    """why: Slack's code, or what happened to the connection. arrived: it may have had its effect.

    retry_after_s: in Slack's seconds; 0 where it did not say.
    """

    def __init__(self, trouble: Trouble, why: str, *, arrived: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.trouble, self.why = trouble, why
        self.arrived, self.retry_after_s = arrived, retry_after_s


def failed(error: Exception) -> Failed:
    """The kind of what slack_sdk or the connection raised."""
    if not isinstance(error, SlackApiError):
        sent = not isinstance(error, aiohttp.ClientConnectorError)
        return Failed(Trouble.LATER, type(error).__name__, arrived=sent)
    response: Any = error.response
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    data = getattr(response, "data", None)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        headers = {str(k).lower(): v for k, v in dict(response.headers).items()}
        said = str(headers.get("retry-after", ""))
        after = float(said) if said.isdigit() else _RETRY_AFTER_S
        return Failed(Trouble.LATER, "ratelimited", arrived=False, retry_after_s=after)
    if not code:
        return Failed(Trouble.LATER, f"HTTP {status}", arrived=True)
    return Failed(_KINDS.get(code, Trouble.CONTENT), code, arrived=code in _PERHAPS)


class Calls:
    """The calls of one poster."""

    def __init__(self, client: AsyncWebClient, rates: SlackRates) -> None:
        self.client, self.rates = client, rates

    async def now(self, method: str, channel: str = "", **arguments: Any) -> Mapping[str, Any]:
        """The answer's data. The token is taken already. Raises Failed."""
        some = {name: value for name, value in arguments.items() if value is not None}
        if channel:
            some["channel"] = channel
        try:
            if method in _JSON:
                answer = await self.client.api_call(method, json=some)
            else:
                answer = await self.client.api_call(method, params=some)
        except (TimeoutError, SlackApiError, aiohttp.ClientError, OSError) as error:
            problem = failed(error)
            if problem.retry_after_s:
                self.rates.hold(method, channel, problem.retry_after_s)
            raise problem from error
        data: Any = answer.data
        return data if isinstance(data, dict) else {}

    async def at_rate(self, method: str, channel: str = "", **arguments: Any) -> Mapping[str, Any]:
        """The same, once the method's rate allows it."""
        await self.rates.wait(method, channel)
        return await self.now(method, channel, **arguments)
