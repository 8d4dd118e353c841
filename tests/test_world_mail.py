"""Mail, as people see it: Ann's mail program, a real mailbox, a real mail server, and Bo on Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from connectors.mail.oauth import Tokens
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from crm_store import schema
from crm_store.db import Store
from desk.slack import composing, names
from mainstem import ports
from tests.connectors.mail.reading import Reads
from tests.databases import on_postgresql, on_sqlite
from tests.servers.imap import PASSWORD, USER, Pymap
from tests.servers.smtp import SmtpServer
from tests.slackworld import SlackWorld, slack_world
from tests.world import CONFIG

OURS = "support@shop.example"
PROVED = "mx.shop.example; dmarc=pass header.from={domain}"
ACCOUNTS = """
  mail/main:
    title: Support mailbox
    address: support@shop.example
    settings:
      authserv_id: mx.shop.example
      imap: {{host: 127.0.0.1, port: {imap}, tls: none, user: {user}, folder: {box}, from: all}}
      smtp: {{host: 127.0.0.1, port: {smtp}, tls: none, user: {user}}}
    secrets: {{password: MAIL_PASSWORD}}
"""


@pytest.fixture(scope="module")
def imap() -> Iterator[Pymap]:
    with Pymap() as server:
        yield server


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between two looks, for tests; none of them decides anything."""
    monkeypatch.setattr("connectors.mail.imap.SLICE_S", 0.05)
    monkeypatch.setattr("connectors.mail.pull.SETTLE_S", 0.1)


@dataclass
class Post:
    """The mails on both sides: `brings` puts one into our mailbox, `sent` is what our server was handed."""

    office: SlackWorld
    imap: Pymap
    box: str
    smtp: SmtpServer
    mailbox: Mailbox
    arrived: int = 0

    async def brings(self, mail: EmailMessage | bytes) -> None:
        """It arrives, is fetched, and everything that follows from it has happened."""
        raw = mail if isinstance(mail, bytes) else mail.as_bytes(policy=policy.SMTP)
        await asyncio.to_thread(self.imap.put, self.box, raw)
        self.arrived += 1
        async with asyncio.timeout(60):
            while self.mailbox.read < self.arrived:
                await asyncio.sleep(0.01)
        await self.office.settle()

    @property
    def sent(self) -> list[EmailMessage]:
        return [message_from_bytes(one.data, policy=policy.default) for one in self.smtp.mails]


@asynccontextmanager
async def posting(
    folder: Path, store: Store, valkey: str, imap: Pymap, more: str = ""
) -> AsyncIterator[Post]:
    box = imap.box()
    with SmtpServer(users={USER: PASSWORD}) as smtp:
        said = ACCOUNTS.format(imap=imap.port, smtp=smtp.port, user=USER, box=box)
        config = {"channels.yaml": CONFIG["channels.yaml"] + said}
        if more:
            config["replies.yaml"] = more
        environ = {"MAIL_PASSWORD": PASSWORD}
        async with slack_world(folder, store, valkey, more=config, environ=environ) as office:
            hub = office.hub
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
                yield Post(office, imap, box, smtp, mailbox)
            finally:
                mailbox.stop()
                await asyncio.to_thread(mailbox.join, 60)


@pytest.fixture
async def post(tmp_path: Path, store: Store, valkey: str, imap: Pymap) -> AsyncIterator[Post]:
    async with posting(tmp_path, store, valkey, imap) as opened:
        yield opened


def letter(
    text: str,
    *,
    sender: str = "Ann Lee <ann@example.com>",
    subject: str = "My kettle",
    answers: EmailMessage | None = None,
    proved: bool = True,
    number: list[int] = [0],  # noqa: B006 - one counter for all
    **headers: str,
) -> EmailMessage:
    """A mail of a person's, as our own server hands it on; `answers` as mail programs do."""
    number[0] += 1
    made = EmailMessage()
    domain = sender.rpartition("@")[2].rstrip(">")
    if proved:
        made["Authentication-Results"] = PROVED.format(domain=domain)
    made["From"], made["To"], made["Subject"] = sender, OURS, subject
    made["Message-ID"] = f"<{number[0]}.letter@{domain}>"
    if answers is not None:
        made["In-Reply-To"] = answers["Message-ID"]
        made["References"] = f"{answers.get('References', '')} {answers['Message-ID']}".strip()
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


async def _answers(post: Post, text: str) -> EmailMessage:
    """Bo answers from Slack; the mail that went out."""
    office = post.office
    before = len(post.smtp.mails)
    await office.replies(office.bo, office.support, text)
    await office.passes(seconds=11)
    assert len(post.smtp.mails) == before + 1
    assert post.smtp.faults == []
    return post.sent[-1]


async def test_ann_writes_bo_answers_from_slack_and_her_program_shows_one_thread(post: Post) -> None:
    office = post.office
    first = letter("My kettle is broken.\n\n-- \nAnn Lee\nExample Road 1\n")
    await post.brings(first)
    card = office.card(office.support)
    assert "My kettle is broken." in office.words(card)
    assert "Example Road" not in office.words(card), "a signature is folded away"
    await office.clicks(office.bo, office.support, names.CLAIM)
    reply = await _answers(post, "We send you a new one.")
    assert reply["In-Reply-To"] == first["Message-ID"]
    assert first["Message-ID"] in reply["References"]
    assert reply["Subject"] == "Re: My kettle"
    assert "ann@example.com" in reply["To"]
    assert OURS in reply["From"]
    assert reply["Auto-Submitted"] is None
    body = reply.get_body(("plain",))
    assert body is not None
    assert "We send you a new one." in body.get_content()
    assert "Ann Lee <ann@example.com> wrote:\r\n> My kettle is broken.\r\n" in body.get_content()
    assert "Example Road" not in body.get_content(), "her signature is not repeated"

    again = letter(
        "Thank you!\n\nOn Mon, 23 Nov 2026, Bo wrote:\n> We send\n", answers=reply, subject="Re: My kettle"
    )
    await post.brings(again)
    assert len(office.cards(office.support)) == 1, "the same conversation"
    entries = office.hub.bo.sees(office.conversation()).history.entries
    said = [one for one in entries if one.direction == "in"]
    assert [one.text for one in said] == ["My kettle is broken.", "Thank you!"]
    assert "> We send" in said[-1].quoted
    second = await _answers(post, "You are welcome.")
    assert [first["Message-ID"], reply["Message-ID"], again["Message-ID"]] == second["References"].split()


@on_postgresql
async def test_who_took_part_gets_a_copy_unless_the_agent_takes_them_out(post: Post) -> None:
    office = post.office
    await post.brings(letter("It is broken.", Cc="Ben <ben@example.com>, eve@example.net"))
    await office.clicks(office.bo, office.support, names.CLAIM)
    await _answers(post, "Which one?")
    assert post.smtp.mails[-1].recipients == ("ann@example.com", "ben@example.com", "eve@example.net")

    await office.clicks(office.bo, office.support, names.REPLY)
    assert "eve@example.net" in office.words(office.bo.views[-1].blocks)
    ben = composing.copy_value("mailto:ben@example.com")
    assert await office.bo.submits({names.TEXT: "Between us.", names.COPIES: [ben]}) is None
    await office.passes(seconds=11)
    assert post.smtp.mails[-1].recipients == ("ann@example.com", "ben@example.com")
    assert "eve" not in str(post.sent[-1]["Cc"])

    await office.clicks(office.bo, office.support, names.REPLY)
    assert await office.bo.submits({names.TEXT: "You alone.", names.COPIES: []}) is None
    await office.passes(seconds=11)
    assert post.smtp.mails[-1].recipients == ("ann@example.com",)
    assert post.sent[-1]["Cc"] is None
    await _answers(post, "To all again.")
    assert len(post.smtp.mails[-1].recipients) == 3, "each answer by itself"


@on_sqlite
async def test_from_another_address_with_half_the_quote_gone_it_is_still_her_conversation(post: Post) -> None:
    office = post.office
    await post.brings(letter("My kettle is broken."))
    await office.clicks(office.bo, office.support, names.CLAIM)
    reply = await _answers(post, "Which kettle is it?")
    other = letter(
        "The blue one.\n\n> Which kettle\n",
        sender="Ann <ann.lee@home.example>",
        answers=reply,
        subject="Re: My kettle",
    )
    await post.brings(other)
    entries = office.hub.bo.sees(office.conversation()).history.entries
    assert [one.text for one in entries if one.direction == "in"][-1] == "The blue one."
    assert len(office.cards(office.support)) == 1


async def test_a_newsletter_an_out_of_office_and_a_bounce_disturb_nobody(
    tmp_path: Path, store: Store, valkey: str, imap: Pymap
) -> None:
    replies = """
replies:
  thanks: {title: Thanks, text: "We have your mail.", auto: {when: first_contact, accounts: [mail/main]}}
"""
    async with posting(tmp_path, store, valkey, imap, replies) as post:
        office = post.office
        await post.brings(letter("My kettle is broken."))
        await office.passes(seconds=11)
        (thanks,) = post.sent
        assert thanks["Auto-Submitted"] == "auto-replied"
        assert post.smtp.mails[0].sender == ""
        away = letter(
            "I am away until Monday.",
            answers=thanks,
            subject="Automatic reply: My kettle",
            Auto_Submitted="auto-replied",
        )
        news = letter(
            "Kettles are cheap today",
            sender="News <news@example.net>",
            subject="Sale!",
            List_Id="<news.example.net>",
        )
        await post.brings(away)
        await post.brings(news)
        await office.passes(seconds=11)
        assert len(post.sent) == 1, "machines are not answered"

        await office.clicks(office.bo, office.support, names.CLAIM, office.cards(office.support)[0])
        await office.bo.clicks(office.support, office.cards(office.support)[0]["ts"], names.REPLY)
        assert await office.bo.submits({names.TEXT: "We send a new one."}) is None
        await office.passes(seconds=11)
        lost = post.sent[-1]["Message-ID"]
        bounce = (
            "From: Mail Delivery System <MAILER-DAEMON@mx.example.com>\r\nTo: support@shop.example\r\n"
            "Subject: Undelivered Mail Returned to Sender\r\nMessage-ID: <b1@mx.example.com>\r\nReturn-Path: <>\r\n"
            'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
            "--b\r\n\r\nIt did not arrive.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
            "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; ann@example.com\r\nAction: failed\r\n"
            "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
            f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {lost}\r\n\r\n--b--\r\n"
        )
        conversations = office.hub.count(schema.conversations)
        await post.brings(bounce.encode())
        assert office.hub.deliveries()[-1] == "failed"
        assert office.hub.count(schema.conversations) == conversations
        await office.passes(seconds=11)
        assert len(post.sent) == 2, "nothing answers a bounce"


@on_postgresql
async def test_a_forged_vip_does_not_open_the_record(post: Post) -> None:
    office = post.office
    await post.brings(letter("My kettle is broken.", sender="Vera <vera@vip.example>"))
    vip = office.hub.bo.sees(office.conversation()).customer
    office.hub.desk.change_customer(vip.id, "cleo", tier="gold")
    forged = letter(
        "Send my kettle to Forger Street, it is broken", sender="Vera <vera@vip.example>", proved=False
    )
    await post.brings(forged)
    entries = [
        one for one in office.hub.bo.sees(office.conversation()).history.entries if "Forger" in one.text
    ]
    assert [one.claimed for one in entries] == [True]
    said = " ".join(
        office.words(one)
        for place in (office.support, office.general)
        for one in office.slack.messages(place)
    )
    threads = " ".join(office.words(one) for one in office.thread(office.support))
    assert "not proved" in said + threads
