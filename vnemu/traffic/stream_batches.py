"""Datagrams by the batch: the headers of sendmmsg(2) and recvmmsg(2) are kept in arrays.

A probe costs some hundred nanoseconds of Python that way, instead of several thousand.
The layouts are those of struct mmsghdr, iovec, cmsghdr and timespec on 64-bit Linux.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vnemu.results.stream_record import ARRIVED, END, MARK, OVERFLOWED, PROBE, RECORD, SENT

_MESSAGE = np.dtype(
    [
        ("name", "u8"),
        ("name_length", "u4"),
        ("_1", "u4"),
        ("parts", "u8"),
        ("part_count", "u8"),
        ("control", "u8"),
        ("control_length", "u8"),
        ("flags", "u4"),
        ("_2", "u4"),
        ("length", "u4"),
        ("_3", "u4"),
    ]
)
_PART = np.dtype([("base", "u8"), ("length", "u8")])
_SLOT = np.dtype(
    [
        ("probe", PROBE),
        ("control_length", "u8"),
        ("control_level", "i4"),
        ("control_type", "i4"),
        ("seconds", "i8"),
        ("nanoseconds", "i8"),
    ]
)
_CONTROL_LENGTH = _SLOT.itemsize - PROBE.itemsize
SO_TIMESTAMPNS = 35
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("=9I")
_SLOTS, _BATCH = 8192, 128
_ROUND_NS, _BATCH_AIM = 50_000_000, 64
_WRITE_NS = 100_000_000
_MOST_BEHIND = 2
_CALM_NS = 20_000

_libc = ctypes.CDLL(None)
# Arguments that were made before take half the time of those that Python has to check.
_sendmmsg, _recvmmsg = _libc.sendmmsg, _libc.recvmmsg
_DONT_WAIT = ctypes.c_int(socket.MSG_DONTWAIT)

Array = NDArray[Any]
_Arguments = tuple[ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_Outlet = tuple[_Arguments, int, Array]
"""A call that sends what one node has to send, how much that is, and the times in it."""


@dataclass(frozen=True)
class Way:
    """One direction of a stream.

    Parameters:
        number: in the record (`vnemu.results.stream_record`).
        leaves: descriptor of the socket that sends its probes.
        arrives: of the one that gets them.
        to: where they go, as a struct sockaddr.
        size: bytes of payload.
    """

    number: int
    leaves: int
    arrives: int
    to: bytes
    size: int
    interval_ns: int


class Record:
    """Writes streams.bin; what is added reaches the file with the next `write`."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._parts: list[Array] = []
        self._sent: list[tuple[int, int, int, int, int]] = []
        self.t0_ns = 0

    def begin(self, magic: bytes, t0_ns: int) -> None:
        """Begin the file; t0 is in nanoseconds of CLOCK_MONOTONIC."""
        self.t0_ns = t0_ns
        os.write(self._file, magic)

    def sent(self, stream: int, seq: int, at_ns: int) -> None:
        """Note that all streams at the pace of one sent a probe."""
        self._sent.append((SENT, stream, seq, at_ns - self.t0_ns, 0))

    def add(self, records: Array) -> None:
        """Note what arrived."""
        self._parts.append(records)

    def note(self, kind: int, count: int = 0) -> None:
        """Note something at this time."""
        now = time.monotonic_ns() - self.t0_ns
        self._parts.append(np.array([(kind, 0, count, now, 0)], RECORD))

    def write(self) -> None:
        """Hand all that is new to the kernel, in one piece."""
        # What was sent comes first: nothing has arrived that was not.
        parts = [np.array(self._sent, RECORD), *self._parts]
        self._sent, self._parts = [], []
        data = memoryview(b"".join(part.tobytes() for part in parts))
        while data:
            data = data[os.write(self._file, data) :]


class Pace:
    """Sends the probes of all streams with one interval.

    Those of a node leave with one call. One that its own node refuses, which has no
    route, counts as sent.
    """

    def __init__(self, ways: Sequence[Way], record: Record) -> None:
        ways = sorted(ways, key=lambda way: way.leaves)
        count = len(ways)
        self.due = 0
        self._interval_ns = ways[0].interval_ns
        self._record = record
        self._first = min(way.number for way in ways)
        self._seq = 0
        self._probes = np.zeros(count, PROBE)
        self._probes["mark"] = MARK
        self._probes["stream"] = [way.number for way in ways]
        self._seqs = self._probes["seq"]
        self._names = np.zeros((count, 28), "u1")
        self._padding = np.zeros(max(way.size for way in ways), "u1")
        self._parts = np.zeros((count, 2), _PART)
        self._messages = np.zeros(count, _MESSAGE)
        for index, way in enumerate(ways):
            self._names[index, : len(way.to)] = list(way.to)
            self._parts[index, 0] = (_address(self._probes, index), PROBE.itemsize)
            self._parts[index, 1] = (_address(self._padding), way.size - PROBE.itemsize)
            self._messages[index]["name"] = _address(self._names, index)
            self._messages[index]["name_length"] = len(way.to)
            self._messages[index]["parts"] = _address(self._parts, index)
        self._messages["part_count"] = 2
        leaves = [way.leaves for way in ways]
        self._outlets = [self._outlet(leaves, fd) for fd in dict.fromkeys(leaves)]

    def _outlet(self, leaves: list[int], fd: int) -> _Outlet:
        first, count = leaves.index(fd), leaves.count(fd)
        times = self._probes["sent_ns"][first : first + count]
        arguments = _arguments(fd, _address(self._messages, first), count)
        return arguments, count, times

    @property
    def sent(self) -> int:
        """How many probes were sent, over all streams."""
        return self._seq * len(self._probes)

    def send(self) -> None:
        """Send a probe of each stream; late ones are made up for, but only a few."""
        clock = time.monotonic_ns
        now = clock()
        self._seqs.fill(self._seq)
        for arguments, count, times in self._outlets:
            times.fill(clock())
            done = _sendmmsg(*arguments)
            if done != count:
                _send_rest(arguments, count, max(done, 0))
        self._record.sent(self._first, self._seq, now)
        self._seq += 1
        self.due += self._interval_ns
        if now - self.due > _MOST_BEHIND * self._interval_ns:
            self.due = clock() + self._interval_ns


def _arguments(fd: int, messages: int, count: int) -> _Arguments:
    return ctypes.c_int(fd), ctypes.c_void_p(messages), ctypes.c_uint(count), _DONT_WAIT


def _send_rest(arguments: _Arguments, count: int, done: int) -> None:
    """Go on behind the probe that was refused, and each further one."""
    fd, messages, *_ = arguments
    while (done := done + 1) < count:
        behind = (messages.value or 0) + done * _MESSAGE.itemsize
        done += max(_sendmmsg(*_arguments(fd.value, behind, count - done)), 0)


class Receiver:
    """Takes in what has arrived, a socket at a time: the kernel noted when it did.

    Parameters:
        sockets: descriptors; it owns them from now on.
    """

    def __init__(self, ways: Sequence[Way], sockets: Sequence[int], record: Record) -> None:
        self._sockets = [socket.socket(fileno=fd) for fd in sockets]
        self._ears = sorted({way.arrives for way in ways})
        self._record = record
        self._streams = max(way.number for way in ways) + 1
        self.arrived = 0
        self._slots = np.zeros(_SLOTS, _SLOT)
        self._parts = np.zeros(_SLOTS, _PART)
        self._parts["base"] = _addresses(self._slots)
        self._parts["length"] = PROBE.itemsize
        self._messages = np.zeros(_SLOTS, _MESSAGE)
        self._messages["parts"] = _addresses(self._parts)
        self._messages["part_count"] = 1
        self._messages["control"] = _addresses(self._slots) + PROBE.itemsize
        self._messages["control_length"] = _CONTROL_LENGTH
        self._first_message = _address(self._messages)
        self._filled = 0
        self._next = 0
        self._step_ns = _round_ns(ways) // len(self._ears)
        self._due = self._write_due = 0

    def turn(self, now: int) -> None:
        """Take in from the sockets whose turn it is."""
        self._due = max(self._due, now - _ROUND_NS)
        while self._due <= now:
            self._due += self._step_ns
            self._take(self._ears[self._next])
            self._next = (self._next + 1) % len(self._ears)
        if now >= self._write_due:
            self._write_due = now + _WRITE_NS
            self._keep()
            self._record.write()

    def take_all(self) -> None:
        """Take in from all sockets."""
        for fd in self._ears:
            self._take(fd)
        self._keep()

    def _take(self, fd: int) -> None:
        if self._filled + _BATCH > _SLOTS:
            self._keep()
        messages = self._first_message + self._filled * _MESSAGE.itemsize
        taken = _recvmmsg(*_arguments(fd, messages, _BATCH), None)
        self._filled += max(taken, 0)

    def _keep(self) -> None:
        """Turn what was taken in into records."""
        slots, messages = self._slots[: self._filled], self._messages[: self._filled]
        probes = slots["probe"]
        good = (messages["length"] >= PROBE.itemsize) & (probes["mark"] == MARK)
        good &= (probes["stream"] < self._streams) & (slots["control_type"] == SO_TIMESTAMPNS)
        records = np.zeros(len(slots), RECORD)
        records["kind"] = ARRIVED
        records["stream"], records["seq"] = probes["stream"], probes["seq"]
        records["sent_ns"] = probes["sent_ns"] - self._record.t0_ns
        received = slots["seconds"] * 1_000_000_000 + slots["nanoseconds"]
        records["received_ns"] = received - _wall_clock_ahead_ns() - self._record.t0_ns
        records = records if good.all() else records[good]
        self.arrived += len(records)
        self._record.add(records)
        messages["control_length"] = _CONTROL_LENGTH
        self._filled = 0

    def end(self) -> None:
        """Take in the last, and finish the record."""
        self.take_all()
        dropped = sum(_dropped(each) for each in self._sockets)
        if dropped:
            self._record.note(OVERFLOWED, dropped)
        self._record.note(END)
        self._record.write()


def _round_ns(ways: Sequence[Way]) -> int:
    """How long it may take until a socket's turn comes again."""
    busiest = max(
        sum(1e9 / way.interval_ns for way in ways if way.arrives == fd)
        for fd in {way.arrives for way in ways}
    )
    return min(_ROUND_NS, int(_BATCH_AIM / busiest * 1e9))


def _address(array: Array, index: int = 0) -> int:
    return int(array.ctypes.data + index * array.strides[0])


def _addresses(array: Array) -> Array:
    return np.uint64(array.ctypes.data) + np.arange(len(array), dtype="u8") * array.strides[0]


def _wall_clock_ahead_ns() -> int:
    """How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC."""
    ahead = 0
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        ahead = wall - (before + after) // 2
        if after - before < _CALM_NS:
            break
    return ahead


def _dropped(each: socket.socket) -> int:
    """How many datagrams found no room in a socket's buffer (sock_diag(7), SK_MEMINFO_DROPS)."""
    answer = each.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(answer)[-1])
