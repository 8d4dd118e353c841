"""F14 and F20 over real servers: connections that break, stall or lie dead, mails that cannot be had, logins."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from connectors.mail import imap
from connectors.mail.oauth import TokenRefused, Tokens
from tests.connectors.mail.reading import Hub, Reading, mail
from tests.connectors.mail.test_imap import _brisk, dovecot, names, pymap
from tests.connectors.mail.xoauth2 import Xoauth2
from tests.faults.proxy import Proxy
from tests.servers.imap import Dovecot, Imap, Pymap, account

__all__ = ["_brisk", "dovecot", "pymap"]


@pytest.fixture(params=[pytest.param("pymap", marks=pytest.mark.slow), "dovecot"])
def server(request: pytest.FixtureRequest) -> Imap:
    """The test runs once with each."""
    found: Imap = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def proxy(server: Imap) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


async def test_connections_that_are_cut_again_and_again(server: Imap, proxy: Proxy) -> None:
    hub, box = Hub(), server.box()
    server.put(box, *(mail(number, size=30_000) for number in range(120)))
    proxy.delay_s = 0.02
    async with Reading(hub, account(server, box, port=proxy.port)) as reading:
        for _ in range(4):
            seen = len(hub.subjects())
            await reading.until(lambda seen=seen: len(hub.subjects()) > seen or len(hub.subjects()) == 120)
            proxy.reset()
        proxy.delay_s = 0.0
        await reading.until(lambda: len(hub.subjects()) == 120)
    assert hub.subjects() == names(range(120))
    assert hub.unreadable() == []
    assert hub.doubled() == []


async def test_a_large_mail_goes_on_where_the_connection_broke(server: Imap, proxy: Proxy) -> None:
    hub, box = Hub(), server.box()
    large = mail(1, size=5 * imap.PIECE_BYTES)
    server.put(box, large, mail(2))
    async with Reading(hub, account(server, box, port=proxy.port)) as reading:
        for _ in range(4):  # more often than a mail is tried that does not come on
            await reading.until(lambda: reading.mailbox._fetcher.troubles or len(hub.events()) == 2)
            had = max((len(one.have) for one in reading.mailbox._fetcher.troubles.values()), default=0)
            await reading.until(
                lambda had=had: (
                    len(hub.events()) == 2
                    or any(len(one.have) > had for one in reading.mailbox._fetcher.troubles.values())
                )
            )
            proxy.reset()
        await reading.until(lambda: len(hub.subjects()) == 2)
    assert hub.subjects() == ["mail 1", "mail 2"]
    assert large in hub.blobs


async def test_an_idle_that_died_in_silence_is_found_by_the_poll(
    server: Imap, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "ANSWER_S", 1.0)
    hub, box = Hub(), server.box()
    async with Reading(hub, account(server, box, port=proxy.port, poll="1s")) as reading:
        await reading.until(lambda: hub.health)
        proxy.strand()  # open, and dead for ever: nobody is told
        server.put(box, mail(1))
        await reading.until(lambda: hub.subjects() == ["mail 1"])
        assert reading.mailbox.connections >= 2


async def test_a_frozen_server_is_waited_for(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "ANSWER_S", 1.0)
    monkeypatch.setattr("connectors.mail.pull.LAST_PAUSE_S", 0.5)
    hub, box = Hub(), dovecot.box()
    dovecot.put(box, mail(1))
    async with Reading(hub, account(dovecot, box, poll="1s")) as reading:
        await reading.until(lambda: hub.subjects() == ["mail 1"])
        dovecot.put(box, mail(2))
        dovecot.freeze()  # kill -STOP, all its processes
        try:
            await reading.until(lambda: hub.health and hub.health[-1].why)
        finally:
            dovecot.thaw()  # others use it, too
        await reading.until(lambda: hub.subjects() == ["mail 1", "mail 2"])
        await reading.until(lambda: not hub.health[-1].why)
    assert hub.doubled() == []


async def test_its_process_killed_while_it_gives_mails(dovecot: Dovecot) -> None:
    hub, box = Hub(), dovecot.box()
    dovecot.put(box, *(mail(number, size=60_000) for number in range(100)))
    async with Reading(hub, account(dovecot, box)) as reading:
        for count in (1, 51):
            await reading.until(lambda count=count: len(hub.subjects()) >= count)
            dovecot.kick()
        await reading.until(lambda: len(hub.subjects()) == 100)
    assert hub.subjects() == names(range(100))
    assert hub.unreadable() == []


async def test_expunged_by_another_while_it_is_fetched(dovecot: Dovecot) -> None:
    hub, box = Hub(), dovecot.box()
    dovecot.put(box, *(mail(number, size=20_000) for number in range(150)))
    with dovecot.client() as other, Proxy(dovecot.port) as slow:
        slow.delay_s = 0.01
        other.select_folder(box)
        uids = other.search()
        async with Reading(hub, account(dovecot, box, port=slow.port)) as reading:
            await reading.until(lambda: len(hub.subjects()) >= 50)
            other.delete_messages(uids[60:140:2])
            other.expunge()
            dovecot.put(box, mail(150))
            await reading.until(lambda: "mail 150" in hub.subjects())
    stayed = [f"mail {n}" for n in range(151) if not (60 <= n < 140 and n % 2 == 0)]
    assert [name for name in stayed if name not in hub.subjects()] == []
    assert hub.unreadable() == []
    assert hub.subjects() == sorted(hub.subjects(), key=lambda name: int(name.split()[1]))


async def test_one_mail_that_ends_every_connection_is_set_aside(
    server: Imap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's side of it: a proxy that cuts whoever asks for that mail's words."""
    hub, box = Hub(), server.box()
    server.put(box, *map(mail, range(5)), mail("POISON", body="THE POISON"), *map(mail, range(6, 10)))
    with Cutting(server.port, b"THE POISON") as between:
        async with Reading(hub, account(server, box, port=between.port)) as reading:
            await reading.until(lambda: "mail 9" in hub.subjects())
    assert hub.subjects() == [*names(range(5)), *names(range(6, 10))]
    (aside,) = hub.unreadable()
    assert "could not be fetched after 3 tries" in aside.reason
    assert any(b"Subject: mail POISON" in blob and b"THE POISON" not in blob for blob in hub.blobs)


class Cutting(Proxy):
    """Ends a connection as soon as the server says `word` on it."""

    def __init__(self, to_port: int, word: bytes) -> None:
        super().__init__(to_port)
        self.word = word

    async def _pass(
        self, reader: asyncio.StreamReader, here: asyncio.StreamWriter, there: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(64 * 1024):
            if self.word in data:
                for end in (here, there):
                    end.transport.abort()
                return
            there.write(data)
            await there.drain()
        there.write_eof()


# ------------------------------------------------------------------------------------------------------ logging in


async def test_a_refused_login_is_said_and_not_tried_again_soon(dovecot: Dovecot) -> None:
    hub, box = Hub(), dovecot.box()
    wrong = replace(account(dovecot, box), secrets={"password": ("wrong",)})
    async with Reading(hub, wrong) as reading:
        await reading.until(lambda: hub.health)
        await asyncio.sleep(0.5)  # a hot loop would show
        assert reading.mailbox.connections == 1
    assert "refuses the login" in hub.health[-1].why
    assert hub.health[-1].next_at is not None
    assert (hub.health[-1].next_at - hub.health[-1].at).total_seconds() >= 60


async def test_the_older_password_serves_while_it_is_changed(pymap: Pymap) -> None:
    hub, box = Hub(), pymap.box()
    pymap.put(box, mail(1))
    both = replace(account(pymap, box), secrets={"password": ("not yet valid", "sesame")})
    async with Reading(hub, both) as reading:
        await reading.until(lambda: hub.subjects() == ["mail 1"])


async def test_a_server_that_is_away_is_tried_with_growing_pauses(pymap: Pymap) -> None:
    hub = Hub()
    away = account(pymap, "INBOX", port=1)
    async with Reading(hub, away) as reading:
        await reading.until(lambda: reading.mailbox.connections >= 3)
        assert "does not answer" in hub.health[-1].why


# ------------------------------------------------------------------------------------------------------- OAuth 2


class TokenServer:
    """A provider's token endpoint (RFC 6749, 6): each access token is good until `revoke`, refresh tokens turn over."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.valid: set[str] = set()
        self.refresh = "first refresh"
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form)
        if self.status != 200:
            return web.json_response({"error": "temporarily_unavailable"}, status=self.status)
        if form.get("grant_type") == "refresh_token" and form.get("refresh_token") != self.refresh:
            return web.json_response({"error": "invalid_grant", "error_description": "revoked"}, status=400)
        token = f"access {len(self.asked)}"
        self.valid.add(token)
        self.refresh = f"refresh {len(self.asked)}" if "refresh_token" in form else self.refresh
        return web.json_response({"access_token": token, "expires_in": 3600, "refresh_token": self.refresh})


class TokenPort:
    def __init__(self, tokens: TokenServer, port: int) -> None:
        self.tokens, self.port = tokens, port


@pytest.fixture
async def token_port() -> AsyncIterator[TokenPort]:
    tokens = TokenServer()
    app = web.Application()
    app.router.add_post("/token", tokens.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield TokenPort(tokens, site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
    await runner.cleanup()


def with_oauth(port: int, **secrets: tuple[str, ...]) -> dict[str, object]:
    return {
        "settings": {
            "imap": {"host": "127.0.0.1", "port": 1, "tls": "none"},
            "auth": "xoauth2",
            "oauth": {"token_url": f"http://127.0.0.1:{port}/token", "client_id": "hub", "scope": "mail"},
        },
        "secrets": {"refresh_token": ("first refresh",), "client_secret": ("hush",), **secrets},
    }


async def test_tokens_are_fetched_kept_renewed_and_refused(token_port: TokenPort) -> None:
    tokens, now = token_port.tokens, [0.0]
    async with aiohttp.ClientSession() as session:
        held = Tokens(session, now=lambda: now[0])
        ours = replace(account(_Nowhere, "INBOX"), **with_oauth(token_port.port))  # type: ignore[arg-type]
        assert await held.access(ours) == "access 1"
        assert await held.access(ours) == "access 1"
        assert tokens.asked == [
            {"client_id": "hub", "grant_type": "refresh_token", "refresh_token": "first refresh",
             "client_secret": "hush", "scope": "mail"}
        ]  # fmt: skip
        now[0] = (
            3500.0  # two minutes before its end it is renewed, with the refresh token that was handed out last
        )
        assert await held.access(ours) == "access 2"
        assert tokens.asked[-1]["refresh_token"] == "refresh 1"
        assert await held.access(ours, fresh=True) == "access 3"
        tokens.refresh = "taken back"
        with pytest.raises(TokenRefused, match="invalid_grant"):
            await held.access(ours, fresh=True)
        application = replace(ours, secrets={"client_secret": ("hush",)}, key="mail/app")
        await held.access(application)
        assert tokens.asked[-1]["grant_type"] == "client_credentials"


class _Nowhere:
    port = 1


async def test_xoauth2_logs_in_and_a_revoked_token_is_renewed_at_once(token_port: TokenPort) -> None:
    tokens = token_port.tokens
    hub = Hub()
    with Xoauth2(tokens.valid) as provider:
        ours = replace(account(_Nowhere, "INBOX"), **with_oauth(token_port.port))  # type: ignore[arg-type]
        ours.settings["imap"] |= {"port": provider.port, "user": "support@example.com", "poll": "1s"}
        async with aiohttp.ClientSession() as session, Reading(hub, ours, Tokens(session)) as reading:
            await reading.until(lambda: provider.logins)
            tokens.valid.clear()  # taken back before its end
            provider.cut.set()
            await reading.until(lambda: len(provider.logins) == 2)
    assert provider.logins == [("support@example.com", "access 1"), ("support@example.com", "access 2")]
