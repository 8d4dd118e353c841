"""sample.yaml and the expected events, read. Every value stays the text that was written until its type is known."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import Raw
from connectors.kit.captures import BadSample, Sample
from connectors.kit.sign import Sign
from hub import codec, yamltree
from hub.config import Account
from hub.model import Event
from hub.yamlfile import Reader
from hub.yamltree import Items, Keys, Node, Scalar

_KINDS: dict[str, type[Event]] = {kind: event for event, kind in codec.KINDS.items()}
_SAMPLE = {
    "account", "address", "settings", "secrets", "proof", "signs", "within_s", "sign", "good", "unknown", "batch",
    "open_fields", "siblings", "to", "answer", "ids", "skips",
}  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What a capture means. events: None where it cannot be read; then `reason` holds words of why.

    status and answer: what the provider is told, where the file says so.
    """

    events: tuple[Event, ...] | None = ()
    reason: str = ""
    status: int | None = None
    answer: str | None = None
    partly: dict[int, dict[str, Any]] = field(default_factory=dict)


def load(folder: Path) -> Sample:
    """The sample of a folder. Raises BadSample."""
    file = folder / "sample.yaml"
    said = _mapping(_read(file), file)
    for key in said.entries:
        if key not in _SAMPLE:
            raise BadSample(f"{file}:{said.lines[key]}: there is no key {key!r}{yamltree.near(key, _SAMPLE)}")
    reader = Reader(str(file))
    plain = {key: reader.plain(node) for key, node in said.entries.items() if key in ("settings", "skips")}
    text: dict[str, Any] = _plain(said)
    try:
        signs = _texts(text.get("signs"))
        sign = text.get("sign")
        proof = text["proof"]
        return Sample(
            account=_account(text, plain.get("settings") or {}),
            proof=proof if isinstance(proof, dict) else dict.fromkeys(_METHODS, proof),
            signs_body="body" in signs,
            signs_address="address" in signs,
            timed_s=float(text["within_s"]) if "within_s" in text else None,
            sign=Sign(**{**sign, **({"over": _texts(sign["over"])} if "over" in sign else {})})
            if sign
            else None,
            good=text.get("good", "message"),
            unknown=text.get("unknown", "unknown"),
            batch=text.get("batch") == "true",
            open_fields=_texts(text.get("open_fields")),
            to=text.get("to") or "",
            answer=text.get("answer") or "",
            ids=_texts(text.get("ids")),
            skips=plain.get("skips") or {},
            folder=folder,
        )
    except KeyError as missing:
        raise BadSample(f"{file}: the key {missing.args[0]!r} is missing") from None
    except (TypeError, ValueError) as error:
        raise BadSample(f"{file}: {error}") from None


_METHODS = ("GET", "POST", "PUT", "WS")


def _account(text: dict[str, Any], settings: dict[str, Any]) -> Account:
    connector, _, name = text["account"].partition("/")
    return Account(
        key=text["account"],
        connector=connector,
        name=name,
        brand="main",
        title=name.title(),
        address=text.get("address"),
        settings=settings,
        siblings=dict(text.get("siblings") or {}),
        secrets={purpose: _texts(values) for purpose, values in (text.get("secrets") or {}).items()},
    )


def expected(sample: Sample, name: str, raw: Raw) -> Expected:
    """What `name`.yaml, beside the capture, says that it means. Raises BadSample."""
    file = sample.folder / f"{name}.yaml"
    node = _read(file)
    events: Node | None = node
    said: dict[str, Any] = {}
    if isinstance(node, Keys):
        unknown = set(node.entries) - {"events", "unreadable", "status", "answer"}
        if unknown or not node.entries.keys() & {"events", "unreadable"}:
            raise BadSample(f"{file}: it must be a list of events, or say `events:` or `unreadable:`")
        said = _plain(node)
        events = node.entries.get("events")
    status = int(said["status"]) if said.get("status") else None
    if events is None or "unreadable" in said:
        return Expected(None, said.get("unreadable") or "", status, said.get("answer"))
    if not isinstance(events, Items):
        raise BadSample(f"{file}: the events must be a list; [] where it means nothing")
    found: list[Event] = []
    partly: dict[int, dict[str, Any]] = {}
    for place, item in enumerate(events.items):
        fields = _plain(_mapping(item, file))
        if fields.get("kind") == "unreadable":
            partly[place] = fields
        found.append(_event(fields, sample, raw, f"{file}:{item.line}"))
    return Expected(tuple(found), "", status, said.get("answer"), partly)


def _event(said: dict[str, Any], sample: Sample, raw: Raw, where: str) -> Event:
    kind = said.pop("kind", "message")
    if kind not in _KINDS:
        raise BadSample(f"{where}: there is no kind of event {kind!r}{yamltree.near(kind, _KINDS)}")
    cls = _KINDS[kind]
    names = cls.__struct_fields__
    for key in said:
        if key not in names:
            raise BadSample(f"{where}: a {kind} has no {key!r}{yamltree.near(key, names)}")
    given = {"account": sample.account.key, "received_at": raw.received_at.isoformat(), **said}
    if kind == "unreadable":
        given = {"event_key": "", "reason": "", "blob": "", **given}
    if isinstance(given.get("fields"), dict):
        given["fields"] = list(given["fields"].items())
    if "attachments" in given:
        given["attachments"] = [_attachment(one, sample, where) for one in given["attachments"]]
    try:
        event: Event = msgspec.convert(given, cls, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadSample(f"{where}: {error}") from None
    return event


def _attachment(given: Any, sample: Sample, where: str) -> dict[str, Any]:
    """`file` (beside the capture), `base64` or `bytes` are what was sent; its hash and size follow from that."""
    if not isinstance(given, dict):
        raise BadSample(f"{where}: an attachment has keys")
    said: dict[str, Any] = dict(given)
    try:
        if "file" in said:
            data = (sample.folder / said.pop("file")).read_bytes()
        elif "base64" in said:
            data = base64.b64decode(said.pop("base64"))
        else:
            return said
    except (OSError, binascii.Error) as error:
        raise BadSample(f"{where}: {error}") from None
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **said}


def _read(file: Path) -> Node:
    try:
        node, faults = yamltree.parse(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSample(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    if faults or node is None:
        raise BadSample(str(faults[0]) if faults else f"{file} is empty")
    return node


def _mapping(node: Node, file: Path) -> Keys:
    if not isinstance(node, Keys):
        raise BadSample(f"{file}:{node.line}: it must hold keys (name: value)")
    return node


def _plain(node: Node) -> Any:
    """Texts as they were written, and None for what was left empty."""
    if isinstance(node, Keys):
        return {key: _plain(value) for key, value in node.entries.items()}
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return None if node.empty else node.text


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
