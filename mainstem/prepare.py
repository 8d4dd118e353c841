"""Before the processes start: the schema, the configuration, and what a newcomer is shown."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub import clock, log
from hub.errors import ConfigError, NotFound
from hub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_store.db import Store
    from hub.config import Account, Config


def release(settings: Settings) -> None:
    """Migrate and apply. Raises ConfigError with every fault; then the one applied before goes on."""
    from crm_store.db import Store
    from crm_store.migrate import migrate
    from hub.secrets import load_key

    settings.data.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    load_key(settings)
    store = Store.open(settings.database, pool_size=1)
    try:
        click.echo(apply(settings, store, "release"))
    finally:
        store.close()


def apply(settings: Settings, store: Store, by: str) -> str:
    """Check the whole folder and put it in force. Says in a sentence what happened; twice is harmless."""
    from crm_store import configs
    from hub.configfiles import read_folder
    from mainstem import demo_accounts

    files, left_out = demo_accounts.over(read_folder(settings.config), os.environ)
    if left_out:
        click.echo(left_out, err=True)
    applied = configs.apply(store, files, by, checks(), folder=str(settings.config))
    if not applied.changed:
        return f"Configuration {applied.hash[:12]} is in force already; nothing changed."
    moved = f" {applied.moved} conversations moved to other queues." if applied.moved else ""
    return f"Configuration {applied.hash[:12]} is in force; every process follows within a second.{moved}"


def checks() -> tuple[Callable[[Config], object], ...]:
    """What hub/configfiles.py cannot know: rules that compile, settings and templates that connectors accept."""
    from router.rules import compile_rules

    return compile_rules, check_accounts, check_templates


def check_accounts(config: Config) -> None:
    """Raises ConfigError with every complaint of an account's connector; accounts that are switched off wait."""
    from connectors import CONNECTORS, accounts
    from hub.errors import Fault

    faults: list[Fault] = []
    before: list[Account] = []
    for account in config.accounts.values():
        connector = CONNECTORS.get(account.connector)
        if not account.enabled:
            continue
        if connector is None:
            said = [f"there is no connector {account.connector!r}; there are {', '.join(sorted(CONNECTORS))}"]
        else:
            said = [*accounts.misnamed(account, connector), *connector.check(account)]
            said += accounts.shares(account, before, lambda one: one.secret_names)
            before.append(account)
        faults += [Fault(account.file, account.line, f"{account.key}: {words}") for words in said]
    if faults:
        raise ConfigError(faults)


def check_templates(config: Config) -> None:
    """Raises ConfigError with every complaint of a connector about what its provider is said to have approved."""
    from connectors import CONNECTORS
    from connectors.base import Approves
    from hub.errors import Fault
    from hub.urn import channel_of

    faults: list[Fault] = []
    for reply in config.replies.values():
        for where, text in reply.approved.items():
            connector: object = CONNECTORS.get(channel_of(where))
            said = connector.check_template(text) if isinstance(connector, Approves) else []
            what = f'reply "{reply.key}": templates: {where}'
            faults += [Fault(text.file, text.line, f"{what}: {words}") for words in said]
    if faults:
        raise ConfigError(faults)


def in_force(store: Store) -> Config | None:
    """The configuration that every process follows; None before the first."""
    from crm_store import configs
    from hub.configfiles import load

    version = configs.current(store)
    return None if version is None else load(version.files)


def prepare(settings: Settings) -> None:
    """What `up` asks of a child; prints one line of JSON, the fields of mainstem.up.Prepared."""
    from crm_store.db import Store
    from crm_store.migrate import migrate
    from hub.secrets import load_key
    from mainstem.up import Prepared

    log.configure("warning", settings.log_format)
    settings.data.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    key = load_key(settings)
    store = Store.open(settings.database, pool_size=1)
    try:
        faults: list[str] = []
        try:
            apply(settings, store, "up")
        except ConfigError as error:
            faults = str(error).splitlines()
        current = in_force(store)
        prepared = Prepared(applied=current is not None, faults=faults)
        if current is not None:
            _fill(prepared, settings, store, current, key)
    finally:
        store.close()
    click.echo(json.dumps(asdict(prepared)))


def _fill(prepared: object, settings: Settings, store: Store, config: Config, key: bytes) -> None:
    from connectors import accounts
    from mainstem.up import Prepared

    assert isinstance(prepared, Prepared)
    resolved, troubles = accounts.resolve(config, os.environ, key)
    prepared.pulls = any(accounts.pulled(account) for account in resolved.values())
    for account in sorted(config.accounts.values(), key=lambda account: account.key):
        row = {"key": account.key, "title": account.title}
        if not account.enabled:
            row["trouble"] = "switched off (enabled: false)"
        elif account.key in troubles:
            row["trouble"] = troubles[account.key]
        prepared.accounts.append(row)
    chat = next((name for name in sorted(resolved) if name.startswith("webchat/")), None)
    if chat is not None:
        prepared.chat = chat_page(settings, chat)
    hook = next((name for name in sorted(resolved) if name.startswith("webhook/")), None)
    if hook is not None:
        prepared.curl = curl_line(settings, hook)
    try:
        prepared.agent, prepared.login = login_link(settings, store, config, None)
    except NotFound:
        prepared.login = ""


def login_link(settings: Settings, store: Store, config: Config, agent: str | None) -> tuple[str, str]:
    """(agent, link): for the agent named, else for the first administrator. Raises NotFound."""
    from crm_store import logins
    from hub.config import Role

    if agent is None:
        order = [Role.ADMIN, Role.LEAD, Role.AGENT]
        people = sorted(config.agents.values(), key=lambda person: order.index(person.role))
        if not people:
            raise NotFound("config/agents.yaml names nobody who could log in")
        agent = people[0].key
    elif agent not in config.agents:
        raise NotFound(f"no agent {agent!r}; there are {', '.join(sorted(config.agents)) or 'none'}")
    token = logins.make_link(store, agent, clock.system())
    return agent, f"{settings.desk_address}/login/{token}"


def chat_page(settings: Settings, account: str) -> str:
    return f"{settings.public_address}/chat/{account.partition('/')[2]}"


def curl_line(settings: Settings, account: str) -> str:
    """A line for a POSIX shell that signs a message by docs/channels/webhook.md and posts it."""
    body = '{"id":"\'$(date +%s)\'","from":{"email":"ann@example.com","name":"Ann"},"text":"Where is my parcel?"}'
    return (
        f"body='{body}'; t=$(date +%s); "
        f'v1=$(printf %s "$t.$body" | openssl dgst -sha256 -hmac "$({command()} secret {account})" -r | cut -c1-64); '
        f'curl -sS {settings.public_address}/in/{account} -H "X-Mainstem-Signature: t=$t,v1=$v1" -d "$body"'
    )


def command() -> str:
    """How a shell in this folder calls this program."""
    beside = Path(sys.executable).with_name("mainstem")
    if shutil.which("mainstem") == str(beside):
        return "mainstem"
    with contextlib.suppress(ValueError):
        return str(beside.relative_to(Path.cwd()))
    return shlex.quote(str(beside))
