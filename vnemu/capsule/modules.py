"""Loads kernel modules without a process for each, as modprobe would need one.

The format of modules.dep is that of depmod(8): ``module: what it needs, nearest first``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from pathlib import Path

_FINIT_MODULE = {"x86_64": 313, "i686": 350}
_ENDINGS = (".ko",)

_libc = ctypes.CDLL(None, use_errno=True)


def load(names: tuple[str, ...], folder: Path) -> None:
    """Load modules and what they need; those that are built in or absent are left out.

    Parameters:
        folder: ``/lib/modules/VERSION``.

    Raises:
        OSError: if the kernel refuses one.
    """
    needs = _needs(folder)
    by_name = {Path(path).stem: path for path in needs}
    loaded: set[str] = set()
    for name in names:
        path = by_name.get(name)
        if path is None:
            continue
        for module in (*reversed(needs[path]), path):
            if module not in loaded and module.endswith(_ENDINGS):
                _insert(folder / module)
                loaded.add(module)


def _needs(folder: Path) -> dict[str, list[str]]:
    try:
        lines = (folder / "modules.dep").read_text().splitlines()
    except OSError:
        return {}
    split = (line.partition(":") for line in lines)
    return {path: needs.split() for path, _, needs in split}


def _insert(path: Path) -> None:
    number = _FINIT_MODULE.get(platform.machine())
    if number is None:
        return  # the kernel calls modprobe by itself when it misses something
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syscall(number, fd, b"", 0) != 0:
            code = ctypes.get_errno()
            if code != errno.EEXIST:
                raise OSError(code, f"{path.name}: {os.strerror(code)}")
    finally:
        os.close(fd)
