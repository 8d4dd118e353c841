"""A token of Instagram Login lives for 60 days, and is renewed by whoever makes a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.base import Examines
from connectors.kept import Kept
from hub.config import Account
from hub.model import Sent
from tests.connectors.social_world import Place, place
from tests.servers.graph import Instagram

DAY_S = 86_400.0


class Shop:
    """The account as it was configured once, while its tokens change at Instagram."""

    def __init__(self, found: Place, folder: Path) -> None:
        assert isinstance(found.meta, Instagram)
        self.place, self.meta, self.folder = found, found.meta, folder
        self.configured = found.account

    async def sends(self, account: Account | None = None) -> Sent:
        found = self.place
        await found.bo.says("Hello")
        way = replace(found.way, now=found.now, kept=Kept(self.folder))
        return await found.connector.send(found.to_bo(heard_at=found.now), account or self.configured, way)

    async def passes(self, days: float) -> None:
        await self.place.graph.passes(days * DAY_S)

    @property
    def renewals(self) -> list[int]:
        """What Instagram said to each."""
        return [one.status for one in self.place.graph.requests if one.path == "/refresh_access_token"]

    @property
    def used(self) -> str:
        return self.place.graph.requests[-1].headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with place("instagram", login="instagram") as found:
        yield Shop(found, tmp_path / "kept")


async def test_a_token_outlives_its_sixty_days(shop: Shop) -> None:
    first = shop.meta.token
    shop.meta.tokens.made(days_ago=59)
    await shop.sends()
    assert shop.renewals == [200]
    assert shop.used == shop.meta.token != first
    for _ in range(3):
        await shop.passes(29)
        await shop.sends()
        await shop.sends()
    assert shop.renewals == [200, 200]
    assert shop.used == shop.meta.token
    assert {path.stat().st_mode & 0o777 for path in shop.folder.iterdir()} == {0o600}


async def test_one_that_is_less_than_a_day_old_is_renewed_later(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shop.meta.token
    shop.meta.tokens.made(days_ago=0.5)
    await shop.sends()
    await shop.passes(0.4)
    await shop.sends()
    assert (shop.renewals, shop.used) == ([400], first)
    await shop.passes(0.7)
    await shop.sends()
    assert (shop.renewals, shop.used) == ([400, 200], shop.meta.token)
    logged = capsys.readouterr()
    assert first not in logged.out + logged.err


@pytest.mark.parametrize("how", ["cut", "truncated", "html"])
async def test_a_message_goes_out_whatever_becomes_of_the_renewal(shop: Shop, how: str) -> None:
    shop.place.graph.fail(how=how, at="object", times=2)  # a GET that is cut off is asked once more by itself
    first = shop.meta.token
    assert (await shop.sends()).external_ids
    assert shop.used == first
    shop.place.graph.mend()
    await shop.passes(1.1)
    await shop.sends()
    assert shop.renewals[-1] == 200
    assert shop.used == shop.meta.token


async def test_of_many_one_renews_it(shop: Shop) -> None:
    await asyncio.gather(*(shop.sends() for _ in range(5)))
    assert shop.renewals == [200]


async def test_another_token_in_the_configuration_counts(shop: Shop) -> None:
    await shop.sends()
    made = shop.meta.renew()
    await shop.sends(replace(shop.configured, secrets={**shop.configured.secrets, "token": (made,)}))
    assert shop.renewals == [200, 200]
    assert shop.used == shop.meta.token


async def test_doctor_looks_with_the_newest_and_renews_nothing(shop: Shop) -> None:
    await shop.sends()
    newest = shop.meta.token
    await shop.passes(31)
    assert isinstance(shop.place.connector, Examines)
    way = replace(shop.place.way, now=shop.place.now, kept=Kept(shop.folder))
    await shop.place.connector.examine(shop.configured, way)
    assert (shop.renewals, shop.used) == ([200], newest)
    await shop.sends()
    assert shop.renewals == [200, 200]


async def test_a_pages_token_is_left_alone(tmp_path: Path) -> None:
    async with place("instagram", login="page") as found:
        by_page = Shop(found, tmp_path / "kept")
        await by_page.sends()
        assert by_page.renewals == []
