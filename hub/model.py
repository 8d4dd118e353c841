"""The core types: what connectors may say and what the hub asks of them. Imports nothing of ours.

None is ever changed: `msgspec.structs.replace` makes another (docs/decisions/0012).

An address is a URN (see hub/urn.py): `tel:+15551234567`, `mailto:ann@example.com`, `webchat:v7f3…`.
An account is named `connector/name`, for example `webchat/main`; it is one address of ours at a provider.
Times are aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Attachment(Struct, frozen=True, kw_only=True, gc=False):
    """A file whose bytes are in the blob store before anything names it."""

    sha256: str
    content_type: str
    size_bytes: int
    name: str = ""


class Media(Struct, frozen=True, kw_only=True, gc=False):
    """A file that a message has at its provider and whose bytes are not here yet; a worker fetches it at once.

    ref: the connector's own words for where it is (a URL, a file's id). kind: image, video, audio, voice, sticker or
    file. content_type, size_bytes, name: what the provider says of it, where it says anything; the bytes decide.
    """

    ref: str
    kind: str = "file"
    content_type: str = ""
    size_bytes: int | None = None
    name: str = ""


class MessageReceived(Struct, frozen=True, kw_only=True, gc=False):
    """A customer said something: a message, a post, a form, a letter, a visit.

    event_key: unique within the account for ever; a redelivery carries the same one.
    external_id: the provider's id of the message, by which edits and reports refer to it.
    thread: what the provider groups by (a mail thread, a chat group), where it matters.
    claims: further addresses of theirs that the message states (a form's e-mail field). Never verified by that alone.
    verified: the channel vouches for `sender` (a signed platform id, DMARC by our own host); a From: header does not.
    sent_at: the provider's time; None where it gives none.
    fields: what a form or letter said besides its text, flat, in the order given.
    blob: sha256 of the raw request in the blob store, where kept.
    references: what it answers, the best first: Message-IDs as the provider writes them, with angle brackets, then
      "thread-index:<hex>". At most some twenty.
    conversation: what our own signed reply token names; the connector has checked the signature.
    participants: addresses (URNs) of the others it went to, without us and without the sender.
    proof: what vouches for `sender`, or why nothing does, in a few words ("spf=pass dkim=pass dmarc=pass").
    quoted: what the text quoted, and its signature, folded away from `text`.
    media: files that are still at the provider.
    album: messages with the same one (and sender) are one; the provider sends it in pieces.
    ours: the address of ours (URN) that it was written to, where the account has several; answers go out from it.
    """

    account: str
    event_key: str
    received_at: datetime
    sender: str
    text: str = ""
    sender_name: str = ""
    external_id: str | None = None
    subject: str | None = None
    form: str = "message"
    thread: str | None = None
    in_reply_to: str | None = None
    verified: bool = False
    claims: tuple[str, ...] = ()
    sent_at: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    language: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    automatic: bool = False
    blob: str | None = None
    references: tuple[str, ...] = ()
    conversation: int | None = None
    participants: tuple[str, ...] = ()
    proof: str = ""
    quoted: str = ""
    media: tuple[Media, ...] = ()
    album: str = ""
    ours: str = ""


# MessageReceived.form: nothing that `sender` said, but what somebody else wrote to them in our name. No form that
# strangers may name (our own webhook's have no hyphen), or their words would open no conversation.
ECHO = "echo-of-us"


class Change(StrEnum):
    EDIT = "edit"
    DELETE = "delete"
    REACTION = "reaction"


class MessageChanged(Struct, frozen=True, kw_only=True, gc=False):
    """An earlier message was edited, deleted or reacted to. `text` is the new text, or how they react now:
    empty where they took it back."""

    account: str
    event_key: str
    received_at: datetime
    sender: str
    external_id: str
    change: Change
    text: str = ""
    sent_at: datetime | None = None
    blob: str | None = None


class CallState(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"
    MISSED = "missed"
    VOICEMAIL = "voicemail"


class CallEvent(Struct, frozen=True, kw_only=True, gc=False):
    """Something happened in a call. `external_id` is the call's id; `text` a transcript where there is one."""

    account: str
    event_key: str
    received_at: datetime
    sender: str
    external_id: str
    state: CallState
    text: str = ""
    duration_s: float | None = None
    sent_at: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    blob: str | None = None


class DeliveryStatus(StrEnum):
    """What a provider reports of a message of ours. Listed in the order in which a status may only move."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    OPTED_OUT = "opted_out"


class DeliveryReported(Struct, frozen=True, kw_only=True, gc=False):
    """A provider's word on one part of a message of ours, named by `external_id` or by our own `delivery_id`.

    code: the provider's, or what a failure says of the address: "dead" (there is none such), "full" (for now).
    recipient: the address (URN) that it is about, where it may be one of several; None: whom the message was for.
    until: neither id is given, and it is about all that went to `recipient` until then (Messenger's watermark).
    again: how often, in all, a message may go out anew after such failures: the provider says for certain that it did
      not arrive, and that it may another time. again_s: how long to wait before; four times as long each time after.
    rest_s: it is the account's trouble and not this message's, so that the account rests as long.
    here_alone: of OPTED_OUT: they have blocked this account of ours, which says nothing of others to the same address.
    """

    account: str
    event_key: str
    received_at: datetime
    status: DeliveryStatus
    external_id: str | None = None
    delivery_id: int | None = None
    code: str | None = None
    detail: str = ""
    reported_at: datetime | None = None
    blob: str | None = None
    recipient: str | None = None
    until: datetime | None = None
    again: int = 0
    again_s: float = 60.0
    rest_s: float = 0.0
    here_alone: bool = False


class ConsentChanged(Struct, frozen=True, kw_only=True, gc=False):
    """The owner of `urn` opted out (`granted` False) or in again. `scope`: "all" or "marketing"."""

    account: str
    event_key: str
    received_at: datetime
    urn: str
    granted: bool
    scope: str = "all"
    wording: str = ""
    blob: str | None = None


class IdentityLearned(Struct, frozen=True, kw_only=True, gc=False):
    """Two addresses are said to be one person's; `verified` where the provider vouches for it."""

    account: str
    event_key: str
    received_at: datetime
    urn: str
    other: str
    verified: bool = False
    name: str = ""
    blob: str | None = None


class Unreadable(Struct, frozen=True, kw_only=True, gc=False):
    """Verified bytes that no parser of ours understands. They wait in quarantine with a replay button."""

    account: str
    event_key: str
    received_at: datetime
    reason: str
    blob: str
    content_type: str = "application/octet-stream"


Event = (
    MessageReceived
    | MessageChanged
    | CallEvent
    | DeliveryReported
    | ConsentChanged
    | IdentityLearned
    | Unreadable
)


class Cursor(Struct, frozen=True, kw_only=True, gc=False):
    """How far a pulled source (a mailbox, long polling) has been read; committed with the batch that got there."""

    account: str
    name: str
    value: str


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """One journalled event on its way to the store. (producer, seq) names it for ever.

    accepted_at: when the edge answered for it (the journal's own clock).
    raw: the encoded event as journalled; quarantine keeps these bytes.
    """

    producer: str
    seq: int
    accepted_at: datetime
    event: Event
    cursor: Cursor | None = None
    raw: bytes = b""


class HeaderKind(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    VIDEO = "video"
    DOCUMENT = "document"


class ButtonKind(StrEnum):
    """What a template's button wants: the end of its link, what comes back when it is tapped, the code it copies."""

    URL = "url"
    REPLY = "reply"
    CODE = "code"


class TemplateHeader(Struct, frozen=True, kw_only=True, gc=False):
    """What fills a template's head. value: the words of its one place; of a file a link, or the provider's id of it, or
    nothing where it is the message's own attachment. name: that place's, where the provider's places have names."""

    kind: HeaderKind
    value: str
    name: str = ""

    @property
    def attached(self) -> bool:
        return self.kind is not HeaderKind.TEXT and not self.value


class TemplateButton(Struct, frozen=True, kw_only=True, gc=False):
    """What fills one of a template's buttons. number: 1 is the first of all its buttons."""

    number: int
    kind: ButtonKind
    value: str


class Template(Struct, frozen=True, kw_only=True, gc=False):
    """A text that the provider has approved, for where free text is not allowed. `name`: its name or id there.

    language: as the provider writes it ("en", "pt_BR"). parameters: what fills its body's places, in order; names:
    theirs, one for each, where the provider's places have names. header, buttons: only what is to be filled there.
    """

    name: str
    language: str = ""
    parameters: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    header: TemplateHeader | None = None
    buttons: tuple[TemplateButton, ...] = ()


class Quoted(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody said, as an answer repeats it. name: what they call themselves, or empty; urn: their address."""

    text: str
    name: str
    urn: str
    at: datetime


class Outgoing(Struct, frozen=True, kw_only=True, gc=False):
    """What `send` is given: one message of ours to one address.

    delivery_id: our id; channels that can carry it do, so that an unknown send can be looked for.
    interaction_id: what the message is remembered as; a chat that resumes tells by it what it has already shown.
    in_reply_to: the provider's id of the message this answers, where there is one.
    attempt: 1 for the first try.
    conversation_id: what it belongs to; a channel whose replies come back by mail signs it into them.
    references: the provider's ids of what was said before, both ways, the newest first; `in_reply_to` among them.
    cc: addresses (URNs) of the others who take part.
    automatic: no person wrote it; it says so where the channel can, and asks for no answer.
    bulk: one of many alike; it carries a way out (List-Unsubscribe) where the channel has one.
    ours: the address of ours (URN) that the customer wrote to, where the account has several.
    heard_at, heard_id: when the newest message of `to` came to this account, and the provider's id of it.
    answers: the form of what is answered: message, comment or mention.
    public: say it where everybody reads it (below the comment), not to the customer alone.
    template: what goes out instead of `text` where the window is closed; `text` is what people read of it.
    choices: what the customer may answer with a tap (buttons, quick replies, a list), in their words.
    quoted: what is answered, for channels where an answer repeats it.
    """

    delivery_id: int
    account: str
    to: str
    text: str
    interaction_id: int = 0
    subject: str | None = None
    thread: str | None = None
    in_reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()
    created_at: datetime | None = None
    author_name: str = ""
    attempt: int = 1
    conversation_id: int = 0
    references: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    automatic: bool = False
    bulk: bool = False
    ours: str = ""
    heard_at: datetime | None = None
    heard_id: str | None = None
    answers: str = "message"
    public: bool = False
    template: Template | None = None
    choices: tuple[str, ...] = ()
    quoted: Quoted | None = None


class Revision(Struct, frozen=True, kw_only=True, gc=False):
    """What `change` is given: a message of ours that went out is to read differently (EDIT) or to be gone (DELETE).

    message: as it is to read now; of a deletion, as it read. Its `attempt` counts the tries of this change.
    external_ids: the provider's ids of its parts, in order, as `send` gave them; none where an agent said that it went.
    number: of this message's changes: 1, 2, ... A receiver who has seen a higher one passes a lower one over.
    sent_at: when the message went out.
    """

    change: Change
    message: Outgoing
    external_ids: tuple[str, ...]
    number: int
    sent_at: datetime | None = None


class Sent(Struct, frozen=True, kw_only=True, gc=False):
    """Every provider id of a message of ours, in the order of its parts.

    detail: what a person should know although it went out, such as who of the others did not get their copy.
    """

    external_ids: tuple[str, ...]
    status: DeliveryStatus = DeliveryStatus.SENT
    detail: str = ""
