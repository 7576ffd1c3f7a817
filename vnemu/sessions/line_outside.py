"""The outer end of the line: takes the connections of the lab's socket, and sends them inside."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from vnemu.sessions.line import CONTROL, ERRORS, INPUT, OUTPUT, PIECE, Kind, Line, Relayed, Writer
from vnemu.sessions.protocol import Connection

_READ_S = 10.0


class Outside:
    """Stands on the host for a lab in a private kernel.

    Parameters:
        listener: the lab's socket.
        ready: called when the lab is up.
    """

    def __init__(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        self._listener = listener
        self._ready = ready
        self._next = 1
        self._numbers = threading.Lock()

    def __call__(self, source: int, target: int) -> None:
        """Begin to relay, in threads: the line is at these descriptors."""
        self._line = Line(source, target, self._on_frame, to_console=True)
        threading.Thread(target=self._line.run, daemon=True).start()

    def _on_frame(self, number: int, kind: Kind, data: bytes) -> None:
        if kind == Kind.HELLO:
            threading.Thread(target=self._accept, daemon=True).start()
        elif kind == Kind.READY:
            self._ready()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(end,), daemon=True).start()

    def _relay(self, end: socket.socket) -> None:
        """Relay one connection; this thread copies what its client says."""
        with suppress(OSError, ValueError), end:
            end.settimeout(_READ_S)
            request, descriptors = Connection(end).first()
            end.settimeout(None)
            stop, over = os.pipe()
            with self._numbers:
                number = self._next
                self._next += 1
            connection = self._connection(number, end, descriptors, over)
            opened = {"request": request, "descriptors": len(descriptors)}
            self._line.send(number, Kind.OPEN, json.dumps(opened).encode())
            if descriptors:
                copying = (connection, INPUT, descriptors[0], os.dup(stop))
                threading.Thread(target=_copy, args=copying, daemon=True).start()
            _copy(connection, CONTROL, os.dup(end.fileno()), stop)

    def _connection(
        self, number: int, end: socket.socket, descriptors: list[int], over: int
    ) -> Relayed:
        own = {CONTROL: os.dup(end.fileno())}
        if len(descriptors) == 1:
            own[INPUT] = os.dup(descriptors[0])  # a terminal
        elif descriptors:
            own |= dict(zip((OUTPUT, ERRORS), descriptors[1:], strict=False))

        def ended() -> None:
            connection.forget()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            os.close(over)

        connection = Relayed(self._line, number, dict.fromkeys(own, Writer(own, ended)))
        return connection


def _copy(connection: Relayed, stream: int, fd: int, stop: int) -> None:
    """Copy what can be read until it ends, or the other side has; then close both."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(stop, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll())
            if stop in ready:
                return
            data = os.read(fd, PIECE)
            connection.send(stream, data)
            if not data:
                return
    except OSError:
        return
    finally:
        os.close(fd)
        os.close(stop)
