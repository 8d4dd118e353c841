"""A mail in, our answer out, and what comes back to it: the bytes as mail programs send them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from connectors.mail import mime
from connectors.mail.compose import compose
from crm_store import delivery_states as states
from crm_store import outbox, outcomes, schema
from crm_store.db import Store
from hub.model import Outgoing
from tests.router.test_mail import ANN, HOME, MAIL_FILES, Post
from workers.sending import outgoing

URL = "https://desk.acme.test"


class Postman:
    """Carries bytes between people's mail programs and the mailbox `mail/support`, without a server."""

    def __init__(self, way: Post) -> None:
        self.way = way
        self.account = dataclasses.replace(
            way.config.accounts["mail/support"],
            secrets={"token": ("the token's secret",)},
            settings={"authserv_id": "mx.acme.test", "reply_token": True},
        )

    def brings(self, raw: bytes) -> None:
        self.way.take(*mime.read(raw, self.account, self.way.now).events)

    def takes(self) -> EmailMessage:
        """What is due goes out; the only mail."""

        def claim(tx: Any) -> list[Any]:
            found = outbox.claim(
                tx, {"mail/support": 9}, owner="t", now=self.way.now, lease=timedelta(seconds=50)
            )
            outbox.begin(
                tx, [one.id for one in found], owner="t", now=self.way.now, lease=timedelta(seconds=50)
            )
            return found

        (delivery,) = self.way.store.run(claim)
        message: Outgoing = outgoing(delivery, tries=1)
        mail = compose(message, self.account, (), URL)
        outcome = outcomes.Outcome(
            delivery=delivery, state=states.SENT, at=self.way.now, sent_ids=(mail.message_id,)
        )
        ids = self.way.store.ids
        self.way.store.run(lambda tx: outcomes.finish(tx, ids, [outcome], owner="t", now=self.way.now))
        return message_from_bytes(mail.data, policy=policy.default)


def written(sender: str, text: str, *, name: str, proof: str = "", **fields: str) -> bytes:
    mail = EmailMessage()
    if proof:
        mail["Authentication-Results"] = f"mx.acme.test; {proof}"
    mail["From"], mail["To"], mail["Message-ID"] = sender, fields.pop("to", "support@acme.test"), f"<{name}>"
    mail["Subject"] = fields.pop("subject", "Printer")
    for key, value in fields.items():
        mail[key.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes()


def answer(ours: EmailMessage, sender: str, text: str, **fields: str) -> bytes:
    above = f"{ours['References'] or ''} {ours['Message-ID']}".strip()
    return written(
        sender,
        text,
        In_Reply_To=str(ours["Message-ID"]),
        References=above,
        subject=f"Re: {ours['Subject']}",
        **fields,
    )


@pytest.fixture
def way(store: Store) -> Post:
    return Post(store, MAIL_FILES)


@pytest.fixture
def post(way: Post) -> Postman:
    return Postman(way)


def bo_answers(way: Post, text: str) -> None:
    row = way.rows(schema.conversations)[0]
    made = way.sent(row, f"x{way.now}")
    table, parts = schema.deliveries, schema.delivery_parts
    way.store.run(lambda tx: tx.execute(parts.delete().where(parts.c.delivery_id == made)))
    way.store.run(
        lambda tx: tx.execute(table.update().where(table.c.id == made).values(state="queued", attempts=0))
    )


def test_ann_and_bo_have_one_thread_at_both_ends(way: Post, post: Postman) -> None:
    post.brings(
        written("Ann <ann@example.com>", "It does not print.", name="a1@example.com", Cc="bob@example.com")
    )
    bo_answers(way, "Is it on?")
    ours = post.takes()
    assert (ours["To"], ours["Cc"], ours["Subject"]) == ("ann@example.com", "bob@example.com", "Re: Printer")
    assert (ours["In-Reply-To"], ours["References"]) == ("<a1@example.com>", "<a1@example.com>")
    assert ours["Auto-Submitted"] is None
    way.pass_(minutes=5)
    post.brings(answer(ours, "ann@example.com", "Yes.\n\n> Is it on?", name="a2@example.com"))
    post.brings(answer(ours, "bob@example.com", "No.", name="b1@example.com"))
    post.brings(answer(ours, "ann@home.test", "From home: yes, really.", name="h1@home.test"))
    assert way.talks() == [["It does not print.", "our words", "Yes.", "No."], ["From home: yes, really."]]
    assert way.links() == {(1001, 1002), (1002, 1001)}
    assert way.of(HOME).customer_id != way.of(ANN).customer_id


def test_the_token_alone_finds_the_way_back(way: Post, post: Postman) -> None:
    """A program that drops References and In-Reply-To still answers to the address that we asked to be answered at."""
    post.brings(written("ann@example.com", "hello", name="a1@example.com"))
    bo_answers(way, "Is it on?")
    ours = post.takes()
    way.close(home=None)
    reply_to = str(ours["Reply-To"])
    assert "+" in reply_to
    post.brings(
        written(
            "ann@example.com",
            "yes",
            name="a2@example.com",
            to=reply_to.partition("<")[2].strip(">") or reply_to,
        )
    )
    assert way.talks() == [["hello", "our words", "yes"]]
    assert way.of(ANN).verified, "who answers what went to that address reads it"


def test_a_bounce_of_ours_comes_home(way: Post, post: Postman) -> None:
    post.brings(written("ann@example.com", "hello", name="a1@example.com"))
    bo_answers(way, "Is it on?")
    ours = post.takes()
    bounce = (
        b"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.acme.test\r\nTo: support@acme.test\r\nSubject: Undelivered Mail\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.acme.test\r\n\r\n"
        b"Final-Recipient: rfc822; ann@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n\r\n"
        b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: "
        + str(ours["Message-ID"]).encode()
        + b"\r\n\r\n"
        b"--b--\r\n"
    )
    post.brings(bounce)
    assert way.one(schema.deliveries).state == "failed"
    assert way.of(ANN).trouble == "dead"
    assert way.count(schema.conversations) == 1


@pytest.mark.parametrize("proof", ["dmarc=fail header.from=example.com", ""])
def test_a_forged_vip_stands_beside(way: Post, post: Postman, proof: str) -> None:
    passed = "spf=pass smtp.mailfrom=example.com; dkim=pass header.d=example.com; dmarc=pass header.from=example.com"
    post.brings(written("Ann <ann@example.com>", "mine", name="a1@example.com", proof=passed))
    assert way.of(ANN).verified
    way.change(schema.customers, tier="vip")
    post.brings(
        written(
            "Ann <ann@example.com>",
            "forged",
            name="f1@evil.test",
            proof=proof,
            In_Reply_To="<a1@example.com>",
        )
    )
    assert way.talks() == [["mine"], ["forged"]]
    forged = way.rows(schema.conversations)[1]
    assert forged.customer_id != way.of(ANN).customer_id


def test_an_automatic_answer_says_what_it_is(way: Post, post: Postman) -> None:
    way.pass_(days=1)
    post.brings(written("ann@example.com", "hello", name="a1@example.com"))
    ours = post.takes()
    assert ours["Auto-Submitted"] == "auto-replied"
    assert (ours["In-Reply-To"], ours["Subject"]) == ("<a1@example.com>", "Re: Printer")
    absent = answer(
        ours, "ann@example.com", "I am away.", name="a2@example.com", Auto_Submitted="auto-replied"
    )
    way.pass_(days=2)
    post.brings(absent)
    assert way.count(schema.deliveries) == 1
