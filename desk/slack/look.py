"""What a card, a thread, a modal and the Home tab show, read from the store: frozen facts, a few statements each.

Drawing them is cards.py's, thread.py's, modals.py's and home.py's, which are pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, union

from crm_store import desk_typed, timeline, views
from crm_store.customers import identities_of
from crm_store.presence import Presence, of
from crm_store.quarantine import WAITING, Held, read_row
from crm_store.schema import (
    configs,
    interaction_changes,
    interactions,
    quarantine,
)
from crm_store.views import Card, Entry, FailedSend, Happening, QueueRow
from desk import health, ways, words
from desk.health import Blocked, Health
from desk.kinds import UNSHOWABLE
from desk.rights import leads
from desk.slack import changes
from desk.slack import thread as draw
from desk.slack.blocks import Post
from desk.slack.names import SURFACE
from hub import configfiles
from hub import urn as urns
from hub.config import Agent, Config
from hub.configrouting import DEFAULT
from hub.errors import ConfigError, NotFound
from hub.limits import Limits
from router.rules import RuleSet

ELSEWHERE = 3  # interactions on other channels that a card shows
CARD_CHARS = 600  # of the customer's words on the card
CARD_LINES = 12
_LOOKED_THROUGH = 200  # of a customer's newest interactions, for those on other channels
THREAD_ITEMS = 500
_HELD = 10  # of the quarantine, on a lead's Home

_n = interactions.c
_x = interaction_changes.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Because:
    """Why it stands in this queue. place: "routing.yaml:41"; empty where the rule is not in the configuration any more.

    moved_by, moved_from, why: set where somebody transferred it here after the rules had spoken.
    """

    rule: str = ""
    place: str = ""
    moved_by: str = ""
    moved_from: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a card shows. Texts and names are the customer's own, as they came; who draws them makes them harmless.

    address: a number or mailbox; an id that says nothing is left out. said: the customer's message that the card
    quotes (`anchor` is its id), None where they never wrote. goal_s: within which its queue means to answer. window:
    until when free text goes the way they came. direct: what the assignee types in the thread goes to the customer.
    """

    card: Card
    name: str
    channel: str
    account: str
    address: str
    queue: str
    assignee: str
    assignee_slack: str | None
    offered: str
    said: Entry | None
    elsewhere: tuple[Entry, ...]
    because: Because
    closed_by: str
    snoozed_by: str
    goal_s: float | None
    direct: bool
    url: str
    window: ways.Window | None = None

    @property
    def anchor(self) -> int | None:
        return self.said.id if self.said else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """What hangs below a card. kind: message, receipt, note, change. ref: unique in its kind: an interaction's id, a
    delivery's, a change's. loud: the assignee should be told."""

    kind: str
    ref: str
    interaction_id: int | None
    delivery_id: int | None
    post: Post
    loud: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AtHome:
    """What an agent's Home tab shows; the last three are a lead's."""

    agent: Agent
    presence: Presence
    mine: tuple[Card, ...]
    failed: tuple[FailedSend, ...]
    waiting: int  # in the agent's own queues
    queues: tuple[QueueRow, ...] = ()
    accounts: tuple[Health, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    quarantined: tuple[Held, ...] = ()
    quarantined_count: int = 0

    @property
    def leads(self) -> bool:
        return leads(self.agent)


def card(
    tx: Connection,
    config: Config,
    rules: RuleSet,
    conversation_id: int,
    now: datetime,
    *,
    anchor: int | None = None,
    desk_url: str = "",
    limits: Mapping[str, Limits] | None = None,
) -> Shown:
    """A conversation's card. Raises NotFound.

    anchor: the interaction that the card quotes, as it was drawn first (`Shown.anchor`), so that it stays while the
    conversation goes on; without it, the first word of the customer's that is not answered, else their last.
    """
    found = views.card(tx, conversation_id)
    events = views.happenings(tx, conversation_id)
    queue = config.queues.get(found.queue)
    assignee = config.agents.get(found.assignee or "")
    quoted = anchor or _unanswered(tx, conversation_id) or found.last_inbound_id
    said = timeline.entries(tx, [quoted]) if quoted else ()
    return Shown(
        card=found,
        name=words.called(found.customer_name, found.urn),
        channel=words.channel(found.account),
        account=words.account(config, found.account),
        address=words.address(found.urn) if urns.scheme(found.urn) in urns.PUBLIC else "",
        queue=words.queue(config, found.queue),
        assignee=words.agent(config, found.assignee) if found.assignee else "",
        assignee_slack=assignee.slack if assignee else None,
        offered=words.agent(config, found.offered_to) if found.offered_to else "",
        said=said[0] if said else None,
        elsewhere=_elsewhere(tx, found),
        because=_because(tx, config, rules, found, events),
        closed_by=_last_by(config, events, "closed"),
        snoozed_by=_last_by(config, events, "snoozed"),
        goal_s=queue.service_within_s if queue else None,
        direct=queue.slack_direct if queue else False,
        url=page(desk_url, found.number),
        window=ways.window(tx, found, config, limits or {}),
    )


def page(desk_url: str, number: int) -> str:
    """A conversation's page in the web desk; empty where nobody said where that is."""
    return f"{desk_url.rstrip('/')}/conversations/{number}" if desk_url else ""


def _unanswered(tx: Connection, conversation_id: int) -> int | None:
    """The first inbound after the last outbound."""
    here = (_n.conversation_id == conversation_id, _n.direction == "out")
    last_out = tx.scalar(select(_n.id).where(*here).order_by(_n.id.desc()).limit(1)) or 0
    query = select(_n.id).where(_n.conversation_id == conversation_id, _n.direction == "in", _n.id > last_out)
    return tx.scalar(query.order_by(_n.id).limit(1))


def _elsewhere(tx: Connection, found: Card) -> tuple[Entry, ...]:
    """What was said last with this customer on other channels, oldest first."""
    known = [identity.id for identity in identities_of(tx, found.customer_id)][:100]
    picks = [
        select(
            select(_n.id, _n.account, _n.direction).where(_n.identity_id == identity)
            .order_by(_n.id.desc()).limit(_LOOKED_THROUGH).subquery()
        )
        for identity in known
    ]  # fmt: skip
    if not picks:
        return ()
    here = urns.channel_of(found.account)
    picked = union(*picks).subquery()
    rows = tx.execute(select(picked).order_by(picked.c.id.desc()).limit(_LOOKED_THROUGH)).all()
    wanted = [row.id for row in rows if row.direction != "note" and urns.channel_of(row.account) != here][
        :ELSEWHERE
    ]
    return tuple(entry for entry in timeline.entries(tx, wanted) if not entry.withdrawn)


def _last_by(config: Config, events: Sequence[Happening], what: str) -> str:
    by = next((event.by for event in reversed(events) if event.what == what), "")
    return words.who(config, by) if by else ""


# ------------------------------------------------------------------------------------------------------ why here


def _because(
    tx: Connection, config: Config, rules: RuleSet, found: Card, events: Sequence[Happening]
) -> Because:
    decided = views.latest_decision(tx, found.conversation_id)
    if decided is not None and decided.outcome.get("queue", found.queue) == found.queue:
        where = place_of(tx, rules, decided.config_hash, decided.rule)
        return Because(rule="" if decided.rule == DEFAULT and not where else decided.rule, place=where)
    moved = next((event for event in reversed(events) if event.what == "transferred"), None)
    if moved is None:
        return Because()
    return Because(
        moved_by=words.who(config, moved.by),
        moved_from=words.queue(config, str(moved.data.get("from", ""))),
        why=moved.why,
    )


_PLACES: dict[
    str, dict[str, str]
] = {}  # configuration's hash -> rule -> place, of the last few that were asked for


def place_of(tx: Connection, rules: RuleSet, config_hash: str, rule: str) -> str:
    """Where a rule stands in the configuration that decided: "routing.yaml:41". Empty where there is none."""
    if config_hash == rules.hash:
        return next((place(one.rule.file, one.rule.line) for one in rules.rules if one.rule.name == rule), "")
    if config_hash not in _PLACES:
        files = tx.scalar(select(configs.c.files).where(configs.c.hash == config_hash).limit(1))
        try:
            old = configfiles.load(json.loads(files)).rules if files else ()
        except ConfigError:  # a newer version of this program may find fault with what an older one took
            old = ()
        if len(_PLACES) > 20:
            _PLACES.clear()
        _PLACES[config_hash] = {one.name: place(one.file, one.line) for one in old}
    return _PLACES[config_hash].get(rule, "")


def place(file: str, line: int) -> str:
    return f"{file.rpartition('/')[2]}:{line}"


# ------------------------------------------------------------------------------------------------------ the thread


def thread(
    tx: Connection,
    config: Config,
    conversation_id: int,
    since_id: int | None = None,
    now: datetime | None = None,
    *,
    thread_id: int | None = None,
    desk_url: str = "",
) -> list[Item]:
    """What should hang below a card, in order.

    since_id: what the card quotes (`Shown.anchor`): the thread goes on from there; that message itself stands in it
    only where the card cannot show all of it: a long text, a form, files. Without it, everything that was said.
    thread_id: the desk_threads row; what agents typed there themselves (desk_posts of kind "typed") is not said twice.
    """
    query = select(_n.id).where(_n.conversation_id == conversation_id, _n.id >= (since_id or 0))
    wanted = list(tx.execute(query.order_by(_n.id.desc()).limit(THREAD_ITEMS)).scalars())
    entries = {entry.id: entry for entry in timeline.entries(tx, wanted)}
    typed = _typed(tx, thread_id)
    dated: list[tuple[int, Item]] = []
    for entry in entries.values():
        url = page(desk_url, entry.number)
        shown = entry.id == since_id and entry.direction == "in" and _fits(entry.text) and not entry.fields
        shown = shown and entry.cites is None and not entry.text.startswith(UNSHOWABLE)
        if shown and not (entry.attachments or entry.expected):
            continue
        item = _item(config, entry, typed, now, url, text=not shown)
        if item is not None:
            dated.append((entry.id, item))
    dated += (
        (row.id, _change(row, entries[row.interaction_id], texts))
        for row, texts in _changes(tx, entries.values())
    )
    return [item for _, item in sorted(dated, key=lambda pair: pair[0])]


def _fits(text: str) -> bool:
    return len(text) <= CARD_CHARS and text.count("\n") < CARD_LINES


def _typed(tx: Connection, thread_id: int | None) -> set[int]:
    """The interactions and deliveries that agents typed in this very thread."""
    return set() if thread_id is None else desk_typed.said_here(tx, SURFACE, thread_id)


def _item(
    config: Config, entry: Entry, typed: set[int], now: datetime | None, url: str, *, text: bool
) -> Item | None:
    mine = entry.id in typed or (entry.delivery is not None and entry.delivery.id in typed)
    if entry.direction == "in":
        return Item(
            kind="message", ref=str(entry.id), interaction_id=entry.id, delivery_id=None,
            post=draw.message(entry, config, url=url, text=text), loud=not entry.automatic,
        )  # fmt: skip
    if entry.direction == "note":
        if mine:
            return None
        post = draw.note(entry, config, url=url)
        return Item(
            kind="note", ref=str(entry.id), interaction_id=entry.id, delivery_id=None, post=post, loud=False
        )
    if entry.delivery is None:
        return None
    return Item(
        kind="receipt", ref=str(entry.delivery.id), interaction_id=entry.id, delivery_id=entry.delivery.id,
        post=draw.receipt(entry, config, now, typed=mine, url=url), loud=draw.needs_somebody(entry.delivery),
    )  # fmt: skip


def _changes(tx: Connection, entries: Iterable[Entry]) -> list[tuple[Row[Any], tuple[str, str]]]:
    """What customers edited, deleted and reacted to, with the text before and after each. What became of a change of
    ours stands in the receipt."""
    known = {entry.id: entry for entry in entries if entry.direction == "in"}
    query = select(interaction_changes).where(_x.interaction_id.in_(sorted(known))).order_by(_x.at, _x.id)
    texts: dict[int, str] = {}
    found = []
    for row in tx.execute(query):
        entry = known[row.interaction_id]
        before = texts.get(entry.id, entry.text if entry.first_text is None else entry.first_text)
        after = row.text if row.change == "edit" else before
        texts[entry.id] = after
        found.append((row, (before, after)))
    return found


def _change(row: Row[Any], entry: Entry, texts: tuple[str, str]) -> Item:
    before, after = texts
    name = words.called(entry.sender_name, entry.urn)
    post = changes.change(row.change, name, before, row.text if row.change == "reaction" else after, row.at)
    return Item(
        kind="change",
        ref=str(row.id),
        interaction_id=row.interaction_id,
        delivery_id=None,
        post=post,
        loud=row.change != "reaction",
    )


# ------------------------------------------------------------------------------------------------------ Home


def home(tx: Connection, config: Config, agent: str, now: datetime) -> AtHome:
    """Raises NotFound for somebody whom the configuration does not know."""
    who = config.agents.get(agent)
    if who is None:
        raise NotFound(f"There is no agent {agent[:40]!r} in the configuration.")
    lead = leads(who)
    rows = views.queue_list(tx, config, now)
    own = [row for row in rows if row.key in who.queues]
    held, waiting = _held(tx) if lead else ((), 0)
    return AtHome(
        agent=who,
        presence=of(tx, agent, now),
        mine=tuple(views.mine(tx, agent)),
        failed=tuple(views.failed_sends(tx, None if lead else agent, now=now)),
        waiting=sum(row.waiting for row in own),
        queues=tuple(rows if lead else own),
        accounts=health.accounts(tx, config, now) if lead else (),
        blocked=health.blocked(tx, now) if lead else (),
        quarantined=held,
        quarantined_count=waiting,
    )


def _held(tx: Connection) -> tuple[tuple[Held, ...], int]:
    """The newest that wait, and how many do."""
    q = quarantine.c
    newest = select(quarantine).where(q.state == WAITING).order_by(q.id.desc()).limit(_HELD)
    number = tx.scalar(select(func.count()).where(q.state == WAITING)) or 0
    return tuple(read_row(row) for row in tx.execute(newest)), number
