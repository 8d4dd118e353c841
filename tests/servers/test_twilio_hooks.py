"""The local Twilio's side of a conversation: signed webhooks, retries, fallback, opt-out, WhatsApp, reports."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web

from tests.servers.http import Provider, Say, Seen
from tests.servers.twilio import Delivery, Number, Sender, Twilio, signature

SHOP, ANN = "+14155550100", "+14155550123"
EMPTY = Say(headers={"Content-Type": "text/xml"}, body=b"<Response/>")


def params(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(seen.body.decode(), keep_blank_values=True))


@pytest.fixture
def hub() -> Iterator[Provider]:
    with Provider(default=EMPTY) as hub:
        yield hub


@pytest.fixture
def spare() -> Iterator[Provider]:
    with Provider(default=EMPTY) as spare:
        yield spare


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        yield twilio


@pytest.fixture
def shop(twilio: Twilio, hub: Provider) -> Number:
    return twilio.number(SHOP, sms_url=f"{hub.url}/in?a=1&b=2")


@pytest.fixture
def wa(twilio: Twilio, hub: Provider) -> Sender:
    return twilio.sender("+14155550111", url=f"{hub.url}/wa")


def test_the_documented_signature() -> None:
    call = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
        "To": "+18005551212",
    }  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, call) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


async def test_an_sms_arrives_signed(twilio: Twilio, shop: Number, hub: Provider) -> None:
    delivery = await twilio.customer(ANN).says("Grüße 😀 " + "x" * 200, to=shop)
    assert delivery.tries == [(f"{hub.url}/in?a=1&b=2", "ok")]
    seen = hub.seen[0]
    told = params(seen)
    said = f"{hub.url}/in?a=1&b=2" + "".join(key + told[key] for key in sorted(told))
    mac = hmac.new(twilio.auth_token.encode(), said.encode(), hashlib.sha1).digest()
    assert seen.headers["x-twilio-signature"] == base64.b64encode(mac).decode()
    assert seen.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert told["From"] == ANN
    assert (told["NumMedia"], told["NumSegments"], told["SmsStatus"]) == ("0", "4", "received")
    assert told["MessageSid"] == told["SmsSid"] == told["SmsMessageSid"]
    assert twilio.messages[told["MessageSid"]].body.startswith("Grüße")


@pytest.mark.parametrize(
    "fragment,status,tries",
    [
        ("", 503, ["5xx"]), ("#rp=5xx", 503, ["5xx", "ok"]), ("#rc=3&rp=5xx", 503, ["5xx", "ok"]),
        ("#rc=3&rp=4xx,ct", 503, ["5xx"]), ("#rp=all", 404, ["4xx", "ok"]), ("#rc=9&rp=all", 404, ["4xx", "ok"]),
        ("#rc=0&rp=all", 404, ["4xx"]), ("#rp=none", 503, ["5xx"]), ("#rp=all", 302, ["3xx", "ok"]),
    ],
)  # fmt: skip
async def test_retries_by_the_fragment(
    twilio: Twilio, hub: Provider, fragment: str, status: int, tries: list[str]
) -> None:
    shop = twilio.number(SHOP, sms_url=f"{hub.url}/in{fragment}")
    hub.answers([Say(status=status)])
    delivery = await twilio.customer(ANN).says("Hi", to=shop)
    assert [result for _, result in delivery.tries] == tries
    assert {seen.path for seen in hub.seen} == {"/in"}
    assert len({seen.headers["i-twilio-idempotency-token"] for seen in hub.seen}) == 1
    assert len({seen.body for seen in hub.seen}) == 1
    assert bool(twilio.alerts) is not delivery.ok


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_address_is_signed_byte_for_byte(twilio: Twilio, method: str) -> None:
    """What a client of HTTP would write in another way is neither signed nor sent so."""
    seen: list[tuple[str, str, dict[str, str]]] = []

    async def hub(request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        seen.append((request.raw_path, request.headers["X-Twilio-Signature"], form))
        return web.Response(status=204)

    url = await twilio.listen(hub)
    shop = twilio.number(SHOP, sms_url=f"{url}/in?a=%7e%2f+b", method=method)
    assert (await twilio.customer(ANN).says("Hi there+ &", to=shop)).ok
    path, signed, form = seen[0]
    assert path.startswith("/in?a=%7e%2f+b")
    assert bool(form) is (method == "POST")
    assert signed == signature(twilio.auth_token, url + path, form)


async def test_no_connection_is_tried_again_and_then_the_fallback(twilio: Twilio, spare: Provider) -> None:
    shop = twilio.number(SHOP, sms_url="http://127.0.0.1:1/in#rc=2", sms_fallback_url=f"{spare.url}/in")
    delivery = await twilio.customer(ANN).says("Hi", to=shop)
    assert [result for _, result in delivery.tries] == ["ct", "ct", "ct", "ok"]
    told = params(spare.seen[0])
    assert (told["ErrorCode"], told["ErrorUrl"]) == ("11200", "http://127.0.0.1:1/in")
    assert spare.seen[0].headers["x-twilio-signature"] == signature(
        twilio.auth_token, f"{spare.url}/in", told
    )


async def test_a_hub_that_hangs_and_one_that_breaks_off(twilio: Twilio, shop: Number, hub: Provider) -> None:
    shop.hook.url += "#rt=100&rp=rt"
    hub.answers([Say(hang=True), Say(cut="before")])
    delivery = await twilio.customer(ANN).says("Hi", to=shop)
    assert [result for _, result in delivery.tries] == ["rt", "rt"]
    assert not delivery.ok


async def test_what_is_answered_is_carried_out(twilio: Twilio, shop: Number, hub: Provider) -> None:
    ann, xml = twilio.customer(ANN), {"Content-Type": "application/xml"}
    hub.answers([
        Say(headers=xml, body=b"<Response><Message>Hello</Message><Message><Body>Bye</Body></Message></Response>"),
        Say(headers={"Content-Type": "text/plain"}, body=b"ok"),
        Say(headers={"Content-Type": "application/json"}, body=b"{}"),
        Say(headers=xml, body=b"<html/>"),
        Say(status=204, body=b""),
    ])  # fmt: skip
    for _ in range(5):
        await ann.says("Hi", to=shop)
    assert [one.body for one in twilio.replied] == ["Hello", "Bye", "ok"]
    assert [code for code, _ in twilio.alerts] == [12300, 12100]


async def test_media_come_with_their_addresses(twilio: Twilio, shop: Number, hub: Provider) -> None:
    files = [("image/png", b"1"), ("text/vcard", b"2")]
    await twilio.customer(ANN).says("Look", to=shop, media=files)
    told = params(hub.seen[0])
    assert told["MessageSid"].startswith("MM")
    assert (told["NumMedia"], told["MediaContentType1"]) == ("2", "text/vcard")
    assert f"/Messages/{told['MessageSid']}/Media/ME" in told["MediaUrl0"]


async def _send(twilio: Twilio, **form: str) -> int:
    """0, or the code of the refusal."""
    url = f"{twilio.url}/2010-04-01/Accounts/{twilio.account_sid}/Messages.json"
    auth = {"Authorization": aiohttp.encode_basic_auth(twilio.account_sid, twilio.auth_token)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data={"From": SHOP, "To": ANN, "Body": "Hi"} | form, headers=auth) as answer,
    ):
        return int((await answer.json()).get("code", 0))


@pytest.mark.parametrize("through_service", [False, True])
async def test_stop_and_start(twilio: Twilio, shop: Number, hub: Provider, through_service: bool) -> None:
    if through_service:
        twilio.service(shop, url=f"{hub.url}/mg")
    ann = twilio.customer(ANN)
    await ann.says(" Stop ", to=shop)
    assert await _send(twilio) == 21610
    assert await _send(twilio, To="+14155550124") == 0
    await ann.says("HELP")
    assert await _send(twilio) == 21610
    await ann.starts()
    assert await _send(twilio) == 0
    kinds = [params(seen).get("OptOutType") for seen in hub.seen]
    assert kinds == (["STOP", "HELP", "START"] if through_service else [None] * 3)
    assert {seen.path for seen in hub.seen} == {"/mg" if through_service else "/in"}
    assert ("MessagingServiceSid" in params(hub.seen[0])) is through_service


async def test_whatsapp_as_it_is_documented(twilio: Twilio, wa: Sender, hub: Provider) -> None:
    ann = twilio.customer(ANN, "Ann").whatsapp(wa, user_id="US.13491208655302741918")
    first = await ann.says("Hi")
    await ann.says("Yes", re=first.sid, forwarded=6)
    await ann.presses("Track", payload="track-1", of=first.sid)
    await ann.picks("size-m", "M", description="Medium", of=first.sid)
    await ann.location(52.5, 13.4, address="Unter den Linden", label="Home")
    await ann.comes_from_ad("Offer?", headline="Sale", url="https://fb.me/1")
    await ann.sticker()
    await ann.voice()
    await ann.contact("Bo", "+14155550199")
    await ann.does("order", Order="[]")
    told = [params(seen) for seen in hub.seen]
    assert {one["From"] for one in told} == {f"whatsapp:{ANN}"}
    assert {one["ExternalUserId"] for one in told} == {"whatsapp:US.13491208655302741918"}
    assert {(one["ProfileName"], one["WaId"]) for one in told} == {("Ann", "14155550123")}
    assert told[1]["OriginalRepliedMessageSid"] == first.sid
    assert told[1]["OriginalRepliedMessageSender"] == f"whatsapp:{ANN}"
    assert (told[1]["Forwarded"], told[1]["FrequentlyForwarded"]) == ("true", "true")
    assert (told[2]["ButtonText"], told[2]["ButtonPayload"], told[2]["Body"]) == ("Track", "track-1", "Track")
    assert (told[3]["ListId"], told[3]["ListTitle"]) == ("size-m", "M")
    assert (told[4]["Latitude"], told[4]["Label"]) == ("52.5", "Home")
    assert (told[5]["ReferralSourceType"], told[5]["ReferralHeadline"]) == ("ad", "Sale")
    assert [one["MediaContentType0"] for one in told[6:9]] == ["image/webp", "audio/ogg", "text/vcard"]
    assert told[9]["MessageType"] == "order"
    assert json.loads(told[2]["ChannelMetadata"])["data"]["context"]["ButtonText"] == "Track"


async def test_somebody_without_a_number(twilio: Twilio, wa: Sender, hub: Provider) -> None:
    bo = twilio.customer("+14155550177", "Bo").whatsapp(wa, user_id="US.1349", number_shown=False)
    await bo.says("Hi")
    told = params(hub.seen[0])
    assert told["From"] == told["ExternalUserId"] == "whatsapp:US.1349"
    assert "WaId" not in told
    assert "14155550177" not in hub.seen[0].body.decode()
    assert await _send(twilio, From=wa.address, To="whatsapp:US.1349") == 0
    assert twilio.sent[0].error_code is None


def _told(seen: list[Seen]) -> list[str]:
    return [params(one)["MessageStatus"] for one in seen]


async def test_reports(twilio: Twilio, shop: Number, wa: Sender, hub: Provider) -> None:
    callback = f"{hub.url}/status?uuid=1"
    await _send(twilio, StatusCallback=callback)
    await _send(twilio)
    sid = twilio.sent[0].sid
    await twilio.reports.say(sid, "sent")
    await twilio.reports.fail(sid, 30003)
    await twilio.reports.say(twilio.sent[1].sid, "sent")
    assert _told(hub.seen) == ["sent", "undelivered"]
    told = params(hub.seen[1])
    assert (told["ErrorCode"], told["MessageSid"]) == ("30003", sid)
    assert hub.seen[1].headers["x-twilio-signature"] == signature(twilio.auth_token, callback, told)
    await twilio.customer(ANN).whatsapp(wa).says("Hi")
    hub.seen.clear()
    await _send(twilio, From=wa.address, To=f"whatsapp:{ANN}", StatusCallback=callback)
    await twilio.reports.read(twilio.sent[-1].sid)
    assert params(hub.seen[0])["EventType"] == "READ"


async def test_reports_early_doubled_and_shuffled(twilio: Twilio, shop: Number, hub: Provider) -> None:
    twilio.reports.auto, twilio.reports.early = ("sent", "delivered"), True
    await _send(twilio, StatusCallback=f"{hub.url}/status")
    assert _told(hub.seen) == ["sent", "delivered"]
    hub.seen.clear()
    twilio.reports.hold = True
    await _send(twilio, StatusCallback=f"{hub.url}/status")
    assert hub.seen == []
    twilio.reports.double()
    twilio.reports.shuffle(1)
    await twilio.reports.flush()
    assert sorted(_told(hub.seen)) == ["delivered", "delivered", "sent", "sent"]
    assert _told(hub.seen) != ["sent", "sent", "delivered", "delivered"]
    assert len({seen.headers["i-twilio-idempotency-token"] for seen in hub.seen}) == 2


async def test_doom_is_told_by_itself(twilio: Twilio, shop: Number, hub: Provider) -> None:
    twilio.doom(ANN, 30007)
    assert await _send(twilio, StatusCallback=f"{hub.url}/status") == 0
    await twilio.settled()
    assert params(hub.seen[0])["ErrorCode"] == "30007"


async def test_the_same_webhook_again(twilio: Twilio, shop: Number, hub: Provider) -> None:
    delivery = await twilio.customer(ANN).says("Hi", to=shop)
    again: Delivery = await twilio.redeliver(delivery)
    assert again.ok
    assert hub.seen[0].body == hub.seen[1].body
    assert hub.seen[0].headers["x-twilio-signature"] == hub.seen[1].headers["x-twilio-signature"]


def test_in_a_thread(hub: Provider) -> None:
    with Twilio() as twilio:
        shop = twilio.number(SHOP, sms_url=f"{hub.url}/in")
        assert twilio.run(twilio.customer(ANN).says("Hi", to=shop)).ok
