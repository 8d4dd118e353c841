"""Agents reply from Slack: a story for each line of what the Slack desk promises, numbered as docs/slack.md's issue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_store.db import Store
from desk.slack import names
from tests.slackworld import SlackWorld, slack_world


@pytest.fixture
async def office(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[SlackWorld]:
    async with slack_world(tmp_path, store, valkey) as opened:
        yield opened


async def test_ann_writes_bo_claims_and_answers_from_slack_and_she_reads_it(office: SlackWorld) -> None:
    async with office.hub.page() as page:
        await page.types("The kettle I bought is broken")
        await office.settle()
        card = office.card(office.support)
        assert "The kettle I bought is broken" in office.words(card)
        assert office.cards(office.billing) == []

        await office.clicks(office.bo, office.support, names.CLAIM)
        assert office.state() == "open"
        assert "Bo" in office.words(office.card(office.support))

        await office.replies(office.bo, office.support, "We send you a new one.")
        receipt = office.thread(office.support)[-1]
        assert office.button(receipt, names.UNDO)
        await office.passes(seconds=11)
        await page.shows(("you", "The kettle I bought is broken"), ("Bo", "We send you a new one."))
        await office.settle()
        receipt = office.thread(office.support)[-1]
        assert "Delivered" in office.words(receipt)
        assert not office.button(receipt, names.UNDO)
    assert len(office.cards(office.support)) == 1, "one message, updated in place"
