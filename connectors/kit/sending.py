"""What a send does when the provider fails: every failure is a SendError with a code of the closed list.

The connector speaks to a server of our own (server.py), at the address that its setting `api` or `url` is given.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from msgspec import structs

from connectors import http
from connectors.base import Connector, Wire
from connectors.kit.captures import PUBLIC, BadSample, Sample
from connectors.kit.cases import CASES, LOST, OK, Case
from connectors.kit.server import MOST_READ, Act, answer, nobody, serve
from connectors.kit.tell import Check, Failed, Skipped, must, parse, shown
from hub.errors import SendCode, SendError
from hub.model import Attachment, Outgoing, Sent

SETTINGS = ("api", "url")  # which of a connector's settings leads to the provider
SESSION_S = 5.0  # what the session gives a request here
PLAIN = Act()
HUNG_S = 0.3  # the same, where an answer never comes
PATIENCE_S = 10.0  # for one send; beyond it the connector waits by itself
TEXT = "Your parcel is on its way."

_Tried = Sent | SendError


def every_failure_is_a_send_error(connector: Connector, sample: Sample) -> None:
    _against_each(connector, sample, CASES)


def what_may_have_been_sent_is_unknown(connector: Connector, sample: Sample) -> None:
    """The request left and no answer came: never said to be unsent, never sent again in silence."""
    _against_each(connector, sample, LOST)


def _against_each(connector: Connector, sample: Sample, cases: tuple[Case, ...]) -> None:
    key = leads(connector, sample)

    async def go() -> None:
        async with serve() as provider:
            account = pointed(sample, key, provider.url)
            for case in cases:
                provider.act = case.act
                ended = await _send(connector, account, outgoing(connector, sample), case.what, case.act)
                must(
                    provider.requests,
                    f"send does not go where the setting {key} leads, so nothing can be tried",
                )
                _judge(case, ended, account)

    run(go())


def _judge(case: Case, ended: _Tried, account: Sample) -> None:
    if isinstance(ended, Sent):
        must(case.sent, f"{case.what} counts as sent")
        must(ended.external_ids, f"{case.what} counts as sent, without an id")
        return
    what = f"{case.what} is {ended.code}"
    must(not case.codes or ended.code in case.codes, f"{what}, not {' or '.join(sorted(case.codes))}")
    must(
        not (ended.code is SendCode.UNKNOWN and ended.retry),
        f"{what} and to be tried again, so it may go out twice",
    )
    if case.retry is not None:
        again = "is to be tried again" if ended.retry else "is not to be tried again"
        must(ended.retry is case.retry, f"{what} and {again}")
    if case.after_s is not None:
        must(ended.after_s == case.after_s, f"{case.what} ({case.after_s:g}): after_s is {ended.after_s}")
    discreet(ended, account, case.what)


def discreet(error: SendError, sample: Sample, what: str) -> None:
    must(error.detail.strip(), f"{what}: the SendError says nothing (detail)")
    chain: list[BaseException] = [error]
    while (
        deeper := chain[-1].__cause__ or (None if chain[-1].__suppress_context__ else chain[-1].__context__)
    ) and len(chain) < 9:
        chain.append(deeper)
    for one in chain:
        for secret in sample.secrets():
            must(secret not in f"{one!r} {one}", f"{what}: the error ({type(one).__name__}) holds a secret")


def nobody_there_is_certainly_not_sent(connector: Connector, sample: Sample) -> None:
    key = leads(connector, sample)

    async def go() -> None:
        account = pointed(sample, key, await nobody())
        ended = await _send(connector, account, outgoing(connector, sample), "a refused connection")
        case = Case("a refused connection", Act(), frozenset({SendCode.CONNECTION_FAILED}), retry=True)
        _judge(case, ended, account)

    run(go())


def redirects_are_not_followed(connector: Connector, sample: Sample) -> None:
    """Whoever answers for the provider might send us, and our credentials, anywhere."""
    key = leads(connector, sample)

    async def go() -> None:
        async with serve() as other, serve() as provider:
            other.act = Act(answer=OK)
            for status in (301, 302, 307, 308):
                provider.act = Act(answer=answer(status, b"", Location=f"{other.url}/elsewhere"))
                await _send(
                    connector, pointed(sample, key, provider.url), outgoing(connector, sample), str(status)
                )
                must(not other.requests, f"a redirect ({status}) is followed to another host")

    run(go())


def an_endless_answer_is_not_read(connector: Connector, sample: Sample) -> None:
    key = leads(connector, sample)

    async def go() -> None:
        async with serve() as provider:
            for status in (200, 500):
                head = answer(status, b"", "application/json").replace(b"Content-Length: 0\r\n", b"")
                provider.act, provider.endless_bytes = Act(answer=head, endless=True), 0
                account = pointed(sample, key, provider.url)
                await _send(connector, account, outgoing(connector, sample), f"{status} without an end")
                must(
                    provider.endless_bytes < MOST_READ,
                    f"{provider.endless_bytes:,} bytes of an answer without an end are read ({status})",
                )

    run(go())


def a_message_that_is_taken_has_its_ids(connector: Connector, sample: Sample) -> None:
    key = leads(connector, sample)
    if not sample.answer:
        raise Skipped(
            "sample.yaml does not say what the provider answers to a message that it takes (answer)"
        )

    async def go() -> None:
        async with serve() as provider:
            provider.act = Act(answer=answer(200, sample.answer.encode()))
            account = pointed(sample, key, provider.url)
            ended = await _send(connector, account, outgoing(connector, sample), "the provider's yes")
            if isinstance(ended, SendError):
                raise Failed(f"what the provider answers to a message that it takes is {ended}")
            must(ended.external_ids, "a message that was taken has no ids")
            if sample.ids:
                must(ended.external_ids == sample.ids, f"the ids are {ended.external_ids}, not {sample.ids}")
            told = b"".join(request for _, request in provider.requests)
            must(_said(TEXT, told), "the text does not stand in what the provider was sent")

    run(go())


def _said(text: str, told: bytes) -> bool:
    return all(word.encode() in told for word in text.removesuffix(".").split())


def too_much_is_refused_before_it_leaves(connector: Connector, sample: Sample) -> None:
    """Beyond the channel's own limits, with nothing sent anywhere: neither by HTTP nor to Redis."""

    async def go() -> None:
        for what, message in _too_much(connector, sample):
            gone = _Gone()
            try:
                ended = await connector.send(message, sample.account, wire(gone, sample, gone))
            except SendError as error:
                must(not gone.said, f"{what} is refused only after something was sent")
                must(
                    error.code is SendCode.MESSAGE_INVALID,
                    f"{what} is {error.code}, not {SendCode.MESSAGE_INVALID}",
                )
                continue
            except Exception as error:
                must(not gone.said, f"{what} is sent")
                raise Failed(f"{what}: send raised {shown(error)}, and may raise SendError only") from error
            raise Failed(f"{what} is sent ({ended.external_ids})")

    run(go())


def _too_much(connector: Connector, sample: Sample) -> Iterator[tuple[str, Outgoing]]:
    limits = connector.limits
    message = outgoing(connector, sample)
    yield (
        f"a text of {limits.text_chars + 1:,} characters",
        structs.replace(message, text="x" * (limits.text_chars + 1)),
    )
    yield "a message with neither text nor attachment", structs.replace(message, text="")
    if limits.links:
        return  # what does not fit goes out as a link
    small = _file(b"x" * 64)
    yield (
        f"a message with {limits.attachments + 1} attachments",
        structs.replace(message, attachments=(small,) * (limits.attachments + 1)),
    )
    if limits.attachments:
        large = structs.replace(small, size_bytes=limits.attachment_bytes + 1)
        yield "an attachment that is too large", structs.replace(message, attachments=(large,))


class _Gone:
    """Stands for whatever leads out of here. Being used at all is remembered, and raises."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.said.append(name)
        raise ConnectionError(f"nothing may leave ({name})")


# ------------------------------------------------------------------------------------------------- how it is tried


def leads(connector: Connector, sample: Sample) -> str:
    for key in SETTINGS:
        if isinstance(sample.account.settings.get(key), str):
            return key
    raise Skipped("no setting `api` or `url` in sample.yaml leads its sends elsewhere")


def pointed(sample: Sample, key: str, url: str) -> Sample:
    """The same account, at our own server, by the path that it has."""
    settings = {
        name: _moved(value, url) if isinstance(value, str) and (name == key or "://" in value) else value
        for name, value in sample.account.settings.items()
    }
    return replace(sample, account=replace(sample.account, settings=settings))


def _moved(value: str, url: str) -> str:
    parts = urlsplit(value)
    return url + parts.path + (f"?{parts.query}" if parts.query else "")


class Nowhere(AbstractResolver):
    """No name leads anywhere: the checks stay on this machine, whatever a connector calls."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        raise OSError(f"{host} is not looked up in a check")

    async def close(self) -> None:
        return None


def session(act: Act) -> aiohttp.ClientSession:
    total_s = HUNG_S if act.hangs else SESSION_S
    return http.guarded_session(allow_private=True, total_s=total_s, resolver=Nowhere())


async def _send(
    connector: Connector, sample: Sample, message: Outgoing, what: str, act: Act = PLAIN
) -> _Tried:
    """How it ended. Whatever is neither Sent nor SendError is what the check looks for."""
    async with session(act) as outward:
        try:
            async with asyncio.timeout(PATIENCE_S):
                ended = await connector.send(message, sample.account, wire(outward, sample))
        except SendError as error:
            must(isinstance(error.code, SendCode), f"{what}: the code {error.code!r} is none of SendCode")
            return error
        except TimeoutError:
            raise Failed(f"{what}: send waits longer than the session that it is given lets it") from None
        except Exception as error:
            raise Failed(f"{what}: send raised {shown(error)}, and may raise SendError only") from error
    must(isinstance(ended, Sent), f"{what}: send gives {type(ended).__name__}, not Sent")
    return ended


def wire(outward: Any, sample: Sample, redis: Any = None) -> Wire:
    raw = sample.good_request()
    return Wire(
        http=outward,
        redis=redis or _Gone(),
        blobs=_Blobs(),
        public_url=PUBLIC,
        now=raw.received_at + timedelta(minutes=1),
    )


class _Blobs:
    async def read(self, sha256: str) -> bytes:
        return b"x" * 64


def _file(data: bytes) -> Attachment:
    return Attachment(
        sha256=hashlib.sha256(data).hexdigest(),
        content_type="text/plain",
        size_bytes=len(data),
        name="note.txt",
    )


def outgoing(connector: Connector, sample: Sample) -> Outgoing:
    """An answer to who sent the good capture."""
    raw = sample.good_request()
    events = parse(connector, raw, sample, sample.good).events
    to = sample.to or next((sender for e in events if (sender := getattr(e, "sender", ""))), "")
    if not to:
        raise BadSample(f"{sample.folder}/sample.yaml: nobody sent {sample.good}, so say `to`")
    ours = next((value for e in events if (value := getattr(e, "ours", ""))), "")
    return Outgoing(
        delivery_id=7093152233713664,
        account=sample.account.key,
        to=to,
        text=TEXT,
        interaction_id=7093152233713665,
        created_at=raw.received_at,
        author_name="Bo",
        ours=ours,
        heard_at=raw.received_at,
        heard_id=next((value for e in events if (value := getattr(e, "external_id", None))), None),
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


CHECKS: tuple[Check, ...] = (
    too_much_is_refused_before_it_leaves,
    a_message_that_is_taken_has_its_ids,
    every_failure_is_a_send_error,
    what_may_have_been_sent_is_unknown,
    nobody_there_is_certainly_not_sent,
    redirects_are_not_followed,
    an_endless_answer_is_not_read,
)
