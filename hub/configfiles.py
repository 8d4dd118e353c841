"""The files of the configuration folder -> hub.config.Config, every fault at once as FILE:LINE.

docs/routing.md is their description; a test holds it to the keys read here. What needs another room (the words of
rules, the settings of accounts) is checked by functions handed to `load`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from hub import configrouting
from hub.config import (
    Account,
    Agent,
    Brand,
    Config,
    ConversationPolicy,
    Queue,
    Role,
)
from hub.confighours import calendar, quiet
from hub.configreplies import reply
from hub.configrouting import NORMAL, Anything, Names
from hub.errors import ConfigError, Fault
from hub.yamlfile import Items, Keys, Node, Reader, Scalar, Section, clip, near

FILES = ("channels.yaml", "queues.yaml", "routing.yaml", "agents.yaml", "calendars.yaml", "replies.yaml")
REQUIRED = ("channels.yaml", "queues.yaml", "routing.yaml")

_ACCOUNT = re.compile(r"[a-z][a-z0-9_]{0,31}/[a-z0-9][a-z0-9_-]{0,39}")
_SLACK_CHANNEL = re.compile(r"[CG][A-Z0-9]{6,20}|#?[^\s#,A-Z]{1,80}")
_SLACK_MEMBER = re.compile(r"[UW][A-Z0-9]{2,20}")
SIGNATURE_CHARS = 2_000
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{1,99}")


def digest(files: Mapping[str, str]) -> str:
    """The name of a configuration: sha256 (hex) over its files, however they are ordered."""
    sha = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].encode()):
            sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


def read_folder(path: Path) -> dict[str, str]:
    """The folder's files as text, by name. Raises ConfigError where one is missing, foreign or not UTF-8."""
    if not path.is_dir():
        raise ConfigError([Fault(str(path), 1, "there is no such folder")])
    files: dict[str, str] = {}
    faults = []
    for found in sorted(path.iterdir()):
        if found.suffix not in (".yaml", ".yml") or found.name.startswith("."):
            continue
        if found.name not in FILES:
            faults.append(Fault(str(found), 1, f"no file of this name is read{near(found.name, FILES)}"))
            continue
        try:
            files[found.name] = found.read_bytes().decode()
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            faults.append(Fault(str(found), line, "this is not UTF-8 text: save it as UTF-8"))
        except OSError as error:
            faults.append(Fault(str(found), 1, f"cannot be read: {error.strerror}"))
    if faults:
        raise ConfigError(faults)
    return files


def load(
    files: Mapping[str, str],
    folder: str = "config",
    checks: Sequence[Callable[[Config], object]] = (),
) -> Config:
    """The configuration that `files` (name -> text) say. Raises ConfigError with all faults, those of `checks` too."""
    config, faults, complete = read(files, folder)
    for check in (
        checks if complete else ()
    ):  # what a file says that cannot be read would be missed everywhere
        try:
            check(config)
        except ConfigError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return config


def read(files: Mapping[str, str], folder: str = "config") -> tuple[Config, list[Fault], bool]:
    """The configuration as far as it can be read, every fault found, and whether each file could be read at all.

    Only without faults may it be used.
    """
    missing = [Fault(f"{folder}/{name}", 1, "this file is missing") for name in REQUIRED if name not in files]
    roots: dict[str, Section] = {}
    for name in FILES:
        reader = Reader(f"{folder}/{name}")
        if name in files:
            roots[name] = reader.root(files[name], name)
        else:
            roots[name] = Section(reader, Keys({}, {}, 1, 1, 1), name, broken=True)
    names = _names(roots)
    channels, queues, routing = roots["channels.yaml"], roots["queues.yaml"], roots["routing.yaml"]
    brands = {key: _brand(key, section) for key, section in channels.entries("brands", "brand")}
    if not brands and not channels.broken:
        channels.need("brands")
    accounts = {
        key: _account(key, section, names, brands)
        for key, section in channels.entries("accounts", "account", _ACCOUNT)
    }
    living: dict[str, Queue] = {}
    moved: dict[str, str] = {}
    for key, section in queues.entries("queues", "queue"):
        if "moved_to" in section.node.entries:
            moved[key] = _moved(section, names)
        else:
            living[key] = _queue(key, section, names)
    if not living and not moved and not queues.broken:
        queues.need("queues")
    config = Config(
        hash=digest(files),
        brands=brands,
        accounts=accounts,
        queues=living,
        moved=moved,
        agents=_agents(roots["agents.yaml"], names),
        calendars={
            key: calendar(key, s) for key, s in roots["calendars.yaml"].entries("calendars", "calendar")
        },
        replies={
            key: reply(key, s, names, tuple(accounts))
            for key, s in roots["replies.yaml"].entries("replies", "reply")
        },
        priorities=_priorities(queues),
        slack_ops=_slack_ops(queues),
        auto_per_hour=roots["replies.yaml"].whole("auto_per_hour", 100, 0, 100_000),
        rules=configrouting.rules(routing, names),
        default=configrouting.default(routing, names),
        files=dict(files),
    )
    faults = list(missing)
    for root in roots.values():
        root.done()
        faults.extend(root.reader.faults)
    complete = not missing and not any(root.broken and root.reader.faults for root in roots.values())
    return config, faults, complete


def _names(roots: Mapping[str, Section]) -> Names:
    def below(file: str, key: str) -> dict[str, Node] | None:
        """What stands below `key`; None where that is a fault of its own, so that nothing is known of it."""
        root, node = roots[file], roots[file].node.entries.get(key)
        if isinstance(node, Keys):
            return node.entries
        unread = root.broken and (file in REQUIRED or root.reader.faults)
        misfit = node is not None and not (isinstance(node, Scalar) and node.empty)
        return None if unread or misfit or key in ("brands", "queues") else {}

    def keys(file: str, key: str) -> Collection[str]:
        found = below(file, key)
        return Anything() if found is None else tuple(found)

    def texts(node: Node | None) -> list[str]:
        nodes = node.items if isinstance(node, Items) else () if node is None else (node,)
        return [n.text.strip() for n in nodes if isinstance(n, Scalar)]

    queues, agents = below("queues.yaml", "queues"), below("agents.yaml", "agents")
    skills = [
        s for a in (agents or {}).values() if isinstance(a, Keys) for s in texts(a.entries.get("skills"))
    ]
    return Names(
        brands=keys("channels.yaml", "brands"),
        queues=Anything()
        if queues is None
        else tuple(q for q, n in queues.items() if not (isinstance(n, Keys) and "moved_to" in n.entries)),
        priorities=keys("queues.yaml", "priorities"),
        calendars=keys("calendars.yaml", "calendars"),
        skills=Anything() if agents is None else tuple(dict.fromkeys(skills)),
    )


# ---------------------------------------------------------------------------------------------------- channels.yaml


def _brand(key: str, section: Section) -> Brand:
    reach = section.one_of("opt_outs", "address", {one: one for one in ("address", "customer")})
    brand = Brand(
        key=key,
        name=section.text("name", key),
        opt_outs=reach,
        signature=section.text("signature", limit=SIGNATURE_CHARS).strip(),
    )
    section.done()
    return brand


def _account(key: str, section: Section, names: Names, brands: Mapping[str, Brand]) -> Account:
    connector, _, name = key.partition("/")
    brand = section.refer("brand", "brand", names.brands)
    if brand is None and "brand" not in section.node.entries and len(names.brands) > 1:
        section.need("brand")
    settings = section.section("settings")
    of_brand = brands.get(brand or next(iter(names.brands), ""))
    account = Account(
        key=key,
        connector=connector,
        name=name,
        brand=brand or next(iter(names.brands), ""),
        title=section.text("title", key),
        address=section.text("address", limit=400) or None,
        policy=section.one_of(
            "conversation",
            ConversationPolicy.CUSTOMER,
            {str(policy): policy for policy in ConversationPolicy},
        ),
        reopen_within_s=section.duration("reopen_within", 3 * 86400.0),
        rate_per_s=section.number("rate_per_s", 10.0, 0.001, 10_000),
        burst=section.whole("burst", 10, 1, 10_000),
        enabled=section.flag("enabled", True),
        signature=of_brand.signature if of_brand else "",
        quiet=quiet(section),
        settings=section.reader.plain(settings.node) if settings else {},
        setting_lines=dict(settings.node.lines) if settings else {},
        secret_names=_secrets(section),
        file=section.reader.file,
        line=section.line,
    )
    section.done()
    return account


def _secrets(section: Section) -> dict[str, tuple[str, ...]]:
    """Purpose -> names of environment variables. What is no such name may be a secret, so it is never repeated."""
    below = section.section("secrets")
    out = {}
    for purpose in below.node.entries if below else ():
        assert below is not None
        nodes = below.items(purpose, "the name of an environment variable")
        if all(isinstance(n, Scalar) and _VARIABLE.fullmatch(n.text) for n in nodes) and 1 <= len(nodes) <= 2:
            out[purpose] = tuple(n.text for n in nodes if isinstance(n, Scalar))
        else:
            below.fault(
                purpose,
                f'{section.what}: secret "{clip(purpose)}" must be the NAME of an environment variable that holds it '
                "(two while it is being changed, the new one first); the secret itself never stands here",
            )
    return out


# ------------------------------------------------------------------------------------------------------ queues.yaml


def _priorities(root: Section) -> dict[str, float]:
    below = root.section("priorities")
    if below is None:
        return {NORMAL: 0.0}
    out = {key: below.duration(key, 0.0, least=-7 * 86400.0, most=7 * 86400.0) for key in below.node.entries}
    for key in out:
        if len(key) > 40 or not key:
            below.fault(key, f'priority "{clip(key)}": a name has at most 40 characters')
    if NORMAL not in out:
        below.reader.fault(below.line, f'priorities need "{NORMAL}": it is what no rule gives another')
        out[NORMAL] = 0.0
    return out


def _moved(section: Section, names: Names) -> str:
    """Where the conversations of a removed queue go. Its other keys may still stand there; they say nothing now."""
    section.need("moved_to")
    return section.refer("moved_to", "queue", names.queues) or ""


def _queue(key: str, section: Section, names: Names) -> Queue:
    service = section.section("service")
    queue = Queue(
        key=key,
        title=section.text("title", key),
        calendar=section.refer("calendar", "calendar", names.calendars),
        service_percent=service.whole("percent", 80, 1, 100) if service else 80,
        service_within_s=service.duration("within", 300.0, least=1.0) if service else 300.0,
        offer_s=section.duration("offer", 60.0, least=5.0),
        idle_s=section.duration("idle", None, least=60.0),
        slack=_slack_channel(section, "slack"),
        slack_direct=section.flag("slack_direct", False),
        line=section.line,
    )
    if queue.slack_direct and queue.slack is None:
        section.fault(
            "slack_direct", f'{section.what}: "slack_direct" needs "slack", the channel it is about'
        )
    if service:
        service.done()
    section.done()
    return queue


def _slack_channel(section: Section, key: str) -> str | None:
    """A channel by its id or its name; which of them exist, only Slack can say (`mainstem slack check` asks it)."""
    if key not in section.node.entries:
        return None
    channel = section.text(key, limit=81)
    if not channel:  # what follows a bare # is a comment to YAML
        section.fault(key, f'{section.what}: "{key}" is empty: put the name in quotes, such as "#billing"')
        return None
    if not _SLACK_CHANNEL.fullmatch(channel):
        section.fault(
            key, f'{section.what}: "{key}" must be a Slack channel such as "#billing" or C0123456789'
        )
    return channel


def _slack_ops(root: Section) -> str | None:
    below = root.section("slack")
    if below is None:
        return None
    ops = _slack_channel(below, "ops")
    below.done()
    return ops


# ------------------------------------------------------------------------------------------------------ agents.yaml


def _agents(root: Section, names: Names) -> dict[str, Agent]:
    """Of a Slack member's doings it must be known whose they are: nobody's id stands at two agents."""
    agents: dict[str, Agent] = {}
    linked: dict[str, str] = {}
    for key, section in root.entries("agents", "agent"):
        agents[key] = agent = _agent(key, section, names)
        if agent.slack is not None and (other := linked.setdefault(agent.slack, key)) != key:
            section.fault("slack", f'{section.what}: "{agent.slack}" is the agent "{other}" already')
    return agents


def _agent(key: str, section: Section, names: Names) -> Agent:
    everything = isinstance(node := section.get("queues"), Scalar) and node.text == "all"
    agent = Agent(
        key=key,
        name=section.text("name", key),
        email=section.text("email", limit=254) or None,
        role=section.one_of("role", Role.AGENT, {str(role): role for role in Role}),
        queues=tuple(names.queues) if everything else section.refers("queues", "queue", names.queues),
        skills=section.words("skills", limit=40),
        limit=section.whole("limit", 5, 0, 1_000),
        slack=section.text("slack", limit=40) or None,
        line=section.line,
    )
    if agent.slack is not None and not _SLACK_MEMBER.fullmatch(agent.slack):
        section.fault(
            "slack", f'{section.what}: "slack" must be a member id such as U0123456789 (in their profile)'
        )
    if agent.email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", agent.email):
        section.fault("email", f'{section.what}: "email" must be a mail address such as bo@example.com')
    section.done()
    return agent
