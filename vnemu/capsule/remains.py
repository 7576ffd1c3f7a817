"""What a lab makes outside of its namespaces, noted, so that whoever survives it takes it away.

Only control groups are such: all else goes with the namespaces. The register is a file
without a name (memfd_create(2)) that caller, keeper, supervisor and program share. It
holds one path a line, written before the folder is made.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE_S = 5.0
_POLL_S = 0.005
_register: list[int] = []


def open_register() -> None:
    """Make the register that this process and those it forks share."""
    if not _register:
        fd = os.memfd_create("remains")
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        _register.append(fd)


def note(folder: Path) -> None:
    """Note a folder of control groups that is about to be made."""
    for fd in _register:
        os.write(fd, f"{folder}\n".encode())


def take_away() -> None:
    """Remove what is noted and still there, once the lab's processes have been killed.

    The last of them may take a moment to go; a group that they are in cannot be removed.
    """
    latest = time.monotonic() + _PATIENCE_S
    for folder in _noted():
        while not removed(folder) and time.monotonic() < latest:
            time.sleep(_POLL_S)
        if folder.exists():
            print(f"vnemu: cannot remove {folder}: use rmdir when it is empty", file=sys.stderr)


def _noted() -> list[Path]:
    texts = (os.pread(fd, os.fstat(fd).st_size, 0).decode() for fd in _register)
    return [Path(line) for text in texts for line in text.splitlines()]


def removed(folder: Path) -> bool:
    """Try to remove a group of ours and those below it; whether it is gone.

    One that a process is in stays, and one of somebody else's.
    """
    with suppress(OSError):
        if folder.stat().st_uid != os.geteuid():
            return False
        for below in subgroups(folder):
            removed(below)
        folder.rmdir()
    return not folder.exists()


def subgroups(folder: Path) -> list[Path]:
    """The groups right below one."""
    return [entry for entry in folder.iterdir() if entry.is_dir()]
