"""Block Kit's documented limits, as the local Slack checks them."""

import copy
from typing import Any

import pytest

from tests.each import each
from tests.servers.slack.api import ApiError
from tests.servers.slack.blocks import HOME, MESSAGE, checked, view_checked, weight
from tests.servers.slack.workspace import Ids

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "a", "text": plain("Claim"), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def options(count: int, text: int = 5, value: int = 5) -> list[Json]:
    return [{"text": plain("t" * text), "value": f"{n:0{value}}"} for n in range(count)]


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "s", "options": options(2), **more}


def field(element: Json, **more: Any) -> Json:
    return {"type": "input", "block_id": "i", "label": plain("Text"), "element": element, **more}


def text_input(**more: Any) -> Json:
    return {"type": "plain_text_input", "action_id": "t", **more}


def section(text: Json, **more: Any) -> Json:
    return {"type": "section", "text": text, **more}


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


DIVIDER = {"type": "divider"}
GOOD: list[list[Json]] = [
    [DIVIDER] * 50,
    [section(mrkdwn("x" * 3000))],
    [
        section(
            plain("a"), fields=[mrkdwn("x" * 200)] * 10, accessory=button(value="v" * 2000, style="danger")
        )
    ],
    [{"type": "header", "text": plain("h" * 150)}],
    [actions(*[button(action_id=f"a{n}", text=plain("t" * 75)) for n in range(25)])],
    [actions({"type": "overflow", "action_id": "o", "options": options(5)})],
    [actions(select(options=options(100, text=75, value=150)))],
    [{"type": "context", "elements": [mrkdwn("c")] * 10}],
    [rich({"type": "text", "text": "hello", "style": {"bold": True}}, {"type": "user", "user_id": "U1"})],
    [field(text_input(max_length=3000, multiline=True, initial_value="x"))],
    [
        actions(
            button(
                confirm={
                    "title": plain("Sure?"),
                    "text": plain("?"),
                    "confirm": plain("y"),
                    "deny": plain("n"),
                }
            )
        )
    ],
]
BAD: list[tuple[list[Json], str]] = [
    ([DIVIDER] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    ([section(mrkdwn("x" * 3001))], "less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    ([section(mrkdwn(""))], "more than 0 characters"),
    ([{"type": "section"}], "text or fields"),
    ([section(plain("a"), fields=[plain("b")] * 11)], "no more than 10 items"),
    ([section(plain("a"), fields=[plain("b" * 2001)])], "less than 2001"),
    ([section(mrkdwn("a") | {"emoji": True})], "additional property"),
    ([section(plain("a") | {"verbatim": True})], "additional property"),
    ([section(plain("a"), colour="red")], "additional property [json-pointer:/blocks/0/colour]"),
    ([section(plain("a"), accessory=text_input())], "unsupported accessory type: plain_text_input"),
    ([{"type": "header", "text": mrkdwn("h")}], "unsupported text type: mrkdwn"),
    ([{"type": "header", "text": plain("h" * 151)}], "less than 151"),
    (
        [actions(button(text=plain("t" * 76)))],
        "less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
    ),
    ([actions(button(text=mrkdwn("t")))], "unsupported text type: mrkdwn"),
    ([actions(button(value="v" * 2001))], "less than 2001"),
    ([actions(button(style="warning"))], "must be one of primary, danger"),
    ([actions(button(url="javascript:alert(1)"))], "must match"),
    ([actions(button(action_id="a" * 256))], "less than 256"),
    ([actions(button(), button())], "action_id already exists"),
    ([actions()], "no less than 1 items"),
    ([actions(*[button(action_id=f"a{n}") for n in range(26)])], "no more than 25 items"),
    ([DIVIDER | {"block_id": "b"}] * 2, "block_id 'b' already exists"),
    ([DIVIDER | {"block_id": "b" * 256}], "less than 256"),
    ([actions({"type": "overflow", "action_id": "o", "options": options(6)})], "no more than 5 items"),
    ([actions(select(options=options(101)))], "no more than 100 items"),
    ([actions(select(options=options(1, text=76)))], "less than 76"),
    ([actions(select(options=options(1, value=151)))], "less than 151"),
    ([actions(select(options=[]))], "no less than 1 items"),
    ([actions(select(options=options(1) * 2))], "different values"),
    ([actions(select(initial_option={"text": plain("other"), "value": "x"}))], "must be one of the options"),
    (
        [actions(select(option_groups=[{"label": plain("g"), "options": options(1)}]))],
        "either options or option_groups",
    ),
    ([actions(select(placeholder=plain("p" * 151)))], "less than 151"),
    ([{"type": "context", "elements": [mrkdwn("c")] * 11}], "no more than 10 items"),
    ([{"type": "context", "elements": [button()]}], "unsupported context element type: button"),
    ([rich({"type": "text", "text": ""})], "more than 0 characters"),
    ([rich({"type": "text", "text": "x", "style": {"blink": True}})], "additional property"),
    ([rich({"type": "shout", "text": "x"})], "unsupported rich text type: shout"),
    ([{"type": "marquee"}], "unsupported block type: marquee"),
    ([field(text_input(max_length=3001))], "a number from 1 to 3000"),
    ([field(text_input(initial_value="long", max_length=3))], "less than 4 characters"),
    ([field(button())], "unsupported input element type: button"),
    ([field(text_input(), label=mrkdwn("l"))], "unsupported text type: mrkdwn"),
    ([field({"type": "file_input", "action_id": "f"})], "file_input works in modals alone"),
    ([{"type": "image", "alt_text": "i"}], "either image_url or slack_file"),
]


@each("blocks", GOOD)
def test_what_slack_takes(blocks: list[Json]) -> None:
    before = copy.deepcopy(blocks)
    kept = checked(blocks, MESSAGE, Ids())
    assert blocks == before
    assert all(one["block_id"] for one in kept)


@each("blocks, said", BAD)
def test_what_slack_refuses(blocks: list[Json], said: str) -> None:
    with pytest.raises(ApiError) as refused:
        checked(blocks, MESSAGE, Ids())
    assert refused.value.code == "invalid_blocks"
    assert said in " ".join(refused.value.more["response_metadata"]["messages"])


def test_all_the_text_of_a_message_has_a_limit_of_its_own() -> None:
    """As measured by others, 13,297 characters in one markdown block, and 125 less with a divider beside it."""
    assert weight([{"type": "markdown", "text": "m" * 13_297}]) == 13_422
    with pytest.raises(ApiError) as refused:
        checked([section(plain("x" * 3000))] * 5, MESSAGE, Ids())
    assert refused.value.code == "msg_blocks_too_long"
    checked([section(plain("x" * 3000))] * 4, MESSAGE, Ids())


def modal(**more: Any) -> Json:
    return {
        "type": "modal",
        "title": plain("Reply"),
        "submit": plain("Send"),
        "blocks": [field(text_input())],
        **more,
    }


GOOD_VIEWS: list[Json] = [
    modal(),
    modal(blocks=[DIVIDER] * 100),
    modal(title=plain("t" * 24), close=plain("c" * 24), private_metadata="p" * 3000, callback_id="c" * 255),
    modal(blocks=[field({"type": "file_input", "action_id": "f", "max_files": 10})]),
    {"type": "home", "blocks": [section(plain("mine"))] * 100},
]
BAD_VIEWS: list[tuple[Json, str]] = [
    (modal(title=plain("t" * 25)), "less than 25 characters [json-pointer:/view/title/text]"),
    (modal(submit=plain("s" * 25)), "less than 25"),
    (modal(private_metadata="p" * 3001), "less than 3001"),
    (modal(callback_id="c" * 256), "less than 256"),
    (modal(blocks=[DIVIDER] * 101), "no more than 100 items"),
    ({name: one for name, one in modal().items() if name != "submit"}, "submit is required"),
    ({name: one for name, one in modal().items() if name != "title"}, "missing required field: title"),
    (modal(blocks=[{"type": "markdown", "text": "m"}]), "unsupported block type: markdown"),
    (
        modal(
            blocks=[
                field(text_input(focus_on_load=True)),
                field(text_input(focus_on_load=True), block_id="j"),
            ]
        ),
        "only one element may have focus_on_load",
    ),
    (modal(size="big"), "additional property"),
    ({"type": "home", "title": plain("Home"), "blocks": []}, "additional property"),
]


@each("view", GOOD_VIEWS)
def test_views_that_slack_takes(view: Json) -> None:
    assert len(view_checked(view, Ids())["blocks"]) == len(view["blocks"])


@each("view, said", BAD_VIEWS)
def test_views_that_slack_refuses(view: Json, said: str) -> None:
    with pytest.raises(ApiError) as refused:
        view_checked(view, Ids())
    assert refused.value.code == "invalid_arguments"
    assert said in " ".join(refused.value.more["response_metadata"]["messages"])


def test_a_home_tab_may_hold_a_hundred_blocks_and_no_file_input() -> None:
    with pytest.raises(ApiError):
        checked([field({"type": "file_input", "action_id": "f"})], HOME, Ids())
