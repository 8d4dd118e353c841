"""Many examples in one test: `parametrize` without a node of its own for each, which costs ten times what they do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(names: str, values: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `pytest.mark.parametrize(names, values)`; all are tried, and those that fail are named.

    For tests that keep nothing from one example to the next: their fixtures are made once.
    """
    asked = [name.strip() for name in names.split(",")]
    examples = [
        dict(zip(asked, value if len(asked) > 1 else (value,), strict=True)) for value in map(_plain, values)
    ]

    def over(test: Callable[..., Any]) -> Callable[..., Any]:
        def one(failed: list[BaseException], error: BaseException, example: dict[str, Any]) -> None:
            error.add_note(f"with {example!r:.1000}")
            failed.append(error)

        @functools.wraps(test)
        def plain(**fixtures: Any) -> None:
            failed: list[BaseException] = []
            for example in examples:
                try:
                    test(**fixtures, **example)
                except (Exception, pytest.fail.Exception) as error:
                    one(failed, error, example)
            _said(failed, len(examples))

        @functools.wraps(test)
        async def awaited(**fixtures: Any) -> None:
            failed: list[BaseException] = []
            for example in examples:
                try:
                    await test(**fixtures, **example)
                except (Exception, pytest.fail.Exception) as error:
                    one(failed, error, example)
            _said(failed, len(examples))

        made: Any = awaited if inspect.iscoroutinefunction(test) else plain
        signature = inspect.signature(test)
        kept = [given for name, given in signature.parameters.items() if name not in asked]
        made.__signature__ = signature.replace(parameters=kept)
        return made  # type: ignore[no-any-return]

    return over


def _plain(value: Any) -> Any:
    """The values of a `pytest.param(...)`, which may have no marks here."""
    if not isinstance(value, type(pytest.param())):
        return value
    assert not value.marks, "a mark is for a test of its own"
    return value.values if len(value.values) > 1 else value.values[0]


def _said(failed: list[BaseException], of: int) -> None:
    assert of, "no example"
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {of} examples", failed)
