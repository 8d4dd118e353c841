"""Whose address it is: known, new, or only claimed. Pure; rows go into the batch's plan."""

from __future__ import annotations

import json

from crm_store.batch_plan import CURED, NEVER_US, Identity, Known, Plan
from hub import urn as urns
from hub.clock import to_us
from hub.model import CallEvent, MessageReceived
from router.setting import Setting, clean

CLAIM_SCORE = 0.5  # a claimed address alone: worth a person's look, never more


class People:
    """The people of one batch."""

    def __init__(self, known: Known, setting: Setting, plan: Plan) -> None:
        self.known, self.plan, self.rows = known, plan, plan.rows
        self.ids, self.now = setting.ids, to_us(setting.now)

    def identity(
        self, event: MessageReceived | CallEvent, brand: str, at: int, *, guarded: bool = False
    ) -> Identity:
        """The sender, made a lead where nobody knows the address.

        guarded: nobody vouches that it came from there, and anybody could have written so. Then it opens no record of
        somebody who has proved an address, or whom people here have marked (S10): it goes to a record of its own.
        """
        message = event if isinstance(event, MessageReceived) else None
        name = clean(message.sender_name)[:200] if message else ""
        verified = message is not None and message.verified
        urn = event.sender
        found = self.known.identities.get((brand, urn))
        if guarded and found is not None and self.is_somebodys(found):
            owner, urn = found, urns.unproved(urn)
            found = self.known.identities.get((brand, urn))
            if found is None:
                found = self.newcomer(brand, urn, name, False, message.language if message else None)
                self.propose(owner.customer_id, found.customer_id, event.sender, event.event_key)
                return found
        if found is None:
            found = self.newcomer(brand, urn, name, verified, message.language if message else None)
            if message and message.claims:
                self.claims(message, brand, found, new=True)
            return found
        if found.only_claimed:
            self.take_over(found, event, brand, name, verified)
        proves, cured = verified and not found.verified, found.trouble in CURED
        if proves:
            found.verified = True
            self.known.threads.proved.add(found.customer_id)
        if cured:
            found.trouble = None
        if proves or cured:
            found.last_seen = max(found.last_seen, at)
            self.plan.seen[found.id] = (found.last_seen, found.verified)
        if name and not found.name:
            found.name = self.plan.named[found.customer_id] = name
        if message and message.claims:
            self.claims(message, brand, found, new=False)
        return found

    def is_somebodys(self, found: Identity) -> bool:
        """Has its owner proved this address or another, or do people here hold them for somebody special?"""
        if found.only_claimed:
            return False
        return found.verified or found.tier is not None or found.customer_id in self.known.threads.proved

    def newcomer(self, brand: str, urn: str, name: str, verified: bool, language: str | None) -> Identity:
        now = self.now
        customer, identity = self.ids(), self.ids()
        language = language and language[:12]
        self.rows["customers"].append((customer, brand, name, language, now, now, "customer"))
        self.rows["identities"].append((identity, brand, urn, customer, verified, name, now, now))
        made = Identity(
            identity, customer, verified, now, None, name, "person", "lead", None, "[]", language, None, now
        )
        self.known.identities[brand, urn] = made
        self.plan.nameless = self.plan.nameless or (not name and urns.scheme(urn) in urns.NAMELESS)
        return made

    def take_over(
        self, address: Identity, event: MessageReceived | CallEvent, brand: str, name: str, verified: bool
    ) -> None:
        """Who writes from an address comes before whoever only said that it is theirs: it becomes a new lead's. Else a
        stranger would have its owner's words in a record of the stranger's, by claiming it first. People decide
        whether the two are one."""
        claimant, customer = address.customer_id, self.ids()
        language = event.language and event.language[:12] if isinstance(event, MessageReceived) else None
        self.rows["customers"].append((customer, brand, name, language, self.now, self.now, "customer"))
        self.plan.taken[address.id] = (customer, name)
        self.plan.seen[address.id] = (self.now, verified)
        self.propose(claimant, customer, event.sender, event.event_key)
        address.customer_id, address.name, address.language = customer, name, language
        address.verified, address.last_seen, address.customer_created = verified, self.now, self.now
        address.kind, address.stage, address.tier, address.tags = "person", "lead", None, "[]"
        address.preferred_channel = None

    def claims(self, event: MessageReceived, brand: str, sender: Identity, *, new: bool) -> None:
        """Further addresses that the message states. One nobody has becomes a newcomer's, until somebody writes
        from it (take_over); one that is somebody's opens nothing: a person is asked whether the two are one."""
        for urn in event.claims:
            owner = self.known.identities.get((brand, urn))
            if owner is None and new:
                identity = self.ids()
                self.rows["identities"].append(
                    (identity, brand, urn, sender.customer_id, False, "", self.now, NEVER_US)
                )
                self.known.identities[brand, urn] = Identity(
                    identity, sender.customer_id, False, NEVER_US, None, sender.name, sender.kind, sender.stage,
                    sender.tier, sender.tags, sender.language, sender.preferred_channel, sender.customer_created,
                )  # fmt: skip
            elif owner is not None and owner.customer_id != sender.customer_id:
                self.propose(owner.customer_id, sender.customer_id, urn, event.event_key)

    def propose(self, one: int, other: int, claimed: str, event_key: str) -> None:
        evidence = json.dumps({"claimed": claimed, "event_key": event_key}, ensure_ascii=False)
        self.plan.proposals.append(
            (self.ids(), min(one, other), max(one, other), evidence, CLAIM_SCORE, self.now)
        )
