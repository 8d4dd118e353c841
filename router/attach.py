"""What a batch of the stream comes to: for each event its customer, its conversation and its place. Pure.

Three questions in turn, so that the store is asked only twice a batch: `keys` (what to look up), `homes` (which
conversations these people may be in), `plan` (everything to be written). `plan` works on the `Known` it is given and
adds what the batch itself brings, so that a batch of 1,024 comes to the same as 1,024 batches of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from crm_store.batch_plan import Call, Conversation, First, Identity, Keys, Known, Plan
from hub import urn as urns
from hub.clock import to_us
from hub.codec import KINDS
from hub.config import Account, Config, ConversationPolicy
from hub.errors import MainstemError
from hub.model import (
    Attachment,
    CallEvent,
    CallState,
    ConsentChanged,
    DeliveryReported,
    Entry,
    Event,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
    Unreadable,
)
from router import facts, turns
from router.rules import Decision

DAY = 24 * 3600 * turns.SECOND
SEEN_EVERY = (
    3600 * turns.SECOND
)  # last_seen_at is good to an hour; exact, it would cost every message an UPDATE
CLAIM_SCORE = 0.5  # a claimed address alone: worth a person's look, never more
_THREAD_CHARS = 100  # of a thread's name within a slot; a longer one is hashed

_FORWARD = {  # how far a call has come; events of one call arrive in any order
    CallState.RINGING: 0,
    CallState.ANSWERED: 1,
    CallState.MISSED: 2,
    CallState.COMPLETED: 2,
    CallState.VOICEMAIL: 3,
}

Wish = Callable[[str], str | None]  # "stop", "start", "help" or None; router/consent.py


class Rules(Protocol):
    """What is needed of router.rules.RuleSet."""

    hash: str

    def decide(self, facts: Mapping[str, Any], text: str) -> Decision: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What holds for a whole batch. `calendars_open`: for the calendars that the rules ask for, at `now`."""

    config: Config
    rules: Rules
    calendars_open: Mapping[str, bool]
    wish: Wish
    ids: Callable[[], int]
    now: datetime

    def account(self, key: str) -> Account:
        """Raises MainstemError for an account that the configuration does not have (any more, or not yet)."""
        found = self.config.accounts.get(key)
        if found is None:
            raise MainstemError(f"the configuration has no account {key}")
        return found


def keys(entries: Sequence[Entry], setting: Setting) -> Keys:
    """What the store must be asked for before anything can be decided."""
    wanted = Keys()
    for entry in entries:
        event = entry.event
        wanted.seqs.append((entry.producer, entry.seq))
        wanted.events.append((event.account, event.event_key))
        if isinstance(event, MessageReceived):
            brand = setting.account(event.account).brand
            wanted.urns.append((brand, event.sender))
            wanted.urns += [(brand, urn) for urn in event.claims]
        elif isinstance(event, CallEvent):
            wanted.urns.append((setting.account(event.account).brand, event.sender))
            wanted.calls.append((event.account, event.external_id))
    return wanted


def homes(known: Known, entries: Sequence[Entry], setting: Setting) -> list[str]:
    """The slots in which the conversations of these entries may stand already. None for who is new here."""
    out: list[str] = []
    for entry in entries:
        event = entry.event
        if not isinstance(event, MessageReceived | CallEvent):
            continue
        account = setting.account(event.account)
        identity = known.identities.get((account.brand, event.sender))
        thread = event.thread if isinstance(event, MessageReceived) else None
        if identity is not None or (thread and account.policy is ConversationPolicy.THREAD):
            out.append(home_of(account, identity, thread))
    return out


def home_of(account: Account, identity: Identity | None, thread: str | None) -> str:
    """The slot of the conversation that a message continues, by the account's policy. Without a thread, a THREAD
    account goes by the address. `identity` may be None only where a thread decides."""
    if account.policy is ConversationPolicy.THREAD and thread:
        short = thread if len(thread) <= _THREAD_CHARS else hashlib.sha256(thread.encode()).hexdigest()
        return f"t:{account.key}:{short}"
    assert identity is not None
    if account.policy is ConversationPolicy.CUSTOMER:
        return f"c:{identity.customer_id}"
    return f"a:{account.key}:{identity.id}"


def plan(known: Known, entries: Sequence[Entry], setting: Setting) -> Plan:
    """Everything that these entries, in this order, come to. Raises MainstemError for an account nobody knows."""
    return _Pass(known, setting).run(entries)


class _Pass:
    def __init__(self, known: Known, setting: Setting) -> None:
        self.known, self.setting = known, setting
        self.ids, self.now = setting.ids, to_us(setting.now)
        self.plan = Plan()
        self.rows = self.plan.rows
        self.outcomes: dict[int, tuple[Decision, str]] = {}

    def run(self, entries: Sequence[Entry]) -> Plan:
        known, intake = self.known, self.rows["intake"]
        for entry in entries:
            place = (entry.producer, entry.seq)
            if place in known.seqs:
                continue  # handled before; only the word of it was lost
            known.seqs.add(place)
            event = entry.event
            accepted = to_us(entry.accepted_at)
            if entry.cursor is not None:
                self.cursor(entry, accepted)
            first = known.events.get((event.account, event.event_key))
            interaction = None
            if first is not None:
                outcome, interaction = "duplicate", first.interaction_id
                self.again(event, first)
            elif isinstance(event, Unreadable):
                outcome = "quarantined"
                self.unreadable(event, entry)
                known.events[event.account, event.event_key] = First(None)
            else:
                outcome = "stored"
                first = known.events[event.account, event.event_key] = self.take(event)
                interaction = first.interaction_id
            kind = KINDS[type(event)]
            intake.append(
                (*place, event.account, event.event_key, kind, outcome, interaction, accepted, self.now)
            )
        return self.plan

    def take(self, event: Event) -> First:
        """An event that nobody has told us before."""
        if isinstance(event, MessageReceived):
            return self.message(event)
        if isinstance(event, CallEvent):
            return self.call(event)
        if isinstance(event, MessageChanged):
            self.plan.changes.append(event)
        elif isinstance(event, DeliveryReported):
            self.plan.reports.append(event)
        elif isinstance(event, ConsentChanged):
            self.plan.consents.append(event)
        elif isinstance(event, IdentityLearned):
            self.plan.learned.append(event)
        return First(None)

    def cursor(self, entry: Entry, accepted: int) -> None:
        assert entry.cursor is not None
        key = (entry.cursor.account, entry.cursor.name)
        had = self.plan.cursors.get(key)
        if had is None or had[1] <= accepted:
            self.plan.cursors[key] = (entry.cursor.value, accepted)

    def unreadable(self, event: Unreadable, entry: Entry) -> None:
        self.rows["quarantine"].append(
            (self.ids(), entry.producer, entry.seq, event.account, "unreadable", _clean(event.reason), entry.raw,
             event.blob, "waiting", self.now)
        )  # fmt: skip

    def again(self, event: Event, first: First) -> None:
        """A duplicate ends here. One that says something else under the same key is put on record."""
        if not isinstance(event, MessageReceived) or first.conversation_id is None:
            return
        if first.text != _clean(event.text):
            self.log(
                first.conversation_id, "conflict", "system", "the same message came again with another text",
                interaction=first.interaction_id, event_key=event.event_key, blob=event.blob,
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ who

    def identity(self, event: MessageReceived | CallEvent, brand: str, at: int) -> Identity:
        """The sender, made a lead where nobody knows the address."""
        name = _clean(event.sender_name)[:200] if isinstance(event, MessageReceived) else ""
        verified = isinstance(event, MessageReceived) and event.verified
        found = self.known.identities.get((brand, event.sender))
        if found is None:
            language = event.language if isinstance(event, MessageReceived) else None
            found = self.newcomer(brand, event.sender, name, verified, language)
            if isinstance(event, MessageReceived) and event.claims:
                self.claims(event, brand, found, new=True)
            return found
        if at - found.last_seen > SEEN_EVERY or (verified and not found.verified):
            found.last_seen = max(found.last_seen, at)
            found.verified = found.verified or verified
            self.plan.seen[found.id] = (found.last_seen, found.verified)
        if name and not found.name:
            found.name = self.plan.named[found.customer_id] = name
        if isinstance(event, MessageReceived) and event.claims:
            self.claims(event, brand, found, new=False)
        return found

    def newcomer(self, brand: str, urn: str, name: str, verified: bool, language: str | None) -> Identity:
        now = self.now
        customer, identity = self.ids(), self.ids()
        language = language and language[:12]
        self.rows["customers"].append((customer, brand, name, language, now, now, "customer"))
        self.rows["identities"].append((identity, brand, urn, customer, verified, name, now, now))
        made = Identity(
            identity, customer, verified, now, name, "person", "lead", None, "[]", language, None, now
        )
        self.known.identities[brand, urn] = made
        return made

    def claims(self, event: MessageReceived, brand: str, sender: Identity, *, new: bool) -> None:
        """Further addresses that the message states. One nobody has becomes a newcomer's, unverified; one that is
        somebody's opens nothing: a person is asked whether the two are one."""
        for urn in event.claims:
            owner = self.known.identities.get((brand, urn))
            if owner is None and new:
                identity = self.ids()
                self.rows["identities"].append(
                    (identity, brand, urn, sender.customer_id, False, "", self.now, self.now)
                )
                self.known.identities[brand, urn] = Identity(
                    identity, sender.customer_id, False, self.now, sender.name, sender.kind, sender.stage, sender.tier,
                    sender.tags, sender.language, sender.preferred_channel, sender.customer_created,
                )  # fmt: skip
            elif owner is not None and owner.customer_id != sender.customer_id:
                one, other = sorted((owner.customer_id, sender.customer_id))
                evidence = json.dumps({"claimed": urn, "event_key": event.event_key}, ensure_ascii=False)
                self.plan.proposals.append((self.ids(), one, other, evidence, CLAIM_SCORE, self.now))

    # ----------------------------------------------------------------------------------------------- what

    def message(self, event: MessageReceived) -> First:
        account = self.setting.account(event.account)
        received = min(
            to_us(event.received_at), self.now
        )  # an edge whose clock runs ahead gains and loses nothing
        identity = self.identity(event, account.brand, received)
        interaction = self.ids()
        conversation = self.conversation(event, account, identity, interaction, received, event.automatic)
        text = _clean(event.text)
        extra: dict[str, Any] = {}
        if event.fields:
            extra["fields"] = event.fields
        if event.language:
            extra["language"] = event.language
        if event.automatic:
            extra["automatic"] = True
        if event.claims:
            extra["claims"] = event.claims
        if event.thread:
            extra["thread"] = event.thread
        self.rows["interactions"].append(
            (interaction, conversation.id, identity.id, account.key, "in", event.form[:20], text,
             event.subject and _clean(event.subject), event.external_id, event.in_reply_to,
             _clean(event.sender_name), "customer", _json(extra) if extra else None, event.blob,
             len(event.attachments), timeline(event.sent_at, received), received)
        )  # fmt: skip
        if event.attachments:
            self.attach(interaction, event.attachments, 0)
        if event.external_id is not None:
            self.plan.arrived.append((account.key, event.external_id))
        # On a page or a terminal the customer came to us: "cancel" there is about an order, and nothing is ever pushed.
        if event.automatic or urns.scheme(event.sender) in urns.VISITS:
            return First(interaction, conversation.id, text)
        if (wish := self.setting.wish(event.text)) in ("stop", "start"):
            self.plan.consents.append(
                ConsentChanged(
                    account=event.account,
                    event_key=event.event_key,
                    received_at=event.received_at,
                    urn=event.sender,
                    granted=wish == "start",
                    wording=text[:200],
                    blob=event.blob,
                )
            )
        return First(interaction, conversation.id, text)

    def attach(self, interaction: int, files: Sequence[Attachment], position: int) -> None:
        self.rows["interaction_attachments"] += [
            (interaction, number, file.sha256, _clean(file.name), _clean(file.content_type)[:120], file.size_bytes)
            for number, file in enumerate(files, position)
        ]  # fmt: skip

    def call(self, event: CallEvent) -> First:
        """One interaction a call, whichever of its events comes first; its state only moves forward."""
        account = self.setting.account(event.account)
        received = min(to_us(event.received_at), self.now)
        known = self.known.calls.get((event.account, event.external_id))
        if known is None:
            identity = self.identity(event, account.brand, received)
            interaction = self.ids()
            conversation = self.conversation(event, account, identity, interaction, received, automatic=False)
            known = self.known.calls[event.account, event.external_id] = Call(
                interaction, conversation.id, identity.id, _clean(event.text), _call_json(None, event),
                len(event.attachments),
            )  # fmt: skip
            self.rows["interactions"].append(
                (known.id, conversation.id, identity.id, account.key, "in", "call", known.text, None,
                 event.external_id, None, "", "customer", known.extra, event.blob, known.attachments,
                 timeline(event.sent_at, received), received)
            )  # fmt: skip
            self.attach(interaction, event.attachments, 0)
            return First(interaction)
        self.attach(known.id, event.attachments, known.attachments)
        known.text = _clean(event.text) or known.text
        known.extra = _call_json(known.extra, event)
        known.attachments += len(event.attachments)
        self.plan.calls[known.id] = (known.text, known.extra, known.attachments)
        conversation = self.known.conversations[known.conversation_id]
        if event.text and conversation.state != "closed":  # what they said on the tape is their word
            owner = self.identity(event, account.brand, received)
            self.heard(conversation, event, account, owner, known.id, received)
        self.touch(conversation)
        return First(known.id)

    # ---------------------------------------------------------------------------------------------- where

    def conversation(
        self,
        event: MessageReceived | CallEvent,
        account: Account,
        identity: Identity,
        interaction: int,
        at: int,
        automatic: bool,
    ) -> Conversation:
        """The conversation that this belongs to, with all that it does to it."""
        thread = event.thread if isinstance(event, MessageReceived) else None
        home = home_of(account, identity, thread)
        found = self.known.homes.get(home)
        if found is not None and automatic:
            found.last_at = max(found.last_at, at)
            self.touch(found)
            return found
        if found is None or (
            found.state == "closed" and not turns.reopens(found, at, account.reopen_within_s)
        ):
            found = self.open(event, account, identity, home, at)
            self.decide(found, event, account, identity, interaction, first=True)
        else:
            self.heard(found, event, account, identity, interaction, at)
        found.account, found.identity_id, found.last_inbound_id = account.key, identity.id, interaction
        found.last_at = max(found.last_at, at)
        return found

    def open(
        self, event: MessageReceived | CallEvent, account: Account, identity: Identity, home: str, at: int
    ) -> Conversation:
        message = event if isinstance(event, MessageReceived) else None
        made = Conversation(
            id=self.ids(), number=None, brand_id=account.brand, customer_id=identity.customer_id,
            account=account.key, identity_id=identity.id, state="waiting", slot=home, home=home,
            thread=message.thread[:200] if message and message.thread else None,
            subject=_clean(message.subject)[:300] if message and message.subject else "",
            queue="", ruled_queue=None, priority="", ruled_priority=None, head_start_s=0.0, tags="[]", skills="[]",
            decision_id=None, waiting_since=at, rank_at=at, assignee=None, snoozed_until=None, disposition=None,
            opened_at=self.now, closed_at=None, last_at=at, last_inbound_id=None,
        )  # fmt: skip
        self.known.homes[home] = self.known.conversations[made.id] = made
        self.plan.opened.append(made)
        self.touch(made)
        return made

    def heard(
        self,
        conversation: Conversation,
        event: MessageReceived | CallEvent,
        account: Account,
        identity: Identity,
        interaction: int,
        at: int,
    ) -> None:
        reopened = conversation.state == "closed"

        def log(what: str, by: str, **data: Any) -> None:
            self.log(conversation.id, what, by, **data)

        self.touch(conversation)
        if turns.hear(conversation, at, log):
            self.decide(conversation, event, account, identity, interaction, first=reopened)

    def touch(self, conversation: Conversation) -> None:
        conversation.touched = conversation.touched or 1
        self.plan.touched[conversation.id] = conversation

    def decide(
        self,
        conversation: Conversation,
        event: MessageReceived | CallEvent,
        account: Account,
        identity: Identity,
        interaction: int,
        *,
        first: bool,
    ) -> None:
        """Run the rules. First contact is the whole of a customer's first conversation, not only its first words:
        else their second message would be judged as another person's."""
        person = facts.Person(
            kind=identity.kind,
            stage=identity.stage,
            tier=identity.tier,
            tags=tuple(json.loads(identity.tags)) if identity.tags != "[]" else (),
            language=identity.language,
            preferred_channel=identity.preferred_channel,
            verified=identity.verified,
            first_contact=conversation.opened_at <= identity.customer_created,
        )
        seen = facts.gather(event, person, account, self.setting.calendars_open)
        subject = event.subject if isinstance(event, MessageReceived) else None
        decision = self.setting.rules.decide(seen, facts.text_of(subject, event.text))
        conversation.decision_id = number = self.ids()
        if first:
            turns.rule_first(conversation, decision, self.setting.config.queues)
            if conversation.number is None:
                self.opened(conversation, decision)
        else:
            turns.rule_again(
                conversation, decision, lambda what, by, **data: self.log(conversation.id, what, by, **data)
            )
        self.rows["decisions"].append(
            (number, conversation.id, interaction, self.setting.rules.hash, decision.rule[:80], facts.VERSION,
             _json(seen), self.outcome(decision), self.now)
        )  # fmt: skip

    def outcome(self, decision: Decision) -> str:
        """As the store keeps it. The same few decisions are made all the time."""
        known = self.outcomes.get(id(decision))
        if known is None or known[0] is not decision:
            known = self.outcomes[id(decision)] = (decision, _json(
                {"queue": decision.queue, "priority": decision.priority, "head_start_s": decision.head_start_s,
                 "tags": decision.tags, "skills": decision.skills, "adjusted_by": decision.adjusted_by}
            ))  # fmt: skip
        return known[1]

    def opened(self, conversation: Conversation, decision: Decision) -> None:
        self.log(
            conversation.id, "opened", "customer", queue=decision.queue, priority=decision.priority, rule=decision.rule
        )  # fmt: skip

    def log(self, conversation_id: int, what: str, by: str, why: str = "", **data: Any) -> None:
        self.rows["conversation_events"].append(
            (self.ids(), conversation_id, self.now, by[:80], what, why, _json(data))
        )


def timeline(sent: datetime | None, received: int) -> int:
    """Where it stands in the timeline, in microseconds: the provider's time where that is within the day before the
    receipt, else the receipt (a clock of 1970 or 2050 decides nothing)."""
    if sent is not None:
        at = to_us(sent)
        if received - DAY <= at <= received:
            return at
    return received


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _clean(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def _call_json(had: str | None, event: CallEvent) -> str:
    """What is known of a call, with this event added."""
    extra: dict[str, Any] = json.loads(had) if had else {}
    call = extra.setdefault("call", {})
    if "state" not in call or _FORWARD[event.state] >= _FORWARD[CallState(call["state"])]:
        call["state"] = event.state.value
    if event.duration_s is not None:
        call["duration_s"] = event.duration_s
    return _json(extra)
