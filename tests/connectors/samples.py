"""The samples and captures of our own connectors, and accounts for tests. What they say stands beside the captures."""

from collections.abc import Iterator, Mapping
from functools import cache
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


class _Samples(Mapping[str, Sample]):
    """Each is read when it is asked for: one that is broken spoils its own tests, and no other's."""

    def __getitem__(self, name: str) -> Sample:
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(file.parent.name for file in PAYLOADS.glob("*/sample.yaml")))

    def __len__(self) -> int:
        return len(list(iter(self)))


@cache
def _load(name: str) -> Sample:
    if not (PAYLOADS / name / "sample.yaml").exists():
        raise KeyError(name)
    return load(PAYLOADS / name)


SAMPLES = _Samples()


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
