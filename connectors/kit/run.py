"""All checks over one connector, and where its captures lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from connectors.base import Connector
from connectors.kit import asking, hostile, proofs, reading, sending, stated
from connectors.kit.captures import BadSample, Sample
from connectors.kit.tell import Check, Failed, Skipped, shown
from hub.errors import NotFound
from hub.yamltree import near

CHECKS: tuple[Check, ...] = (
    *stated.CHECKS,
    *proofs.CHECKS,
    *reading.CHECKS,
    *hostile.CHECKS,
    *sending.CHECKS,
    *asking.CHECKS,
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """outcome: `ok`, `failed` or `skipped`. detail: what is wrong, or why it does not apply; one sentence."""

    check: str
    outcome: str
    detail: str = ""


def run(connector: Connector, sample: Sample) -> Iterator[Result]:
    """Every check, one after the other; one that breaks keeps no other from running."""
    if stray := stray_skip(sample):
        yield Result(check="sample.yaml is understood", outcome="failed", detail=stray)
    for check in CHECKS:
        yield one(check, connector, sample)


def stray_skip(sample: Sample) -> str:
    """What is wrong with the sample's `skips`; empty where nothing is."""
    names = [check.__name__ for check in CHECKS]
    for name, why in sample.skips.items():
        if name not in names:
            return f"skips: there is no check {name!r}{near(name, names)}"
        if not str(why or "").strip():
            return f"skips: {name} does not say why it does not apply"
    return ""


def one(check: Check, connector: Connector, sample: Sample) -> Result:
    from structlog.testing import capture_logs

    name = title(check)
    if why := sample.skips.get(check.__name__):
        return Result(check=name, outcome="skipped", detail=why)
    try:
        with capture_logs():  # what a connector logs of hostile requests is no news here
            check(connector, sample)
    except Skipped as reason:
        return Result(check=name, outcome="skipped", detail=str(reason))
    except (Failed, BadSample) as failed:
        return Result(check=name, outcome="failed", detail=str(failed))
    except (
        Exception
    ) as error:  # a stranger's connector may raise anything at all, and the others are still looked at
        return Result(check=name, outcome="failed", detail=f"the connector raised {shown(error)}")
    return Result(check=name, outcome="ok")


def title(check: Check) -> str:
    return check.__name__.replace("_", " ")


def find(name: str) -> Connector:
    """One of ours, or the CONNECTOR of a module. Raises NotFound with one sentence."""
    from connectors import CONNECTORS

    if name in CONNECTORS:
        return CONNECTORS[name]
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        package, _, below = name.rpartition(".")
        if error.name == name and package:
            raise NotFound(f"the package {package} has no module {below!r}") from None
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFound(
                f"there is no connector {name!r}, and no module of that name here{near(name, CONNECTORS)}"
            ) from None
        raise NotFound(f"{name} cannot be imported: {error}") from None
    except Exception as error:
        raise NotFound(f"{name} cannot be imported: {shown(error)}") from None
    found: Connector | None = getattr(module, "CONNECTOR", None)
    if found is None:
        raise NotFound(f"{name} has no CONNECTOR, which is what a connector's module is known by")
    if isinstance(found, type):
        raise NotFound(
            f"the CONNECTOR of {name} is a class: make it one of the class, CONNECTOR = {found.__name__}()"
        )
    if not isinstance(getattr(found, "name", None), str):
        raise NotFound(f"the CONNECTOR of {name} states no name")
    return found


def folder_of(name: str, given: Path | None, connector: Connector) -> Path:
    """Where the captures lie. Raises NotFound."""
    if given is not None:
        if not given.is_dir():
            raise NotFound(f"there is no folder {given}")
        inner = given / connector.name
        return _with_captures(inner if not (given / "sample.yaml").exists() and inner.is_dir() else given)
    below = Path("tests", "connectors", "payloads", connector.name)
    here = (below, Path("payloads", connector.name), Path(__file__).parents[2] / below)
    for folder in here:
        if folder.is_dir():
            return _with_captures(folder)
    raise NotFound(f"there are no captures in {below}: say where they are with --payloads FOLDER")


def _with_captures(folder: Path) -> Path:
    if not (folder / "sample.yaml").exists():
        raise NotFound(f"{folder} has no sample.yaml, which says how its captures are proved")
    if not any(folder.glob("*.http")):
        raise NotFound(
            f"{folder} holds no captures: requests as the provider sends them, in files named *.http"
        )
    return folder
