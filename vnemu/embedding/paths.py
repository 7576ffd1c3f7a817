"""VL -> physical links: paths as declared, or the shortest with room, least crowded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

import networkx as nx

from vnemu.embedding.mapping import Direction, Mapping, Port, UnderlayPath, overcommitted
from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.underlay import PhysicalLink, Underlay

_Crossed = tuple[tuple[str, ...], tuple[str, ...]]
"""The RMs and the physical links of a path."""


def graph(underlay: Underlay, avoid: Collection[str] = ()) -> nx.Graph[str]:
    """The RMs and what joins them, without those RMs and physical links to `avoid`."""
    found: nx.Graph[str] = nx.Graph()
    found.add_nodes_from(machine for machine in underlay.machines if machine not in avoid)
    found.add_edges_from(
        (link.a, link.b)
        for link in underlay.links.values()
        if not {link.name, link.a, link.b} & set(avoid)
    )
    return found


def choose_paths(
    topology: Topology, machines: dict[str, str]
) -> tuple[dict[str, UnderlayPath], dict[str, str]]:
    """A path for every VL, numbered in the order of the file, and why.

    Parameters:
        machines: RM by node.

    Raises:
        InputError: with the VLs that have none.
    """
    chooser = _PathChooser(topology, machines)
    chosen = chooser.choose(topology.links.values())
    more = count(len(chosen) + 1)
    paths = {
        path: _numbered(chosen[path], [number], more)
        for number, path in enumerate(topology.links, 1)
    }
    return paths, chooser.why


def rerouted(
    topology: Topology, mapping: Mapping, links: Iterable[str], avoid: Collection[str] = ()
) -> Mapping:
    """The mapping with other paths for some VLs, which may be new; all others stay.

    Parameters:
        avoid: RMs and physical links that they must not cross.

    Raises:
        InputError: with the VLs that have none; whether guarantees fit on a declared
            path is not checked (`admit`).
    """
    paths = {path: way for path, way in mapping.paths.items() if path in topology.links}
    wanted = [topology.links[path] for path in links]
    chooser = _PathChooser(topology, mapping.machines, frozenset(avoid))
    chooser.occupy(mapping.users, paths.keys() - {link.path for link in wanted})
    chosen = chooser.choose(wanted)
    taken = {way.number for path in paths.values() for way in path.ways}
    more = (number for number in count(1) if number not in taken)
    for path, crossed in chosen.items():
        numbers = [way.number for way in paths[path].ways] if path in paths else []
        if path in paths and _ends(paths[path].machines) != _ends(crossed[0][0]):
            numbers = []  # a new tunnel can stand beside the old one then
        paths[path] = _numbered(crossed, numbers, more)
    return Mapping(mapping.machines, paths, {**mapping.why, **chooser.why})


def told_apart(before: Mapping, after: Mapping) -> Mapping:
    """`after` without numbers that `before` has for paths of other VLs, or with other ends.

    So in one change no tunnel takes the place of another one that is still in use.
    """
    if before.paths is after.paths:
        return after
    meant = {
        way.number: (path, _ends(way.machines))
        for path, ways in before.paths.items()
        for way in ways.ways
    }
    wrong = [
        path
        for path, ways in after.paths.items()
        if ways is not before.paths.get(path)
        and any(_differs(meant.get(w.number), path, w) for w in ways.ways)
    ]
    if not wrong:
        return after
    taken = {*meant, *(way.number for ways in after.paths.values() for way in ways.ways)}
    more = (number for number in count(1) if number not in taken)
    fresh = {
        path: _numbered([(way.machines, way.links) for way in after.paths[path].ways], (), more)
        for path in wrong
    }
    return replace(after, paths={**after.paths, **fresh})


def _differs(meant: tuple[str, tuple[str, ...]] | None, path: str, way: UnderlayPath) -> bool:
    return meant is not None and meant != (path, _ends(way.machines))


def _ends(machines: tuple[str, ...]) -> tuple[str, ...]:
    """Where the tunnel of a path ends; a path on one RM has none."""
    return (machines[0], machines[-1]) if machines[1:] else ()


def _numbered(
    crossed: Iterable[_Crossed], numbers: Collection[int], more: Iterator[int]
) -> UnderlayPath:
    """The path, and those beside it, with `numbers` as far as there are some."""
    given = iter(numbers)
    first, *others = (UnderlayPath(*path, next(given, 0) or next(more)) for path in crossed)
    return replace(first, beside=tuple(others))


@dataclass
class _PathChooser:
    """Finds paths one after the other, each where those before leave room."""

    topology: Topology
    machines: dict[str, str]
    avoid: frozenset[str] = frozenset()
    why: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        underlay = self.topology.underlay
        self._users: dict[Port, list[Direction]] = defaultdict(list)
        self._graph = graph(underlay, self.avoid)
        slowest = min((link.slowest for link in underlay.links.values()), default=1)
        self._most_crowded = (len(self.topology.links) + 1) / slowest
        self._taken: set[str] = set()
        self._problems: list[Problem] = []

    def occupy(self, users: dict[Port, tuple[Direction, ...]], staying: Collection[str]) -> None:
        """Count the VLs that stay where they are: those of `users` that are `staying`."""
        for port, there in users.items():
            self._users[port] += [user for user in there if user[0] in staying]

    def _occupy(self, path: str, machines: Iterable[str], links: Iterable[str]) -> None:
        for name, (a, b) in zip(links, pairwise(machines), strict=True):
            self._users[name, a].append((path, True))
            self._users[name, b].append((path, False))

    def choose(self, links: Iterable[VirtualLink]) -> dict[str, list[_Crossed]]:
        """Paths for `links`: declared ones first, then the largest guarantees.

        Raises:
            InputError: with those that have none.
        """
        chosen = {link.path: self._choose(link) for link in sorted(links, key=_first)}
        if self._problems:
            raise InputError(self._problems)
        return chosen

    def _choose(self, link: VirtualLink) -> list[_Crossed]:
        start, end = self.machines[link.a], self.machines[link.b]
        self._taken = set()
        found = []
        for machines in self._ways(link, start, end):
            links = tuple(self._best(link, a, b).name for a, b in pairwise(machines))
            twice = self._taken.intersection(links)
            if twice:
                message = f"two of its paths cross the physical link {min(twice)}"
                self._fail(link, message, "aggregated paths have no physical link in common")
            self._taken.update(links)
            found.append((tuple(machines), links))
        for crossed in found:
            self._occupy(link.path, *crossed)
        return found

    def _ways(self, link: VirtualLink, start: str, end: str) -> Iterator[list[str]]:
        """The RMs of each path."""
        if link.paths:
            self.why[link.path] = (
                f"{len(link.paths)} paths as declared" if link.paths[1:] else "path as declared"
            )
            for path in link.paths:
                yield self._declared(link, list(path), start, end)
        elif start == end:
            self.why[link.path] = f"both ends on {start}: a patch, no physical link"
            yield [start]
        else:
            yield self._shortest(link, start, end)

    def _declared(self, link: VirtualLink, machines: list[str], start: str, end: str) -> list[str]:
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
            hint = "correct path:, or leave it out to have one chosen"
            self._fail(link, problem + self._beside(), hint)
            return [start]
        return machines

    def _shortest(self, link: VirtualLink, start: str, end: str) -> list[str]:
        def weight(a: str, b: str, _: object) -> float | None:
            best = self._best(link, a, b)
            if self._problem(link, best, a):
                return None
            crowd = (len(self._users[best.name, a]) + 1) / best.slowest / self._most_crowded
            return 1 + crowd / (len(self.topology.underlay.links) + 1)

        try:
            machines: list[str] = nx.dijkstra_path(self._graph, start, end, weight)
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            self._explain_no_path(link, start, end)
            return [start]
        hops = len(machines) - 1
        room = f" with room for {_words(link)}" if link.has_guarantee else ""
        self.why[link.path] = f"shortest path{room}, least crowded: {hops} physical hop" + (
            "s" if hops > 1 else ""
        )
        return machines

    def _explain_no_path(self, link: VirtualLink, start: str, end: str) -> None:
        if not {start, end} <= set(self._graph) or not nx.has_path(self._graph, start, end):
            self._fail(
                link,
                f"no physical links lead from {start} to {end}{self._beside()}",
                "add a link to the underlay, or place its routers elsewhere",
            )
            return
        machines = nx.shortest_path(self._graph, start, end)
        full = [
            problem.message
            for a, b in pairwise(machines)
            if (problem := self._problem(link, self._best(link, a, b), a))
        ]
        self._fail(
            link,
            f"no path from {start} to {end} has room for its guarantee {_words(link)}"
            + (f": {full[0]}" if full else ""),
            "lower guarantees or raise the physical links' rates",
        )

    def _fail(self, link: VirtualLink, message: str, hint: str) -> None:
        self._problems.append(Problem(link.written_at, f"{link.path}: {message}", hint))

    def _beside(self) -> str:
        return f" without {', '.join(sorted(self.avoid))}" if self.avoid else ""

    def _best(self, link: VirtualLink, a: str, b: str) -> PhysicalLink:
        """Of parallel physical links, one with room, and among those the least crowded."""
        parallel = self.topology.underlay.between[frozenset((a, b))]
        return min(
            (p for p in parallel if p.name not in self.avoid),
            key=lambda p: (
                p.name in self._taken,
                self._problem(link, p, a) is not None,
                len(self._users[p.name, a]) / p.slowest,
            ),
        )

    def _problem(self, link: VirtualLink, physical: PhysicalLink, sender: str) -> Problem | None:
        """Why a physical link has no room for a VL that goes over it from the RM `sender` on."""
        if not link.has_guarantee:
            return None
        for machine in (sender, physical.other(sender)):
            port = (physical.name, machine)
            users = [*self._users[port], (link.path, machine == sender)]
            problem = overcommitted(self.topology, port, users)
            if problem is not None:
                return problem
        return None


def _first(link: VirtualLink) -> tuple[bool, int]:
    return not link.paths, -max(link.forward.guaranteed, link.backward.guaranteed)


def _words(link: VirtualLink) -> str:
    if link.forward.guarantee == link.backward.guarantee:
        return str(link.forward.guarantee)
    ways = ((link.direction(forward), link.quality(forward).guarantee) for forward in (True, False))
    return " and ".join(f"{rate} ({way})" for way, rate in ways if rate)
