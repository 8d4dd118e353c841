"""A mail in Slack: its subject and its words; what it quotes is a link; who proves nothing is shown to do so."""

from __future__ import annotations

import json
from typing import Any

from desk.slack import cards, sample, thread
from desk.slack.sample import CONFIG, NOW, entry
from tests.each import each

URL = "https://desk.example.com/conversations/1042"
DMARC = "spf=pass dkim=pass dmarc=pass"


def mail(**more: Any) -> Any:
    values = {
        "account": "mail/support",
        "urn": "mailto:ann@example.org",
        "subject": "The kettle",
        "proof": DMARC,
    }
    return entry(31, "It leaks <!here>.", **(values | more))


def test_subject_and_words_are_shown_and_what_is_quoted_is_a_link() -> None:
    post = thread.message(mail(quoted="> We are sorry <!channel>."), CONFIG, url=URL)
    said = json.dumps(post.blocks)
    assert "The kettle" in said
    assert "It leaks <!here>." in said, "in plain elements, where Slack reads nothing into it"
    assert "We are sorry" not in said
    assert f"<{URL}#m31|what it quotes>" in said
    assert "not proved" not in said
    assert "what it quotes is in the web desk" in json.dumps(
        thread.message(mail(quoted="> x"), CONFIG).blocks
    )


def test_the_others_who_have_it() -> None:
    post = thread.message(mail(participants=("mailto:carl@example.org", "mailto:<!here>@x.example")), CONFIG)
    said = json.dumps(post.blocks)
    assert "also to carl@example.org, &lt;!here&gt;@x.example" in said


@each(
    "proof, known",
    [
        (DMARC, True),
        ("token=pass", True),
        ("token=pass not checked: mx.example.com says nothing of this mail", True),
        ("", False),
        ("spf=pass dkim=pass", False),
        ("spf=fail dmarc=fail", False),
        (f"{DMARC}, of another domain than the sender's", False),
        ("not checked: mx.example.com says nothing of this mail", False),
        ("not checked: dmarc=pass", False),
    ],
)
def test_who_proves_nothing(proof: str, known: bool) -> None:
    for post in (
        thread.message(mail(proof=proof), CONFIG),
        thread.message(mail(proof=proof), CONFIG, text=False),
        cards.card(sample.shown(said=mail(proof=proof)), NOW),
    ):
        assert ("sender not proved" in json.dumps(post.blocks)) is not known


def test_other_channels_prove_in_their_own_ways() -> None:
    assert "not proved" not in json.dumps(thread.message(entry(1, "hi"), CONFIG).blocks)
