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
    "fetch.after_claim",  # a file of a customer's is leased, nothing fetched
    "fetch.after_blob",  # its bytes are kept, nothing names them
    "fetch.after_note",  # the store names them, no desk is told
    "slack.after_inbox",  # what Slack told us is written down, not acknowledged
    "slack.after_note",  # what an agent typed is a note; where it was typed is not noted
    "slack.after_typed",  # noted; nothing came of it yet
    "slack.after_send",  # the note is a reply; Slack does not show it
    "slack.after_revise",  # an agent's edit is on its way to the customer; not noted where it was typed
    "slack.after_withdraw",  # the same for a deletion
    "slack.before_done",  # worked off, not noted as such
    "post.before_send",  # a post for Slack is leased, the request has not left
    "post.after_send",  # Slack has it, we have not noted it
    "change.after_claim",  # a change is marked as being made, the request has not left
    "change.after_call",  # the provider has made it, we have not noted it
)


def here(name: str) -> None:
    """Die at once, as by SIGKILL, if the environment armed this place. Costs one comparison otherwise."""
    if _armed == name:
        os._exit(137)
