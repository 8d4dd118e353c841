"""Writing files so that a crash leaves the old bytes or the new ones, and a power cut what we said was kept."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hub.errors import MainstemError


class InUse(MainstemError):
    """Another process has this folder."""


def replace(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """`path` holds `data`, durably, when this returns; the old bytes, whole, if it does not. mode: of a new file, less
    the umask. Raises OSError."""
    mine = path.with_name(f".{path.name}")
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
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


def lock(folder: Path) -> int:
    """Have `folder` for this process alone, until the descriptor is closed or the process ends. Raises InUse."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InUse(f"{folder} is in use by process {holder}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
