"""How what the file leaves open is chosen: simple, the same every time, explained.

Routers without `on:` go, in breadth-first order over their network, where the
fewest physical hops lead to their neighbours that are placed already; among
equals, where the fewest VRs are. VLs without `path:` take the path with the
fewest physical hops whose links all have room for the VL's guarantee; among
equals, the least crowded. VLs with the largest guarantees choose first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

import networkx as nx

from vnemu.embedding.mapping import Mapping, admit
from vnemu.embedding.paths import choose_paths, graph
from vnemu.model.overlay import Node, Topology, VirtualNetwork


def embed(topology: Topology) -> Mapping:
    """Map a topology on its underlay.

    Raises:
        InputError: if a VL has no path, or a physical link cannot hold the guarantees.
    """
    placement = _Placement(topology)
    placement.place_all()
    paths, why = choose_paths(topology, placement.machines)
    mapping = Mapping(placement.machines, paths, {**placement.why, **why})
    admit(topology, mapping, topology.underlay.links)
    return mapping


class _Placement:
    """VR -> RM, filled router by router."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._distance = dict(nx.all_pairs_shortest_path_length(graph(topology.underlay)))
        self._load: Counter[str] = Counter()
        self.machines: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def place_all(self) -> None:
        """Place all nodes of all networks."""
        for node in self._topology.nodes.values():
            if node.kind == "router" and node.on is not None:
                self._put(node, node.on, "as declared")
        for network in self._topology.networks.values():
            neighbours = _neighbours(network)
            for node in _breadth_first(network, neighbours, self.machines):
                self._put(node, *self._choose(neighbours[node.path]))
        for node in self._topology.nodes.values():
            if node.at is not None:
                self.machines[node.path] = self.machines[node.at]
                self.why[node.path] = f"with its router {node.at}"

    def _put(self, node: Node, machine: str, why: str) -> None:
        self.machines[node.path] = machine
        self.why[node.path] = why
        self._load[machine] += 1

    def _choose(self, neighbours: list[str]) -> tuple[str, str]:
        placed = [self.machines[path] for path in neighbours if path in self.machines]
        far = len(self._topology.underlay.machines)

        def hops(machine: str) -> int:
            return sum(self._distance[machine].get(other, far) for other in placed)

        machines = self._topology.underlay.machines
        best = min(machines, key=lambda m: (hops(m), self._load[m], machines.index(m)))
        near = f"{hops(best)} physical hops to its placed neighbours, " if placed else ""
        return best, f"chosen: {near}{self._load[best]} VRs there before"


def _neighbours(network: VirtualNetwork) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {node.path: [] for node in network.nodes.values()}
    for link in network.links.values():
        found[link.a].append(link.b)
        found[link.b].append(link.a)
    return found


def _breadth_first(
    network: VirtualNetwork, neighbours: dict[str, list[str]], placed: dict[str, str]
) -> Iterator[Node]:
    """The unplaced routers, those next to placed ones first."""
    routers = {node.path: node for node in network.routers}
    starts = [path for path in routers if path in placed] or list(routers)[:1]
    queue = deque(starts)
    seen = set(starts)
    while queue:
        path = queue.popleft()
        if path not in placed:
            yield routers[path]
        fresh = [n for n in neighbours[path] if n in routers and n not in seen]
        seen.update(fresh)
        queue.extend(fresh)
