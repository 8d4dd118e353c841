"""Applying, following and rolling back configurations, on both databases."""

import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import insert, select

from crm_store import configs
from crm_store.db import Store
from crm_store.schema import conversation_events, conversations
from hub import clock, configfiles
from hub.errors import ConfigError, Fault, NotFound, Refused, Unavailable
from router.rules import compile_rules

CHANNELS = "brands:\n  main:\naccounts:\n  console/main:\n"
QUEUES = "queues:\n  general:\n  billing:\n"
ROUTING = "default:\n  queue: general\n"
FILES = {"channels.yaml": CHANNELS, "queues.yaml": QUEUES, "routing.yaml": ROUTING}


def with_rule(name: str) -> dict[str, str]:
    return {**FILES, "routing.yaml": f"rules:\n  - name: {name}\n    then: {{queue: billing}}\n{ROUTING}"}


def converse(
    store: Store, number: int, queue: str, state: str = "waiting", assignee: str | None = None
) -> int:
    now, new_id = clock.system(), store.ids()
    with store.begin() as tx:
        tx.execute(
            insert(conversations).values(
                id=new_id,
                number=number,
                brand_id="main",
                customer_id=1,
                account="console/main",
                identity_id=1,
                state=state,
                slot=None if state == "closed" else f"c:{number}",
                home=f"c:{number}",
                queue=queue,
                priority="normal",
                head_start_s=0.0,
                assignee=assignee,
                opened_at=now,
                last_at=now,
            )
        )
    return new_id


def test_applied_once_however_often(store: Store) -> None:
    assert configs.current(store) is None
    assert configs.generation(store) == 0
    first = configs.apply(store, FILES, "agent:cleo", compile_rules)
    assert (first.generation, first.changed, first.moved) == (1, True, 0)
    again = configs.apply(store, FILES, "agent:bo", compile_rules)
    assert (again.generation, again.changed, again.hash) == (1, False, first.hash)
    now = configs.current(store)
    assert now is not None
    assert (now.by, now.hash, now.files, now.generation) == ("agent:cleo", first.hash, FILES, 1)
    assert len(configs.history(store)) == 1


def test_a_bad_folder_changes_nothing_and_says_all(store: Store) -> None:
    configs.apply(store, FILES, "system")
    bad = {
        **FILES,
        "routing.yaml": "rules:\n  - name: x\n    when: {chanel: console}\n    then: {queue: biling}\n"
        + ROUTING,
    }
    with pytest.raises(ConfigError) as caught:
        configs.apply(store, bad, "agent:bo", compile_rules)
    assert [str(fault) for fault in caught.value.faults] == [
        'config/routing.yaml:3: rule "x": no condition "chanel"; did you mean "channel"?',
        'config/routing.yaml:4: no queue "biling"; did you mean "billing"?',
    ]
    assert configs.generation(store) == 1
    assert len(configs.history(store)) == 1


def test_rollback_is_a_new_generation(store: Store) -> None:
    first = configs.apply(store, FILES, "agent:bo")
    second = configs.apply(store, with_rule("one"), "agent:bo")
    back = configs.rollback(store, "previous", "agent:cleo")
    assert (back.hash, back.generation, back.changed) == (first.hash, 3, True)
    forth = configs.rollback(store, second.hash[:10], "agent:cleo")
    assert (forth.hash, forth.generation) == (second.hash, 4)
    versions = configs.history(store)
    assert [v.hash for v in versions] == [second.hash, first.hash, second.hash, first.hash]
    assert [v.generation for v in versions] == [4, 0, 0, 0]
    assert versions[0].summary == "changed: routing.yaml"
    with pytest.raises(NotFound, match="zzzz"):
        configs.rollback(store, "zzzz", "agent:cleo")
    with pytest.raises(Refused, match="give more"):
        configs.find(store, "") if first.hash[0] == second.hash[0] else _ambiguous(store)


def _ambiguous(store: Store) -> None:
    """With enough versions, two hashes begin alike."""
    for number in range(17):
        configs.apply(store, with_rule(f"rule {number}"), "system")
    hashes = {v.hash for v in configs.history(store, 50)}
    letter = next(h[0] for h in hashes if sum(other[0] == h[0] for other in hashes) > 1)
    configs.find(store, letter)


def test_a_queue_with_conversations_goes_only_with_moved_to(store: Store) -> None:
    configs.apply(store, FILES, "system")
    waiting, closed = converse(store, 1, "billing"), converse(store, 2, "billing", "closed")
    gone = {**FILES, "queues.yaml": "queues:\n  general:\n"}
    with pytest.raises(ConfigError) as caught:
        configs.apply(store, gone, "system")
    assert caught.value.faults == (
        Fault(
            "config/queues.yaml",
            1,
            'queue "billing" still has 1 conversation: keep it with moved_to: and the queue that takes over',
        ),
    )
    kept = {**FILES, "queues.yaml": QUEUES.replace("billing:", "billing: {moved_to: general}")}
    assert configs.apply(store, kept, "agent:cleo").moved == 1
    with store.read() as tx:
        rows = {row.id: row.queue for row in tx.execute(select(conversations.c.id, conversations.c.queue))}
        said = tx.execute(select(conversation_events)).all()
    assert rows == {waiting: "general", closed: "billing"}
    assert [(e.conversation_id, e.what, e.by) for e in said] == [(waiting, "transferred", "agent:cleo")]
    late = converse(store, 3, "billing")  # by a router that had not yet heard
    assert configs.settle_again(store, clock.system()) == 1
    assert configs.settle_again(store, clock.system()) == 0
    with store.read() as tx:
        assert (
            tx.execute(select(conversations.c.queue).where(conversations.c.id == late)).scalar() == "general"
        )
    assert configs.apply(store, gone, "system").changed  # now it may go


def test_conversations_of_a_removed_agent_go_back(store: Store) -> None:
    agents = "agents:\n  bo:\n  ann:\n"
    configs.apply(store, {**FILES, "agents.yaml": agents}, "system")
    hers, his = converse(store, 1, "general", "open", "ann"), converse(store, 2, "general", "open", "bo")
    applied = configs.apply(store, {**FILES, "agents.yaml": "agents:\n  bo:\n"}, "agent:cleo")
    assert applied.moved == 1
    with store.read() as tx:
        rows = {
            row.id: (row.state, row.assignee)
            for row in tx.execute(select(conversations.c.id, conversations.c.state, conversations.c.assignee))
        }
    assert rows == {hers: ("waiting", None), his: ("open", "bo")}


def test_settling_reads_nothing_of_what_was_closed(sqlite_url: str) -> None:
    """The sweeper does it four times a minute, and SQLite's writers wait for it."""
    store = Store.open(sqlite_url)
    said: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda _c, _cu, text, *_: said.append(text))
    files = {**FILES, "queues.yaml": QUEUES.replace("billing:", "billing: {moved_to: general}")}
    configs.apply(store, {**files, "agents.yaml": "agents:\n  bo:\n"}, "system")
    said.clear()
    configs.settle_again(store, clock.system())
    looks = [text for text in said if text.startswith("SELECT conversations.")]
    assert len(looks) == 2
    with store.read() as tx:
        for text in looks:
            plan = [row.detail for row in tx.execute(sa.text(f"EXPLAIN QUERY PLAN {text.replace('?', '1')}"))]
            assert not any(step.startswith("SCAN") for step in plan), plan
    store.close()


def test_two_who_apply_at_once_take_turns(store: Store) -> None:
    results: list[configs.Applied] = []
    threads = [
        threading.Thread(
            target=lambda n=n: results.append(configs.apply(store, with_rule(f"r{n}"), "system"))
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.generation for result in results) == [1, 2, 3, 4]
    assert configs.generation(store) == 4


def test_a_follower_follows_and_keeps_the_old_when_it_cannot(store: Store) -> None:
    with pytest.raises(NotFound):
        configs.Follower(store, compile_rules, every_s=None)
    configs.apply(store, with_rule("one"), "system")
    follower = configs.Follower(store, compile_rules, every_s=None)
    assert [rule.rule.name for rule in follower.get().rules] == ["one"]
    assert not follower.poll()
    configs.apply(store, with_rule("two"), "system")
    assert follower.poll()
    assert [rule.rule.name for rule in follower.get().rules] == ["two"]
    # Applied by a version of the code that knows more conditions than this one.
    newer = with_rule("three")
    newer["routing.yaml"] = newer["routing.yaml"].replace("    then", "    when: {mood: bad}\n    then")
    configs.apply(store, newer, "system")
    assert not follower.poll()
    assert [rule.rule.name for rule in follower.get().rules] == ["two"]


def test_a_follower_survives_the_database_being_away(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    configs.apply(store, with_rule("one"), "system")
    follower = configs.Follower(store, lambda config: config.rules[0].name, every_s=None)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    store.close()
    hidden = path.rename(tmp_path / "away.db")
    path.mkdir()
    assert not follower.poll()
    assert follower.get() == "one"
    path.rmdir()
    hidden.rename(path)
    configs.apply(store, with_rule("two"), "system")
    assert follower.poll()
    assert follower.get() == "two"
    store.close()


def test_a_follower_hears_of_a_change_within_a_second(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    configs.apply(store, with_rule("one"), "system")
    follower = configs.Follower(store, lambda config: config.rules[0].name, every_s=0.02)
    configs.apply(store, with_rule("two"), "system")
    deadline = time.monotonic() + 1
    while follower.get() != "two" and time.monotonic() < deadline:
        time.sleep(0.005)
    assert follower.get() == "two"
    follower.close()
    store.close()


def test_the_hash_is_of_names_and_texts_alone() -> None:
    assert configfiles.digest(FILES) == configfiles.digest(dict(reversed(FILES.items())))
    assert configfiles.digest({"a": "bc", "d": ""}) != configfiles.digest({"a": "b", "d": "c"})


def test_a_process_starts_on_what_was_last_in_force_while_the_database_is_away(
    store: Store, tmp_path: Path
) -> None:
    kept = tmp_path / "config-in-force.json"
    configs.apply(store, with_rule("before the outage"), "bo")
    configs.Follower(store, lambda config: config, every_s=None, remember=kept).close()
    away = Store.open("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        configs.Follower(away, lambda config: config, every_s=None)
    follower = configs.Follower(away, lambda config: config.rules[0].name, every_s=None, remember=kept)
    assert follower.get() == "before the outage"
    assert not follower.poll()
    away.close()


def test_a_conversation_that_is_closed_at_that_moment_does_not_stop_a_configuration(store: Store) -> None:
    configs.apply(store, FILES, "agent:bo")
    left = converse(store, 7, "general", "open", "gone")
    ended: list[object] = []

    def apply() -> None:
        try:
            ended.append(configs.apply(store, with_rule("vip"), "agent:bo").changed)
        except Exception as error:
            ended.append(error)

    applying = threading.Thread(target=apply)
    with store.begin() as tx:
        tx.execute(conversations.update().where(conversations.c.id == left).values(state="closed"))
        applying.start()
        applying.join(0.3)  # it looks before that is committed
    applying.join()
    assert ended == [True]
