"""What the routers' tables say at any time, and the paths that follow; pure.

A path is what the tables of the nodes on it say, hop by hop from the source: the longest
prefix that holds the destination, the lowest metric, each of its next hops (RFC 1812, 5.2.4).
A VL has two ends, so the NIC that a next hop leaves by says which node comes next.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from vnemu.results.runinfo import NodePlace, PlacesEntry

MOST_PATHS = 64
OF_INTERFACES = "kernel"
"""The protocol of routes that come and go with a NIC's addresses, and not by a Router OS."""
OF_VNEMU = ("static", "boot")
"""The protocols of routes that were planned."""

Path = tuple[str, ...]
Key = tuple[str, int]
"""A prefix and a metric."""
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A row of routes.csv."""

    time_s: float
    node: str
    action: str
    prefix: str
    next_hops: tuple[str, ...]
    protocol: str
    metric: int

    @property
    def is_change(self) -> bool:
        """Whether a Router OS changed it, after the start."""
        return self.action != "there" and self.is_of_router_os

    @property
    def is_of_router_os(self) -> bool:
        """Whether it is a Router OS that set it, and neither the kernel nor vnemu."""
        return self.protocol not in {OF_INTERFACES, *OF_VNEMU}


def route_row(cells: Sequence[str]) -> RouteRow:
    """Read a row.

    Raises:
        ValueError: if it is none.
    """
    at, node, action, prefix, hops, protocol, metric = cells
    if action not in {"there", "set", "gone"}:
        raise ValueError(action)
    return RouteRow(
        float(at), node, action, prefix, tuple(hops.split("|")), protocol, int(metric or 0)
    )


@dataclass(frozen=True)
class Tables:
    """The routing tables of all nodes at one moment, and how the nodes are wired then."""

    routes: Mapping[str, Mapping[Key, RouteRow]]
    places: Mapping[str, NodePlace]

    def paths(self, source: str, target: str, version: int) -> list[Path]:
        """All paths to the target's address of an IP version, in order; none if it has none.

        The address is that of its first loopback, or else of its first NIC. Paths that end
        at a node without a route, or come back to one, do not arrive and are left out.
        """
        place = self.places.get(target)
        address = place.address(version) if place else None
        if address is None or source not in self.places:
            return []
        found: list[Path] = []
        open_: list[Path] = [(source,)]
        while open_ and len(found) < MOST_PATHS:
            path = open_.pop()
            if self._is_at(path[-1], address):
                found.append(path)
                continue
            peers = self.places[path[-1]].peers
            onward = {peers.get(nic, "") for nic in self._out(path[-1], address)}
            open_ += [(*path, node) for node in onward if node in self.places and node not in path]
        return sorted(found)

    def _is_at(self, node: str, address: str) -> bool:
        return address in self.places[node].addresses

    def _out(self, node: str, address: str) -> list[str]:
        """The NICs by which a node sends what is for an address."""
        wanted = _address(address)
        best: tuple[int, int] | None = None
        hops: tuple[str, ...] = ()
        for (prefix, metric), row in self.routes.get(node, {}).items():
            network = _network(prefix)
            if network.version == wanted.version and wanted in network:
                rank = (network.prefixlen, -metric)
                if best is None or rank > best:
                    best, hops = rank, row.next_hops
        return [hop.partition("@")[2] for hop in hops if "@" in hop]


@lru_cache(maxsize=1 << 16)
def _network(prefix: str) -> IPv4Network | IPv6Network:
    return ip_network(prefix)


@lru_cache(maxsize=1 << 12)
def _address(text: str) -> Address:
    return ip_address(text)


class RouteHistory:
    """The routing tables of a run, from first to last.

    Parameters:
        rows: routes.csv, in any order.
        places: where the nodes were, in order of time.
    """

    def __init__(self, rows: Iterable[RouteRow], places: Sequence[PlacesEntry] = ()) -> None:
        self.rows = sorted(rows, key=lambda row: row.time_s)
        self._places = places
        self._times = [row.time_s for row in self.rows]
        self._done = 0
        self._tables: dict[str, dict[Key, RouteRow]] = {}

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols of routes that a Router OS set."""
        return tuple(sorted({row.protocol for row in self.rows if row.is_of_router_os}))

    def changes(self, from_s: float, to_s: float) -> list[RouteRow]:
        """What Router OSs changed from `from_s` on and before `to_s`."""
        first, end = bisect_left(self._times, from_s), bisect_left(self._times, to_s)
        return [row for row in self.rows[first:end] if row.is_change]

    def at(self, time_s: float) -> Tables:
        """The tables just after `time_s`; cheapest when asked in order of time."""
        end = bisect_right(self._times, time_s)
        if end < self._done:
            self._done, self._tables = 0, {}
        for row in self.rows[self._done : end]:
            _take(self._tables.setdefault(row.node, {}), row)
        self._done = end
        routes = {node: dict(table) for node, table in self._tables.items()}
        return Tables(routes, self.places(time_s))

    def places(self, time_s: float) -> dict[str, NodePlace]:
        """Where the nodes are at a time."""
        found: dict[str, NodePlace] = {}
        for number, entry in enumerate(self._places):
            if entry.at_s <= time_s or number == 0:
                found.update(entry.nodes)
        return found


def _take(table: dict[Key, RouteRow], row: RouteRow) -> None:
    key = row.prefix, row.metric
    if row.action == "gone":
        table.pop(key, None)
    else:
        table[key] = row
