"""Children that end when their parent does, even where the parent is killed and can say nothing.

Linux tells them by a signal (prctl). Elsewhere our own processes look now and then whether their parent is still there,
and the embedded Valkey, which does not, is ended by the next start in the same folder (mainstem/embedded.py).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

PARENT = "MAINSTEM_PARENT"  # the supervisor's process id, in its children's environment

_LINUX: bool = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_EVERY_S = 1.0


def before_exec() -> Callable[[], None] | None:
    """What a child runs between fork and exec, so that it gets SIGTERM when this process dies; None off Linux.

    The kernel watches the *thread* that forked: call it where children are started from the main thread.
    """
    if not _LINUX:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to be told
            os.kill(os.getpid(), signal.SIGTERM)

    return bind


def watch() -> None:
    """In a supervised process of ours: end by SIGTERM once the supervisor is gone. Does nothing in any other."""
    parent = os.environ.get(PARENT, "")
    if not parent.isdigit() or _LINUX:
        return

    def look() -> None:
        while os.getppid() == int(parent):
            time.sleep(_LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="lifeline", daemon=True).start()
