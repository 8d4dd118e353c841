"""Looking at parameters as Graph does: unknown names, missing ones, types, lengths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tests.servers.graph.errors import GraphError, Json


def known(given: Json, allowed: Iterable[str], where: str) -> None:
    """Raises (#100) for a name that Meta does not document there."""
    for name in given:
        if name not in set(allowed):
            raise GraphError(100, f'Unexpected key "{name}" on param "{where}".')


def need(given: Json, name: str, where: str, code: int = 131008) -> Any:
    """The value; raises `code` where it is missing, null or empty."""
    value = given.get(name)
    if value in (None, "", [], {}):
        raise GraphError(code, f"The parameter {where}['{name}'] is required.")
    return value


def table(value: Any, where: str, code: int = 131009) -> Json:
    if not isinstance(value, dict):
        raise GraphError(code, f"Param {where} must be a JSON object.")
    return value


def rows(value: Any, where: str, least: int, most: int, code: int = 131009) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise GraphError(code, f"Param {where} must have {least} to {most} elements.")
    return value


def text(
    given: Json,
    name: str,
    where: str,
    most: int,
    *,
    required: bool = True,
    code: int = 131009,
    lacks: int = 131008,
) -> str:
    """A string of 1 to `most` characters; "" where it may be left out. `lacks`: the code for a missing one."""
    value = need(given, name, where, lacks) if required else given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise GraphError(code, f"Param {where}['{name}'] must be a string.")
    if not 1 <= len(value) <= most:
        raise GraphError(code, f"Param {where}['{name}'] must be at most {most} characters long.")
    return value


def one_of(value: Any, allowed: Iterable[str], where: str, code: int = 131009) -> str:
    if value not in set(allowed):
        raise GraphError(
            code, f"Param {where} must be one of {{{', '.join(sorted(allowed))}}} - got {value!r}."
        )
    return str(value)


def link(value: Any, where: str, code: int = 131009) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise GraphError(code, f"Param {where} is not a valid URI.")
    return str(value)


def yes_or_no(given: Json, name: str, where: str, code: int = 131009) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise GraphError(code, f"Param {where}['{name}'] must be a boolean.")
    return value
