"""What WhatsApp tells us, as the local Graph API delivers it: signed, in batches, again and again."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from msgspec import structs

from connectors.base import Answer, Parsed, Raw
from connectors.graph import batch
from connectors.whatsapp import CONNECTOR
from hub.config import Account
from hub.errors import Forged, Malformed
from hub.model import (
    Change,
    ConsentChanged,
    DeliveryReported,
    DeliveryStatus,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
    Unreadable,
)
from tests.connectors.graph_world import PUBLIC, message
from tests.connectors.whatsapp_world import Shop, opened
from tests.each import each
from tests.servers.graph.customer import AD

JPEG = b"\xff\xd8\xff\xe0" + b"x" * 500


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as shop:
        yield shop


# ------------------------------------------------------------------------------------------------------- what is said


async def test_every_kind_is_read_as_it_is_delivered(shop: Shop) -> None:
    ann = shop.number.customer("Ann", username="ann.lee")
    ours = (await CONNECTOR.send(message(), shop.account, shop.way)).external_ids[0]
    await shop.graph.settled()
    shop.heard()
    first = (await ann.says("5 < 6 % @ / é 👋", ad=AD)).id
    await ann.says("That one", quoting=ours, forwarded=9, product=("1", "sku"))
    await ann.sends(JPEG, "image/jpeg", caption="The crack")
    await ann.sends(b"OggS", "audio/ogg; codecs=opus", voice=True)
    await ann.sends(b"RIFF0000WEBP", "image/webp", kind="sticker")
    await ann.is_at(59.3, 18.1, "Office", "Main Street 1")
    await ann.shares({"name": {"formatted_name": "Cy"}, "phones": [{"phone": "+1 555 0100"}]})
    await ann.presses("1", "Morning", of=ours)
    await ann.picks("2", "Noon", "12 to 1", of=ours)
    await ann.fills({"name": "Ann"}, of=ours)
    await ann.taps("Stop", "STOP_PAYLOAD", of=ours)
    await ann.orders("1", {"product_retailer_id": "sku", "quantity": 2, "item_price": 3, "currency": "USD"})
    await ann.unsupported("poll_creation")
    await ann.message("telepathy", {"thought": "?"})
    await ann.says("In a group", group="g")
    events = shop.heard()
    said = [event for event in events if isinstance(event, MessageReceived)]
    assert [one.text for one in said] == [
        "5 < 6 % @ / é 👋", "That one", "The crack", "", "(sticker)", "📍 Location: Office, Main Street 1",
        "👤 Contact card: Cy (+1 555 0100)", "Morning", "Noon", "Sent", "Stop", "🛒 Order: 2 × sku at 3 USD",
        "(Something that cannot be shown here: poll creation.)", "(Something that cannot be shown here: telepathy.)",
    ]  # fmt: skip
    assert {(one.sender, one.sender_name, one.verified) for one in said} == {
        ("tel:+16505551234", "Ann", True)
    }
    assert {one.account for one in said} == {"whatsapp/main"}
    assert said[0].external_id == said[0].event_key == first
    fields = dict(said[0].fields)
    assert (fields["came from"], fields["ref"], fields["username"]) == ("ad", AD["ctwa_clid"], "@ann.lee")
    assert dict(said[1].fields)["forwarded"] == "many times"
    assert said[1].in_reply_to == said[7].in_reply_to == ours
    assert [one.media[0].kind for one in said[2:5]] == ["image", "voice", "sticker"]
    assert [bool(one.blob) for one in said] == [False] * 12 + [True] * 2
    learned = [event for event in events if isinstance(event, IdentityLearned)]
    assert {(one.urn, one.other, one.verified) for one in learned} == {
        ("tel:+16505551234", f"wa:{ann.user_id}", True)
    }
    assert len(events) == len(said) + len(learned)


async def test_changes_refer_to_what_they_change(shop: Shop) -> None:
    ann = shop.number.customer()
    first = (await ann.says("Helo")).id
    shop.heard()
    await ann.reacts("❤️", first)
    await ann.reacts("", first)
    await ann.edits(first, "Hello")
    await ann.revokes(first)
    found = [event for event in shop.heard() if isinstance(event, MessageChanged)]
    assert [(one.change, one.text, one.external_id) for one in found] == [
        (Change.REACTION, "❤️", first),
        (Change.REACTION, "", first),
        (Change.EDIT, "Hello", first),
        (Change.DELETE, "", first),
    ]
    assert len({one.event_key for one in found}) == 4


async def test_who_hides_their_number_has_an_id(shop: Shop) -> None:
    bo = shop.number.customer("Bo", "46701234567", hidden=True, username="bo.lind", country="SE")
    await bo.says("Guess who")
    (said,) = shop.heard()  # and nothing that would link a number nobody stated
    assert isinstance(said, MessageReceived)
    assert (said.sender, said.sender_name) == (f"wa:{bo.user_id}", "Bo")


@pytest.mark.parametrize("older", [True, False])
async def test_a_new_number_is_the_same_person(shop: Shop, older: bool) -> None:
    ann = shop.number.customer()
    await ann.changes_number("16505559999", older=older)
    pairs = {(one.urn, one.other) for one in shop.heard() if isinstance(one, IdentityLearned)}
    assert ("tel:+16505551234", "tel:+16505559999") in pairs
    assert (("tel:+16505559999", f"wa:{ann.user_id}") in pairs) is not older


async def test_a_new_id_of_one_who_hides_is_the_same_person(shop: Shop) -> None:
    bo = shop.number.customer("Bo", "46701234567", hidden=True, username="bo.lind")
    before = bo.user_id
    await bo.changes_number("46701239999")
    (learned,) = shop.heard()
    assert isinstance(learned, IdentityLearned)
    assert (learned.urn, learned.other) == (f"wa:{before}", f"wa:{bo.user_id}")


async def test_wishes_about_marketing_are_consent(shop: Shop) -> None:
    ann = shop.number.customer()
    await ann.prefers("stop")
    await ann.prefers("resume")
    found = [event for event in shop.heard() if isinstance(event, ConsentChanged)]
    assert [(one.urn, one.granted, one.scope) for one in found] == [
        ("tel:+16505551234", False, "marketing"),
        ("tel:+16505551234", True, "marketing"),
    ]


# ------------------------------------------------------------------------------------------------------------ reports


async def test_reports_name_our_delivery_in_any_order_and_twice(shop: Shop) -> None:
    ann = shop.number.customer()
    await ann.says("Hi")
    shop.heard()
    shop.graph.reports.after = ("sent", "delivered", "read")
    shop.graph.reports.doubled = True
    shop.graph.reports.shuffle(3)
    sent = await CONNECTOR.send(message(), shop.account, shop.way)
    await shop.graph.settled()
    await shop.graph.reports.deliver()
    found = [event for event in shop.heard() if isinstance(event, DeliveryReported)]
    assert {one.delivery_id for one in found} == {7093152233713664}
    assert {one.external_id for one in found} == set(sent.external_ids)
    assert len(found) == 6
    assert {(one.status, one.event_key.rpartition(":")[2]) for one in found} == {
        (DeliveryStatus.SENT, "sent"),
        (DeliveryStatus.DELIVERED, "delivered"),
        (DeliveryStatus.READ, "read"),
    }


@pytest.mark.parametrize("code", [131026, 131047, 131049, 131050, 131053])
async def test_what_fails_after_a_200_is_a_report(shop: Shop, code: int) -> None:
    ann = shop.number.customer()
    await ann.says("Hi")
    sent = await CONNECTOR.send(message(), shop.account, shop.way)
    await shop.graph.settled()
    shop.heard()
    await ann.misses(sent.external_ids[0], code)
    report, *rest = shop.heard()
    assert isinstance(report, DeliveryReported)
    assert (report.status, report.code) == (DeliveryStatus.FAILED, str(code))
    assert report.detail
    wishes = [(one.granted, one.scope) for one in rest if isinstance(one, ConsentChanged)]
    assert wishes == ([(False, "marketing")] if code == 131050 else [])


async def test_an_error_of_the_account_is_kept_and_not_lost_among_others(shop: Shop) -> None:
    await shop.number.tell_error(130429)
    await shop.number.waba.tell_account("message_template_status_update", {"event": "APPROVED"})
    await shop.number.writes(shop.number.customer(), "From the Business app")
    (kept,) = shop.heard()
    assert isinstance(kept, Unreadable)
    assert "130429" in kept.reason


async def test_a_report_counts_whatever_stands_where_their_number_should(shop: Shop) -> None:
    for number in ("1", "٣٣٣", "120363-1@g.us", "US.1234567890", ""):
        status = {"id": "wamid.A", "status": "delivered", "timestamp": "1795341600", "recipient_id": number}
        value = {
            "metadata": {"phone_number_id": shop.number.id, "display_phone_number": "1"},
            "statuses": [{**status, "recipient_user_id": "US.13491208655302741918"}],
        }
        change = json.dumps({"field": "messages", "value": value}).encode()
        body = batch.envelope("whatsapp_business_account", batch.part("1", "changes", [change]))
        (report,) = shop.read(body).events
        assert isinstance(report, DeliveryReported)
        assert (report.status, report.external_id) == (DeliveryStatus.DELIVERED, "wamid.A")


# ------------------------------------------------------------------------------------------------------------ batches


async def test_a_bad_piece_costs_no_other_and_can_be_read_again(shop: Shop) -> None:
    ann, cy = shop.number.customer("Ann"), shop.second.customer("Cy", "16505550199")
    shop.graph.door.holding = True
    for n in range(50):
        await ann.says(f"{n}")
    await shop.number.tell("", "messages", {"id": "17", "changes": "poison"})
    await ann.message("text", "not an object")
    await cy.says("To the second")
    await ann.says("last")
    await shop.graph.door.release(batched=True)
    (body,) = shop.hook.raw
    parsed = shop.read(body)
    said = [one for one in parsed.events if isinstance(one, MessageReceived)]
    kept = [one for one in parsed.events if isinstance(one, Unreadable)]
    assert [one.text for one in said] == [*map(str, range(50)), "To the second", "last"]
    assert said[50].account == "whatsapp/second"
    assert len(kept) == 2
    assert len([one for one in parsed.events if isinstance(one, IdentityLearned)]) == 2  # once a person
    for blob in parsed.blobs:  # each by itself, with nobody else's words, and with the same key again
        assert b"To the second" not in blob
        (again,) = CONNECTOR.parse(shop.raw(blob), shop.account).events
        assert again.event_key in {one.event_key for one in kept}


async def test_repetitions_and_other_batches_give_the_same_keys(shop: Shop) -> None:
    ann = shop.number.customer()
    shop.graph.door.holding = True
    for n in range(5):
        await ann.says(f"{n}")
    await ann.message("text", "not an object")
    await shop.graph.door.release(shuffled=7, batched=True, doubled=True)
    one, two = shop.hook.raw
    assert [e.event_key for e in shop.read(one).events] == [e.event_key for e in shop.read(two).events]
    entries = batch.entries(one, "whatsapp_business_account")
    alone = [batch.envelope("whatsapp_business_account", entry) for entry in entries]
    keys = {event.event_key for body in alone for event in shop.read(body).events}
    assert keys == {event.event_key for event in shop.read(one).events}


async def test_a_number_that_nobody_named_is_kept_here(shop: Shop) -> None:
    third = shop.graph.number("+1 555-078-3883")
    await third.customer("Dee", "16505550188").says("Anybody?")
    (kept,) = shop.heard()
    assert isinstance(kept, Unreadable)
    assert kept.account == "whatsapp/main"
    assert "no account of ours names" in kept.reason


@each(
    "body",
    [b"", b"null", b"{}", b"[]", b'{"object":"page","entry":[]}', b'{"object":"whatsapp_business_account"}'],
)
def test_what_is_no_notification_is_malformed(body: bytes) -> None:
    account = Account(
        key="whatsapp/main", connector="whatsapp", name="main", brand="main", title="W", settings={}
    )
    raw = Raw(method="POST", url=PUBLIC, headers={}, body=body, received_at=datetime.now(UTC))
    with pytest.raises(Malformed):
        CONNECTOR.parse(raw, account)


# -------------------------------------------------------------------------------------------------- proof, handshake


async def test_the_signature_is_over_the_bytes_as_they_came(shop: Shop) -> None:
    await shop.number.customer().says("é / < % @")
    (body,) = shop.hook.raw
    raw = shop.raw(body)
    held: tuple[tuple[str, ...], ...] = ((shop.graph.app_secret,), ("newer", shop.graph.app_secret))
    for secrets in held:
        both = {**shop.account.secrets, "app_secret": secrets}
        CONNECTOR.verify(raw, replace(shop.account, secrets=both))
    rewritten = json.dumps(json.loads(body)).encode()
    mac = raw.headers["x-hub-signature-256"]
    for wrong in (
        structs.replace(raw, body=rewritten),
        structs.replace(raw, body=body + b" "),
        structs.replace(raw, headers={}),
        structs.replace(raw, headers={"x-hub-signature-256": [*mac, *mac]}),
        structs.replace(raw, headers={"x-hub-signature-256": [mac[0].upper()]}),
        structs.replace(raw, headers={"x-hub-signature-256": [mac[0].removeprefix("sha256=")]}),
        structs.replace(raw, headers={"x-hub-signature": mac}),
    ):
        with pytest.raises(Forged):
            CONNECTOR.verify(wrong, shop.account)
    held = ((), ("",), ("other",))
    for secrets in held:
        both = {**shop.account.secrets, "app_secret": secrets}
        with pytest.raises(Forged):
            CONNECTOR.verify(raw, replace(shop.account, secrets=both))


@each(
    "query, good",
    [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=word", True),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=other", False),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=", False),
        ("hub.mode=subscribe&hub.challenge=1158201444", False),
        ("hub.mode=unsubscribe&hub.challenge=1158201444&hub.verify_token=word", False),
        ("hub.mode=subscribe&hub.challenge=&hub.verify_token=word", False),
        ("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=word", False),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=word&hub.verify_token=word", False),
        ("&".join(f"a{n}=1" for n in range(50)), False),
        ("", False),
    ],
)
def test_the_handshake(query: str, good: bool) -> None:
    account = Account(
        key="whatsapp/main", connector="whatsapp", name="main", brand="main", title="W",
        secrets={"app_secret": ("s",), "token": ("t",), "verify_token": ("", "word")},
    )  # fmt: skip
    raw = Raw(
        method="GET",
        url=f"{PUBLIC}/in/whatsapp/main?{query}",
        headers={},
        body=b"",
        received_at=datetime.now(UTC),
    )
    if not good:
        with pytest.raises(Forged):
            CONNECTOR.verify(raw, account)
        return
    CONNECTOR.verify(raw, account)
    parsed = CONNECTOR.parse(raw, account)
    assert parsed == Parsed()
    assert CONNECTOR.answer(raw, account, parsed) == Answer(body=b"1158201444")
