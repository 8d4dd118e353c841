"""Does a message keep to its channel's limits? Asked by every `send` before anything leaves."""

from __future__ import annotations

from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Outgoing


def check(message: Outgoing, limits: Limits) -> None:
    """Raises SendError(MESSAGE_INVALID) with what the agent must change.

    Where the channel's limits say `links`, attachments that do not fit are the connector's matter.
    """
    if wrong := _wrong(message, limits):
        raise SendError(SendCode.MESSAGE_INVALID, wrong)


def _wrong(message: Outgoing, limits: Limits) -> str:
    if not message.text and not message.attachments and message.template is None:
        return "there is neither text nor attachment"
    if len(message.text) > limits.text_chars:
        return f"the text is longer than {limits.text_chars} characters"
    if limits.links:
        return ""
    if len(message.attachments) > limits.attachments:
        return (
            f"at most {limits.attachments} attachments are sent"
            if limits.attachments
            else "no attachments are sent"
        )
    if any(file.size_bytes > limits.attachment_bytes for file in message.attachments):
        return f"an attachment may have {limits.attachment_bytes} bytes"
    return ""
