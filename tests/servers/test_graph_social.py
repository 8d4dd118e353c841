"""The local Messenger Platform and Instagram are as strict as Meta's."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from tests.each import each
from tests.servers.graph import Graph, Instagram, Page, Visitor
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
def page(graph: Graph) -> Page:
    return graph.page()


@pytest.fixture
def shop(graph: Graph, page: Page) -> Instagram:
    return graph.instagram("acme", page=page)


@pytest.fixture
async def bo(page: Page) -> Visitor:
    bo = page.visitor("Bo Lind")
    await bo.says("hello")
    return bo


@pytest.fixture
async def cy(shop: Instagram) -> Visitor:
    cy = shop.visitor("Cy")
    await cy.says("hello")
    return cy


@pytest.fixture
def call(graph: Graph, web: aiohttp.ClientSession) -> Any:
    async def call(token: str, path: str, given: Json | None = None, **more: Any) -> tuple[int, Json]:
        method = "GET" if given is None else "POST"
        query = {"access_token": token, **more}
        async with web.request(method, f"{graph.base}/v25.0/{path}", params=query, json=given) as answer:
            return answer.status, await answer.json()

    return call


def to(visitor: Visitor, message: Json | str, **more: Any) -> Json:
    message = {"text": message} if isinstance(message, str) else message
    return {"recipient": {"id": visitor.id}, "messaging_type": "RESPONSE", "message": message, **more}


def quick(n: int, title: str = "Yes") -> Json:
    return {"text": "?", "quick_replies": [{"content_type": "text", "title": title, "payload": "Y"}] * n}


def button(n: int) -> Json:
    buttons = [{"type": "postback", "title": "Go", "payload": "GO"}] * n
    return {
        "attachment": {
            "type": "template",
            "payload": {"template_type": "button", "text": "?", "buttons": buttons},
        }
    }


def generic(n: int) -> Json:
    elements = [{"title": "A", "subtitle": "B"}] * n
    return {"attachment": {"type": "template", "payload": {"template_type": "generic", "elements": elements}}}


URL = {"attachment": {"type": "image", "payload": {"url": "https://example.com/a.jpg", "is_reusable": True}}}


@pytest.mark.parametrize(
    "message",
    [{"text": "x" * 2000, "metadata": "u-1"}, quick(13), button(3), generic(10), URL, {"sticker_id": 7}],
)
async def test_what_fits_is_taken(graph: Graph, page: Page, bo: Visitor, call: Any, message: Json) -> None:
    status, said = await call(page.token, "me/messages", to(bo, message))
    assert (status, said["recipient_id"], graph.sent[0].id) == (200, bo.id, said["message_id"])
    assert ("attachment_id" in said) == (message is URL)


@each(
    "change, code, subcode",
    [
        ({"message": {"text": "x" * 2001}}, 100, 2018320),
        ({"message": quick(14)}, 100, None),
        ({"message": quick(1, "x" * 21)}, 100, None),
        ({"message": button(4)}, 100, None),
        ({"message": button(0)}, 100, None),
        ({"message": generic(11)}, 100, None),
        ({"message": {"text": "x", "attachment": {}}}, 100, None),
        ({"message": {"text": "x", "metadata": "x" * 1001}}, 100, None),
        ({"message": {"txt": "x"}}, 100, None),
        ({"message": {"attachment": {"type": "image", "payload": {"attachment_id": "17"}}}}, 100, None),
        ({"messaging_type": None}, 100, None),
        ({"messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE"}, 100, None),
        ({"sender_action": "typing_on"}, 100, None),
        ({"colour": "red"}, 100, None),
        ({"recipient": {"id": "17"}}, 100, 2018001),
        ({"recipient": {"id": "17", "user_ref": "x"}}, 100, None),
        ({"recipient": {"id": "Bo"}}, 100, None),
        ({"reply_to": {"mid": "m_none"}}, 100, None),
    ],
)
async def test_what_does_not_fit_is_refused(
    graph: Graph, page: Page, bo: Visitor, call: Any, change: Json, code: int, subcode: int | None
) -> None:
    status, said = await call(page.token, "me/messages", to(bo, "x") | change)
    error = said["error"]
    assert (status, error["code"], error.get("error_subcode"), error["type"]) == (
        400,
        code,
        subcode,
        "OAuthException",
    )
    assert graph.sent == []


async def test_the_window_is_a_day_and_a_human_agents_is_seven(
    graph: Graph, page: Page, shop: Instagram, bo: Visitor, cy: Visitor, call: Any
) -> None:
    tagged = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    await graph.passes(86_401)
    status, said = await call(page.token, "me/messages", to(bo, "x"))
    assert (status, said["error"]["code"], said["error"]["error_subcode"]) == (403, 10, 2018278)
    status, said = await call(shop.token, "me/messages", to(cy, "x"))
    assert (said["error"]["error_subcode"], said["error"]["type"]) == (2534022, "IGApiException")
    assert (await call(page.token, "me/messages", to(bo, "x") | tagged))[0] == 200
    await graph.passes(6 * 86_400)
    assert (await call(page.token, "me/messages", to(bo, "x") | tagged))[1]["error"]["code"] == 10
    bo.blocks = True
    assert (await call(page.token, "me/messages", to(bo, "x") | tagged))[1]["error"]["code"] == 551


async def test_instagram_counts_bytes(shop: Instagram, page: Page, cy: Visitor, call: Any) -> None:
    assert (await call(shop.token, f"{shop.id}/messages", to(cy, "é" * 500)))[0] == 200
    assert (await call(shop.token, "me/messages", to(cy, "é" * 501)))[1]["error"]["error_subcode"] == 2018320
    assert (await call(page.token, f"{page.id}/messages", to(cy, "by the Page's token")))[0] == 200
    assert (await call(page.token, "me/messages", to(cy, "and so")))[0] == 200


async def test_actions_are_marked(graph: Graph, page: Page, bo: Visitor, call: Any) -> None:
    for action in ("typing_on", "mark_seen"):
        given = {"recipient": {"id": bo.id}, "sender_action": action}
        assert (await call(page.token, "me/messages", given)) == (200, {"recipient_id": bo.id})
    assert [(one.kind, one.of) for one in graph.marks] == [("typing_on", bo.id), ("mark_seen", bo.id)]


async def test_a_comment_is_answered_in_public_and_once_in_private(
    graph: Graph, page: Page, shop: Instagram, bo: Visitor, cy: Visitor, call: Any
) -> None:
    for account, who, edge in ((page, bo, "comments"), (shop, cy, "replies")):
        comment = await who.comments("How much?")
        status, said = await call(account.token, f"{comment.id}/{edge}", {"message": "Ten euros"})
        assert (status, account.comments[said["id"]].text) == (200, "Ten euros")
        private = {"recipient": {"comment_id": comment.id}, "message": {"text": "Hello"}}
        status, said = await call(account.token, "me/messages", private)
        assert (status, said["recipient_id"]) == (200, who.id)
        assert (await call(account.token, "me/messages", private))[1]["error"]["code"] == 10900
        old = await who.comments("And this?")
        await graph.passes(7 * 86_400 + 1)
        private = {"recipient": {"comment_id": old.id}, "message": {"text": "Hello"}}
        assert (await call(account.token, "me/messages", private))[1]["error"]["code"] == 10903
        assert (await call(account.token, f"17/{edge}", {"message": "x"}))[1]["error"]["error_subcode"] == 33
    comment = await cy.comments("Hm")
    assert (await call(shop.token, f"{comment.id}/replies", {"message": "x" * 301}))[0] == 400


async def test_files_go_up_and_come_down(
    graph: Graph, page: Page, shop: Instagram, bo: Visitor, cy: Visitor, web: aiohttp.ClientSession
) -> None:
    async def upload(content: bytes, mime: str) -> Json:
        form = aiohttp.FormData({"message": '{"attachment":{"type":"image","payload":{"is_reusable":true}}}'})
        form.add_field("filedata", BytesIO(content), filename="a", content_type=mime)
        url = f"{graph.base}/v25.0/me/message_attachments"
        async with web.post(url, data=form, headers={"Authorization": f"Bearer {page.token}"}) as answer:
            read: Json = await answer.json()
            return read

    made = (await upload(b"\x89PNG", "image/png"))["attachment_id"]
    given = to(bo, {"attachment": {"type": "image", "payload": {"attachment_id": made}}})
    async with web.post(f"{graph.base}/me/messages?access_token={page.token}", json=given) as answer:
        assert answer.status == 200
    assert (await upload(b"x", "text/plain"))["error"]["error_subcode"] == 2018047
    assert (await upload(b"x" * (25 * 1024 * 1024 + 1), "image/png"))["error"]["error_subcode"] == 2018109
    for who, hops in ((bo, 0), (cy, 1)):
        told = await who.sends(b"\xff\xd8", "image/jpeg")
        url = told.entry["messaging"][0]["message"]["attachments"][0]["payload"]["url"]
        async with web.get(url) as answer:
            assert (await answer.read(), len(answer.history)) == (b"\xff\xd8", hops)


async def test_people_pages_and_conversations_are_shown(
    page: Page, shop: Instagram, bo: Visitor, call: Any
) -> None:
    assert (await call(page.token, bo.id, fields="first_name,last_name"))[1] == {
        "first_name": "Bo",
        "last_name": "Lind",
        "id": bo.id,
    }
    assert (await call(page.token, "me", fields="name,instagram_business_account"))[1] == {
        "name": "Acme",
        "instagram_business_account": {"id": shop.id},
        "id": page.id,
    }
    assert (await call(shop.token, "me", fields="username"))[1]["username"] == "acme"
    [app] = (await call(page.token, f"{page.id}/subscribed_apps"))[1]["data"]
    assert "messages" in app["subscribed_fields"]
    [conversation] = (await call(page.token, "me/conversations", user_id=bo.id))[1]["data"]
    assert [one["message"] for one in conversation["messages"]["data"]] == ["hello"]
    assert (await call("EAAx", "me"))[1]["error"]["code"] == 190
    assert (await call(shop.token, bo.id))[1]["error"]["error_subcode"] == 33
