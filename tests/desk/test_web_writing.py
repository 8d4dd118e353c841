"""What agents see while they write to a channel with a window, templates, answers to tap, SMS, a public place: in a
real Chromium."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_store.carried import unpack
from crm_store.db import Store
from hub.text import segments
from tests.desk.messaging import INSTA, TEL, Messaging, make, shipped
from tests.desk.test_web_browser import address, enter, told

__all__ = ["address"]

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("MAINSTEM_SHOTS")  # a folder for screenshots, to look at

TEXTS = [
    "",
    "hello",
    "a" * 160,
    "a" * 161,
    "a" * 306,
    "a" * 307,
    "€" * 80,
    "€" * 81,
    "a" * 152 + "€" + "b" * 20,
    "a" * 153 + "€" * 76,
    "[brackets] ^ | ~ \\ {}",
    "line\nline\n\n",
    "Grüße, señor; ça? Ça!",
    "Ελλάδα",
    "ΓΔΘΛΞΠΣΦΨΩ",
    "‘smart’ quotes",
    "ё" * 70,
    "ё" * 71,
    "ё" * 134,
    "ё" * 135,
    "😀" * 35,
    "😀" * 36,
    "я" * 66 + "😀" + "я" * 10,
    "👩\u200d👩\u200d👧 family",
    "tab\there",
    "  spaces at both ends  ",
    "…",
    "`back` quote",
]


@pytest.fixture
def room(sqlite_url: str, tmp_path: Path) -> Iterator[Messaging]:
    store = Store.open(sqlite_url)
    yield make(store, tmp_path / "blobs")
    store.close()


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def test_sms_are_counted_as_they_are_sent(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(TEL, "where is my order?", "sms_twilio/uk")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    said = page.locator("#sms-said")
    for text in TEXTS:
        page.fill("#reply-text", text)
        found = segments(text)
        if not text:
            assert said.is_hidden()
            continue
        counted = [said.get_attribute(f"data-{name}") for name in ("count", "units", "alphabet")]
        assert counted == [str(found.count), str(found.units), "gsm" if found.gsm else "ucs2"], repr(text)
    page.fill("#reply-text", "Your order is on its way…")
    assert said.inner_text() == (
        "1 SMS · 25 of 70 characters · “…” is not in the SMS alphabet, so a message holds 70 instead of 160"
    )
    shot(page, "sms")


def test_the_window_is_shown_and_a_template_goes_when_it_is_closed(
    room: Messaging, address: str, page: Any
) -> None:
    number = room.claimed(TEL, "where is my order 88213?", "whatsapp/main")
    room.nearly()
    enter(page, room, address, "bo")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(f"{address}/conversations/{number}")
    assert "WhatsApp: free text until" in page.inner_text(".talkhead")
    assert "(in 9 min)" in page.inner_text(".talkhead")
    page.click("#channel-because")
    assert "free text until" in page.inner_text("#channel-why")
    shot(page, "window-open")
    page.fill("#reply-text", "It is on its way.")
    room.closes()
    page.click("#send")
    assert "takes a reply only within 24 hours" in page.inner_text(".flash.bad[role=alert]")
    assert page.inner_text("#instead-way") == "Send it by Text messages"
    assert page.input_value("#reply-text") == "It is on its way."
    assert page.input_value("#channel").startswith("sms_twilio/uk")
    shot(page, "window-closed")
    page.click("#instead-shipped")
    assert page.input_value("#channel").startswith("whatsapp/main")
    assert page.locator("#reply-text").is_disabled()
    offered = page.eval_on_selector_all("#ready option:not([disabled])", "all => all.map(o => o.value)")
    assert offered == ["", "shipped"]
    page.fill("#ready-shipped [data-place='1']", "88213")
    page.fill("#ready-shipped [data-place='2']", "Monday")
    reads = "Your order 88213 is on its way and should reach you on Monday."
    assert page.inner_text("#ready-shipped .filled") == reads
    shot(page, "template")
    page.click("#send")
    page.wait_for_url("**/conversations/*")
    sent = room.delivery_of(number)
    assert unpack(sent.carries).template == shipped("88213", "Monday")
    assert "as the template “order_shipped” (en)" in page.inner_text(".history")
    assert reads in page.inner_text(".history")
    shot(page, "template-sent")


def test_the_other_channel_is_one_press_away(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(TEL, "where is my order 88213?", "whatsapp/main")
    room.nearly()
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.fill("#reply-text", "It is on its way.")
    room.closes()
    page.click("#send")
    page.click("#instead-way")
    page.wait_for_url("**/conversations/*")
    assert (room.delivery_of(number).account, room.delivery_of(number).to_urn) == ("sms_twilio/uk", TEL)
    assert "It is on its way." in page.inner_text(".history")


def test_the_page_says_when_the_window_closes_while_one_writes(
    room: Messaging, address: str, page: Any
) -> None:
    number = room.claimed(TEL, "where is my order 88213?", "whatsapp/main")
    room.nearly()
    enter(page, room, address, "bo")
    told(page, room, lambda: page.goto(f"{address}/conversations/{number}"))
    page.fill("#reply-text", "It is on its way.")
    room.closes()
    room.actions.note(room.id_of(number), "ada", "a word")  # whatever makes the page look again
    page.wait_for_selector("#shut:visible")
    assert "went until" in page.inner_text(".talkhead")
    assert page.input_value("#reply-text") == "It is on its way."
    shot(page, "window-closed-meanwhile")
    page.select_option("#ready", "shipped")
    assert page.locator("#reply-text").is_disabled()
    assert page.inner_text("#ready-shipped .said-as") == "It goes out as the approved text:"
    page.select_option("#channel", f"sms_twilio/uk {TEL}")
    assert page.locator("#reply-text").is_enabled()
    assert page.input_value("#reply-text") == "It is on its way."


def test_a_page_looks_again_by_itself_when_the_window_closes(
    room: Messaging, address: str, page: Any
) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    room.later(hours=23, minutes=59, seconds=50)
    enter(page, room, address, "bo")
    page.clock.install()
    page.goto(f"{address}/conversations/{number}")
    assert "free text until" in page.inner_text(".talkhead")
    room.later(seconds=30)
    ends = time.monotonic() + 60
    while "went until" not in page.inner_text(".talkhead"):
        assert time.monotonic() < ends, page.inner_text(".talkhead")
        page.clock.run_for(1000)  # its time goes only when it is told to; the answer comes in ours


def test_answers_to_tap_and_how_they_go(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(TEL, "it does not work", "whatsapp/main")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.select_option("#ready", "rate")
    assert page.input_value("#reply-text") == "Did that help?"
    assert page.input_value("#choices") == "Yes\nNo\nPartly\nCall me"
    assert (
        page.inner_text("#taps-said")
        == "4 answers to tap; WhatsApp takes 3: they go as a numbered list below the text."
    )
    shot(page, "taps-too-many")
    page.fill("#choices", "Yes\nNo")
    assert page.inner_text("#taps-said") == "2 answers to tap."
    page.select_option("#channel", label=page.inner_text("#channel option[data-sms]"))
    assert (
        page.inner_text("#taps-said") == "SMS has nothing to tap: they go as a numbered list below the text."
    )
    page.select_option("#channel", index=0)
    page.click("#send")
    page.wait_for_url("**/conversations/*")
    assert unpack(room.delivery_of(number).carries).choices == ("Yes", "No")
    assert page.locator(".offered .chip").all_inner_texts() == ["Yes", "No"]
    room.writes(TEL, "Yes", account="whatsapp/main", name="Ann Lee", fields=(("tapped", "c1"),))
    page.reload()
    assert "tapped" in page.inner_text(".said.in:last-of-type .meta")
    assert "c1" not in page.inner_text(".history")
    shot(page, "taps-sent")


def test_a_place_is_filled_before_it_is_put_into_the_text(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(TEL, "where is my order 88213?", "whatsapp/main")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.select_option("#ready", "shipped")
    page.fill("#ready-shipped [data-place='1']", "88213")
    shot(page, "places")
    page.click("#ready-shipped .insert")
    assert page.input_value("#reply-text") == "", "one place is empty still"
    page.fill("#ready-shipped [data-place='2']", "Monday")
    page.click("#ready-shipped .insert")
    assert page.input_value("#reply-text").startswith("Your order 88213 is on its way")
    assert page.locator("#ready-shipped").is_hidden()
    page.click("#send")
    page.wait_for_url("**/conversations/*")
    sent = unpack(room.delivery_of(number).carries)
    assert (sent.template, sent.choices) == (None, ("Thanks", "It has not come"))


def test_a_comment_is_answered_in_private_unless_somebody_says_so(
    room: Messaging, address: str, page: Any
) -> None:
    number = room.claimed(INSTA, "is it in blue too?", "instagram/shop", form="comment", external_id="c9")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    assert page.locator("input[name=public][value='']").is_checked()
    assert page.locator(".where .warn").is_hidden()
    page.fill("#reply-text", "Yes, from Monday.")
    page.check("input[name=public][value=yes]")
    assert page.inner_text(".where .warn") == "Everybody can read this."
    shot(page, "public")
    page.click("#send")
    page.wait_for_url("**/conversations/*")
    assert unpack(room.delivery_of(number).carries).public
    assert "in public" in page.inner_text(".said.out .meta").lower()
    shot(page, "public-sent")


def test_an_old_comment_is_answered_in_public_only(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(INSTA, "is it in green?", "instagram/shop", form="comment", external_id="c9")
    room.later(days=8)
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    assert "in public only" in page.locator("#channel option:checked").inner_text()
    assert page.locator("input[name=public][value=yes]").is_checked()
    assert page.locator("input[name=public][value='']").is_disabled()
    page.fill("#reply-text", "It is.")
    page.click("#send")
    page.wait_for_url("**/conversations/*")
    assert unpack(room.delivery_of(number).carries).public


def test_where_they_asked_to_be_answered(room: Messaging, address: str, page: Any) -> None:
    number = room.claimed(TEL, "please text me", "whatsapp/main")
    enter(page, room, address, "bo")
    page.goto(f"{address}/conversations/{number}")
    page.click("#act-asked summary")
    page.select_option("#act-asked select", f"sms_twilio/uk {TEL}")
    page.click("#act-asked button")
    page.wait_for_url("**/conversations/*")
    assert page.input_value("#channel") == f"sms_twilio/uk {TEL}"
    assert "they asked to be answered here" in page.inner_text("#channel-because")
    assert "noted that they asked to be answered by Text messages" in page.inner_text(".history")
    shot(page, "asked")


def test_what_customers_send_besides_text(room: Messaging, address: str, page: Any) -> None:
    say = {"account": "whatsapp/main", "name": "Ann Lee"}
    number = room.claimed(TEL, "hello", "whatsapp/main", external_id="w1")
    sent = room.actions.reply(room.id_of(number), "bo", "Where are you?", idem_key="1")
    room.reaches(sent.delivery_id, "o1")
    room.writes(
        TEL,
        "📍 Location: Pier 3, Harbour Road 3",
        fields=(
            ("latitude", "53.5436"),
            ("longitude", "9.9663"),
            ("place", "Pier 3"),
            ("address", "Harbour Road 3"),
        ),
        in_reply_to="o1",
        **say,
    )
    card = (("contact", "Cem"), ("contact phones", "+4940123"))
    room.writes(TEL, "👤 Contact card: Cem (+4940123)", fields=card, **say)
    room.writes(TEL, "👍 (sticker)", **say)
    room.writes(TEL, "That one", in_reply_to="w1", **say)
    room.writes(TEL, "What about this?", in_reply_to="never", **say)
    room.writes(TEL, "(They answered our story.)", **say)
    advertisement = (("came from", "ad"), ("headline", "Blue chairs"), ("link", "https://fb.me/x"))
    room.writes(TEL, "I saw your advertisement", fields=advertisement, **say)
    odd = room.blobs.put(b'{"type":"hologram"}')
    room.writes(TEL, "(Something that cannot be shown here: hologram.)", blob=odd, **say)
    outside: list[str] = []
    page.on("request", lambda one: outside.append(one.url) if not one.url.startswith(address) else None)
    enter(page, room, address, "ada")
    page.set_viewport_size({"width": 1280, "height": 1500})
    page.goto(f"{address}/conversations/{number}")
    told = page.inner_text(".history")
    link = page.locator(".history a", has_text="On the map")
    assert link.get_attribute("href").startswith("https://www.openstreetmap.org/?mlat=53.5436&mlon=9.9663")
    assert "latitude" not in told
    assert "contact phones" not in told
    cites = page.locator(".cites").all_inner_texts()
    assert cites == ["Bo Lindqvist Where are you?", "Ann Lee hello", "Quotes a message that is not here."]
    with page.expect_download() as got:
        page.click("a[id^=raw-]")
    assert Path(got.value.path()).read_bytes() == b'{"type":"hologram"}'
    assert outside == []
    shot(page, "kinds")


def test_a_first_message_by_a_channel_with_a_window_is_an_approved_text(
    room: Messaging, address: str, page: Any
) -> None:
    number = room.claimed(TEL, "hello", "whatsapp/main")
    room.actions.close(room.id_of(number), "bo")
    room.later(days=3)
    enter(page, room, address, "bo")
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto(f"{address}/customers/{room.customer_of(number)}")
    page.click("#begin summary")
    assert page.locator("#channel option").all_inner_texts() == [
        "+44 7700 900123 · by Text messages",
        "+44 7700 900123 · by WhatsApp (approved texts only)",
    ]
    page.fill("#reply-text", "Is it there?")
    page.select_option("#channel", f"whatsapp/main {TEL}")
    assert page.locator("#reply-text").is_disabled()
    assert page.locator("#only-said").is_visible()
    offered = page.eval_on_selector_all("#ready option:not([disabled])", "all => all.map(o => o.value)")
    assert offered == ["", "shipped"]
    page.click("#begin-send")
    assert page.input_value("#reply-text") == "Is it there?", "the browser asks for a ready-made reply first"
    page.select_option("#ready", "shipped")
    page.fill("#ready-shipped [data-place='1']", "88213")
    page.click("#begin-send")
    assert "has 2 places to fill" in page.inner_text("[role=alert]")
    assert page.input_value("#channel") == f"whatsapp/main {TEL}"
    assert page.input_value("#ready-shipped [data-place='1']") == "88213"
    page.fill("#ready-shipped [data-place='2']", "Monday")
    shot(page, "first-template")
    page.click("#begin-send")
    page.wait_for_url("**/conversations/*")
    begun = room.delivery_of(int(page.url.split("/")[-1].partition("?")[0]))
    assert unpack(begun.carries).template == shipped("88213", "Monday")
    assert "as the template “order_shipped” (en)" in page.inner_text(".history")
    shot(page, "first-template-sent")
