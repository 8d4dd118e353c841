"""S3 and S5 for the messaging channels: addresses of files that lead inside, and files that are not what they seem."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors import CONNECTORS
from connectors.base import FetchError, Wire
from connectors.http import guarded_session
from crm_store.db import Store
from hub import showing
from hub.blobs import Reader
from hub.model import Media
from tests.connectors.test_http import PRIVATE, Libc
from tests.messagingworld import ALL, MessagingWorld, messaging_world
from tests.security.test_messaging import each, line
from tests.servers.graph import cdn
from tests.servers.http import Provider, Say


@pytest.fixture
async def w(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str, valkey: str
) -> AsyncIterator[MessagingWorld]:
    """A world with the one channel that the test names."""
    store = Store.open(sqlite_url)
    async with messaging_world(tmp_path, store, valkey, request.param) as opened:
        yield opened
    store.close()


# ------------------------------------------------------------------------------------------------ S3: files from inside


@pytest.fixture
def trap() -> Iterator[Provider]:
    """Something of ours that nobody outside may reach."""
    with Provider(default=Say(body=b"the keys of the house")) as server:
        yield server


def spellings(trap: Provider) -> list[str]:
    port = urlsplit(trap.url).port
    hosts = [host for host in PRIVATE if host not in ("0", "0.0.0.0")]
    return [
        *(f"https://{host}/latest/meta-data" for host in hosts),
        *(f"http://{host}:{port}/x" for host in ("127.0.0.1", "localhost", "127.1", "2130706433")),
        f"https://api.twilio.com@127.0.0.1:{port}/x",
        f"https://lookaside.fbsbx.com:x@127.0.0.1:{port}/x",
        f"https://127.0.0.1:{port}#.twilio.com/x",
        f"https://127.0.0.1:{port}/.fbcdn.net",
        f"https://api.twilio.com.127.0.0.1.nip.io:{port}/x",
        f"https://nottwilio.com:{port}/x",
        f"https://evilfbcdn.net:{port}/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://scontent.fbcdn.net/x",
        "data:text/plain,keys",
        "//127.0.0.1/x",
    ]


BY_ADDRESS = [name for name in ("sms_twilio", "whatsapp_twilio", "messenger", "instagram") if name in ALL]


@pytest.mark.parametrize("name", BY_ADDRESS)
async def test_s3_no_address_in_a_message_leads_inside(
    name: str, tmp_path: Path, sqlite_url: str, valkey: str, trap: Provider
) -> None:
    """As a message of a provider that was led astray would name it; the real hosts are configured here."""
    store = Store.open(sqlite_url)
    async with messaging_world(tmp_path, store, valkey, name) as w, guarded_session(resolver=Libc()) as http:
        account = w.hub.accounts[f"{name}/main"]
        account = replace(account, settings={k: v for k, v in account.settings.items() if k != "api"})
        wire = Wire(http=http, redis=None, blobs=Reader(w.hub.blobs), public_url="", now=w.hub.clock())
        connector: Any = CONNECTORS[name]
        for url in spellings(trap):
            with pytest.raises(FetchError) as caught:
                await connector.fetch(Media(ref=url), account, wire)
            assert not caught.value.retry, url
            for values in account.secrets.values():
                assert not any(value in str(caught.value) for value in values)
    store.close()
    assert trap.seen == []


class Inside(Libc):
    """A name of the provider's that leads to this machine, as a poisoned cache or a rebound name would."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]


GOOD = {
    "sms_twilio": "https://api.twilio.com:{port}/2010-04-01/x",
    "whatsapp_twilio": "https://media.twiliocdn.com:{port}/x",
    "messenger": "https://cdn.fbsbx.com:{port}/x",
    "instagram": "https://lookaside.fbsbx.com:{port}/x",
}


@pytest.mark.parametrize("name", BY_ADDRESS)
async def test_s3_the_providers_own_names_are_looked_at_where_they_lead(
    name: str, tmp_path: Path, sqlite_url: str, valkey: str, trap: Provider
) -> None:
    store = Store.open(sqlite_url)
    async with (
        messaging_world(tmp_path, store, valkey, name) as w,
        guarded_session(resolver=Inside()) as http,
    ):
        account = w.hub.accounts[f"{name}/main"]
        account = replace(account, settings={k: v for k, v in account.settings.items() if k != "api"})
        wire = Wire(http=http, redis=None, blobs=Reader(w.hub.blobs), public_url="", now=w.hub.clock())
        connector: Any = CONNECTORS[name]
        for port in (443, urlsplit(trap.url).port):
            with pytest.raises(FetchError):
                await connector.fetch(Media(ref=GOOD[name].format(port=port)), account, wire)
    store.close()
    assert trap.seen == []


@each("whatsapp")
async def test_s3_what_the_provider_answers_is_looked_at_like_what_a_message_says(
    w: MessagingWorld, trap: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Cloud API names the file's address in an answer; here it names one of ours, and nobody goes there."""
    inside = trap.url.replace("127.0.0.1", "localhost")
    monkeypatch.setattr(cdn, "whatsapp_url", lambda graph, media: f"{inside}/x")
    await at(w).person("Ann").sends(b"\xff\xd8\xff", "image/jpeg", caption="see")
    await w.settle()
    (entry,) = w.entries(w.hub.cleo.takes_next())
    assert (entry.text, entry.attachments) == ("see", ())
    assert [one.state for one in entry.expected] != ["done"]
    assert trap.seen == []


@each("telegram")
async def test_s3_a_path_in_telegrams_answer_stays_at_telegram(w: MessagingWorld, trap: Provider) -> None:
    ann = at(w).person("Ann")
    port = urlsplit(trap.url).port
    for path in (
        f"@localhost:{port}/x",
        f"//localhost:{port}/x",
        f"http://localhost:{port}/x",
        "../../../x",
        "/etc/passwd",
    ):
        await ann.sends("document", b"%PDF-1.7")
        stored = list(w.telegram.files.values())[-1]
        w.telegram.files[stored.file_id] = replace(stored, path=path)
    await w.settle()
    assert trap.seen == []
    assert not [one for one in w.telegram.requests if "passwd" in one.path]


def at(w: MessagingWorld) -> Any:
    return line(w)


# ------------------------------------------------------------------------------------------------------------ S5: files

HTML = b"<!doctype html><script>alert(1)</script>"
# What it is called, its bytes, the type that is claimed, and the type that it is kept as, if at all.
FILES: dict[str, tuple[bytes, str, str]] = {
    "a program": (b"MZ\x90\0" + b"x" * 60, "image/jpeg", ""),
    "a page": (HTML, "text/html", showing.OCTETS),
    "a drawing": (
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "image/svg+xml",
        showing.OCTETS,
    ),
    "a picture": (b"\xff\xd8\xff\xe0" + b"j" * 60, "image/jpeg", "image/jpeg"),
}


async def sends(w: MessagingWorld, who: str, data: bytes, content_type: str) -> None:
    channel = at(w)
    match channel.name:
        case "sms_twilio":
            await w.twilio.customer(f"+{channel.urn(who)[5:]}", who).says("see", media=[(content_type, data)])
        case "telegram":
            await channel.person(who).sends(
                "document", data, caption="see", mime_type=content_type, name="a\u202egpj.exe"
            )
        case "messenger" | "instagram":
            await channel.person(who).sends(data, content_type, text="see")
        case "whatsapp":
            await channel.person(who).sends(data, content_type, caption="see", kind="document")
        case _:
            await channel.person(who).sends(content_type, data, "see")
    await w.settle()


@each()
async def test_s5_a_strangers_file_is_what_its_bytes_say(w: MessagingWorld) -> None:
    people = ("Ann", "Bea", "Cy", "Dan")
    for who, (what, (data, claimed, kept)) in zip(people, FILES.items(), strict=True):
        await sends(w, who, data, claimed)
        (entry,) = w.entries(w.hub.cleo.takes_next())
        if (
            not entry.attachments
        ):  # by its bytes, or by a name or type that says that it is a program or markup
            (told,) = entry.expected
            assert told.state == "refused" or (told.coming and what == "a drawing"), "an error page, perhaps"
            assert told.why
            assert what != "a picture" or line(w).name == "telegram"
            continue
        (file,) = entry.attachments
        assert (file.content_type, w.hub.blobs.read(file.sha256)) == (kept, data), what
        shown = showing.shown_as(data[: showing.HEAD_BYTES], file.content_type)
        assert shown == ("image/jpeg" if what == "a picture" else None), what
