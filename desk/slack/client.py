"""The Web API client: one shared session (a call costs half of what a session of its own does), bounded in time.

Its own retries are off. What may be repeated is decided where it is known whether that is harmless: a post is looked
for before it is posted again.
"""

from __future__ import annotations

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from hub.settings import Settings

CALL_S = 10


def session() -> aiohttp.ClientSession:
    """Close it when the process ends."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=CALL_S), connector=aiohttp.TCPConnector(limit=50)
    )


def make(settings: Settings, shared: aiohttp.ClientSession) -> AsyncWebClient:
    """Asserts that a bot token is set."""
    assert settings.slack_bot_token is not None
    return AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api,
        session=shared,
        timeout=CALL_S,
        retry_handlers=[],
    )
