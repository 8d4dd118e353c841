"""Attachments and raw requests, by the sha256 of their bytes. On disk before anything names them; never changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hub.errors import NotFound, Unavailable
from hub.files import sync_folder

if TYPE_CHECKING:
    from hub.settings import Settings

_NAME = re.compile(r"[0-9a-f]{64}")


class Damaged(NotFound):
    """The file is there, and its bytes are not those that its name says."""


class BlobStore(Protocol):
    """Where blobs are kept: a folder (Blobs) or a bucket (hub/bucket.py). What each raises stands there."""

    def usage(self) -> tuple[int, int]: ...
    def put(self, data: bytes) -> str: ...
    def read(self, sha256: str) -> bytes: ...
    async def aput(self, data: bytes) -> str: ...
    async def aread(self, sha256: str) -> bytes: ...


def of(settings: Settings) -> BlobStore:
    """This installation's: every process opens its blobs here. Looks nothing up."""
    if isinstance(settings.blobs, str):
        from hub import bucket  # its library is only for who has a bucket

        return bucket.Bucket(bucket.read(settings.blobs))
    return Blobs(settings.blob_folder)


class Blobs:
    """One folder of them, in 256 subfolders. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def path(self, sha256: str) -> Path:
        """Where the bytes stand. Raises ValueError for anything that is no sha256, so that no name leads elsewhere."""
        if not _NAME.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is no sha256")
        return self.folder / sha256[:2] / sha256

    def usage(self) -> tuple[int, int]:
        """How many there are, and their bytes together. Looks at every file."""
        sizes = [file.stat().st_size for file in self.folder.glob("??/*") if _NAME.fullmatch(file.name)]
        return len(sizes), sum(sizes)

    def put(self, data: bytes) -> str:
        """Keep `data` and return its sha256 once it would survive a power cut. Twice is harmless.

        Raises Unavailable where the disk is full or refuses; nothing half-written is left then.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        try:
            if not (path.is_file() and path.stat().st_size == len(data)):
                self._write(path, data)
            sync_folder(path.parent)
        except OSError as error:
            raise Unavailable(f"a file cannot be kept in {self.folder}: {error.strerror}") from error
        return sha256

    def read(self, sha256: str) -> bytes:
        """The bytes, checked against their name. Raises NotFound, Damaged or Unavailable."""
        try:
            data = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {sha256} is kept here") from None
        except OSError as error:
            raise Unavailable(f"blob {sha256} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"blob {sha256} is damaged on disk")
        return data

    async def aput(self, data: bytes) -> str:
        return await asyncio.to_thread(self.put, data)

    async def aread(self, sha256: str) -> bytes:
        return await asyncio.to_thread(self.read, sha256)

    def _write(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder)
        mine = path.with_name(f".{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            mine.replace(path)
        finally:
            mine.unlink(missing_ok=True)


class Reader:
    """Blobs as a connector's `send` sees them (connectors.base.BlobReader)."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def read(self, sha256: str) -> bytes:
        return await self._blobs.aread(sha256)
