"""What each routing protocol takes in each Router OS: what is not here is refused.

Sources: "The BIRD 2.0 User's Guide", chapter 6 (https://bird.network.cz); the FRR User
Guide, version 8 (https://docs.frrouting.org). Where the two differ the names tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vnemu.model.routing import Daemon, Protocol, Timer
from vnemu.units import Duration

_MS, _SECOND = 10**6, 10**9
_Pair = tuple[Protocol, Daemon]

LACKING: Mapping[_Pair, str] = {
    ("isis", "bird"): "bird has no IS-IS",
    # https://github.com/FRRouting/frr/issues/13569, seen with 8.4 in every second start.
    ("babel", "frr"): "Babel in frr does not start reliably (its issue 13569)",
}
BOTH: tuple[Daemon, ...] = ("bird", "frr")


@dataclass(frozen=True)
class Range:
    """The values of a timer, in nanoseconds: from `least` to `most`, multiples of `step`."""

    least: int
    most: int
    step: int = _SECOND

    def refusal(self, value: Duration) -> str:
        """Why it cannot be that long; empty: it can."""
        if value.amount % self.step:
            return f"is a multiple of {Duration(self.step)}"
        if not self.least <= value.amount <= self.most:
            return f"is {Duration(self.least)} to {Duration(self.most)}"
        return ""


def _seconds(least: int, most: int = 65_535) -> Range:
    return Range(least * _SECOND, most * _SECOND)


def _both(protocol: Protocol, range_: Range) -> dict[_Pair, Range]:
    return {(protocol, daemon): range_ for daemon in BOTH}


# On the wire Babel counts centiseconds in 16 bits (RFC 8966, 4.6).
_BABEL = Range(20 * _MS, 655_340 * _MS, 10 * _MS)
_BABEL_HELLO = Range(20 * _MS, 163_830 * _MS, 10 * _MS)
# Four hellos, six updates and three signs of life fit in 16 bits, too.


TIMERS: Mapping[Timer, dict[_Pair, Range]] = {
    "hello": {
        **_both("ospf", _seconds(1, 16_383)),
        ("babel", "bird"): _BABEL_HELLO,
        ("isis", "frr"): _seconds(1, 600),
    },
    "dead": {**_both("ospf", _seconds(2)), ("isis", "frr"): _seconds(2, 60_000)},
    "update": {
        ("rip", "bird"): _seconds(1, 10_922),
        ("rip", "frr"): _seconds(5, 10_922),
        ("babel", "bird"): _BABEL,
    },
    "timeout": {("rip", "bird"): _seconds(2), ("rip", "frr"): _seconds(5)},
    "keepalive": _both("bgp", _seconds(1, 21_845)),
    "hold": _both("bgp", _seconds(3)),
    "retry": _both("bgp", _seconds(1)),
}

BFD: frozenset[_Pair] = frozenset(
    {
        ("ospf", "bird"),
        ("ospf", "frr"),
        ("bgp", "bird"),
        ("bgp", "frr"),
        ("isis", "frr"),
        ("rip", "bird"),
    }
)
BFD_INTERVAL = Range(10 * _MS, 60 * _SECOND, _MS)

# The greatest cost of a link. FRR's RIP has none that belongs to a link.
COSTS: Mapping[_Pair, int] = {
    ("ospf", "bird"): 65_535,
    ("ospf", "frr"): 65_535,
    ("isis", "frr"): 2**24 - 1,
    ("babel", "bird"): 65_534,
    ("rip", "bird"): 15,
}

# Of each two, the second is how long the first may stay away.
PATIENCE: tuple[tuple[Protocol, Timer, Timer], ...] = (
    ("ospf", "hello", "dead"),
    ("isis", "hello", "dead"),
    ("rip", "update", "timeout"),
    ("bgp", "keepalive", "hold"),
)
