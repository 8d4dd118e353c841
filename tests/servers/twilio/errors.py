"""Twilio's error codes with the HTTP status and the words of their pages: https://www.twilio.com/docs/api/errors/CODE.

Codes of 30000 and 63000 upwards are a message's fate after it was taken, except where `WITH_THE_ANSWER` says otherwise.
The wording of a message is not a contract of Twilio's; the code is.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

STATUS: Final = {
    20003: 401,
    20005: 403,
    20404: 404,
    20429: 429,
    20500: 500,
    20503: 503,
    21610: 400,
    63017: 429,
}
WORDS: Final = {
    20001: "Unknown parameter: {0}",
    20003: "Authenticate",
    20009: "Cannot delete this resource before it is complete",
    20404: "The requested resource {0} was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    20503: "Service unavailable",
    11200: "HTTP retrieval failure",
    11751: "Media Message - Media exceeds messaging provider size limit",
    21211: "Invalid 'To' Phone Number: {0}",
    21212: "Invalid From Number (caller ID): {0}",
    21214: "'To' phone number cannot be reached: {0}",
    21217: "Phone number does not appear to be valid: {0}",
    21266: "'To' and 'From' number cannot be the same: {0}",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {0}",
    21421: "PhoneNumber is invalid: {0}",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number provided ({0}) is not a valid, message-capable Twilio phone number.",
    21608: "The number {0} is unverified. Trial accounts cannot send messages to unverified numbers",
    21609: "The 'StatusCallback' URL {0} is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21612: "The 'To' phone number: {0}, is not currently reachable via SMS or MMS",
    21614: "'To' number: {0}, is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21619: "A text message body or media urls must be specified.",
    21620: "Invalid media URL(s)",
    21623: "Number of media files exceeds allowed limit",
    21655: "The ContentSid is Invalid",
    21656: "The Content Variables Parameter is invalid",
    21659: "'From' {0} is not a Twilio phone number or Short Code country mismatch",
    21660: "Mismatch between the 'From' number {0} and the account",
    21701: "The Messaging Service does not exist",
    21704: "The Messaging Service contains no phone numbers",
    21705: "The Messaging Service is invalid",
    21910: "Invalid From and To pair. From and To should be of the same channel",
    30001: "Queue overflow",
    30002: "Account suspended",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
    30010: "Message price exceeds max price",
    30011: "MMS not supported by the receiving phone number in this region",
    30017: "Carrier network congestion",
    30019: "Content size exceeds carrier limit",
    30022: "US A2P 10DLC - Rate Limits Exceeded",
    30024: "Numeric Sender ID Not Provisioned on Carrier",
    30027: "US A2P 10DLC - T-Mobile Daily Message Limit Reached",
    30032: "Toll-Free Number Has Not Been Verified",
    30034: "US A2P 10DLC - Message from an Unregistered Number",
    30410: "Provider Timeout Error",
    63001: "Channel could not authenticate the request",
    63003: "Channel could not find To address",
    63005: "Channel did not accept given content",
    63007: "Twilio could not find a Channel with the specified From address",
    63008: "Could not execute the request because the channel module was misconfigured",
    63009: "Channel returned an error when executing the request",
    63010: "Channels - Twilio Internal error",
    63012: "Channel returned an internal service error",
    63013: "Channel policy violation",
    63014: "Message delivery failed because the recipient blocked it",
    63016: "Outside messaging window. For WhatsApp, use a Message Template instead",
    63017: "Rate limit exceeded",
    63018: "Rate limit exceeded for Channel",
    63019: "Media failed to download",
    63020: "Channel account is locked or has no valid payment",
    63021: "Channel invalid content error",
    63024: "Invalid message recipient",
    63033: "Recipient blocked to receive message",
    63038: "Account exceeded the daily messages limit",
}  # fmt: skip
WITH_THE_ANSWER: Final = frozenset({63007})


class ApiError(Exception):
    """What Twilio answers instead: {"code", "message", "more_info", "status"}."""

    def __init__(
        self,
        code: int,
        about: str = "",
        *,
        status: int = 0,
        message: str = "",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(code, about)
        self.code = code
        self.status = status or STATUS.get(code, 400)
        self.message = message or WORDS.get(code, "Something went wrong").format(about)
        self.retry_after = retry_after

    def response(self) -> web.Response:
        headers = {"Twilio-Request-Duration": "0.001", "Twilio-Error-Code": str(self.code)}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        said: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return web.json_response(said, status=self.status, headers=headers)
