"""Ends whatever a process has left behind, where no pid namespace does it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PAUSE_SECONDS = 0.005


def end_children() -> None:
    """Kill and reap all children of this process, and theirs as they come to it.

    They come to it if `linux.adopt_orphans` was called before.
    """
    while True:
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE_SECONDS)


def _children() -> list[int]:
    own = str(os.getpid())
    stats = Path("/proc").glob("[0-9]*/stat")
    return [int(path.parent.name) for path in stats if _parent(path) == own]


def _parent(stat: Path) -> str:
    # "pid (name) state ppid …", and the name may hold anything.
    with suppress(OSError):
        return stat.read_text(errors="replace").rpartition(")")[2].split()[1]
    return ""
