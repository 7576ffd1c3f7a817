"""The system calls that Python's standard library lacks, and nothing else.

Python has unshare(2) and setns(2) from 3.12 on; vnemu supports 3.11.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

# On all architectures:
_FSCONFIG, _FSPICK, _MOUNT_SETATTR = 431, 433, 442
_FSPICK_CLOEXEC = 0x1
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_RECONFIGURE = 1, 7
_MOUNT_ATTR_RDONLY = 0x1
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags: int) -> None:
    """Move the caller into new namespaces (unshare(2)).

    Raises:
        OSError: as the kernel says.
    """
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace behind `fd` (setns(2)).

    Raises:
        OSError: as the kernel says.
    """
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount a file system (mount(2)).

    Raises:
        OSError: as the kernel says.
    """
    arguments = [text.encode() or None for text in (source, target, kind)]
    _check(
        _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None),
        f"mount {kind or source} on {target}",
    )


def set_read_only(target: str, on: bool, *, recursive: bool = False) -> None:
    """Make a mount read-only or writable (mount_setattr(2), since Linux 5.12).

    Raises:
        OSError: as the kernel says.
    """
    wanted, unwanted = (_MOUNT_ATTR_RDONLY, 0) if on else (0, _MOUNT_ATTR_RDONLY)
    attributes = struct.pack("QQQQ", wanted, unwanted, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    arguments = (_AT_FDCWD, target.encode(), flags, attributes, ctypes.c_size_t(len(attributes)))
    result = _libc.syscall(_MOUNT_SETATTR, *arguments)
    _check(result, f"mount_setattr on {target}")


def reconfigure(target: str, option: str, value: str) -> None:
    """Change an option of the file system mounted on `target` (fsconfig(2), since Linux 5.2).

    `target` may lead into another mount namespace (/proc/PID/root/…).

    Raises:
        OSError: as the kernel says.
    """
    fd = _libc.syscall(_FSPICK, _AT_FDCWD, target.encode(), _FSPICK_CLOEXEC)
    _check(min(fd, 0), f"fspick on {target}")
    try:
        texts = (option.encode(), value.encode())
        what = f"fsconfig {option}={value} on {target}"
        _check(_libc.syscall(_FSCONFIG, fd, _FSCONFIG_SET_STRING, *texts, 0), what)
        _check(_libc.syscall(_FSCONFIG, fd, _FSCONFIG_CMD_RECONFIGURE, None, None, 0), what)
    finally:
        os.close(fd)


def die_with_parent(signal_number: int) -> None:
    """Ask for `signal_number` when the parent thread dies (prctl(2), PR_SET_PDEATHSIG)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of all orphans among the descendants (PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_timer_slack(nanoseconds: int) -> None:
    """How late the calling thread's sleeps may end (prctl(2), PR_SET_TIMERSLACK).

    Raises:
        OSError: as the kernel says.
    """
    _check(_libc.prctl(_PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0), "prctl")


@contextmanager
def inside(fd: int, home: int, kind: int = CLONE_NEWNET) -> Iterator[None]:
    """Run the body in the namespace behind `fd`, and come back to `home`'s."""
    setns(fd, kind)
    try:
        yield
    finally:
        setns(home, kind)
