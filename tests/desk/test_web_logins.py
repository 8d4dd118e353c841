"""Links, passwords and sessions, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import select

from crm_store import logins
from crm_store.db import Store
from crm_store.logins import Check
from crm_store.schema import credentials, desk_sessions, login_links
from hub.errors import Refused
from tests.each import each
from tests.store.people import at_once

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same function, cheap: 60 ms a guess is for thieves, not for tests."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(logins, "_hasher", quick)
    monkeypatch.setattr(logins, "_NOBODY", quick.hash("nobody's"))


def test_nobodys_password_costs_what_anybodys_costs_and_is_nobodys() -> None:
    """Drawn, not reckoned; as far as argon2 can tell it is a hash like another."""
    usual = PasswordHasher()
    nobodys = logins._nobodys(usual)
    assert not usual.check_needs_rehash(nobodys)
    assert len(nobodys) == len(usual.hash(PASSWORD))
    with pytest.raises(VerifyMismatchError):
        usual.verify(nobodys, PASSWORD)


def test_a_link_logs_in_once(store: Store) -> None:
    token = logins.make_link(store, "bo", NOW)
    assert logins.whose_link(store, token, NOW) == "bo"
    assert logins.whose_link(store, token, NOW) == "bo", "looking does not use it up"
    assert logins.use_link(store, token, NOW) == "bo"
    assert logins.use_link(store, token, NOW) is None
    assert logins.whose_link(store, token, NOW) is None


def test_a_link_used_by_many_at_once_has_one_winner(store: Store) -> None:
    token = logins.make_link(store, "bo", NOW)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: logins.use_link(store, token, NOW), range(8)))
    assert sorted(won, key=str) == [None] * 7 + ["bo"]


def test_a_first_password_set_by_many_at_once_is_set(store: Store) -> None:
    done = at_once(6, lambda _: logins.set_password(store, "bo", PASSWORD, NOW))
    assert done == [None] * 6
    assert logins.check_password(store, "bo", PASSWORD, NOW) is Check.RIGHT


def test_a_link_ends(store: Store) -> None:
    token = logins.make_link(store, "bo", NOW)
    later = NOW + logins.LINK_LIFE
    assert logins.whose_link(store, token, later) is None
    assert logins.use_link(store, token, later) is None
    assert logins.use_link(store, "no such token", NOW) is None


def test_no_token_and_no_password_stands_in_the_store(store: Store) -> None:
    link = logins.make_link(store, "bo", NOW)
    session, _ = logins.open_session(store, "bo", NOW)
    logins.set_password(store, "al", PASSWORD, NOW)
    with store.read() as tx:
        told = repr([tx.execute(select(t)).all() for t in (login_links, desk_sessions, credentials)])
    assert "bo" in told
    assert not any(secret in told for secret in (link, session, PASSWORD))


def test_a_password_is_right_or_wrong(store: Store) -> None:
    logins.set_password(store, "bo", PASSWORD, NOW)
    assert logins.check_password(store, "bo", PASSWORD, NOW) is Check.RIGHT
    assert logins.check_password(store, "bo", PASSWORD + "!", NOW) is Check.WRONG
    assert logins.check_password(store, "nobody", PASSWORD, NOW) is Check.WRONG


def test_five_wrong_passwords_lock_even_the_right_one_out_for_a_while(store: Store) -> None:
    logins.set_password(store, "bo", PASSWORD, NOW)
    for _ in range(logins.TRIES):
        assert logins.check_password(store, "bo", "wrong wrong wrong", NOW) is Check.WRONG
    assert logins.check_password(store, "bo", PASSWORD, NOW) is Check.LOCKED
    assert logins.check_password(store, "bo", PASSWORD, NOW + logins.LOCK - MINUTE) is Check.LOCKED
    assert logins.check_password(store, "bo", PASSWORD, NOW + logins.LOCK) is Check.RIGHT


def test_a_right_password_forgets_the_wrong_ones(store: Store) -> None:
    logins.set_password(store, "bo", PASSWORD, NOW)
    for _ in range(3):
        for _ in range(logins.TRIES - 1):
            assert logins.check_password(store, "bo", "wrong wrong wrong", NOW) is Check.WRONG
        assert logins.check_password(store, "bo", PASSWORD, NOW) is Check.RIGHT


def test_guesses_sent_at_once_are_still_five(store: Store) -> None:
    logins.set_password(store, "bo", PASSWORD, NOW)
    with ThreadPoolExecutor(4) as pool:
        said = list(
            pool.map(lambda _: logins.check_password(store, "bo", "wrong wrong wrong", NOW), range(12))
        )
    assert said.count(Check.WRONG) == logins.TRIES


@each("password", ["", "short", "x" * 201])
def test_a_password_has_a_sane_length(store: Store, password: str) -> None:
    with pytest.raises(Refused, match="12 to 200"):
        logins.set_password(store, "bo", password, NOW)


def test_a_new_password_ends_every_session(store: Store) -> None:
    token, _ = logins.open_session(store, "bo", NOW)
    other, _ = logins.open_session(store, "al", NOW)
    logins.set_password(store, "bo", PASSWORD, NOW)
    assert logins.find_session(store, token, NOW) is None
    assert logins.find_session(store, other, NOW) is not None


def test_a_session_ends_when_idle_and_at_the_latest_after_a_shift(store: Store) -> None:
    token, session = logins.open_session(store, "bo", NOW)
    at = NOW
    while at + logins.IDLE - MINUTE < NOW + logins.ABSOLUTE:
        at += logins.IDLE - MINUTE
        assert logins.find_session(store, token, at) == session
    assert logins.find_session(store, token, NOW + logins.ABSOLUTE) is None
    idle, _ = logins.open_session(store, "bo", NOW)
    assert logins.find_session(store, idle, NOW + logins.IDLE) is None


def test_a_page_that_only_listens_does_not_keep_a_session(store: Store) -> None:
    token, _ = logins.open_session(store, "bo", NOW)
    half = logins.IDLE / 2
    assert logins.find_session(store, token, NOW + half, use=False) is not None
    assert logins.find_session(store, token, NOW + 2 * half, use=False) is None


def test_a_login_takes_the_place_of_the_session_before_it(store: Store) -> None:
    old, _ = logins.open_session(store, "bo", NOW)
    new, _ = logins.open_session(store, "bo", NOW, instead_of=old)
    assert logins.find_session(store, old, NOW) is None
    assert logins.find_session(store, new, NOW) is not None
    logins.close_session(store, new)
    assert logins.find_session(store, new, NOW) is None
    one, _ = logins.open_session(store, "bo", NOW)
    logins.close_sessions(store, "bo")
    assert logins.find_session(store, one, NOW) is None
