"""docs/routing.md names everything that may stand in the files, and every example in it can be used as it is."""

import re
from pathlib import Path

import pytest
import yaml

from hub import configfiles
from hub.config import ConversationPolicy, Role
from hub.configfiles import FILES as NAMES
from hub.configtemplates import ATTACHED
from hub.model import ButtonKind, HeaderKind
from router.conditions import ALL_WORDS, CUSTOMER_WORDS, HOURS, TEXT_WORDS
from router.rules import compile_rules
from tests.config.samples import FILES, having
from tests.each import each

DOC = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
BLOCKS = re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOC, re.DOTALL)
EXAMPLES = re.findall(r"^\| `(\w+)` \|.*\| `(\w+: .*)` \|$", DOC, re.MULTILINE)


def keys_read() -> set[str]:
    """Every key that the readers ask for, as their code names them."""
    here = Path(configfiles.__file__).parent
    names = ("configfiles", "configrouting", "confighours", "configreplies", "configtemplates")
    sources = [here / f"{name}.py" for name in names]
    getters = "text|flag|whole|number|duration|days|items|words|one_of|refers?|section|entries|get|need"
    asked = rf"\.(?:{getters})\(\s*\"(\w+)\""
    return {key for source in sources for key in re.findall(asked, source.read_text())}


def test_the_doc_names_every_word() -> None:
    words = {
        *ALL_WORDS,
        *CUSTOMER_WORDS,
        *TEXT_WORDS,
        *HOURS,
        *NAMES,
        *ConversationPolicy,
        *Role,
        *keys_read(),
        *(set(HeaderKind) - {HeaderKind.TEXT} | {"header"}),
        *ButtonKind,
        ATTACHED,
        "tags",
    }
    assert len(keys_read()) > 40
    missing = {word for word in words if not re.search(rf"`{re.escape(word)}`|\b{re.escape(word)}:", DOC)}
    assert not missing


def test_every_condition_has_its_row_and_example() -> None:
    rows = dict(EXAMPLES)
    needed = {*ALL_WORDS, *CUSTOMER_WORDS, "tags"} - {"all", "any"}
    assert needed <= set(rows)


# What the examples speak of.
BASE = having(
    channels="brands:\n  main:\naccounts:\n  webchat/main:\n  mail/support:\n"
    "  whatsapp/main:\n  whatsapp_twilio/main:\n",
    queues="priorities: {urgent: 1h, high: 10m, normal: 0, low: -30m}\nqueues: {general: , billing: , sales: }\n",
    routing="default: {queue: general}\n",
    agents="agents:\n  bo: {queues: all, skills: [german]}\n",
    calendars=FILES["calendars.yaml"],
    replies="",
)
del BASE["replies.yaml"]


def with_when(when: object) -> dict[str, str]:
    rules = {
        "rules": [{"name": "x", "when": when, "then": {"queue": "general"}}],
        "default": {"queue": "general"},
    }
    return {**BASE, "routing.yaml": yaml.safe_dump(rules, sort_keys=False)}


def test_every_block_can_be_used() -> None:
    assert {name for name, _ in BLOCKS} == {"when", *NAMES}
    for name, text in BLOCKS:
        files = with_when(yaml.load(text, yaml.BaseLoader)) if name == "when" else {**BASE, name: text}
        if name == "queues.yaml":
            files["routing.yaml"] = "default: {queue: general}\n"
        configfiles.load(files, checks=[compile_rules])


@each("word, example", EXAMPLES)
def test_every_example_can_be_used(word: str, example: str) -> None:
    assert f"{word}:" in example
    configfiles.load(with_when(yaml.load(example, yaml.BaseLoader)), checks=[compile_rules])


def test_the_complaint_it_shows_is_the_one_given() -> None:
    routing = (
        "rules:\n"
        + "\n" * 11
        + "  - name: x\n    when:\n      language: es\n    then:\n      queue: bilingual\ndefault: {queue: general}\n"
    )
    with pytest.raises(configfiles.ConfigError) as caught:
        configfiles.load({**BASE, "routing.yaml": routing})
    assert str(caught.value) in DOC
