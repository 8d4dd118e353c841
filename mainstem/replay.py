"""Quarantine's replay: one entry read again with today's code and handed to the router, exactly once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from connectors import CONNECTORS, accounts
from connectors.base import Raw
from crm_store import quarantine
from crm_store.quarantine import Held
from hub import blobs as blob_stores
from hub import clock, codec
from hub.config import Config
from hub.errors import Forged, Malformed, Refused
from hub.model import Cursor, Entry, Event, Unreadable
from hub.secrets import load_key
from hub.settings import Settings
from router.consent import wish
from router.handle import Handler
from router.rules import compile_rules

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from crm_store.db import Store


class Replay:
    """`again(id, by)` says in a sentence what became of it; raises Refused, NotFound, or Malformed as before."""

    def __init__(self, store: Store, settings: Settings, config: Callable[[], Config]) -> None:
        self._store = store
        self._settings = settings
        self._config = config
        self._blobs = blob_stores.of(settings)

    def __call__(self, held_id: int, by: str) -> str:
        config = self._config()
        rules = compile_rules(config)
        handler = Handler(self._store, rules=lambda: rules, config=lambda: config, wish=wish)

        def accept(tx: Connection, entries: Sequence[Entry]) -> None:
            handler.accept(tx, entries)

        count = quarantine.replay(
            self._store,
            held_id,
            by,
            accept,
            reparse=lambda held: self._read(held, config),
            now=clock.system(),
        )
        return (
            f"read, {count} event{'s' * (count != 1)} handed to the router"
            if count
            else "read; it said nothing"
        )

    def _read(self, held: Held, config: Config) -> Sequence[tuple[Event, Cursor | None]]:
        if held.entry is not None:
            try:
                event, cursor = codec.decode(held.entry)
            except ValueError as error:
                raise Refused(f"its journalled bytes cannot be read: {error}") from None
            if not isinstance(event, Unreadable):
                return [(event, cursor)]
        if held.blob is None:
            raise Refused("there are no raw bytes to read again")
        return [(event, None) for event in self._parse(held, config)]

    def _parse(self, held: Held, config: Config) -> Sequence[Event]:
        good, troubles = accounts.resolve(config, os.environ, load_key(self._settings))
        account = good.get(held.account)
        if account is None:
            why = troubles.get(held.account, "it is not configured, or switched off")
            raise Refused(f"{held.account} does not work: {why}")
        raw = Raw(
            method="POST", url="", headers={}, body=self._blobs.read(held.blob or ""), received_at=held.at
        )
        try:
            parsed = CONNECTORS[account.connector].parse(raw, account)
        except (Malformed, Forged) as error:
            raise Refused(f"it still cannot be read: {error}") from None
        for blob in parsed.blobs:
            self._blobs.put(blob)
        return parsed.events
