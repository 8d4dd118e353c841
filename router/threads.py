"""Which conversation a mail answers, and whether it may stand there. Pure.

First what our own signed token names, then what the mail refers to, in its own order; a subject proves nothing. Whoever
writes must take part in that conversation: as its customer, or as somebody to whom a proved mail of it went. A
reference alone is no ticket, since mails are forwarded: who only holds one opens a conversation of their own, and each
is shown on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import structs

from crm_store.batch_plan import Conversation, Identity, Keys, Known, Plan
from crm_store.threads import MAIL as MAIL
from crm_store.threads import Wanted
from hub import urn as urns
from hub.config import Account, Config
from hub.model import MessageReceived

_INDEX = "thread-index:"


class Mailboxes:
    """The mail accounts of a configuration: those of each brand, and the addresses that are ours."""

    def __init__(self, config: Config) -> None:
        self.hash = config.hash
        self.of_brand: dict[str, tuple[str, ...]] = {}
        own = set()
        for account in config.accounts.values():
            if account.connector != MAIL:
                continue
            self.of_brand[account.brand] = (*self.of_brand.get(account.brand, ()), account.key)
            try:
                own.add(urns.mailto(account.address or ""))
            except ValueError:
                continue
        self.own = frozenset(own)

    def is_ours(self, urn: str) -> bool:
        """Is it one of our mailboxes, under a +address too?"""
        if urn in self.own:
            return True
        local, _, domain = urn.rpartition("@")
        return f"{local.partition('+')[0]}@{domain}" in self.own

    def near(self, account: Account) -> Iterator[str]:
        """The mail accounts of the same brand, this one first."""
        yield account.key
        yield from (key for key in self.of_brand.get(account.brand, ()) if key != account.key)


@dataclass(frozen=True, slots=True)
class Sought:
    """conversation: which this mail continues. other: which it only speaks of. sealed: our own token named it, so it
    answers what we sent there. owner: its sender is the conversation's customer, not one of the others."""

    conversation: Conversation | None = None
    other: Conversation | None = None
    sealed: bool = False
    owner: bool = False


NOTHING = Sought()


def keys(event: MessageReceived, account: Account, mailboxes: Mailboxes, wanted: Keys) -> None:
    """What must be asked about a mail."""
    asked: Wanted = wanted.threads
    if event.conversation is not None:
        asked.conversations.add(event.conversation)
    if event.references:
        asked.names.update((key, name) for key in mailboxes.near(account) for name in event.references)
    if not event.verified:
        asked.unproved.add((account.brand, event.sender))
        wanted.urns.append((account.brand, urns.unproved(event.sender)))


class Threads:
    """The threads of one batch."""

    def __init__(self, known: Known, plan: Plan, mailboxes: Mailboxes) -> None:
        self.known, self.plan, self.mailboxes = known, plan, mailboxes

    def seek(
        self, event: MessageReceived, account: Account, sender: Identity | None, *, shadow: bool = False
    ) -> Sought:
        """Where the mail belongs by what it answers. sender: whom its address is known as; shadow: it is only said to
        be theirs, and somebody else has proved it."""
        if event.conversation is None and not event.references:
            return NOTHING
        other = None
        for conversation_id in self.answered(event, account):
            conversation = self.known.conversations.get(conversation_id)
            if conversation is None or conversation.brand_id != account.brand:
                continue
            sealed = conversation_id == event.conversation
            owner = sender is not None and self.owns(conversation, sender)
            if owner or (not shadow and self.takes_part(conversation, event, sealed=sealed)):
                return Sought(conversation=conversation, sealed=sealed, owner=owner)
            other = other or conversation
        return Sought(other=other)

    def answered(self, event: MessageReceived, account: Account) -> Iterator[int]:
        if event.conversation is not None:
            yield event.conversation
        for name in event.references:
            for key in self.mailboxes.near(account):
                yield from self.known.threads.names.get((key, name), ())

    def takes_part(self, conversation: Conversation, event: MessageReceived, *, sealed: bool) -> bool:
        """Was it in To or CC there? A mailbox of ours takes part only where nobody can have forged it."""
        if self.mailboxes.is_ours(event.sender):
            return sealed or event.verified
        return event.sender in self.known.threads.people.get(conversation.id, ())

    def owns(self, conversation: Conversation, identity: Identity) -> bool:
        owner = self.known.threads.owners.get(conversation.id, conversation.customer_id)
        return (
            identity.customer_id in (owner, conversation.customer_id)
            or identity.id == conversation.identity_id
        )

    def proves(self, sought: Sought, sender: Identity | None) -> bool:
        """Does our token prove that its holder is the conversation's customer? It went to them, and to whoever got a
        copy: then it proves nothing new of an address that was never proved."""
        assert sought.conversation is not None
        assert sender is not None
        return sender.verified or not self.known.threads.people.get(sought.conversation.id)

    def ours(self, event: MessageReceived) -> MessageReceived:
        """A mail from a mailbox of ours is a machine's to us, whoever wrote it: never answered by one."""
        if event.automatic or not self.mailboxes.is_ours(event.sender):
            return event
        return structs.replace(event, automatic=True)

    def remember(
        self, event: MessageReceived, account: Account, conversation: Conversation, at: int, *, trusted: bool
    ) -> None:
        """What later mails may refer to, and who takes part from now on. trusted: what this mail says of that counts;
        else a forged one could have our answers sent to whom it likes."""
        threads = self.known.threads
        if event.external_id is not None:
            self.name(account, event.external_id, conversation.id)
        for name in event.references:
            if name.startswith(_INDEX) and (account.key, name) not in threads.names:
                self.name(account, name, conversation.id)
                self.plan.names[account.key, name[:120]] = (conversation.id, at)
        if not trusted:
            return
        for urn in event.participants:
            if not self.mailboxes.is_ours(urn) and urn not in threads.people[conversation.id]:
                threads.people[conversation.id].add(urn)
                self.plan.people[conversation.id, urn] = at

    def name(self, account: Account, name: str, conversation_id: int) -> None:
        talks = self.known.threads.names.setdefault((account.key, name), [])
        if conversation_id not in talks:
            talks.append(conversation_id)

    def link(self, conversation: Conversation, other: Conversation) -> bool:
        """Show each on the other; False where they are one, or are linked by this batch already."""
        pair = (min(conversation.id, other.id), max(conversation.id, other.id))
        if pair[0] == pair[1] or pair in self.plan.links:
            return False
        self.plan.links.append(pair)
        return True
