"""Filter expressions as of tcpdump (pcap-filter(7)), made programs by the system's libpcap.

The functions are those of pcap(3PCAP); their programs are those of `vnemu.drivers.bpf`.
"""

from __future__ import annotations

import ctypes
from functools import cache

from vnemu.drivers.programs import INSTALL
from vnemu.errors import InputError, MissingCapability, Problem

_NAMES = ("libpcap.so.1", "libpcap.so.0.8")
"""Debian and what comes from it have the second name."""
_ETHERNET = 1
_SNAPSHOT = 1 << 18
_UNKNOWN_NETMASK = 0xFFFFFFFF
_INSTRUCTION = 8
_MOST = 4096
"""The kernel takes no longer program (BPF_MAXINSNS)."""


class _Program(ctypes.Structure):
    """struct bpf_program of pcap/bpf.h."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def compiled(expression: str) -> bytes:
    """The program that matches the Ethernet frames that an expression describes.

    Raises:
        InputError: if it is none, with what libpcap says of it.
        MissingCapability: if there is no libpcap here.
    """
    library = _library()
    handle = library.pcap_open_dead(_ETHERNET, _SNAPSHOT)
    program = _Program()
    try:
        text = expression.encode()
        if library.pcap_compile(handle, ctypes.byref(program), text, 1, _UNKNOWN_NETMASK):
            raise _refused(expression, library.pcap_geterr(handle).decode(errors="replace"))
        found = ctypes.string_at(program.instructions, program.length * _INSTRUCTION)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    if len(found) > _MOST * _INSTRUCTION:
        raise _refused(expression, f"it takes more than {_MOST} instructions")
    return found


def _refused(expression: str, why: str) -> InputError:
    hint = "write it as for tcpdump: icmp, 'tcp port 80', 'host 10.0.0.1' (man pcap-filter)"
    return InputError([Problem("", f"filter '{expression}': {why}", hint)])


@cache
def _library() -> ctypes.CDLL:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        for function in ("pcap_compile", "pcap_geterr", "pcap_close"):
            getattr(library, function).argtypes = [ctypes.c_void_p]
        library.pcap_compile.argtypes = [
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32),
        ]
        return library
    raise MissingCapability(
        "a filter is made by libpcap, which is not installed",
        f"run: {INSTALL['tcpdump']}, which brings it; or capture without a filter",
    )
