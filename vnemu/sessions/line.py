"""The line between a private kernel and the process that booted it: many connections on one.

Sockets of the host do not reach into the kernel; a console does. What is sent on it are
frames: the number of a connection, what the frame is, and data. The data of a stream is
sent only as far as the other side has room for (`Window`), so that one that stands still
holds nobody else up.
"""

from __future__ import annotations

import os
import queue
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import IntEnum

_HEAD = struct.Struct(">IBBI")
PIECE = 1 << 14
_ROOM = 1 << 17
_BUFFER, _STEP = 3072, 1024
"""A console's line discipline has 4096 bytes, and may stand still for good once they are full."""


class Kind(IntEnum):
    """What a frame is.

    HELLO: the inner side listens. READY: the lab is up. OPEN: a new connection, with its
    request. DATA: of a stream; empty at its end. ROOM: a stream may send as many bytes
    more. CLOSE: nobody reads a stream any more.
    """

    HELLO = 1
    READY = 2
    OPEN = 3
    DATA = 4
    ROOM = 5
    CLOSE = 6


CONTROL, INPUT, OUTPUT, ERRORS = range(4)
"""The streams of a connection: its lines, and a program's. A terminal is INPUT, both ways."""
_COUNT = struct.Struct(">I")


class Window:
    """How much may be sent before the other side says that it has room again."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._more = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until there is room for `size` bytes."""
        with self._more:
            self._more.wait_for(lambda: self._room >= size)
            self._room -= size

    def give(self, size: int) -> None:
        """There is more room."""
        with self._more:
            self._room += size
            self._more.notify_all()


class Line:
    """One end of the line.

    Parameters:
        source, target: descriptors to read from and to write to.
        on_frame: takes frames that belong to no connection that is there.
        to_console: whether the other end is a console, of which the kernel must never
            hold more than it has a buffer for: it says how much it has read.
    """

    def __init__(
        self,
        source: int,
        target: int,
        on_frame: Callable[[int, Kind, bytes], None],
        *,
        to_console: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._on_frame = on_frame
        self._pace = Window(_BUFFER) if to_console else None
        self._sending = threading.Lock()
        self.connections: dict[int, Relayed] = {}

    def send(self, number: int, kind: Kind, data: bytes = b"", stream: int = CONTROL) -> None:
        """Send one frame."""
        frame = _HEAD.pack(number, kind, stream, len(data)) + data
        with self._sending:
            while frame:
                piece = frame[:_STEP] if self._pace else frame
                if self._pace:
                    self._pace.take(len(piece))
                _write_all(self._target, piece)
                frame = frame[len(piece) :]

    def run(self) -> None:
        """Take what comes, until nothing can any more."""
        begun = b""
        while data := os.read(self._source, PIECE):
            if self._pace is None:
                self.send(0, Kind.ROOM, _COUNT.pack(len(data)))
            begun = self._taken(begun + data)

    def _taken(self, data: bytes) -> bytes:
        """Take all whole frames; what is left of the data."""
        while len(data) >= _HEAD.size:
            number, kind, stream, size = _HEAD.unpack_from(data)
            end = _HEAD.size + size
            if len(data) < end:
                break
            self._take(number, Kind(kind), stream, data[_HEAD.size : end])
            data = data[end:]
        return data

    def _take(self, number: int, kind: Kind, stream: int, data: bytes) -> None:
        connection = self.connections.get(number)
        if connection is not None:
            connection.take(kind, stream, data)
        elif number == 0 and kind == Kind.ROOM and self._pace is not None:
            self._pace.give(_COUNT.unpack(data)[0])
        else:
            self._on_frame(number, kind, data)


class Relayed:
    """One end of a connection over the line; each side copies its own descriptors.

    Parameters:
        targets: where the data of a stream is written, a queue for those that must stay
            in order; their ends are closed with them.
    """

    def __init__(self, line: Line, number: int, targets: Mapping[int, Writer]) -> None:
        self._line = line
        self._number = number
        self._targets = targets
        self._windows = {stream: Window(_ROOM) for stream in (INPUT, OUTPUT, ERRORS)}
        self.closed: Callable[[int], None] = lambda stream: None
        line.connections[number] = self

    def take(self, kind: Kind, stream: int, data: bytes) -> None:
        """Take a frame from the other side."""
        match kind:
            case Kind.DATA if stream in self._targets:
                self._targets[stream].put(self, stream, data)
            case Kind.ROOM:
                self._windows[stream].give(_COUNT.unpack(data)[0])
            case Kind.CLOSE:
                self.closed(stream)

    def send(self, stream: int, data: bytes) -> None:
        """Send data of a stream, when there is room for it; empty: it has ended."""
        if stream != CONTROL:
            self._windows[stream].take(len(data))
        self._line.send(self._number, Kind.DATA, data, stream)

    def written(self, stream: int, size: int) -> None:
        """Data of a stream has been written here: there is room again."""
        if stream != CONTROL:
            self._line.send(self._number, Kind.ROOM, _COUNT.pack(size), stream)

    def refuse(self, stream: int) -> None:
        """Nobody reads a stream here any more."""
        self._line.send(self._number, Kind.CLOSE, b"", stream)

    def forget(self) -> None:
        """It is over."""
        self._line.connections.pop(self._number, None)


class Writer(threading.Thread):
    """Writes streams to descriptors, in the order in which data comes.

    Parameters:
        descriptors: by stream; each is closed at its stream's end, or that of CONTROL.
        ended: called when the stream CONTROL has ended, if it is among them.
    """

    def __init__(
        self, descriptors: Mapping[int, int], ended: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(daemon=True)
        self._descriptors = dict(descriptors)
        self._ended = ended
        self._waiting: queue.SimpleQueue[tuple[Relayed, int, bytes]] = queue.SimpleQueue()
        self.start()

    def put(self, connection: Relayed, stream: int, data: bytes) -> None:
        """Have data written; empty: the stream has ended."""
        self._waiting.put((connection, stream, data))

    def run(self) -> None:
        """Write until all of its streams have ended."""
        while self._descriptors:
            connection, stream, data = self._waiting.get()
            if not data:
                self._close(stream)
                if stream == CONTROL:
                    break
            else:
                self._write(connection, stream, data)
        for stream in list(self._descriptors):
            self._close(stream)
        self._ended()

    def _write(self, connection: Relayed, stream: int, data: bytes) -> None:
        size, fd = len(data), self._descriptors.get(stream)
        try:
            if fd is not None:
                _write_all(fd, data)
        except OSError:
            self._close(stream)
            connection.refuse(stream)
        connection.written(stream, size)

    def _close(self, stream: int) -> None:
        fd = self._descriptors.pop(stream, None)
        if fd is not None:
            with suppress(OSError):
                os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
