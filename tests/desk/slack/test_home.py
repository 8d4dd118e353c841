"""App Home: what an agent sees, what a lead sees besides, and that it fits into Slack's hundred blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings

from desk.slack import home, names, sample_views
from desk.slack.look import AtHome
from desk.slack.sample import CONFIG, NOW, conversation
from tests.desk.slack.limits import check_view, parsed, texts
from tests.desk.slack.strangers import MARK, a_line, any_text


def words(view: Any) -> str:
    return "\n".join(texts(view["blocks"]))


def pressed(view: Any) -> list[str]:
    rows = [one for block in view["blocks"] if block["type"] == "actions" for one in block["elements"]]
    return [one["action_id"] for one in rows] + [
        b["accessory"]["action_id"] for b in view["blocks"] if "accessory" in b
    ]


def test_an_agent_sees_their_list_their_status_with_until_next_and_their_failed_sends() -> None:
    view = home.view(sample_views.EVA, CONFIG, NOW, links={7: "https://x.slack.com/archives/C1/p1"})
    check_view(view)
    told = words(view)
    assert "*Away* until <!date^" in told
    assert "3 waiting in your queues" in told
    assert "Yours (3)" in told
    assert "Ann Lee" in told
    assert "Not sent (1)" in told
    assert "Quarantine" not in told
    assert "Accounts" not in told
    assert {names.HOME_NEXT, names.HOME_STATUS, names.HOME_UNTIL, names.HOME_REFRESH, names.HOME_OPEN} == set(
        pressed(view)
    )
    links = [leaf["url"] for block in view["blocks"] if block["type"] == "rich_text"
             for part in block["elements"] for leaf in part["elements"] if leaf["type"] == "link"]  # fmt: skip
    assert links == ["https://x.slack.com/archives/C1/p1"]


def test_a_lead_sees_queues_with_waits_accounts_and_the_quarantine_besides() -> None:
    view = home.view(sample_views.CLEO, CONFIG, NOW, notice="Put in <once> more.")
    check_view(view)
    told = words(view)
    assert told.startswith(":information_source: Put in &lt;once&gt; more.")
    assert "*14 waiting* · longest 41 min · :warning: *6 late*" in told
    assert told.index("*Support*") < told.index("*Billing*"), "the late ones first"
    assert "Text messages: paused (401: the token is not valid any more)" in told
    assert (
        "Support mailbox: not read (the mail server's certificate is not trusted: certificate has expired)"
        in told
    )
    assert "<#C0BILLING>: nothing can be posted, the channel is archived." in told
    assert "2 well: " in told
    assert "Quarantine (1)" in told
    assert names.HOME_REPLAY in pressed(view)


def test_a_menu_says_the_status_that_holds() -> None:
    (row,) = [
        block
        for block in home.view(sample_views.EVA, CONFIG, NOW)["blocks"]
        if block.get("block_id") == "status"
    ]
    status, until = row["elements"][1:3]
    assert status["initial_option"]["value"] == "away"
    assert [one["value"] for one in status["options"]] == ["available", "busy", "away", "offline"]
    assert until["initial_option"]["value"] == "0"


def crowded(at_home: AtHome) -> AtHome:
    return replace(
        at_home,
        mine=at_home.mine[:1] * 500 or (conversation(),) * 500,
        failed=at_home.failed * 500,
        queues=at_home.queues * 300,
        accounts=at_home.accounts * 300,
        quarantined=at_home.quarantined * 10,
        quarantined_count=4000,
    )


def test_a_crowded_home_fits_and_says_how_much_more_there_is() -> None:
    view = home.view(crowded(sample_views.CLEO), CONFIG, NOW, notice="x", desk_url="https://desk.example.com")
    check_view(view)
    told = words(view)
    assert "Yours (500)" in told
    assert "and 488 more" in told
    assert "Quarantine (4000)" in told
    assert "<https://desk.example.com|Open the web desk>" in told


@settings(max_examples=40)
@given(any_text, a_line)
def test_any_home_is_taken_and_harmless(text: str, name: str) -> None:
    cleo = crowded(sample_views.CLEO)
    strange = replace(
        cleo,
        mine=(conversation(customer_name=name, preview=text, customer_tier=text, urn=f"x:{text[:300]}"),),
        failed=(replace(cleo.failed[0], text=text, detail=text, to_urn=f"x:{name}"),),
        accounts=(replace(sample_views.PAUSED, why=text),),
        quarantined=(replace(sample_views.HELD, reason=text),),
    )
    view = home.view(strange, CONFIG, NOW)
    check_view(view)
    assert not any(MARK in told for told in parsed(view["blocks"]))
