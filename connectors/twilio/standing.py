"""Does the account stand at Twilio as it should, and setting where Twilio is to call.

https://www.twilio.com/docs/iam/api/account, https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource,
https://www.twilio.com/docs/messaging/api/service-resource, https://www.twilio.com/docs/whatsapp/api/senders
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from connectors.base import Finding, Wire
from connectors.twilio import api, settings
from hub.config import Account
from hub.errors import SendCode, SendError

_SENDERS = 50  # a page of WhatsApp senders; who has more names the one meant in the console


async def examine(account: Account, wire: Wire, *, whatsapp: bool) -> tuple[Finding, ...]:
    """The account, then every place where Twilio is told whom to call. Raises SendError where nobody answers."""
    found = [await _account(account, wire)]
    service = settings.service(account)
    if service:
        found += await _service(account, wire, service)
    elif whatsapp:
        found += await _senders(account, wire)
    else:
        for number in settings.numbers(account):
            found += await _number(account, wire, number)
    return tuple(found)


async def hook(account: Account, wire: Wire, *, whatsapp: bool) -> str:
    """Twilio calls us from now on, and `fallback_url` where that is named. Raises SendError."""
    ours = wire.inbound(account) + api.OVERRIDES
    spare = str(account.settings.get("fallback_url") or "")
    service = settings.service(account)
    if service:
        form = [
            ("InboundRequestUrl", ours),
            ("InboundMethod", "POST"),
            ("UseInboundWebhookOnNumber", "false"),
        ]
        form += [("FallbackUrl", spare), ("FallbackMethod", "POST")] if spare else []
        await api.post(wire, account, f"{api.services_url(account)}/v1/Services/{service}", form)
        return f"the messaging service {service} calls {ours}"
    numbers = settings.numbers(account)
    for number in numbers:
        await (_hook_sender if whatsapp else _hook_number)(account, wire, number, ours, spare)
    return f"{', '.join(numbers)}: messages go to {ours}" + (f", else to {spare}" if spare else "")


async def _hook_number(account: Account, wire: Wire, number: str, ours: str, spare: str) -> None:
    sid = str((await _find_number(account, wire, number)).get("sid"))
    form = [("SmsUrl", ours), ("SmsMethod", "POST")]
    form += [("SmsFallbackUrl", spare), ("SmsFallbackMethod", "POST")] if spare else []
    kind = "IncomingPhoneNumbers" if number.startswith("+") else "SMS/ShortCodes"
    await api.post(wire, account, api.url(account, f"/{kind}/{sid}.json"), form)


async def _hook_sender(account: Account, wire: Wire, number: str, ours: str, spare: str) -> None:
    sender = await _find_sender(account, wire, number)
    what = {"callback_url": ours, "callback_method": "POST"}
    what |= {"fallback_url": spare, "fallback_method": "POST"} if spare else {}
    where = f"{api.services_url(account)}/v2/Channels/Senders/{sender.get('sid')}"
    await api.post_json(wire, account, where, {"webhook": what})


# ------------------------------------------------------------------------------------------------------ what is there


async def _account(account: Account, wire: Wire) -> Finding:
    said = await api.get(wire, account, api.url(account, ".json"))
    status, kind = str(said.get("status")), str(said.get("type"))
    if status != "active":
        return Finding(what="the Twilio account", wrong=f"It is {status}: see the console's first page.")
    if kind == "Trial":
        return Finding(
            what="the Twilio account",
            wrong="It is a trial and sends to verified numbers only: upgrade it.",
        )
    return Finding(what="the Twilio account is active")


async def _number(account: Account, wire: Wire, number: str) -> list[Finding]:
    try:
        said = await _find_number(account, wire, number)
    except SendError as error:
        if error.code is SendCode.CHANNEL_CONFIG and error.provider_code is None:
            return [Finding(what=f"the number {number}", wrong=_sentence(error.detail))]
        raise
    can = said.get("capabilities")
    if isinstance(can, dict) and can.get("sms") is False:
        return [
            Finding(
                what=f"the number {number}", wrong="It can neither send nor receive SMS: buy one that can."
            )
        ]
    if said.get("sms_application_sid"):
        return [
            Finding(
                what=f"the number {number}",
                wrong="A TwiML app takes its messages: remove it in the console.",
            )
        ]
    return _leads(
        account,
        wire,
        f"the number {number}",
        said.get("sms_url"),
        said.get("sms_method"),
        said.get("sms_fallback_url"),
    )


async def _service(account: Account, wire: Wire, service: str) -> list[Finding]:
    what = f"the messaging service {service}"
    said = await api.get(wire, account, f"{api.services_url(account)}/v1/Services/{service}")
    if said.get("use_inbound_webhook_on_number"):
        found = []
        for number in settings.numbers(account):
            found += await _number(account, wire, number)
        return found or [
            Finding(what=what, wrong="It defers to its numbers' own webhooks: name them in `numbers`.")
        ]
    return _leads(
        account,
        wire,
        what,
        said.get("inbound_request_url"),
        said.get("inbound_method"),
        said.get("fallback_url"),
    )


async def _senders(account: Account, wire: Wire) -> list[Finding]:
    found = []
    for number in settings.numbers(account):
        what = f"the WhatsApp sender {number}"
        try:
            said = await _find_sender(account, wire, number)
        except SendError as error:
            if error.code is SendCode.CHANNEL_CONFIG and error.provider_code is None:
                found.append(Finding(what=what, wrong=_sentence(error.detail)))
                continue
            raise
        status = str(said.get("status") or "")
        if status and not status.upper().startswith("ONLINE"):
            found.append(
                Finding(what=what, wrong=f"Its status is {status}: see the console, WhatsApp senders.")
            )
            continue
        webhook = said.get("webhook")
        hooks: dict[str, Any] = webhook if isinstance(webhook, dict) else {}
        found += _leads(
            account,
            wire,
            what,
            hooks.get("callback_url"),
            hooks.get("callback_method"),
            hooks.get("fallback_url"),
        )
    return found


def _leads(account: Account, wire: Wire, what: str, url: Any, method: Any, fallback: Any) -> list[Finding]:
    ours = wire.inbound(account)
    told = str(url or "").partition("#")[0]
    cure = f"Set it to {ours}{api.OVERRIDES}, or run `mainstem channel hook {account.key}`."
    found = []
    if told != ours:
        found.append(
            Finding(what=what, wrong=f"Its messages go {f'to {told}' if told else 'nowhere'}. {cure}")
        )
    elif str(method or "POST").upper() != "POST":
        found.append(Finding(what=what, wrong=f"It calls us with {method}; the hub takes POST. {cure}"))
    else:
        found.append(Finding(what=f"{what} leads here"))
    if not fallback:
        wrong = "It has no fallback: what comes while the hub is away waits in Twilio's list. Name `fallback_url`."
        found.append(Finding(what=what, wrong=wrong))
    return found


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


async def _find_number(account: Account, wire: Wire, number: str) -> api.Json:
    """Raises SendError, without a code of Twilio's, where the account has no such number."""
    short = not number.startswith("+")
    path, key = (
        ("/SMS/ShortCodes.json", "short_codes")
        if short
        else ("/IncomingPhoneNumbers.json", "incoming_phone_numbers")
    )
    query = urlencode({"ShortCode" if short else "PhoneNumber": number})
    said = await api.get(wire, account, f"{api.url(account, path)}?{query}")
    listed = said.get(key)
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and number in (one.get("phone_number"), one.get("short_code")):
            return one
    raise SendError(SendCode.CHANNEL_CONFIG, "this Twilio account has no such number", whole_account=True)


async def _find_sender(account: Account, wire: Wire, number: str) -> api.Json:
    query = urlencode({"Channel": "whatsapp", "PageSize": _SENDERS})
    said = await api.get(wire, account, f"{api.services_url(account)}/v2/Channels/Senders?{query}")
    listed = said.get("senders")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("sender_id") == f"whatsapp:{number}":
            return one
    raise SendError(
        SendCode.CHANNEL_CONFIG, "this Twilio account has no such WhatsApp sender", whole_account=True
    )
