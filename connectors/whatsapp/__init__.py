"""WhatsApp by Meta's Cloud API. docs/channels/whatsapp.md is the page for whoever sets it up."""

from connectors.whatsapp.connector import CONNECTOR

__all__ = ["CONNECTOR"]
