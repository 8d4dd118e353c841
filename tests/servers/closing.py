"""The end of a server that runs in a test's own process."""

import asyncio

from aiohttp import web

_TURNS = 5
_cleanup = web.BaseRunner.cleanup


async def cleanup(runner: web.BaseRunner) -> None:
    """With those who were just being let in, too: their transports would outlive the loop, and be warned of."""
    for site in list(runner.sites):
        await site.stop()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    await _cleanup(runner)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
