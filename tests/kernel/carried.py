"""A TCP stream and a fast UDP probe between two nodes of a lab, and what became of them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from vnemu.lab import Lab

_UDP_PORT, _TCP_PORT = 7001, 7002
_NUMBER = struct.Struct("=Q")
_TCP_INFO, _TOTAL_RETRANSMISSIONS = 11, 100
_SO_MAX_PACING_RATE = 47
_SO_RCVBUFFORCE, _ROOM = 33, 1 << 22


@dataclass
class Carried:
    """What was sent and came, filled in when the traffic has ended.

    Parameters:
        sent: datagrams.
        arrived: their numbers, in the order of arrival.
        gap_s: the longest time between two arrivals.
        octets: of the TCP stream that arrived.
        resent: segments of it that were sent again.
    """

    sent: int = 0
    arrived: list[int] = field(default_factory=list)
    gap_s: float = 0.0
    octets: int = 0
    resent: int = 0

    @property
    def lost(self) -> list[int]:
        """The numbers of the datagrams that never came."""
        return sorted(set(range(self.sent)) - set(self.arrived))


@contextlib.contextmanager
def carried(
    lab: Lab, start: str, end: str, tcp_mbit: float = 100, probe_hz: int = 1000
) -> Iterator[Carried]:
    """Traffic from one node to another while the context lasts."""
    found = Carried()
    stop = threading.Event()
    target = next(str(a.ip) for a in lab.topology.nodes[end].nics[0].addresses if a.version == 4)
    with contextlib.ExitStack() as stack:

        def inside(path: str, kind: socket.SocketKind) -> socket.socket:
            made = lab[path].inside(lambda: socket.socket(socket.AF_INET, kind))
            return stack.enter_context(made)

        ear = inside(end, socket.SOCK_DGRAM)
        ear.bind(("0.0.0.0", _UDP_PORT))
        with contextlib.suppress(PermissionError):  # who hears may have to wait for the processor
            ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        ear.settimeout(0.3)
        server = inside(end, socket.SOCK_STREAM)
        server.bind(("0.0.0.0", _TCP_PORT))
        server.listen()
        stream = inside(start, socket.SOCK_STREAM)
        stream.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, int(tcp_mbit * 125_000))
        stream.settimeout(5)
        stream.connect((target, _TCP_PORT))
        taker = stack.enter_context(server.accept()[0])
        taker.settimeout(5)
        mouth = inside(start, socket.SOCK_DGRAM)
        mouth.connect((target, _UDP_PORT))
        threads = [
            threading.Thread(target=_hear, args=(ear, found, stop)),
            threading.Thread(target=_take, args=(taker, found)),
            threading.Thread(target=_stream, args=(stream, found, stop)),
            threading.Thread(target=_probe, args=(mouth, found, stop, 1 / probe_hz)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _probe(mouth: socket.socket, found: Carried, stop: threading.Event, interval: float) -> None:
    begun = time.monotonic()
    while not stop.is_set():
        time.sleep(max(0.0, begun + found.sent * interval - time.monotonic()))
        mouth.send(_NUMBER.pack(found.sent))
        found.sent += 1


def _hear(ear: socket.socket, found: Carried, stop: threading.Event) -> None:
    last = time.monotonic()
    while True:
        try:
            data = ear.recv(100)
        except TimeoutError:
            if stop.is_set():
                return
            continue
        now = time.monotonic()
        found.gap_s = max(found.gap_s, now - last)
        last = now
        found.arrived.append(_NUMBER.unpack(data)[0])


def _stream(stream: socket.socket, found: Carried, stop: threading.Event) -> None:
    block = bytes(1 << 16)
    while not stop.is_set():
        stream.sendall(block)
    info = stream.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    found.resent = struct.unpack_from("=I", info, _TOTAL_RETRANSMISSIONS)[0]
    stream.shutdown(socket.SHUT_WR)


def _take(taker: socket.socket, found: Carried) -> None:
    while data := taker.recv(1 << 18):
        found.octets += len(data)
