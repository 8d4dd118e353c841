"""What people do, one set for every surface: claim, reply, undo, note, transfer, snooze, close, merge, ...

Every action checks that the acting agent is in the configuration and may do it, is one transaction, and after its
commit wakes the sender and tells whoever looks. Raises Conflict (somebody was faster), NotFound and Refused (may not,
or not like that), each with one sentence fit to be shown; then nothing was written. Unavailable: nothing is known to
have been written either; the caller may simply do the same again.
"""

from __future__ import annotations

from desk.answering import Answering
from desk.beginning import Beginning, Begun
from desk.conversing import Conversing
from desk.people import People
from desk.replying import ReplyResult
from desk.revising import Revisable, Revised, Revising

__all__ = ["Actions", "Begun", "ReplyResult", "Revisable", "Revised"]


class Actions(Beginning, Conversing, Revising, Answering, People):
    """One for a process. Thread-safe: it holds nothing that changes. desk/base.py says what it is built from."""
