"""A WhatsApp status, as a webhook's value.

developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status and
.../business-scoped-user-ids ("Outbound message status webhooks"). "deleted" and "warning" stand on older pages only.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tests.servers.graph.errors import GraphError, Json
from tests.servers.graph.kinds import BSUID
from tests.servers.graph.model import DAY_S, Sent

if TYPE_CHECKING:
    from tests.servers.graph.whatsapp import Number


def status_value(number: Number, sent: Sent, status: str, code: int, details: str) -> Json:
    customer = number.customers.get(sent.user)
    by_phone = not BSUID.match(sent.to)
    shown = by_phone or customer is None or not customer.hidden
    now = int(number.graph.clock.now())
    said: Json = {"id": sent.id, "status": status, "timestamp": str(now)}
    if shown:
        said["recipient_id"] = customer.phone if customer else sent.user
    if customer is not None and not (status == "failed" and by_phone):
        said["recipient_user_id"] = customer.user_id
        if number.parent_bsuids:
            said["recipient_parent_user_id"] = customer.parent_user_id
    if sent.opaque:
        said["biz_opaque_callback_data"] = sent.opaque
    category = "utility" if sent.kind == "template" else "service"
    if number.conversations and status in ("sent", "delivered", "read"):
        said["conversation"] = {"id": secrets.token_hex(16), "origin": {"type": category}}
        if status == "sent":
            said["conversation"]["expiration_timestamp"] = str(now + DAY_S)
    if status in ("sent", "delivered"):
        kind = "regular" if sent.kind == "template" else "free_customer_service"
        said["pricing"] = {
            "billable": kind == "regular",
            "pricing_model": "PMP",
            "type": kind,
            "category": category,
        }
    if code:
        said["errors"] = [GraphError(code, details).reported()]
    value: Json = {"statuses": [said]}
    if customer is not None and status in ("sent", "delivered", "read", "played"):
        contact = customer.contact(shown=shown)
        if status == "sent":
            contact["profile"].pop("username", None)
        value = {"contacts": [contact], **value}
    return value
