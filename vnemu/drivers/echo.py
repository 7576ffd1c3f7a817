"""Echo requests (RFC 792, RFC 4443) from many nodes, sent and heard by this one process."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

_HEADER = struct.Struct("!BBHHH")
_BODY = struct.Struct("!II")
_TYPES = {4: (8, 0), 6: (128, 129)}
_FAMILIES = {
    4: (socket.AF_INET, socket.IPPROTO_ICMP),
    6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
}
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_FULL_HEADER_BITS = 0xF
_BUFFER = 1 << 20


class EchoSocket:
    """Sends echo requests from an address of a node, and hears the replies.

    To be made in the node's network namespace, by who may open raw sockets there.

    Raises:
        OSError: as the kernel says, such as EADDRNOTAVAIL when the node has no `address`.
    """

    def __init__(self, address: str) -> None:
        self.version = ip_address(address).version
        self._asks, answers = _TYPES[self.version]
        family, protocol = _FAMILIES[self.version]
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(family, kind, protocol)
        self._own = struct.unpack("!H", os.urandom(2))[0]
        try:
            self._hear_only(answers)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self.socket.bind((address, 0))
        except BaseException:
            self.socket.close()
            raise

    def _hear_only(self, kind: int) -> None:
        """Let the kernel drop all other messages: a set bit is a type that is dropped."""
        if self.version == 4:
            self.socket.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << kind) % 2**32))
            return
        words = [0xFFFFFFFF] * 8
        words[kind >> 5] &= ~(1 << (kind & 31))
        own = struct.pack("=8I", *words)
        self.socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, own)

    def send(self, target: str, pair: int, turn: int) -> None:
        """Ask `target`; what the kernel cannot send, for want of a route, is not sent.

        Parameters:
            pair, turn: two numbers of 32 bits, which the reply brings back.
        """
        body = _BODY.pack(pair, turn)
        header = _HEADER.pack(self._asks, 0, 0, self._own, 0)
        if self.version == 4:  # the kernel fills in that of version 6
            header = _HEADER.pack(self._asks, 0, checksum(header + body), self._own, 0)
        with suppress(OSError):
            self.socket.sendto(header + body, (target, 0))

    def replies(self) -> Iterator[tuple[int, int]]:
        """The (pair, turn) of each reply that has arrived."""
        while True:
            try:
                data = self.socket.recv(256)
            except OSError:  # nothing more, or an error that an ICMP message has left
                return
            if self.version == 4:
                data = data[(data[0] & _FULL_HEADER_BITS) * 4 :]
            if len(data) == _HEADER.size + _BODY.size and _HEADER.unpack_from(data)[3] == self._own:
                yield _BODY.unpack_from(data, _HEADER.size)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
