"""F25 and F26: Slack is down, limited, archived or revoked, and our process is killed; everything stands there once.

The real process against the local Slack, which counts what was posted by the uuid in each post.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from crm_store import schema
from desk.slack import names
from hub import failpoints
from tests.faults.installation import Installation, until
from tests.servers.slack import Person, Slack

POSTS = [name for name in failpoints.ALL if name.startswith("post.")]
INBOX = [
    "slack.after_inbox",
    "slack.after_note",
    "slack.after_typed",
    "slack.after_send",
    "slack.before_done",
]
QUEUES = """
priorities: {normal: 0s}
slack: {ops: "#hub-ops"}
queues: {general: {title: General, slack: "#desk"}}
"""
PARTS = ("web", "router", "worker", "clock")


class Office:
    """An installation, its Slack, and Bo and Cleo in it."""

    def __init__(
        self, hub: Installation, slack: Slack, bo: Person, cleo: Person, places: dict[str, str]
    ) -> None:
        self.hub, self.slack, self.bo, self.cleo = hub, slack, bo, cleo
        self.desk, self.ops = places["desk"], places["hub-ops"]

    def cards(self, place: str) -> dict[str, dict[str, Any]]:
        """The first word of what each card quotes -> the card. No two quote the same."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.slack.do(lambda: list(self.slack.messages(place))):
            said = next((text for text in _texts(one.get("blocks")) if text.startswith("m-")), "")
            if said and self.living(one):
                assert said not in found, f"two cards of {said}"
                found[said] = one
        return found

    @staticmethod
    def living(card: dict[str, Any]) -> bool:
        return "actions" in [block["type"] for block in card.get("blocks", ())]

    def below(self, card: dict[str, Any]) -> list[str]:
        """What people wrote that hangs below a card."""
        thread = self.slack.do(lambda: list(self.slack.messages(self.desk, thread=str(card["ts"]))))
        said = [text for one in thread for text in _texts(one.get("blocks"))]
        return [text for text in said if text.startswith(("m-", "re-")) and "@" not in text]

    async def comes(self, condition: Any, within_s: float = 60.0) -> None:
        async def holds() -> bool:
            return bool(condition())

        await until(holds, within_s, lambda: f"not there: {sorted(self.cards(self.desk))}")

    def nothing_twice(self) -> None:
        """Every post has a uuid of its own: none of them stands anywhere twice."""
        every = [one for place in self.slack.channels.values() for one in place.messages.values()]
        uuids = Counter(
            one["metadata"]["event_payload"]["uuid"]
            for one in every
            if one.get("metadata", {}).get("event_payload")
        )
        assert not [uuid for uuid, times in uuids.items() if times > 1]

    async def writes(self, *tokens: str) -> None:
        """Somebody new for each token."""
        people = [{"email": f"{token}@example.com", "name": f"P {token}"} for token in tokens]
        await self.hub.say(
            *({"id": token, "from": who, "text": token} for token, who in zip(tokens, people, strict=True))
        )

    async def again(self, first: str, *tokens: str) -> None:
        """Whoever wrote `first` writes more."""
        who = {"email": f"{first}@example.com"}
        await self.hub.say(*({"id": token, "from": who, "text": token} for token in tokens))

    def claims(self, card: dict[str, Any]) -> None:
        self.slack.run(self.bo.clicks(self.desk, str(card["ts"]), names.CLAIM))

    def types(self, card: dict[str, Any], text: str) -> str:
        return self.slack.run(self.bo.types(self.desk, text, thread=str(card["ts"])))

    def notes(self) -> list[str]:
        n = schema.interactions.c
        with self.hub.store.read() as tx:
            return list(tx.scalars(select(n.text).where(n.direction == "note").order_by(n.id)))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with Slack.running() as slack:
        bo, cleo = slack.user("Bo"), slack.user("Cleo")
        places = {name: slack.channel(name, members=(bo, cleo)) for name in ("desk", "hub-ops")}
        agents = (
            f"agents:\n  bo: {{name: Bo, queues: all, limit: 1000, slack: {bo.id}}}\n"
            f"  cleo: {{name: Cleo, role: lead, queues: all, slack: {cleo.id}}}\n"
        )
        hub = Installation(tmp_path, config={"queues.yaml": QUEUES, "agents.yaml": agents})
        hub.settings = {
            "MAINSTEM_SLACK_BOT_TOKEN": slack.bot_token,
            "MAINSTEM_SLACK_APP_TOKEN": slack.app_token,
            "MAINSTEM_SLACK_API": slack.api,
            "MAINSTEM_UNDO_S": "0",
        }
        with hub:  # where a test fails, what the process said stands in slack.log
            yield Office(hub, slack, bo, cleo, places)


def _texts(node: Any) -> list[str]:
    if isinstance(node, list):
        return [text for one in node for text in _texts(one)]
    if not isinstance(node, dict):
        return []
    own = [node["text"]] if isinstance(node.get("text"), str) else []
    return own + [text for one in node.values() for text in _texts(one)]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_f25_slack_down_limited_archived_and_revoked_while_customers_write(office: Office) -> None:
    hub, slack = office.hub, office.slack
    hub.start(*PARTS, "slack")
    await hub.ready()
    await office.writes("m-1", "m-2")
    await office.comes(lambda: len(office.cards(office.desk)) == 2)

    slack.do(lambda: slack.fail("*", 503, times=-1))
    await office.writes("m-3", "m-4")
    for number in range(10):
        await office.again("m-1", f"m-1-{number}")
    said = hub.answer()  # in the web desk
    await hub.sent()
    assert len(said) == 4, "agents answer from the web desk meanwhile"
    await office.comes(lambda: "posting waits" in hub.log("slack"))
    slack.do(slack.mend)
    slack.do(lambda: slack.fail("chat.postMessage", "ratelimited", times=3, retry_after=2))
    slack.do(lambda: slack.fail("chat.postMessage", "lost", times=2))
    slack.do(lambda: slack.fail("chat.update", "ratelimited", times=2, retry_after=1))
    await office.comes(lambda: len(office.cards(office.desk)) == 4, 120)
    card = office.cards(office.desk)["m-1"]
    replies = [f"m-1-{number}" for number in range(10)]
    await office.comes(lambda: len(office.below(card)) >= 11, 120)
    below = office.below(card)
    assert [text for text in below if text.startswith("m-")] == replies, "each once, in order"
    assert sum(text.startswith("re-") for text in below) == 1, "and the answer"

    slack.do(slack.revoke)
    await office.writes("m-5")
    await office.again("m-2", "m-2-0")
    await office.comes(lambda: "slack refuses the app" in hub.log("slack"))
    slack.do(slack.mend)
    await office.comes(lambda: "m-5" in office.cards(office.desk), 90)
    await office.comes(lambda: "m-2-0" in office.below(office.cards(office.desk)["m-2"]), 60)

    slack.do(lambda: slack.archive(office.desk))
    await office.writes("m-6", "m-7")
    await office.comes(lambda: {"m-6", "m-7"} <= set(office.cards(office.ops)), 60)
    office.nothing_twice()
    assert hub.running["slack"].poll() is None


@pytest.mark.slow
async def test_f25_killed_while_it_posts_every_card_stands_once(office: Office) -> None:
    """A post that was begun is left alone for a minute by whoever comes next, and looked for before it is posted."""
    hub = office.hub
    hub.start(*PARTS)
    await hub.ready()
    for number, place in enumerate(POSTS):
        hub.start("slack", MAINSTEM_FAIL=place)
        await office.writes(f"m-{number}-a", f"m-{number}-b")
        assert hub.died("slack") == 137
    hub.start("slack", "slack:2")
    tokens = {f"m-{number}-{one}" for number in range(len(POSTS)) for one in "ab"}
    await office.comes(lambda: tokens <= set(office.cards(office.desk)), 100)
    for token in sorted(tokens):
        await office.again(token, f"{token}-again")
    await office.comes(lambda: all(office.below(card) for card in office.cards(office.desk).values()), 60)
    for token, card in office.cards(office.desk).items():
        assert office.below(card) == [f"{token}-again"]
    office.nothing_twice()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_f26_killed_while_it_takes_in_and_acts_nothing_typed_is_lost_or_sent_twice(
    office: Office,
) -> None:
    """Killed at every place on the way from Slack's event to the reply; what it had in hand is free after its lease."""
    hub, slack = office.hub, office.slack
    hub.start(*PARTS, "slack")
    await hub.ready()
    tokens = [f"m-{number}" for number in range(len(INBOX))]
    await office.writes(*tokens)
    await office.comes(lambda: set(tokens) == set(office.cards(office.desk)), 60)
    cards = office.cards(office.desk)
    for token in tokens:
        office.claims(cards[token])
    hub.kill("slack")
    for token, place in zip(tokens, INBOX, strict=True):
        hub.start("slack", MAINSTEM_FAIL=place)
        slack.run(slack.connected())
        ts = office.types(cards[token], f"re-{token}")
        try:
            slack.run(office.bo.reacts(office.desk, ts, names.SEND_REACTION))
        finally:
            assert hub.died("slack") == 137, place
    hub.start("slack", "slack:2")
    slack.run(slack.connected(2))
    await office.comes(lambda: set(hub.company.got) == {f"re-{token}" for token in tokens}, 240)
    await hub.sent()
    assert set(hub.company.got.values()) == {1}
    assert sorted(office.notes()) == sorted(f"re-{token}" for token in tokens), "each typed text is kept once"

    def ticked() -> int:
        told = slack.channels[office.desk].messages
        return sum(names.SENT_MARK in slack.reactions(office.desk, ts) for ts in list(told))

    await office.comes(lambda: ticked() == len(tokens), 90)  # a tick follows its reply, or its lease


@pytest.mark.slow
async def test_f26_a_slow_answer_a_second_press_and_two_agents_at_once_are_one_reply(office: Office) -> None:
    """Our process sleeps over Slack's three seconds: the press is repeated by people, the event by Slack."""
    hub, slack = office.hub, office.slack
    hub.start(*PARTS, "slack", "slack:2")
    await hub.ready()
    await office.writes("m-1")
    await office.comes(lambda: office.cards(office.desk))
    card = office.cards(office.desk)["m-1"]
    office.claims(card)
    slack.run(slack.connected(2))
    hub.freeze("slack")
    ts = office.types(card, "re-typed")  # by whichever socket; where that sleeps, once more by the other
    hub.thaw("slack")
    for person in (office.bo, office.cleo):
        slack.run(person.reacts(office.desk, ts, names.SEND_REACTION))
    slack.run(office.bo.shortcut(names.SHORTCUT_SEND, office.desk, ts))
    await office.comes(lambda: hub.company.got["re-typed"], 30)
    await hub.sent()
    assert hub.company.got == Counter({"re-typed": 1})
    assert office.notes() == ["re-typed"]
