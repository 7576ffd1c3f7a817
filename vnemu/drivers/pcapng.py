"""Writes captured frames with the names of their interfaces, for Wireshark and tcpdump.

The format is that of draft-ietf-opsawg-pcapng: a section header, a block for each
interface when it first has a frame, a block for each frame.
"""

from __future__ import annotations

import struct
from pathlib import Path

_SECTION, _INTERFACE, _FRAME = 0x0A0D0D0A, 1, 6
_ETHERNET = 1
_IF_NAME, _IF_TSRESOL, _EPB_FLAGS = 2, 9, 2
_NANOSECONDS = b"\x09"
_INBOUND, _OUTBOUND = 1, 2


class PcapngFile:
    """A capture file; each frame is with the kernel after `flush`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._interfaces: dict[str, int] = {}
        self._file.write(_block(_SECTION, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1)))

    def write(self, interface: str, at_ns: int, frame: bytes, size: int, outward: bool) -> None:
        """Add a frame.

        Parameters:
            at_ns: since the epoch.
            size: of the whole frame, of which `frame` may be the beginning.
            outward: whether the interface sent it.
        """
        if interface not in self._interfaces:
            self._interfaces[interface] = len(self._interfaces)
            options = _option(_IF_NAME, interface.encode()) + _option(_IF_TSRESOL, _NANOSECONDS)
            self._file.write(_block(_INTERFACE, struct.pack("=HHI", _ETHERNET, 0, 0) + options))
        number = self._interfaces[interface]
        head = struct.pack("=IIIII", number, at_ns >> 32, at_ns & 0xFFFFFFFF, len(frame), size)
        flags = _option(_EPB_FLAGS, struct.pack("=I", _OUTBOUND if outward else _INBOUND))
        self._file.write(_block(_FRAME, head + _padded(frame) + flags))

    def flush(self) -> None:
        """Give all that was written to the kernel."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", kind, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    ends = b"" if kind == _SECTION else bytes(4)  # an option that ends the options
    size = 12 + len(body) + len(ends)
    return struct.pack("=II", kind, size) + body + ends + struct.pack("=I", size)
