"""F15 against a real Postfix: what it answers, and what lies in the mailboxes afterwards."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from connectors import http
from connectors.base import Wire
from connectors.mail import CONNECTOR, lines, sending
from connectors.mail.lines import Timing
from hub.config import Account
from hub.errors import SendCode, SendError
from tests.conftest import absent
from tests.connectors.mail.outgoing import NOW, Files, file, mailbox, message
from tests.servers import NotAvailable
from tests.servers.postfix import Postfix, Say
from tests.servers.tls import certificate
from tests.waiting import eventually

ANN, BOB, CARL = "ann@example.net", "bob@example.net", "carl@example.net"
SIZE = 200_000


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return certificate(tmp_path_factory.mktemp("tls"))
    except NotAvailable as because:
        absent("TLS", because)
        raise


@pytest.fixture(scope="module")
def running(pem: Path) -> Iterator[Postfix]:
    try:
        server = Postfix({"example.net": ("ann", "bob", "carl")}, pem=pem, size=SIZE)
    except NotAvailable as because:
        absent("Postfix", because)
        raise
    with server:
        yield server


@pytest.fixture
def postfix(running: Postfix) -> Postfix:
    """With empty mailboxes, and nothing against anybody."""
    running.policy.rules.clear()
    for address in (ANN, BOB, CARL):
        running.empty(address)
    return running


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with http.guarded_session(allow_private=True, total_s=30) as session:
        yield Wire(http=session, redis=None, blobs=Files(), public_url="https://hub.example.com", now=NOW)


def ours(postfix: Postfix, **smtp: Any) -> Account:
    return mailbox(None, smtp={"host": "127.0.0.1", "port": postfix.port, "tls": "none", **smtp})


async def lies(postfix: Postfix, address: str, number: int = 1) -> list[EmailMessage]:
    """So many mails are in that mailbox, and no more are on their way."""
    await eventually(lambda: len(postfix.raw(address)) >= number and postfix.settled())
    mails = postfix.mails(address)
    assert len(mails) == number
    return mails


async def failing(postfix: Postfix, timing: Timing = Timing(), **said: Any) -> SendError:  # noqa: B008
    async with http.guarded_session(allow_private=True, total_s=30) as session:
        wire = Wire(http=session, redis=None, blobs=Files(), public_url="https://hub.example.com", now=NOW)
        with pytest.raises(SendError) as caught:
            await sending.send(message(**said), ours(postfix), wire, timing)
    return caught.value


async def test_a_mail_lies_in_the_mailbox_as_it_was_composed(postfix: Postfix, wire: Wire, pem: Path) -> None:
    said = message(
        text="Grüße\n.\n..two\nFrom me", cc=(f"mailto:{BOB}",), attachments=(file("b", "ü.png", "image/png"),)
    )
    sent = await CONNECTOR.send(said, ours(postfix, tls="starttls", host="localhost", ca=str(pem)), wire)
    (mail,), (copy,) = await lies(postfix, ANN), await lies(postfix, BOB)
    assert mail["Message-ID"] == copy["Message-ID"] == sent.external_ids[0]
    assert mail["Return-Path"] == "<support@example.com>"
    assert "TLSv1." in mail["Received"] or "ESMTPS" in mail["Received"]
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content() == "Grüße\n.\n..two\nFrom me\n"
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == "ü.png"


async def test_an_automatic_mail_has_the_null_sender(postfix: Postfix, wire: Wire) -> None:
    await CONNECTOR.send(message(automatic=True), ours(postfix), wire)
    (mail,) = await lies(postfix, ANN)
    assert mail["Return-Path"] == "<>"
    assert mail["Auto-Submitted"] == "auto-generated"


async def test_greylisted_and_put_off_it_comes_later_and_once(postfix: Postfix, wire: Wire) -> None:
    for number, action in enumerate(
        ("450 4.2.0 Greylisted, see http://example.org/help", "DEFER_IF_PERMIT 4.7.1 Try again later"), 1
    ):
        postfix.policy.rules[ANN] = Say(action, 1)
        error = await failing(postfix, delivery_id=number)
        assert error.retry
        assert not error.whole_account
        assert (error.after_s or 0) >= 20
        await CONNECTOR.send(message(delivery_id=number, attempt=2), ours(postfix), wire)
        await lies(postfix, ANN, number)


async def test_550_for_one_of_two(postfix: Postfix, wire: Wire) -> None:
    sent = await CONNECTOR.send(
        message(cc=("mailto:nobody@example.net", f"mailto:{BOB}", "mailto:eve@elsewhere.example")),
        ours(postfix),
        wire,
    )
    assert len(await lies(postfix, ANN)) == len(await lies(postfix, BOB)) == 1
    assert "not to nobody@example.net: there is no such mailbox" in sent.detail
    assert "not to eve@elsewhere.example" in sent.detail

    error = await failing(postfix, to="mailto:nobody@example.net", cc=(f"mailto:{BOB}",), delivery_id=2)
    assert (error.code, error.retry, error.whole_account) == (SendCode.REJECTED, False, False)
    await lies(postfix, BOB, 1)


async def test_450_for_one_of_two_waits_for_both_and_then_leaves_it(postfix: Postfix, wire: Wire) -> None:
    postfix.policy.rules[BOB] = Say("450 4.2.1 The mailbox is busy")
    cc = (f"mailto:{BOB}",)
    for attempt in (1, 2):
        assert (await failing(postfix, attempt=attempt, cc=cc)).retry
    sent = await CONNECTOR.send(message(attempt=3, cc=cc), ours(postfix), wire)
    assert "not to bob@example.net" in sent.detail
    await lies(postfix, ANN)
    assert postfix.raw(BOB) == []


async def test_a_mail_beyond_its_size_is_not_begun_and_one_within_goes(postfix: Postfix, wire: Wire) -> None:
    error = await failing(postfix, text="é" * 50_000)
    assert (error.code, error.retry) == (SendCode.MESSAGE_INVALID, False)
    assert f"takes {SIZE:,}" in error.detail
    await CONNECTOR.send(message(text="y" * 40_000, delivery_id=2), ours(postfix), wire)
    await lies(postfix, ANN)


async def test_a_slow_one_is_waited_for_within_bounds(postfix: Postfix, wire: Wire) -> None:
    go = threading.Event()
    postfix.policy.rules[ANN] = Say("DUNNO", 1, go)
    asyncio.get_running_loop().call_later(0.7, go.set)
    await CONNECTOR.send(message(), ours(postfix), wire)
    await lies(postfix, ANN)

    stuck = threading.Event()
    postfix.policy.rules[ANN] = Say("DUNNO", 1, stuck)
    error = await failing(postfix, Timing(total=60, connect=50, command=2, data=1), delivery_id=2)
    assert (error.code, error.retry) == (SendCode.CONNECTION_FAILED, True)
    stuck.set()
    await lies(postfix, ANN)  # and nothing of the one that was given up


async def test_a_lost_dot_is_in_doubt_and_the_same_mail_goes_again(postfix: Postfix, wire: Wire) -> None:
    """Whether Postfix dies before it has the mail or answers too late after: nobody can tell from here."""
    held = threading.Event()
    postfix.policy.rules["."] = Say("DUNNO", 1, held)
    sending_it = asyncio.create_task(failing(postfix))
    asked = len(postfix.policy.asked)
    await eventually(
        lambda: any(one["protocol_state"] == "END-OF-MESSAGE" for one in postfix.policy.asked[asked:])
    )
    postfix.crash()
    error = await sending_it
    assert (error.code, error.retry) == (SendCode.UNKNOWN, False)
    held.set()
    assert postfix.raw(ANN) == []

    late = threading.Event()
    postfix.policy.rules["."] = Say("DUNNO", 1, late)
    error = await failing(postfix, Timing(total=5, connect=4, command=4, data=0.3), attempt=2)
    assert error.code is SendCode.UNKNOWN
    late.set()
    assert await CONNECTOR.find(message(attempt=2), ours(postfix), wire) is None
    sent = await CONNECTOR.send(message(attempt=3), ours(postfix), wire)
    await eventually(lambda: len(postfix.raw(ANN)) >= 1 and postfix.settled())
    assert {mail["Message-ID"] for mail in postfix.mails(ANN)} == set(sent.external_ids)


async def test_it_is_refused_at_the_end_of_the_mail(postfix: Postfix) -> None:
    for action, code, retry in (
        ("REJECT 5.7.1 This looks like spam", SendCode.REJECTED, False),
        ("DEFER 4.7.1 Come later", SendCode.RESPONSE_STATUS, True),
    ):
        postfix.policy.rules["."] = Say(action, 1)
        error = await failing(postfix)
        assert (error.code, error.retry) == (code, retry), action
    assert postfix.raw(ANN) == []


async def test_an_idle_connection_that_died_with_it_costs_nothing(postfix: Postfix, wire: Wire) -> None:
    account = ours(postfix)
    await CONNECTOR.send(message(delivery_id=1), account, wire)
    assert lines.pool(account)._idle
    postfix.crash()
    await CONNECTOR.send(message(delivery_id=2), account, wire)
    await lies(postfix, ANN, 2)
