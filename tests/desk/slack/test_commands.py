"""`/hub …`, as agents type it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crm_store import presence
from desk.slack import modals, names
from desk.slack.commands import duration
from hub.errors import Refused
from tests.desk.slack.pressing import ANN, Pressing, shown
from tests.each import each


async def says(world: Pressing, text: str, who: str = "bo") -> str:
    """What they read."""
    answer = await getattr(world, who).commands(names.COMMAND, text, world.channel)
    assert answer is None or answer["response_type"] == "ephemeral"
    return shown((answer or {}).get("blocks", []))


@each(
    "typed, minutes",
    [
        ("30m", 30), ("30 min", 30), ("90", 90), ("1h", 60), ("1h30m", 90), ("1h 30", 90), ("2 hours", 120),
        ("1.5h", 90), ("1 day", 1440), ("1d2h", 1560), ("for 20 minutes", 20), ("1 hour and 5 minutes", 65),
        ("31d", 44640),
    ],
)  # fmt: skip
def test_lengths_of_time(typed: str, minutes: float) -> None:
    assert duration(typed) == timedelta(minutes=minutes)


@each("typed", ["0", "0m", "-5m", "soon", "30x", "m", "32d", "30m lunch", "1h-30m", "9" * 30])
def test_no_lengths_of_time(typed: str) -> None:
    with pytest.raises(Refused, match="no length of time"):
        duration(typed)


def test_no_length_is_until_changed() -> None:
    assert duration("  ") is None


async def test_away_says_until_when(world: Pressing) -> None:
    said = await says(world, "away 30m")
    until = world.room.now + timedelta(minutes=30)
    assert f"<!date^{int(until.timestamp())}^" in said
    assert "away" in said
    with world.room.store.read() as tx:
        assert presence.of(tx, "bo", world.room.now).until == until
    assert "available" in await says(world, "here")
    assert "no length of time" in await says(world, "away until lunch")
    assert "busy" in await says(world, "BUSY 1h")
    with world.room.store.read() as tx:
        assert presence.of(tx, "bo", world.room.now).status == "busy"


async def test_next_is_theirs_and_can_be_answered_from_there(world: Pressing) -> None:
    talk = world.conversation("<!channel> *where* is it?")
    ts = await world.card(talk)
    said = await says(world, "next")
    assert "is yours" in said
    assert world.row(talk).assignee == "bo"
    message = world.bo.ephemerals[-1]
    assert f"/archives/{world.channel}/p{ts.replace('.', '')}" in str(message)
    assert "<!channel>" not in [one["text"]["text"] for one in message["blocks"] if one["type"] == "section"]
    await world.bo.clicks(world.channel, message["ts"], names.REPLY)
    assert world.bo.views
    assert "Nobody is waiting" in await says(world, "next")


async def test_find_shows_what_they_may_see(world: Pressing) -> None:
    mine = world.conversation("the blue lamp is broken", f"{ANN}1", "Ada")
    world.conversation("invoice for the blue lamp", f"{ANN}2", "Bea")
    await world.card(mine)
    await says(world, "find blue lamp")
    seen = shown(world.bo.views[-1].blocks)
    assert "is broken" in seen
    assert "invoice" not in seen
    await world.bo.clicks_modal(names.HOME_OPEN, str(mine))
    assert "the blue lamp is broken" in shown(world.bo.views[-1].blocks)
    await says(world, "find blue lamp", "cleo")
    assert "invoice" in shown(world.cleo.views[-1].blocks)
    assert "Say what to look for" in await says(world, "find")
    await says(world, "find %_\\ nobody &lt;b&gt;")
    assert "Nothing was found" in shown(world.bo.views[-1].blocks)


async def begun(world: Pressing, to: str, **more: Any) -> Any:
    await says(world, f"new {to}".strip())
    values = {
        modals.TO: to,
        names.CHANNEL: "mail/main",
        names.QUEUE: "support",
        names.TEXT: "Your order is ready",
    }
    return await world.bo.submits({**values, **more})


async def test_new_begins_a_conversation_once(world: Pressing) -> None:
    await says(world, "new ann@example.com")
    view = world.bo.views[-1]
    offered = [one["value"] for one in view.blocks[2]["element"].get("options", [])]
    assert sorted(offered) == ["mail/main", "sms/main"], "only what can write first"
    values = {
        names.QUEUE: "support",
        names.CHANNEL: "mail/main",
        names.TEXT: "Your order is ready",
        modals.NAME: "Ann",
    }
    assert await world.bo.submits(values) is None
    world.bo.views.append(view)
    assert await world.bo.presses_submit() is None
    [card] = mine(world)
    assert (card.customer_name, card.queue, card.assignee, card.urn) == (
        "Ann", "support", "bo", "mailto:ann@example.com",
    )  # fmt: skip
    assert card.state == "pending", "the next word is theirs, as when it is begun on the web desk"
    assert [one.text for one in world.replies(card.conversation_id)] == ["Your order is ready"]


async def test_new_that_may_not_be_keeps_what_was_typed(world: Pressing) -> None:
    await begun(world, "nobody")
    assert "no address" in "".join(world.bo.views[-1].errors.values())
    await world.bo.submits({modals.TO: "+15551230001"})
    assert "has never written" in "".join(world.bo.views[-1].errors.values())
    assert await world.bo.submits({modals.TO: "ann@example.com"}) is None
    await begun(world, "ann@example.com")
    assert "open conversation already" in "".join(world.bo.views[-1].errors.values())
    assert len(mine(world)) == 1


async def test_queue_says_how_they_stand(world: Pressing) -> None:
    world.conversation("hello")
    said = await says(world, "queue")
    assert "*General*: 1 waiting" in said
    assert "Billing" not in said
    assert "Billing" in await says(world, "queue", "cleo")
    assert "Ann Weber" in await says(world, "queue general")
    assert "not one of yours" in await says(world, "queue billing")


async def test_why_by_number(world: Pressing) -> None:
    talk = world.conversation("nothing works, error")
    number = world.row(talk).number
    await says(world, f"why #{number}")
    assert "problems" in shown(world.bo.views[-1].blocks)
    assert "Say of which" in await says(world, "why")
    assert "not in your queues" in await says(world, "why 999999")
    assert "not in your queues" in await says(world, "why ann")


async def test_help_and_what_is_no_command(world: Pressing) -> None:
    for text in ("", "help"):
        said = await says(world, text)
        for word in ("next", "away 30m", "find", "new", "queue", "why"):
            assert f"/hub {word}" in said
    assert "There is no “/hub <dance>”" in await says(world, "&lt;dance&gt; now")


async def test_the_store_away_is_said(world: Pressing) -> None:
    from hub.errors import Unavailable

    world.actions.next = lambda _: (_ for _ in ()).throw(Unavailable("the database does not answer: x"))
    assert "press again" in await says(world, "next")


def mine(world: Pressing) -> list[Any]:
    from crm_store import views

    with world.room.store.read() as tx:
        return views.mine(tx, "bo")
