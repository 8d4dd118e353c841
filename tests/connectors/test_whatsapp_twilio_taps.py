"""Answers to tap on WhatsApp by Twilio: a Content made in the session, or the numbered text; one message either way."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.base import Wire
from connectors.twilio import api, contents
from connectors.whatsapp_twilio import CONNECTOR, LIMITS, WhatsAppTwilio
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Outgoing
from tests.connectors.samples import account
from tests.connectors.twilio_world import BO, SENDER, at, file, link, message, wire
from tests.servers.twilio import Twilio

KEY = "whatsapp_twilio/main"
FEW, NUMBERED = ("Morning", "Evening"), "When?\n1. Morning\n2. Evening"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        twilio.sender(SENDER)
        await twilio.customer(BO, "Bo").whatsapp().says("Hello")
        twilio.requests.clear()
        yield twilio


@pytest.fixture
async def way() -> AsyncIterator[Wire]:
    async with wire() as way:
        yield way


def fresh(most: int = contents.KNOWN) -> WhatsAppTwilio:
    """As another process has it: it remembers nothing."""
    one = WhatsAppTwilio()
    one.way = dataclasses.replace(one.way, taps=contents.Contents(most))
    return one


@pytest.fixture
def connector() -> WhatsAppTwilio:
    return fresh()


def out(text: str = "When?", choices: tuple[str, ...] = FEW, **more: Any) -> Outgoing:
    return message(text, BO, KEY, choices=choices, **more)


def asked(twilio: Twilio, operation: str) -> int:
    return sum(one.operation == operation for one in twilio.requests)


@pytest.mark.parametrize(
    "choices, kind",
    [
        (FEW, "twilio/quick-reply"),
        (("a" * 20, "b", "c"), "twilio/quick-reply"),
        (("a" * 21, "b", "c"), "twilio/list-picker"),
        (("a", "b", "c", "d"), "twilio/list-picker"),
        (tuple(f"{place:024}" for place in range(10)), "twilio/list-picker"),
    ],
)
async def test_few_and_short_are_buttons_else_a_list_and_a_tap_comes_back(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, choices: tuple[str, ...], kind: str
) -> None:
    sent = await connector.send(out(choices=choices), at(twilio, KEY, SENDER), way)
    await twilio.settled()
    (taken,) = twilio.sent
    made = twilio.templates[taken.content_sid]
    assert (made.kind, made.body, taken.error_code) == (kind, "When?", None)
    assert made.choices == tuple((str(place), one) for place, one in enumerate(choices, 1))
    assert sent.external_ids == (taken.sid,)
    bo = twilio.customer(BO, "Bo").whatsapp()
    tap = bo.presses(choices[1], payload="2", of=taken.sid) if kind == "twilio/quick-reply" else None
    await (tap or bo.picks("2", choices[1], of=taken.sid))  # only what is offered can be tapped


@pytest.mark.parametrize(
    "text, choices",
    [
        ("When?", tuple(str(place) for place in range(11))),
        ("When?", ("a" * 25, "b")),
        ("When?", ("same", "same ")),
        ("x" * 1025, FEW),
        ("Dear {{1}}", FEW),
        ("When?", ("{{1}}", "b")),
    ],
)
async def test_what_no_content_takes_is_numbered_and_twilio_is_asked_for_none(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, text: str, choices: tuple[str, ...]
) -> None:
    await connector.send(out(text, choices), at(twilio, KEY, SENDER), way)
    numbers = "\n".join(f"{place}. {one}" for place, one in enumerate(choices, 1))
    assert [one.body for one in twilio.sent] == [f"{text}\n{numbers}"]
    assert [one.operation for one in twilio.requests] == ["messages.create"]


async def test_files_go_before_and_a_link_makes_it_numbered(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio
) -> None:
    photo, other = file("a.jpg"), file("x.zip", "application/zip")
    ours = at(twilio, KEY, SENDER)
    await connector.send(out(attachments=(photo,)), ours, way)
    assert [(one.body, one.media_urls, bool(one.content_sid)) for one in twilio.sent] == [
        ("", (link(photo),), False),
        ("When?", (), True),
    ]
    await connector.send(out(attachments=(other,)), ours, way)
    assert (twilio.sent[-1].body, twilio.sent[-1].content_sid) == (f"{NUMBERED}\nx.zip: {link(other)}", "")


async def test_the_same_question_is_made_once_even_for_another_process(twilio: Twilio, way: Wire) -> None:
    ours = at(twilio, KEY, SENDER)
    first, second = fresh(), fresh()
    for connector in (first, first, second, second):
        await connector.send(out(), ours, way)
    assert len({one.content_sid for one in twilio.sent}) == 1
    assert (asked(twilio, "content.create"), asked(twilio, "content.list")) == (1, 2)
    await second.send(out("Where?"), ours, way)
    await second.send(out(), dataclasses.replace(ours, settings={**ours.settings, "choose": "Välj"}), way)
    assert (asked(twilio, "content.create"), asked(twilio, "content.list")) == (2, 2)


async def test_only_so_many_are_remembered(twilio: Twilio, way: Wire) -> None:
    connector = fresh(most=2)
    for text in ("One?", "Two?", "Three?", "Three?", "Two?", "One?"):
        await connector.send(out(text), at(twilio, KEY, SENDER), way)
    assert asked(twilio, "content.create") == 4
    assert all(one.content_sid for one in twilio.sent)


@pytest.mark.parametrize("operation", ["content.list", "content.create"])
@pytest.mark.parametrize("how", [{"status": 429}, {"status": 500}, {"status": 400, "code": 92003}])
async def test_without_a_content_the_numbered_text_goes_once(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, operation: str, how: dict[str, Any]
) -> None:
    twilio.fail(operation, **how)
    await connector.send(out(), at(twilio, KEY, SENDER), way)
    assert [(one.body, one.content_sid) for one in twilio.sent] == [(NUMBERED, "")]
    await connector.send(out(), at(twilio, KEY, SENDER), way)
    assert twilio.sent[-1].content_sid  # it was that once


async def test_a_content_that_does_not_come_in_time_is_not_waited_for(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "PATIENCE_S", 0.0)
    await connector.send(out(), at(twilio, KEY, SENDER), way)
    assert [one.body for one in twilio.sent] == [NUMBERED]


async def test_a_content_deleted_at_twilio_is_refused_and_then_numbered(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio
) -> None:
    ours = at(twilio, KEY, SENDER)
    await connector.send(out(), ours, way)
    twilio.templates.clear()
    await connector.send(out(), ours, way)
    await connector.send(out(), ours, way)
    assert [bool(one.content_sid) for one in twilio.sent] == [True, False, True]
    assert [one.code for one in twilio.refused] == [21655]


@pytest.mark.parametrize("how, code", [({"status": 500}, SendCode.UNKNOWN), ({"status": 429}, None)])
async def test_a_message_that_fails_is_not_sent_in_another_form(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, how: dict[str, Any], code: SendCode | None
) -> None:
    twilio.fail("messages.create", **how)
    with pytest.raises(SendError) as caught:
        await connector.send(out(), at(twilio, KEY, SENDER), way)
    assert caught.value.code is (code or SendCode.THROTTLED)
    assert (asked(twilio, "messages.create"), twilio.sent) == (1, [])


@pytest.mark.parametrize("content", [True, False])
async def test_it_is_found_in_either_form(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio, content: bool
) -> None:
    ours, wanted = at(twilio, KEY, SENDER), out(attachments=(file("a.jpg"),))
    assert await connector.find(wanted, ours, way) is None
    if not content:
        twilio.fail("content.list", status=500)
    sent = await connector.send(wanted, ours, way)
    assert bool(twilio.sent[-1].content_sid) is content
    assert await connector.find(wanted, ours, way) == sent


async def test_a_message_whose_words_the_list_does_not_have_is_no_proof(
    twilio: Twilio, way: Wire, connector: WhatsAppTwilio
) -> None:
    ours = at(twilio, KEY, SENDER)
    await connector.send(out(), ours, way)
    twilio.sent[-1].body = ""
    with pytest.raises(SendError) as caught:
        await connector.find(out(), ours, way)
    assert caught.value.code is SendCode.UNKNOWN


async def test_an_odd_list_hurts_nobody_and_our_credentials_are_led_nowhere() -> None:
    from tests.servers.http import Provider, Say, Seen

    asked: list[str] = []
    odd: list[bytes] = [b'{"contents": 7, "meta": []}', b'{"contents": [1, {"friendly_name": 2}], "meta": 3}']
    odd.append(b'{"contents": [], "meta": {"next_page_url": "http://127.0.0.1:9/v1/Content?Page=1"}}')

    def answer(seen: Seen) -> Say:
        asked.append(f"{seen.method} {seen.path.rpartition('/')[2].partition('?')[0]}")
        if seen.method == "GET":
            return Say(body=odd[-1])
        return Say(status=201, body=b'{"sid": "HX1"}' if "Content" in seen.path else b'{"sid": "SM1"}')

    with Provider(check=answer) as provider:
        server = Twilio()
        server.url = provider.url
        async with wire() as way:
            while odd:
                sent = await fresh().send(out(), at(server, KEY, SENDER), way)
                assert sent.external_ids == ("SM1",)
                odd.pop()
    assert asked == ["GET Content", "POST Content", "POST Messages.json"] * 3


def test_the_desks_are_told_and_the_settings_checked() -> None:
    assert (LIMITS.choices, LIMITS.choice_chars) == (10, 24)
    sid = "AC" + "0" * 32

    def ours(**more: str) -> Account:
        return account(KEY, {"auth_token": ("t",)}, account_sid=sid, numbers=[SENDER], **more)

    assert CONNECTOR.check(ours(choose="Välj")) == []
    assert "at most 20" in " ".join(CONNECTOR.check(ours(choose="x" * 21)))
    assert api.contents_url(ours()) == "https://content.twilio.com"
    assert api.contents_url(ours(api="http://127.0.0.1:1/")) == "http://127.0.0.1:1"
