"""What stands on our side of a conversation, as Meta tells of it: our own messages, and what others wrote in our name.

https://developers.facebook.com/documentation/business-messaging/messenger-platform/webhooks/webhook-events/
message-echoes. Pure.
"""

from __future__ import annotations

from connectors import clean
from connectors.social.content import content
from connectors.social.model import MESSENGER, Event, Message
from connectors.social.what import What, moment
from hub import log
from hub.model import ECHO, DeliveryStatus, MessageReceived

_log = log.get("social")
_INBOX = "263902037430900"  # Meta's own app id, in echoes of what people write in its inbox
_DELIVERY_IDS = 1 << 63


def read(message: Message, mid: str, event: Event, what: What) -> None:
    """What stands on our side of the conversation. What we sent bears our delivery's id (Messenger only), which proves
    that it went out; what else stands there a person wrote in Meta's inbox, or another app."""
    metadata = message.metadata or ""
    own = metadata.isascii() and metadata.isdigit() and len(metadata) < 20
    if not own or not 0 < int(metadata) < _DELIVERY_IDS:
        _others(message, mid, event, what)
        return
    what.reported(DeliveryStatus.SENT, mid, event.timestamp, int(metadata))


def _others(message: Message, mid: str, event: Event, what: What) -> None:
    """Instagram's echoes do not say whose they are, and most are of what we sent: they are left."""
    app, person = str(message.app_id or ""), event.recipient.id if event.recipient else None
    if what.way is not MESSENGER or what.standby or message.is_deleted or not person or person == what.own:
        _log.debug(
            "an echo of what was not sent by us, so it is left", account=what.key, app=clean.line(app, 30)
        )
        return
    found = content(message, what.account)
    where = "in Meta's inbox" if app == _INBOX else "by another app" if app else "outside of Mainstem"
    what.say(
        MessageReceived(
            account=what.key,
            event_key=f"echo:{mid}",
            external_id=mid,
            received_at=what.at,
            sender=what.urn(person),
            text=f"(Sent {where}.)\n{found.text}".strip(),
            form=ECHO,
            verified=True,
            sent_at=moment(event.timestamp),
            media=found.media,
            blob=None if found.whole else what.keep(),
        )
    )
