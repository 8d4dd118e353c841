"""What doctor says of accounts at providers: how asking goes, and how each stands there now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from connectors import CONNECTORS, accounts
from connectors.base import Examines, Hooks, Polls
from hub import clock
from hub.errors import NotFound, Refused, SendError
from hub.settings import Settings
from mainstem import demo_accounts
from mainstem.doctor import Finding, Level

if TYPE_CHECKING:
    import aiohttp

    from connectors.base import Wire
    from crm_store.sources import Reading
    from hub.config import Account, Config

_PART = "channels"
_LATE_S = 900.0  # a look lasts half a minute, and every account is noted twice a minute
_ANSWER_S = 10.0  # of a provider, for all that is asked of one account
_COST = "what came in waits at the provider, for as long as its page in docs/channels/ says"


def examine(settings: Settings) -> Iterator[Finding]:
    """Nothing where no account polls or can be examined; never raises for what a provider says or does not say."""
    from crm_store import sources
    from crm_store.db import Store
    from hub.secrets import load_key
    from mainstem.prepare import in_force

    store = Store.open(settings.database, pool_size=1)
    try:
        config = in_force(store)
        with store.read() as tx:
            readings = {reading.account: reading for reading in sources.readings(tx)}
    finally:
        store.close()
    if config is None:
        return
    good, _ = accounts.resolve(config, os.environ, load_key(settings))
    for account in good.values():
        connector: object = CONNECTORS[account.connector]
        if isinstance(connector, Polls) and connector.polls(account):
            yield _polling(account, readings.get(account.key))
    asked = demo_accounts.others(good.values(), os.environ)
    if len(asked) < len(good):
        said = f"the providers of the accounts …/{demo_accounts.NAME} are the demo's stand-ins"
        yield Finding(_PART, Level.GREEN, said)
    yield from asyncio.run(_answers(settings, asked))


def _polling(account: Account, reading: Reading | None) -> Finding:
    if reading is None:
        return Finding(
            _PART, Level.YELLOW, f"{account.key} was never polled: is `mainstem pull` running?", _COST
        )
    if reading.why:
        said = f"{account.key} cannot be polled: {reading.why}"
        if reading.next_at is not None:
            said += f" (tried again at {reading.next_at:%H:%M:%S} UTC)"
        return Finding(_PART, Level.RED, said, _COST)
    ago = (clock.system() - reading.at).total_seconds()
    if ago > _LATE_S:
        said = f"{account.key} was last polled {ago / 60:,.0f} minutes ago: is `mainstem pull` running?"
        return Finding(_PART, Level.RED, said, _COST)
    return Finding(_PART, Level.GREEN, f"{account.key} was polled {ago:.0f} s ago")


async def _answers(settings: Settings, found: list[Account]) -> list[Finding]:
    """All providers are asked at once."""
    from connectors.http import guarded_session

    async with guarded_session(allow_private=settings.allow_private_targets, total_s=_ANSWER_S) as http:
        wire = wire_of(settings, http)
        asked = [
            _stands(account, wire) for account in found if isinstance(CONNECTORS[account.connector], Examines)
        ]
        return [finding for findings in await asyncio.gather(*asked) for finding in findings]


async def _stands(account: Account, wire: Wire) -> list[Finding]:
    connector: object = CONNECTORS[account.connector]
    assert isinstance(connector, Examines)
    try:
        async with asyncio.timeout(_ANSWER_S):
            seen = await connector.examine(account, wire)
    except SendError as error:
        return [Finding(_PART, Level.RED, f"{account.key}: {error.detail}", _COST)]
    except TimeoutError:
        return [
            Finding(
                _PART, Level.RED, f"{account.key}: its provider does not answer in {_ANSWER_S:g} s", _COST
            )
        ]
    return [
        Finding(_PART, Level.RED, f"{account.key}: {one.what}. {one.wrong}", _COST)
        if one.wrong
        else Finding(_PART, Level.GREEN, f"{account.key}: {one.what}")
        for one in seen
    ]


def wire_of(settings: Settings, http: aiohttp.ClientSession) -> Wire:
    """For a look at a provider from the command line: no Redis is needed for that."""
    from connectors.base import Wire
    from connectors.kept import FOLDER, Kept
    from hub.blobs import Reader, of

    return Wire(
        http=http,
        redis=None,
        blobs=Reader(of(settings)),
        public_url=settings.public_address,
        now=clock.system(),
        kept=Kept(settings.data / FOLDER),
    )


def hook(settings: Settings, config: Config, key: str) -> str:
    """Tell the provider of this account where to send what comes in. Raises NotFound, Refused."""
    from hub.secrets import load_key

    good, troubles = accounts.resolve(config, os.environ, load_key(settings))
    if key not in good:
        able = [name for name, account in good.items() if isinstance(CONNECTORS[account.connector], Hooks)]
        if key in troubles:
            raise NotFound(f"{key} does not work: {troubles[key]}")
        if key in config.accounts:
            raise NotFound(f"{key} is switched off (enabled: false)")
        raise NotFound(f"there is no account {key}; there are {', '.join(sorted(able)) or 'none to hook'}")
    connector: object = CONNECTORS[good[key].connector]
    if not isinstance(connector, Hooks):
        raise NotFound(
            f"{key} needs no such call, or is set up by hand: docs/channels/{good[key].connector}.md says how"
        )
    try:
        return asyncio.run(_hook(settings, connector, good[key]))
    except SendError as error:
        raise Refused(f"{key}: {error.detail}") from None


async def _hook(settings: Settings, connector: Hooks, account: Account) -> str:
    from connectors.http import guarded_session

    async with guarded_session(allow_private=settings.allow_private_targets) as http:
        return await connector.hook(account, wire_of(settings, http))
