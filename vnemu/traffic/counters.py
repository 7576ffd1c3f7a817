"""What a flow's receiver got, read from the kernel and not from the program that receives.

TCP's counters come from sock_diag(7) (struct tcp_info of include/uapi/linux/tcp.h);
UDP has none for a socket, so datagrams are counted by a packet socket with a
filter, which never has to deliver one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from vnemu.drivers.bpf import attach
from vnemu.drivers.netlink import NetlinkSocket, Request, attributes

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_INET_DIAG_INFO = 2
_DIAG_REQUEST = struct.Struct("=BBBxI48s")
_DIAG_ID = slice(4, 52)
_DIAG_ANSWER = struct.Struct("=BBBBHH")
_DIAG_ANSWER_SIZE = 72
_ALL_STATES = 0xFFF
_ESTABLISHED, _LISTEN = 1, 10
_BYTES_RECEIVED = 128
_DATA_SEGMENTS_IN = 152

_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_ETH_P = {4: 0x0800, 6: 0x86DD}


@dataclass(frozen=True, slots=True)
class Received:
    """Cumulative bytes of payload: given to the application in order, and arrived at all."""

    goodput: int
    arrived: int


class Counter(Protocol):
    """Counts what a flow's receiver got."""

    def read(self) -> Received:
        """The counters now."""

    def close(self) -> None:
        """Let go of the sockets."""


@dataclass(frozen=True, slots=True)
class _TcpSocket:
    family: int
    identity: bytes
    state: int
    local_port: int
    remote_port: int
    received: int
    data_segments: int


class TcpDiagnosis:
    """Lists the TCP sockets of the network namespace that it is made in."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(_NETLINK_SOCK_DIAG)

    def sockets(self) -> list[_TcpSocket]:
        """All TCP sockets, listening ones too.

        A server that takes both IP versions on one IPv6 socket has its IPv4
        connections listed under IPv6.
        """
        return [*self._listed(socket.AF_INET), *self._listed(socket.AF_INET6)]

    def _listed(self, family: int) -> list[_TcpSocket]:
        answers = self._socket.dump(_SOCK_DIAG_BY_FAMILY, _request(family, bytes(48)))
        return [_tcp_socket(answer) for answer in answers]

    def again(self, sockets: Iterable[_TcpSocket]) -> list[_TcpSocket]:
        """Those of `sockets` that still exist, as they are now.

        A list takes the kernel a walk through all connections of all namespaces; this
        finds each where it is.
        """
        asked = [Request(_SOCK_DIAG_BY_FAMILY, 0, _request(s.family, s.identity)) for s in sockets]
        return [_tcp_socket(answer) for answer in self._socket.query(asked) if answer is not None]

    def listening(self, port: int) -> bool:
        """Whether a server waits on `port`."""
        return self._count(_LISTEN, port) > 0

    def connections(self, port: int) -> int:
        """How many connections there are to `port`."""
        return self._count(_ESTABLISHED, port)

    def _count(self, state: int, port: int) -> int:
        return sum(s.state == state and s.local_port == port for s in self.sockets())

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _request(family: int, identity: bytes) -> bytes:
    extensions = 1 << (_INET_DIAG_INFO - 1)
    return _DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, extensions, _ALL_STATES, identity)


def _tcp_socket(answer: bytes) -> _TcpSocket:
    family, state, _, _, local, remote = _DIAG_ANSWER.unpack_from(answer)
    info = attributes(answer, _DIAG_ANSWER_SIZE).get(_INET_DIAG_INFO, b"")
    received = segments = 0
    if len(info) >= _DATA_SEGMENTS_IN + 4:
        received = struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0]
        segments = struct.unpack_from("=I", info, _DATA_SEGMENTS_IN)[0]
    ports = socket.ntohs(local), socket.ntohs(remote)
    return _TcpSocket(family, answer[_DIAG_ID], state, *ports, received, segments)


class TcpCounter:
    """The bytes that came in on a server's port, over all its connections.

    Parameters:
        payload: bytes of payload in a full segment.
        connections: how many there will be; once as many are there, no others are looked for.
    """

    def __init__(self, port: int, payload: int, connections: int) -> None:
        self._diagnosis = TcpDiagnosis()
        self._port = port
        self._payload = payload
        self._connections = connections
        self._open: list[_TcpSocket] = []
        self._seen: dict[int, tuple[int, int]] = {}

    def read(self) -> Received:
        """See `Counter.read`; a connection that has ended keeps its last value."""
        self._open = self._diagnosis.again(self._open) if self._open else []
        if len(self._open) < self._connections:
            there = self._diagnosis.sockets()
            self._open = [s for s in there if s.local_port == self._port and s.state != _LISTEN]
        for found in self._open:
            self._seen[found.remote_port] = (found.received, found.data_segments)
        goodput = sum(received for received, _ in self._seen.values())
        return Received(goodput, sum(n for _, n in self._seen.values()) * self._payload)

    def close(self) -> None:
        """See `Counter.close`."""
        self._diagnosis.close()


def attach_filter(target: socket.socket, code: list[tuple[int, int, int, int]]) -> None:
    """Attach a classic BPF program, as (code, jump if true, jump if false, k)."""
    attach(target, b"".join(struct.pack("=HBBI", *instruction) for instruction in code))


def _udp_filter(version: int, port: int) -> list[tuple[int, int, int, int]]:
    """First fragments of UDP to `port`, seen from the network header on.

    Opcodes: 0x30 load byte, 0x28 load half word, 0x48 the same at X + k, 0xB1
    X = IPv4 header length, 0x15 jump if equal, 0x45 jump if any bit is set,
    0x06 return.
    """
    if version == 4:
        return [
            (0x30, 0, 0, 9),
            (0x15, 0, 6, socket.IPPROTO_UDP),
            (0x28, 0, 0, 6),
            (0x45, 4, 0, 0x1FFF),
            (0xB1, 0, 0, 0),
            (0x48, 0, 0, 2),
            (0x15, 0, 1, port),
            (0x06, 0, 0, 1),
            (0x06, 0, 0, 0),
        ]
    return [
        (0x30, 0, 0, 6),
        (0x15, 0, 3, socket.IPPROTO_UDP),
        (0x28, 0, 0, 42),
        (0x15, 0, 1, port),
        (0x06, 0, 0, 1),
        (0x06, 0, 0, 0),
    ]


class UdpCounter:
    """The datagrams that came in for a server's port.

    Parameters:
        nic: the name of the NIC that they come in at.
        length: bytes of payload of each datagram.
    """

    def __init__(self, nic: str, version: int, port: int, length: int) -> None:
        self._length = length
        self._count = 0
        # Protocol 0 hears nothing until the filter is in place.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        attach_filter(self._socket, _udp_filter(version, port))
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._socket.bind((nic, _ETH_P[version]))

    def read(self) -> Received:
        """See `Counter.read`; the kernel's count starts again at each reading."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._count += struct.unpack("=II", statistics)[0]
        total = self._count * self._length
        return Received(total, total)

    def close(self) -> None:
        """See `Counter.close`."""
        self._socket.close()
