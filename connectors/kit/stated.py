"""What a connector states of itself: its names, limits and settings; and that its secrets stay inside."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from msgspec import structs

from connectors.base import Answer, Changes, Connector, Polls
from connectors.kit.captures import Sample, with_proof
from connectors.kit.tell import Check, must, parse, shown
from hub.errors import Forged
from hub.limits import Limits

_STATED: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "title": str,
    "urn_scheme": str,
    "secrets": tuple,
    "limits": Limits,
    "bad_signature": int,
    "unknown_account": int,
    "unavailable": Answer,
    "methods": tuple,
    "derives": bool,
}
_DOES = ("check", "verify", "parse", "answer", "send", "find")


def it_is_a_connector(connector: Connector, sample: Sample) -> None:
    for name, kind in _STATED.items():
        must(hasattr(connector, name), f"it states no {name} (connectors/base.py, Connector)")
        value = getattr(connector, name)
        must(isinstance(value, kind), f"its {name} is a {type(value).__name__}")
    for name in _DOES:
        must(callable(getattr(connector, name, None)), f"it has no {name}() (connectors/base.py, Connector)")
    must(
        connector.name == sample.account.connector,
        f"its name is {connector.name!r}, and sample.yaml has an account of {sample.account.connector!r}",
    )
    must(connector.title.strip(), "its title is empty")
    must(connector.bad_signature in (401, 403), f"bad_signature is {connector.bad_signature}, not 401 or 403")
    must(
        connector.unknown_account in (200, 404),
        f"unknown_account is {connector.unknown_account}, not 200 or 404",
    )
    known = {*connector.secrets, *getattr(connector, "optional", ())}
    given = set(sample.account.secrets)
    must(
        set(connector.secrets) <= given,
        f"sample.yaml lacks the secrets {sorted(set(connector.secrets) - given)}",
    )
    must(given <= known, f"sample.yaml has secrets that the connector does not: {sorted(given - known)}")


def limits_have_a_source(connector: Connector, sample: Sample) -> None:
    limits = connector.limits
    must(
        limits.source.startswith(("https://", "docs/")),
        f"limits.source is {limits.source!r}, and should be the page that says so (https://… or docs/…)",
    )
    must(limits.text_chars > 0, "limits.text_chars is not positive")
    must(limits.attachments >= 0 and limits.attachment_bytes >= 0, "a limit of attachments is negative")
    must(bool(limits.attachments) == bool(limits.attachment_bytes), "attachments of which size, or how many?")
    must(limits.window_s is None or limits.window_s > 0, "limits.window_s is not positive")


def changes_are_what_the_limits_say(connector: Connector, sample: Sample) -> None:
    """Who says that sent messages can be changed or taken back does it, and nobody else says it can."""
    limits = connector.limits
    does = isinstance(connector, Changes)
    must(
        does or not (limits.edits or limits.deletes),
        "its limits say edits or deletes, and it has no change()",
    )
    must(
        not does or limits.edits or limits.deletes,
        "it has a change(), and its limits say neither edits nor deletes",
    )
    for what, can, within_s in (
        ("edits", limits.edits, limits.edits_s),
        ("deletes", limits.deletes, limits.deletes_s),
    ):
        must(
            within_s is None or (can and within_s > 0),
            f"limits.{what}_s is {within_s}, and limits.{what} is {can}",
        )


def unknown_settings_are_complained_about(connector: Connector, sample: Sample) -> None:
    complaints = connector.check(sample.account)
    must(complaints == [], f"check() complains about sample.yaml's own settings: {'; '.join(complaints)}")
    wrong = replace(sample.account, settings={**sample.account.settings, "no_such_setting": 1})
    complaints = connector.check(wrong)
    must(complaints, "check() says nothing of a setting that there is not (no_such_setting)")
    for complaint in complaints:
        must(
            complaint.strip() and "\n" not in complaint,
            f"check() must give sentences of one line: {complaint!r}",
        )


def settings_of_a_wrong_kind_are_complained_about(connector: Connector, sample: Sample) -> None:
    """YAML gives whatever was typed. A complaint is due, never an exception."""
    for name in sample.account.settings:
        for value in ({"a": 1}, ["x"], 10**30):
            settings = {**sample.account.settings, name: value}
            try:
                connector.check(replace(sample.account, settings=settings))
            except Exception as error:
                must(False, f"check() raised {shown(error)} where {name} is {value!r}, and should complain")


def secrets_stay_inside(connector: Connector, sample: Sample) -> None:
    """Neither reprs nor the log nor an error's words carry a secret, and the log carries no customer's words."""
    import structlog
    from structlog.testing import capture_logs

    said = [("its repr", repr(connector)), ("the account's repr", repr(sample.account))]
    words: list[str] = []
    lines = _Lines()
    root = logging.getLogger()
    level, filtering = root.level, structlog.get_config()["wrapper_class"]
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    try:
        with capture_logs() as entries:
            for name, raw in sample.captures.items():
                parsed = parse(connector, raw, sample, name)
                words += [text for e in parsed.events if len(text := str(getattr(e, "text", ""))) > 8]
                said.append((f"{name}: the repr of its events", repr(parsed)))
                said.append((f"{name}: the repr of its request", repr(raw)))
                told = connector.answer(raw, sample.account, parsed)
                said.append((f"{name}: its answer", told.body.decode("utf-8", "replace")))
                for bad in (
                    structs.replace(raw, body=raw.body + b" ", headers={}),
                    with_proof(raw, sample, "x"),
                ):
                    try:
                        connector.verify(bad, sample.account)
                    except Forged as error:
                        said.append((f"{name}: why it is forged", f"{error!r} {error}"))
    finally:
        root.removeHandler(lines)
        root.setLevel(level)
        structlog.configure(wrapper_class=filtering)
    logged = "\n".join(lines.lines)
    loud = "\n".join(repr(entry) for entry in entries if entry.get("log_level") != "debug")
    said += [("the log", logged), ("the log", repr(entries))]
    for secret in sample.secrets():
        for where, text in said:
            must(secret not in text, f"{where} holds a secret")
    for text in words:
        must(
            text not in logged and text not in loud,
            "the log holds a customer's words, and above DEBUG it may not",
        )


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


CHECKS: tuple[Check, ...] = (
    it_is_a_connector,
    limits_have_a_source,
    changes_are_what_the_limits_say,
    unknown_settings_are_complained_about,
    settings_of_a_wrong_kind_are_complained_about,
    secrets_stay_inside,
)


def rows(connectors: dict[str, Connector]) -> list[dict[str, Any]]:
    """What each channel can, for people and machines (`mainstem channel list`)."""
    return [
        {
            "name": name,
            "title": one.title,
            "in": [*one.methods, *(["polled"] if isinstance(one, Polls) else [])],
            "out": "" if not one.limits.needs else " and ".join(one.limits.needs),
            "text_chars": one.limits.text_chars,
            "attachments": one.limits.attachments,
            "attachment_bytes": one.limits.attachment_bytes,
            "edits": one.limits.edits,
            "deletes": one.limits.deletes,
            "reads": one.limits.reads,
            "subject": one.limits.subject,
            "media": list(one.limits.media) or (["any"] if one.limits.attachments else []),
            "links": one.limits.links,
            "window_s": one.limits.window_s,
            "human_window_s": one.limits.human_window_s,
            "templates": one.limits.templates,
            "choices": one.limits.choices,
            "source": one.limits.source,
        }
        for name, one in sorted(connectors.items())
    ]
