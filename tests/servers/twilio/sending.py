"""POST Messages.json: what Twilio checks, in order. https://www.twilio.com/docs/messaging/api/message-resource

The order of the checks is not documented (our reading); each code's meaning is, on its own page.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import phonenumbers

from tests.servers.twilio.errors import ApiError
from tests.servers.twilio.records import Message, Service, Template, new_sid
from tests.servers.twilio.segments import segments

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

Form = dict[str, list[str]]

LONGEST: Final = 1600  # "Can be up to 1,600 characters long."
MEDIA: Final = 10  # "up to 10 media files that have a total size of up to 5MB"
MEDIA_BYTES: Final = 5 * 1024 * 1024  # https://www.twilio.com/docs/api/errors/11751: 5 MB, of WhatsApp 16
MEDIA_BYTES_WHATSAPP: Final = 16 * 1024 * 1024
WINDOW_S: Final = 24 * 3600
KNOWN: Final = frozenset((
    "To", "From", "MessagingServiceSid", "Body", "MediaUrl", "StatusCallback", "ContentSid",
    "ContentVariables", "ApplicationSid", "MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod",
    "ForceDelivery", "ContentRetention", "AddressRetention", "SmartEncoded", "PersistentAction",
    "TrafficType", "ShortenUrls", "ScheduleType", "SendAt", "SendAsMms", "RiskCheck",
))  # fmt: skip
LISTS: Final = frozenset(("MediaUrl", "PersistentAction"))
# https://www.twilio.com/docs/whatsapp/…: "whatsapp:+E164", or the business-scoped id, "whatsapp:US.1349…".
BSUID: Final = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
SHORT_CODE: Final = re.compile(r"\d{3,8}")


def is_phone(text: str) -> bool:
    """E.164, of a length that its country has."""
    if not re.fullmatch(r"\+[1-9]\d{6,14}", text):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


def is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text


def create(twilio: Twilio, form: Form) -> Message:
    """The message, taken and queued. Raises ApiError."""
    for name, values in form.items():
        if (
            name not in KNOWN
        ):  # Twilio overlooks a name it does not know; nobody reads it, so it is our mistake
            raise ApiError(20001, name)
        if len(values) > 1 and name not in LISTS:
            raise ApiError(20001, f"{name} given twice")
    one = {name: values[0] for name, values in form.items()}
    to, body = one.get("To", ""), one.get("Body", "")
    if not to:
        raise ApiError(21604)
    service = _service(twilio, one)
    if service is None and not one.get("From"):
        raise ApiError(21603)
    whatsapp = to.startswith("whatsapp:")
    _recipient(to, whatsapp)
    sender = _from(twilio, one, service, whatsapp)
    if sender == to:
        raise ApiError(21266, to)
    template = _template(twilio, one)
    media = tuple(one_url for one_url in form.get("MediaUrl", ()) if one_url)
    if template is None and not body and not media and not form.get("PersistentAction"):
        raise ApiError(21619)
    if len(body) > LONGEST:
        raise ApiError(21617)
    if len(media) > MEDIA:
        raise ApiError(21623)
    if not all(map(is_url, media)):
        raise ApiError(21620)
    if (callback := one.get("StatusCallback", "")) and not is_url(callback):
        raise ApiError(21609, callback)
    _able(twilio, sender, to, service, mms=bool(media) and not whatsapp)
    variables = _variables(one)
    text = _filled(template.body, variables) if template is not None else body
    return Message(
        account_sid=twilio.account_sid,
        from_=sender,
        to=to,
        body=text,
        direction="outbound-api",
        status="accepted" if service is not None else "queued",
        created=twilio.now(),
        num_segments=1 if whatsapp or media else segments(text),
        service_sid=service.sid if service is not None else "",
        media_urls=media,
        status_callback=callback or twilio.callback_of(sender, service),
        content_sid=one.get("ContentSid", ""),
        content_variables=variables,
        persistent_action=tuple(form.get("PersistentAction", ())),
        sid=new_sid("MM" if media or template is not None else "SM"),
    )


def later_failure(twilio: Twilio, message: Message) -> int:
    """The code that a message taken now will fail with, or 0: what only the carrier or the channel can tell."""
    if code := twilio.dooms.get(message.to):
        return code
    if message.to.startswith("whatsapp:"):
        if message.to in twilio.unreachable:
            return 63003
        opened = twilio.windows.get((message.from_, message.to))
        template = twilio.templates.get(message.content_sid)
        closed = opened is None or twilio.now() - opened > WINDOW_S
        if closed and (template is None or template.session_only):
            return 63016
        if template is not None and not template.approved and len(template.choices) > _most(template):
            return 63021  # which code it is, is not documented (our reading)
    return 0


def _most(template: Template) -> int:
    """ "When you send an in-session WhatsApp message that does not require template approval, only three buttons"."""
    return 3 if template.kind == "twilio/quick-reply" else 10


def _service(twilio: Twilio, one: dict[str, str]) -> Service | None:
    if not (sid := one.get("MessagingServiceSid", "")):
        return None
    if not re.fullmatch("MG[0-9a-fA-F]{32}", sid):
        raise ApiError(21705)
    service = twilio.services.get(sid)
    if service is None:
        raise ApiError(21701)
    if not service.addresses:
        raise ApiError(21704)
    return service


def _recipient(to: str, whatsapp: bool) -> None:
    address = to.removeprefix("whatsapp:")
    if is_phone(address) or (whatsapp and BSUID.fullmatch(address)):
        return
    raise ApiError(21211, to)


def _from(twilio: Twilio, one: dict[str, str], service: Service | None, whatsapp: bool) -> str:
    sender = one.get("From", "")
    if not sender:
        assert service is not None
        mine = [name for name in service.addresses if name.startswith("whatsapp:") == whatsapp]
        if not mine:
            raise ApiError(21704)
        # Sticky sender: whom she wrote to before writes back.
        return next((name for name in mine if (name, one["To"]) in twilio.talked), mine[0])
    if sender.startswith("whatsapp:") != whatsapp:
        raise ApiError(21910)
    if whatsapp:
        if sender not in twilio.senders:
            raise ApiError(63007)
    elif sender not in twilio.numbers:
        if sender in twilio.others:
            raise ApiError(21660, sender)
        if is_phone(sender) or SHORT_CODE.fullmatch(sender):
            raise ApiError(21659, sender)
        raise ApiError(21212, sender)
    elif not twilio.numbers[sender].sms:
        raise ApiError(21606, sender)
    if service is not None and sender not in service.addresses:
        raise ApiError(21606, sender)
    return sender


def _template(twilio: Twilio, one: dict[str, str]) -> Template | None:
    if not (sid := one.get("ContentSid", "")):
        return None
    if sid not in twilio.templates:
        raise ApiError(21655)
    if one.get("Body") or one.get("MediaUrl"):
        # https://www.twilio.com/docs/api/errors/63016: "Remove Body and MediaUrl when you send a content template."
        raise ApiError(21655, message="Body and MediaUrl must not stand beside ContentSid")
    return twilio.templates[sid]


def _variables(one: dict[str, str]) -> dict[str, str]:
    if not (given := one.get("ContentVariables", "")):
        return {}
    try:
        found = json.loads(given)
    except ValueError:
        raise ApiError(21656) from None
    if not one.get("ContentSid") or not isinstance(found, dict):
        raise ApiError(21656)
    # https://www.twilio.com/docs/api/errors/21656: neither null, nor empty, nor with line breaks.
    if not all(isinstance(value, str) and value and "\n" not in value for value in found.values()):
        raise ApiError(21656)
    return found


def _filled(body: str, variables: dict[str, str]) -> str:
    wanted = set(re.findall(r"{{(\w+)}}", body))
    if wanted - set(variables) and variables:
        raise ApiError(21656)
    return re.sub(r"{{(\w+)}}", lambda found: variables.get(found[1], found[0]), body)


def _able(twilio: Twilio, sender: str, to: str, service: Service | None, *, mms: bool) -> None:
    if code := twilio.refusals.get(to):
        raise ApiError(code, to)
    if twilio.stopped_by(sender, to, service):
        raise ApiError(21610)
    if any(to.removeprefix("whatsapp:").startswith(prefix) for prefix in twilio.no_permission):
        raise ApiError(21408, to)
    if twilio.trial and to not in twilio.verified:
        raise ApiError(21608, to)
    if mms and not twilio.numbers[sender].mms:
        raise ApiError(21612, to)
    if twilio.queue_of(sender) >= twilio.queue_limit:
        raise ApiError(21611)
