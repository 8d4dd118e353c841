"""The end of a server that runs in a test's own process."""

import asyncio

from aiohttp import web

_TURNS = 5


async def closed(runner: web.BaseRunner) -> None:
    """Cleaned up, with those who were just being let in: their transports would outlive the loop, and be warned of."""
    for site in list(runner.sites):
        await site.stop()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    await runner.cleanup()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
