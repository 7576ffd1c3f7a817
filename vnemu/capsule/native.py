"""The native capsule: new namespaces of the running kernel, as root or as an ordinary user.

    caller (outside, waits)
      -> keeper (makes the namespaces, waits)
        -> supervisor (pid 1 inside, reaps)
          -> the program goes on here

The supervisor dies with its parent (PR_SET_PDEATHSIG), and the keeper ends it when its
own dies; all of the capsule dies with the supervisor (it is pid 1 of a pid namespace),
and the namespaces go with their last process. What a lab had made outside of them
(`vnemu.capsule.remains`) keeper and caller remove then: nothing is left on the host
whatever is killed.

The keeper is a process of its own because a process with threads, as numpy makes
them, may not enter a user namespace: after a fork there is one thread.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from vnemu import linux
from vnemu.capsule import private, remains
from vnemu.errors import MissingCapability

_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_AWAITED = (signal.SIGINT, *_FORWARDED)
_ORPHANED = signal.SIGCONT
"""What the kernel sends the keeper when the caller dies: it reaches a stopped one too."""

_KILLED = 128 + signal.SIGKILL
_READY = "ready"
_entered: list[str] = []
"""What the capsule of this process rests on, once it is in one."""


def inside() -> bool:
    """Whether this process is in a capsule that it entered itself."""
    return bool(_entered)


def kind() -> str:
    """What the capsule rests on: ``root``, ``user namespace`` or ``private kernel``.

    Empty outside of one.
    """
    return _entered[0] if _entered else ""


def enter(afterwards: Callable[[], None] | None = None) -> None:
    """Go on inside a new capsule; a second call does nothing.

    The calling process forks. The call returns in the capsule; outside, the
    caller waits and exits with the status of what runs inside. SIGTERM and
    SIGHUP are passed on and arrive inside as KeyboardInterrupt, as Ctrl-C does.

    Parameters:
        afterwards: what the caller does outside when nothing runs inside any more.

    Raises:
        MissingCapability: if this machine does not allow it.
    """
    if _entered:
        return
    rests_on = "root" if os.geteuid() == 0 else "user namespace"
    if private.inside():
        rests_on = "private kernel"
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that comes while the processes part waits until each of them has
    # settled what it does about it.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        _part(afterwards)
        _entered.append(rests_on)
        _allow_many_files()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _allow_many_files() -> None:
    """A lab holds two descriptors for each of its nodes; the usual limit is 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _part(afterwards: Callable[[], None] | None) -> None:
    answer, question = os.pipe()
    terminal = _terminal()
    remains.open_register()
    caller = os.getpid()
    keeper = os.fork()
    if keeper:
        os.close(question)
        _await_namespaces(keeper, answer)
        code = _wait_outside(keeper)
        if code == _KILLED:
            _restore(terminal)
        remains.take_away()
        if afterwards is not None:
            afterwards()
        os._exit(code)
    os.close(answer)
    _keep(question, caller)


def _await_namespaces(keeper: int, answer: int) -> None:
    """Outside: hear from the keeper whether the capsule can be.

    Raises:
        MissingCapability: if it cannot.
    """
    with os.fdopen(answer, "rb") as told:
        reason = told.read().decode()
    if reason != _READY:
        os.waitpid(keeper, 0)
        raise MissingCapability(
            f"cannot make the namespaces that a lab runs in: {reason or 'killed'}",
            "run 'vnemu doctor' to see what this machine allows",
        )


def _keep(question: int, caller: int) -> None:
    """The keeper: make the namespaces, and wait for pid 1 in them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [_ORPHANED])
    linux.die_with_parent(_ORPHANED)
    if os.getppid() != caller:
        os._exit(1)
    try:
        _new_namespaces()
    except OSError as error:
        os.write(question, str(error).encode())
        os._exit(MissingCapability.exit_status)
    # The read end tells the supervisor that its keeper is gone, should that
    # happen before it has asked the kernel to be told.
    lifeline, held = os.pipe()
    supervisor = os.fork()
    if supervisor:
        os.close(lifeline)
        os.close(question)
        signal.signal(_ORPHANED, lambda *_: _end_unless(caller, supervisor))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [_ORPHANED])
        code = _wait_outside(supervisor)
        signal.signal(_ORPHANED, signal.SIG_DFL)
        remains.take_away()
        os._exit(code)
    os.close(held)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [_ORPHANED])
    _supervise(lifeline, question)


def _end_unless(caller: int, supervisor: int) -> None:
    """Kill the supervisor if the caller is dead."""
    if os.getppid() != caller:
        _pass_on(supervisor, signal.SIGKILL)


def _new_namespaces() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        linux.unshare(_NAMESPACES)
        return
    linux.unshare(_NAMESPACES | linux.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _terminal() -> list[Any] | None:
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError, termios.error):
        return None


def _restore(terminal: list[Any] | None) -> None:
    """Put the terminal's settings back: who changed them inside can no longer do it."""
    if terminal is not None:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, terminal)


def _wait_outside(child: int) -> int:
    """Pass signals on, wait, and return what the child exited with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells those inside itself
    for number in _FORWARDED:
        signal.signal(number, lambda n, _: _pass_on(child, n))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    return _wait_for(child)


def _pass_on(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


def _wait_for(child: int) -> int:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _supervise(lifeline: int, question: int) -> None:
    """Pid 1: start the program that goes on, reap orphans, end with it."""
    linux.die_with_parent(signal.SIGKILL)
    os.set_blocking(lifeline, False)
    try:
        if os.read(lifeline, 1) == b"":
            os._exit(1)
    except BlockingIOError:
        pass  # the keeper lives
    try:
        _private_mounts()
    except OSError as error:
        os.write(question, str(error).encode())
        os._exit(MissingCapability.exit_status)
    os.write(question, _READY.encode())
    os.close(question)
    program = os.fork()
    if not program:
        os.close(lifeline)
        for number in _FORWARDED:
            signal.signal(number, _interrupt)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _FORWARDED:
        signal.signal(number, lambda n, _: _pass_on(program, n))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
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
