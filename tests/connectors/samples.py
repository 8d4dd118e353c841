"""The samples and captures of our own connectors, and accounts for tests. What they say stands beside the captures."""

from pathlib import Path
from typing import Any

from connectors.kit.captures import PUBLIC, Sample, proof_of, read_http, with_header, with_proof
from connectors.kit.files import load
from hub.config import Account

__all__ = [
    "PAYLOADS",
    "PUBLIC",
    "SAMPLES",
    "Sample",
    "account",
    "proof_of",
    "read_http",
    "with_header",
    "with_proof",
]

PAYLOADS = Path(__file__).parent / "payloads"
SAMPLES = {file.parent.name: load(file.parent) for file in sorted(PAYLOADS.glob("*/sample.yaml"))}


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
