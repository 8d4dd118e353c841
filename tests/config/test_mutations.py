"""F23: whatever is mistyped, the answer is FILE:LINE with words, or a configuration that works. Never a traceback."""

from collections.abc import Iterator

import pytest
import yaml

from hub import configfiles
from hub.config import Config
from hub.errors import ConfigError, Fault
from router.rules import compile_rules
from tests.config.samples import FILES
from tests.each import each

Path = tuple[str | int, ...]
WRONG = (
    None,
    True,
    7,
    -1.5,
    "",
    "x",
    "no",
    "2026-01-01",
    [],
    ["x"],
    [[]],
    {},
    {"x": 1},
    [{"x": None}],
    "é\n'\"{",
)


def paths(data: object, path: Path = ()) -> Iterator[Path]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


def changed(text: str, path: Path, value: object, *, delete: bool = False) -> str:
    data = yaml.load(text, yaml.CBaseLoader)
    at = data
    for key in path[:-1]:
        at = at[key]
    if delete:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


CASES = [(name, path) for name, text in FILES.items() for path in paths(yaml.load(text, yaml.CBaseLoader))]


def loaded(files: dict[str, str]) -> tuple[Config | None, tuple[Fault, ...]]:
    try:
        return configfiles.load(files, checks=[compile_rules]), ()
    except ConfigError as error:
        return None, error.faults


def check(files: dict[str, str]) -> None:
    config, faults = loaded(files)
    if config is None:
        assert faults
        for fault in faults:
            name = fault.file.removeprefix("config/")
            assert name in files or "missing" in fault.text, fault
            assert 1 <= fault.line <= max(1, files.get(name, "").count("\n") + 1), fault
            assert fault.text.strip(), fault
            assert "\n" not in fault.text
    else:
        assert config.default.queue in config.queues
        compile_rules(config).decide({}, "anything")


@each("name", FILES)
def test_every_key_deleted(name: str) -> None:
    for path in (path for file, path in CASES if file == name):
        check({**FILES, name: changed(FILES[name], path, None, delete=True)})


@each("name", FILES)
def test_every_value_of_a_wrong_kind(name: str) -> None:
    for path in (path for file, path in CASES if file == name):
        for wrong in WRONG:
            check({**FILES, name: changed(FILES[name], path, wrong)})


@each("name", FILES)
def test_every_line_doubled_dropped_or_cut(name: str) -> None:
    lines = FILES[name].splitlines(keepends=True)
    for i, line in enumerate(lines):
        cut, spaced = line[: len(line) // 2], line.rstrip() + " : x\n"
        for some in ([line, line], [], [cut], [spaced], ["\t" + line], ["  " + line]):
            check({**FILES, name: "".join([*lines[:i], *some, *lines[i + 1 :]])})


def test_every_doubled_key_is_told() -> None:
    text = FILES["agents.yaml"]
    doubled = text.replace("    limit: 3\n", "    limit: 3\n    limit: 4\n")
    with pytest.raises(ConfigError, match=r'agents.yaml:9: "limit" is here twice'):
        configfiles.load({**FILES, "agents.yaml": doubled})
