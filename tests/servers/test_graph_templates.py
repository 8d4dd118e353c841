"""A template is held to what was approved of it: header, body and buttons, by position or by name."""

import pytest

from tests.each import each
from tests.servers.graph import templates
from tests.servers.graph.errors import GraphError, Json
from tests.servers.graph.templates import Template

_BUTTONS = (
    ("QUICK_REPLY", "It is late", ""),
    ("URL", "Follow it", "https://shop.example.com/t/{{1}}"),
    ("URL", "Our shop", "https://shop.example.com"),
    ("PHONE_NUMBER", "Call", "+15550783881"),
)
APPROVED = [
    Template(id="1", name="named", language="en", body="Hello {{who}}", header="{{what}} is here"),
    Template(id="2", name="headed", language="en", body="Hello {{1}}", header="Order {{1}}"),
    Template(id="3", name="plain", language="en", body="Hello", header="Order"),
    Template(id="4", name="pic", language="en", body="Hello", header="IMAGE"),
    Template(id="5", name="tapped", language="en", body="Hello", buttons=_BUTTONS),
    Template(id="6", name="coded", language="en", body="Hello", buttons=(("COPY_CODE", "Copy", "SAVE25"),)),
]


def _has(media_id: str, kind: str) -> None:
    if media_id != "17":
        raise GraphError(131009, f"Param {kind}['id'] is not a valid media attachment ID")


def _text(text: str, name: str = "") -> Json:
    return {"type": "text", "text": text} | ({"parameter_name": name} if name else {})


def _part(*parameters: Json, kind: str = "body", **more: str) -> Json:
    return {"type": kind, "parameters": list(parameters), **more}


def _head(*parameters: Json) -> Json:
    return _part(*parameters, kind="header")


def _button(index: str, sub_type: str, *parameters: Json) -> Json:
    return _part(*parameters, kind="button", sub_type=sub_type, index=index)


_LINK = {"type": "image", "image": {"link": "https://example.com/a.png"}}
_FOLLOW = _button("1", "url", _text("88213"))
_PAYLOAD = {"type": "payload", "payload": "late-88213"}


@each(
    "name, parts, code, details",
    [
        ("named", [_head(_text("Sale", "what")), _part(_text("Ann", "who"))], 0, ""),
        ("named", [_part(_text("Ann", "who"))], 132000, "header: number of localizable_params (0)"),
        ("named", [_head(_text("Sale", "what")), _part(_text("Ann"))], 100, "name is missing or empty"),
        ("named", [_head(_text("Sale", "what")), _part(_text("Ann", "whom"))], 132012, "no parameter"),
        ("headed", [_head(_text("88213")), _part(_text("Ann"))], 0, ""),
        ("headed", [_head(_text("88213", "what")), _part(_text("Ann"))], 100, "no names"),
        ("headed", [_head(_LINK), _part(_text("Ann"))], 132012, "expected TEXT, received IMAGE"),
        ("headed", [_head(_text("x" * 60)), _part(_text("Ann"))], 132005, "header"),
        ("headed", [_head(_text("1")), _head(_text("2")), _part(_text("Ann"))], 131009, "one header"),
        ("plain", [_head(_text("88213"))], 132000, "header: number of localizable_params (1)"),
        ("pic", [_head(_LINK)], 0, ""),
        ("pic", [], 132012, "header: Format mismatch, expected IMAGE, received UNKNOWN"),
        ("pic", [_head(_text("x"))], 132012, "expected IMAGE, received TEXT"),
        ("pic", [_head({"type": "image", "image": {"id": "1"}})], 131009, "media attachment ID"),
        ("pic", [_head({"type": "image", "image": {"link": "a.png"}})], 131009, "URI"),
        ("pic", [_head({"type": "image", "image": {"link": "https://a.example", "caption": ""}})], 100, "caption"),
        ("tapped", [_FOLLOW, _button("0", "quick_reply", _PAYLOAD)], 0, ""),
        ("tapped", [_FOLLOW], 0, ""),
        ("tapped", [], 131008, "buttons: Button at index 1 of type Url requires a parameter"),
        ("tapped", [_button("1", "url")], 131008, "requires a parameter"),
        ("tapped", [_FOLLOW, _FOLLOW], 131009, "twice"),
        ("tapped", [_FOLLOW, _button("4", "url", _text("x"))], 131009, "not of the template"),
        ("tapped", [_FOLLOW, _button("2", "url", _text("x"))], 100, "type Url and does not support parameters"),
        ("tapped", [_FOLLOW, _button("3", "url", _text("1"))], 100, "type Call and does not support parameters"),
        ("tapped", [_FOLLOW, _button("3", "phone_number", _text("1"))], 100, ""),
        ("tapped", [_FOLLOW, _button("0", "url", _text("x"))], 132012, "expected QUICK_REPLY"),
        ("tapped", [_FOLLOW, _button("0", "quick_reply", _text("x"))], 100, "text"),
        ("tapped", [_part(_text("x"), kind="footer")], 100, ""),
        ("coded", [_button("0", "copy_code", {"type": "coupon_code", "coupon_code": "SAVE"})], 0, ""),
        ("coded", [], 131008, "requires a parameter"),
    ],
)  # fmt: skip
def test_what_fills_it_must_be_of_its_kind_and_number(
    name: str, parts: list[Json], code: int, details: str
) -> None:
    given = {"name": name, "language": {"code": "en"}, "components": parts}
    if not code:
        templates.check(given, APPROVED, _has)
        return
    with pytest.raises(GraphError) as caught:
        templates.check(given, APPROVED, _has)
    assert (caught.value.code, details in str(caught.value)) == (code, True), str(caught.value)


def test_what_is_listed_says_how_places_are_named() -> None:
    listed = {one.name: one.shown["parameter_format"] for one in APPROVED}
    assert listed == dict.fromkeys(listed, "POSITIONAL") | {"named": "NAMED"}
