"""Named places where a test may kill the process, to prove that a crash exactly there is harmless."""

from __future__ import annotations

import os

VARIABLE = "MAINSTEM_FAIL"
_armed = os.environ.get(VARIABLE, "")

# Every place that exists; tests/faults walks this list.
ALL = (
    "journal.after_fsync",  # on disk, not yet answered
    "web.after_journal",  # answered or about to be, not yet in the stream
    "router.after_read",  # read from the stream, nothing written
    "router.before_commit",  # everything written, not committed
    "router.after_commit",  # committed, nobody woken, not acknowledged
    "router.after_enqueue",  # woken, not acknowledged
    "deliver.after_claim",  # rows are leased, nothing sent
    "deliver.before_send",  # marked as sending, the request has not left
    "deliver.after_send",  # the provider has it, we have not noted it
)


def here(name: str) -> None:
    """Die at once, as by SIGKILL, if the environment armed this place. Costs one comparison otherwise."""
    if _armed == name:
        os._exit(137)
