"""WhatsApp through a Twilio that checks what Twilio checks: every kind that comes in, window, templates, reports."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Wire
from connectors.whatsapp_twilio import CONNECTOR
from hub.errors import SendCode, SendError
from hub.model import (
    ButtonKind,
    Change,
    DeliveryReported,
    DeliveryStatus,
    HeaderKind,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
    Outgoing,
    Template,
    TemplateButton,
    TemplateHeader,
)
from tests.connectors.gate import gate
from tests.connectors.twilio_world import BO, SENDER, at, file, link, message, wire
from tests.servers import free_port
from tests.servers.twilio import Twilio

KEY = "whatsapp_twilio/main"
USER = "US.13491208655302741918"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        twilio.sender(SENDER)
        yield twilio


@pytest.fixture
async def way() -> AsyncIterator[Wire]:
    async with wire() as way:
        yield way


def out(text: str = "It is on its way.", to: str = BO, **more: Any) -> Outgoing:
    return message(text, to, KEY, **more)


async def test_free_text_within_the_window(twilio: Twilio, way: Wire) -> None:
    sent = await CONNECTOR.send(
        out(heard_at=way.now - timedelta(hours=23, minutes=59)), at(twilio, KEY, SENDER), way
    )
    (taken,) = twilio.sent
    assert (taken.from_, taken.to) == (f"whatsapp:{SENDER}", f"whatsapp:{BO}")
    assert sent.external_ids == (taken.sid,)


@pytest.mark.parametrize("hours", [None, 24.01, 1000])
async def test_outside_the_window_nothing_is_asked(twilio: Twilio, way: Wire, hours: float | None) -> None:
    heard = None if hours is None else way.now - timedelta(hours=hours)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(out(heard_at=heard), at(twilio, KEY, SENDER), way)
    assert caught.value.code is SendCode.WINDOW_CLOSED
    assert twilio.requests == []


async def test_a_template_goes_out_at_any_time(twilio: Twilio, way: Wire) -> None:
    template = twilio.template("Hello {{1}}, your parcel {{2}} is here.")
    wanted = Template(name=template.sid, language="en", parameters=("Bo", "4711"))
    text = "Hello Bo, your parcel 4711 is here."
    await CONNECTOR.send(out(text, heard_at=None, template=wanted), at(twilio, KEY, SENDER), way)
    (taken,) = twilio.sent
    assert (taken.content_sid, taken.content_variables) == (template.sid, {"1": "Bo", "2": "4711"})
    assert taken.body == text
    found = await CONNECTOR.find(out(text, heard_at=None, template=wanted), at(twilio, KEY, SENDER), way)
    assert found is not None
    assert found.external_ids == (taken.sid,)


async def test_variables_may_have_names(twilio: Twilio, way: Wire) -> None:
    template = twilio.template("Hello {{who}}, your parcel {{no}} is here.")
    wanted = Template(name=template.sid, parameters=("4711", "Bo"), names=("no", "who"))
    await CONNECTOR.send(out(heard_at=None, template=wanted), at(twilio, KEY, SENDER), way)
    assert twilio.sent[0].body == "Hello Bo, your parcel 4711 is here."


@pytest.mark.parametrize(
    "template",
    [
        Template(name="order_update"),
        Template(name="HX" + "0" * 32, parameters=("",)),
        Template(name="HX" + "0" * 32, parameters=("two\nlines",)),
        Template(name="HX" + "0" * 32, header=TemplateHeader(kind=HeaderKind.TEXT, value="4711")),
        Template(
            name="HX" + "0" * 32, buttons=(TemplateButton(number=1, kind=ButtonKind.URL, value="4711"),)
        ),
    ],
)
async def test_a_template_that_twilio_would_refuse_is_not_sent(
    twilio: Twilio, way: Wire, template: Template
) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(out(template=template), at(twilio, KEY, SENDER), way)
    assert caught.value.code is SendCode.MESSAGE_INVALID
    assert twilio.requests == []


async def test_an_unknown_template_is_the_agents_matter(twilio: Twilio, way: Wire) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(out(template=Template(name="HX" + "0" * 32)), at(twilio, KEY, SENDER), way)
    assert (caught.value.code, caught.value.provider_code) == (SendCode.MESSAGE_INVALID, "21655")


async def test_one_file_a_message_and_the_text_beside_the_first(twilio: Twilio, way: Wire) -> None:
    photo, bill = file("a.jpg"), file("bill.pdf", "application/pdf")
    await CONNECTOR.send(out("See", attachments=(photo, bill)), at(twilio, KEY, SENDER), way)
    assert [(one.body, one.media_urls) for one in twilio.sent] == [
        ("See", (link(photo),)),
        ("", (link(bill),)),
    ]


async def test_beside_a_sound_no_text_is_shown(twilio: Twilio, way: Wire) -> None:
    sound, other = file("a.ogg", "audio/ogg"), file("x.zip", "application/zip")
    await CONNECTOR.send(out("Listen", attachments=(sound, other)), at(twilio, KEY, SENDER), way)
    assert [(one.body, one.media_urls) for one in twilio.sent] == [
        (f"Listen\nx.zip: {link(other)}", ()),
        ("", (link(sound),)),
    ]


async def test_who_hides_the_number_is_answered_by_id(twilio: Twilio, way: Wire) -> None:
    await CONNECTOR.send(out(to=f"wa:{USER}"), at(twilio, KEY, SENDER), way)
    assert twilio.sent[0].to == f"whatsapp:{USER}"


async def test_everything_that_people_do_comes_in(twilio: Twilio, tmp_path: Path, valkey: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    account = at(twilio, KEY, SENDER)
    twilio.sender(SENDER, url=f"{url}/in/{KEY}")
    async with (
        gate(tmp_path, valkey, accounts={KEY: account}, port=port, public_url=url) as g,
        wire(url) as way,
    ):
        bo = twilio.customer(BO, "Bo").whatsapp()
        sent = await CONNECTOR.send(out("Shall we?"), account, way)
        ours = sent.external_ids[0]
        await bo.says("Hello")
        await bo.says("That one", re=ours)
        await bo.presses("Yes", payload="yes-1", of=ours)
        await bo.picks("slot-1", "Morning", description="8 to 12", of=ours)
        await bo.voice()
        await bo.sticker()
        await bo.contact("Ann Lee", "+14155550123")
        await bo.location(25.5, -77.25, label="Harbour")
        await bo.says("Look", forwarded=6)
        await bo.comes_from_ad("I saw it", headline="Shoes", url="https://fb.me/1")
        await bo.does("order")
        await bo.does("reaction", Body="👍", OriginalRepliedMessageSid=ours)
        assert all(delivery.ok for delivery in twilio.deliveries)
        assert twilio.replied == []
        said = [e for e in g.kept() if isinstance(e, MessageReceived)]
        assert [e.text for e in said] == [
            "Hello", "That one", "Yes", "Morning", "", "(sticker)", "👤 Contact card: in the file",
            "📍 Location: Harbour", "Look", "I saw it", "(Something that cannot be shown here: order.)",
        ]  # fmt: skip
        assert {e.sender for e in said} == {f"tel:{BO}"}
        assert {e.sender_name for e in said} == {"Bo"}
        assert [e.in_reply_to for e in said[1:4]] == [ours] * 3
        assert ("tapped", "yes-1") in said[2].fields
        assert ("tapped", "slot-1") in said[3].fields
        assert [m.kind for e in said[4:7] for m in e.media] == ["voice", "sticker", "file"]
        assert (await CONNECTOR.fetch(said[4].media[0], account, way)).data == b"OggS"
        assert ("forwarded", "many times") in said[8].fields
        assert ("headline", "Shoes") in said[9].fields
        assert said[10].blob is not None
        assert b"MessageType=order" in await g.blobs.aread(said[10].blob)
        (reaction,) = [e for e in g.kept() if isinstance(e, MessageChanged)]
        assert (reaction.change, reaction.external_id, reaction.text) == (Change.REACTION, ours, "👍")


async def test_number_and_id_are_known_to_be_one_person(twilio: Twilio, tmp_path: Path, valkey: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    twilio.sender(SENDER, url=f"{url}/in/{KEY}")
    known = {KEY: at(twilio, KEY, SENDER)}
    async with gate(tmp_path, valkey, accounts=known, port=port, public_url=url) as g:
        bo = twilio.customer(BO, "Bo")
        await bo.whatsapp(user_id=USER).says("With my number")
        await bo.whatsapp(user_id=USER, number_shown=False).says("Without")
        first, learned, second = g.kept()
        assert isinstance(first, MessageReceived)
        assert isinstance(learned, IdentityLearned)
        assert isinstance(second, MessageReceived)
        assert (first.sender, second.sender) == (f"tel:{BO}", f"wa:{USER}")
        assert (learned.urn, learned.other, learned.verified) == (f"tel:{BO}", f"wa:{USER}", True)


async def test_reports_up_to_read_and_why_one_failed(twilio: Twilio, tmp_path: Path, valkey: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    account = at(twilio, KEY, SENDER)
    async with (
        gate(tmp_path, valkey, accounts={KEY: account}, port=port, public_url=url) as g,
        wire(url) as way,
    ):
        sent = await CONNECTOR.send(out(), account, way)
        await twilio.settled()  # Twilio, too, finds the window closed: nobody has written
        sid = sent.external_ids[0]
        twilio.reports.hold = True
        await twilio.reports.say(sid, "sent", "delivered", "read")
        twilio.reports.shuffle(3)
        await twilio.reports.flush()
        reports = {e.event_key: e for e in g.kept() if isinstance(e, DeliveryReported)}
        failed = reports.pop(f"{sid}:failed")
        assert (failed.status, failed.code) == (DeliveryStatus.FAILED, "63016")
        assert "template" in failed.detail
        assert {e.status for e in reports.values()} == {
            DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ,
        }  # fmt: skip


# ---------------------------------------------------------------------------------- senders, as the API shows them


async def test_doctor_and_hook_speak_with_the_senders_api() -> None:
    """https://www.twilio.com/docs/whatsapp/api/senders; the local Twilio has it not, so a plain server answers."""
    from tests.servers.http import Provider, Say, Seen

    sender = {"sid": "XE" + "1" * 32, "status": "ONLINE", "sender_id": f"whatsapp:{SENDER}", "webhook": {}}

    def answer(seen: Seen) -> Say:
        if seen.path.startswith("/v2/Channels/Senders") and seen.method == "GET":
            return Say(body=json.dumps({"senders": [sender]}).encode())
        if seen.method == "POST":
            sender["webhook"] = json.loads(seen.body)["webhook"]
            return Say(status=202, body=json.dumps(sender).encode())
        return Say(body=b'{"status": "active", "type": "Full"}')

    with Provider(check=answer) as provider:
        twilio = Twilio()
        twilio.url = provider.url
        account = at(twilio, KEY, SENDER, fallback_url="https://spare.example/in")
        async with wire() as way:
            before = [f.wrong for f in await CONNECTOR.examine(account, way) if f.wrong]
            assert len(before) == 2
            assert "nowhere" in before[0]
            await CONNECTOR.hook(account, way)
            after = await CONNECTOR.examine(account, way)
            assert [f.wrong for f in after if f.wrong] == []
            assert sender["webhook"] == {
                "callback_url": f"{way.public_url}/in/{KEY}#rc=3&rp=5xx,ct,rt",
                "callback_method": "POST",
                "fallback_url": "https://spare.example/in",
                "fallback_method": "POST",
            }
            other = at(twilio, KEY, "+14155550998")
            assert "no such WhatsApp sender" in " ".join(f.wrong for f in await CONNECTOR.examine(other, way))
