"""Programs that are sent into VRs from outside: who may enter, and who is on the way."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from vnemu.drivers.freezing import children_namespace
from vnemu.errors import InputError, InternalError

_WAY_OUT = {
    "paused": "resume it first (resume: {path})",
    "stopped": "start it first (start: {path})",
}
_PATIENCE_S = 5.0
_POLL_S = 0.0005

Stream = int | IO[Any] | None


class Entrances:
    """The way into each VR: nsenter, unless the VR is shut."""

    def __init__(self, nsenter: str) -> None:
        self._nsenter = nsenter
        self._shut: dict[str, str] = {}
        self._entering: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._joined: dict[str, tuple[Path, ...]] = {}
        self._lock = threading.RLock()

    def popen(
        self,
        path: str,
        init: int,
        argv: Sequence[str],
        *,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        env: Mapping[str, str] | None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in the VR whose pid 1 is `init`, in a session of its own.

        A session of its own keeps the terminal's Ctrl-C from it: whoever started
        it decides when it ends.

        Raises:
            InputError: if the VR is shut.
        """
        enter = [self._nsenter, "-t", str(init), "-m", "-u", "-n", "-p", f"--wd={Path.cwd()}", "--"]
        with self._lock:
            self.check(path)
            groups = self._joined.get(path)
            process = subprocess.Popen(
                [*enter, *argv],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=dict(env) if env is not None else None,
                start_new_session=True,
                # What is called before exec takes no lock, so threads do not matter.
                preexec_fn=partial(_join, groups) if groups else None,  # noqa: PLW1509
            )
            self._entering[path] = [*self._on_the_way(path, init), process]
        return process

    def check(self, path: str) -> None:
        """See that programs may enter a VR.

        Raises:
            InputError: saying why not, and what to do.
        """
        state = self._shut.get(path)
        if state is not None:
            hint = _WAY_OUT[state].format(path=path)
            raise InputError(f"{path} is {state}: no program can be started in it; {hint}")

    def shut(self, path: str, state: str, init: int | None) -> None:
        """Let none in any more, and wait until those have entered that are on the way.

        Parameters:
            state: what the VR is now, ``paused`` or ``stopped``.
            init: its pid 1; None: it has none, so nothing ever entered it.
        """
        with self._lock:
            self._shut[path] = state
            self._await_arrivals(path, init)

    def join(self, path: str, files: Sequence[Path], init: int | None) -> None:
        """Let all that enters a VR from now on be in its control groups.

        Parameters:
            files: the groups' cgroup.procs.
            init: as of `shut`; who is on the way has arrived after the call.
        """
        with self._lock:
            self._joined[path] = tuple(files)
            self._await_arrivals(path, init)

    def _await_arrivals(self, path: str, init: int | None) -> None:
        latest = time.monotonic() + _PATIENCE_S
        while init is not None and self._on_the_way(path, init):
            if time.monotonic() > latest:
                raise InternalError(f"a program that was sent into {path} does not arrive")
            time.sleep(_POLL_S)

    def open(self, path: str) -> None:
        """Let programs in again."""
        self._shut.pop(path, None)

    def forget(self, path: str) -> None:
        """The VR is no more."""
        self.open(path)
        self._entering.pop(path, None)
        self._joined.pop(path, None)

    def _on_the_way(self, path: str, init: int) -> list[subprocess.Popen[bytes]]:
        there = children_namespace(init)
        self._entering[path] = [
            process
            for process in self._entering.get(path, ())
            if process.poll() is None and children_namespace(process.pid) != there
        ]
        return self._entering[path]


def _join(files: Sequence[Path]) -> None:
    """In a process that has just been forked: be in these groups."""
    for file in files:
        fd = os.open(file, os.O_WRONLY)
        os.write(fd, b"0")
        os.close(fd)
