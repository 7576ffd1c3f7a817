"""The Router OS of a VR: what it speaks and which program speaks it, all defaults settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from vnemu.schema.routing import SILENT, Daemon, Protocol
from vnemu.units import Duration

__all__ = [
    "DEFAULTS",
    "IGPS",
    "STATIC",
    "ZERO",
    "Bfd",
    "Daemon",
    "OwnText",
    "Protocol",
    "RouterOs",
    "Timer",
    "Timers",
]

IGPS: frozenset[Protocol] = frozenset({"ospf", "rip", "babel", "isis"})
"""The protocols of the inside of an autonomous system."""

ZERO = IPv4Address(0)
"""No router ID; and the OSPF area that all others join, the backbone."""

Timer = Literal["hello", "dead", "update", "timeout", "keepalive", "hold", "retry"]


def _s(seconds: int) -> Duration:
    return Duration(seconds * 10**9)


# OSPF: RFC 2328, C.3; RIP: RFC 2453, 3.8; BGP: RFC 4271, 10; Babel: RFC 8966, B. IS-IS has
# no figures in RFC 1195: these are FRR's. BGP's retry is short, so that a session that was
# lost is there again soon after its link (RFC 4271 proposes 120 s).
DEFAULTS: dict[Protocol, dict[Timer, Duration]] = {
    "ospf": {"hello": _s(10), "dead": _s(40)},
    "isis": {"hello": _s(3), "dead": _s(30)},
    "rip": {"update": _s(30), "timeout": _s(180)},
    "babel": {"hello": _s(4), "update": _s(16)},
    "bgp": {"keepalive": _s(30), "hold": _s(90), "retry": _s(5)},
}
# A timer that is left out follows the one that is declared in these proportions.
_FOLLOWS: dict[Timer, Timer] = {"dead": "hello", "timeout": "update", "hold": "keepalive"}


@dataclass(frozen=True)
class Timers:
    """The timers that were declared; None: they follow from the protocol."""

    hello: Duration | None = None
    dead: Duration | None = None
    update: Duration | None = None
    timeout: Duration | None = None
    keepalive: Duration | None = None
    hold: Duration | None = None
    retry: Duration | None = None

    def of(self, protocol: Protocol, timer: Timer) -> Duration:
        """A timer of a protocol that has it: declared, or its default.

        Raises:
            KeyError: if the protocol has no such timer.
        """
        defaults = DEFAULTS[protocol]
        usual = defaults[timer]
        declared: Duration | None = getattr(self, timer)
        if declared is not None:
            return declared
        leader = "hello" if (protocol, timer) == ("babel", "update") else _FOLLOWS.get(timer)
        led: Duration | None = getattr(self, leader) if leader else None
        if leader is None or led is None:
            return usual
        return Duration(led.amount * usual.amount // defaults[leader].amount)


@dataclass(frozen=True)
class Bfd:
    """Bidirectional forwarding detection: a neighbour is gone after `multiplier` intervals."""

    interval: Duration
    multiplier: int


@dataclass(frozen=True)
class OwnText:
    """The user's own configuration of a Router OS.

    Parameters:
        kind: the file itself, or a Jinja2 template of it.
        file: its path, as seen from where vnemu was called.
        text: what it says.
        written_at: file:line that names it.
    """

    kind: Literal["config", "template"]
    file: str
    text: str = field(repr=False)
    written_at: str = field(default="", compare=False)


@dataclass(frozen=True)
class RouterOs:
    """What a VR speaks, and the program that does it.

    Parameters:
        protocols: in the order of the file; static and none stand alone.
        daemon: None: nothing is run (static and none without a text of the user's).
        router_id: 32 bits, written like an IPv4 address.
        asn: the autonomous system; None: it does not speak BGP.
        area: the OSPF area of its loopback and of links that name none.
        cost: of links that have none of their own; None: the protocol's default.
        bfd: None: without.
        own: the user's own configuration in place of ours.
    """

    protocols: tuple[Protocol, ...] = ("static",)
    daemon: Daemon | None = None
    router_id: IPv4Address = ZERO
    asn: int | None = None
    timers: Timers = Timers()
    area: IPv4Address = ZERO
    cost: int | None = None
    bfd: Bfd | None = None
    own: OwnText | None = None
    written_at: str = field(default="", compare=False)

    @property
    def is_dynamic(self) -> bool:
        """Whether it speaks with its neighbours."""
        return not SILENT.issuperset(self.protocols)

    @property
    def igps(self) -> tuple[Protocol, ...]:
        """The interior protocols that it speaks."""
        return tuple(protocol for protocol in self.protocols if protocol in IGPS)

    def speaks(self, protocol: Protocol) -> bool:
        """Whether it speaks a protocol."""
        return protocol in self.protocols


STATIC = RouterOs()
"""What a host has, and a VR of which nothing is said."""
