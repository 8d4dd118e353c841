"""A customer's page: who they are, every address, the whole history, a first message to them, and merges by people who
may."""

from __future__ import annotations

from aiohttp import web

from crm_store import views
from desk.replying import TROUBLES
from desk.rights import leads, may_see, queues_of
from desk.web import forms, render, writing
from desk.web.context import AGENT, DESK, Need, Route
from hub.errors import Conflict, NotFound, Refused

CUSTOMER = "{customer:[0-9]{1,19}}"


async def _view(request: web.Request, before: int | None = None) -> views.CustomerView:
    """The customer, for leads, and for agents who can see a conversation of theirs; otherwise as if not there."""
    wanted = forms.whole(request.match_info["customer"], "customer")
    unknown = NotFound("There is no such customer, or none of their conversations is in your queues.")
    try:
        view = await request.app[DESK].read(views.customer, wanted, before=before)
    except NotFound:
        raise unknown from None
    agent = request[AGENT]
    if not leads(agent) and not any(may_see(agent, card) for card in view.conversations):
        raise unknown
    return view


async def show(request: web.Request) -> web.StreamResponse:
    return await _page(request)


async def _page(
    request: web.Request, status: int = 200, error: str | None = None, typed: dict[str, str] | None = None
) -> web.Response:
    """typed: what to put back into the first message's fields."""
    view, desk, agent = (
        await _view(request, forms.query_number(request, "before")), request.app[DESK], request[AGENT],
    )  # fmt: skip
    ways = await desk.do(desk.actions.ways, agent.key, view.customer.brand, _open(view))
    queues, typed = queues_of(desk.config(), agent), typed or {}
    return render.html(
        request,
        "customer.html",
        status,
        view=view,
        person=view.customer,
        error=error,
        form=writing.first(desk, ways, queues, typed),
        queues=queues,
        typed=typed,
        back_to=f"/customers/{view.customer.id}" if request.method == "POST" else "",
    )


def _open(view: views.CustomerView) -> list[str]:
    """The addresses that may be written to."""
    return [one.urn for one in view.identities if one.trouble not in TROUBLES and "all" not in one.opted_out]


async def begin(request: web.Request) -> web.StreamResponse:
    """Write first. What cannot be sent shows the page again with the sentence that says why, and what was typed."""
    desk, agent, view = request.app[DESK], request[AGENT].key, await _view(request)
    account, _, urn = (await forms.field(request, "way", 600)).partition(" ")
    try:
        if urn not in _open(view):
            raise Refused("Choose one of the addresses that can be written to.")
        queue = await forms.words(request, "queue")
        ways = await desk.do(desk.actions.ways, agent, view.customer.brand, [urn])
        way = next((one for one in ways if one.account == account), None)
        if way is None:
            raise Refused("That way is not open any more; choose another.")
        text, carries = await writing.begun(request, queue, way)
        begun = await desk.do(
            desk.actions.begin,
            agent,
            queue,
            account,
            urn,
            text,
            idem_key=await forms.idem_key(request),
            subject=await forms.words(request, "subject", 300),
            attachments=await forms.files(request),
            then="wait",
            carries=carries,
        )
    except (Conflict, Refused) as error:
        form = await request.post()
        typed = {name: str(form.get(name, "")) for name in ("way", "queue", "subject", "text")}
        typed |= await writing.typed_in(request)
        return await _page(request, 409 if isinstance(error, Conflict) else 403, str(error), typed)
    raise forms.see_other(f"/conversations/{begun.number}", "replied")


async def change(request: web.Request) -> web.StreamResponse:
    """Name, tier, language and notes, as a colleague knows them."""
    view, desk = await _view(request), request.app[DESK]
    await desk.do(
        desk.actions.change_customer,
        view.customer.id,
        request[AGENT].key,
        name=await forms.words(request, "name"),
        tier=await forms.words(request, "tier"),
        language=await forms.words(request, "language"),
        tags=await forms.tags(request),
        notes=await forms.field(request, "notes", 10_000),
    )
    raise forms.see_other(f"/customers/{view.customer.id}", "changed")


async def merge(request: web.Request) -> web.StreamResponse:
    """This customer and another become one. The other is named by id, or by a conversation's number."""
    desk = request.app[DESK]
    survivor = forms.whole(request.match_info["customer"], "customer")
    named = (await forms.words(request, "other", 30)).removeprefix("#")
    if len(named) <= 12:
        other = (await desk.read(views.card, named)).customer_id
    else:
        other = forms.whole(named, "customer")
    if other == survivor:
        raise Refused("That is the same customer.")
    reason = await forms.words(request, "why", 300)
    if not reason:
        raise Refused("Say how you know that they are one.")
    await desk.do(desk.actions.merge, survivor, other, request[AGENT].key, reason)
    raise forms.see_other(f"/customers/{survivor}", "merged")


async def unmerge(request: web.Request) -> web.StreamResponse:
    desk = request.app[DESK]
    wanted = forms.whole(request.match_info["merge"], "merge")
    await desk.do(desk.actions.unmerge, wanted, request[AGENT].key)
    back = forms.whole(request.match_info["customer"], "customer")
    raise forms.see_other(f"/customers/{back}", "unmerged")


async def refuse(request: web.Request) -> web.StreamResponse:
    """The proposed two are not the same person."""
    desk = request.app[DESK]
    wanted = forms.whole(request.match_info["proposal"], "proposal")
    await desk.do(desk.actions.refuse_proposal, wanted, request[AGENT].key)
    back = forms.whole(request.match_info["customer"], "customer")
    raise forms.see_other(f"/customers/{back}", "refused")


ROUTES = (
    Route("GET", f"/customers/{CUSTOMER}", show, Need.AGENT),
    Route("POST", f"/customers/{CUSTOMER}", change, Need.AGENT),
    Route("POST", f"/customers/{CUSTOMER}/begin", begin, Need.AGENT),
    Route("POST", f"/customers/{CUSTOMER}/merge", merge, Need.LEAD),
    Route("POST", f"/customers/{CUSTOMER}/merges/{{merge:[0-9]{{1,19}}}}/undo", unmerge, Need.LEAD),
    Route("POST", f"/customers/{CUSTOMER}/proposals/{{proposal:[0-9]{{1,19}}}}/refuse", refuse, Need.LEAD),
)
