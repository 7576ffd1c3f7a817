"""Captured frames with the names of their interfaces, for Wireshark and tcpdump.

The format is that of draft-ietf-opsawg-pcapng: a section header, a block for each
interface when it first has a frame, a block for each frame, and counts at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import RawIOBase
from typing import IO, NamedTuple

_SECTION, INTERFACE, STATISTICS, FRAME = 0x0A0D0D0A, 1, 5, 6
"""The kinds of blocks."""
_ETHERNET = 1
_IF_NAME, _IF_TSRESOL, _IF_FILTER, _EPB_FLAGS = 2, 9, 11, 2
_ISB_RECEIVED, _ISB_DROPPED = 4, 7  # isb_ifrecv, isb_osdrop
_NANOSECONDS = b"\x09"
_PCAP_FILTER = b"\x00"
_INBOUND, _OUTBOUND = 1, 2
_HEAD = struct.Struct("=II")  # kind and size of a block


class PcapngFile:
    """A capture file.

    Blocks are given to the kernel by `flush`, whole and together: what is killed
    between two of them leaves a file that can be read.

    Parameters:
        file: is written to; without a buffer of its own.
        filter_: the expression that frames were chosen by; empty: none.
    """

    def __init__(self, file: RawIOBase, filter_: str = "") -> None:
        self._file = file
        self._filter = filter_
        self._interfaces: dict[str, int] = {}
        self._waiting = [_block(_SECTION, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1))]

    def add(self, interface: str) -> int:
        """The number of an interface, which is described if it has none yet."""
        if interface not in self._interfaces:
            self._interfaces[interface] = len(self._interfaces)
            options = _option(_IF_NAME, interface.encode()) + _option(_IF_TSRESOL, _NANOSECONDS)
            if self._filter:
                options += _option(_IF_FILTER, _PCAP_FILTER + self._filter.encode())
            head = struct.pack("=HHI", _ETHERNET, 0, 0)
            self._waiting.append(_block(INTERFACE, head + options))
        return self._interfaces[interface]

    def write(self, interface: str, at_ns: int, frame: bytes, size: int, outward: bool) -> None:
        """Add a frame.

        Parameters:
            at_ns: since the epoch.
            size: of the whole frame, of which `frame` may be the beginning.
            outward: whether the interface sent it.
        """
        number = self.add(interface)
        head = struct.pack("=IIIII", number, *_halves(at_ns), len(frame), size)
        flags = _option(_EPB_FLAGS, struct.pack("=I", _OUTBOUND if outward else _INBOUND))
        self._waiting.append(_block(FRAME, head + _padded(frame) + flags))

    def count(self, interface: str, at_ns: int, received: int, dropped: int) -> None:
        """Add how many frames of an interface were heard, and how many could not be kept.

        Parameters:
            at_ns: when that was counted, since the epoch.
        """
        head = struct.pack("=III", self.add(interface), *_halves(at_ns))
        counts = ((_ISB_RECEIVED, received), (_ISB_DROPPED, dropped))
        options = b"".join(_option(kind, struct.pack("=Q", number)) for kind, number in counts)
        self._waiting.append(_block(STATISTICS, head + options))

    def flush(self) -> None:
        """Give all that was written to the kernel.

        Raises:
            OSError: if it does not take it.
        """
        data = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        self._file.close()


class Block(NamedTuple):
    """A block of a file that `PcapngFile` has written.

    Parameters:
        kind: INTERFACE, FRAME …
        data: all of it.
    """

    kind: int
    data: bytes

    @property
    def interface_name(self) -> str:
        """The name of the interface that it describes."""
        (size,) = struct.unpack_from("=H", self.data, 18)
        return self.data[20 : 20 + size].decode()

    @property
    def interface(self) -> int:
        """The number of the interface, from 0, that its frame or its counts are of."""
        number: int = struct.unpack_from("=I", self.data, 8)[0]
        return number

    @property
    def outward(self) -> bool:
        """Whether the interface sent its frame."""
        (flags,) = struct.unpack_from("=I", self.data, len(self.data) - 12)
        return bool(flags == _OUTBOUND)

    @property
    def frame(self) -> bytes:
        """Its frame."""
        (size,) = struct.unpack_from("=I", self.data, 20)
        return self.data[28 : 28 + size]


def blocks(stream: IO[bytes]) -> Iterator[Block]:
    """The whole blocks of a capture, as they come."""
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        kind, size = _HEAD.unpack(head)
        rest = stream.read(size - _HEAD.size)
        if len(rest) < size - _HEAD.size:
            return
        yield Block(kind, head + rest)


def _halves(at_ns: int) -> tuple[int, int]:
    return at_ns >> 32, at_ns & 0xFFFFFFFF


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", kind, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    ends = b"" if kind == _SECTION else bytes(4)  # an option that ends the options
    size = 12 + len(body) + len(ends)
    return _HEAD.pack(kind, size) + body + ends + struct.pack("=I", size)
