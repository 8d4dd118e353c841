"""A conversation's page, and what is done with the conversation (desk/web/mending.py: with what stands in it).

Every action is a form that is answered with a redirect. One that cannot be done shows the page again, with the sentence
that says why and with what was typed still in its box.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from crm_store import presence, views
from crm_store.views import Card, ConversationView
from desk import ways, words
from desk.replying import WindowClosed
from desk.web import forms, mail, render, writing
from desk.web.context import AGENT, DESK, Need, Route
from desk.web.reach import NUMBER, visible
from hub.errors import Conflict, NotFound, Refused

_CHOSEN = "copies"  # a field of the form that has a tick for each copy


async def page(
    request: web.Request,
    status: int = 200,
    error: Conflict | Refused | None = None,
    typed: dict[str, str] | None = None,
) -> web.Response:
    """The whole page. `typed`: what to put back into the reply's or the note's box."""
    desk, agent = request.app[DESK], request[AGENT]
    card = await visible(request)
    before = forms.query_number(request, "before")
    letter = await mail.opened(request, card)
    now = desk.now()

    def look(
        tx: Connection,
    ) -> tuple[ConversationView, dict[str, presence.Presence], ways.Window | None]:
        view = views.conversation(tx, card.conversation_id, before=before)
        window = ways.window(tx, view.card, desk.config(), desk.actions.limits)
        return view, presence.everyone(tx, now), window

    view, here, window = await desk.read(look)
    mine = view.card.assignee == agent.key and view.card.state != "closed"
    choice = await desk.do(desk.actions.choices, view.card.conversation_id) if mine else None
    copies = await desk.do(desk.actions.copies, view.card.conversation_id) if choice else ()
    typed = dict(typed or {})
    if "draft" in request.query and not typed:
        typed["reply"] = _taken_back(view, forms.query_number(request, "draft"), agent.key)
    if "ready" in request.query and not typed:
        typed["ready"] = request.query["ready"]
    return render.html(
        request,
        "conversation.html",
        status,
        view=view,
        card=view.card,
        lines=timeline(view),
        mine=mine,
        form=writing.form(desk, view.card, choice, typed),
        instead=writing.instead(desk, view.card, choice, error),
        window=window,
        copies=copies,
        typed=typed,
        error=str(error) if error is not None else None,
        back_to=f"/conversations/{view.card.number}" if request.method == "POST" else "",
        here=here,
        snoozes=words.SNOOZES,
        thens=words.THEN,
        revisable=desk.actions.revisable,
        letter=letter,
        before=before,
    )


def _taken_back(view: ConversationView, interaction: int | None, agent: str) -> str:
    """The text of a reply of this agent's that was undone, to be written anew."""
    return next(
        (
            e.text
            for e in view.history.entries
            if e.id == interaction and e.withdrawn and e.by == f"agent:{agent}"
        ),
        "",
    )


def timeline(view: ConversationView) -> list[tuple[str, Any]]:
    """What was said and what happened, in one order: ("said" | "event" | "turn", it).

    A "turn" stands where the history goes from one conversation over to another.
    """
    entries = view.history.entries
    first = entries[0].at if entries and view.history.before is not None else None
    events = [
        happened
        for happened in view.events
        if happened.what not in words.UNSHOWN and (first is None or happened.at >= first)
    ]
    merged: list[tuple[datetime, int, int, str, Any]] = [(e.at, 0, e.id, "said", e) for e in entries]
    # A reopening stands above the message that brought it about, everything else below what it followed.
    merged += [(e.at, -1 if e.what == "reopened" else 1, e.id, "event", e) for e in events]
    merged.sort(key=lambda item: item[:3])
    lines: list[tuple[str, Any]] = []
    number = None
    for _, _, _, kind, item in merged:
        current = item.number if kind == "said" else view.card.number
        if current != number and (number is not None or current != view.card.number):
            lines.append(("turn", current))
        number = current
        lines.append((kind, item))
    return lines


async def show(request: web.Request) -> web.StreamResponse:
    return await page(request)


# ------------------------------------------------------------------------------------------------------- actions

Act = Callable[[web.Request, Card], Awaitable[str]]


def action(work: Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """`work` does it and returns `done` (words.DONE) with further query, or a path. Refusals show the page again."""

    async def handler(request: web.Request) -> web.StreamResponse:
        card = await visible(request)
        try:
            done = await work(request, card)
        except (Conflict, Refused) as error:
            status = 409 if isinstance(error, Conflict) else 403
            form = await request.post()
            typed = {name: str(form.get(name, "")) for name in ("reply", "note")}
            typed |= await writing.typed_in(request)
            if isinstance(error, WindowClosed):
                typed["instead"] = "1"
            if form.get(_CHOSEN):
                typed["cc"] = "\n".join(map(str, form.getall("cc", [])))
            try:
                return await page(request, status, error, typed)
            except NotFound:  # it went out of sight with the refusal, to another team
                raise error from None
        if done.startswith("/"):
            raise web.HTTPSeeOther(done)
        raise forms.see_other(f"/conversations/{card.number}", done)

    return handler


async def claim(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    await desk.do(desk.actions.take, card.conversation_id, request[AGENT].key)
    return "claimed"


async def decline(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    await desk.do(desk.actions.decline, card.conversation_id, request[AGENT].key)
    return "declined"


async def release(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    await desk.do(desk.actions.release, card.conversation_id, request[AGENT].key)
    return "/?done=released"


async def reply(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    order = await writing.ordered(request, card, await _copies(request, card))
    seen = await forms.field(request, "seen", 20)
    then = await forms.words(request, "then", 10) or "leave"
    if then not in words.THEN:
        raise Refused("Choose what happens after the reply.")
    done = await desk.do(
        desk.actions.reply,
        card.conversation_id,
        request[AGENT].key,
        order.text,
        idem_key=await forms.idem_key(request),
        account=order.account,
        to=order.to,
        attachments=await forms.files(request),
        seen_inbound=forms.whole(seen) if seen else None,
        then=then,
        carries=order.carries,
    )
    if done.held_reason:
        return "asked"
    return "replied"


async def _copies(request: web.Request, card: Card) -> tuple[str, ...] | None:
    """Who gets a copy; None where the form did not ask, or nobody was dropped: everybody who takes part by then."""
    form = await request.post()
    if not form.get(_CHOSEN):
        return None
    ticked = tuple(str(one) for one in form.getall("cc", []))
    known = await request.app[DESK].do(request.app[DESK].actions.copies, card.conversation_id)
    return None if set(ticked) == set(known) else ticked


async def note(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    await desk.do(
        desk.actions.note, card.conversation_id, request[AGENT].key, await forms.field(request, "note")
    )
    return "noted"


async def transfer(request: web.Request, card: Card) -> str:
    desk, agent = request.app[DESK], request[AGENT].key
    queue = await forms.words(request, "queue") or card.queue
    reason = await forms.words(request, "reason", 500)
    to_agent = await forms.words(request, "to_agent") or None
    await desk.do(desk.actions.transfer, card.conversation_id, agent, queue, reason, to_agent)
    return "/?done=transferred"


async def snooze(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    minutes = await forms.words(request, "for", 6)
    if minutes not in words.SNOOZES:
        raise Refused("Choose one of the offered times.")
    until = desk.now() + timedelta(minutes=int(minutes))
    await desk.do(desk.actions.snooze, card.conversation_id, request[AGENT].key, until)
    return "/?done=snoozed"


async def close(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    ended = await forms.words(request, "disposition", 200) or None
    await desk.do(
        desk.actions.close, card.conversation_id, request[AGENT].key, ended, await forms.tags(request)
    )
    return "/?done=closed"


async def reopen(request: web.Request, card: Card) -> str:
    desk = request.app[DESK]
    await desk.do(desk.actions.reopen, card.conversation_id, request[AGENT].key)
    return "reopened"


async def retag(request: web.Request, card: Card) -> str:
    """The field holds all tags it should have."""
    desk = request.app[DESK]
    wanted = set(await forms.tags(request))
    has = set(card.tags)
    await desk.do(
        desk.actions.tag,
        card.conversation_id,
        request[AGENT].key,
        add=sorted(wanted - has),
        remove=sorted(has - wanted),
    )
    return "tagged"


async def asked_for(request: web.Request, card: Card) -> str:
    """Where they asked to be answered: "account urn", or nothing for anywhere."""
    desk = request.app[DESK]
    account, _, urn = (await forms.field(request, "way", 600)).partition(" ")
    await desk.do(desk.actions.asked_for, card.conversation_id, request[AGENT].key, account or None, urn)
    return "wished"


_ON = f"/conversations/{NUMBER}"
ROUTES = (
    Route("GET", _ON, show, Need.AGENT),
    *(
        Route("POST", f"{_ON}/{name}", action(work), Need.AGENT)
        for name, work in (
            ("claim", claim),
            ("decline", decline),
            ("release", release),
            ("reply", reply),
            ("note", note),
            ("transfer", transfer),
            ("snooze", snooze),
            ("close", close),
            ("reopen", reopen),
            ("tags", retag),
            ("asked", asked_for),
        )
    ),
)
