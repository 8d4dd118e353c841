"""Cards and what hangs below them: what they say, that Slack takes them, and that no stranger's word is parsed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from desk.slack import cards, changes, names, ops, sample, sample_views, thread
from desk.slack.blocks import Post, digest
from desk.slack.look import Because, Shown
from desk.slack.sample import CONFIG, NOW, conversation, delivery, entry, reply, shown
from tests.desk.slack.limits import check_post, parsed, texts
from tests.desk.slack.strangers import MARK, a_line, any_text
from tests.each import each

STATES = ("waiting", "offered", "open", "pending", "snoozed", "closed")


def says(post: Post) -> str:
    return "\n".join(texts(post.blocks))


def buttons(post: Post) -> list[str]:
    return [
        one["action_id"] for block in post.blocks if block["type"] == "actions" for one in block["elements"]
    ]


def more(post: Post) -> list[str]:
    menus = [one for block in post.blocks if block["type"] == "actions" for one in block["elements"]]
    return [option["value"].partition(":")[0] for one in menus for option in one.get("options", ())]


def harmless(post: Post) -> None:
    """No stranger's word stands where Slack parses; the fallback has none of Slack's brackets."""
    check_post(post)
    assert not any(MARK in text for text in parsed(post.blocks))
    assert "<" not in post.text.replace("<@U01EVA>", "")
    assert ">" not in post.text.replace("<@U01EVA>", "")


# ---------------------------------------------------------------------------------------------------- what it says


def test_the_card_says_who_where_since_when_what_and_why() -> None:
    told = says(cards.card(shown(), NOW))
    assert "Ann Lee" in told
    assert "#1042" in told
    assert "web chat · Chat on our site" in told
    assert "gold" in told
    assert "priority *urgent*" in told
    since = NOW - timedelta(minutes=3)
    stamp = int(since.timestamp())
    assert f"<!date^{stamp}^{{ago}}|20 Nov 2026, 10:30 UTC>" in told
    assert sample.SAID in told
    assert "statement-november.pdf (184 kB)" in told
    assert "When will I get my money back??" in told
    assert "we: Invoice 88213 attached." in told
    assert "Here because routing.yaml:41 (money)" in told


@each(
    "state, pressed, behind",
    [
        (
            "waiting",
            ["claim", "reply", "transfer", "snooze", "more"],
            ["why", "history", "close", "open_web"],
        ),
        (
            "offered",
            ["accept", "decline", "reply", "transfer", "more"],
            ["snooze", "why", "history", "close", "open_web"],
        ),
        (
            "open",
            ["reply", "transfer", "snooze", "close", "more"],
            ["release", "why", "history", "asked", "open_web"],
        ),
        (
            "pending",
            ["reply", "transfer", "snooze", "close", "more"],
            ["release", "why", "history", "asked", "open_web"],
        ),
        ("snoozed", ["reply", "more"], ["release", "why", "history", "close", "open_web"]),
        ("closed", ["reopen", "more"], ["why", "history", "open_web"]),
    ],
)
def test_buttons_fit_the_state(state: str, pressed: list[str], behind: list[str]) -> None:
    post = cards.card(shown(conversation(state=state, assignee="eva", offered_to="bo")), NOW)
    check_post(post)
    assert buttons(post) == pressed
    assert more(post) == behind


def test_every_button_carries_the_conversation() -> None:
    for block in cards.card(shown(), NOW).blocks:
        for one in block["elements"] if block["type"] == "actions" else ():
            values = [option["value"] for option in one["options"]] if "options" in one else [one["value"]]
            assert all(value.rpartition(":")[2] == "7" for value in values)


def test_a_claimed_card_says_who_has_it() -> None:
    assert "*Eva Marsh* has it" in says(cards.card(shown(conversation(state="open", assignee="eva")), NOW))


def test_an_offer_says_to_whom_and_until_when() -> None:
    until = NOW + timedelta(seconds=41)
    card = conversation(state="offered", offered_to="bo", offer_expires_at=until)
    told = says(cards.card(shown(card), NOW))
    assert "*Offered to Bo Lindqvist*" in told
    assert f"<!date^{int(until.timestamp())}^{{time_secs}}|" in told


@each(
    "because, words",
    [
        (Because(), "Here because no rule matched; the default is Billing"),
        (Because(rule="money"), "Here because of the rule “money”"),
        (Because(rule="a <b>", place="routing.yaml:3"), "Here because routing.yaml:3 (a &lt;b&gt;)"),
        (Because(moved_by="Bo", moved_from="Support"), "Here because Bo transferred it from Support"),
    ],
)
def test_why_here(because: Because, words: str) -> None:
    assert words in says(cards.card(shown(because=because), NOW))


def test_a_card_does_not_change_while_its_conversation_does_not() -> None:
    one = shown()
    assert digest(cards.card(one, NOW)) == digest(cards.card(one, NOW + timedelta(hours=5)))
    other = shown(conversation(state="open", assignee="eva"))
    assert digest(cards.card(one, NOW)) != digest(cards.card(other, NOW))


def test_six_hundred_characters_and_twelve_lines_stand_on_the_card() -> None:
    quoted = cards.card(shown(said=entry(1, "x" * 601)), NOW).blocks[3]
    assert quoted["elements"][0]["elements"][0]["text"] == "x" * 599 + "…"
    told = says(cards.card(shown(said=entry(1, "x" * 601)), NOW))
    assert "The rest is in the thread." in told
    assert "The rest is in the thread." not in says(cards.card(shown(said=entry(1, "x" * 600)), NOW))
    tall = cards.card(shown(said=entry(1, "\n".join("abc"[:1] for _ in range(40)))), NOW).blocks[3]
    assert tall["elements"][0]["elements"][0]["text"].count("\n") == 11


def test_a_hostile_text_stands_on_the_card_as_it_was_typed() -> None:
    typed = "<!channel> <https://evil|bank.com> *x* &lt;b&gt; :tada:"
    quoted = cards.card(shown(said=entry(1, typed)), NOW).blocks[3]
    assert quoted == {
        "type": "rich_text",
        "elements": [{"type": "rich_text_quote", "elements": [{"type": "text", "text": typed}]}],
    }


def test_the_fallback_is_escaped() -> None:
    post = cards.card(shown(said=entry(1, "<!channel> & <@U1>")), NOW)
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in post.text


def test_a_tombstone_says_where_it_went() -> None:
    gone = cards.tombstone(
        shown(because=Because(moved_by="Bo", moved_from="S", why="why <x>")), "transferred", "C0B1", NOW
    )
    assert "*Transferred* to <#C0B1>" in says(gone)
    assert "“why <x>”" in says(gone)
    assert not buttons(gone)
    assert "*Moved* to *Billing*" in says(cards.tombstone(shown(), "moved", "", NOW))
    assert "No longer here" in says(cards.tombstone(shown(), "something new", "", NOW))


# ------------------------------------------------------------------------------------------------------ the thread


@each(
    "made, told, pressed",
    [
        (reply("held", due_at=NOW + timedelta(seconds=8)), "*Goes out in a moment*", []),
        (reply("queued"), "*On its way*", []),
        (reply("sent", sent_at=NOW), "*Sent*", []),
        (reply("delivered", sent_at=NOW), "*Delivered*", []),
        (reply("read", sent_at=NOW), "*Read*", []),
        (reply("failed", code="rejected"), "*Not sent*", ["retry", "other_channel"]),
        (reply("failed", code="opted_out"), "*Not sent*", ["other_channel"]),
        (reply("opted_out", code="opted_out"), "*Not sent*", ["other_channel"]),
        (reply("unknown", code="unknown"), "*Perhaps sent*", ["counts_as_sent", "send_again", "give_up"]),
        (reply("held", code="customer_wrote", asks=True), "*Waits for your word.*", ["confirm", "undo"]),
        (reply("cancelled"), "*Undone*", []),
    ],
)
def test_a_receipt_says_what_became_of_a_reply(made: Any, told: str, pressed: list[str]) -> None:
    post = thread.receipt(made, CONFIG, NOW)
    check_post(post)
    assert told in says(post)
    assert buttons(post) == pressed
    assert "I am looking at both charges now." in says(post)
    assert "I am looking" not in says(thread.receipt(made, CONFIG, NOW, typed=True))


def test_undo_is_there_until_its_time_runs_out() -> None:
    held = reply("held", due_at=NOW + timedelta(seconds=8))
    (button,) = [one["accessory"] for one in thread.receipt(held, CONFIG, NOW).blocks if "accessory" in one]
    assert (button["action_id"], button["value"]) == (names.UNDO, "501")
    late = thread.receipt(held, CONFIG, NOW + timedelta(seconds=8))
    assert not [one for one in late.blocks if "accessory" in one]
    assert not thread.undo_open(delivery("sent"), NOW)


def test_what_the_provider_said_is_not_parsed() -> None:
    harmless(
        thread.receipt(
            reply("failed", code="rejected", detail=f"<!here> {MARK}", provider_code=MARK), CONFIG, NOW
        )
    )


def test_an_edit_is_shown_as_a_difference() -> None:
    leaves = changes.difference("pay 249 on Monday", "pay 294 on Monday please")
    styled = [(one["text"], *one.get("style", {})) for one in leaves]
    assert styled == [("pay ",), ("249", "strike"), ("294", "bold"), (" on Monday",), (" please", "bold")]
    assert (
        "".join(one["text"] for one in leaves if "strike" not in one.get("style", {}))
        == "pay 294 on Monday please"
    )


@each("before, after", [("a!" * 1500, "!b" * 1500), ("!?" * 1500, "?!" * 1500), ("a b " * 750, "b a " * 750)])
def test_a_difference_that_is_hard_to_find_takes_no_time(before: str, after: str) -> None:
    """Compared word by word, the first of these took four minutes."""
    began = time.process_time()
    leaves = changes.difference(before, after)
    assert time.process_time() - began < 1
    now = "".join(one["text"] for one in leaves if "strike" not in one.get("style", {}))
    assert now == after
    was = "".join(one["text"] for one in leaves if "bold" not in one.get("style", {}))
    assert was == before


@given(st.text(alphabet="ab! ", max_size=40), st.text(alphabet="ab! ", max_size=40))
def test_a_difference_holds_both_texts(before: str, after: str) -> None:
    leaves = changes.difference(before, after)
    if before or after:
        assert "".join(one["text"] for one in leaves if "strike" not in one.get("style", {})) == after
        assert "".join(one["text"] for one in leaves if "bold" not in one.get("style", {})) == before


def test_long_texts_are_shown_before_and_after() -> None:
    post = changes.change("edit", "Ann", "a " * 5000, "b " * 5000, NOW)
    check_post(post)
    assert "Before:" in says(post)


def test_a_deletion_shows_what_stood_there_and_a_reaction_who_did_it() -> None:
    assert "never mind" in says(changes.change("delete", "Ann", "never mind", "", NOW))
    assert "Ann reacted with 👍" in says(changes.change("reaction", "Ann", "", "👍", NOW))
    assert "Ann took a reaction back" in says(changes.change("reaction", "Ann", "", "", NOW))


def test_the_mention_stands_above_and_nowhere_else() -> None:
    post = thread.to_whom(thread.message(entry(1, "<@U01EVA> hi"), CONFIG), "U01EVA")
    check_post(post)
    assert post.text.startswith("<@U01EVA> Ann Lee: &lt;@U01EVA&gt; hi")
    assert list(parsed(post.blocks)) == ["<@U01EVA>"]


def test_questions_carry_what_they_are_about() -> None:
    ask = thread.ask_send("C1", "1.2", "hello <!channel>", "web chat")
    check_post(ask)
    assert buttons(ask) == [names.SEND_TYPED, names.KEEP_INTERNAL]
    assert {one["value"] for one in ask.blocks[-1]["elements"]} == {"C1:1.2"}
    correct = thread.ask_correction(501, "", "SMS")
    check_post(correct)
    assert buttons(correct) == [names.CORRECT, names.LET_STAND]
    assert "the customer still sees the first text" in says(correct)


def test_a_message_says_what_is_odd_about_it() -> None:
    late = replace(entry(1, "x", claimed=True, automatic=True), at=NOW - timedelta(days=1))
    told = says(thread.message(late, CONFIG))
    assert "sender not proved" in told
    assert "automatic" in told
    assert "written <!date^" in told


def test_a_form_is_a_list_of_its_fields() -> None:
    told = says(thread.message(entry(1, "", fields=(("Colour", "red"), ("Size", "<b>"))), CONFIG))
    assert "Colour: " in told
    assert "<b>" in told
    assert "No text" not in told


# ------------------------------------------------------------------------------------------------ whatever it is


def everything() -> Iterable[Post]:
    return (post for shot in sample_views.shots() for post in shot.posts)


def test_everything_in_the_sample_is_within_limits() -> None:
    for post in everything():
        check_post(post)
    ops_posts = [post for shot in sample_views.ops_shots() for post in shot.posts]
    assert len(ops_posts) == 8


files = st.lists(
    a_line.map(lambda name: replace(sample.STATEMENT, name=name)), max_size=20
).map(tuple)  # fmt: skip
fields = st.lists(st.tuples(a_line, any_text), max_size=60).map(tuple)
entries = st.builds(
    lambda text, name, subject, attached, pairs, deleted, first: entry(
        10, text, sender_name=name, subject=subject, attachments=attached, fields=pairs, deleted=deleted,
        first_text=first, urn=f"webchat:{name[:300]}",
    ),
    any_text, a_line, st.one_of(st.none(), any_text), files, fields, st.booleans(), st.one_of(st.none(), any_text),
)  # fmt: skip


def strangers_card(
    said: Any, other: Any, name: str, tier: str | None, tags: tuple[str, ...], state: str
) -> Shown:
    card = conversation(
        state=state, customer_name=name, customer_tier=tier, tags=tags, subject=name, disposition=name,
        assignee="eva", closed_at=NOW, snoozed_until=NOW,
    )  # fmt: skip
    return shown(
        card,
        name=name,
        address=name,
        said=said,
        elsewhere=(other,) * 3,
        because=Because(moved_by="B", why=name),
    )


@settings(max_examples=60)
@given(
    entries,
    entries,
    any_text,
    st.one_of(st.none(), any_text),
    st.lists(any_text, max_size=9),
    st.sampled_from(STATES),
)
def test_any_card_is_taken_and_harmless(
    said: Any, other: Any, name: str, tier: str | None, tags: list[str], state: str
) -> None:
    one = strangers_card(said, other, name, tier, tuple(tags), state)
    harmless(cards.card(one, NOW))
    harmless(cards.tombstone(one, "transferred", "C0B1", NOW))


def test_a_card_with_ten_thousand_tags_is_taken() -> None:
    many = tuple(f"{MARK}{n}" for n in range(10_000))
    harmless(cards.card(strangers_card(sample.FIRST, sample.FIRST, "Ann", None, many, "open"), NOW))


@settings(max_examples=60)
@given(entries, any_text, any_text)
def test_whatever_hangs_in_a_thread_is_taken_and_harmless(said: Any, before: str, after: str) -> None:
    harmless(thread.message(said, CONFIG, url="https://desk.example.com/conversations/1"))
    harmless(thread.note(replace(said, direction="note", by="agent:bo"), CONFIG))
    for kind in ("edit", "delete", "reaction"):
        harmless(changes.change(kind, before, before, after, NOW))
    for state in thread.ICONS:
        made = delivery(state, detail=before, provider_code=after[:80], code="rejected")
        harmless(thread.receipt(replace(said, direction="out", by="agent:bo", delivery=made), CONFIG, NOW))
    harmless(thread.ask_send("C1", "1.2", before, "web chat"))
    harmless(thread.ask_correction(1, after, "SMS"))


@settings(max_examples=30)
@given(any_text, any_text)
def test_whatever_leads_are_told_is_taken_and_harmless(one: str, other: str) -> None:
    harmless(
        ops.failed_send(
            replace(sample_views.failed_send(), text=one, detail=other, to_urn=f"x:{other[:400]}"), CONFIG
        )
    )
    harmless(ops.account_paused(replace(sample_views.PAUSED, why=one)))
    harmless(ops.quarantined(replace(sample_views.HELD, reason=one), CONFIG))


def test_a_fact_about_posting_is_escaped() -> None:
    post = ops.posting("<!channel>", "billing <!here>", "cure", 3)
    assert next(iter(parsed(post.blocks))).endswith("*billing &lt;!here&gt;*: &lt;!channel&gt;")
    assert "3 conversations are shown here" in says(post)
    assert "1 conversation is shown here" in says(ops.posting("archived", "C0BILLING", "", 1))
