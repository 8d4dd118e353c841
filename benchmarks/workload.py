"""The traffic of the router's benchmarks: a configuration with 100 rules, and messages of so many customers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hub.codec import encode
from hub.config import Config
from hub.configfiles import load
from hub.model import Entry, MessageReceived
from router.rules import RuleSet, compile_rules

_WORDS = """
    invoice refund delivery parcel broken password login address contract price offer cancel upgrade battery screen
    engine hotel flight ticket luggage
"""
_FILLER = """
    hello there I hope that you can help me with this because I have been waiting for some days now and nobody came
    back to me about the thing we spoke of last week please let me know what happens next thank you and best regards
"""
WORDS, FILLER = _WORDS.split(), _FILLER.split()
CHARS = 200  # of a message, about; --chars of the benchmarks
PRODUCER = "bench"
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
EVERY = timedelta(milliseconds=20)  # 50 messages a second, on the messages' own clock


def config() -> Config:
    """100 rules over five queues: words, patterns, channels, the customer's record; a tenth only adjusts."""
    rules = ["rules:"]
    for number in range(100):
        word = WORDS[number % len(WORDS)]
        if number % 10 == 9:
            when, then = f"{{text: [{word}{number}]}}", "{priority: high, tags: [hot]}\n    continue: true"
        elif number % 10 == 4:
            when = f"{{text: {{matches: '\\b{word}-[0-9]{{{2 + number % 5}}}\\b'}}}}"
            then = f"{{queue: q{number % 5}}}"
        else:
            channel = "webchat" if number % 2 else "webhook"
            when = f"{{channel: {channel}, text: [{word}, {word}{number}], customer: {{stage: {_stage(number)}}}}}"
            then = f"{{queue: q{number % 5}}}"
        rules.append(f"  - name: rule {number}\n    when: {when}\n    then: {then}")
    return load(
        {
            "channels.yaml": "brands:\n  main: {name: Main}\naccounts:\n"
            "  webchat/main: {title: Chat}\n  webhook/main: {title: Forms}\n",
            "queues.yaml": "priorities: {high: 10m, normal: 0s}\nqueues:\n"
            + "".join(f"  q{number}: {{title: Queue {number}}}\n" for number in range(5)),
            "routing.yaml": "\n".join(rules) + "\ndefault: {queue: q0}\n",
        }
    )


def _stage(number: int) -> str:
    return "lead" if number % 3 else "customer"


def rules() -> RuleSet:
    return compile_rules(config())


def messages(
    count: int, customers: int, *, chars: int = CHARS, seed: int = 1, name: str = "v"
) -> list[Entry]:
    """`count` messages in a random order of `customers` people, about `chars` long, as the journal has them."""
    length = chars * 2 // 11  # words of the filler

    pick = random.Random(seed)
    people = [number % customers for number in range(count)]
    pick.shuffle(people)
    said = dict.fromkeys(range(customers), 0)
    entries = []
    for seq, person in enumerate(people, 1):
        said[person] += 1
        account = "webchat/main" if person % 2 else "webhook/main"
        words = pick.choices(FILLER, k=length)
        words[pick.randrange(length)] = pick.choice(WORDS)
        at = START + seq * EVERY
        event = MessageReceived(
            account=account,
            event_key=f"{name}{person}-{said[person]}",
            received_at=at,
            sent_at=at - timedelta(milliseconds=300),
            sender=f"webchat:{name}{person:08d}" if person % 2 else f"mailto:{name}{person}@example.com",
            sender_name=f"Customer {person}",
            external_id=f"{name}{person}-{said[person]}",
            text=f"{said[person]} {' '.join(words)}",
            verified=True,
        )
        entries.append(
            Entry(producer=PRODUCER, seq=seq, accepted_at=at, event=event, cursor=None, raw=encode(event))
        )
    return entries
