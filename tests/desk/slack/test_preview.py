"""The page to judge cards by: everything is on it, and what Slack would not parse is not parsed there either."""

from __future__ import annotations

import re

from desk.slack import preview, sample_views
from desk.slack.sample import NOW


def test_everything_is_on_the_page_in_both_colours() -> None:
    for dark in (False, True):
        page = preview.whole(dark=dark)
        for shot in sample_views.shots():
            assert f'id="{shot.key}"' in page
        assert f'class="{"dark" if dark else "light"}"' in page
    assert preview.whole() == preview.whole()


def test_no_two_shots_have_one_name() -> None:
    keys = [shot.key for shot in sample_views.shots()]
    assert len(keys) == len(set(keys))


def test_the_page_loads_nothing_from_anywhere_and_runs_nothing() -> None:
    page = preview.whole()
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|img|link|iframe)\b", page)


def test_strangers_words_are_escaped_on_the_page() -> None:
    page = preview.whole()
    assert "&lt;!channel&gt; &lt;!here&gt; &lt;@U0123ABCD&gt;" in page
    assert 'href="https://evil.example' not in page


def test_mrkdwn_is_read_as_slack_reads_it() -> None:
    html = preview.mrkdwn("*a* _b_ ~c~ `*d*` &lt;e&gt; <https://x.test|f> <@U01EVA> :lock: 10:30", NOW)
    assert html == (
        '<b>a</b> <em>b</em> <s>c</s> <code>*d*</code> &lt;e&gt; <a href="https://x.test">f</a> '
        '<span class="mention">@Eva Marsh</span> <span class="emoji">🔒</span> 10:30'
    )
    assert preview.mrkdwn("<!channel>", NOW) == '<span class="mention">!channel</span>'
    stamp = int(NOW.timestamp()) - 180
    assert preview.mrkdwn(f"<!date^{stamp}^{{ago}}|x>", NOW) == "3 min ago"
