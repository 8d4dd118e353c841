"""Every error of Meta's that we know means one thing; what is in no table goes by its flag and its status."""

import json

import msgspec

from connectors.graph import errors
from hub.errors import SendCode
from tests.each import each
from tests.servers.graph import CODES, GraphError

CONFIG, INVALID, REJECTED = SendCode.CHANNEL_CONFIG, SendCode.MESSAGE_INVALID, SendCode.REJECTED
THROTTLED, STATUS = SendCode.THROTTLED, SendCode.RESPONSE_STATUS
STOPPED, CLOSED, UNKNOWN = SendCode.OPTED_OUT, SendCode.WINDOW_CLOSED, SendCode.UNKNOWN

# code (or "code/subcode"), what it is for us, again later?, does the whole account rest?
ROWS: list[tuple[str, SendCode, bool, bool]] = [
    # who we are, and what we may
    ("0", CONFIG, False, True), ("3", CONFIG, False, True), ("10", CONFIG, False, True),
    ("33", CONFIG, False, True), ("102", CONFIG, False, True), ("104", CONFIG, False, True),
    ("190", CONFIG, False, True), ("190/460", CONFIG, False, True), ("190/463", CONFIG, False, True),
    ("200", CONFIG, False, True), ("210", CONFIG, False, True), ("230", CONFIG, False, True),
    ("299", CONFIG, False, True), ("368", CONFIG, False, True), ("467", CONFIG, False, True),
    ("803", CONFIG, False, True), ("2500", CONFIG, False, True),
    # too much, too fast
    ("4", THROTTLED, True, True), ("9", THROTTLED, True, True), ("17", THROTTLED, True, True),
    ("32", THROTTLED, True, True), ("341", THROTTLED, True, True), ("613", THROTTLED, True, True),
    ("80006", THROTTLED, True, True), ("80007", THROTTLED, True, True), ("130429", THROTTLED, True, True),
    ("131048", THROTTLED, True, True), ("131056", THROTTLED, True, False),
    ("133016", THROTTLED, True, True), ("4/2018022", THROTTLED, True, True),
    ("4/2018354", THROTTLED, True, False), ("613/1893016", THROTTLED, True, False),
    # Meta's own trouble
    ("-1", STATUS, True, False), ("1", STATUS, True, False), ("2", STATUS, True, False),
    ("1200", STATUS, True, False), ("131000", STATUS, True, False), ("131016", STATUS, True, False),
    ("131057", STATUS, True, True), ("133004", STATUS, True, False), ("135000", STATUS, True, False),
    ("1/1357046", UNKNOWN, False, False), ("1/99", CONFIG, False, True), ("2/2018344", CONFIG, False, True),
    # who it is for
    ("551", STOPPED, False, False), ("551/1545041", STOPPED, False, False),
    ("10/2018108", STOPPED, False, False),
    ("200/1545041", STOPPED, False, False), ("10900", REJECTED, False, False),
    ("10903", REJECTED, False, False),
    ("130403", REJECTED, False, False), ("130472", REJECTED, False, False),
    ("130497", REJECTED, False, False),
    ("131021", REJECTED, False, False), ("131026", REJECTED, False, False),
    ("131030", REJECTED, False, False),
    ("131049", REJECTED, False, False), ("131050", REJECTED, False, False),
    ("131062", REJECTED, False, False),
    ("131063", REJECTED, False, False), ("9/2018352", REJECTED, False, False),
    ("100/2018001", REJECTED, False, False), ("100/2018164", REJECTED, False, False),
    ("100/2534014", REJECTED, False, False), ("100/2534037", REJECTED, False, False),
    # the window
    ("470", CLOSED, False, False), ("131047", CLOSED, False, False), ("10/2018065", CLOSED, False, False),
    ("10/2018278", CLOSED, False, False), ("10/2534022", CLOSED, False, False),
    # what it says
    ("6", INVALID, False, False), ("100", INVALID, False, False), ("105", INVALID, False, False),
    ("505", INVALID, False, False), ("506", INVALID, False, False), ("2022", INVALID, False, False),
    ("131001", INVALID, False, False), ("131008", INVALID, False, False), ("131009", INVALID, False, False),
    ("131051", INVALID, False, False), ("131052", INVALID, False, False), ("131053", INVALID, False, False),
    ("131055", INVALID, False, False), ("131060", INVALID, False, False), ("132000", INVALID, False, False),
    ("132001", INVALID, False, False), ("132005", INVALID, False, False), ("132007", INVALID, False, False),
    ("132012", INVALID, False, False), ("132015", INVALID, False, False), ("132016", INVALID, False, False),
    ("132018", INVALID, False, False), ("132068", INVALID, False, False), ("132069", INVALID, False, False),
    ("134100", INVALID, False, False), ("134101", INVALID, False, False), ("134102", INVALID, False, False),
    ("100/2018047", INVALID, False, False), ("100/2018109", INVALID, False, False),
    # our account and number
    ("131005", CONFIG, False, True), ("131006", CONFIG, False, True), ("131031", CONFIG, False, True),
    ("131037", CONFIG, False, True), ("131042", CONFIG, False, True), ("131045", CONFIG, False, True),
    ("133000", CONFIG, False, True), ("133005", CONFIG, False, True),
    ("133006", CONFIG, False, True), ("133008", CONFIG, False, True), ("133009", CONFIG, False, True),
    ("133010", CONFIG, False, True), ("133015", CONFIG, False, True), ("134011", CONFIG, False, True),
    ("100/33", CONFIG, False, True), ("200/2018021", CONFIG, False, True),
    ("200/2018028", CONFIG, False, True),
    ("200/2534041", CONFIG, False, True),
]  # fmt: skip


def answer(code: int, subcode: int | None = None, **more: object) -> bytes:
    error = {"message": f"(#{code}) Words", "type": "OAuthException", "code": code, **more}
    return json.dumps({"error": {**error, **({"error_subcode": subcode} if subcode else {})}}).encode()


@each("name, code, retry, whole", ROWS)
def test_every_error_of_metas(name: str, code: SendCode, retry: bool, whole: bool) -> None:
    number, _, subcode = name.partition("/")
    for status in (400, 500):  # the code decides, whatever the status
        said = errors.failure(status, answer(int(number), int(subcode or 0)), None)
        assert (said.code, said.retry, said.whole_account, said.provider_code) == (code, retry, whole, name)
        assert said.detail.startswith(f"{name}: ")
        assert (said.after_s is not None) == (code is THROTTLED)


def test_the_table_has_a_row_for_each_error() -> None:
    told = {name for name, *_ in ROWS}
    assert {str(code) for code in errors.CODES} <= told
    assert {f"{code}/{subcode}" for code, subcode in errors.SUBCODES} <= told


@each("code", sorted(CODES))
def test_what_the_local_graph_answers_is_known(code: int) -> None:
    for platform in ("whatsapp", "page", "instagram"):
        said = errors.failure(400, json.dumps(GraphError(code).body(platform)).encode(), None)
        assert said.detail.startswith(f"{code}: ")
        assert errors.meaning(code) is not None


def test_patience_is_what_the_answer_asks_for() -> None:
    assert errors.failure(400, answer(131056), None).after_s == 6.0
    assert errors.failure(400, answer(131056), 42.0).after_s == 42.0
    assert errors.failure(400, answer(131026), 42.0).after_s is None


@each(
    "status, body, code, retry, whole",
    [
        (500, b"<html>Sorry, something went wrong.</html>", UNKNOWN, False, False),
        (502, b"", UNKNOWN, False, False),
        (503, answer(999_999), UNKNOWN, False, False),
        (503, answer(999_999, is_transient=True), STATUS, True, False),
        (400, answer(999_999), STATUS, False, False),
        (400, b'{"error":"no object"}', STATUS, False, False),
        (401, b"{}", CONFIG, False, True),
        (403, b"[]", CONFIG, False, True),
        (429, b"", THROTTLED, True, True),
        (302, b"", CONFIG, False, True),
        (400, b"[" * 5000, STATUS, False, False),
        (400, b'{"error":{"code":"131047"}}', CLOSED, False, False),
    ],
)
def test_what_is_in_no_table(status: int, body: bytes, code: SendCode, retry: bool, whole: bool) -> None:
    said = errors.failure(status, body, None)
    assert (said.code, said.retry, said.whole_account) == (code, retry, whole)


def test_the_words_are_those_that_say_most() -> None:
    data = {"messaging_product": "whatsapp", "details": "Param text['body'] is required."}
    assert "Param text['body']" in errors.failure(400, answer(131008, error_data=data), None).detail
    assert "(for people)" in errors.failure(400, answer(100, error_user_msg="for people"), None).detail
    assert "((#100) Words)" in errors.failure(400, answer(100, error_data="blob"), None).detail


@each(
    "code, again, again_s, rest_s",
    [
        (131000, 1, 60.0, 0.0),
        (131016, 1, 60.0, 0.0),
        (131053, 1, 60.0, 0.0),  # a file that they could not fetch
        (131056, 1, 60.0, 0.0),
        (130429, 1, 60.0, 5.0),
        (131048, 1, 3600.0, 3600.0),
        (131057, 1, 60.0, 60.0),
        (131042, 0, 60.0, 300.0),
        (131026, 0, 60.0, 0.0),
        (131047, 0, 60.0, 0.0),
        (131049, 0, 60.0, 0.0),  # not on the same day
        (999999, 0, 60.0, 0.0),
    ],
)
def test_what_a_report_means_for_what_comes_next(
    code: int, again: int, again_s: float, rest_s: float
) -> None:
    assert errors.after_report(code) == (again, again_s, rest_s)


@each("more", [{"is_transient": None}, {"error_user_msg": None}, {"error_subcode": "33"}])
def test_nulls_and_numbers_as_text_hide_no_code(more: dict[str, object]) -> None:
    body = msgspec.json.encode({"error": {"code": "131009", "message": "(#131009) Wrong", **more}})
    assert errors.failure(400, body, None).code is INVALID
