"""Captured request -> what it means, as payloads/<name>/*.yaml say it: by hand, from what the sender did."""

from connectors import CONNECTORS
from connectors.kit import reading
from connectors.kit.files import expected
from tests.connectors.samples import PAYLOADS, SAMPLES
from tests.each import each

CAPTURES = [f"{file.parent.name}/{file.stem}" for file in sorted(PAYLOADS.glob("*/*.http"))]


@each("capture", CAPTURES)
def test_a_capture_says_what_was_sent(capture: str) -> None:
    name, _, stem = capture.partition("/")
    reading.says(CONNECTORS[name], SAMPLES[name], stem)


@each("name", SAMPLES)
def test_some_capture_cannot_be_read(name: str) -> None:
    """What becomes of it is looked at, too; a channel of which nothing can be unreadable says why in `skips`."""
    sample = SAMPLES[name]
    kinds = [expected(sample, stem, raw) for stem, raw in sample.captures.items()]
    assert any(e.events is None or e.partly for e in kinds) or "an_unknown_kind_is_kept" in sample.skips
