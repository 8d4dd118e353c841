"""What people do in the local Slack, and what their client checks, with the real bolt at the other end."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.each import each
from tests.servers.slack import NoAnswer, Person, Slack
from tests.servers.slack.bolt import client_of, over_sockets
from tests.servers.slack.richtext import posted, typed

Json = dict[str, Any]


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack.start() as slack:
        yield slack


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return client_of(slack)


@pytest.fixture
async def app(slack: Slack, client: AsyncWebClient) -> AsyncIterator[AsyncApp]:
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)

    @app.event(re.compile("member_.*"))
    async def joined() -> None:
        """bolt does not acknowledge what nobody listens to."""

    async with over_sockets(slack, app):
        yield app


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def option(value: str) -> Json:
    return {"text": plain(value.title()), "value": value}


def field(block_id: str, element: Json, **more: Any) -> Json:
    element = {"action_id": block_id, **element}
    return {"type": "input", "block_id": block_id, "label": plain(block_id), "element": element, **more}


TEXT = field("text", {"type": "plain_text_input", "max_length": 100})
THEN = field(
    "then",
    {
        "type": "static_select",
        "options": [option("leave"), option("close")],
        "initial_option": option("leave"),
    },
)


def modal(*blocks: Json, **more: Any) -> Json:
    view = {"type": "modal", "callback_id": "v", "title": plain("Reply"), "submit": plain("Send")}
    return {**view, "blocks": list(blocks), **more}


async def opened(slack: Slack, app: AsyncApp, client: AsyncWebClient, view: Json) -> Person:
    """Somebody with the modal before them."""
    bo, billing = slack.user("Bo"), slack.channel("billing")

    @app.command("/hub")
    async def command(ack: Any, command: Json) -> None:
        await client.views_open(trigger_id=command["trigger_id"], view=view)
        await ack()

    await bo.commands("/hub", "new", billing)
    return bo


async def refused(call: Any) -> str:
    with pytest.raises(SlackApiError) as failed:
        await call
    return str(failed.value.response["error"])


# -------------------------------------------------------------------------------------------------------------- modals


async def test_a_modal_takes_what_slack_would_let_them_type(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    tags = field(
        "tags", {"type": "multi_static_select", "options": [option("late"), option("lost")]}, optional=True
    )
    bo = await opened(slack, app, client, modal(TEXT, THEN, tags))
    got: list[Json] = []

    @app.view("v")
    async def submitted(ack: Any, view: Json) -> None:
        got.append(view["state"]["values"])
        await ack()

    with pytest.raises(AssertionError, match="must be filled in"):
        await bo.submits()
    with pytest.raises(AssertionError, match="101 characters"):
        await bo.submits({"text": "x" * 101})
    with pytest.raises(AssertionError, match="no option 'maybe'"):
        await bo.submits({"text": "x", "then": "maybe"})
    with pytest.raises(AssertionError, match="no input 'colour'"):
        await bo.submits({"colour": "red"})
    assert await bo.submits({"text": "hello", "tags": ["lost"]}) is None
    assert bo.views == []
    [values] = got
    assert values["text"]["text"] == {"type": "plain_text_input", "value": "hello"}
    assert values["then"]["then"]["selected_option"] == option("leave")
    assert values["tags"]["tags"]["selected_options"] == [option("lost")]


async def test_a_modal_that_nobody_answers_stays_as_it_was_filled_in(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    bo = await opened(slack, app, client, modal(TEXT))
    slack.scale = 0.02
    with pytest.raises(NoAnswer):
        await bo.submits({"text": "hello"})
    assert bo.views[-1].values["text"]["text"]["value"] == "hello"


async def test_what_the_app_answers_to_a_submission_is_carried_out(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    bo = await opened(slack, app, client, modal(TEXT))
    answers: list[Json] = [
        {"response_action": "errors", "errors": {"text": "no"}},
        {"response_action": "update", "view": modal(TEXT, THEN, title=plain("Once more"))},
        {"response_action": "push", "view": modal(TEXT, title=plain("Sure?"))},
        {"response_action": "clear"},
    ]

    @app.view("v")
    async def submitted(ack: Any) -> None:
        await ack(answers.pop(0))

    await bo.submits({"text": "hello"})
    assert bo.views[-1].errors == {"text": "no"}
    await bo.presses_submit()
    assert (bo.views[-1].title, bo.views[-1].errors) == ("Once more", {})
    await bo.presses_submit()  # what was typed is still there, since block and action are the same
    assert [one.title for one in bo.views] == ["Once more", "Sure?"]
    await bo.submits({"text": "yes"})
    assert bo.views == []


async def test_errors_for_what_is_no_input_are_a_mistake(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    bo = await opened(slack, app, client, modal(TEXT))

    @app.view("v")
    async def submitted(ack: Any) -> None:
        await ack(response_action="errors", errors={"colour": "no"})

    with pytest.raises(AssertionError, match="no inputs"):
        await bo.submits({"text": "hello"})


async def test_typing_reaches_the_app_where_it_asked(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    listens = {
        "type": "plain_text_input",
        "dispatch_action_config": {"trigger_actions_on": ["on_character_entered"]},
    }
    view = modal(field("text", listens, dispatch_action=True), TEXT | {"block_id": "quiet"})
    bo = await opened(slack, app, client, view)

    @app.action("text")
    async def typing(ack: Any, body: Json) -> None:
        await ack()
        said = body["actions"][0]["value"]
        note = {"type": "context", "elements": [plain(f"{len(said)} characters")]}
        held = body["view"]["hash"]
        await client.views_update(view_id=body["view"]["id"], hash=held, view=modal(*view["blocks"], note))
        assert (
            await refused(client.views_update(view_id=body["view"]["id"], hash=held, view=view))
            == "hash_conflict"
        )

    await bo.enters("text", "hello")
    await slack.until(lambda: len(bo.views[-1].blocks) == 3)
    assert bo.views[-1].blocks[2]["elements"][0]["text"] == "5 characters"
    assert bo.views[-1].values["text"]["text"]["value"] == "hello"


async def test_a_search_offers_what_may_then_be_chosen(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    canned = field("canned", {"type": "external_select", "min_query_length": 2})
    bo = await opened(slack, app, client, modal(canned))

    @app.options("canned")
    async def options(ack: Any, payload: Json) -> None:
        await ack(options=[option(f"{payload['value']}und")])

    @app.view("v")
    async def submitted(ack: Any, view: Json) -> None:
        assert view["state"]["values"]["canned"]["canned"]["selected_option"]["value"] == "refund"
        await ack()

    with pytest.raises(AssertionError, match="more characters"):
        await bo.searches("canned", "r")
    assert [one["value"] for one in await bo.searches("canned", "ref")] == ["refund"]
    with pytest.raises(AssertionError, match="no option"):
        await bo.submits({"canned": "return"})
    assert await bo.submits({"canned": "refund"}) is None


async def test_a_trigger_is_good_once_and_for_three_seconds(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    triggers: list[str] = []
    bo = await opened(slack, app, client, modal(TEXT, notify_on_close=True))

    @app.action("go")
    async def go(ack: Any, body: Json) -> None:
        triggers.append(body["trigger_id"])
        await ack()

    closed: list[str] = []

    @app.view_closed("v")
    async def close(ack: Any, view: Json) -> None:
        closed.append(view["id"])
        await ack()

    home = {
        "type": "home",
        "blocks": [
            {"type": "actions", "elements": [{"type": "button", "action_id": "go", "text": plain("Go")}]}
        ],
    }
    await client.views_publish(user_id=bo.id, view=home)
    for _ in range(3):
        await bo.clicks_home("go")
    assert await refused(client.views_open(trigger_id="1.2.3", view=modal(TEXT))) == "invalid_trigger_id"
    first = bo.views[-1].id
    await bo.cancels()
    assert closed == [first]
    await client.views_open(trigger_id=triggers[0], view=modal(TEXT))
    assert (
        await refused(client.views_open(trigger_id=triggers[0], view=modal(TEXT))) == "exchanged_trigger_id"
    )
    assert await refused(client.views_push(trigger_id=triggers[1], view=modal(TEXT))) == "not_found"
    await slack.passes(3.1)
    assert await refused(client.views_open(trigger_id=triggers[2], view=modal(TEXT))) == "expired_trigger_id"


async def test_three_modals_may_lie_on_one_another(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    more = {"type": "actions", "elements": [{"type": "button", "action_id": "more", "text": plain("More")}]}
    bo = await opened(slack, app, client, modal(more))
    said: list[str] = []

    @app.action("more")
    async def push(ack: Any, body: Json) -> None:
        try:
            await client.views_push(trigger_id=body["trigger_id"], view=modal(more))
        except SlackApiError as failed:
            said.append(failed.response["error"])
        await ack()

    for _ in range(3):
        await bo.clicks_modal("more")
    assert len(bo.views) == 3
    assert said == ["push_limit_reached"]


# -------------------------------------------------------------------------------------------- messages and ephemerals


async def test_menus_and_buttons_of_messages_and_ephemerals(
    slack: Slack, app: AsyncApp, client: AsyncWebClient
) -> None:
    billing, bo = slack.channel("billing"), slack.user("Bo")
    pressed: list[tuple[str, Any]] = []
    urls: list[str] = []

    @app.action("undo")
    async def undo(ack: Any, body: Json, action: Json) -> None:
        await ack()
        pressed.append((body["container"]["is_ephemeral"], action["value"]))
        urls.append(body["response_url"])

    @app.action("more")
    async def menu(ack: Any, action: Json) -> None:
        await ack()
        pressed.append(("more", action["selected_option"]["value"]))

    buttons = [
        {"type": "button", "action_id": "undo", "value": str(n), "text": plain(f"Undo {n}")} for n in range(2)
    ]
    blocks: list[Json] = [{"type": "actions", "elements": [one]} for one in buttons]
    blocks.append(
        {
            "type": "actions",
            "elements": [{"type": "overflow", "action_id": "more", "options": [option("why:7")]}],
        }
    )
    card = (await client.chat_postMessage(channel=billing, text="card", blocks=blocks))["ts"]
    await bo.joins(billing)
    await client.chat_postEphemeral(channel=billing, user=bo.id, text="sure?", blocks=blocks[:1])
    await bo.clicks(billing, card, "undo", "1")
    await bo.clicks(billing, card, "more", "why:7")
    await bo.clicks(billing, bo.ephemerals[-1]["ts"], "undo")
    with pytest.raises(AssertionError, match="nothing to press"):
        await bo.clicks(billing, card, "undo", "2")
    await slack.until(lambda: len(pressed) == 3)
    assert sorted(pressed, key=str) == [("more", "why:7"), (False, "1"), (True, "0")]

    async with aiohttp.ClientSession() as session:

        async def respond(url: str, **said: Any) -> int:
            async with session.post(url, json=said) as answer:
                return answer.status

        assert await respond(urls[1], text="gone", replace_original=True) == 200
        assert [one["text"] for one in bo.ephemerals] == ["gone"]
        assert await respond(urls[1], delete_original=True) == 200
        assert bo.ephemerals == []
        assert [await respond(urls[1], text="again") for _ in range(4)] == [200, 200, 200, 404]
        await slack.passes(30 * 60 + 1)
        assert await respond(urls[0], text="late") == 404


@each(
    "text, kept, kinds",
    [
        ("a < b & c", "a &lt; b &amp; c", ["text"]),
        ("<@U0BO> https://a.example/?y&z", "<@U0BO> <https://a.example/?y&amp;z>", ["user", "text", "link"]),
        ("@here :tada: hi", "<!here> :tada: hi", ["broadcast", "text", "emoji", "text"]),
        ("*b* _i_ ~s~ `c`", "*b* _i_ ~s~ `c`", ["text"] * 7),
        ("12:30:45 :+1:", "12:30:45 :+1:", ["text", "emoji"]),
    ],
)  # fmt: skip
def test_what_people_type_becomes_rich_text(text: str, kept: str, kinds: list[str]) -> None:
    said, [block] = typed(text, "b")
    assert said == kept
    assert [one["type"] for one in block["elements"][0]["elements"]] == kinds


def test_what_apps_post_keeps_its_marks_and_no_other() -> None:
    assert posted("<!channel> a & b &amp; <b> <https://x.example|y>") == (
        "<!channel> a &amp; b &amp; &lt;b&gt; <https://x.example|y>"
    )
