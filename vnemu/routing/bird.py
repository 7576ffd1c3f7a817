"""The configuration of BIRD, for its versions 2 and 3 alike.

Format: "The BIRD 2.0 User's Guide" and its successors (https://bird.network.cz).
"""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.model.overlay import IpNetwork
from vnemu.model.routing import Protocol
from vnemu.routing.templates import rendered
from vnemu.routing.view import Session, View

SOURCES: dict[Protocol, tuple[str, ...]] = {
    "ospf": ("RTS_OSPF", "RTS_OSPF_IA", "RTS_OSPF_EXT1", "RTS_OSPF_EXT2"),
    "rip": ("RTS_RIP",),
    "babel": ("RTS_BABEL",),
    "bgp": ("RTS_BGP",),
}
"""Where BIRD says that a route of a protocol is from."""

# What comes from another AS is believed before what the inside says (as FRR's distances
# 20, 110 and 200 do); BIRD's own preference of all BGP is 100, of OSPF 150.
_OUTER_PREFERENCE, _INNER_PREFERENCE = 170, 100


def bird_files(view: View) -> dict[str, str]:
    """The files of a VR that runs BIRD, by name."""
    return {"bird.conf": rendered("bird.conf.j2", view=view, bird=_Words(view))}


class _Words:
    """What a VR's own view is in BIRD's words."""

    def __init__(self, view: View) -> None:
        self._view = view

    def areas(self) -> dict[str, dict[str, list[object]]]:
        """The OSPF areas that it is in, with its ports; that of its loopback first."""
        areas: dict[str, dict[str, list[object]]] = {}
        areas[str(self._view.os.area)] = {"speaking": [], "silent": []}
        for port in self._view.ports:
            area = areas.setdefault(str(port.area), {"speaking": [], "silent": []})
            area["speaking" if port.speaks("ospf") else "silent"].append(port)
        return areas

    def sources(self, protocol: Protocol) -> str:
        """The filter of what a protocol of the inside tells: its own routes and others'."""
        wanted = [s for other in self._view.others(protocol) for s in SOURCES[other]]
        if protocol in ("rip", "babel"):
            wanted = ["RTS_DEVICE", *SOURCES[protocol], *wanted]
        return f"where source ~ [{', '.join(wanted)}]" if wanted else "none"

    def announced(self, version: int) -> str:
        """The filter of what BGP tells: what is in its own networks, and what BGP told it."""
        inner = [s for protocol in self._view.os.igps for s in SOURCES.get(protocol, ())]
        sources = ", ".join(["RTS_DEVICE", *inner])
        return f"where source = RTS_BGP || (source ~ [{sources}] && net ~ OWN_IPV{version})"

    def own(self, version: int) -> str:
        """A set of its autonomous system's prefixes and all within them."""
        prefixes: list[IpNetwork] = self._view.own_prefixes(version)
        return ", ".join(f"{prefix}+" for prefix in prefixes)

    def nics(self) -> str:
        """The interface pattern of all its NICs, and of those that may come later."""
        names = (port.name for port in self._view.ports)
        return ", ".join(['"eth*"', *(f'"{name}"' for name in names if name[:3] != "eth")])

    def pattern(self, protocol: Protocol) -> str:
        """The interface pattern of NICs that may come later: all that are not silent."""
        silent = (f'-"{port.name}"' for port in self._view.silent(protocol))
        return ", ".join([*silent, '"eth*"'])

    def sessions(self) -> Iterator[tuple[Session, int]]:
        """The BGP sessions, each with the preference of what it tells."""
        for session in self._view.sessions():
            yield session, _INNER_PREFERENCE if session.is_internal else _OUTER_PREFERENCE

    @staticmethod
    def us(amount: int) -> str:
        """A time, given in nanoseconds, exact to the microsecond."""
        return f"{amount // 1000} us" if amount % 10**6 else f"{amount // 10**6} ms"
