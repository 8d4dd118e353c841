"""SMS through a Twilio that checks what Twilio checks: what goes out, what comes back, and what each refusal means."""

import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from connectors.base import FetchError, Finding, Wire, no_link
from connectors.sms_twilio import CONNECTOR
from connectors.texts import split
from connectors.twilio.inbound import KNOWN_WORDS
from hub.errors import SendCode, SendError
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus, Media, MessageReceived
from router import consent
from tests.connectors.gate import gate
from tests.connectors.hasty import hasty
from tests.connectors.twilio_world import ANN, PUBLIC, SECOND, SHOP, at, file, link, message, wire
from tests.each import each
from tests.servers import free_port
from tests.servers.http import Provider, Say, Seen
from tests.servers.twilio import Twilio


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        twilio.number(SHOP)
        twilio.number(SECOND)
        yield twilio


@pytest.fixture
async def way() -> AsyncIterator[Wire]:
    async with wire() as way:
        yield way


async def test_a_reply_is_sent_with_its_own_address_for_reports(twilio: Twilio, way: Wire) -> None:
    sent = await CONNECTOR.send(message(), at(twilio), way)
    (taken,) = twilio.sent
    assert sent.external_ids == (taken.sid,)
    assert (taken.from_, taken.to, taken.body) == (SHOP, ANN, "It is on its way.")
    assert taken.status_callback == f"{PUBLIC}/in/sms_twilio/main?delivery=7093152233713664#rc=3&rp=5xx,ct,rt"


async def test_an_api_key_sends_where_there_is_one(twilio: Twilio, way: Wire) -> None:
    account = at(twilio, secrets={"api_key": (twilio.api_key,), "api_secret": (twilio.api_secret,)})
    await CONNECTOR.send(
        message(), replace(account, secrets={**account.secrets, "auth_token": ("other",)}), way
    )
    assert len(twilio.sent) == 1


async def test_the_answer_goes_out_from_the_number_that_was_written_to(twilio: Twilio, way: Wire) -> None:
    account = at(twilio, numbers=[SECOND])
    await CONNECTOR.send(message(ours=f"tel:{SECOND}"), account, way)
    await CONNECTOR.send(message(), account, way)
    await CONNECTOR.send(message(ours="tel:+14155559999"), account, way)  # ours no more: from the address
    assert [one.from_ for one in twilio.sent] == [SECOND, SHOP, SHOP]


async def test_a_messaging_service_chooses_unless_the_customer_has(twilio: Twilio, way: Wire) -> None:
    service = twilio.service(twilio.numbers[SECOND], twilio.numbers[SHOP])
    account = at(twilio, address=None, messaging_service_sid=service.sid)
    await CONNECTOR.send(message(), account, way)
    await CONNECTOR.send(message(ours=f"tel:{SHOP}"), account, way)
    assert [(one.from_, one.service_sid) for one in twilio.sent] == [
        (SECOND, service.sid),
        (SHOP, service.sid),
    ]


async def test_a_long_text_is_several_messages_and_all_ids_are_kept(twilio: Twilio, way: Wire) -> None:
    words = " ".join(f"word{n:04d}" for n in range(500))
    sent = await CONNECTOR.send(message(words), at(twilio), way)
    bodies = [one.body for one in twilio.sent]
    assert len(bodies) == 3
    assert all(len(body) <= 1600 for body in bodies)
    assert " ".join(bodies) == words
    assert sent.external_ids == tuple(one.sid for one in twilio.sent)


@each(
    "text, most, pieces",
    [
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one", "two"]),
        ("a" * 10, 4, ["aaaa", "aaaa", "aa"]),
        ("first line\nsecond", 14, ["first line", "second"]),
        ("😀😀😀", 4, ["😀😀", "😀"]),
        ("abc def\u0301\u0301", 8, ["abc", "def\u0301\u0301"]),
        ("", 5, []),
        ("   ", 2, []),
    ],
)
def test_texts_are_cut_between_words(text: str, most: int, pieces: list[str]) -> None:
    assert split(text, most) == pieces


async def test_what_failed_in_the_middle_names_what_went_out(twilio: Twilio, way: Wire) -> None:
    words = " ".join(f"word{n:04d}" for n in range(500))
    await CONNECTOR.send(message("warm up"), at(twilio), way)
    twilio.rate = 2
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(words), at(twilio), way)
    assert caught.value.code is SendCode.THROTTLED
    assert (caught.value.retry, caught.value.after_s, caught.value.whole_account) == (True, 1.0, True)
    assert caught.value.sent_ids == tuple(one.sid for one in twilio.sent[1:])
    assert len(caught.value.sent_ids) >= 1


async def test_pictures_go_as_mms_and_all_else_as_links(twilio: Twilio, way: Wire) -> None:
    photo, second = file("a.jpg"), file("b.png", "image/png")
    pdf, huge = file("bill.pdf", "application/pdf"), file("big.jpg", size_bytes=6_000_000)
    await CONNECTOR.send(message("See here", attachments=(photo, pdf, second, huge)), at(twilio), way)
    (taken,) = twilio.sent
    assert taken.media_urls == (link(photo), link(second))
    assert taken.body == f"See here\nbill.pdf: {link(pdf)}\nbig.jpg: {link(huge)}"


async def test_media_of_one_message_stay_below_five_megabytes(twilio: Twilio, way: Wire) -> None:
    photos = tuple(file(f"{n}.jpg", size_bytes=2_000_000) for n in range(3))
    sent = await CONNECTOR.send(message("", attachments=photos), at(twilio), way)
    assert [len(one.media_urls) for one in twilio.sent] == [2, 1]
    assert len(sent.external_ids) == 2


async def test_without_mms_every_file_is_a_link(twilio: Twilio, way: Wire) -> None:
    photo = file("a.jpg")
    await CONNECTOR.send(message("", attachments=(photo,)), at(twilio, mms=False), way)
    assert [(one.body, one.media_urls) for one in twilio.sent] == [(f"a.jpg: {link(photo)}", ())]


async def test_a_file_that_nobody_serves_is_refused_before_anything_leaves(twilio: Twilio) -> None:
    async with wire(link=no_link) as way:
        with pytest.raises(SendError) as caught:
            await CONNECTOR.send(message("See", attachments=(file(),)), at(twilio), way)
    assert caught.value.code is SendCode.MESSAGE_INVALID
    assert twilio.requests == []


async def test_choices_are_a_numbered_list(twilio: Twilio, way: Wire) -> None:
    await CONNECTOR.send(message("When?", choices=("Morning", "Evening")), at(twilio), way)
    assert twilio.sent[0].body == "When?\n1. Morning\n2. Evening"


async def test_whoever_sends_under_a_name_cannot_be_answered(twilio: Twilio, way: Wire) -> None:
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(to="sms:MY-BANK"), at(twilio), way)
    assert caught.value.code is SendCode.REJECTED
    assert twilio.requests == []


# ------------------------------------------------------------------------------------------------ nobody knows


@pytest.mark.parametrize(
    "how, status, code, went_out",
    [
        ("error", 500, SendCode.UNKNOWN, False),
        ("error", 503, SendCode.UNKNOWN, False),
        ("html", 502, SendCode.UNKNOWN, False),
        ("cut", 0, SendCode.UNKNOWN, False),
        ("deaf", 0, SendCode.UNKNOWN, False),
        ("lost", 0, SendCode.UNKNOWN, True),
        ("truncated", 0, SendCode.UNKNOWN, True),
        ("html", 404, SendCode.CHANNEL_CONFIG, False),
    ],
)
async def test_what_may_have_gone_out_is_looked_for(
    twilio: Twilio, way: Wire, how: str, status: int, code: SendCode, went_out: bool
) -> None:
    await CONNECTOR.send(
        message("It is on its way.", created_at=None), at(twilio), way
    )  # the same words, before
    twilio.passes(60)
    twilio.fail("messages.create", how=how, status=status)
    with pytest.raises(SendError) as caught:
        async with hasty(way) if how == "deaf" else nullcontext(way) as impatient:
            await CONNECTOR.send(message(), at(twilio), impatient)
    assert (caught.value.code, caught.value.retry) == (code, False)
    twilio.mend()
    mine = message(created_at=way.now + timedelta(seconds=30))
    found = await CONNECTOR.find(mine, at(twilio), way)
    if went_out:
        assert found is not None
        assert found.external_ids == (twilio.sent[-1].sid,)
    else:
        assert found is None


async def test_a_send_that_is_only_half_there_stays_in_doubt(twilio: Twilio, way: Wire) -> None:
    words = " ".join(f"word{n:04d}" for n in range(300))
    first = split(words, 1600)[0]
    await CONNECTOR.send(message(first), at(twilio), way)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(message(words), at(twilio), way)
    assert caught.value.code is SendCode.UNKNOWN
    assert caught.value.sent_ids == (twilio.sent[0].sid,)
    await CONNECTOR.send(message(split(words, 1600)[1]), at(twilio), way)
    found = await CONNECTOR.find(message(words), at(twilio), way)
    assert found is not None
    assert found.external_ids == tuple(one.sid for one in twilio.sent)


async def test_another_message_that_ends_alike_proves_nothing(twilio: Twilio, way: Wire) -> None:
    """A trial account's texts have a sentence before them; what is before other texts is somebody's words."""
    await CONNECTOR.send(message("No, it is on its way."), at(twilio), way)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(message("it is on its way."), at(twilio), way)
    assert (caught.value.code, caught.value.retry) == (SendCode.UNKNOWN, False)
    await CONNECTOR.send(message("Sent from your Twilio trial account - it is on its way."), at(twilio), way)
    found = await CONNECTOR.find(message("it is on its way."), at(twilio), way)
    assert found is not None
    assert found.external_ids == (twilio.sent[-1].sid,)


async def test_a_search_that_fails_says_unknown(twilio: Twilio, way: Wire) -> None:
    twilio.fail("messages.list", status=500)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.find(message(), at(twilio), way)
    assert caught.value.code is SendCode.UNKNOWN


# ------------------------------------------------------------------------------------- through the edge and back


async def test_a_conversation_through_a_real_edge(twilio: Twilio, tmp_path: Path, valkey: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    account = at(twilio)
    async with gate(tmp_path, valkey, accounts={account.key: account}, port=port, public_url=url) as g:
        twilio.numbers[SHOP].hook.url = f"{url}/in/sms_twilio/main#rc=2&rp=all"
        ann = twilio.customer(ANN, "Ann")
        delivery = await ann.says("Where is my parcel? ñ 😀", media=(("image/png", b"\x89PNG\r\n\x1a\n"),))
        assert delivery.ok
        await twilio.redeliver(delivery)
        await twilio.redeliver(delivery, new_token=True)
        first, *again = g.kept()
        assert isinstance(first, MessageReceived)
        assert (first.sender, first.text, first.external_id) == (
            f"tel:{ANN}",
            "Where is my parcel? ñ 😀",
            delivery.sid,
        )
        assert [e.event_key for e in again] == [first.event_key] * 2
        assert twilio.replied == []  # our answer is TwiML that says nothing
        assert twilio.alerts == []

        async with wire(url) as way:
            fetched = await CONNECTOR.fetch(first.media[0], account, way)
            assert (fetched.data, fetched.content_type) == (b"\x89PNG\r\n\x1a\n", "image/png")
            assert twilio.faults == []
            twilio.reports.hold = True
            sent = await CONNECTOR.send(message(), account, way)
            await twilio.reports.say(sent.external_ids[0], "sent", "delivered")
            twilio.reports.double()
            twilio.reports.shuffle(7)
            await twilio.reports.flush()
        reports = [e for e in g.kept() if isinstance(e, DeliveryReported)]
        assert {(e.external_id, e.delivery_id, e.status) for e in reports} == {
            (sent.external_ids[0], 7093152233713664, DeliveryStatus.SENT),
            (sent.external_ids[0], 7093152233713664, DeliveryStatus.DELIVERED),
        }
        assert len({e.event_key for e in reports}) == 2
        assert not any(outcome == "forged" for outcome, _ in g.counts)


async def test_a_fallback_takes_what_the_first_address_could_not(
    twilio: Twilio, tmp_path: Path, valkey: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    account = at(twilio)
    async with gate(tmp_path, valkey, accounts={account.key: account}, port=port, public_url=url) as g:
        twilio.numbers[SHOP].hook.url = f"http://127.0.0.1:{free_port()}/in/sms_twilio/main"
        twilio.numbers[SHOP].hook.fallback_url = f"{url}/in/sms_twilio/main"
        assert (await twilio.customer(ANN).says("Hi")).ok
        assert g.texts() == ["Hi"]


async def test_stop_in_words_that_only_twilio_knows(twilio: Twilio, tmp_path: Path, valkey: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = twilio.service(twilio.numbers[SHOP], url=f"{url}/in/sms_twilio/main")
    account = at(twilio, messaging_service_sid=service.sid)
    async with (
        gate(tmp_path, valkey, accounts={account.key: account}, port=port, public_url=url) as g,
        wire(url) as way,
    ):
        ann = twilio.customer(ANN)
        await ann.says("yes", to=SHOP)
        await ann.stops()
        (_, given, _) = g.kept()
        assert isinstance(given, ConsentChanged)
        assert given.granted  # "yes" is Twilio's word alone; STOP is the router's
        with pytest.raises(SendError) as caught:
            await CONNECTOR.send(message(), account, way)
        assert (caught.value.code, caught.value.provider_code) == (SendCode.OPTED_OUT, "21610")
        await ann.starts()
        await CONNECTOR.send(message(), account, way)


def test_the_router_reads_the_words_that_are_left_to_it() -> None:
    for kind, words in KNOWN_WORDS.items():
        for word in words:
            assert consent.wish(word) == kind.lower(), word
            assert consent.wish(word.upper()) == kind.lower(), word


# ---------------------------------------------------------------------------------------------------------- files


REFS = (
    "https://api.twilio.com/m/1",
    "https://mms.twiliocdn.com/m/1",
    "https://evil.example/m/1",
    "https://api.twilio.com.evil.example/m/1",
    "https://api.twilio.com@evil.example/m",
    "ftp://x",
    "][",
)


async def test_credentials_go_to_twilio_alone(twilio: Twilio) -> None:
    seen: list[dict[str, str]] = []

    class Session:
        def get(self, url: object, *, headers: dict[str, str], **more: object) -> object:
            seen.append(headers)
            raise OSError

    account = replace(at(twilio), settings={"account_sid": twilio.account_sid})
    async with wire() as way:
        for ref in REFS:
            with pytest.raises(FetchError) as caught:
                await CONNECTOR.fetch(Media(ref=ref), account, replace(way, http=Session()))  # type: ignore[arg-type]
            assert twilio.auth_token not in str(caught.value)
    assert ["Authorization" in headers for headers in seen] == [True, False]


# ------------------------------------------------------------------------------------------------------- settings


@each(
    "settings, words",
    [
        ({"account_sid": "SK1"}, "account_sid must be"),
        ({"messaging_service_sid": "x"}, "messaging_service_sid must be"),
        ({"numbers": []}, "numbers must be a list"),
        ({"numbers": ["Bo"]}, "no phone number"),
        ({"backfill_s": 1}, "backfill_s must be seconds"),
        ({"backfill_s": True}, "backfill_s must be seconds"),
        ({"api": "http://api.twilio.com"}, "api must begin with https://"),
        ({"api": "http://127.0.0.1.evil.example/"}, "api must begin with https://"),
        ({"fallback_url": "spare"}, "fallback_url"),
        ({"mms": "no"}, "mms must be true or false"),
        ({"colour": 1}, "no setting 'colour'"),
    ],
)
def test_wrong_settings_are_complained_about(twilio: Twilio, settings: dict[str, Any], words: str) -> None:
    (complaint,) = CONNECTOR.check(at(twilio, **settings))
    assert words in complaint


def test_a_number_of_ours_is_needed(twilio: Twilio) -> None:
    assert CONNECTOR.check(at(twilio)) == []
    assert CONNECTOR.check(at(twilio, address=None, numbers=[SHOP])) == []
    (complaint,) = CONNECTOR.check(at(twilio, address=None))
    assert "which number is ours" in complaint
    (complaint,) = CONNECTOR.check(at(twilio, address="shop"))
    assert "address must be our number" in complaint
    (complaint,) = CONNECTOR.check(at(twilio, secrets={"api_key": ("SK1",)}))
    assert "belong together" in complaint


# --------------------------------------------------------------------------------------------- how it stands there


async def test_doctor_sees_whether_twilio_calls_us(twilio: Twilio, way: Wire) -> None:
    account = at(twilio, numbers=[SECOND])
    wrong = [finding.wrong for finding in await CONNECTOR.examine(account, way) if finding.wrong]
    assert sum("nowhere" in words for words in wrong) == 2
    assert sum("fallback" in words for words in wrong) == 2

    said = await CONNECTOR.hook(
        replace(account, settings={**account.settings, "fallback_url": "https://spare.example/x"}), way
    )
    assert "https://spare.example/x" in said
    hook = twilio.numbers[SECOND].hook
    assert (hook.url, hook.method) == (f"{PUBLIC}/in/sms_twilio/main#rc=3&rp=5xx,ct,rt", "POST")
    assert (hook.fallback_url, hook.fallback_method) == ("https://spare.example/x", "POST")
    await CONNECTOR.hook(account, way)  # twice is harmless, and what stands as fallback stays
    found = await CONNECTOR.examine(account, way)
    assert [finding.wrong for finding in found if finding.wrong] == []
    assert [finding.what for finding in found] == [
        "the Twilio account is active", f"the number {SHOP} leads here", f"the number {SECOND} leads here",
    ]  # fmt: skip


async def test_doctor_sees_what_else_is_wrong(twilio: Twilio, way: Wire) -> None:
    def wrongs(found: tuple[Finding, ...]) -> str:
        return " ".join(finding.wrong for finding in found)

    assert "no such number" in wrongs(await CONNECTOR.examine(at(twilio, address="+14155550199"), way))
    twilio.number(
        "+14155550102",
        sms_url=f"{PUBLIC}/in/sms_twilio/main",
        method="GET",
        sms_fallback_url="https://x.example",
    )
    assert "the hub takes POST" in wrongs(await CONNECTOR.examine(at(twilio, address="+14155550102"), way))
    twilio.number("+14155550103", sms=False)
    assert "neither send nor receive" in wrongs(
        await CONNECTOR.examine(at(twilio, address="+14155550103"), way)
    )
    twilio.trial = True
    assert "trial" in wrongs(await CONNECTOR.examine(at(twilio), way))
    with pytest.raises(SendError) as caught:
        await CONNECTOR.examine(replace(at(twilio), secrets={"auth_token": ("wrong",)}), way)
    assert caught.value.code is SendCode.CHANNEL_CONFIG


async def test_a_messaging_service_is_looked_at_and_set() -> None:
    """https://www.twilio.com/docs/messaging/api/service-resource; the local Twilio has none, a plain server answers."""
    sid = "MG" + "1" * 32
    service: dict[str, Any] = {
        "sid": sid,
        "use_inbound_webhook_on_number": False,
        "inbound_request_url": None,
    }

    def answer(seen: Seen) -> Say:
        if seen.path == f"/v1/Services/{sid}":
            if seen.method == "POST":
                form = dict(parse_qsl(seen.body.decode()))
                service.update(
                    inbound_request_url=form["InboundRequestUrl"],
                    inbound_method=form["InboundMethod"],
                    fallback_url=form["FallbackUrl"],
                    use_inbound_webhook_on_number=form["UseInboundWebhookOnNumber"] == "true",
                )
            return Say(body=json.dumps(service).encode())
        return Say(body=b'{"status": "active", "type": "Full"}')

    with Provider(check=answer) as provider:
        twilio = Twilio()
        twilio.url = provider.url
        account = at(twilio, address=None, messaging_service_sid=sid, fallback_url="https://spare.example/x")
        async with wire() as way:
            assert len([f for f in await CONNECTOR.examine(account, way) if f.wrong]) == 2
            await CONNECTOR.hook(account, way)
            assert [f.wrong for f in await CONNECTOR.examine(account, way) if f.wrong] == []
            assert service["inbound_request_url"] == f"{PUBLIC}/in/sms_twilio/main#rc=3&rp=5xx,ct,rt"
            service["use_inbound_webhook_on_number"] = True
            (wrong,) = [f.wrong for f in await CONNECTOR.examine(account, way) if f.wrong]
            assert "name them in `numbers`" in wrong


async def test_a_short_code_is_a_resource_of_its_own() -> None:
    """https://www.twilio.com/docs/messaging/api/short-code-resource; the local Twilio has none of these either."""
    code = {"sid": "SC" + "1" * 32, "short_code": "72975", "sms_url": "", "sms_method": "POST"}

    def answer(seen: Seen) -> Say:
        if "/SMS/ShortCodes.json" in seen.path:
            return Say(body=json.dumps({"short_codes": [code]}).encode())
        if seen.path.endswith(f"/SMS/ShortCodes/{code['sid']}.json") and seen.method == "POST":
            form = dict(parse_qsl(seen.body.decode()))
            code.update(sms_url=form["SmsUrl"], sms_fallback_url=form["SmsFallbackUrl"])
            return Say(body=json.dumps(code).encode())
        if seen.path.endswith("/Accounts/AC" + "0" * 32 + ".json"):
            return Say(body=b'{"status": "suspended", "type": "Full"}')
        return Say(status=404, body=b'{"code": 20404}')

    with Provider(check=answer) as provider:
        twilio = Twilio(account_sid="AC" + "0" * 32)
        twilio.url = provider.url
        account = at(twilio, address="72975", fallback_url="https://spare.example/x")
        async with wire() as way:
            await CONNECTOR.hook(account, way)
            (wrong,) = [f.wrong for f in await CONNECTOR.examine(account, way) if f.wrong]
            assert "suspended" in wrong
