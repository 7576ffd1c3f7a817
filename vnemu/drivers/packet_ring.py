"""Frames that a packet socket hears, by a ring that kernel and program share.

The kernel puts whole blocks of frames into it, which are read without a system call for
each (packet(7), TPACKET_V3; the layout is that of include/uapi/linux/if_packet.h).
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

SOL_PACKET = 263
ETH_P_ALL = 0x0003
_RX_RING, _STATISTICS, _VERSION, _TPACKET_V3 = 5, 6, 10, 2
_FRAME = 1 << 11
_RING = struct.Struct("=IIIIIII")
_BLOCK_HEAD = struct.Struct("=III")  # status, packets, offset of the first one
_BLOCK_STATUS, _STATUS_USER = 8, 1
_PACKET = struct.Struct("=IIIIIIHHIIH")
_TAGGED = 0x10  # TP_STATUS_VLAN_VALID: the kernel has taken a VLAN tag out of the frame
_ADDRESS_AT = 48
_ADDRESS = struct.Struct("=HHiHBB")  # struct sockaddr_ll up to the length of the address
_OUTGOING = 4
_MACS = 12


class Frame(NamedTuple):
    """A frame that was heard.

    Parameters:
        at_ns: when, in nanoseconds since the epoch.
        device: its index.
        leaves: whether it left by the device; else it arrived there.
        size: of the whole frame in bytes, of which `data` may be the beginning.
    """

    at_ns: int
    device: int
    leaves: bool
    size: int
    data: bytes


class PacketRing:
    """The ring of a packet socket, which is closed with it.

    Parameters:
        opened: the socket.
        block: bytes of a block, a power of two; it holds the longest frame.
        blocks: how many there are.
        retire_ms: after so long a block is read though it is not full.

    Raises:
        OSError: if the kernel has no memory for it.
    """

    def __init__(self, opened: socket.socket, block: int, blocks: int, retire_ms: int) -> None:
        self.socket = opened
        self._size, self._blocks = block, blocks
        opened.setsockopt(SOL_PACKET, _VERSION, _TPACKET_V3)
        ring = _RING.pack(block, blocks, _FRAME, block // _FRAME * blocks, retire_ms, 0, 0)
        opened.setsockopt(SOL_PACKET, _RX_RING, ring)
        self._ring = mmap.mmap(opened.fileno(), block * blocks)
        self._block = 0

    def frames(self) -> Iterator[Frame]:
        """The frames of all blocks that can be read now."""
        for _ in range(self._blocks):
            at = self._block * self._size
            status, packets, first = _BLOCK_HEAD.unpack_from(self._ring, at + _BLOCK_STATUS)
            if not status & _STATUS_USER:
                return
            yield from self._packets(at + first, packets)
            struct.pack_into("=I", self._ring, at + _BLOCK_STATUS, 0)
            self._block = (self._block + 1) % self._blocks

    def _packets(self, at: int, count: int) -> Iterator[Frame]:
        for _ in range(count):
            following, seconds, nanoseconds, kept, size, status, mac, _, _, tag, kind = (
                _PACKET.unpack_from(self._ring, at)
            )
            _, _, index, _, way, _ = _ADDRESS.unpack_from(self._ring, at + _ADDRESS_AT)
            data = self._ring[at + mac : at + mac + kept]
            if status & _TAGGED:
                data = data[:_MACS] + struct.pack(">HH", kind, tag) + data[_MACS:]
                size += 4
            yield Frame(seconds * 10**9 + nanoseconds, index, way == _OUTGOING, size, data)
            at += following

    def drops(self) -> int:
        """How many frames there was no room for since this was last asked."""
        statistics = self.socket.getsockopt(SOL_PACKET, _STATISTICS, 12)
        dropped: int = struct.unpack("=III", statistics)[1]
        return dropped

    def close(self) -> None:
        """Let go of the ring and the socket."""
        self._ring.close()
        self.socket.close()
