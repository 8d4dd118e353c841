"""One try of one delivery: what must hold before the call, the call, and what its answer means.

The one place that decides what becomes of a failed send. Connectors only name what happened (hub.errors.SendCode).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from connectors.base import Connector, Wire
from crm_store import carried
from crm_store import delivery_states as states
from crm_store.doubts import FIRST_LOOK
from crm_store.outbox import Claimed
from crm_store.outcomes import Outcome
from hub import log
from hub.clock import from_us
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Outgoing, Sent
from hub.text import storable

_log = log.get("deliver")

SEND_S = 45.0  # above every connector's own time-outs (30 s), far below a job's
MAX_TRIES = 8  # with the back-off below: about 40 minutes of a provider that is down
MAX_AGE = states.MAX_AGE
_BACK_OFF_S = 4.0
_BACK_OFF_MAX_S = 900.0
_PATIENCE_S = 30.0  # when a provider asks for patience and does not say how much
_LEAST_S = 0.5
TRUST_A_NO_AFTER = timedelta(seconds=30)  # a provider that has not seen it yet may still be handling it
LOOK_AGAIN = timedelta(seconds=30)


class Do(StrEnum):
    """What a kind of failure leads to."""

    RETRY = "retry"  # again later, if the connector says that may be; failed otherwise
    PATIENCE = "patience"  # again when the provider said, and the try does not count
    FAIL = "fail"  # the agent must change something
    STOP = "stop"  # the recipient wants nothing from us
    DOUBT = "doubt"  # nobody knows; never again in silence


@dataclass(frozen=True, slots=True)
class Rule:
    """`pause_s`: how long the whole account rests, where it is the account's trouble or the error says so."""

    do: Do
    otherwise: Do = Do.FAIL  # for RETRY, when the error's `retry` is False
    pause_s: float = 60.0
    always_pauses: bool = False
    tells: bool = False  # a supervisor must do something


RULES: Mapping[SendCode, Rule] = {
    SendCode.CHANNEL_CONFIG: Rule(Do.PATIENCE, pause_s=300.0, always_pauses=True, tells=True),
    SendCode.MESSAGE_INVALID: Rule(Do.FAIL),
    SendCode.CONNECTION_FAILED: Rule(Do.RETRY, otherwise=Do.RETRY),  # certainly not sent
    SendCode.THROTTLED: Rule(Do.PATIENCE),
    SendCode.RESPONSE_STATUS: Rule(Do.RETRY),
    SendCode.RESPONSE_CONTENT: Rule(
        Do.RETRY, otherwise=Do.DOUBT
    ),  # an answer that nobody can read says nothing
    SendCode.REJECTED: Rule(Do.FAIL),
    SendCode.OPTED_OUT: Rule(Do.STOP),
    SendCode.WINDOW_CLOSED: Rule(Do.FAIL),
    SendCode.UNKNOWN: Rule(Do.DOUBT),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The account, or one recipient of it (`to_urn`), is left in peace until then. `tells`: somebody must act."""

    account: str
    until: datetime
    why: str
    to_urn: str | None = None
    tells: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    outcome: Outcome
    pause: Pause | None = None


def outgoing(delivery: Claimed, *, tries: int) -> Outgoing:
    carries, heard = carried.unpack(delivery.carries), delivery.heard
    return Outgoing(
        delivery_id=delivery.id,
        interaction_id=delivery.interaction_id,
        account=delivery.account,
        to=delivery.to_urn,
        text=delivery.text,
        subject=delivery.subject,
        thread=delivery.thread,
        in_reply_to=delivery.in_reply_to,
        attachments=delivery.attachments,
        created_at=delivery.written_at,
        author_name=delivery.author_name,
        attempt=tries,
        conversation_id=delivery.conversation_id,
        references=delivery.references,
        cc=delivery.cc,
        automatic=bool(delivery.automatic),
        bulk=bool(delivery.bulk),
        ours=heard.ours if heard else "",
        heard_at=from_us(heard.at_us) if heard else None,
        heard_id=heard.external_id if heard else None,
        answers=delivery.answers,
        public=carries.public,
        template=carries.template,
        choices=carries.choices,
        quoted=delivery.quoted,
    )


def refusal(delivery: Claimed, limits: Limits, now: datetime) -> Outcome | None:
    """Why this must not go out at all, known without asking the provider; None where nothing speaks against it.

    Of two windows the longer one counts here: whether this account may use it, its connector knows.
    """

    def no(code: SendCode, why: str) -> Outcome:
        return Outcome(delivery=delivery, state=states.FAILED, at=now, code=code.value, detail=why)

    if len(delivery.text) > limits.text_chars:
        have, most = len(delivery.text), limits.text_chars
        return no(SendCode.MESSAGE_INVALID, f"{have} characters; this channel takes {most}")
    if not limits.links and (why := _too_much(delivery, limits)):
        return no(SendCode.MESSAGE_INVALID, why)
    direct = delivery.answers == "message"
    window_s = (limits.human_window_s or limits.window_s) if direct else (limits.private_s or limits.window_s)
    carries = carried.unpack(delivery.carries)
    in_public = carries.public and not direct  # below what they said, however old it is
    if window_s is not None and carries.template is None and not in_public:
        heard = delivery.heard
        if heard is None or now - from_us(heard.at_us) > timedelta(seconds=window_s):
            hours = window_s / 3600
            why = f"the customer has not written for {hours:g} hours"
            return no(
                SendCode.WINDOW_CLOSED,
                why if direct else f"what they said in public is over {hours:g} hours old",
            )
    return None


def _too_much(delivery: Claimed, limits: Limits) -> str | None:
    if len(delivery.attachments) > limits.attachments:
        return f"{len(delivery.attachments)} attachments; this channel takes {limits.attachments}"
    for file in delivery.attachments:
        if file.size_bytes > limits.attachment_bytes:
            return f"{file.name or 'a file'} is larger than {limits.attachment_bytes} bytes"
    return None


async def attempt(
    connector: Connector,
    delivery: Claimed,
    account: Account,
    wire: Wire,
    clock: Callable[[], datetime],
) -> Result:
    """Call the provider once. Raises nothing but cancellation, which is also how it is kept from lasting longer than
    SEND_S: whatever else goes wrong has an outcome."""
    tries = delivery.attempts + 1
    try:
        sent = await connector.send(outgoing(delivery, tries=tries), account, wire)
    except SendError as error:
        return judge(delivery, error, tries, clock())
    except TimeoutError:
        late = SendError(SendCode.UNKNOWN, "no answer in time")
        return judge(delivery, late, tries, clock())
    except Exception as error:
        _log.exception("send broke", delivery=delivery.id, account=delivery.account)
        wrong = SendError(SendCode.UNKNOWN, f"the connector broke: {type(error).__name__}")
        return judge(delivery, wrong, tries, clock())
    return Result(outcome=went_out(delivery, sent, clock()))


def went_out(delivery: Claimed, sent: Sent, now: datetime, expected: str = states.SENDING) -> Outcome:
    """The provider has it, under these ids."""
    status = sent.status.value if sent.status.value in states.WENT_OUT else states.SENT
    return Outcome(
        delivery=delivery,
        state=status,
        at=now,
        sent_ids=tuple(map(storable, sent.external_ids)),
        detail=storable(sent.detail),
        expected=expected,
    )


def judge(delivery: Claimed, error: SendError, tries: int, now: datetime) -> Result:
    """What becomes of a delivery whose `tries`-th try ended so, and whether its account or recipient must rest.

    What a provider said may hold characters that no store of ours takes; the end of a try is noted all the same.
    """
    rule = RULES[error.code]
    do = rule.do if rule.do is not Do.RETRY or error.retry else rule.otherwise
    detail = storable(error.detail)
    if error.sent_ids and do in (Do.RETRY, Do.PATIENCE):
        # Trying again would send those parts twice: the agent decides.
        do, detail = Do.FAIL, f"only {len(error.sent_ids)} part(s) went out: {detail}"
    wait_s = 0.0
    if do is Do.RETRY:
        wait_s = _back_off_s(tries) if error.after_s is None else error.after_s
        if tries >= MAX_TRIES:
            do, detail = Do.FAIL, f"given up after {tries} tries: {detail}"
    elif do is Do.PATIENCE:
        wait_s = _patience_s(rule, error)
    again_at = now + timedelta(seconds=max(wait_s, _LEAST_S))
    if do in (Do.RETRY, Do.PATIENCE) and again_at - delivery.tries_from > MAX_AGE:
        do, detail = Do.FAIL, f"given up after a day: {detail}"
    state = {Do.FAIL: states.FAILED, Do.STOP: states.OPTED_OUT, Do.DOUBT: states.UNKNOWN}.get(
        do, states.QUEUED
    )
    outcome = Outcome(
        delivery=delivery,
        state=state,
        at=now,
        due_at=now + FIRST_LOOK if state == states.UNKNOWN else again_at,
        sent_ids=tuple(map(storable, error.sent_ids)),
        code=error.code.value,
        provider_code=error.provider_code and storable(error.provider_code),
        detail=detail,
        counted=rule.do is not Do.PATIENCE,
        here_alone=error.here_alone,
    )
    return Result(outcome=outcome, pause=_pause(delivery, error, rule, now))


def _back_off_s(tries: int) -> float:
    """Full jitter: those that failed together do not come back together."""
    return random.uniform(0, min(_BACK_OFF_MAX_S, _BACK_OFF_S * 2.0**tries))  # noqa: S311 - spreads load


def _patience_s(rule: Rule, error: SendError) -> float:
    if error.after_s is not None:
        return error.after_s
    return rule.pause_s if rule.always_pauses else _PATIENCE_S


def _pause(delivery: Claimed, error: SendError, rule: Rule, now: datetime) -> Pause | None:
    whole = rule.always_pauses or error.whole_account
    if not whole and error.code is not SendCode.THROTTLED:
        return None
    rest_s = error.after_s if error.after_s is not None else (rule.pause_s if whole else _PATIENCE_S)
    return Pause(
        account=delivery.account,
        until=now + timedelta(seconds=rest_s),
        why=storable(str(error)),
        to_urn=None if whole else delivery.to_urn,
        tells=rule.tells or (error.whole_account and error.code is not SendCode.THROTTLED),
    )


async def look(
    connector: Connector,
    delivery: Claimed,
    account: Account,
    wire: Wire,
    clock: Callable[[], datetime],
    *,
    send_s: float = SEND_S,
) -> Outcome | str | None:
    """Ask the provider about an unknown delivery. A string says why asking again is no use; None: ask again later,
    which ends after a day."""
    try:
        async with asyncio.timeout(send_s):
            sent = await connector.find(outgoing(delivery, tries=delivery.attempts), account, wire)
    except SendError as error:
        for_now = error.retry and clock() - delivery.updated_at < MAX_AGE
        return storable(str(error)) if error.code is SendCode.UNKNOWN and not for_now else None
    except TimeoutError:
        return None
    except Exception as error:
        _log.exception("find broke", delivery=delivery.id, account=delivery.account)
        return f"the connector broke: {type(error).__name__}"
    now = clock()
    if sent is not None:
        return went_out(delivery, sent, now, states.UNKNOWN)
    if now - delivery.updated_at < TRUST_A_NO_AFTER:
        return None
    return Outcome(
        delivery=delivery,
        state=states.QUEUED,
        at=now,
        due_at=now,
        detail="the provider does not have it",
        expected=states.UNKNOWN,
    )
