"""Why a conversation landed where it did: by the very rules that decided, or by today's where those are gone."""

from __future__ import annotations

from functools import lru_cache

from crm_store import configs
from crm_store.db import Store
from crm_store.views import Decided
from hub import configfiles
from hub.errors import ConfigError, NotFound, Refused
from router.explain import Explanation, explain
from router.facts import VERSION, text_of
from router.rules import RuleSet, compile_rules


@lru_cache(maxsize=8)
def _rules_of(store: Store, config_hash: str) -> RuleSet:
    """The rules as they were; compiling takes a moment, and people look at several conversations in a row."""
    return compile_rules(configfiles.load(configs.find(store, config_hash).files))


def explained(
    store: Store, rules: RuleSet, decided: Decided, subject: str
) -> tuple[Explanation | None, bool]:
    """(why, by the very rules that decided?). Where those are gone, today's rules say what they would do.

    None where the facts are of a version that this code does not know.
    """
    if decided.facts_version > VERSION:
        return None, False
    same = True
    if decided.config_hash != rules.hash:
        try:
            rules = _rules_of(store, decided.config_hash)
        except (NotFound, Refused, ConfigError):
            same = False
    return explain(rules, decided.facts, text_of(subject, decided.text)), same
