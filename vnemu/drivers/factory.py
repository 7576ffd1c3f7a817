"""Asks `vnemu.drivers.vr_init` for the pid 1 of VRs, and hears what it and they tell."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import count

from vnemu.drivers import vr_init
from vnemu.drivers.vr_init import Order
from vnemu.errors import InternalError

_START_S = 60.0
Told = tuple[str, Mapping[str, object]]
"""The path of a VR, and what is told of it (`vr_init` lists it)."""


class Factory:
    """Makes VRs; the program that does it is started with the first.

    A VR may be destroyed and created again while something is told of the first one. So
    each has a *life* of its own, its path and a number: what is told of an earlier one
    is not passed on, and a pid 1 that comes too late is killed.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._asked: set[str] = set()
        self._lives: dict[str, str] = {}
        self._numbers = count(1)

    @property
    def pid(self) -> int | None:
        """The process id of the program; None: it has not been started."""
        return self._process.pid if self._process is not None else None

    @property
    def pending(self) -> int:
        """How many VRs were asked for that have no pid 1 yet."""
        return len(self._asked)

    def begin(self) -> socket.socket:
        """Start the program that makes VRs, if it does not run.

        It ends with the thread that started it, which else is the first that wants a VR.
        """
        if self._socket is None:
            self._socket = self._start()
        return self._socket

    def ask(self, path: str, order: Order, network_fd: int) -> None:
        """Have a VR made; `hear` tells of it."""
        requests = self.begin()
        life = f"{path} {next(self._numbers)}"
        fd = os.memfd_create("order")
        try:
            with os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
                json.dump(order, file)
            os.lseek(fd, 0, os.SEEK_SET)
            socket.send_fds(requests, [life.encode()], [network_fd, fd])
        finally:
            os.close(fd)
        self._lives[path] = life
        self._asked.add(life)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", vr_init.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def has_told(self) -> bool:
        """Whether there is something to hear now."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def hear(self) -> Told | None:
        """What is told next; None: it was of a VR that is no more.

        Raises:
            InternalError: if nothing is told for a minute.
        """
        assert self._socket is not None, "something was asked for"
        try:
            told = self._socket.recv(1 << 16)
        except TimeoutError:
            told = b""
        if not told:
            raise InternalError("the program that makes the processes of VRs does not answer")
        what = json.loads(told)
        life = what.pop("vr")
        path = life.rpartition(" ")[0]
        if "pid" in what or "refused" in what:
            self._asked.discard(life)
        if self._lives.get(path) == life:
            return path, what
        if "pid" in what:
            with suppress(ProcessLookupError):
                os.kill(what["pid"], signal.SIGKILL)
        return None

    def forget(self, paths: Collection[str]) -> set[str]:
        """These VRs are no more; their lives."""
        return {self._lives.pop(path) for path in paths if path in self._lives}

    def awaits(self, lives: Collection[str]) -> bool:
        """Whether any of these is still about to begin."""
        return not self._asked.isdisjoint(lives)

    def close(self) -> None:
        """Make none any more, and kill those that are about to be made."""
        self._lives.clear()
        with suppress(InternalError):
            while self._asked:
                self.hear()
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
