"""Which conversation a word belongs to, what it does there, and what the rules say. Pure; rows go into the plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from crm_store.batch_plan import Conversation, Identity, Known, Plan
from hub.clock import to_us
from hub.config import Account, ConversationPolicy
from hub.model import CallEvent, MessageReceived
from router import facts, turns
from router.rules import Decision
from router.setting import Setting, clean, compact
from router.threads import MAIL, NOTHING, Sought

_THREAD_CHARS = 100  # of a thread's name within a slot; a longer one is hashed


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


def thread_of(event: MessageReceived | CallEvent, account: Account) -> str | None:
    """What the provider groups by. Mail has no such name: a mail that answers nothing begins a thread of its own."""
    if not isinstance(event, MessageReceived):
        return None
    if account.connector == MAIL and account.policy is ConversationPolicy.THREAD:
        return event.thread or event.external_id or event.event_key
    return event.thread


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts; what the store keeps of them (all that is known); and the rules that they leave possible."""

    facts: dict[str, Any]
    kept: str
    possible: int


class Places:
    """The conversations of one batch."""

    def __init__(self, known: Known, setting: Setting, plan: Plan) -> None:
        self.known, self.setting, self.plan, self.rows = known, setting, plan, plan.rows
        self.ids, self.now = setting.ids, to_us(setting.now)
        self.known_facts: dict[tuple[Any, ...], Seen] = {}
        self.outcomes: dict[int, tuple[Decision, str]] = {}

    def conversation(
        self,
        event: MessageReceived | CallEvent,
        account: Account,
        identity: Identity,
        interaction: int,
        at: int,
        automatic: bool,
        sought: Sought = NOTHING,
    ) -> Conversation:
        """The conversation that this belongs to, with all that it does to it. sought: what a mail answers."""
        home = home_of(account, identity, thread_of(event, account))
        found = (
            self.known.homes.get(home) if sought.conversation is None else self.goes_on(sought.conversation)
        )
        if found is not None and automatic:
            found.last_at = max(found.last_at, at)
            self.touch(found)
            return found
        if sought.conversation is not None and self.is_over(found, account, at):
            found, sought = self.known.homes.get(home), NOTHING
        if found is None or self.is_over(found, account, at):
            found = self.open(event, account, identity, home, at)
            self.decide(found, event, account, identity, interaction, first=True)
        else:
            self.heard(found, event, account, identity, interaction, at)
        if found.slot is not None and found.slot == found.home:
            self.known.homes[found.slot] = found
        if sought.conversation is None or sought.owner:  # who only takes part is not whom we write to first
            found.account, found.identity_id = account.key, identity.id
        found.last_inbound_id = interaction
        found.last_at = max(found.last_at, at)
        return found

    def goes_on(self, conversation: Conversation) -> Conversation:
        """Where it is continued: there, or, once closed, where its customer's next matter stands open already."""
        if conversation.state == "closed" and conversation.home is not None:
            stands = self.known.homes.get(conversation.home)
            if stands is not None and stands.state != "closed":
                return stands
        return conversation

    @staticmethod
    def is_over(conversation: Conversation | None, account: Account, at: int) -> bool:
        """Was it closed too long ago for a word at `at` to reopen it?"""
        if conversation is None or conversation.state != "closed":
            return False
        return not turns.reopens(conversation, at, account.reopen_within_s)

    def when(
        self, event: MessageReceived | CallEvent, account: Account, identity: Identity, said: int
    ) -> int:
        """The moment of what was said in this router's future, whose clock is behind the edge's (F19): now, or after
        what stands in the conversation already.

        An edge whose clock runs ahead gains and loses nothing by it; what it took later never stands earlier.
        """
        found = self.known.homes.get(home_of(account, identity, thread_of(event, account)))
        return self.now if found is None else max(self.now, min(said, found.last_at + 1))

    def open(
        self, event: MessageReceived | CallEvent, account: Account, identity: Identity, home: str, at: int
    ) -> Conversation:
        message = event if isinstance(event, MessageReceived) else None
        made = Conversation(
            id=self.ids(), number=None, brand_id=account.brand, customer_id=identity.customer_id,
            account=account.key, identity_id=identity.id, state="waiting", slot=home, home=home,
            thread=message.thread[:200] if message and message.thread else None,
            subject=clean(message.subject)[:300] if message and message.subject else "",
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
        self.touch(conversation)
        if turns.hear(conversation, at, self.log):
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
        seen = self.seen(event, account, identity, conversation.opened_at <= identity.customer_created)
        subject = event.subject if isinstance(event, MessageReceived) else None
        decision = self.setting.rules.decide(seen.facts, facts.text_of(subject, event.text), seen.possible)
        conversation.decision_id = number = self.ids()
        if first:
            turns.rule_first(conversation, decision, self.setting.config.queues)
            if conversation.number is None:
                self.opened(conversation, decision)
        else:
            turns.rule_again(conversation, decision, self.log)
        self.rows["decisions"].append(
            (number, conversation.id, interaction, self.setting.rules.hash, decision.rule[:80], facts.VERSION,
             seen.kept, self.outcome(decision), self.now)
        )  # fmt: skip

    def seen(
        self, event: MessageReceived | CallEvent, account: Account, identity: Identity, first_contact: bool
    ) -> Seen:
        """The facts, gathered once for all messages that share them: a batch of a thousand has a few dozen kinds."""
        alike: tuple[Any, ...] = (
            account.key, first_contact, identity.verified, identity.kind, identity.stage, identity.tier, identity.tags,
            identity.language, identity.preferred_channel,
        )  # fmt: skip
        if isinstance(event, MessageReceived):
            alike += (event.form, event.verified, event.automatic, event.language)
        found = self.known_facts.get(alike)
        if found is None:
            person = facts.Person(
                kind=identity.kind,
                stage=identity.stage,
                tier=identity.tier,
                tags=tuple(json.loads(identity.tags)),
                language=identity.language,
                preferred_channel=identity.preferred_channel,
                verified=identity.verified,
                first_contact=first_contact,
            )
            gathered = facts.gather(event, person, account, self.setting.calendars_open)
            kept = {name: value for name, value in gathered.items() if value is not None and value != []}
            found = self.known_facts[alike] = Seen(
                gathered, compact(kept), self.setting.rules.possible(gathered)
            )
        return found

    def outcome(self, decision: Decision) -> str:
        """As the store keeps it, without what is empty. The same few decisions are made all the time."""
        known = self.outcomes.get(id(decision))
        if known is None or known[0] is not decision:
            given = {
                "queue": decision.queue,
                "priority": decision.priority,
                "head_start_s": decision.head_start_s,
                "tags": decision.tags,
                "skills": decision.skills,
                "adjusted_by": decision.adjusted_by,
            }
            kept = compact({name: value for name, value in given.items() if value})
            known = self.outcomes[id(decision)] = (decision, kept)
        return known[1]

    def opened(self, conversation: Conversation, decision: Decision) -> None:
        self.log(
            conversation.id, "opened", "customer", queue=decision.queue, priority=decision.priority, rule=decision.rule
        )  # fmt: skip

    def log(self, conversation_id: int, what: str, by: str, why: str = "", **data: Any) -> None:
        self.rows["conversation_events"].append(
            (self.ids(), conversation_id, self.now, by[:80], what, why, compact(data))
        )
