"""How a check says what is wrong, and how it asks a connector so that what should not come out of it is told apart."""

from __future__ import annotations

from collections.abc import Callable

from connectors.base import Connector, Parsed, Raw
from connectors.kit.captures import Sample
from connectors.web import unreadable
from hub.errors import Forged, Malformed


class Failed(AssertionError):
    """A check that does not hold. One sentence, with the capture's name."""


class Skipped(Exception):
    """A check that does not apply, and why."""


Check = Callable[[Connector, Sample], None]


def must(holds: object, sentence: str) -> None:
    if not holds:
        raise Failed(sentence)


def parse(connector: Connector, raw: Raw, sample: Sample, name: str) -> Parsed:
    """What the edge keeps of `raw`: its events, or the whole as unreadable."""
    return parse_or_why(connector, raw, sample, name)[0]


def parse_or_why(connector: Connector, raw: Raw, sample: Sample, name: str) -> tuple[Parsed, str | None]:
    """(what the edge keeps, why it cannot be read, if so)."""
    try:
        return connector.parse(raw, sample.account), None
    except Malformed as error:
        return unreadable(raw, sample.account, str(error)), str(error)
    except Exception as error:
        raise Failed(f"{name}: parse raised {shown(error)}, and may raise Malformed only") from error


def passes(connector: Connector, raw: Raw, sample: Sample, what: str) -> None:
    why = forged(connector, raw, sample, what)
    must(why is None, f"{what} is refused: {why}")


def is_forged(connector: Connector, raw: Raw, sample: Sample, what: str) -> None:
    """`what` says what was done to the request, with the capture's name."""
    why = forged(connector, raw, sample, what)
    must(why is not None, f"{what} is let in")
    for secret in sample.secrets():
        must(not secret or secret not in str(why), f"{what}: the refusal's words hold a secret")


def forged(connector: Connector, raw: Raw, sample: Sample, what: str) -> str | None:
    try:
        connector.verify(raw, sample.account)
    except Forged as error:
        return str(error)
    except Exception as error:
        raise Failed(f"{what}: verify raised {shown(error)}, and may raise Forged only") from error
    return None


def shown(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__
