"""`/hub …`: what an agent can say in any channel. Answers are seen by who asked alone.

https://docs.slack.dev/interactivity/implementing-slash-commands
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from sqlalchemy import Connection

from crm_store import views
from crm_store.views import Card, Hits, QueueRow
from desk import words
from desk.rights import sees
from desk.slack import blocks, conversation, home_actions, modals, names, reading
from desk.slack.blocks import Block
from desk.slack.context import SlackDesk
from desk.slack.press import DEADLINE_S, Press, agent_of, in_time, paragraph, sentence
from desk.slack.text import escape, line, unescape, when
from hub import log
from hub.errors import MainstemError, NotFound, Refused

_FOUND_CHARS = 200
_SHOWN = 10
_LONGEST = timedelta(days=31)
_SPAN = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)\s*([a-z]*)")
_UNITS = {
    "": 1, "m": 1, "min": 1, "mins": 1, "minute": 1, "minutes": 1,
    "h": 60, "hr": 60, "hrs": 60, "hour": 60, "hours": 60,
    "d": 1440, "day": 1440, "days": 1440,
}  # fmt: skip
_log = log.get("slack")

HELP = (
    "`/hub next`  the conversation that waits longest in your queues becomes yours\n"
    "`/hub away 30m`  away for that long; also `here`, `busy 1h`, `offline`\n"
    "`/hub find ann`  search conversations and people: names, addresses, numbers, words\n"
    "`/hub new +15551234567`  begin a conversation\n"
    "`/hub queue`  who waits in your queues; `/hub queue billing` lists them\n"
    "`/hub why 1042`  why a conversation stands where it stands\n"
    "In a thread: the menu of a message has *Send to customer*, *Make internal* and *Why here?*"
)

Answer = dict[str, Any]
Command = Callable[[Press, str], Awaitable[Answer | None]]


def answered(*shown: Block, text: str) -> Answer:
    """text: for notifications and screen readers, escaped."""
    return {"response_type": "ephemeral", "text": text, "blocks": list(shown)}


def told(text: str) -> Answer:
    """One sentence in which Slack reads no markup."""
    return answered(paragraph(text), text=escape(text))


async def run(desk: SlackDesk, ack: AsyncAck, body: Mapping[str, Any], began: float) -> None:
    """One command: answered within Slack's three seconds, with what was done or why not."""
    word, _, rest = unescape(str(body.get("text") or "")).strip().partition(" ")
    work = COMMANDS.get(word.lower() or "help")
    try:
        agent = await in_time(agent_of(desk, body), DEADLINE_S)
        if work is None:
            answer: Answer | None = _help(f"There is no “/hub {line(word, 40)}”.")
        else:
            answer = await work(
                Press(desk=desk, agent=agent, body=body, ack=ack, value=word, began=began), rest.strip()
            )
    except MainstemError as error:
        _log.info("command_refused", command=word[:20], why=type(error).__name__)
        answer = told(sentence(error))
    await (ack(answer) if answer else ack())


# -------------------------------------------------------------------------------------------------------- commands


async def next_one(press: Press, _: str) -> Answer:
    taken = await press.do(press.desk.actions.next, press.agent.key)
    if taken is None:
        return told(words.DONE["empty"])

    def read(tx: Connection) -> tuple[Card, dict[int, tuple[str, str]]]:
        return views.card(tx, taken), home_actions.places(tx, [taken])

    card, places = await press.look(read)
    link = (await home_actions.links_to(press.desk, places)).get(taken)
    name = words.called(card.customer_name, card.urn)
    ref = str(taken)
    return answered(
        blocks.section(f"*#{card.number} is yours.*"),
        *reading.row(card, press.desk.config(), link),
        blocks.actions(
            blocks.button("Reply", names.REPLY, ref, "primary"),
            blocks.button("Put it back", names.RELEASE, ref),
        ),
        text=f"#{card.number} is yours: {escape(line(name, 60))}",
    )


def duration(text: str) -> timedelta | None:
    """`30m`, `1h30m`, `2 hours`, `90` (minutes), `1.5h`; None where nothing was said. Raises Refused."""
    text = text.lower().removeprefix("for ").strip()
    if not text:
        return None
    minutes, at = 0.0, 0
    for found in _SPAN.finditer(text):
        if text[at : found.start()].strip(" ,") not in ("", "and") or found[2] not in _UNITS:
            break
        minutes += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if at != len(text) or not 0 < minutes <= _LONGEST.total_seconds() / 60:
        raise Refused(f"“{line(text, 40)}” is no length of time: say 30m, 2h, 1h30m or 1d, at most 31 days.")
    return timedelta(minutes=minutes)


_STATUSES = {
    "away": "away",
    "busy": "busy",
    "here": "available",
    "available": "available",
    "offline": "offline",
}


async def status(press: Press, rest: str) -> Answer:
    """`away 30m`: says until when, in the reader's own time zone."""
    wanted = _STATUSES[press.value.lower()]
    lasts = duration(rest)
    until = press.desk.clock() + lasts if lasts else None
    await press.do(press.desk.actions.set_presence, press.agent.key, wanted, until)
    title = words.PRESENCE[wanted]
    if until is None:
        return told(f"You are {title.lower()}, until you say otherwise.")
    then = {"available": "offline"}.get(wanted, "available")
    at = when(until)
    return answered(
        blocks.section(f"You are *{title.lower()}* until {at}, and {then} from then on."),
        text=f"You are {title.lower()} until {at}.",
    )


async def find(press: Press, rest: str) -> Answer | None:
    """What an agent may see, in a modal."""
    query = " ".join(rest.replace("\x00", "").split())
    if not query:
        raise Refused("Say what to look for: /hub find ann, /hub find 1042, /hub find broken invoice.")
    if len(query) > _FOUND_CHARS:
        raise Refused(f"At most {_FOUND_CHARS} characters can be searched for.")
    hits, places = await press.look(lambda tx: _seen(tx, press, query))
    links = await home_actions.links_to(press.desk, places)
    await press.open(modals.found(query, hits, press.desk.config(), links=links))
    return None


def _seen(tx: Connection, press: Press, query: str) -> tuple[Hits, dict[int, tuple[str, str]]]:
    """The hits that this agent may see, and where their cards are."""
    hits = views.search(tx, query, sees=sees(press.agent))
    return hits, home_actions.places(tx, [card.conversation_id for card in hits.conversations])


async def new(press: Press, rest: str) -> None:
    await press.show(lambda: conversation.new_view(press.desk, press.agent, rest))


async def queue(press: Press, rest: str) -> Answer:
    """How the agent's queues stand; with a name, who waits in it."""
    config, now = press.desk.config(), press.desk.clock()
    rows = await press.look(lambda tx: views.queue_list(tx, config, now))
    mine = [row for row in rows if press.leads or row.key in press.agent.queues]
    if not rest:
        lines = [_queue_line(row) for row in mine] or ["You are in no queue."]
        return answered(*(blocks.section(text) for text in lines), text="Queues")
    row = next((row for row in mine if rest.lower() in (row.key.lower(), row.title.lower())), None)
    if row is None:
        raise NotFound(f"There is no queue “{line(rest, 40)}”, or it is not one of yours.")

    def read(tx: Connection) -> tuple[list[Card], dict[int, tuple[str, str]]]:
        cards = views.waiting(tx, row.key, _SHOWN)
        return cards, home_actions.places(tx, [card.conversation_id for card in cards])

    cards, places = await press.look(read)
    links = await home_actions.links_to(press.desk, places)
    shown = [block for card in cards for block in reading.row(card, config, links.get(card.conversation_id))]
    return answered(blocks.section(_queue_line(row)), *shown, text=escape(line(row.title, 60)))


def _queue_line(row: QueueRow) -> str:
    waiting = row.waiting + row.offered
    late = f", :warning: {row.late} late" if row.late else ""
    waits = (
        f"{waiting} waiting, longest {words.span(row.longest_wait_s)}{late}" if waiting else "nobody waiting"
    )
    return f"*{escape(line(row.title, 60))}*: {waits} · {row.open} open · {row.agents_here} here"


async def why(press: Press, rest: str) -> None:
    """Of a conversation by its number."""
    if not rest:
        raise Refused("Say of which conversation: /hub why 1042. In a thread, use a message's menu.")
    await press.show(lambda: conversation.why_view(press.desk, press.agent, rest))


async def show_help(_: Press, __: str) -> Answer:
    return _help()


def _help(first: str = "") -> Answer:
    shown = [paragraph(first)] if first else []
    return answered(*shown, blocks.section(HELP), text=escape(first) or "What /hub can do")


COMMANDS: dict[str, Command] = {
    "next": next_one,
    **dict.fromkeys(_STATUSES, status),
    "find": find,
    "new": new,
    "queue": queue,
    "queues": queue,
    "why": why,
    "help": show_help,
}
