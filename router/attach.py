"""What a batch of the stream comes to: for each event its customer, its conversation and its place. Pure.

What the store is asked for before stands in router/asking.py. `plan` works on the `Known` it is given and adds what
the batch itself brings, so that a batch of 1,024 comes to the same as 1,024 batches of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import structs

from crm_store.batch_plan import Call, First, Identity, Known, Plan
from hub import urn as urns
from hub.clock import to_us
from hub.codec import KINDS
from hub.config import Account
from hub.model import (
    ECHO,
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
from router import autos, pieces, turns
from router.people import People
from router.places import Places, home_of, thread_of
from router.setting import Setting, Wish, clean, compact
from router.threads import MAIL, NOTHING, Sought, Threads

__all__ = ["Setting", "Wish", "plan", "timeline"]

_VISITS = tuple(f"{scheme}:" for scheme in urns.VISITS)
_EARLY_EVERY = 128  # entries: 2.5 ms of planning
DAY = 24 * 3600 * turns.SECOND

_FORWARD = {  # how far a call has come; events of one call arrive in any order
    CallState.RINGING: 0,
    CallState.ANSWERED: 1,
    CallState.MISSED: 2,
    CallState.COMPLETED: 2,
    CallState.VOICEMAIL: 3,
}


def plan(
    known: Known, entries: Sequence[Entry], setting: Setting, early: Callable[[Plan], None] | None = None
) -> Plan:
    """Everything that these entries, in this order, come to. Raises MainstemError for an account nobody knows.

    early: given the unfinished plan every so often, to take from it what can be written already.
    """
    made = _Pass(known, setting)
    if early is None:
        return made.run(entries)
    for start in range(0, len(entries), _EARLY_EVERY):
        made.run(entries[start : start + _EARLY_EVERY])
        early(made.plan)
    return made.plan


class _Pass:
    def __init__(self, known: Known, setting: Setting) -> None:
        self.known, self.setting = known, setting
        self.ids, self.now = setting.ids, to_us(setting.now)
        self.plan = Plan()
        self.rows = self.plan.rows
        self.people = People(known, setting, self.plan)
        self.places = Places(known, setting, self.plan)
        self.threads = Threads(known, self.plan, setting.mailboxes)
        self.autos = autos.Autos(setting, self.plan)

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
                self.plan.duplicates += 1
                self.again(event, first)
            elif isinstance(event, Unreadable):
                outcome = "quarantined"
                self.plan.quarantined += 1
                self.unreadable(event, entry)
                known.events[event.account, event.event_key] = First(None)
            else:
                outcome = "stored"
                first = known.events[event.account, event.event_key] = self.take(event)
                interaction = first.interaction_id
            kind = KINDS[type(event)]
            self.plan.entries += 1
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
            (self.ids(), entry.producer, entry.seq, event.account, "unreadable", clean(event.reason), entry.raw,
             event.blob, "waiting", self.now)
        )  # fmt: skip

    def again(self, event: Event, first: First) -> None:
        """A duplicate ends here. One that says something else under the same key is put on record."""
        if not isinstance(event, MessageReceived) or first.conversation_id is None:
            return
        if first.text != clean(event.text) and not event.album:
            self.places.log(
                first.conversation_id, "conflict", "system", "the same message came again with another text",
                interaction=first.interaction_id, event_key=event.event_key, blob=event.blob,
            )  # fmt: skip

    def message(self, event: MessageReceived) -> First:
        account = self.setting.account(event.account)
        if account.connector == MAIL:
            return self.mail(event, account)
        if event.form == ECHO:
            return self.echo(event, account)
        said = to_us(event.received_at)
        received = min(said, self.now)
        identity = self.people.identity(event, account.brand, received)
        if event.album:
            return self.piece(event, account, identity, said, received)
        return self.stored(event, account, identity, said, received)

    def echo(self, event: MessageReceived, account: Account) -> First:
        """What others wrote to a customer in our name stands in their conversation, as a note: it went out without us,
        and nobody here answered. Where there is no conversation it is none of ours."""
        identity = self.known.identities.get((account.brand, event.sender))
        home = None if identity is None else home_of(account, identity, thread_of(event, account))
        conversation = None if home is None else self.known.homes.get(home)
        if identity is None or conversation is None:
            return First(None)
        received = min(to_us(event.received_at), self.now)
        interaction, text = self.ids(), clean(event.text)
        self.rows["interactions"].append(
            (interaction, conversation.id, identity.id, account.key, "note", ECHO, text, None, event.external_id,
             None, "", "system", None, event.blob, 0, timeline(event.sent_at, received), received)
        )  # fmt: skip
        if event.media:
            pieces.expect(self.plan, event, interaction, 0, self.now)
        self.places.touch(conversation)
        return First(interaction, conversation.id, text)

    def piece(
        self, event: MessageReceived, account: Account, identity: Identity, said: int, received: int
    ) -> First:
        """One of several messages that are one: the first makes the interaction, the others add to it."""
        album = self.known.albums.get((event.account, pieces.key_of(event)))
        if album is None:
            first = self.stored(event, account, identity, said, received)
            pieces.begin(self.known, self.plan, event, first, self.now)
            return first
        self.attach(album.id, event.attachments, album.files)
        first = pieces.add(self.plan, event, album, self.now)
        conversation = self.known.conversations[album.conversation_id]
        conversation.last_at = max(conversation.last_at, received)
        self.places.touch(conversation)
        return first

    def mail(self, event: MessageReceived, account: Account) -> First:
        """Whose it is depends on what it answers, and where it goes on whose it is."""
        said = to_us(event.received_at)
        received = min(said, self.now)
        event = self.threads.ours(event)
        sender = self.known.identities.get((account.brand, event.sender))
        sought = self.threads.seek(event, account, sender)
        if sought.sealed and sought.owner and not event.verified and self.threads.proves(sought, sender):
            event = structs.replace(event, verified=True, proof=f"token=pass {event.proof}".strip())
        guarded = not event.verified and not sought.sealed
        identity = self.people.identity(event, account.brand, received, guarded=guarded)
        if sender is not None and identity.id != sender.id:
            sought = self.threads.seek(event, account, identity, shadow=True)
        shadow = sender is not None and identity.id != sender.id
        had = len(self.plan.opened)
        first = self.stored(event, account, identity, said, received, sought, shadow=shadow)
        assert first.conversation_id is not None
        conversation = self.known.conversations[first.conversation_id]
        opened = len(self.plan.opened) > had
        trusted = opened or event.verified or sought.sealed
        self.threads.remember(event, account, conversation, received, trusted=trusted)
        other = sought.other or sought.conversation
        if other is not None and self.threads.link(conversation, other) and opened:
            why = "its sender takes no part there" if sought.other else "that one was over"
            self.places.log(conversation.id, "linked", "system", why, to=other.number or other.id)
        return first

    def stored(
        self,
        event: MessageReceived,
        account: Account,
        identity: Identity,
        said: int,
        received: int,
        sought: Sought = NOTHING,
        *,
        shadow: bool = False,
    ) -> First:
        if said > received:
            received = self.places.when(event, account, identity, said)
        interaction = self.ids()
        had = len(self.plan.opened)
        conversation = self.places.conversation(
            event, account, identity, interaction, received, event.automatic, sought
        )
        text = clean(event.text)
        self.rows["interactions"].append(
            (interaction, conversation.id, identity.id, account.key, "in", event.form[:20], text,
             event.subject and clean(event.subject), event.external_id, event.in_reply_to,
             clean(event.sender_name), "customer", _extra_json(event, identity, shadow), event.blob,
             len(event.attachments), timeline(event.sent_at, received), received)
        )  # fmt: skip
        if event.attachments:
            self.attach(interaction, event.attachments, 0)
        if event.media:
            pieces.expect(self.plan, event, interaction, len(event.attachments), self.now)
        if event.external_id is not None:
            self.plan.arrived.append((account.key, event.external_id))
        first = First(interaction, conversation.id, text)
        # On a page or a terminal the customer came to us: "cancel" there is about an order, and nothing is ever pushed.
        if event.automatic or event.sender.startswith(_VISITS):
            return first
        wish = self.setting.wish(event.text)
        if wish == "stop" or (wish == "start" and not shadow):
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
        elif self.autos.any:
            self.autos.consider(event, account, identity, conversation, opened=len(self.plan.opened) > had)
        return first

    def attach(self, interaction: int, files: Sequence[Attachment], position: int) -> None:
        self.rows["interaction_attachments"] += [
            (interaction, number, file.sha256, clean(file.name), clean(file.content_type)[:120], file.size_bytes)
            for number, file in enumerate(files, position)
        ]  # fmt: skip

    def call(self, event: CallEvent) -> First:
        """One interaction a call, whichever of its events comes first; its state only moves forward."""
        account = self.setting.account(event.account)
        said = to_us(event.received_at)
        received = min(said, self.now)
        known = self.known.calls.get((event.account, event.external_id))
        if known is None:
            identity = self.people.identity(event, account.brand, received)
            if said > received:
                received = self.places.when(event, account, identity, said)
            interaction = self.ids()
            conversation = self.places.conversation(
                event, account, identity, interaction, received, automatic=False
            )
            known = self.known.calls[event.account, event.external_id] = Call(
                interaction, conversation.id, identity.id, clean(event.text), _call_json(None, event),
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
        known.text = clean(event.text) or known.text
        known.extra = _call_json(known.extra, event)
        known.attachments += len(event.attachments)
        self.plan.calls[known.id] = (known.text, known.extra, known.attachments)
        conversation = self.known.conversations[known.conversation_id]
        if event.text and conversation.state != "closed":  # what they said on the tape is their word
            owner = self.people.identity(event, account.brand, received)
            self.places.heard(conversation, event, account, owner, known.id, received)
        self.places.touch(conversation)
        return First(known.id)


def timeline(sent: datetime | None, received: int) -> int:
    """Where it stands in the timeline, in microseconds: the provider's time where that is within the day before the
    receipt, else the receipt (a clock of 1970 or 2050 decides nothing)."""
    if sent is not None:
        at = to_us(sent)
        if received - DAY <= at <= received:
            return at
    return received


def _extra_json(event: MessageReceived, sender: Identity, shadow: bool) -> str | None:
    """What else the message said; most say nothing else."""
    # A proved address of somebody, and this time it is not proved to be them.
    claimed = shadow or (sender.verified and not event.verified)
    if not (
        claimed or event.fields or event.language or event.automatic or event.claims or event.thread
    ) and not (event.proof or event.quoted or event.ours):
        return None
    extra: dict[str, Any] = {}
    if claimed:
        extra["claimed"] = True
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
    if event.proof:
        extra["proof"] = clean(event.proof)
    if event.quoted:
        extra["quoted"] = clean(event.quoted)
    if event.participants:
        extra["participants"] = event.participants
    if event.ours:
        extra["ours"] = event.ours
    return compact(extra)


def _call_json(had: str | None, event: CallEvent) -> str:
    """What is known of a call, with this event added."""
    extra: dict[str, Any] = json.loads(had) if had else {}
    call = extra.setdefault("call", {})
    if "state" not in call or _FORWARD[event.state] >= _FORWARD[CallState(call["state"])]:
        call["state"] = event.state.value
    if event.duration_s is not None:
        call["duration_s"] = event.duration_s
    return compact(extra)
