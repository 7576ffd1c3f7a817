"""All processes of VRs held, and let go on: by SIGSTOP and SIGCONT, which need no right.

The kernel's freezer would need a cgroup, which an ordinary user has not, and a process
that is moved into one waits for all processors (24 ms). A stopped process differs from a
frozen one in this: its parent may learn of it (waitpid with WUNTRACED, SIGCHLD), and it
may handle SIGCONT. What was stopped already before stays so when the others go on.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial

from vnemu.errors import ExperimentFailed

_PATIENCE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.005
_NS_GET_PARENT = 0xB702
"""include/uapi/linux/nsfs.h"""
_QUIET_LOOKS = 2
_STAT_SIZE = 4096
_STOPPED, _RUNS = "T", "R"
_AT_REST = frozenset("TtZX")
"""States in /proc/PID/stat that use no processor and make no process (proc(5))."""


class Freezer:
    """Holds VRs, each known by the process id of its pid 1."""

    def __init__(self) -> None:
        self._already: dict[int, frozenset[int]] = {}

    def freeze(self, inits: Collection[int]) -> None:
        """Stop all processes in the pid namespaces of `inits`, and those about to enter.

        Raises:
            ExperimentFailed: if one goes on for seconds (it waits for a device, say); then
                all go on.
        """
        for init, found in members(inits).items():
            self._already[init] = frozenset(pid for pid in found if _is_stopped(pid))
        left = _until_none(partial(_busy, inits), signal.SIGSTOP)
        if left:
            self.thaw(inits)
            raise ExperimentFailed(f"these processes do not stop: {', '.join(map(str, left))}")

    def thaw(self, inits: Collection[int]) -> None:
        """Let all go on that `freeze` stopped.

        An nsenter that waits for a program in a VR stops when that does (util-linux,
        sys-utils/nsenter.c), perhaps once more after it went on, when it gets a processor:
        so those are looked after until none is stopped, and all are asleep.
        """
        already = {pid for init in inits for pid in self._already.pop(init, ())}
        found = itertools.chain.from_iterable(members(inits).values())
        held = [pid for pid in found if pid not in already]
        for pid in held:
            _signal(pid, signal.SIGCONT)
        waiting = [pid for pid in held if _waits_for_others(pid)]
        if waiting:
            _until_none(partial(_held, waiting), signal.SIGCONT)

    def end(self, inits: Collection[int], spared: int | None = None) -> None:
        """Kill all processes of VRs, and each nsenter that waits for one, for it may be stopped.

        Parameters:
            spared: what makes VRs; for a moment, its children belong to the one just made.
        """
        for init, found in members(inits).items():
            for pid in {init, *found} - {spared}:
                _signal(pid, signal.SIGKILL)
            self._already.pop(init, None)


def _busy(inits: Collection[int]) -> list[int]:
    return [pid for found in members(inits).values() for pid in found if not _is_at_rest(pid)]


def _until_none(look: Callable[[], list[int]], number: int) -> list[int]:
    """Signal all that `look` finds, until it finds none twice in a row, or for too long.

    Twice: the first look may miss what was forked while it lasted.

    Returns:
        What is left; empty if all is well.
    """
    found: list[int] = []
    quiet = 0
    for _ in _pauses():
        found = look()
        quiet = 0 if found else quiet + 1
        if quiet == _QUIET_LOOKS:
            break
        for pid in found:
            _signal(pid, number)
    return found


def _pauses() -> Iterator[None]:
    """Again and again, with pauses between, until it has taken too long."""
    latest = time.monotonic() + _PATIENCE_S
    pause = _FIRST_PAUSE_S
    while time.monotonic() < latest:
        yield
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def members(inits: Collection[int]) -> Mapping[int, list[int]]:
    """The processes of VRs by their pid 1, those in namespaces of their own below included.

    By the namespace of their children: an nsenter that has entered, but not forked yet,
    has no other mark.
    """
    owners: dict[str, int | None] = {children_namespace(init): init for init in inits}
    owners[""] = None
    found: dict[int, list[int]] = {init: [] for init in inits}
    for pid in all_processes():
        name = children_namespace(pid)
        if name not in owners:
            owners[name] = next(filter(None, map(owners.get, _above(pid))), None)
        owner = owners[name]
        if owner is not None:
            found[owner].append(pid)
    return found


def _above(pid: int) -> Iterator[str]:
    """The pid namespaces above that of a process's children, as far as the capsule sees."""
    fds: list[int] = []
    try:
        fds.append(os.open(f"/proc/{pid}/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC))
        while True:
            fds.append(fcntl.ioctl(fds[-1], _NS_GET_PARENT))
            yield os.readlink(f"/proc/self/fd/{fds[-1]}")  # noqa: PTH115
    except OSError:  # the process has ended, or the capsule's own has been reached
        return
    finally:
        for fd in fds:
            os.close(fd)


def all_processes() -> Iterator[int]:
    """The process ids in the capsule."""
    return _numbers("/proc")


def children_namespace(pid: int) -> str:
    """The pid namespace of a process's children; empty: it has ended."""
    return _namespace(pid, "pid_for_children")


def _namespace(pid: int, kind: str) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115
    return ""


def _is_at_rest(pid: int) -> bool:
    """Whether none of its threads runs."""
    return all(state in _AT_REST for state in _states(pid))


def _is_stopped(pid: int) -> bool:
    return _STOPPED in _states(pid)


def _waits_for_others(pid: int) -> bool:
    """Whether the programs that it starts are in another pid namespace: it is an nsenter."""
    return _namespace(pid, "pid") != children_namespace(pid)


def _held(pids: Collection[int]) -> list[int]:
    """Those that are stopped, or awake and may stop."""
    return [pid for pid in pids if not {_STOPPED, _RUNS}.isdisjoint(_states(pid))]


def _states(pid: int) -> list[str]:
    with suppress(OSError):
        return [
            _state(f"/proc/{pid}/task/{thread}/stat") for thread in _numbers(f"/proc/{pid}/task")
        ]
    return []


def _state(stat: str) -> str:
    # "pid (name) state …", and the name may hold anything.
    with suppress(OSError):
        fd = os.open(stat, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _STAT_SIZE).rpartition(b")")[2].split()[0].decode()
        finally:
            os.close(fd)
    return "X"


def _numbers(folder: str) -> Iterator[int]:
    return (int(name) for name in os.listdir(folder) if name.isdigit())  # noqa: PTH208


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
