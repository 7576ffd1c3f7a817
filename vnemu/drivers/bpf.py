"""Programs of the classic Berkeley Packet Filter: choosing among the ways of a patch, or frames.

They need no compiler, no verifier and no capability beyond that of adding a filter.
A frame begins with its Ethernet header here, as for every classifier on arrival.

Source of the codes: the kernel's include/uapi/linux/{filter,bpf_common}.h.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable
from functools import lru_cache

_LD_WORD, _LD_HALF, _LD_BYTE = 0x20, 0x28, 0x30  # A = what is at K of the frame
_LD_WORD_AT_X = 0x40  # A = what is at X + K of the frame
_LDX_HEADER = 0xB1  # X = length of the IPv4 header at K
_LDX_SCRATCH, _STORE, _TO_X, _TO_A = 0x61, 0x02, 0x07, 0x87
_XOR_X, _MULTIPLY, _SHIFT_RIGHT, _MODULO = 0xAC, 0x24, 0x74, 0x94
_IF_EQUAL, _IF_BITS, _GOTO, _RETURN = 0x15, 0x45, 0x05, 0x06

_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: a place that reads as chance
_NO_MATCH, _MATCH = 0, 0xFFFFFFFF
_SHOT = 2  # TC_ACT_SHOT
_SO_ATTACH_FILTER = 26

_ETHERTYPE = 12
_IPV4, _IPV4_FRAGMENT, _IPV4_PROTOCOL, _IPV4_ADDRESSES = 14, 20, 23, (26, 30)
_IPV6_PROTOCOL, _IPV6_ADDRESSES, _IPV6_PORTS = 20, range(22, 54, 4), 54
_FRAGMENT_BITS = 0x3FFF  # more fragments, or not the first
_WITH_PORTS = (6, 17, 33, 132, 136)  # TCP, UDP, DCCP, SCTP, UDP-Lite
_PRIME, _PRIME_2 = 0x9E3779B1, 0x85EBCA77  # odd, bits spread well
_HASH = 0  # the scratch word that the hash is kept in

Instruction = tuple[int, int] | tuple[int, int, str, str] | str
"""Code and operand; for a jump, the labels to go to if true and if false; or a label."""
_NEXT = ""


def drop() -> bytes:
    """Drop every frame (for a filter whose result is the action)."""
    return assemble([(_RETURN, _SHOT)])


def match() -> bytes:
    """Match every frame."""
    return assemble([(_RETURN, _MATCH)])


@lru_cache(maxsize=64)
def one_in(ways: int) -> bytes:
    """Match one of `ways` frames, at random."""
    return assemble([(_LD_WORD, _RANDOM), *_match(ways, 0)])


@lru_cache(maxsize=64)
def flows(ways: int, way: int) -> bytes:
    """Match the frames of those flows whose hash, divided by `ways`, leaves `way`.

    The hash is over addresses and protocol, and ports where they are: not in fragments,
    so that those of one datagram stay together. What is not IP is never matched.
    """
    return assemble(
        [
            (_LD_HALF, _ETHERTYPE),
            (_IF_EQUAL, 0x0800, "ipv4", _NEXT),
            (_IF_EQUAL, 0x86DD, "ipv6", "other"),
            "ipv4",
            (_LD_BYTE, _IPV4_PROTOCOL),
            *_mixed_in(_IPV4_ADDRESSES),
            (_LD_HALF, _IPV4_FRAGMENT),
            (_IF_BITS, _FRAGMENT_BITS, "hashed", _NEXT),
            (_LD_BYTE, _IPV4_PROTOCOL),
            *((_IF_EQUAL, protocol, "ports4", _NEXT) for protocol in _WITH_PORTS),
            (_GOTO, 0, "hashed", "hashed"),
            "ports4",
            (_LDX_HEADER, _IPV4),
            (_LD_WORD_AT_X, _IPV4),
            (_GOTO, 0, "ports", "ports"),
            "ipv6",
            (_LD_BYTE, _IPV6_PROTOCOL),
            *_mixed_in(_IPV6_ADDRESSES),
            (_LD_BYTE, _IPV6_PROTOCOL),
            *((_IF_EQUAL, protocol, "ports6", _NEXT) for protocol in _WITH_PORTS),
            (_GOTO, 0, "hashed", "hashed"),
            "ports6",
            (_LD_WORD, _IPV6_PORTS),
            "ports",
            *_mixed(),
            "hashed",
            *_finished(),
            *_match(ways, way),
            "other",
            (_RETURN, _NO_MATCH),
        ]
    )


def _mixed_in(words: Iterable[int]) -> list[Instruction]:
    """Begin a hash with what is in A, then take in the words at these places."""
    found: list[Instruction] = [(_STORE, _HASH)]
    for place in words:
        found += [(_LD_WORD, place), *_mixed()]
    return found


def _mixed() -> list[Instruction]:
    """Take A into the hash: hash = (hash ^ A) * prime, its high half folded down."""
    return [
        (_LDX_SCRATCH, _HASH),
        (_XOR_X, 0),
        (_MULTIPLY, _PRIME),
        (_TO_X, 0),
        (_SHIFT_RIGHT, 15),
        (_XOR_X, 0),
        (_STORE, _HASH),
    ]


def _finished() -> list[Instruction]:
    """A = the hash with each bit dependent on all others (as the end of MurmurHash3)."""
    return [
        (_LDX_SCRATCH, _HASH),
        (_TO_A, 0),
        (_MULTIPLY, _PRIME_2),
        (_TO_X, 0),
        (_SHIFT_RIGHT, 13),
        (_XOR_X, 0),
        (_MULTIPLY, _PRIME),
        (_SHIFT_RIGHT, 8),
    ]


def _match(ways: int, way: int) -> list[Instruction]:
    return [
        (_MODULO, ways),
        (_IF_EQUAL, way, _NEXT, "not"),
        (_RETURN, _MATCH),
        "not",
        (_RETURN, _NO_MATCH),
    ]


def assemble(program: Iterable[Instruction]) -> bytes:
    """The program as struct sock_filter, labels turned into distances (of 255 at most)."""
    lines: list[tuple[int, int] | tuple[int, int, str, str]] = []
    labels: dict[str, int] = {}
    for line in program:
        if isinstance(line, str):
            labels[line] = len(lines)
        else:
            lines.append(line)
    code = []
    for number, (operation, operand, *targets) in enumerate(lines, 1):
        yes, no = (labels[t] - number if t else 0 for t in targets) if targets else (0, 0)
        if operation == _GOTO:
            code.append(struct.pack("=HBBI", operation, 0, 0, yes))
        else:
            code.append(struct.pack("=HBBI", operation, yes, no, operand))
    return b"".join(code)


def is_random(program: bytes) -> bool:
    """Whether a program goes by chance."""
    operand: int = struct.unpack_from("=HBBI", program)[3]
    return operand == _RANDOM


def ways(program: bytes) -> int:
    """By how much a program divides; 0 if it does not."""
    lines = struct.iter_unpack("=HBBI", program)
    return next((operand for code, _, _, operand in lines if code == _MODULO), 0)


class _Program(ctypes.Structure):
    """struct sock_fprog of include/uapi/linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def attach(target: socket.socket, program: bytes) -> None:
    """Let a socket hear only what a program matches."""
    buffer = ctypes.create_string_buffer(program)
    described = _Program(len(program) // 8, ctypes.addressof(buffer))
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(described))
