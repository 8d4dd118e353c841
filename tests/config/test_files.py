"""The six files: what they mean, and what is said of those that cannot be used."""

# ruff: noqa: E501 - a table of complaints, one a line

from datetime import date, time
from pathlib import Path

import pytest

from crm_store.carried import Carried
from desk import prepared
from hub import configfiles
from hub.config import ApprovedText, Auto, AutoWhen, ConversationPolicy, Outcome, Role
from hub.errors import ConfigError, Refused
from hub.model import Template
from hub.yamlfile import seconds
from router.rules import compile_rules
from tests.config.samples import AGENTS, CALENDARS, CHANNELS, FILES, QUEUES, REPLIES, ROUTING, having
from tests.each import each


def faults(files: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configfiles.load(files, checks=[compile_rules])
    return [str(fault).removeprefix("config/") for fault in caught.value.faults]


def test_every_key_is_read() -> None:
    config = configfiles.load(FILES, checks=[compile_rules])
    chat = config.accounts["webchat/main"]
    assert (chat.connector, chat.name, chat.brand, chat.title) == ("webchat", "main", "main", "Chat")
    assert (chat.policy, chat.reopen_within_s) == (ConversationPolicy.ACCOUNT, 5400.0)
    assert (chat.rate_per_s, chat.burst, chat.enabled, chat.line) == (2.5, 3, True, 5)
    assert chat.settings == {"greeting": "Hello", "limit": 5, "loud": True, "names": ["a", "b"]}
    assert chat.secret_names == {"signing": ("NEW_SECRET", "OLD_SECRET")}
    assert chat.secrets == {}
    assert not config.accounts["mail/support"].enabled
    assert config.brands["other"].name == "other"
    assert config.brands["other"].signature == "Other Ltd"
    assert {account.signature for account in config.accounts.values() if account.brand == "other"} <= {
        "Other Ltd"
    }
    assert {account.signature for account in config.accounts.values() if account.brand != "other"} == {""}
    general = config.queues["general"]
    assert (general.service_percent, general.service_within_s, general.offer_s) == (90, 120.0, 30.0)
    assert (general.idle_s, general.calendar, general.line) == (3600.0, "office", 6)
    assert (config.moved, list(config.queues)) == ({"old": "general"}, ["general", "billing"])
    assert config.priorities == {"high": 600.0, "normal": 0.0, "low": -3600.0}
    bo = config.agents["bo"]
    assert (bo.role, bo.queues, bo.skills, bo.limit) == (Role.LEAD, ("general", "billing"), ("german",), 3)
    assert config.agents["ada"].queues == ("general", "billing")  # all, but for those that are no more
    office = config.calendars["office"]
    assert office.hours[0] == ((time(9), time(17, 30)),)
    assert office.hours[5] == ((time(10), time(12)), (time(13), time(15)))
    assert 6 not in office.hours
    assert (office.holidays, office.closed) == ("GB-ENG", (date(2026, 12, 24),))
    assert config.replies["hi"].text == "Hello there"
    first, second = config.rules
    assert first.then == Outcome(priority="high", tags=("gold",), skills=("german",))
    assert (first.goes_on, first.line, second.line) == (True, 2, 8)
    assert second.when["not"]["language"] == "no"  # Norwegian, not False
    assert second.lines["any", 1, "all", 0, "channel"] == 13
    assert config.default == Outcome(queue="general", priority="low")


def test_what_ships_is_right() -> None:
    folder = Path(__file__).parents[2] / "config"
    config = configfiles.load(configfiles.read_folder(folder), checks=[compile_rules])
    assert {"webchat/main", "console/main", "webhook/main", "mail/support"} == set(config.accounts)
    assert [key for key, account in config.accounts.items() if not account.enabled] == ["mail/support"]
    assert {"general", "support", "sales", "billing"} == set(config.queues)
    served = {queue for agent in config.agents.values() for queue in agent.queues}
    assert served == set(config.queues)


@each(
    "code, said",
    [
        ("XX", 'no holidays are known for "XX"; there are AF, AFG, '),
        ("UKR", '"UKR" is no code like GB, DE-BY or US-CA'),
        ("DE-BX", 'DE has no part "BX"; there are BB, BE, BW, BY, '),
        ("FR-ENG", 'FR has no part "ENG"'),
    ],
)
def test_holidays_that_nobody_knows_are_told(code: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        configfiles.load(having(calendars=FILES["calendars.yaml"].replace("GB-ENG", code)))
    (fault,) = told.value.faults
    assert said in fault.text
    assert FILES["calendars.yaml"].splitlines()[fault.line - 1] == "    holidays: [GB-ENG]"


QUEUES_AT = QUEUES.index("queues:")


@pytest.mark.parametrize(
    "text, said",
    [
        ("priorities: {high: 10m\n", "queues.yaml:1: this is not YAML"),
        ("", "queues.yaml:1: queues.yaml is empty"),
        ("- queues\n", "queues.yaml:1: queues.yaml must hold keys"),
        (QUEUES[:QUEUES_AT] + "queues: none\n", 'queues.yaml:5: queues.yaml: "queues" must hold keys'),
        ("priorities: 5\n" + QUEUES[QUEUES_AT:], 'queues.yaml:1: queues.yaml: "priorities" must hold keys'),
    ],
)
def test_what_cannot_be_read_is_said_once(text: str, said: str) -> None:
    """And not again by every rule, agent and reply that names what stands in it."""
    assert [one[: len(said)] for one in faults(having(queues=text))] == [said]


def test_files_that_may_be_missing() -> None:
    few = {name: FILES[name] for name in ("channels.yaml", "queues.yaml", "routing.yaml")}
    few["queues.yaml"] = "queues: {general: , billing: }\n"
    few["routing.yaml"] = "default: {queue: general}\n"
    config = configfiles.load(few)
    assert (config.agents, config.calendars, config.priorities) == ({}, {}, {"normal": 0.0})
    assert faults({"queues.yaml": "queues: {general: }"}) == [
        "channels.yaml:1: this file is missing",
        "routing.yaml:1: this file is missing",
    ]


@each(
    "files, complaint",
    [
        # references
        (
            having(routing=ROUTING.replace("{queue: billing}", "{queue: biling}")),
            'routing.yaml:17: no queue "biling"; did you mean "billing"?',
        ),
        (
            having(routing=ROUTING.replace("queue: general", "queue: xyzzy")),
            'routing.yaml:18: no queue "xyzzy"; there are general, billing',
        ),
        (
            having(routing=ROUTING.replace("queue: billing}", "queue: old}")),
            'routing.yaml:17: no queue "old"; there are general, billing',
        ),
        (
            having(routing=ROUTING.replace("hours: {office:", "hours: {ofice:")),
            'routing.yaml:16: rule "deciding": no calendar "ofice"; did you mean "office"?',
        ),
        (
            having(routing=ROUTING.replace("priority: high", "priority: hihg")),
            'routing.yaml:6: no priority "hihg"; did you mean "high"?',
        ),
        (
            having(routing=ROUTING.replace("skills: [german]", "skills: [germam]")),
            'routing.yaml:6: no skill of any agent "germam"; did you mean "german"?',
        ),
        (having(agents=AGENTS.replace("[general,", "[genral,")), 'agents.yaml:6: no queue "genral"; did you mean "general"?'),
        (having(channels=CHANNELS.replace("brand: main", "brand: mian")), 'channels.yaml:6: no brand "mian"; did you mean "main"?'),
        (having(queues=QUEUES.replace(": office", ": ofice")), 'queues.yaml:8: no calendar "ofice"; did you mean "office"?'),
        (having(replies=REPLIES.replace("[general]", "[sale]")), 'replies.yaml:2: no queue "sale"; there are general, billing'),
        # keys
        (having(agents=AGENTS.replace("skills:", "skils:")), 'agents.yaml:7: agent "bo" knows no "skils"; did you mean "skills"?'),
        (having(queues=QUEUES + "queus: {}\n"), 'queues.yaml:14: queues.yaml knows no "queus"; did you mean "queues"?'),
        (having(queues=QUEUES.replace("  billing:", "  Billing!:")), 'queues.yaml:12: queue "Billing!": a key is small letters, digits, - and _, a letter first, at most 40'),
        (having(channels=CHANNELS.replace("mail/support", "mail")), 'channels.yaml:15: account "mail": a key is named "connector/name"'),
        (having(agents=AGENTS + "  bo: {name: Two}\n"), 'agents.yaml:11: "bo" is here twice, the first on line 2: keep one'),
        # values
        (having(queues=QUEUES.replace("30s", "30")), 'queues.yaml:10: queue "general": "offer" must be a time of 5s or more such as 90s, 5m, 2h or 3d, not "30"'),
        (having(queues=QUEUES.replace("90,", "900,")), 'queues.yaml:9: queue "general": service: "percent" must be a whole number from 1 to 100, not "900"'),
        (having(agents=AGENTS.replace("role: lead", "role: boss")), 'agents.yaml:5: agent "bo": "role" has no "boss"; there are agent, lead, admin'),
        (having(agents=AGENTS.replace("limit: 3", "limit: [3]")), 'agents.yaml:8: agent "bo": "limit" must be a whole number from 0 to 1,000, not a list'),
        (having(agents=AGENTS.replace("bo@example.com", "bo")), 'agents.yaml:4: agent "bo": "email" must be a mail address such as bo@example.com'),
        (having(channels=CHANNELS.replace("enabled: false", "enabled: maybe")), 'channels.yaml:15: account "mail/support": "enabled" must be true or false, not "maybe"'),
        (having(channels=CHANNELS.replace("loud: true", "loud: yes")), 'channels.yaml:13: yes may mean a word or a yes/no: write "yes", true or false'),
        (having(calendars=CALENDARS.replace("/London", "/Londn")), 'calendars.yaml:3: no time zone "Europe/Londn"; did you mean "Europe/London"?'),
        (having(calendars=CALENDARS.replace("GB-ENG", "GB-EN")), 'calendars.yaml:5: calendar "office": GB has no part "EN"; did you mean "ENG"?'),
        (having(calendars=CALENDARS.replace("[GB-ENG]", "england")), 'calendars.yaml:5: calendar "office": "england" is no code like GB, DE-BY or US-CA'),
        (having(calendars=CALENDARS.replace("17:30", "25:30")), 'calendars.yaml:4: calendar "office": hours: mon-fri must be times such as 09:00-17:30, "all day" or "closed"'),
        (having(calendars=CALENDARS.replace("13:00-15", "11:00-15")), 'calendars.yaml:4: calendar "office": hours: the times of sat overlap'),
        (having(calendars=CALENDARS.replace("sun:", "fri:")), 'calendars.yaml:4: calendar "office": hours: fri is given twice'),
        (having(calendars=CALENDARS.replace("sun:", "funday:")), 'calendars.yaml:4: calendar "office": hours: "funday" is no day; write mon, tue, … or mon-fri'),
        (having(calendars=CALENDARS.replace("12-24", "13-24")), 'calendars.yaml:6: calendar "office": "closed" must be dates like 2026-12-24'),
        (having(queues=QUEUES.replace("  normal: 0\n", "")), 'queues.yaml:1: priorities need "normal": it is what no rule gives another'),
        # rules
        (having(routing=ROUTING.replace("    continue: true\n", "")), 'routing.yaml:6: rule "adjusting" names no queue: name one, or add "continue: true"'),
        (having(routing=ROUTING.replace("then: {queue: billing}", "then: {queue: billing}\n    continue: true")), 'routing.yaml:18: rule "deciding" names a queue, so it cannot "continue": remove one of the two'),
        (having(routing=ROUTING.replace("then: {queue: billing}", "then: {}")), 'routing.yaml:17: rule "deciding" gives nothing: say a queue, or what to adjust'),
        (having(routing=ROUTING.replace("name: deciding", "name: adjusting")), 'routing.yaml:8: a rule named "adjusting" is already on line 2'),
        (having(routing=ROUTING.replace("name: deciding", "name: default")), 'routing.yaml:8: no rule may be named "default": that is what decides when no rule does'),
        (having(routing=ROUTING.replace("default: {queue: general, priority: low}", "")), 'routing.yaml:1: routing.yaml needs "default"'),
        # YAML itself
        (having(routing="\tdefault: x"), "routing.yaml:1: this is not YAML: found character that cannot start any token (indent with spaces, not tabs, and quote text that begins with @ ` % or &)"),
        (having(queues="queues: [a"), "queues.yaml:1: this is not YAML: did not find expected ',' or ']' (check that brackets and quotes are closed)"),
        (having(agents=""), "agents.yaml:1: agents.yaml is empty"),
        (having(agents="- a"), "agents.yaml:1: agents.yaml must hold keys (name: value)"),
        (having(agents="agents: !!python/object:os.system {}"), "agents.yaml:1: the tag tag:yaml.org,2002:python/object:os.syst… is not used here: leave it out"),
        (having(agents="agents: {bo: {<<: {name: a}}}"), "agents.yaml:1: << is not used here: write the keys out"),
        (having(agents="agents: &a {bo: *a}"), "agents.yaml:1: *a stands for what it is part of"),
        (having(agents=AGENTS + "---\nagents: {}\n"), "agents.yaml:11: a second document begins here: a file holds one; remove the line ---"),
        (having(agents="agents: {? [a] : b}"), "agents.yaml:1: a key must be plain text, not a list or mapping"),
        (having(agents="agents:\n  bo:\n    name: \x01\n"), "agents.yaml:3: this is not YAML: control characters are not allowed"),
        (having(agents="agents: " + "[" * 100_000), "agents.yaml:1: nested deeper than 24 levels"),
        (having(agents="a" * 1_000_001), "agents.yaml:1: larger than 1,000,000 characters: split up what it holds"),
    ],
)  # fmt: skip
def test_every_complaint_has_its_line_and_cure(files: dict[str, str], complaint: str) -> None:
    assert complaint in faults(files)


def test_all_faults_at_once_of_files_and_of_rules() -> None:
    files = having(
        routing=ROUTING.replace("channel: webchat", "chanel: webchat").replace(
            "{queue: billing}", "{queue: b}"
        ),
        queues=QUEUES.replace("30s", "soon"),
        agents=AGENTS.replace("role: lead", "role: boss"),
    )
    assert [line.split(": ")[0] for line in faults(files)] == [
        "agents.yaml:5",
        "queues.yaml:10",
        "routing.yaml:13",
        "routing.yaml:17",
    ]


def test_a_secret_written_down_is_refused_and_never_repeated() -> None:
    [complaint] = faults(having(channels=CHANNELS.replace("[NEW_SECRET, OLD_SECRET]", "hunter2-is-secret")))
    assert complaint.startswith("channels.yaml:14: ")
    assert "hunter2" not in complaint


def test_a_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    complaints = faults(having(agents="\n".join(lines)))
    assert complaints == ["agents.yaml:5: more than 100,000 values or 24 levels, aliases counted"]


def test_anchors_serve_to_share() -> None:
    shared = "agents:\n  bo: {queues: &desk [general, billing]}\n  cleo: {queues: *desk}\n"
    few = ROUTING.replace(", skills: [german]", "")
    config = configfiles.load(having(agents=shared, routing=few))
    assert config.agents["cleo"].queues == ("general", "billing")


def test_yaml_traps_are_what_they_look_like() -> None:
    agents = (
        "agents:\n  no: {name: no, slack: U0123, email: on@no.de}\n  y: {name: 12:30}\n  'on': {name: 1e3}\n"
    )
    config = configfiles.load(having(agents=agents, routing=ROUTING.replace(", skills: [german]", "")))
    names = {key: agent.name for key, agent in config.agents.items()}
    assert names == {"no": "no", "y": "12:30", "on": "1e3"}
    assert config.agents["no"].slack == "U0123"
    quoted = CALENDARS.replace("09:00-17:30", '"09:00-17:30"')
    assert configfiles.load(having(calendars=quoted)).calendars == configfiles.load(FILES).calendars


@each(
    "text, value",
    [
        *[("90s", 90.0), ("5m", 300.0), ("2h", 7200.0), ("3d", 259200.0), ("1h30m", 5400.0), ("0.5s", 0.5)],
        *[("-10m", -600.0), ("0", 0.0), ("5", None), ("", None), ("5 m", None), ("m5", None), ("1w", None)],
    ],
)  # fmt: skip
def test_times(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_a_folder_is_read_or_every_trouble_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        configfiles.read_folder(tmp_path / "none")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / ".routing.yaml.swp").write_text("an editor's")
    assert configfiles.read_folder(tmp_path) == FILES
    (tmp_path / "queue.yaml").write_text("queues:")
    (tmp_path / "agents.yaml").write_bytes(b"agents:\n  bo: {name: B\xf6}\n")
    with pytest.raises(ConfigError) as caught:
        configfiles.read_folder(tmp_path)
    assert [fault.text for fault in caught.value.faults] == [
        "this is not UTF-8 text: save it as UTF-8",
        'no file of this name is read; did you mean "queues.yaml"?',
    ]
    assert caught.value.faults[0].line == 2


def test_a_reply_may_be_given_by_itself() -> None:
    config = configfiles.load(
        having(
            replies="auto_per_hour: 7\nreplies:\n  hi: {text: Hi}\n"
            "  shut:\n    text: Shut\n    auto: {when: out_of_hours, calendar: office, accounts: [webchat/main]}\n"
        )
    )
    assert (config.auto_per_hour, [reply.key for reply in config.auto_replies]) == (7, ["shut"])
    assert config.replies["shut"].auto == Auto(
        when=AutoWhen.OUT_OF_HOURS, accounts=("webchat/main",), calendar="office"
    )


def test_a_reply_may_have_places_approved_texts_and_answers_to_tap() -> None:
    config = configfiles.load(
        having(
            replies="replies:\n  sent:\n    text: Your order {1} comes on {2}.\n    choices: [Thanks, 'Too late']\n"
            "    templates:\n      webchat: {name: order_sent, language: en}\n      mail/support: HX1\n"
        )
    )
    sent = config.replies["sent"]
    assert (sent.places, sent.choices) == (2, ("Thanks", "Too late"))
    assert sent.approved == {
        "webchat": ApprovedText(name="order_sent", language="en"),
        "mail/support": ApprovedText(name="HX1"),
    }
    assert prepared.filled(sent, [" 4711 ", "Friday"]) == "Your order 4711 comes on Friday."
    with pytest.raises(Refused, match="2 places"):
        prepared.filled(sent, ["4711"])
    template = Template(name="order_sent", language="en", parameters=("4711", "Friday"))
    assert prepared.approved(sent, "webchat/main", ["4711", "Friday"]) == template
    assert prepared.carried(sent, "webchat/main", ["4711", "Friday"], as_template=True) == Carried(
        template=template
    )
    assert prepared.carried(sent, "webchat/main", [], as_template=False).choices == ("Thanks", "Too late")
    with pytest.raises(Refused, match="no approved text for console/x"):
        prepared.carried(sent, "console/x", [], as_template=True)


@each(
    "reply, complaint",
    [
        ("{text: 'to {2}'}", "none left out"),
        ("{text: Hi, templates: {webchta: x}}", 'no account or channel "webchta"; did you mean "webchat"?'),
        ("{text: Hi, templates: {webchat: {language: en}}}", 'needs "name"'),
        (
            "{text: 'to {1}', auto: {when: first_contact, accounts: [webchat/main]}}",
            "nobody is there to fill the places",
        ),
    ],
)
def test_what_is_wrong_with_what_it_carries(reply: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configfiles.load(having(replies=f"replies:\n  hi: {reply}\n"))
    assert complaint in str(caught.value)


@each(
    "auto, complaint",
    [
        ("{when: out_of_hours, accounts: [webchat/main]}", 'auto needs "calendar"'),
        ("{when: first_contact}", 'auto needs "accounts"'),
        (
            "{when: first_contact, calendar: office, accounts: [webchat/main]}",
            "belongs to out_of_hours alone",
        ),
        ("{when: always, accounts: [webchat/main]}", "first_contact"),
        ("{when: first_contact, accounts: [webchat/mian]}", "webchat/main"),
    ],
)
def test_what_is_wrong_with_it(auto: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configfiles.load(having(replies=f"replies:\n  hi:\n    text: Hi\n    auto: {auto}\n"))
    assert complaint in str(caught.value)
    assert "replies.yaml:" in str(caught.value)


@each(
    "file, text, said",
    [
        ("queues", "slack: {ops: }\n" + "QUEUES", "put the name in quotes"),
        ("queues", "slack: {ops: '#Upper Case'}\n" + "QUEUES", "must be a Slack channel"),
        ("agents", "agents:\n  bo: {slack: C0123456789}\n", "must be a member id such as U0123456789"),
        ("agents", "agents:\n  bo: {slack: '@bo'}\n", "must be a member id"),
        (
            "agents",
            "agents:\n  bo: {slack: U0123456789}\n  cy: {slack: U0123456789}\n",
            'agent "cy": "U0123456789" is the agent "bo" already',
        ),
    ],
)
def test_what_can_be_no_link_to_slack_is_told(file: str, text: str, said: str) -> None:
    whole = text.replace("QUEUES", FILES["queues.yaml"])
    with pytest.raises(ConfigError) as told:
        configfiles.load(having(**{file: whole}))
    assert said in str(told.value)
