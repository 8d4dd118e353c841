"""Every connector passes every check of connectors/kit; a new one inherits them by its line in CONNECTORS."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import CONNECTORS
from connectors.kit import run
from connectors.kit.tell import Check
from tests.connectors import conformance
from tests.connectors.samples import PAYLOADS, SAMPLES
from tests.each import each

NAMES = sorted(CONNECTORS)
ROOT = Path(__file__).parents[2]


def test_every_connector_has_its_sample_its_captures_and_its_page() -> None:
    assert sorted(SAMPLES) == NAMES
    for name, connector in CONNECTORS.items():
        assert connector.name == name
        assert connector.title
        assert list((PAYLOADS / name).glob("*.http")), name
        assert run.stray_skip(SAMPLES[name]) == "", name
        assert (ROOT / "docs" / "channels" / f"{name}.md").is_file(), name


@pytest.mark.parametrize("name", NAMES)
@each("check", run.CHECKS)
def test_conformance(name: str, check: Check) -> None:
    result = run.one(check, CONNECTORS[name], SAMPLES[name])
    assert result.outcome != "failed", result.detail


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), proof=st.text(max_size=120))
def test_whatever_comes_is_forged_or_malformed(name: str, body: bytes, proof: str) -> None:
    conformance.nothing_but_forged_and_malformed(CONNECTORS[name], SAMPLES[name], body, proof)
