"""Counts, and if wanted keeps, the routing messages that pass the vifs of VRs.

One packet socket in the fabric's namespace hears all devices there; a classic BPF program
lets only routing protocols through, so that data costs no more than a look at its headers.

A frame that arrives at a vif was sent *out* by the node; one that leaves by it goes *in*.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from vnemu.drivers.bpf import Instruction, assemble, attach
from vnemu.drivers.packet_ring import ETH_P_ALL, PacketRing

_BLOCK, _BLOCKS = 1 << 17, 16
_RETIRE_MS = 50

_OSPF, _TCP, _UDP, _BGP = 89, 6, 17, 179
_IPV4, _IPV6, _LONGEST_LLC = 0x0800, 0x86DD, 1500
_ISO = 0xFEFE  # both service access points of ISO 10589's frames
_PORTS = {520: "rip", 521: "ripng", 6696: "babel", 3784: "bfd", 3785: "bfd", 4784: "bfd"}
_MARKER = b"\xff" * 16  # each BGP message begins with it (RFC 4271, 4.1)


def _filter() -> bytes:
    load_half, load_byte, load_half_at_x, ip_header = 0x28, 0x30, 0x48, 0xB1
    equal, greater, bits, done = 0x15, 0x25, 0x45, 0x06
    udp: list[Instruction] = [(equal, port, "yes", "") for port in _PORTS]
    first_fragment: list[Instruction] = [
        (load_half, 20),
        (bits, 0x1FFF, "no", ""),
        (ip_header, 14),
    ]
    never: Instruction = (equal, 0xFFFFFFFF, "no", "no")
    return assemble(
        [
            (load_half, 12),
            (equal, _IPV4, "ipv4", ""),
            (equal, _IPV6, "ipv6", ""),
            (greater, _LONGEST_LLC, "no", ""),
            (load_half, 14),
            (equal, _ISO, "yes", "no"),
            "ipv4",
            (load_byte, 23),
            (equal, _OSPF, "yes", ""),
            (equal, _TCP, "tcp4", ""),
            (equal, _UDP, "udp4", "no"),
            "tcp4",
            *first_fragment,
            (load_half_at_x, 14),
            (equal, _BGP, "yes", ""),
            (load_half_at_x, 16),
            (equal, _BGP, "yes", "no"),
            "udp4",
            *first_fragment,
            (load_half_at_x, 16),
            *udp,
            never,
            "ipv6",
            (load_byte, 20),
            (equal, _OSPF, "yes", ""),
            (equal, _TCP, "tcp6", ""),
            (equal, _UDP, "udp6", "no"),
            "tcp6",
            (load_half, 54),
            (equal, _BGP, "yes", ""),
            (load_half, 56),
            (equal, _BGP, "yes", "no"),
            "udp6",
            (load_half, 56),
            *udp,
            never,
            "yes",
            (done, 0xFFFFFFFF),
            "no",
            (done, 0),
        ]
    )


def protocol_of(frame: bytes) -> tuple[str, int]:
    """The routing protocol of a frame (empty: none), and how many messages begin in it.

    A TCP segment of BGP may hold several, or only acknowledge; what else is sent is one.
    """
    kind = int.from_bytes(frame[12:14], "big")
    if kind <= _LONGEST_LLC:
        return ("isis", 1) if frame[14:16] == b"\xfe\xfe" else ("", 0)
    carried = frame[23] if kind == _IPV4 else frame[20]
    if carried == _OSPF:
        return ("ospf" if kind == _IPV4 else "ospfv3"), 1
    above = 14 + (4 * (frame[14] & 15) if kind == _IPV4 else 40)
    if carried == _TCP:
        payload = above + 4 * (frame[above + 12] >> 4)
        return "bgp", frame.count(_MARKER, payload)
    port = int.from_bytes(frame[above + 2 : above + 4], "big")
    return _PORTS.get(port, ""), 1


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame with a routing message.

    Parameters:
        node, nic: at whose vif.
        outward: whether the node sent it.
        at_ns: when, in nanoseconds since the epoch.
        size: of the frame in bytes.
    """

    node: str
    nic: str
    outward: bool
    at_ns: int
    size: int
    frame: bytes


Counted = tuple[str, str, str, str, int, int]
"""Node, NIC, ``in`` or ``out``, protocol, messages, bytes."""


class ControlMessages:
    """Hears all routing messages from when it is made, in the fabric's namespace."""

    def __init__(self) -> None:
        # It hears everything for an instant, until the filter is in place; what it heard
        # then is thrown away when it gets its ring.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        attach(opened, _filter())
        self._ring = PacketRing(opened, _BLOCK, _BLOCKS, _RETIRE_MS)
        self._vifs: Mapping[int, tuple[str, str]] = {}
        self._counts: dict[tuple[str, str, str, str], tuple[int, int]] = {}
        self._changed: set[tuple[str, str, str, str]] = set()
        self.dropped = 0

    def follow(self, vifs: Mapping[int, tuple[str, str]]) -> None:
        """Settle what the vifs are: index -> (node, NIC)."""
        self._vifs = vifs

    def reset(self) -> None:
        """Count from nothing again."""
        self._counts.clear()

    def read(self, keep: Callable[[Heard], None] | None = None) -> list[Counted]:
        """Take in what was heard; return the counters that it changed, cumulative.

        Parameters:
            keep: given each frame.
        """
        for heard in self._heard():
            protocol, messages = protocol_of(heard.frame)
            if not protocol:
                continue
            key = heard.node, heard.nic, "out" if heard.outward else "in", protocol
            before = self._counts.get(key, (0, 0))
            self._counts[key] = before[0] + messages, before[1] + heard.size
            self._changed.add(key)
            if keep is not None:
                keep(heard)
        self.dropped += self._ring.drops()
        rows = [(*key, *self._counts[key]) for key in sorted(self._changed)]
        self._changed.clear()
        return rows

    def _heard(self) -> Iterator[Heard]:
        for frame in self._ring.frames():
            vif = self._vifs.get(frame.device)
            if vif is not None:
                yield Heard(*vif, not frame.leaves, frame.at_ns, frame.size, frame.data)

    def close(self) -> None:
        """Let go of the ring and the socket."""
        self._ring.close()
