"""Pictures, voice notes, edits, reactions and broken batches, as Ann and Bo see them; on both databases."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crm_store import schema
from crm_store.carried import Carried
from crm_store.db import Store
from crm_store.timeline import Entry
from hub.model import Attachment
from tests.databases import on_postgresql, on_sqlite
from tests.messaginglines import TelegramLine
from tests.messagingworld import MessagingWorld, messaging_world
from tests.metalines import WhatsAppLine

SMS, WHATSAPP, TELEGRAM = "sms_twilio", "whatsapp", "telegram"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"a kettle" * 40
OGG = b"OggS\x00\x02" + b"a voice" * 40


@pytest.fixture
async def w(tmp_path: Path, store: Store, valkey: str) -> AsyncIterator[MessagingWorld]:
    async with messaging_world(tmp_path, store, valkey, SMS, WHATSAPP, TELEGRAM) as opened:
        yield opened


def telegram(w: MessagingWorld) -> TelegramLine:
    line = w.lines[TELEGRAM]
    assert isinstance(line, TelegramLine)
    return line


def whatsapp(w: MessagingWorld) -> WhatsAppLine:
    line = w.lines[WHATSAPP]
    assert isinstance(line, WhatsAppLine)
    return line


def shown(w: MessagingWorld, entry: Entry) -> list[tuple[str, bytes]]:
    """Type and bytes of what the desk shows of an entry."""
    assert not entry.expected, [(one.state, one.why) for one in entry.expected]
    return [(one.content_type, w.hub.blobs.read(one.sha256)) for one in entry.attachments]


def picture(w: MessagingWorld, data: bytes = JPEG, name: str = "kettle.jpg") -> Attachment:
    w.hub.blobs.put(data)
    return Attachment(
        sha256=hashlib.sha256(data).hexdigest(), content_type="image/jpeg", size_bytes=len(data), name=name
    )


# ------------------------------------------------------------------------------------------------------------ files


async def test_her_photo_and_her_voice_are_fetched_and_shown(w: MessagingWorld) -> None:
    await whatsapp(w).person("Ann").sends(JPEG, "image/jpeg", caption="The kettle is broken")
    await telegram(w).person("Bea").sends("voice", OGG)
    await w.settle()
    talks = [w.hub.bo.takes_next() for _ in range(2)]
    taken = {w.hub.bo.sees(talk).card.account: w.entries(talk) for talk in talks}
    (photo,), (voice,) = taken["whatsapp/main"], taken["telegram/main"]
    assert (photo.text, shown(w, photo)) == ("The kettle is broken", [("image/jpeg", JPEG)])
    assert shown(w, voice) == [("audio/ogg", OGG)]


@on_postgresql
async def test_a_file_that_cannot_be_had_is_tried_again_and_the_message_is_there_meanwhile(
    w: MessagingWorld,
) -> None:
    w.graph.fail(at="cdn", status=503)
    await whatsapp(w).person("Ann").sends(JPEG, "image/jpeg", caption="The kettle is broken")
    await w.settle()
    talk = w.hub.bo.takes_next()
    (entry,) = w.entries(talk)
    assert (entry.text, entry.attachments) == ("The kettle is broken", ())
    assert [one.coming for one in entry.expected] == [True]
    await w.passes(minutes=2)
    (entry,) = w.entries(talk)
    assert shown(w, entry) == [("image/jpeg", JPEG)]


async def test_an_album_is_one_message_in_whichever_order_its_pieces_come(w: MessagingWorld) -> None:
    pieces = [JPEG + bytes([number]) for number in range(3)]
    w.telegram.updates.hold = True
    await telegram(w).person("Ann").album([("photo", one) for one in pieces], caption="It is broken, see")
    w.telegram.double()
    w.telegram.shuffle(3)
    await w.telegram.flush()
    await w.settle()
    talk = w.hub.bo.takes_next()
    (entry,) = w.entries(talk)
    assert entry.text == "It is broken, see"
    assert sorted(shown(w, entry)) == [("image/jpeg", one) for one in pieces]
    assert w.hub.count(schema.conversations) == 1


@on_sqlite
async def test_bos_picture_is_an_mms_by_a_link_that_ends_and_an_upload_in_telegram(w: MessagingWorld) -> None:
    await w.says("Ann", SMS, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "This one?", attachments=(picture(w),))
    (sent,) = w.twilio.sent
    assert (sent.body, [one.content for one in sent.media]) == ("This one?", [JPEG])
    assert (w.twilio.alerts, w.states()) == ([], ["sent"])
    (link,) = sent.media_urls
    assert link.startswith(f"{w.hub.public_url}/file/")
    assert link.endswith("/kettle.jpg")
    assert await status(link) == 200
    assert await status(link.replace("/file/A", "/file/B").replace("/file/a", "/file/b")[:-1]) == 404
    w.hub.passes(days=8)
    assert await status(link) == 404, "a week, and no longer"

    await w.says("Bea", TELEGRAM, "Mine is broken, too")
    other = w.hub.bo.takes_next()
    await w.answers(other, "And this one?", attachments=(picture(w),))
    said, photo = telegram(w).person("Bea").received
    assert (said["text"], "photo" in photo) == ("And this one?", True)
    assert [one.content for one in w.telegram.files.values()] == [JPEG]

    await w.says("Cy", WHATSAPP, "It is broken")
    third = w.hub.bo.takes_next()
    await w.answers(third, "Or this?", attachments=(picture(w),))
    assert whatsapp(w).got("Cy") == ["Or this?"]
    assert w.states() == ["sent"] * 3


@on_postgresql
async def test_what_a_channel_does_not_take_goes_out_as_a_link(w: MessagingWorld) -> None:
    await w.says("Ann", SMS, "My kettle is broken")
    talk = w.hub.bo.takes_next()
    pdf = b"%PDF-1.7 how to mend a kettle"
    w.hub.blobs.put(pdf)
    manual = Attachment(
        sha256=hashlib.sha256(pdf).hexdigest(),
        content_type="application/pdf",
        size_bytes=len(pdf),
        name="manual.pdf",
    )
    await w.answers(talk, "Read this.", attachments=(manual,))
    (text,) = w.lines[SMS].got("Ann")
    assert text.startswith("Read this.")
    link = next(word for word in text.split() if word.startswith(w.hub.public_url))
    async with aiohttp.ClientSession() as http, http.get(link) as answer:
        assert (answer.status, await answer.read()) == (200, pdf)


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status


# --------------------------------------------------------------------------------------- edits, deletions, reactions


@on_sqlite
async def test_her_edits_deletions_and_reactions_show(w: MessagingWorld) -> None:
    ann = telegram(w).person("Ann")
    first = await ann.says("My kettel is broken")
    await w.settle()
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "Sorry!")
    await ann.edits(first.body["message_id"], "My kettle is broken")
    await ann.reacts(w.telegram.sent[-1].message_id, "👍")
    await w.settle()
    said, answer = w.entries(talk)
    assert (said.text, said.first_text) == ("My kettle is broken", "My kettel is broken")
    assert answer.reactions == ("👍",)
    await ann.reacts(w.telegram.sent[-1].message_id)
    await w.settle()
    assert w.entries(talk)[1].reactions == ()

    bea = whatsapp(w).person("Bea")
    one = await bea.says("It is broken, too. My PIN is 1234")
    two = await bea.says("the bleu one")
    await w.settle()
    other = w.hub.bo.takes_next()
    await bea.revokes(one.id)
    await bea.edits(two.id, "the blue one")
    await w.settle()
    gone, colour = w.entries(other)
    assert gone.deleted
    assert (colour.text, colour.first_text) == ("the blue one", "the bleu one")
    await w.answers(other, "Thank you")
    await bea.reacts("❤", w.graph.sent[-1].id)
    await w.settle()
    assert w.entries(other)[-1].reactions == ("❤",)


@on_postgresql
async def test_a_quote_and_a_tapped_answer_say_what_they_belong_to(w: MessagingWorld) -> None:
    ann = telegram(w).person("Ann")
    first = await ann.says("My kettle is broken")
    await w.settle()
    talk = w.hub.bo.takes_next()
    await w.answers(talk, "Which one?", carries=Carried(choices=("The red one", "The blue one")))
    await ann.says("this one", reply_to=first.body["message_id"])
    buttons: list[Any] = [
        button for row in ann.received[-1]["reply_markup"]["inline_keyboard"] for button in row
    ]
    assert [one["text"] for one in buttons] == ["The red one", "The blue one"]
    await ann.presses(ann.received[-1]["message_id"], buttons[0]["callback_data"])
    await w.settle()
    quoting, tapped = w.entries(talk)[2:]
    assert quoting.cites is not None
    assert quoting.cites.text == "My kettle is broken"
    assert tapped.text == "The red one"
    assert len(w.telegram.answered) == 1, "and her button stops turning"


# ------------------------------------------------------------------------------------------------- batches, and poison


@on_sqlite
async def test_one_bad_entry_costs_no_other_and_is_kept(w: MessagingWorld) -> None:
    line = whatsapp(w)
    async with w.graph.door.batch():
        await line.person("Ann").says("The first is broken")
        await line.number.tell("", "messages", {"id": "17", "changes": "poison"})
        await line.person("Bea").says("The second is broken")
        await line.person("Cy").message("text", "no table at all")
        await line.person("Cy").message("hologram", {"id": "1"})
    (delivery,) = w.graph.door.deliveries
    assert delivery.answers == [200]
    await w.graph.door.redeliver(times=3)
    await w.settle()
    waiting = {w.entries(w.hub.bo.takes_next())[0].text for _ in range(3)}
    assert waiting > {"The first is broken", "The second is broken"}
    assert any("hologram" in text for text in waiting), "what nobody knows is shown as such"
    assert w.hub.count(schema.quarantine) == 2
    ledger = await w.hub.ledger()
    assert (ledger.journalled, ledger.missing, ledger.on_the_way) == (
        ledger.stored + ledger.duplicates + ledger.quarantined,
        0,
        0,
    )
