"""Messenger through a Graph API that checks what Meta checks: what goes out, what is told of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from connectors.base import Names
from connectors.social import parts
from connectors.texts import units
from hub.errors import SendCode, SendError
from hub.model import (
    ECHO,
    Change,
    DeliveryReported,
    DeliveryStatus,
    MessageChanged,
    MessageReceived,
)
from tests.connectors.graph_world import link
from tests.connectors.social_world import DAY, OURS, Place, place


@pytest.fixture
async def page() -> AsyncIterator[Place]:
    async with place("messenger") as found:
        yield found


# --------------------------------------------------------------------------------------------------------------- texts


async def test_a_text_goes_out_with_our_own_name_for_it(page: Place) -> None:
    sent = await page.send("*Soon* & <so> on, héllo")
    (taken,) = page.graph.sent
    assert sent.external_ids == (taken.id,)
    assert taken.body == {
        "recipient": {"id": page.bo.id},
        "messaging_type": "RESPONSE",
        "message": {"text": "*Soon* & <so> on, héllo", "metadata": str(OURS)},
    }
    (request,) = page.graph.requests
    assert request.path == f"/v26.0/{page.meta.id}/messages"
    assert request.headers["authorization"] == f"Bearer {page.meta.token}"
    assert "access_token" not in request.query


@pytest.mark.parametrize(
    "text, pieces",
    [("x" * 2000, 1), ("x" * 2001, 2), ("😀" * 1001, 2), (" ".join(f"word{n:04d}" for n in range(800)), 4)],
)
async def test_a_long_text_is_several_messages_and_all_ids_are_kept(
    page: Place, text: str, pieces: int
) -> None:
    sent = await page.send(text)
    texts = [one.text for one in page.graph.sent]
    assert len(texts) == pieces
    assert "".join(texts).replace(" ", "") == text.replace(" ", "")
    assert all(units(text) <= 2000 for text in texts)
    assert sent.external_ids == tuple(one.id for one in page.graph.sent)
    assert {one["message"]["metadata"] for one in page.sent} == {str(OURS)}


async def test_what_went_out_before_it_failed_is_told(page: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten sounds a second are taken: two of the five still fit."""
    page.graph.rates.kept, now = True, page.graph.clock.now()
    monkeypatch.setattr(page.graph.clock, "now", lambda: now)
    sound = page.files.put("a.mp3", "audio/mpeg")
    before = (await page.send("", attachments=(sound,) * 8)).external_ids
    error = await page.fails("", attachments=(sound,) * 5)
    assert (error.code, error.provider_code, error.whole_account) == (SendCode.THROTTLED, "613", True)
    went = tuple(one.id for one in page.graph.sent)
    assert (len(error.sent_ids), went) == (2, (*before, *error.sent_ids))


async def test_what_is_beyond_the_limits_does_not_leave(page: Place) -> None:
    for text in ("x" * 8001, "", " \n "):
        assert (await page.fails(text)).code is SendCode.MESSAGE_INVALID
    for to in ("tel:+16505551234", "messenger:Bo", "instagram:17", "messenger:"):
        assert (await page.fails(to=to)).code is SendCode.MESSAGE_INVALID
    assert page.graph.requests == []


async def test_only_an_older_message_is_quoted_and_only_once(page: Place) -> None:
    older, newest = page.newest, (await page.bo.says("And my letter?")).id
    await page.send("y" * 2001, in_reply_to=older, heard_id=newest)
    await page.send("To the newest", in_reply_to=newest, heard_id=newest)
    assert [one.get("reply_to") for one in page.sent] == [{"mid": older}, None, None]


async def test_a_quote_that_is_gone_costs_no_message(page: Place) -> None:
    sent = await page.send(in_reply_to="m_gone", heard_id=page.newest)
    assert [one.get("reply_to") for one in page.sent] == [None]
    assert len(sent.external_ids) == 1


# ------------------------------------------------------------------------------------------------------ choices, files


async def test_choices_can_be_tapped_below_the_last_message(page: Place) -> None:
    file = page.files.put("a.jpg", "image/jpeg")
    await page.send("Refund, or a new one?", choices=("Refund", "A new pair"), attachments=(file,))
    image, text = (one["message"] for one in page.sent)
    assert image["attachment"]["type"] == "image"
    assert text["quick_replies"] == [
        {"content_type": "text", "title": "Refund", "payload": "Refund"},
        {"content_type": "text", "title": "A new pair", "payload": "A new pair"},
    ]
    await page.bo.says("Refund", quick_reply="Refund")
    tapped = next(event for event in await page.heard() if isinstance(event, MessageReceived))
    assert (tapped.text, dict(tapped.fields)) == ("Refund", {"tapped": "Refund"})


@pytest.mark.parametrize("choices", [tuple(str(n) for n in range(14)), ("x" * 21, "b")])
async def test_choices_that_do_not_fit_are_a_numbered_text(page: Place, choices: tuple[str, ...]) -> None:
    await page.send("Which?", choices=choices)
    (taken,) = page.graph.sent
    assert taken.text.startswith(f"Which?\n\n1. {choices[0]}\n2. {choices[1]}")
    assert "quick_replies" not in taken.body["message"]


@pytest.mark.parametrize(
    "content_type, kind",
    [("image/png", "image"), ("video/mp4", "video"), ("audio/mpeg", "audio"), ("application/pdf", "file")],
)
async def test_a_file_is_handed_over_before_anything_is_said(
    page: Place, content_type: str, kind: str
) -> None:
    await page.send("Here:", attachments=(page.files.put("Größe.x", content_type),))
    assert [path.rpartition("/")[2] for path in page.asked] == ["message_attachments", "messages", "messages"]
    text, file = page.graph.sent
    assert (text.text, file.kind) == ("Here:", kind)
    assert file.media in page.meta.attachments


async def test_a_picture_that_meta_cannot_read_goes_as_a_file(page: Place) -> None:
    page.graph.fail(100, subcode=2018047, at="message_attachments")
    await page.send("", attachments=(page.files.put("a.webp", "image/webp"),))
    assert [one.kind for one in page.graph.sent] == ["file"]


async def test_what_is_too_large_or_too_many_goes_as_a_link(page: Place) -> None:
    large = structs.replace(page.files.put("film.mp4", "video/mp4"), size_bytes=parts.FILE_BYTES + 1)
    small = tuple(page.files.put(f"{n}.txt", "text/plain") for n in range(11))
    await page.send("All:", attachments=(large, *small))
    assert [one.kind for one in page.graph.sent] == ["text", *["file"] * 10]
    assert page.graph.sent[0].text == f"All:\n\nfilm.mp4: {link(large)}\n\n10.txt: {link(small[10])}"


async def test_a_file_that_is_gone_is_said_before_anything_leaves(page: Place) -> None:
    file = structs.replace(page.files.put("a.jpg", "image/jpeg"), sha256="0" * 64)
    error = await page.fails("See:", attachments=(file,))
    assert (error.code, error.sent_ids, page.graph.sent) == (SendCode.MESSAGE_INVALID, (), [])


async def test_an_upload_that_broke_off_may_be_tried_again(page: Place) -> None:
    page.graph.fail(at="message_attachments", how="cut")
    error = await page.fails("See:", attachments=(page.files.put("a.jpg", "image/jpeg"),))
    assert (error.code, error.retry, page.graph.sent) == (SendCode.RESPONSE_STATUS, True, [])


# ---------------------------------------------------------------------------------------------------------- the window


async def test_a_day_for_all_and_seven_for_people_with_the_tag(page: Place) -> None:
    heard = page.now
    await page.graph.passes(DAY.total_seconds() + 60)
    error = await page.fails(heard_at=heard)
    assert (error.code, page.graph.requests) == (SendCode.WINDOW_CLOSED, [])
    page.settings["human_agent"] = True
    assert (await page.fails(heard_at=heard, automatic=True)).code is SendCode.WINDOW_CLOSED
    assert page.graph.requests == []
    await page.send("a" * 2001, heard_at=heard)
    assert [(one["messaging_type"], one["tag"]) for one in page.sent] == [("MESSAGE_TAG", "HUMAN_AGENT")] * 2
    await page.graph.passes(6 * DAY.total_seconds())
    assert (await page.fails(heard_at=heard)).code is SendCode.WINDOW_CLOSED


async def test_metas_clock_decides_at_the_edge_of_the_day(page: Place) -> None:
    """We heard a minute later than Meta did: what it refuses certainly did not go out, and goes with the tag."""
    heard = page.now + DAY / 1440
    await page.graph.passes(DAY.total_seconds() + 30)
    error = await page.fails(heard_at=heard)
    assert (error.code, error.provider_code) == (SendCode.WINDOW_CLOSED, "10/2018278")
    page.settings["human_agent"] = True
    assert (await page.fails(heard_at=heard, automatic=True)).code is SendCode.WINDOW_CLOSED
    await page.send(heard_at=heard)
    assert page.sent[-1]["tag"] == "HUMAN_AGENT"
    page.meta.human_agent = False
    assert (await page.fails(heard_at=heard)).code is SendCode.CHANNEL_CONFIG


# ------------------------------------------------------------------------------------------------------------ comments


async def said_in_public(page: Place, text: str = "Does it come in blue?") -> MessageReceived:
    await page.bo.comments(text)
    return await page.message()


async def test_a_comment_is_answered_below_it(page: Place) -> None:
    comment = await said_in_public(page)
    assert (comment.form, comment.sender, comment.sender_name) == ("comment", page.to_bo().to, "Bo Lind")
    await page.graph.passes(30 * DAY.total_seconds())  # however old it is
    sent = await page.send(
        "Yes!", answers="comment", public=True, in_reply_to=comment.external_id, heard_at=comment.received_at
    )
    (answer,) = [one for one in page.meta.comments.values() if one.ours]
    assert (answer.text, answer.parent, sent.external_ids) == ("Yes!", comment.external_id, (answer.id,))
    assert page.asked == [f"/v26.0/{comment.external_id}/comments"]
    assert await page.heard() == []  # our own comment comes back, and is nobody's message


async def test_what_does_not_fit_in_public_does_not_leave(page: Place) -> None:
    comment = await said_in_public(page)
    about: dict[str, Any] = {"answers": "comment", "public": True, "in_reply_to": comment.external_id}
    file = page.files.put("a.jpg", "image/jpeg")
    assert (await page.fails("See", attachments=(file,), **about)).code is SendCode.MESSAGE_INVALID
    assert (await page.fails("Yes", answers="comment", public=True, heard_id=None)).code is SendCode.REJECTED
    assert page.graph.requests == []
    await page.send("Which?", choices=("A", "B"), **about)
    assert [one.text for one in page.meta.comments.values() if one.ours] == ["Which?\n\n1. A\n2. B"]


async def test_a_comment_is_answered_in_private_once(page: Place) -> None:
    comment = await said_in_public(page)
    file = page.files.put("a.jpg", "image/jpeg")
    about: dict[str, Any] = {"answers": "comment", "in_reply_to": comment.external_id}
    error = await page.fails("x" * 2001, **about)
    assert (error.code, page.graph.requests) == (SendCode.MESSAGE_INVALID, [])
    sent = await page.send("Yes:", attachments=(file,), **about)
    (taken,) = page.graph.sent
    assert taken.body["recipient"] == {"comment_id": comment.external_id}
    assert (taken.text, taken.user) == (f"Yes:\n\na.jpg: {link(file)}", page.bo.id)
    assert sent.external_ids == (taken.id,)
    error = await page.fails("And…", **about)
    assert (error.code, error.provider_code) == (SendCode.REJECTED, "10900")


async def test_a_comment_can_be_answered_in_private_for_seven_days(page: Place) -> None:
    comment = await said_in_public(page)
    heard = page.now
    await page.graph.passes(7 * DAY.total_seconds() + 60)
    error = await page.fails(answers="comment", in_reply_to=comment.external_id, heard_at=heard)
    assert (error.code, page.graph.requests) == (SendCode.WINDOW_CLOSED, [])
    error = await page.fails(answers="comment", in_reply_to=comment.external_id, heard_at=None)
    assert (error.code, error.provider_code) == (SendCode.REJECTED, "10903")


async def test_a_file_alone_answers_a_comment_as_itself(page: Place) -> None:
    comment = await said_in_public(page)
    file = page.files.put("a.jpg", "image/jpeg")
    await page.send("", answers="comment", heard_id=comment.external_id, attachments=(file,))
    assert [one.kind for one in page.graph.sent] == ["image"]


async def test_a_visitors_post_is_answered_by_its_own_name(page: Place) -> None:
    await page.bo.posts("Great shop!")
    post = await page.message()
    await page.fails("Thank you!", answers="comment", in_reply_to=post.external_id)
    assert page.graph.refused[-1].body["recipient"] == {"post_id": post.external_id}
    await page.fails("Thank you!", answers="comment", in_reply_to=post.external_id, public=True)
    assert page.asked[-1] == f"/v26.0/{post.external_id}/comments"


async def test_edits_and_removals_of_comments_are_told(page: Place) -> None:
    told = await page.bo.comments("Does it come in blue?")
    await page.bo.edits_comment(told.id, "In green?")
    await page.bo.removes_comment(told.id)
    first, edited, removed = await page.heard()
    assert isinstance(first, MessageReceived)
    assert isinstance(edited, MessageChanged)
    assert isinstance(removed, MessageChanged)
    assert (edited.change, edited.external_id, edited.text) == (Change.EDIT, told.id, "In green?")
    assert (removed.change, removed.external_id) == (Change.DELETE, told.id)


# ------------------------------------------------------------------------------------------------------------- reports


async def test_an_echo_proves_what_no_answer_told(page: Place) -> None:
    page.graph.fail(how="cut", accepted=True)
    error = await page.fails("Did it go?")
    assert (error.code, error.retry) == (SendCode.UNKNOWN, False)
    with pytest.raises(SendError) as asked:
        await page.connector.find(page.to_bo(), page.account, page.way)
    assert asked.value.code is SendCode.UNKNOWN
    (echo,) = await page.heard()
    assert isinstance(echo, DeliveryReported)
    assert (echo.status, echo.delivery_id, echo.external_id) == (
        DeliveryStatus.SENT,
        OURS,
        page.graph.sent[0].id,
    )


async def test_what_others_write_for_us_is_told_as_theirs(page: Place) -> None:
    await page.meta.writes(page.bo, "It left on Monday.")
    await page.meta.writes(page.bo, "Goodbye", app_id="4711")
    await page.meta.writes(page.bo, "We are away", app_id="")
    told = [event for event in await page.heard() if isinstance(event, MessageReceived)]
    assert [event.text for event in told] == [
        "(Sent in Meta's inbox.)\nIt left on Monday.",
        "(Sent by another app.)\nGoodbye",
        "(Sent outside of Mainstem.)\nWe are away",
    ]
    assert {(event.form, event.sender) for event in told} == {(ECHO, f"messenger:{page.bo.id}")}


async def test_reports_name_messages_or_say_until_when(page: Place) -> None:
    page.meta.echoes = False
    sent = (await page.send()).external_ids
    await page.bo.receives(*sent)
    await page.bo.receives()
    await page.bo.reads()
    named, delivered, read = await page.heard()
    assert isinstance(named, DeliveryReported)
    assert isinstance(delivered, DeliveryReported)
    assert isinstance(read, DeliveryReported)
    assert (named.external_id, named.status, named.until) == (*sent, DeliveryStatus.DELIVERED, None)
    for report in (delivered, read):
        assert (report.external_id, report.delivery_id, report.recipient) == (None, None, page.to_bo().to)
        assert report.until is not None
        assert abs(report.until - page.now) < DAY / 1000
    assert (delivered.status, read.status) == (DeliveryStatus.DELIVERED, DeliveryStatus.READ)


# ---------------------------------------------------------------------------------------------------------------- names


async def called(place: Place) -> str:
    names = place.connector
    assert isinstance(names, Names)
    return await names.called(f"{place.name}:{place.bo.id}", place.account, place.way)


@pytest.mark.parametrize("name", ["messenger", "instagram"])
async def test_a_customer_is_called_what_meta_says(name: str) -> None:
    async with place(name) as found:
        assert await called(found) == "Bo Lind"
        assert found.graph.requests[-1].path.endswith(f"/{found.bo.id}")
        found.bo.name = "Bo\n Lind "
        assert await called(found) == "Bo Lind"
        found.graph.fail(613, at="object")
        with pytest.raises(SendError) as slow:
            await called(found)
        assert (slow.value.code, slow.value.retry) == (SendCode.THROTTLED, True)
        found.bo.blocks = True
        assert await called(found) == ""


async def test_whom_meta_does_not_show_is_nameless(page: Place) -> None:
    """ "2018218 along with the message 'No profile available for this user.'"; and a permission of its own."""
    page.bo.unseen = True
    assert await called(page) == ""
    page.meta.profiles = False
    with pytest.raises(SendError) as refused:
        await called(page)
    assert (refused.value.whole_account, refused.value.retry) == (True, False)


async def test_who_only_commented_on_instagram_is_nameless() -> None:
    """ "User consent is required to access the user profile": 230 there, which for messages is a missing permission."""
    async with place("instagram", login="page") as found:
        found.bo = found.meta.visitor("Cy", username="cy")
        await found.bo.comments("In blue?")
        assert await called(found) == ""
        await found.bo.says("And in red?")
        assert await called(found) == "Cy"
        found.bo.name = ""
        assert await called(found) == "cy"
