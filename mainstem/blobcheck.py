"""`mainstem doctor` on the blobs: can files be kept and read again where MAINSTEM_BLOBS says?"""

from __future__ import annotations

import time

from hub import blobs
from hub.errors import MainstemError
from hub.settings import Settings

PROBE = b"mainstem doctor looks whether files can be kept here\n"
SLOW_MS = 2000.0
COST = "attachments that are lost cannot be opened; conversations stay"


def look(settings: Settings) -> tuple[str, str]:
    """("green", "yellow" or "red", one sentence). One small file stays behind, the same at every look."""
    began = time.perf_counter()
    try:
        kept = blobs.of(settings)
        held = kept.read(kept.put(PROBE)) == PROBE
    except (MainstemError, OSError) as error:
        return "red", f"{error}: files wait at their providers, and the edge asks senders to come again"
    ms = (time.perf_counter() - began) * 1000
    if not held:
        return "red", f"{kept} gives back other bytes than it was given"
    slow = ms > SLOW_MS
    return "yellow" if slow else "green", f"{kept}: a file is kept and read again in {ms:.0f} ms"
