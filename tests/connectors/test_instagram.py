"""Instagram through a Graph API that checks what Meta checks, by either login: what goes out, and what comes in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from connectors.base import Examines, FetchError, Fetches, Finding, Hooks, Raw
from connectors.instagram import API, CONNECTOR
from connectors.social import parts
from hub.errors import Forged, SendCode, SendError
from hub.model import Change, DeliveryReported, DeliveryStatus, MessageChanged, MessageReceived, Unreadable
from tests.connectors.graph_world import PUBLIC, link
from tests.connectors.social_world import DAY, JPEG, Place, place
from tests.each import each
from tests.servers.graph.visitor import AD

LOGINS = ("instagram", "page")


@pytest.fixture
async def shop() -> AsyncIterator[Place]:
    async with place("instagram") as found:
        yield found


# --------------------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("login", LOGINS)
async def test_a_text_goes_out_by_either_login(login: str) -> None:
    async with place("instagram", login=login) as found:
        sent = await found.send("Hej! 👋")
        (taken,) = found.graph.sent
        assert sent.external_ids == (taken.id,)
        assert taken.body == {"recipient": {"id": found.bo.id}, "message": {"text": "Hej! 👋"}}
        node = found.settings["page_id"] if login == "page" else found.meta.id
        assert found.asked == [f"/v26.0/{node}/messages"]


def test_each_login_has_its_own_host(shop: Place) -> None:
    by_instagram = replace(shop.account, settings={"account_id": "1784"})
    by_page = replace(shop.account, settings={"account_id": "1784", "login": "page", "page_id": "17"})
    assert (CONNECTOR.desk(by_instagram).host, CONNECTOR.desk(by_instagram).node) == (API, "1784")
    assert (CONNECTOR.desk(by_page).host, CONNECTOR.desk(by_page).node) == (
        "https://graph.facebook.com",
        "17",
    )


@pytest.mark.parametrize(
    "text, pieces",
    [("x" * 1000, 1), ("x" * 1001, 2), ("é" * 501, 2), ("👟" * 250, 1), ("👟" * 251, 2), ("ä bc " * 600, 4)],
)
async def test_texts_are_cut_to_instagrams_bytes(shop: Place, text: str, pieces: int) -> None:
    sent = await shop.send(text)
    texts = [one.text for one in shop.graph.sent]
    assert len(texts) == pieces
    assert "".join(texts).replace(" ", "") == text.replace(" ", "")
    assert all(len(one.encode()) <= 1000 for one in texts)
    assert sent.external_ids == tuple(one.id for one in shop.graph.sent)


async def test_four_thousand_characters_of_any_kind_go_out(shop: Place) -> None:
    await shop.send("👟" * 4000)
    assert sum(len(one.text) for one in shop.graph.sent) == 4000
    assert (await shop.fails("x" * 4001)).code is SendCode.MESSAGE_INVALID


async def test_only_an_older_message_is_quoted(shop: Place) -> None:
    older, newest = shop.newest, (await shop.bo.says("And my letter?")).id
    await shop.send("One", in_reply_to=older, heard_id=newest)
    await shop.send("Two", in_reply_to=newest, heard_id=newest)
    await shop.send("Three", in_reply_to="gone", heard_id=newest)
    assert [one.get("reply_to") for one in shop.sent] == [{"mid": older}, None, None]


async def test_choices_can_be_tapped(shop: Place) -> None:
    await shop.send("Which?", choices=("Red", "Blue"))
    assert [tap["title"] for tap in shop.sent[0]["message"]["quick_replies"]] == ["Red", "Blue"]


# --------------------------------------------------------------------------------------------------------------- files


async def test_files_are_linked_and_what_instagram_does_not_take_is_a_link_in_the_text(shop: Place) -> None:
    image, sound, pdf = (
        shop.files.put("a.jpg", "image/jpeg"),
        shop.files.put("a.m4a", "audio/mp4"),
        shop.files.put("a.pdf", "application/pdf"),
    )
    odd = shop.files.put("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    large = structs.replace(shop.files.put("b.png", "image/png"), size_bytes=8 * 1024 * 1024 + 1)
    await shop.send("All:", attachments=(image, sound, pdf, odd, large))
    assert [(one.kind, one.media) for one in shop.graph.sent[1:]] == [
        ("image", link(image)),
        ("audio", link(sound)),
        ("file", link(pdf)),
    ]
    assert shop.graph.sent[0].text == f"All:\n\na.docx: {link(odd)}\n\nb.png: {link(large)}"


def test_what_is_taken_is_what_the_limits_say() -> None:
    assert CONNECTOR.limits.media == tuple(parts.INSTAGRAM.types)
    assert all(CONNECTOR.limits.takes(kind, most) for kind, most in parts.INSTAGRAM.types.items())


# ---------------------------------------------------------------------------------------------------------- the window


async def test_a_day_for_all_and_seven_for_people_with_the_tag(shop: Place) -> None:
    heard = shop.now
    await shop.graph.passes(DAY.total_seconds() + 60)
    assert (await shop.fails(heard_at=heard)).code is SendCode.WINDOW_CLOSED
    assert shop.graph.requests == []
    error = await shop.fails(heard_at=None)
    assert (error.code, error.provider_code) == (SendCode.WINDOW_CLOSED, "10/2534022")
    shop.settings["human_agent"] = True
    assert (await shop.fails(heard_at=heard, automatic=True)).code is SendCode.WINDOW_CLOSED
    await shop.send(heard_at=heard)
    assert (shop.sent[-1]["messaging_type"], shop.sent[-1]["tag"]) == ("MESSAGE_TAG", "HUMAN_AGENT")
    await shop.graph.passes(6 * DAY.total_seconds())
    assert (await shop.fails(heard_at=heard)).code is SendCode.WINDOW_CLOSED


# ------------------------------------------------------------------------------------------------------------ comments


@pytest.mark.parametrize("login", LOGINS)
async def test_a_comment_is_answered_below_it_or_in_private(login: str) -> None:
    async with place("instagram", login=login) as found:
        await found.bo.comments("How much is it?")
        comment = await found.message()
        assert (comment.form, comment.sender, comment.sender_name) == (
            "comment",
            found.to_bo().to,
            found.bo.username,
        )
        about: dict[str, Any] = {"answers": "comment", "in_reply_to": comment.external_id}
        sent = await found.send("49 €", public=True, **about)
        (answer,) = [one for one in found.meta.comments.values() if one.ours]
        assert (answer.text, answer.parent, sent.external_ids) == (
            "49 €",
            comment.external_id,
            (answer.id,),
        )
        assert found.asked == [f"/v26.0/{comment.external_id}/replies"]
        assert await found.heard() == []
        (taken,) = (await found.send("Shall I put one aside?", **about)).external_ids
        assert found.sent[-1]["recipient"] == {"comment_id": comment.external_id}
        assert found.graph.sent[-1].id == taken
        assert (await found.fails("And…", **about)).provider_code == "10900"


async def test_what_does_not_fit_in_public_does_not_leave(shop: Place) -> None:
    await shop.bo.comments("How much is it?")
    comment = await shop.message()
    about: dict[str, Any] = {"answers": "comment", "public": True, "in_reply_to": comment.external_id}
    assert (await shop.fails("x" * 301, **about)).code is SendCode.MESSAGE_INVALID
    assert shop.graph.requests == []
    error = await shop.fails("#a #b #c #d #e", **about)
    assert (error.code, error.provider_code) == (SendCode.MESSAGE_INVALID, "100")


async def test_a_mention_is_answered_in_public_only(shop: Place) -> None:
    await shop.bo.mentions("@acme have a look")
    mention = await shop.message()
    assert (mention.form, mention.verified, mention.text) == (
        "mention",
        False,
        "(They mentioned us in a comment.)",
    )
    about: dict[str, Any] = {
        "to": mention.sender,
        "answers": "mention",
        "in_reply_to": mention.external_id,
        "thread": mention.thread,
    }
    assert (await shop.fails("Thank you!", **about)).code is SendCode.MESSAGE_INVALID
    assert (await shop.fails("Thanks", public=True, **{**about, "thread": None})).code is SendCode.REJECTED
    assert shop.graph.requests == []
    await shop.send("Thank you!", public=True, **about)
    assert shop.graph.requests[-1].body == {
        "message": "Thank you!",
        "media_id": mention.thread,
        "comment_id": mention.external_id,
    }
    assert shop.asked == [f"/v26.0/{shop.meta.id}/mentions"]


# ------------------------------------------------------------------------------------------------------ what comes in


async def test_what_people_do_is_read_as_it_is_delivered(shop: Place) -> None:
    bo = shop.bo
    await bo.says("Lovely!", story="17912345")
    await bo.mentions_in_story()
    await bo.shares("ig_reel", "Dance")
    await bo.vanishes()
    await bo.unsupported()
    await bo.says("Still on sale?", referral=AD)
    await bo.presses("Get started", "START")
    await bo.arrives()
    events = await shop.heard()
    assert all(isinstance(event, MessageReceived) for event in events)
    said = [event for event in events if isinstance(event, MessageReceived)]
    assert [event.text.splitlines()[0] for event in said] == [
        "(They answered our story.)",
        "(They mentioned us in their story.)",
        "(They shared a reel.)",
        "(Something that cannot be shown here: a picture or film that can be seen once.)",
        "(Something that cannot be shown here: a message that Instagram keeps from programs.)",
        "Still on sale?",
        "Get started",
        "(They came by newsletter.)",
    ]
    assert [len(event.media) for event in said[:3]] == [1, 1, 0]  # what is elsewhere than at Meta is a link
    assert said[2].text.endswith("Dance\nhttps://example.com/a")
    assert dict(said[5].fields)["headline"] == "Summer sale"
    assert {event.sender for event in said} == {shop.to_bo().to}


async def test_what_is_told_of_messages(shop: Place) -> None:
    told = await shop.bo.says("Where is my parcel?")
    sent = (await shop.send()).external_ids
    await shop.heard()
    await shop.bo.reacts("❤", sent[0])
    await shop.bo.reacts("", sent[0])
    await shop.bo.edits(told.id, "Where is my letter?")
    await shop.bo.unsends(told.id)
    await shop.bo.reads(sent[0])
    *changes, read = await shop.heard()
    assert [(e.change, e.external_id, e.text) for e in changes if isinstance(e, MessageChanged)] == [
        (Change.REACTION, sent[0], "❤"),
        (Change.REACTION, sent[0], ""),
        (Change.EDIT, told.id, "Where is my letter?"),
        (Change.DELETE, told.id, ""),
    ]
    assert isinstance(read, DeliveryReported)
    assert (read.status, read.external_id, read.until) == (DeliveryStatus.READ, sent[0], None)


async def test_what_is_not_said_to_us_is_left_alone(shop: Place) -> None:
    await shop.send("ours, which comes back")
    await shop.meta.writes(shop.bo, "Written in the app")
    await shop.bo.says("To the bot", standby=True)
    await shop.bo.says("note", oneself=True)
    for kind in ("pass_thread_control", "take_thread_control", "request_thread_control"):
        await shop.bo.thread(kind)
    assert await shop.heard() == []


async def test_a_poison_entry_costs_no_other_and_a_repeated_one_is_the_same(shop: Place) -> None:
    shop.graph.door.doubled = True
    async with shop.graph.door.batch():
        await shop.bo.says("one")
        await shop.meta.tell("", "messages", {"id": shop.meta.id, "time": 1, "messaging": [{"message": 7}]})
        await shop.meta.tell("", "comments", {"id": shop.meta.id, "changes": "poison"})
        await shop.bo.says("two")
    await shop.graph.settled()
    assert len(shop.hook.raw) == 2
    first, second = (shop.read(body) for body in shop.hook.raw)
    assert first.events
    assert [e.event_key for e in first.events] == [e.event_key for e in second.events]
    said = [e.text if isinstance(e, MessageReceived) else "" for e in first.events]
    assert said == ["one", "", "", "two"]
    for event, blob in zip((e for e in first.events if isinstance(e, Unreadable)), first.blobs, strict=True):
        again = shop.read(blob).events  # as quarantine does: the same piece, the same name
        assert [e.event_key for e in again] == [event.event_key]


async def test_a_thousand_in_one_request(shop: Place) -> None:
    async with shop.graph.door.batch():
        for number in range(1000):
            await shop.bo.says(f"{number}")
    assert [e.text for e in await shop.heard() if isinstance(e, MessageReceived)] == [
        str(number) for number in range(1000)
    ]


async def test_a_wrong_secret_or_body_is_forged(shop: Place) -> None:
    await shop.bo.says("hi")
    (body,) = shop.hook.raw
    raw = Raw(
        method="POST",
        url=f"{PUBLIC}/in/instagram/main",
        headers={"x-hub-signature-256": [shop.graph.door.signed(body)["X-Hub-Signature-256"]]},
        body=body,
        received_at=shop.now,
    )
    shop.connector.verify(raw, shop.account)
    two = replace(shop.account, secrets={**shop.account.secrets, "app_secret": ("x", shop.graph.app_secret)})
    shop.connector.verify(raw, two)
    for wrong in (
        structs.replace(raw, body=body + b" "),
        structs.replace(raw, body=body.replace(b"hi", b"ho")),
    ):
        with pytest.raises(Forged):
            shop.connector.verify(wrong, shop.account)


# ------------------------------------------------------------------------------------------------- how it stands, files


@pytest.mark.parametrize("login", LOGINS)
async def test_doctor_and_hook_by_either_login(login: str) -> None:
    async with place("instagram", login=login) as found:
        assert isinstance(found.connector, Examines)
        assert isinstance(found.connector, Hooks)
        await found.connector.hook(found.account, found.way)
        looked = await found.connector.examine(found.account, found.way)
        what = "the Page is Acme" if login == "page" else "the account is @acme"
        assert Finding(what=what) in looked
        assert Finding(what="the app is told of all that is read here") in looked
        other = replace(found.account, settings={**found.account.settings, "account_id": "1784999"})
        looked = await found.connector.examine(other, found.way)
        assert any("1784" in one.wrong or "linked" in one.wrong for one in looked)


async def test_a_field_that_an_account_does_not_have_costs_no_other(shop: Place) -> None:
    assert isinstance(shop.connector, Hooks)
    shop.graph.fail(100, at="subscribed_apps")
    said = await shop.connector.hook(shop.account, shop.way)
    assert shop.meta.fields is not None
    assert "messages" in shop.meta.fields
    assert "live_comments" not in shop.meta.fields
    assert "live_comments" not in said
    shop.graph.fail(190, at="subscribed_apps")
    with pytest.raises(SendError):
        await shop.connector.hook(shop.account, shop.way)


async def test_files_come_by_their_redirect_without_the_token(shop: Place) -> None:
    assert isinstance(shop.connector, Fetches)
    await shop.bo.sends(JPEG, "image/jpeg", filename="a.jpg")
    (media,) = (await shop.message()).media
    fetched = await shop.connector.fetch(media, shop.account, shop.way)
    assert (fetched.data, fetched.content_type, fetched.name) == (JPEG, "image/jpeg", "a.jpg")
    await shop.graph.passes(30 * DAY.total_seconds())
    with pytest.raises(FetchError) as caught:
        await shop.connector.fetch(media, shop.account, shop.way)
    assert not caught.value.retry  # its address has ended


@each(
    "settings, wrong",
    [
        ({"login": "facebook"}, "login must be instagram"),
        ({"login": "page"}, "page_id is missing"),
        ({"username": "acme shop"}, "username must be"),
        ({"account_id": "@acme"}, "account_id must be"),
    ],
)
async def test_settings_are_looked_at(shop: Place, settings: dict[str, Any], wrong: str) -> None:
    spoilt = replace(shop.account, settings={**shop.account.settings, **settings})
    (found,) = shop.connector.check(spoilt)
    assert found.startswith(wrong)
