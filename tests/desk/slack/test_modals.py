"""Modals: what they ask, that what was typed stays, and that Slack takes them whatever is in them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_store.views import Hits
from desk.slack import modals, names, sample, sample_views
from desk.slack.sample import CONFIG, HERE, LIMITS, NOW, conversation, entry, shown
from hub.config import Agent, CannedReply, Queue
from hub.errors import Refused
from router.choose import Address, Choice, choose
from tests.desk.slack.limits import check_view, parsed, texts
from tests.desk.slack.strangers import MARK, a_line, any_text
from tests.each import each

CHOICE = sample_views.choice()
CHAT = next(one for one in CHOICE.options if one.account == "webchat/main")
SMS = next(one for one in CHOICE.options if one.account == "sms_twilio/uk")


def block(view: Any, action: str) -> Any:
    return next(one for one in view["blocks"] if (one.get("element") or {}).get("action_id") == action)


def has(view: Any, action: str) -> bool:
    return any((one.get("element") or {}).get("action_id") == action for one in view["blocks"])


def words(view: Any) -> str:
    return "\n".join(texts(view["blocks"]))


def told(view: Any, **typed: Any) -> dict[str, Any]:
    """The view as Slack tells of it, with every input's value: of a menu, an option's."""
    state: dict[str, dict[str, Any]] = {}
    for one in view["blocks"]:
        element = one.get("element")
        if not element:
            continue
        action = element["action_id"]
        initial = element.get("initial_option") or {}
        value = typed.get(action, element.get("initial_value") or initial.get("value"))
        if element["type"].endswith("_select"):
            said: dict[str, Any] = {"selected_option": {"value": value} if value else None}
        elif element["type"] == "datetimepicker":
            said = {"selected_date_time": value}
        elif element["type"] == "file_input":
            said = {"files": value or []}
        else:
            said = {"value": value}
        state.setdefault(one["block_id"], {})[action] = {"type": element["type"], **said}
    answered = json.loads(json.dumps(view))
    return {**answered, "id": "V1", "hash": "1.2", "team_id": "T1", "state": {"values": state}}


# -------------------------------------------------------------------------------------------------------- the reply


def test_the_channel_is_preset_with_its_reason_and_the_others_say_what_blocks_them() -> None:
    view = modals.reply(shown(), CHOICE, LIMITS, meta="7")
    check_view(view)
    menu = block(view, names.CHANNEL)
    assert menu["element"]["initial_option"]["value"] == "webchat/main|webchat:v7f3a1"
    assert menu["hint"]["text"] == (
        "Suggested: Chat on our site: they are here now, and they wrote from here in this conversation."
    )
    assert "Not Support mailbox (ann@example.com): their mailbox is full" in words(view)
    assert view["private_metadata"] == "7"
    assert view["callback_id"] == names.REPLY_VIEW


def test_a_way_is_found_again_by_its_value_however_long_it_is() -> None:
    long = Address(account="webchat/main", urn="webchat:" + "v" * 390, title="Chat")
    choice = choose((long,), NOW)
    (option,) = block(modals.reply(shown(), choice, LIMITS), names.CHANNEL)["element"]["options"]
    assert len(option["value"]) <= 150
    assert modals.chosen(choice, option["value"]) == choice.options[0]
    assert modals.chosen(CHOICE, modals.way(SMS)) == SMS
    assert modals.chosen(CHOICE, "gone|x:1") is None
    assert modals.chosen(CHOICE, None) is None


def test_where_there_is_no_way_there_is_nothing_to_send_by() -> None:
    view = modals.reply(shown(), choose((), NOW), LIMITS)
    check_without_submit = {**view, "submit": {"type": "plain_text", "text": "x"}}
    check_view(check_without_submit)
    assert "submit" not in view
    assert "No address of this customer is known." in words(view)


@each(
    "text, account, says",
    [
        ("", "sms_twilio/uk", "*1 SMS* · 0 of 160 characters"),
        ("a" * 160, "sms_twilio/uk", "*1 SMS* · 160 of 160 characters"),
        ("a" * 161, "sms_twilio/uk", "*2 SMS* · 161 of 306 characters"),
        ("ş" * 70, "sms_twilio/uk", "*1 SMS* · 70 of 70 characters · “ş” is not in the SMS alphabet"),
        ("a–b", "sms_twilio/uk", "“–” is not in the SMS alphabet"),
        ("hello", "webchat/main", "5 of 3,000 characters"),
        ("a" * 1601, "sms_twilio/uk", ":warning: *1,601 characters*; this channel takes 1,600."),
    ],
)
def test_how_long_a_reply_is(text: str, account: str, says: str) -> None:
    assert modals.count_for(text, account, LIMITS).startswith(says) or says in modals.count_for(
        text, account, LIMITS
    )


def test_the_count_follows_what_is_typed_and_the_channel() -> None:
    view = modals.reply(shown(), CHOICE, LIMITS, meta="7")
    assert modals.changed(told(view), LIMITS) is None
    typed = modals.changed(told(view, text="hello"), LIMITS)
    assert typed is not None
    check_view(typed)
    assert "5 of 3,000 characters" in words(typed)
    by_sms = modals.changed(told(view, text="hello", channel=modals.way(SMS)), LIMITS)
    assert by_sms is not None
    assert "*1 SMS* · 5 of 160 characters" in words(by_sms)
    assert set(typed) == {"type", "callback_id", "title", "submit", "close", "private_metadata", "blocks"}
    assert [one.get("block_id") for one in typed["blocks"]] == [one.get("block_id") for one in view["blocks"]]


def test_how_it_ended_is_asked_while_the_reply_closes() -> None:
    view = modals.reply(shown(), CHOICE, LIMITS)
    assert not has(view, names.DISPOSITION)
    closing = modals.changed(told(view, then="close"), LIMITS)
    assert closing is not None
    check_view(closing)
    assert has(closing, names.DISPOSITION)
    assert modals.changed(told(closing, then="close"), LIMITS) is None
    open_again = modals.changed(told(closing, then="leave"), LIMITS)
    assert open_again is not None
    assert not has(open_again, names.DISPOSITION)
    assert has(modals.reply(shown(), CHOICE, LIMITS, then="close"), names.DISPOSITION)


def test_a_ready_made_text_is_put_into_a_box_that_slack_has_not_seen() -> None:
    view = told(modals.reply(shown(), CHOICE, LIMITS, meta="7"), text="Dear", canned="hello")
    once = modals.with_text(view, "Dear Ann, hello", LIMITS)
    check_view(once)
    assert block(once, names.TEXT)["block_id"] == "text.1"
    assert block(once, names.TEXT)["element"]["initial_value"] == "Dear Ann, hello"
    assert block(once, names.CANNED)["block_id"] == "canned.1"
    assert "15 of 3,000 characters" in words(once)
    twice = modals.with_text(told(once), "again", LIMITS)
    assert block(twice, names.TEXT)["block_id"] == "text.2"
    assert modals.values(told(twice))[names.TEXT] == "again"
    assert modals.block_of(told(twice), names.TEXT) == "text.2"
    assert twice["private_metadata"] == "7"


def test_values_are_read_by_what_they_are() -> None:
    view = modals.snooze(shown())
    assert modals.values(told(view, until_at=1795174200)) == {names.UNTIL: "60", modals.UNTIL_AT: 1795174200}
    assert modals.values({"state": {"values": {"b": {"a": {"selected_options": [{"value": "x"}]}}}}}) == {
        "a": ["x"]
    }
    assert modals.values({}) == {}


def test_a_refusal_stands_above_the_text_that_was_typed() -> None:
    view = modals.reply(
        shown(), CHOICE, LIMITS, text="kept", notice="The customer <b> wrote.", channel=modals.way(SMS)
    )
    assert next(iter(texts(view["blocks"]))) == ":warning: The customer &lt;b&gt; wrote."
    assert block(view, names.TEXT)["element"]["initial_value"] == "kept"
    assert block(view, names.CHANNEL)["element"]["initial_option"]["value"] == modals.way(SMS)


def test_a_draft_too_long_for_slack_says_so() -> None:
    view = modals.reply(shown(), CHOICE, LIMITS, text="x" * 3001)
    check_view(view)
    assert "the whole text is in the web desk" in words(view)


# ------------------------------------------------------------------------------------------- what is searched for


def test_ready_made_replies_are_found_by_title_and_text_those_of_the_queue_alone() -> None:
    replies = {
        "hello": CannedReply(
            key="hello", title="Hello, looking into it", text="Thank you for writing. No refund yet."
        ),
        "refund": CannedReply(
            key="refund", title="Refund is on its way", text="Banks take days.", queues=("billing",)
        ),
    }
    config = replace(CONFIG, replies=replies)
    found = [one["value"] for one in modals.canned_options(config, "billing", "REFUND")]
    assert found == ["refund", "hello"]
    assert [one["value"] for one in modals.canned_options(config, "sales", "")] == ["hello"]
    assert modals.canned_options(config, "billing", "nothing like it") == []


def test_agents_who_are_here_come_first() -> None:
    options = modals.agent_options(CONFIG, "", HERE, "cleo")
    assert [(one["value"], one.get("description", {}).get("text")) for one in options] == [
        ("bo", "Available"),
        ("eva", "Away"),
    ]


def test_of_more_than_a_hundred_choices_the_menu_is_searched() -> None:
    queues = {f"q{n}": Queue(key=f"q{n}", title=f"Queue {n}") for n in range(3000)}
    agents = {f"a{n}": Agent(key=f"a{n}", name=f"Agent {n}") for n in range(3000)}
    config = replace(CONFIG, queues={**CONFIG.queues, **queues}, agents=agents)
    view = modals.transfer(shown(), config)
    check_view(view)
    queue = block(view, names.QUEUE)["element"]
    assert queue["type"] == "external_select"
    assert queue["initial_option"]["value"] == "billing"
    assert block(view, names.AGENT)["element"]["type"] == "external_select"
    assert [one["value"] for one in modals.queue_options(config, "queue 2999")] == ["q2999"]
    assert len(modals.agent_options(config, "agent")) == 100


# ------------------------------------------------------------------------------------------ the smaller modals


def test_snoozing_until_a_time_of_ones_own_goes_first() -> None:
    later = NOW + timedelta(hours=5)
    assert modals.snoozed_until({names.UNTIL: "30"}, NOW) == NOW + timedelta(minutes=30)
    both = {names.UNTIL: "30", modals.UNTIL_AT: int(later.timestamp())}
    assert modals.snoozed_until(both, NOW) == later
    with pytest.raises(Refused, match="past"):
        modals.snoozed_until({modals.UNTIL_AT: 5}, NOW)
    with pytest.raises(Refused, match="how long"):
        modals.snoozed_until({names.UNTIL: "31"}, NOW)
    assert modals.snoozed_until({modals.UNTIL_AT: 1 << 62}, NOW) == datetime.fromtimestamp(1 << 33, UTC)


def test_tags_are_read_once_each() -> None:
    assert modals.tags_of({names.TAGS: " refund,  follow up ,,refund"}) == ["refund", "follow up"]
    assert modals.tags_of({}) == []


def test_transfer_keeps_what_was_typed() -> None:
    view = modals.transfer(
        shown(), CONFIG, reason="needs Eva", notice="There is no agent.", me="bo", here=HERE
    )
    check_view(view)
    assert block(view, names.REASON)["element"]["initial_value"] == "needs Eva"
    assert block(view, names.QUEUE)["element"]["initial_option"]["value"] == "billing"


def test_a_new_conversation_is_not_begun_in_a_chat() -> None:
    view = modals.new(
        CONFIG, LIMITS, queues=("billing",), says={"to": "+44", "text": "hi", "queue": "billing"}
    )
    check_view(view)
    accounts = [one["value"] for one in block(view, names.CHANNEL)["element"]["options"]]
    assert accounts == ["sms_twilio/uk", "mail/support", "whatsapp/main"]
    assert block(view, modals.TO)["element"]["initial_value"] == "+44"
    assert block(view, names.TEXT)["element"]["initial_value"] == "hi"
    only = modals.new(CONFIG, LIMITS, queues=("billing",), templates=("whatsapp/main",))
    check_view(only)
    accounts = [one["value"] for one in block(only, names.CHANNEL)["element"]["options"]]
    assert accounts == ["sms_twilio/uk", "mail/support", "whatsapp/main||t"]
    assert block(only, names.CANNED)
    lead = modals.new(CONFIG, LIMITS, queues=("billing", "general"))
    assert block(lead, names.QUEUE)["element"]["initial_option"]["value"] == "billing", "their own first"
    none = modals.new(CONFIG, LIMITS, queues=())
    assert "submit" not in none
    check_view(none)


def test_why_tells_the_path_the_facts_and_the_near_misses() -> None:
    view = next(one.view for one in sample_views.modal_shots() if one.key == "modal-why")
    assert view is not None
    said = words(view)
    for part in (
        "routing.yaml:41",
        'saw "refund" (line 43)',
        "Nearly: one condition was missing",
        "routing.yaml:5",
    ):
        assert part in said
    assert "No rule has seen it." in words(modals.why(shown(), CONFIG, None, None, True))


def test_history_keeps_to_slacks_hundred_blocks() -> None:
    view = sample_views.history()
    many = tuple(entry(n, f"line {n}", number=n, attachments=(sample.STATEMENT,)) for n in range(1, 400))
    long = replace(view, history=replace(view.history, entries=many))
    drawn = modals.history(shown(), long, CONFIG, desk_url="https://desk.example.com")
    check_view(drawn)
    assert "line 399" in words(drawn)
    assert "<https://desk.example.com/conversations/1042|Earlier: in the web desk>" in words(drawn)


def test_found_says_when_nothing_was() -> None:
    view = modals.found("x <!here>", Hits(conversations=(), customers=()), CONFIG)
    check_view(view)
    assert "Nothing was found." in words(view)
    many = modals.found("x", Hits(conversations=(conversation(),) * 100, customers=()), CONFIG)
    assert len(many["blocks"]) <= 100


def test_the_samples_are_within_limits() -> None:
    for shot in sample_views.modal_shots():
        assert shot.view is not None
        check_view(shot.view)


# ------------------------------------------------------------------------------------------------ whatever it is


@settings(max_examples=50)
@given(any_text, any_text, a_line, st.lists(any_text, max_size=5))
def test_any_modal_is_taken_and_harmless(said: str, typed: str, name: str, tags: list[str]) -> None:
    typed = typed.replace("\ud800", "")  # Slack sends none
    card = conversation(customer_name=name, tags=tuple(tags))
    one = shown(card, name=name, said=entry(10, said, sender_name=name))
    choice: Choice = choose(
        [
            Address(account="webchat/main", urn=f"webchat:{name[:300]}{n}", title=f"T{n}", opted_out=n > 150)
            for n in range(160)
        ],
        NOW,
    )
    reply = modals.reply(one, choice, LIMITS, text=typed, notice=typed[:500])
    view = sample_views.history()
    entries = (one.said,) if one.said else ()
    views = [
        reply,
        modals.with_text(told(reply), typed, LIMITS),
        modals.transfer(one, CONFIG, reason=typed),
        modals.snooze(one),
        modals.close(one, disposition=typed, tags=typed),
        modals.correct(one, said, typed),
        modals.history(one, replace(view, history=replace(view.history, entries=entries * 40)), CONFIG),
        modals.found(said, Hits(conversations=(card,), customers=()), CONFIG),
        modals.new(CONFIG, LIMITS, queues=("billing",), says={"to": typed, "text": typed, "name": typed}),
    ]
    for drawn in views:
        check_view(drawn)
    for drawn in views[2:]:
        assert not any(MARK in text for text in parsed(drawn["blocks"]))
