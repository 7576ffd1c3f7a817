"""rtnetlink requests for devices, addresses, routes and neighbours, and what is listed, decoded.

Only the encoders of the hot path live here; their bytes are held against
pyroute2's decoders in tests. Sources of the formats: the kernel's
include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour}.h. Traffic control is
in `vnemu.drivers.tc` and its neighbours.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from vnemu.drivers.netlink import (
    NEW,
    SET,
    U32,
    Request,
    attribute,
    attributes,
    nested,
    text,
    u32,
)

IpAddress = IPv4Address | IPv6Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
IFF_UP = 1

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO = 1, 3, 4, 18
IFLA_STATS64 = 23
_IFLA_GROUP, _DOOMED = 27, 0x646F6F6D
_IFLA_OPERSTATE, _IF_OPER_UP, _IFLA_CARRIER = 16, 6, 33
_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS = 29, 1 << 3
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_IFLA_NET_NS_FD, _IFLA_GSO_MAX_SEGS, _IFLA_GSO_MAX_SIZE, _IFLA_GSO_IPV4_MAX_SIZE = 28, 40, 41, 63
_IFLA_LINK_NETNSID, _IFLA_GRO_MAX_SIZE, _IFLA_GRO_IPV4_MAX_SIZE = 37, 58, 64
IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_VXLAN_ID, _VXLAN_GROUP, _VXLAN_LOCAL, _VXLAN_LEARNING = 1, 2, 4, 7
_VXLAN_PORT, _VXLAN_UDP_CSUM = 15, 18
VXLAN_PORT = 4789
_GRE_IFLAGS, _GRE_OFLAGS, _GRE_IKEY, _GRE_OKEY, _GRE_LOCAL, _GRE_REMOTE = 2, 3, 4, 5, 6, 7
_GRE_TTL, _GRE_PMTUDISC, _GRE_KEYED = 8, 10, 0x2000
_OUTER_TTL = 64
_RTM_NEWNSID, _NETNSA_NSID, _NETNSA_FD = 88, 1, 3

IFA_ADDRESS, IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
NDA_DST, NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80

IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxHiHBB")

# A veth without these gets a queue for each processor, then uses one of them: to
# give the others up it waits until every processor has noticed (synchronize_net).
_ONE_QUEUE = attribute(_IFLA_NUM_TX_QUEUES, u32(1)) + attribute(_IFLA_NUM_RX_QUEUES, u32(1))


def _gso(size: int) -> bytes:
    # The second attribute is for IPv4 (kernel 6.3 and newer); older ones ignore it.
    return attribute(_IFLA_GSO_MAX_SIZE, u32(size)) + attribute(_IFLA_GSO_IPV4_MAX_SIZE, u32(size))


def _gro(size: int) -> bytes:
    # Kernels before 5.19 ignore both.
    return attribute(_IFLA_GRO_MAX_SIZE, u32(size)) + attribute(_IFLA_GRO_IPV4_MAX_SIZE, u32(size))


@dataclass(frozen=True, slots=True)
class End:
    """One end of a device pair: which namespace (by its file descriptor) and as what.

    `mac` is six bytes, `mtu` in bytes; so are `gso`, the largest segmentation-offload
    packet it takes, and `gro`, the largest that it joins from frames that arrive (0: as
    the kernel has it).
    """

    namespace_fd: int
    index: int
    name: str
    mac: bytes
    mtu: int
    gso: int = 0
    gro: int = 0

    def encode(self) -> bytes:
        """The interface header and the attributes that a new device takes."""
        return IFINFO.pack(AF_UNSPEC, 0, self.index, 0, 0) + b"".join(
            (
                text(IFLA_IFNAME, self.name),
                attribute(IFLA_MTU, u32(self.mtu)),
                attribute(IFLA_ADDRESS, self.mac),
                attribute(_IFLA_NET_NS_FD, u32(self.namespace_fd)),
                _ONE_QUEUE,
                _gso(self.gso) if self.gso else b"",
                _gro(self.gro) if self.gro else b"",
            )
        )


def _link_info(kind: str, data: bytes = b"") -> bytes:
    info = attribute(IFLA_INFO_KIND, kind.encode())
    if data:
        info += attribute(_IFLA_INFO_DATA, data)
    return attribute(IFLA_LINKINFO, info)


def new_veth(near: End, far: End) -> Request:
    """A veth pair, each end in its namespace with its index settled (so none is looked up)."""
    peer = attribute(_VETH_INFO_PEER, far.encode())
    return Request(RTM_NEWLINK, NEW, near.encode() + _link_info("veth", peer))


def new_vxlan(end: End, key: int, local: IPv4Address, remote: IPv4Address) -> Request:
    """A VXLAN tunnel: outer side in the socket's namespace, device in `end`'s.

    UDP checksums are off (the outer packet never leaves the machine's memory)
    and nothing is learned: a tunnel has exactly one far end.
    """
    data = b"".join(
        (
            attribute(_VXLAN_ID, u32(key)),
            attribute(_VXLAN_LOCAL, local.packed),
            attribute(_VXLAN_GROUP, remote.packed),
            attribute(_VXLAN_PORT, struct.pack(">H", VXLAN_PORT)),
            attribute(_VXLAN_LEARNING, b"\0"),
            attribute(_VXLAN_UDP_CSUM, b"\0"),
        )
    )
    return Request(RTM_NEWLINK, NEW, end.encode() + _link_info("vxlan", data))


def number_namespace(namespace_fd: int, number: int) -> Request:
    """Let the socket's namespace know another by a number (not negative, and free)."""
    body = bytes(4) + attribute(_NETNSA_NSID, u32(number))  # struct rtgenmsg, padded
    return Request(_RTM_NEWNSID, 0, body + attribute(_NETNSA_FD, u32(namespace_fd)))


def new_gretap(
    end: End, outer_number: int, key: int, local: IPv4Address, remote: IPv4Address
) -> Request:
    """A GRE tunnel for Ethernet frames, for a socket in `end`'s namespace.

    Other than VXLAN's, its outer side is not where the socket is, but in a namespace to
    be named. The outer packet may not be fragmented.

    Format: include/uapi/linux/if_tunnel.h; flags and keys are in network byte order.

    Parameters:
        outer_number: by which `end`'s namespace knows the one that has the outer side
            (`number_namespace`).
    """
    flags, keys = struct.pack(">H", _GRE_KEYED), struct.pack(">I", key)
    data = b"".join(
        (
            attribute(_GRE_IFLAGS, flags),
            attribute(_GRE_OFLAGS, flags),
            attribute(_GRE_IKEY, keys),
            attribute(_GRE_OKEY, keys),
            attribute(_GRE_LOCAL, local.packed),
            attribute(_GRE_REMOTE, remote.packed),
            attribute(_GRE_TTL, bytes((_OUTER_TTL,))),
            attribute(_GRE_PMTUDISC, b"\1"),
        )
    )
    outer = attribute(_IFLA_LINK_NETNSID, u32(outer_number))
    return Request(RTM_NEWLINK, NEW, end.encode() + outer + _link_info("gretap", data))


def new_ifb(end: End) -> Request:
    """An intermediate device on which arriving frames can be queued."""
    return Request(RTM_NEWLINK, NEW, end.encode() + _link_info("ifb"))


def delete_link(index: int) -> Request:
    """Remove a device (of a veth pair, both ends)."""
    return Request(RTM_DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def doom(deletion: Request) -> Request:
    """In place of the removal of a device: let `delete_doomed` remove it."""
    return Request(RTM_NEWLINK, 0, deletion.body + attribute(_IFLA_GROUP, u32(_DOOMED)))


def delete_doomed() -> Request:
    """Remove all doomed devices of a namespace at once (rtnl_group_dellink).

    For each device alone the kernel would wait until every processor has noticed.
    """
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + attribute(_IFLA_GROUP, u32(_DOOMED))
    return Request(RTM_DELLINK, 0, body)


def set_up(index: int) -> Request:
    """Bring a device up."""
    return Request(RTM_NEWLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, IFF_UP, IFF_UP))


def set_down(index: int) -> Request:
    """Take a device down; the other end of a veth pair loses its carrier."""
    return Request(RTM_NEWLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, IFF_UP))


def set_gso(index: int, size: int) -> Request:
    """Let a device take at most `size` bytes in one segmentation-offload packet."""
    return Request(RTM_NEWLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0) + _gso(size))


def set_gro(index: int, size: int) -> Request:
    """Let a device join frames that arrive to packets of at most `size` bytes."""
    return Request(RTM_NEWLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0) + _gro(size))


def _family(address: IpAddress) -> int:
    return AF_INET if address.version == 4 else AF_INET6


def _address_body(index: int, address: IpAddress, prefix_length: int) -> bytes:
    body = IFADDR.pack(_family(address), prefix_length, 0, 0, index)
    body += attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed)
    return body


def new_address(index: int, address: IpAddress, prefix_length: int) -> Request:
    """An address on a device, usable at once (no duplicate detection for IPv6)."""
    body = _address_body(index, address, prefix_length) + attribute(_IFA_FLAGS, u32(_IFA_F_NODAD))
    return Request(RTM_NEWADDR, NEW, body)


def delete_address(index: int, address: IpAddress, prefix_length: int) -> Request:
    """Remove an address from a device."""
    return Request(RTM_DELADDR, 0, _address_body(index, address, prefix_length))


def _route_body(
    destination: IpAddress, prefix_length: int, via: IpAddress | None, index: int
) -> bytes:
    scope = _RT_SCOPE_LINK if via is None and destination.version == 4 else _RT_SCOPE_UNIVERSE
    body = RTMSG.pack(
        _family(destination),
        prefix_length,
        0,
        0,
        _RT_TABLE_MAIN,
        _RTPROT_STATIC,
        scope,
        _RTN_UNICAST,
        0,
    )
    if prefix_length:
        body += attribute(RTA_DST, destination.packed)
    body += attribute(RTA_OIF, u32(index))
    if via is not None:
        body += attribute(RTA_GATEWAY, via.packed)
    return body


def new_route(
    destination: IpAddress,
    prefix_length: int,
    via: IpAddress | None,
    index: int,
    new: bool = True,
) -> Request:
    """A route through the device `index`, by way of a gateway unless `via` is None.

    Unless `new`, it takes the place of the one to that destination in one step.
    """
    body = _route_body(destination, prefix_length, via, index)
    return Request(RTM_NEWROUTE, NEW if new else SET, body)


def delete_route(
    destination: IpAddress, prefix_length: int, via: IpAddress | None, index: int
) -> Request:
    """Remove such a route."""
    return Request(RTM_DELROUTE, 0, _route_body(destination, prefix_length, via, index))


def new_neighbour(index: int, address: IpAddress, mac: bytes) -> Request:
    """A permanent neighbour entry, so that nothing is ever resolved on that link."""
    body = NDMSG.pack(_family(address), 0, index, _NUD_PERMANENT, 0, 0)
    body += attribute(NDA_DST, address.packed) + attribute(NDA_LLADDR, mac)
    return Request(RTM_NEWNEIGH, SET, body)


def delete_neighbour(index: int, address: IpAddress) -> Request:
    """Remove a neighbour entry."""
    body = NDMSG.pack(_family(address), 0, index, 0, 0, 0) + attribute(NDA_DST, address.packed)
    return Request(RTM_DELNEIGH, 0, body)


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the kernel lists it; `received` and `sent` are bytes, then packets.

    One that is up has a carrier unless the other end of its pair is down.
    """

    index: int
    name: str
    kind: str
    mtu: int
    mac: bytes
    up: bool
    carrier: bool
    received: tuple[int, int] = (0, 0)
    sent: tuple[int, int] = (0, 0)


LIST_DEVICES = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0)
LIST_DEVICES_BARE = LIST_DEVICES + attribute(_IFLA_EXT_MASK, u32(_RTEXT_FILTER_SKIP_STATS))
"""The same without the counters."""


def get_device(index: int) -> Request:
    """Ask for a device."""
    return Request(RTM_GETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def runs(answer: bytes) -> bool:
    """Whether frames leave by a device: it has a carrier, and the kernel has looked after it.

    The flag IFF_RUNNING does not say so: it is set as well while nothing is known yet.
    """
    state = attributes(answer, IFINFO.size).get(_IFLA_OPERSTATE, b"")
    return state == bytes([_IF_OPER_UP])


def device(answer: bytes) -> Device:
    """One listed device."""
    _, _, index, flags, _ = IFINFO.unpack_from(answer)
    found = attributes(answer, IFINFO.size)
    kind = nested(found.get(IFLA_LINKINFO, b""), IFLA_INFO_KIND).rstrip(b"\0").decode()
    # struct rtnl_link_stats64: rx_packets, tx_packets, rx_bytes, tx_bytes, …
    rx, tx, rx_bytes, tx_bytes = struct.unpack_from("=QQQQ", found.get(IFLA_STATS64, bytes(32)))
    return Device(
        index,
        found[IFLA_IFNAME].rstrip(b"\0").decode(),
        kind,
        int(U32.unpack(found[IFLA_MTU])[0]),
        found.get(IFLA_ADDRESS, b""),
        bool(flags & IFF_UP),
        found.get(_IFLA_CARRIER, b"\1") == b"\1",
        (rx_bytes, rx),
        (tx_bytes, tx),
    )
