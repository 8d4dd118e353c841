"""The configuration as typed values: what config/*.yaml says, after every check that needs no other room.

hub/yamlfile.py turns text into nodes with FILE:LINE; hub/configfiles.py turns nodes into these types. Durations are
seconds. Agents, queues, accounts, brands and calendars are named by their YAML key everywhere, in the store too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, time
from enum import StrEnum
from typing import Any

from hub.model import TemplateButton, TemplateHeader


class ConversationPolicy(StrEnum):
    """Which open conversation a message continues."""

    CUSTOMER = "customer"  # the customer's one open conversation, whatever the channel (the default)
    ACCOUNT = "account"  # one for each account that the customer writes to
    THREAD = "thread"  # one for each thread of the provider's


@dataclass(frozen=True, kw_only=True, slots=True)
class Brand:
    """opt_outs: where a "stop" is honoured: on the `address` that it came from, or on all of the `customer`. signature:
    what stands under its mails, where an account has none of its own."""

    key: str
    name: str
    opt_outs: str = "address"
    signature: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """One address of ours at a provider. `key` is `connector/name`.

    settings: the connector's own, checked by it. secrets: purpose -> the values that are valid now, newest first
    (two while a secret is rotated); resolved from the environment by the process that needs them, never from YAML,
    where `secret_names` gives the variables. rate_per_s and burst: the token bucket of its sends.
    reopen_within_s: a message after closing, within this time, reopens the conversation.
    quiet: when nothing goes out from it that nobody asked for.
    signature: its brand's, for channels that have such a thing and are told of no other.
    siblings: the provider's id -> key of the accounts whose events may come in one body with this one's, itself among
    them (connectors.base.Shared).
    """

    key: str
    connector: str
    name: str
    brand: str
    title: str
    address: str | None = None
    policy: ConversationPolicy = ConversationPolicy.CUSTOMER
    reopen_within_s: float = 3 * 24 * 3600.0
    rate_per_s: float = 10.0
    burst: int = 10
    enabled: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    secret_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    signature: str = ""
    quiet: Quiet | None = None
    siblings: dict[str, str] = field(default_factory=dict, repr=False)
    setting_lines: dict[str, int] = field(default_factory=dict, repr=False)
    file: str = "config/channels.yaml"
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """Hours in which an account sends nothing that nobody asked for, by the clock of `timezone`; over midnight where
    `to` is before `start`. (In the United States of America 47 CFR 64.1200(c)(1) leaves 8:00 to 21:00.)"""

    start: time
    to: time
    timezone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """Service level: `percent` of conversations answered within `within_s`. Idle claims go back after `idle_s`.

    slack: the channel in which its conversations stand (`C0123ABCD` or `#name`), if any. slack_direct: what the
    assignee types in a thread goes to the customer; without it, it is a note until they send it.
    """

    key: str
    title: str
    calendar: str | None = None
    service_percent: int = 80
    service_within_s: float = 300.0
    offer_s: float = 60.0
    idle_s: float | None = None
    slack: str | None = None
    slack_direct: bool = False
    line: int = 0


class Role(StrEnum):
    AGENT = "agent"
    LEAD = "lead"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """`limit`: how many open conversations at once. `slack`: the linked Slack user id, if any."""

    key: str
    name: str
    email: str | None = None
    role: Role = Role.AGENT
    queues: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    limit: int = 5
    slack: str | None = None
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """Opening hours: weekday (0 = Monday) -> spans of local time; `holidays`: country or country-subdivision codes."""

    key: str
    timezone: str
    hours: dict[int, tuple[tuple[time, time], ...]]
    holidays: str | None = None
    closed: tuple[date, ...] = ()
    line: int = 0


class AutoWhen(StrEnum):
    """When a reply is given without anybody's doing."""

    FIRST_CONTACT = "first_contact"  # a customer's first message of all
    OUT_OF_HOURS = "out_of_hours"  # while the calendar is closed


@dataclass(frozen=True, kw_only=True, slots=True)
class Auto:
    """accounts: where it is given. calendar: of OUT_OF_HOURS; empty otherwise."""

    when: AutoWhen
    accounts: tuple[str, ...]
    calendar: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovedText:
    """A text that a provider has approved for us. name: its name or id there; language: as the provider writes it.

    body, header, buttons: as `hub.model.Template` has them, with the reply's places ({1}, {2}, ...) still to be filled;
    names are the body's. body None: the reply's places, in order.
    """

    name: str
    language: str = ""
    body: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    header: TemplateHeader | None = None
    buttons: tuple[TemplateButton, ...] = ()
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CannedReply:
    """queues: of the conversations in which it is offered, or given; none: in all.

    places: how many places the text has to be filled ({1}, {2}, ...). approved: account, or connector, -> what goes out
    instead of the text where free text may not; its places are the text's. choices: answers to tap.
    """

    key: str
    title: str
    text: str
    queues: tuple[str, ...] = ()
    auto: Auto | None = None
    places: int = 0
    approved: dict[str, ApprovedText] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a rule gives. `queue` None: the rule only adjusts. `priority` is a name from `priorities`."""

    queue: str | None = None
    priority: str | None = None
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """`when` is plain data (dicts, lists, texts); router/conditions.py compiles it and knows its words.

    Every scalar in it is the text that was written, whatever it looks like; None: the rule always holds.
    `lines` maps a path into `when` (such as `("all", 0, "text")`) to its line, for complaints and explanations.
    """

    name: str
    when: Any
    then: Outcome
    goes_on: bool = False
    file: str = "config/routing.yaml"
    line: int = 0
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One whole, valid configuration. `hash` names it: sha256 (hex) over the files as applied.

    priorities: name -> head start in seconds (may be negative). `default` always names a queue. moved: queues that are
    no more -> where their conversations go; they are not among `queues`. slack_ops: the Slack channel for leads and
    failures. auto_per_hour: how many automatic replies may go out in an hour, of all accounts together.
    """

    hash: str
    brands: dict[str, Brand]
    accounts: dict[str, Account]
    queues: dict[str, Queue]
    agents: dict[str, Agent]
    calendars: dict[str, Calendar]
    replies: dict[str, CannedReply]
    priorities: dict[str, float]
    rules: tuple[Rule, ...]
    default: Outcome
    moved: dict[str, str] = field(default_factory=dict)
    slack_ops: str | None = None
    auto_per_hour: int = 100
    files: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def auto_replies(self) -> tuple[CannedReply, ...]:
        """The replies that are given without anybody's doing, as the file has them."""
        return tuple(reply for reply in self.replies.values() if reply.auto is not None)
