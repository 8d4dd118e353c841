"""The configured accounts with their secrets, each checked by its connector; a bad one is put aside alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from connectors import CONNECTORS
from connectors.base import Connector, MayHave, Polls, Separate, Shared
from hub.config import Account, Config
from hub.secrets import derive


def resolve(
    config: Config, environ: Mapping[str, str], key: bytes
) -> tuple[dict[str, Account], dict[str, str]]:
    """(accounts that can work, by key, with their secrets; account key -> why it cannot, one line of sentences).

    Secrets that YAML names come from `environ`, newest first; an empty or missing one puts the account aside. Our own
    protocols derive theirs from the installation's `key` where YAML names none. What a connector `MayHave` is there
    where YAML names it. Switched-off accounts are in neither.
    """
    good: dict[str, Account] = {}
    troubles: dict[str, str] = {}
    for account in config.accounts.values():
        if not account.enabled:
            continue
        connector = CONNECTORS.get(account.connector)
        if connector is None:
            troubles[account.key] = f"there is no connector {account.connector!r}"
            continue
        secrets, wrong = _secrets(account, connector, environ, key)
        wrong += connector.check(account)
        account = dataclasses.replace(account, secrets=secrets)
        if connector.derives:  # what was signed for one account must not fit another
            wrong += shares(account, good.values(), lambda one: one.secrets)
        if wrong:
            troubles[account.key] = "; ".join(wrong)
        else:
            good[account.key] = account
    return _with_siblings(good), troubles


def pulled(account: Account) -> bool:
    """Is what comes in fetched by us: a mailbox, long polling, a list of what a webhook missed?"""
    connector: object = CONNECTORS.get(account.connector)
    if isinstance(connector, Polls):
        return connector.polls(account)
    return account.connector == "mail" and "imap" in account.settings


def _with_siblings(good: dict[str, Account]) -> dict[str, Account]:
    """Each account of a connector that is `Shared` with those that have a secret in common with it."""
    found = dict(good)
    for key, account in good.items():
        connector = CONNECTORS[account.connector]
        if isinstance(connector, Shared):
            mine = {value for purpose in connector.secrets for value in account.secrets[purpose]}
            siblings = {
                connector.own_id(other): other.key
                for other in good.values()
                if other.connector == account.connector
                and mine & {value for purpose in connector.secrets for value in other.secrets[purpose]}
            }
            found[key] = dataclasses.replace(account, siblings=siblings)
    return found


def unset(config: Config, environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Account key -> the variables that the file names for its secrets and that hold nothing, where there are any."""
    found = {
        account.key: [
            name
            for names in account.secret_names.values()
            for name in names
            if not environ.get(name, "").strip()
        ]
        for account in config.accounts.values()
        if account.enabled
    }
    return {key: names for key, names in found.items() if names}


def misnamed(account: Account, connector: Connector) -> list[str]:
    """What is wrong with an account's secrets as the file names them, whatever the environment holds."""
    optional = connector.optional if isinstance(connector, MayHave) else ()
    wrong = [
        f"it needs the secret {purpose!r}, and the file names no variable for it"
        for purpose in connector.secrets
        if not account.secret_names.get(purpose) and purpose not in optional and not connector.derives
    ]
    unknown = sorted(set(account.secret_names) - {*connector.secrets, *optional})
    return wrong + [f"{connector.name} has no secret {purpose!r}" for purpose in unknown]


def shares(
    account: Account, others: Iterable[Account], of: Callable[[Account], Mapping[str, tuple[str, ...]]]
) -> list[str]:
    """With which `others` it has a secret in common that should be one account's alone.

    of: an account's secrets themselves, or the variables that the file names for them.
    """
    connector = CONNECTORS[account.connector]
    own = connector.secrets if connector.derives else ()
    if isinstance(connector, Separate):
        own = connector.separate
    return [
        f"it shares its secret {purpose!r} with {other.key}; each needs its own"
        for other in others
        if other.connector == account.connector
        for purpose in own
        if set(of(account).get(purpose, ())) & set(of(other).get(purpose, ()))
    ]


def derived(account_key: str, purpose: str, key: bytes) -> str:
    """The secret of one of our own protocols, where YAML names none: 64 hex characters, the same for ever."""
    return derive(key, "account", account_key, purpose)


def _secrets(
    account: Account, connector: Connector, environ: Mapping[str, str], key: bytes
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    secrets: dict[str, tuple[str, ...]] = {}
    wrong = misnamed(account, connector)
    optional = connector.optional if isinstance(connector, MayHave) else ()
    for purpose in (*connector.secrets, *optional):
        names = account.secret_names.get(purpose, ())
        if not names and purpose in optional:
            continue
        if not names and connector.derives:
            secrets[purpose] = (derived(account.key, purpose, key),)
            continue
        for name in names:
            if name not in environ:
                wrong.append(f"the variable {name} of the secret {purpose!r} is not set")
            elif not environ[name].strip():
                wrong.append(f"the variable {name} of the secret {purpose!r} is empty")
        secrets[purpose] = tuple(environ.get(name, "").strip() for name in names)
    return secrets, wrong
