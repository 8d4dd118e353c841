"""`templates` of a ready-made reply: what a provider approved, what fills it there, and what is wrong with an entry."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from desk import contents, prepared
from hub import configfiles, configtemplates
from hub.config import Account, ApprovedText, CannedReply
from hub.errors import ConfigError, Refused
from hub.limits import Limits
from hub.model import Attachment, ButtonKind, HeaderKind, Template, TemplateButton, TemplateHeader
from hub.yamlfile import Reader
from mainstem.prepare import check_templates
from tests.config.samples import having
from tests.each import each

CHANNELS = """
brands:
  main:
accounts:
  whatsapp/main: {title: WhatsApp}
  whatsapp_twilio/main: {title: WhatsApp by Twilio}
"""
WHOLE = """
    title: On its way
    text: |
      Order {1}: hello {2}, it comes on {3}.
      https://shop.example.com/t/{1}
    templates:
      whatsapp:
        name: order_shipped
        language: en_US
        header: "{1}"
        body: ["{2}", "on {3}"]
        buttons:
          2: {url: "{1}?from=wa"}
          1: {reply: "late-{1}"}
          3: {code: SAVE10}
      whatsapp/main: {name: bill, document: "https://shop.example.com/bills/{2}/{1}.pdf", body: {who: "{2}", no: "{1}"}}
      whatsapp_twilio: {name: HX0123456789abcdef0123456789abcdef, body: ["{2}", "{3}", "{1}"]}
"""


def replies(text: str) -> dict[str, CannedReply]:
    files = having(
        channels=CHANNELS, replies=f"replies:\n  one:\n{text}", routing="default: {queue: general}\n"
    )
    return configfiles.load(files, checks=[check_templates]).replies


def entry(given: str, text: str = "Hello {1}, order {2}") -> str:
    return f"    text: {text}\n    templates:\n      whatsapp: {given}\n"


def header(kind: str, value: str = "", name: str = "") -> TemplateHeader:
    return TemplateHeader(kind=HeaderKind(kind), value=value, name=name)


def buttons(reply: str, address: str) -> tuple[TemplateButton, ...]:
    """Those of WHOLE."""
    return (
        TemplateButton(number=1, kind=ButtonKind.REPLY, value=reply),
        TemplateButton(number=2, kind=ButtonKind.URL, value=address),
        TemplateButton(number=3, kind=ButtonKind.CODE, value="SAVE10"),
    )


def test_header_body_and_buttons_are_filled_with_the_same_words() -> None:
    one = replies(WHOLE)["one"]
    words = [" 88/213 ", "Ann", "Monday"]
    assert (one.places, prepared.approved_text(one, "whatsapp/other")) == (
        3,
        ApprovedText(
            name="order_shipped",
            language="en_US",
            body=("{2}", "on {3}"),
            header=header("text", "{1}"),
            buttons=buttons("late-{1}", "{1}?from=wa"),
        ),
    )
    assert prepared.approved(one, "whatsapp/other", words) == Template(
        name="order_shipped",
        language="en_US",
        parameters=("Ann", "on Monday"),
        header=header("text", "88/213"),
        buttons=buttons("late-88/213", "88/213?from=wa"),
    )
    assert prepared.approved(one, "whatsapp/main", words) == Template(
        name="bill",
        parameters=("Ann", "88/213"),
        names=("who", "no"),
        header=header("document", "https://shop.example.com/bills/Ann/88%2F213.pdf"),
    )
    twilio = prepared.approved(one, "whatsapp_twilio/main", words)
    assert twilio is not None
    assert twilio.parameters == ("Ann", "Monday", "88/213")
    assert prepared.begun(one, ["88213"]).startswith("Order 88213: hello {2}, it comes on {3}.\nhttps://shop")


def test_no_body_is_all_places_in_order_and_an_empty_one_is_none() -> None:
    assert replies(entry("{name: x}"))["one"].approved["whatsapp"].body is None
    one = replies(entry('{name: x, header: "{1}", body: []}'))["one"]
    assert prepared.approved(one, "whatsapp/main", ["Ann", "1"]) == Template(
        name="x", header=header("text", "Ann")
    )


@each(
    "given, file, words, filled",
    [
        ("image: attached", "an image", ["Ann", "x"], ""),
        ("document: attached", "a document", ["Ann", "x"], ""),
        ("video: 17", "", ["Ann", "x"], "17"),
        ('image: "{2}"', "", ["Ann", "https://example.com/a b.png"], None),
        ('image: "{2}"', "", ["Ann", "https://example.com/a.png"], "https://example.com/a.png"),
        ('image: "{2}"', "", ["Ann", "17"], "17"),
        ('image: "{2}"', "", ["Ann", "a.png"], None),
        ("image: https://example.com/a.png", "", ["Ann", "x"], "https://example.com/a.png"),
    ],
)
def test_a_file_at_the_head_is_a_link_an_id_or_attached(
    given: str, file: str, words: list[str], filled: str | None
) -> None:
    one = replies(entry(f"{{name: x, {given}}}"))["one"]
    assert (prepared.encloses(one, "whatsapp/main"), prepared.enclosures(one)) == (
        file,
        [file] if file else [],
    )
    if filled is None:
        with pytest.raises(Refused, match="give a link to it"):
            prepared.approved(one, "whatsapp/main", words)
        return
    template = prepared.approved(one, "whatsapp/main", words)
    assert template is not None
    assert template.header is not None
    assert (template.header.value, template.header.attached) == (filled, bool(file))


def test_the_end_of_a_link_has_no_spaces() -> None:
    one = replies(entry('{name: x, buttons: {1: {url: "{2}"}}}'))["one"]
    with pytest.raises(Refused, match="no spaces there"):
        prepared.approved(one, "whatsapp/main", ["Ann", "88 213"])


@each(
    "given, said",
    [
        ('{name: x, header: "{3}"}', 'whatsapp: "header" is filled with {3}, which the reply\'s text has not'),
        ('{name: x, body: ["{1}", "{4}"]}', '"body" is filled with {4}, which the reply\'s text has not'),
        ('{name: x, body: {who: "{0}"}}', '"body" is filled with {0}, which'),
        ('{name: x, buttons: {1: {url: "{9}"}}}', '"buttons" is filled with {9}, which'),
        ('{name: x, header: "{{1}}"}', '"header": write {1}, not {{1}}'),
        ("{name: x, header: {1}}", '"header" must be filled with text, "{1}" in quotes'),
        ("{name: x, body: {1}}", '"body" must be filled with text, "{1}" in quotes'),
        ("{name: x, body: [{1}]}", '"body" must be filled with text, "{1}" in quotes'),
        ("{name: x, image: {1}}", '"image" must be filled with text, "{1}" in quotes'),
        ("{name: x, buttons: {1: {url: {1}}}}", '"buttons" must be filled with text, "{1}" in quotes'),
        ('{name: x, header: ["{1}"]}', '"header" must be filled with text'),
        ('{name: x, header: ""}', '"header" must be filled with text of 1 to 2,000 characters'),
        ('{name: x, header: a, image: "https://a.example/b"}', "has one of header, image, video and document"),
        ("{name: x, header: {a: b, c: d}, body: []}", "a header has one place, so one name"),
        ("{name: x, header: {a: b}}", "has names for all places of its header and body, or for none"),
        ("{name: x, header: b, body: {who: b}}", "has names for all places of its header and body"),
        ("{name: x, body: {first name: b}}", 'named by letters, digits and _, not "first name"'),
        ("{name: x, image: a.png}", '"image" must be a link, the provider\'s id of a file, a place, or "attached"'),
        ('{name: x, image: "https://{1}/a.png"}', '"image" must be a link'),
        ("{name: x, buttons: {0: {url: a}}}", "a button is named by its number, 1 to 10"),
        ("{name: x, buttons: {11: {url: a}}}", "a button is named by its number, 1 to 10"),
        ("{name: x, buttons: {1: a}}", 'button 1 takes one of url, reply, code, such as {url: "{1}"}'),
        ("{name: x, buttons: {1: {link: a}}}", "button 1 takes one of url, reply, code"),
        ("{name: x, buttons: {1: {url: a, reply: b}}}", "button 1 takes one of url, reply, code"),
        ("{name: x, buttons: [a]}", '"buttons" must hold keys'),
        ("{name: x, footer: a}", 'knows no "footer"'),
        ("{name: Order shipped}", "small letters, digits and _, not 'Order shipped'"),
        ("{name: x, language: en-GB}", "en or en_US, not 'en-GB'"),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_is_one_sentence(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replies(entry(given))
    (fault,) = caught.value.faults
    assert (fault.file.removeprefix("config/"), fault.line) == ("replies.yaml", 5)
    assert fault.text.startswith('reply "one"')
    assert said in fault.text


@each(
    "given, said",
    [
        ("order_shipped", "ContentSid, HX and 32 hex digits, not 'order_shipped'"),
        ('{name: HX0123456789abcdef0123456789abcdef, header: "{1}"}', "has one list of variables"),
        ("{name: HX0123456789abcdef0123456789abcdef, buttons: {1: {url: a}}}", "has one list of variables"),
        ("{name: HX0123456789abcdef0123456789abcdef, body: {a_long_name_it_is: a}}", "at most 16 characters"),
    ],
)
def test_twilio_has_one_list_for_all(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replies(entry(given).replace("whatsapp:", "whatsapp_twilio/main:"))
    (fault,) = caught.value.faults
    assert said in fault.text


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in items for found in ((*path, key), *_paths(value, (*path, key)))]


def test_whatever_is_mistyped_is_complained_of_or_works() -> None:
    whole = yaml.load(WHOLE, yaml.CBaseLoader)["templates"]
    wrong: tuple[Any, ...] = (
        None,
        7,
        "",
        "x",
        "{1}",
        "{7}",
        [],
        ["x"],
        [[]],
        {},
        {"x": "y"},
        {"1": None},
        "\n",
    )
    for path in _paths(whole):
        for value in wrong:
            data = deepcopy(whole)
            at = data
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            reader = Reader("replies.yaml")
            text = yaml.dump({"templates": data}, Dumper=yaml.CSafeDumper, sort_keys=False)
            section = reader.root(text, "the file")
            found = configtemplates.approved(section, ["whatsapp/main", "whatsapp_twilio/main"], 3)
            assert all("\n" not in fault.text for fault in reader.faults)
            if not reader.faults:
                reply = CannedReply(key="one", title="One", text="{1}{2}{3}", places=3, approved=found)
                for account in found:
                    prepared.approved(reply, account, ["https://a.example", "17", "x"])


LIMITS = Limits(
    text_chars=9,
    attachments=9,
    attachment_bytes=100,
    source="test",
    media=("image/png", "application/", "video/mp4"),
)


@each(
    "head, files, said",
    [
        (None, [], ""),
        (None, ["image/png"], "No file goes with an approved text"),
        (header("image", "17"), ["image/png"], "No file goes with an approved text"),
        (header("image"), [], "has an image at its head: attach it, and nothing else"),
        (header("image"), ["image/png"], ""),
        (header("image"), ["image/png"] * 2, "attach it, and nothing else"),
        (header("image"), ["video/mp4"], "wants an image there"),
        (header("image"), ["image/gif"], "WhatsApp wants an image there"),
        (header("video"), ["video/mp4"], ""),
        (header("document"), ["application/pdf"], ""),
        (header("document"), ["image/png"], "wants a document there"),
    ],
)
def test_the_file_that_goes_along_is_the_one_at_the_head(
    head: TemplateHeader | None, files: list[str], said: str
) -> None:
    account = Account(
        key="whatsapp/main", connector="whatsapp", name="main", brand="main", title="WhatsApp", settings={}
    )
    attached = [Attachment(sha256="0" * 64, content_type=one, size_bytes=9, name="a") for one in files]
    template = Template(name="x", header=head)
    if not said:
        contents.check_template(template, attached, LIMITS, account)
        return
    with pytest.raises(Refused, match=said):
        contents.check_template(template, attached, LIMITS, account)
