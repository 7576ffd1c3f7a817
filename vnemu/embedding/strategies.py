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
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from vnemu.embedding.mapping import Mapping, UnderlayPath, admit, overcommitted
from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Node, Topology, VirtualLink, VirtualNetwork
from vnemu.model.underlay import PhysicalLink, Underlay


def embed(topology: Topology) -> Mapping:
    """Map a topology on its underlay.

    Raises:
        InputError: if a VL has no path, or a physical link cannot hold the guarantees.
    """
    placement = _Placement(topology)
    placement.place_all()
    router = _PathChooser(topology, placement.machines)
    paths = router.choose_all()
    mapping = Mapping(placement.machines, paths, {**placement.why, **router.why})
    admit(topology, mapping, topology.underlay.links)
    return mapping


def _graph(underlay: Underlay) -> nx.Graph[str]:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(underlay.machines)
    graph.add_edges_from((link.a, link.b) for link in underlay.links.values())
    return graph


class _Placement:
    """VR -> RM, filled router by router."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._distance = dict(nx.all_pairs_shortest_path_length(_graph(topology.underlay)))
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


@dataclass
class _PathChooser:
    """VL -> underlay path, filled link by link."""

    topology: Topology
    machines: dict[str, str]
    why: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        underlay = self.topology.underlay
        self._crossing: dict[str, list[str]] = {name: [] for name in underlay.links}
        self._graph = _graph(underlay)
        slowest = min((link.rate.bps for link in underlay.links.values()), default=1)
        self._most_crowded = (len(self.topology.links) + 1) / slowest
        self._problems: list[Problem] = []

    def choose_all(self) -> dict[str, UnderlayPath]:
        """Choose a path for every VL.

        Raises:
            InputError: with the VLs that have none.
        """
        chosen = {link.path: self._choose(link) for link in self._in_order()}
        if self._problems:
            raise InputError(self._problems)
        return {
            path: UnderlayPath(*chosen[path], number)
            for number, path in enumerate(self.topology.links, 1)
        }

    def _in_order(self) -> list[VirtualLink]:
        def first(link: VirtualLink) -> tuple[bool, int]:
            return link.path_by_user is None, -(link.guarantee.bps if link.guarantee else 0)

        return sorted(self.topology.links.values(), key=first)

    def _choose(self, link: VirtualLink) -> tuple[tuple[str, ...], tuple[str, ...]]:
        start, end = self.machines[link.a], self.machines[link.b]
        if link.path_by_user is not None:
            machines = self._declared(link, start, end)
        elif start == end:
            machines = [start]
            self.why[link.path] = f"both ends on {start}: a patch, no physical link"
        else:
            machines = self._shortest(link, start, end)
        links = tuple(self._best(link, a, b).name for a, b in pairwise(machines))
        for name in links:
            self._crossing[name].append(link.path)
        return tuple(machines), links

    def _declared(self, link: VirtualLink, start: str, end: str) -> list[str]:
        machines = list(link.path_by_user or ())
        self.why[link.path] = "path as declared"
        problem = None
        if (machines[0], machines[-1]) != (start, end):
            problem = (
                f"its path leads from {machines[0]} to {machines[-1]}, "
                f"but its ends are on {start} and {end}"
            )
        elif len(set(machines)) < len(machines):
            problem = "its path crosses a machine twice"
        else:
            for a, b in pairwise(machines):
                if not self._graph.has_edge(a, b):
                    problem = f"its path needs a physical link between {a} and {b}: there is none"
        if problem:
            self._fail(link, problem, "correct path:, or leave it out to have one chosen")
            return [start]
        return machines

    def _shortest(self, link: VirtualLink, start: str, end: str) -> list[str]:
        def weight(a: str, b: str, _: object) -> float | None:
            best = self._best(link, a, b)
            if not self._has_room(link, best):
                return None
            crowd = (len(self._crossing[best.name]) + 1) / best.rate.bps / self._most_crowded
            return 1 + crowd / (len(self.topology.underlay.links) + 1)

        try:
            machines: list[str] = nx.dijkstra_path(self._graph, start, end, weight)
        except nx.NetworkXNoPath:
            self._explain_no_path(link, start, end)
            return [start]
        hops = len(machines) - 1
        room = f" with room for {link.guarantee}" if link.guarantee else ""
        self.why[link.path] = f"shortest path{room}, least crowded: {hops} physical hop" + (
            "s" if hops > 1 else ""
        )
        return machines

    def _explain_no_path(self, link: VirtualLink, start: str, end: str) -> None:
        if not nx.has_path(self._graph, start, end):
            self._fail(
                link,
                f"no physical links lead from {start} to {end}",
                "add a link to the underlay, or place its routers elsewhere",
            )
            return
        machines = nx.shortest_path(self._graph, start, end)
        full = [
            problem.message
            for a, b in pairwise(machines)
            if (
                problem := overcommitted(
                    self.topology,
                    (best := self._best(link, a, b)).name,
                    [*self._crossing[best.name], link.path],
                )
            )
        ]
        self._fail(
            link,
            f"no path from {start} to {end} has room for its guarantee {link.guarantee}"
            + (f": {full[0]}" if full else ""),
            "lower guarantees or raise the physical links' rates",
        )

    def _fail(self, link: VirtualLink, message: str, hint: str) -> None:
        self._problems.append(Problem(link.written_at, f"{link.path}: {message}", hint))

    def _best(self, link: VirtualLink, a: str, b: str) -> PhysicalLink:
        """Of parallel physical links, one with room, and among those the least crowded."""
        parallel = self.topology.underlay.between[frozenset((a, b))]
        return min(
            parallel,
            key=lambda p: (not self._has_room(link, p), len(self._crossing[p.name]) / p.rate.bps),
        )

    def _has_room(self, link: VirtualLink, physical: PhysicalLink) -> bool:
        if link.guarantee is None:
            return True
        crossing = [*self._crossing[physical.name], link.path]
        return overcommitted(self.topology, physical.name, crossing) is None
