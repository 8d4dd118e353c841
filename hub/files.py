"""Writing files so that a crash leaves the old bytes or the new ones, and a power cut what we said was kept."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """`path` holds `data`, durably, when this returns; the old bytes, whole, if it does not. Raises OSError."""
    mine = path.with_name(f".{path.name}")
    with mine.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    mine.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Names made, changed and removed in `folder` are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
