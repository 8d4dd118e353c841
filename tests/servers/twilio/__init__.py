"""A strict local Twilio: Programmable Messaging (SMS, MMS, WhatsApp), its webhooks, and the people who write.

    async with Twilio() as twilio:                      # or `with Twilio() as twilio:` and twilio.run(…)
        shop = twilio.number("+14155550100", sms_url=f"{hub}/in#rc=2&rp=all", sms_fallback_url=f"{spare}/in")
        ann = twilio.customer("+14155550123", "Ann")
        await ann.says("Where is my order?", to=shop)   # a signed webhook; the Delivery tells what became of it
        … our connector sends to twilio.url with twilio.account_sid, twilio.auth_token (or .api_key, .api_secret)
        twilio.sent[-1].body                            # what was accepted; twilio.refused: what was not, and its code
        await twilio.reports.say(twilio.sent[-1].sid, "sent", "delivered")
        wa = twilio.customer("+14155550124", "Bo").whatsapp(twilio.sender("+14155550111", url=f"{hub}/wa"))
        await wa.presses("Yes", payload="yes-1", of=sid)

fail (tests/servers/local.py): operations "messages.create", "messages.list", "messages.fetch", "media.download", "cdn".
`twilio.refuse("+1…", 21614)`, `twilio.doom("+1…", 30003)`: an address that is refused at once, or fails afterwards.
`await twilio.settled()`: it has fetched the media of what it took, and told what it tells by itself.
reports: `auto` (sent by themselves), `early` (before the answer to the send), `hold`, `double()`, `shuffle(seed)`,
`flush()`. `twilio.redeliver(delivery)`: once more, with the same token. `twilio.passes(90_000)`: the window closes.
`twilio.faults`: what we did that Twilio would let pass and nobody should do. `twilio.alerts`: its debugger's log.

https://www.twilio.com/docs/messaging/api/message-resource, …/docs/messaging/guides/webhook-request
"""

from tests.servers.twilio.customer import Customer, WhatsApp
from tests.servers.twilio.records import Delivery, Message, Number, Refused, Sender, Service, Template
from tests.servers.twilio.reports import Reports
from tests.servers.twilio.segments import segments
from tests.servers.twilio.server import Twilio
from tests.servers.twilio.signing import signature

__all__ = [
    "Customer", "Delivery", "Message", "Number", "Refused", "Reports", "Sender", "Service", "Template", "Twilio",
    "WhatsApp", "segments", "signature",
]  # fmt: skip
