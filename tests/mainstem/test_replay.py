"""Replay: what could not be read is read again with today's code, exactly once, and the ledger still closes."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Raw
from connectors.web import unreadable
from crm_store import configs, ledger, quarantine
from crm_store.db import Store
from hub.blobs import Blobs
from hub.codec import encode
from hub.config import Config
from hub.configfiles import read_folder
from hub.errors import Refused
from hub.model import Entry, Event, MessageReceived
from hub.settings import Settings
from mainstem.prepare import in_force
from mainstem.replay import Replay
from router.consent import wish
from router.handle import Handler
from router.rules import compile_rules

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = b'{"id":"f1","from":"mailto:ann@example.com","text":"Hello"}'


@pytest.fixture
def config(store: Store) -> Config:
    configs.apply(store, read_folder(ROOT / "config"), "test")
    found = in_force(store)
    assert found is not None
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "var")


def take(store: Store, config: Config, event: Event) -> None:
    """As the router takes it from the stream."""
    rules = compile_rules(config)
    handler = Handler(store, rules=lambda: rules, config=lambda: config, wish=wish)
    handler.batch([Entry(producer="p1", seq=1, accepted_at=NOW, event=event, raw=encode(event))])


def waiting(store: Store) -> list[int]:
    return [held.id for held in quarantine.listed(store)]


def held_as_unreadable(store: Store, config: Config, settings: Settings, body: bytes) -> int:
    account = config.accounts["webhook/main"]
    raw = Raw(method="POST", url="", headers={}, body=body, received_at=NOW)
    parsed = unreadable(raw, account, "an older version did not know it")
    for blob in parsed.blobs:
        Blobs(settings.blob_folder).put(blob)
    take(store, config, parsed.events[0])
    (number,) = waiting(store)
    return number


def test_what_can_be_read_today_is_routed_once(store: Store, config: Config, settings: Settings) -> None:
    number = held_as_unreadable(store, config, settings, BODY)
    (row,) = ledger.day(store, NOW.date())
    assert (row.quarantined, row.stored) == (1, 0)
    again = Replay(store, settings, lambda: config)
    assert again(number, "agent:bo") == "read, 1 event handed to the router"
    assert waiting(store) == []
    (row,) = ledger.day(store, NOW.date())
    assert (row.quarantined, row.stored, row.missing) == (0, 1, 0)
    with pytest.raises(Refused, match="replayed already"):
        again(number, "agent:cleo")


def test_what_still_cannot_be_read_stays(store: Store, config: Config, settings: Settings) -> None:
    number = held_as_unreadable(store, config, settings, b"<xml/>")
    with pytest.raises(Refused, match="it still cannot be read"):
        Replay(store, settings, lambda: config)(number, "agent:bo")
    assert waiting(store) == [number]


def test_an_account_that_is_gone_is_a_sentence(store: Store, config: Config, settings: Settings) -> None:
    number = held_as_unreadable(store, config, settings, BODY)
    others = {key: account for key, account in config.accounts.items() if key != "webhook/main"}
    without = dataclasses.replace(config, accounts=others)
    with pytest.raises(Refused, match="webhook/main does not work: it is not configured"):
        Replay(store, settings, lambda: without)(number, "agent:bo")
    assert waiting(store) == [number]


def test_journalled_bytes_are_decoded_again(store: Store, config: Config, settings: Settings) -> None:
    event = MessageReceived(
        account="console/main", event_key="k1", received_at=NOW, sender="console:ann", text="Hello"
    )

    def set_aside(tx: object) -> None:
        quarantine.put(
            tx, store.ids, producer="p2", seq=5, account="console/main", event_key="k1", event_kind="message",
            kind=quarantine.POISON, reason="it failed five times", raw=encode(event), accepted_at=NOW, now=NOW,
        )  # fmt: skip

    store.run(set_aside)
    (number,) = waiting(store)
    assert Replay(store, settings, lambda: config)(number, "agent:bo").startswith("read, 1 event")
    assert {row.account: row.stored for row in ledger.day(store, NOW.date())} == {"console/main": 1}
