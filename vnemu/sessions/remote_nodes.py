"""A VR or host of a lab that another process runs, to work in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from vnemu.sessions.client import answers, ask, opened


class RemoteNode:
    """A VR or host of a running lab.

    Parameters:
        lab: the lab's name.
        path: network/name.
    """

    def __init__(self, lab: str, path: str) -> None:
        self.lab = lab
        self.path = path

    def __repr__(self) -> str:
        return f"<{self.path} of lab {self.lab}>"

    def run(
        self, *argv: str, timeout: float = 60.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and return what it printed.

        Parameters:
            timeout: in seconds.
            stdin: what it reads from its standard input.

        Raises:
            InputError: if the node is paused or stopped, or the lab has ended.
            subprocess.TimeoutExpired: if it takes longer; it is told to end (SIGHUP) first.
        """
        with _Streams(stdin) as streams:
            request = {"ask": "exec", "node": self.path, "argv": list(argv)}
            connection = opened(self.lab, request, streams.theirs, timeout)
            until = time.monotonic() + timeout
            with connection.socket:
                streams.begin()
                try:
                    *_, last = answers(self.lab, connection)
                    out, err = streams.read(until)
                except TimeoutError:
                    raise subprocess.TimeoutExpired(argv, timeout) from None
        return subprocess.CompletedProcess(argv, int(last["ok"]["status"]), out, err)

    def popen(
        self,
        *argv: str,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; signals that this process is sent are passed on to it.

        It is `vnemu exec` that is started here: the program inside may begin a little later.
        """
        command = [sys.executable, "-m", "vnemu", "exec", self.lab, self.path, "--", *argv]
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)

    def log(self, program: str) -> str:
        """What a program of the VR's Router OS (``bird``, ``zebra`` …) has logged."""
        return self.logs()[program]

    def logs(self) -> dict[str, str]:
        """What each program of the VR's Router OS has logged."""
        found: dict[str, dict[str, str]] = ask(self.lab, "logs", node=self.path)
        return found.get(self.path, {})


class _Streams:
    """Standard input, output and error of a program: texts here, pipes to there."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()
        read, self._input = os.pipe()
        self._outputs: list[int] = []
        self.theirs: Sequence[int] = (read, self._pipe(), self._pipe())
        self._said: list[bytes] = [b"", b""]
        self._threads: list[threading.Thread] = []

    def _pipe(self) -> int:
        ours, theirs = os.pipe()
        self._outputs.append(ours)
        return theirs

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self.theirs)
        if not self._threads:
            _close([self._input, *self._outputs])

    def begin(self) -> None:
        """The other side has its ends now."""
        _close(self.theirs)
        self.theirs = ()
        self._threads = [
            threading.Thread(target=self._write, daemon=True),
            *(threading.Thread(target=self._read, args=(n,), daemon=True) for n in (0, 1)),
        ]
        for thread in self._threads:
            thread.start()

    def read(self, until: float) -> tuple[str, str]:
        """What was printed, when all of it is there.

        Raises:
            TimeoutError: if that takes longer than `until`, by the monotonic clock.
        """
        for thread in self._threads[1:]:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError
        out, err = (text.decode(errors="replace") for text in self._said)
        return out, err

    def _write(self) -> None:
        with suppress(BrokenPipeError), os.fdopen(self._input, "wb") as pipe:
            pipe.write(self._text)

    def _read(self, number: int) -> None:
        with os.fdopen(self._outputs[number], "rb") as pipe:
            self._said[number] = pipe.read()


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)
