"""Ann can be reached in several ways; which one, and why, as her agent would put it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from router.choose import Address, choose
from tests.each import each

Changes = dict[str, Any]
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

MAIL = Address(
    account="mail/support", urn="mailto:ann@example.com", title="Mail", last_used_at=NOW - 50 * HOUR
)
SMS = Address(account="sms/main", urn="tel:+12125550100", title="SMS", last_used_at=NOW - 2 * HOUR)
CHAT = Address(
    account="webchat/main", urn="webchat:v1", title="Chat", last_used_at=NOW - HOUR, in_conversation=True
)


def winner(*addresses: Address) -> str | None:
    chosen = choose(addresses, NOW).winner
    return chosen.title if chosen else None


@each(
    "mail, sms, chat, expected",
    [
        ({}, {}, {}, "Chat"),  # where she wrote from
        ({}, {}, {"in_conversation": False}, "Chat"),  # where she wrote from last
        ({"preferred": True}, {}, {}, "Chat"),  # this conversation says more than the record
        ({"preferred": True}, {}, {"in_conversation": False}, "Mail"),
        ({}, {"live": True}, {}, "SMS"),
        ({"asked_for": True}, {}, {"live": True}, "Mail"),  # what she asked for says most
        ({}, {}, {"opted_out": True}, "SMS"),
        ({}, {"paused": True}, {"trouble": "dead"}, "Mail"),
        ({"enabled": False}, {"quiet_until": NOW + HOUR}, {"account": None}, None),
        ({}, {"quiet_until": NOW - HOUR}, {"trouble": "blocked"}, "SMS"),  # the night is over
        ({}, {"has_window": True, "window_until": NOW + HOUR}, {"paused": True}, "SMS"),
        ({}, {"has_window": True, "window_until": NOW - HOUR}, {"paused": True}, "Mail"),
        ({}, {"has_window": True}, {"paused": True}, "Mail"),  # she never wrote there
        (
            {"needs_verified": True, "verified": True},
            {"needs_verified": True},
            {"needs_verified": True},
            "Mail",
        ),
    ],
)
def test_who_wins(
    mail: dict[str, object], sms: dict[str, object], chat: dict[str, object], expected: str | None
) -> None:
    addresses = [replace(MAIL, **mail), replace(SMS, **sms), replace(CHAT, **chat)]
    assert winner(*addresses) == winner(*reversed(addresses)) == expected


def test_reasons_in_words() -> None:
    chosen = choose([MAIL, replace(SMS, preferred=True, opted_out=True, trouble="full"), CHAT], NOW)
    assert chosen.reasons == (
        "Chat: they wrote from here in this conversation, and they used it last.",
        "Not SMS (+1 212-555-0100): they asked us not to write here, their mailbox is full.",
    )
    assert [option.title for option in chosen.options] == ["Chat", "Mail", "SMS"]
    assert [option.usable for option in chosen.options] == [True, True, False]


def test_no_way_at_all() -> None:
    assert choose([], NOW).reasons == ("No address of this customer is known.",)
    chosen = choose([replace(MAIL, account=None), replace(CHAT, quiet_until=NOW + HOUR)], NOW)
    assert chosen.winner is None
    assert chosen.reasons == (
        "There is no way to reach this customer at the moment.",
        "Not Chat (v1): quiet hours until 13:00 UTC.",
        "Not Mail (ann@example.com): no account of ours reaches this address.",
    )


def test_the_only_way_needs_no_praise() -> None:
    lone = Address(account="mail/support", urn="mailto:ann@example.com", title="Mail")
    assert choose([lone], NOW).reasons == ("Mail: it is the only way that is open.",)
