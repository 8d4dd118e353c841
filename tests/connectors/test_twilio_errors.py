"""What each of Twilio's codes means, as docs/channels and the provider's pages say; a row a code, by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.base import Wire
from connectors.sms_twilio import CONNECTOR
from connectors.twilio.errors import CODES, after_report, failure
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from hub.errors import SendCode, SendError
from tests.connectors.twilio_world import ANN, SENDER, SHOP, at, message, wire
from tests.each import each
from tests.servers.twilio import Twilio
from tests.servers.twilio.errors import WORDS

CONFIG, REJECTED, INVALID = SendCode.CHANNEL_CONFIG, SendCode.REJECTED, SendCode.MESSAGE_INVALID
LATER, THROTTLED, STOPPED = SendCode.RESPONSE_STATUS, SendCode.THROTTLED, SendCode.OPTED_OUT

# Which codes belong to which of our kinds: CHANNEL_CONFIG concerns the account, LATER and THROTTLED are tried again.
KINDS: dict[SendCode, str] = {
    STOPPED: "21610 63014 63033",
    REJECTED: "21211 21214 21217 21219 21265 21266 21401 21408 21421 21604 21606 21608 21612 21614 21635 30004 30005 "
    "30006 30011 30014 30018 30450 63003 63015 63024 63031 63032 63035 63036 63049",
    INVALID: "20001 20422 21602 21605 21617 21618 21619 21620 21623 21654 21655 21656 30007 30010 30012 30013 30019 "
    "30038 30039 11751 12300 63005 63006 63011 63013 63021 63025 63027 63028 63030 63034 63040 63041 63042",
    SendCode.WINDOW_CLOSED: "63016",
    THROTTLED: "20429 21611 63017 63018",
    LATER: "11200 30001 30003 30008 30017 30020 30021 30036 30410 30500 63009 63010 63012 63019 63023 63029 63037",
    CONFIG: "20003 20005 20006 20008 20010 20404 21210 21212 21407 21601 21603 21607 21609 21616 21621 21622 21659 "
    "21660 21661 21701 21702 21703 21704 21705 21709 21712 21910 30002 30015 30016 30022 30023 30024 30027 30032 "
    "30033 30034 30035 30037 63001 63002 63007 63008 63020 63022 63026 63038",
    SendCode.UNKNOWN: "20500 20503",
}
ROWS = [(int(code), kind) for kind, codes in KINDS.items() for code in codes.split()]


@each("code, kind", ROWS)
def test_a_code_is_judged(code: int, kind: SendCode) -> None:
    meaning = CODES[code]
    assert meaning.code is kind
    assert meaning.retry is (kind in (LATER, THROTTLED))
    assert meaning.whole is (kind in (CONFIG, THROTTLED))
    assert meaning.words.strip()


def test_every_code_of_the_table_has_a_row() -> None:
    assert sorted(code for code, _ in ROWS) == sorted(CODES)


def test_every_code_stands_in_the_pages() -> None:
    channels = Path(__file__).parents[2] / "docs" / "channels"
    pages = (channels / "sms_twilio.md").read_text() + (channels / "whatsapp_twilio.md").read_text()
    assert [code for code in CODES if str(code) not in pages] == []


def test_what_the_local_twilio_can_say_is_known() -> None:
    assert set(WORDS) - set(CODES) - {20009} == set()  # 20009: deleting too early, which we never do


def test_only_a_number_that_is_no_more_is_dead() -> None:
    assert [code for code, meaning in CODES.items() if meaning.trouble] == [30005]


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with Twilio() as twilio:
        twilio.number(SHOP)
        twilio.sender(SENDER)
        yield twilio


@pytest.fixture
async def way() -> AsyncIterator[Wire]:
    async with wire() as way:
        yield way


SYNCHRONOUS = [
    code for code, kind in ROWS if 20000 < code < 30000 and kind is not SendCode.UNKNOWN and code in WORDS
]


@each("code", [*SYNCHRONOUS, 63007, 63017])
async def test_a_refusal_of_a_send(twilio: Twilio, way: Wire, code: int) -> None:
    twilio.fail("messages.create", status={20003: 401, 20429: 429, 63017: 429}.get(code, 400), code=code)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(), at(twilio), way)
    error = caught.value
    assert (error.code, error.retry, error.whole_account) == (
        CODES[code].code,
        CODES[code].retry,
        CODES[code].whole,
    )
    assert error.provider_code == str(code)
    assert CODES[code].words in error.detail
    assert twilio.auth_token not in f"{error!r} {error}"


async def test_patience_is_as_long_as_twilio_says(twilio: Twilio, way: Wire) -> None:
    twilio.fail("messages.create", status=429, code=20429, retry_after=7)
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(), at(twilio), way)
    assert (caught.value.code, caught.value.after_s, caught.value.retry) == (THROTTLED, 7.0, True)


async def test_a_wrong_token_stops_the_account(twilio: Twilio, way: Wire) -> None:
    twilio.auth_token = "another"
    account = at(twilio)
    twilio.auth_token = "changed-since"
    with pytest.raises(SendError) as caught:
        await CONNECTOR.send(message(), account, way)
    assert (caught.value.code, caught.value.whole_account) == (CONFIG, True)
    assert "another" not in f"{caught.value!r}"


async def test_a_sender_that_is_none_is_told_from_a_person_that_is_none(twilio: Twilio, way: Wire) -> None:
    account = at(twilio, "whatsapp_twilio/main", "+14155550998")
    with pytest.raises(SendError) as caught:
        await WHATSAPP.send(message(key="whatsapp_twilio/main"), account, way)
    assert (caught.value.code, caught.value.provider_code) == (CONFIG, "63007")


@each(
    "status, body, code, retry",
    [
        (400, b"", LATER, False),
        (400, b"<html>", LATER, False),
        (400, b'{"code": null}', LATER, False),
        (400, b'{"code": "21610"}', STOPPED, False),
        (400, b'{"code": 99999, "message": "new"}', LATER, False),
        (400, b"[" * 100_000, LATER, False),
        (401, b"", CONFIG, False),
        (403, b"", CONFIG, False),
        (404, b"", CONFIG, False),
        (429, b"", THROTTLED, True),
        (302, b"", CONFIG, False),
        (500, b'{"code": 21610}', SendCode.UNKNOWN, False),
        (503, b'{"code": 20503}', SendCode.UNKNOWN, False),
    ],
)
def test_an_answer_without_a_code_of_theirs(status: int, body: bytes, code: SendCode, retry: bool) -> None:
    error = failure(status, body, 3.0)
    assert (error.code, error.retry, error.after_s) == (code, retry, 3.0 if retry else None)


async def test_a_message_that_fails_as_it_is_taken(twilio: Twilio, way: Wire) -> None:
    from connectors.twilio.sending import _id

    with pytest.raises(SendError) as caught:
        _id({"sid": "SM1", "status": "failed", "error_code": 30007})
    assert caught.value.code is INVALID
    assert ANN not in str(caught.value)


@each(
    "code, again, again_s, rest_s",
    [
        (30003, 3, 600.0, 0.0),
        (30008, 1, 60.0, 0.0),
        (63018, 1, 60.0, 60.0),
        (30034, 0, 60.0, 300.0),
        (30007, 0, 60.0, 0.0),
        (30005, 0, 60.0, 0.0),
        (63016, 0, 60.0, 0.0),
        (99999, 0, 60.0, 0.0),
        (0, 0, 60.0, 0.0),
    ],
)
def test_what_a_report_means_for_what_comes_next(
    code: int, again: int, again_s: float, rest_s: float
) -> None:
    assert after_report(code) == (again, again_s, rest_s)


def test_a_block_in_whatsapp_is_of_that_channel_alone() -> None:
    assert {code for code, meaning in CODES.items() if meaning.here_alone} == {63014, 63033}
