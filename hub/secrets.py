"""The installation's one key, and what is derived from it: chat tokens, our own protocols' secrets, cookies."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from hub.errors import MainstemError
from hub.settings import Settings

_MIN_CHARS = 32


class KeyUnusable(MainstemError):
    """The key is too short, or a file that others can read."""


def load_key(settings: Settings) -> bytes:
    """MAINSTEM_SECRET_KEY, or `secret.key` in the data folder, made at the first call (0600, 256 random bits).

    Every process of an installation must have the same one; several machines therefore need the variable.
    Raises KeyUnusable. Two processes that make it at once end with the same file.
    """
    if settings.secret_key is not None:
        return _long_enough(settings.secret_key.get_secret_value(), "MAINSTEM_SECRET_KEY")
    path = settings.data / "secret.key"
    if not path.exists():
        _make(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyUnusable(f"{path} can be read by others: chmod 600 {path}")
    return _long_enough(path.read_text("ascii").strip(), str(path))


def derive(key: bytes, *labels: str) -> str:
    """A secret for one purpose: 64 hex characters, the same for the same key and labels."""
    said = b"".join(len(label.encode()).to_bytes(4, "big") + label.encode() for label in labels)
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def _long_enough(value: str, where: str) -> bytes:
    if len(value) < _MIN_CHARS:
        raise KeyUnusable(f"{where} has {len(value)} characters and needs {_MIN_CHARS}: openssl rand -hex 32")
    return value.encode()


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(mine, path)  # unlike a rename it never replaces the other process's
        except FileExistsError:
            return
    finally:
        mine.unlink(missing_ok=True)
