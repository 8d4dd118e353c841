"""The local Cloud API is as strict as Meta's: what it takes, what it refuses and with which code."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from tests.each import each
from tests.servers.graph import Customer, Graph, Number
from tests.servers.graph.errors import Json


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    async with Graph() as graph:
        yield graph


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def number(graph: Graph) -> Number:
    return graph.number()


@pytest.fixture
async def ann(number: Number) -> Customer:
    ann = number.customer("Ann", "16505551234")
    await ann.says("hello")
    return ann


@pytest.fixture
def send(graph: Graph, number: Number, web: aiohttp.ClientSession) -> Any:
    async def send(*, token: str = "", **given: Any) -> tuple[int, Json]:
        body = {"messaging_product": "whatsapp", "to": "+1 650-555-1234", **given}
        headers = {"Authorization": f"Bearer {token or number.token}"}
        url = f"{graph.base}/v25.0/{number.id}/messages"
        async with web.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    return send


async def test_a_text_is_taken_and_kept(graph: Graph, number: Number, ann: Customer, send: Any) -> None:
    status, said = await send(
        type="text",
        text={"body": "Hi Ann", "preview_url": False},
        biz_opaque_callback_data="u-1",
        context={"message_id": "wamid.x"},
    )
    assert status == 200
    assert said["contacts"] == [{"input": "+1 650-555-1234", "wa_id": "16505551234"}]
    [sent] = graph.sent
    assert sent.id == said["messages"][0]["id"]
    assert (sent.kind, sent.text, sent.opaque, sent.reply_to) == ("text", "Hi Ann", "u-1", "wamid.x")
    assert (sent.user, sent.account) == (ann.user_id, number.id)


def buttons(n: int, title: str = "Yes") -> Json:
    replies = [{"type": "reply", "reply": {"id": f"b{i}", "title": f"{title}{i}"}} for i in range(n)]
    return {"type": "button", "body": {"text": "Well?"}, "action": {"buttons": replies}}


def rows(n: int) -> Json:
    section = {"title": "All", "rows": [{"id": f"r{i}", "title": f"Row {i}"} for i in range(n)]}
    return {"type": "list", "body": {"text": "Pick"}, "action": {"button": "Show", "sections": [section]}}


CTA = {
    "type": "cta_url",
    "body": {"text": "Look"},
    "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.com"}},
}
NAME = {"formatted_name": "Bo", "first_name": "Bo"}


@pytest.mark.parametrize(
    "kind, value",
    [
        ("text", {"body": "x" * 4096}),
        ("image", {"link": "https://example.com/a.jpg", "caption": "c" * 1024}),
        ("document", {"link": "https://example.com/a.pdf", "filename": "a.pdf"}),
        ("audio", {"link": "https://example.com/a.ogg", "voice": True}),
        ("sticker", {"link": "https://example.com/a.webp"}),
        ("location", {"latitude": 0, "longitude": "4.9", "name": "Dam"}),
        ("contacts", [{"name": NAME, "phones": [{"phone": "+1"}]}]),
        ("interactive", buttons(3)),
        ("interactive", rows(10)),
        ("interactive", CTA),
        (
            "interactive",
            {"type": "contact_request", "body": {"text": "?"}, "action": {"name": "request_contact_info"}},
        ),
    ],
)
async def test_every_kind_within_its_limits_is_taken(ann: Customer, send: Any, kind: str, value: Any) -> None:
    assert (await send(type=kind, **{kind: value}))[0] == 200


@each(
    "given, code",
    [
        ({"type": "text", "text": {"body": "x" * 4097}}, 100),
        ({"type": "text", "text": {}}, 131008),
        ({"type": "text", "text": {"body": "x", "bold": True}}, 100),
        ({"type": "text", "text": {"body": "x"}, "colour": "red"}, 100),
        ({"type": "poem", "poem": {}}, 100),
        ({"type": "text", "text": {"body": "x"}, "to": "Ann"}, 100),
        ({"type": "text", "text": {"body": "x"}, "to": ""}, 100),
        ({"type": "text", "text": {"body": "x"}, "to": "15550783881"}, 131021),
        ({"type": "text", "text": {"body": "x"}, "messaging_product": "sms"}, 100),
        ({"type": "text", "text": {"body": "x"}, "context": {"message_id": "17"}}, 131009),
        ({"type": "text", "text": {"body": "x"}, "biz_opaque_callback_data": "x" * 513}, 100),
        ({"type": "image", "image": {"id": "17"}}, 131009),
        ({"type": "image", "image": {}}, 131008),
        ({"type": "image", "image": {"link": "ftp://x/y"}}, 131009),
        ({"type": "image", "image": {"link": "https://x/y", "caption": "c" * 1025}}, 131009),
        ({"type": "audio", "audio": {"link": "https://x/y", "caption": "c"}}, 100),
        ({"type": "location", "location": {"latitude": 91, "longitude": 0}}, 131009),
        ({"type": "contacts", "contacts": [{"name": {"formatted_name": "Bo"}}]}, 131009),
        ({"type": "reaction", "reaction": {"message_id": "wamid.none", "emoji": "👍"}}, 131009),
        ({"type": "interactive", "interactive": buttons(4)}, 131009),
        ({"type": "interactive", "interactive": buttons(1, "x" * 20)}, 131009),
        ({"type": "interactive", "interactive": rows(11)}, 131009),
        ({"type": "interactive", "interactive": CTA | {"action": {"name": "cta_url"}}}, 131008),
        ({"type": "template", "template": {"name": "none", "language": {"code": "en_US"}}}, 132001),
    ],
)
async def test_what_does_not_fit_is_refused(
    graph: Graph, ann: Customer, send: Any, given: Json, code: int
) -> None:
    graph.refused.clear()
    status, said = await send(**given)
    error = said["error"]
    assert (status, error["code"], error["type"]) == (404 if code == 132001 else 400, code, "OAuthException")
    assert set(error) <= {"message", "type", "code", "error_data", "fbtrace_id"}
    assert error["message"].startswith(f"(#{code}) ")
    assert graph.sent == []
    assert [one.code for one in graph.refused] == [code]


async def test_the_token_must_be_the_numbers_own(
    graph: Graph, ann: Customer, send: Any, number: Number
) -> None:
    text = {"type": "text", "text": {"body": "x"}}
    status, said = await send(token="EAAwrong", **text)
    assert (status, said["error"]["code"]) == (401, 190)
    status, said = await send(token=graph.number("+1 555 000 1111").token, **text)
    assert (said["error"]["code"], said["error"]["error_subcode"]) == (100, 33)
    number.expire()
    status, said = await send(**text)
    assert (status, said["error"]["code"], said["error"]["error_subcode"]) == (401, 190, 463)
    number.renew()
    assert (await send(**text))[0] == 200


async def test_a_proof_that_is_sent_must_be_right(
    graph: Graph, web: aiohttp.ClientSession, number: Number
) -> None:
    url, headers = f"{graph.base}/v25.0/{number.id}", {"Authorization": f"Bearer {number.token}"}
    for proof, status in ((graph.proof(number.token), 200), ("0" * 64, 400), ("", 200)):
        query = {"appsecret_proof": proof} if proof else {}
        async with web.get(url, params=query, headers=headers) as answer:
            assert answer.status == status
    graph.require_proof = True
    async with web.get(url, headers=headers) as answer:
        assert (await answer.json())["error"]["type"] == "GraphMethodException"


async def test_the_window_closes_after_a_day_and_a_template_still_goes(
    graph: Graph, number: Number, ann: Customer, send: Any
) -> None:
    number.template("bill", "Hello {{1}}, you owe {{2}}.", category="MARKETING")
    part = {
        "type": "body",
        "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "3 EUR"}],
    }
    template = {"name": "bill", "language": {"code": "en_US"}, "components": [part]}
    await graph.passes(86_400 + 60)
    graph.later = set()
    status, said = await send(type="text", text={"body": "x"})
    assert (status, said["error"]["code"]) == (400, 131047)
    assert (await send(type="template", template=template))[0] == 200
    assert graph.sent[-1].text == "Hello Ann, you owe 3 EUR."
    await ann.prefers("stop")
    assert (await send(type="template", template=template))[1]["error"]["code"] == 131050
    graph.absent.add("16505550000")
    assert (await send(type="template", template=template, to="16505550000"))[1]["error"]["code"] == 131026


async def test_by_default_such_a_failure_is_told_later(graph: Graph, number: Number, send: Any) -> None:
    status, _ = await send(type="text", text={"body": "x"})  # to a stranger, who never wrote
    await graph.settled()
    assert (status, graph.sent) == (200, [])
    assert [(one.code, one.later) for one in graph.refused] == [(131047, True)]


@pytest.mark.parametrize(
    "change, code",
    [
        ({"components": []}, 132000),
        ({"language": {"code": "nl"}}, 132001),
        ({"components": [{"type": "body", "parameters": [{"type": "image", "image": {}}]}]}, 132012),
        ({"components": [{"type": "body", "parameters": [{"type": "text", "text": "x" * 1_100}]}]}, 132005),
        ({"components": [{"type": "body", "parameters": [{"type": "text", "text": "a\nb"}]}]}, 100),
        ({"name": "paused"}, 132015),
        ({"name": "off"}, 132016),
        ({"name": "new"}, 132001),
        ({"name": "pic", "components": []}, 132012),
        (
            {
                "name": "named",
                "components": [{"type": "body", "parameters": [{"type": "text", "text": "x"}]}],
            },
            100,
        ),
    ],
)
async def test_templates_are_held_to_what_was_approved(
    number: Number, send: Any, change: Json, code: int
) -> None:
    number.template("bill", "Hello {{1}}")
    number.template("paused", "x", status="PAUSED")
    number.template("off", "x", status="DISABLED")
    number.template("new", "x", status="PENDING")
    number.template("pic", "x", header="IMAGE")
    number.template("named", "Hello {{who}}")
    part = {"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}
    good = {"name": "bill", "language": {"code": "en_US"}, "components": [part]}
    assert (await send(type="template", template=good))[0] == 200
    assert (await send(type="template", template=good | change))[1]["error"]["code"] == code


async def test_a_person_without_a_phone_is_written_to_by_recipient(
    graph: Graph, number: Number, send: Any
) -> None:
    cy = number.customer("Cy", "31600000001", username="cy", hidden=True, country="NL")
    told = await cy.says("hi")
    [change] = told.entry["changes"]
    assert "wa_id" not in change["value"]["contacts"][0]
    assert change["value"]["contacts"][0]["profile"]["username"] == "@cy"
    assert "from" not in change["value"]["messages"][0]
    text = {"type": "text", "text": {"body": "x"}}
    status, said = await send(to=None, recipient=cy.user_id, **text)
    assert (status, said["contacts"]) == (200, [{"input": cy.user_id, "user_id": cy.user_id}])
    assert (await send(to=None, recipient="NL.17", **text))[1]["error"]["code"] == 131009
    assert (await send(to=cy.user_id, **text))[0] == 200  # dropped without a word, as Meta does
    assert (len(graph.sent), len(graph.misdirected)) == (1, 1)
    number.template("code", "{{1}}", category="AUTHENTICATION")
    part = {"type": "body", "parameters": [{"type": "text", "text": "123"}]}
    otp = {"name": "code", "language": {"code": "en_US"}, "components": [part]}
    assert (await send(to=None, recipient=cy.user_id, type="template", template=otp))[1]["error"][
        "code"
    ] == 131062


async def test_reading_and_typing_are_marked(
    graph: Graph, number: Number, ann: Customer, send: Any, web: aiohttp.ClientSession
) -> None:
    told = await ann.says("still there?")
    body = {"status": "read", "message_id": told.id, "typing_indicator": {"type": "text"}}
    url = f"{graph.base}/v25.0/{number.id}/messages"
    headers = {"Authorization": f"Bearer {number.token}"}
    async with web.post(url, json={"messaging_product": "whatsapp", **body}, headers=headers) as answer:
        assert await answer.json() == {"success": True}
    assert [(one.kind, one.of) for one in graph.marks] == [("read", told.id), ("typing", told.id)]
    assert (await send(type="reaction", reaction={"message_id": told.id, "emoji": "👍"}))[0] == 200
    assert (await send(type="reaction", reaction={"message_id": told.id, "emoji": ""}))[0] == 200


async def test_media_go_up_and_come_down_with_token_agent_and_in_time(
    graph: Graph, number: Number, ann: Customer, send: Any, web: aiohttp.ClientSession
) -> None:
    auth = {"Authorization": f"Bearer {number.token}"}

    async def upload(content: bytes, mime: str) -> tuple[int, Json]:
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": mime})
        form.add_field("file", BytesIO(content), filename="a", content_type=mime)
        async with web.post(f"{graph.base}/v25.0/{number.id}/media", data=form, headers=auth) as answer:
            return answer.status, await answer.json()

    media_id = (await upload(b"\xff\xd8\xff", "image/jpeg"))[1]["id"]
    assert (await send(type="image", image={"id": media_id}))[0] == 200
    graph.later = set()
    assert (await send(type="video", video={"id": media_id}))[1]["error"]["code"] == 131053
    assert (await upload(b"x", "application/x-msdownload"))[1]["error"]["code"] == 100
    assert (await upload(b"x" * (5 * 1024 * 1024 + 1), "image/png"))[0] == 400

    told = await ann.sends(b"OggS", "audio/ogg", voice=True)
    voice = told.entry["changes"][0]["value"]["messages"][0]["audio"]
    assert voice["voice"] is True
    async with web.get(f"{graph.base}/v25.0/{voice['id']}", headers=auth) as answer:
        shown = await answer.json()
    assert (shown["mime_type"], shown["file_size"]) == ("audio/ogg", 4)
    for url in (shown["url"], voice["url"]):
        async with web.get(url, headers=auth) as answer:
            assert await answer.read() == b"OggS"
    async with web.get(shown["url"]) as answer:
        assert answer.status == 401
    async with web.get(shown["url"], headers=auth, skip_auto_headers=["User-Agent"]) as answer:
        assert answer.status == 400
    await graph.passes(301)
    async with web.get(shown["url"], headers=auth) as answer:
        assert answer.status == 404


async def test_rates_are_kept_to_where_asked(graph: Graph, ann: Customer, send: Any) -> None:
    graph.rates.kept = True
    text = {"type": "text", "text": {"body": "x"}}
    answers = [await send(**text) for _ in range(46)]
    assert [status for status, _ in answers] == [200] * 45 + [400]
    assert answers[-1][1]["error"]["code"] == 131056
    await graph.passes(6)
    assert (await send(**text))[0] == 200


async def test_accounts_are_shown(graph: Graph, number: Number, web: aiohttp.ClientSession) -> None:
    number.template("bill", "Hello {{1}}", footer="Acme", buttons=(("QUICK_REPLY", "Stop", "STOP"),))

    async def get(path: str, **query: str) -> Json:
        auth = {"Authorization": f"Bearer {number.token}"}
        async with web.get(f"{graph.base}/v25.0/{path}", params=query, headers=auth) as answer:
            read: Json = await answer.json()
            return read

    shown = await get(number.id, fields="display_phone_number,quality_rating")
    assert shown == {"display_phone_number": "+1 555-078-3881", "quality_rating": "GREEN", "id": number.id}
    assert (await get(number.id, fields="colour"))["error"]["code"] == 100
    [app] = (await get(f"{number.waba.id}/subscribed_apps"))["data"]
    assert app["whatsapp_business_api_data"]["id"] == graph.app_id
    [template] = (await get(f"{number.waba.id}/message_templates"))["data"]
    assert [one["type"] for one in template["components"]] == ["BODY", "FOOTER", "BUTTONS"]
    assert (await get("17"))["error"]["error_subcode"] == 33
