"""Accounts with their secrets: a bad one is put aside alone."""

from dataclasses import replace
from typing import Any

import pytest

from connectors import CONNECTORS, accounts, signing
from hub.config import Account, Brand, Config, Outcome
from hub.errors import ConfigError
from hub.settings import Settings
from mainstem import doctor
from mainstem.prepare import check_accounts
from tests.connectors.samples import account

KEY = b"0123456789abcdef0123456789abcdef"


def config(*made: Account) -> Config:
    return Config(
        hash="x",
        brands={"main": Brand(key="main", name="Main")},
        accounts={a.key: a for a in made},
        queues={},
        agents={},
        calendars={},
        replies={},
        priorities={},
        rules=(),
        default=Outcome(queue="general"),
    )


def named(key: str, **names: tuple[str, ...]) -> Account:
    return replace(account(key, {}), secret_names=dict(names))


def resolve(*made: Account, **environ: str) -> tuple[dict[str, Account], dict[str, str]]:
    return accounts.resolve(config(*made), environ, KEY)


def test_our_own_protocols_derive_their_secrets() -> None:
    good, troubles = resolve(account("webhook/a", {}), account("webhook/b", {}), account("webchat/main", {}))
    assert not troubles
    secrets = [value for a in good.values() for values in a.secrets.values() for value in values]
    assert len(set(secrets)) == 3, "each account its own"
    assert good["webhook/a"].secrets["signing"] == (accounts.derived("webhook/a", "signing", KEY),)
    again, _ = resolve(account("webhook/a", {}))
    assert again["webhook/a"].secrets == good["webhook/a"].secrets
    assert all(set(a.secrets) == set(CONNECTORS[a.connector].secrets) for a in good.values())


def test_named_secrets_come_from_the_environment_and_two_hold_while_rotating() -> None:
    good, _ = resolve(named("webhook/a", signing=("NEW", "OLD")), NEW="new-secret", OLD="old-secret\n")
    assert good["webhook/a"].secrets == {"signing": ("new-secret", "old-secret")}
    for secret in ("new-secret", "old-secret"):
        signing.check(signing.sign(secret, b"x", 1000), good["webhook/a"].secrets["signing"], b"x", 1000)


def test_a_missing_or_empty_secret_puts_its_account_aside_alone() -> None:
    good, troubles = resolve(
        named("webhook/missing", signing=("NOWHERE",)),
        named("webhook/empty", signing=("EMPTY",)),
        named("webhook/half", signing=("GOOD", "EMPTY")),
        named("webhook/good", signing=("GOOD",)),
        account("webchat/main", {}),
        EMPTY=" ",
        GOOD="good-secret",
    )
    assert sorted(good) == ["webchat/main", "webhook/good"]
    assert troubles["webhook/missing"] == "the variable NOWHERE of the secret 'signing' is not set"
    assert troubles["webhook/empty"] == "the variable EMPTY of the secret 'signing' is empty"
    assert "EMPTY of the secret" in troubles["webhook/half"]


def test_two_accounts_never_share_a_secret() -> None:
    """Else what was signed for one could be replayed to the other (security.md S2)."""
    good, troubles = resolve(
        named("webhook/a", signing=("S",)), named("webhook/b", signing=("S",)), S="shared"
    )
    assert list(good) == ["webhook/a"]
    assert "webhook/a" in troubles["webhook/b"]
    assert "shared" not in troubles["webhook/b"].replace("shares", "")


def test_bad_settings_unknown_connectors_and_unknown_secrets_are_said_at_once() -> None:
    wrong: dict[str, Any] = {"url": "gopher://x/", "vouches": "yes", "speed": 1}
    _, troubles = resolve(
        account("webhook/a", {}, **wrong),
        account("webchat/b", {}, origins=["https://a.example", "https://[b.example"], color="red"),
        account("pigeon/post", {}),
        named("webchat/main", colour=("X",)),
        X="y",
    )
    assert "url must begin with https" in troubles["webhook/a"]
    assert "vouches must be true or false" in troubles["webhook/a"]
    assert "'speed'" in troubles["webhook/a"]
    assert "origins holds 'https://[b.example', which must look like" in troubles["webchat/b"]
    assert 'color must look like "#0b6e5f"' in troubles["webchat/b"]
    assert "no connector 'pigeon'" in troubles["pigeon/post"]
    assert "no secret 'colour'" in troubles["webchat/main"]


def test_a_switched_off_account_is_neither_good_nor_in_trouble() -> None:
    assert resolve(replace(account("webhook/a", {}), enabled=False)) == ({}, {})


def mailbox(key: str, **names: tuple[str, ...]) -> Account:
    made = account(key, {}, imap={"host": "imap.example.com"}, smtp={"host": "smtp.example.com"})
    return replace(made, secret_names=dict(names), address="support@example.com")


def test_a_mailbox_has_its_password_and_a_token_that_is_derived() -> None:
    good, troubles = resolve(
        mailbox("mail/a", password=("PW",)), mailbox("mail/b", password=("PW",)), PW="pw"
    )
    assert not troubles, "two mailboxes may have one password"
    assert good["mail/a"].secrets == {
        "password": ("pw",),
        "token": (accounts.derived("mail/a", "token", KEY),),
    }
    assert good["mail/a"].secrets["token"] != good["mail/b"].secrets["token"]


def test_what_a_mailbox_may_have_is_looked_at_where_it_is_named() -> None:
    _, troubles = resolve(
        mailbox("mail/none"),
        mailbox("mail/empty", password=("EMPTY",)),
        mailbox("mail/odd", password=("PW",), pin=("PW",)),
        EMPTY=" ",
        PW="pw",
    )
    assert "imap needs the secret 'password'" in troubles["mail/none"]
    assert "EMPTY of the secret" in troubles["mail/empty"]
    assert "mail has no secret 'pin'" in troubles["mail/odd"]


def test_two_mailboxes_never_sign_with_one_token() -> None:
    names = {"password": ("PW",), "token": ("T",)}
    good, troubles = resolve(mailbox("mail/a", **names), mailbox("mail/b", **names), PW="pw", T="shared")
    assert list(good) == ["mail/a"]
    assert "shares its secret 'token' with mail/a" in troubles["mail/b"]


def test_two_bots_that_share_a_secret_are_refused_by_the_file_and_told_by_the_value() -> None:
    one, other = (
        named("telegram/a", token=("A",), webhook=("W",)),
        named("telegram/b", token=("B",), webhook=("W",)),
    )
    with pytest.raises(ConfigError) as told:
        check_accounts(config(one, other))
    assert "telegram/b: it shares its secret 'webhook' with telegram/a; each needs its own" in str(told.value)
    check_accounts(config(one, replace(other, enabled=False)))

    apart = replace(other, secret_names={"token": ("B",), "webhook": ("V",)})
    check_accounts(config(one, apart))
    good, troubles = resolve(one, apart, A="a", B="b", W="same", V="same")
    assert (list(good), troubles) == (["telegram/a", "telegram/b"], {}), "they go on: a message is worth more"
    assert [finding.said for finding in doctor.shared_secrets(list(good.values()))] == [
        "telegram/b: it shares its secret 'webhook' with telegram/a; each needs its own"
    ]


def test_two_numbers_of_one_owner_may_share_theirs() -> None:
    made = [named(f"sms_twilio/{name}", auth_token=("T",)) for name in "ab"]
    assert not accounts.shares(made[1], made[:1], lambda one: one.secret_names)


def test_links_to_files_need_an_address_of_the_world() -> None:
    found = [account("webchat/main", {}), account("telegram/main", {}), account("sms_twilio/main", {})]
    (warned,) = doctor.file_links(Settings(), found)
    assert "(sms_twilio/main, telegram/main)" in warned.said
    assert "http://127.0.0.1:8080" in warned.said
    assert "set MAINSTEM_PUBLIC_URL" in warned.said
    assert not list(doctor.file_links(Settings(), found[:1]))
    assert not list(doctor.file_links(Settings(public_url="https://hub.example.com"), found))
