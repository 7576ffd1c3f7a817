"""Events that happen when they are due: which thread goes before which."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SWITCH_S = 0.0005
_NICE = -10
"""Some nine parts of a processor in ten (sched(7)); the rest is for those who also want it."""
_LIKE_OTHERS = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK


@contextmanager
def punctual() -> Iterator[None]:
    """Keep the interpreter from being busy with something else when an event is due.

    A thread that samples gives way within half a millisecond, not five; what was made up
    to now is not searched for garbage again and again; and where that is allowed (to
    root), this thread goes before the programs of the lab, which do not inherit it: wholly,
    or, on a single processor, so far that they fill links while a network is made.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    try:
        with _own_priority():
            with suppress(OSError):
                _go_first()
            yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def _go_first() -> None:
    if os.cpu_count() == 1:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        os.sched_setscheduler(0, _LIKE_OTHERS, os.sched_param(0))
    else:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


@contextmanager
def like_others() -> Iterator[None]:
    """Be a thread without priority for a while."""
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if os.sched_getscheduler(0) == os.SCHED_OTHER and nice >= 0:
        yield
        return
    with _own_priority():
        os.sched_setscheduler(0, _LIKE_OTHERS, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, 0))
        yield


@contextmanager
def _own_priority() -> Iterator[None]:
    """Let this thread have another priority, and afterwards its own again."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setscheduler(0, policy, priority)
