"""What a customer's word does to a conversation, state by state. Pure: it changes the conversation it is given.

    closed    reopened within the account's time: waiting again, ranked from now; later, another one is opened
    waiting   stays; the rules run again (`rule_again`)
    offered   stays offered, in its place
    open      stays; if nothing was unanswered, somebody waits from now on
    pending   the agent who has it has the turn: open; with nobody, waiting
    snoozed   wakes: open with the agent who has it; with nobody, waiting, ranked from the waking

What a machine sent (`automatic`) is added and changes nothing of this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from typing import Any

from crm_store.batch_plan import Conversation
from hub.configrouting import DEFAULT
from router.rules import Decision

Log = Callable[..., None]  # (conversation id, what, by, **data)
SECOND = 1_000_000


def reopens(conversation: Conversation, at: int, within_s: float) -> bool:
    """Does a word at `at` (microseconds) come soon enough after the closing?"""
    return at - (conversation.closed_at or 0) <= within_s * SECOND


def hear(conversation: Conversation, at: int, log: Log) -> bool:
    """A word at `at` in a conversation that has one before. True: it waits now, so the rules run."""
    state = conversation.state
    if state == "closed":
        _reopen(conversation, at, log)
        return True
    if conversation.waiting_since is None or at < conversation.waiting_since:
        conversation.waiting_since = at
        conversation.touched = 2
        _rank_no_later(conversation, at)
    if state in ("waiting", "offered", "open"):
        return state == "waiting"
    conversation.touched = 2
    conversation.snoozed_until = None
    conversation.state = "open" if conversation.assignee else "waiting"
    what = "woken" if state == "snoozed" else "customer_replied"
    log(conversation.id, what, "customer", state=conversation.state)
    if conversation.state == "waiting":
        _rank(conversation, at)
        return True
    return False


def _reopen(conversation: Conversation, at: int, log: Log) -> None:
    conversation.touched = 2
    conversation.state = "waiting"
    conversation.slot = conversation.home
    conversation.closed_at = conversation.disposition = conversation.assignee = None
    conversation.snoozed_until = None
    conversation.waiting_since = at
    conversation.ruled_queue = conversation.ruled_priority = None
    _rank(conversation, at)
    log(conversation.id, "reopened", "customer")


def rule_first(conversation: Conversation, decision: Decision, queues: Container[str]) -> None:
    """The rules' word on a conversation that opens or reopens: it is placed as they say. One that reopens with words
    that no rule knows ("thanks!") goes to the queue that had it, if there is one of that name still."""
    if decision.rule != DEFAULT or conversation.queue not in queues:
        conversation.queue = decision.queue
    conversation.ruled_queue = conversation.queue
    conversation.priority = conversation.ruled_priority = decision.priority
    conversation.head_start_s = decision.head_start_s
    conversation.tags = _with(conversation.tags, decision.tags)
    conversation.skills = _list(decision.skills)
    conversation.touched = 2
    if conversation.waiting_since is not None:
        _rank(conversation, conversation.waiting_since)


def rule_again(conversation: Conversation, decision: Decision, log: Log) -> None:
    """The rules' word when the customer wrote on while waiting. It only adds to what is known already:

    the default moves nothing ("and hurry, please" does not say that the matter is another one); what a person moved
    or ranked by hand stays where they put it; and nobody loses their place by writing again.
    """
    if decision.rule != DEFAULT and decision.queue != conversation.ruled_queue:
        if conversation.queue == conversation.ruled_queue:
            moved = {"from": conversation.queue, "to": decision.queue}
            log(conversation.id, "requeued", f"rule:{decision.rule}", **moved)
            conversation.queue = decision.queue
            conversation.skills = _list(decision.skills)
        conversation.ruled_queue = decision.queue
        conversation.touched = 2
    if decision.priority != conversation.ruled_priority and decision.head_start_s > conversation.head_start_s:
        raised = {"from": conversation.priority, "to": decision.priority}
        log(conversation.id, "priority", f"rule:{decision.rule}", **raised)
        conversation.priority = conversation.ruled_priority = decision.priority
        conversation.head_start_s = decision.head_start_s
        conversation.touched = 2
        _rank_no_later(conversation, conversation.waiting_since or 0)
    if decision.tags:
        tags = _with(conversation.tags, decision.tags)
        if tags != conversation.tags:
            conversation.tags = tags
            conversation.touched = 2


def _rank(conversation: Conversation, since: int) -> None:
    conversation.rank_at = since - int(conversation.head_start_s * SECOND)


def _rank_no_later(conversation: Conversation, since: int) -> None:
    """A place that it has (handed on or given back with nothing unanswered, it stands there from that moment) is not
    lost by the customer's next word."""
    had = conversation.rank_at
    if had is not None:
        _rank(conversation, since)
        conversation.rank_at = min(had, conversation.rank_at or had)


def _list(words: tuple[str, ...]) -> str:
    return json.dumps(sorted(words), ensure_ascii=False) if words else "[]"


def _with(tags: str, more: tuple[str, ...]) -> str:
    if not more:
        return tags
    has: set[Any] = set(json.loads(tags))
    return tags if has.issuperset(more) else json.dumps(sorted(has.union(more)), ensure_ascii=False)
