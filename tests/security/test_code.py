"""S21: what comes from outside is data. No line of ours unpickles, evaluates or parses XML; a job's name is ours."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import click
import pytest
import redis as redis_py
from rq import Queue
from rq.job import Callback
from rq.serializers import JSONSerializer

from hub import jobs
from mainstem.cli import cli
from workers import run

ROOT = Path(__file__).parents[2]
ROOMS = ("hub", "connectors", "crm_store", "router", "desk", "workers", "mainstem")

# Modules that turn bytes into code or objects, and the XML parsers (defusedxml when a channel needs one).
FORBIDDEN_MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "joblib", "xml", "lxml", "xmltodict",
    "xmlrpc", "imp", "code", "codeop", "pty",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
    "yaml.full_load", "yaml.safe_load", "msgspec.yaml.decode",
}  # fmt: skip
# The one place where YAML is read: node by node, by a safe loader without tags (tests/config/test_files.py).
YAML = {"hub/yamlfile.py", "hub/yamltree.py"}


@cache
def spoken() -> list[tuple[str, ast.Import | ast.ImportFrom | ast.Call]]:
    """Every import and every call of ours, with its file: one walk for all tests."""
    kinds = (ast.Import, ast.ImportFrom, ast.Call)
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [
        (str(path.relative_to(ROOT)), node)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, kinds)
    ]


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_of_ours_makes_code_or_objects_of_bytes() -> None:
    found = []
    for path, node in spoken():
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
        found += [f"{path}:{node.lineno} {m}" for m in modules if m.partition(".")[0] in FORBIDDEN_MODULES]
        found += [f"{path}:{node.lineno} {m}" for m in modules if m == "yaml" and path not in YAML]
        if isinstance(node, ast.Call):
            if name_of(node.func) in FORBIDDEN_CALLS:
                found.append(f"{path}:{node.lineno} {name_of(node.func)}()")
            if any(word.arg == "shell" for word in node.keywords):
                found.append(f"{path}:{node.lineno} shell=")
    assert not found


def test_jobs_are_json_everywhere_and_carry_no_arguments() -> None:
    """Every Queue and Worker names the JSON serializer: rq's own choice is pickle."""
    seen = 0
    for path, node in spoken():
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        given = {word.arg: word.value for word in node.keywords}
        if name in ("Queue", "rq.Queue", "SimpleWorker", "Worker", "_Worker") and (
            "connection" in given or "serializer" in given
        ):
            seen += 1
            assert name_of(given["serializer"]) == "JSONSerializer", f"{path}:{node.lineno}"
        if name.endswith(".enqueue") and path == "hub/jobs.py":
            seen += 1
            assert len(node.args) == 1, "a job is a wake-up: it carries nothing"
            assert not set(given) & {"args", "kwargs"}
    assert seen == 3


CALLED: list[str] = []


def must_not_run(*args: object) -> None:
    CALLED.append("ran")


HERE = f"{__name__}.must_not_run"


@pytest.mark.parametrize("way", ["the function", "a callback", "an instance"])
def test_a_name_that_somebody_else_put_into_redis_is_not_run(
    way: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can write to Redis can disturb the hub, and must not become the hub."""
    CALLED.clear()
    done: list[str] = []
    monkeypatch.setattr("workers.fetch.job", lambda: done.append("fetched"))
    queue = Queue("mainstem", connection=redis, serializer=JSONSerializer)
    if way == "the function":
        queue.enqueue(HERE, "id")
    elif way == "a callback":
        queue.enqueue(jobs.FETCH, on_success=Callback(HERE), on_failure=Callback(HERE))
    else:
        job = queue.enqueue(jobs.FETCH)
        job.data = JSONSerializer.dumps(["format", "{0.__class__}", ["x"], {}])
        redis.hset(job.key, "data", job.data)
    jobs.enqueue(redis, jobs.FETCH)
    run._worker(redis, "mainstem").work(burst=True, logging_level="CRITICAL")
    assert CALLED == []
    assert done, "and our own job is done all the same"


def test_without_the_guard_it_would_run(redis: redis_py.Redis) -> None:
    """So that the test above proves the guard."""
    from rq import SimpleWorker

    CALLED.clear()
    queue = Queue("mainstem", connection=redis, serializer=JSONSerializer)
    queue.enqueue(HERE, "id")
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work(
        burst=True, logging_level="CRITICAL"
    )
    assert CALLED == ["ran"]


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """Arguments stand in the process list and in the shell's history (S18)."""
    words = ("password", "secret", "token", "key")
    stack: list[tuple[str, click.Command]] = [("mainstem", cli)]
    while stack:
        name, command = stack.pop()
        for parameter in command.params:
            assert not any(word in (parameter.name or "") for word in words), f"{name} {parameter.name}"
        if isinstance(command, click.Group):
            stack += [(f"{name} {one}", sub) for one, sub in command.commands.items()]


def test_secrets_are_compared_in_constant_time() -> None:
    """Where a name sounds like a secret, == is not how it is compared."""
    suspicious = {"token", "given", "expected", "signature", "secret", "digest", "csrf", "password"}
    found = []
    for path in (
        "connectors/signing.py",
        "connectors/webchat.py",
        "connectors/console.py",
        "desk/web/auth.py",
    ):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = [node.left, *node.comparators]
                if any(name_of(side).rpartition(".")[2] in suspicious for side in sides):
                    found.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert not found
