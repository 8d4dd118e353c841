"""Into a real mailbox: by TLS, by STARTTLS, by XOAUTH2; and what is said where that must not be, or cannot."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.base import Wire
from connectors.kept import Kept
from connectors.mail import lines
from connectors.mail.imap import NotDone, Session, Unreachable
from connectors.mail.lines import Budget, Timing
from connectors.mail.oauth import TokenRefused, Tokens
from connectors.mail.place import Place
from connectors.mail.place import place as placed
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from tests.conftest import absent
from tests.connectors.mail.outgoing import NOW, Files
from tests.connectors.mail.reading import Hub, Reading, mail
from tests.servers import NotAvailable, free_port
from tests.servers.imap import PASSWORD, Dovecot, account
from tests.servers.oauth import CLIENT, SCOPE, SECRET, OAuth
from tests.servers.smtp import SmtpServer
from tests.servers.tls import authority, issued

SUPPORT, SALES = "support@example.com", "sales@example.com"


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between two looks, for tests; none of them decides anything."""
    monkeypatch.setattr("connectors.mail.imap.SLICE_S", 0.1)
    monkeypatch.setattr("connectors.mail.pull.SETTLE_S", 0.2)
    monkeypatch.setattr("connectors.mail.pull.FIRST_PAUSE_S", 0.1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """An authority, what it issued for this machine, and what it issued for another."""
    folder = tmp_path_factory.mktemp("tls")
    try:
        trusted = authority(folder)
    except NotAvailable as because:
        absent("TLS", because)
        raise
    return trusted, issued(folder, trusted), issued(folder, trusted, "DNS:mail.elsewhere.example")


@pytest.fixture(scope="module")
def oauth() -> Iterator[OAuth]:
    with OAuth({SUPPORT: "first support", SALES: "first sales"}) as provider:
        yield provider


@pytest.fixture(scope="module")
def dovecot(certificates: tuple[Path, Path, Path], oauth: OAuth) -> Iterator[Dovecot]:
    try:
        server = Dovecot(pem=certificates[1], introspection=oauth.introspection)
    except NotAvailable as because:
        absent("Dovecot", because)
        raise
    with server:
        yield server


def place(server: Dovecot, tls: str, host: str = "localhost", **more: Any) -> Place:
    port = server.tls_port if tls == "tls" else server.port
    return placed(account(server, "INBOX", port=port, tls=tls, host=host, **more))


# ------------------------------------------------------------------------------------------------------------ TLS


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_mails_come_encrypted(
    dovecot: Dovecot, certificates: tuple[Path, Path, Path], tls: str, host: str
) -> None:
    hub, box = Hub(), dovecot.box()
    dovecot.put(box, mail(1), mail(2, size=2_500_000))
    port = dovecot.tls_port if tls == "tls" else dovecot.port
    ours = account(dovecot, box, port=port, tls=tls, host=host, ca=str(certificates[0]))
    async with Reading(hub, ours) as reading:
        await reading.until(lambda: len(hub.subjects()) == 2)
        dovecot.put(box, mail(3))  # while it idles
        await reading.until(lambda: len(hub.subjects()) == 3)
    assert hub.subjects() == ["mail 1", "mail 2", "mail 3"]
    assert "TLS" in dovecot.said()


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(dovecot: Dovecot, tls: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Session.open(place(dovecot, tls), PASSWORD)
    assert str(caught.value) == (
        "the mail server's certificate is not trusted: unable to get local issuer certificate"
    )


def noted(server: Dovecot, words: str) -> None:
    """Its log is another process's work: it may come after the answer."""
    for _ in range(1000):
        if words in server.said():
            return
        time.sleep(0.01)
    raise AssertionError(server.said())


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_certificate_for_another_name_is_refused(certificates: tuple[Path, Path, Path], tls: str) -> None:
    with Dovecot(pem=certificates[2]) as elsewhere:
        noted(elsewhere, "Login: ")  # that of the fixture, to see whether it answers
        with pytest.raises(Unreachable) as caught:
            Session.open(place(elsewhere, tls, ca=str(certificates[0])), PASSWORD)
        noted(elsewhere, "SSL_accept() failed")
        assert elsewhere.said().count("Login: ") == 1, "the password was not sent"
    assert str(caught.value) == (
        "the mail server's certificate is not trusted: Hostname mismatch, certificate is not valid for 'localhost'"
    )


async def test_a_mailbox_whose_certificate_is_wrong_says_so_and_waits(dovecot: Dovecot) -> None:
    hub = Hub()
    ours = account(dovecot, "INBOX", port=dovecot.tls_port, tls="tls", host="localhost")
    async with Reading(hub, ours) as reading:
        await reading.until(lambda: hub.health)
    assert hub.health[0].why.startswith("the mail server's certificate is not trusted: ")
    assert hub.health[0].next_at is not None


def test_tls_where_there_is_none_and_no_starttls(dovecot: Dovecot) -> None:
    with pytest.raises(Unreachable, match="no TLS comes about with the mail server: are port and tls right"):
        Session.open(placed(account(dovecot, "INBOX", tls="tls", host="localhost")), PASSWORD)
    with Dovecot() as plain, pytest.raises(NotDone) as caught:
        Session.open(place(plain, "starttls"), PASSWORD)
    assert str(caught.value) == "the mail server offers no STARTTLS: nothing is sent in the clear"


# -------------------------------------------------------------------------------------------------------- XOAUTH2


def by_oauth(server: Dovecot, oauth: OAuth, user: str, key: str, refresh: str) -> Account:
    made = account(server, "INBOX", key, user=user, poll="10s")
    said = {"token_url": oauth.token_url, "client_id": CLIENT, "scope": SCOPE}
    return replace(
        made,
        settings={**made.settings, "auth": "xoauth2", "oauth": said},
        secrets={"refresh_token": (refresh,), "client_secret": (SECRET,)},
    )


def put(server: Dovecot, user: str, *mails: bytes) -> None:
    with server.client(user) as client:
        for one in mails:
            client.append("INBOX", one)


async def test_two_mailboxes_by_oauth_and_one_whose_permission_is_taken_back(
    dovecot: Dovecot, oauth: OAuth, tmp_path: Path
) -> None:
    hubs = {SUPPORT: Hub(), SALES: Hub()}
    put(dovecot, SUPPORT, mail(1))
    put(dovecot, SALES, mail(1))
    async with aiohttp.ClientSession() as session:
        tokens = Tokens(session, Kept(tmp_path / "kept"), now=lambda: oauth.now)
        support = by_oauth(dovecot, oauth, SUPPORT, "mail/support", "first support")
        sales = by_oauth(dovecot, oauth, SALES, "mail/sales", "first sales")
        async with Reading(hubs[SUPPORT], support, tokens) as one, Reading(hubs[SALES], sales, tokens) as two:
            await one.until(lambda: hubs[SUPPORT].subjects() == ["mail 1"])
            await two.until(lambda: hubs[SALES].subjects() == ["mail 1"])
            assert len(oauth.asked) == 2

            oauth.now += 3590  # both tokens are about to end, and the server ends every connection
            dovecot.kick()
            put(dovecot, SUPPORT, mail(2))
            put(dovecot, SALES, mail(2))
            await one.until(lambda: hubs[SUPPORT].subjects()[-1:] == ["mail 2"])
            await two.until(lambda: hubs[SALES].subjects()[-1:] == ["mail 2"])
            assert len(oauth.asked) == 4, "a new one each, with the refresh token that came last"

            oauth.forget_access(
                SUPPORT
            )  # ended before its time: the login is refused, and a fresh one gets in
            dovecot.kick()
            put(dovecot, SUPPORT, mail(3))
            await one.until(lambda: hubs[SUPPORT].subjects()[-1:] == ["mail 3"])

            oauth.revoke(SUPPORT)
            dovecot.kick()
            # First it is said that the connection broke.
            await one.until(lambda: "gives no token" in hubs[SUPPORT].health[-1].why)
            put(dovecot, SALES, mail(3))
            await two.until(lambda: hubs[SALES].subjects()[-1:] == ["mail 3"])
            await two.until(lambda: not hubs[SALES].health[-1].why)
    assert oauth.faults == []
    said = hubs[SUPPORT].health[-1]
    assert said.why == (
        "the provider gives no token (invalid_grant: Token has been expired or revoked): its owner must allow the "
        "mailbox again (docs/channels/mail.md), and the new refresh token be set"
    )
    assert said.next_at is not None
    assert (said.next_at - said.at).total_seconds() >= 60, "no provider is asked every second"
    assert hubs[SALES].health[-1].why == ""


async def test_a_token_for_another_mailbox_opens_none(dovecot: Dovecot, oauth: OAuth) -> None:
    with OAuth({SUPPORT: "mine"}) as stranger:
        hub = Hub()
        theirs = by_oauth(dovecot, stranger, SUPPORT, "mail/support", "mine")
        async with aiohttp.ClientSession() as session, Reading(hub, theirs, Tokens(session)) as reading:
            await reading.until(lambda: hub.health and hub.health[-1].why)
        assert hub.health[-1].why.startswith("the server refuses the login: ")
        assert len(stranger.asked) == 2, "a fresh one was tried, once"


# ------------------------------------------------------------------------------------- what outlives the process


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def provider() -> Iterator[OAuth]:
    with OAuth({SUPPORT: "first"}) as opened:
        yield opened


class _Nowhere:
    port = 1


def ours(provider: OAuth, refresh: str = "first") -> Account:
    return by_oauth(_Nowhere(), provider, SUPPORT, "mail/support", refresh)  # type: ignore[arg-type]


async def test_a_refresh_token_that_is_good_once_outlives_the_process(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"

    def started() -> Tokens:
        return Tokens(session, Kept(folder), now=lambda: provider.now)

    first = await started().access(ours(provider))
    assert await started().access(ours(provider)) == first, "after a restart the token at hand is still good"
    provider.now += 3600
    second = await started().access(ours(provider))
    assert second != first
    assert await started().access(ours(provider), fresh=True) != "", "and again with the newest"
    assert provider.faults == []
    assert provider.asked[0]["refresh_token"] == "first"
    assert len({form["refresh_token"] for form in provider.asked}) == len(provider.asked)

    (file,) = folder.glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    printed = "".join(capsys.readouterr())
    assert provider.refresh_of(SUPPORT) not in printed


async def test_another_token_in_the_configuration_begins_anew(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kept = Kept(tmp_path / "kept")
    tokens = Tokens(session, kept)
    await tokens.access(ours(provider))
    provider.revoke(SUPPORT)
    with pytest.raises(TokenRefused):
        await tokens.access(ours(provider), fresh=True)
    with OAuth({SUPPORT: "allowed again"}) as again:
        for started in (tokens, Tokens(session, kept)):
            assert await started.access(ours(again, "allowed again"))
        assert [form["refresh_token"] for form in again.asked] == ["allowed again"]
    assert provider.faults == [], "the first one is not tried once more"


async def test_what_cannot_be_kept_still_serves_this_process(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(session, Kept(tmp_path / "kept"), now=lambda: provider.now)
    await tokens.access(ours(provider))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("hub.files.replace", full)
        provider.now += 3600
        second = await tokens.access(ours(provider))
    provider.now += 3600
    assert await tokens.access(ours(provider)) != second
    assert provider.faults == []


async def test_who_gives_up_waiting_loses_no_token(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kept = Kept(tmp_path / "kept")
    asking = asyncio.create_task(Tokens(session, kept).access(ours(provider)))
    while not provider.asked:
        await asyncio.sleep(0.001)
    asking.cancel()
    for _ in range(5000):
        if kept.get("mail/support").get("refresh") == provider.refresh_of(SUPPORT):
            break
        await asyncio.sleep(0.01)
    assert await Tokens(session, kept).access(ours(provider))
    assert len(provider.asked) == 1


_OTHER = """
import asyncio, sys, json, aiohttp
from pathlib import Path
from connectors.kept import Kept
from connectors.mail.oauth import Tokens
from hub.config import Account
async def main():
    url, folder, client, secret, scope = sys.argv[1:]
    account = Account(key="mail/support", connector="mail", name="support", brand="main", title="Support",
        address="support@example.com",
        settings={"auth": "xoauth2", "oauth": {"token_url": url, "client_id": client, "scope": scope}},
        secrets={"refresh_token": ("first",), "client_secret": (secret,)})
    async with aiohttp.ClientSession() as session:
        tokens = Tokens(session, Kept(Path(folder)))
        for _ in range(5):
            print(await tokens.access(account, fresh=True))
asyncio.run(main())
"""


async def test_three_processes_with_one_mailbox_do_not_fight_over_it(provider: OAuth, tmp_path: Path) -> None:
    """Each is refused again and again; none ever comes with a refresh token that another has spent."""
    root = Path(__file__).parents[3]
    arguments = (provider.token_url, str(tmp_path / "kept"), CLIENT, SECRET, SCOPE)
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER, *arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for one in running:
        said, _ = await one.communicate()
        assert one.returncode == 0
        assert len(said.split()) == 5
    assert provider.faults == []


async def test_a_process_that_hangs_while_it_renews_is_not_waited_for_for_ever(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kept._WAIT_S", 0.1)
    kept = Kept(tmp_path / "kept")
    async with kept.alone("mail/support"):
        with pytest.raises(Unavailable, match="another process"):
            await Tokens(session, kept).access(ours(provider))
    assert await Tokens(session, kept).access(ours(provider))


# ------------------------------------------------------------------------------------------------ and on the way out


async def test_the_way_out_takes_the_token_that_the_way_in_got(
    provider: OAuth, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kept = Kept(tmp_path / "kept")
    token = await Tokens(session, kept).access(ours(provider))
    with SmtpServer(tokens={SUPPORT: token}) as server:
        made = ours(provider)
        sends = replace(
            made,
            settings={
                **made.settings, "smtp": {"host": "127.0.0.1", "port": server.port, "tls": "none", "user": SUPPORT}
            },
        )  # fmt: skip
        wire = Wire(http=session, redis=None, blobs=Files(), public_url="", now=NOW, kept=kept)
        await lines.check(sends, wire)
        assert server.logins == [("XOAUTH2", SUPPORT, True)]
        assert len(provider.asked) == 1
        provider.revoke(SUPPORT)
        server.tokens.clear()
        with pytest.raises(SendError) as caught:
            await lines.connect(sends, wire, Budget(Timing(), 1))
    assert (caught.value.code, caught.value.whole_account) == (SendCode.CHANNEL_CONFIG, True)
    assert "must allow the mailbox again" in caught.value.detail


async def test_nobody_at_the_token_door_is_for_now(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    with OAuth({SUPPORT: "first"}) as provider:
        made = ours(provider)
        provider.status = 503
        with pytest.raises(Unavailable, match="503"):
            await Tokens(session, Kept(tmp_path / "kept")).access(made)
    made.settings["oauth"] |= {"token_url": f"http://127.0.0.1:{free_port()}/token"}
    with pytest.raises(Unavailable, match="does not answer"):
        await Tokens(session, Kept(tmp_path / "kept")).access(made)
