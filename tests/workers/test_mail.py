"""Mail through the real sender to a real SMTP server: greylisting, the lost confirmation, copies that are refused."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from connectors.base import Wire
from connectors.mail import CONNECTOR
from crm_store.db import Store
from hub.config import Account
from hub.model import Outgoing, Sent
from tests.connectors.mail.outgoing import mailbox
from tests.servers.smtp import SmtpServer
from tests.workers.office import Office

ANN = "mailto:ann@example.net"


class Copying:
    """The mail connector, and somebody in Cc."""

    def __init__(self, cc: tuple[str, ...] = ()) -> None:
        self.limits = CONNECTOR.limits
        self.cc = cc

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        return await CONNECTOR.send(structs.replace(message, cc=self.cc), account, wire)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        return await CONNECTOR.find(message, account, wire)


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as opened:
        yield opened
    assert opened.faults == []


def staffed(made: Office, server: SmtpServer, cc: tuple[str, ...] = ()) -> Office:
    account = mailbox(smtp={"host": "localhost", "port": server.port, "tls": "none"})
    made.accounts[account.key] = replace(account, rate_per_s=1000.0, brand="acme")
    made.connectors = {"mail": Copying(cc)}  # type: ignore[dict-item]
    return made


@pytest.fixture
async def office(sqlite_url: str, server: SmtpServer) -> AsyncIterator[Office]:
    """On SQLite alone; test_deliver.py runs the sender's statements on both databases."""
    store = Store.open(sqlite_url)
    async with Office(store) as made:
        yield staffed(made, server)
    store.close()


def reply(office: Office) -> int:
    return office.reply(text="It is on its way.", account="mail/support", to=ANN)


async def test_a_greylisted_mail_goes_when_the_server_said(office: Office, server: SmtpServer) -> None:
    server.greylist = True
    delivery = reply(office)
    await office.send()
    row = office.row(delivery)
    assert (row.state, row.code, row.provider_code) == ("queued", "response_status", "451 4.7.1")
    await office.send(seconds=200)
    assert office.state(delivery) == "queued", "it said 300 seconds"
    await office.send(seconds=101)
    assert office.state(delivery) == "sent"
    (mail,) = server.mails
    assert office.parts(delivery) == {mail.header("Message-ID"): "sent"}


async def test_a_lost_confirmation_brings_the_same_mail_again(office: Office, server: SmtpServer) -> None:
    server.drop("dot")
    delivery = reply(office)
    await office.send()
    assert office.state(delivery) == "unknown"
    await office.send(seconds=31)
    await office.send(seconds=31)
    assert office.state(delivery) == "sent"
    first, second = server.mails
    assert first.data == second.data
    assert office.parts(delivery) == {first.header("Message-ID"): "sent"}


async def test_a_server_that_never_confirms_is_left_to_the_agent(office: Office, server: SmtpServer) -> None:
    server.drop("dot", times=99)
    delivery = reply(office)
    for _ in range(12):
        await office.send(seconds=31)
    assert office.state(delivery) == "unknown"
    assert len(server.mails) == 3
    assert len({mail.header("Message-ID") for mail in server.mails}) == 1


async def test_who_of_the_others_got_none_is_kept(store: Store, server: SmtpServer) -> None:
    server.fail("recipient", "550 5.1.1 No such user", to="bob@example.org")
    async with Office(store) as made:
        office = staffed(made, server, ("mailto:bob@example.org", "mailto:carl@example.org"))
        delivery = reply(office)
        await office.send()
        row = office.row(delivery)
    assert row.state == "sent"
    assert row.detail.startswith("not to bob@example.org: there is no such mailbox")
    assert server.mails[0].recipients == ("ann@example.net", "carl@example.org")


async def test_a_dead_address_fails_at_once_and_the_account_goes_on(
    office: Office, server: SmtpServer
) -> None:
    server.fail("recipient", "550 5.1.1 No such user", to="ann@example.net", times=1)
    dead, good = reply(office), office.reply(account="mail/support", to="mailto:bob@example.org")
    await office.send()
    assert office.states(dead, good) == ["failed", "sent"]
    assert (office.row(dead).code, office.row(dead).provider_code) == ("rejected", "550 5.1.1")


async def test_a_wrong_password_rests_the_account_and_tells_somebody(
    office: Office, server: SmtpServer
) -> None:
    key = "mail/support"
    server.users = {"support@example.com": "right"}
    office.accounts[key] = replace(
        office.accounts[key], secrets={**office.accounts[key].secrets, "password": ("wrong",)}
    )
    delivery = reply(office)
    await office.send()
    assert office.state(delivery) == "queued"
    assert [(pause.account, pause.tells) for pause in office.warned] == [(key, True)]
    assert len(server.logins) == 1
    office.accounts[key] = replace(
        office.accounts[key], secrets={**office.accounts[key].secrets, "password": ("right",)}
    )
    await office.send(minutes=6)
    assert office.state(delivery) == "sent"
