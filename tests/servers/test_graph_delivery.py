"""How the local Graph API tells of what happened: signed, batched, doubled, shuffled, late; and fails on command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.each import each
from tests.servers.graph import CODES, Customer, Graph, Number, wire
from tests.servers.graph.customer import AD
from tests.servers.graph.errors import Json
from tests.servers.graph.hook import Hook


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    async with Graph(app_secret="s3cret", verify_token="v") as graph:
        yield graph


@pytest.fixture
async def hook(graph: Graph) -> AsyncIterator[Hook]:
    async with Hook("s3cret", "v") as hook:
        assert await graph.subscribe(hook.url)
        yield hook


@pytest.fixture
def number(graph: Graph) -> Number:
    return graph.number()


@pytest.fixture
def ann(number: Number) -> Customer:
    return number.customer()


@pytest.fixture
def send(graph: Graph, number: Number) -> Any:
    async def send(text: str = "hello", timeout_s: float = 5.0) -> tuple[int, Json]:
        body = {
            "messaging_product": "whatsapp",
            "to": "16505551234",
            "type": "text",
            "text": {"body": text},
            "biz_opaque_callback_data": "u-1",
        }
        headers = {"Authorization": f"Bearer {number.token}"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as web,
            web.post(f"{graph.base}/v25.0/{number.id}/messages", json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    return send


def messages(hook: Hook) -> list[Json]:
    return [one for entry in hook.entries for one in entry["changes"][0]["value"].get("messages", [])]


def statuses(hook: Hook) -> list[Json]:
    return [one for entry in hook.entries for one in entry["changes"][0]["value"].get("statuses", [])]


async def test_the_handshake_wants_the_token(graph: Graph) -> None:
    async with Hook("s3cret", "another") as hook:
        assert not await graph.subscribe(hook.url)
        assert not graph.door.callbacks


async def test_what_is_signed_is_the_escaped_text(graph: Graph, hook: Hook, ann: Customer) -> None:
    told = await ann.says("äöå 100% <b> a@b/c 👍")
    assert told.ok
    assert rb"\u00e4\u00f6\u00e5 100\u0025 \u003Cb> a\u0040b\/c \ud83d\udc4d" in hook.raw[0]
    assert messages(hook)[0]["text"]["body"] == "äöå 100% <b> a@b/c 👍"
    assert json.loads(wire({"a": "ä/<"})) == {"a": "ä/<"}
    await graph.door.post("page", hook.url, [], secret="wrong")
    assert hook.forged == 2  # tried again at once


async def test_every_kind_of_whatsapp_message(
    graph: Graph, hook: Hook, number: Number, ann: Customer
) -> None:
    number.parent_bsuids = True
    first = await ann.says("hi", quoting="wamid.x", forwarded=7, ad=AD)
    for kind in ("image/jpeg", "video/mp4", "application/pdf"):
        await ann.sends(b"x", kind, caption="c")
    await ann.sends(b"x", "audio/ogg", voice=True)
    await ann.sends(b"x", "image/webp", kind="sticker", animated=True)
    await ann.is_at(52.37, 4.89, "Dam")
    await ann.shares({"name": {"formatted_name": "Bo"}, "phones": [{"phone": "+1"}]})
    await ann.shares(asked=True)
    await ann.presses("b1", "Yes")
    await ann.picks("r1", "Row", "More")
    await ann.fills({"when": "noon"})
    await ann.taps("Stop", "STOP")
    await ann.orders("17", {"product_retailer_id": "r", "quantity": 1, "item_price": 2, "currency": "EUR"})
    await ann.reacts("👍", first.id)
    await ann.reacts("", first.id)
    await ann.edits(first.id, "hello")
    await ann.revokes(first.id)
    await ann.unsupported()
    await ann.message("hologram", {"id": "17"})
    await ann.changes_number("16505550002")
    assert [one["type"] for one in messages(hook)] == [
        "text", "image", "video", "document", "audio", "sticker", "location", "contacts", "contacts", "interactive",
        "interactive", "interactive", "button", "order", "reaction", "reaction", "edit", "revoke", "unsupported",
        "hologram", "system",
    ]  # fmt: skip
    assert messages(hook)[0]["context"] == {
        "from": "16505551234",
        "id": "wamid.x",
        "frequently_forwarded": True,
    }
    assert messages(hook)[0]["from_parent_user_id"].startswith("US.ENT.")
    assert "emoji" not in messages(hook)[15]["reaction"]
    await ann.prefers("stop")
    await number.tell_error(130429)
    await number.writes(ann, "from the app")
    fields = [entry["changes"][0]["field"] for entry in hook.entries[-5:]]
    assert fields == ["messages", "user_id_update", "user_preferences", "messages", "smb_message_echoes"]


async def test_every_kind_of_messenger_and_instagram_event(graph: Graph, hook: Hook) -> None:
    page, shop = graph.page(), graph.instagram()
    bo, cy = page.visitor(), shop.visitor("Cy")
    for who in (bo, cy):
        first = await who.says("hi", quick_reply="Q")
        await who.sends(b"x", "image/jpeg", quoting=first.id)
        await who.shares("ig_reel")
        await who.unsupported()
        await who.edits(first.id, "hello")
        await who.unsends(first.id)
        await who.reacts("❤️", first.id)
        await who.reacts("", first.id)
        await who.presses("Go", "GO")
        await who.arrives()
        await who.opts_in()
        await who.thread()
        await who.reads(first.id)
        await who.comments("nice")
        await who.mentions("@acme")
    await bo.stickers()
    await bo.is_at(1, 2)
    await bo.receives("m_1")
    await bo.says("psst", standby=True)
    await bo.edits_comment((comment := await bo.comments("x")).id, "y")
    await bo.removes_comment(comment.id)
    await bo.posts("On the wall")
    await cy.says("wow", story="17")
    await cy.says("me", oneself=True)
    await cy.mentions_in_story()
    await cy.vanishes()
    await page.writes(bo, "by hand")
    assert {payload["object"] for payload in hook.got} == {"page", "instagram"}
    keys = {
        key
        for entry in hook.entries
        for event in entry.get("messaging", []) + entry.get("standby", [])
        for key in event.keys() - {"sender", "recipient", "timestamp"}
    }
    assert keys == {
        *(
            "message",
            "message_edit",
            "reaction",
            "postback",
            "referral",
            "optin",
            "pass_thread_control",
            "read",
        ),
        "delivery",
    }
    verbs = [entry["changes"][0]["value"].get("verb") for entry in hook.entries if "changes" in entry]
    assert verbs == ["add", "add", None, None, "add", "edited", "remove", "add"]
    assert hook.entries[-1]["messaging"][0]["message"]["is_echo"] is True


async def test_an_echo_says_which_app_sent_it(graph: Graph, hook: Hook) -> None:
    page = graph.page()
    bo = page.visitor()
    await bo.says("hi")
    given = {
        "recipient": {"id": bo.id},
        "messaging_type": "RESPONSE",
        "message": {"text": "yo", "metadata": "u-1"},
    }
    async with aiohttp.ClientSession() as web:
        await web.post(f"{graph.base}/me/messages?access_token={page.token}", json=given)
    await graph.settled()
    echo = hook.entries[-1]["messaging"][0]["message"]
    assert (echo["app_id"], echo["metadata"], echo["is_echo"]) == (int(graph.app_id), "u-1", True)


# ------------------------------------------------------------------------------------------------------------- statuses


async def test_reports_follow_by_themselves_early_doubled_and_shuffled(
    graph: Graph, hook: Hook, ann: Customer, send: Any
) -> None:
    await ann.says("hi")
    graph.reports.after, graph.reports.early = ("sent", "delivered", "read"), True
    await send()
    assert [one["status"] for one in statuses(hook)] == ["sent", "delivered", "read"]
    assert {one["biz_opaque_callback_data"] for one in statuses(hook)} == {"u-1"}
    assert statuses(hook)[0]["recipient_user_id"] == ann.user_id
    hook.got.clear()
    graph.reports.doubled = True
    graph.reports.shuffle(seed=2)
    await send()
    assert statuses(hook) == []
    assert await graph.reports.deliver() == 3
    told = [one["status"] for one in statuses(hook)]
    assert sorted(told) == sorted(["sent", "delivered", "read"] * 2)
    assert told != ["sent"] * 2 + ["delivered"] * 2 + ["read"] * 2


async def test_a_failure_is_reported_with_metas_words(
    graph: Graph, hook: Hook, ann: Customer, send: Any
) -> None:
    await ann.says("hi")
    _, said = await send()
    await ann.misses(said["messages"][0]["id"], 131049)
    [failed] = statuses(hook)
    assert (failed["status"], failed["errors"][0]["code"]) == ("failed", 131049)
    assert failed["errors"][0]["error_data"]["details"].startswith("In order to maintain")
    assert "contacts" not in hook.entries[-1]["changes"][0]["value"]
    await graph.passes(90_000)
    await send()
    await graph.settled()
    assert statuses(hook)[-1]["errors"][0]["code"] == 131047


# -------------------------------------------------------------------------------------------------------------- batches


async def test_a_batch_holds_entries_of_several_accounts_and_poison(
    graph: Graph, hook: Hook, number: Number, ann: Customer
) -> None:
    other = graph.number("+1 555 000 2222")
    bo = other.customer("Bo", "16505559999")
    async with graph.door.batch():
        await ann.says("one")
        await number.tell("", "messages", {"id": "17", "changes": [{"field": "messages", "value": "poison"}]})
        await bo.says("two")
    [payload] = hook.got
    assert [entry["id"] for entry in payload["entry"]] == [number.waba.id, "17", other.waba.id]
    async with graph.door.batch():
        for n in range(1_001):
            await ann.says(f"{n}")
    assert [len(payload["entry"]) for payload in hook.got[1:]] == [1_000, 1]


async def test_held_events_come_shuffled_and_doubled(graph: Graph, hook: Hook, ann: Customer) -> None:
    graph.door.holding = True
    told = [await ann.says(f"{n}") for n in range(4)]
    assert hook.got == []
    await graph.door.release(shuffled=1, doubled=True)
    order = [one["text"]["body"] for one in messages(hook)]
    assert sorted(order) == sorted(["0", "1", "2", "3"] * 2)
    assert order[::2] != ["0", "1", "2", "3"]
    assert await graph.door.redeliver(told[0].delivery, times=2) == [200, 200]


async def test_what_is_not_acknowledged_is_tried_again_and_given_up(
    graph: Graph, hook: Hook, ann: Customer
) -> None:
    hook.answers.extend([503, 503, 500])
    told = await ann.says("hi")
    assert told.delivery is not None
    assert told.delivery.answers == [503, 503]
    await graph.passes(60)
    await graph.passes(300)
    assert told.delivery.answers == [503, 503, 500, 200]
    assert len(set(hook.raw)) == 1
    visitor = graph.page().visitor()
    hook.answers.extend([500] * 20)
    lost = await visitor.says("hi")
    await graph.passes(36 * 3_600)
    assert graph.door.lost == [lost.delivery]


async def test_one_account_may_have_a_url_of_its_own_and_fields(graph: Graph, hook: Hook) -> None:
    page = graph.page()
    bo = page.visitor()
    async with Hook("s3cret", "v") as other:
        graph.listen(other.url, page)
        await bo.says("hi")
        page.fields = {"feed"}
        assert not (await bo.says("unheard")).ok
        await bo.comments("nice")
        assert (len(other.got), hook.got, len(page.unsubscribed)) == (2, [], 1)
        number = graph.number()
        graph.listen(other.url, number.waba)
        await number.customer().says("hi")
        assert (len(other.got), hook.got) == (3, [])


# ----------------------------------------------------------------------------------------------------------- on command


@each("code", sorted(CODES))
async def test_every_code_is_said_on_command(graph: Graph, ann: Customer, send: Any, code: int) -> None:
    await ann.says("hi")
    graph.fail(code, details="because")
    status, said = await send()
    assert (status, said["error"]["code"]) == (CODES[code].status, code)
    assert (await send())[0] == 200


async def test_it_breaks_in_the_networks_ways(graph: Graph, ann: Customer, send: Any) -> None:
    await ann.says("hi")
    for how, accepted in (("cut", False), ("cut", True), ("truncated", False)):
        graph.fail(how=how, accepted=accepted)
        with pytest.raises(aiohttp.ClientError):
            await send()
    assert len(graph.sent) == 2  # all but the first
    graph.fail(how="html")
    with pytest.raises(aiohttp.ContentTypeError):
        await send()
    graph.fail(how="hang", accepted=True)
    with pytest.raises(TimeoutError):
        await send(timeout_s=0.1)
    graph.release()
    assert len(graph.sent) == 3
    graph.fail(status=503, times=2)
    assert [(await send())[0] for _ in range(3)] == [503, 503, 200]


async def test_a_throttled_answer_says_when(graph: Graph, number: Number, ann: Customer) -> None:
    graph.fail(80007, status=429, retry_after=30, regain_minutes=5, at="object")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {number.token}"}) as web:
        async with web.get(f"{graph.base}/v25.0/{number.id}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
            [case] = json.loads(answer.headers["X-Business-Use-Case-Usage"])[number.id]
            assert case["estimated_time_to_regain_access"] == 5
            assert "call_count" in json.loads(answer.headers["X-App-Usage"])
        async with web.get(f"{graph.base}/v99.0/{number.id}") as answer:
            assert (await answer.json())["error"]["code"] == 2500
        async with web.get(f"{graph.base}/debug_token?input_token={number.token}") as answer:
            assert (await answer.json())["data"]["is_valid"] is True


def test_it_serves_plain_code_too() -> None:
    with Graph() as graph:
        ann = graph.number().customer()
        told = graph.run(ann.says("hi"))
        assert told.id.startswith("wamid.")
        graph.do(graph.release)


async def test_many_send_at_once(graph: Graph, ann: Customer, send: Any) -> None:
    await ann.says("hi")
    answers = await asyncio.gather(*(send(f"{n}") for n in range(50)))
    assert len({said["messages"][0]["id"] for _, said in answers}) == 50
