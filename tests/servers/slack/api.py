"""How a Web API method is declared and called: its arguments, scopes, tier, and the errors it answers with.

https://docs.slack.dev/apis/web-api
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.servers.slack.workspace import Json

if TYPE_CHECKING:
    from tests.servers.slack.server import Slack


class ApiError(Exception):
    """{"ok": false, "error": code, …more}"""

    def __init__(self, code: str, *messages: str, **more: Any) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.more: Json = dict(more)
        if messages:
            self.more["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}


class Called(NamedTuple):
    """One call of the Web API. error: "" where it was carried out, else Slack's code or the HTTP status."""

    method: str
    args: Json
    token: str
    error: str
    at: float  # seconds of slack.clock

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True, kw_only=True)
class Call:
    slack: Slack
    args: Json
    token: str

    def __getattr__(self, name: str) -> Any:
        """An argument, or None."""
        return self.args.get(name)


Work = Callable[[Call], Json]


@dataclass(frozen=True, kw_only=True)
class Method:
    """tier: how often a minute (None: a rule of its own). any_scope: one of `scopes` is enough. takes_json: as its page
    lists under "Content types"; the others read their arguments from the query or a form alone."""

    name: str
    work: Work
    args: dict[str, str] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    tier: int | None = None
    takes_json: bool = True
    app_token: bool = False


METHODS: dict[str, Method] = {}


def method(
    name: str,
    args: str = "",
    *,
    scopes: tuple[str, ...] = (),
    tier: int | None = 50,
    takes_json: bool = True,
    app_token: bool = False,
) -> Callable[[Work], Work]:
    """`args`: "channel! text blocks:list limit:int"; "!" for those that must be there."""

    def declare(work: Work) -> Work:
        kinds, needed = {"team_id": "str"}, set()  # bolt's clients send team_id with every call
        for word in args.split():
            arg, _, kind = word.partition(":")
            if arg.endswith("!"):
                arg = arg[:-1]
                needed.add(arg)
            kinds[arg] = kind or "str"
        METHODS[name] = Method(
            name=name,
            work=work,
            args=kinds,
            needed=frozenset(needed),
            scopes=scopes,
            tier=tier,
            takes_json=takes_json,
            app_token=app_token,
        )
        return work

    return declare


def read_args(declared: Method, given: Json) -> Json:
    """The arguments in their types. Raises ApiError("invalid_arguments") with a line for each fault.

    Strings of a form become numbers, booleans and JSON as the method declares them. Slack itself overlooks some unknown
    names; here they are errors, since a name nobody reads is a mistake of the caller's.
    """
    faults = [f"unknown argument: {name}" for name in given if name not in declared.args]
    faults += [
        f"missing required field: {name}" for name in sorted(declared.needed) if given.get(name) in (None, "")
    ]
    if faults:
        raise ApiError("invalid_arguments", *faults)
    return {
        name: _typed(name, value, declared.args[name]) for name, value in given.items() if value is not None
    }


def _typed(name: str, value: Any, kind: str) -> Any:
    if kind == "str" and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("1", "true", "0", "false"):
            return str(value).lower() in ("1", "true")
    if kind == "int" and not isinstance(value, bool) and str(value).lstrip("-").isdigit():
        return int(value)
    if kind in ("list", "dict"):
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        if isinstance(found, list if kind == "list" else dict):
            return found
        raise ApiError(_BROKEN.get(name, "invalid_arguments"), f"{name}: not a JSON {kind}")
    raise ApiError("invalid_arguments", f"{name}: must be a {kind}")


_BROKEN = {
    "blocks": "invalid_blocks_format",
    "metadata": "invalid_metadata_format",
    "attachments": "invalid_attachments",
}
