"""The inner end of the line: connections from outside the private kernel become sockets here."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import tty
from collections.abc import Callable
from contextlib import suppress

from vnemu.sessions.line import CONTROL, ERRORS, INPUT, OUTPUT, PIECE, Kind, Line, Relayed, Writer
from vnemu.sessions.protocol import Connection

DEVICE = "/dev/tty4"
"""The console that the line is on; `vnemu.capsule.uml_console` wires it."""


def console() -> int:
    """A descriptor of the line's console, on which bytes are passed as they are."""
    fd = os.open(DEVICE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(fd)
    return fd


class Inside:
    """Hands connections from outside to the lab's server.

    Parameters:
        take: takes the server's end of each.
        fd: the line.
    """

    def __init__(self, take: Callable[[socket.socket], None], fd: int) -> None:
        self._take = take
        self._line = Line(fd, fd, self._on_frame, to_console=False)

    def start(self) -> None:
        """Relay from now on, in threads."""
        threading.Thread(target=self._line.run, daemon=True).start()
        self._line.send(0, Kind.HELLO)

    def ready(self) -> None:
        """Tell those outside that the lab is up."""
        self._line.send(0, Kind.READY)

    def _on_frame(self, number: int, kind: Kind, data: bytes) -> None:
        if kind == Kind.OPEN:
            _Inner(self._line, number, json.loads(data), self._take)


class _Inner:
    """One connection from outside.

    Parameters:
        opened: its ``request``, and how many ``descriptors`` came with it: none, one (a
            terminal, which is a socket here) or three (which are pipes).
    """

    def __init__(
        self,
        line: Line,
        number: int,
        opened: dict[str, object],
        take: Callable[[socket.socket], None],
    ) -> None:
        self._control, theirs = socket.socketpair()
        count = opened["descriptors"]
        self._sources: dict[int, int] = {}
        self._writers = {CONTROL: Writer({CONTROL: os.dup(self._control.fileno())}, self._hang_up)}
        passed = self._terminal() if count == 1 else self._pipes() if count else []
        self._connection = Relayed(line, number, self._writers)
        self._connection.closed = self._close
        self._lock = threading.Lock()
        take(theirs)
        request = opened["request"]
        assert isinstance(request, dict)
        Connection(self._control).send(request, passed)
        for fd in passed:
            os.close(fd)
        threading.Thread(target=self._copy, daemon=True).start()

    def _terminal(self) -> list[int]:
        ours, theirs = socket.socketpair()
        self._writers[INPUT] = Writer({INPUT: os.dup(ours.fileno())})
        self._sources[INPUT] = ours.detach()
        return [theirs.detach()]

    def _pipes(self) -> list[int]:
        stdin, typed = os.pipe()
        self._writers[INPUT] = Writer({INPUT: typed})
        shown, stdout = os.pipe()
        complained, stderr = os.pipe()
        self._sources = {OUTPUT: shown, ERRORS: complained}
        return [stdin, stdout, stderr]

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def _close(self, stream: int) -> None:
        """Nobody reads it outside: who writes to it shall notice."""
        with self._lock:
            fd = self._sources.pop(stream, None)
            if fd is not None:
                os.close(fd)

    def _copy(self) -> None:
        """Send what is said here: the last line after all that the program has printed."""
        while True:
            with self._lock:
                poll, fds = select.poll(), {fd: s for s, fd in self._sources.items()}
                for fd in (*fds, self._control.fileno()):
                    poll.register(fd, select.POLLIN)
            ready = [fd for fd, _ in poll.poll(1000)]
            streams = [fd for fd in ready if fd in fds]
            for fd in streams:
                self._pass_on(fds[fd], fd)
            if ready and not streams:
                data = self._control.recv(PIECE)
                self._connection.send(CONTROL, data)
                if not data:
                    break
        self._finish()

    def _pass_on(self, stream: int, fd: int) -> None:
        try:
            data = os.read(fd, PIECE)
        except OSError:
            data = b""
        if data:
            self._connection.send(stream, data)
        else:
            self._connection.send(stream, b"")
            self._close(stream)

    def _finish(self) -> None:
        for stream in list(self._sources):
            self._close(stream)
        for stream, writer in self._writers.items():
            writer.put(self._connection, stream, b"")
        self._connection.forget()
        self._control.close()
