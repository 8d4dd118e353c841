"""What the desk calls things. Tables: the store's word on the left, what a person reads on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_store.cards import Card
from crm_store.media import Expected
from crm_store.revisions import Revision
from crm_store.timeline import Attached
from hub.config import Config
from hub.urn import PUBLIC, channel_of, display, scheme

STATES = {
    "waiting": "waiting",
    "offered": "offered",
    "open": "open",
    "pending": "customer's turn",
    "snoozed": "snoozed",
    "closed": "closed",
}

# A delivery's state: (word, what it means for the agent, tone of its colour).
DELIVERIES: dict[str, tuple[str, str, str]] = {
    "held": ("Goes out in a moment", "It can still be undone.", "wait"),
    "queued": ("On its way", "It waits for its turn on this channel.", "wait"),
    "sending": ("Sending", "The provider is being handed it right now.", "wait"),
    "sent": ("Sent", "The provider has taken it.", "good"),
    "delivered": ("Delivered", "It reached the customer's device or mailbox.", "good"),
    "read": ("Read", "The customer has opened it.", "good"),
    "failed": ("Not sent", "The customer has not got this.", "bad"),
    "cancelled": ("Undone", "It never went out.", "quiet"),
    "opted_out": ("Not sent", "The customer has asked not to be written to here.", "bad"),
    "unknown": (
        "Perhaps sent",
        "The provider did not answer in time. Nothing is sent again unless you say so.",
        "bad",
    ),
}

# hub.errors.SendCode, and what an agent can do about each.
CODES = {
    "channel_config": "This channel is not set up rightly. A supervisor has to mend it; then try again.",
    "message_invalid": "The channel does not take this message: too long, empty, a file that it does not "
    "allow, or an approved text that it does not know. Write it differently.",
    "connection_failed": "The provider could not be reached. Trying again may help.",
    "throttled": "The provider asks us to go slower.",
    "response_status": "The provider answered with an error.",
    "response_content": "The provider answered something that cannot be understood.",
    "rejected": "The provider refuses this message or this address for good. Use another channel.",
    "opted_out": "The customer has stopped messages on this channel. Use another, if they allow it.",
    "window_closed": "This channel allows answers only for a while after the customer's last word, and that is over. "
    "Use another channel, or an approved text.",
    "unknown": "Nobody can say whether it was sent.",
    "tried_again": "The provider says that it did not arrive; it is sent once more.",
    "customer_wrote": "The customer wrote while you were writing. Read it, then decide whether this still fits.",
}

# conversation_events.what; {…} are filled from its data, agents and queues by their titles.
EVENTS = {
    "routed": "put into {queue}",
    "queued": "put into {queue}",
    "offered": "offered to {to}",
    "declined": "did not take it",
    "offer_expired": "the offer to {to} ran out",
    "begun": "began it, in {queue}",
    "claimed": "claimed it",
    "released": "put it back into the queue",
    "transferred": "transferred it from {from} to {to}",
    "requeued": "moved it from {from} to {to}",
    "snoozed": "snoozed it",
    "woken": "woke up again",
    "customer_replied": "wrote back",
    "closed": "closed it",
    "reopened": "opened it again",
    "priority": "priority {from} → {to}",
    "tagged": "changed the tags",
    "asked_for": "noted that they asked to be answered by {to}",
    "not_asked_for": "noted that they may be answered by any channel",
    "answered": "answered",
    "merged": "customers merged",
    "unmerged": "merge undone",
    "reply_undone": "took a reply back",
    "reply_revised": "changed a reply that had gone out",
    "reply_withdrawn": "took back a reply that had gone out",
    "revision_failed": "could not change a reply that had gone out",
    "linked": "answers words of another conversation, #{to}",
    "copy_failed": "a copy to {to} did not arrive",
}
# Said by the messages themselves; repeating them would only be noise in the history.
UNSHOWN = frozenset(("opened", "answered", "reply_held", "file_came", "file_missing"))

# What can be chosen: minutes to snooze for, and what becomes of a conversation after a reply (desk/replying.Then).
SNOOZES = {
    "30": "half an hour",
    "60": "an hour",
    "180": "3 hours",
    "1440": "a day",
    "4320": "3 days",
    "10080": "a week",
}
THEN = {"leave": "keep it open", "wait": "wait for the customer", "close": "close it"}

PRESENCE = {
    "available": "Available",
    "busy": "Busy",
    "away": "Away",
    "offline": "Offline",
}

# What a mail's proof (hub.model.MessageReceived.proof) holds -> what an agent reads. The first that fits.
PROOFS = {
    "token=pass": "proved by our own reply address",
    "dmarc=pass": "proved by DMARC",
    "aligned=pass": "proved by its own domain (DKIM or SPF)",
}
NOT_PROVED = "not proved"

TROUBLE = {"dead": "does not exist any more", "full": "mailbox is full", "blocked": "has blocked us"}

QUARANTINE = {
    "unreadable": "Nobody here can read it",
    "poison": "It failed again and again while being stored",
    "newer": "A newer version wrote it",
}

# ?done=… after a redirect: the sentence to show.
DONE = {
    "claimed": "It is yours.",
    "released": "It is back in its queue.",
    "replied": "Your reply goes out in a moment.",
    "asked": "The customer wrote meanwhile: your reply waits until you say so.",
    "undone": "Your reply was taken back. Its text is below.",
    "confirmed": "It goes out now.",
    "noted": "Note kept. Customers never see notes.",
    "transferred": "Transferred.",
    "snoozed": "Snoozed.",
    "closed": "Closed.",
    "reopened": "Open again.",
    "declined": "It goes to somebody else.",
    "retried": "It is being sent again.",
    "resolved": "Settled.",
    "merged": "Merged. Both histories stand in one record now.",
    "unmerged": "The merge was undone; every message is with its true owner again.",
    "refused": "Noted: not the same person.",
    "replayed": "It was given to the router again.",
    "dropped": "Set aside for good.",
    "presence": "Noted.",
    "password": "Your password is set. Other browsers were logged out.",
    "empty": "Nobody is waiting in your queues.",
    "tagged": "Tags changed.",
    "changed": "Saved.",
    "wished": "Noted.",
    "rewritten": "Changed. It had not gone out yet, so nobody has seen the first words.",
    "revised": "The customer gets the new words in a moment.",
    "same": "It reads so already.",
    "withdrawn": "It is being taken back.",
    "gone": "It was taken back already.",
    "removed": "The note was removed.",
}

# A revision (crm_store/revisions.py) by (what, its state): (word, what it means, tone).
REVISIONS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("edit", "queued"): ("Being changed", "The customer still sees the first text.", "wait"),
    ("edit", "sending"): ("Being changed", "The customer may see the new text already.", "wait"),
    ("edit", "done"): ("Changed", "The customer sees the new text.", "good"),
    ("edit", "failed"): ("Not changed", "The customer still sees the first text.", "bad"),
    ("delete", "queued"): ("Being taken back", "The customer still sees it.", "wait"),
    ("delete", "sending"): ("Being taken back", "It may be gone already.", "wait"),
    ("delete", "done"): ("Taken back", "The customer does not see it any more.", "good"),
    ("delete", "failed"): ("Not taken back", "The customer still sees it.", "bad"),
}

CHANNELS = {
    "webchat": "web chat",
    "console": "console",
    "webhook": "webhook",
    "mail": "mail",
    "email": "mail",
    "sms": "SMS",
    "sms_twilio": "SMS",
    "whatsapp": "WhatsApp",
    "whatsapp_twilio": "WhatsApp",
    "voice_twilio": "voice",
    "telegram": "Telegram",
    "messenger": "Messenger",
    "instagram": "Instagram",
    "slack": "Slack",
}


def span(seconds: float) -> str:
    """A length of time in two words at most: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def channel(account: str) -> str:
    """`web chat` for `webchat/main`."""
    connector = channel_of(account)
    return CHANNELS.get(connector, connector.replace("_", " "))


def account(config: Config, key: str) -> str:
    """An account's title, or its key where the configuration no longer has it."""
    known = config.accounts.get(key)
    return known.title if known else key


def address(urn: str) -> str:
    """A number or a mail address; of an id that says nothing to people its beginning, to tell it from another."""
    return display(urn) if scheme(urn) in PUBLIC else display(urn)[:8]


def called(name: str, urn: str) -> str:
    """A person's name; without one, their address, or for an id that says nothing, their channel with it."""
    kind = scheme(urn)
    return name or (address(urn) if kind in PUBLIC else f"{CHANNELS.get(kind, kind)} {address(urn)}")


def queue(config: Config, key: str) -> str:
    known = config.queues.get(key)
    return known.title if known else key


def agent(config: Config, key: str | None) -> str:
    if not key:
        return "nobody"
    known = config.agents.get(key)
    return known.name if known else key


def who(config: Config, by: str, customer: str = "the customer") -> str:
    """An actor (`agent:bo`, `customer`, `rule:vip`, `system`) as a person reads it."""
    kind, _, key = by.partition(":")
    if kind == "agent":
        return agent(config, key)
    if kind == "rule":
        return f"the rule “{key}”"
    return {"customer": customer, "system": "Mainstem"}.get(kind, by)


def event(config: Config, what: str, data: Mapping[str, Any]) -> str:
    """What happened, with the names of queues and agents in it."""
    known = {**dict.fromkeys(("queue", "to", "from"), "?"), **data}

    def title(value: Any) -> str:
        text = str(value)
        if text in config.queues:
            return queue(config, text)
        return agent(config, text) if text in config.agents else text

    words = EVENTS.get(what, what.replace("_", " "))
    for name, value in known.items():
        words = words.replace("{" + str(name) + "}", title(value))
    if what == "transferred" and data.get("agent"):
        words += f", for {agent(config, str(data['agent']))}"
    if what == "closed" and data.get("disposition"):
        words += f" ({data['disposition']})"
    return words


def revision(one: Revision) -> tuple[str, str, str]:
    """(word, what it means for the agent, tone). Nobody knows the end of one that was given up as unknown."""
    word, meaning, tone = REVISIONS.get((one.change, one.state), ("", "", ""))
    if one.state == "failed" and one.code == "unknown":
        meaning = "Nobody can say whether the customer sees it."
    return word, meaning, tone


def delivery_code(code: str | None) -> str:
    return CODES.get(code or "", "")


def is_mail(account: str) -> bool:
    return account.startswith("mail/")


def proved(proof: str) -> str:
    """What proves that a mail came from its sender's address; empty where nothing does."""
    if ("," in proof or ":" in proof) and not proof.startswith("token=pass"):
        return ""  # with a "but" behind it (connectors/mail/auth.py)
    parts = proof.split()
    return next((said for part, said in PROOFS.items() if part in parts), "")


_FILES = {
    "image": "A picture",
    "video": "A film",
    "audio": "A recording",
    "voice": "A voice message",
    "sticker": "A sticker",
}


def preview(card: Card) -> str:
    """A conversation in one line: their last words, else the subject, else what they sent instead."""
    return card.preview or card.subject or files(card.files, card.expected) or "No text"


def files(attached: Sequence[Attached], expected: Sequence[Expected]) -> str:
    """A message that is only files, in words; "" where there are none."""
    sent = [(file.content_type.partition("/")[0], file.name) for file in attached]
    sent += [(file.kind, file.name) for file in expected]
    if not sent:
        return ""
    what = _FILES.get(sent[0][0], "A file") if len(sent) == 1 else f"{len(sent)} files"
    names = ", ".join(name for _, name in sent if name)
    return f"{what}: {names}" if names else what


def missing(file: Expected) -> str:
    """A customer's file that is not here, and why."""
    what = _FILES.get(file.kind, "A file")
    if file.state == "refused":
        return f"{what} was kept out. {file.why}"
    if not file.coming:
        return f"{what} never came. {file.why}"
    return (
        f"{what} has not come yet and is asked for again. {file.why}"
        if file.why
        else f"{what} is on its way."
    )
