"""A program in a node of a running lab, started from outside; what it prints is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Self

from vnemu.sessions.client import answers, opened

_PIECE = 1 << 16
_BEGIN_S = 60.0


class RemoteProgram:
    """A program that runs in a node; it is told to end (SIGHUP) with this.

    Parameters:
        lab: the lab's name.
        node: network/name.
        argv: the program and its arguments.
        stdin: what it reads from its standard input.

    Raises:
        InputError: if the node is paused or stopped, or no such lab runs.
    """

    def __init__(self, lab: str, node: str, argv: Sequence[str], stdin: str = "") -> None:
        self._lab = lab
        self._argv = argv
        self._out, self._err = _Kept(), _Kept()
        request = {"ask": "exec", "node": node, "argv": list(argv)}
        with ExitStack() as theirs:
            read, write = os.pipe()
            theirs.callback(os.close, read)
            descriptors = (read, self._out.open(theirs), self._err.open(theirs))
            try:
                self._connection = opened(lab, request, descriptors, _BEGIN_S)
            except BaseException:
                os.close(write)
                raise
        threading.Thread(target=_write, args=(write, stdin.encode()), daemon=True).start()

    @property
    def output(self) -> str:
        """What it has printed so far on its standard output."""
        return self._out.text

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; INT is what Ctrl-C sends."""
        with suppress(OSError):
            self._connection.send({"signal": number.name.removeprefix("SIG")})

    def wait(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return what it printed.

        Parameters:
            timeout: in seconds.

        Raises:
            subprocess.TimeoutExpired: if it takes longer.
            VnemuError: what the lab answers.
        """
        until = time.monotonic() + timeout
        self._connection.socket.settimeout(timeout)
        try:
            *_, last = answers(self._lab, self._connection)
            for kept in (self._out, self._err):
                kept.finish(until)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self._argv, timeout) from None
        status = int(last["ok"]["status"])
        return subprocess.CompletedProcess(self._argv, status, self._out.text, self._err.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class _Kept:
    """What comes out of a pipe."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._thread: threading.Thread | None = None

    def open(self, theirs: ExitStack) -> int:
        """The end for who prints; it is closed with `theirs`."""
        read, write = os.pipe()
        theirs.callback(os.close, write)
        self._thread = threading.Thread(target=self._read, args=(read,), daemon=True)
        self._thread.start()
        return write

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb", buffering=0) as pipe, suppress(OSError):
            while data := pipe.read(_PIECE):
                self._pieces.append(data)

    @property
    def text(self) -> str:
        """All that has come so far."""
        return b"".join(self._pieces).decode(errors="replace")

    def finish(self, until: float) -> None:
        """Wait until nobody can print any more.

        Raises:
            TimeoutError: if that takes longer than `until`, by the monotonic clock.
        """
        assert self._thread is not None, "it was opened"
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            raise TimeoutError


def _write(fd: int, text: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(fd, "wb") as pipe:
        pipe.write(text)
