"""The token bucket filter: requests, and what the kernel answers.

Source of the formats: the kernel's include/uapi/linux/pkt_sched.h and tc-tbf(8).
"""

from __future__ import annotations

import struct
from functools import lru_cache

from vnemu.drivers import tc
from vnemu.drivers.netlink import NEW, SET, Request, attribute, attributes, text, u32
from vnemu.plan.control import Bucket

_PARMS, _RATE64, _PEAK64, _BURST, _PEAK_BURST = 1, 4, 5, 6, 7
_OPTIONS = struct.Struct("=8xI8xIIII")
"""struct tc_tbf_qopt: rate, peak rate, limit, burst in ticks, and the same at the peak rate."""
_U64 = struct.Struct("=Q")
_HANDLE = 0x00010000
_PEAK = 10**15
"""Bytes/s at which no packet takes a ns."""


def bucket(item: Bucket, index: int, new: bool = True) -> Request:
    """Create (`new`) or change a token bucket; what waits in it stays.

    A large packet is charged as the frames that it stands for. The kernel cuts those that
    are more than the burst at either rate, and has no other way to say what is to be cut:
    so there is a peak rate that never holds anything up.
    """
    rate = item.rate // 8
    # The kernel goes by bursts in bytes, not by those in ticks, which stay 0.
    peak = tc.ratespec(_PEAK) if item.cut else bytes(12)
    parms = tc.ratespec(rate) + peak + struct.pack("=III", item.limit, 0, 0)
    options = attribute(_PARMS, parms) + attribute(_BURST, u32(min(tc.burst(rate), 0xFFFFFFFF)))
    if item.cut:
        options += attribute(_PEAK64, _U64.pack(_PEAK)) + attribute(_PEAK_BURST, u32(item.cut))
    if rate > 0xFFFFFFFF:
        options += attribute(_RATE64, _U64.pack(rate))
    body = tc.tc_body(index, _HANDLE, tc.TC_H_ROOT) + text(tc.TCA_KIND, "tbf")
    body += attribute(tc.TCA_OPTIONS, options) + (_sizes(item.least) if item.least else b"")
    return Request(tc.RTM_NEWQDISC, NEW if new else SET, body)


@lru_cache(maxsize=64)
def _sizes(least: int) -> bytes:
    return tc.size_table(0, *tc.FULL_SEGMENT, least)


def bucket_state(answer: bytes) -> tuple[int, int, int, bool] | None:
    """What a token bucket does, as `vnemu.plan.facts` has it; None if it is none."""
    if tc.kind(answer) != "tbf":
        return None
    options = attributes(attributes(answer, tc.TCMSG.size)[tc.TCA_OPTIONS])
    rate, peak, limit, _, _ = _OPTIONS.unpack_from(options[_PARMS])
    if _RATE64 in options:
        rate = _U64.unpack(options[_RATE64])[0]
    return rate, limit, tc.least_charge(answer), bool(peak)
