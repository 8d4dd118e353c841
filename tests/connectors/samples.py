"""For each connector an account and captured requests, so that what holds for all is tested for each.

A new connector adds its captures under payloads/<name>/ and one line in SAMPLES.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from connectors.base import Raw
from hub.config import Account

PAYLOADS = Path(__file__).parent / "payloads"
PUBLIC = "https://hub.example.com"


def read_http(text: str) -> Raw:
    """A captured request: `# received <time>`, the request line, headers, an empty line, the body as it is."""
    head, _, body = text.partition("\n\n")
    notes = [line for line in head.split("\n") if line.startswith("# ")]
    lines = [line for line in head.split("\n") if not line.startswith("# ")]
    method, path, _ = lines[0].split(" ")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    received = next(n.removeprefix("# received ") for n in notes if n.startswith("# received "))
    return Raw(
        method=method,
        url=PUBLIC + path,
        headers=headers,
        body=body.encode(),
        received_at=datetime.fromisoformat(received),
        remote="192.0.2.7",
    )


PATH = "path"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """proof: the header that proves who sends, or PATH: the last part of the address does. signs_body: the proof
    covers the body. timed: it has a window."""

    account: Account
    proof: str
    signs_body: bool
    timed: bool = False
    folder: Path | None = None
    captures: tuple[tuple[str, str], ...] = ()

    def requests(self) -> dict[str, Raw]:
        texts: Iterable[tuple[str, str]] = self.captures
        if self.folder is not None:
            texts = [(p.stem, p.read_text("utf-8")) for p in sorted(self.folder.glob("*.http"))]
        return {name: read_http(text) for name, text in texts}

    def good(self) -> Raw:
        return self.requests()["message"]


def account(key: str, secrets: dict[str, tuple[str, ...]], **settings: Any) -> Account:
    connector, _, name = key.partition("/")
    return Account(
        key=key,
        connector=connector,
        name=name,
        brand="main",
        title=name.title(),
        settings=settings,
        secrets=secrets,
    )


def with_header(raw: Raw, name: str, *values: str) -> Raw:
    headers = {k: v for k, v in raw.headers.items() if k != name}
    if values:
        headers[name] = list(values)
    return replace(raw, headers=headers)


def with_proof(raw: Raw, sample: Sample, *values: str) -> Raw:
    """The same request with another proof, without one, or with two."""
    if sample.proof == PATH:
        return replace(raw, url="/".join((raw.url.rpartition("/")[0], *values)))
    return with_header(raw, sample.proof, *values)


def proof_of(raw: Raw, sample: Sample) -> str | None:
    return raw.url.rpartition("/")[2] if sample.proof == PATH else raw.header(sample.proof)


SAMPLES = {
    "console": Sample(
        account=account("console/terminal", {"token": ("canary-console-token-91ab",)}),
        proof="authorization",
        signs_body=False,
        folder=PAYLOADS / "console",
    ),
    "mail": Sample(  # what comes over HTTP: who leaves by the link of a mail
        account=replace(
            account("mail/support", {"token": ("canary-mail-token-6f21",)}), address="support@example.com"
        ),
        proof=PATH,
        signs_body=False,
        folder=PAYLOADS / "mail",
    ),
    "webchat": Sample(
        account=account("webchat/main", {"visitors": ("canary-webchat-visitors-55d0",)}),
        proof="authorization",
        signs_body=False,
        folder=PAYLOADS / "webchat",
    ),
    "webhook": Sample(
        account=account("webhook/demo", {"signing": ("canary-webhook-signing-7c1f",)}),
        proof="x-mainstem-signature",
        signs_body=True,
        timed=True,
        folder=PAYLOADS / "webhook",
    ),
}
