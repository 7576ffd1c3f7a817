"""A program of its own: makes the mount, host name and pid namespaces of VRs.

It is started once a lab, stays small (no site packages), and forks a pid 1 for
each VR in which processes are to run. A request is one datagram on the socket
whose descriptor is argument 1: a name for the VR, with two descriptors attached, its
network namespace and a file with an `Order` as JSON. What happens then is told on
the same socket, as JSON with that name as ``vr``:

    {"pid": 12}                            its pid 1, once that has made all private
    {"refused": "..."}                     why there is none
    {"ready": true}                        all its programs run
    {"ended": "bird", "status": 1}         a program has ended that was not to
    {"stopped": true}                      nothing runs in it any more but its pid 1;
                                           false: something does not end

Its pid 1 understands two signals: STOP ends all else that runs in the VR, START starts
its programs again.

    python -I -S vr_init.py FD
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vnemu import linux

LOGS = "/run/log"
"""Folder in a VR where its programs' logs are, NAME.log each."""

STOP, START = signal.SIGUSR1, signal.SIGUSR2
_HEARD = (signal.SIGCHLD, STOP, START)

_SECURE = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_OWN = linux.MS_NOSUID | linux.MS_NODEV
_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_CANNOT_START = 127
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.005, 0.1
_TERM_S, _KILL_S = 1.0, 5.0
"""How long programs have to end by themselves, and to end at all."""


class Program(TypedDict):
    """A program that a VR runs.

    ``ready`` is the socket or the file, with something in it, that it makes when it is
    ready; empty: it is when it has ended with status 0.
    """

    name: str
    argv: list[str]
    ready: str


class Order(TypedDict):
    """What a VR has for itself, and runs from its start.

    ``private`` are folders that are empty in it, ``files`` what it has in them (path ->
    text), ``over`` which files take the place of others (there -> own); the programs of
    one of the ``stages`` start when all of the stage before are ready; ``waits``: not
    before START.
    """

    host_name: str
    private: list[str]
    files: dict[str, str]
    over: dict[str, str]
    stages: list[list[Program]]
    waits: bool


def plain(host_name: str) -> Order:
    """The order for a node that runs nothing by itself."""
    return Order(host_name=host_name, private=[], files={}, over={}, stages=[], waits=False)


def main() -> None:
    """Serve requests until the lab closes its end."""
    linux.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps each pid 1 itself
    gc.disable()  # a collection would write to all that the processes forked here share
    lab = socket.socket(fileno=int(sys.argv[1]))
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        name, fds, _, _ = socket.recv_fds(lab, 4096, 2)
        if not name:
            return
        network, order = fds
        with os.fdopen(order) as file:
            _start(_Vr(lab, name.decode()), home, network, json.load(file))
        os.close(network)


class _Vr:
    """A VR, of which things are told to the lab."""

    def __init__(self, lab: socket.socket, name: str) -> None:
        self.lab = lab
        self.name = name

    def tell(self, **what: object) -> None:
        with suppress(ConnectionError):  # the lab ends, and this process with it
            self.lab.send(json.dumps({"vr": self.name, **what}).encode())


def _start(vr: _Vr, home: int, network: int, order: Order) -> None:
    """Fork the pid 1 of a VR: only who is forked after it is in the new pid namespace."""
    try:
        linux.unshare(linux.CLONE_NEWPID)
        if not os.fork():
            _be_pid_1(vr, network, order)
        linux.setns(home, linux.CLONE_NEWPID)
    except OSError as error:
        vr.tell(refused=str(error))


def _be_pid_1(vr: _Vr, network: int, order: Order) -> NoReturn:
    # Forked pages are copied when they are written to, which in the private kernel takes
    # 0.2 ms for each: from here on, the less of Python is used the better.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        # What it shows of itself in /proc before that is mounted anew is its id
        # in the capsule, which is the one the lab needs.
        own = int(os.readlink("/proc/self"))  # noqa: PTH115
        _make_private(network, order)
        vr.tell(pid=own)
    except OSError as error:
        vr.tell(refused=str(error))
        os._exit(1)
    os.dup2(vr.lab.fileno(), 3, inheritable=False)
    vr.lab.detach()
    os.closerange(4, 4096)
    _Pid1(_Vr(socket.socket(fileno=3), vr.name)).run(order["stages"], order["waits"])


def _make_private(network: int, order: Order) -> None:
    linux.setns(network, linux.CLONE_NEWNET)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS)
    socket.sethostname(order["host_name"])
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", "/proc", "proc", _SECURE)
    _mount_own(order["private"])
    for name, text in order["files"].items():
        os.makedirs(os.path.dirname(name), exist_ok=True)  # noqa: PTH103, PTH120
        _write(name, text.encode(errors="surrogateescape"))
    for there, own in order["over"].items():
        linux.mount(own, there, "", linux.MS_BIND)


def _mount_own(folders: Sequence[str]) -> None:
    """One file system for all that is the VR's own, so that one size limits it."""
    linux.mount("tmpfs", "/run", "tmpfs", _OWN, "mode=755")
    for number, folder in enumerate((*folders, "/run")):
        os.mkdir(f"/run/{number}", 0o755)  # noqa: PTH102
        linux.mount(f"/run/{number}", folder, "", linux.MS_BIND)


def _is_made(path: str) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) or found.st_size > 0


def _write(name: str, data: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


class _Pid1:
    """Starts a VR's programs, ends them, tells of their ends, and reaps orphans."""

    def __init__(self, vr: _Vr) -> None:
        self._vr = vr
        self._running: dict[int, Program] = {}

    def run(self, stages: Sequence[Sequence[Program]], waits: bool) -> NoReturn:
        """Start all unless it `waits` for START; then go on for as long as the VR lives."""
        if stages:
            os.chdir("/")
            os.mkdir(LOGS)  # noqa: PTH102
        if stages and not waits:
            self._start_all(stages)
        while True:
            told = signal.sigwait(_HEARD)
            self._reap()
            if told == STOP:
                self._stop_all()
            elif told == START:
                self._start_all(stages)

    def _start_all(self, stages: Sequence[Sequence[Program]]) -> None:
        for stage in stages:
            for program in stage:
                if os.path.exists(program["ready"]):  # noqa: PTH110
                    os.unlink(program["ready"])  # noqa: PTH108
        for stage in stages:
            for program in stage:
                self._start(program)
            self._await(stage)
        self._vr.tell(ready=True)

    def _stop_all(self) -> None:
        self._running.clear()  # their ends are as they should be
        ended = self._all_end(signal.SIGTERM, _TERM_S) or self._all_end(signal.SIGKILL, _KILL_S)
        self._vr.tell(stopped=ended)

    def _all_end(self, number: int, seconds: float) -> bool:
        """Signal all of the VR but this process; whether all of them end in that time."""
        latest = time.monotonic() + seconds
        pause = _FIRST_WAIT_S
        while _signal_all(number):
            if time.monotonic() > latest:
                return False
            signal.sigtimedwait([signal.SIGCHLD], pause)
            self._reap()
            number, pause = 0, min(2 * pause, _LONGEST_WAIT_S)
        return True

    def _start(self, program: Program) -> None:
        """Start a program without a copy of this process on the way (posix_spawn)."""
        log = f"{LOGS}/{program['name']}.log"
        try:
            pid = os.posix_spawn(
                program["argv"][0],
                program["argv"],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, _LOG, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT],
            )
        except OSError as error:
            _write(log, f"{program['name']}: {error}\n".encode())
            self._vr.tell(ended=program["name"], status=_CANNOT_START)
        else:
            self._running[pid] = program

    def _await(self, stage: Sequence[Program]) -> None:
        """Wait until all of a stage are ready; an end is told, and waited for no more."""
        pause = _FIRST_WAIT_S
        while any(self._is_awaited(program) for program in stage):
            if signal.sigtimedwait([signal.SIGCHLD], pause):
                self._reap()
            pause = min(2 * pause, _LONGEST_WAIT_S)

    def _is_awaited(self, program: Program) -> bool:
        runs = program in self._running.values()
        return runs and not (program["ready"] and _is_made(program["ready"]))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._running:
                program = self._running.pop(pid)
                if status or program["ready"]:
                    code = os.waitstatus_to_exitcode(status)
                    self._vr.tell(ended=program["name"], status=code)


def _signal_all(number: int) -> bool:
    """Signal all that this process may signal: all of the VR but itself; False: none is left."""
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
