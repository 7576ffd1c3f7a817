"""The program that captures, beside the lab's: python -m vnemu.drivers.capture_program FD.

FD is a socket to `vnemu.drivers.capture`, which says what is to be done: one message of
JSON, and with it the descriptor to write to and a packet socket for each interface. The
program answers when it hears, and with its counts when it has ended. It ends when the
other side says no more (or is dead), when nobody reads what it writes, or as it was told.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from contextlib import suppress
from io import FileIO
from itertools import takewhile
from typing import Any

from vnemu.drivers.bpf import attach
from vnemu.drivers.packet_ring import ETH_P_ALL, Frame, PacketRing
from vnemu.drivers.pcapng import PcapngFile

MOST_SOCKETS = 250
"""So many descriptors go with a message, less some for the kernel (SCM_MAX_FD is 253)."""
_MESSAGE = 1 << 18
_BLOCK, _BLOCKS = 1 << 18, 16
_RETIRE_MS = 20
_LOOK_S = 0.5
_IN_ORDER_NS = 60_000_000
"""Frames of several interfaces wait so long for earlier ones: those are in rings until then."""


class _Interface:
    """An interface that is listened to.

    Parameters:
        order: its ``name`` and ``device``, and whether the device ``faces`` it.
        opened: a packet socket that hears nothing yet.
        program: what frames have to match; empty: all are wanted.
    """

    def __init__(self, order: dict[str, Any], opened: socket.socket, program: bytes) -> None:
        self.name: str = order["name"]
        self.written = self.dropped = 0
        self._faces: bool = order["faces"]
        if program:
            attach(opened, program)
        self.ring = PacketRing(opened, _BLOCK, _BLOCKS, _RETIRE_MS)
        opened.bind((order["device"], ETH_P_ALL))

    def count_drops(self) -> None:
        """Take in what the kernel had no room for."""
        self.dropped += self.ring.drops()

    @property
    def is_gone(self) -> bool:
        """Whether its device has been removed; looking takes an error off the socket."""
        self.ring.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return not self.ring.socket.getsockname()[0]

    def write(self, frame: Frame, file: PcapngFile) -> None:
        """Write a frame of it."""
        outward = frame.leaves != self._faces
        file.write(self.name, frame.at_ns, frame.data, frame.size, outward)
        self.written += 1


class Capturing:
    """A capture from its order to its counts.

    Parameters:
        order: ``interfaces``, ``program`` (hexadecimal), ``filter`` (the same for people),
            ``count`` and ``seconds`` (null: until it is stopped).
        channel: readable when it is to end.
        output: is written to.
        sockets: one for each interface.
    """

    def __init__(
        self,
        order: dict[str, Any],
        channel: socket.socket,
        output: int,
        sockets: list[socket.socket],
    ) -> None:
        program = bytes.fromhex(order["program"])
        pairs = zip(order["interfaces"], sockets, strict=True)
        self._all = [_Interface(about, opened, program) for about, opened in pairs]
        self._there = {each.ring.socket.fileno(): each for each in self._all}
        self._channel = channel
        self._output = output
        # The descriptor itself: whole blocks reach the kernel, or none of them.
        self._file = PcapngFile(FileIO(output, "wb", closefd=False), order["filter"])
        self._left: int | None = order["count"]
        seconds = order["seconds"]
        self._until = None if seconds is None else time.monotonic() + seconds
        # A device that goes down is told of, but not that it has been removed then.
        self._shaken: set[int] = set()
        self._waiting: list[tuple[int, int, _Interface, Frame]] = []
        self._poll = select.poll()
        for fd in (*self._there, channel.fileno()):
            self._poll.register(fd, select.POLLIN)
        self._poll.register(output, 0)  # that nobody reads it is told without being asked for

    def run(self) -> None:
        """Capture until it is over; what was heard up to then is written.

        Raises:
            OSError: if it cannot be written.
        """
        with suppress(BrokenPipeError):
            for interface in self._all:
                self._file.add(interface.name)
            self._file.flush()
            while self._goes_on():
                self._take()
                self._write(time.time_ns() - self._patience_ns)
            self._finish()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Of each interface, how many frames were written, and dropped by the kernel."""
        return {each.name: {"packets": each.written, "dropped": each.dropped} for each in self._all}

    @property
    def _patience_ns(self) -> int:
        return _IN_ORDER_NS if len(self._all) > 1 else 0

    def _goes_on(self) -> bool:
        """Wait until there is something to do, and say whether it is not to end."""
        if self._left == 0 or not self._there:
            return False
        until = [] if self._until is None else [self._until - time.monotonic()]
        if self._waiting:
            until.append(self._patience_ns / 1e9)
        if self._shaken:
            until.append(_LOOK_S)
        ready = dict(self._poll.poll(max(0.0, min(until)) * 1e3 if until else None))
        self._shaken |= {fd for fd, events in ready.items() if events & ~select.POLLIN}
        self._leave({fd for fd in self._shaken & self._there.keys() if self._there[fd].is_gone})
        over = self._until is not None and time.monotonic() >= self._until
        return not over and not ready.keys() & {self._channel.fileno(), self._output}

    def _leave(self, gone: set[int]) -> None:
        """Listen to these no more."""
        self._shaken &= self._there.keys() - gone
        for fd in gone:
            self._poll.unregister(fd)
            self._there.pop(fd)

    def _take(self) -> None:
        """Take in what was heard."""
        for number, interface in enumerate(self._all):
            for frame in interface.ring.frames():
                self._waiting.append((frame.at_ns, number, interface, frame))
            interface.count_drops()

    def _write(self, before_ns: int) -> None:
        """Write the frames that were heard before a time, in the order of theirs."""
        self._waiting.sort(key=lambda each: each[:2])
        due = sum(1 for _ in takewhile(lambda each: each[0] <= before_ns, self._waiting))
        wanted = due if self._left is None else min(due, self._left)
        for _, _, interface, frame in self._waiting[:wanted]:
            interface.write(frame, self._file)
        del self._waiting[:due]
        if self._left is not None:
            self._left -= wanted
        if due:
            self._file.flush()

    def _finish(self) -> None:
        """Write what was heard up to now: the kernel gives it when its blocks retire."""
        now_ns = time.time_ns()
        if self._left != 0:
            time.sleep(2 * _RETIRE_MS / 1e3)
            self._take()
            self._write(now_ns)
        for interface in self._all:
            total = interface.written + interface.dropped
            self._file.count(interface.name, now_ns, total, interface.dropped)
        self._file.flush()


def main() -> None:
    """Do what is said on the socket that the first argument names."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE, MOST_SOCKETS + 1)
    if not message:
        return  # it was made ready, and is not wanted
    answer: dict[str, Any] = {}
    try:
        output, *opened = descriptors
        sockets = [socket.socket(fileno=fd) for fd in opened]
        capturing = Capturing(json.loads(message), channel, output, sockets)
        channel.send(b"{}")
        try:
            capturing.run()
        finally:
            answer["interfaces"] = capturing.counts
    except OSError as error:
        answer["error"] = str(error)
    with suppress(OSError):
        channel.send(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
