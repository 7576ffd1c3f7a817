"""The private kernel: Linux as an ordinary process (user-mode Linux), with all its modules.

It boots inside the native capsule, where that is allowed, so that whatever is killed
takes it along, and its memory lies in a /dev/shm of its own. Its root file system
is the host's, seen with the rights of whoever started it (hostfs); its network is empty.

    caller -> keeper -> supervisor -> this process -> linux.uml -> init -> the command again

The command is started again inside, with its arguments, folder and environment; there,
`enter` sees where it is and goes on. Terminal input and output are the kernel's
consoles; signals and the window's size travel on a line of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tty import setraw
from typing import NoReturn

from vnemu import linux
from vnemu.capsule import uml_init
from vnemu.errors import InternalError, MissingCapability

MARK = "VNEMU_PRIVATE_KERNEL"
"""Environment variable inside: why the private kernel was taken."""
INSTALL = "sudo apt-get install user-mode-linux"
DEFAULT_MEMORY = 2 * 2**30
LEAST_MEMORY = 256 * 2**20

_KERNEL = "linux.uml"
_MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - the kernel's memory is a file there, unlinked at once
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_LINES = 15
_LAST_WORDS_SECONDS = 2.0
_STDIN, _STDOUT, _STDERR = 0, 1, 2
# What a terminal in line mode does not take as it is: end of file and "next
# character is literal" (the two that init leaves on).
_SPECIAL = {4: b"\x16\x04", 22: b"\x16\x16"}
_PIECE = 1024


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
    """Run this process's command again in a private kernel, and exit as it does.

    Parameters:
        reason: why, for the run's record.
        memory: what the kernel may use, in bytes; only what it touches is taken.
        enclosed: whether this process is in a native capsule.

    Raises:
        MissingCapability: if it is not installed, or there is no room for its memory.
    """
    kernel = shutil.which(_KERNEL)
    if kernel is None:
        raise MissingCapability("the private kernel is not installed", f"run: {INSTALL}")
    _make_room(memory, enclosed)
    folder = Path(tempfile.mkdtemp(prefix="vnemu-", dir="/run" if enclosed else None))
    try:
        status = _Console(kernel, folder, reason, memory).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)


def _make_room(memory: int, enclosed: bool) -> None:
    """See to it that the kernel's memory, a file in /dev/shm, has room.

    Raises:
        MissingCapability: if it has not.
    """
    if enclosed:
        linux.mount("tmpfs", _MEMORY_FOLDER, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
    space = os.statvfs(_MEMORY_FOLDER)
    free = space.f_bavail * space.f_frsize
    if free < memory:
        raise MissingCapability(
            f"the private kernel is to have {memory >> 20} MB of memory, "
            f"but /dev/shm has room for {free >> 20} MB",
            f"give it less with --memory, such as --memory {max(free >> 20, 256)}mb",
        )


class _Console:
    """One boot: the kernel's consoles, its end, and what it leaves."""

    def __init__(self, kernel: str, folder: Path, reason: str, memory: int) -> None:
        self._kernel = kernel
        self._folder = folder
        self._memory = memory
        self._tty = [os.isatty(fd) for fd in (_STDIN, _STDOUT, _STDERR)]
        self._control_out, self._control_in = os.pipe()
        self._write_job(reason)

    def _write_job(self, reason: str) -> None:
        job = {
            "argv": [sys.executable, *sys.orig_argv[1:]],
            "cwd": str(Path.cwd()),
            "env": {**os.environ, MARK: reason},
            "tty": self._tty,
            "size": self._window(),
            "umask": _umask(),
        }
        (self._folder / "job.json").write_text(json.dumps(job))
        (self._folder / "status").touch()

    def _window(self) -> list[int]:
        for fd in (_STDOUT, _STDERR, _STDIN):
            with suppress(OSError):
                columns, rows = os.get_terminal_size(fd)
                return [rows, columns]
        return [24, 80]

    def run(self) -> int:
        """Boot, wait for the end, and return the command's exit status.

        Raises:
            InternalError: if the kernel ended without one.
        """
        log = os.open(self._folder / "kernel.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        # The kernel gets pipes of its own and never the caller's descriptors: it makes
        # those it is given non-blocking, for everyone who shares them, and its
        # console stands still on a plain file.
        typed, to_kernel = os.pipe()
        printed, complained = os.pipe(), os.pipe()
        inside = (typed, printed[1], complained[1], log, self._control_out)
        with _raw(self._tty[_STDIN]), self._signals():
            kernel = subprocess.Popen(
                self._arguments(*inside[:4]),
                pass_fds=inside,
                stdin=subprocess.DEVNULL,
                env={"TMPDIR": _MEMORY_FOLDER, "PATH": "/usr/bin:/bin", "HOME": "/"},
            )
            for fd in inside:
                os.close(fd)
            pumps = [_Pump(printed[0], _STDOUT), _Pump(complained[0], _STDERR)]
            copy = _type if self._tty[_STDIN] else _feed
            threading.Thread(target=copy, args=(to_kernel,), daemon=True).start()
            kernel.wait()
            for pump in pumps:
                pump.join(_LAST_WORDS_SECONDS)
        return self._status()

    def _status(self) -> int:
        text = (self._folder / "status").read_text()
        if text.isdigit():
            return int(text)
        lines = (self._folder / "kernel.log").read_text(errors="replace").splitlines()
        said = "\n".join(lines[-_LOG_LINES:]) or "it said nothing"
        raise InternalError(f"the private kernel ended by itself; its last words:\n{said}")

    def _arguments(self, typed: int, printed: int, complained: int, log: int) -> list[str]:
        return [
            self._kernel,
            f"mem={self._memory >> 20}M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            "con=null",
            "ssl=null",
            f"con0=null,fd:{log}",
            f"con1=fd:{typed},fd:{printed}",
            f"con2=null,fd:{complained}",
            f"con3=fd:{self._control_out},null",
            "quiet",
            f"init={sys.executable}",
            # To the kernel, what follows is for init.
            "--",
            "-I",
            "-S",
            uml_init.__file__,
            str(self._folder),
        ]

    def _signals(self) -> _Handlers:
        def tell(number: int, _: object) -> None:
            self._tell(signal.Signals(number).name)

        def resize(number: int, _: object) -> None:
            rows, columns = self._window()
            self._tell(f"SIZE {rows} {columns}")

        return _Handlers({**dict.fromkeys(_SIGNALS, tell), signal.SIGWINCH: resize})

    def _tell(self, line: str) -> None:
        os.write(self._control_in, line.encode() + b"\n")


class _Pump(threading.Thread):
    """Copies what the kernel prints until all of its processes are gone."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._target = target
        self.start()

    def run(self) -> None:
        """Copy; a reader who went away is not our trouble."""
        with suppress(OSError):
            while data := os.read(self._source, 1 << 16):
                while data:
                    data = data[os.write(self._target, data) :]


def _type(into: int) -> None:
    """Copy the keys that are typed, as they are."""
    with suppress(OSError):
        while data := os.read(_STDIN, _PIECE):
            os.write(into, data)


def _feed(into: int) -> None:
    """Copy standard input in the way a terminal takes it: what is special is quoted.

    "End of file" hands over what is no whole line; with nothing before it, it ends.
    """
    with suppress(OSError):
        while data := os.read(_STDIN, _PIECE):
            quoted = b"".join(_SPECIAL.get(byte, bytes((byte,))) for byte in data)
            os.write(into, quoted if data.endswith(b"\n") else quoted + b"\x04")
    with suppress(OSError):
        os.write(into, b"\x04")


@contextmanager
def _raw(tty: bool) -> Iterator[None]:
    """The caller's terminal hands on every key while the context lasts."""
    if not tty:
        yield
        return
    saved = termios.tcgetattr(_STDIN)
    try:
        setraw(_STDIN)
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, saved)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Handlers:
    """Signal handlers that are in place while the context lasts."""

    def __init__(self, handlers: dict[signal.Signals, Callable[[int, object], None]]) -> None:
        self._handlers = handlers
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> None:
        for number, handler in self._handlers.items():
            self._before[number] = signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal() gave it
