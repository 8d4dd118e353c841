"""Public holidays, by country (GB) or a part of one (GB-ENG): which are known, and on which days they fall.

The library is imported when a calendar names some, and of its 256 countries only those that are named.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import date
from functools import lru_cache
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_COUNTRIES = "holidays.countries"


def _library() -> ModuleType:
    import holidays

    # Left to itself this package imports all its modules as soon as one is asked for: 11 MB and 0.1 s a process.
    if _COUNTRIES not in sys.modules and (spec := find_spec(_COUNTRIES)) is not None:
        sys.modules[_COUNTRIES] = module_from_spec(spec)
    return holidays


def countries() -> Collection[str]:
    """The codes of the countries that are known, of two letters and of three."""
    _library()
    from holidays.registry import EntityLoader

    return tuple(EntityLoader.get_country_codes())


def parts(country: str) -> Collection[str]:
    """The codes of a country's parts, as written after its own. `country` is one of `countries`."""
    return tuple(getattr(_library(), country).subdivisions)


@lru_cache(maxsize=256)
def days(code: str, year: int) -> frozenset[date]:
    """The days off of the year. Raises NotImplementedError for a code that is not known."""
    country, _, part = code.partition("-")
    return frozenset(_library().country_holidays(country, subdiv=part or None, years=year))
