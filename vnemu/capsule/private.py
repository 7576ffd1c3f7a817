"""The private kernel: Linux as an ordinary process (user-mode Linux), with all its modules.

It boots inside the native capsule, where that is allowed, so that whatever is killed
takes it along, and its memory lies in a /dev/shm of its own. Its root file system
is the host's, seen with the rights of whoever started it (hostfs); its network is empty.

    caller -> keeper -> supervisor -> this process -> linux.uml -> init -> the command again

Where no capsule is allowed, a watcher stands between this process and linux.uml:

    this process (the caller) -> watcher -> linux.uml -> init -> the command again

The command is started again inside, with its arguments, folder and environment; there,
`enter` sees where it is and goes on. Terminal input and output are the kernel's
consoles (`uml_console`); signals and the window's size travel on a line of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from vnemu import linux
from vnemu.capsule import uml_init
from vnemu.capsule.readonly import protect
from vnemu.capsule.uml_console import MEMORY_FOLDER, Console
from vnemu.errors import ExperimentFailed, InternalError, MissingCapability

MARK = "VNEMU_PRIVATE_KERNEL"
"""Environment variable inside: why the private kernel was taken."""
INSTALL = "sudo apt-get install user-mode-linux"
LEAST_MEMORY = 256 * 2**20

_KERNEL = "linux.uml"
OWN_INSIDE = ("/run", "/dev", "/proc", "/sys")
"""Folders of which a capsule has its own: what is written there ends with it."""
_WRITABLE = tuple(map(Path, ("/run", MEMORY_FOLDER, "/tmp", "/var/tmp")))  # noqa: S108
_LOG_LINES = 15
_KILLED = 137


def installed() -> bool:
    """Whether the private kernel is on this machine."""
    return shutil.which(_KERNEL) is not None


def inside() -> bool:
    """Whether this process runs in a private kernel that vnemu booted."""
    if MARK not in os.environ:
        return False
    with Path("/proc/cpuinfo").open() as cpuinfo:
        return any("User Mode Linux" in line for line in cpuinfo)


def boot(reason: str, memory: int, *, enclosed: bool) -> NoReturn:
    """Go on in a private kernel: run this process's command there, and exit as it does.

    Parameters and errors are those of `run_again`.
    """
    os._exit(run_again(reason, memory, enclosed=enclosed))


def run_again(
    reason: str,
    memory: int,
    *,
    enclosed: bool,
    writes: Path | None = None,
    more: Sequence[str] = (),
    line: Callable[[int, int], None] | None = None,
) -> int:
    """Run this process's command again, in a private kernel.

    Parameters:
        reason: why, for the run's record.
        memory: what the kernel may use, in bytes; only what it touches is taken.
        enclosed: whether this process is in a native capsule. If so, all files are
            read-only inside, but for the working directory, temporary files, caches
            and the folder of `writes`.
        writes: what the command will make, elsewhere than in its working directory.
        more: arguments that it gets there beside its own.
        line: as of `uml_console.Console.run`.

    Returns:
        The command's exit status.

    Raises:
        MissingCapability: if it is not installed, there is no room for its memory, or
            it cannot see the working directory.
        ExperimentFailed: if somebody killed it.
        InternalError: if it ended by itself.
        KeyboardInterrupt: if it was interrupted while it booted.
    """
    kernel = shutil.which(_KERNEL)
    if kernel is None:
        raise MissingCapability("the private kernel is not installed", f"run: {INSTALL}")
    _check_folder()
    _make_room(memory, enclosed)
    folder = Path(tempfile.mkdtemp(prefix="vnemu-", dir="/run" if enclosed else None))
    try:
        if enclosed:
            protect(_writable(writes))
        console = Console(folder)
        _write_job(folder, reason, console, more)
        status = (folder / "status").open("w+")
        log = (folder / "kernel.log").open("w+", errors="replace")
        booted = _arguments(kernel, folder, memory)
        code = console.run(booted, log.fileno(), enclosed=enclosed, line=line)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = status.read()
    if not text.isdigit():
        log.seek(0)  # the kernel has moved it, as it writes to the same descriptor
        _explain(code, log.read())
    return int(text)


def _writable(writes: Path | None) -> list[Path]:
    own = [Path.cwd(), Path(tempfile.gettempdir())]
    return [*own, *_WRITABLE, *_caches(), *([writes] if writes else [])]


def _caches() -> list[Path]:
    """Folders of caches, made if they are not there.

    matplotlib searches for fonts anew, for seconds, when it cannot write to its own.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    plots = os.environ.get("MPLCONFIGDIR") or f"{config}/matplotlib"
    folders = [Path(name).expanduser() for name in (cache, plots)]
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    return [folder for folder in folders if folder.is_dir()]


def _explain(code: int, log: str) -> NoReturn:
    if code == _KILLED:
        raise ExperimentFailed("the private kernel was killed")
    said = "\n".join(log.splitlines()[-_LOG_LINES:]) or "it said nothing"
    raise InternalError(f"the private kernel ended by itself; its last words:\n{said}")


def _check_folder() -> None:
    """See to it that the working directory is the same folder inside.

    Raises:
        MissingCapability: if it is not.
    """
    cwd = Path.cwd()
    if any(cwd.is_relative_to(folder) for folder in OWN_INSIDE):
        raise MissingCapability(
            f"the private kernel has {', '.join(OWN_INSIDE)} of its own and does not see {cwd}",
            "run the command in another folder",
        )


def _make_room(memory: int, enclosed: bool) -> None:
    """See to it that the kernel's memory, a file in /dev/shm, has room.

    Raises:
        MissingCapability: if it has not.
    """
    if enclosed:
        secure = linux.MS_NOSUID | linux.MS_NODEV
        room, where = _machine_memory(), "this machine has"
        linux.mount("tmpfs", MEMORY_FOLDER, "tmpfs", secure, f"mode=1777,size={room}")
        remedy = ""
    else:
        space = os.statvfs(MEMORY_FOLDER)
        room, where = space.f_bavail * space.f_frsize, f"{MEMORY_FOLDER} has room for"
        remedy = f"make it larger: sudo mount -o remount,size={memory >> 20}m {MEMORY_FOLDER}"
    if room >= memory:
        return
    wishes = [f"give it less with --memory {room >> 20}mb"] if room >= LEAST_MEMORY else []
    raise MissingCapability(
        f"the private kernel is to have {memory >> 20} MB of memory, but {where} {room >> 20} MB",
        ", or ".join([*wishes, *([remedy] if remedy else [])]),
    )


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _write_job(folder: Path, reason: str, console: Console, more: Sequence[str]) -> None:
    job = {
        "argv": [sys.executable, *sys.orig_argv[1:], *more],
        "cwd": str(Path.cwd()),
        "env": {**os.environ, MARK: reason},
        "tty": console.tty,
        "raw": console.raw,
        "size": console.window(),
        "umask": _umask(),
    }
    (folder / "job.json").write_text(json.dumps(job))


def _arguments(kernel: str, folder: Path, memory: int) -> list[str]:
    return [
        kernel,
        f"mem={memory >> 20}M",
        f"uml_dir={folder}/uml/",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        "con=null",
        "ssl=null",
        "quiet",
        # The first tries algorithms for most of a second, and only the second uses them.
        "initcall_blacklist=raid6_select_algo,init_btrfs_fs",
        f"init={sys.executable}",
        # To the kernel, what follows is for init.
        "--",
        "-I",
        "-S",
        uml_init.__file__,
        str(folder),
    ]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
