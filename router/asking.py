"""What the store is asked for before a batch can be decided: only twice, however many events there are. Pure.

`keys` says what to look up; with that known, `homes` and the others say which conversations these people may be in.
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_store.batch_plan import Keys, Known
from hub import urn as urns
from hub.config import ConversationPolicy
from hub.model import CallEvent, Entry, MessageReceived
from router import pieces, threads
from router.places import home_of, thread_of
from router.setting import Setting
from router.threads import MAIL

_FROM_SOMEBODY = (MessageReceived, CallEvent)  # written as `A | B` in the loop, it is made anew each time


def keys(entries: Sequence[Entry], setting: Setting) -> Keys:
    """What the store must be asked for before anything can be decided."""
    wanted = Keys()
    for entry in entries:
        event = entry.event
        wanted.seqs.append((entry.producer, entry.seq))
        wanted.events.append((event.account, event.event_key))
        if isinstance(event, MessageReceived):
            account = setting.account(event.account)
            brand = account.brand
            wanted.urns.append((brand, event.sender))
            if account.connector == MAIL:
                threads.keys(event, account, setting.mailboxes, wanted)
            if event.claims:
                wanted.urns += [(brand, urn) for urn in event.claims]
            if event.album:
                wanted.albums.append((event.account, pieces.key_of(event)))
        elif isinstance(event, CallEvent):
            wanted.urns.append((setting.account(event.account).brand, event.sender))
            wanted.calls.append((event.account, event.external_id))
    return wanted


def homes(known: Known, entries: Sequence[Entry], setting: Setting) -> list[str]:
    """The slots in which the conversations of these entries may stand already. None for who is new here."""
    out: list[str] = []
    for entry in entries:
        event = entry.event
        if not isinstance(event, _FROM_SOMEBODY):
            continue
        account = setting.account(event.account)
        identity = known.identities.get((account.brand, event.sender))
        thread = thread_of(event, account)
        if identity is not None or (thread and account.policy is ConversationPolicy.THREAD):
            out.append(home_of(account, identity, thread))
        if account.connector == MAIL and (
            unproved := known.identities.get((account.brand, urns.unproved(event.sender)))
        ):
            out.append(home_of(account, unproved, thread))
    return out


def claimed(known: Known, wanted: Keys) -> set[int]:
    """The customers whose addresses stand in mails that nobody vouches for."""
    found = (known.identities.get(key) for key in wanted.threads.unproved)
    return {identity.customer_id for identity in found if identity is not None}


def answered(known: Known, wanted: Keys) -> set[int]:
    """The conversations that mails may answer."""
    return wanted.threads.conversations.union(*known.threads.names.values())


def away(known: Known, wanted: Keys, homes: Sequence[str]) -> set[str]:
    """Slots to be asked for too: those of closed conversations that mails answer, where another may stand by now."""
    found = set()
    for conversation_id in answered(known, wanted):
        conversation = known.conversations.get(conversation_id)
        if conversation is None or conversation.slot is not None or conversation.home is None:
            continue
        if conversation.home not in homes:
            found.add(conversation.home)
            known.homes.pop(conversation.home, None)
    return found
