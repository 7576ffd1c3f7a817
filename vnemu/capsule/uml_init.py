"""Pid 1 of the private kernel: mounts, consoles, the command, and the way out.

A program of its own, started by the kernel with the Python that runs vnemu, so that
nothing is forked on the way (a fork and exec costs some 30 ms there):

    python -I -S uml_init.py FOLDER

FOLDER has job.json (what to run) and status (where its exit status goes).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vnemu import linux
from vnemu.capsule import modules

_MODULES = "/usr/lib/uml/modules"
# What every lab needs, loaded at once; the kernel asks for others when they are used.
_NEEDED = (
    *("ipv6", "veth", "vxlan", "ip_gre", "ifb", "sch_htb", "sch_tbf", "sch_ingress", "sch_netem"),
    *("cls_u32", "cls_bpf", "act_mirred", "sch_codel", "sch_fq_codel", "sch_cake", "sch_red"),
)
_POWER_OFF = 0x4321FEDC
_FIRST = 50
"""A priority above those of vnemu's own threads (SCHED_RR)."""
_SYNC_SECONDS = 1.0
_CONSOLES = ("/dev/tty1", "/dev/tty1", "/dev/tty2")
_CONTROL = "/dev/tty3"
_LAST_WORDS_SECONDS = 5.0
_DISABLED = b"\0"
_ESCAPE, _END = b"\x10", b"\x10\x04"  # as `uml_console` writes them
_PIECE = 1 << 16
_SECURE = linux.MS_NOSUID | linux.MS_NODEV


def main() -> None:
    """Run the job and power off."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    # /run is about to be hidden, and the folder with it.
    status = os.open(folder / "status", os.O_WRONLY)
    code = ""  # none: the kernel's log tells why
    try:
        _mount()
        code = str(_Job(job).run())
    except BaseException:  # the last line of defence: it goes to the kernel's log
        Path("/dev/console").write_text(traceback.format_exc())
    with suppress(OSError):
        os.kill(-1, signal.SIGKILL)
    os.sync()
    os.write(status, code.encode())
    os.close(status)
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF)


def _mount() -> None:
    linux.mount("proc", "/proc", "proc", _SECURE | linux.MS_NOEXEC)
    linux.mount("sysfs", "/sys", "sysfs", _SECURE | linux.MS_NOEXEC)
    linux.mount("tmpfs", "/run", "tmpfs", _SECURE, "mode=755")
    _mount_cgroups(Path("/sys/fs/cgroup"))
    for name, kind in (("shm", "tmpfs"), ("pts", "devpts")):
        target = f"/dev/{name}"
        Path(target).mkdir(exist_ok=True)
        linux.mount(kind, target, kind, _SECURE)
    if Path(_MODULES).is_dir() and Path("/lib/modules").is_dir():
        linux.mount(_MODULES, "/lib/modules", "", linux.MS_BIND)
    modules.load(_NEEDED, Path(_MODULES) / os.uname().release)
    # The devices that tunnel modules put into every namespace (gre0, tunl0 …) would
    # be most of the cost of a new one.
    Path("/proc/sys/net/core/fb_tunnels_only_for_init_net").write_text("1")
    socket.sethostname("vnemu")
    _forward_first()


def _forward_first() -> None:
    """Let frames go before programs: there is one processor, and links are to keep their rates.

    Else a program that computes holds up all links whenever the kernel has put off their work
    to its thread `ksoftirqd`, which takes its turn like any program.
    """
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # the kernel's helpers come and go
            if name.read_text().startswith("ksoftirqd/"):
                os.sched_setscheduler(int(name.parent.name), os.SCHED_FIFO, os.sched_param(_FIRST))


def _mount_cgroups(folder: Path) -> None:
    """Let labs limit what virtual routers use, with all that this kernel has for it."""
    with suppress(OSError):
        linux.mount("cgroup2", str(folder), "cgroup2", _SECURE | linux.MS_NOEXEC)
        for name in (folder / "cgroup.controllers").read_text().split():
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


class _Job:
    """The command, on consoles that behave as those outside."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._tty: list[bool] = job["tty"]
        self._consoles = [os.open(path, os.O_RDWR | os.O_NOCTTY) for path in _CONSOLES]
        for fd, tty in zip(self._consoles[1:], self._tty[1:], strict=True):
            _set_output(fd, cooked=tty and job["raw"])
        _set_input(self._consoles[0], self._tty[0], echo=job["raw"])
        self._resize(*job["size"])
        self._control = os.open(_CONTROL, os.O_RDWR | os.O_NOCTTY)
        _set_input(self._control, tty=False)
        self._closed = {number: threading.Event() for number in (1, 2)}
        self._feeders: list[threading.Thread] = []
        self._printers: list[threading.Thread] = []
        self._command = 0

    def run(self) -> int:
        """Start the command, look after it and everything else, return its exit status."""
        # The terminal is this process's: were it the command's, its end would hang
        # the line up with the last output still on it.
        os.setsid()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it is never in the foreground
        if self._tty[0]:
            fcntl.ioctl(self._consoles[0], termios.TIOCSCTTY, 1)
        ends = self._wire()
        self._say("READY")
        self._command = os.fork()
        if not self._command:
            self._become_command(ends)
        for fd in {ends[i] for i in range(3) if not self._tty[i]}:
            os.close(fd)
        others = (_thread(self._listen), _thread(_sync_now_and_then))
        for thread in (*self._feeders, *self._printers, *others):
            thread.start()
        code = self._reap()
        with suppress(OSError):
            os.kill(-1, signal.SIGKILL)  # whoever still holds a pipe's end
        for printer in self._printers:
            printer.join(_LAST_WORDS_SECONDS)
        for fd in self._consoles[1:]:
            termios.tcdrain(fd)
        return code

    def _wire(self) -> list[int]:
        """The command's three descriptors; where outside is no terminal, inside is a pipe."""
        ends = list(self._consoles)
        for number, console in enumerate(self._consoles):
            if self._tty[number]:
                continue
            out, into = os.pipe()
            if number == 0:
                ends[number] = out
                self._feeders.append(_thread(_pump_in, console, into))
            else:
                ends[number] = into
                self._printers.append(_thread(_pump_out, out, console, self._closed[number]))
        return ends

    def _say(self, line: str) -> None:
        os.write(self._control, line.encode() + b"\n")

    def _become_command(self, ends: list[int]) -> NoReturn:
        try:
            os.setpgid(0, 0)
            if self._tty[0]:
                os.tcsetpgrp(self._consoles[0], os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            for number, fd in enumerate(ends):
                os.dup2(fd, number)
            os.closerange(3, 256)
            os.umask(self._job["umask"])
            os.chdir(self._job["cwd"])
            argv = self._job["argv"]
            os.execvpe(argv[0], argv, self._job["env"])  # noqa: S606 - no shell on purpose
        except OSError:
            traceback.print_exc()
        os._exit(255)

    def _reap(self) -> int:
        while True:
            pid, status = os.wait()
            if pid == self._command:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

    def _listen(self) -> None:
        """Take signals and what happens to the consoles from the control line."""
        with os.fdopen(self._control) as lines:
            for line in lines:
                match line.split():
                    case ["SIZE", rows, columns]:
                        self._resize(int(rows), int(columns))
                    case ["CLOSE", number]:
                        self._closed[int(number)].set()
                    case [name]:
                        self._pass_on(signal.Signals[name])

    def _pass_on(self, number: signal.Signals) -> None:
        """As outside, Ctrl-C is for the whole group, and other signals for its leader."""
        send = os.killpg if number == signal.SIGINT else os.kill
        with suppress(ProcessLookupError):
            send(self._command, number)

    def _resize(self, rows: int, columns: int) -> None:
        for fd in self._consoles[1:]:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _thread(target: Callable[..., None], *args: object) -> threading.Thread:
    return threading.Thread(target=target, args=args, daemon=True)


def _set_output(fd: int, *, cooked: bool) -> None:
    """`cooked`: the terminal outside is raw, so line ends are made here."""
    mode = termios.tcgetattr(fd)
    if cooked:
        mode[1] |= termios.OPOST | termios.ONLCR
    else:
        mode[1] &= ~termios.OPOST
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def _set_input(fd: int, tty: bool, *, echo: bool = False) -> None:
    """A terminal keeps its usual keys; data from elsewhere comes through as it is."""
    mode = termios.tcgetattr(fd)
    if tty:
        # Nobody is there to make a stopped command go on.
        mode[6][termios.VSUSP] = _DISABLED
        if not echo:
            mode[3] &= ~termios.ECHO
    else:
        mode[0] = mode[3] = 0
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def _pump_out(source: int, console: int, closed: threading.Event) -> None:
    """Copy what the command prints, until nobody has it open or `closed` is set."""
    while data := os.read(source, _PIECE):
        if closed.is_set():
            os.close(source)  # the command's next write fails, as it would outside
            return
        _write(console, data)


def _pump_in(console: int, target: int) -> None:
    """Copy what `uml_console` feeds to the end that it marks."""
    with suppress(OSError):  # the command may not want it
        rest, ended = b"", False
        while not ended:
            data, rest, ended = _plain(rest + os.read(console, _PIECE))
            _write(target, data)
    os.close(target)


def _plain(data: bytes) -> tuple[bytes, bytes, bool]:
    """What was fed as it was: the data, what is left to look at, whether it ended."""
    *whole, last = data.split(_ESCAPE * 2)
    end = last.find(_ESCAPE)
    if end < 0:
        return _ESCAPE.join([*whole, last]), b"", False
    return _ESCAPE.join([*whole, last[:end]]), last[end:], last[end:].startswith(_END)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _sync_now_and_then() -> None:
    """Give the host what was written: a kernel that is killed loses its page cache."""
    while True:
        time.sleep(_SYNC_SECONDS)
        os.sync()


if __name__ == "__main__":
    main()
