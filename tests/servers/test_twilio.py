"""The local Twilio refuses what Twilio refuses: each test would fail if it were lenient."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.each import each
from tests.servers.twilio import Number, Twilio, segments

SHOP, ANN = "+14155550100", "+14155550123"


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        yield twilio


@pytest.fixture
def shop(twilio: Twilio) -> Number:
    return twilio.number(SHOP)


class Api:
    """A plain client: nothing of ours in between."""

    def __init__(self, twilio: Twilio, session: aiohttp.ClientSession) -> None:
        self.twilio, self.session = twilio, session
        self.auth: tuple[str, str] | None = (twilio.account_sid, twilio.auth_token)
        self.base = f"{twilio.url}/2010-04-01/Accounts/{twilio.account_sid}"

    async def __call__(self, method: str, path: str, **more: Any) -> tuple[int, Any, dict[str, str]]:
        auth = {"Authorization": aiohttp.encode_basic_auth(*self.auth)} if self.auth else {}
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(method, url, headers=auth, allow_redirects=False, **more) as answer:
            body = await answer.json() if answer.content_type == "application/json" else await answer.read()
            return answer.status, body, {k.lower(): v for k, v in answer.headers.items()}

    async def send(self, **form: str) -> tuple[int, Any]:
        status, body, _ = await self(
            "POST", "/Messages.json", data={"From": SHOP, "To": ANN, "Body": "Hi"} | form
        )
        return status, body

    async def refused(self, **form: str) -> int:
        status, body = await self.send(**form)
        assert status >= 400
        assert set(body) == {"code", "message", "more_info", "status"}
        assert body["status"] == status
        return int(body["code"])


@pytest.fixture
async def api(twilio: Twilio) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(twilio, session)


async def test_a_message_is_taken_in_its_whole_shape(twilio: Twilio, shop: Number, api: Api) -> None:
    status, body = await api.send(Body="Your order — it left")
    assert status == 201
    assert body["status"] == "queued"
    assert body["direction"] == "outbound-api"
    assert (body["num_segments"], body["num_media"]) == ("1", "0")
    assert body["error_code"] is None
    assert body["date_created"].endswith("+0000")
    assert body["subresource_uris"]["media"].endswith(f"/Messages/{body['sid']}/Media.json")
    assert twilio.sent[0].body == "Your order — it left"
    assert (await api("GET", f"/Messages/{body['sid']}.json"))[1]["sid"] == body["sid"]
    assert (await api("GET", "/Messages/SM" + "0" * 32 + ".json"))[1]["code"] == 20404


@each(
    "text,count",
    [
        ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 10, 2), (("a" * 152 + "€") * 2, 3), ("ł" * 70, 1), ("ł" * 71, 2), ("ł" * 135, 3),
        ("😀" * 35, 1), ("😀" * 36, 2), ("😀" * 67, 3), ("ç" * 2, 1), ("\n" * 160, 1), ("`" * 71, 2),
    ],
)  # fmt: skip
def test_segments(text: str, count: int) -> None:
    assert segments(text) == count


@each(
    "form,code",
    [
        ({"To": ""}, 21604), ({"To": "4155550123"}, 21211), ({"To": "+1"}, 21211), ({"To": "+1415555012345"}, 21211),
        ({"From": ""}, 21603), ({"From": "Shop"}, 21212), ({"From": "+14155550199"}, 21659), ({"To": SHOP}, 21266),
        ({"Body": ""}, 21619), ({"Body": "x" * 1601}, 21617), ({"MediaUrl": "file:///etc/passwd"}, 21620),
        ({"StatusCallback": "hub/status"}, 21609), ({"Text": "Hi"}, 20001), ({"To": "whatsapp:" + ANN}, 21910),
        ({"From": "whatsapp:" + SHOP, "To": "whatsapp:" + ANN}, 63007), ({"ContentSid": "HX" + "0" * 32}, 21655),
        ({"MessagingServiceSid": "MG1"}, 21705), ({"MessagingServiceSid": "MG" + "0" * 32}, 21701),
        ({"ContentVariables": "{}"}, 21656), ({"To": "+86 10 1234"}, 21211), ({"To": "+8613800138000"}, 21408),
        ({"From": "+14155550101"}, 21606), ({"From": "+14155550102"}, 21660),
        ({"From": "+14155550103", "MediaUrl": "http://127.0.0.1/a.png"}, 21612), ({"To": "+14155550140"}, 21614),
    ],
)  # fmt: skip
async def test_what_is_refused_and_why(
    twilio: Twilio, shop: Number, api: Api, form: dict[str, str], code: int
) -> None:
    twilio.number("+14155550101", sms=False)
    twilio.number("+14155550103", mms=False)
    twilio.others.add("+14155550102")
    twilio.no_permission = ("+86",)
    twilio.refuse("+14155550140", 21614)
    twilio.refused.clear()
    assert await api.refused(**form) == code
    assert twilio.sent == []
    assert [one.code for one in twilio.refused] == [code]


async def test_json_is_no_form(shop: Number, api: Api) -> None:
    status, body, _ = await api("POST", "/Messages.json", json={"From": SHOP, "To": ANN, "Body": "Hi"})
    assert (status, body["code"]) == (400, 21604)


async def test_the_password(twilio: Twilio, shop: Number, api: Api) -> None:
    api.auth = (twilio.api_key, twilio.api_secret)
    assert (await api.send())[0] == 201
    for wrong in (
        None,
        (twilio.account_sid, "x"),
        (twilio.api_key, twilio.auth_token),
    ):
        api.auth = wrong
        assert await api.refused() == 20003
    api.auth = (twilio.account_sid, twilio.auth_token)
    other = f"{twilio.url}/2010-04-01/Accounts/AC{'0' * 32}/Messages.json"
    assert (await api("GET", other))[0] == 404


async def test_rates_and_queues(twilio: Twilio, shop: Number, api: Api) -> None:
    twilio.rate = 2
    assert [(await api.send())[0] for _ in range(2)] == [201, 201]
    status, body, headers = await api("POST", "/Messages.json", data={"From": SHOP, "To": ANN, "Body": "Hi"})
    assert (status, body["code"], headers["retry-after"]) == (429, 20429, "1")
    twilio.passes(1)
    twilio.queue_limit = 2
    assert await api.refused() == 21611


async def test_the_trial_account(twilio: Twilio, shop: Number, api: Api) -> None:
    twilio.trial = True
    assert await api.refused() == 21608
    twilio.verified.add(ANN)
    assert (await api.send())[0] == 201
    assert (await api("GET", ".json"))[1]["type"] == "Trial"


async def test_a_service_chooses_the_number_she_wrote_to(twilio: Twilio, shop: Number, api: Api) -> None:
    other = twilio.number("+14155550199")
    service = twilio.service(other, shop)
    await twilio.customer(ANN).says("Hi", to=shop)
    status, body = await api.send(From="", MessagingServiceSid=service.sid)
    assert (status, body["status"], body["from"], body["num_segments"]) == (201, "accepted", None, "0")
    assert twilio.sent[0].from_ == SHOP
    assert await api.refused(MessagingServiceSid=twilio.service().sid) == 21704


async def test_the_list_filters_and_pages(twilio: Twilio, shop: Number, api: Api) -> None:
    for text in ("one", "two", "three"):
        await twilio.customer(ANN).says(text, to=shop)
        twilio.passes(1)
    await twilio.customer("+14155550124").says("other", to=shop)
    status, first, _ = await api("GET", "/Messages.json", params={"From": ANN, "To": SHOP, "PageSize": "2"})
    assert status == 200
    assert [one["body"] for one in first["messages"]] == ["three", "two"]
    await twilio.customer(ANN).says("meanwhile", to=shop)
    _, second, _ = await api("GET", twilio.url + first["next_page_uri"])
    assert [one["body"] for one in second["messages"]] == ["one"]
    assert second["next_page_uri"] is None
    _, none, _ = await api("GET", "/Messages.json", params={"DateSent<": "2020-01-01"})
    assert none["messages"] == []
    _, some, _ = await api("GET", "/Messages.json?DateSent>=2020-01-01T00:00:00Z&PageSize=1")
    assert len(some["messages"]) == 1
    assert (await api("GET", "/Messages.json?Page=3"))[1]["code"] == 20001
    assert (await api("GET", "/Messages.json?Since=1"))[1]["code"] == 20001


async def test_redaction_and_deletion(twilio: Twilio, shop: Number, api: Api) -> None:
    sid = (await api.send())[1]["sid"]
    assert (await api("DELETE", f"/Messages/{sid}.json"))[1]["code"] == 20009
    await twilio.reports.say(sid, "sent", "delivered")
    assert (await api("POST", f"/Messages/{sid}.json", data={"Body": "Other"}))[0] == 400
    assert (await api("POST", f"/Messages/{sid}.json", data={"Body": ""}))[1]["body"] == ""
    assert (await api("DELETE", f"/Messages/{sid}.json"))[0] == 204
    assert (await api("GET", f"/Messages/{sid}.json"))[0] == 404


async def test_media_are_elsewhere_and_the_password_stays_here(
    twilio: Twilio, shop: Number, api: Api
) -> None:
    delivery = await twilio.customer(ANN).says("Look", to=shop, media=[("image/png", b"\x89PNG")])
    url = delivery.params["MediaUrl0"]
    status, _, headers = await api("GET", url)
    assert status == 307
    assert not headers["location"].startswith(twilio.url)
    assert (await api("GET", headers["location"]))[0] == 400
    assert twilio.faults == ["the account's password was given to the media host"]
    api.auth = None
    assert (await api("GET", headers["location"]))[1] == b"\x89PNG"
    assert (await api("GET", url))[1]["code"] == 20003
    twilio.passes(5 * 3600)
    assert (await api("GET", headers["location"]))[0] == 403
    api.auth = (twilio.account_sid, twilio.auth_token)
    _, listed, _ = await api("GET", f"/Messages/{delivery.sid}/Media.json")
    assert [one["content_type"] for one in listed["media_list"]] == ["image/png"]
    assert (await api("DELETE", url))[0] == 204
    assert (await api("GET", url))[0] == 404


async def test_twilio_fetches_our_media(twilio: Twilio, shop: Number, api: Api) -> None:
    sid = (await api.send(MediaUrl="http://127.0.0.1:1/a.png"))[1]["sid"]
    await twilio.settled()
    assert (await api("GET", f"/Messages/{sid}.json"))[1]["error_code"] == 11200
    ours = twilio.cdn_address((await _received(twilio, shop)).media[0])
    sid = (await api.send(MediaUrl=ours))[1]["sid"]
    await twilio.settled()
    assert twilio.messages[sid].media[0].content == b"\xff\xd8"
    assert twilio.messages[sid].error_code is None


async def _received(twilio: Twilio, shop: Number) -> Any:
    delivery = await twilio.customer(ANN).says("", to=shop, media=[("image/jpeg", b"\xff\xd8")])
    return twilio.messages[delivery.sid]


async def test_numbers_are_configured(twilio: Twilio, shop: Number, api: Api) -> None:
    _, listed, _ = await api("GET", "/IncomingPhoneNumbers.json", params={"PhoneNumber": SHOP})
    path = f"/IncomingPhoneNumbers/{listed['incoming_phone_numbers'][0]['sid']}.json"
    form = {
        "SmsUrl": "http://127.0.0.1:1/in#rc=2",
        "SmsFallbackUrl": "http://127.0.0.1:2/in",
        "SmsMethod": "POST",
    }
    assert (await api("POST", path, data=form))[1]["sms_url"] == "http://127.0.0.1:1/in#rc=2"
    assert shop.hook.fallback_url == "http://127.0.0.1:2/in"
    assert (await api("POST", path, data={"SmsUrl": "hub"}))[1]["code"] == 21502
    assert (await api("POST", path, data={"SmsURL": "http://127.0.0.1"}))[1]["code"] == 20001


async def test_the_window_of_whatsapp(twilio: Twilio, api: Api) -> None:
    sender = twilio.sender("+14155550111")
    ann = twilio.customer(ANN, "Ann").whatsapp(sender)
    to = {"From": sender.address, "To": ann.address}

    async def fate(**form: str) -> tuple[str, int | None]:
        status, body = await api.send(**(to | form))
        assert status == 201
        await twilio.settled()
        return twilio.messages[body["sid"]].status, twilio.messages[body["sid"]].error_code

    hello = twilio.template("Hello {{1}}")
    draft = twilio.template("Hello", approved=False)
    items = twilio.template("Choose", kind="twilio/list-picker", choices=(("a", "A"),))
    assert await fate() == ("failed", 63016)
    assert await fate(Body="", ContentSid=hello.sid, ContentVariables='{"1": "Ann"}') == ("queued", None)
    assert twilio.sent[-1].body == "Hello Ann"
    assert await fate(Body="", ContentSid=draft.sid) == ("failed", 63016)
    assert await fate(Body="", ContentSid=items.sid) == ("failed", 63016)
    await ann.says("Hi")
    assert await fate() == ("queued", None)
    assert await fate(Body="", ContentSid=items.sid) == ("queued", None)
    twilio.passes(24 * 3600 + 1)
    assert await fate() == ("failed", 63016)
    for variables in ('["Ann"]', '{"1": ""}', '{"1": "a\\nb"}', '{"2": "Ann"}', "{"):
        assert await api.refused(**to, Body="", ContentSid=hello.sid, ContentVariables=variables) == 21656
    assert await api.refused(**to, ContentSid=hello.sid) == 21655


@pytest.mark.parametrize(
    "how, done", [("html", 0), ("cut", 0), ("error", 0), ("lost", 1), ("truncated", 1), ("slow", 1)]
)
async def test_it_fails_on_command(twilio: Twilio, shop: Number, api: Api, how: str, done: int) -> None:
    twilio.fail("messages.create", how=how, status=503, to=ANN)
    assert (await api.send(To="+14155550124"))[0] == 201
    if how in ("cut", "lost", "truncated"):
        with pytest.raises(aiohttp.ClientError):
            await api.send()
    else:
        assert (await api.send())[0] == (201 if done else 503)
    assert len(twilio.sent) == 1 + done
    assert (await api.send())[0] == 201


async def test_it_hangs_on_command(twilio: Twilio, shop: Number, api: Api) -> None:
    for how, done in (("deaf", 0), ("hang", 1)):
        twilio.fail("*", how=how)
        with pytest.raises(TimeoutError):
            await api(
                "POST",
                "/Messages.json",
                data={"From": SHOP, "To": ANN, "Body": how},
                timeout=aiohttp.ClientTimeout(0.1),
            )
        assert len(twilio.sent) == done
    twilio.fail("messages.create", code=20429, retry_after=7, times=-1)
    status, _, headers = await api("POST", "/Messages.json", data={"From": SHOP, "To": ANN, "Body": "Hi"})
    assert (status, headers["retry-after"]) == (429, "7")
    twilio.mend()
    assert (await api.send())[0] == 201


async def test_buttons_and_lists_are_made_and_sent(twilio: Twilio, api: Api) -> None:
    ann = twilio.customer(ANN, "Ann").whatsapp(twilio.sender("+14155550111"))
    await ann.says("Hi")

    async def made(kind: str, **content: Any) -> tuple[int, Any]:
        given = {"friendly_name": "ask", "language": "en", "types": {kind: content}}
        status, body, _ = await api("POST", f"{twilio.url}/v1/Content", json=given)
        return status, body

    def buttons(count: int, **more: str) -> list[dict[str, str]]:
        return [{"title": f"B{index}", "id": f"b{index}"} | more for index in range(count)]

    status, body = await made("twilio/quick-reply", body="Sure?", actions=buttons(2))
    assert (status, body["sid"][:2], body["types"]["twilio/quick-reply"]["body"]) == (201, "HX", "Sure?")
    send = {"From": ann.sender, "To": ann.address, "Body": "", "ContentSid": body["sid"]}
    assert (await api.send(**send))[0] == 201
    assert (await ann.presses("B1", payload="b1", of=twilio.sent[-1].sid)).params["ButtonPayload"] == "b1"
    with pytest.raises(AssertionError):
        await ann.presses("B7", payload="b7", of=twilio.sent[-1].sid)
    four = (await made("twilio/quick-reply", body="Sure?", actions=buttons(4)))[1]["sid"]
    await api.send(**(send | {"ContentSid": four}))
    await twilio.settled()
    assert twilio.sent[-1].error_code == 63021
    for kind, content in (
        ("twilio/quick-reply", {"body": "", "actions": buttons(1)}),
        ("twilio/quick-reply", {"body": "x" * 1025, "actions": buttons(1)}),
        ("twilio/quick-reply", {"body": "x", "actions": buttons(11)}),
        ("twilio/quick-reply", {"body": "x", "actions": buttons(1, title="x" * 21)}),
        ("twilio/quick-reply", {"body": "x", "actions": buttons(2, id="same")}),
        ("twilio/list-picker", {"body": "x", "items": [{"item": "A", "id": "a"}]}),
        ("twilio/list-picker", {"body": "x", "button": "Go", "items": [{"item": "x" * 25, "id": "a"}]}),
        ("twilio/buttons", {"body": "x"}),
    ):  # fmt: skip
        assert (await made(kind, **content))[0] == 400, (kind, content)
    assert (await api("GET", f"{twilio.url}/v1/Content/{four}/ApprovalRequests"))[1]["whatsapp"][
        "status"
    ] == "unsubmitted"
    assert (await api("DELETE", f"{twilio.url}/v1/Content/{four}"))[0] == 204
    assert [one["sid"] for one in (await api("GET", f"{twilio.url}/v1/Content"))[1]["contents"]] == [
        body["sid"]
    ]
    assert (await api("POST", f"{twilio.url}/v1/Content", data={"language": "en"}))[0] == 400


@pytest.mark.parametrize(
    "code", [20003, 20429, 20500, 21211, 21408, 21610, 21611, 21617, 30002, 63018, 63038]
)
async def test_any_code_on_command(twilio: Twilio, shop: Number, api: Api, code: int) -> None:
    twilio.fail("messages.create", code=code, status=429 if code == 63018 else 0)
    status, body = await api.send()
    assert (body["code"], body["status"]) == (code, status)
    assert status == {20003: 401, 20429: 429, 20500: 500, 63018: 429}.get(code, 400)
