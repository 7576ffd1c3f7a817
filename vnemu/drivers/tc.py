"""Traffic control: the requests for shapers and their classes, and what the kernel answers.

Only encoders of the hot path live here and in `queues`, `netem` and `filters`; their
bytes are held against pyroute2's decoders in tests. Source of the formats: the
kernel's include/uapi/linux/{rtnetlink,pkt_sched,gen_stats}.h. Rates are in bytes/s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from vnemu.drivers.netlink import (
    NEW,
    NLM_F_CREATE,
    U32,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    first_attribute,
    nested,
    text,
)

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
_RTM_NEWTCLASS, _RTM_DELTCLASS, _RTM_GETTCLASS = 40, 41, 42

TCA_KIND, TCA_OPTIONS, TCA_STATS2, _TCA_STAB = 1, 2, 7, 8
_STATS_BASIC, _STATS_QUEUE, _STATS_PKT64 = 1, 3, 8
_STAB_BASE, _STAB_DATA = 1, 2
TC_H_ROOT = 0xFFFFFFFF
_HOOK, _HOOK_HANDLE = 0xFFFFFFF1, 0xFFFF0000
ARRIVING, LEAVING = 0xFFFFFFF2, 0xFFFFFFF3
"""Where a filter hangs on a device's hook: in the way of frames that arrive, or that leave."""
_HTB_PARMS, _HTB_INIT, _HTB_RATE64, _HTB_CEIL64 = 1, 2, 6, 7

TCMSG = struct.Struct("=BxHiIII")
_RATESPEC = struct.Struct("=BBHhHI")
_HTB_RATES = struct.Struct("=8xI8xI")
"""Of struct tc_htb_opt, which begins with two tc_ratespec: the rates."""
_SIZESPEC = struct.Struct("=BBhiIIII")
_U64 = struct.Struct("=Q")

HTB = 0x00010000
"""Handle of the HTB root on every shaped device (1:)."""
FULL_SEGMENT = 1448, 66
"""Payload and headers of TCP over IPv4 with timestamps: a frame of 1514 bytes, the usual one."""


def tc_body(index: int, handle: int = 0, parent: int = 0, info: int = 0) -> bytes:
    """The header of all traffic control requests."""
    return TCMSG.pack(0, 0, index, handle, parent, info)


def size_table(overhead: int, payload: int, headers: int, least: int = 0) -> bytes:
    """A qdisc size table that charges frames as the VRs sent them.

    The kernel charges a segmentation-offload packet what its kernel version
    thinks of the headers of its segments; a size table takes that out of its
    hands. The table has one entry for each 16 bytes of a packet's length.

    Parameters:
        overhead: bytes of encapsulation in front of each frame.
        payload: bytes of payload in a full segment (1448 for TCP with timestamps).
        headers: bytes of headers in front of that payload, Ethernet's included.
        least: bytes that each frame is charged at least (`least_charge` reads it).
    """
    full = payload + headers
    cell_log, size_log, slots = 4, 1, 4352
    table = []
    for slot in range(slots):
        length = (slot << cell_log) + (1 << cell_log >> 1)
        near = {full // (1 << cell_log): full, headers // (1 << cell_log): headers}
        if slot in near:
            charged = max(near[slot], least)
        elif length <= full:
            charged = max(length, least)
        else:
            # From the slot's low end: full segments only are the usual case,
            # and the middle may be beyond their last byte.
            segments = -(-((slot << cell_log) - headers) // payload)
            last = length - (segments - 1) * payload
            charged = (segments - 1) * full + max(last, least)
        table.append(min(-(-charged >> size_log), 0xFFFF))
    # The kernel keeps and shows what is at `mpu`, but does not use it.
    base = _SIZESPEC.pack(cell_log, size_log, 0, -overhead, 0, least, 0, slots)
    data = struct.pack(f"={slots}H", *table)
    return attribute(_TCA_STAB, attribute(_STAB_BASE, base) + attribute(_STAB_DATA, data))


def least_charge(answer: bytes) -> int:
    """What the size table of a qdisc charges at least; 0 if it has none."""
    base = nested(answer[TCMSG.size :], _TCA_STAB, _STAB_BASE)
    return int(_SIZESPEC.unpack(base)[5]) if base else 0


def new_htb(index: int, default: int, stab: bytes = b"") -> Request:
    """An HTB root (1:) whose unclassified frames go to class `default` (0: unshaped)."""
    init = struct.pack("=IIIII", 3, 10, default, 0, 0)
    options = attribute(TCA_OPTIONS, attribute(_HTB_INIT, init))
    body = tc_body(index, HTB, TC_H_ROOT) + text(TCA_KIND, "htb") + options + stab
    return Request(RTM_NEWQDISC, NEW, body)


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
            ratespec(rate),
            ratespec(ceil),
            U32.pack(_ticks(burst(rate), rate)),
            U32.pack(_ticks(burst(ceil), ceil)),
            struct.pack("=III", _FRAME, 0, 0),
        )
    )
    options = attribute(_HTB_PARMS, parms)
    if rate > 0xFFFFFFFF:
        options += attribute(_HTB_RATE64, _U64.pack(rate))
    if ceil > 0xFFFFFFFF:
        options += attribute(_HTB_CEIL64, _U64.pack(ceil))
    return attribute(TCA_OPTIONS, options)


def ratespec(value: int) -> bytes:
    """A rate in bytes/s as struct tc_ratespec; what has no room there is told beside it."""
    # linklayer 1 (Ethernet) lets the kernel do without rate tables.
    return _RATESPEC.pack(0, 1, 0, -1, 0, min(value, 0xFFFFFFFF))


def htb_class(
    index: int, minor: int, parent: int, rate: int, ceil: int, new: bool = True
) -> Request:
    """Create (`new`) or change class 1:`minor` under 1:`parent` (0: under the root).

    `rate` and `ceil` are in bytes/s. The quantum is one frame, so that siblings
    share what is left of their parent frame by frame.
    """
    upper = HTB | parent if parent else HTB
    body = tc_body(index, HTB | minor, upper) + text(TCA_KIND, "htb")
    return Request(_RTM_NEWTCLASS, NEW if new else 0, body + _class_options(rate, ceil))


def delete_class(index: int, minor: int) -> Request:
    """Remove class 1:`minor` and its queue."""
    return Request(_RTM_DELTCLASS, 0, tc_body(index, HTB | minor))


def hook(index: int, both_ways: bool = False) -> Request:
    """The hook on which arriving frames can be filtered, or all; one that is there stays."""
    body = tc_body(index, _HOOK_HANDLE, _HOOK) + text(
        TCA_KIND, "clsact" if both_ways else "ingress"
    )
    return Request(RTM_NEWQDISC, NLM_F_CREATE, body)


def get_class(index: int, minor: int) -> Request:
    """Ask for class 1:`minor`, counters included."""
    return Request(_RTM_GETTCLASS, 0, tc_body(index, HTB | minor))


def list_classes(socket: NetlinkSocket, index: int) -> Iterator[tuple[int, bytes]]:
    """All classes of a device, by minor number."""
    for answer in socket.dump(_RTM_GETTCLASS, tc_body(index)):
        yield TCMSG.unpack_from(answer)[3] & 0xFFFF, answer


def get_root(index: int) -> Request:
    """Ask for a device's root qdisc."""
    return Request(RTM_GETQDISC, 0, tc_body(index, 0, TC_H_ROOT))


def class_rates(answer: bytes) -> tuple[int, int]:
    """Rate and ceiling of an HTB class, in bytes/s."""
    options = attributes(first_attribute(answer, TCA_OPTIONS, TCMSG.size))
    rate, ceil = _HTB_RATES.unpack_from(options[_HTB_PARMS])
    if _HTB_RATE64 in options:
        rate = _U64.unpack(options[_HTB_RATE64])[0]
    if _HTB_CEIL64 in options:
        ceil = _U64.unpack(options[_HTB_CEIL64])[0]
    return rate, ceil


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
    octets, packets = struct.unpack_from("=QI", stats.get(_STATS_BASIC, bytes(12)))
    if _STATS_PKT64 in stats:
        packets = _U64.unpack_from(stats[_STATS_PKT64])[0]
    _, backlog, drops = struct.unpack_from("=III", stats.get(_STATS_QUEUE, bytes(20)))
    return Counters(octets, packets, drops, backlog)


def kind(answer: bytes) -> str:
    """The name of the qdisc or filter that the kernel shows."""
    return attributes(answer, TCMSG.size).get(TCA_KIND, b"").rstrip(b"\0").decode()
