"""A channel's captures: requests as the provider sends them (.http), what each means (.yaml), and sample.yaml.

docs/adding-a-channel.md describes the three kinds of file; this module and that page change together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import structs

from connectors.base import Raw
from connectors.kit.sign import Sign
from hub.config import Account
from hub.errors import MainstemError

PUBLIC = "https://hub.example.com"
SIGNED = "(signed)"  # a header's value that is filled in by `sign`, as the provider would write it


class BadSample(MainstemError):
    """A folder of captures that cannot be used. One sentence, with the file."""


def read_http(data: bytes, where: str = "a capture") -> Raw:
    """A captured request: `# received <time>`, the request line, headers, an empty line, the body as it is.

    The head is UTF-8 with either kind of line end; the body is whatever bytes stand after the empty line.
    """
    ends = [(at, len(end)) for end in (b"\r\n\r\n", b"\n\n") if (at := data.find(end)) >= 0]
    at, length = min(ends, default=(len(data), 0))
    before, body = data[:at].replace(b"\r\n", b"\n"), data[at + length :]
    try:
        head = before.decode().split("\n")
        lines = [line for line in head if not line.startswith("# ")]
        received = next(line.removeprefix("# received ") for line in head if line.startswith("# received "))
        method, path, _ = lines[0].split(" ")
        received_at = datetime.fromisoformat(received)
    except StopIteration:
        raise BadSample(f"{where}: its first line must be `# received 2026-11-21T10:00:02Z`") from None
    except (ValueError, IndexError) as error:
        raise BadSample(f"{where} is no captured request: {error}") from None
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadSample(f"{where}: {line[:60]!r} is no header")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Raw(
        method=method,
        url=PUBLIC + path,
        headers=headers,
        body=body,
        received_at=received_at,
        remote="192.0.2.7",
    )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the checks need to know of a channel; sample.yaml says it.

    proof: request method -> where that stands which proves who sends: a header's name, `path` (the last part of the
    address), or `query NAME`. signs_body, signs_address: the proof covers them. timed_s: how old it may be; None where
    it never ages. sign: how the provider makes it. good: the capture of an ordinary message. unknown: the one of a
    kind that nobody knows yet. batch: one request may carry many events. open_fields: fields whose keys the sender
    chooses, so that more of them say more. to: whom the sends are to; else who sent `good`. answer: what the provider
    says to a message that it takes. skips: check -> why it does not apply.
    """

    account: Account
    proof: Mapping[str, str]
    signs_body: bool = False
    signs_address: bool = False
    timed_s: float | None = None
    sign: Sign | None = None
    good: str = "message"
    unknown: str = "unknown"
    batch: bool = False
    open_fields: tuple[str, ...] = ()
    to: str = ""
    answer: str = ""
    ids: tuple[str, ...] = ()
    skips: Mapping[str, str] = field(default_factory=dict)
    folder: Path

    @cached_property
    def captures(self) -> dict[str, Raw]:
        """Name -> request, in alphabetical order."""
        found = {p.stem: read_http(p.read_bytes(), p.name) for p in sorted(self.folder.glob("*.http"))}
        return {name: self._signed(raw, name) for name, raw in found.items()}

    def requests(self) -> dict[str, Raw]:
        return dict(self.captures)

    def good_request(self) -> Raw:
        if self.good not in self.captures:
            raise BadSample(
                f"{self.folder}: there is no {self.good}.http, the capture of an ordinary message"
            )
        return self.captures[self.good]

    def one_each(self) -> dict[str, Raw]:
        """A good capture for every request method that is proved: `good`, and the first of each other method."""
        chosen = {self.good: self.good_request()}
        methods = {self.good_request().method}
        for name, raw in self.captures.items():
            if raw.method not in methods and raw.method in self.proof:
                methods.add(raw.method)
                chosen[name] = raw
        return chosen

    def secrets(self) -> list[str]:
        return [value for values in self.account.secrets.values() for value in values]

    def _signed(self, raw: Raw, name: str) -> Raw:
        wanted = [key for key, values in raw.headers.items() if SIGNED in values]
        if not wanted:
            return raw
        if self.sign is None:
            raise BadSample(
                f"{self.folder / name}.http is {SIGNED}, and sample.yaml does not say how to sign"
            )
        made = self.sign.make(raw, self.account)
        return structs.replace(raw, headers={**raw.headers, **{key: [made] for key in wanted}})


def proof_place(raw: Raw, sample: Sample) -> str:
    try:
        return sample.proof[raw.method]
    except KeyError:
        raise BadSample(
            f"{sample.folder}/sample.yaml: `proof` says nothing of {raw.method} requests"
        ) from None


def proof_of(raw: Raw, sample: Sample) -> str | None:
    """What proves who sent `raw`, as it stands in it."""
    place = proof_place(raw, sample)
    if place == "path":
        return urlsplit(raw.url).path.rpartition("/")[2]
    if place.startswith("query "):
        values = [v for k, v in parse_qsl(urlsplit(raw.url).query) if k == place[6:]]
        return values[0] if len(values) == 1 else None
    return raw.header(place)


def with_proof(raw: Raw, sample: Sample, *values: str) -> Raw:
    """The same request with another proof, without one, or with two."""
    place = proof_place(raw, sample)
    parts = urlsplit(raw.url)
    if place == "path":
        return structs.replace(
            raw, url=urlunsplit(parts._replace(path="/".join((parts.path.rpartition("/")[0], *values))))
        )
    if place.startswith("query "):
        kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != place[6:]]
        query = urlencode([*kept, *((place[6:], value.encode("utf-8", "replace")) for value in values)])
        return structs.replace(raw, url=urlunsplit(parts._replace(query=query)))
    return with_header(raw, place, *values)


def with_header(raw: Raw, name: str, *values: str) -> Raw:
    headers = {k: v for k, v in raw.headers.items() if k != name.lower()}
    if values:
        headers[name.lower()] = list(values)
    return structs.replace(raw, headers=headers)
