"""The network emulator: requests for all that befalls frames, and what the kernel answers.

Source of the formats: the kernel's include/uapi/linux/pkt_sched.h and tc-netem(8).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

from vnemu.drivers.netlink import NEW, SET, U32, Request, attribute, attributes, nested, text
from vnemu.drivers.tc import (
    HTB,
    RTM_NEWQDISC,
    TC_H_ROOT,
    TCA_KIND,
    TCA_OPTIONS,
    TCMSG,
    kind,
    tc_body,
)
from vnemu.plan.control import Distribution, Netem

_OPTIONS = struct.Struct("=IIIIII")  # latency, limit, loss, gap, duplicate, jitter
_CHAIN = struct.Struct("=IIII")
_PAIR = struct.Struct("=II")
_S64 = struct.Struct("=q")
_U64 = struct.Struct("=Q")
_CORRELATION, _DISTRIBUTION, _REORDER, _CORRUPT, _LOSS, _RATE = 1, 2, 3, 4, 5, 6
_RATE64, _LATENCY64, _JITTER64 = 8, 10, 11
_GILBERT_ELLIOTT = 2
_WHOLE = 0xFFFFFFFF
_NO_RATE, _ANY_RATE = 0, 2**40

Chain = tuple[int, int, int, int]
State = tuple[int, int, int, int | Chain, int, int, int, int]


def netem(index: int, item: Netem, old: Netem | None = None) -> Request:
    """Create a netem root, or change `old` without a loss of what waits in it.

    Without a rate, netem sends a frame with a short delay before an earlier one with a
    long delay. With one it keeps frames in their order, so jitter comes with a rate,
    which at 2^40 bytes/s takes no time to speak of.
    """
    jumping = 1 if item.reorder else 0  # the gap: each frame may go before its turn
    loss = 0.0 if item.chain else item.loss
    numbers = (0, item.limit, _share(loss), jumping, _share(item.duplicate), 0)
    options = _OPTIONS.pack(*numbers) + b"".join(
        (
            attribute(_LATENCY64, _S64.pack(item.delay)),
            attribute(_JITTER64, _S64.pack(item.jitter)),
            _rate(_ANY_RATE if item.jitter else _NO_RATE),
            # What is left out stays as it was, apart from the loss model.
            attribute(_CORRELATION, struct.pack("=III", _share(item.delay_correlation), 0, 0)),
            attribute(_REORDER, _PAIR.pack(_share(item.reorder), 0)),
            attribute(_CORRUPT, _PAIR.pack(_share(item.corrupt), 0)),
            _loss_chain(item.chain) if item.chain else b"",
            _distribution(item, old),
        )
    )
    body = tc_body(index, HTB, TC_H_ROOT) + text(TCA_KIND, "netem")
    return Request(RTM_NEWQDISC, SET if old else NEW, body + attribute(TCA_OPTIONS, options))


def _share(part: float) -> int:
    return round(part * _WHOLE)


def _rate(rate: int) -> bytes:
    wide = attribute(_RATE64, _U64.pack(rate)) if rate else b""
    return attribute(_RATE, struct.pack("=IiIi", min(rate, _WHOLE), 0, 0, 0)) + wide


def _loss_chain(chain: tuple[float, float, float, float]) -> bytes:
    p, r, bad, good = chain
    numbers = _CHAIN.pack(_share(p), _share(r), _share(1 - bad), _share(good))
    return attribute(_LOSS, attribute(_GILBERT_ELLIOTT, numbers))


def _distribution(item: Netem, old: Netem | None) -> bytes:
    """The table of the jitter; a new netem is even without one, an old one keeps its own."""
    before = old.distribution if old else "uniform"
    if item.distribution == before:
        return b""
    return attribute(_DISTRIBUTION, table(item.distribution))


_ENTRIES = 4096
_SCALE = 8192
_PARETO = 3.0


@cache
def table(distribution: Distribution) -> bytes:
    """Equally likely deviations in units of the jitter: signed 16 bits, scaled by 8192.

    For each i of 4096, the quantile at u = (i + 1/2) / 4096 of

    - uniform: 2 u - 1;
    - normal: that with deviation 1, which 16 bits cut at 4;
    - pareto: 4/3 ((1 - u)^(-1/3) - 3/2), a Pareto distribution with exponent 3, less its mean;
    - paretonormal: 1/4 of normal and 3/4 of pareto.

    Source: tc-netem(8) and the table generators in iproute2's netem folder (pareto.c,
    paretonormal.c, normal.c), whose formulas these are.
    """
    quantile = _QUANTILES[distribution]
    parts = (quantile((i + 0.5) / _ENTRIES) for i in range(_ENTRIES))
    numbers = (max(-32768, min(32767, round(part * _SCALE))) for part in parts)
    return struct.pack(f"={_ENTRIES}h", *numbers)


def _uniform(u: float) -> float:
    return 2 * u - 1


def _pareto(u: float) -> float:
    return 4 / 3 * (float((1 - u) ** (-1 / _PARETO)) - 1.5)


def _paretonormal(u: float) -> float:
    return (_normal(u) + 3 * _pareto(u)) / 4


_normal = NormalDist().inv_cdf
_QUANTILES: dict[Distribution, Callable[[float], float]] = {
    "uniform": _uniform,
    "normal": _normal,
    "pareto": _pareto,
    "paretonormal": _paretonormal,
}


def _ppm(raw: int) -> int:
    return round(raw / _WHOLE * 1e6)


def netem_state(answer: bytes) -> State | None:
    """What a netem does, as `vnemu.plan.facts` has it; None if it is none."""
    if kind(answer) != "netem":
        return None
    content = attributes(answer, TCMSG.size)[TCA_OPTIONS]
    _, limit, loss, gap, duplicate, _ = _OPTIONS.unpack_from(content)
    found = attributes(content, _OPTIONS.size)
    delay, jitter = (_S64.unpack(found[key])[0] for key in (_LATENCY64, _JITTER64))
    reorder = U32.unpack_from(found.get(_REORDER, bytes(4)))[0] if gap else 0
    correlation = U32.unpack_from(found.get(_CORRELATION, bytes(4)))[0]
    corrupt = U32.unpack_from(found.get(_CORRUPT, bytes(4)))[0]
    return (
        delay,
        jitter,
        limit,
        _chain(nested(found.get(_LOSS, b""), _GILBERT_ELLIOTT)) or _ppm(loss),
        _ppm(correlation),
        _ppm(duplicate),
        _ppm(corrupt),
        _ppm(reorder),
    )


def _chain(data: bytes) -> Chain | None:
    if not data:
        return None
    p, r, kept, good = _CHAIN.unpack_from(data)
    return _ppm(p), _ppm(r), _ppm(_WHOLE - kept), _ppm(good)
