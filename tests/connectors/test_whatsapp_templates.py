"""Templates as WhatsApp takes them: by position and by name, with a header, a file at the head, buttons."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectors.graph import errors
from connectors.whatsapp import CONNECTOR
from hub.config import ApprovedText
from hub.errors import SendCode
from hub.model import ButtonKind, HeaderKind, Template, TemplateButton, TemplateHeader
from tests.connectors.graph_world import message
from tests.connectors.whatsapp_out import Shop, opened
from tests.each import each


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as shop:
        yield shop


def header(kind: HeaderKind, value: str = "", name: str = "") -> TemplateHeader:
    return TemplateHeader(kind=kind, value=value, name=name)


def button(number: int, kind: ButtonKind, value: str) -> TemplateButton:
    return TemplateButton(number=number, kind=kind, value=value)


async def test_a_template_goes_out_at_any_time(shop: Shop) -> None:
    shop.number.template("order_on_its_way", "Dear {{1}}, {{2}} is on its way.", language="en_US")
    said = Template(name="order_on_its_way", language="en_US", parameters=("Ann", "your parcel"))
    await shop.send(message("Dear Ann, …", heard_at=None, template=said, in_reply_to="wamid.older"))
    (taken,) = shop.graph.sent
    assert (taken.kind, taken.text) == ("template", "Dear Ann, your parcel is on its way.")
    assert "context" not in taken.body


async def test_templates_that_do_not_fit(shop: Shop) -> None:
    shop.number.template("hello", "Hello {{1}}", language="en")
    for template, files in (
        (Template(name="hello", parameters=("",)), ()),
        (Template(name="hello", parameters=("a\nb",)), ()),
        (Template(name="hello", parameters=("a     b",)), ()),
        (Template(name=" "), ()),
        (Template(name="hello", parameters=("Ann",)), (shop.files.put("a.pdf", "application/pdf"),)),
    ):
        said = message(template=template, attachments=files)
        assert (await shop.fails(said)).code is SendCode.MESSAGE_INVALID
    assert shop.graph.requests == []
    for template, code in (
        (Template(name="hello"), "132000"),
        (Template(name="hello", language="sv", parameters=("Ann",)), "132001"),
    ):
        error = await shop.fails(message(template=template))
        assert (error.code, error.provider_code) == (SendCode.MESSAGE_INVALID, code)


# ------------------------------------------------------------------------------------- header, names, buttons

BUTTONS = (
    ("PHONE_NUMBER", "Call us", "+15550783881"),
    ("URL", "Follow it", "https://shop.example.com/t/{{1}}"),
    ("QUICK_REPLY", "It has not come", ""),
    ("COPY_CODE", "Copy the code", "SAVE25"),
)


async def test_header_body_and_buttons_are_filled_by_position(shop: Shop) -> None:
    shop.number.template(
        "shipped", "Dear {{1}}, it comes on {{2}}.", header="Order {{1}}", footer="Acme", buttons=BUTTONS
    )
    said = Template(
        name="shipped",
        language="en_US",
        parameters=("Ann", "Monday"),
        header=header(HeaderKind.TEXT, "88213"),
        buttons=(
            button(2, ButtonKind.URL, "88213?from=wa"),
            button(3, ButtonKind.REPLY, "late-88213"),
            button(4, ButtonKind.CODE, "SAVE10"),
        ),
    )
    await shop.send(message("Order 88213 …", heard_at=None, template=said))
    (taken,) = shop.graph.sent
    assert taken.text == "Dear Ann, it comes on Monday."
    assert taken.body["template"]["components"] == [
        {"type": "header", "parameters": [{"type": "text", "text": "88213"}]},
        {
            "type": "body",
            "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "Monday"}],
        },
        {
            "type": "button",
            "sub_type": "url",
            "index": "1",
            "parameters": [{"type": "text", "text": "88213?from=wa"}],
        },
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "2",
            "parameters": [{"type": "payload", "payload": "late-88213"}],
        },
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": "3",
            "parameters": [{"type": "coupon_code", "coupon_code": "SAVE10"}],
        },
    ]


async def test_named_places_are_filled_by_name_in_any_order(shop: Shop) -> None:
    shop.number.template("sale", "{{who}}: {{off}} off.", header="{{what}} is here", buttons=BUTTONS[:2])
    said = Template(
        name="sale",
        language="en_US",
        parameters=("a quarter", "Ann"),
        names=("off", "who"),
        header=header(HeaderKind.TEXT, "Summer", "what"),
        buttons=(button(2, ButtonKind.URL, "summer"),),
    )
    await shop.send(message(heard_at=None, template=said))
    assert shop.graph.sent[0].text == "Ann: a quarter off."
    head, _, link = shop.sent[0]["template"]["components"]
    assert head["parameters"] == [{"type": "text", "text": "Summer", "parameter_name": "what"}]
    assert link["parameters"] == [{"type": "text", "text": "summer"}]  # by position all the same


@pytest.mark.parametrize(
    "kind, value, file",
    [
        ("image", "https://shop.example.com/88213.png", {"link": "https://shop.example.com/88213.png"}),
        ("video", "https://shop.example.com/how.mp4", {"link": "https://shop.example.com/how.mp4"}),
        (
            "document",
            "https://shop.example.com/bills/Bill%20for%20Ann.pdf?key=1",
            {
                "link": "https://shop.example.com/bills/Bill%20for%20Ann.pdf?key=1",
                "filename": "Bill for Ann.pdf",
            },
        ),
        ("document", "https://shop.example.com", {"link": "https://shop.example.com"}),
    ],
)
async def test_a_linked_file_stands_at_the_head(
    shop: Shop, kind: str, value: str, file: dict[str, str]
) -> None:
    shop.number.template("with_file", "Here it is.", header=kind.upper())
    said = Template(name="with_file", language="en_US", header=header(HeaderKind(kind), value))
    await shop.send(message(heard_at=None, template=said))
    assert shop.sent[0]["template"]["components"] == [
        {"type": "header", "parameters": [{"type": kind, kind: file}]}
    ]


@pytest.mark.parametrize(
    "kind, name, content_type, named",
    [
        ("image", "kettle.png", "image/png", False),
        ("video", "how.mp4", "video/mp4", False),
        ("document", "bill.pdf", "application/pdf", True),
    ],
)
async def test_an_attached_file_is_uploaded_and_stands_at_the_head(
    shop: Shop, kind: str, name: str, content_type: str, named: bool
) -> None:
    shop.number.template("with_file", "Hello {{1}}", header=kind.upper())
    said = Template(name="with_file", language="en_US", parameters=("Ann",), header=header(HeaderKind(kind)))
    file = shop.files.put(name, content_type)
    sent = await shop.send(message(heard_at=None, template=said, attachments=(file,)))
    (taken,) = shop.graph.sent
    (media_id,) = [one for one in shop.graph.media if shop.graph.media[one].filename == name]
    assert (len(sent.external_ids), taken.media) == (1, media_id)
    wanted = {"id": media_id} | ({"filename": name} if named else {})
    assert taken.body["template"]["components"][0]["parameters"] == [{"type": kind, kind: wanted}]
    again = Template(
        name="with_file",
        language="en_US",
        parameters=("Ann",),
        header=header(HeaderKind(kind), media_id),
    )
    await shop.send(message(heard_at=None, template=again))
    assert shop.graph.sent[1].media == media_id


PNG, PDF = ("a.png", "image/png"), ("a.pdf", "application/pdf")


@each(
    "filling, files",
    [
        ({"header": header(HeaderKind.TEXT)}, []),
        ({"header": header(HeaderKind.TEXT, "two\nlines")}, []),
        ({"header": header(HeaderKind.IMAGE)}, []),
        ({"header": header(HeaderKind.IMAGE)}, [PDF]),
        ({"header": header(HeaderKind.IMAGE)}, [PNG, PNG]),
        ({"header": header(HeaderKind.IMAGE)}, [("a.gif", "image/gif")]),
        ({"header": header(HeaderKind.IMAGE, "https://example.com/a.png")}, [PNG]),
        ({"header": header(HeaderKind.IMAGE, "a.png")}, []),
        ({"header": header(HeaderKind.IMAGE, "ftp://example.com/a.png")}, []),
        ({"header": header(HeaderKind.DOCUMENT, "https://[example.com/a.pdf")}, []),
        ({"parameters": ("a", "b"), "names": ("who",)}, []),
        ({"buttons": (button(1, ButtonKind.URL, "two words"),)}, []),
        ({"buttons": (button(1, ButtonKind.URL, "x" * 2_001),)}, []),
        ({"buttons": (button(1, ButtonKind.REPLY, " "),)}, []),
    ],
)
async def test_what_cannot_fill_it_is_not_sent(
    shop: Shop, filling: dict[str, Any], files: list[tuple[str, str]]
) -> None:
    put = tuple(shop.files.put(*one) for one in files)
    error = await shop.fails(message(template=Template(name="x", **filling), attachments=put))
    assert (error.code, error.retry, shop.graph.requests) == (SendCode.MESSAGE_INVALID, False, [])


@pytest.mark.parametrize(
    "filling, code, words",
    [
        ({"parameters": ("Ann",)}, "132012", "of the kind that the template wants"),
        (
            {
                "header": header(HeaderKind.IMAGE, "17"),
                "buttons": (button(2, ButtonKind.URL, "x"),),
                "parameters": ("Ann",),
            },
            "131009",
            "a value is not valid",
        ),
        (
            {"header": header(HeaderKind.IMAGE, "https://example.com/a.png"), "parameters": ("Ann",)},
            "131008",
            "Button at index 1 of type Url requires a parameter",
        ),
        (
            {"header": header(HeaderKind.IMAGE, "https://example.com/a.png")},
            "132000",
            "another number of parameters",
        ),
        (
            {"header": header(HeaderKind.TEXT, "x"), "parameters": ("Ann",)},
            "132012",
            "expected IMAGE, received TEXT",
        ),
        (
            {
                "header": header(HeaderKind.IMAGE, "https://example.com/a.png"),
                "parameters": ("Ann",),
                "names": ("who",),
                "buttons": (button(2, ButtonKind.URL, "x"),),
            },
            "100",
            "have no names",
        ),
    ],
)
async def test_what_meta_refuses_is_told_in_words(
    shop: Shop, filling: dict[str, Any], code: str, words: str
) -> None:
    shop.number.template("promised", "Hello {{1}}", header="IMAGE", buttons=BUTTONS[:2])
    said = Template(name="promised", language="en_US", **filling)
    error = await shop.fails(message(heard_at=None, template=said))
    assert (error.code, error.provider_code, error.retry) == (SendCode.MESSAGE_INVALID, code, False)
    assert words in error.detail


async def test_a_file_that_meta_cannot_fetch_is_told_later_and_sent_once_more(shop: Shop) -> None:
    shop.number.template("with_file", "Here it is.", header="IMAGE")
    link = f"{shop.graph.base}/nothing.png"
    said = Template(name="with_file", language="en_US", header=header(HeaderKind.IMAGE, link))
    shop.graph.later = {131053}
    await shop.send(message(heard_at=None, template=said))
    await shop.graph.settled()
    assert [(one.code, one.later) for one in shop.graph.refused] == [(131053, True)]
    assert errors.after_report(131053).again == 1
    assert errors.after_report(132012).again == 0


async def test_what_a_template_waits_for_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shop.number._said

    def held(*given: Any) -> dict[str, Any]:
        answer = said(*given)
        answer["messages"][0]["message_status"] = "held_for_quality_assessment"
        return answer

    monkeypatch.setattr(shop.number, "_said", held)
    assert "holds it back" in (await shop.send(message())).detail


# -------------------------------------------------------------------------------------------------- its entry


@each(
    "given, said",
    [
        ({"name": "order_shipped", "language": "en_US", "names": ("who",)}, ""),
        ({"name": "Order shipped"}, "not 'Order shipped'"),
        ({"name": "x", "language": "en-US"}, "en or en_US, not 'en-US'"),
        ({"name": "x", "names": ("whoIs",)}, "small letters, digits and _, not 'whoIs'"),
        ({"name": "x", "header": header(HeaderKind.TEXT, "{1}", "Sale")}, "not 'Sale'"),
    ],
)
def test_an_entry_of_the_replies_is_looked_at(given: dict[str, Any], said: str) -> None:
    found = "; ".join(CONNECTOR.check_template(ApprovedText(**given)))
    assert said in found
    assert bool(found) == bool(said)
