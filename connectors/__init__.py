"""One module a channel: verifies, parses and sends, and knows nothing of customers, queues or the store."""

from __future__ import annotations

from connectors import (
    console,
    instagram,
    mail,
    messenger,
    sms_twilio,
    telegram,
    webchat,
    webhook,
    whatsapp,
    whatsapp_twilio,
)
from connectors.base import Connector

CONNECTORS: dict[str, Connector] = {
    connector.name: connector
    for connector in (
        console.CONNECTOR,
        instagram.CONNECTOR,
        mail.CONNECTOR,
        messenger.CONNECTOR,
        telegram.CONNECTOR,
        sms_twilio.CONNECTOR,
        webchat.CONNECTOR,
        webhook.CONNECTOR,
        whatsapp.CONNECTOR,
        whatsapp_twilio.CONNECTOR,
    )
}
