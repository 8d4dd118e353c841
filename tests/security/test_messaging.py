"""S1 and S2 for the messaging channels as strangers meet them: through the real edge.

What each `verify` says of forged requests is put to every connector by connectors/kit; here it is the way around it:
headers, proxies, other accounts, another day.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from connectors import CONNECTORS, accounts
from crm_store import schema
from crm_store.db import Store
from tests.messaginglines import Call, Line, TelegramLine, TwilioLine, post
from tests.messagingworld import ALL, MessagingWorld, messaging_world
from tests.servers.twilio import signature
from tests.world import KEY

PROOFS = {"x-twilio-signature", "x-telegram-bot-api-secret-token", "x-hub-signature-256"}


@pytest.fixture
async def w(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str, valkey: str
) -> AsyncIterator[MessagingWorld]:
    """A world with the one channel that the test names."""
    store = Store.open(sqlite_url)
    async with messaging_world(tmp_path, store, valkey, request.param) as opened:
        yield opened
    store.close()


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("w", names or ALL, indirect=True)


def line(w: MessagingWorld) -> Line:
    (only,) = w.lines.values()
    return only


def proof_of(call: Call) -> tuple[str, str]:
    return next((name, value) for name, value in call.headers.items() if name.lower() in PROOFS)


def with_proof(call: Call, name: str, value: str | None) -> Call:
    others = {key: kept for key, kept in call.headers.items() if key.lower() not in PROOFS}
    return replace(call, headers=others if value is None else {**others, name: value})


async def raw(call: Call, headers: list[tuple[str, str]]) -> int:
    """The same body by hand, its headers exactly as they are given; the answer's status."""
    parts = urlsplit(call.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Length: {len(call.body)}",
        "Connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + call.body)
    await writer.drain()
    said = await reader.read()
    writer.close()
    return int(said.split()[1])


# ------------------------------------------------------------------------------------------------------ S1: signatures


@each()
async def test_s1_only_what_the_provider_signed_for_this_account_comes_in(w: MessagingWorld) -> None:
    channel = line(w)
    call = (await channel.says("Ann", "It is broken")).call
    name, proof = proof_of(call)
    other = w.hub.accounts[channel.account]
    secrets: Mapping[str, tuple[str, ...]] = {
        purpose: (("8" if purpose == "token" else "") + "another-secret-of-another-account",)
        for purpose in other.secrets
    }
    w.hub.accounts[f"{channel.name}/other"] = replace(
        other, key=f"{channel.name}/other", name="other", secrets=dict(secrets)
    )
    elsewhere = replace(call, url=call.url.replace("/main", "/other"))
    forged = {
        "no proof": with_proof(call, name, None),
        "an empty one": with_proof(call, name, ""),
        "a wrong one": with_proof(call, name, proof[:-1] + ("A" if proof[-1] != "A" else "B")),
        "another's secret": with_proof(call, name, "another-secret-of-another-account"),
        "for another account": elsewhere,
    }
    if not isinstance(channel, TelegramLine):  # its secret covers no body
        forged |= {
            "a byte more": replace(call, body=call.body + b" "),
            "a byte less": replace(call, body=call.body[:-1]),
            "another word": replace(call, body=call.body.replace(b"broken", b"brokem")),
        }
    before = w.hub.journal.next_seq
    for what, bad in forged.items():
        assert await post(bad) == channel.refuses, what
    doubled = [*call.headers.items(), (name, proof)]
    assert await raw(call, doubled) == channel.refuses, "two proofs prove nothing"
    assert w.hub.journal.next_seq == before, "and nothing of it is on disk"
    spelled: list[Callable[[str], str]] = [str.lower, str.upper, str.title]
    for spell in spelled:
        assert await raw(call, [(spell(key), value) for key, value in call.headers.items()]) == 200


@each()
async def test_s1_what_a_client_says_of_host_and_proxies_changes_nothing(w: MessagingWorld) -> None:
    """A signature over the address is over the configured one."""
    channel = line(w)
    call = (await channel.says("Ann", "It is broken")).call
    host = urlsplit(channel.url).netloc
    lies = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Original-URL": "/in/webhook/main",
        "Forwarded": "host=evil.example;proto=https",
    }
    assert await post(call, **lies) == 200
    assert await post(call, Host="evil.example") == 200, "it is not where the URL comes from"
    if isinstance(channel, TwilioLine):
        params = {"MessageSid": "SM" + "0" * 32}
        for claimed in ("https://evil.example", "http://evil.example", f"https://{host}"):
            url = channel.url.replace(f"http://{host}", claimed)
            signed = {"X-Twilio-Signature": signature(w.twilio.auth_token, url, params)}
            asked = replace(call, body=urlencode(params).encode(), headers={**call.headers, **signed})
            lied = {"Host": "evil.example", **lies} if "evil" in claimed else {"X-Forwarded-Proto": "https"}
            assert await post(asked, **lied) == 403, claimed


@each("sms_twilio", "whatsapp_twilio")
async def test_s1_twilios_signature_over_all_that_a_form_and_an_address_can_hold(w: MessagingWorld) -> None:
    channel = line(w)
    sid = iter(range(100))

    def form(**more: str) -> dict[str, str]:
        address = channel.urn("Ann").replace("tel:", "whatsapp:" if "whatsapp" in channel.name else "")
        return {"MessageSid": f"SM{next(sid):032x}", "From": address, "Body": "x", **more}

    odd = {
        "empty": form(Empty="", Body="empty"),
        "spaces": form(Body="  spaces at both ends  ", Blank=" "),
        "unicode": form(Body="Grüße 👋 %20 + & = ;"),
        "a plus and a per cent": form(Body="1+1%2B=2"),
        "line ends": form(Body="a\r\nb\nc"),
    }
    for what, params in odd.items():
        body = urlencode(params).encode()
        for query in ("", "?a=%20b&c=+d", "?x=ü"):
            url = channel.url + query
            wire_url = channel.url + query.replace("ü", "%C3%BC")
            signed = {"X-Twilio-Signature": signature(w.twilio.auth_token, wire_url, params)}
            headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", **signed}
            asked = Call(url=wire_url, body=body, headers=headers)
            assert await post(asked) == 200, (what, query)
            assert await post(replace(asked, url=wire_url + ("&" if "?" in url else "?") + "z=1")) == 403
            assert await post(replace(asked, url=wire_url.replace("/main", "/main/"))) in (403, 404)
    await w.settle()
    assert w.hub.count(schema.interactions) == len(odd), "and each came in once"


@each("whatsapp", *(name for name in ("messenger", "instagram") if name in ALL))
async def test_s1_metas_bytes_count_and_not_what_they_mean(w: MessagingWorld) -> None:
    channel = line(w)
    call = (await channel.says("Ann", "Grüße / <b> 100 % 👋")).call
    assert b"\\u" in call.body
    same = call.body.replace(b"\\/", b"/")
    assert same != call.body
    assert await post(replace(call, body=same)) == 403, "the same JSON, not the same bytes"
    sha1 = "sha1=" + hmac.new(w.graph.app_secret.encode(), call.body, hashlib.sha1).hexdigest()
    older = {name: value for name, value in call.headers.items() if name != "X-Hub-Signature-256"}
    assert await post(replace(call, headers={**older, "X-Hub-Signature": sha1})) == 403, (
        "SHA-1 counts no more"
    )
    digest = call.headers["X-Hub-Signature-256"]
    assert await post(with_proof(call, "X-Hub-Signature-256", digest.upper())) == 403


@each()
async def test_s1_an_account_without_its_secret_is_put_aside(w: MessagingWorld) -> None:
    channel = line(w)
    for name in channel.environ:
        for value in ("", "   "):
            ready, troubles = accounts.resolve(w.hub.config, {**channel.environ, name: value}, KEY)
            assert channel.account not in ready
            assert name in troubles[channel.account]
    call = (await channel.says("Ann", "It is broken")).call
    before = w.hub.journal.next_seq
    del w.hub.accounts[channel.account]
    assert await post(call) == CONNECTORS[channel.name].unknown_account
    assert w.hub.journal.next_seq == before


# ---------------------------------------------------------------------------------------------------------- S2: replay


@each()
async def test_s2_an_old_request_says_nothing_new_and_fits_no_other_account(w: MessagingWorld) -> None:
    channel = line(w)
    call = (await channel.says("Ann", "It is broken")).call
    await w.settle()
    for time in ({"minutes": 1}, {"days": 1}, {"days": 30}):
        await w.passes(**time)
        assert await post(call) == 200
    await w.settle()
    assert w.hub.count(schema.interactions) == 1
    for path in ("/in/webhook/main", f"/in/{channel.name}/none", f"/in/{channel.name}"):
        before = w.hub.journal.next_seq
        status = await post(replace(call, url=w.hub.public_url + path))
        assert status in (401, 403, 404) or (status == 200 and w.hub.journal.next_seq == before), path
