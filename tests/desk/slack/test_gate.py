"""Who may act in Slack: members of our own workspace whom the configuration links to an agent, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crm_store.db import Store
from desk.slack import gate
from hub.errors import Refused, Unavailable
from tests.desk.slack.office import Office, opened


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    store = Store.open(sqlite_url)
    async with opened(store, tmp_path) as made:
        yield made
    store.close()


async def refused(office: Office, user: str, team: str | None = None) -> str:
    with pytest.raises(Refused) as why:
        await gate.agent_of(office.desk, user, team)
    return str(why.value)


async def test_a_linked_member(office: Office) -> None:
    assert await gate.agent_of(office.desk, office.bo.id) == "bo"
    assert await gate.agent_of(office.desk, office.bo.id, office.slack.team_id) == "bo"


@pytest.mark.parametrize(
    "change, why",
    [
        ({"guest": True}, "Guests"),
        ({"guest": "single"}, "Guests"),
        ({"stranger": True}, "another one"),
        ({"deleted": True}, "deactivated"),
        ({"bot": True}, "Bots"),
        ({"team_id": "TOTHER0001"}, "another one"),
        ({"confirmed": False}, "e-mail"),
    ],
)
async def test_who_is_linked_and_may_not(office: Office, change: dict[str, Any], why: str) -> None:
    for name, value in change.items():
        setattr(office.bo.user, name, value)
    assert why in await refused(office, office.bo.id)


async def test_who_is_not_linked(office: Office) -> None:
    zoe = office.slack.user("Zoe")
    assert zoe.id in await refused(office, zoe.id)
    await refused(office, "")
    await refused(office, "U' OR 1=1")
    assert office.slack.called("users.info") == [], "Slack is not asked about strangers"


async def test_a_linked_id_from_another_workspace(office: Office) -> None:
    assert "another one" in await refused(office, office.bo.id, "TOTHER0001")


async def test_slack_is_asked_once_in_five_minutes(office: Office) -> None:
    import asyncio

    await asyncio.gather(*(gate.agent_of(office.desk, office.bo.id) for _ in range(20)))
    assert len(office.slack.called("users.info")) == 1


async def test_who_becomes_a_guest_is_out_at_once(office: Office) -> None:
    await gate.agent_of(office.desk, office.bo.id)
    await office.bo.becomes(guest=True)
    await office.slack.settled()
    assert "Guests" in await refused(office, office.bo.id)


async def test_nobody_is_let_in_unchecked(office: Office) -> None:
    office.slack.fail("users.info", 503)
    with pytest.raises(Unavailable):
        await gate.agent_of(office.desk, office.bo.id)
    assert await gate.agent_of(office.desk, office.bo.id) == "bo"


async def test_a_link_that_is_taken_away_counts_at_once(office: Office) -> None:
    from dataclasses import replace

    await gate.agent_of(office.desk, office.bo.id)
    agents = {**office.room.config.agents, "bo": replace(office.room.config.agents["bo"], slack=None)}
    office.room.config = replace(office.room.config, agents=agents)
    assert "not linked" in await refused(office, office.bo.id)
