"""Meta's error codes, and the shape of an error's answer.

WhatsApp: developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes (code, title, details,
HTTP status). Messenger and Instagram: .../messenger-platform/error-codes. Graph: docs/graph-api/guides/error-handling.
Where those pages name no HTTP status for a code, 400 is our reading.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
HREF = "/documentation/business-messaging/whatsapp/support/error-codes"


@dataclass(frozen=True)
class Code:
    """What Meta says of one code: its HTTP status, its title and, where it is documented, the details."""

    status: int
    title: str
    details: str = ""


CODES: dict[int, Code] = {
    0: Code(401, "AuthException", "We were unable to authenticate the app user."),
    1: Code(400, "API Unknown", "Invalid request or possible server error."),
    2: Code(503, "API Service", "Temporary due to downtime or due to being overloaded."),
    3: Code(500, "API Method", "Capability or permissions issue."),
    4: Code(400, "Application request limit reached", "The app has reached its API call rate limit."),
    10: Code(403, "Permission Denied", "Permission is either not granted or has been removed."),
    17: Code(400, "User request limit reached"),
    32: Code(400, "Page request limit reached"),
    33: Code(400, "Parameter value is not valid", "The business phone number has been deleted."),
    100: Code(400, "Invalid parameter", "The request included unsupported or misspelled parameters."),
    104: Code(401, "An access token is required to request this resource."),
    190: Code(
        401, "Invalid OAuth access token - Cannot parse access token", "Your access token has expired."
    ),
    200: Code(403, "Permissions error", "Permission is either not granted or has been removed."),
    230: Code(403, "Requires pages_messaging permission to manage the object"),
    299: Code(403, "Permissions error", "Permission is either not granted or has been removed."),
    368: Code(403, "Temporarily blocked for policies violations"),
    551: Code(400, "This person isn't available right now."),
    613: Code(400, "Calls to this api have exceeded the rate limit."),
    2500: Code(400, "Unknown path components"),
    10900: Code(400, "Activity already replied to"),
    10903: Code(400, "This user can't reply to this activity"),
    80007: Code(400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit."),
    130429: Code(400, "Rate limit hit", "Cloud API message throughput has been reached."),
    130472: Code(400, "User's number is part of an experiment"),
    130497: Code(403, "Business account is restricted from messaging users in this country."),
    131000: Code(500, "Something went wrong", "Message failed to send due to an unknown error."),
    131005: Code(403, "Access denied", "Permission is either not granted or has been removed."),
    131008: Code(400, "Required parameter is missing", "The request is missing a required parameter."),
    131009: Code(400, "Parameter value is not valid", "One or more parameter values are invalid."),
    131016: Code(500, "Service unavailable", "A service is temporarily unavailable."),
    131021: Code(400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    131026: Code(400, "Message undeliverable", "Unable to deliver message."),
    131030: Code(400, "Recipient phone number not in allowed list"),
    131031: Code(403, "Business Account locked"),
    131037: Code(400, "Phone number display name needs approval before messaging."),
    131042: Code(
        400, "Business eligibility payment issue", "There was an error related to your payment method."
    ),
    131045: Code(
        500, "Incorrect certificate", "Message failed to send due to a phone number registration error."
    ),
    131047: Code(
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    131048: Code(400, "Spam rate limit hit", "There are restrictions on how many messages can be sent."),
    131049: Code(
        400,
        "This message was not delivered to maintain healthy ecosystem engagement.",
        "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    ),
    131050: Code(
        400,
        "User has stopped marketing messages from your business",
        "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp "
        "from your business.",
    ),
    131051: Code(400, "Unsupported message type", "Message type is currently not supported."),
    131052: Code(400, "Media download error", "Unable to download the media sent by the user."),
    131053: Code(400, "Media upload error", "Unable to upload the media used in the message."),
    131056: Code(
        400,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number to the same phone "
        "number in a short period of time.",
    ),
    131057: Code(500, "Account in maintenance mode"),
    131060: Code(400, "This message is currently unavailable."),
    131062: Code(
        400,
        "Business-scoped User ID (BSUID) recipients are not supported for this message.",
        "Business-scoped User ID (BSUID) recipients are not supported for this message.",
    ),
    132000: Code(400, "Number of parameters does not match the expected number of params"),
    132001: Code(404, "Template name does not exist in the translation"),
    132005: Code(400, "Translated text too long"),
    132007: Code(400, "Template content policy violated"),
    132012: Code(400, "Parameter format does not match format in the created template"),
    132015: Code(400, "Template is Paused", "Template is paused due to low quality."),
    132016: Code(400, "Template is Disabled", "Template has been paused too many times."),
    132068: Code(400, "Flow is in blocked state"),
    132069: Code(400, "Flow is in throttled state"),
    133004: Code(503, "Server Temporarily Unavailable"),
    133010: Code(
        400, "Account not registered", "Phone number not registered on the WhatsApp Business Platform."
    ),
    133016: Code(400, "Account register deregister rate limit exceeded"),
    134011: Code(403, "WhatsApp Payments terms of service has not been accepted"),
    135000: Code(400, "Generic user error", "Message failed to send because of an unknown error."),
}

# What Messenger and Instagram say for a code and a subcode.
SAYINGS: dict[tuple[int, int], str] = {
    (10, 2018278): "This message is sent outside of allowed window.",
    (10, 2534022): "This message is sent outside of allowed window.",
    (10, 2018108): "This person can't receive messages from this Page right now.",
    (
        100,
        33,
    ): "Unsupported request. Object does not exist, cannot be loaded due to missing permissions, or does not "
    "support this operation.",
    (100, 2018001): "No matching user found",
    (100, 2018047): "Upload attachment failure.",
    (100, 2018109): "Attachment size exceeds allowable limit",
    (100, 2534014): "The requested user cannot be found.",
    (
        190,
        460,
    ): "Error validating access token: The session has been invalidated because the user changed their password.",
    (190, 463): "Error validating access token: Session has expired.",
    (551, 1545041): "This person isn't available right now.",
    (4, 2018022): "Too many send requests to phone numbers",
}


class GraphError(Exception):
    """A refusal. message: said after "(#code) " instead of the documented title."""

    def __init__(
        self,
        code: int,
        details: str = "",
        *,
        subcode: int | None = None,
        status: int | None = None,
        message: str = "",
        type: str = "",  # noqa: A002 - Meta's word
    ) -> None:
        self.code, self.subcode = code, subcode
        known = CODES.get(code) or CODES[299 if 200 <= code <= 299 else 1]
        self.title = message or SAYINGS.get((code, subcode or 0), "") or known.title
        self.details = details or known.details
        self.status = status or known.status
        self.type = type
        super().__init__(f"(#{code}) {self.title} {self.details}".strip())

    def body(self, platform: str) -> Json:
        """platform "whatsapp" adds error_data; "instagram" has an exception's name of its own."""
        message = self.title if self.code in (104, 190, 2500) else f"(#{self.code}) {self.title}"
        error: Json = {
            "message": message,
            "type": self.type or ("IGApiException" if platform == "instagram" else "OAuthException"),
            "code": self.code,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if platform == "whatsapp" and self.details and self.code not in (104, 190):
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = "A" + secrets.token_urlsafe(16)
        return {"error": error}

    def reported(self) -> Json:
        """As it stands in statuses[].errors, messages[].errors and value.errors of a WhatsApp webhook."""
        said: Json = {"code": self.code, "title": self.title, "message": self.title}
        return said | {"error_data": {"details": self.details or self.title}, "href": HREF}


def missing(node: str, method: str = "get") -> GraphError:
    """No such object, or not for this token: Graph says the same of both."""
    return GraphError(
        100,
        subcode=33,
        type="GraphMethodException",
        message=f"Unsupported {method} request. Object with ID '{node}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation",
    )
