"""One module a channel: verifies, parses and sends, and knows nothing of customers, queues or the store."""

from __future__ import annotations

from connectors import console, mail, webchat, webhook
from connectors.base import Connector

CONNECTORS: dict[str, Connector] = {
    connector.name: connector
    for connector in (
        console.CONNECTOR,
        mail.CONNECTOR,
        webchat.CONNECTOR,
        webhook.CONNECTOR,
    )
}
