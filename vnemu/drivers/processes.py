"""Processes in VRs: each VR has its own pid, mount and host name namespaces for them."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vnemu.drivers import vr_init
from vnemu.drivers.vr_init import LOGS, Order
from vnemu.errors import ExperimentFailed, InternalError, MissingCapability

_FRR = ("zebra", "ospfd", "ospf6d", "bgpd", "ripd", "ripngd", "babeld", "isisd", "bfdd", "staticd")
INSTALL = {
    "iperf3": "sudo apt-get install iperf3",
    "ping": "sudo apt-get install iputils-ping",
    "nsenter": "sudo apt-get install util-linux",
    "bird": "sudo apt-get install bird2",
    **dict.fromkeys((*_FRR, "vtysh"), "sudo apt-get install frr"),
}
_FOLDERS = (
    *("/usr/sbin", "/sbin", "/usr/local/sbin"),
    *("/usr/lib/frr", "/usr/local/lib/frr", "/usr/libexec/frr"),
)
"""Where distributions have programs that may not be in an ordinary user's PATH."""
_START_S = 60.0
_LAST_WORDS = 6
_MOST_AHEAD = 32


def find(name: str) -> str | None:
    """The path of a program; None if it is not installed."""
    return shutil.which(name, path=":".join((os.environ.get("PATH", ""), *_FOLDERS)))


def program(name: str) -> str:
    """The path of an installed program.

    Raises:
        MissingCapability: with the command that installs it.
    """
    path = find(name)
    if path is None:
        raise MissingCapability(
            f"the program '{name}' is not installed",
            f"run: {INSTALL.get(name, f'sudo apt-get install {name}')}",
        )
    return path


@dataclass(frozen=True)
class Ended:
    """A program of a VR's Router OS that has ended by itself.

    Parameters:
        vr: path of the VR.
        status: its exit status; negative: the number of the signal that ended it.
        last_words: the last lines of its log.
    """

    vr: str
    program: str
    status: int
    last_words: str = ""

    def __str__(self) -> str:
        how = f"with status {self.status}" if self.status >= 0 else f"by signal {-self.status}"
        said = "".join(f"\n    {line}" for line in self.last_words.splitlines())
        return f"{self.vr}: {self.program} ended {how}" + (f"; its log ends:{said}" if said else "")


class ProcessMaker:
    """Starts programs in VRs; the pid 1 of a VR is made when its first program starts."""

    def __init__(self) -> None:
        self._nsenter = program("nsenter")
        self._factory: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._inits: dict[str, int] = {}
        self._asked: set[str] = set()
        self._lock = threading.RLock()
        self._ready: set[str] = set()
        self._ended: list[Ended] = []

    def _start_factory(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_S)
        with theirs:
            self._factory = subprocess.Popen(
                [sys.executable, "-I", "-S", vr_init.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def init(self, path: str, host_name: str, network_fd: int) -> int:
        """The process id of the VR's pid 1.

        Raises:
            InternalError: if it could not be started.
        """
        with self._lock:
            if path not in self._inits:
                self._ask(path, vr_init.plain(host_name), network_fd)
                while path not in self._inits:
                    self._hear()
            return self._inits[path]

    def start(
        self,
        orders: Mapping[str, tuple[Order, int]],
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Let VRs run their programs, side by side, and wait until all of them do.

        Parameters:
            orders: VR -> what it shall run, and its network namespace.
            tell: called with the number of VRs that do, and of all.

        Raises:
            ExperimentFailed: if a program ended, with the last lines of its log.
            InternalError: if a VR can have no processes.
        """
        waiting = dict(orders)
        with self._lock:
            while not self._ready.issuperset(orders):
                while waiting and len(self._asked) < _MOST_AHEAD:
                    path = next(iter(waiting))
                    self._ask(path, *waiting.pop(path))
                self._hear()
                tell(len(self._ready.intersection(orders)), len(orders))
                self._blame(self._ended)

    def ended(self) -> list[Ended]:
        """The programs of Router OSs that have ended by themselves so far."""
        with self._lock:
            while self._requests is not None and self._has_more(self._requests):
                self._hear()
            return list(self._ended)

    @staticmethod
    def _has_more(told: socket.socket) -> bool:
        poll = select.poll()
        poll.register(told, select.POLLIN)
        return bool(poll.poll(0))

    def complain(self) -> None:
        """See that all programs of Router OSs still run.

        Raises:
            ExperimentFailed: if one has ended, with the last lines of its log.
        """
        self._blame(self.ended())

    @staticmethod
    def _blame(ended: Sequence[Ended]) -> None:
        if ended:
            more = f"\nand {len(ended) - 1} more" if ended[1:] else ""
            raise ExperimentFailed(f"{ended[0]}{more}")

    def _ask(self, path: str, order: Order, network_fd: int) -> None:
        if self._requests is None:
            self._requests = self._start_factory()
        fd = os.memfd_create("order")
        try:
            with os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
                json.dump(order, file)
            os.lseek(fd, 0, os.SEEK_SET)
            socket.send_fds(self._requests, [path.encode()], [network_fd, fd])
            self._asked.add(path)
        finally:
            os.close(fd)

    def _hear(self) -> None:
        """Take in what is told next of any VR."""
        assert self._requests is not None, "something was asked for"
        try:
            told = self._requests.recv(1 << 16)
        except TimeoutError:
            told = b""
        if not told:
            raise InternalError("the program that makes the processes of VRs does not answer")
        match json.loads(told):
            case {"vr": str(path), "pid": int(pid)}:
                self._asked.discard(path)
                self._inits[path] = pid
            case {"vr": str(path), "ready": True}:
                self._ready.add(path)
            case {"vr": str(path), "ended": str(name), "status": int(status)}:
                words = "\n".join(self.log(path, name).splitlines()[-_LAST_WORDS:])
                self._ended.append(Ended(path, name, status, words))
            case {"vr": str(path), "refused": str(why)}:
                self._asked.discard(path)
                raise InternalError(f"no processes can run in {path}: {why}")

    def pid_1(self, path: str) -> int | None:
        """The process id of a VR's pid 1; None: nothing ever ran in it."""
        return self._inits.get(path)

    def log(self, path: str, name: str) -> str:
        """What a program of a VR's Router OS has written to its log; empty: nothing."""
        init = self._inits.get(path)
        file = Path(f"/proc/{init}/root{LOGS}/{name}.log")
        return file.read_text(errors="replace") if init and file.exists() else ""

    def popen(
        self,
        init: int,
        argv: Sequence[str],
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in the VR whose pid 1 is `init`, in a session of its own.

        A session of its own keeps the terminal's Ctrl-C from it: whoever started
        it decides when it ends.
        """
        enter = [self._nsenter, "-t", str(init), "-m", "-u", "-n", "-p", f"--wd={Path.cwd()}", "--"]
        return subprocess.Popen(
            [*enter, *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )

    def close(self) -> None:
        """End every process of every VR, also of those that are about to be made."""
        while self._asked:
            try:
                self._hear()
            except InternalError:
                break
        for pid in self._inits.values():
            _kill(pid)
        self._inits.clear()
        if self._requests is not None:
            self._requests.close()
        if self._factory is not None:
            self._factory.kill()
            self._factory.wait()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
