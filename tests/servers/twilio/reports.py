"""Status callbacks. https://www.twilio.com/docs/messaging/guides/track-outbound-message-status: one for each change, in
no promised order."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tests.servers.twilio.errors import WORDS
from tests.servers.twilio.hooks import deliver, hook_of
from tests.servers.twilio.records import API, Delivery, Message

if TYPE_CHECKING:
    from tests.servers.twilio.server import Twilio

STATES: Final = ("queued", "sending", "sent", "delivered", "undelivered", "failed", "read")
# The channel's own events beside the statuses of WhatsApp.
EVENTS: Final = {
    "sent": "SENT",
    "delivered": "DELIVERED",
    "read": "READ",
    "failed": "UNDELIVERED",
    "undelivered": "UNDELIVERED",
}


class Reports:
    """auto: the statuses that follow every accepted message by themselves. early: they come before the answer to the
    send. hold: they wait for `flush()`; meanwhile `double()` and `shuffle()`. given: every callback, in order."""

    def __init__(self, twilio: Twilio) -> None:
        self.auto: tuple[str, ...] = ()
        self.early = False
        self.hold = False
        self.waiting: list[Delivery] = []
        self.given: list[Delivery] = []
        self._twilio = twilio

    async def say(self, sid: str, *statuses: str, code: int = 0) -> list[Delivery]:
        """The message changes, and we are told (or it waits, with `hold`). code: of "failed" and "undelivered"."""
        new = [self._report(self._twilio.messages[sid], status, code) for status in statuses]
        self.waiting += [one for one in new if one.hook.url]
        if not self.hold:
            await self.flush()
        return new

    async def fail(self, sid: str, code: int, status: str = "undelivered") -> list[Delivery]:
        return await self.say(sid, status, code=code)

    async def read(self, sid: str) -> list[Delivery]:
        """WhatsApp alone tells it."""
        assert self._twilio.messages[sid].to.startswith("whatsapp:")
        return await self.say(sid, "read")

    def double(self) -> None:
        """Each that waits comes twice, with one token."""
        self.waiting = [one for one in self.waiting for _ in range(2)]

    def shuffle(self, seed: int = 0) -> None:
        random.Random(seed).shuffle(self.waiting)

    async def flush(self) -> None:
        """What waits is delivered, one after the other."""
        while self.waiting:
            delivery = self.waiting.pop(0)
            self.given.append(delivery)
            await deliver(self._twilio, delivery)

    def _report(self, message: Message, status: str, code: int) -> Delivery:
        assert status in STATES
        if status in ("failed", "undelivered"):
            message.error_code = code or 30008
        message.status, message.updated = status, self._twilio.now()
        message.history.append(status)
        if status in ("sent", "delivered"):
            message.sent_at = message.sent_at or self._twilio.now()
        params = {
            "ApiVersion": API,
            "AccountSid": message.account_sid,
            "From": message.from_,
            "To": message.to,
            "MessageSid": message.sid,
            "MessageStatus": status,
            "SmsSid": message.sid,
            "SmsStatus": status,
        }
        if message.service_sid:
            params["MessagingServiceSid"] = message.service_sid
        if message.error_code and status in ("failed", "undelivered"):
            params |= {
                "ErrorCode": str(message.error_code),
                "ErrorMessage": WORDS.get(message.error_code, ""),
            }
        if message.to.startswith("whatsapp:"):
            params |= {
                "ChannelPrefix": "whatsapp",
                "ChannelInstallSid": self._twilio.channel_sid,
                "ChannelToAddress": "+" + "X" * 7 + message.to[-4:],
                "StructuredMessage": "false",
            }
            if status in EVENTS:
                params["EventType"] = EVENTS[status]
            if message.error_code:
                params["ChannelStatusMessage"] = WORDS.get(message.error_code, "")
        elif status in ("delivered", "undelivered"):
            done = datetime.fromtimestamp(self._twilio.now(), UTC)
            params["RawDlrDoneDate"] = done.strftime("%y%m%d%H%M")
        return Delivery(
            kind="status", hook=hook_of(message.status_callback), params=params, token=str(uuid.uuid4())
        )
