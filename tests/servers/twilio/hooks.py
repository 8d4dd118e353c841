"""How Twilio calls our webhooks: signed, with time-outs and retries by the URL's fragment, then the fallback.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides, …/webhooks-security
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

from tests.servers.local import NO_CONNECTION, TIMED_OUT, Heard
from tests.servers.twilio.records import Delivery, Hook
from tests.servers.twilio.signing import signature

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

POLICIES: Final = frozenset(("4xx", "5xx", NO_CONNECTION, TIMED_OUT, "all"))


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """retries: rc, 0 to 5, of itself 1. policy: rp, of itself ct alone. A value out of range counts as not given."""

    url: str
    retries: int = 1
    policy: frozenset[str] = frozenset((NO_CONNECTION,))
    read_s: float = 15.0


def overrides(url: str) -> Overrides:
    """The fragment "is not sent to your server"; the signature is over what is."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(fragment=""))
    given = dict(parse_qsl(parts.fragment))
    retries, read = given.get("rc", "1"), given.get("rt", "15000")
    policy = frozenset(given.get("rp", NO_CONNECTION).split(","))
    return Overrides(
        url=bare,
        retries=int(retries) if retries.isdigit() and int(retries) <= 5 else 1,
        policy=policy if policy <= POLICIES else frozenset((NO_CONNECTION,)),
        read_s=int(read) / 1000 if read.isdigit() and 100 <= int(read) <= 15000 else 15.0,
    )


async def deliver(twilio: Twilio, delivery: Delivery) -> Delivery:
    """The URL, again as its fragment says, then the fallback with ErrorCode and ErrorUrl. What fails then is lost."""
    hook = delivery.hook
    if not hook.url:
        twilio.alerts.append((11201, f"no URL for {delivery.sid}"))
        return delivery
    problem = await _try(twilio, delivery, hook.url, hook.method, delivery.params)
    if problem and hook.fallback_url:
        told = {
            "ErrorCode": "11200" if problem != TIMED_OUT else "11205",
            "ErrorUrl": overrides(hook.url).url,
        }
        problem = await _try(
            twilio, delivery, hook.fallback_url, hook.fallback_method, delivery.params | told
        )
    if problem:
        twilio.alerts.append((11200, f"{problem} for {delivery.sid}"))
    return delivery


async def _try(twilio: Twilio, delivery: Delivery, url: str, method: str, params: dict[str, str]) -> str:
    way = overrides(url)
    problem = ""
    for _ in range(1 + way.retries):
        heard = await _once(twilio, delivery, way, method, params)
        problem = heard.problem or ("" if heard.ok else f"{heard.status // 100}xx")
        delivery.tries.append((way.url, problem or "ok"))
        if not problem:
            delivery.answer, delivery.answer_type = heard.body, heard.headers.get("content-type", "")
        if not problem or not {problem, "all"} & way.policy:
            break
    return problem


async def _once(
    twilio: Twilio, delivery: Delivery, way: Overrides, method: str, params: dict[str, str]
) -> Heard:
    headers = {
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "I-Twilio-Idempotency-Token": delivery.token,
        "X-Home-Region": "us1",
    }
    wait_s = min(way.read_s, twilio.patience_s)
    if method == "GET":
        url = way.url + ("&" if "?" in way.url else "?") + urlencode(params)
        headers["X-Twilio-Signature"] = signature(twilio.auth_token, url, {})
        return await twilio.call("GET", url, body=None, headers=headers, wait_s=wait_s)
    headers["X-Twilio-Signature"] = signature(twilio.auth_token, way.url, params)
    headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    return await twilio.call("POST", way.url, body=urlencode(params).encode(), headers=headers, wait_s=wait_s)


def replies(twilio: Twilio, delivery: Delivery) -> list[str]:
    """The texts that an answer of TwiML has Twilio send. https://www.twilio.com/docs/messaging/twiml: text/plain goes
    to the customer as it stands; what is no TwiML is alert 12100, and another type 12300."""
    kind = delivery.answer_type.partition(";")[0].strip().lower()
    if not delivery.answer.strip():
        return []
    if kind == "text/plain":
        return [delivery.answer.decode(errors="replace")]
    if kind not in ("text/xml", "application/xml", "text/html"):
        twilio.alerts.append((12300, f"Content-Type {kind} for {delivery.sid}"))
        return []
    try:
        root = ET.fromstring(delivery.answer)
    except ET.ParseError:
        root = None
    if root is None or root.tag != "Response":
        twilio.alerts.append((12100, f"no TwiML for {delivery.sid}"))
        return []
    return ["".join(verb.itertext()).strip() for verb in root if verb.tag == "Message"]


def hook_of(url: str, method: str = "POST") -> Hook:
    return Hook(url=url, method=method)
