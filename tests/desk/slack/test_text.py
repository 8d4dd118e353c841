"""Text into Slack and out of it. What goes in is Slack's documented markup; what comes out is what the person meant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from desk.slack import text
from desk.slack.text import to_plain
from tests.each import each


def rich(*elements: Any) -> dict[str, Any]:
    return {"text": "not looked at", "blocks": [{"type": "rich_text", "elements": list(elements)}]}


def section(*leaves: Any) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(leaves)}


def leaf(value: str, **style: bool) -> dict[str, Any]:
    return {"type": "text", "text": value, **({"style": style} if style else {})}


def test_only_slacks_three_characters_are_escaped() -> None:
    assert text.escape('<!channel> & "it" *x*') == '&lt;!channel&gt; &amp; "it" *x*'


def test_a_moment_is_written_for_every_zone_with_a_fallback() -> None:
    at = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    assert text.when(at) == "<!date^1795170600^{date_short_pretty} at {time}|20 Nov 2026, 10:30 UTC>"
    assert text.ago(at) == "<!date^1795170600^{ago}|20 Nov 2026, 10:30 UTC>"


def test_an_override_is_shown_as_what_it_is_and_half_a_pair_does_not_break_anything() -> None:
    assert text.shown("invoice\u202efdp.exe") == "invoice⟦RLO⟧fdp.exe"
    assert text.shown("a\ud800b") == "a?b"
    assert text.shown("a\x00b\x07") == "a\ufffdb\ufffd"


@each(
    "given_, reads",
    [
        ("hello &lt;b&gt; &amp; more", "hello <b> & more"),
        ("&amp;lt; stays", "&lt; stays"),
        ("*bold* and _it_ and ~gone~", "bold and it and gone"),
        ("2 * 3 * 4, snake_case_name, a~b~c", "2 * 3 * 4, snake_case_name, a~b~c"),
        ("`a *b* c` and ```\n_x_\n```", "a *b* c and _x_"),
        ("<https://example.com/a?b=1&amp;c=2>", "https://example.com/a?b=1&c=2"),
        ("<https://example.com|our page>", "our page (https://example.com)"),
        ("<https://example.com|example.com>", "example.com"),
        ("<mailto:ann@example.com|ann@example.com>", "ann@example.com"),
        ("<tel:+15551234567|+1 555 123 4567>", "+1 555 123 4567 (+15551234567)"),
        (":tada: done :no_such_emoji_at_all:", "🎉 done :no_such_emoji_at_all:"),
        (":wave::skin-tone-4:", "👋🏽"),
        ("at 10:30:45", "at 10:30:45"),
        ("<!date^1795170600^{date}|20 Nov>", "20 Nov"),
        ("`<https://example.com>`", "https://example.com"),
        ("&gt; quoted", "> quoted"),
        ("5 &lt; 6 &gt; 4", "5 < 6 > 4"),
    ],
)
def test_old_markup_becomes_what_a_customer_reads(given_: str, reads: str) -> None:
    plain = to_plain({"text": given_})
    assert plain.text == reads
    assert not plain.mentions


@each(
    "given_, reads, users",
    [
        ("ask <@U123> please", "ask @Bo please", ("U123",)),
        ("ask <@U9|eva> please", "ask @eva please", ("U9",)),
        ("<!here> look", "@here look", ()),
        ("<!channel>", "@channel", ()),
        ("see <#C1|billing>", "see #billing", ()),
        ("<!subteam^S1|@leads>", "@leads", ()),
    ],
)
def test_whoever_speaks_to_colleagues_is_noticed(given_: str, reads: str, users: tuple[str, ...]) -> None:
    plain = to_plain({"text": given_}, {"U123": "Bo"})
    assert (plain.text, plain.mentions, plain.users) == (reads, True, users)


def test_rich_text_is_read_rather_than_the_text() -> None:
    message = rich(
        section(leaf("Dear "), leaf("Ann", bold=True), leaf(" <!channel> *x*\n")),
        {
            "type": "rich_text_list",
            "style": "bullet",
            "indent": 0,
            "elements": [section(leaf("one")), section(leaf("two"))],
        },
        {
            "type": "rich_text_list",
            "style": "ordered",
            "indent": 1,
            "offset": 2,
            "elements": [section(leaf("three"))],
        },
        {"type": "rich_text_quote", "elements": [leaf("you said\nthis")]},
        {"type": "rich_text_preformatted", "elements": [leaf("a  b")]},
        section(
            {"type": "link", "url": "https://example.com", "text": "here"},
            {"type": "emoji", "name": "x", "unicode": "1f389"},
        ),
    )
    assert to_plain(message).text == (
        "Dear Ann <!channel> *x*\n• one\n• two\n  3. three\n> you said\n> this\na  b\nhere (https://example.com)🎉"
    )


@each(
    "leaf_",
    [
        {"type": "user", "user_id": "U1"},
        {"type": "usergroup", "usergroup_id": "S1"},
        {"type": "channel", "channel_id": "C1"},
        {"type": "broadcast", "range": "here"},
        {"type": "team", "team_id": "T1"},
    ],
)
def test_mentions_in_rich_text(leaf_: dict[str, Any]) -> None:
    assert to_plain(rich(section(leaf("hi "), leaf_))).mentions
    assert to_plain(rich({"type": "rich_text_list", "elements": [section(leaf_)]})).mentions


@each("start", ["🔒 internal", ":lock: internal", "  🔒internal", ":closed_lock_with_key: x"])
def test_a_lock_in_front_is_noticed(start: str) -> None:
    assert to_plain({"text": start}).locked
    assert not to_plain({"text": f"see {start}"}).locked


def test_a_lock_typed_as_an_emoji_is_noticed_too() -> None:
    lock = {"type": "emoji", "name": "lock", "unicode": "1f512"}
    assert to_plain(rich(section(lock, leaf(" he is rude")))).locked


@given(st.text(max_size=300))
def test_reading_never_fails_and_escaping_comes_back(typed: str) -> None:
    to_plain({"text": typed})
    assert text.unescape(text.escape(typed)) == typed


@given(st.text(alphabet="abc <>&;*_~`:|@#!\n^", max_size=200))
def test_what_slack_escaped_is_read_back_without_a_mention(typed: str) -> None:
    assert not to_plain({"text": text.escape(typed)}).mentions


KEYS = st.sampled_from(["type", "elements", "text", "style", "indent", "unicode", "url"])
KINDS = st.sampled_from(["rich_text_list", "rich_text_section", "text", "emoji", "user"])
NONSENSE = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=5),
        st.fixed_dictionaries({"type": KINDS, "elements": inner}),
    ),
    max_leaves=20,
)


@given(NONSENSE)
def test_nonsense_for_blocks_breaks_nothing(blocks: Any) -> None:
    to_plain({"text": "x", "blocks": [{"type": "rich_text", "elements": blocks}]})


def test_half_a_megabyte_is_read_in_a_moment() -> None:
    for typed in (
        "a" * 500_000,
        "*" * 500_000,
        "<" * 500_000,
        "`_~*" * 125_000,
        "<@U1>" * 100_000,
        ":a" * 250_000,
    ):
        to_plain({"text": typed})
