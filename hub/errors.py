"""The few kinds of error a caller can act on. Anything else that is raised is a bug and may rise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MainstemError(Exception):
    """Base of the errors that are ours: their text is one clear sentence, fit to be shown to a person."""


class Forged(MainstemError):
    """A request whose signature, secret or age does not hold. Answered 401 or 403; nothing is kept."""


class Malformed(MainstemError):
    """A verified request that cannot be read. The edge keeps its bytes as an `Unreadable` event."""


class Conflict(MainstemError):
    """The row changed under the caller's feet (claimed by another, written to meanwhile). Nothing was written."""


class NotFound(MainstemError):
    """No such conversation, customer, delivery, ... as the caller named it."""


class Refused(MainstemError):
    """The acting person may not do this, or the state does not allow it. Nothing was written."""


class StillSeen(Refused):
    """What went out cannot be changed on that channel (any more): the customer still sees it. Send a correction."""


class NewerVersion(MainstemError):
    """Bytes written by a newer Mainstem than this one. They are set aside, never dropped."""


class Unavailable(MainstemError):
    """A store, stream or disk that should answer does not. Nobody's fault: keep, back off, go on."""


class SendCode(StrEnum):
    """Why a send failed; closed list, so that one place (workers/deliver.py) decides what happens next."""

    CHANNEL_CONFIG = "channel_config"  # credentials, number, webhook: pause the account and tell a supervisor
    MESSAGE_INVALID = "message_invalid"  # too long, empty, unsupported attachment: the agent must change it
    CONNECTION_FAILED = "connection_failed"  # no connection was made: certainly not sent
    THROTTLED = "throttled"  # the provider asks for patience; never counts as an attempt
    RESPONSE_STATUS = "response_status"  # the provider answered with a failure status
    RESPONSE_CONTENT = "response_content"  # the provider answered something that cannot be read
    REJECTED = "rejected"  # the provider refuses this message or recipient for good
    OPTED_OUT = "opted_out"  # the recipient has blocked or stopped us
    WINDOW_CLOSED = "window_closed"  # outside the time in which the channel allows free text
    UNKNOWN = "unknown"  # the request left, no answer came: it may have been sent


# Not frozen: contextlib sets __traceback__ on what passes through its context managers.
@dataclass(unsafe_hash=True)
class SendError(MainstemError):
    """A send that did not succeed. Never changed: `dataclasses.replace` makes another.

    retry: may the same message be tried again later? Never true for `UNKNOWN`.
    after_s: what the provider asked for (Retry-After), in seconds; None where it said nothing.
    provider_code: the provider's own code, kept for people and logs.
    sent_ids: provider ids of those parts that did go out before the failure, in order.
    whole_account: the cause concerns the account, not this message (bad token, account-wide limit).
    here_alone: of OPTED_OUT: they have blocked this account of ours, which says nothing of others to the same address.
    """

    code: SendCode
    detail: str
    retry: bool = False
    provider_code: str | None = None
    after_s: float | None = None
    sent_ids: tuple[str, ...] = ()
    whole_account: bool = False
    here_alone: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(frozen=True)
class Fault:
    """One complaint about the configuration: where it stands and how to cure it."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class ConfigError(MainstemError):
    """A configuration that must not be used. Carries every fault found, not only the first."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda f: (f.file, f.line)))
        super().__init__("\n".join(str(f) for f in self.faults))
