"""What rtnetlink says of routes, decoded: one value for each route of the main table.

Sources: the kernel's include/uapi/linux/rtnetlink.h, and net/ipv4/fib_semantics.c and
net/ipv6/route.c for what a notification holds. A new IPv4 or IPv6 route comes with all its
next hops (nexthop objects are written out, net.ipv4.nexthop_compat_mode); one that is deleted
comes whole in IPv4, but in IPv6 perhaps next hop by next hop.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import U32, attributes

_RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 6, 9, 15, 18
_MAIN = 254
_CLONED = 0x200
_UNICAST = 1
_NOWHERE = {6: "blackhole", 7: "unreachable", 8: "prohibit"}
_NEXT_HOP = struct.Struct("=HBBi")
_LINK_LOCAL, _MULTICAST = b"\xfe\x80", 0xFF

# The kernel's own, and those of iproute2's etc/iproute2/rt_protos.
PROTOCOLS = {
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    9: "ra",
    11: "zebra",
    12: "bird",
    42: "babel",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
}

Names = Callable[[int], str]
"""The name of a device, by its index."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table.

    Parameters:
        prefix: as ``10.0.0.0/24``; ``0.0.0.0/0`` for the default.
        next_hops: each ``GATEWAY@DEVICE``, or ``@DEVICE`` for what is on the link, in order;
            or ``blackhole``, ``unreachable`` or ``prohibit``.
        protocol: who put it there, as iproute2 calls it.
    """

    prefix: str
    metric: int
    next_hops: tuple[str, ...]
    protocol: str

    @property
    def key(self) -> tuple[str, int]:
        """What the kernel tells it from others by."""
        return self.prefix, self.metric


def route(body: bytes, names: Names) -> Route | None:
    """Decode a message's family header and attributes.

    Returns:
        None for what leads no packet to another node: other tables than the main one,
        broadcast and local addresses, cached and link-local routes.
    """
    family, length, _, tos, table, protocol, _, kind, flags = rt.RTMSG.unpack_from(body)
    if family not in {rt.AF_INET, rt.AF_INET6} or flags & _CLONED or tos:
        return None
    found = attributes(body, rt.RTMSG.size)
    table = U32.unpack(found[_RTA_TABLE])[0] if _RTA_TABLE in found else table
    if table != _MAIN or (kind != _UNICAST and kind not in _NOWHERE):
        return None
    size = 4 if family == rt.AF_INET else 16
    destination = found.get(rt.RTA_DST, bytes(size))
    if size == 16 and (destination[:2] == _LINK_LOCAL or destination[0] == _MULTICAST):
        return None
    hops = [_NOWHERE[kind]] if kind in _NOWHERE else sorted(_next_hops(found, names))
    metric = U32.unpack(found[_RTA_PRIORITY])[0] if _RTA_PRIORITY in found else 0
    name = PROTOCOLS.get(protocol, str(protocol))
    return Route(f"{ip_address(destination)}/{length}", metric, tuple(hops), name)


def _next_hops(found: dict[int, bytes], names: Names) -> Iterator[str]:
    several = found.get(_RTA_MULTIPATH, b"")
    if not several:
        yield _next_hop(found, U32.unpack(found.get(rt.RTA_OIF, bytes(4)))[0], names)
    offset = 0
    while offset + _NEXT_HOP.size <= len(several):
        size, _, _, index = _NEXT_HOP.unpack_from(several, offset)
        if size < _NEXT_HOP.size:
            break
        own = attributes(several[offset : offset + size], _NEXT_HOP.size)
        yield _next_hop(own, index, names)
        offset += (size + 3) & ~3


def _next_hop(found: dict[int, bytes], index: int, names: Names) -> str:
    # A gateway of the other family (RFC 5549) has its family in front of it.
    gateway = found.get(rt.RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    return f"{ip_address(gateway) if gateway else ''}@{names(index)}"


def without(before: Route, gone: Route) -> Route | None:
    """What is left of an IPv6 route when next hops of it are deleted; None: nothing."""
    hops = tuple(hop for hop in before.next_hops if hop not in gone.next_hops)
    return Route(before.prefix, before.metric, hops, before.protocol) if hops else None


def joined(one: Route, other: Route) -> Route:
    """Two listed parts of a route to the same place as one."""
    hops = tuple(sorted({*one.next_hops, *other.next_hops}))
    return Route(one.prefix, one.metric, hops, one.protocol)
