"""The proof by packets that one network does not reach another.

Odd frames leave every NIC of the sending network: broadcasts, rare ethertypes,
frames to the other network's MAC addresses, and tunnel packets forged with the
keys that the other network's VLs use. Each carries a mark, and packet sockets
look for the mark at every NIC of the other network and in the VMM. As a control,
the same sockets in the sending network must see them arrive.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from vnemu.errors import MissingCapability
from vnemu.traffic.counters import attach_filter

T = TypeVar("T")

_MARK = 0x02DEADBE
"""The first four bytes of each frame's source address: locally administered, and nobody's."""
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ETH_P_ALL = 0x0003
_ETHERNET_IN_GRE = 0x6558
_LISTEN_SECONDS = 0.5
_SNAP = 64

_ETHERTYPES = {
    "experimental": (0x88B5, _BROADCAST),
    "LLDP": (0x88CC, "01:80:c2:00:00:0e"),
    "pause": (0x8808, "01:80:c2:00:00:01"),
    "spanning tree": (0x0027, "01:80:c2:00:00:00"),
    "MPLS": (0x8847, _BROADCAST),
    "PPPoE": (0x8863, _BROADCAST),
}


class Node(Protocol):
    """A node of a lab."""

    def inside(self, call: Callable[[], T]) -> T:
        """Open a socket in its network namespace."""


@dataclass(frozen=True)
class Sender:
    """A NIC that frames leave from: its node and its name."""

    node: Node
    nic: str


@dataclass(frozen=True)
class Forgery:
    """What the other network uses: its MAC addresses, tunnel keys and their outer ends."""

    macs: tuple[str, ...]
    tunnels: tuple[tuple[int, str, str], ...]


@dataclass
class Verdict:
    """Frames by kind: sent, seen where they may be, and leaked."""

    sent: Counter[str] = field(default_factory=Counter)
    seen_in_own: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)


def craft(forgery: Forgery) -> dict[str, list[bytes]]:
    """Make the frames of each kind with scapy.

    Raises:
        MissingCapability: if scapy is not installed.
    """
    try:
        from scapy.layers.inet import IP, UDP
        from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
        from scapy.layers.vxlan import VXLAN
        from scapy.packet import Raw
    except ImportError as error:
        raise MissingCapability(
            "the proof of isolation forges frames with scapy, which is not installed",
            "run: pip install 'vnemu[proof]'",
        ) from error

    # An ARP probe (sender 0.0.0.0, RFC 5227) changes nobody's neighbour table.
    probe = ARP(hwsrc=_source("broadcast"), psrc="0.0.0.0", pdst="10.0.0.1")  # noqa: S104
    body = Raw(b"vnemu isolation proof " * 3)
    kinds: dict[str, list[object]] = {
        "broadcast": [Ether(dst=_BROADCAST) / probe],
        "VLAN": [Ether(dst=_BROADCAST) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / body],
        "other network's MAC": [Ether(dst=mac, type=0x88B5) / body for mac in forgery.macs],
        "forged tunnel key": [
            Ether(dst=_BROADCAST)
            / IP(src=local, dst=remote)
            / outer
            / Ether(dst=_BROADCAST, src=_source("forged tunnel key"), type=0x88B5)
            / body
            for key, one, other in forgery.tunnels
            for local, remote in ((one, other), (other, one))
            for outer in (
                UDP(sport=4789, dport=4789) / VXLAN(vni=key, flags=0x08),
                GRE(proto=_ETHERNET_IN_GRE, key_present=1, key=key),
            )
        ],
    }
    for kind, (ethertype, target) in _ETHERTYPES.items():
        kinds[kind] = [Ether(dst=target, type=ethertype) / body]
    frames: dict[str, list[bytes]] = {}
    for kind, packets in kinds.items():
        for packet in packets:
            packet.src = _source(kind)  # type: ignore[attr-defined]  # a field of scapy's Ether
        frames[kind] = [bytes(packet) for packet in packets]  # type: ignore[call-overload]
    return frames


_KINDS = ("broadcast", "VLAN", "other network's MAC", "forged tunnel key", *_ETHERTYPES)


def _source(kind: str) -> str:
    return (_MARK.to_bytes(4, "big") + bytes((0, _KINDS.index(kind)))).hex(":")


class Listener:
    """A packet socket in one network namespace that hears marked frames only."""

    def __init__(self) -> None:
        # It hears everything for an instant, until the filter is in place; `heard`
        # looks for the mark again.
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setblocking(False)
        # 0x20 load word, 0x15 jump if equal, 0x06 return.
        attach_filter(
            self.socket,
            [(0x20, 0, 0, 6), (0x15, 0, 1, _MARK), (0x06, 0, 0, _SNAP), (0x06, 0, 0, 0)],
        )

    def heard(self) -> Iterable[tuple[str, str, bool]]:
        """The marked frames so far: device, kind, and whether it was on its way out."""
        while True:
            try:
                frame, address = self.socket.recvfrom(_SNAP)
            except BlockingIOError:
                return
            if frame[6:10] == _MARK.to_bytes(4, "big"):
                yield (
                    address[0],
                    _KINDS[frame[11] % len(_KINDS)],
                    address[2] == socket.PACKET_OUTGOING,
                )


class Proof:
    """Frames and sockets, made ready before traffic runs so that the proof disturbs nothing.

    Parameters:
        senders: the NICs of the sending network.
        own, other: the nodes of the sending and of the listening network.
        vmm: opens a socket in the VMM's namespace.
        others_devices: the devices in the VMM that belong to the listening network.
    """

    def __init__(
        self,
        senders: list[Sender],
        own: list[Node],
        other: list[Node],
        vmm: Callable[[Callable[[], Listener]], Listener],
        others_devices: frozenset[str],
        forgery: Forgery,
    ) -> None:
        self._frames = craft(forgery)
        self._devices = others_devices
        with contextlib.ExitStack() as stack:
            self._senders = [
                stack.enter_context(s.node.inside(partial(_raw_socket, s.nic))) for s in senders
            ]
            self._own = [node.inside(Listener) for node in own]
            self._other = [node.inside(Listener) for node in other]
            self._vmm = vmm(Listener)
            for listener in (*self._own, *self._other, self._vmm):
                stack.enter_context(listener.socket)
            self._stack = stack.pop_all()

    def run(self) -> Verdict:
        """Send, listen for half a second, and judge."""
        verdict = Verdict()
        self._collect(Verdict())  # what an earlier proof sent is not for this one
        for sender in self._senders:
            for kind, frames in self._frames.items():
                for frame in frames:
                    sender.send(frame)
                    verdict.sent[kind] += 1
        until = time.monotonic() + _LISTEN_SECONDS
        sockets = [listener.socket for listener in (*self._own, *self._other, self._vmm)]
        while (left := until - time.monotonic()) > 0:
            select.select(sockets, [], [], left)
            self._collect(verdict)
        return verdict

    def _collect(self, verdict: Verdict) -> None:
        for listener in self._own:
            verdict.seen_in_own.update(kind for _, kind, out in listener.heard() if not out)
        for listener in self._other:
            verdict.leaked.update(kind for _, kind, _ in listener.heard())
        verdict.leaked.update(
            kind for device, kind, _ in self._vmm.heard() if device in self._devices
        )

    def close(self) -> None:
        """Let go of the sockets."""
        self._stack.close()


def _raw_socket(nic: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.bind((nic, 0))
    return raw
