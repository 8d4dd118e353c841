"""An account that is polled: on disk before the next look, slower in trouble, and never in another's way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from connectors.base import Health, Polled, Wire
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from connectors.polling import NAME, Pollers, Reader
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from hub.model import Cursor, Event, MessageReceived
from tests.connectors.mail.outgoing import mailbox
from tests.connectors.samples import account
from tests.connectors.telegramming import bot
from tests.waiting import eventually

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONFIG = SendError(SendCode.CHANNEL_CONFIG, "the token does not hold", whole_account=True)
SLOW = SendError(SendCode.THROTTLED, "patience", retry=True, after_s=42)
AWAY = SendError(SendCode.CONNECTION_FAILED, "no connection", retry=True)


def said(number: int, key: str = "fake/a") -> MessageReceived:
    return MessageReceived(
        account=key, event_key=str(number), received_at=NOON, sender="fake:1", text=str(number)
    )


class Fake:
    """A provider of numbered messages. `next` is what the next looks come to; then it hangs, as a long poll does."""

    name = "fake"

    def __init__(self, *results: Polled | Exception) -> None:
        self.results = list(results)
        self.asked: list[str | None] = []

    def polls(self, account: Account) -> bool:
        return True

    async def poll(self, account: Account, cursor: str | None, wire: Wire) -> Polled:
        self.asked.append(cursor)
        if not self.results:
            await asyncio.Event().wait()
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Hub:
    """Disk, store and clock of a test: what happened, in order."""

    log: list[Any] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)
    notes: dict[str, list[Health]] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    refuses: int = 0
    forgotten: list[str] = field(default_factory=list)

    async def get(self, account: str, name: str) -> str | None:
        assert name == NAME
        self.log.append("cursor read")
        return self.cursors.get(account)

    async def begin(self, account: str, name: str, value: str) -> str:
        assert name == NAME
        self.log.append(("begins", value))
        return self.cursors.setdefault(account, value)

    async def aput(self, data: bytes) -> str:
        self.log.append(data)
        return ""

    async def accept(self, events: Sequence[Event], cursor: Cursor | None = None) -> None:
        if self.refuses:
            self.refuses -= 1
            raise Unavailable("the disk is full")
        self.log.append(([e.event_key for e in events], None if cursor is None else cursor.value))

    async def note(self, account: str, health: Health) -> None:
        self.notes.setdefault(account, []).append(health)

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        await asyncio.sleep(0)

    async def forget(self, key: str) -> None:
        self.forgotten.append(key)

    def reader(self, connectors: dict[str, Any], wire: Callable[[], Any] = lambda: None) -> Reader:
        return Reader(
            cursors=self,
            accept=self.accept,
            blobs=self,
            notes=self,
            wire=wire,
            connectors=connectors,
            clock=lambda: NOON,
            rest=self.rest,
        )


def accounts(*names: str) -> dict[str, Account]:
    return {f"fake/{name}": account(f"fake/{name}", {}) for name in names}


@asynccontextmanager
async def polling(hub: Hub, provider: Fake, **wanted: Account) -> AsyncIterator[Pollers]:
    pollers = Pollers(hub.reader({"fake": provider}), hub.forget)
    await pollers.follow(wanted or accounts("a"))
    try:
        yield pollers
    finally:
        await pollers.end()


async def test_each_look_is_on_disk_before_the_next_begins() -> None:
    hub = Hub(cursors={"fake/a": "7"})
    provider = Fake(
        Polled(events=(said(7), said(8)), blobs=(b"raw",), cursor="9"),
        Polled(events=(said(9),), cursor="10"),
        Polled(cursor="11"),  # only what leaves nothing behind
        Polled(),
    )
    async with polling(hub, provider):
        await eventually(lambda: len(provider.asked) == 5)
    assert provider.asked == ["7", "9", "10", "11", "11"]
    assert hub.log == ["cursor read", b"raw", (["7", "8"], "9"), (["9"], "10")]
    assert hub.rests[:3] == [0, 0, 0]
    assert hub.rests[3] > 0  # nothing at all, and at once: not asked in a circle
    assert [(h.why, h.next_at) for h in hub.notes["fake/a"]] == [("", None)]


async def test_where_a_quiet_source_begins_outlives_the_process() -> None:
    hub = Hub()
    async with polling(hub, Fake(Polled(cursor="since noon"), Polled(cursor="since one"))):
        await eventually(lambda: len(hub.rests) >= 2)
    assert hub.cursors == {"fake/a": "since noon"}
    again = Fake(Polled(events=(said(1),), cursor="8"))
    async with polling(hub, again):
        await eventually(lambda: bool(again.asked))
    assert again.asked[0] == "since noon"


async def test_a_disk_that_refuses_moves_nothing_on() -> None:
    hub = Hub(cursors={"fake/a": "7"}, refuses=2)
    look = Polled(events=(said(7),), cursor="8")
    provider = Fake(look, look, look)
    async with polling(hub, provider):
        await eventually(lambda: len(provider.asked) == 4)
    assert provider.asked == ["7", "7", "7", "8"]
    assert hub.log == ["cursor read", (["7"], "8")]
    assert [h.why for h in hub.notes["fake/a"]] == ["the disk is full", ""]


async def test_a_provider_in_trouble_is_asked_less_and_less_and_one_that_says_when_is_obeyed() -> None:
    hub = Hub()
    provider = Fake(*[AWAY] * 8, Polled(), SLOW, CONFIG, CONFIG, CONFIG, RuntimeError("ours"))
    async with polling(hub, provider):
        await eventually(lambda: len(provider.asked) == 15)
    for waited, meant in zip(hub.rests[:8], (1, 2, 4, 8, 16, 32, 60, 60), strict=True):
        assert 0.8 * meant <= waited <= 1.2 * meant
    assert hub.rests[9] == 42
    for waited, meant in zip(hub.rests[10:13], (60, 120, 240), strict=True):
        assert 0.8 * meant <= waited <= 1.2 * meant
    whys = [h.why for h in hub.notes["fake/a"]]
    assert list(dict.fromkeys(whys)) == [
        "no connection", "", "patience", "the token does not hold", "a fault of ours: RuntimeError",
    ]  # fmt: skip
    assert all((h.next_at is None) == (not h.why) for h in hub.notes["fake/a"])


async def test_how_it_goes_need_not_be_noted_for_it_to_go() -> None:
    class Mute(Hub):
        async def note(self, account: str, health: Health) -> None:
            raise ValueError("a fault of ours")

    hub, provider = Mute(), Fake(AWAY, SLOW, RuntimeError("ours"), Polled(events=(said(7),), cursor="8"))
    async with polling(hub, provider):
        await eventually(lambda: len(provider.asked) == 5)
    assert hub.log == ["cursor read", (["7"], "8")]


async def test_nor_does_a_mailbox_end_over_it() -> None:
    class Mute:
        async def note(self, account: str, health: Health) -> None:
            raise ValueError("a fault of ours")

    taker = Taker(reads=None, blobs=None, accept=None, stored=Mute())  # type: ignore[arg-type]
    support = mailbox(imap={"host": "imap.example.com"})
    box = Mailbox(support, taker, None, None, asyncio.get_running_loop())  # type: ignore[arg-type]
    await asyncio.to_thread(box._note, "the server does not answer", 1.0)
    for end in (box._wake, box._woken):
        end.close()


async def test_one_accounts_trouble_delays_no_other() -> None:
    hub = Hub()
    both = {"bad": Fake(AWAY), "good": Fake(Polled(events=(said(1, "good/x"),), cursor="2"))}
    slow = asyncio.Event()

    async def rest(seconds: float) -> None:
        await (slow.wait() if seconds else asyncio.sleep(0))

    pollers = Pollers(replace(hub.reader(both), rest=rest), hub.forget)
    await pollers.follow({"bad/x": account("bad/x", {}), "good/x": account("good/x", {})})
    await eventually(lambda: len(both["good"].asked) == 2)
    assert both["bad"].asked == [None]
    await pollers.end()


async def test_the_configuration_is_followed() -> None:
    hub, provider = Hub(cursors={"fake/a": "1", "fake/b": "2"}), Fake()
    first = accounts("a")
    async with polling(hub, provider, **first) as pollers:
        await eventually(lambda: provider.asked == ["1"])
        await pollers.follow(first)  # nothing changed
        changed = {"fake/a": replace(first["fake/a"], settings={"api": "x"}), **accounts("b")}
        await pollers.follow(changed)
        await eventually(lambda: sorted(provider.asked[1:], key=str) == ["1", "2"])
        assert hub.forgotten == []
        await pollers.follow(accounts("b"))
        assert hub.forgotten == ["fake/a"]
        await asyncio.sleep(0.02)
        assert len(provider.asked) == 3


async def test_it_ends_at_once_in_the_middle_of_a_long_poll_and_confirms_nothing() -> None:
    """Telegram's own: what comes just then is there for the next start."""
    hub = Hub()
    async with bot(poll=True) as ours:
        from connectors import CONNECTORS

        pollers = Pollers(hub.reader(dict(CONNECTORS), lambda: ours.wire), hub.forget)
        await pollers.follow({"telegram/main": ours.account})
        ann = ours.telegram.person("Ann")
        await eventually(lambda: ours.telegram.updates.poll is not None)
        await ann.says("One")
        await eventually(lambda: len(hub.log) == 2)
        await eventually(lambda: ours.telegram.updates.poll is not None)
        began = asyncio.get_running_loop().time()
        await pollers.end()
        assert asyncio.get_running_loop().time() - began < 1
        await ann.says("Two")
        hub.cursors["telegram/main"] = str(hub.log[1][1])
        again = Pollers(hub.reader(dict(CONNECTORS), lambda: ours.wire), hub.forget)
        await again.follow({"telegram/main": ours.account})
        await eventually(lambda: len(hub.log) == 4)
        await again.end()
    keys = [keys for keys, _ in (entry for entry in hub.log if entry != "cursor read")]
    assert [len(one) for one in keys] == [1, 1]
    assert keys[0] != keys[1]
