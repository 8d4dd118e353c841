"""What customers are called is asked of their provider once, and changes nothing that people wrote."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.base import Wire
from crm_store import customers
from crm_store.db import Store
from crm_store.schema import customers as people
from crm_store.schema import identities
from crm_store.timeline import made_at
from hub.config import Account
from hub.errors import SendCode, SendError
from tests.databases import on_sqlite
from tests.workers.office import Office
from workers.naming import Naming

ACCOUNT, CHANNEL = "webhook/main", "webhook"


class Provider:
    name = CHANNEL

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.knows: dict[str, str | Exception] = {}

    async def called(self, urn: str, account: Account, wire: Wire) -> str:
        self.asked.append(urn)
        said = self.knows.get(urn, "")
        if isinstance(said, Exception):
            raise said
        return said


class Porch:
    """Newcomers at a channel whose provider can be asked."""

    def __init__(self, store: Store) -> None:
        self.office, self.provider = Office(store), Provider()
        self.told: list[int] = []
        connectors: dict[str, Any] = {CHANNEL: self.provider}
        nothing: Any = object
        self.naming = Naming(
            store,
            lambda: self.office.accounts,
            wire=nothing,
            tell=self.told.extend,
            connectors=connectors,
            now=self.office.clock,
        )

    def comes(self, urn: str, name: str = "", account: str = ACCOUNT) -> int:
        conversation = self.office.conversation(urn, account)
        self.office.inbound(conversation, account)
        self.office.store.run(lambda tx: self._named(tx, urn, name))
        return conversation

    def called(self, urn: str) -> str:
        with self.office.store.read() as tx:
            return customers.get(tx, self._owner(tx, urn)).name

    def _named(self, tx: sa.Connection, urn: str, name: str) -> None:
        """Their record, with this name; made where there is none."""
        owner, i = self._owner(tx, urn), identities.c
        if tx.execute(sa.select(people.c.id).where(people.c.id == owner)).first() is None:
            made, now = self.office.store.ids(), self.office.now
            values = {"id": made, "brand_id": "acme", "name": name, "created_at": now, "updated_at": now}
            tx.execute(sa.insert(people).values(values))
            tx.execute(sa.update(identities).where(i.urn == urn).values(customer_id=made))
        else:
            customers.change(tx, owner, by="bo", now=self.office.now, name=name)

    def _owner(self, tx: sa.Connection, urn: str) -> int:
        return int(
            tx.execute(sa.select(identities.c.customer_id).where(identities.c.urn == urn)).scalar_one()
        )


@pytest.fixture
def porch(store: Store) -> Porch:
    return Porch(store)


async def test_each_newcomer_is_asked_about_once(porch: Porch) -> None:
    ann = porch.comes("webhook:ann")
    porch.comes("webhook:ben", "Ben, as Bo wrote it")
    porch.comes("webhook:cy")
    porch.comes("webchat:dee", account="webchat/main")
    porch.comes("webhook:eve", account="webhook/other")
    porch.provider.knows = {"webhook:ann": "Ann Lee", "webhook:ben": "Benjamin"}
    assert await porch.naming.look() == 2
    assert await porch.naming.look() == 0
    assert porch.provider.asked == ["webhook:ann", "webhook:cy"]
    assert [porch.called(f"webhook:{who}") for who in ("ann", "ben", "cy")] == [
        "Ann Lee",
        "Ben, as Bo wrote it",
        "",
    ]
    assert porch.told == [ann]
    porch.comes("webhook:fay")
    assert await porch.naming.look() == 1


async def test_what_a_person_wrote_meanwhile_stays(porch: Porch) -> None:
    porch.comes("webhook:ann")

    class Slow(Provider):
        async def called(self, urn: str, account: Account, wire: Wire) -> str:
            porch.comes("webhook:ann", "Mrs Lee")
            return "Ann Lee"

    porch.naming._connectors = {CHANNEL: Slow()}  # type: ignore[dict-item]
    await porch.naming.look()
    assert porch.called("webhook:ann") == "Mrs Lee"
    assert not porch.told


@on_sqlite
@pytest.mark.parametrize(
    "error, held_up",
    [
        (TimeoutError(), False),
        (SendError(SendCode.RESPONSE_STATUS, "", retry=True), False),
        (SendError(SendCode.THROTTLED, "", retry=True), True),
        (SendError(SendCode.CONNECTION_FAILED, "", retry=True, whole_account=True), True),
    ],
)
async def test_one_who_never_succeeds_holds_nobody_up_for_ever(
    porch: Porch, error: Exception, held_up: bool
) -> None:
    porch.comes("webhook:ann")
    porch.comes("webhook:ben")
    porch.provider.knows = {"webhook:ann": error, "webhook:ben": "Ben"}
    with porch.office.store.read() as tx:
        came = made_at(tx.scalars(sa.select(identities.c.id).order_by(identities.c.id)).first() or 0)
    for hours, name in ((5, ""), (7, "" if held_up else "Ben")):
        porch.office.now = came + timedelta(hours=hours)
        await porch.naming.look()
        assert porch.called("webhook:ben") == name


@pytest.mark.parametrize(
    "error, rests, again",
    [
        (SendError(SendCode.THROTTLED, "", retry=True, after_s=300.0), timedelta(seconds=300), True),
        (SendError(SendCode.RESPONSE_STATUS, "", retry=True), timedelta(minutes=1), True),
        (SendError(SendCode.CHANNEL_CONFIG, "", whole_account=True), timedelta(hours=1), True),
        (SendError(SendCode.REJECTED, ""), timedelta(0), False),
    ],
)
async def test_what_fails_waits_or_is_no_name(
    porch: Porch, error: SendError, rests: timedelta, again: bool
) -> None:
    porch.comes("webhook:ann")
    porch.comes("webhook:ben")
    porch.provider.knows = {"webhook:ann": error, "webhook:ben": "Ben"}
    await porch.naming.look()
    assert porch.called("webhook:ben") == ("" if again else "Ben")
    porch.provider.knows["webhook:ann"] = "Ann"
    porch.office.now += rests - timedelta(seconds=1)
    assert await porch.naming.look() == 0
    porch.office.now += timedelta(seconds=1)
    assert await porch.naming.look() == (2 if again else 0)
    assert porch.called("webhook:ann") == ("Ann" if again else "")
    assert porch.called("webhook:ben") == "Ben"


async def test_of_two_who_look_one_asks(porch: Porch) -> None:
    porch.comes("webhook:ann")
    at, waiting = porch.naming._waiting(ACCOUNT)
    assert waiting
    await porch.naming.look()
    assert not porch.naming._move(ACCOUNT, at, waiting[0][0])
    assert porch.provider.asked == ["webhook:ann"]


async def test_a_connector_that_breaks_names_nobody(porch: Porch) -> None:
    porch.comes("webhook:ann")
    porch.comes("webhook:ben")
    porch.provider.knows = {"webhook:ann": RuntimeError("broke"), "webhook:ben": "Ben"}
    await porch.naming.look()
    await porch.naming.look()
    assert porch.provider.asked == ["webhook:ann", "webhook:ben"]
    assert porch.called("webhook:ben") == "Ben"
