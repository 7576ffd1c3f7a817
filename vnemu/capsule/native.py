"""The native capsule: new namespaces of the running kernel, as root or as an ordinary user.

    caller (outside, waits)  ->  supervisor (pid 1 inside)  ->  the program goes on here

The supervisor dies with the caller (PR_SET_PDEATHSIG), all of the capsule dies
with the supervisor (it is pid 1 of a pid namespace), and the namespaces go with
their last process: nothing is left on the host whatever is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from vnemu import linux
from vnemu.errors import MissingCapability

_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)

_entered: list[str] = []
"""What the capsule of this process rests on, once it is in one."""


def inside() -> bool:
    """Whether this process is in a capsule that it entered itself."""
    return bool(_entered)


def kind() -> str:
    """What the capsule rests on: ``root`` or ``user namespace``; empty outside of one."""
    return _entered[0] if _entered else ""


def enter() -> None:
    """Go on inside a new capsule; a second call does nothing.

    The calling process forks. The call returns in the capsule; outside, the
    caller waits and exits with the status of what runs inside. SIGTERM and
    SIGHUP are passed on and arrive inside as KeyboardInterrupt, as Ctrl-C does.

    Raises:
        MissingCapability: if this machine does not allow it.
    """
    if _entered:
        return
    rests_on = "root" if os.geteuid() == 0 else "user namespace"
    sys.stdout.flush()
    sys.stderr.flush()
    _new_namespaces()
    _entered.append(rests_on)
    # The read end tells the supervisor that its caller is gone, should that
    # happen before it has asked the kernel to be told.
    lifeline, held = os.pipe()
    child = os.fork()
    if child:
        os.close(lifeline)
        _wait_outside(child)
    os.close(held)
    _supervise(lifeline)


def _new_namespaces() -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            linux.unshare(_NAMESPACES)
            return
        linux.unshare(_NAMESPACES | linux.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as error:
        raise MissingCapability(
            f"cannot make the namespaces that a lab runs in: {error.strerror}",
            "run 'vnemu doctor' to see what this machine allows",
        ) from error


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _wait_outside(child: int) -> NoReturn:
    """Outside: pass signals on, wait, and exit as the capsule did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells those inside itself
    for number in _FORWARDED:
        signal.signal(number, lambda n, _: os.kill(child, n))
    os._exit(_wait_for(child))


def _wait_for(child: int) -> int:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _supervise(lifeline: int) -> None:
    """Pid 1: start the program that goes on, reap orphans, end with it."""
    linux.die_with_parent(signal.SIGKILL)
    os.set_blocking(lifeline, False)
    try:
        if os.read(lifeline, 1) == b"":
            os._exit(1)
    except BlockingIOError:
        pass  # the caller lives
    try:
        _private_mounts()
    except OSError as error:
        print(f"vnemu: cannot set up the capsule: {error}", file=sys.stderr, flush=True)
        os._exit(MissingCapability.exit_status)
    program = os.fork()
    if not program:
        os.close(lifeline)
        for number in _FORWARDED:
            signal.signal(number, _interrupt)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _FORWARDED:
        signal.signal(number, lambda n, _: os.kill(program, n))
    _reap_until(program)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _private_mounts() -> None:
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    secure = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", "/proc", "proc", secure)
    linux.mount("tmpfs", "/run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")


def _reap_until(program: int) -> NoReturn:
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
