"""A batched netlink socket: many requests in one send, errors by request.

The format is that of netlink(7) and rtnetlink(7). One send carries many
messages; only the last asks for an acknowledgement, since the kernel reports an
error for each failed message whether it was asked or not.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
# Traffic control answers a request for a single object only when it carries this.
_NLM_F_ECHO = 0x8
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NEW = NLM_F_CREATE | NLM_F_EXCL
SET = NLM_F_CREATE | NLM_F_REPLACE

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NETLINK_OPTIONS = (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK)
_SOL_NETLINK = 270
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
U32 = struct.Struct("=I")
# A send must fit the socket's buffer; 212992 is the kernel's default ceiling
# (net.core.wmem_max) for whoever may not force a larger one, and the kernel
# books the overhead of its own structures on it.
_CHUNK = 96 * 1024
# The kernel answers while it takes the requests in: their answers must fit the
# receive buffer, whose default ceiling is as small.
_QUERIES = 64
_BUFFER = 4 * 1024 * 1024
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to 4 bytes."""
    size = 4 + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + _PADDING[size & 3]


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes in `data` from `offset` on, by type (nested flags removed)."""
    found = {}
    end = len(data) - 4
    unpack = _ATTRIBUTE.unpack_from
    while offset <= end:
        size, kind = unpack(data, offset)
        if size < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return found


def first_attribute(data: bytes, wanted: int, offset: int = 0) -> bytes:
    """The first attribute of a type, as quickly as can be; empty if there is none."""
    end = len(data) - 4
    unpack = _ATTRIBUTE.unpack_from
    while offset <= end:
        size, kind = unpack(data, offset)
        if kind & 0x3FFF == wanted:
            return data[offset + 4 : offset + size]
        if size < 4:
            break
        offset += (size + 3) & ~3
    return b""


def u32(value: int) -> bytes:
    """An unsigned number of 32 bits in the machine's byte order."""
    return U32.pack(value)


def text(kind: int, content: str) -> bytes:
    """One attribute that is a text, ended by a zero byte."""
    return attribute(kind, content.encode() + b"\0")


def nested(data: bytes, *path: int) -> bytes:
    """What an attribute within attributes holds; empty if there is none."""
    for kind in path:
        data = attributes(data).get(kind, b"")
    return data


@dataclass(frozen=True, slots=True)
class Request:
    """One message without its length and sequence number.

    Parameters:
        kind: the message type, such as RTM_NEWLINK.
        flags: NLM_F_* beyond NLM_F_REQUEST.
        body: family header and attributes, padded to 4 bytes.
    """

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """The kernel's answer to the request at `index` of a batch."""

    index: int
    errno: int
    detail: str


class NetlinkSocket:
    """A netlink socket of the network namespace it was opened in."""

    def __init__(self, protocol: int = 0) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._sequence = 0
        for option in _NETLINK_OPTIONS:
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            except PermissionError:  # no CAP_NET_ADMIN in the first user namespace
                break
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self._socket.close()

    def send(self, requests: Sequence[Request]) -> list[Refusal]:
        """Carry out `requests` in their order; one refused does not stop the next.

        Returns:
            The refusals, in order; empty when all was done.
        """
        refusals: list[Refusal] = []
        for start, end in _chunks(requests):
            refusals += self._send_chunk(requests, start, end)
        return refusals

    def _send_chunk(self, requests: Sequence[Request], start: int, end: int) -> list[Refusal]:
        first = self._sequence + 1
        parts = []
        sequence = first
        for request in requests[start : end - 1]:
            parts.append(
                _HEADER.pack(
                    16 + len(request.body), request.kind, request.flags | NLM_F_REQUEST, sequence, 0
                )
            )
            parts.append(request.body)
            sequence += 1
        last = requests[end - 1]
        flags = last.flags | NLM_F_REQUEST | NLM_F_ACK
        parts.append(_HEADER.pack(16 + len(last.body), last.kind, flags, sequence, 0))
        parts.append(last.body)
        self._sequence = sequence
        self._socket.send(b"".join(parts))
        return [
            Refusal(start + number - first, errno, detail)
            for number, errno, detail in self._answers(first, sequence)
            if errno
        ]

    def _answers(self, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        for kind, flags, sequence, body in self._messages():
            if kind == _NLMSG_ERROR and first <= sequence <= last:
                yield sequence, -_ERRNO.unpack_from(body)[0], _detail(flags, body)
                if sequence == last:
                    return

    def query(self, requests: Sequence[Request]) -> list[bytes | None]:
        """Ask for single objects; None stands for one that the kernel does not have."""
        answers: list[bytes | None] = []
        for start in range(0, len(requests), _QUERIES):
            answers += self._query_chunk(requests[start : start + _QUERIES])
        return answers

    def _query_chunk(self, requests: Sequence[Request]) -> list[bytes | None]:
        first = self._sequence + 1
        self._sequence += len(requests)
        parts = []
        for sequence, request in enumerate(requests, first):
            flags = NLM_F_REQUEST | _NLM_F_ECHO | (NLM_F_ACK if sequence == self._sequence else 0)
            parts.append(_HEADER.pack(16 + len(request.body), request.kind, flags, sequence, 0))
            parts.append(request.body)
        self._socket.send(b"".join(parts))
        answers: list[bytes | None] = [None] * len(requests)
        for kind, _, sequence, body in self._messages():
            if kind != _NLMSG_ERROR and first <= sequence <= self._sequence:
                answers[sequence - first] = body
            elif sequence == self._sequence:
                break
        return answers

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Yield the bodies (family header and attributes) of all that the kernel lists.

        Raises:
            OSError: as the kernel says.
        """
        self._sequence += 1
        header = _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0)
        self._socket.send(header + body)
        for answer, _, sequence, content in self._messages():
            if sequence != self._sequence:
                continue
            if answer in (_NLMSG_DONE, _NLMSG_ERROR):
                errno = -_ERRNO.unpack_from(content)[0] if len(content) >= 4 else 0
                if errno:
                    raise OSError(errno, os.strerror(errno))
                return
            yield content

    def _messages(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset < len(data):
                size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                yield kind, flags, sequence, data[offset + 16 : offset + size]
                offset += (size + 3) & ~3


def _chunks(requests: Sequence[Request]) -> Iterator[tuple[int, int]]:
    start = size = 0
    for index, request in enumerate(requests):
        length = 16 + len(request.body)
        if size and size + length > _CHUNK:
            yield start, index
            start, size = index, 0
        size += length
    if size:
        yield start, len(requests)


def _detail(flags: int, body: bytes) -> str:
    # With CAP_ACK the error carries the failed message's header only (20 bytes
    # with the error number), then the attributes of the extended acknowledgement.
    has_attributes = flags & 0x200
    if not has_attributes:
        return ""
    message = attributes(body, 20).get(_NLMSGERR_ATTR_MSG, b"")
    return message.rstrip(b"\0").decode(errors="replace")
