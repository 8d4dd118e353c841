"""What a provider hands us as we go and must not be lost: a refresh token that is good once. A file each, 0600, in a
folder that only we can enter; whoever would renew one has it alone, among all processes of this machine.

Not encrypted: the key would lie in the same folder. Nothing of it is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from hub import files
from hub.errors import Unavailable

FOLDER = "kept"  # in the data folder
_WAIT_S = 30.0  # for another process, which is renewing over the network
_LOOK_EVERY_S = 0.05


class Kept:
    """`folder` is made when it is first written to. Two of one folder, in one process or two, keep to each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> dict[str, str]:
        """What was put there last; empty where nothing was, or where it cannot be read as ours."""
        try:
            said = json.loads(self._path(name).read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}

    def put(self, name: str, value: Mapping[str, str]) -> None:
        """On disk when this returns, or as it was. Raises OSError."""
        self._made()
        files.replace(self._path(name), json.dumps(dict(value)).encode(), mode=0o600)

    @contextlib.asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """Have `name` for this caller alone; the end of the process ends it too. Raises Unavailable where another keeps
        it for half a minute, or the folder cannot be used."""
        try:
            self._made()
            descriptor = os.open(self._path(name).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(f"the folder of tokens cannot be used: {error.strerror}") from None
        try:
            until = time.monotonic() + _WAIT_S
            while not _locked(descriptor):
                if time.monotonic() >= until:
                    raise Unavailable("another process has been renewing the token for too long")
                await asyncio.sleep(_LOOK_EVERY_S)
            yield
        finally:
            os.close(descriptor)

    def _made(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        """Names are accounts' keys; no file name comes of what people chose."""
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
