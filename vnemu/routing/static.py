"""Static routes: shortest paths by hop count, for IPv4 and IPv6 alike.

Neighbouring prefixes with the same next hop are joined into one route exactly
(never over an address that nobody has), so that tables stay short.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from vnemu.model.overlay import IpAddress, IpNetwork, VirtualLink, VirtualNetwork


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """Send what is for `destination` to `via` through the NIC `nic`."""

    destination: IpNetwork
    via: IpAddress
    nic: str


@dataclass(frozen=True, slots=True)
class _Edge:
    """One VL, seen from one of its ends."""

    link: VirtualLink
    nic: str
    peer: str
    peer_nic: str


class _Graph:
    """A network's links by node, in the order of the file."""

    def __init__(self, network: VirtualNetwork) -> None:
        self.nodes = {node.path: node for node in network.nodes.values()}
        self.nics = {(n.path, nic.name): nic for n in self.nodes.values() for nic in n.nics}
        self.edges: dict[str, list[_Edge]] = {path: [] for path in self.nodes}
        for link in network.links.values():
            self.edges[link.a].append(_Edge(link, link.a_nic, link.b, link.b_nic))
            self.edges[link.b].append(_Edge(link, link.b_nic, link.a, link.a_nic))

    def first_edges(self, start: str) -> dict[str, _Edge]:
        """For each other node, the first edge of a shortest path from `start`."""
        first: dict[str, _Edge] = {}
        queue = deque((edge.peer, edge) for edge in self.edges[start])
        while queue:
            path, edge = queue.popleft()
            if path in first or path == start:
                continue
            first[path] = edge
            if self.nodes[path].kind == "router":
                queue.extend((onward.peer, edge) for onward in self.edges[path])
        return first


def static_routes(network: VirtualNetwork) -> dict[str, list[StaticRoute]]:
    """The static routes of every node, by path: shortest paths, a host's by its router."""
    graph = _Graph(network)
    subnets = _subnets(graph)
    return {
        path: (
            _router_routes(graph, path, subnets, network.versions)
            if node.kind == "router"
            else _host_routes(graph, path)
        )
        for path, node in graph.nodes.items()
    }


def _subnets(graph: _Graph) -> dict[str, list[tuple[int, int, int]]]:
    """What each node has, as (version, first address, prefix length)."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for path, node in graph.nodes.items():
        found[path] = [
            (a.version, int(a.network.network_address), a.network.prefixlen) for a in node.addresses
        ]
    return found


def _router_routes(
    graph: _Graph,
    start: str,
    subnets: dict[str, list[tuple[int, int, int]]],
    versions: tuple[int, ...],
) -> list[StaticRoute]:
    seen = set(subnets[start])
    behind: dict[tuple[str, str, str], list[tuple[int, int, int]]] = {}
    # Nearest first: a subnet is reached by way of the nearer of its two nodes.
    for path, edge in graph.first_edges(start).items():
        key = (edge.nic, edge.peer, edge.peer_nic)
        for subnet in subnets[path]:
            if subnet not in seen:
                seen.add(subnet)
                behind.setdefault(key, []).append(subnet)
    routes = []
    for (nic, peer, peer_nic), found in behind.items():
        for version in versions:
            prefixes = [(first, length) for v, first, length in found if v == version]
            via = graph.nics[peer, peer_nic].address(version)
            # An end whose addresses the user chose may have none of this version.
            routes += [
                StaticRoute(_network(version, first, length), via.ip, nic)
                for first, length in join_prefixes(prefixes, 32 if version == 4 else 128)
                if via is not None
            ]
    return routes


def _host_routes(graph: _Graph, path: str) -> list[StaticRoute]:
    edge = graph.edges[path][0]
    router_nic = graph.nics[edge.peer, edge.peer_nic]
    found = [address for v in (4, 6) if (address := router_nic.address(v)) is not None]
    return [StaticRoute(_network(a.version, 0, 0), a.ip, edge.nic) for a in found]


def _network(version: int, first: int, length: int) -> IpNetwork:
    return IPv4Network((first, length)) if version == 4 else IPv6Network((first, length))


def join_prefixes(prefixes: list[tuple[int, int]], width: int) -> list[tuple[int, int]]:
    """Join (first address, length) pairs into the fewest that cover exactly the same.

    This is what ipaddress.collapse_addresses does, on plain numbers: a network
    of 1000 routers has millions of them.
    """
    stack: list[tuple[int, int]] = []
    for first, length in sorted(set(prefixes)):
        if stack and first >> (width - stack[-1][1]) == stack[-1][0] >> (width - stack[-1][1]):
            continue
        stack.append((first, length))
        while len(stack) > 1 and _are_halves(stack[-2], stack[-1], width):
            stack.pop()
            low, half = stack.pop()
            stack.append((low, half - 1))
    return stack


def _are_halves(low: tuple[int, int], high: tuple[int, int], width: int) -> bool:
    return (
        low[1] == high[1]
        and low[1] > 0
        and low[0] ^ high[0] == 1 << (width - low[1])
        and low[0] < high[0]
    )


def trace(network: VirtualNetwork, start: str, end: str) -> list[tuple[VirtualLink, bool]]:
    """The VLs a packet crosses on a shortest path, each with whether it goes from a to b."""
    graph = _Graph(network)
    crossed = []
    here = start
    while here != end:
        edge = graph.first_edges(here)[end]
        crossed.append((edge.link, edge.link.a == here))
        here = edge.peer
    return crossed
