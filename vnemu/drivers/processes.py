"""Processes in VRs: each VR has its own pid, mount and host name namespaces for them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnemu.drivers import vr_init
from vnemu.drivers.entering import Entrances, Stream
from vnemu.drivers.factory import Factory
from vnemu.drivers.freezing import Freezer
from vnemu.drivers.programs import program
from vnemu.drivers.vr_init import LOGS, Order
from vnemu.errors import ExperimentFailed, InternalError

_LAST_WORDS = 6
_MOST_AHEAD = 32


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
        self._entrances = Entrances(program("nsenter"))
        self._freezer = Freezer()
        self._factory = Factory()
        self._inits: dict[str, int] = {}
        self._orders: dict[str, Order] = {}
        self._limits: dict[str, Callable[[int], None]] = {}
        self._lock = threading.RLock()
        self._ready: set[str] = set()
        self._stopped: set[str] = set()
        self._ended: list[Ended] = []

    def begin(self) -> None:
        """Get ready now for programs that are started by threads."""
        with self._lock:
            self._factory.begin()

    def init(self, path: str, host_name: str, network_fd: int) -> int:
        """The process id of the VR's pid 1.

        Raises:
            InternalError: if it could not be started.
        """
        with self._lock:
            if path not in self._inits:
                self._factory.ask(path, vr_init.plain(host_name), network_fd)
                while path not in self._inits:
                    self._hear()
            return self._inits[path]

    def start(
        self,
        orders: Mapping[str, tuple[Order, int]],
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Let VRs run their programs, side by side, and wait until all of them do.

        Those whose order says that they wait are stopped: nothing runs in them yet.

        Parameters:
            orders: VR -> what it shall run, and its network namespace.
            tell: called with the number of VRs that do, and of all.

        Raises:
            ExperimentFailed: if a program ended, with the last lines of its log.
            InternalError: if a VR can have no processes.
        """
        waiting = dict(orders)
        with self._lock:
            for path, (order, _) in orders.items():
                self._orders[path] = order
                if order["waits"]:
                    self._entrances.shut(path, "stopped", None)
            while not self._ready.issuperset(orders):
                while waiting and self._factory.pending < _MOST_AHEAD:
                    path = next(iter(waiting))
                    order, network_fd = waiting.pop(path)
                    waits = order["waits"] or path in self._limits
                    self._factory.ask(path, {**order, "waits": waits}, network_fd)
                self._hear()
                tell(len(self._ready.intersection(orders)), len(orders))
                self._blame([ended for ended in self._ended if ended.vr in orders])

    def ended(self) -> list[Ended]:
        """The programs of Router OSs that have ended by themselves so far."""
        with self._lock:
            while self._factory.has_told():
                self._hear()
            return list(self._ended)

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

    def _hear(self) -> None:
        """Take in what is told next of any VR."""
        told = self._factory.hear()
        if told is not None:
            self._take_in(*told)

    def _take_in(self, path: str, told: Mapping[str, object]) -> None:
        match told:
            case {"pid": int(pid)}:
                self._inits[path] = pid
                self._born(path, pid)
            case {"ready": True}:
                self._ready.add(path)
            case {"stopped": True}:
                self._stopped.add(path)
            case {"stopped": False}:
                raise ExperimentFailed(f"{path}: a process does not end, not even when killed")
            case {"ended": str(name), "status": int(status)}:
                words = "\n".join(self.log(path, name).splitlines()[-_LAST_WORDS:])
                self._ended.append(Ended(path, name, status, words))
            case {"refused": str(why)}:
                raise InternalError(f"no processes can run in {path}: {why}")

    def _born(self, path: str, pid: int) -> None:
        """Limit a VR before anything runs in it."""
        limit = self._limits.get(path)
        if limit is not None:
            try:
                limit(pid)
            except OSError as error:
                raise ExperimentFailed(f"{path} cannot be limited: {error}") from error
        order = self._orders.get(path)
        if order is not None and order["waits"]:
            self._ready.add(path)
        elif order is not None and limit is not None:
            os.kill(pid, vr_init.START)

    def limit(self, path: str, limit: Callable[[int], None], groups: Sequence[Path]) -> None:
        """Have a VR limited from its first process on.

        Parameters:
            limit: limits all processes there are; called with the process id of its pid 1,
                now if it has one.
            groups: control groups (their cgroup.procs) that all which enters it shall join.
        """
        with self._lock:
            self._limits[path] = limit
            init = self._inits.get(path)
            self._entrances.join(path, groups, init)
            if init is not None:
                limit(init)

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
        path: str,
        host_name: str,
        network_fd: int,
        argv: Sequence[str],
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a VR, which has a pid 1 from then on.

        Raises:
            InputError: if the VR is paused or stopped.
            InternalError: if the VR can have no processes.
        """
        self._entrances.check(path)
        init = self.init(path, host_name, network_fd)
        return self._entrances.popen(
            path, init, argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env
        )

    def freeze(self, paths: Collection[str]) -> None:
        """Stop all that runs in VRs, in place; nothing can be started in them any more.

        Raises:
            ExperimentFailed: if a process cannot be stopped; then all go on.
        """
        with self._lock:
            try:
                for path in paths:
                    self._entrances.shut(path, "paused", self._inits.get(path))
                self._freezer.freeze(self._of(paths))
            except BaseException:
                self.thaw(paths)
                raise

    def thaw(self, paths: Collection[str]) -> None:
        """Let VRs go on that were frozen."""
        with self._lock:
            self._freezer.thaw(self._of(paths))
            for path in paths:
                self._entrances.open(path)

    def stop(self, paths: Collection[str]) -> None:
        """End all that runs in VRs but their pid 1: TERM, then KILL; their files stay.

        Raises:
            ExperimentFailed: if a process does not end.
        """
        with self._lock:
            for path in paths:
                self._stopped.discard(path)
                self._entrances.shut(path, "stopped", self._inits.get(path))
            for init in self._of(paths):
                os.kill(init, vr_init.STOP)
            self._freezer.thaw(self._of(paths))
            self._await(paths, self._stopped)

    def restart(self, paths: Collection[str]) -> None:
        """Start the Router OSs of stopped VRs again, with their files as they are now.

        Raises:
            ExperimentFailed: if a program ended, with the last lines of its log.
        """
        with self._lock:
            for path in paths:
                self._ready.discard(path)
                self._entrances.open(path)
            for init in self._of(paths):
                os.kill(init, vr_init.START)
            self._await(paths, self._ready)

    def _of(self, paths: Collection[str]) -> list[int]:
        """The process ids of their pid 1, of those that have one."""
        return [self._inits[path] for path in paths if path in self._inits]

    def _await(self, paths: Collection[str], told: Collection[str]) -> None:
        """Hear what VRs tell until all `paths` that have a pid 1 are among the `told` ones."""
        before = len(self._ended)
        while any(path in self._inits and path not in told for path in paths):
            self._hear()
            self._blame([e for e in self._ended[before:] if e.vr in paths])

    def end(self, paths: Collection[str]) -> None:
        """End VRs for good: all that runs in them, with their files."""
        with self._lock:
            self._freezer.end(self._of(paths), self._factory.pid)
            lives = self._factory.forget(paths)
            while self._factory.awaits(lives):
                self._hear()
            for path in paths:
                self._inits.pop(path, None)
                self._orders.pop(path, None)
                self._limits.pop(path, None)
                self._ready.discard(path)
                self._stopped.discard(path)
                self._entrances.forget(path)
            self._ended = [ended for ended in self._ended if ended.vr not in paths]

    def order(self, path: str) -> Order | None:
        """What a VR was to run from its start; None: nothing."""
        return self._orders.get(path)

    def close(self) -> None:
        """End every process of every VR, also of those that are about to be made."""
        if self._inits:
            self._freezer.end(self._inits.values(), self._factory.pid)
        self._inits.clear()
        self._factory.close()
