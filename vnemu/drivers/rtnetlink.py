"""rtnetlink requests for the objects of a plan, and what the kernel lists, decoded.

Only the encoders of the hot path live here; their bytes are held against
pyroute2's decoders in tests. Sources of the formats: the kernel's
include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,pkt_sched,pkt_cls}.h.
Handles, rates and lengths are in the kernel's units; each function says which.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from vnemu.drivers.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    attributes,
)

IpAddress = IPv4Address | IPv6Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTCLASS, RTM_DELTCLASS, RTM_GETTCLASS = 40, 41, 42
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46

_NEW = NLM_F_CREATE | NLM_F_EXCL
_SET = NLM_F_CREATE | NLM_F_REPLACE

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
IFF_UP = 1

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO = 1, 3, 4, 18
IFLA_STATS64 = 23
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
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
NDA_DST, NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80

TCA_KIND, TCA_OPTIONS, TCA_STATS2, _TCA_STAB = 1, 2, 7, 8
TCA_STATS_BASIC, TCA_STATS_QUEUE, TCA_STATS_PKT64 = 1, 3, 8
_STAB_BASE, _STAB_DATA = 1, 2
TC_H_ROOT = 0xFFFFFFFF
TC_H_INGRESS = 0xFFFFFFF1
INGRESS_HANDLE = 0xFFFF0000
TCA_HTB_PARMS, _TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
_NETEM_RATE, _NETEM_RATE64, _NETEM_LATENCY64, _NETEM_JITTER64 = 6, 8, 10, 11
_U32_CLASSID, _U32_HASH, _U32_LINK, _U32_DIVISOR, U32_SEL, U32_ACT = 1, 2, 3, 4, 5, 7
_ACT_KIND, ACT_OPTIONS, MIRRED_PARMS = 1, 2, 2
_TC_ACT_STOLEN, _EGRESS_REDIRECT = 4, 1
_U32_TERMINAL = 1
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800

IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxHiHBB")
TCMSG = struct.Struct("=BxHiIII")
RATESPEC = struct.Struct("=BBHhHI")
MIRRED = struct.Struct("=IIiiiiI")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_S64 = struct.Struct("=q")
_SIZESPEC = struct.Struct("=BBhiIIII")
_NETEM = struct.Struct("=IIIIII")

HTB = 0x00010000
"""Handle of the HTB root on every shaped device (1:)."""
U32_FIRST = 0x80000001
"""Handle of the first filter in u32's first hash table (800::1)."""
_U32_BUCKETS = 256
_U32_TABLE = 1


def _u32(value: int) -> bytes:
    return _U32.pack(value)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


# A veth without these gets a queue for each processor, then uses one of them: to
# give the others up it waits until every processor has noticed (synchronize_net).
_ONE_QUEUE = attribute(_IFLA_NUM_TX_QUEUES, _u32(1)) + attribute(_IFLA_NUM_RX_QUEUES, _u32(1))


def _gso(size: int) -> bytes:
    # The second attribute is for IPv4 (kernel 6.3 and newer); older ones ignore it.
    return attribute(_IFLA_GSO_MAX_SIZE, _u32(size)) + attribute(
        _IFLA_GSO_IPV4_MAX_SIZE, _u32(size)
    )


def _gro(size: int) -> bytes:
    # Kernels before 5.19 ignore both.
    return attribute(_IFLA_GRO_MAX_SIZE, _u32(size)) + attribute(
        _IFLA_GRO_IPV4_MAX_SIZE, _u32(size)
    )


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
                _text(IFLA_IFNAME, self.name),
                attribute(IFLA_MTU, _u32(self.mtu)),
                attribute(IFLA_ADDRESS, self.mac),
                attribute(_IFLA_NET_NS_FD, _u32(self.namespace_fd)),
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
    return Request(RTM_NEWLINK, _NEW, near.encode() + _link_info("veth", peer))


def new_vxlan(end: End, key: int, local: IPv4Address, remote: IPv4Address) -> Request:
    """A VXLAN tunnel: outer side in the socket's namespace, device in `end`'s.

    UDP checksums are off (the outer packet never leaves the machine's memory)
    and nothing is learned: a tunnel has exactly one far end.
    """
    data = b"".join(
        (
            attribute(_VXLAN_ID, _u32(key)),
            attribute(_VXLAN_LOCAL, local.packed),
            attribute(_VXLAN_GROUP, remote.packed),
            attribute(_VXLAN_PORT, struct.pack(">H", VXLAN_PORT)),
            attribute(_VXLAN_LEARNING, b"\0"),
            attribute(_VXLAN_UDP_CSUM, b"\0"),
        )
    )
    return Request(RTM_NEWLINK, _NEW, end.encode() + _link_info("vxlan", data))


def number_namespace(namespace_fd: int, number: int) -> Request:
    """Let the socket's namespace know another by a number (not negative, and free)."""
    body = bytes(4) + attribute(_NETNSA_NSID, _u32(number))  # struct rtgenmsg, padded
    return Request(_RTM_NEWNSID, 0, body + attribute(_NETNSA_FD, _u32(namespace_fd)))


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
    outer = attribute(_IFLA_LINK_NETNSID, _u32(outer_number))
    return Request(RTM_NEWLINK, _NEW, end.encode() + outer + _link_info("gretap", data))


def new_ifb(end: End) -> Request:
    """An intermediate device on which arriving frames can be queued."""
    return Request(RTM_NEWLINK, _NEW, end.encode() + _link_info("ifb"))


def delete_link(index: int) -> Request:
    """Remove a device (of a veth pair, both ends)."""
    return Request(RTM_DELLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0))


def set_up(index: int) -> Request:
    """Bring a device up."""
    return Request(RTM_NEWLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, IFF_UP, IFF_UP))


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
    body = _address_body(index, address, prefix_length) + attribute(_IFA_FLAGS, _u32(_IFA_F_NODAD))
    return Request(RTM_NEWADDR, _NEW, body)


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
    body += attribute(RTA_OIF, _u32(index))
    if via is not None:
        body += attribute(RTA_GATEWAY, via.packed)
    return body


def new_route(
    destination: IpAddress, prefix_length: int, via: IpAddress | None, index: int
) -> Request:
    """A route through the device `index`, by way of a gateway unless `via` is None."""
    return Request(RTM_NEWROUTE, _NEW, _route_body(destination, prefix_length, via, index))


def delete_route(
    destination: IpAddress, prefix_length: int, via: IpAddress | None, index: int
) -> Request:
    """Remove such a route."""
    return Request(RTM_DELROUTE, 0, _route_body(destination, prefix_length, via, index))


def new_neighbour(index: int, address: IpAddress, mac: bytes) -> Request:
    """A permanent neighbour entry, so that nothing is ever resolved on that link."""
    body = NDMSG.pack(_family(address), 0, index, _NUD_PERMANENT, 0, 0)
    body += attribute(NDA_DST, address.packed) + attribute(NDA_LLADDR, mac)
    return Request(RTM_NEWNEIGH, _SET, body)


def delete_neighbour(index: int, address: IpAddress) -> Request:
    """Remove a neighbour entry."""
    body = NDMSG.pack(_family(address), 0, index, 0, 0, 0) + attribute(NDA_DST, address.packed)
    return Request(RTM_DELNEIGH, 0, body)


def tc_body(index: int, handle: int = 0, parent: int = 0, info: int = 0) -> bytes:
    """The header of all traffic control requests."""
    return TCMSG.pack(AF_UNSPEC, 0, index, handle, parent, info)


def size_table(overhead: int, payload: int, headers: int) -> bytes:
    """A qdisc size table that charges frames as the VRs sent them.

    The kernel charges a segmentation-offload packet what its kernel version
    thinks of the headers of its segments; a size table takes that out of its
    hands. The table has one entry for each 16 bytes of a packet's length.

    Parameters:
        overhead: bytes of encapsulation in front of each frame.
        payload: bytes of payload in a full segment (1448 for TCP with timestamps).
        headers: bytes of headers in front of that payload, Ethernet's included.
    """
    full = payload + headers
    cell_log, size_log, slots = 4, 1, 4352
    table = []
    for slot in range(slots):
        length = (slot << cell_log) + (1 << cell_log >> 1)
        near = {full // (1 << cell_log): full, headers // (1 << cell_log): headers}
        if slot in near:
            charged = near[slot]
        elif length <= full:
            charged = length
        else:
            # From the slot's low end: full segments only are the usual case,
            # and the middle may be beyond their last byte.
            segments = -(-((slot << cell_log) - headers) // payload)
            charged = length + (segments - 1) * headers
        table.append(min(charged >> size_log, 0xFFFF))
    base = _SIZESPEC.pack(cell_log, size_log, 0, -overhead, 0, 0, 0, slots)
    data = struct.pack(f"={slots}H", *table)
    return attribute(_TCA_STAB, attribute(_STAB_BASE, base) + attribute(_STAB_DATA, data))


def new_htb(index: int, default: int, stab: bytes = b"") -> Request:
    """An HTB root (1:) whose unclassified frames go to class `default` (0: unshaped)."""
    init = struct.pack("=IIIII", 3, 10, default, 0, 0)
    options = attribute(TCA_OPTIONS, attribute(_TCA_HTB_INIT, init))
    body = tc_body(index, HTB, TC_H_ROOT) + _text(TCA_KIND, "htb") + options + stab
    return Request(RTM_NEWQDISC, _NEW, body)


def delete_root(index: int) -> Request:
    """Remove a device's root qdisc with all its classes and filters."""
    return Request(RTM_DELQDISC, 0, tc_body(index, 0, TC_H_ROOT))


_TICK_NS = 64
_FRAME = 1514


def _ticks(burst: int, rate: int) -> int:
    return min(burst * 10**9 // max(rate, 1) // _TICK_NS, 0xFFFFFFFF)


def burst(rate: int) -> int:
    """The burst of a class of `rate` bytes/s, in bytes: 5 ms of it, two frames at least.

    The default of tc is short for rates under 10 Mbit/s and loses 3% there. With 1 ms a
    class falls behind for good whenever the processor comes to it later than that, as it
    does on a busy machine.
    """
    return max(2 * _FRAME, rate // 200)


@lru_cache(maxsize=1024)  # both ends of a VL, and often many VLs, have the same rates
def _class_options(rate: int, ceil: int) -> bytes:
    parms = b"".join(
        (
            _ratespec(rate),
            _ratespec(ceil),
            _U32.pack(_ticks(burst(rate), rate)),
            _U32.pack(_ticks(burst(ceil), ceil)),
            struct.pack("=III", _FRAME, 0, 0),
        )
    )
    options = attribute(TCA_HTB_PARMS, parms)
    if rate > 0xFFFFFFFF:
        options += attribute(TCA_HTB_RATE64, _U64.pack(rate))
    if ceil > 0xFFFFFFFF:
        options += attribute(TCA_HTB_CEIL64, _U64.pack(ceil))
    return attribute(TCA_OPTIONS, options)


def _ratespec(value: int) -> bytes:
    # linklayer 1 (Ethernet) lets the kernel do without rate tables.
    return RATESPEC.pack(0, 1, 0, -1, 0, min(value, 0xFFFFFFFF))


def htb_class(
    index: int, minor: int, parent: int, rate: int, ceil: int, new: bool = True
) -> Request:
    """Create (`new`) or change class 1:`minor` under 1:`parent` (0: under the root).

    `rate` and `ceil` are in bytes/s. The quantum is one frame, so that siblings
    share what is left of their parent frame by frame.
    """
    upper = HTB | parent if parent else HTB
    body = tc_body(index, HTB | minor, upper) + _text(TCA_KIND, "htb")
    return Request(RTM_NEWTCLASS, _NEW if new else 0, body + _class_options(rate, ceil))


def delete_class(index: int, minor: int) -> Request:
    """Remove class 1:`minor` and its queue."""
    return Request(RTM_DELTCLASS, 0, tc_body(index, HTB | minor))


def _queue_handle(minor: int) -> int:
    return (minor + 1) << 16  # 1: is the root's


def byte_queue(index: int, minor: int, limit: int, new: bool = True) -> Request:
    """Create (`new`) or change the queue of class 1:`minor`: at most `limit` bytes wait."""
    body = tc_body(index, _queue_handle(minor), HTB | minor) + _text(TCA_KIND, "bfifo")
    flags = _NEW if new else NLM_F_CREATE
    return Request(RTM_NEWQDISC, flags, body + attribute(TCA_OPTIONS, _u32(limit)))


_NO_RATE, _ANY_RATE = 0, 2**40


def netem(
    index: int, delay_ns: int, jitter_ns: int, loss: float, limit: int, new: bool = True
) -> Request:
    """Create (`new`) or change a netem root.

    Without a rate, netem sends a frame with a short delay before an earlier one with a
    long delay. With one it keeps frames in their order, so jitter comes with a rate,
    which at 2^40 bytes/s takes no time to speak of.

    Parameters:
        delay_ns: one-way delay.
        jitter_ns: how far the delay may lie from that, uniformly distributed.
        loss: as a fraction.
        limit: room for as many packets.
    """
    rate = _ANY_RATE if jitter_ns else _NO_RATE
    options = _NETEM.pack(0, limit, round(loss * 0xFFFFFFFF), 0, 0, 0) + b"".join(
        (
            attribute(_NETEM_LATENCY64, _S64.pack(delay_ns)),
            attribute(_NETEM_JITTER64, _S64.pack(jitter_ns)),
            attribute(_NETEM_RATE, struct.pack("=IiIi", min(rate, 0xFFFFFFFF), 0, 0, 0)),
            attribute(_NETEM_RATE64, _U64.pack(rate)) if rate else b"",
        )
    )
    body = tc_body(index, HTB, TC_H_ROOT) + _text(TCA_KIND, "netem")
    return Request(RTM_NEWQDISC, _NEW if new else _SET, body + attribute(TCA_OPTIONS, options))


def new_ingress(index: int) -> Request:
    """The hook on which arriving frames can be redirected."""
    body = tc_body(index, INGRESS_HANDLE, TC_H_INGRESS) + _text(TCA_KIND, "ingress")
    return Request(RTM_NEWQDISC, _NEW, body)


def delete_ingress(index: int) -> Request:
    """Remove that hook and its filters."""
    return Request(RTM_DELQDISC, 0, tc_body(index, 0, TC_H_INGRESS))


def _selector(flags: int, keys: bytes, hash_offset: int = 0, hash_mask: int = 0) -> bytes:
    # struct tc_u32_sel mixes byte orders: masks and values are the network's,
    # offsets are the machine's.
    head = struct.pack("=BBBxHHhh", flags, 0, len(keys) // 16, 0, 0, 0, hash_offset)
    return attribute(U32_SEL, head + struct.pack(">I", hash_mask) + keys)


def _key(mask: int, value: int, offset: int) -> bytes:
    return struct.pack(">II", mask, value) + struct.pack("=ii", offset, 0)


def _filter(index: int, handle: int, parent: int, protocol: int, options: bytes) -> bytes:
    swapped = struct.unpack("=H", struct.pack(">H", protocol))[0]
    body = tc_body(index, handle, parent, 1 << 16 | swapped)
    return body + _text(TCA_KIND, "u32") + attribute(TCA_OPTIONS, options)


_IPV4_DESTINATION = 16  # its offset in the IPv4 header
_MATCH_ALL = _selector(_U32_TERMINAL, _key(0, 0, 0))


def redirect(index: int, target: int, new: bool = False) -> Request:
    """Send every frame that arrives on `index` out of `target`; replaces in one step.

    With `new` there must be none before.

    This is u32 with an empty match, since matchall is a module that some
    kernels lack.
    """
    mirred = MIRRED.pack(0, 0, _TC_ACT_STOLEN, 0, 0, _EGRESS_REDIRECT, target)
    action = _text(_ACT_KIND, "mirred") + attribute(ACT_OPTIONS, attribute(MIRRED_PARMS, mirred))
    options = _MATCH_ALL + attribute(U32_ACT, attribute(1, action))
    body = _filter(index, U32_FIRST, INGRESS_HANDLE, _ETH_P_ALL, options)
    return Request(RTM_NEWTFILTER, _NEW if new else _SET, body)


def new_classifier_table(index: int) -> list[Request]:
    """A hash table over the last byte of the outer destination, for `classify`."""
    divisor = attribute(_U32_DIVISOR, _u32(_U32_BUCKETS))
    table = _filter(index, _U32_TABLE << 20, HTB, _ETH_P_IP, divisor)
    selector = _selector(0, _key(0, 0, 0), _IPV4_DESTINATION, 0x000000FF)
    link = attribute(_U32_LINK, _u32(_U32_TABLE << 20)) + selector
    entry = _filter(index, U32_FIRST, HTB, _ETH_P_IP, link)
    return [Request(RTM_NEWTFILTER, _NEW, table), Request(RTM_NEWTFILTER, _NEW, entry)]


def _classifier_handle(destination: IPv4Address) -> int:
    # Hash table, bucket (the last byte) and a number in the bucket that is not 0,
    # for which the kernel would choose one.
    within = ((int(destination) >> 8) + 1) & 0xFFF
    return _U32_TABLE << 20 | (int(destination) & 0xFF) << 12 | within


def classify(index: int, destination: IPv4Address, minor: int) -> Request:
    """Put what goes to the outer address `destination` into class 1:`minor`."""
    bucket = _U32_TABLE << 20 | (int(destination) & 0xFF) << 12
    key = _key(0xFFFFFFFF, int(destination), _IPV4_DESTINATION)
    options = b"".join(
        (
            attribute(_U32_CLASSID, _u32(HTB | minor)),
            attribute(_U32_HASH, _u32(bucket)),
            _selector(_U32_TERMINAL, key),
        )
    )
    handle = _classifier_handle(destination)
    return Request(RTM_NEWTFILTER, _NEW, _filter(index, handle, HTB, _ETH_P_IP, options))


def declassify(index: int, destination: IPv4Address) -> Request:
    """Remove what `classify` made."""
    handle = _classifier_handle(destination)
    return Request(RTM_DELTFILTER, 0, _filter(index, handle, HTB, _ETH_P_IP, b""))


def get_class(index: int, minor: int) -> Request:
    """Ask for class 1:`minor`, counters included."""
    return Request(RTM_GETTCLASS, 0, tc_body(index, HTB | minor))


def get_queue(index: int, minor: int) -> Request:
    """Ask for the queue of class 1:`minor`."""
    return Request(RTM_GETQDISC, 0, tc_body(index, _queue_handle(minor), HTB | minor))


def get_root(index: int) -> Request:
    """Ask for a device's root qdisc."""
    return Request(RTM_GETQDISC, 0, tc_body(index, 0, TC_H_ROOT))


def get_redirect(index: int) -> Request:
    """Ask for what `redirect` made."""
    body = _filter(index, U32_FIRST, INGRESS_HANDLE, _ETH_P_ALL, b"")
    return Request(RTM_GETTFILTER, 0, body)


def get_classifier(index: int, destination: IPv4Address) -> Request:
    """Ask for what `classify` made."""
    body = _filter(index, _classifier_handle(destination), HTB, _ETH_P_IP, b"")
    return Request(RTM_GETTFILTER, 0, body)


def _nested(data: bytes, *path: int) -> bytes:
    for kind in path:
        data = attributes(data).get(kind, b"")
    return data


def class_rates(answer: bytes) -> tuple[int, int]:
    """Rate and ceiling of an HTB class, in bytes/s."""
    options = attributes(attributes(answer, TCMSG.size).get(TCA_OPTIONS, b""))
    parms = options[TCA_HTB_PARMS]
    found = []
    for offset, wide in ((0, TCA_HTB_RATE64), (RATESPEC.size, TCA_HTB_CEIL64)):
        rate = RATESPEC.unpack_from(parms, offset)[5]
        found.append(_U64.unpack(options[wide])[0] if wide in options else rate)
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Counters:
    """What a class or queue has sent (as the size table counts) and dropped, and what waits."""

    bytes: int
    packets: int
    drops: int
    backlog: int


def counters(answer: bytes) -> Counters:
    """The counters of a class or qdisc (struct gnet_stats_basic, struct gnet_stats_queue)."""
    stats = attributes(attributes(answer, TCMSG.size).get(TCA_STATS2, b""))
    octets, packets = struct.unpack_from("=QI", stats.get(TCA_STATS_BASIC, bytes(12)))
    if TCA_STATS_PKT64 in stats:
        packets = _U64.unpack_from(stats[TCA_STATS_PKT64])[0]
    _, backlog, drops = struct.unpack_from("=III", stats.get(TCA_STATS_QUEUE, bytes(20)))
    return Counters(octets, packets, drops, backlog)


def queue_limit(answer: bytes) -> int:
    """The limit of a bfifo, in bytes."""
    options = attributes(answer, TCMSG.size).get(TCA_OPTIONS, b"")
    return int(_U32.unpack_from(options)[0]) if len(options) >= 4 else -1


def netem_quality(answer: bytes) -> tuple[int, int, int, int] | None:
    """Delay and jitter of a netem (ns), loss (ppm), limit (packets); None if it is none."""
    found = attributes(answer, TCMSG.size)
    if found.get(TCA_KIND, b"").rstrip(b"\0") != b"netem":
        return None
    _, limit, loss, _, _, _ = _NETEM.unpack_from(found[TCA_OPTIONS])
    options = attributes(found[TCA_OPTIONS], _NETEM.size)
    delay, jitter = (_S64.unpack(options[k])[0] for k in (_NETEM_LATENCY64, _NETEM_JITTER64))
    return delay, jitter, round(loss / 0xFFFFFFFF * 1e6), limit


def redirect_target(answer: bytes) -> int:
    """The device index that a redirect leads to; 0 if it is none."""
    options = attributes(answer, TCMSG.size).get(TCA_OPTIONS, b"")
    mirred = _nested(options, U32_ACT, 1, ACT_OPTIONS, MIRRED_PARMS)
    return int(MIRRED.unpack_from(mirred)[6]) if mirred else 0


def classifier_minor(answer: bytes) -> int:
    """The minor number of the class that a filter leads to."""
    options = attributes(attributes(answer, TCMSG.size).get(TCA_OPTIONS, b""))
    return int(_U32.unpack(options[_U32_CLASSID])[0]) & 0xFFFF


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the kernel lists it; `received` and `sent` are bytes, then packets."""

    index: int
    name: str
    kind: str
    mtu: int
    mac: bytes
    up: bool
    received: tuple[int, int] = (0, 0)
    sent: tuple[int, int] = (0, 0)


LIST_DEVICES = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0)
LIST_DEVICES_BARE = LIST_DEVICES + attribute(_IFLA_EXT_MASK, _u32(_RTEXT_FILTER_SKIP_STATS))
"""The same without the counters."""


def device(answer: bytes) -> Device:
    """One listed device."""
    _, _, index, flags, _ = IFINFO.unpack_from(answer)
    found = attributes(answer, IFINFO.size)
    kind = _nested(found.get(IFLA_LINKINFO, b""), IFLA_INFO_KIND).rstrip(b"\0").decode()
    # struct rtnl_link_stats64: rx_packets, tx_packets, rx_bytes, tx_bytes, …
    rx, tx, rx_bytes, tx_bytes = struct.unpack_from("=QQQQ", found.get(IFLA_STATS64, bytes(32)))
    return Device(
        index,
        found[IFLA_IFNAME].rstrip(b"\0").decode(),
        kind,
        int(_U32.unpack(found[IFLA_MTU])[0]),
        found.get(IFLA_ADDRESS, b""),
        bool(flags & IFF_UP),
        (rx_bytes, rx),
        (tx_bytes, tx),
    )
