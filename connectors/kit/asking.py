"""What else a connector asks of its provider (find, change, poll, fetch) when the provider fails.

Only the contract's own errors may come out; and a failure is never taken for an answer: `find` that says "it was not
sent" because nobody answered is how a customer gets a message twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from connectors.base import Changes, Connector, FetchError, Fetches, Polls, Wire
from connectors.kit import sending
from connectors.kit.captures import Sample
from connectors.kit.cases import CASES, LOST, Case
from connectors.kit.server import serve
from connectors.kit.tell import Check, Failed, Skipped, must, parse, shown
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Change, Media, Revision, Sent

_Ask = Callable[[Account, Wire], Awaitable[Any]]
_FAILING = tuple(
    case for case in CASES if not case.sent and "404" not in case.what
)  # 404 may well be an answer
_CUT_OFF = tuple(case for case in LOST if not case.act.hangs)  # long polling is to wait


def find_says_no_only_where_it_knows(connector: Connector, sample: Sample) -> None:
    key = sending.leads(connector, sample)
    message = sending.outgoing(connector, sample)

    def judge(case: Case, ended: Any) -> None:
        must(isinstance(ended, SendError), f"find: {case.what} counts as an answer ({_said(ended)})")
        must(
            ended.code is SendCode.UNKNOWN,
            f"find: {case.what} is {ended.code}, and what is not known is unknown",
        )

    _each(sample, key, (*_FAILING, *LOST), lambda a, w: connector.find(message, a, w), SendError, judge)


def a_change_that_fails_is_a_send_error(connector: Connector, sample: Sample) -> None:
    key = sending.leads(connector, sample)
    if not isinstance(connector, Changes):
        raise Skipped("what was sent cannot be changed on this channel")
    message = sending.outgoing(connector, sample)
    for change, can in ((Change.EDIT, connector.limits.edits), (Change.DELETE, connector.limits.deletes)):
        if can:
            revision = Revision(change=change, message=message, external_ids=sample.ids or ("1",), number=1)
            _each(
                sample, key, (*_FAILING, *LOST), partial(_change, connector, revision), SendError, _not_done
            )


def _change(connector: Changes, revision: Revision, account: Account, wire: Wire) -> Awaitable[Sent]:
    return connector.change(revision, account, wire)


def _not_done(case: Case, ended: Any) -> None:
    must(isinstance(ended, SendError), f"change: {case.what} counts as done")


def a_look_that_fails_is_a_send_error(connector: Connector, sample: Sample) -> None:
    """Whatever failed moves no cursor, or what came in meanwhile is lost."""
    if not isinstance(connector, Polls):
        raise Skipped("its provider is not asked for what came in")
    key = sending.leads(connector, sample)

    def judge(case: Case, ended: Any) -> None:
        must(isinstance(ended, SendError), f"poll: {case.what} counts as an answer")

    _each(sample, key, (*_FAILING, *_CUT_OFF), lambda a, w: connector.poll(a, "1", w), SendError, judge)


def a_file_that_does_not_come_is_a_fetch_error(connector: Connector, sample: Sample) -> None:
    if not isinstance(connector, Fetches):
        raise Skipped("its messages name no files at the provider")
    key = sending.leads(connector, sample)
    media = _media(connector, sample)
    if media is None:
        raise Failed("it fetches files, and no capture has one (media)")

    def judge(case: Case, ended: Any) -> None:
        must(isinstance(ended, FetchError), f"fetch: {case.what} counts as a file")

    _each(sample, key, (*_FAILING, *LOST), lambda a, w: connector.fetch(media, a, w), FetchError, judge)


def _media(connector: Connector, sample: Sample) -> Media | None:
    for name, raw in sample.captures.items():
        for event in parse(connector, raw, sample, name).events:
            for media in getattr(event, "media", ()):
                return media  # type: ignore[no-any-return]
    return None


def _each(
    sample: Sample,
    key: str,
    cases: tuple[Case, ...],
    ask: _Ask,
    allowed: type[Exception],
    judge: Callable[[Case, Any], None],
) -> None:
    async def go() -> None:
        async with serve() as provider:
            pointed = sending.pointed(sample, key, provider.url)
            for case in cases:
                provider.act = case.act
                judge(case, await _ended(ask, pointed, allowed, case))

    sending.run(go())


async def _ended(ask: _Ask, sample: Sample, allowed: type[Exception], case: Case) -> Any:
    async with sending.session(case.act) as outward:
        try:
            async with asyncio.timeout(sending.PATIENCE_S):
                return await ask(sample.account, sending.wire(outward, sample))
        except allowed as error:
            for secret in sample.secrets():
                must(secret not in f"{error!r} {error}", f"{case.what}: the error holds a secret")
            return error
        except Exception as error:
            raise Failed(
                f"{case.what}: raised {shown(error)}, and may raise {allowed.__name__} only"
            ) from error


def _said(ended: Any) -> str:
    return "it was not sent" if ended is None else "it was sent"


CHECKS: tuple[Check, ...] = (
    find_says_no_only_where_it_knows,
    a_change_that_fails_is_a_send_error,
    a_look_that_fails_is_a_send_error,
    a_file_that_does_not_come_is_a_fetch_error,
)
