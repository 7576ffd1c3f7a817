"""Requests as pyroute2's decoders read them."""

from __future__ import annotations

import struct
from typing import Any

from vnemu.drivers.netlink import Request, attributes
from vnemu.drivers.tc import TCA_OPTIONS, TCMSG

EXCLUSIVE = 0x400 | 0x200
REPLACING = 0x400 | 0x100
ROOT, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1


def decoded(request: Request, message: type) -> Any:
    size = 16 + len(request.body)
    assert size % 4 == 0
    header = struct.pack("=IHHII", size, request.kind, request.flags | 1, 1, 0)
    found = message(header + request.body)
    found.decode()
    return found


def nested(message: Any, *path: str) -> Any:
    for name in path:
        message = message.get_attr(name)
    return message


def options(request: Request) -> bytes:
    """The options of a traffic control request, as they are."""
    return attributes(request.body, TCMSG.size)[TCA_OPTIONS]
