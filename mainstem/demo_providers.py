"""`mainstem simulated`: the providers of `up --demo` on the loopback, and the customers who are at them.

Twilio, Telegram and Meta's Graph as tests/servers has them, in one event loop: they sign what they send, refuse what
the real ones refuse, report what became of our messages, and now and then fail, so that the desk has something to show.
Who asks for a turn (mainstem/demo.py) decides the pace; this decides what happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from hub import log
from hub.settings import Settings
from mainstem import demo_accounts, demo_deeds, processes
from mainstem.demo_accounts import Simulated
from mainstem.demo_deeds import Someone
from mainstem.demo_words import NAMES

if TYPE_CHECKING:
    from tests.servers.graph import Customer as OnWhatsApp
    from tests.servers.graph import Graph, Number, Visitor
    from tests.servers.graph import Sent as GraphSent
    from tests.servers.telegram import Sent as TelegramSent
    from tests.servers.telegram import Telegram
    from tests.servers.twilio import Message, Twilio

LOOK_EVERY_S = 0.5
DELIVERED_S, READ_S, ANSWERED_S = (0.5, 2.5), (3.0, 12.0), (4.0, 15.0)
READ, ANSWERED = 0.7, 0.35  # of our messages; of those that were read
TROUBLE_EVERY_S = 150.0  # on average
REMEMBERED = 500  # requests that a stand-in keeps to look at; nobody does here
_log = log.get("simulated")


class World:
    """The three stand-ins with one account each, and everybody who writes to them."""

    def __init__(
        self, twilio: Twilio, telegram: Telegram, graph: Graph, simulated: Simulated, edge: str
    ) -> None:
        from tests.servers.graph import Instagram, Page, Waba
        from tests.servers.twilio import Template

        said = {name: account["secrets"] for name, account in simulated.accounts().items()}
        self.twilio, self.telegram, self.graph = twilio, telegram, graph
        twilio.number(demo_accounts.SMS, sms_url=f"{hook(edge, 'sms_twilio')}#rc=3&rp=5xx,ct,rt")
        twilio.sender(demo_accounts.WHATSAPP_TWILIO, url=f"{hook(edge, 'whatsapp_twilio')}#rc=3&rp=5xx,ct,rt")
        approved, sid = demo_accounts.APPROVED.replace("{1}", "{{1}}"), demo_accounts.CONTENT_SID
        twilio.templates[sid] = Template(sid=sid, body=approved)
        twilio.reports.auto = ("sent",)
        telegram.updates.url = hook(edge, "telegram")  # setWebhook takes no http://
        telegram.updates.secret = said["telegram"]["webhook"]
        telegram.updates.allowed = [
            "message", "edited_message", "callback_query", "message_reaction", "my_chat_member",
        ]  # fmt: skip
        waba = Waba(graph, id=demo_accounts.WABA_ID, token=said["whatsapp"]["token"])
        waba.template(demo_accounts.TEMPLATE, approved)
        self.number: Number = graph.number(
            demo_accounts.WHATSAPP, name="Simulated shop", waba=waba, id=demo_accounts.NUMBER_ID
        )
        self.page = Page(graph, "Simulated shop", demo_accounts.PAGE_ID, said["messenger"]["token"])
        self.shop = Instagram(
            graph, "simulated.shop", None, demo_accounts.SHOP_ID, said["instagram"]["token"]
        )
        graph.listen(hook(edge, "whatsapp"), "whatsapp_business_account")
        graph.listen(hook(edge, "messenger"), "page")
        graph.listen(hook(edge, "instagram"), "instagram")
        graph.reports.after = ("sent",)
        self.people = [self._someone(index) for index in range(len(NAMES))]

    def _someone(self, index: int) -> Someone:
        """The same as in the demo before, whom providers let us answer: they may have written to it."""
        from tests.servers.graph import Visitor
        from tests.servers.telegram import Person

        one = Someone(index)
        now = time.time()
        one.sms = self.twilio.customer(one.phone, one.name)
        one.twilio_whatsapp = one.sms.whatsapp(f"whatsapp:{demo_accounts.WHATSAPP_TWILIO}")
        self.twilio.windows[one.twilio_whatsapp.sender, one.twilio_whatsapp.address] = now
        self.graph.bsuids[one.phone.removeprefix("+")] = (
            f"US.{54_000_001 + index}",
            f"US.ENT.{54_000_001 + index}",
        )
        one.whatsapp = self.number.customer(one.name, one.phone.removeprefix("+"))
        one.telegram = Person(self.telegram, 5_200_000_001 + index, one.name, "", "en", "")
        one.telegram.chat.known = True
        one.telegram.chat.last_id = int(now) % 1_000_000_000  # beyond all of the demo before
        one.messenger = Visitor(self.page, f"{index + 10}52000000", one.name, one.nick)
        one.instagram = Visitor(self.shop, f"{index + 10}53000000", one.name, one.nick)
        for visitor in (one.messenger, one.instagram):
            visitor.account.visitors[visitor.id] = visitor
            self.graph.objects[visitor.id] = visitor.account
        for customer in (one.whatsapp, one.messenger, one.instagram):
            customer.last_in = now
        return one

    async def turn(self, connector: str) -> bool:
        """Somebody does something there, sometimes told twice. False where our webhook did not take it."""
        one = random.choice(self.people)  # noqa: S311
        result = await demo_deeds.next_of(one, connector)(one)
        if random.random() < demo_deeds.TWICE:  # noqa: S311
            await self._tell_again(connector, result)
        return self.note(one, connector, result)

    def note(self, one: Someone, connector: str, result: Any) -> bool:
        """What they said last, to change it later. Was it taken?"""
        last = result[-1] if isinstance(result, list) else result
        match connector:
            case "telegram":
                if last.kind == "message" and "text" in last.body:
                    one.said[connector] = last.body["message_id"]
                return bool(last.taken)
            case "whatsapp" | "messenger" | "instagram":
                field = str(last.entry)
                if "'text'" in field and "'comment" not in field:
                    one.said[connector] = last.id
        return bool(last.ok)

    async def _tell_again(self, connector: str, result: Any) -> None:
        last = result[-1] if isinstance(result, list) else result
        if connector == "telegram":
            await self.telegram.redeliver(last.update_id)
        elif connector in ("sms_twilio", "whatsapp_twilio"):
            await self.twilio.redeliver(last)
        elif last.delivery is not None:
            await self.graph.door.redeliver(last.delivery)


def hook(edge: str, connector: str) -> str:
    return f"{edge}/in/{demo_accounts.key(connector)}"


class Reports:
    """What becomes of our messages: delivered, read, answered, tapped; and sometimes not."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked = {"twilio": 0, "telegram": 0, "graph": 0}

    async def look(self) -> None:
        """For what was sent since the last look, until cancelled."""
        world = self._world
        kinds: tuple[tuple[str, list[Any], Callable[[Any], Awaitable[None]]], ...] = (
            ("twilio", world.twilio.sent, self._twilio),
            ("telegram", world.telegram.sent, self._telegram),
            ("graph", world.graph.sent, self._graph),
        )
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for name, sent, follow in kinds:
                new, self._looked[name] = sent[self._looked[name] :], len(sent)
                for message in new:
                    self._begin(follow(message))
            for standin in (world.twilio, world.telegram, world.graph):
                del standin.requests[:-REMEMBERED]

    def _begin(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            try:
                await work
            except Exception as error:
                _log.warning("a customer did not get to it", why=repr(error))

        task = asyncio.get_running_loop().create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _twilio(self, message: Message) -> None:
        world = self._world
        one = next((p for p in world.people if p.phone in message.to), None)
        await _pause(DELIVERED_S)
        if one is None or message.status in ("failed", "undelivered"):
            return
        await world.twilio.reports.say(message.sid, "delivered")
        if not message.to.startswith("whatsapp:"):
            return
        one.told["whatsapp_twilio"] = message.sid
        if _likely(READ):
            await _pause(READ_S)
            await world.twilio.reports.read(message.sid)
            if _likely(ANSWERED):
                await _pause(ANSWERED_S)
                await one.twilio_whatsapp.says("Thank you!", re=message.sid)

    async def _telegram(self, message: TelegramSent) -> None:
        one = next((p for p in self._world.people if p.telegram.id == message.chat_id), None)
        if one is None:
            return
        one.told["telegram"] = message.message_id
        await _pause(ANSWERED_S)
        rows = message.raw.get("reply_markup", {}).get("inline_keyboard", [])
        if buttons := [
            button["callback_data"] for row in rows for button in row if "callback_data" in button
        ]:
            await one.telegram.presses(message.message_id, random.choice(buttons))  # noqa: S311
        elif _likely(ANSWERED):
            await one.telegram.says("Thank you!")

    async def _graph(self, sent: GraphSent) -> None:
        account = self._world.graph.accounts[sent.account]
        one = next((p for p in self._world.people if sent.user in p.ids), None)
        await _pause(DELIVERED_S)
        if one is None:
            return
        if sent.platform == "whatsapp" and _likely(0.05):
            await account.report(sent.id, "failed", 131026)
            return
        one.told[sent.platform] = sent.id
        await account.report(sent.id, "delivered")
        if not _likely(READ):
            return
        await _pause(READ_S)
        await account.report(sent.id, "read")
        await _pause(ANSWERED_S)
        if not await self._taps(one, sent) and _likely(ANSWERED):
            await self._who(one, sent).says("Thank you!")

    async def _taps(self, one: Someone, sent: GraphSent) -> bool:
        """One of the answers that we offered."""
        if sent.platform == "whatsapp":
            action = sent.body.get("interactive", {}).get("action", {})
            if buttons := [button["reply"] for button in action.get("buttons", ())]:
                reply = random.choice(buttons)  # noqa: S311
                await one.whatsapp.presses(reply["id"], reply["title"], sent.id)
                return True
            return False
        offered = sent.body.get("message", {}).get("quick_replies", ())
        if not offered:
            return False
        tapped = random.choice(offered)  # noqa: S311
        visitor = one.messenger if sent.platform == "messenger" else one.instagram
        await visitor.says(tapped["title"], quick_reply=tapped["payload"])
        return True

    def _who(self, one: Someone, sent: GraphSent) -> OnWhatsApp | Visitor:
        if sent.platform == "whatsapp":
            return one.whatsapp
        return one.messenger if sent.platform == "messenger" else one.instagram


class Trouble:
    """One provider fails now and then, in turn: what to do is in the table."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def happens(self) -> None:
        """Until cancelled."""
        kinds = (
            self._twilio_is_busy,
            self._a_phone_is_off,
            self._telegram_is_busy,
            self._a_bot_is_blocked,
            self._pairs,
        )
        while True:
            for kind in kinds:
                await asyncio.sleep(random.expovariate(1 / TROUBLE_EVERY_S))
                await kind()

    async def _twilio_is_busy(self) -> None:
        self._world.twilio.fail("messages.create", status=429, code=20429, retry_after=5)

    async def _a_phone_is_off(self) -> None:
        """For two minutes what goes to it is taken, and reported as failed."""
        phone = random.choice(self._world.people).phone  # noqa: S311
        self._world.twilio.doom(phone, 30003)
        await asyncio.sleep(120)
        self._world.twilio.doom(phone, 0)

    async def _telegram_is_busy(self) -> None:
        self._world.telegram.fail("sendmessage", status=429, retry_after=6)

    async def _a_bot_is_blocked(self) -> None:
        one = random.choice(self._world.people)  # noqa: S311
        await one.telegram.blocks()
        await asyncio.sleep(90)
        await one.telegram.unblocks()

    async def _pairs(self) -> None:
        self._world.graph.fail(131056, account=self._world.number)


def _likely(share: float) -> bool:
    return random.random() < share  # noqa: S311


async def _pause(span: tuple[float, float]) -> None:
    await asyncio.sleep(random.uniform(*span))  # noqa: S311


# ---------------------------------------------------------------------------------------------------------- the process


def main(settings: Settings) -> int:
    """Run until told to stop. Started by `up --demo` alone, which says what the stand-ins are."""
    simulated = Simulated.packed(os.environ)
    if simulated is None or demo_accounts.missing():
        return processes.idle(
            settings, "simulated", why=demo_accounts.missing() or "`mainstem up --demo` starts it"
        )
    stop = processes.begin(settings, "simulated")
    sys.path.insert(0, str(demo_accounts.ROOT))  # before a package `tests` of somebody else's
    asyncio.run(_run(settings, simulated, stop))
    return processes.end()


async def _run(settings: Settings, simulated: Simulated, stop: threading.Event) -> None:
    async with opened(simulated, settings.public_address) as world:
        running = [asyncio.create_task(work) for work in (Reports(world).look(), Trouble(world).happens())]
        runner = await _listen(world, simulated)
        await asyncio.to_thread(stop.wait)
        for task in running:
            task.cancel()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def opened(simulated: Simulated, edge: str) -> AsyncIterator[World]:
    """The stand-ins, listening; `edge` is where their webhooks lead."""
    from tests.servers.graph import Graph
    from tests.servers.telegram import Telegram
    from tests.servers.twilio import Twilio

    said = simulated.accounts()
    meta = said["messenger"]["secrets"]
    async with (
        Twilio(
            account_sid=demo_accounts.ACCOUNT_SID, auth_token=said["sms_twilio"]["secrets"]["auth_token"],
            port=simulated.twilio,
        ) as twilio,
        Telegram(token=simulated.bot_token, name="Simulated shop", port=simulated.telegram) as telegram,
        Graph(app_secret=meta["app_secret"], verify_token=meta["verify_token"], port=simulated.graph) as graph,
    ):  # fmt: skip
        yield World(twilio, telegram, graph, simulated, edge)


async def _listen(world: World, simulated: Simulated) -> web.AppRunner:
    """The port at which the demo asks for a turn: POST /{secret}/{connector}."""

    async def turn(request: web.Request) -> web.Response:
        connector = request.match_info["connector"]
        if connector not in demo_deeds.DEEDS:
            raise web.HTTPNotFound
        return web.Response(status=200 if await world.turn(connector) else 502)

    app = web.Application()
    app.router.add_post(f"/{simulated.secret('control')}/{{connector}}", turn)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", simulated.control).start()
    return runner
