"""WhatsApp through a Graph API that checks what Meta checks: what goes out, and what each refusal means."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from connectors.whatsapp import CONNECTOR, parts
from hub.config import Account
from hub.errors import SendCode, SendError
from tests.connectors.graph_world import link, message
from tests.connectors.hasty import hasty
from tests.connectors.whatsapp_out import Shop, opened
from tests.each import each
from workers import sending as rules


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as shop:
        yield shop


# ------------------------------------------------------------------------------------------------------------ texts


async def test_a_text_goes_out_under_our_own_name_for_it(shop: Shop) -> None:
    sent = await shop.send(message("*Soon* & <so> on, héllo"))
    (taken,) = shop.graph.sent
    assert sent.external_ids == (taken.id,)
    assert (taken.to, taken.text, taken.opaque) == (
        "16505551234",
        "*Soon* & <so> on, héllo",
        "7093152233713664",
    )
    (request,) = [one for one in shop.graph.requests if one.path.endswith("/messages")]
    assert request.path == f"/v26.0/{shop.number.id}/messages"
    assert request.headers["authorization"] == f"Bearer {shop.number.token}"
    assert "access_token" not in request.query


async def test_the_version_is_a_setting_and_the_app_may_want_its_proof(shop: Shop) -> None:
    shop.graph.require_proof = True
    assert (await shop.fails(message())).code is SendCode.MESSAGE_INVALID  # 100: it wants an appsecret_proof
    await shop.send(message(), proof=True, version="v25.0")
    assert shop.graph.requests[-1].path.startswith("/v25.0/")


async def test_a_long_text_is_several_messages_and_all_ids_are_kept(shop: Shop) -> None:
    words = " ".join(f"word{n:04d}" for n in range(1000))
    sent = await shop.send(message(words, in_reply_to="wamid.older"))
    texts = [one["text"]["body"] for one in shop.sent]
    assert [len(text) <= 4096 for text in texts] == [True, True, True]
    assert " ".join(texts) == words
    assert sent.external_ids == tuple(one.id for one in shop.graph.sent)
    assert [one.get("context") for one in shop.sent] == [{"message_id": "wamid.older"}, None, None]
    assert {one["biz_opaque_callback_data"] for one in shop.sent} == {"7093152233713664"}


async def test_what_is_beyond_the_limits_does_not_leave(shop: Shop) -> None:
    file = shop.files.put("a.jpg", "image/jpeg")
    for said in (
        message("x" * (parts.LIMITS.text_chars + 1)),
        message(" \n "),
        message("many", attachments=(file,) * 11),
    ):
        assert (await shop.fails(said)).code is SendCode.MESSAGE_INVALID
    assert shop.graph.requests == []


async def test_only_an_older_message_is_quoted(shop: Shop) -> None:
    older, newest = (await shop.ann.says("One")).id, (await shop.ann.says("Two")).id
    await shop.send(message("To one", in_reply_to=older, heard_id=newest))
    await shop.send(message("To two", in_reply_to=newest, heard_id=newest))
    await shop.send(message("To a mail", in_reply_to="<x@example.com>", heard_id=newest))
    assert [one.get("context") for one in shop.sent] == [{"message_id": older}, None, None]


async def test_who_hides_their_number_is_written_to_by_their_id(shop: Shop) -> None:
    bo = shop.number.customer("Bo", "46701234567", hidden=True, username="bo.lind", country="SE")
    await bo.says("Guess who")
    await shop.send(message("Bo!", to=f"wa:{bo.user_id}"))
    (taken,) = shop.sent
    assert taken["recipient"] == bo.user_id
    assert "to" not in taken
    assert shop.graph.misdirected == []


@each("to", ["tel:12345", "mailto:a@example.com", "wa:16505551234", "wa:", "telegram:1"])
async def test_other_addresses_are_refused(shop: Shop, to: str) -> None:
    assert (await shop.fails(message(to=to))).code is SendCode.REJECTED
    assert shop.graph.requests == []


# ------------------------------------------------------------------------------------------------------- the window


async def test_a_closed_window_is_known_without_asking(shop: Shop) -> None:
    day = timedelta(hours=24, seconds=1)
    for heard in (None, shop.way.now - day):
        error = await shop.fails(message(heard_at=heard))
        assert (error.code, error.retry) == (SendCode.WINDOW_CLOSED, False)
    assert shop.graph.requests == []
    await shop.send(message(heard_at=shop.way.now - timedelta(hours=23, minutes=59)))


async def test_a_window_that_meta_finds_closed_is_one_too(shop: Shop) -> None:
    shop.graph.later = set()
    await shop.graph.passes(86_500)
    error = await shop.fails(message())
    assert (error.code, error.provider_code) == (SendCode.WINDOW_CLOSED, "131047")


# ------------------------------------------------------------------------------------------------------------ taps


async def test_few_short_choices_are_buttons(shop: Shop) -> None:
    await shop.send(message("When?", choices=("Morning", "After noon", "Never")))
    (taken,) = shop.sent
    what = taken["interactive"]
    assert (what["type"], what["body"]["text"]) == ("button", "When?")
    titles = [one["reply"] for one in what["action"]["buttons"]]
    assert titles == [
        {"id": "1", "title": "Morning"},
        {"id": "2", "title": "After noon"},
        {"id": "3", "title": "Never"},
    ]


@pytest.mark.parametrize(
    "text, choices",
    [
        ("When?", tuple(f"At {n}" for n in range(10))),
        ("When?", ("x" * 24, "b")),
        ("x" * 1100, ("a", "b")),
    ],
)
async def test_more_or_longer_ones_are_a_list(shop: Shop, text: str, choices: tuple[str, ...]) -> None:
    await shop.send(message(text, choices=choices), choose="Välj")
    what = shop.sent[0]["interactive"]
    assert (what["type"], what["action"]["button"]) == ("list", "Välj")
    assert [row["title"] for row in what["action"]["sections"][0]["rows"]] == list(choices)


@pytest.mark.parametrize(
    "choices", [tuple(f"At {n}" for n in range(11)), ("x" * 25, "b"), ("a", "a"), ("a", " ")]
)
async def test_choices_that_do_not_fit_are_a_numbered_text(shop: Shop, choices: tuple[str, ...]) -> None:
    await shop.send(message("When?", choices=choices))
    assert shop.sent[0]["text"]["body"].startswith(f"When?\n1. {choices[0]}\n2. {choices[1].strip()}")


async def test_the_taps_stand_below_the_last_of_a_long_text(shop: Shop) -> None:
    await shop.send(message("word " * 1000, choices=("Yes", "No")))
    assert [one["type"] for one in shop.sent] == ["text", "interactive"]


# ------------------------------------------------------------------------------------------------------------ files


async def test_each_kind_of_file_is_uploaded_and_named(shop: Shop) -> None:
    files = (
        shop.files.put("a.jpg", "image/jpeg"),
        shop.files.put("b.mp4", "video/mp4"),
        shop.files.put("c.ogg", "audio/ogg; codecs=opus"),
        shop.files.put("d.webp", "image/webp"),
        shop.files.put("Räkning 12.pdf", "application/pdf"),
    )
    sent = await shop.send(message("See here", attachments=files))
    assert [one["type"] for one in shop.sent] == ["image", "video", "audio", "sticker", "document"]
    assert shop.sent[0]["image"]["caption"] == "See here"
    assert shop.sent[4]["document"]["filename"] == "Räkning 12.pdf"
    assert len(sent.external_ids) == 5
    kept = [one for one in shop.graph.media.values() if one.owner == shop.number.id]
    assert [one.mime for one in kept] == [
        "image/jpeg",
        "video/mp4",
        "audio/ogg",
        "image/webp",
        "application/pdf",
    ]


async def test_a_text_that_is_no_caption_goes_before_the_file(shop: Shop) -> None:
    sound, photo = shop.files.put("a.mp3", "audio/mpeg"), shop.files.put("a.png", "image/png")
    await shop.send(message("Listen", attachments=(sound,)))
    await shop.send(message("x" * 1025, attachments=(photo,)))
    await shop.send(message("Which?", attachments=(photo,), choices=("a", "b")))
    assert [one["type"] for one in shop.sent] == ["text", "audio", "text", "image", "interactive", "image"]


async def test_what_whatsapp_does_not_take_goes_as_a_link(shop: Shop) -> None:
    odd = shop.files.put("a.zip", "application/zip")
    huge = structs.replace(shop.files.put("b.jpg", "image/jpeg"), size_bytes=6_000_000)
    photo = shop.files.put("c.jpg", "image/jpeg")
    await shop.send(message("See", attachments=(odd, photo, huge)))
    (taken,) = shop.sent
    assert taken["image"]["caption"] == f"See\na.zip: {link(odd)}\nb.jpg: {link(huge)}"


async def test_an_upload_that_fails_leaves_nothing_said(shop: Shop) -> None:
    files = (shop.files.put("a.jpg", "image/jpeg"), shop.files.put("b.jpg", "image/jpeg"))
    shop.graph.fail(how="cut", at="media")
    error = await shop.fails(message("See", attachments=files))
    assert (error.code, error.retry) == (SendCode.RESPONSE_STATUS, True)  # tried again, it does no harm
    shop.graph.fail(131053, at="media")
    assert (await shop.fails(message("See", attachments=files))).code is SendCode.MESSAGE_INVALID
    gone = structs.replace(files[0], sha256="f" * 64)
    assert "is gone" in (await shop.fails(message("See", attachments=(gone,)))).detail
    assert shop.graph.sent == []


# ---------------------------------------------------------------------------------------------------------- refusals


async def test_a_pair_that_is_too_fast_rests_alone(shop: Shop) -> None:
    shop.graph.rates.kept = True
    for _ in range(45):
        await shop.send(message())
    error = await shop.fails(message())
    assert (error.code, error.retry, error.whole_account) == (SendCode.THROTTLED, True, False)
    assert (error.provider_code, error.after_s) == ("131056", 6.0)
    pause = rules.RULES[error.code]
    assert pause.do is rules.Do.PATIENCE  # no try is counted, and the pause names the recipient alone
    bo = shop.number.customer("Bo", "46701234567")
    await bo.says("Hi")
    await shop.send(message(to="tel:+46701234567"))


async def test_the_whole_number_rests_for_as_long_as_meta_says(shop: Shop) -> None:
    shop.graph.fail(130429, retry_after=17)
    error = await shop.fails(message())
    assert (error.code, error.whole_account, error.after_s) == (SendCode.THROTTLED, True, 17.0)
    shop.graph.fail(80007, regain_minutes=19)
    assert (await shop.fails(message())).after_s == 19 * 60.0
    shop.graph.fail(80007)
    assert (await shop.fails(message())).after_s == 300.0


async def test_what_failed_in_the_middle_names_what_went_out(shop: Shop) -> None:
    shop.graph.fail(131016)
    assert (await shop.fails(message("word " * 2000))).sent_ids == ()
    photo = shop.files.put("a.jpg", "image/jpeg")
    shop.graph.rates.kept = True
    for _ in range(44):
        await shop.send(message())
    shop.graph.sent.clear()
    error = await shop.fails(message("x" * 1030, attachments=(photo,)))
    assert error.provider_code == "131056"
    assert error.sent_ids == tuple(one.id for one in shop.graph.sent)
    assert len(error.sent_ids) == 1


async def test_a_token_that_ended_stops_the_account(shop: Shop) -> None:
    shop.number.expire()
    error = await shop.fails(message())
    assert (error.code, error.whole_account, error.provider_code) == (
        SendCode.CHANNEL_CONFIG,
        True,
        "190/463",
    )


@pytest.mark.parametrize("how", ["cut", "truncated", "html", "hang"])
async def test_what_may_have_been_sent_is_unknown(shop: Shop, how: str) -> None:
    shop.graph.fail(how=how, accepted=True)
    patient = shop.way
    async with hasty(patient) if how == "hang" else nullcontext(patient) as shop.way:
        error = await shop.fails(message())
    shop.way = patient
    assert error.code in (SendCode.UNKNOWN, SendCode.RESPONSE_CONTENT)
    assert not error.retry
    shop.graph.release()
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(message(), shop.account(), shop.way)
    assert caught.value.code is SendCode.UNKNOWN


# ----------------------------------------------------------------------------------------------------------- settings


def test_settings_are_complained_about() -> None:
    good = {"phone_number_id": "106540352242922"}

    def wrong(**settings: Any) -> str:
        secrets: dict[str, tuple[str, ...]] = {"app_secret": ("s",), "token": ("t",), "verify_token": ("v",)}
        made = Account(
            key="whatsapp/main", connector="whatsapp", name="main", brand="main", title="W", settings=settings,
            secrets=secrets,
        )  # fmt: skip
        return "; ".join(CONNECTOR.check(made))

    assert wrong(**good) == ""
    assert (
        wrong(**good, waba_id="1", version="v25.0", api="http://127.0.0.1:1", proof=True, choose="Välj") == ""
    )
    assert "phone_number_id is missing" in wrong()
    assert "digits, in quotes" in wrong(phone_number_id=106540352242922)
    assert "version of the Graph API" in wrong(**good, version="25")
    assert "https://" in wrong(**good, api="http://graph.example.com")
    assert "at most 20" in wrong(**good, choose="x" * 21)
    assert "no setting 'colour'" in wrong(**good, colour="blue")
    bare = Account(
        key="whatsapp/main", connector="whatsapp", name="main", brand="main", title="W", settings=dict(good)
    )
    assert "verify_token" in "; ".join(CONNECTOR.check(bare))
