"""Modals that are only read: why a conversation stands here, a customer's history, what a search found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from crm_store.timeline import Entry
from crm_store.views import Card, ConversationView, Decided, Happening, Hits
from desk import words
from desk.kinds import kind_of
from desk.slack import names
from desk.slack.blocks import (
    VIEW_BLOCKS,
    Block,
    View,
    button,
    context,
    cut,
    divider,
    header,
    leaf,
    modal,
    plain,
    quoted,
    rich,
    section,
)
from desk.slack.blocks import words as say
from desk.slack.look import Shown, place
from desk.slack.text import ago, escape, line, shown, when
from desk.slack.thread import carried, cites, files, seen
from hub.config import Config
from router.explain import Applied, Explanation, NearMiss, Seen

ENTRIES = 30  # of a history at once
ENTRY_BYTES = 1500
HITS = 20
_CONDITIONS = 40  # of one rule
_DEPTH = 4


# ------------------------------------------------------------------------------------------------------ why here


def why(
    shown_: Shown,
    config: Config,
    decided: Decided | None,
    told: Explanation | None,
    same_rules: bool,
    *,
    meta: str = "",
) -> View:
    """The rule's path, what each condition saw, what nearly matched. told None: it cannot be explained here."""
    blocks: list[Block] = [rich(say(leaf(line(shown_.name, 80), "bold"), leaf(f"  #{shown_.card.number}")))]
    if decided is None:
        blocks.append(section("No rule has seen it."))
    elif told is None:
        blocks.append(section("A newer version decided this one; it cannot be explained here."))
    else:
        if not same_rules:
            blocks.append(
                context(":warning: The rules that decided are gone. This is what today's rules would do.")
            )
        blocks += _explained(told, config)
        if shown_.card.queue != told.decision.queue:
            blocks.append(context(f"Since then it was taken to {escape(shown_.queue)}."))
        blocks.append(context(f"Decided {when(decided.at)}"))
    return modal(names.WHY_VIEW, "Why here?", blocks, meta, close="Close")


def _explained(told: Explanation, config: Config) -> list[Block]:
    decision = told.decision
    blocks: list[Block] = [
        section(
            f"Queue *{escape(words.queue(config, decision.queue))}*, priority *{escape(decision.priority)}*"
        )
    ]
    if decision.tags or decision.skills:
        parts = [f"tags {', '.join(decision.tags)}"] if decision.tags else []
        parts += [f"needs {', '.join(decision.skills)}"] if decision.skills else []
        blocks.append(context(plain(" · ".join(parts), 500)))
    blocks.append(header("The rule that decided"))
    if told.decided is None:
        queue = escape(words.queue(config, decision.queue))
        blocks.append(section(f"No rule that names a queue matched, so the default decided: *{queue}*."))
    else:
        blocks += _rule(told.decided, told.decided.seen)
    for title, rules in (
        ("Rules that adjusted it on the way", told.adjusted[:8]),
        ("Nearly: one condition was missing", told.near[:8]),
        ("Would match too, but stand further down", told.overtaken[:8]),
    ):
        if rules:
            blocks.append(header(title))
            for rule in rules:
                blocks += _rule(rule, (rule.failed,) if isinstance(rule, NearMiss) else rule.seen)
    return blocks


def _rule(rule: Applied | NearMiss, seen_: Sequence[Seen]) -> list[Block]:
    """Its name, its place, what it gives, what its conditions saw."""
    leaves = [leaf(line(rule.rule, 80), "bold"), leaf("  "), leaf(place(rule.file, rule.line), "code")]
    if rule.gave:
        leaves.append(leaf(f"  {line(', '.join(rule.gave), 200)}"))
    told = list(_conditions(seen_))[:_CONDITIONS] or [leaf("always")]
    return [rich(say(*leaves)), rich(quoted(*told))]


def _conditions(seen_: Sequence[Seen], depth: int = 0) -> Iterable[Block]:
    for one in seen_:
        mark = "✓" if one.held else "✗"
        yield leaf(
            f"{'    ' * depth}{mark} {line(one.wanted, 200)}: saw {line(one.saw, 200)} (line {one.line})\n"
        )
        if depth < _DEPTH:
            yield from _conditions(one.parts, depth + 1)


# ------------------------------------------------------------------------------------------------------ history


def history(
    shown_: Shown, view: ConversationView, config: Config, *, meta: str = "", desk_url: str = ""
) -> View:
    """What was said with this customer on every channel, and what happened here; the newest at the end."""
    blocks: list[Block] = [
        rich(say(leaf(line(shown_.name, 80), "bold"), leaf(f"  {_known(view)}"))),
        context(plain(_addresses(view), 1000)),
    ]
    lines: list[tuple[datetime, int, Entry | Happening]] = [(e.at, 0, e) for e in view.history.entries]
    lines += [(e.at, 1, e) for e in view.events if e.what not in words.UNSHOWN]
    lines.sort(key=lambda one: one[:2])
    cut_off = len(lines) > ENTRIES or view.history.before is not None
    if cut_off:
        url = f"{desk_url.rstrip('/')}/conversations/{shown_.card.number}" if desk_url else ""
        blocks.append(
            context(f"<{url}|Earlier: in the web desk>" if url else "What was earlier is in the web desk.")
        )
    number = None
    for _, _, one in lines[-ENTRIES:]:
        current = one.number if isinstance(one, Entry) else shown_.card.number
        if current != number and (number is not None or current != shown_.card.number):
            blocks += [
                divider(),
                context(f"here, *#{current}*" if current == shown_.card.number else f"*#{current}*"),
            ]
        number = current
        blocks += _said(one, config) if isinstance(one, Entry) else [_happened(one, config, shown_.name)]
    if not lines:
        blocks.append(context("_Nothing was said yet._"))
    # The head and the newest: what does not fit goes from the middle.
    blocks = blocks[:3] + blocks[3:][-(VIEW_BLOCKS - 3) :]
    return modal(names.HISTORY_VIEW, "History", blocks, meta, close="Close")


def _known(view: ConversationView) -> str:
    one = view.customer
    return " · ".join(part for part in (one.stage, line(one.tier or "", 40), one.language or "") if part)


def _addresses(view: ConversationView) -> str:
    return " · ".join(
        f"{line(words.called('', one.urn), 60)} ({'verified' if one.verified else 'claimed'}"
        f"{', opted out' if one.opted_out else ''})"
        for one in view.identities[:10]
    )


def _said(entry: Entry, config: Config) -> list[Block]:
    who = (
        words.called(entry.sender_name, entry.urn) if entry.direction == "in" else words.who(config, entry.by)
    )
    small = (
        [escape(words.channel(entry.account)), when(entry.at)]
        if entry.direction != "note"
        else [when(entry.at)]
    )
    if entry.direction == "note":
        who = f"Note by {who}"
    if entry.withdrawn:
        small.append("taken back")
    elif entry.delivery is not None:
        asks = entry.delivery.asks
        small.append("waits for a word" if asks else words.DELIVERIES[entry.delivery.state][0].lower())
    small += ["tapped"] if kind_of(entry).tapped else []
    small += carried(entry.delivery) if entry.delivery is not None else []
    small += ["edited"] if entry.first_text is not None else []
    small += [f"<{kind_of(entry).map}|on the map>"] if kind_of(entry).map else []
    small += ["deleted"] if entry.deleted else []
    style = ("strike",) if entry.deleted or entry.withdrawn else ()
    leaves = [leaf(f"{line(entry.subject, 200)}\n", "bold")] if entry.subject else []
    silent = "A file." if entry.attachments or entry.expected else "No text."
    leaves.append(leaf(cut(shown(entry.text), ENTRY_BYTES) if seen(entry.text) else silent, *style))
    return [
        context(plain(line(who, 80)), " · ".join(small)),
        *([cites(entry.cites)] if entry.cites is not None else []),
        rich(quoted(*leaves)),
        *files(entry),
    ]


def _happened(event: Happening, config: Config, name: str) -> Block:
    told = f"{words.who(config, event.by, name)} {words.event(config, event.what, event.data)}"
    told += f": “{line(event.why, 200)}”" if event.why else ""
    return context(plain(line(told, 400)), when(event.at))


# ------------------------------------------------------------------------------------------------------ a search


def found(
    query: str, hits: Hits, config: Config, *, meta: str = "", links: Mapping[int, str] | None = None
) -> View:
    """What a search found. links: conversation id -> where its card is in Slack."""
    blocks: list[Block] = [context(plain(f"“{line(query, 100)}”"))]
    for one in hits.conversations[:HITS]:
        blocks += row(one, config, (links or {}).get(one.conversation_id))
    if hits.customers:
        blocks.append(header("People"))
        for hit in hits.customers[:HITS]:
            at = ", ".join(line(words.called("", urn), 60) for urn in hit.urns)
            name = line(hit.customer.name or "nameless", 80)
            blocks.append(rich(say(leaf(name, "bold"), leaf(f"  {at}"))))
    if not hits.conversations and not hits.customers:
        blocks.append(section("Nothing was found."))
    return modal(names.FOUND_VIEW, "Found", blocks, meta, close="Close")


def row(one: Card, config: Config, link: str | None = None) -> list[Block]:
    """A conversation in a list: who, what they said last, where it stands; with a button that opens it."""
    leaves = [leaf(line(words.called(one.customer_name, one.urn), 60), "bold"), leaf("  ")]
    number = f"#{one.number}"
    leaves.append({"type": "link", "url": link, "text": number} if link else leaf(number))
    if one.customer_tier:
        leaves += [leaf("  "), leaf(line(one.customer_tier, 20), "code")]
    leaves.append(leaf(f"\n{line(words.preview(one), 140)}"))
    state = [] if one.state == "waiting" else [words.STATES[one.state]]
    small = [
        *state,
        escape(words.queue(config, one.queue)),
        escape(words.channel(one.account)),
    ]
    if one.state in ("waiting", "offered") and one.waiting_since:
        small.append(f"waiting · {ago(one.waiting_since)}")
    elif one.waiting_since and one.state != "closed":
        small.append(f"unanswered · {ago(one.waiting_since)}")
    elif one.state == "snoozed" and one.snoozed_until:
        small.append(f"until {when(one.snoozed_until)}")
    else:
        small.append(ago(one.last_at))
    small += [":warning: *not sent*"] if one.failed else []
    open_ = button("Open", names.HOME_OPEN, str(one.conversation_id))
    return [rich(say(*leaves)), section(" · ".join(small), open_)]
