"""Machines that answer each other (S8): two hubs at one Postfix, a responder that minds no header, a real bounce.

Everything on the way is real: Dovecot's mailboxes, Postfix between them, logins on both; each hub has a store, a
stream and automatic answers of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.mail.oauth import Tokens
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from crm_store import schema
from crm_store.db import Store
from mainstem import ports
from tests.conftest import absent
from tests.connectors.mail.reading import Reads
from tests.servers import NotAvailable
from tests.servers.imap import PASSWORD, Dovecot
from tests.servers.postfix import Postfix
from tests.servers.smtp import SmtpServer
from tests.world import CONFIG, World, world

Two = Callable[..., AbstractAsyncContextManager["Post"]]
HERE, THERE = "support@a.example", "support@b.example"
ANN, AWAY = "ann@c.example", "away@c.example"
ACCOUNT = """
  mail/main:
    title: Support mailbox
    address: {address}
    settings:
      authserv_id: mx.example
      imap: {{host: 127.0.0.1, port: {imap}, tls: none, from: all}}
      smtp: {{host: 127.0.0.1, port: {smtp}, tls: none}}
    secrets: {{password: MAIL_PASSWORD, token: MAIL_TOKEN}}
"""
REPLIES = """
replies:
  closed: {title: Closed, text: "We are closed and answer soon.",
           auto: {when: out_of_hours, calendar: never, accounts: [mail/main]}}
"""
CALENDARS = "calendars: {never: {timezone: Europe/Berlin, hours: {sun: '03:00-03:01'}}}\n"


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.mail.imap.SLICE_S", 0.05)
    monkeypatch.setattr("connectors.mail.pull.SETTLE_S", 0.1)
    monkeypatch.setattr("connectors.mail.pull.MARK_EVERY_S", 0.1)


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    try:
        server = Dovecot()
    except NotAvailable as because:
        absent("Dovecot", because)
        raise
    with server:
        yield server


def _postfix(dovecot: Dovecot, *strips: str, relays: Mapping[str, int] | None = None) -> Postfix:
    domains = {"a.example": ("support",), "b.example": ("support",), "c.example": ("ann", "away")}
    try:
        return Postfix(
            domains,
            boxes=dovecot.home,
            sasl=dovecot.sasl,
            strips=strips,
            relays=relays,
            proves=("a.example", "b.example", "c.example"),
        )
    except NotAvailable as because:
        absent("Postfix", because)
        raise


@dataclass
class Side:
    """One hub and its mailbox."""

    hub: World
    mailbox: Mailbox
    address: str

    def came(self) -> list[dict[str, Any]]:
        """What it keeps of the mails that came in, the eldest first."""
        n = schema.interactions.c
        with self.hub.store.read() as tx:
            rows = tx.execute(select(n.text, n.extra).where(n.direction == "in").order_by(n.id)).all()
        return [{"text": row.text, "automatic": '"automatic"' in (row.extra or "")} for row in rows]


@dataclass
class Post:
    """The servers, the hubs, and a responder who answers whatever lands in its mailbox."""

    dovecot: Dovecot
    postfix: Postfix
    sides: list[Side] = field(default_factory=list)
    responds: bool = False
    responded: int = 0

    def send(self, sender: str, to: str, text: str, **more: str) -> None:
        """From somebody's mail program."""
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = sender, to, more.get("subject", "A kettle")
        made["Message-ID"] = f"<{sender.partition('@')[0]}.{self.traffic()}.{self.responded}@c.example>"
        made.set_content(text)
        with smtplib.SMTP("127.0.0.1", self.postfix.port) as client:
            client.login(sender, PASSWORD)
            client.send_message(made, sender, [to])

    def traffic(self) -> int:
        """How many mails were delivered in all."""
        return sum(len(self.postfix.raw(one)) for one in (HERE, THERE, ANN, AWAY))

    def _respond(self) -> None:
        """As the worst of them do: to everything, from an ordinary address, with no field that says so."""
        while self.responds and len(self.postfix.raw(AWAY)) > self.responded:
            mail = self.postfix.mails(AWAY)[self.responded]
            self.responded += 1
            self.send(AWAY, str(mail["Reply-To"] or mail["From"]), "I am away.", subject=str(mail["Subject"]))

    async def settle(self) -> None:
        """Until no mail is under way and none unread, for a while."""
        calm = 0
        async with asyncio.timeout(60):
            while calm < 2:
                before = self._state()
                await asyncio.to_thread(self._respond)
                for side in self.sides:
                    side.hub.passes(seconds=11)
                await asyncio.gather(*(side.hub.settle() for side in self.sides))
                await asyncio.sleep(0.1)
                read = all(side.mailbox.read == len(self.postfix.raw(side.address)) for side in self.sides)
                calm = calm + 1 if read and self.postfix.settled() and before == self._state() else 0

    def _state(self) -> tuple[int, ...]:
        return self.traffic(), self.responded, *(len(side.came()) for side in self.sides)


@asynccontextmanager
async def _side(
    folder: Path, migrated: Path, valkey: str, number: int, address: str, post: Post
) -> AsyncIterator[Side]:
    folder.mkdir()
    shutil.copyfile(migrated, folder / "mainstem.db")
    store = Store.open(f"sqlite:///{folder / 'mainstem.db'}")
    account = ACCOUNT.format(address=address, imap=post.dovecot.port, smtp=post.postfix.port)
    files = CONFIG | {
        "channels.yaml": CONFIG["channels.yaml"] + account,
        "replies.yaml": REPLIES,
        "calendars.yaml": CALENDARS,
    }
    # Of two installations neither can tell by its own tokens what the other's mails are.
    environ = {"MAIL_PASSWORD": PASSWORD, "MAIL_TOKEN": f"{number}" * 64}
    async with world(folder, store, f"{valkey}?db={number}", files, environ) as hub:
        taker = Taker(
            reads=Reads(),
            blobs=hub.blobs,
            accept=hub.inlet.accept,
            stored=ports.StoreStored(store, hub.pool),
        )
        mailbox = Mailbox(
            hub.accounts["mail/main"],
            taker,
            ports.StoreCursors(store, hub.pool),
            Tokens(hub.http),
            asyncio.get_running_loop(),
            hub.clock,
        )
        mailbox.start()
        try:
            yield Side(hub, mailbox, address)
        finally:
            mailbox.stop()
            await asyncio.to_thread(mailbox.join, 60)
    store.close()


@asynccontextmanager
async def _two(
    folder: Path,
    migrated: Path,
    valkey: str,
    dovecot: Dovecot,
    *strips: str,
    relays: Mapping[str, int] | None = None,
) -> AsyncIterator[Post]:
    with _postfix(dovecot, *strips, relays=relays) as postfix:
        post = Post(dovecot, postfix)
        for address in (HERE, THERE, ANN, AWAY):
            postfix.empty(address)
        async with AsyncExitStack() as stack:
            for number, address in enumerate((HERE, THERE)):
                side = await stack.enter_async_context(
                    _side(folder / str(number), migrated, valkey, number, address, post)
                )
                post.sides.append(side)
            yield post


@pytest.fixture
def two(tmp_path: Path, migrated_sqlite: Path, valkey: str, dovecot: Dovecot) -> Two:
    """`async with two() as post:`; fields that a server between them strips, and `relays`."""
    return partial(_two, tmp_path, migrated_sqlite, valkey, dovecot)


@pytest.mark.parametrize(
    "strips",
    [
        (),
        pytest.param(("Auto-Submitted", "X-Auto-Response-Suppress", "Precedence"), marks=pytest.mark.slow),
    ],
)
async def test_two_hubs_that_answer_each_other_fall_silent(two: Two, strips: tuple[str, ...]) -> None:
    """Somebody who wishes them ill sends one a mail in the other's name, and another the other way round."""
    async with two(*strips) as post:
        post.send(THERE, HERE, "Is my kettle mended?")
        post.send(HERE, THERE, "And mine?")
        await post.settle()
        here, there = post.sides
        assert post.traffic() < 5
        assert post.traffic() == 4, "each of the two was answered once"
        for side in (here, there):
            assert [one["automatic"] for one in side.came()] == [False, True]
            assert side.came()[1]["text"] == "We are closed and answer soon."
            assert side.hub.deliveries() == ["sent"]


@pytest.mark.slow
async def test_an_agents_own_mail_is_answered_once_by_the_other_hub(two: Two) -> None:
    async with two() as post:
        here, there = post.sides
        begun = here.hub.desk.begin(
            "bo", "general", "mail/main", THERE, "Our order is late.", idem_key="b1", subject="Order 7"
        )
        await post.settle()
        assert [(one["text"], one["automatic"]) for one in there.came()] == [("Our order is late.", False)]
        assert [(one["text"], one["automatic"]) for one in here.came()] == [
            ("We are closed and answer soon.", True)
        ]
        assert post.traffic() == 2
        assert here.hub.bo.sees(begun.conversation_id).card.state != "waiting", (
            "a machine's word wakes nobody"
        )
        # As a set: the mail server's clock knows whole seconds, and not that the hub's is ahead of it here.
        said = {entry.text for entry in here.hub.bo.sees(begun.conversation_id).history.entries}
        assert said == {"Our order is late.", "We are closed and answer soon."}


async def test_a_responder_that_minds_no_header_is_answered_once_a_day(two: Two) -> None:
    async with two() as post:
        post.responds = True
        here = post.sides[0]
        post.send(AWAY, HERE, "Is my kettle mended?")
        await post.settle()
        assert post.traffic() < 5
        assert [one["text"] for one in here.came()] == ["Is my kettle mended?", "I am away."]
        assert here.hub.deliveries() == ["sent"]
        assert len(post.postfix.raw(AWAY)) == 1
        (answer,) = post.postfix.mails(AWAY)
        assert answer["Auto-Submitted"] == "auto-replied"
        assert answer["Return-Path"] == "<>"

        post.send(ANN, HERE, "I am somebody else")
        await post.settle()
        assert len(post.postfix.raw(ANN)) == 1, "the others are answered all the same"


async def test_a_real_bounce_fails_the_delivery_and_is_answered_by_nobody(two: Two) -> None:
    """Our Postfix takes the mail, the next server does not, and Postfix writes its report (RFC 3464)."""
    with SmtpServer() as far:
        far.fail("recipient", "550 5.1.1 No such user here")
        async with two(relays={"d.example": far.port}) as post:
            here = post.sides[0]
            begun = here.hub.desk.begin(
                "bo",
                "general",
                "mail/main",
                "gone@d.example",
                "Your order is late.",
                idem_key="b1",
                subject="Order",
            )
            await post.settle()
            assert here.hub.deliveries() == ["failed"]
            assert len(post.postfix.raw(HERE)) == 1
            entries = here.hub.bo.sees(begun.conversation_id).history.entries
            assert [entry.text for entry in entries if entry.direction == "out"] == ["Your order is late."]
            with here.hub.store.read() as tx:
                i = schema.identities.c
                assert tx.scalar(select(i.trouble).where(i.urn == "mailto:gone@d.example")) == "dead"
            assert here.hub.count(schema.conversations) == 1
            assert post.traffic() == 1
