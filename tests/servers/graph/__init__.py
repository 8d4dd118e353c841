"""A strict local Graph API of Meta: WhatsApp Cloud API, Messenger, Instagram (Instagram Login, or a Page's token).

    async with Graph(app_secret="s", verify_token="v") as graph:    # or `with Graph() as graph`, then graph.run(…)
        number = graph.number("+1 555-078-3881")      # number.id, number.token, number.waba.id
        page = graph.page("Acme")                     # page.id, page.token
        shop = graph.instagram("acme", page=page)     # shop.id, shop.token; the Page's token does too
        assert await graph.subscribe("http://127.0.0.1:…/hook")     # handshake, then everything is delivered there
        graph.listen(url, page)                       # without a handshake, one account's (or "page"'s) elsewhere

Calls go to `graph.base + "/v25.0/…"`, for graph.facebook.com and graph.instagram.com alike. For a fixed world
name the ids: number(id=, waba_id=, token=), page(id=, token=), instagram(id=, token=), Graph(app_id=, port=).

The customer's side (all return `Told`: .id, .entry, .delivery.answers, .ok):
    ann = number.customer("Ann", "16505551234")       # hidden=True, username="ann": no phone in webhooks
    told = await ann.says("hi", quoting=wamid, forwarded=1, ad=AD, group="…")
    await ann.sends(b"…", "audio/ogg", voice=True)    # image, video, document, sticker: by type or kind=
    ann.is_at · shares · presses · picks · fills · taps · orders · reacts · edits · revokes · unsupported ·
    changes_number · prefers("stop") · receives · reads · plays · misses(wamid, 131026) · message(any kind, …)
    number.writes(ann, …) (Business app) · number.tell_error(130429) · number.waba.tell_account(field, value)
    bo = page.visitor("Bo Lind"); cy = shop.visitor("Cy", username="cy")
    bo.says · sends · stickers · is_at · shares · edits · unsends · reacts · presses · arrives · opts_in ·
    receives · reads · thread · comments · edits_comment · removes_comment · posts · mentions ·
    attaches(any type) · message(any)
    cy: also says(story=…, oneself=True) · mentions_in_story · vanishes · unsupported
    page.writes(bo, "…") an echo of Meta's inbox, or of another app (app_id=)

What a test looks at: graph.requests, graph.sent, graph.refused, graph.marks (read, typing), graph.misdirected,
page.comments.

On command:
    graph.fail(131056, times=2, to="1650…")           # any code; status=, subcode=, retry_after=, regain_minutes=
    graph.fail(status=500) · fail(how="hang"|"cut"|"truncated"|"html", accepted=True) · fail(after_s=…)
    graph.fail(at="media"|"comments"|"replies"|"object"|"cdn"|"*")
    graph.mend() · graph.release() · number.expire() (190) · graph.rates.kept = True · graph.rates.usage = 99
    graph.absent.add(phone) · ann.blocks = True · graph.later = set()
    await graph.passes(86_400)                        # windows close, URLs expire, undelivered webhooks are retried
Natural refusals whose code is in `graph.later` (131026, 131047, 131049, 131050, 131053) answer 200 and come as a failed
status, as the Cloud API does it; with `graph.later = set()`, or by `fail`, in the answer.

Order and repetition:
    graph.reports.after = ("sent", "delivered", "read"); .early, .doubled; .shuffle(seed) then await .deliver()
    graph.door.holding = True … await graph.door.release(shuffled=1, batched=True, doubled=True)
    async with graph.door.batch(): …                  # one request, an entry each; more than 1,000 in several
    await number.tell("", "messages", {"id": "17", "changes": "poison"})   # any entry at all, in a batch or alone
    await graph.door.post("whatsapp_business_account", url, [entry, poison], secret="wrong")
    await graph.door.redeliver(told.delivery, times=3); graph.door.doubled = True; await graph.settled()
Echoes and reports that follow a send go out in the background: `await graph.settled()`.
"""

from tests.servers.graph.account import Account
from tests.servers.graph.customer import Customer
from tests.servers.graph.door import Delivery, Door, Told, wire
from tests.servers.graph.errors import CODES, GraphError
from tests.servers.graph.model import Comment, Mark, Media, Refused, Request, Sent
from tests.servers.graph.server import Graph
from tests.servers.graph.social import Instagram, Page
from tests.servers.graph.templates import Template
from tests.servers.graph.visitor import Visitor
from tests.servers.graph.waba import Waba
from tests.servers.graph.whatsapp import Number

__all__ = [
    "CODES",
    "Account",
    "Comment",
    "Customer",
    "Delivery",
    "Door",
    "Graph",
    "GraphError",
    "Instagram",
    "Mark",
    "Media",
    "Number",
    "Page",
    "Refused",
    "Request",
    "Sent",
    "Template",
    "Told",
    "Visitor",
    "Waba",
    "wire",
]
