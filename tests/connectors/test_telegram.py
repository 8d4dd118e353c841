"""What goes out by Telegram: how it is taken apart, what each refusal means, and changes afterwards."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from msgspec import structs

from connectors import http
from connectors.telegram import CONNECTOR, errors, parts, sending
from connectors.texts import split
from hub.errors import SendCode, SendError
from hub.model import Change
from tests.connectors.samples import account
from tests.connectors.telegramming import JPEG, Bot, bot
from tests.each import each
from tests.servers.telegram import Person
from tests.servers.telegram.people import business_connection


@pytest.fixture
async def ours() -> AsyncIterator[Bot]:
    async with bot() as opened:
        yield opened


@pytest.fixture
async def ann(ours: Bot) -> Person:
    ann = ours.telegram.person("Ann")
    await ann.says("Where is my parcel?")
    return ann


def texts(person: Person) -> list[str]:
    return [one["text"] for one in person.received]


# ------------------------------------------------------------------------------------------------------------ texts


async def test_a_text_goes_out_plain_and_its_id_comes_back(ours: Bot, ann: Person) -> None:
    said = "*Not* _formatted_ <b>at all</b> [x](https://y.example) & so on."
    sent = await ours.send(ann, said)
    assert texts(ann) == [said]
    assert sent.external_ids == (f"{ann.id}:{ann.received[0]['message_id']}",)
    assert "entities" not in ann.received[0] or not ann.received[0]["entities"]


async def test_a_long_text_is_split_between_its_lines_and_all_ids_are_kept(ours: Bot, ann: Person) -> None:
    lines = [f"{number}: " + "word " * 150 for number in range(16)]
    sent = await ours.send(ann, "\n".join(lines))
    assert len(sent.external_ids) == len(texts(ann)) == 4
    assert all(len(text) <= 4096 for text in texts(ann))
    assert [line.strip() for text in texts(ann) for line in text.split("\n")] == [
        line.strip() for line in lines
    ]


@each(
    "text, lengths",
    [
        ("x" * 4096, [4096]),
        ("x" * 4097, [4096, 1]),
        ("😀" * 2048, [2048]),  # two units each: 4096 whatever Telegram counts
        ("😀" * 2049, [2048, 1]),
        ("a" * 4000 + " " + "b" * 200, [4000, 200]),
        ("   ", []),
        ("a\n\n" + "b" * 4095, [4096, 2]),  # no seam in the first half: that would leave a scrap
    ],
)
def test_texts_are_cut_to_telegrams_measure(text: str, lengths: list[int]) -> None:
    cut = split(text.strip(), parts.TEXT_UNITS)
    assert [len(part) for part in cut] == lengths
    assert all(len(part.encode("utf-16-le")) // 2 <= 4096 for part in cut)


async def test_what_answers_the_newest_message_quotes_nothing(ours: Bot, ann: Person) -> None:
    first, newest = f"{ann.id}:1", f"{ann.id}:2"
    await ann.says("And my invoice?")
    await ours.send(ann, "Soon.", in_reply_to=newest, heard_id=newest)
    await ours.send(ann, "It left on Monday.", in_reply_to=first, heard_id=newest)
    await ours.send(ann, "Is this one gone?", in_reply_to=f"{ann.id}:999", heard_id=newest)
    quoted = [one.get("reply_to_message", {}).get("message_id") for one in ann.received]
    assert quoted == [None, 1, None]


async def test_a_quote_of_another_chat_or_a_tap_is_left_out(ours: Bot, ann: Person) -> None:
    for name in ("999:1", "tap:123", "what", ""):
        await ours.send(ann, "Yes.", in_reply_to=name)
    assert not [one for one in ann.received if "reply_to_message" in one]


async def test_choices_are_buttons_and_a_tap_says_what_stood_on_it(ours: Bot, ann: Person) -> None:
    long = "Ein neues Paar der ganz genau gleichen Schuhe in Größe 42, ääää"
    await ours.send(ann, "What shall we do?", choices=("Refund", long, long + "."))
    rows = ann.received[0]["reply_markup"]["inline_keyboard"]
    assert [row[0]["text"] for row in rows] == ["Refund", long, long + "."]
    data = [row[0]["callback_data"] for row in rows]
    assert data[0] == "Refund"
    assert len(set(data)) == 3
    assert all(1 <= len(one.encode()) <= 64 for one in data)


async def test_choices_that_do_not_fit_are_a_numbered_text(ours: Bot, ann: Person) -> None:
    await ours.send(ann, "Which?", choices=("x" * 65, "b"))
    await ours.send(ann, "Which?", choices=tuple(str(n) for n in range(21)))
    assert texts(ann)[0] == "Which?\n\n1. " + "x" * 65 + "\n2. b"
    assert texts(ann)[1].endswith("20. 19\n21. 20")
    assert not [one for one in ann.received if "reply_markup" in one]


async def test_nothing_at_all_is_not_sent(ours: Bot, ann: Person) -> None:
    assert (await ours.fails(ann, "  \n ")).code is SendCode.MESSAGE_INVALID
    with pytest.raises(SendError, match="no address"):
        await CONNECTOR.send(structs.replace(ours.to(1, "x"), to="tel:+14155552671"), ours.account, ours.wire)


# ------------------------------------------------------------------------------------------------------------ files


async def test_each_kind_of_file_goes_its_way(ours: Bot, ann: Person) -> None:
    for kind in ("image/jpeg", "image/gif", "video/mp4", "audio/mpeg", "application/pdf"):
        await ours.send(ann, attachments=(ours.files.add(JPEG, kind, "Rechnung Größe.x"),))
    assert [one.method for one in ours.telegram.sent] == [
        "sendPhoto", "sendAnimation", "sendVideo", "sendAudio", "sendDocument",
    ]  # fmt: skip
    assert ours.telegram.sent[-1].raw["document"]["file_name"] == "Rechnung Größe.x"
    stored = ours.telegram.files[ours.telegram.sent[-1].raw["document"]["file_id"]]
    assert (stored.content, stored.mime_type) == (JPEG, "application/pdf")


async def test_several_files_are_albums_of_what_may_go_together(ours: Bot, ann: Person) -> None:
    add = ours.files.add
    files = (
        add(JPEG, "image/jpeg", "1.jpg"),
        add(b"video", "video/mp4", "2.mp4"),
        add(b"%PDF-1", "application/pdf", "3.pdf"),
        add(b"%PDF-2", "application/pdf", "4.pdf"),
        add(b"gif", "image/gif", "5.gif"),
    )
    sent = await ours.send(ann, "All of it:", attachments=files)
    kinds = [
        next(k for k in ("text", "photo", "video", "animation", "document") if k in one)
        for one in ann.received
    ]
    assert kinds == ["text", "photo", "video", "document", "document", "animation"]
    albums = [one.get("media_group_id") for one in ann.received]
    assert (albums[0], albums[5]) == (None, None)
    assert albums[1] == albums[2] != albums[3] == albums[4]
    assert len(set(sent.external_ids)) == 6


async def test_a_picture_that_telegram_cannot_show_goes_as_a_document(ours: Bot, ann: Person) -> None:
    large = ours.files.add(JPEG + b"x" * parts.PHOTO_BYTES, "image/jpeg", "large.jpg")
    await ours.send(ann, attachments=(ours.files.add(b"no picture", "image/png", "odd.png"),))
    await ours.send(ann, attachments=(large,))
    assert [one.method for one in ours.telegram.sent] == ["sendDocument", "sendDocument"]
    assert [one.description for one in ours.telegram.refused] == ["Bad Request: IMAGE_PROCESS_FAILED"]


async def test_what_is_too_large_or_too_many_goes_as_a_link(ours: Bot, ann: Person) -> None:
    film = ours.files.add(b"film", "video/mp4", "film.mp4", size=51 * 1024 * 1024)
    small = ours.files.add(JPEG, "image/jpeg", "small.jpg")
    await ours.send(ann, "Here:", attachments=(film, *[small] * 11))
    assert ann.received[0]["text"] == (
        f"Here:\n\nfilm.mp4: https://hub.example.com/f/{film.sha256[:8]}"
        f"\n\nsmall.jpg: https://hub.example.com/f/{small.sha256[:8]}"
    )
    assert len(ann.received) == 11


async def test_a_file_that_is_gone_here_sends_no_half(ours: Bot, ann: Person) -> None:
    file = structs.replace(ours.files.add(JPEG, "image/jpeg", "a.jpg"), sha256="0" * 64)
    error = await ours.fails(ann, "Here:", attachments=(file,))
    assert error.code is SendCode.MESSAGE_INVALID
    assert error.sent_ids == (f"{ann.id}:2",)  # the text is there, and the agent is told so


async def test_a_failure_after_the_first_part_names_what_went_out(ours: Bot, ann: Person) -> None:
    ours.telegram.fail("sendphoto", status=500)
    error = await ours.fails(ann, "Here:", attachments=(ours.files.add(JPEG, "image/jpeg", "a.jpg"),))
    assert error.code is SendCode.RESPONSE_STATUS
    assert error.sent_ids == (f"{ann.id}:2",)


# ---------------------------------------------------------------------------------------------------------- refusals

STOPPED, NO, WRONG, OURS = (
    SendCode.OPTED_OUT,
    SendCode.REJECTED,
    SendCode.MESSAGE_INVALID,
    SendCode.CHANNEL_CONFIG,
)
STATUS, SLOW = SendCode.RESPONSE_STATUS, SendCode.THROTTLED

# (status, description as Telegram words it, code, retry, whole account)
REFUSALS = [
    (403, "Forbidden: bot was blocked by the user", STOPPED, False, False),
    (403, "Forbidden: user is deactivated", STOPPED, False, False),
    (403, "Forbidden: bot can't initiate conversation with a user", NO, False, False),
    (403, "Forbidden: bot can't send messages to bots", NO, False, False),
    (403, "Forbidden: bot can't send messages to the user", NO, False, False),
    (403, "Forbidden: bot was kicked from the group chat", NO, False, False),
    (403, "Forbidden: bot is not a member of the channel chat", NO, False, False),
    (403, "Forbidden: VOICE_MESSAGES_FORBIDDEN", NO, False, False),
    (403, "Forbidden: PRIVACY_PREMIUM_REQUIRED", NO, False, False),
    (403, "Forbidden: something new", NO, False, False),
    (400, "Bad Request: USER_IS_BLOCKED", STOPPED, False, False),
    (400, "Bad Request: INPUT_USER_DEACTIVATED", STOPPED, False, False),
    (400, "Bad Request: chat not found", NO, False, False),
    (400, "Bad Request: user not found", NO, False, False),
    (400, "Bad Request: PEER_ID_INVALID", NO, False, False),
    (400, "Bad Request: group chat was upgraded to a supergroup chat", NO, False, False),
    (400, "Bad Request: group is deactivated", NO, False, False),
    (400, "Bad Request: not enough rights to send text messages to the chat", NO, False, False),
    (400, "Bad Request: have no rights to send a message", NO, False, False),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", NO, False, False),
    (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", NO, False, False),
    (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_5", NO, False, False),
    (400, "Bad Request: need administrator rights in the channel chat", NO, False, False),
    (400, "Bad Request: TOPIC_CLOSED", NO, False, False),
    (400, "Bad Request: message thread not found", NO, False, False),
    (400, "Bad Request: BUSINESS_PEER_INVALID", NO, False, False),
    (400, "Bad Request: BUSINESS_PEER_USAGE_MISSING", SendCode.WINDOW_CLOSED, False, False),
    (400, "Bad Request: BUSINESS_CONNECTION_INVALID", NO, False, False),
    (400, "Bad Request: business connection not found", NO, False, False),
    (400, "Bad Request: message text is empty", WRONG, False, False),
    (400, "Bad Request: text must be non-empty", WRONG, False, False),
    (400, "Bad Request: caption too long", WRONG, False, False),
    (400, "Bad Request: ENTITIES_TOO_LONG", WRONG, False, False),
    (400, "Bad Request: failed to get HTTP URL content", WRONG, False, False),
    (400, "Bad Request: wrong type of the web page content", WRONG, False, False),
    (400, "Bad Request: MEDIA_EMPTY", WRONG, False, False),
    (400, "Bad Request: DOCUMENT_INVALID", WRONG, False, False),
    (400, "Bad Request: message to be replied not found", NO, False, False),
    (400, "Bad Request: replied message not found", NO, False, False),
    (400, "Bad Request: reply message not found", NO, False, False),
    (400, "Logged out", OURS, False, True),
    (400, "Bad Request: message is too long", WRONG, False, False),
    (400, "Bad Request: MESSAGE_TOO_LONG", WRONG, False, False),
    (400, "Bad Request: message caption is too long", WRONG, False, False),
    (400, "Bad Request: can't parse entities: Unclosed start tag at byte offset 3", WRONG, False, False),
    (400, "Bad Request: entities too long", WRONG, False, False),
    (400, "Bad Request: BUTTON_DATA_INVALID", WRONG, False, False),
    (400, "Bad Request: object expected as reply markup", WRONG, False, False),
    (400, "Bad Request: file is too big", WRONG, False, False),
    (400, "Bad Request: file must be non-empty", WRONG, False, False),
    (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", WRONG, False, False),
    (400, "Bad Request: IMAGE_PROCESS_FAILED", WRONG, False, False),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", WRONG, False, False),
    (400, "Bad Request: something new", NO, False, False),
    (413, "Request Entity Too Large", WRONG, False, False),
    (400, "Bad Request: message to edit not found", NO, False, False),
    (400, "Bad Request: MESSAGE_ID_INVALID", NO, False, False),
    (400, "Bad Request: message can't be edited", NO, False, False),
    (400, "Bad Request: message can't be deleted for everyone", NO, False, False),
    (401, "Unauthorized", OURS, False, True),
    (404, "Not Found", OURS, False, True),
    (409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first",
     OURS, False, True),
    (409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
     STATUS, True, True),
    (429, "Too Many Requests: retry after 7", SLOW, True, False),
    (420, "FLOOD_WAIT_7", SLOW, True, False),
    (500, "Internal Server Error", STATUS, True, False),
    (502, "Bad Gateway", STATUS, True, False),
    (504, "", STATUS, True, False),
    (302, "", OURS, False, True),
    (418, "", STATUS, False, False),
]  # fmt: skip


@each("status, words, code, retry, whole", REFUSALS)
def test_what_a_refusal_means(status: int, words: str, code: SendCode, retry: bool, whole: bool) -> None:
    error = errors.error(status, errors.Refusal(error_code=status, description=words))
    assert (error.code, error.retry, error.whole_account) == (code, retry, whole)
    assert error.provider_code == str(status)
    assert words[:60] in error.detail


# Said of what is not sent, or in words that no method of ours can meet.
NOT_MET = {(400, "message must be non-empty"), (400, "to delete not found"), (409, "")}


def test_every_row_of_the_table_has_its_test() -> None:
    for status, words, meaning in errors.TABLE:
        met = [
            said for code, said, *_ in REFUSALS if code == status and errors.meaning(code, said) is meaning
        ]
        assert met or (status, words) in NOT_MET, words


async def test_who_blocked_the_bot_has_opted_out_and_comes_back(ours: Bot, ann: Person) -> None:
    await ann.blocks()
    error = await ours.fails(ann)
    assert (error.code, error.provider_code, error.retry) == (SendCode.OPTED_OUT, "403", False)
    await ann.unblocks()
    await ours.send(ann, "Welcome back")
    ann.deactivates()
    assert (await ours.fails(ann)).code is SendCode.OPTED_OUT


async def test_who_never_wrote_cannot_be_written_to(ours: Bot) -> None:
    cem = ours.telegram.person("Cem")
    assert (await ours.fails(cem)).code is SendCode.REJECTED
    assert (await ours.fails(4711)).code is SendCode.REJECTED


async def test_a_group_that_moved_is_named(ours: Bot, ann: Person) -> None:
    group = ours.telegram.group("Friends")
    new = await group.migrates(ann)
    error = await ours.fails(group.id)
    assert error.code is SendCode.REJECTED
    assert str(new.id) in error.detail


async def test_a_revoked_token_stops_the_account(ours: Bot, ann: Person) -> None:
    ours.telegram.revoked = True
    error = await ours.fails(ann)
    assert (error.code, error.whole_account) == (SendCode.CHANNEL_CONFIG, True)


@pytest.mark.parametrize("token", ["", "not a token/..", "1:é", "7:x?y"])
async def test_a_token_that_is_none_is_never_part_of_an_address(ours: Bot, token: str) -> None:
    odd = account("telegram/main", {"token": (token,)}, api=ours.telegram.url)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(ours.to(1, "x"), odd, ours.wire)
    assert (caught.value.code, caught.value.whole_account) == (SendCode.CHANNEL_CONFIG, True)
    assert ours.telegram.requests == []


async def test_one_chat_that_is_slowed_down_rests_alone_and_two_are_the_bot(ours: Bot, ann: Person) -> None:
    bea = ours.telegram.person("Bea")
    await bea.says("Hi")
    ours.telegram.fail("sendmessage", status=429, retry_after=7, times=3)
    first, again, other = await ours.fails(ann), await ours.fails(ann), await ours.fails(bea)
    assert [e.code for e in (first, again, other)] == [SendCode.THROTTLED] * 3
    assert [e.after_s for e in (first, again, other)] == [7, 7, 7]
    assert [e.whole_account for e in (first, again, other)] == [False, False, True]
    ours.telegram.passes(60)
    ours.telegram.fail("sendmessage", status=429, retry_after=7)
    assert not (await ours.fails(ann)).whole_account  # a minute later it is a chat again


async def test_a_message_in_parts_keeps_to_the_rate_of_its_chat(
    ours: Bot, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def rest(seconds: float) -> None:
        waits.append(seconds)
        ours.telegram.passes(seconds)

    monkeypatch.setattr(sending, "_rest", rest)
    ours.telegram.limits = True
    sent = await ours.send(ann, "word " * 2000)
    assert (len(sent.external_ids), waits) == (3, [1.0, 1.0])

    ours.telegram.passes(60)
    ours.telegram.limits = False
    ours.telegram.fail("sendphoto", status=429, retry_after=16)
    error = await ours.fails(ann, "Here:", attachments=(ours.files.add(JPEG, "image/jpeg", "a.jpg"),))
    assert (error.code, error.after_s, len(error.sent_ids)) == (
        SendCode.THROTTLED,
        16,
        1,
    )  # no lane waits so long


async def test_the_rates_of_the_faq_are_told_apart(ours: Bot, ann: Person) -> None:
    ours.telegram.limits = True
    await ours.send(ann, "One")
    error = await ours.fails(ann, "Two")
    assert (error.code, error.after_s, error.retry) == (SendCode.THROTTLED, 1.0, True)
    assert texts(ann) == ["One"]


@pytest.mark.parametrize(
    "how, code, arrived",
    [
        ("html", SendCode.RESPONSE_STATUS, False),
        ("cut", SendCode.UNKNOWN, False),
        ("deaf", SendCode.UNKNOWN, False),
        ("lost", SendCode.UNKNOWN, True),
        ("hang", SendCode.UNKNOWN, True),
        ("truncated", None, True),
    ],
)
async def test_what_may_have_been_sent_is_never_sent_again(
    ours: Bot, ann: Person, how: str, code: SendCode, arrived: bool
) -> None:
    ours.telegram.fail("sendmessage", how=how, status=502)
    async with http.guarded_session(allow_private=True, total_s=2.0) as hasty:
        ours.session, patient = hasty, ours.session
        error = await ours.fails(ann, "Once")
        ours.session = patient
    assert texts(ann) == (["Once"] if arrived else [])
    assert error.code in ((code,) if code else (SendCode.UNKNOWN, SendCode.RESPONSE_CONTENT))
    assert error.retry is (how == "html")
    ours.telegram.mend()


async def test_telegram_cannot_be_asked_what_was_sent(ours: Bot, ann: Person) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(ours.to(ann, "x"), ours.account, ours.wire)
    assert caught.value.code is SendCode.UNKNOWN


# ----------------------------------------------------------------------------------------------------------- changes


async def test_a_text_is_edited_and_twice_is_once(ours: Bot, ann: Person) -> None:
    message = ours.to(ann, "It leaves on Monday.", choices=("Fine", "No"))
    sent = await CONNECTOR.send(message, ours.account, ours.wire)
    new = structs.replace(message, text="It leaves on Tuesday.")
    for _ in range(2):
        assert await ours.change(Change.EDIT, new, sent.external_ids) == sent
    assert texts(ann) == ["It leaves on Tuesday."]
    assert ann.received[0]["reply_markup"]["inline_keyboard"][0][0]["text"] == "Fine"


async def test_a_shorter_text_takes_its_surplus_parts_back(ours: Bot, ann: Person) -> None:
    file = ours.files.add(JPEG, "image/jpeg", "a.jpg")
    message = ours.to(ann, "word " * 2000, attachments=(file,))
    sent = await CONNECTOR.send(message, ours.account, ours.wire)
    assert len(sent.external_ids) == 4
    for _ in range(2):
        after = await ours.change(Change.EDIT, structs.replace(message, text="Short."), sent.external_ids)
        assert after.external_ids == (sent.external_ids[0], sent.external_ids[3])
    assert [one.get("text", "a photo") for one in ann.received] == ["Short.", "a photo"]


async def test_a_text_that_needs_more_messages_than_it_had_is_refused(ours: Bot, ann: Person) -> None:
    sent = await ours.send(ann, "Short.")
    with pytest.raises(SendError) as caught:
        await ours.change(Change.EDIT, ours.to(ann, "x" * 5000), sent.external_ids)
    assert caught.value.code is SendCode.MESSAGE_INVALID
    assert texts(ann) == ["Short."]


async def test_everything_is_taken_back_for_two_days(ours: Bot, ann: Person) -> None:
    message = ours.to(ann, "Oops", attachments=(ours.files.add(JPEG, "image/jpeg", "a.jpg"),))
    sent = await CONNECTOR.send(message, ours.account, ours.wire)
    for _ in range(2):
        assert await ours.change(Change.DELETE, message, sent.external_ids) == sent
    assert ann.received == []

    sent = await CONNECTOR.send(message, ours.account, ours.wire)
    ours.telegram.passes(48 * 3600 + 1)
    with pytest.raises(SendError) as caught:
        await ours.change(Change.DELETE, message, sent.external_ids)
    assert caught.value.code is SendCode.REJECTED
    asked = len(ours.telegram.requests)
    late = ours.wire.now - timedelta(hours=49)
    with pytest.raises(SendError, match="48 hours"):
        await ours.change(Change.DELETE, message, sent.external_ids, sent_at=late)
    assert len(ours.telegram.requests) == asked


async def test_what_is_gone_cannot_be_edited(ours: Bot, ann: Person) -> None:
    for ids in ((f"{ann.id}:77",), (), ("999:1",), ("odd",)):
        with pytest.raises(SendError) as caught:
            await ours.change(Change.EDIT, ours.to(ann, "x"), ids)
        assert caught.value.code is SendCode.REJECTED


# ------------------------------------------------------------------------------------ in a business's chats; topics


async def test_an_answer_goes_out_where_the_customer_wrote(ours: Bot, ann: Person) -> None:
    """To a business account that has connected the bot: by the thread, or by the message that is answered."""
    link = business_connection(ours.telegram.person("Owner"))
    await ours.telegram.happens("business_connection", link)
    await ann.says("Are you open?", business=link["id"])
    heard = f"{ann.id}:{ann.chat.last_id}@{link['id']}"
    one = await ours.send(ann, "Until six.", thread=f"business:{link['id']}")
    two = await ours.send(ann, "And tomorrow?", heard_id=heard, in_reply_to=heard)
    assert [s.params["business_connection_id"] for s in ours.telegram.sent] == [link["id"]] * 2
    assert all(sent.external_ids[0].endswith(f"@{link['id']}") for sent in (one, two))

    message = ours.to(ann, "Until seven.", thread=f"business:{link['id']}")
    await ours.change(Change.EDIT, message, one.external_ids)
    assert ann.chat.messages[ours.telegram.sent[0].message_id]["text"] == "Until seven."
    for _ in range(2):
        await ours.change(Change.DELETE, message, one.external_ids)
    assert ours.telegram.sent[0].message_id not in ann.chat.messages

    await ours.send(ann, "In our own chat.")
    assert "business_connection_id" not in ours.telegram.sent[-1].params


async def test_a_business_that_let_the_bot_go_is_told(ours: Bot, ann: Person) -> None:
    assert (await ours.fails(ann, thread="business:gone")).code is SendCode.REJECTED


async def test_an_answer_stays_in_its_topic(ours: Bot, ann: Person) -> None:
    ann.chat.forum = True
    await ours.send(ann, "Here", thread="topic:9", attachments=(ours.files.add(JPEG, "image/jpeg", "a.jpg"),))
    assert [one["message_thread_id"] for one in ann.received] == [9, 9]
