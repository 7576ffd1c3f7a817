"""Random early detection: from a queue's limit to the parameters that the kernel wants."""

from __future__ import annotations

import math
import struct
from functools import lru_cache

from vnemu.drivers.netlink import attribute, u32

PARMS = struct.Struct("=IIIBBBB")
_TCA_RED_PARMS, _TCA_RED_STAB, _TCA_RED_MAX_P = 1, 2, 3
_ECN = 1

_PACKET = 1000
"""The average packet, in bytes, as tc-red(8) advises."""
_PROBABILITY = 0.02
"""Of a drop or mark when the average reaches the upper threshold."""
_ENTRIES, _LARGEST_SHIFT = 256, 31


@lru_cache(maxsize=256)
def red(limit: int, ecn: bool, rate: int) -> bytes:
    """The options of a red queue of at most `limit` bytes that is emptied at `rate` bit/s.

    The upper threshold of the average is a quarter of the limit and the lower one a third
    of that, as tc-red(8) has them. The kernel takes logarithms to the base 2: of the
    average's weight, of drop probability per byte, and of the time that an entry of the
    decay table stands for.

    Source of the formulas: S. Floyd, V. Jacobson, "Random Early Detection Gateways for
    Congestion Avoidance", 1993, section V; net/sched/sch_red.c and include/net/red.h.
    """
    low = max(limit // 12, _PACKET)
    high = max(limit // 4, 3 * low)
    weight = _weight(low, high)
    fraction = min(math.ceil(math.log2((high - low) / _PROBABILITY)), _LARGEST_SHIFT)
    cell, table = _decay(weight, rate / 8)
    parms = PARMS.pack(limit, low, high, weight, fraction, cell, _ECN if ecn else 0)
    return (
        attribute(_TCA_RED_PARMS, parms)
        + attribute(_TCA_RED_STAB, table)
        + attribute(_TCA_RED_MAX_P, u32(round(_PROBABILITY * 2**32)))
    )


def _weight(low: int, high: int) -> int:
    """-log2 of the weight of a packet in the average, so that usual bursts get through.

    A burst of L packets into an empty queue must leave the average below the lower
    threshold: L + 1 + ((1 - w)^(L + 1) - 1) / w < low (all in packets), here with L + 1 as
    the burst. The kernel's numbers have 32 bits, of which the thresholds take theirs.
    """
    burst = max(math.ceil((2 * low + high) / (3 * _PACKET)), 1)
    most = _LARGEST_SHIFT - high.bit_length()
    for weight in range(1, most):
        part = 2.0**-weight
        if burst + 1 - low / _PACKET <= (1 - (1 - part) ** burst) / part:
            return weight
    return max(most, 1)


def _decay(weight: int, octets_a_second: float) -> tuple[int, bytes]:
    """How the average falls while the queue is idle: for each cell of time, by which shift.

    As if packets of average size had come and found the queue empty: (1 - w)^n, n = time
    over the time that a packet takes; the kernel measures time in µs.
    """
    packet_us = _PACKET * 1e6 / octets_a_second
    fall = -math.log2(1 - 2.0**-weight) / packet_us
    cell = max(math.ceil(math.log2(_LARGEST_SHIFT / fall / (_ENTRIES - 1))), 0)
    shifts = (min(round((i << cell) * fall), _LARGEST_SHIFT) for i in range(_ENTRIES - 1))
    return cell, bytes((*shifts, _LARGEST_SHIFT))
