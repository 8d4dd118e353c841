"""How many entries a journal ever took, by day and account: the producer's side of the ledger.

What is still in the journal's files is counted from them at every start; what has left with a removed file stands in
`counts`. The names of the files that are just leaving are written with it, in one step: after a crash between that
and the removal they are removed and not counted again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hub.errors import MainstemError
from hub.files import replace

_KEEP_DAYS = 60  # on which something came; the store keeps what it was told for longer
DAY_US = 86_400_000_000

Left = dict[tuple[int, str], int]


class Counts:
    """A bucket is a (day, account); entries name theirs by its number. Days are UTC."""

    def __init__(self, left: Left) -> None:
        self._left = left
        self._number: dict[tuple[int, str], int] = {}
        self._keys: list[tuple[int, str]] = []
        self._entries: list[int] = []
        self._pending: list[int] = []

    def add(self, day: int, account: str, *, pending: bool = True) -> int:
        """One entry more; its bucket."""
        key = (day, account)
        bucket = self._number.get(key)
        if bucket is None:
            bucket = self._number[key] = len(self._keys)
            self._keys.append(key)
            self._entries.append(0)
            self._pending.append(0)
        self._entries[bucket] += 1
        self._pending[bucket] += pending
        return bucket

    def cut(self, bucket: int) -> None:
        self._pending[bucket] -= 1

    def leave(self, buckets: Iterable[int]) -> Left:
        """These entries leave with their file; what `save_counts` is to write."""
        for bucket in buckets:
            self._entries[bucket] -= 1
            key = self._keys[bucket]
            self._left[key] = self._left.get(key, 0) + 1
        # By how many there are and not by the newest: a clock that once was years ahead would end all others.
        days = sorted({day for day, _ in self._left})[-_KEEP_DAYS:]
        self._left = {key: entries for key, entries in self._left.items() if key[0] >= days[0]}
        return dict(self._left)

    def restart(self, entries: Iterable[tuple[int, bool]]) -> None:
        """Count anew, from nothing: (bucket, pending) of every entry there is."""
        self._left = {}
        self._entries = [0] * len(self._keys)
        self._pending = [0] * len(self._keys)
        for bucket, pending in entries:
            self._entries[bucket] += 1
            self._pending[bucket] += pending

    def all(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(day, account) -> (entries ever, of which pending), of the days that are kept."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for key in {**dict.fromkeys(self._left), **dict.fromkeys(self._keys)}:
            bucket = self._number.get(key)
            here, pending = (0, 0) if bucket is None else (self._entries[bucket], self._pending[bucket])
            if not here and key not in self._left:
                continue
            day = time.strftime("%Y-%m-%d", time.gmtime(key[0] * 86_400))
            found[day, key[1]] = (self._left.get(key, 0) + here, pending)
        return found


def load_counts(folder: Path) -> tuple[Counts, list[str]]:
    """What left the journal in `folder`, and the files that were leaving. Raises MainstemError for a damaged file."""
    path = folder / "counts"
    if not path.exists():
        return Counts({}), []
    try:
        said: Any = json.loads(path.read_bytes())
        left = {(int(day), str(account)): int(entries) for day, account, entries in said["counts"]}
        return Counts(left), [name for name in said["removing"] if Path(name).name == name]
    except (ValueError, KeyError, TypeError) as error:
        raise MainstemError(f"{path} is damaged ({error}): move it away, and counting starts anew") from None


def save_counts(folder: Path, left: Left, removing: list[str]) -> None:
    """Durably. Raises OSError."""
    said = [[day, account, entries] for (day, account), entries in sorted(left.items())]
    replace(folder / "counts", json.dumps({"removing": removing, "counts": said}).encode())
