"""What an `up` runs with, for the commands beside it: they find it in their folder, whatever its ports.

It stands in a file of its own, which is locked as long as that `up` lives: what one that was killed left is not read.
Only its owner can read it, since the stand-ins of a demo have secrets, made up as they are.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

ADDRESSES = ("PORT", "MAINSTEM_HOST", "MAINSTEM_DESK_PORT", "MAINSTEM_PUBLIC_URL", "MAINSTEM_DESK_URL")


class Note:
    """Variables by name, kept in the data folder until `remove`, or until this process ends."""

    def __init__(self, data: Path) -> None:
        self._path = _path(data)
        self._fd: int | None = None

    def leave(self, variables: Mapping[str, str]) -> None:
        """Write them down, once."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # who looks holds it for an instant
        os.pwrite(self._fd, json.dumps(variables).encode(), 0)

    def remove(self) -> None:
        """Twice is harmless."""
        if self._fd is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None


def found(data: Path) -> dict[str, str]:
    """What the `up` over this data folder runs with; nothing where none does."""
    try:
        fd = os.open(_path(data), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    with os.fdopen(fd) as file:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            said = file.read()
            return dict(json.loads(said)) if said else {}
        return {}


def _path(data: Path) -> Path:
    return data / "up.json"
