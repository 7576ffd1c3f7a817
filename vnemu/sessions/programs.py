"""Programs in the VRs of a running lab, with the descriptors or the terminal of whoever asks."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vnemu.errors import InputError
from vnemu.nodes import VirtualNode

_PIECE = 1 << 16
_LOOK_MS = 50
_SIGNALS = {"INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "CONT"}
_UNTIL_THERE_S = 0.01
# A terminal hangs up when the leader of its session ends, and what is in its foreground then gets
# SIGHUP: a daemon that a program has just started (iperf3 -s -D) as well. So something else than
# the program leads, and takes the terminal back first. It lets go on what Ctrl-Z has stopped (148):
# nobody could do that later.
_LEADER = """
set -m
"$@"
status=$?
while [ $status = 148 ]; do fg >/dev/null 2>&1; status=$?; done
exit $status
"""


class Program:
    """A program that has been started in a VR for somebody outside.

    It is in a session of its own *in* the VR: the signals and the Ctrl-C that are meant
    for it do not end what has sent it in.

    Parameters:
        descriptors: standard input, output and error; of a terminal one, which carries
            what is typed one way and what is shown the other.
        request: has ``argv``, and of a terminal ``size`` (rows, columns) and ``term``.

    Raises:
        InputError: if the node is paused or stopped, or there is nothing to run.
    """

    def __init__(
        self, node: VirtualNode, request: Mapping[str, Any], descriptors: Sequence[int]
    ) -> None:
        argv = [str(word) for word in request.get("argv", ())]
        if not argv:
            raise InputError("there is no command: vnemu exec LAB NODE -- COMMAND")
        self._terminal: _Terminal | None = None
        if request.get("terminal"):
            (end,) = descriptors
            self._terminal = _Terminal(end, request.get("size", (24, 80)))
            self._process = self._terminal.start(node, argv, str(request.get("term", "dumb")))
        else:
            stdin, stdout, stderr = descriptors
            self._process = node.popen("setsid", *argv, stdin=stdin, stdout=stdout, stderr=stderr)

    def obey(self, orders: Iterable[Mapping[str, Any]]) -> None:
        """Take signals and sizes until there are no more; then whoever asked has gone.

        What has not ended by then is told that nobody is there (SIGHUP).
        """
        for order in orders:
            match order:
                case {"signal": str(name)} if name in _SIGNALS:
                    self._send(signal.Signals[f"SIG{name}"])
                case {"size": [int(rows), int(columns)]} if self._terminal is not None:
                    self._terminal.resize(rows, columns)
        self._send(signal.SIGHUP)
        self._send(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends and all that it has printed is on its way; its exit status."""
        code = self._process.wait()
        if self._terminal is not None:
            self._terminal.finish()
        return code if code >= 0 else 128 - code

    def _send(self, number: signal.Signals) -> None:
        if self._process.poll() is not None:
            return
        with suppress(OSError):
            os.killpg(_child(self._process.pid), number)


def _child(pid: int) -> int:
    """The program that nsenter has sent in: its only child.

    Raises:
        ProcessLookupError: if there is none.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        found = children.read_text().split()
    except OSError:
        found = []
    if not found:
        raise ProcessLookupError(pid)
    return int(found[0])


class _Terminal:
    """A terminal in the lab, whose other end is somewhere else.

    Parameters:
        end: a socket to there.
        size: rows and columns.
    """

    def __init__(self, end: int, size: Sequence[int]) -> None:
        self._end = socket.socket(fileno=os.dup(end))
        self._own, self._slave = os.openpty()
        self._over = threading.Event()
        self._shower = threading.Thread(target=self._show, daemon=True)
        self.resize(*size)

    def start(self, node: VirtualNode, argv: Sequence[str], term: str) -> subprocess.Popen[bytes]:
        """Start a program on it."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._slave)
        try:
            led = ("setsid", "--ctty", "sh", "-c", _LEADER, "sh", *argv)
            process = node.popen(*led, **streams, env={**os.environ, "TERM": term})
        except BaseException:
            os.close(self._own)
            self._end.close()
            raise
        finally:
            os.close(self._slave)
        threading.Thread(target=self._type, daemon=True).start()
        self._shower.start()
        return process

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program how large the window is."""
        with suppress(OSError):
            fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def finish(self) -> None:
        """The program has ended: pass on what it has shown, and close both ends."""
        self._over.set()
        self._shower.join()
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
        os.close(self._own)

    def _type(self) -> None:
        with suppress(OSError):
            while data := self._end.recv(_PIECE):
                while data:
                    data = data[os.write(self._own, data) :]

    def _show(self) -> None:
        """Pass on what is shown, until nobody has the terminal or the program has ended."""
        poll = select.poll()
        poll.register(self._own, select.POLLIN)
        with suppress(OSError):
            while True:
                if poll.poll(_LOOK_MS):
                    data = os.read(self._own, _PIECE)
                    if not data:
                        return
                    self._end.sendall(data)
                elif self._over.is_set():
                    return
