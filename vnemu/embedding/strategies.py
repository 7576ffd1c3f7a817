"""How what the file leaves open is chosen: simple, the same every time, explained.

Routers without `on:` go, in breadth-first order over their network, where the
fewest physical hops lead to their neighbours that are placed already; among
equals, where the fewest VRs are. VLs without `path:` take the path with the
fewest physical hops whose links all have room for the VL's guarantee; among
equals, the least crowded. VLs with the largest guarantees choose first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator

import networkx as nx

from vnemu.embedding.mapping import Mapping, admit
from vnemu.embedding.paths import choose_paths, graph, rerouted
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


def extended(topology: Topology, mapping: Mapping, avoid: Collection[str] = ()) -> Mapping:
    """The mapping with a place for what has none yet; all others stay.

    Guarantees on declared paths are not checked (`admit`).

    Parameters:
        avoid: RMs and physical links that nothing shall be mapped on, unless declared.

    Raises:
        InputError: if a VL has no path.
    """
    placement = _Placement(topology, mapping.machines, avoid)
    placement.place_all()
    grown = Mapping(placement.machines, mapping.paths, {**mapping.why, **placement.why})
    fresh = [link for path, link in topology.links.items() if path not in mapping.paths]
    for links, around in (
        ([link.path for link in fresh if link.paths], ()),
        ([link.path for link in fresh if not link.paths], avoid),
    ):
        grown = rerouted(topology, grown, links, around) if links else grown
    return grown


def places_for(
    topology: Topology, mapping: Mapping, path: str, avoid: Collection[str]
) -> list[str]:
    """The RMs that the VR `path` could live on, the best first.

    Parameters:
        avoid: RMs that it shall not live on.
    """
    others = {
        other: machine
        for other, machine in mapping.machines.items()
        if path not in (other, topology.nodes[other].at)
    }
    placement = _Placement(topology, others)
    near = _neighbours(topology.networks[topology.nodes[path].network])[path]
    return [machine for machine in placement.ranked(near) if machine not in avoid]


class _Placement:
    """VR -> RM, filled router by router.

    Parameters:
        machines: those that are placed already.
        avoid: RMs and physical links to keep off.
    """

    def __init__(
        self,
        topology: Topology,
        machines: dict[str, str] | None = None,
        avoid: Collection[str] = (),
    ) -> None:
        self._topology = topology
        self._graph = graph(topology.underlay, avoid)
        self._distance = dict(nx.all_pairs_shortest_path_length(self._graph))
        self.machines = dict(machines or {})
        self.why: dict[str, str] = {}
        routers = (path for path in self.machines if topology.nodes[path].kind == "router")
        self._load = Counter(self.machines[path] for path in routers)

    def place_all(self) -> None:
        """Place all nodes of all networks that are not placed yet."""
        fresh = [node for path, node in self._topology.nodes.items() if path not in self.machines]
        for node in fresh:
            if node.kind == "router" and node.on is not None:
                self._put(node, node.on, "as declared")
        for name in dict.fromkeys(node.network for node in fresh):
            network = self._topology.networks[name]
            neighbours = _neighbours(network)
            for node in _breadth_first(network, neighbours, self.machines):
                self._put(node, *self._choose(neighbours[node.path]))
        for node in fresh:
            if node.at is not None:
                self.machines[node.path] = self.machines[node.at]
                self.why[node.path] = f"with its router {node.at}"

    def _put(self, node: Node, machine: str, why: str) -> None:
        self.machines[node.path] = machine
        self.why[node.path] = why
        self._load[machine] += 1

    def ranked(self, neighbours: list[str]) -> list[str]:
        """The RMs for a VR with these neighbours, the best first."""
        machines = list(self._graph) or list(self._topology.underlay.machines)
        hops = {machine: self._hops(machine, neighbours) for machine in machines}
        return sorted(machines, key=lambda m: (hops[m], self._load[m], machines.index(m)))

    def _hops(self, machine: str, neighbours: list[str]) -> int:
        far = len(self._topology.underlay.machines)
        reached = self._distance.get(machine, {})
        return sum(
            reached.get(self.machines[other], far) for other in neighbours if other in self.machines
        )

    def _choose(self, neighbours: list[str]) -> tuple[str, str]:
        best = self.ranked(neighbours)[0]
        hops = self._hops(best, neighbours)
        placed = any(other in self.machines for other in neighbours)
        near = f"{hops} physical hops to its placed neighbours, " if placed else ""
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
    while queue or len(seen) < len(routers):
        path = queue.popleft() if queue else next(p for p in routers if p not in seen)
        seen.add(path)
        if path not in placed:
            yield routers[path]
        fresh = [n for n in neighbours[path] if n in routers and n not in seen]
        seen.update(fresh)
        queue.extend(fresh)
