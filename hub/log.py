"""Structured logs: an event in a few fixed words, and fields. Addresses are masked, secrets never leave the process.

`get("web").info("accepted", account="webchat/main")`. What libraries log through the standard library goes the same
way. A line that cannot be written is dropped and counted: a full disk stops no message (F30 of the fault matrix).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

# structlog.dev, of which we use nothing, imports rich where it finds it: 6 MB in every process.
_hidden = sys.modules.setdefault("rich", None) is None  # type: ignore[arg-type]
import structlog  # noqa: E402

if _hidden:
    del sys.modules["rich"]

from hub import urn  # noqa: E402
from hub.settings import Settings  # noqa: E402

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_REDACTED = "[redacted]"
_MAX_CHARS = 8192  # of one value: a field is a fact, not a document

_SECRET_FIELD = re.compile(
    r"authorization|token|secret|password|passwd|signature|cookie|api_?key|credential|private_?key",
    re.IGNORECASE,
)
# fmt: off
_ADDRESS_FIELDS = frozenset([
    "sender", "urn", "urns", "to", "to_urn", "from", "from_", "address", "addresses", "phone", "email", "mail",
    "other", "recipient", "claims", "visitor",
])
# fmt: on
_TEXT_FIELDS = frozenset(["text", "body", "subject", "content", "html", "transcript", "note"])

_SECRETISH = r"[\w-]*(?:token|secret|password|signature|api_?key)[\w-]*"
_VALUE = r"[^\s\"'&,;)}]+"
# PostgreSQL quotes the row that an error is about: what somebody wrote, to the next thing that is certainly ours.
_ROW = re.compile(
    r"\b(DETAIL:|CONTEXT:).*?(?=\n\[SQL|\n\(Background|\nThe above exc|\nDuring handling|\nTraceback|\Z)",
    re.DOTALL,
)
# In any text at all, tracebacks of other people's libraries included. First what must stand in it at all, because
# looking for that is twenty times quicker than the pattern.
_IN_TEXT: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "/bot",
        re.compile(r"/bot\d+:[A-Za-z0-9_-]+"),
        f"/bot{_REDACTED}",
    ),  # Telegram keeps its token in the path
    ("://", re.compile(r"(?<=://)[^/\s@]*:[^/\s@]+(?=@)"), _REDACTED),  # redis://user:password@host
    (" ", re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {_REDACTED}"),
    ("DETAIL:", _ROW, rf"\1 {_REDACTED}"),
    ("CONTEXT:", _ROW, rf"\1 {_REDACTED}"),
    ("=", re.compile(rf"(?i)\b({_SECRETISH})(\s*=\s*[\"']?){_VALUE}"), rf"\1\2{_REDACTED}"),
    (":", re.compile(rf"(?i)\b({_SECRETISH})([\"']?\s*:\s*[\"']?){_VALUE}"), rf"\1\2{_REDACTED}"),
)
_MAIL = re.compile(r"\b([\w.+-])[\w.+-]*@([\w-]+(?:\.[\w-]+)+)")
_PHONE = re.compile(r"\+\d{8,15}\b")
# Control characters, and those that turn a line around on a screen.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def get(name: str) -> Any:
    """The logger of one part. Cheap; may be called at import, before `configure`."""
    return structlog.get_logger(source=name)


def configure(how: Settings | str = "info", fmt: str = "text", *, stream: TextIO | None = None) -> None:
    """Set up this process's logs: as the settings say, or a level and "text" or "json"; on stderr unless told.

    Called again it starts afresh.
    """
    level, fmt = (how.log_level, how.log_format) if isinstance(how, Settings) else (how, fmt)
    number = _LEVELS[level]
    render = _json if fmt == "json" else _line
    sink = _Sink(stream if stream is not None else sys.stderr)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _stamp, _traceback, _no_text, clean, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.INFO), handlers=[_Library()], force=True)
    logging.raiseExceptions = False
    # Each says a line a request or a job; ours say the same with ids.
    for chatty in ("aiohttp.access", "rq.worker", "asyncio"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


class _Sink:
    """Where lines go. Counts what it could not write, and never raises."""

    dropped = 0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            _Sink.dropped += 1

    debug = info = warning = error = critical = exception = log = msg


def dropped() -> int:
    """How many lines of this process could not be written."""
    return _Sink.dropped


class _Library(logging.Handler):
    """The standard library's records, as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except Exception:  # a library's format and arguments that do not fit
            said = str(record.msg)
        level = next((name for name, number in _LEVELS.items() if record.levelno <= number), "critical")
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        getattr(get(record.name), level)(said, **({"exc_info": exc_info} if exc_info else {}))


# ---------------------------------------------------------------------------------------------------- processors


def _stamp(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event["level"] = "error" if method == "exception" else method
    return event


def _traceback(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The trace of `exc_info` as text; where even that fails (an exception whose str() raises), its type."""
    try:
        return structlog.processors.format_exc_info(logger, method, event)
    except Exception:
        event.pop("exc_info", None)
        return {**event, "exception": f"{sys.exc_info()[0]} while the trace was written"}


def _no_text(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What customers and agents wrote is shown at DEBUG only; elsewhere its length."""
    if method != "debug":
        for name in _TEXT_FIELDS & event.keys():
            value = event[name]
            event[name] = f"[{len(value)} characters]" if isinstance(value, str | bytes) else "[…]"
    return event


def clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Masks addresses and drops secrets, in every field and inside every text."""
    return {str(name): _clean_field(str(name), value) for name, value in event.items()}


def _clean_field(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if _SECRET_FIELD.search(name):
        return _REDACTED
    if name in _ADDRESS_FIELDS:
        if isinstance(value, str):
            return mask_text(value) if " " in value else mask_text(urn.mask(value))
        if isinstance(value, list | tuple | set | frozenset):
            return [_clean_field(name, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _clean_field(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean_field("", item) for item in value]
    return mask_text(value if isinstance(value, str) else _text_of(value))


def mask_text(text: str) -> str:
    """`text` without the secrets and addresses that can be recognised in it; at most 8,192 characters."""
    if len(text) > _MAX_CHARS:
        text = f"{text[:_MAX_CHARS]}… ({len(text)} characters)"
    for mark, pattern, instead in _IN_TEXT:
        if mark in text:
            text = pattern.sub(instead, text)
    if "@" in text:
        text = _MAIL.sub(r"\1•••@\2", text)
    if "+" in text:
        text = _PHONE.sub(lambda found: urn.mask(f"tel:{found[0]}")[4:], text)
    return text


def _text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose text failed: {type(error).__name__}>"


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: _NAMED.get(found[0], f"\\u{ord(found[0]):04x}"), text)


def _json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, default=_text_of, ensure_ascii=True)


def _line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """For people: time, level, part, words, then `name=value`. A trace follows, each line of it behind a bar."""
    fields = dict(event)
    at, level, part = (str(fields.pop(name, "")) for name in ("at", "level", "source"))
    words, trace = str(fields.pop("event", "")), fields.pop("exception", None)
    said = "".join(f"  {_escape(name)}={_shown(value)}" for name, value in fields.items())
    line = f"{at[11:23]} {level:<7} {_escape(part):<10} {_escape(words)}{said}"
    if trace:
        line += "".join(f"\n    | {_escape(row)}" for row in str(trace).split("\n"))
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        value = _escape(value)
        return json.dumps(value, ensure_ascii=False) if " " in value or not value else value
    if isinstance(value, dict | list):
        return _escape(json.dumps(value, default=_text_of, ensure_ascii=False))
    return str(value)
