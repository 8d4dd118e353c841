"""What a reply, a note, a tag may hold: asked before anything is written, and again of what was rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crm_store.carried import NOTHING, Carried
from hub.config import Account
from hub.errors import Refused
from hub.limits import Limits
from hub.model import Attachment, HeaderKind, Template

_HEADS = {
    HeaderKind.IMAGE: ("an image", ("image/",)),
    HeaderKind.VIDEO: ("a video", ("video/",)),
    HeaderKind.DOCUMENT: ("a document", ("application/", "text/")),
}
TEXT_CHARS = 1_000_000  # no channel takes as much; only there so that nobody pastes a film
_TAGS = 20
_DISPOSITION_CHARS = 80


def check_message(
    text: str, attachments: Sequence[Attachment], limits: Limits | None, account: Account
) -> None:
    """Raises Refused for what the channel does not take; splitting into parts is the channel's own business."""
    if not text.strip() and not attachments:
        raise Refused("The reply is empty.")
    if limits is None:
        raise Refused(f"{account.title} cannot send.")
    if len(text) > limits.text_chars:
        raise Refused(
            f"The reply has {len(text):,} characters; {account.title} takes {limits.text_chars:,} at most."
        )
    if len(attachments) > limits.attachments and not limits.links:
        takes = f"takes {limits.attachments} at most" if limits.attachments else "takes none"
        raise Refused(f"The reply has {len(attachments)} attachments; {account.title} {takes}.")
    for file in attachments:
        if len(file.sha256) != 64 or not file.content_type or len(file.content_type) > 120:
            raise Refused(f"The attachment {file.name[:80]!r} cannot be sent.")
        if file.size_bytes <= 0 or (file.size_bytes > limits.attachment_bytes and not limits.links):
            megabytes = limits.attachment_bytes / 1_000_000
            raise Refused(
                f"{file.name[:80]!r} is empty or larger than the {megabytes:g} MB {account.title} takes."
            )


def check_carried(carries: Carried, limits: Limits | None, account: Account) -> None:
    """Raises Refused for what this channel has not: templates, answers to tap, a public place."""
    if limits is None or carries == NOTHING:
        return
    if carries.template is not None and not limits.templates:
        raise Refused(f"{account.title} has no templates.")
    if carries.public and not limits.public:
        raise Refused(f"{account.title} has no public place to answer in.")
    if any(not choice.strip() for choice in carries.choices):
        raise Refused("An answer to tap needs words.")
    if len(set(carries.choices)) != len(carries.choices):
        raise Refused("Two of the answers to tap are the same.")


def check_template(
    template: Template, attachments: Sequence[Attachment], limits: Limits | None, account: Account
) -> None:
    """Raises Refused unless just that file goes along which the template wants at its head: mostly none."""
    head = template.header
    if head is None or not head.attached:
        if attachments:
            raise Refused("No file goes with an approved text; take it out.")
        return
    wanted, types = _HEADS[head.kind]
    if len(attachments) != 1:
        raise Refused(f"This approved text has {wanted} at its head: attach it, and nothing else.")
    file = attachments[0]
    taken = limits is None or limits.takes(file.content_type, file.size_bytes)
    if not file.content_type.startswith(types) or not taken:
        raise Refused(
            f"{file.name[:80]!r} cannot stand at the head of this approved text: {account.title} wants {wanted} there."
        )


def checked_text(text: str, at_most: int) -> str:
    """Text that both databases can keep. Raises Refused for what is no text, or too much of it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused("The text holds half a character; write it again.") from None
    if len(text) > at_most:
        raise Refused(f"The text has {len(text):,} characters; {at_most:,} is the most.")
    return text.replace("\x00", "")


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    clean = sorted({checked_text(tag, 80).strip() for tag in tags} - {""})
    if len(clean) > _TAGS:
        raise Refused(f"At most {_TAGS} tags at once.")
    return tuple(clean)


def checked_disposition(disposition: str | None) -> str | None:
    return checked_text(disposition, _DISPOSITION_CHARS).strip() or None if disposition else None
