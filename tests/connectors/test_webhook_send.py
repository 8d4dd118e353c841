"""Replies that go out through the webhook: what is posted, and what each answer means."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import http, signing
from connectors.base import Wire
from connectors.webhook import CONNECTOR
from hub.config import Account
from hub.errors import NotFound, SendCode, SendError, Unavailable
from hub.model import Attachment, Change, Outgoing, Revision, Sent
from tests.connectors.hasty import hasty
from tests.connectors.samples import account
from tests.servers import free_port
from tests.servers.http import Provider, Say, Seen

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SECRETS = ("the-newest-secret", "the-older-secret")


def strict(seen: Seen) -> Say | None:
    """As a receiver checks it who has read our page."""
    try:
        signing.check(seen.headers.get("x-mainstem-signature"), SECRETS[:1], seen.body, NOW.timestamp())
    except Exception:
        return Say(status=401)
    if seen.method == "POST":
        said = json.loads(seen.body)
        key = {
            "message": said["delivery"],
            "message.changed": f"{said['delivery']}-{said.get('change')}",
            "message.deleted": f"{said['delivery']}-{said.get('change')}",
        }
        if seen.headers.get("idempotency-key") != key.get(said["kind"]):
            return Say(status=400)
        if seen.headers.get("content-type") != "application/json":
            return Say(status=415)
    return None


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(check=strict) as opened:
        yield opened


class Files:
    async def read(self, sha256: str) -> bytes:
        if sha256 == "d" * 64:
            raise Unavailable("the bucket does not answer")
        if sha256 != "a" * 64:
            raise NotFound("no such blob")
        return b"hello"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with http.guarded_session(allow_private=True, total_s=30) as session:
        yield Wire(http=session, redis=None, blobs=Files(), public_url="https://hub.example.com", now=NOW)


def ours(url: str, **settings: Any) -> Account:
    return account("webhook/demo", {"signing": SECRETS}, url=url, **settings)


def message(**more: Any) -> Outgoing:
    said: dict[str, Any] = {
        "delivery_id": 7093152233713664,
        "account": "webhook/demo",
        "to": "mailto:ann@example.com",
        "text": "It is on its way.",
        "author_name": "Bo",
        "created_at": NOW,
    }
    return Outgoing(**{**said, **more})


async def test_a_reply_is_posted_signed_and_keyed(provider: Provider, wire: Wire) -> None:
    provider.queue.append(Say(body=b'{"id": "their-88"}'))
    file = Attachment(sha256="a" * 64, content_type="text/plain", size_bytes=5, name="a.txt")
    sent = await CONNECTOR.send(
        message(subject="Parcel", in_reply_to="m-1", attachments=(file,)), ours(provider.url + "/in"), wire
    )
    assert sent == Sent(external_ids=("their-88",))
    (seen,) = provider.seen
    assert seen.path == "/in"
    assert json.loads(seen.body) == {
        "kind": "message",
        "delivery": "7093152233713664",
        "account": "webhook/demo",
        "to": "mailto:ann@example.com",
        "text": "It is on its way.",
        "subject": "Parcel",
        "in_reply_to": "m-1",
        "author": "Bo",
        "created_at": "2026-11-21T10:00:00Z",
        "attachments": [{"name": "a.txt", "content_type": "text/plain", "data": "aGVsbG8="}],
    }


@pytest.mark.parametrize(
    "body, known_as",
    [
        (b"", "7093152233713664"),
        (b"OK", "7093152233713664"),
        (b"\xff", "7093152233713664"),
        (b"[]", "7093152233713664"),
        (b'{"id": null}', "7093152233713664"),
        (b'{"id": 42}', "42"),
        (b"x" * 100_000, "7093152233713664"),
    ],
)
async def test_without_an_id_of_theirs_it_is_known_by_ours(
    body: bytes, known_as: str, provider: Provider, wire: Wire
) -> None:
    provider.queue.append(Say(status=201, body=body))
    assert (await CONNECTOR.send(message(), ours(provider.url), wire)).external_ids == (known_as,)


async def test_what_they_had_already_was_sent(provider: Provider, wire: Wire) -> None:
    provider.queue.append(Say(status=409, body=b'{"id": "their-88"}'))
    assert (await CONNECTOR.send(message(), ours(provider.url), wire)).external_ids == ("their-88",)


@pytest.mark.parametrize(
    "say, code, retry, whole, after_s",
    [
        (Say(status=401), SendCode.CHANNEL_CONFIG, False, True, None),
        (Say(status=403), SendCode.CHANNEL_CONFIG, False, True, None),
        (Say(status=307, headers={"Location": "/x"}), SendCode.CHANNEL_CONFIG, False, True, None),
        (Say(status=404), SendCode.REJECTED, False, False, None),
        (Say(status=410), SendCode.REJECTED, False, False, None),
        (Say(status=422, body=b'{"why": "no such order"}'), SendCode.REJECTED, False, False, None),
        (Say(status=429, headers={"Retry-After": "7"}), SendCode.THROTTLED, True, True, 7.0),
        (Say(status=429, headers={"Retry-After": "soon"}), SendCode.THROTTLED, True, True, None),
        (Say(status=400), SendCode.RESPONSE_STATUS, False, False, None),
        (Say(status=500, body=b"<html>oh</html>"), SendCode.RESPONSE_STATUS, True, False, None),
        (Say(status=503, headers={"Retry-After": "3"}), SendCode.RESPONSE_STATUS, True, False, 3.0),
        (Say(status=503, cut="body"), SendCode.RESPONSE_STATUS, True, False, None),
        (Say(hang=True), SendCode.UNKNOWN, False, False, None),
        (Say(cut="before"), SendCode.UNKNOWN, False, False, None),
        (Say(cut="body", body=b'{"id":'), SendCode.UNKNOWN, False, False, None),
    ],
)
async def test_what_their_answer_means(
    say: Say, code: SendCode, retry: bool, whole: bool, after_s: float | None, provider: Provider, wire: Wire
) -> None:
    provider.queue.append(say)
    with pytest.raises(SendError) as caught:
        async with hasty(wire) if say.hang else nullcontext(wire) as wire:
            await CONNECTOR.send(message(), ours(provider.url), wire)
    error = caught.value
    assert (error.code, error.retry, error.whole_account, error.after_s) == (code, retry, whole, after_s)
    assert len(provider.seen) == 1, "a send never tries again by itself"
    assert not any(secret in str(error) for secret in SECRETS)


async def test_no_connection_may_be_tried_again(wire: Wire) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(), ours(f"http://127.0.0.1:{free_port()}/"), wire)
    assert (caught.value.code, caught.value.retry) == (SendCode.CONNECTION_FAILED, True)


async def test_an_address_inside_is_the_account_s_fault(provider: Provider, wire: Wire) -> None:
    async with http.guarded_session() as session:
        with pytest.raises(SendError) as caught:
            await CONNECTOR.send(
                message(), ours(provider.url.rpartition(":")[0] + ":8080/"), replace(wire, http=session)
            )
    assert (caught.value.code, caught.value.whole_account) == (SendCode.CHANNEL_CONFIG, True)
    assert provider.seen == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "x" * 65_537},
        {"text": ""},
        {"attachments": (Attachment(sha256="a" * 64, content_type="x", size_bytes=3_000_000),)},
        {"attachments": (Attachment(sha256="a" * 64, content_type="x", size_bytes=5),) * 11},
        {"attachments": (Attachment(sha256="a" * 64, content_type="x", size_bytes=2_000_000),) * 3},
    ],
)
async def test_what_is_too_large_does_not_leave(
    wrong: dict[str, Any], provider: Provider, wire: Wire
) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(**wrong), ours(provider.url), wire)
    assert caught.value.code is SendCode.MESSAGE_INVALID
    assert provider.seen == []


@pytest.mark.parametrize(
    "sha256, code, retry",
    [("d" * 64, SendCode.CONNECTION_FAILED, True), ("9" * 64, SendCode.MESSAGE_INVALID, False)],
)
async def test_a_file_that_cannot_be_read_leaves_no_doubt(
    sha256: str, code: SendCode, retry: bool, provider: Provider, wire: Wire
) -> None:
    """Nothing has left, so it is tried again or the agent is told; nobody has to find out whether it went out."""
    file = Attachment(sha256=sha256, content_type="text/plain", size_bytes=5, name="hello.txt")
    with pytest.raises(SendError) as refused:
        await CONNECTOR.send(message(attachments=(file,)), ours(provider.url), wire)
    assert (refused.value.code, refused.value.retry) == (code, retry)
    assert provider.seen == []


async def test_without_a_url_the_account_cannot_send(wire: Wire) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(), account("webhook/demo", {"signing": SECRETS}), wire)
    assert caught.value.code is SendCode.CHANNEL_CONFIG


async def test_a_doubtful_send_is_asked_after(provider: Provider, wire: Wire) -> None:
    ask = ours(provider.url, find_url=provider.url + "/sent?tenant=1")
    provider.queue.extend([Say(body=b'{"id": "their-88"}'), Say(status=404), Say(status=500), Say(hang=True)])
    assert await CONNECTOR.find(message(), ask, wire) == Sent(external_ids=("their-88",))
    assert (provider.seen[0].path, provider.seen[0].query) == ("/sent", "tenant=1&delivery=7093152233713664")
    assert await CONNECTOR.find(message(), ask, wire) is None
    async with hasty(wire) as impatient:
        for way in (wire, impatient):
            with pytest.raises(SendError) as caught:
                await CONNECTOR.find(message(), ask, way)
            assert caught.value.code is SendCode.UNKNOWN
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(message(), ours(provider.url), wire)
    assert caught.value.code is SendCode.UNKNOWN


async def test_many_at_once_share_one_session(provider: Provider, wire: Wire) -> None:
    sends = (CONNECTOR.send(message(delivery_id=n), ours(provider.url), wire) for n in range(1, 51))
    assert {s.external_ids[0] for s in await asyncio.gather(*sends)} == {str(n) for n in range(1, 51)}


def revision(change: Change, **more: Any) -> Revision:
    said: dict[str, Any] = {
        "change": change,
        "message": message(text="It comes on Monday." if change is Change.EDIT else "as it read"),
        "external_ids": ("their-88",),
        "number": 2,
    }
    return Revision(**{**said, **more})


async def test_a_change_is_posted_as_such_and_may_be_posted_again(provider: Provider, wire: Wire) -> None:
    for _ in range(2):
        sent = await CONNECTOR.change(revision(Change.EDIT), ours(provider.url + "/in"), wire)
        assert sent == Sent(external_ids=("their-88",))
    first, again = provider.seen
    assert json.loads(first.body) == {
        "kind": "message.changed",
        "delivery": "7093152233713664",
        "message": "their-88",
        "change": 2,
        "account": "webhook/demo",
        "to": "mailto:ann@example.com",
        "author": "Bo",
        "text": "It comes on Monday.",
    }
    assert first.body == again.body


async def test_a_deletion_says_no_word_of_what_was_said(provider: Provider, wire: Wire) -> None:
    await CONNECTOR.change(revision(Change.DELETE, external_ids=()), ours(provider.url), wire)
    said = json.loads(provider.seen[0].body)
    assert (said["kind"], said["message"], said["change"]) == ("message.deleted", "7093152233713664", 2)
    assert "text" not in said


@pytest.mark.parametrize(
    "change, status, code",
    [
        (Change.EDIT, 200, None),
        (Change.EDIT, 409, None),
        (Change.EDIT, 404, SendCode.REJECTED),
        (Change.EDIT, 422, SendCode.REJECTED),
        (Change.EDIT, 503, SendCode.RESPONSE_STATUS),
        (Change.DELETE, 404, None),
        (Change.DELETE, 410, None),
        (Change.DELETE, 400, SendCode.RESPONSE_STATUS),
    ],
)
async def test_what_a_receiver_answers_to_a_change(
    change: Change, status: int, code: SendCode | None, provider: Provider, wire: Wire
) -> None:
    provider.queue.append(Say(status=status))
    if code is None:
        await CONNECTOR.change(revision(change), ours(provider.url), wire)
        return
    with pytest.raises(SendError) as caught:
        await CONNECTOR.change(revision(change), ours(provider.url), wire)
    assert caught.value.code is code


async def test_a_change_that_is_too_long_never_leaves(provider: Provider, wire: Wire) -> None:
    long = revision(Change.EDIT, message=message(text="x" * 65_537))
    with pytest.raises(SendError) as caught:
        await CONNECTOR.change(long, ours(provider.url), wire)
    assert caught.value.code is SendCode.MESSAGE_INVALID
    assert provider.seen == []
