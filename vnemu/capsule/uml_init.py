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
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vnemu import linux
from vnemu.capsule import modules

_MODULES = "/usr/lib/uml/modules"
# What every lab needs, loaded at once; the kernel asks for others when they are used.
_NEEDED = (
    *("ipv6", "veth", "vxlan", "ip_gre", "ifb", "sch_htb", "sch_ingress", "sch_netem"),
    *("cls_u32", "act_mirred"),
)
_POWER_OFF = 0x4321FEDC
_SYNC_SECONDS = 1.0
_CONSOLES = ("/dev/tty1", "/dev/tty1", "/dev/tty2")
_DISABLED = b"\0"
_SECURE = linux.MS_NOSUID | linux.MS_NODEV


def main() -> None:
    """Run the job and power off."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    # /run is about to be hidden, and the folder with it.
    status = os.open(folder / "status", os.O_WRONLY)
    code = 255
    try:
        _mount()
        code = _Job(job).run()
    except BaseException:  # the last line of defence: it goes to the kernel's log
        Path("/dev/console").write_text(traceback.format_exc())
    with suppress(OSError):
        os.kill(-1, signal.SIGKILL)
    os.sync()
    os.write(status, str(code).encode())
    os.close(status)
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF)


def _mount() -> None:
    linux.mount("proc", "/proc", "proc", _SECURE | linux.MS_NOEXEC)
    linux.mount("sysfs", "/sys", "sysfs", _SECURE | linux.MS_NOEXEC)
    linux.mount("tmpfs", "/run", "tmpfs", _SECURE, "mode=755")
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


class _Job:
    """The command, on consoles that behave as those outside."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._tty: list[bool] = job["tty"]
        self._consoles = [os.open(path, os.O_RDWR | os.O_NOCTTY) for path in _CONSOLES]
        for fd, tty in zip(self._consoles[1:], self._tty[1:], strict=True):
            _set_output(fd, cooked=tty and self._tty[0])
        _set_input(self._consoles[0], self._tty[0], echo=self._tty[0] and self._tty[1])
        self._resize(*job["size"])
        self._command = 0

    def run(self) -> int:
        """Start the command, look after it and everything else, return its exit status."""
        # The terminal is this process's: were it the command's, its end would hang
        # the line up with the last output still on it.
        os.setsid()
        if self._tty[0]:
            fcntl.ioctl(self._consoles[0], termios.TIOCSCTTY, 1)
        ends, pumps = self._wire()
        self._command = os.fork()
        if not self._command:
            self._become_command(ends)
        for fd in {ends[i] for i in range(3) if not self._tty[i]}:
            os.close(fd)
        for target in (self._listen, _sync_now_and_then):
            threading.Thread(target=target, daemon=True).start()
        code = self._reap()
        with suppress(OSError):
            os.kill(-1, signal.SIGKILL)  # whoever still holds a pipe's end
        for pump in pumps:
            pump.join(5)
        for fd in self._consoles[1:]:
            termios.tcdrain(fd)
        return code

    def _wire(self) -> tuple[list[int], list[threading.Thread]]:
        """The command's three descriptors; where outside is no terminal, inside is a pipe."""
        ends, pumps = [], []
        for number, console in enumerate(self._consoles):
            if self._tty[number]:
                ends.append(console)
                continue
            out, into = os.pipe()
            source, target, end = (console, into, out) if number == 0 else (out, console, into)
            pump = threading.Thread(target=_pump, args=(source, target, number == 0), daemon=True)
            pump.start()
            ends.append(end)
            if number:
                pumps.append(pump)
        return ends, pumps

    def _become_command(self, ends: list[int]) -> NoReturn:
        try:
            if self._tty[0]:
                os.setpgid(0, 0)
                signal.signal(signal.SIGTTOU, signal.SIG_IGN)
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
        """Take signals and sizes from the control line."""
        fd = os.open("/dev/tty3", os.O_RDONLY | os.O_NOCTTY)
        _set_input(fd, False, echo=False)
        with os.fdopen(fd) as lines:
            for line in lines:
                words = line.split()
                if words[:1] == ["SIZE"]:
                    self._resize(int(words[1]), int(words[2]))
                elif words:
                    with suppress(ProcessLookupError):
                        os.kill(self._command, signal.Signals[words[0]])

    def _resize(self, rows: int, columns: int) -> None:
        for fd in self._consoles[1:]:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _set_output(fd: int, *, cooked: bool) -> None:
    """`cooked`: the terminal outside is raw, so line ends are made here."""
    mode = termios.tcgetattr(fd)
    if cooked:
        mode[1] |= termios.OPOST | termios.ONLCR
    else:
        mode[1] &= ~termios.OPOST
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def _set_input(fd: int, tty: bool, *, echo: bool) -> None:
    """A terminal keeps its usual keys; data from elsewhere comes through as it is.

    Then only end of file and "literal next" are left on: see `private._feed`.
    """
    mode = termios.tcgetattr(fd)
    if not echo:
        mode[3] &= ~termios.ECHO
    if not tty:
        mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
        mode[3] = (mode[3] & ~termios.ISIG) | termios.ICANON | termios.IEXTEN
        keep = (termios.VEOF, termios.VLNEXT)
        for key in range(len(mode[6])):
            if key not in keep and isinstance(mode[6][key], bytes):
                mode[6][key] = _DISABLED
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def _pump(source: int, target: int, is_input: bool) -> None:
    while True:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b""
        if not data:
            break
        while data:
            try:
                data = data[os.write(target, data) :]
            except OSError:
                return
    if is_input:
        os.close(target)


def _sync_now_and_then() -> None:
    """Give the host what was written: a kernel that is killed loses its page cache."""
    while True:
        time.sleep(_SYNC_SECONDS)
        os.sync()


if __name__ == "__main__":
    main()
